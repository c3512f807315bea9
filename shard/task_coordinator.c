#include "shard/task_coordinator_core.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

#define SUBMISSION_COUNT_MAX 1024 /* remembered */
#define TRIM_NS NS_PER_S          /* between looks at what may be forgotten */
#define PROPOSE_PAUSE_NS (20 * NS_PER_MS)
#define COMMAND_BYTES 64

/* ---- small things ---- */

void coordinator_wake(struct coordinator *coordinator)
{
    coordinator->home.wake(coordinator->home.context, coordinator);
}

static const struct task_pool *settings_of(
    const struct coordinator *coordinator, const char *name)
{
    return task_pools_find(coordinator->home.pools(coordinator->home.context),
                           bytes_of_text(name));
}

struct pool_work *pool_work_find(const struct coordinator *coordinator,
                                 const char *name)
{
    struct pool_work *pool = coordinator->pools;
    while (pool && strcmp(pool->name, name) != 0) {
        pool = pool->next;
    }
    return pool;
}

struct pool_work *pool_work_of(struct coordinator *coordinator,
                               const struct task *task)
{
    const char *name = task_pool_name(task);
    struct pool_work *pool = pool_work_find(coordinator, name);
    if (!pool) {
        pool = calloc(1, sizeof *pool);
        if (!pool) {
            return NULL;
        }
        memcpy(pool->name, name, strlen(name) + 1);
        pool->settings = settings_of(coordinator, name);
        pool->next = coordinator->pools;
        coordinator->pools = pool;
    }
    return pool;
}

uint64_t lease_ms_of(const struct pool_work *pool)
{
    struct task_pool standard;
    if (pool && pool->settings) {
        return pool->settings->lease_ms;
    }
    task_pool_defaults(&standard);
    return standard.lease_ms;
}

void coordinator_pools_changed(struct coordinator *coordinator)
{
    coordinator->schedules_ms = 0;
    for (struct pool_work *pool = coordinator->pools; pool; pool = pool->next) {
        pool->settings = settings_of(coordinator, pool->name);
        if (coordinator->term != 0) {
            pool->is_told = false;
            tell_ready(coordinator, pool);
        }
    }
}

static void tell_all(struct coordinator *coordinator)
{
    for (struct pool_work *pool = coordinator->pools; pool; pool = pool->next) {
        tell_ready(coordinator, pool);
    }
}

/* ---- what the book says ---- */

static const struct task_pools *on_pools(void *context)
{
    const struct coordinator *coordinator = context;
    return coordinator->home.pools(coordinator->home.context);
}

static uint32_t on_shard_count(void *context)
{
    const struct coordinator *coordinator = context;
    return coordinator->home.shard_count(coordinator->home.context);
}

/* Whoever worked on it has been heard. */
static void acknowledge(struct coordinator *coordinator,
                        const struct task *task)
{
    if (task->work == WORK_ENDING && task->token != 0) {
        coordinator->home.ack(coordinator->home.context, task->agent, task->id,
                              task->token, true);
    }
}

static void on_waiting(void *context, struct task *task)
{
    struct coordinator *coordinator = context;
    if (coordinator->term == 0) {
        return;
    }
    acknowledge(coordinator, task);
    task->work =
        task->extra && task->extra->order_queue ? WORK_AFTER : WORK_NONE;
    stage(coordinator, task, false);
}

/* It was cancelled under its worker's hands. */
static void take_away(struct coordinator *coordinator, struct task *task)
{
    if (task->work == WORK_LEASED) {
        coordinator->home.cancel(coordinator->home.context, task->agent,
                                 task->id, task->token);
    }
    if (task->work != WORK_ENDING) {
        unstage(coordinator, task);
    }
}

static void on_end(void *context, struct task *task)
{
    struct coordinator *coordinator = context;
    if (coordinator->term == 0) {
        return;
    }
    acknowledge(coordinator, task);
    take_away(coordinator, task);
    stage_next(coordinator, task);
    task->work = WORK_NONE;
    if (*coordinator->home.waits > 0) {
        coordinator_hear_end(coordinator, task->id,
                             (enum task_state)task->state);
    }
    coordinator->home.on_end(coordinator->home.context, task);
}

