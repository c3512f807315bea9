/*
 * Where a task stands that waits: behind tasks that must be done before,
 * behind another with its order key, until its time has come, or ready.
 */

#include "shard/task_coordinator_core.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMORY_PAUSE_MS 1000

void tell_ready(struct coordinator *coordinator, struct pool_work *pool)
{
    bool may_go =
        pool->ready.count > 0 && pool->settings && !pool->settings->is_paused;
    if (may_go && !pool->is_told) {
        pool->is_told = true;
        coordinator->home.on_ready(coordinator->home.context, coordinator,
                                   pool->name);
    }
}

/* ---- tasks that must be done before ---- */

static void fail_after(struct coordinator *coordinator,
                       struct task *task,
                       uint64_t id,
                       enum task_state state)
{
    char why[TASK_WHY_BYTES];
    char text[TASK_ID_BYTES];
    task_id_text(text, id);
    int length =
        state == TASK_STATE_COUNT
            ? snprintf(why, sizeof why,
                       "task %s, which must be done before, is not known", text)
            : snprintf(why, sizeof why,
                       "task %s, which must be done before, is %s", text,
                       task_state_name(state));
    end_task(coordinator, task,
             &(struct book_end){.id = task->id,
                                .state = TASK_DEAD,
                                .why = bytes_of(why, (size_t)length)});
}

static struct after **after_slot(struct coordinator *coordinator, uint64_t id)
{
    return &coordinator->afters[id % AFTER_SLOT_COUNT];
}

/* False: it does not wait any more: it fails, since that one will not be done.
 */
static bool wait_for(struct coordinator *coordinator,
                     struct task *task,
                     uint64_t id)
{
    const struct task *other = book_find(coordinator->book, id);
    bool is_ours = task_id_shard(id) == coordinator->shard;
    if (is_ours && (!other || other->state > TASK_DONE || other == task)) {
        fail_after(coordinator, task, id,
                   other ? (enum task_state)other->state : TASK_STATE_COUNT);
        return false;
    }
    if (other && other->state == TASK_DONE) {
        return true;
    }
    struct after *after = malloc(sizeof *after);
    if (!after) {
        end_task(coordinator, task,
                 &(struct book_end){.id = task->id,
                                    .state = TASK_WAITING,
                                    .at_ms = coordinator_wall_ms(coordinator) +
                                             MEMORY_PAUSE_MS,
                                    .why = bytes_of_text("out of memory")});
        return false;
    }
    struct after **slot = after_slot(coordinator, id);
    *after = (struct after){.next = *slot, .id = id, .waiting_id = task->id};
    *slot = after;
    ++*coordinator->home.waits;
    task->extra->after_left++;
    return true;
}

void free_after(struct coordinator *coordinator, struct after **link)
{
    struct after *after = *link;
    *link = after->next;
    --*coordinator->home.waits;
    free(after);
}

/* It waits for nothing any more. */
static void forget_afters(struct coordinator *coordinator, struct task *task)
{
    for (uint32_t i = 0; i < task->extra->after_count; i++) {
        struct after **link = after_slot(coordinator, task->extra->after[i]);
        while (*link) {
            struct after *after = *link;
            if (after->waiting_id == task->id) {
                free_after(coordinator, link);
            } else {
                link = &after->next;
            }
        }
    }
    task->extra->after_left = 0;
}

static void wait_for_all(struct coordinator *coordinator, struct task *task)
{
    struct task_extra *extra = task->extra;
    extra->after_left = 0;
    task->work = WORK_AFTER;
    for (uint32_t i = 0; i < extra->after_count; i++) {
        if (!wait_for(coordinator, task, extra->after[i])) {
            return;
        }
    }
    /* When all are known: one that has ended is heard of at once, and it must
     * not be the only one. */
    for (uint32_t i = 0; i < extra->after_count && task->work == WORK_AFTER;
         i++) {
        if (task_id_shard(extra->after[i]) != coordinator->shard) {
            coordinator->home.watch(coordinator->home.context,
                                    coordinator->shard, extra->after[i]);
        }
    }
}

