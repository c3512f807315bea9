#include "tests/support/check.h"

#include <sched.h>
#include <stdlib.h>

#include "base/posix/posix_thread.h"
#include "base/queue.h"

#define CAPACITY 16
#define PRODUCER_COUNT 4
#define ITEM_COUNT 30000 /* of each producer */

static void gives_back_in_order(void **state)
{
    (void)state;
    struct queue *queue = NULL;
    int items[3] = {0};
    CHECK_OK(queue_open(&queue, CAPACITY));
    CHECK(queue_capacity(queue) == CAPACITY);
    CHECK(queue_pop(queue) == NULL);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(queue_push(queue, &items[i]));
    }
    CHECK(queue_count(queue) == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(queue_pop(queue) == &items[i]);
    }
    CHECK(queue_pop(queue) == NULL);
    CHECK(queue_count(queue) == 0);
    queue_close(&queue);
    CHECK(queue == NULL);
    queue_close(&queue);
}

static void is_full_at_its_capacity_and_not_before(void **state)
{
    (void)state;
    static const size_t capacities[] = {2, 4, 16};
    int item = 0;
    for (size_t c = 0; c < 3; c++) {
        struct queue *queue = NULL;
        CHECK_OK(queue_open(&queue, capacities[c]));
        for (int lap = 0; lap < 5; lap++) {
            for (size_t i = 0; i < capacities[c]; i++) {
                CHECK_OK(queue_push(queue, &item));
            }
            CHECK_ERR(queue_push(queue, &item), ERR_FULL);
            CHECK(queue_count(queue) == capacities[c]);
            CHECK(queue_pop(queue) == &item);
            CHECK_OK(queue_push(queue, &item)); /* one place is enough */
            for (size_t i = 0; i < capacities[c]; i++) {
                CHECK(queue_pop(queue) == &item);
            }
            CHECK(queue_pop(queue) == NULL);
        }
        queue_close(&queue);
    }
}

struct item {
    size_t producer;
    uint64_t number;
};

struct producer {
    struct queue *queue;
    size_t index;
    struct posix_thread *thread;
};

static void push_numbers(void *argument)
{
    const struct producer *producer = argument;
    for (uint64_t i = 0; i < ITEM_COUNT; i++) {
        struct item *item = malloc(sizeof *item);
        if (!item) {
            abort();
        }
        *item = (struct item){.producer = producer->index, .number = i};
        while (queue_push(producer->queue, item)) {
            sched_yield();
        }
    }
}

static void keeps_the_order_of_each_of_many_producers(void **state)
{
    (void)state;
    struct queue *queue = NULL;
    struct producer producers[PRODUCER_COUNT] = {0};
    uint64_t expected[PRODUCER_COUNT] = {0};
    CHECK_OK(queue_open(&queue, CAPACITY));
    for (size_t i = 0; i < PRODUCER_COUNT; i++) {
        producers[i] = (struct producer){.queue = queue, .index = i};
        CHECK_OK(posix_thread_start(&producers[i].thread, "producer",
                                    push_numbers, &producers[i]));
    }
    for (size_t popped = 0; popped < PRODUCER_COUNT * ITEM_COUNT;) {
        struct item *item = queue_pop(queue);
        if (!item) {
            sched_yield();
            continue;
        }
        CHECK(queue_count(queue) <= CAPACITY);
        CHECK(item->producer < PRODUCER_COUNT);
        CHECK(item->number == expected[item->producer]);
        expected[item->producer]++;
        popped++;
        free(item);
    }
    for (size_t i = 0; i < PRODUCER_COUNT; i++) {
        posix_thread_join(&producers[i].thread);
    }
    CHECK(queue_pop(queue) == NULL);
    queue_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_in_order),
        cmocka_unit_test(is_full_at_its_capacity_and_not_before),
        cmocka_unit_test(keeps_the_order_of_each_of_many_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
