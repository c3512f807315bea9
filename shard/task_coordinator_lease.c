/*
 * Who works on a task, and what comes of it.
 */

#include "shard/task_coordinator_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK_CHUNK 4096         /* tasks that may be given out ahead */
#define ENDS_BYTES (256u << 10) /* of an entry of the log */
#define US_PER_S (NS_PER_S / NS_PER_US)
#define WHOLE US_PER_S /* a task, as an allowance counts it */

/* ---- giving out ---- */

/* What may have been given out must be on disk before it is: a new leader does
 * not give it to another at once. */
static bool is_marked(struct coordinator *coordinator, const struct task *task)
{
    uint64_t sequence = task_id_sequence(task->id);
    if (task->is_volatile) {
        return true;
    }
    uint64_t marked = book_marked(coordinator->book);
    if (sequence + MARK_CHUNK / 2 >= marked && coordinator->marking == 0) {
        coordinator->marking = sequence + MARK_CHUNK;
        coordinator_wake(coordinator);
    }
    return sequence < marked;
}

/* A token bucket that holds one second's worth. It counts in millionths of a
 * task, of which each microsecond brings as many as the rate says: nothing is
 * lost to rounding, however often somebody looks. */
static bool rate_allows(struct coordinator *coordinator, struct pool_work *pool)
{
    uint64_t rate = pool->settings->rate;
    if (rate == 0) {
        return true;
    }
    uint64_t passed_us =
        (coordinator_now_ns(coordinator) - pool->allowance_ns) / NS_PER_US;
    pool->allowance_ns += passed_us * NS_PER_US;
    pool->allowance += (passed_us < US_PER_S ? passed_us : US_PER_S) * rate;
    if (pool->allowance > rate * WHOLE) {
        pool->allowance = rate * WHOLE;
    }
    if (pool->allowance >= WHOLE) {
        return true;
    }
    /* Looked at again by the clock: no task has the id 0. */
    uint64_t left_us = (WHOLE - pool->allowance) / rate;
    (void)!due_push(&coordinator->due,
                    (struct due){.at_ms = coordinator_wall_ms(coordinator) +
                                          (int64_t)(left_us / 1000 + 1)});
    coordinator_wake(coordinator);
    return false;
}

static bool may_take(struct coordinator *coordinator, struct pool_work *pool)
{
    const struct task_pool *settings = pool->settings;
    return settings && !settings->is_paused &&
           (settings->running_max == 0 ||
            pool->leased < settings->running_max) &&
           rate_allows(coordinator, pool);
}

static void lease(struct coordinator *coordinator,
                  struct pool_work *pool,
                  struct task *task,
                  uint32_t agent)
{
    task->work = WORK_LEASED;
    task->agent = (uint16_t)agent;
    task->leased_at_ms =
        (uint32_t)(coordinator_now_ns(coordinator) / NS_PER_MS);
    chain_push(&coordinator->leased[agent], task);
    pool->leased++;
}

static uint32_t timeout_of(const struct pool_work *pool,
                           const struct task *task)
{
    return task->extra && task->extra->timeout_ms > 0 ? task->extra->timeout_ms
           : pool->settings->timeout_ms > UINT32_MAX
               ? UINT32_MAX
               : (uint32_t)pool->settings->timeout_ms;
}

const struct task *coordinator_take(struct coordinator *coordinator,
                                    const char *name,
                                    uint32_t agent,
                                    struct task_assignment *out)
{
    struct pool_work *pool = pool_work_find(coordinator, name);
    assert(agent < AGENT_COUNT_MAX);
    struct task *task = pool ? ready_first(&pool->ready) : NULL;
    assert(!task || coordinator->term != 0);
    if (!task || !may_take(coordinator, pool) ||
        !is_marked(coordinator, task)) {
        if (pool) {
            pool->is_told = false;
        }
        return NULL;
    }
    ready_remove(&pool->ready, task);
    pool->allowance -= pool->settings->rate > 0 ? WHOLE : 0;
    task->token = coordinator->term << 32 | ++coordinator->counter;
    lease(coordinator, pool, task, agent);
    coordinator->stats.given++;
    *out = (struct task_assignment){.id = task->id,
                                    .token = task->token,
                                    .attempt = task->attempts + 1,
                                    .timeout_ms = timeout_of(pool, task),
                                    .payload = task_payload(task)};
    return task;
}

void unlease(struct coordinator *coordinator, struct task *task)
{
    struct pool_work *pool = pool_work_find(coordinator, task_pool_name(task));
    chain_remove(&coordinator->leased[task->agent], task);
    if (pool) {
        pool->leased--;
        tell_ready(coordinator, pool); /* running_max may have held it up */
    }
}

/* ---- what comes of it ---- */

