#include "shard/shard_map.h"

#include "base/pack.h"
#include "tests/support/check.h"

#include <stdlib.h>

struct fixture {
    struct shard_map map;
    uint8_t buffer[8192];
    struct writer writer;
};

static struct shard_place place_of(uint32_t generation, uint32_t first)
{
    return (struct shard_place){.generation = generation,
                                .replica_count = 3,
                                .replicas = {first, first + 1, first + 2}};
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture || shard_map_init(&fixture->map, 16)) {
        return -1;
    }
    fixture->map.version = 7;
    for (uint32_t i = 0; i < 16; i++) {
        fixture->map.places[i] = place_of(i * i * i * i, i * 30);
    }
    fixture->map.places[4] = (struct shard_place){0};
    fixture->writer = writer_of(fixture->buffer, sizeof fixture->buffer);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    shard_map_clear(&fixture->map);
    free(fixture);
    return 0;
}

/* Read what was written as a map, which must be the whole of it. */
static enum err read_map(struct fixture *fixture, struct shard_map *out)
{
    CHECK(!fixture->writer.failed);
    struct reader reader = reader_of(writer_bytes(&fixture->writer));
    enum err err = shard_map_decode(out, &reader);
    CHECK(err || reader_left(&reader) == 0);
    return err;
}

static void refuses(struct fixture *fixture, enum err expected)
{
    struct shard_map map = {0};
    CHECK_ERR(read_map(fixture, &map), expected);
    CHECK(map.places == NULL);
    fixture->writer = writer_of(fixture->buffer, sizeof fixture->buffer);
}

static void begin_map(struct fixture *fixture, uint32_t shard_count)
{
    pack_array(&fixture->writer, 3);
    pack_uint(&fixture->writer, 1);
    pack_uint(&fixture->writer, 7);
    pack_array(&fixture->writer, shard_count);
}

/* One shard's place with `count` replicas, the last of which is `last`. */
static void write_place(struct writer *writer, uint32_t count, uint64_t last)
{
    pack_array(writer, 2);
    pack_uint(writer, 0);
    pack_array(writer, count);
    for (uint32_t i = 0; i + 1 < count; i++) {
        pack_uint(writer, i);
    }
    if (count > 0) {
        pack_uint(writer, last);
    }
}

static void a_shard_is_the_group_after_it(void **state)
{
    (void)state;
    CHECK(shard_group_id(0) == 1);
    CHECK(shard_of_group(shard_group_id(SHARD_COUNT_MAX - 1)) ==
          SHARD_COUNT_MAX - 1);
}

static void a_copy_is_equal_until_it_is_changed(void **state)
{
    struct fixture *fixture = *state;
    struct shard_map copy = {0};
    CHECK_OK(shard_map_copy(&copy, &fixture->map));
    CHECK(shard_map_is_equal(&copy, &fixture->map));
    uint64_t digest = shard_map_digest(&copy);
    CHECK(digest == shard_map_digest(&fixture->map));
    copy.places[15].generation++;
    CHECK(!shard_map_is_equal(&copy, &fixture->map));
    CHECK(shard_map_digest(&copy) != digest);
    copy.places[15].generation--;
    copy.places[3].replicas[2] = 500;
    CHECK(!shard_map_is_equal(&copy, &fixture->map));
    CHECK(shard_map_digest(&copy) != digest);
    copy.places[3] = fixture->map.places[3];
    copy.version++;
    CHECK(!shard_map_is_equal(&copy, &fixture->map));
    CHECK(shard_map_digest(&copy) != digest);
    shard_map_clear(&copy);
    CHECK(copy.places == NULL && copy.shard_count == 0);
}

static void the_same_nodes_may_have_another_owner(void **state)
{
    (void)state;
    struct shard_place one = place_of(0, 5);
    struct shard_place other = one;
    other.replicas[0] = 7;
    other.replicas[2] = 5;
    CHECK(shard_place_has_same_nodes(&one, &other));
    CHECK(!shard_place_is_equal(&one, &other));
    other.replicas[1] = 8;
    CHECK(!shard_place_has_same_nodes(&one, &other));
    other = one;
    other.replica_count = 2;
    CHECK(!shard_place_has_same_nodes(&one, &other));
    CHECK(!shard_place_has(&other, 7) && shard_place_has(&one, 7));
}

static void a_map_is_the_same_again(void **state)
{
    struct fixture *fixture = *state;
    struct shard_map again = {0};
    CHECK(shard_map_bytes_max(&fixture->map) <= sizeof fixture->buffer);
    shard_map_encode(&fixture->map, &fixture->writer);
    CHECK_OK(read_map(fixture, &again));
    CHECK(shard_map_is_equal(&again, &fixture->map));
    shard_map_clear(&again);
}

