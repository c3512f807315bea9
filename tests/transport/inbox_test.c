#include "tests/support/check.h"

#include <stdlib.h>

#include "transport/inbox.h"

#define MESSAGE_BYTES_MAX 100

/* Items being put together as a peer would. */
struct items {
    uint8_t bytes[1024];
    size_t length;
};

#define WHOLE 3
#define BEGINS 1
#define ENDS 2
#define MIDDLE 0

static void add(struct items *items, uint8_t channel, int flags, size_t length)
{
    struct item item = {.channel = channel,
                        .begins = flags & BEGINS,
                        .ends = (flags & ENDS) != 0,
                        .content = bytes_of(NULL, length)};
    CHECK(items->length + ITEM_HEADER_BYTES + length <= sizeof items->bytes);
    item_header_encode(items->bytes + items->length, &item);
    items->length += ITEM_HEADER_BYTES;
    for (size_t i = 0; i < length; i++) {
        items->bytes[items->length++] = (uint8_t)('a' + i % 26);
    }
}

/* The first part of a message of `total` bytes; `length` of them here. */
static void begin(struct items *items,
                  uint8_t channel,
                  uint32_t total,
                  size_t length)
{
    add(items, channel, BEGINS, 4 + length);
    put_u32(items->bytes + items->length - 4 - length, total);
}

struct fixture {
    struct inbox inbox;
    uint32_t delivered_count;
    size_t last_length;
    uint8_t last_channel;
    uint64_t count; /* as inbox_take() says */
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.count = 999};
    inbox_init(&fixture.inbox, MESSAGE_BYTES_MAX, false);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    inbox_clear(&fixture->inbox);
    return 0;
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct fixture *fixture = context;
    fixture->delivered_count++;
    fixture->last_channel = channel;
    fixture->last_length = message.length;
}

/* In memory of its own: reading past the end is then found. */
static enum err take(struct fixture *fixture, const struct items *items)
{
    uint8_t *copy = malloc(items->length + 1);
    assert_non_null(copy);
    memcpy(copy + 1, items->bytes, items->length);
    struct inbox_target target = {.context = fixture, .deliver = deliver};
    enum err err =
        inbox_take(&fixture->inbox, bytes_of(copy + 1, items->length), &target,
                   &fixture->count);
    free(copy);
    return err;
}

static void delivers_whole_messages_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    add(&items, 1, WHOLE, 0);
    add(&items, 63, WHOLE, MESSAGE_BYTES_MAX);
    add(&items, 5, WHOLE, 7);
    CHECK_OK(take(fixture, &items));
    CHECK(fixture->delivered_count == 3 && fixture->count == 3);
    CHECK(fixture->last_channel == 5 && fixture->last_length == 7);
}

static void no_items_are_no_messages(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    CHECK_OK(take(fixture, &items));
    CHECK(fixture->delivered_count == 0 && fixture->count == 0);
}

static void puts_parts_together_over_frames(void **state)
{
    struct fixture *fixture = *state;
    struct items first = {.length = 0};
    begin(&first, 9, 60, 20);
    CHECK_OK(take(fixture, &first));
    CHECK(fixture->delivered_count == 0 && fixture->count == 0);
    CHECK(fixture->inbox.assembly_bytes == 60);
    struct items middle = {.length = 0};
    add(&middle, 9, MIDDLE, 30);
    CHECK_OK(take(fixture, &middle));
    struct items last = {.length = 0};
    add(&last, 9, ENDS, 10);
    add(&last, 2, WHOLE, 1); /* others may follow in the same frame */
    CHECK_OK(take(fixture, &last));
    CHECK(fixture->delivered_count == 2 && fixture->count == 2);
    CHECK(!fixture->inbox.assembly && fixture->inbox.assembly_bytes == 0);
}

/* On a lane that is not kept, either end of a message may be lost. */
static void drops_what_is_left_of_a_lossy_message(void **state)
{
    struct fixture *fixture = *state;
    inbox_clear(&fixture->inbox);
    inbox_init(&fixture->inbox, MESSAGE_BYTES_MAX, true);
    struct items end = {.length = 0};
    add(&end, 3, ENDS, 50);
    CHECK_OK(take(fixture, &end));
    struct items beginning = {.length = 0};
    begin(&beginning, 3, 100, 50);
    CHECK_OK(take(fixture, &beginning));
    CHECK_OK(take(fixture, &beginning));
    CHECK(fixture->delivered_count == 0);
    CHECK_OK(take(fixture, &end));
    CHECK(fixture->delivered_count == 1 && fixture->last_length == 100);
    CHECK_OK(take(fixture, &beginning));
    struct items whole = {.length = 0};
    add(&whole, 3, WHOLE, 7);
    CHECK_OK(take(fixture, &whole));
    CHECK(fixture->delivered_count == 2 && fixture->last_length == 7);
}

static void refuses_a_whole_message_beyond_the_maximum(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    add(&items, 1, WHOLE, MESSAGE_BYTES_MAX + 1);
    CHECK_ERR(take(fixture, &items), ERR_TOO_LARGE);
    CHECK(fixture->delivered_count == 0);
    CHECK(fixture->count == 999); /* touched on success only */
}