void coordinator_watch_again(struct coordinator *coordinator, uint32_t shard)
{
    for (size_t i = 0; i < AFTER_SLOT_COUNT; i++) {
        for (const struct after *after = coordinator->afters[i]; after;
             after = after->next) {
            if (task_id_shard(after->id) == shard) {
                coordinator->home.watch(coordinator->home.context,
                                        coordinator->shard, after->id);
            }
        }
    }
}

void coordinator_hear_end(struct coordinator *coordinator,
                          uint64_t id,
                          enum task_state state)
{
    struct after **link = after_slot(coordinator, id);
    while (*link) {
        struct after *after = *link;
        if (after->id != id) {
            link = &after->next;
            continue;
        }
        struct task *task = book_find(coordinator->book, after->waiting_id);
        free_after(coordinator, link);
        if (!task || task->work != WORK_AFTER) {
            continue;
        }
        task->extra->after_left--;
        if (state != TASK_DONE) {
            fail_after(coordinator, task, id, state);
        } else if (task->extra->after_left == 0) {
            stage(coordinator, task, false);
        }
        link = after_slot(coordinator, id); /* it may have changed */
    }
}

/* ---- staging ---- */

static bool is_behind(struct coordinator *coordinator, struct task *task)
{
    bool is_first = true;
    if (task_order(task).length == 0 ||
        HAS_TASK_FAULT(&coordinator->home, NO_ORDER)) {
        return false;
    }
    /* Without memory its order cannot be kept: it is tried again later. */
    if (order_enter(&coordinator->orders, task, &is_first)) {
        is_first = false;
    }
    if (!is_first) {
        task->work = WORK_BEHIND;
    }
    return !is_first;
}

static void watch_deadline(struct coordinator *coordinator, struct task *task)
{
    if (task->extra && task->extra->until_ms > 0) {
        (void)!due_push(
            &coordinator->due,
            (struct due){.at_ms = task->extra->until_ms, .id = task->id});
    }
}

static void make_ready(struct coordinator *coordinator,
                       struct task *task,
                       bool is_in_front)
{
    assert(coordinator->term != 0);
    struct pool_work *pool = pool_work_of(coordinator, task);
    if (task->at_ms > 0 && task->at_ms > coordinator_wall_ms(coordinator) &&
        !due_push(&coordinator->due,
                  (struct due){.at_ms = task->at_ms, .id = task->id})) {
        task->work = WORK_DELAYED;
        coordinator_wake(coordinator);
        return;
    }
    static const struct task_pool none; /* of a pool that is gone */
    if (pool &&
        !ready_push(&pool->ready, task, pool->settings ? pool->settings : &none,
                    is_in_front)) {
        task->work = WORK_READY;
        tell_ready(coordinator, pool);
    }
}

void stage(struct coordinator *coordinator, struct task *task, bool is_in_front)
{
    bool is_new = task->work == WORK_NONE;
    assert(task->state == TASK_WAITING);
    if (is_new) {
        watch_deadline(coordinator, task);
    }
    /* Once it has begun they were done, and may be forgotten by now. */
    if (is_new && task->attempts == 0 && task->extra &&
        task->extra->after_count > 0 &&
        !HAS_TASK_FAULT(&coordinator->home, NO_AFTER)) {
        wait_for_all(coordinator, task);
        if (task->work != WORK_AFTER || task->extra->after_left > 0) {
            return;
        }
    }
    if (!is_behind(coordinator, task)) {
        make_ready(coordinator, task, is_in_front);
    }
}

void unstage(struct coordinator *coordinator, struct task *task)
{
    struct pool_work *pool = pool_work_find(coordinator, task_pool_name(task));
    if (task->work == WORK_READY && pool) {
        ready_remove(&pool->ready, task);
    } else if (task->work == WORK_LEASED) {
        unlease(coordinator, task);
    } else if (task->work == WORK_SUSPECT) {
        coordinator->suspects--;
    } else if (task->work == WORK_AFTER && task->extra &&
               task->extra->after_left > 0) {
        forget_afters(coordinator, task);
    }
    task->work = WORK_ENDING;
}

void stage_next(struct coordinator *coordinator, struct task *task)
{
    if (task->extra && task->extra->order_queue) {
        struct task *next = order_leave(&coordinator->orders, task);
        if (next && next->work == WORK_BEHIND) {
            make_ready(coordinator, next, false);
        }
    }
}