static struct task_parcel *room_for_end(struct coordinator *coordinator,
                                        const struct book_end *end)
{
    struct ends *ends = coordinator->ends;
    size_t bytes = book_end_bytes_max(end) + 16;
    if (!ends || task_parcel_bytes(&ends->parcel) + bytes > ENDS_BYTES) {
        ends = calloc(1, sizeof *ends);
        if (!ends || task_parcel_room(&ends->parcel, bytes + 64)) {
            free(ends);
            return NULL;
        }
        book_ends_begin(&ends->parcel);
        ends->next = coordinator->ends;
        coordinator->ends = ends;
    }
    return task_parcel_room(&ends->parcel, bytes) ? NULL : &ends->parcel;
}

void end_task(struct coordinator *coordinator,
              struct task *task,
              const struct book_end *end)
{
    unstage(coordinator, task);
    if (task->is_volatile) {
        /* Without memory it stays as it is: ending, for its leader's time. */
        (void)!book_end_volatile(coordinator->book, task, end,
                                 coordinator_wall_ms(coordinator));
        return;
    }
    struct task_parcel *parcel = room_for_end(coordinator, end);
    if (parcel) {
        book_end_encode(end, &parcel->writer);
        parcel->count++;
    } else {
        /* As if nobody had worked on it. */
        task->work = WORK_NONE;
        stage(coordinator, task, true);
    }
    coordinator_wake(coordinator);
}

/* Doubling from attempt to attempt, a fifth more or less. */
static int64_t backoff_ms(const struct coordinator *coordinator,
                          const struct pool_work *pool,
                          uint32_t attempts)
{
    const struct entropy *entropy = coordinator->home.entropy;
    uint64_t pause_ms = pool->settings->backoff_min_ms;
    for (uint32_t i = 1;
         i < attempts && pause_ms < pool->settings->backoff_max_ms; i++) {
        pause_ms *= 2;
    }
    if (pause_ms > pool->settings->backoff_max_ms) {
        pause_ms = pool->settings->backoff_max_ms;
    }
    uint16_t random = 0;
    entropy->fill(entropy->context, &random, sizeof random);
    return (int64_t)(pause_ms * 4 / 5 + pause_ms * 2 / 5 * random / UINT16_MAX);
}

static uint32_t attempts_max(const struct pool_work *pool,
                             const struct task *task)
{
    return task->extra && task->extra->attempts_max > 0
               ? task->extra->attempts_max
               : pool->settings->attempts_max;
}

/* An attempt has failed: once more, or never again. */
static void fail_attempt(struct coordinator *coordinator,
                         struct task *task,
                         bool is_hopeless,
                         struct bytes output,
                         struct bytes why)
{
    struct pool_work *pool = pool_work_find(coordinator, task_pool_name(task));
    uint32_t attempts = task->attempts + 1;
    struct book_end end = {
        .id = task->id, .state = TASK_DEAD, .output = output, .why = why};
    if (!is_hopeless && pool && pool->settings &&
        attempts < attempts_max(pool, task)) {
        end.state = TASK_WAITING;
        end.output = (struct bytes){0};
        end.at_ms = coordinator_wall_ms(coordinator) +
                    backoff_ms(coordinator, pool, attempts);
    }
    end_task(coordinator, task, &end);
}

/* Its worker did not want it, or cannot have it any more: no attempt. */
static void give_back(struct coordinator *coordinator, struct task *task)
{
    unstage(coordinator, task);
    task->work = WORK_AFTER; /* what it had to wait for is done */
    stage(coordinator, task, true);
}

/* Its agent should have cut it. An entry of the log could not hold it. */
static void refuse_output(struct coordinator *coordinator,
                          struct task *task,
                          size_t output_bytes)
{
    char why[TASK_WHY_BYTES];
    int length = snprintf(why, sizeof why,
                          "its result has %zu bytes, more than any pool keeps",
                          output_bytes);
    fail_attempt(coordinator, task, false, (struct bytes){0},
                 bytes_of(why, (size_t)length));
}

static void take_result(struct coordinator *coordinator,
                        struct task *task,
                        const struct task_finish *finish)
{
    size_t why_bytes = finish->why.length < TASK_WHY_BYTES ? finish->why.length
                                                           : TASK_WHY_BYTES - 1;
    struct bytes why = bytes_of(finish->why.data, why_bytes);
    if (finish->output.length > TASK_OUTPUT_BYTES_MAX) {
        refuse_output(coordinator, task, finish->output.length);
        return;
    }
    switch (finish->status) {
    case RUN_DONE:
        end_task(coordinator, task,
                 &(struct book_end){.id = task->id,
                                    .state = TASK_DONE,
                                    .output = finish->output,
                                    .why = why});
        break;
    case RUN_CANCELLED:
        coordinator->home.ack(coordinator->home.context, task->agent, task->id,
                              task->token, true);
        give_back(coordinator, task);
        break;
    case RUN_REFUSED:
        fail_attempt(coordinator, task, true, finish->output, why);
        break;
    case RUN_FAILED:
    case RUN_TIMED_OUT:
    case RUN_CRASHED:
    case RUN_STATUS_COUNT:
        fail_attempt(coordinator, task, false, finish->output, why);
        break;
    }
}

