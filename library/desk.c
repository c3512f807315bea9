#include "base/owner.h"
#include "base/queue.h"
#include "base/time_units.h"
#include "library/desk_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES_MAX 8                    /* of a lane under way */
#define INBOX_MAX (4 * DESK_ERRANDS_MAX) /* with those who want room */

uint64_t desk_now_ns(const struct desk *desk)
{
    return reactor_now_ns(desk->config.reactor);
}

/* ---- errands end ---- */

static bool has_room(const struct desk *desk, uint32_t times)
{
    return atomic_load(&desk->errand_count) < DESK_ERRANDS_MAX * times &&
           atomic_load(&desk->byte_count) < (uint64_t)DESK_BYTES_MAX * times;
}

/* When a part is free, not for each one that ends. */
static void tell_room(struct desk *desk, enum err err)
{
    if (!err && (atomic_load(&desk->errand_count) > DESK_ERRANDS_MAX / 4 * 3 ||
                 atomic_load(&desk->byte_count) > DESK_BYTES_MAX / 4 * 3)) {
        return;
    }
    while (desk->rooms) {
        struct errand *room = desk->rooms;
        desk->rooms = room->next;
        room->done.told(room->context, err, 0);
        errand_free(room);
    }
}

static void forget(struct desk *desk, struct errand *errand)
{
    atomic_fetch_sub(&desk->errand_count, 1);
    atomic_fetch_sub(&desk->byte_count, errand->bytes);
    errand_free(errand);
    if (desk->rooms) {
        tell_room(desk, ERR_NONE);
    }
}

void errand_end_receipt(struct desk *desk,
                        struct errand *errand,
                        const struct troupe_receipt *receipt)
{
    if (errand->done.receipt) {
        errand->done.receipt(errand->context, receipt);
    }
    forget(desk, errand);
}

static enum troupe_state state_of(enum task_state state)
{
    static_assert((int)TROUPE_WAITING == (int)TASK_WAITING &&
                      (int)TROUPE_DONE == (int)TASK_DONE &&
                      (int)TROUPE_DEAD == (int)TASK_DEAD &&
                      (int)TROUPE_CANCELLED == (int)TASK_CANCELLED &&
                      (int)TROUPE_EXPIRED == (int)TASK_EXPIRED &&
                      (int)TROUPE_EXPIRED + 1 == (int)TASK_STATE_COUNT,
                  "troupe/tasks.h says the same");
    return (enum troupe_state)state;
}

void errand_end_result(struct desk *desk,
                       struct errand *errand,
                       const struct task_end *end)
{
    char why[TASK_WHY_BYTES];
    size_t length =
        end->why.length < sizeof why - 1 ? end->why.length : sizeof why - 1;
    if (length > 0) {
        memcpy(why, end->why.data, length);
    }
    why[length] = '\0';
    struct troupe_result result = {.id = errand->id,
                                   .state = state_of(end->state),
                                   .attempts = end->attempts,
                                   .accepted_ms = end->accepted_ms,
                                   .ended_ms = end->ended_ms,
                                   .output = end->output.data,
                                   .output_length = end->output.length,
                                   .why = why};
    if (errand->done.result) {
        errand->done.result(errand->context, &result);
    }
    forget(desk, errand);
}

void errand_tell_progress(struct errand *errand, const struct task_said *said)
{
    const struct troupe_progress progress = {.id = errand->id,
                                             .done_of_1000 = said->done_of_1000,
                                             .text = said->text};
    errand->seen = said->number;
    errand->on_progress(errand->context, &progress);
}

void errand_end_change(struct desk *desk, struct errand *errand, uint64_t count)
{
    errand->done.told(errand->context, ERR_NONE, count);
    forget(desk, errand);
}

void errand_end(struct desk *desk, struct errand *errand, enum err err)
{
    assert(err != ERR_NONE);
    enum troupe_error error = (enum troupe_error)err;
    if (errand->kind == ERRAND_SUBMIT) {
        errand_end_receipt(desk, errand,
                           &(struct troupe_receipt){.error = error});
        return;
    }
    if (errand->kind == ERRAND_CHANGE) {
        errand->done.told(errand->context, err, 0);
    } else if (errand->done.result) {
        struct troupe_result result = {
            .id = errand->id, .error = error, .why = ""};
        errand->done.result(errand->context, &result);
    }
    forget(desk, errand);
}

/* ---- lanes ---- */

static bool belongs_to(const struct desk_lane *lane,
                       const struct errand *errand)
{
    return lane->kind == errand->kind &&
           lane->is_curious == (errand->on_progress != NULL) &&
           (lane->kind != ERRAND_SUBMIT ||
            (lane->is_ordered == errand->is_ordered &&
             strcmp(lane->pool, errand->pool) == 0));
}

static void run_held(struct timer *timer)
{
    lane_go_on(OWNER_OF(timer, struct desk_lane, held));
}

