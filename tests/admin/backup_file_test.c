#include "admin/backup_file.h"

#include "tests/support/check.h"

#include "base/hash.h"
#include "tests/sim/sim_disk.h"

#include <stdlib.h>
#include <string.h>

#define SHARD 7
#define NAME "shard-0007"
#define PIECES 3
#define HEAD_BYTES 24
#define RECORD_BYTES 16

static const char *const pieces[PIECES] = {"one", "and two", "three"};

struct fixture {
    struct sim_disk *sim;
    const struct disk *disk;
    uint64_t bytes;
    uint64_t digest;
};

static void add_all(struct fixture *fixture, struct backup_writer *writer)
{
    CHECK_OK(backup_writer_begin(writer));
    for (uint32_t i = 0; i < PIECES; i++) {
        CHECK_OK(backup_writer_add(writer, bytes_of_text(pieces[i])));
    }
    CHECK_OK(backup_writer_end(writer));
    fixture->bytes = writer->at;
    fixture->digest = writer->digest;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct backup_writer writer = {0};
    fixture->sim = sim_disk_open(1);
    fixture->disk = sim_disk_table(fixture->sim);
    CHECK_OK(backup_writer_init(&writer, fixture->disk, SHARD));
    add_all(fixture, &writer);
    backup_writer_clear(&writer);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_close(&fixture->sim);
    free(fixture);
    return 0;
}

static struct disk_file *open_file(const struct fixture *fixture)
{
    struct disk_file *file = NULL;
    CHECK_OK(
        fixture->disk->open(fixture->disk->context, NAME, DISK_WRITE, &file));
    return file;
}

static void flip(const struct fixture *fixture, uint64_t at)
{
    uint8_t byte = 0;
    size_t got = 0;
    struct disk_file *file = open_file(fixture);
    CHECK_OK(fixture->disk->read(file, at, &byte, 1, &got));
    assert_int_equal(got, 1);
    byte ^= 0x40;
    CHECK_OK(fixture->disk->write(file, at, bytes_of(&byte, 1)));
    fixture->disk->close(&file);
}

struct result {
    uint32_t good_count;
    uint32_t damage_count;
    uint64_t first_offset; /* of damage */
    const char *what;
};

static struct result read_all(const struct fixture *fixture, uint32_t shard)
{
    struct result result = {0};
    struct backup_reader reader = {0};
    struct bytes piece;
    CHECK_OK(backup_reader_init(&reader, fixture->disk, shard));
    while (!reader.is_over) {
        enum err err = backup_reader_next(&reader, &piece);
        assert_true(!err || err == ERR_MALFORMED || err == ERR_VERSION);
        result.good_count += !err && piece.length > 0;
        if (err && result.damage_count++ == 0) {
            result.first_offset = reader.offset;
            result.what = reader.what;
        }
    }
    backup_reader_clear(&reader);
    return result;
}

static void reads_the_pieces_that_were_written(void **state)
{
    const struct fixture *fixture = *state;
    struct backup_reader reader = {0};
    struct bytes piece;
    CHECK_OK(backup_reader_init(&reader, fixture->disk, SHARD));
    for (uint32_t i = 0; i < PIECES; i++) {
        CHECK_OK(backup_reader_next(&reader, &piece));
        assert_true(bytes_are_equal(piece, bytes_of_text(pieces[i])));
        assert_false(reader.is_over);
    }
    CHECK_OK(backup_reader_next(&reader, &piece));
    assert_true(reader.is_over && piece.length == 0);
    assert_true(reader.digest == fixture->digest);
    assert_true(reader.at == fixture->bytes);
    backup_reader_clear(&reader);
}

static void begins_again_from_the_beginning(void **state)
{
    struct fixture *fixture = *state;
    struct backup_writer writer = {0};
    CHECK_OK(backup_writer_init(&writer, fixture->disk, 8));
    CHECK_OK(backup_writer_begin(&writer));
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_OK(backup_writer_add(&writer, bytes_of_text("of another")));
    }
    add_all(fixture, &writer);
    backup_writer_clear(&writer);
    struct result result = read_all(fixture, 8);
    assert_int_equal(result.good_count, PIECES);
    assert_int_equal(result.damage_count, 0);
}

static void writes_over_no_file(void **state)
{
    struct fixture *fixture = *state;
    struct backup_writer writer = {0};
    CHECK_ERR(backup_writer_init(&writer, fixture->disk, SHARD), ERR_EXISTS);
}

/* Whichever it is: nothing is there that does not count. */
static void finds_every_byte_that_is_damaged(void **state)
{
    const struct fixture *fixture = *state;
    for (uint64_t at = 0; at < fixture->bytes; at++) {
        flip(fixture, at);
        struct result result = read_all(fixture, SHARD);
        assert_true(result.damage_count > 0);
        assert_true(result.first_offset <= at);
        assert_non_null(result.what);
        flip(fixture, at);
    }
    assert_int_equal(read_all(fixture, SHARD).damage_count, 0);
}

