#include "store/data_folder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/scope.h"
#include "config/lines.h"
#include "config/path.h"

#define IDENTITY_BYTES_MAX 1024

struct data_folder {
    const struct files *files;
    void *lock; /* NULL: not held */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char node[CERTIFICATE_NAME_BYTES];
    uint64_t disk_id;
    bool has_log;

    struct path root;
    struct path identity;
    struct path log;
    struct path state;
};

/* What stands in the folder. */
struct content {
    bool has_identity;
    bool has_data;
    char other[64]; /* the first thing that is not ours; "": none */
};

void data_folder_close(struct data_folder **folder)
{
    if (*folder) {
        if ((*folder)->lock) {
            (*folder)->files->unlock((*folder)->files->context,
                                     (*folder)->lock);
        }
        free(*folder);
        *folder = NULL;
    }
}

/* ---- words for people ---- */

static enum err explain(struct err_detail *why, enum err err, const char *path)
{
    switch (err) {
    case ERR_ACCESS:
        err_explain(why,
                    "%s: permission denied, or a read-only file system: the "
                    "data folder must be writable for the user that runs the "
                    "node",
                    path);
        break;
    case ERR_NO_SPACE:
        err_explain(why, "%s: no space left on the device: make room first",
                    path);
        break;
    case ERR_NOT_FOUND:
        err_explain(why,
                    "%s: cannot be made: the folder above it is not there, or "
                    "is a file",
                    path);
        break;
    default:
        err_explain(why, "%s: %s", path, err_text(err));
        break;
    }
    return err;
}

/* ---- the identity file ---- */

static enum err write_identity(const struct data_folder *folder, bool replace)
{
    char text[IDENTITY_BYTES_MAX];
    char cluster[2 * CLUSTER_ID_BYTES + 1];
    hex_encode(cluster, bytes_of(folder->cluster_id, CLUSTER_ID_BYTES));
    struct writer writer = writer_of(text, sizeof text);
    lines_write(&writer, "troupe-data %d\n", DATA_FOLDER_VERSION);
    lines_write(&writer, "cluster %s\n", cluster);
    lines_write(&writer, "node %s\n", folder->node);
    lines_write(&writer, "disk %016" PRIx64 "\n", folder->disk_id);
    lines_write(&writer, "log %s\n", folder->has_log ? "yes" : "no");
    assert(!writer.failed);
    return folder->files->write(folder->files->context, folder->identity.text,
                                FILE_PUBLIC, replace, writer_bytes(&writer));
}

/* Which file is looked at, for what people are told. */
struct identity_file {
    const char *path;
    const char *root; /* the folder that it is in */
};

static enum err malformed(const struct identity_file *file,
                          struct err_detail *why)
{
    err_explain(why,
                "%s: damaged. Put it back from a copy, or, if this node's data "
                "is lost, move %s away: the node then joins again as new",
                file->path, file->root);
    return ERR_MALFORMED;
}

static enum err parse_version(const struct identity_file *file,
                              struct lines *lines,
                              struct err_detail *why)
{
    uint64_t version = 0;
    if (!lines_next(lines) || !lines_is(lines, "troupe-data", 2) ||
        !lines_u64(&version, lines->words[1])) {
        return malformed(file, why);
    }
    if (version > DATA_FOLDER_VERSION) {
        err_explain(why,
                    "%s: version %" PRIu64 ", this release knows version %d: "
                    "it was made by a newer release, run that one",
                    file->path, version, DATA_FOLDER_VERSION);
        return ERR_VERSION;
    }
    return version == DATA_FOLDER_VERSION ? ERR_NONE : malformed(file, why);
}

static bool next_is(struct lines *lines, const char *first)
{
    return lines_next(lines) && lines_is(lines, first, 2);
}

