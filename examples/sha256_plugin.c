/*
 * A plug-in: the SHA-256 of a file, whose path is the task's payload, as
 * `troupe task submit` sends a text: a MessagePack string.
 *
 * The result is its 64 hexadecimal digits. Runs in a process of its own
 * (docs/workers.md).
 */

#include "troupe/task.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096
#define CHUNK_BYTES (64u << 10)

/* The bytes of a MessagePack string; NULL: it is none. */
static const unsigned char *text_of(const unsigned char *packed, size_t *length)
{
    size_t head = *length == 0                        ? 0
                  : (packed[0] & 0xe0) == 0xa0        ? 1
                  : packed[0] == 0xd9 && *length >= 2 ? 2
                  : packed[0] == 0xda && *length >= 3 ? 3
                                                      : 0;
    size_t bytes = head == 1   ? packed[0] & 0x1fu
                   : head == 2 ? packed[1]
                   : head == 3 ? (size_t)packed[1] << 8 | packed[2]
                               : 0;
    if (head == 0 || *length != head + bytes) {
        return NULL;
    }
    *length = bytes;
    return packed + head;
}

static int hash_stream(FILE *stream, unsigned char *hash)
{
    crypto_hash_sha256_state state;
    unsigned char chunk[CHUNK_BYTES];
    size_t length;
    crypto_hash_sha256_init(&state);
    while ((length = fread(chunk, 1, sizeof chunk, stream)) > 0) {
        crypto_hash_sha256_update(&state, chunk, length);
    }
    crypto_hash_sha256_final(&state, hash);
    return ferror(stream);
}

TROUPE_API int sha256_of_file(struct troupe_task *task);

TROUPE_API int sha256_of_file(struct troupe_task *task)
{
    char path[PATH_BYTES];
    char digits[2 * crypto_hash_sha256_BYTES + 1];
    unsigned char hash[crypto_hash_sha256_BYTES];
    size_t length;
    const unsigned char *text = troupe_task_payload(task, &length);
    text = text_of(text, &length);
    if (!text || length == 0 || length >= sizeof path) {
        troupe_task_explain(task, "a path is expected, of up to 4095 bytes");
        return TROUPE_TASK_REFUSED;
    }
    memcpy(path, text, length);
    path[length] = '\0';
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        troupe_task_explain(task, "the file cannot be opened");
        return TROUPE_TASK_FAILED;
    }
    int failed = hash_stream(stream, hash);
    fclose(stream);
    if (failed) {
        troupe_task_explain(task, "the file cannot be read");
        return TROUPE_TASK_FAILED;
    }
    sodium_bin2hex(digits, sizeof digits, hash, sizeof hash);
    troupe_task_write(task, digits, sizeof digits - 1);
    return TROUPE_TASK_DONE;
}
