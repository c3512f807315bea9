#include "cluster/members.h"

#include "tests/support/check.h"

#include "base/pack.h"
#include "base/scope.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct member member_of(uint32_t number, const char *name)
{
    struct member member = {.number = number, .weight = 100, .roles = 3};
    (void)snprintf(member.name, sizeof member.name, "%s", name);
    (void)snprintf(member.door, sizeof member.door, "tcp://h:%u", number);
    return member;
}

static void add(struct members *members, uint32_t number, const char *name)
{
    struct member member = member_of(number, name);
    CHECK_OK(members_add(members, &member));
}

static bool are_equal(const struct members *left, const struct members *right)
{
    bool is_equal = left->count == right->count;
    for (uint32_t i = 0; is_equal && i < left->count; i++) {
        const struct member *a = &left->list[i];
        const struct member *b = &right->list[i];
        is_equal = a->number == b->number && a->version == b->version &&
                   strcmp(a->name, b->name) == 0 &&
                   strcmp(a->door, b->door) == 0 &&
                   strcmp(a->bus, b->bus) == 0 &&
                   strcmp(a->zone, b->zone) == 0 && a->weight == b->weight &&
                   a->roles == b->roles && a->disk_id == b->disk_id &&
                   a->state == b->state && a->since_ms == b->since_ms;
    }
    return is_equal;
}

/* ---- the table ---- */

static void is_ordered_by_number(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    add(&members, 7, "g");
    add(&members, 2, "b");
    add(&members, 511, "z");
    add(&members, 5, "e");
    CHECK(members.count == 4);
    for (uint32_t i = 1; i < members.count; i++) {
        CHECK(members.list[i - 1].number < members.list[i].number);
    }
    CHECK(strcmp(members_find(&members, 5)->name, "e") == 0);
    CHECK(members_find_name(&members, "z")->number == 511);
    CHECK(!members_find(&members, 6) && !members_find_name(&members, "f"));
    members_remove(&members, 5);
    members_remove(&members, 6);
    CHECK(members.count == 3 && !members_find(&members, 5));
    CHECK(members_find(&members, 2) && members_find(&members, 7));
}

static void numbers_and_names_are_taken_once(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    struct member same_number = member_of(1, "other");
    struct member same_name = member_of(2, "a");
    struct member numberless = member_of(MEMBER_NONE, "b");
    add(&members, 1, "a");
    CHECK_ERR(members_add(&members, &same_number), ERR_EXISTS);
    CHECK_ERR(members_add(&members, &same_name), ERR_EXISTS);
    CHECK_ERR(members_add(&members, &numberless), ERR_FULL);
    CHECK(members.count == 1);
}

static void the_smallest_free_number_is_next(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    char name[16];
    CHECK(members_free_number(&members) == 0);
    for (uint32_t i = 0; i < MEMBER_NUMBERS_MAX; i++) {
        CHECK(members_free_number(&members) == i);
        (void)snprintf(name, sizeof name, "n%u", i);
        add(&members, i, name);
    }
    CHECK(members_free_number(&members) == MEMBER_NONE);
    members_remove(&members, 300);
    members_remove(&members, 17);
    CHECK(members_free_number(&members) == 17);
}

static void a_copy_stands_alone(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    scoped(members_clear) struct members copy = {0};
    CHECK_OK(members_copy(&copy, &members));
    CHECK(copy.count == 0 && !copy.list);
    add(&members, 1, "a");
    add(&members, 2, "b");
    CHECK_OK(members_copy(&copy, &members));
    CHECK(are_equal(&copy, &members));
    members.list[0].weight++;
    CHECK(!are_equal(&copy, &members));
}

static void states_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < MEMBER_STATE_COUNT; i++) {
        const char *name = member_state_name((enum member_state)i);
        CHECK(member_state_find(name) == (enum member_state)i);
    }
    CHECK(member_state_find("draining") == MEMBER_DRAINING);
    CHECK(member_state_find("") == MEMBER_STATE_COUNT);
    CHECK(member_state_find("gone") == MEMBER_STATE_COUNT);
}

/* ---- what a member may be ---- */

