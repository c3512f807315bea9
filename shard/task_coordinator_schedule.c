/*
 * What is submitted by itself: the schedules of the pools whose names belong to
 * this shard. How far each is stands in the book, which refuses to go back: so
 * it does not matter who leads, or whose clock is wrong.
 */

#include "shard/task_coordinator_core.h"
#include "shard/task_schedule.h"

#include <stdlib.h>

/* When something is under way, or there is no room. */
#define PAUSE_MS MS_PER_S

/* Of occurrences that nobody has looked at, in one go: a turn is short. */
#define WALK_COUNT_MAX 16384

/* What has come due since a schedule was moved on last. */
struct missed {
    int64_t latest_s;
    uint64_t count;
    int64_t next_s; /* the one behind it; it may be due as well, when there are
                       too many */
};

static struct missed walk(const struct cron *cron, int64_t from_s, int64_t to_s)
{
    struct missed missed = {.next_s = cron_next(cron, from_s)};
    while (missed.next_s <= to_s && missed.count < WALK_COUNT_MAX) {
        missed.latest_s = missed.next_s;
        missed.count++;
        missed.next_s = cron_next(cron, missed.latest_s);
    }
    return missed;
}

static enum err propose_fire(struct coordinator *coordinator,
                             const struct book_fire *fire)
{
    size_t bytes = book_fire_bytes_max(fire);
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, bytes);
    book_fire_encode(fire, &writer);
    enum err err = coordinator->home.propose(
        coordinator->home.context, coordinator->shard, writer_bytes(&writer));
    free(buffer);
    return err;
}

static bool is_overlapping(const struct coordinator *coordinator,
                           const struct task_schedule *schedule,
                           uint64_t id)
{
    const struct task *task = book_find(coordinator->book, id);
    return !schedule->may_overlap && task && task->state == TASK_WAITING;
}

static enum err move_on(struct coordinator *coordinator,
                        const struct task_pool *pool,
                        const struct task_schedule *schedule,
                        const struct missed *missed,
                        bool is_passed)
{
    struct book_fire fire = {.pool = bytes_of_text(pool->name),
                             .schedule = bytes_of_text(schedule->name),
                             .due_s = missed->latest_s,
                             .passed = missed->count - !is_passed,
                             .task = is_passed ? NULL : &schedule->task};
    fire.passed =
        HAS_TASK_FAULT(&coordinator->home, LOSE_PASSED) ? 0 : fire.passed;
    return propose_fire(coordinator, &fire);
}

/* When to look at it again, wall time in ms. */
static int64_t look_at(struct coordinator *coordinator,
                       const struct task_pool *pool,
                       const struct task_schedule *schedule)
{
    int64_t now_ms = coordinator_wall_ms(coordinator);
    struct book_schedule is =
        book_schedule(coordinator->book, bytes_of_text(pool->name),
                      bytes_of_text(schedule->name));
    if (HAS_TASK_FAULT(&coordinator->home, FIRE_AGAIN)) {
        is.due_s = is.decided_s = BOOK_NO_TIME;
    }
    if (is.decided_s > is.due_s) {
        return now_ms + PAUSE_MS; /* it has moved on, and that is under way */
    }
    struct missed missed =
        walk(&schedule->cron, task_schedule_from_s(schedule, is.due_s),
             now_ms / MS_PER_S);
    bool has_more = missed.next_s <= now_ms / MS_PER_S;
    bool is_old =
        now_ms - missed.latest_s * MS_PER_S > (int64_t)schedule->catch_up_ms;
    bool is_passed =
        has_more || is_old || is_overlapping(coordinator, schedule, is.task);
    if (missed.count > 0 &&
        (move_on(coordinator, pool, schedule, &missed, is_passed) ||
         has_more)) {
        return now_ms + PAUSE_MS;
    }
    return missed.next_s == CRON_NEVER ? INT64_MAX : missed.next_s * MS_PER_S;
}

void look_at_schedules(struct coordinator *coordinator)
{
    const struct task_pools *pools =
        coordinator->home.pools(coordinator->home.context);
    uint32_t shard_count =
        coordinator->home.shard_count(coordinator->home.context);
    int64_t soonest_ms = INT64_MAX;
    for (uint32_t i = 0; i < pools->count && shard_count > 0; i++) {
        const struct task_pool *pool = &pools->list[i];
        if (pool->schedule_count == 0 ||
            task_pool_shard(pool->name, shard_count) != coordinator->shard) {
            continue;
        }
        for (uint32_t j = 0; j < pool->schedule_count; j++) {
            int64_t next_ms = look_at(coordinator, pool, &pool->schedules[j]);
            soonest_ms = next_ms < soonest_ms ? next_ms : soonest_ms;
        }
    }
    coordinator->schedules_ms = soonest_ms;
}
