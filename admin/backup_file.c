#include "admin/backup_file.h"

#include "base/hash.h"
#include "shard/archive_wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* head:   magic (8), version (4), shard (4), checksum of these (8)
 * record: length (4), number (4), checksum of these, the shard and the bytes
 *         (8), bytes
 * end:    a record of no bytes, its number how many there were, and of the
 *         digest instead of bytes the checksum */
#define MAGIC "TROUPEBK"
#define MAGIC_BYTES 8
#define VERSION 1
#define HEAD_BYTES 24
#define RECORD_BYTES 16

void backup_file_name(char to[static BACKUP_FILE_NAME_BYTES], uint32_t shard)
{
    (void)snprintf(to, BACKUP_FILE_NAME_BYTES, "shard-%04u", shard);
}

/* Of a record: what it is seeded with says which one of which shard it is. */
static uint64_t checksum_of(const uint8_t head[static 8],
                            uint32_t shard,
                            struct bytes bytes)
{
    return hash_bytes(bytes, hash_bytes(bytes_of(head, 8), shard));
}

/* ---- writing ---- */

enum err backup_writer_init(struct backup_writer *out,
                            const struct disk *disk,
                            uint32_t shard)
{
    char name[BACKUP_FILE_NAME_BYTES];
    struct backup_writer writer = {.disk = disk, .shard = shard};
    backup_file_name(name, shard);
    enum err err = disk->open(disk->context, name, DISK_CREATE, &writer.file);
    if (!err) {
        *out = writer;
    }
    return err;
}

void backup_writer_clear(struct backup_writer *writer)
{
    if (writer->file) {
        writer->disk->close(&writer->file);
    }
}

static enum err append(struct backup_writer *writer, struct bytes bytes)
{
    enum err err = writer->disk->write(writer->file, writer->at, bytes);
    if (!err) {
        writer->at += bytes.length;
    }
    return err;
}

enum err backup_writer_begin(struct backup_writer *writer)
{
    uint8_t head[HEAD_BYTES];
    enum err err = writer->disk->truncate(writer->file, 0);
    if (err) {
        return err;
    }
    writer->at = 0;
    writer->piece_count = 0;
    writer->digest = 0;
    memcpy(head, MAGIC, MAGIC_BYTES);
    put_u32(head + 8, VERSION);
    put_u32(head + 12, writer->shard);
    put_u64(head + 16, hash_bytes(bytes_of(head, 16), 0));
    return append(writer, bytes_of(head, sizeof head));
}

static enum err write_record(struct backup_writer *writer,
                             uint32_t length,
                             struct bytes summed)
{
    uint8_t head[RECORD_BYTES];
    put_u32(head, length);
    put_u32(head + 4, writer->piece_count);
    put_u64(head + 8, checksum_of(head, writer->shard, summed));
    return append(writer, bytes_of(head, sizeof head));
}

enum err backup_writer_add(struct backup_writer *writer, struct bytes piece)
{
    assert(piece.length > 0 && piece.length <= ARCHIVE_PIECE_BYTES_MAX);
    enum err err = write_record(writer, (uint32_t)piece.length, piece);
    if (!err) {
        err = append(writer, piece);
    }
    if (!err) {
        writer->piece_count++;
        writer->digest = archive_digest(writer->digest, piece);
    }
    return err;
}

enum err backup_writer_end(struct backup_writer *writer)
{
    uint8_t digest[8];
    put_u64(digest, writer->digest);
    enum err err = write_record(writer, 0, bytes_of(digest, sizeof digest));
    return err ? err : writer->disk->sync(writer->file);
}

/* ---- reading ---- */

enum err backup_reader_init(struct backup_reader *out,
                            const struct disk *disk,
                            uint32_t shard)
{
    char name[BACKUP_FILE_NAME_BYTES];
    struct backup_reader reader = {.disk = disk, .shard = shard};
    backup_file_name(name, shard);
    reader.buffer = malloc(ARCHIVE_PIECE_BYTES_MAX);
    if (!reader.buffer) {
        return ERR_MEMORY;
    }
    enum err err = disk->open(disk->context, name, DISK_READ, &reader.file);
    if (err) {
        free(reader.buffer);
        return err;
    }
    *out = reader;
    return ERR_NONE;
}

