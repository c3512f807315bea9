#include "config/bundle.h"

#include "base/scope.h"
#include "config/path.h"

#include <assert.h>
#include <sodium.h>

#define TEXT_BYTES_MAX 4096

/* NAME.cert */
static enum err write_certificate(struct changes *changes,
                                  const char *folder,
                                  const struct identity *identity,
                                  bool replace,
                                  struct err_detail *why)
{
    struct path path;
    uint8_t text[TEXT_BYTES_MAX];
    struct writer writer = writer_of(text, sizeof text);
    enum err err =
        path_make(&path, "%s/%s.cert", folder, identity->certificate.name);
    if (err) {
        return err;
    }
    identity_write_certificate(
        &writer, bytes_of(identity->encoded, identity->encoded_length));
    assert(!writer.failed);
    struct bytes content = writer_bytes(&writer);
    return replace ? changes_write_file(changes, path.text, FILE_PUBLIC,
                                        content, why)
                   : changes_make_file(changes, path.text, FILE_PUBLIC, content,
                                       why);
}

/* NAME.key, with the key of `older` behind it when that is not NULL. */
static enum err write_key(struct changes *changes,
                          const char *folder,
                          const struct identity *identity,
                          const struct identity *older,
                          bool replace,
                          struct err_detail *why)
{
    struct path path;
    enum err err =
        path_make(&path, "%s/%s.key", folder, identity->certificate.name);
    if (err) {
        return err;
    }
    uint8_t text[TEXT_BYTES_MAX];
    struct writer writer = writer_of(text, sizeof text);
    identity_write_key(&writer, identity->secret);
    if (older) {
        identity_write_key(&writer, older->secret);
    }
    assert(!writer.failed);
    struct bytes content = writer_bytes(&writer);
    err =
        replace
            ? changes_write_file(changes, path.text, FILE_SECRET, content, why)
            : changes_make_file(changes, path.text, FILE_SECRET, content, why);
    sodium_memzero(text, sizeof text);
    if (err == ERR_EXPOSED) {
        err_explain(why,
                    "%s: others than its owner can read or write this secret: "
                    "chmod 600 %s",
                    path.text, path.text);
    }
    return err;
}

/* What stands in a folder as trust, seen from `next`. */
enum standing {
    STANDING_ABSENT, /* or not to be read: nothing is lost with it */
    STANDING_SAME,   /* or newer */
    STANDING_OLDER,
    STANDING_FOREIGN, /* another cluster's */
};

static enum err look(enum standing *out,
                     uint64_t *version,
                     const struct files *files,
                     const char *path,
                     const struct trust *next)
{
    scoped(trust_unref) struct trust *found = NULL;
    enum err err = trust_open(&found, files, path, NULL);
    if (err == ERR_NOT_FOUND || err == ERR_MALFORMED || err == ERR_FORGED) {
        *out = STANDING_ABSENT;
        return ERR_NONE;
    }
    if (err) {
        return err;
    }
    *version = trust_version(found);
    if (memcmp(trust_cluster_id(found), trust_cluster_id(next),
               CLUSTER_ID_BYTES) != 0) {
        *out = STANDING_FOREIGN;
    } else {
        *out = *version < trust_version(next) ? STANDING_OLDER : STANDING_SAME;
    }
    return ERR_NONE;
}

static enum err write_trust(struct changes *changes,
                            const struct files *files,
                            const char *folder,
                            const char *trust_text,
                            struct err_detail *why)
{
    struct path path;
    enum standing standing = STANDING_ABSENT;
    uint64_t version = 0;
    scoped(trust_unref) struct trust *next = NULL;
    enum err err = path_make(&path, "%s/trust", folder);
    if (!err) {
        err = trust_decode(&next, bytes_of_text(trust_text), why);
    }
    if (!err) {
        err = look(&standing, &version, files, path.text, next);
    }
    if (err) {
        return err;
    }
    if (standing == STANDING_FOREIGN) {
        err_explain(why, "%s is another cluster's: choose another folder",
                    path.text);
        return ERR_OTHER_CLUSTER;
    }
    return standing == STANDING_SAME
               ? ERR_NONE
               : changes_write_file(changes, path.text, FILE_PUBLIC,
                                    bytes_of_text(trust_text), why);
}

static enum err make_folder(struct changes *changes,
                            const char *folder,
                            struct err_detail *why)
{
    enum err err = changes_make_folder(changes, folder, FILE_SECRET, why);
    return err == ERR_EXISTS ? ERR_NONE : err;
}

enum err bundle_make(struct changes *changes,
                     const struct files *files,
                     const char *folder,
                     const struct identity *identity,
                     const char *trust_text,
                     struct err_detail *why)
{
    enum err err = make_folder(changes, folder, why);
    if (!err) {
        err = write_trust(changes, files, folder, trust_text, why);
    }
    if (!err) {
        err = write_key(changes, folder, identity, NULL, false, why);
    }
    if (!err) {
        err = write_certificate(changes, folder, identity, false, why);
    }
    return err;
}

/* The identity that is to be replaced; NULL when there is none to keep. */
static enum err open_older(const struct identity **out,
                           const struct files *files,
                           const char *folder,
                           const struct identity *identity,
                           struct err_detail *why)
{
    const struct certificate *certificate = &identity->certificate;
    enum err err = identity_open(out, files, folder, certificate->name, why);
    if (err == ERR_NOT_FOUND || err == ERR_MALFORMED || err == ERR_INVALID) {
        return ERR_NONE; /* renewal is also the way out of that */
    }
    if (!err && memcmp((*out)->certificate.cluster_id, certificate->cluster_id,
                       CLUSTER_ID_BYTES) != 0) {
        err_explain(why,
                    "%s/%s.cert is another cluster's: choose another "
                    "folder",
                    folder, certificate->name);
        identity_unref(out);
        return ERR_OTHER_CLUSTER;
    }
    return err;
}

enum err bundle_renew(struct changes *changes,
                      const struct files *files,
                      const char *folder,
                      const struct identity *identity,
                      const char *trust_text,
                      struct err_detail *why)
{
    scoped(identity_unref) const struct identity *older = NULL;
    enum err err = make_folder(changes, folder, why);
    if (!err) {
        err = open_older(&older, files, folder, identity, why);
    }
    if (!err) {
        err = write_trust(changes, files, folder, trust_text, why);
    }
    if (!err) {
        err = write_key(changes, folder, identity, older, true, why);
    }
    if (!err) {
        err = write_certificate(changes, folder, identity, true, why);
    }
    return err;
}

enum err bundle_put_trust(struct bundle_trust *out,
                          const struct files *files,
                          const char *folder,
                          const char *trust_text,
                          struct err_detail *why)
{
    struct path path;
    enum standing standing = STANDING_ABSENT;
    struct bundle_trust result = {0};
    scoped(trust_unref) struct trust *next = NULL;
    enum err err = path_make(&path, "%s/trust", folder);
    if (!err) {
        err = trust_decode(&next, bytes_of_text(trust_text), why);
    }
    if (!err) {
        err = look(&standing, &result.old_version, files, path.text, next);
    }
    result.is_there = standing == STANDING_SAME || standing == STANDING_OLDER;
    result.is_replaced = standing == STANDING_OLDER;
    if (!err && result.is_replaced) {
        err = files->write(files->context, path.text, FILE_PUBLIC, true,
                           bytes_of_text(trust_text));
    }
    if (err) {
        err_explain(why, "%s: %s", path.text, err_text(err));
        return err;
    }
    *out = result;
    return ERR_NONE;
}
