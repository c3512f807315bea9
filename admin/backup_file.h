/*
 * The file of one shard in a backup: its pieces, each with a checksum, and an
 * end that says how many there are (docs/formats.md, "Backups").
 *
 * One thread.
 */

#ifndef ADMIN_BACKUP_FILE_H
#define ADMIN_BACKUP_FILE_H

#include "store/disk.h"

#define BACKUP_FILE_NAME_BYTES 16

/* "shard-0007" */
void backup_file_name(char to[static BACKUP_FILE_NAME_BYTES], uint32_t shard);

/* One that is being written. */
struct backup_writer {
    const struct disk *disk;
    struct disk_file *file;
    uint32_t shard;
    uint64_t at; /* bytes written */
    uint32_t piece_count;
    uint64_t digest; /* of the pieces: archive_digest() */
};

/* A new file. ERR_EXISTS, and what disk.h says */
FALLIBLE backup_writer_init(struct backup_writer *out,
                            const struct disk *disk,
                            uint32_t shard);
void backup_writer_clear(struct backup_writer *writer);

/* Begin, also once more from the beginning. */
FALLIBLE backup_writer_begin(struct backup_writer *writer);

/* At least one byte, ARCHIVE_PIECE_BYTES_MAX at most. */
FALLIBLE backup_writer_add(struct backup_writer *writer, struct bytes piece);

/* All is there, and durable but for the file's name. */
FALLIBLE backup_writer_end(struct backup_writer *writer);

/* One that is being read. */
struct backup_reader {
    const struct disk *disk;
    struct disk_file *file;
    uint32_t shard;
    uint8_t *buffer;
    uint64_t at;
    uint32_t piece_count;
    uint64_t digest;
    bool is_over;     /* there are no more pieces, or none can be found */
    uint64_t offset;  /* of what was read last */
    const char *what; /* is wrong with it; static */
};

/* ERR_NOT_FOUND, ERR_MEMORY, and what disk.h says. */
FALLIBLE backup_reader_init(struct backup_reader *out,
                            const struct disk *disk,
                            uint32_t shard);
void backup_reader_clear(struct backup_reader *reader);

/*
 * The next piece, valid until the next call; none, and `is_over`, behind the
 * last one.
 *
 * ERR_MALFORMED   it is damaged: `offset` and `what` say where and what. Unless
 *                 `is_over`, the one behind it can be asked for
 * ERR_VERSION     of a newer format
 * ERR_IO
 */
FALLIBLE backup_reader_next(struct backup_reader *reader, struct bytes *piece);

#endif