/* ERR_MEMORY: NULL */
static struct desk_lane *lane_for(struct desk *desk,
                                  const struct errand *errand)
{
    for (struct desk_lane *lane = desk->lanes; lane; lane = lane->next) {
        if (belongs_to(lane, errand)) {
            return lane;
        }
    }
    struct desk_lane *lane = calloc(1, sizeof *lane);
    if (lane) {
        lane->desk = desk;
        lane->kind = errand->kind;
        lane->is_curious = errand->on_progress != NULL;
        lane->held.fire = run_held;
        if (errand->kind == ERRAND_SUBMIT) {
            lane->is_ordered = errand->is_ordered;
            memcpy(lane->pool, errand->pool, strlen(errand->pool) + 1);
        }
        lane->next = desk->lanes;
        desk->lanes = lane;
    }
    return lane;
}

static void lane_append(struct desk_lane *lane, struct errand *errand)
{
    errand->next = NULL;
    *(lane->oldest ? &lane->newest->next : &lane->oldest) = errand;
    lane->newest = errand;
}

void lane_put_back(struct desk_lane *lane, struct errand *errand)
{
    errand->next = lane->oldest;
    lane->newest = lane->oldest ? lane->newest : errand;
    lane->oldest = errand;
}

void lane_hold(struct desk_lane *lane, uint64_t ns)
{
    reactor_timer_set(lane->desk->config.reactor, &lane->held, ns);
}

void lane_go_on(struct desk_lane *lane)
{
    uint32_t count_max = lane->is_ordered ? 1 : BATCHES_MAX;
    while (lane->oldest && !lane->held.is_set &&
           !atomic_load(&lane->desk->is_stopped) &&
           lane->batch_count < count_max) {
        batch_start(lane);
    }
}

/* Names of pools may be anything: what is idle does not stay. */
static void free_idle_lanes(struct desk *desk)
{
    for (struct desk_lane **link = &desk->lanes; *link;) {
        struct desk_lane *lane = *link;
        if (lane->oldest || lane->batches || lane->held.is_set) {
            link = &lane->next;
            continue;
        }
        *link = lane->next;
        free(lane);
    }
}

/* ---- deadlines ---- */

static void note_deadline(struct desk *desk, uint64_t until_ns)
{
    if (until_ns < desk->deadline_ns) {
        uint64_t now = desk_now_ns(desk);
        desk->deadline_ns = until_ns;
        reactor_timer_set(desk->config.reactor, &desk->deadline,
                          until_ns > now ? until_ns - now : 0);
    }
}

/* Why there is nothing after all that time. */
static enum err lateness(const struct errand *errand, bool is_asked)
{
    if (errand->kind == ERRAND_AWAIT) {
        return errand->last ? errand->last : ERR_TIMEOUT;
    }
    return is_asked || errand->is_uncertain ? ERR_UNCERTAIN
           : errand->last                   ? errand->last
                                            : ERR_TIMEOUT;
}

/* Those of a list whose time is over. */
static struct errand *take_late(struct errand **list,
                                uint64_t now_ns,
                                uint64_t *next_ns)
{
    struct errand *late = NULL;
    struct errand **last = &late;
    while (*list) {
        struct errand *errand = *list;
        if (errand->until_ns > now_ns) {
            *next_ns =
                errand->until_ns < *next_ns ? errand->until_ns : *next_ns;
            list = &errand->next;
            continue;
        }
        *list = errand->next;
        errand->next = NULL;
        *last = errand;
        last = &errand->next;
    }
    return late;
}

static void end_late_waiting(struct desk_lane *lane,
                             uint64_t now_ns,
                             uint64_t *next_ns)
{
    struct errand *late = take_late(&lane->oldest, now_ns, next_ns);
    lane->newest = lane->oldest;
    while (lane->newest && lane->newest->next) {
        lane->newest = lane->newest->next;
    }
    while (late) {
        struct errand *errand = late;
        late = errand->next;
        errand_end(lane->desk, errand, lateness(errand, false));
    }
}

static void end_late_asked(struct batch *batch,
                           uint64_t now_ns,
                           uint64_t *next_ns)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct errand *errand = batch->errands[i];
        if (errand && errand->until_ns <= now_ns) {
            batch_end(batch, i, lateness(errand, batch->is_asked));
        } else if (errand && errand->until_ns < *next_ns) {
            *next_ns = errand->until_ns;
        }
    }
    if (batch->open_count == 0) {
        batch_free(batch);
    }
}

static void run_deadline(struct timer *timer)
{
    struct desk *desk = OWNER_OF(timer, struct desk, deadline);
    uint64_t now = desk_now_ns(desk);
    uint64_t next = TIMER_NEVER;
    for (struct desk_lane *lane = desk->lanes; lane; lane = lane->next) {
        end_late_waiting(lane, now, &next);
        for (struct batch *batch = lane->batches; batch;) {
            struct batch *following = batch->next;
            end_late_asked(batch, now, &next);
            batch = following;
        }
        lane_go_on(lane);
    }
    struct errand *rooms = take_late(&desk->rooms, now, &next);
    while (rooms) {
        struct errand *room = rooms;
        rooms = room->next;
        room->done.told(room->context, ERR_TIMEOUT, 0);
        errand_free(room);
    }
    desk->deadline_ns = TIMER_NEVER;
    note_deadline(desk, next);
}

