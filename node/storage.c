#include "node/storage.h"

#include "base/posix/posix_executor.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/path.h"
#include "store/data_folder.h"
#include "store/posix_disk.h"
#include "store/rocks_kv.h"

#include <stdlib.h>
#include <string.h>

/* What helps depends on the group, of which nothing is known here. */
#define RESTORE_WORDS                                                      \
    "lost groups are refused: they come back from their peers as new "     \
    "replicas; those without others from a backup: troupe backup restore " \
    "BACKUP --group N"

struct storage {
    struct log *log;
    uint64_t free_bytes_min;
    struct data_folder *folder;
    struct posix_disk *disk;
    struct rocks_kv *kv;
    struct posix_executor *writer;
    struct posix_executor *applier;
};

static enum err open_folder(struct storage *storage,
                            const struct storage_config *config,
                            struct err_detail *why)
{
    struct data_folder_config own = {.files = posix_files(),
                                     .entropy = config->entropy,
                                     .data_dir = config->data_dir,
                                     .node = config->node};
    memcpy(own.cluster_id, config->cluster_id, CLUSTER_ID_BYTES);
    return data_folder_open(&storage->folder, &own, why);
}

static enum err open_disk(struct storage *storage, struct err_detail *why)
{
    const char *path = data_folder_log(storage->folder);
    enum err err = posix_disk_open(&storage->disk, path);
    if (err) {
        err_explain(why, "%s: %s", path, err_text(err));
    }
    return err;
}

/* ---- the applied state ---- */

static bool visit_row(void *visitor, struct bytes key, struct bytes value)
{
    (void)visitor;
    (void)key;
    (void)value;
    return true;
}

/* RocksDB looks at a block's checksum when it reads it, and not before. */
static enum err check_rows(const struct rocks_kv *kv,
                           const char *path,
                           struct err_detail *why)
{
    const struct kv *table = rocks_kv_table(kv);
    struct bytes all = {0};
    enum err err = table->scan(table->context, all, all, visit_row, NULL);
    if (err) {
        err_explain(why, "%s: reading all rows: %s", path, err_text(err));
    }
    return err;
}

static enum err open_whole(struct rocks_kv **out,
                           const struct rocks_kv_config *config,
                           struct err_detail *why)
{
    scoped(rocks_kv_close) struct rocks_kv *kv = NULL;
    enum err err = rocks_kv_open(&kv, config, why);
    if (!err) {
        err = check_rows(kv, config->folder, why);
    }
    if (err) {
        return err;
    }
    *out = kv;
    kv = NULL; /* the caller owns it now */
    return ERR_NONE;
}

static enum err open_state(struct storage *storage, struct err_detail *why)
{
    struct rocks_kv_config config = {
        .folder = data_folder_state(storage->folder), .log = storage->log};
    struct err_detail found = {{0}};
    enum err err = open_whole(&storage->kv, &config, &found);
    if (err != ERR_MALFORMED) {
        if (err) {
            err_explain(why, "%s", found.text);
        }
        return err;
    }
    err = rocks_kv_reset(&storage->kv, &config, why);
    if (err) {
        return err;
    }
    struct path aside;
    enum err too_long = path_make(&aside, "%s.damaged", config.folder);
    log_warn(storage->log, "applied_state.damaged",
             LOG_TEXT("found", found.text),
             LOG_TEXT("moved_to", too_long ? "" : aside.text),
             LOG_TEXT("next", "rebuilt from the log and from peers"));
    return ERR_NONE;
}

/* ---- life ---- */

static enum err open_threads(struct storage *storage)
{
    enum err err = posix_executor_open(&storage->writer, "log writer");
    return err ? err : posix_executor_open(&storage->applier, "applier");
}

/* It would look like trouble of the cluster: nobody founds or takes anything in
 * on such a disk. */
static void warn_of_little_room(const struct storage *storage)
{
    const struct disk *disk = posix_disk_table(storage->disk);
    uint64_t free_bytes = 0;
    if (!disk->free_bytes(disk->context, &free_bytes) &&
        free_bytes < storage->free_bytes_min) {
        log_error(storage->log, "store.full",
                  LOG_TEXT("folder", data_folder_log(storage->folder)),
                  LOG_UNSIGNED("free_bytes", free_bytes),
                  LOG_UNSIGNED("reserve_bytes", storage->free_bytes_min),
                  LOG_TEXT("next", "make room: until then nothing new is taken "
                                   "in here"));
    }
}

enum err storage_open(struct storage **out,
                      const struct storage_config *config,
                      struct err_detail *why)
{
    scoped(storage_close) struct storage *storage = calloc(1, sizeof *storage);
    if (!storage) {
        return ERR_MEMORY;
    }
    storage->log = config->log;
    storage->free_bytes_min = config->free_bytes_min ? config->free_bytes_min
                                                     : STORAGE_FREE_BYTES_MIN;
    enum err err = open_folder(storage, config, why);
    if (!err) {
        err = open_disk(storage, why);
    }
    if (!err) {
        err = open_state(storage, why);
    }
    if (!err) {
        err = open_threads(storage);
    }
    if (err) {
        return err;
    }
    warn_of_little_room(storage);
    *out = storage;
    storage = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void storage_fill(const struct storage *storage,
                  struct multiraft_config *config)
{
    config->disk = posix_disk_table(storage->disk);
    config->writer = posix_executor_table(storage->writer);
    config->kv = rocks_kv_table(storage->kv);
    config->applier = posix_executor_table(storage->applier);
    config->disk_id = data_folder_disk_id(storage->folder);
    config->must_exist = data_folder_has_log(storage->folder);
    config->free_bytes_min = storage->free_bytes_min;
}

enum err storage_made(struct storage *storage, struct err_detail *why)
{
    enum err err = data_folder_log_made(storage->folder);
    if (err) {
        err_explain(why, "%s: cannot be noted to exist: %s",
                    data_folder_log(storage->folder), err_text(err));
    }
    return err;
}

void storage_tell(const struct storage *storage,
                  const struct wal_report *report)
{
    if (report->what[0]) {
        log_error(storage->log, "log.damaged",
                  LOG_TEXT("folder", data_folder_log(storage->folder)),
                  LOG_TEXT("found", report->what),
                  LOG_UNSIGNED("damaged_segments", report->damaged_count),
                  LOG_UNSIGNED("missing_segments", report->missing_count),
                  LOG_UNSIGNED("lost_groups", report->lost_group_count),
                  LOG_TEXT("next", RESTORE_WORDS));
    }
}

void storage_close(struct storage **storage)
{
    if (!*storage) {
        return;
    }
    /* The threads first: what they work on is closed behind them. */
    posix_executor_close(&(*storage)->applier);
    posix_executor_close(&(*storage)->writer);
    rocks_kv_close(&(*storage)->kv);
    posix_disk_close(&(*storage)->disk);
    data_folder_close(&(*storage)->folder);
    free(*storage);
    *storage = NULL;
}