/* All behind the version. */
static bool parse_facts(struct data_folder_facts *out, struct lines *lines)
{
    uint8_t disk_id[8];
    if (!next_is(lines, "cluster") ||
        !lines_hex(out->cluster_id, sizeof out->cluster_id, lines->words[1]) ||
        !next_is(lines, "node") ||
        strlen(lines->words[1]) >= sizeof out->node) {
        return false;
    }
    memcpy(out->node, lines->words[1], strlen(lines->words[1]) + 1);
    if (!next_is(lines, "disk") ||
        !lines_hex(disk_id, sizeof disk_id, lines->words[1])) {
        return false;
    }
    for (size_t i = 0; i < sizeof disk_id; i++) {
        out->disk_id = out->disk_id << 8 | disk_id[i];
    }
    if (!next_is(lines, "log")) {
        return false;
    }
    out->has_log = strcmp(lines->words[1], "yes") == 0;
    bool is_good = out->has_log || strcmp(lines->words[1], "no") == 0;
    return is_good && out->disk_id != 0 && !lines_next(lines) && !lines->failed;
}

static enum err read_facts(struct data_folder_facts *out,
                           const struct files *files,
                           const struct identity_file *file,
                           struct err_detail *why)
{
    uint8_t *text = NULL;
    size_t length = 0;
    enum err err = files->read(files->context, file->path, FILE_PUBLIC,
                               IDENTITY_BYTES_MAX, &text, &length);
    if (err == ERR_TOO_LARGE) {
        return malformed(file, why);
    }
    if (err) {
        return explain(why, err, file->path);
    }
    struct lines lines;
    lines_init(&lines, bytes_of(text, length));
    struct data_folder_facts facts = {.version = DATA_FOLDER_VERSION};
    err = parse_version(file, &lines, why);
    if (!err && !parse_facts(&facts, &lines)) {
        err = malformed(file, why);
    }
    free(text);
    if (!err) {
        *out = facts;
    }
    return err;
}

enum err data_folder_look(struct data_folder_facts *out,
                          const struct files *files,
                          const char *root,
                          struct err_detail *why)
{
    struct path path;
    enum err err = path_make(&path, "%s/identity", root);
    if (err) {
        return explain(why, err, root);
    }
    return read_facts(out, files,
                      &(struct identity_file){.path = path.text, .root = root},
                      why);
}

/* Compare whose it is with who we are; take the rest. */
static enum err read_identity(struct data_folder *folder,
                              struct err_detail *why)
{
    struct data_folder_facts facts;
    enum err err =
        read_facts(&facts, folder->files,
                   &(struct identity_file){.path = folder->identity.text,
                                           .root = folder->root.text},
                   why);
    if (err) {
        return err;
    }
    if (memcmp(facts.cluster_id, folder->cluster_id, CLUSTER_ID_BYTES) != 0) {
        char theirs[2 * CLUSTER_ID_BYTES + 1];
        char ours[2 * CLUSTER_ID_BYTES + 1];
        hex_encode(theirs, bytes_of(facts.cluster_id, CLUSTER_ID_BYTES));
        hex_encode(ours, bytes_of(folder->cluster_id, CLUSTER_ID_BYTES));
        err_explain(why,
                    "%s: holds data of the cluster %s, this node belongs to "
                    "%s: name another data_dir",
                    folder->root.text, theirs, ours);
        return ERR_OTHER_CLUSTER;
    }
    if (strcmp(facts.node, folder->node) != 0) {
        err_explain(why,
                    "%s: holds data of the node '%s', this is '%s': a copy of "
                    "another node's data must not be used",
                    folder->root.text, facts.node, folder->node);
        return ERR_WRONG_NAME;
    }
    folder->disk_id = facts.disk_id;
    folder->has_log = facts.has_log;
    return ERR_NONE;
}

/* ---- opening ---- */

static void look_at(void *visitor, const char *name)
{
    struct content *content = visitor;
    if (strcmp(name, "identity") == 0) {
        content->has_identity = true;
    } else if (strcmp(name, "log") == 0 || strncmp(name, "state", 5) == 0) {
        content->has_data = true; /* also "state.damaged" */
    } else if (strcmp(name, "lock") != 0 && strcmp(name, "lost+found") != 0 &&
               strncmp(name, ".new-", 5) != 0 && !content->other[0]) {
        (void)snprintf(content->other, sizeof content->other, "%s", name);
    }
}

static enum err make_folder(struct data_folder *folder,
                            const char *path,
                            struct err_detail *why)
{
    enum err err =
        folder->files->make_folder(folder->files->context, path, FILE_SECRET);
    return err && err != ERR_EXISTS ? explain(why, err, path) : ERR_NONE;
}