static void an_empty_map_is_the_same_again(void **state)
{
    struct fixture *fixture = *state;
    struct shard_map again = {0};
    shard_map_encode(&(struct shard_map){.version = 3}, &fixture->writer);
    CHECK_OK(read_map(fixture, &again));
    CHECK(again.version == 3 && again.shard_count == 0 && !again.places);
}

static void the_largest_map_fits_its_bound(void **state)
{
    (void)state;
    struct shard_map map = {0};
    CHECK_OK(shard_map_init(&map, SHARD_COUNT_MAX));
    map.version = UINT64_MAX;
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        map.places[i] = (struct shard_place){
            .generation = UINT32_MAX,
            .replica_count = SHARD_REPLICAS_MAX,
            .replicas = {511, 510, 509, 508, 507},
        };
    }
    size_t bytes_max = shard_map_bytes_max(&map);
    uint8_t *buffer = malloc(bytes_max);
    CHECK(buffer);
    struct writer writer = writer_of(buffer, bytes_max);
    shard_map_encode(&map, &writer);
    CHECK(!writer.failed);
    free(buffer);
    shard_map_clear(&map);
}

static void fields_of_a_newer_release_are_skipped(void **state)
{
    struct fixture *fixture = *state;
    struct writer *writer = &fixture->writer;
    struct shard_map map = {0};
    pack_array(writer, 5);
    pack_uint(writer, 1);
    pack_uint(writer, 9);
    pack_array(writer, 1);
    pack_array(writer, 3);
    pack_uint(writer, 6);
    pack_array(writer, 1);
    pack_uint(writer, 2);
    pack_text(writer, "of a place");
    pack_map(writer, 1);
    pack_text(writer, "of a");
    pack_text(writer, "map");
    pack_nil(writer);
    CHECK_OK(read_map(fixture, &map));
    CHECK(map.version == 9 && map.shard_count == 1);
    CHECK(map.places[0].generation == 6 && map.places[0].replicas[0] == 2);
    shard_map_clear(&map);
}

static void another_format_is_refused(void **state)
{
    struct fixture *fixture = *state;
    pack_array(&fixture->writer, 1);
    pack_uint(&fixture->writer, 2);
    refuses(fixture, ERR_VERSION);
}

static void what_is_no_map_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct writer *writer = &fixture->writer;
    pack_array(writer, 2);
    pack_uint(writer, 1);
    pack_uint(writer, 7);
    refuses(fixture, ERR_MALFORMED);
    begin_map(fixture, SHARD_COUNT_MAX + 1);
    for (int i = 0; i <= SHARD_COUNT_MAX; i++) {
        pack_nil(writer);
    }
    refuses(fixture, ERR_MALFORMED);
    begin_map(fixture, 1);
    write_place(writer, SHARD_REPLICAS_MAX + 1, 9);
    refuses(fixture, ERR_MALFORMED);
    begin_map(fixture, 1);
    write_place(writer, 2, SHARD_NODES_MAX);
    refuses(fixture, ERR_MALFORMED);
    begin_map(fixture, 1);
    write_place(writer, 3, 1);
    refuses(fixture, ERR_MALFORMED);
    begin_map(fixture, 1);
    pack_array(writer, 2);
    pack_uint(writer, UINT64_C(1) << 32);
    pack_array(writer, 0);
    refuses(fixture, ERR_MALFORMED);
}

static void a_map_that_is_cut_anywhere_is_refused(void **state)
{
    struct fixture *fixture = *state;
    shard_map_encode(&fixture->map, &fixture->writer);
    struct bytes whole = writer_bytes(&fixture->writer);
    for (size_t length = 0; length < whole.length; length++) {
        struct shard_map map = {0};
        struct reader reader = reader_of(bytes_of(whole.data, length));
        CHECK_ERR(shard_map_decode(&map, &reader), ERR_MALFORMED);
        CHECK(map.places == NULL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shard_is_the_group_after_it),
        TEST(a_copy_is_equal_until_it_is_changed),
        TEST(the_same_nodes_may_have_another_owner),
        TEST(a_map_is_the_same_again),
        TEST(an_empty_map_is_the_same_again),
        TEST(the_largest_map_fits_its_bound),
        TEST(fields_of_a_newer_release_are_skipped),
        TEST(another_format_is_refused),
        TEST(what_is_no_map_is_refused),
        TEST(a_map_that_is_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
