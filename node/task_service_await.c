/*
 * AWAIT and ENDS: who waits for tasks hears of them when they have ended, and
 * if they wish of what those say meanwhile. What is led here is watched; the
 * nodes that lead the rest are asked.
 */

#include "node/task_service_core.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/task_request.h"
#include "transport/calls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_NS (20 * NS_PER_MS) /* after the first end, for more */
#define ENDS_BYTES_MAX (2u << 20)  /* what has ended beyond that is left */
#define OUTCOME_BYTES_MAX 64       /* but for its end, or what it says */
#define WATCH_WAIT_MS 10000

/* Also when each task that is asked about says something. */
static_assert(ENDS_BYTES_MAX + TASK_REQUEST_IDS_MAX *
                                   (OUTCOME_BYTES_MAX + TASK_WHY_BYTES) <=
                  CALLS_REPLY_BYTES_MAX,
              "an answer has room for all of it");

/* One task that is waited for. */
struct waited {
    struct task_watcher watcher;
    struct router_request request; /* whether nothing is known of it */
    struct await *await;
    bool is_confirming; /* that */
    bool is_over;
    enum err err;
    size_t end_at; /* in `await->ends`: of what has ended */
    size_t end_bytes;
    uint64_t seen;          /* what who asks has heard it say */
    struct task_said *said; /* what it says other than that; NULL: nothing */
};

/* Those whose shards another node leads, asked there. */
struct asked_node {
    struct asked_node *next;
    struct await *await;
    struct call call;
    uint32_t node;
};

struct await {
    struct await *next;
    struct task_service *service;
    struct asked *asked; /* NULL: `tasks` wants to know */
    bool is_ours_alone;  /* ENDS: of what is led here */
    bool is_limited;     /* to these pools: */
    char pools[CERTIFICATE_POOLS_BYTES];
    bool is_curious; /* about what tasks say of themselves */
    uint64_t begun_ns;
    uint64_t until_ns;
    struct timer timer;
    uint32_t over;
    uint8_t *ends; /* encoded */
    size_t ends_bytes;
    size_t ends_capacity;
    struct asked_node *nodes;
    uint32_t count;
    struct waited list[];
};

static void look_at(struct await *await);

static void stop_await(struct await *await)
{
    struct task_service *service = await->service;
    reactor_timer_cancel(service->config.reactor, &await->timer);
    for (uint32_t i = 0; i < await->count; i++) {
        dispatcher_unwatch(tasks_dispatcher(service->config.tasks),
                           &await->list[i].watcher);
        router_cancel(service->config.router, &await->list[i].request);
    }
    while (await->nodes) {
        struct asked_node *node = await->nodes;
        await->nodes = node->next;
        calls_cancel(service->config.calls, &node->call);
        free(node);
    }
}

static void free_await(struct await *await)
{
    struct await **link = &await->service->awaits;
    while (*link != await) {
        link = &(*link)->next;
    }
    *link = await->next;
    await->service->count--;
    stop_await(await);
    for (uint32_t i = 0; i < await->count; i++) {
        free(await->list[i].said);
    }
    free(await->ends);
    free(await);
}

/* Keep it, encoded. */
static void take_end(struct waited *waited, const struct task_end *end)
{
    struct await *await = waited->await;
    size_t bytes = task_end_bytes_max(end);
    size_t needed = await->ends_bytes + bytes;
    /* What has no room is asked for again: it is not over, for this answer. */
    if (needed > ENDS_BYTES_MAX) {
        return;
    }
    if (needed > await->ends_capacity) {
        uint8_t *more = realloc(await->ends, 2 * needed);
        if (!more) {
            return;
        }
        await->ends = more;
        await->ends_capacity = 2 * needed;
    }
    struct writer writer = writer_of(await->ends + await->ends_bytes, bytes);
    task_end_encode(end, &writer);
    waited->end_at = await->ends_bytes;
    waited->end_bytes = (size_t)(writer.next - writer.start);
    await->ends_bytes += waited->end_bytes;
    waited->is_over = true;
    await->over++;
}

/* When it is answered, or looked at again. */
static void set_await_timer(struct await *await)
{
    uint64_t now = service_now_ns(await->service);
    uint64_t left = await->until_ns > now ? await->until_ns - now : 0;
    reactor_timer_set(await->service->config.reactor, &await->timer,
                      left < SERVICE_RETRY_NS ? left : SERVICE_RETRY_NS);
}

/* Answered, when all are over, or after a moment for more. */
static void note_over(struct await *await)
{
    uint64_t now = service_now_ns(await->service);
    if (await->over == await->count) {
        await->until_ns = now;
        set_await_timer(await);
    } else if (await->until_ns > now + LINGER_NS && await->asked) {
        await->until_ns = now + LINGER_NS;
        set_await_timer(await);
    }
}