/* ---- what comes ---- */

static void take_room(struct desk *desk, struct errand *errand)
{
    errand->next = desk->rooms;
    desk->rooms = errand;
    note_deadline(desk, errand->until_ns);
    tell_room(desk, ERR_NONE);
}

static void take(struct desk *desk, struct errand *errand)
{
    if (errand->kind == ERRAND_ROOM) {
        take_room(desk, errand);
        return;
    }
    bool is_stopped = atomic_load(&desk->is_stopped);
    struct desk_lane *lane = is_stopped ? NULL : lane_for(desk, errand);
    if (!lane) {
        errand_end(desk, errand, is_stopped ? ERR_CLOSED : ERR_MEMORY);
        return;
    }
    lane_append(lane, errand);
    note_deadline(desk, errand->until_ns);
}

static void run_inbox(struct reactor_event *event)
{
    struct desk *desk = OWNER_OF(event, struct desk, event);
    /* Before looking: who pushes later posts again. */
    atomic_store(&desk->is_posted, false);
    struct errand *errand = queue_pop(desk->inbox);
    for (uint32_t i = 0; errand && i < INBOX_MAX; i++) {
        take(desk, errand);
        errand = i + 1 < INBOX_MAX ? queue_pop(desk->inbox) : NULL;
    }
    for (struct desk_lane *lane = desk->lanes; lane; lane = lane->next) {
        lane_go_on(lane);
    }
    free_idle_lanes(desk);
}

enum err desk_put(struct desk *desk, struct errand *errand, bool is_within)
{
    if (atomic_load(&desk->is_stopped)) {
        return ERR_CLOSED; /* or callbacks would go on without end */
    }
    if (errand->kind != ERRAND_ROOM) {
        if (!has_room(desk, is_within ? 2 : 1)) {
            return ERR_FULL;
        }
        atomic_fetch_add(&desk->errand_count, 1);
        atomic_fetch_add(&desk->byte_count, errand->bytes);
    }
    size_t bytes = errand->bytes;
    bool is_counted = errand->kind != ERRAND_ROOM;
    enum err err = queue_push(desk->inbox, errand);
    if (err && is_counted) {
        atomic_fetch_sub(&desk->errand_count, 1);
        atomic_fetch_sub(&desk->byte_count, bytes);
    }
    if (!err && !atomic_exchange(&desk->is_posted, true)) {
        reactor_post(desk->config.reactor, &desk->event);
    }
    return err;
}

/* ---- life ---- */

enum err desk_open(struct desk **out, const struct desk_config *config)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (!desk) {
        return ERR_MEMORY;
    }
    desk->config = *config;
    desk->event.run = run_inbox;
    desk->deadline.fire = run_deadline;
    desk->deadline_ns = TIMER_NEVER;
    enum err err = queue_open(&desk->inbox, INBOX_MAX);
    if (err) {
        free(desk);
        return err;
    }
    *out = desk;
    return ERR_NONE;
}

static void stop_lane(struct desk_lane *lane)
{
    struct desk *desk = lane->desk;
    reactor_timer_cancel(desk->config.reactor, &lane->held);
    while (lane->batches) {
        struct batch *batch = lane->batches;
        for (uint32_t i = 0; i < batch->count; i++) {
            struct errand *errand = batch->errands[i];
            if (errand) {
                bool may_be = batch->is_asked || errand->is_uncertain;
                batch_end(batch, i,
                          may_be && errand->kind != ERRAND_AWAIT ? ERR_UNCERTAIN
                                                                 : ERR_CLOSED);
            }
        }
        batch_free(batch);
    }
    while (lane->oldest) {
        struct errand *errand = lane->oldest;
        lane->oldest = errand->next;
        errand_end(desk, errand,
                   errand->is_uncertain ? ERR_UNCERTAIN : ERR_CLOSED);
    }
}

static void run_stop(struct reactor_event *event)
{
    struct desk_stop *stop = OWNER_OF(event, struct desk_stop, event);
    struct desk *desk = stop->desk;
    atomic_store(&desk->is_stopped, true);
    for (struct desk_lane *lane = desk->lanes; lane; lane = lane->next) {
        stop_lane(lane);
    }
    free_idle_lanes(desk);
    tell_room(desk, ERR_CLOSED);
    reactor_timer_cancel(desk->config.reactor, &desk->deadline);
    if (atomic_load(&desk->is_posted)) {
        /* Something was put before: that is told first. */
        reactor_post(desk->config.reactor, &stop->event);
        return;
    }
    stop->stopped(stop);
}

void desk_stop(struct desk *desk, struct desk_stop *stop)
{
    stop->desk = desk;
    stop->event.run = run_stop;
    reactor_post(desk->config.reactor, &stop->event);
}

void desk_close(struct desk **desk)
{
    if (*desk) {
        assert(!(*desk)->lanes);
        queue_close(&(*desk)->inbox);
        free(*desk);
        *desk = NULL;
    }
}
