#include "config/bundle.h"

#include "base/scope.h"
#include "config/content.h"
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
    return err;
}

/* What stands in a folder as trust, seen from `next`. */
enum standing {
    STANDING_ABSENT, /* or not to be read: nothing is lost with it */
    STANDING_SAME,   /* or newer */
    STANDING_OLDER,
    STANDING_FOREIGN, /* another cluster's */
};

struct sight {
    struct path path; /* of the trust in the folder */
    enum standing standing;
    uint64_t version; /* of what stands there; STANDING_ABSENT: 0 */
};

static enum err look(struct sight *out,
                     const struct files *files,
                     const char *folder,
                     const char *trust_text,
                     struct err_detail *why)
{
    scoped(trust_unref) struct trust *next = NULL;
    scoped(trust_unref) struct trust *found = NULL;
    *out = (struct sight){.standing = STANDING_ABSENT};
    enum err err = path_make(&out->path, "%s/trust", folder);
    if (!err) {
        err = trust_decode(&next, bytes_of_text(trust_text), why);
    }
    if (err) {
        return err;
    }
    struct err_detail refusal = {0};
    err = trust_open(&found, files, out->path.text, &refusal);
    if (err == ERR_NOT_FOUND || err == ERR_MALFORMED || err == ERR_FORGED) {
        return ERR_NONE;
    }
    if (err) {
        err_explain(why, "%s", refusal.text);
        return err;
    }
    out->version = trust_version(found);
    if (memcmp(trust_cluster_id(found), trust_cluster_id(next),
               CLUSTER_ID_BYTES) != 0) {
        out->standing = STANDING_FOREIGN;
    } else {
        out->standing =
            out->version < trust_version(next) ? STANDING_OLDER : STANDING_SAME;
    }
    return ERR_NONE;
}

static enum err write_trust(struct changes *changes,
                            const struct files *files,
                            const char *folder,
                            const char *trust_text,
                            struct err_detail *why)
{
    struct sight sight;
    enum err err = look(&sight, files, folder, trust_text, why);
    if (err) {
        return err;
    }
    if (sight.standing == STANDING_FOREIGN) {
        err_explain(why, "%s is another cluster's: choose another folder",
                    sight.path.text);
        return ERR_OTHER_CLUSTER;
    }
    return sight.standing == STANDING_SAME
               ? ERR_NONE
               : changes_write_file(changes, sight.path.text, FILE_PUBLIC,
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
    struct sight sight;
    enum err err = look(&sight, files, folder, trust_text, why);
    if (err) {
        return err;
    }
    bool is_older = sight.standing == STANDING_OLDER;
    if (is_older) {
        err = files->write(files->context, sight.path.text, FILE_PUBLIC, true,
                           bytes_of_text(trust_text));
    }
    if (err) {
        content_explain(why, sight.path.text, err);
        return err;
    }
    *out = (struct bundle_trust){.is_there = is_older ||
                                             sight.standing == STANDING_SAME,
                                 .is_replaced = is_older,
                                 .old_version = sight.version};
    return ERR_NONE;
}