/* Answered soon, though nothing may have ended: not more often than people can
 * read, and with the newest alone. */
static void note_said(struct waited *waited, const struct task_said *said)
{
    struct await *await = waited->await;
    uint64_t soon_ns = await->begun_ns + TASK_SAID_MS * NS_PER_MS;
    bool is_news =
        await->is_curious && !waited->is_over && said->number != waited->seen;
    if (is_news && !waited->said) {
        waited->said = malloc(sizeof *waited->said);
    }
    if (!is_news || !waited->said) {
        return; /* without memory: it will say more */
    }
    *waited->said = *said;
    if (await->until_ns > soon_ns) {
        await->until_ns = soon_ns;
        set_await_timer(await);
    }
}

static void on_said(struct task_watcher *watcher, const struct task_said *said)
{
    note_said(OWNER_OF(watcher, struct waited, watcher), said);
}

static void on_confirmed(struct router_request *request,
                         enum err err,
                         struct bytes answer)
{
    struct waited *waited = OWNER_OF(request, struct waited, request);
    struct reader reader = reader_of(answer);
    waited->is_confirming = false;
    /* Without an answer it is looked for again, as if it is there. */
    if (!waited->is_over && !err && !pack_read_bool(&reader) &&
        !reader.failed) {
        waited->err = ERR_NOT_FOUND;
        waited->is_over = true;
        waited->await->over++;
        note_over(waited->await);
    }
}

/* Whoever says so may have been deposed: the group knows. */
static void confirm(struct waited *waited)
{
    struct task_service *service = waited->await->service;
    uint8_t buffer[32];
    struct writer writer = writer_of(buffer, sizeof buffer);
    book_has_encode(&writer, waited->watcher.id);
    struct router_ask ask = {
        .shard = task_id_shard(waited->watcher.id),
        .is_read = true,
        .may_repeat = true,
        .command = writer_bytes(&writer),
        .timeout_ms = service_left_ms(service, waited->await->until_ns)};
    waited->request.done = on_confirmed;
    waited->is_confirming =
        !router_ask(service->config.router, &ask, &waited->request);
}

static void on_watched(struct task_watcher *watcher,
                       enum err err,
                       const struct task_end *end)
{
    struct waited *waited = OWNER_OF(watcher, struct waited, watcher);
    struct await *await = waited->await;
    if (err == ERR_NOT_LEADER || waited->is_over) {
        return; /* looked for again; or another node has said it */
    }
    if (err == ERR_NOT_FOUND) {
        confirm(waited);
        return;
    }
    if (end) {
        take_end(waited, end);
    } else {
        waited->err = err;
        waited->is_over = true;
        await->over++;
    }
    if (waited->is_over) {
        note_over(await);
    }
}

static struct waited *find_waited(struct await *await, uint64_t id)
{
    for (uint32_t i = 0; i < await->count; i++) {
        if (await->list[i].watcher.id == id && !await->list[i].is_over) {
            return &await->list[i];
        }
    }
    return NULL;
}

static void on_node_answer(struct call *call, enum err err, struct bytes answer)
{
    struct asked_node *node = OWNER_OF(call, struct asked_node, call);
    struct await *await = node->await;
    struct reader reader = reader_of(answer);
    struct asked_node **link = &await->nodes;
    while (*link != node) {
        link = &(*link)->next;
    }
    *link = node->next;
    free(node);
    uint32_t count = err ? 0 : pack_read_array(&reader);
    uint32_t over = await->over;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct task_outcome outcome;
        task_outcome_decode(&outcome, &reader);
        struct waited *waited =
            reader.failed ? NULL : find_waited(await, outcome.id);
        if (waited && outcome.err == ERR_NONE) {
            take_end(waited, &outcome.end);
        } else if (waited && outcome.err == ERR_BUSY) {
            note_said(waited, &outcome.said);
        } else if (waited && outcome.err != ERR_NOT_LEADER) {
            waited->err = outcome.err;
            waited->is_over = true;
            await->over++;
        }
    }
    if (await->over > over) {
        note_over(await);
    }
}

static struct asked_node *node_of(const struct await *await, uint32_t node)
{
    struct asked_node *of = await->nodes;
    while (of && of->node != node) {
        of = of->next;
    }
    return of;
}

/* Whether a node is to be asked about it, which leads its shard. */
static bool is_for(const struct waited *waited, uint32_t node)
{
    const struct task_service *service = waited->await->service;
    return !waited->is_over && !waited->watcher.is_watching &&
           !waited->is_confirming &&
           host_leader(service->config.host,
                       task_id_shard(waited->watcher.id)) == node;
}