static void refuses_parts_of_a_message_beyond_the_maximum(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    begin(&items, 1, MESSAGE_BYTES_MAX + 1, 10);
    CHECK_ERR(take(fixture, &items), ERR_TOO_LARGE);
    items.length = 0;
    begin(&items, 1, UINT32_MAX, 10);
    CHECK_ERR(take(fixture, &items), ERR_TOO_LARGE);
    CHECK(!fixture->inbox.assembly); /* and nothing was allocated */
    items.length = 0;
    begin(&items, 1, MESSAGE_BYTES_MAX, 10);
    CHECK_OK(take(fixture, &items));
}

static void refuses_a_second_beginning(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    begin(&items, 1, 50, 10);
    begin(&items, 1, 50, 10);
    CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
    CHECK(fixture->delivered_count == 0);
}

static void refuses_a_whole_message_between_parts(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    begin(&items, 1, 50, 10);
    CHECK_OK(take(fixture, &items));
    items.length = 0;
    add(&items, 1, WHOLE, 40);
    CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
    CHECK(fixture->delivered_count == 0);
}

static void refuses_a_part_without_a_beginning(void **state)
{
    struct fixture *fixture = *state;
    struct items middle = {.length = 0};
    add(&middle, 1, MIDDLE, 10);
    CHECK_ERR(take(fixture, &middle), ERR_MALFORMED);
    struct items end = {.length = 0};
    add(&end, 1, ENDS, 10);
    CHECK_ERR(take(fixture, &end), ERR_MALFORMED);
    struct items empty = {.length = 0};
    add(&empty, 1, MIDDLE, 0);
    CHECK_ERR(take(fixture, &empty), ERR_MALFORMED);
}

static void refuses_parts_that_are_not_as_long_as_announced(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        size_t length;
        int flags;
    } seconds[] = {
        {30, MIDDLE}, /* all is here, but it does not end */
        {31, ENDS},   /* too long */
        {31, MIDDLE}, /* too long */
        {29, ENDS},   /* ends too soon */
        {0, ENDS},    /* ends too soon */
        {1000, ENDS}, /* far too long */
    };
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        struct items items = {.length = 0};
        begin(&items, 1, 50, 20);
        CHECK_OK(take(fixture, &items));
        items.length = 0;
        add(&items, 1, seconds[i].flags, seconds[i].length);
        CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
        CHECK(fixture->delivered_count == 0);
        inbox_clear(&fixture->inbox);
    }
}

static void refuses_a_beginning_that_holds_all_or_no_length(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint32_t total;
        size_t length;
    } firsts[] = {{20, 20}, {20, 21}, {0, 0}, {0, 1}};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct items items = {.length = 0};
        begin(&items, 1, firsts[i].total, firsts[i].length);
        CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
        CHECK(!fixture->inbox.assembly);
    }
    for (size_t length = 0; length < 4; length++) {
        struct items items = {.length = 0};
        add(&items, 1, BEGINS, length);
        CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
    }
}

static void refuses_a_part_on_another_channel(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    begin(&items, 1, 50, 20);
    add(&items, 2, ENDS, 30);
    CHECK_ERR(take(fixture, &items), ERR_MALFORMED);
    CHECK(fixture->delivered_count == 0);
}

static void refuses_items_cut_anywhere(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    add(&items, 1, WHOLE, 30);
    for (size_t length = 1; length < items.length; length++) {
        struct items cut = items;
        cut.length = length;
        CHECK_ERR(take(fixture, &cut), ERR_MALFORMED);
    }
    CHECK(fixture->delivered_count == 0);
}

static void forgets_a_part_on_request(void **state)
{
    struct fixture *fixture = *state;
    struct items items = {.length = 0};
    begin(&items, 1, 50, 20);
    fixture->inbox.received = 12;
    CHECK_OK(take(fixture, &items));
    inbox_forget_part(&fixture->inbox);
    CHECK(!fixture->inbox.assembly && fixture->inbox.assembly_bytes == 0);
    CHECK(fixture->inbox.received == 12);
    CHECK_OK(take(fixture, &items)); /* begins anew */
    inbox_clear(&fixture->inbox);
    CHECK(!fixture->inbox.assembly && fixture->inbox.received == 0);
    CHECK(fixture->inbox.message_bytes_max == MESSAGE_BYTES_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(delivers_whole_messages_in_order),
        TEST(no_items_are_no_messages),
        TEST(puts_parts_together_over_frames),
        TEST(drops_what_is_left_of_a_lossy_message),
        TEST(refuses_a_whole_message_beyond_the_maximum),
        TEST(refuses_parts_of_a_message_beyond_the_maximum),
        TEST(refuses_a_second_beginning),
        TEST(refuses_a_whole_message_between_parts),
        TEST(refuses_a_part_without_a_beginning),
        TEST(refuses_parts_that_are_not_as_long_as_announced),
        TEST(refuses_a_beginning_that_holds_all_or_no_length),
        TEST(refuses_a_part_on_another_channel),
        TEST(refuses_items_cut_anywhere),
        TEST(forgets_a_part_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