static void on_reset(void *context)
{
    struct coordinator *coordinator = context;
    if (coordinator->term != 0) {
        coordinator_follow(coordinator);
        coordinator->home.on_reset(coordinator->home.context, coordinator);
    }
}

static void on_marked(void *context)
{
    struct coordinator *coordinator = context;
    coordinator->marking = 0;
    if (coordinator->term != 0) {
        tell_all(coordinator);
    }
}

/* ---- leading ---- */

static void free_ends(struct ends *ends)
{
    task_parcel_free(&ends->parcel);
    free(ends);
}

static void clear_work(struct coordinator *coordinator)
{
    while (coordinator->pools) {
        struct pool_work *pool = coordinator->pools;
        coordinator->pools = pool->next;
        ready_clear(&pool->ready);
        free(pool);
    }
    for (size_t i = 0; i < AFTER_SLOT_COUNT; i++) {
        while (coordinator->afters[i]) {
            free_after(coordinator, &coordinator->afters[i]);
        }
    }
    while (coordinator->ends) {
        struct ends *ends = coordinator->ends;
        coordinator->ends = ends->next;
        free_ends(ends);
    }
    order_clear(&coordinator->orders);
    due_clear(&coordinator->due);
    memset(coordinator->leased, 0,
           AGENT_COUNT_MAX * sizeof *coordinator->leased);
    coordinator->suspects = 0;
    coordinator->marking = 0;
    coordinator->propose_ns = 0;
}

void coordinator_follow(struct coordinator *coordinator)
{
    coordinator->term = 0;
    clear_work(coordinator);
}

static void forget_work(struct task *task)
{
    task->work = WORK_NONE;
    task->token = 0;
    task->next = NULL;
    task->previous = NULL;
    if (task->extra) {
        task->extra->order_queue = NULL;
        task->extra->after_left = 0;
    }
}

/* Also one that is not due: by the last leader's clock it may have been. */
static bool is_suspect(const struct coordinator *coordinator,
                       const struct task *task)
{
    return !HAS_TASK_FAULT(&coordinator->home, FORGET_SUSPECTS) &&
           task_id_sequence(task->id) < book_marked(coordinator->book);
}

/* For how long, in ms. Those behind it keep their order. */
static uint64_t suspect(struct coordinator *coordinator, struct task *task)
{
    bool is_first = true;
    if (task_order(task).length > 0 &&
        (order_enter(&coordinator->orders, task, &is_first) || !is_first)) {
        task->work = WORK_BEHIND;
        return 0;
    }
    task->work = WORK_SUSPECT;
    coordinator->suspects++;
    return lease_ms_of(pool_work_of(coordinator, task));
}

void coordinator_lead(struct coordinator *coordinator, uint64_t term)
{
    uint64_t lease_ms = 0;
    assert(term != 0);
    clear_work(coordinator);
    coordinator->term = term;
    /* It may lead again in the same term, after a restore. */
    coordinator->counter =
        term == coordinator->token_term ? coordinator->counter : 0;
    coordinator->token_term = term;
    coordinator->trim_ns = coordinator_now_ns(coordinator) + TRIM_NS;
    coordinator->schedules_ms = 0;
    for (struct task *task = book_first(coordinator->book); task;
         task = task->newer) {
        forget_work(task);
    }
    for (struct task *task = book_first(coordinator->book); task;
         task = task->newer) {
        if (task->is_ending) {
            continue; /* decided: it is heard of when that is applied */
        }
        if (!is_suspect(coordinator, task)) {
            stage(coordinator, task, false);
            continue;
        }
        uint64_t its_ms = suspect(coordinator, task);
        lease_ms = its_ms > lease_ms ? its_ms : lease_ms;
    }
    coordinator->suspects_until_ns =
        coordinator_now_ns(coordinator) + lease_ms * NS_PER_MS;
    coordinator_wake(coordinator);
}

uint64_t coordinator_term(const struct coordinator *coordinator)
{
    return coordinator->term;
}

/* ---- requests of others ---- */