static void goes_on_behind_a_piece_that_is_damaged(void **state)
{
    const struct fixture *fixture = *state;
    flip(fixture, HEAD_BYTES + RECORD_BYTES); /* of the first */
    struct result result = read_all(fixture, SHARD);
    assert_int_equal(result.good_count, PIECES - 1);
    assert_true(result.first_offset == HEAD_BYTES);
    assert_string_equal(result.what, "a piece fails its checksum");
}

static void finds_that_a_file_is_cut(void **state)
{
    const struct fixture *fixture = *state;
    for (uint64_t length = fixture->bytes; length-- > 0;) {
        struct disk_file *file = open_file(fixture);
        CHECK_OK(fixture->disk->truncate(file, length));
        fixture->disk->close(&file);
        struct result result = read_all(fixture, SHARD);
        assert_int_equal(result.damage_count, 1);
        assert_string_equal(result.what, "the file ends too early");
    }
}

static void finds_more_behind_the_end(void **state)
{
    const struct fixture *fixture = *state;
    struct disk_file *file = open_file(fixture);
    CHECK_OK(fixture->disk->write(file, fixture->bytes, bytes_of_text("more")));
    fixture->disk->close(&file);
    struct result result = read_all(fixture, SHARD);
    assert_true(result.first_offset == fixture->bytes);
    assert_string_equal(result.what, "there is more behind the end");
}

/* A piece that is left out, or there twice, though each is sound. */
static void finds_pieces_in_another_order(void **state)
{
    const struct fixture *fixture = *state;
    uint8_t bytes[256];
    size_t got = 0;
    uint64_t second = HEAD_BYTES + RECORD_BYTES + strlen(pieces[0]);
    struct disk_file *file = open_file(fixture);
    CHECK_OK(fixture->disk->read(file, second, bytes, sizeof bytes, &got));
    CHECK_OK(fixture->disk->write(file, HEAD_BYTES, bytes_of(bytes, got)));
    CHECK_OK(fixture->disk->truncate(file, HEAD_BYTES + got));
    fixture->disk->close(&file);
    assert_true(read_all(fixture, SHARD).damage_count > 0);
}

static void another_shards_file_is_told_from_its_own(void **state)
{
    const struct fixture *fixture = *state;
    uint8_t bytes[256];
    size_t got = 0;
    struct disk_file *file = open_file(fixture);
    struct disk_file *other = NULL;
    CHECK_OK(fixture->disk->read(file, 0, bytes, sizeof bytes, &got));
    CHECK_OK(fixture->disk->open(fixture->disk->context, "shard-0001",
                                 DISK_CREATE, &other));
    CHECK_OK(fixture->disk->write(other, 0, bytes_of(bytes, got)));
    fixture->disk->close(&file);
    fixture->disk->close(&other);
    assert_string_equal(read_all(fixture, 1).what,
                        "the file is another shard's");
}

static void a_newer_format_is_said_to_be_one(void **state)
{
    const struct fixture *fixture = *state;
    uint8_t head[HEAD_BYTES];
    size_t got = 0;
    struct disk_file *file = open_file(fixture);
    CHECK_OK(fixture->disk->read(file, 0, head, sizeof head, &got));
    put_u32(head + 8, 2);
    put_u64(head + 16, hash_bytes(bytes_of(head, 16), 0));
    CHECK_OK(fixture->disk->write(file, 0, bytes_of(head, sizeof head)));
    fixture->disk->close(&file);
    assert_string_equal(read_all(fixture, SHARD).what,
                        "the file has a newer format");
}

static void a_full_disk_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct backup_writer writer = {0};
    CHECK_OK(backup_writer_init(&writer, fixture->disk, 9));
    CHECK_OK(backup_writer_begin(&writer));
    sim_disk_fill(fixture->sim, 0);
    uint8_t piece[4096] = {0};
    CHECK_ERR(backup_writer_add(&writer, bytes_of(piece, sizeof piece)),
              ERR_NO_SPACE);
    backup_writer_clear(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_the_pieces_that_were_written),
        TEST(begins_again_from_the_beginning),
        TEST(writes_over_no_file),
        TEST(finds_every_byte_that_is_damaged),
        TEST(goes_on_behind_a_piece_that_is_damaged),
        TEST(finds_that_a_file_is_cut),
        TEST(finds_more_behind_the_end),
        TEST(finds_pieces_in_another_order),
        TEST(another_shards_file_is_told_from_its_own),
        TEST(a_newer_format_is_said_to_be_one),
        TEST(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
