#include "tests/support/check.h"

#include <sched.h>
#include <stdlib.h>

#include "base/posix/posix_thread.h"
#include "base/ring.h"
#include "tests/support/seeded.h"

#define CAPACITY 8
#define ITEM_COUNT 200000

static void gives_back_in_order(void **state)
{
    (void)state;
    struct ring *ring = NULL;
    int items[3] = {0};
    CHECK_OK(ring_open(&ring, CAPACITY));
    CHECK(ring_capacity(ring) == CAPACITY);
    CHECK(ring_is_empty(ring));
    CHECK(ring_pop(ring) == NULL);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(ring_push(ring, &items[i]));
    }
    CHECK(ring_count(ring) == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(ring_pop(ring) == &items[i]);
    }
    CHECK(ring_pop(ring) == NULL);
    ring_close(&ring);
    CHECK(ring == NULL);
    ring_close(&ring);
}

static void is_full_at_its_capacity_and_not_before(void **state)
{
    (void)state;
    static const size_t capacities[] = {1, 2, 8};
    int item = 0;
    for (size_t c = 0; c < 3; c++) {
        struct ring *ring = NULL;
        CHECK_OK(ring_open(&ring, capacities[c]));
        for (int lap = 0; lap < 5; lap++) {
            for (size_t i = 0; i < capacities[c]; i++) {
                CHECK_OK(ring_push(ring, &item));
            }
            CHECK_ERR(ring_push(ring, &item), ERR_FULL);
            CHECK(ring_count(ring) == capacities[c]);
            for (size_t i = 0; i < capacities[c]; i++) {
                CHECK(ring_pop(ring) == &item);
            }
            CHECK(ring_is_empty(ring));
        }
        ring_close(&ring);
    }
}

static void a_batch_takes_what_fits(void **state)
{
    (void)state;
    struct ring *ring = NULL;
    int values[12];
    void *items[12];
    void *popped[12] = {0};
    for (size_t i = 0; i < 12; i++) {
        items[i] = &values[i];
    }
    CHECK_OK(ring_open(&ring, CAPACITY));
    CHECK(ring_push_many(ring, items, 5) == 5);
    CHECK(ring_push_many(ring, items + 5, 7) == 3);
    CHECK(ring_push_many(ring, items + 8, 4) == 0);
    CHECK(ring_push_many(ring, items, 0) == 0);
    CHECK(ring_pop_many(ring, popped, 6) == 6);
    CHECK(ring_push_many(ring, items + 8, 4) == 4); /* over the edge */
    CHECK(ring_pop_many(ring, popped + 6, 12) == 6);
    for (size_t i = 0; i < 12; i++) {
        CHECK(popped[i] == items[i]);
    }
    CHECK(ring_pop_many(ring, popped, 12) == 0);
    ring_close(&ring);
}

/* Items are heap blocks that hold their number: so the thread sanitizer sees
 * whether the content, too, is handed over. */
static void push_numbers(void *argument)
{
    struct ring *ring = argument;
    struct seeded seeded = {.state = 4};
    void *batch[5];
    uint64_t next = 0;
    while (next < ITEM_COUNT) {
        size_t count = 1 + (size_t)seeded_below(&seeded, 5);
        count = count > ITEM_COUNT - next ? (size_t)(ITEM_COUNT - next) : count;
        for (size_t i = 0; i < count; i++) {
            uint64_t *item = malloc(sizeof *item);
            if (!item) {
                abort();
            }
            *item = next++;
            batch[i] = item;
        }
        for (size_t done = 0; done < count;) {
            size_t pushed = ring_push_many(ring, batch + done, count - done);
            done += pushed;
            if (pushed == 0) {
                sched_yield();
            }
        }
    }
}

static void loses_and_doubles_nothing_between_threads(void **state)
{
    (void)state;
    struct ring *ring = NULL;
    struct posix_thread *producer = NULL;
    struct seeded seeded = {.state = 8};
    void *batch[7];
    CHECK_OK(ring_open(&ring, CAPACITY));
    CHECK_OK(posix_thread_start(&producer, "producer", push_numbers, ring));
    uint64_t expected = 0;
    while (expected < ITEM_COUNT) {
        size_t count_max = 1 + (size_t)seeded_below(&seeded, 7);
        size_t count = ring_pop_many(ring, batch, count_max);
        for (size_t i = 0; i < count; i++) {
            CHECK(*(uint64_t *)batch[i] == expected);
            expected++;
            free(batch[i]);
        }
        if (count == 0) {
            sched_yield();
        }
    }
    posix_thread_join(&producer);
    CHECK(ring_is_empty(ring));
    ring_close(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_in_order),
        cmocka_unit_test(is_full_at_its_capacity_and_not_before),
        cmocka_unit_test(a_batch_takes_what_fits),
        cmocka_unit_test(loses_and_doubles_nothing_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