static void check_refused(const struct member *member, const char *field)
{
    struct err_detail why = {0};
    CHECK_ERR(member_validate(member, &why), ERR_INVALID);
    CHECK(strstr(why.text, field));
    uint8_t buffer[MEMBER_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    member_encode(member, &writer);
    struct reader reader = reader_of(writer_bytes(&writer));
    struct member read = {.number = 77};
    CHECK_ERR(member_decode(&read, &reader), ERR_MALFORMED);
    CHECK(read.number == 77);
}

static void what_is_no_member_is_refused(void **state)
{
    (void)state;
    struct member good = member_of(3, "c");
    CHECK_OK(member_validate(&good, NULL));
    struct member bad = good;
    bad.number = MEMBER_NUMBERS_MAX;
    check_refused(&bad, "number");
    bad = member_of(3, "Upper");
    check_refused(&bad, "name");
    bad = member_of(3, "");
    check_refused(&bad, "name");
    bad = good;
    bad.door[0] = '\0';
    check_refused(&bad, "door");
    bad = good;
    bad.door[4] = ' ';
    check_refused(&bad, "door");
    bad = good;
    bad.bus[0] = '\x1b';
    check_refused(&bad, "bus");
    bad = good;
    bad.zone[0] = '/';
    check_refused(&bad, "zone");
    bad = good;
    bad.state = MEMBER_STATE_COUNT;
    check_refused(&bad, "state");
}

/* ---- bytes ---- */

struct encoded {
    uint8_t *buffer;
    struct bytes bytes;
};

static struct encoded encode(const struct members *members)
{
    size_t capacity = members_bytes_max(members);
    struct encoded encoded = {.buffer = malloc(capacity)};
    CHECK(encoded.buffer);
    struct writer writer = writer_of(encoded.buffer, capacity);
    members_encode(members, &writer);
    CHECK(!writer.failed);
    encoded.bytes = writer_bytes(&writer);
    return encoded;
}

static enum err decode(struct members *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    enum err err = members_decode(out, &reader);
    CHECK(err || reader_left(&reader) == 0);
    return err;
}

static void fill(char *to, size_t capacity, char with)
{
    memset(to, with, capacity - 1);
    to[capacity - 1] = '\0';
}

static void the_largest_table_is_the_same_again(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    scoped(members_clear) struct members again = {0};
    for (uint32_t i = 0; i < MEMBER_NUMBERS_MAX; i++) {
        struct member member = {.number = i,
                                .version = UINT64_MAX,
                                .weight = UINT32_MAX,
                                .roles = UINT32_MAX,
                                .disk_id = UINT64_MAX,
                                .state = MEMBER_DOWN,
                                .since_ms = INT64_MIN};
        fill(member.name, sizeof member.name, 'a');
        (void)snprintf(member.name + 50, 8, "%07u", i);
        member.name[57] = 'a';
        fill(member.door, sizeof member.door, 'd');
        fill(member.bus, sizeof member.bus, 'b');
        fill(member.zone, sizeof member.zone, 'z');
        CHECK_OK(members_add(&members, &member));
    }
    struct encoded encoded = encode(&members);
    CHECK_OK(decode(&again, encoded.bytes));
    CHECK(are_equal(&members, &again));
    free(encoded.buffer);
}

static void random_tables_are_the_same_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct seeded seeded = {.state = seed};
        scoped(members_clear) struct members members = {0};
        scoped(members_clear) struct members again = {0};
        char name[16];
        for (uint64_t left = seeded_below(&seeded, 20); left > 0; left--) {
            (void)snprintf(name, sizeof name, "n%u",
                           (unsigned)seeded_below(&seeded, 100));
            struct member member =
                member_of((uint32_t)seeded_below(&seeded, 512), name);
            member.version = seeded_u64(&seeded) >> seeded_below(&seeded, 64);
            member.disk_id = seeded_u64(&seeded) >> seeded_below(&seeded, 64);
            member.since_ms = (int64_t)seeded_u64(&seeded);
            member.state = (enum member_state)seeded_below(&seeded, 4);
            enum err err = members_add(&members, &member);
            CHECK(!err || err == ERR_EXISTS);
        }
        struct encoded encoded = encode(&members);
        CHECK_OK(decode(&again, encoded.bytes));
        CHECK(are_equal(&members, &again));
        free(encoded.buffer);
    }
}

static void whatever_is_cut_off_is_malformed(void **state)
{
    (void)state;
    scoped(members_clear) struct members members = {0};
    add(&members, 1, "a");
    add(&members, 300, "b");
    struct encoded encoded = encode(&members);
    for (size_t length = 0; length < encoded.bytes.length; length++) {
        struct members none = {0};
        CHECK_ERR(decode(&none, bytes_of(encoded.buffer, length)),
                  ERR_MALFORMED);
        CHECK(!none.list && none.count == 0);
    }
    free(encoded.buffer);
}

/* [format, [member ...]] of these, as they are. */
static enum err decode_these(uint64_t format,
                             const struct member *list,
                             uint32_t count)
{
    uint8_t buffer[4096];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 2);
    pack_uint(&writer, format);
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        member_encode(&list[i], &writer);
    }
    CHECK(!writer.failed);
    scoped(members_clear) struct members members = {0};
    return decode(&members, writer_bytes(&writer));
}

static void tables_that_are_none_are_malformed(void **state)
{
    (void)state;
    const struct member falling[] = {member_of(2, "b"), member_of(1, "a")};
    const struct member twice[] = {member_of(1, "a"), member_of(1, "b")};
    const struct member named[] = {member_of(1, "a"), member_of(2, "a")};
    const struct member none[] = {member_of(MEMBER_NONE, "a")};
    CHECK_OK(decode_these(1, falling, 1));
    CHECK_ERR(decode_these(1, falling, 2), ERR_MALFORMED);
    CHECK_ERR(decode_these(1, twice, 2), ERR_MALFORMED);
    CHECK_ERR(decode_these(1, named, 2), ERR_MALFORMED);
    CHECK_ERR(decode_these(1, none, 1), ERR_MALFORMED);
    CHECK_ERR(decode_these(2, falling, 1), ERR_VERSION);
}

static void what_a_newer_release_added_is_skipped(void **state)
{
    (void)state;
    uint8_t buffer[1024];
    struct member member = member_of(4, "d");
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 3);
    pack_uint(&writer, 1);
    pack_array(&writer, 1);
    uint8_t *head = writer.next;
    member_encode(&member, &writer);
    *head += 2; /* of a short array: its count */
    pack_text(&writer, "more");
    pack_map(&writer, 1);
    pack_nil(&writer);
    pack_nil(&writer);
    pack_array(&writer, 0);
    scoped(members_clear) struct members members = {0};
    CHECK_OK(decode(&members, writer_bytes(&writer)));
    CHECK(members.count == 1 && strcmp(members.list[0].name, "d") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ordered_by_number),
        cmocka_unit_test(numbers_and_names_are_taken_once),
        cmocka_unit_test(the_smallest_free_number_is_next),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(what_is_no_member_is_refused),
        cmocka_unit_test(the_largest_table_is_the_same_again),
        cmocka_unit_test(random_tables_are_the_same_again),
        cmocka_unit_test(whatever_is_cut_off_is_malformed),
        cmocka_unit_test(tables_that_are_none_are_malformed),
        cmocka_unit_test(what_a_newer_release_added_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