static bool is_at(const struct task *task, enum task_work work)
{
    return task && task->state == TASK_WAITING && !task->is_ending &&
           task->work == work;
}

static bool is_its(const struct task *task, uint32_t agent, uint64_t token)
{
    return is_at(task, WORK_SUSPECT) ||
           (is_at(task, WORK_LEASED) && task->agent == agent &&
            task->token == token);
}

bool coordinator_finish(struct coordinator *coordinator,
                        uint32_t agent,
                        const struct task_finish *finish)
{
    struct task *task = book_find(coordinator->book, finish->id);
    bool is_believed = HAS_TASK_FAULT(&coordinator->home, LATE_RESULT) &&
                       is_at(task, WORK_LEASED);
    if (!is_believed && !is_its(task, agent, finish->token)) {
        /* It may be recorded already, when it is said again. */
        bool is_recorded =
            task && task->token == finish->token && task->work != WORK_LEASED;
        if (!is_recorded) {
            coordinator->stats.late++;
        } else if (task->state == TASK_WAITING && task->work == WORK_ENDING) {
            return true; /* it is about to be */
        }
        coordinator->home.ack(coordinator->home.context, agent, finish->id,
                              finish->token, is_recorded);
        return is_recorded;
    }
    task->agent = (uint16_t)agent;
    task->token = finish->token;
    take_result(coordinator, task, finish);
    return true;
}

/* ---- after a change of leader ---- */

void coordinator_present(struct coordinator *coordinator,
                         uint32_t agent,
                         uint64_t id,
                         uint64_t token)
{
    struct task *task = book_find(coordinator->book, id);
    /* We may have given it to another since, who has given it back. */
    bool is_free = task && task->state == TASK_WAITING && !task->is_ending &&
                   (task->work == WORK_SUSPECT || task->work == WORK_READY) &&
                   token >= task->token;
    if (!is_free) {
        if (!is_its(task, agent, token)) {
            coordinator->home.cancel(coordinator->home.context, agent, id,
                                     token);
        }
        return;
    }
    struct pool_work *pool = pool_work_of(coordinator, task);
    if (!pool) {
        return; /* no memory: the lease time decides */
    }
    unstage(coordinator, task);
    task->token = token;
    lease(coordinator, pool, task, agent);
    coordinator->stats.presented++;
    if (task_order(task).length > 0) {
        bool is_first;
        (void)!order_enter(&coordinator->orders, task, &is_first);
    }
}

void clear_suspects(struct coordinator *coordinator)
{
    for (struct task *task = book_first(coordinator->book);
         task && coordinator->suspects > 0; task = task->newer) {
        if (task->work == WORK_SUSPECT) {
            coordinator->suspects--;
            coordinator->stats.requeued++;
            task->work = WORK_NONE;
            stage(coordinator, task, false);
        }
    }
}

void coordinator_presented(struct coordinator *coordinator)
{
    clear_suspects(coordinator);
}

/* ---- agents that are gone ---- */

static void stall(struct coordinator *coordinator,
                  struct task *task,
                  const char *what)
{
    char why[TASK_WHY_BYTES];
    int length = snprintf(why, sizeof why, "attempt %" PRIu32 ": %s",
                          task->attempts + 1, what);
    coordinator->stats.stalled++;
    fail_attempt(coordinator, task, false, (struct bytes){0},
                 bytes_of(why, (size_t)length));
}

void coordinator_agent_gone(struct coordinator *coordinator, uint32_t agent)
{
    while (coordinator->term != 0 && coordinator->leased[agent].first &&
           !HAS_TASK_FAULT(&coordinator->home, FORGET_THIEF)) {
        stall(coordinator, coordinator->leased[agent].first,
              "the worker's node has ended");
    }
}

void coordinator_agent_silent(struct coordinator *coordinator,
                              uint32_t agent,
                              uint64_t silent_ms)
{
    struct task *next = NULL;
    if (coordinator->term == 0) {
        return;
    }
    for (struct task *task = coordinator->leased[agent].first; task;
         task = next) {
        const struct pool_work *pool =
            pool_work_find(coordinator, task_pool_name(task));
        next = task->next;
        /* Who has nothing to do is silent, too: its lease is younger. */
        uint32_t leased_ms =
            (uint32_t)(coordinator_now_ns(coordinator) / NS_PER_MS) -
            task->leased_at_ms;
        uint64_t lease_ms = lease_ms_of(pool);
        if (!HAS_TASK_FAULT(&coordinator->home, FORGET_THIEF) &&
            silent_ms > lease_ms && leased_ms > lease_ms) {
            coordinator->home.cancel(coordinator->home.context, agent, task->id,
                                     task->token);
            stall(coordinator, task,
                  "the worker's node was not heard for the time of its lease");
        }
    }
}