static enum err change_volatile(struct coordinator *coordinator,
                                struct bytes request,
                                struct writer *reply)
{
    struct book_ids ids;
    uint32_t changed = 0;
    if (book_ids_read(&ids, request)) {
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < ids.count; i++) {
        uint64_t id = pack_read_uint(&ids.ids);
        struct task *task =
            task_id_is_volatile(id) ? book_find(coordinator->book, id) : NULL;
        changed += task && book_ids_have(&ids, task_pool_name(task)) &&
                   book_change_volatile(coordinator->book, task, ids.kind,
                                        coordinator_wall_ms(coordinator));
    }
    pack_uint(reply, changed);
    return reply->failed ? ERR_TOO_LARGE : ERR_NONE;
}

/* The first of its ids: those of volatile tasks are never with others. */
static bool is_of_volatile(struct bytes request)
{
    struct reader reader = reader_of(request);
    (void)pack_read_array_of(&reader, 2, UINT32_MAX);
    uint64_t kind = pack_read_uint(&reader);
    uint32_t count = pack_read_array(&reader);
    uint64_t id = count > 0 ? pack_read_uint(&reader) : 0;
    return !reader.failed && kind >= BOOK_CANCEL && kind <= BOOK_PURGE &&
           task_id_is_volatile(id);
}

bool coordinator_request(struct coordinator *coordinator,
                         struct bytes request,
                         struct writer *reply,
                         enum err *err)
{
    bool is_submission =
        book_is_volatile_submission(coordinator->book, request);
    if (!is_submission && !is_of_volatile(request)) {
        return false;
    }
    *err = coordinator->term == 0 ? ERR_NOT_LEADER
           : is_submission
               ? book_submit_volatile(coordinator->book, coordinator->term,
                                      coordinator_wall_ms(coordinator), request,
                                      reply)
               : change_volatile(coordinator, request, reply);
    return true;
}

/* ---- the clock ---- */

static void expire(struct coordinator *coordinator, struct task *task)
{
    end_task(
        coordinator, task,
        &(struct book_end){.id = task->id,
                           .state = TASK_EXPIRED,
                           .why = bytes_of_text("not begun by its deadline")});
}

static void fire(struct coordinator *coordinator,
                 struct task *task,
                 int64_t now_ms)
{
    bool may_expire = task->extra && task->extra->until_ms > 0 &&
                      task->extra->until_ms <= now_ms;
    if (task->state != TASK_WAITING || task->is_ending ||
        task->work == WORK_ENDING) {
        return;
    }
    if (may_expire && task->work != WORK_LEASED && task->work != WORK_SUSPECT) {
        expire(coordinator, task);
    } else if (task->work == WORK_DELAYED && task->at_ms <= now_ms) {
        task->work = WORK_AFTER; /* nothing but the time was waited for */
        stage(coordinator, task, false);
    }
}