/* NULL: no memory. */
static uint8_t *write_question(struct await *await,
                               uint32_t node,
                               struct bytes *out)
{
    struct task_service *service = await->service;
    uint32_t wait_ms = service_left_ms(service, await->until_ns);
    size_t room = task_await_bytes_max(await->count);
    uint64_t *ids = calloc(2 * (size_t)await->count, sizeof *ids);
    uint64_t *seen = ids ? ids + await->count : NULL;
    uint8_t *buffer = ids ? service_buffer(service, room) : NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < await->count && buffer; i++) {
        const struct waited *waited = &await->list[i];
        if (is_for(waited, node)) {
            seen[count] = waited->said ? waited->said->number : waited->seen;
            ids[count++] = waited->watcher.id;
        }
    }
    struct writer writer = writer_of(buffer, room);
    if (buffer) {
        task_await_encode(
            &writer,
            &(struct task_await_question){
                .kind = TASK_REQUEST_ENDS,
                .count = count,
                .ids = ids,
                .seen = await->is_curious ? seen : NULL,
                .wait_ms =
                    wait_ms < TASK_AWAIT_MS_MAX ? wait_ms : TASK_AWAIT_MS_MAX,
                .pools = await->is_limited ? await->pools : NULL});
        *out = writer_bytes(&writer);
    }
    free(ids);
    return buffer;
}

/* All that `node` leads, and that are not over. */
static void ask_node(struct await *await, uint32_t node)
{
    struct task_service *service = await->service;
    struct peer *peer = host_peer(service->config.host, node);
    struct asked_node *asked = calloc(1, sizeof *asked);
    struct bytes question;
    enum err err = peer && asked && write_question(await, node, &question)
                       ? ERR_NONE
                       : ERR_UNREACHABLE;
    if (!err) {
        *asked = (struct asked_node){
            .await = await, .node = node, .call.done = on_node_answer};
        err = calls_ask(
            service->config.calls, peer, HOST_SERVICE_TASK, question,
            service_left_ms(service, await->until_ns) + 1000, &asked->call);
    }
    if (err) {
        free(asked);
    } else {
        asked->next = await->nodes;
        await->nodes = asked;
    }
}

static void set_unknown(struct waited *waited)
{
    waited->err = ERR_NOT_FOUND;
    waited->is_over = true;
    waited->await->over++;
    note_over(waited->await);
}

/* False: led here, and of a pool that is no business of who asks. */
static bool may_see(const struct await *await, uint64_t id)
{
    struct coordinator *coordinator =
        await->is_limited
            ? tasks_led(await->service->config.tasks, task_id_shard(id))
            : NULL;
    const struct task *task =
        coordinator ? book_find(coordinator_book(coordinator), id) : NULL;
    return !task || certificate_pools_have(await->pools, task_pool_name(task));
}

/* Watch what is led here, ask for the rest. */
static void look_at(struct await *await)
{
    struct task_service *service = await->service;
    for (uint32_t i = 0; i < await->count; i++) {
        struct waited *waited = &await->list[i];
        uint32_t shard = task_id_shard(waited->watcher.id);
        if (waited->is_over || waited->watcher.is_watching ||
            waited->is_confirming) {
            continue;
        }
        if (!may_see(await, waited->watcher.id)) {
            set_unknown(waited);
            continue;
        }
        if (tasks_led(service->config.tasks, shard)) {
            dispatcher_watch(tasks_dispatcher(service->config.tasks),
                             &waited->watcher);
            continue;
        }
        uint32_t count = tasks_shard_count(service->config.tasks);
        if (count > 0 && shard >= count) { /* 0: that is not known yet */
            set_unknown(waited);
            continue;
        }
        uint32_t leader = host_leader(service->config.host, shard);
        if (!await->is_ours_alone && leader != MEMBER_NONE &&
            leader != host_number(service->config.host) &&
            !node_of(await, leader)) {
            ask_node(await, leader);
        }
    }
}

/* Of one that is over, or has said something new; else nothing. */
static void write_outcome(const struct await *await,
                          const struct waited *waited,
                          struct writer *writer)
{
    struct task_outcome outcome = {.id = waited->watcher.id,
                                   .err = waited->err};
    if (waited->is_over && !waited->err) {
        pack_array(writer, 3);
        pack_uint(writer, outcome.id);
        pack_uint(writer, ERR_NONE);
        write_bytes(writer, await->ends + waited->end_at, waited->end_bytes);
    } else if (waited->is_over) {
        task_outcome_encode(&outcome, writer);
    } else if (waited->said) {
        outcome.err = ERR_BUSY;
        outcome.said = *waited->said;
        task_outcome_encode(&outcome, writer);
    }
}