void backup_reader_clear(struct backup_reader *reader)
{
    if (reader->file) {
        reader->disk->close(&reader->file);
    }
    free(reader->buffer);
    reader->buffer = NULL;
}

static enum err damaged(struct backup_reader *reader, const char *what)
{
    reader->what = what;
    return ERR_MALFORMED;
}

/* No further one can be found behind it. */
static enum err lost(struct backup_reader *reader, const char *what)
{
    reader->is_over = true;
    return damaged(reader, what);
}

/* Exactly so many bytes. */
static enum err take(struct backup_reader *reader, uint8_t *to, size_t length)
{
    size_t got = 0;
    enum err err =
        reader->disk->read(reader->file, reader->at, to, length, &got);
    if (err) {
        return err;
    }
    reader->at += got;
    return got < length ? lost(reader, "the file ends too early") : ERR_NONE;
}

static enum err read_head(struct backup_reader *reader)
{
    uint8_t head[HEAD_BYTES];
    enum err err = take(reader, head, sizeof head);
    if (err) {
        return err;
    }
    if (memcmp(head, MAGIC, MAGIC_BYTES) != 0 ||
        get_u64(head + 16) != hash_bytes(bytes_of(head, 16), 0)) {
        return lost(reader, "the file does not begin as one of a backup");
    }
    if (get_u32(head + 8) != VERSION) {
        reader->is_over = true;
        reader->what = "the file has a newer format";
        return ERR_VERSION;
    }
    return get_u32(head + 12) == reader->shard
               ? ERR_NONE
               : lost(reader, "the file is another shard's");
}

static enum err read_end(struct backup_reader *reader,
                         const uint8_t head[static RECORD_BYTES])
{
    uint8_t digest[8];
    uint64_t size = 0;
    reader->is_over = true;
    put_u64(digest, reader->digest);
    if (get_u32(head + 4) != reader->piece_count ||
        get_u64(head + 8) !=
            checksum_of(head, reader->shard, bytes_of(digest, sizeof digest))) {
        return damaged(reader, "the end is damaged, or not of these pieces");
    }
    enum err err = reader->disk->size(reader->file, &size);
    if (!err && size > reader->at) {
        reader->offset = reader->at;
        return damaged(reader, "there is more behind the end");
    }
    return err;
}

static enum err read_piece(struct backup_reader *reader,
                           const uint8_t head[static RECORD_BYTES],
                           struct bytes *piece)
{
    uint32_t length = get_u32(head);
    if (length > ARCHIVE_PIECE_BYTES_MAX) {
        return lost(reader, "the head of a piece is damaged");
    }
    enum err err = take(reader, reader->buffer, length);
    if (err) {
        return err;
    }
    struct bytes bytes = bytes_of(reader->buffer, length);
    bool is_next = get_u32(head + 4) == reader->piece_count;
    reader->piece_count++;
    reader->digest = archive_digest(reader->digest, bytes);
    if (!is_next ||
        get_u64(head + 8) != checksum_of(head, reader->shard, bytes)) {
        return damaged(reader, "a piece fails its checksum");
    }
    *piece = bytes;
    return ERR_NONE;
}

enum err backup_reader_next(struct backup_reader *reader, struct bytes *piece)
{
    uint8_t head[RECORD_BYTES];
    enum err err = ERR_NONE;
    *piece = (struct bytes){0};
    reader->offset = reader->at;
    if (reader->at == 0) {
        err = read_head(reader);
        reader->offset = err ? 0 : reader->at;
    }
    if (!err) {
        err = take(reader, head, sizeof head);
    }
    if (err) {
        reader->is_over = true;
        return err;
    }
    return get_u32(head) == 0 ? read_end(reader, head)
                              : read_piece(reader, head, piece);
}