static enum err make_identity(struct data_folder *folder,
                              const struct entropy *entropy,
                              struct err_detail *why)
{
    while (folder->disk_id == 0) {
        folder->disk_id = entropy_u64(entropy);
    }
    enum err err = write_identity(folder, false);
    return err ? explain(why, err, folder->identity.text) : ERR_NONE;
}

/* Nothing in there is overwritten that we have not made. */
static enum err check_content(struct data_folder *folder,
                              const struct content *content,
                              struct err_detail *why)
{
    if (content->has_identity) {
        return ERR_NONE;
    }
    if (content->other[0]) {
        err_explain(why,
                    "%s: holds other things ('%s'): name an empty folder, or "
                    "one that is not there",
                    folder->root.text, content->other);
        return ERR_EXISTS;
    }
    if (content->has_data) {
        err_explain(why,
                    "%s: holds data, but the file 'identity' is missing: put "
                    "it back from a copy",
                    folder->root.text);
        return ERR_MALFORMED;
    }
    return ERR_NONE;
}

static enum err lock(struct data_folder *folder, struct err_detail *why)
{
    struct path path;
    enum err err = path_make(&path, "%s/lock", folder->root.text);
    if (!err) {
        err = folder->files->lock(folder->files->context, path.text,
                                  &folder->lock);
    }
    if (err == ERR_BUSY) {
        err_explain(why,
                    "%s: in use by a running process. Two processes cannot "
                    "have the same data: stop the other one",
                    folder->root.text);
        return ERR_BUSY;
    }
    return err ? explain(why, err, path.text) : ERR_NONE;
}

static enum err open_folder(struct data_folder *folder,
                            const struct data_folder_config *config,
                            struct err_detail *why)
{
    enum err err = make_folder(folder, config->data_dir, why);
    if (!err) {
        err = make_folder(folder, folder->root.text, why);
    }
    if (!err) {
        err = lock(folder, why);
    }
    if (err) {
        return err;
    }
    struct content content = {0};
    err = folder->files->list(folder->files->context, folder->root.text,
                              look_at, &content);
    if (err) {
        return explain(why, err, folder->root.text);
    }
    err = check_content(folder, &content, why);
    if (err) {
        return err;
    }
    err = content.has_identity ? read_identity(folder, why)
                               : make_identity(folder, config->entropy, why);
    return err ? err : make_folder(folder, folder->log.text, why);
}

static enum err make_paths(struct data_folder *folder,
                           const struct data_folder_config *config)
{
    enum err err =
        path_make(&folder->root, "%s/%s", config->data_dir, config->node);
    if (!err) {
        err = path_make(&folder->identity, "%s/identity", folder->root.text);
    }
    if (!err) {
        err = path_make(&folder->log, "%s/log", folder->root.text);
    }
    return err ? err : path_make(&folder->state, "%s/state", folder->root.text);
}

enum err data_folder_open(struct data_folder **out,
                          const struct data_folder_config *config,
                          struct err_detail *why)
{
    assert(strlen(config->node) < CERTIFICATE_NAME_BYTES);
    scoped(data_folder_close) struct data_folder *folder =
        calloc(1, sizeof *folder);
    if (!folder) {
        return ERR_MEMORY;
    }
    folder->files = config->files;
    memcpy(folder->cluster_id, config->cluster_id, CLUSTER_ID_BYTES);
    memcpy(folder->node, config->node, strlen(config->node) + 1);
    enum err err = make_paths(folder, config);
    if (err) {
        return explain(why, err, config->data_dir);
    }
    err = open_folder(folder, config, why);
    if (err) {
        return err;
    }
    *out = folder;
    folder = NULL; /* the caller owns it now */
    return ERR_NONE;
}

uint64_t data_folder_disk_id(const struct data_folder *folder)
{
    return folder->disk_id;
}

const char *data_folder_log(const struct data_folder *folder)
{
    return folder->log.text;
}

const char *data_folder_state(const struct data_folder *folder)
{
    return folder->state.text;
}

bool data_folder_has_log(const struct data_folder *folder)
{
    return folder->has_log;
}

enum err data_folder_log_made(struct data_folder *folder)
{
    if (folder->has_log) {
        return ERR_NONE;
    }
    folder->has_log = true;
    enum err err = write_identity(folder, true);
    folder->has_log = !err;
    return err;
}
