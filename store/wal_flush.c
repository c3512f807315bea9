#include "store/wal_flush.h"

#include "store/wal_segment.h"

static enum err fail(struct wal_flush *flush, enum err err, const char *what)
{
    flush->err = err;
    flush->what = what;
    return err;
}

/*
 * Zeros are written behind a batch whenever it reaches beyond those that are
 * there: what then overwrites them changes no size and no extent of the file,
 * so that its sync has no journal to wait for.
 */
static enum err write_batch(struct wal_flush *flush)
{
    struct wal_format_place place = {.disk_id = flush->disk_id,
                                     .segment = flush->segment,
                                     .offset = flush->end};
    struct wal_format_batch batch = {
        .kind = WAL_FORMAT_RECORDS,
        .record_count = flush->record_count,
        .body_bytes = (uint32_t)(flush->batch.length - WAL_FORMAT_BATCH_BYTES)};
    size_t length = (size_t)wal_format_batch_bytes(batch.body_bytes);
    size_t zero_bytes = flush->zero_bytes;
    memset(flush->batch.data + flush->batch.length, 0,
           length - flush->batch.length + zero_bytes);
    wal_format_batch_finish(flush->batch.data, &place, &batch);
    enum err err =
        flush->disk->write(flush->file, flush->end,
                           bytes_of(flush->batch.data, length + zero_bytes));
    if (err == ERR_NO_SPACE && zero_bytes > 0) {
        zero_bytes = 0;
        err = flush->disk->write(flush->file, flush->end,
                                 bytes_of(flush->batch.data, length));
    }
    if (err) {
        return fail(flush, err, "writing a batch");
    }
    flush->end += length;
    if (flush->end + zero_bytes > flush->zeros_end) {
        flush->zeros_end = flush->end + zero_bytes;
    }
    err = flush->disk->sync(flush->file);
    return err ? fail(flush, err, "syncing a batch") : ERR_NONE;
}

static enum err begin_segment(struct wal_flush *flush)
{
    struct wal_format_place place = {.disk_id = flush->disk_id,
                                     .segment = flush->segment,
                                     .offset = flush->end};
    struct wal_format_plain plain = {.disk_id = flush->disk_id,
                                     .segment = flush->next_segment};
    struct disk_file *next = NULL;
    uint64_t next_end = 0;
    enum err err =
        wal_segment_create(flush->disk, &plain, &flush->head, &next, &next_end);
    if (err) {
        return fail(flush, err, "making a segment");
    }
    err = wal_segment_seal(flush->disk, flush->file, &place);
    if (!err && flush->zeros_end > flush->end + WAL_FORMAT_BATCH_BYTES) {
        err = flush->disk->truncate(flush->file,
                                    flush->end + WAL_FORMAT_BATCH_BYTES);
    }
    flush->disk->close(&flush->file);
    flush->file = next;
    flush->segment = flush->next_segment;
    flush->end = next_end;
    flush->zeros_end = next_end;
    return err ? fail(flush, err, "sealing a segment") : ERR_NONE;
}

/* Nobody needs them, durably so. What cannot be removed now is tried again
 * with the next job. */
static void remove_segments(struct wal_flush *flush)
{
    const struct disk *disk = flush->disk;
    for (size_t i = 0; i < flush->removal_count; i++) {
        char name[DISK_NAME_BYTES];
        wal_format_name(name, flush->removals[i]);
        enum err err = disk->remove(disk->context, name);
        if (err && err != ERR_NOT_FOUND) {
            return;
        }
        flush->removed_count++;
    }
}

void wal_flush_run(struct wal_flush *flush)
{
    flush->err = ERR_NONE;
    flush->what = NULL;
    flush->removed_count = 0;
    remove_segments(flush);
    if (flush->batch.length > 0 && write_batch(flush)) {
        return;
    }
    if (flush->head.length > 0 && begin_segment(flush)) {
        return;
    }
    const struct disk *disk = flush->disk;
    enum err err = disk->free_bytes(disk->context, &flush->free_bytes);
    if (err) {
        (void)fail(flush, err, "asking for the free space");
    }
}
