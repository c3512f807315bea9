#include "store/wal_segment.h"

#include <assert.h>

enum err wal_segment_create(const struct disk *disk,
                            const struct wal_format_plain *plain,
                            struct wal_buffer *head,
                            struct disk_file **out_file,
                            uint64_t *out_end)
{
    assert(head->length >= WAL_SEGMENT_BODY_AT);
    size_t body_bytes = head->length - WAL_SEGMENT_BODY_AT;
    struct wal_format_place place = {.disk_id = plain->disk_id,
                                     .segment = plain->segment,
                                     .offset = WAL_FORMAT_PLAIN_BYTES};
    struct wal_format_batch batch = {.kind = WAL_FORMAT_HEAD,
                                     .body_bytes = (uint32_t)body_bytes};
    size_t length = WAL_FORMAT_PLAIN_BYTES +
                    (size_t)wal_format_batch_bytes(batch.body_bytes);
    enum err err = wal_buffer_reserve(head, length);
    if (err) {
        return err;
    }
    memset(head->data + head->length, 0, length - head->length);
    head->length = length;
    wal_format_plain_encode(head->data, plain);
    wal_format_batch_finish(head->data + WAL_FORMAT_PLAIN_BYTES, &place,
                            &batch);

    char name[DISK_NAME_BYTES];
    wal_format_name(name, plain->segment);
    struct disk_file *file = NULL;
    err = disk->open(disk->context, name, DISK_CREATE, &file);
    if (!err) {
        err = disk->write(file, 0, bytes_of(head->data, head->length));
    }
    if (!err) {
        err = disk->sync(file);
    }
    if (!err) {
        err = disk->sync_folder(disk->context);
    }
    if (err) {
        disk->close(&file);
        return err;
    }
    *out_file = file;
    *out_end = length;
    return ERR_NONE;
}

enum err wal_segment_seal(const struct disk *disk,
                          struct disk_file *file,
                          const struct wal_format_place *place)
{
    uint8_t seal[WAL_FORMAT_BATCH_BYTES];
    struct wal_format_batch batch = {.kind = WAL_FORMAT_SEAL};
    wal_format_batch_finish(seal, place, &batch);
    enum err err =
        disk->write(file, place->offset, bytes_of(seal, sizeof seal));
    return err ? err : disk->sync(file);
}