static void answer_await(struct await *await)
{
    struct task_service *service = await->service;
    static const struct task_outcome plain;
    uint32_t said_count = 0;
    for (uint32_t i = 0; i < await->count; i++) {
        said_count += await->list[i].said && !await->list[i].is_over;
    }
    size_t room = 16 + await->ends_bytes + (size_t)await->over * 24 +
                  (size_t)said_count * task_outcome_bytes_max(&plain);
    uint8_t *buffer = service_buffer(service, room);
    struct writer writer = writer_of(buffer, room);
    if (buffer) {
        pack_array(&writer, await->over + said_count);
        for (uint32_t i = 0; i < await->count; i++) {
            write_outcome(await, &await->list[i], &writer);
        }
    }
    asked_answer(&await->asked, buffer ? ERR_NONE : ERR_MEMORY,
                 buffer ? writer_bytes(&writer) : (struct bytes){0});
    free_await(await);
}

/* For a task of ours that waits for another shard's. */
static void tell_tasks(struct await *await)
{
    struct task_service *service = await->service;
    const struct waited *waited = &await->list[0];
    uint64_t id = waited->watcher.id;
    if (!waited->is_over) {
        free_await(await);
        task_service_watch(service, id);
        return;
    }
    enum task_state state = TASK_STATE_COUNT;
    if (!waited->err) {
        struct reader reader = reader_of(
            bytes_of(await->ends + waited->end_at, waited->end_bytes));
        struct task_end end;
        task_end_decode(&end, &reader);
        state = end.state;
    }
    free_await(await);
    dispatcher_hear_end(tasks_dispatcher(service->config.tasks), id, state);
    tasks_wake(service->config.tasks);
}

static void run_await_timer(struct timer *timer)
{
    struct await *await = OWNER_OF(timer, struct await, timer);
    struct task_service *service = await->service;
    uint64_t now = service_now_ns(service);
    if (await->over == await->count || now >= await->until_ns) {
        if (await->asked) {
            answer_await(await);
        } else {
            tell_tasks(await);
        }
        return;
    }
    look_at(await);
    set_await_timer(await);
}

static struct await *new_await(struct task_service *service, uint32_t count)
{
    struct await *await =
        calloc(1, sizeof *await + count * sizeof *await->list);
    if (await) {
        await->service = service;
        await->count = count;
        await->timer.fire = run_await_timer;
        await->next = service->awaits;
        service->awaits = await;
        service->count++;
        for (uint32_t i = 0; i < count; i++) {
            await->list[i].await = await;
            await->list[i].watcher.done = on_watched;
        }
    }
    return await;
}

void service_await(struct task_service *service,
                   struct asked *asked,
                   struct bytes question,
                   bool is_ours_alone)
{
    struct task_await request;
    enum err err = task_await_decode(&request, question);
    struct await *await = err ? NULL : new_await(service, request.count);
    if (!await) {
        asked_answer(&asked, err ? err : ERR_MEMORY, (struct bytes){0});
        return;
    }
    for (uint32_t i = 0; i < request.count; i++) {
        struct waited *waited = &await->list[i];
        waited->watcher.id = pack_read_uint(&request.ids);
        if (request.is_curious) {
            waited->watcher.said = on_said;
            waited->seen = pack_read_uint(&request.seen);
        }
    }
    await->asked = asked;
    await->is_curious = request.is_curious;
    await->begun_ns = service_now_ns(service);
    await->is_ours_alone = is_ours_alone;
    const char *pools = service_pools(asked);
    await->is_limited = pools || request.is_limited;
    memcpy(await->pools, pools ? pools : request.pools, sizeof await->pools);
    await->until_ns = await->begun_ns + request.wait_ms * NS_PER_MS;
    look_at(await);
    set_await_timer(await);
}

void task_service_watch(struct task_service *service, uint64_t id)
{
    struct await *await = new_await(service, 1);
    if (await) { /* else: when a leader stages the task anew */
        await->list[0].watcher.id = id;
        await->until_ns = service_now_ns(service) + WATCH_WAIT_MS * NS_PER_MS;
        reactor_timer_set(service->config.reactor, &await->timer, 0);
    }
}

void service_close_awaits(struct task_service *service)
{
    while (service->awaits) {
        if (service->awaits->asked) {
            asked_answer(&service->awaits->asked, ERR_CLOSED,
                         (struct bytes){0});
        }
        free_await(service->awaits);
    }
}
