/*
 * Any bytes as the segments of a log: opening says yes or why not, never
 * lets go of what it has found, and the log can be written to afterwards.
 *
 * Input: how many segments (u8), and for each: flags (u8; 1: as it is, 2: not
 * there), length (u16) and content. Content that is not taken as it is has
 * pieces: kind (u8), record count (u8), length (u16), bytes. They become
 * batches with good checksums; kind 254: raw bytes, 255: zeros.
 */

#include <stdlib.h>

#include "base/hash.h"
#include "store/wal_format.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/test_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define SEGMENT_COUNT_MAX 4
#define SEGMENT_BYTES_MAX ((size_t)1 << 18)

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static struct bytes take(struct reader *in, size_t length)
{
    return read_bytes(in, length < reader_left(in) ? length : reader_left(in));
}

static void add_batch(struct writer *out,
                      uint64_t segment,
                      uint8_t kind,
                      uint8_t record_count,
                      struct bytes body)
{
    static uint8_t batch[WAL_FORMAT_BATCH_BYTES + UINT16_MAX + 8];
    struct wal_format_place place = {.disk_id = TEST_LOG_DISK_ID,
                                     .segment = segment,
                                     .offset = writer_bytes(out).length};
    struct wal_format_batch about = {.kind = kind,
                                     .record_count = record_count,
                                     .body_bytes = (uint32_t)body.length};
    memset(batch, 0, (size_t)wal_format_batch_bytes(body.length));
    if (body.length > 0) {
        memcpy(batch + WAL_FORMAT_BATCH_BYTES, body.data, body.length);
    }
    if (place.offset % WAL_FORMAT_ALIGNMENT == 0) {
        wal_format_batch_finish(batch, &place, &about);
    }
    write_bytes(out, batch, (size_t)wal_format_batch_bytes(body.length));
}

static void build(struct writer *out, uint64_t segment, struct reader *in)
{
    uint8_t plain[WAL_FORMAT_PLAIN_BYTES];
    struct wal_format_plain about = {.disk_id = TEST_LOG_DISK_ID,
                                     .segment = segment};
    wal_format_plain_encode(plain, &about);
    write_bytes(out, plain, sizeof plain);
    while (reader_left(in) >= 4) {
        uint8_t kind = read_u8(in);
        uint8_t record_count = read_u8(in);
        uint16_t length = read_u16(in);
        if (kind == 255) {
            for (; length > 0; length--) {
                write_u8(out, 0);
            }
            continue;
        }
        struct bytes body = take(in, length);
        if (kind == 254) {
            write_bytes(out, body.data, body.length);
        } else {
            add_batch(out, segment, kind, record_count, body);
        }
    }
}

static void put_segment(const struct disk *disk,
                        uint64_t segment,
                        struct bytes content)
{
    char name[DISK_NAME_BYTES];
    struct disk_file *file = NULL;
    wal_format_name(name, segment);
    MUST(!disk->open(disk->context, name, DISK_CREATE, &file));
    MUST(!disk->write(file, 0, content));
    MUST(!disk->sync(file));
    disk->close(&file);
    MUST(!disk->sync_folder(disk->context));
}

static void put_segments(const struct disk *disk, struct reader *in)
{
    static uint8_t buffer[SEGMENT_BYTES_MAX];
    uint8_t count = read_u8(in) % (SEGMENT_COUNT_MAX + 1);
    for (uint64_t segment = 1; segment <= count; segment++) {
        uint8_t flags = read_u8(in);
        struct bytes content = take(in, read_u16(in));
        struct writer writer = writer_of(buffer, sizeof buffer);
        struct reader pieces = reader_of(content);
        if (flags & 2) {
            continue;
        }
        if (!(flags & 1)) {
            build(&writer, segment, &pieces);
            content = writer_bytes(&writer);
        }
        put_segment(disk, segment, content);
    }
}

/* What a log holds. */
struct seen {
    uint64_t digest; /* of groups and entries, in any order */
    uint64_t lost_count;
    uint64_t group_count;
    struct wal *log;
};

static uint64_t digest_of(const uint64_t *fields, size_t bytes)
{
    return hash_bytes(bytes_of(fields, bytes), 1);
}

static void see_group(void *context, const struct wal_group *group)
{
    struct seen *seen = context;
    uint64_t fields[] = {group->group,          group->is_lost,
                         group->term,           group->vote,
                         group->snapshot_index, group->snapshot_term,
                         group->last_index};
    MUST(group->last_index >= group->snapshot_index);
    MUST(group->group != WAL_GROUP_UNLISTED);
    seen->digest +=
        digest_of(fields, sizeof fields) ^ hash_bytes(group->configuration, 2);
    seen->lost_count += group->is_lost;
    seen->group_count++;
}

static void see_entry(void *context, const struct wal_record *entry)
{
    struct seen *seen = context;
    struct wal_group group;
    uint64_t fields[] = {entry->group, entry->index, entry->term, entry->type};
    MUST(wal_find(seen->log, entry->group, &group));
    MUST(entry->index > group.snapshot_index);
    MUST(entry->index <= group.last_index);
    seen->digest +=
        digest_of(fields, sizeof fields) ^ hash_bytes(entry->bytes, 3);
}

static struct seen look(struct test_log *test)
{
    struct seen seen = {.log = test->log};
    MUST(!wal_replay(test->log, see_entry, &seen, &test->report));
    wal_groups(test->log, see_group, &seen);
    MUST(seen.lost_count == test->report.lost_group_count);
    return seen;
}

/* One group more or less; UINT32_MAX: none. */
static void append(struct test_log *test, uint32_t group)
{
    struct wal_group found = {0};
    (void)wal_find(test->log, group, &found);
    struct wal_record record = {.kind = WAL_ENTRY,
                                .group = group,
                                .index = found.last_index + 1,
                                .term = 9,
                                .bytes = bytes_of_text("more")};
    (void)wal_append(test->log, &record);
    test_log_settle(test);
    MUST(!test->failed);
    MUST(test->durable == 1);
}

static void try_log(struct test_log *test)
{
    enum err err = test_log_open(test);
    MUST(!err || err == ERR_VERSION || err == ERR_OTHER_CLUSTER);
    if (err) {
        MUST(test->why.text[0] != '\0');
        return;
    }
    struct seen first = look(test);
    bool found_loss = first.lost_count > 0;
    test_log_close(test);
    MUST(!test_log_open(test)); /* again, the same */
    struct seen second = look(test);
    MUST(first.group_count == second.group_count);
    MUST(found_loss || first.digest == second.digest);
    MUST(first.lost_count == second.lost_count);
    append(test, 77);
    test_log_close(test);
    MUST(!test_log_open(test));
    struct wal_group group;
    MUST(wal_find(test->log, 77, &group));
    struct seen third = look(test);
    MUST(third.lost_count == second.lost_count);
    MUST(test->report.torn_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct test_log test;
    struct reader in = reader_of(bytes_of(data, length));
    struct sim_disk *disk = sim_disk_open(1);
    MUST(disk);
    put_segments(sim_disk_table(disk), &in);
    test_log_init(&test, sim_disk_table(disk));
    try_log(&test);
    test_log_clear(&test);
    sim_disk_close(&disk);
    return 0;
}
