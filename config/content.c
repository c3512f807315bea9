#include "config/content.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

void content_explain(struct err_detail *why, const char *path, enum err err)
{
    if (err == ERR_EXPOSED) {
        err_explain(why,
                    "%s: others than its owner can read or write this secret: "
                    "chmod 600 %s",
                    path, path);
    } else if (err == ERR_TOO_LARGE) {
        err_explain(why, "%s: far too long for what it should be", path);
    } else {
        err_explain(why, "%s: %s", path, err_text(err));
    }
}

enum err content_read(struct content *out,
                      const struct files *files,
                      const char *path,
                      enum file_access access,
                      size_t length_max,
                      struct err_detail *why)
{
    uint8_t *data = NULL;
    size_t length = 0;
    enum err err =
        files->read(files->context, path, access, length_max, &data, &length);
    if (err) {
        content_explain(why, path, err);
        return err == ERR_TOO_LARGE ? ERR_MALFORMED : err;
    }
    *out = (struct content){.text = (char *)data, .length = length};
    return ERR_NONE;
}

void content_clear(struct content *content)
{
    if (content->text) {
        sodium_memzero(content->text, content->length);
        free(content->text);
    }
    *content = (struct content){0};
}

void content_sha256(char out[static CONTENT_SHA256_BYTES], struct bytes bytes)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    static_assert(2 * sizeof hash + 1 == CONTENT_SHA256_BYTES, "two digits");
    (void)crypto_hash_sha256(hash, bytes.data, bytes.length);
    hex_encode(out, bytes_of(hash, sizeof hash));
}
