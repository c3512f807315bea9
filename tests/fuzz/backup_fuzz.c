/*
 * Any bytes as a backup's manifest and as the file of a shard in it: reading
 * stays within them and comes to an end, and a manifest that was read and
 * written again reads the same.
 */

#include "admin/backup_file.h"
#include "admin/backup_manifest.h"
#include "base/hash.h"
#include "shard/archive_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define SUM_BYTES 32

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

/* ---- a disk with one file ---- */

struct disk_file {
    struct bytes bytes;
};

static enum err disk_open(void *context,
                          const char *name,
                          enum disk_mode mode,
                          struct disk_file **out)
{
    (void)name;
    (void)mode;
    *out = context;
    return ERR_NONE;
}

static void disk_close(struct disk_file **file)
{
    *file = NULL;
}

static enum err disk_read(struct disk_file *file,
                          uint64_t at,
                          void *to,
                          size_t length,
                          size_t *out_length)
{
    size_t left = at < file->bytes.length ? file->bytes.length - at : 0;
    *out_length = length < left ? length : left;
    if (*out_length > 0) {
        memcpy(to, file->bytes.data + at, *out_length);
    }
    return ERR_NONE;
}

static enum err disk_size(struct disk_file *file, uint64_t *out)
{
    *out = file->bytes.length;
    return ERR_NONE;
}

static void check_file(struct bytes bytes)
{
    struct disk_file file = {.bytes = bytes};
    struct disk disk = {.context = &file,
                        .open = disk_open,
                        .close = disk_close,
                        .read = disk_read,
                        .size = disk_size};
    struct backup_reader reader = {0};
    struct bytes piece;
    MUST(!backup_reader_init(&reader, &disk, 7));
    for (size_t count = 0; !reader.is_over; count++) {
        uint64_t at = reader.at;
        enum err err = backup_reader_next(&reader, &piece);
        MUST(!err || reader.what);
        MUST(piece.length <= ARCHIVE_PIECE_BYTES_MAX);
        MUST(reader.is_over || reader.at > at);
        MUST(reader.at <= bytes.length && reader.offset <= bytes.length);
        MUST(count <= bytes.length);
    }
    backup_reader_clear(&reader);
}

/* With the checksum that it needs, or few would ever be read. */
static void check_manifest(struct bytes line)
{
    struct err_detail why;
    struct backup_manifest manifest = {0};
    char *text = malloc(line.length + SUM_BYTES);
    MUST(text);
    if (line.length > 0) {
        memcpy(text, line.data, line.length);
    }
    int sum = snprintf(text + line.length, SUM_BYTES, "\nxxh3 %016llx\n",
                       (unsigned long long)hash_bytes(line, 0));
    struct bytes bytes = bytes_of(text, line.length + (size_t)sum);
    if (!backup_manifest_decode(&manifest, bytes, &why)) {
        char *again_text = NULL;
        size_t again_length = 0;
        struct backup_manifest again = {0};
        MUST(!backup_manifest_encode(&manifest, &again_text, &again_length));
        MUST(!backup_manifest_decode(&again, bytes_of(again_text, again_length),
                                     &why));
        MUST(again.count == manifest.count &&
             again.shard_count == manifest.shard_count);
        MUST(memcmp(again.shards, manifest.shards,
                    again.count * sizeof *again.shards) == 0);
        backup_manifest_clear(&again);
        free(again_text);
    }
    backup_manifest_clear(&manifest);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct err_detail why;
    struct backup_manifest manifest = {0};
    check_file(bytes_of(data, length));
    check_manifest(bytes_of(data, length));
    if (!backup_manifest_decode(&manifest, bytes_of(data, length), &why)) {
        backup_manifest_clear(&manifest);
    }
    return 0;
}