static void trim(struct coordinator *coordinator)
{
    uint8_t buffer[COMMAND_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    int64_t now_ms = coordinator_wall_ms(coordinator);
    coordinator->trim_ns = coordinator_now_ns(coordinator) + TRIM_NS;
    book_trim_volatile(coordinator->book, now_ms);
    if (book_has_to_trim(coordinator->book, now_ms)) {
        book_trim_encode(&writer);
        /* If not now, a second later. */
        (void)!coordinator->home.propose(coordinator->home.context,
                                         coordinator->shard,
                                         writer_bytes(&writer));
    }
}

void coordinator_tick(struct coordinator *coordinator)
{
    int64_t now_ms = coordinator_wall_ms(coordinator);
    uint64_t now_ns = coordinator_now_ns(coordinator);
    struct due due;
    if (coordinator->term == 0) {
        return;
    }
    while (due_pop(&coordinator->due, now_ms, &due)) {
        struct task *task = book_find(coordinator->book, due.id);
        if (task) {
            fire(coordinator, task, now_ms);
        } else {
            tell_all(coordinator); /* a rate allows more by now */
        }
    }
    if (now_ms >= coordinator->schedules_ms) {
        look_at_schedules(coordinator);
    }
    if (coordinator->suspects > 0 && now_ns >= coordinator->suspects_until_ns) {
        clear_suspects(coordinator);
    }
    if (now_ns >= coordinator->trim_ns) {
        trim(coordinator);
    }
    if (coordinator->propose_ns != 0 && now_ns >= coordinator->propose_ns) {
        coordinator->propose_ns = 0;
        coordinator_wake(coordinator);
    }
}

/* 0 when it is due: the clock goes on, and "now" would be later than what the
 * caller calls so, again and again. The clocks are read only when something
 * waits: each turn asks this of each shard. */
static uint64_t first_due_ns(const struct coordinator *coordinator)
{
    int64_t first_ms = due_first_ms(&coordinator->due);
    if (coordinator->schedules_ms < first_ms) {
        first_ms = coordinator->schedules_ms;
    }
    if (first_ms == INT64_MAX) {
        return UINT64_MAX;
    }
    int64_t now_ms = coordinator_wall_ms(coordinator);
    if (first_ms <= now_ms) {
        return 0;
    }
    uint64_t left_ms = (uint64_t)first_ms - (uint64_t)now_ms;
    return left_ms < UINT32_MAX
               ? coordinator_now_ns(coordinator) + left_ms * NS_PER_MS
               : UINT64_MAX;
}

uint64_t coordinator_due_ns(const struct coordinator *coordinator)
{
    if (coordinator->term == 0) {
        return UINT64_MAX;
    }
    uint64_t due_ns = coordinator->trim_ns;
    uint64_t first_ns = first_due_ns(coordinator);
    if (first_ns < due_ns) {
        due_ns = first_ns;
    }
    if (coordinator->suspects > 0 && coordinator->suspects_until_ns < due_ns) {
        due_ns = coordinator->suspects_until_ns;
    }
    if (coordinator->propose_ns != 0 && coordinator->propose_ns < due_ns) {
        due_ns = coordinator->propose_ns;
    }
    return due_ns;
}

/* ---- proposing ---- */

static enum err propose_mark(struct coordinator *coordinator)
{
    uint8_t buffer[COMMAND_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    if (coordinator->marking <= book_marked(coordinator->book)) {
        coordinator->marking = 0;
        return ERR_NONE;
    }
    book_mark_encode(&writer, coordinator->marking);
    return coordinator->home.propose(coordinator->home.context,
                                     coordinator->shard, writer_bytes(&writer));
}

static struct ends **last_ends(struct coordinator *coordinator)
{
    struct ends **last = &coordinator->ends;
    while (*last && (*last)->next) {
        last = &(*last)->next;
    }
    return last;
}

/* The oldest first: what is behind it may be about the same task. While one is
 * proposed it is in no list: more may end meanwhile. */
static enum err propose_ends(struct coordinator *coordinator)
{
    enum err err = ERR_NONE;
    while (coordinator->ends && !err) {
        struct ends **last = last_ends(coordinator);
        struct ends *ends = *last;
        *last = NULL;
        err = coordinator->home.propose(coordinator->home.context,
                                        coordinator->shard,
                                        task_parcel_end(&ends->parcel));
        err = HAS_TASK_FAULT(&coordinator->home, LOSE_ENDS) ? ERR_NONE : err;
        if (!err || coordinator->term == 0) {
            free_ends(ends);
            continue;
        }
        last = last_ends(coordinator);
        *(*last ? &(*last)->next : last) = ends;
    }
    return err;
}

void coordinator_turn_end(struct coordinator *coordinator)
{
    if (coordinator->term == 0) {
        return;
    }
    bool was_marking = coordinator->marking != 0;
    enum err err = was_marking ? propose_mark(coordinator) : ERR_NONE;
    enum err of_ends = propose_ends(coordinator);
    if (err) {
        coordinator->marking = 0; /* asked for again when it is needed */
        tell_all(coordinator);
    }
    if (err || of_ends) {
        coordinator->propose_ns =
            coordinator_now_ns(coordinator) + PROPOSE_PAUSE_NS;
    }
}

/* ---- looking ---- */

uint64_t coordinator_ready(const struct coordinator *coordinator,
                           const char *pool)
{
    const struct pool_work *work = pool_work_find(coordinator, pool);
    return work ? work->ready.count : 0;
}

const char *task_work_name(enum task_work work)
{
    static const char *const names[WORK_STATE_COUNT] = {
        "none",  "ready",   "delayed", "behind",
        "after", "running", "suspect", "ending"};
    return names[work];
}

static struct attempt_look *look_of(const struct coordinator *coordinator,
                                    uint64_t id)
{
    return coordinator->looks ? &coordinator->looks[id % LOOK_COUNT] : NULL;
}

/* Of what was said, and by which attempt: the same of the same, whoever leads,
 * so that who has heard it knows it again. */
static uint64_t number_of(uint64_t token, const struct task_said *said)
{
    const uint64_t numbers[] = {token, said->done_of_1000};
    const struct bytes parts[] = {bytes_of(numbers, sizeof numbers),
                                  bytes_of_text(said->text)};
    uint64_t number = hash_parts(parts, 2, 0);
    return number == 0 ? 1 : number;
}

void coordinator_progress(struct coordinator *coordinator,
                          uint32_t agent,
                          uint64_t id,
                          uint64_t token,
                          uint32_t done_of_1000,
                          struct bytes text)
{
    const struct task *task = book_find(coordinator->book, id);
    if (!task || task->work != WORK_LEASED || task->agent != agent ||
        task->token != token) {
        return;
    }
    if (!coordinator->looks) {
        coordinator->looks = calloc(LOOK_COUNT, sizeof *coordinator->looks);
    }
    struct attempt_look *look = look_of(coordinator, id);
    if (!look) {
        return;
    }
    size_t length =
        text.length < TASK_WHY_BYTES - 1 ? text.length : TASK_WHY_BYTES - 1;
    *look = (struct attempt_look){
        .id = id, .token = token, .said.done_of_1000 = done_of_1000};
    if (length > 0) {
        memcpy(look->said.text, text.data, length);
    }
    look->said.number = number_of(token, &look->said);
    coordinator->home.on_said(coordinator->home.context, task, &look->said);
}

struct coordinator_look coordinator_look(const struct coordinator *coordinator,
                                         const struct task *task)
{
    struct coordinator_look out = {0};
    const struct attempt_look *look = look_of(coordinator, task->id);
    if (task->work != WORK_LEASED) {
        return out;
    }
    out.leased_ms = (uint32_t)(coordinator_now_ns(coordinator) / NS_PER_MS) -
                    task->leased_at_ms;
    if (look && look->id == task->id && look->token == task->token) {
        out.said = look->said;
    }
    return out;
}

const struct coordinator_stats *coordinator_stats(
    const struct coordinator *coordinator)
{
    return &coordinator->stats;
}

/* ---- life ---- */

enum err coordinator_open(struct coordinator **out,
                          uint32_t shard,
                          const struct coordinator_home *home)
{
    struct coordinator *coordinator = calloc(1, sizeof *coordinator);
    if (!coordinator) {
        return ERR_MEMORY;
    }
    coordinator->home = *home;
    coordinator->shard = shard;
    coordinator->leased = calloc(AGENT_COUNT_MAX, sizeof *coordinator->leased);
    struct book_config config = {.shard = shard,
                                 .shard_count = on_shard_count,
                                 .pools = on_pools,
                                 .events = {.context = coordinator,
                                            .on_waiting = on_waiting,
                                            .on_end = on_end,
                                            .on_reset = on_reset,
                                            .on_marked = on_marked},
                                 .submission_count_max = SUBMISSION_COUNT_MAX};
#ifdef TROUPE_FAULTS
    config.fault = home->fault;
#endif
    enum err err = coordinator->leased ? book_open(&coordinator->book, &config)
                                       : ERR_MEMORY;
    if (err) {
        coordinator_close(&coordinator);
        return err;
    }
    *out = coordinator;
    return ERR_NONE;
}

void coordinator_close(struct coordinator **coordinator)
{
    if (!*coordinator) {
        return;
    }
    if ((*coordinator)->leased) {
        clear_work(*coordinator);
    }
    book_close(&(*coordinator)->book);
    free((*coordinator)->leased);
    free((*coordinator)->looks);
    free(*coordinator);
    *coordinator = NULL;
}

struct book *coordinator_book(struct coordinator *coordinator)
{
    return coordinator->book;
}

uint32_t coordinator_shard(const struct coordinator *coordinator)
{
    return coordinator->shard;
}
