#include "store/wal_scan.h"

#define WINDOW_BYTES ((size_t)1024 * 1024)

enum err wal_scan_open(struct wal_scan *scan,
                       const struct disk *disk,
                       uint64_t disk_id,
                       uint64_t segment)
{
    wal_scan_close(scan);
    scan->disk = disk;
    scan->place = (struct wal_format_place){.disk_id = disk_id,
                                            .segment = segment,
                                            .offset = WAL_FORMAT_PLAIN_BYTES};
    scan->window.length = 0;
    scan->window_at = 0;
    char name[DISK_NAME_BYTES];
    wal_format_name(name, segment);
    enum err err = disk->open(disk->context, name, DISK_READ, &scan->file);
    return err ? err : disk->size(scan->file, &scan->size);
}

void wal_scan_close(struct wal_scan *scan)
{
    if (scan->file) {
        scan->disk->close(&scan->file);
    }
}

void wal_scan_clear(struct wal_scan *scan)
{
    wal_scan_close(scan);
    wal_buffer_clear(&scan->window);
}

/* Up to `length` bytes at `at`, fewer at the file's end; borrowed. */
static enum err look(struct wal_scan *scan,
                     uint64_t at,
                     size_t length,
                     struct bytes *out)
{
    uint64_t left = at < scan->size ? scan->size - at : 0;
    length = left < length ? (size_t)left : length;
    if (at < scan->window_at ||
        at + length > scan->window_at + scan->window.length) {
        size_t wanted = length > WINDOW_BYTES ? length : WINDOW_BYTES;
        wanted = left < wanted ? (size_t)left : wanted;
        enum err err = wal_buffer_reserve(&scan->window, wanted + 1);
        if (err) {
            return err;
        }
        scan->window_at = at;
        scan->window.length = 0;
        err = scan->disk->read(scan->file, at, scan->window.data, wanted,
                               &scan->window.length);
        if (err) {
            return err;
        }
        length = length < scan->window.length ? length : scan->window.length;
    }
    *out = length > 0
               ? bytes_of(scan->window.data + (at - scan->window_at), length)
               : bytes_of(NULL, 0);
    return ERR_NONE;
}

enum err wal_scan_plain(struct wal_scan *scan, struct wal_format_plain *out)
{
    struct bytes bytes;
    enum err err = look(scan, 0, WAL_FORMAT_PLAIN_BYTES, &bytes);
    return err ? err : wal_format_plain_decode(out, bytes);
}

enum err wal_scan_batch(struct wal_scan *scan,
                        struct wal_format_batch *out,
                        struct bytes *out_body)
{
    struct bytes bytes;
    uint64_t at = scan->place.offset;
    enum err err = look(scan, at, WAL_FORMAT_BATCH_BYTES, &bytes);
    if (err) {
        return err;
    }
    struct wal_format_batch batch;
    if (!wal_format_batch_decode(&batch, &scan->place, bytes) ||
        batch.body_bytes > scan->size - at - WAL_FORMAT_BATCH_BYTES) {
        return ERR_MALFORMED;
    }
    err = look(scan, at + WAL_FORMAT_BATCH_BYTES, batch.body_bytes, &bytes);
    if (err) {
        return err;
    }
    if (!wal_format_body_is_whole(&batch, &scan->place, bytes)) {
        return ERR_MALFORMED;
    }
    *out = batch;
    *out_body = bytes;
    return ERR_NONE;
}

void wal_scan_skip(struct wal_scan *scan, const struct wal_format_batch *batch)
{
    scan->place.offset += wal_format_batch_bytes(batch->body_bytes);
}

enum err wal_scan_ahead(struct wal_scan *scan)
{
    uint64_t start = scan->place.offset;
    while (scan->place.offset < scan->size) {
        struct wal_format_batch batch;
        struct bytes body;
        enum err err = wal_scan_batch(scan, &batch, &body);
        if (err != ERR_MALFORMED) {
            return err;
        }
        scan->place.offset += WAL_FORMAT_ALIGNMENT;
    }
    scan->place.offset = start;
    return ERR_NOT_FOUND;
}

enum err wal_scan_zeros(struct wal_scan *scan, uint64_t *out_at)
{
    uint64_t zeros_at = scan->place.offset;
    for (uint64_t at = zeros_at; at < scan->size;) {
        struct bytes bytes;
        enum err err = look(scan, at, WINDOW_BYTES, &bytes);
        if (err) {
            return err;
        }
        if (bytes.length == 0) {
            return ERR_IO; /* the file has shrunk */
        }
        for (size_t i = bytes.length; i-- > 0;) {
            if (bytes.data[i] != 0) {
                zeros_at = at + i + 1;
                break;
            }
        }
        at += bytes.length;
    }
    *out_at = zeros_at;
    return ERR_NONE;
}
