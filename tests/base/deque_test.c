#include "tests/support/check.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/deque.h"
#include "base/posix/posix_thread.h"
#include "tests/support/seeded.h"

#define CAPACITY 8
#define ITEM_COUNT 100000
#define THIEF_COUNT 3

static void steals_the_oldest_and_pops_the_newest(void **state)
{
    (void)state;
    struct deque *deque = NULL;
    int items[4];
    CHECK_OK(deque_open(&deque, CAPACITY));
    CHECK(deque_pop(deque) == NULL);
    CHECK(deque_steal(deque) == NULL);
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(deque_push(deque, &items[i]));
    }
    CHECK(deque_count(deque) == 4);
    CHECK(deque_steal(deque) == &items[0]);
    CHECK(deque_pop(deque) == &items[3]);
    CHECK(deque_steal(deque) == &items[1]);
    CHECK(deque_pop(deque) == &items[2]);
    CHECK(deque_count(deque) == 0);
    CHECK(deque_pop(deque) == NULL);
    CHECK(deque_steal(deque) == NULL);
    deque_close(&deque);
    CHECK(deque == NULL);
    deque_close(&deque);
}

static void is_full_at_its_capacity_lap_after_lap(void **state)
{
    (void)state;
    struct deque *deque = NULL;
    int items[CAPACITY];
    int more;
    CHECK_OK(deque_open(&deque, CAPACITY));
    for (size_t lap = 0; lap < 5; lap++) {
        for (size_t i = 0; i < CAPACITY; i++) {
            CHECK_OK(deque_push(deque, &items[i]));
        }
        CHECK_ERR(deque_push(deque, &more), ERR_FULL);
        CHECK(deque_count(deque) == CAPACITY);
        for (size_t i = 0; i < CAPACITY; i++) {
            CHECK(deque_steal(deque) == &items[i]);
        }
    }
    deque_close(&deque);
}

struct game {
    struct deque *deque;
    _Atomic bool is_over;
    _Atomic uint32_t times[ITEM_COUNT]; /* that each was taken */
    _Atomic uint32_t stolen_count;
};

/* Items are heap blocks that hold their number: so the thread sanitizer sees
 * whether the content, too, is handed over. */
static void count_and_free(struct game *game, void *item)
{
    uint32_t *number = item;
    atomic_fetch_add(&game->times[*number], 1);
    free(number);
}

static void steal_all(void *argument)
{
    struct game *game = argument;
    bool was_over = false;
    while (!was_over) {
        was_over = atomic_load(&game->is_over);
        void *item;
        while ((item = deque_steal(game->deque))) {
            atomic_fetch_add(&game->stolen_count, 1);
            count_and_free(game, item);
        }
        sched_yield();
    }
}

static void push_and_pop(struct game *game)
{
    struct seeded seeded = {.state = 5};
    uint32_t next = 0;
    while (next < ITEM_COUNT) {
        uint32_t *item = malloc(sizeof *item);
        CHECK(item);
        *item = next++;
        while (deque_push(game->deque, item)) {
            sched_yield();
        }
        if (seeded_below(&seeded, 3) == 0) {
            void *popped = deque_pop(game->deque);
            if (popped) {
                count_and_free(game, popped);
            }
        }
    }
}

static void gives_each_item_once_to_owner_or_thief(void **state)
{
    (void)state;
    static struct game game;
    struct posix_thread *thieves[THIEF_COUNT] = {NULL};
    CHECK_OK(deque_open(&game.deque, CAPACITY));
    for (size_t i = 0; i < THIEF_COUNT; i++) {
        CHECK_OK(posix_thread_start(&thieves[i], "thief", steal_all, &game));
    }
    push_and_pop(&game);
    atomic_store(&game.is_over, true);
    for (size_t i = 0; i < THIEF_COUNT; i++) {
        posix_thread_join(&thieves[i]);
    }
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        CHECK(atomic_load(&game.times[i]) == 1);
    }
    CHECK(atomic_load(&game.stolen_count) > 0);
    CHECK(deque_count(game.deque) == 0);
    deque_close(&game.deque);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steals_the_oldest_and_pops_the_newest),
        cmocka_unit_test(is_full_at_its_capacity_lap_after_lap),
        cmocka_unit_test(gives_each_item_once_to_owner_or_thief),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
