#include "node/task_service.h"

#include "base/hash.h"
#include "base/owner.h"
#include "base/time_units.h"
#include "shard/task_request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 4096
#define LINGER_NS (20 * NS_PER_MS) /* after the first end, for more */
#define NEW_POOL_NS NS_PER_S       /* for so long a pool may be unknown here */
#define RETRY_NS (50 * NS_PER_MS)  /* while a shard has no leader */
#define REPLY_BYTES (256u << 10)
#define ANSWER_BYTES_MAX (2u << 20) /* what has ended beyond that is left */
#define WATCH_WAIT_MS 10000
#define TRIES_MAX 8 /* of shards that may have room */

/* ---- what is under way ---- */

/* The part of a submission that is for one shard. */
struct part {
    struct part *next;
    struct submit *submit;
    uint32_t shard;
    uint32_t count;
    uint32_t tries;
    bool is_anywhere; /* any shard will do */
    struct router_request request;
    struct call call;
    struct timer timer;
    enum err err;
    uint8_t *reply; /* runs */
    size_t reply_bytes;
    uint8_t *bytes; /* the request to the shard's book */
    size_t length;
};

struct submit {
    struct submit *next;
    struct task_service *service;
    struct asked *asked;
    struct part *parts;
    uint32_t part_count;
    uint32_t left;  /* parts that are under way */
    uint32_t count; /* tasks */
    bool is_volatile;
    uint64_t begun_ns;
    uint64_t until_ns;
    uint16_t of[]; /* which part each is in */
};

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

/* CHANGE: one request for each shard and kind of task. */
struct change {
    struct change *next;
    struct task_service *service;
    struct asked *asked;
    struct change_part *parts; /* under way */
    uint32_t left;
    uint64_t changed;
    enum err err;
};

struct change_part {
    struct change_part *next;
    struct change *change;
    struct router_request request;
    struct call call;
};

/* A submission to a pool that is not known yet. */
struct early {
    struct early *next;
    struct task_service *service;
    struct asked *asked;
    struct timer timer;
    uint64_t until_ns;
    size_t length;
    uint8_t question[];
};

struct task_service {
    struct task_service_config config;
    struct early *early;
    struct submit *submits;
    struct await *awaits;
    struct change *changes;
    uint32_t count; /* under way */
    uint8_t *buffer;
    size_t buffer_bytes;
};

static uint64_t now_ns(const struct task_service *service)
{
    return clock_now_ns(service->config.clock);
}

static uint32_t left_ms(const struct task_service *service, uint64_t until_ns)
{
    uint64_t now = now_ns(service);
    uint64_t left = until_ns > now ? (until_ns - now) / NS_PER_MS : 0;
    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left + 1;
}

static uint8_t *buffer_of(struct task_service *service, size_t bytes)
{
    if (bytes > service->buffer_bytes) {
        uint8_t *more = realloc(service->buffer, bytes);
        if (!more) {
            return NULL;
        }
        service->buffer = more;
        service->buffer_bytes = bytes;
    }
    return service->buffer;
}

static void answer_text(struct asked **asked, enum err err, const char *text)
{
    asked_answer(asked, err, bytes_of_text(text));
}

/* ---- submitting ---- */

static void send_part(struct part *part);
static void try_soon(struct part *part);
static void submit(struct task_service *service,
                   struct asked *asked,
                   struct bytes question,
                   bool has_waited);

static void free_submit(struct submit *submit)
{
    struct submit **link = &submit->service->submits;
    while (*link != submit) {
        link = &(*link)->next;
    }
    *link = submit->next;
    submit->service->count--;
    while (submit->parts) {
        struct part *part = submit->parts;
        submit->parts = part->next;
        router_cancel(submit->service->config.router, &part->request);
        calls_cancel(submit->service->config.calls, &part->call);
        reactor_timer_cancel(submit->service->config.reactor, &part->timer);
        free(part->reply);
        free(part->bytes);
        free(part);
    }
    free(submit);
}

/* The parts' runs, put together in the order of the tasks. */
struct merge {
    struct reader reader;
    struct book_run run;
    uint32_t used; /* of the run */
};

static enum err next_of(struct merge *merge,
                        const struct part *part,
                        struct book_run *out)
{
    while (!part->err && merge->used == merge->run.count) {
        book_run_decode(&merge->run, &merge->reader);
        merge->used = 0;
        if (merge->reader.failed) {
            return ERR_MALFORMED;
        }
    }
    *out = merge->run;
    out->count = 1;
    out->first += merge->run.err ? 0 : merge->used;
    merge->used++;
    if (part->err) {
        *out = (struct book_run){.count = 1, .err = part->err};
    }
    return ERR_NONE;
}

static struct part *part_at(const struct submit *submit, uint32_t at)
{
    struct part *part = submit->parts;
    for (uint32_t i = 0; i < at; i++) {
        part = part->next;
    }
    return part;
}

static enum err merge_runs(struct submit *submit, struct writer *writer)
{
    struct merge *merges = calloc(submit->part_count, sizeof *merges);
    struct part **parts = calloc(submit->part_count, sizeof(struct part *));
    enum err err = merges && parts ? ERR_NONE : ERR_MEMORY;
    struct book_runs runs = book_runs_begin(writer);
    for (uint32_t i = 0; i < submit->part_count && !err; i++) {
        parts[i] = part_at(submit, i);
        merges[i].reader =
            reader_of(bytes_of(parts[i]->reply, parts[i]->reply_bytes));
        if (!parts[i]->err) {
            (void)pack_read_array(&merges[i].reader);
        }
    }
    for (uint32_t i = 0; i < submit->count && !err; i++) {
        struct book_run next;
        uint16_t of = submit->of[i];
        err = next_of(&merges[of], parts[of], &next);
        if (!err) {
            book_runs_add(&runs, &next);
        }
    }
    book_runs_end(&runs);
    free(merges);
    free(parts);
    return err;
}

static void finish_submit(struct submit *submit)
{
    struct task_service *service = submit->service;
    uint8_t *buffer = buffer_of(service, 16 + (size_t)submit->count * 24);
    struct writer writer = writer_of(buffer, service->buffer_bytes);
    /* One part that has failed as a whole is the whole that has failed. */
    enum err err = submit->part_count == 1 ? submit->parts->err : ERR_NONE;
    if (!err && !buffer) {
        err = ERR_MEMORY;
    }
    if (!err) {
        err = merge_runs(submit, &writer);
    }
    asked_answer(&submit->asked, err,
                 err ? (struct bytes){0} : writer_bytes(&writer));
    free_submit(submit);
}

/* Nothing of it was taken, all for the same reason. */
static bool is_all(const struct part *part, enum err err)
{
    struct reader reader = reader_of(bytes_of(part->reply, part->reply_bytes));
    struct book_run run;
    (void)pack_read_array(&reader);
    book_run_decode(&run, &reader);
    return !reader.failed && run.err == err && run.count == part->count;
}

/* True: it is tried again. Where a shard is full another one may do; who leads
 * it may not have heard yet of a pool that is new. */
static bool try_elsewhere_or_later(struct part *part)
{
    struct submit *submit = part->submit;
    struct task_service *service = submit->service;
    if (part->is_anywhere && part->tries < TRIES_MAX &&
        is_all(part, ERR_FULL)) {
        part->tries++;
        part->shard =
            (part->shard + 1) % tasks_shard_count(service->config.tasks);
        send_part(part);
        return true;
    }
    if (is_all(part, ERR_NOT_FOUND) &&
        now_ns(service) < submit->begun_ns + NEW_POOL_NS) {
        try_soon(part);
        return true;
    }
    return false;
}

static void end_part(struct part *part, enum err err, struct bytes reply)
{
    struct submit *submit = part->submit;
    part->err = err;
    free(part->reply);
    part->reply = malloc(reply.length + 1);
    part->reply_bytes = reply.length;
    if (!part->reply) {
        part->err = ERR_MEMORY;
    } else if (reply.length > 0) {
        memcpy(part->reply, reply.data, reply.length);
    }
    if (!part->err && try_elsewhere_or_later(part)) {
        return;
    }
    if (--submit->left == 0) {
        finish_submit(submit);
    }
}

static void on_part_done(struct router_request *request,
                         enum err err,
                         struct bytes answer)
{
    end_part(OWNER_OF(request, struct part, request), err, answer);
}

static void try_soon(struct part *part)
{
    struct task_service *service = part->submit->service;
    reactor_timer_set(service->config.reactor, &part->timer, RETRY_NS);
}

static void on_part_called(struct call *call, enum err err, struct bytes answer)
{
    struct part *part = OWNER_OF(call, struct part, call);
    if (err == ERR_NOT_LEADER || err == ERR_UNREACHABLE) {
        try_soon(part);
    } else {
        end_part(part, err, answer);
    }
}

static void run_part_timer(struct timer *timer)
{
    send_part(OWNER_OF(timer, struct part, timer));
}

/* Volatile: to whoever leads, by the shortest way. */
static void send_volatile(struct part *part)
{
    struct task_service *service = part->submit->service;
    struct bytes request = bytes_of(part->bytes, part->length);
    struct coordinator *coordinator =
        tasks_led(service->config.tasks, part->shard);
    enum err err = ERR_NOT_LEADER;
    if (coordinator) {
        uint8_t *buffer = buffer_of(service, REPLY_BYTES);
        struct writer reply = writer_of(buffer, REPLY_BYTES);
        if (!buffer) {
            end_part(part, ERR_MEMORY, (struct bytes){0});
        } else if (coordinator_request(coordinator, request, &reply, &err)) {
            tasks_wake(service->config.tasks);
            /* What is answered lies in the buffer that is used again. */
            end_part(part, err, writer_bytes(&reply));
        } else {
            part->submit->is_volatile = false; /* the pool has changed */
            send_part(part);
        }
        return;
    }
    uint32_t leader = host_leader(service->config.host, part->shard);
    struct peer *peer =
        leader == MEMBER_NONE ? NULL : host_peer(service->config.host, leader);
    struct task_local local = {.shard = part->shard, .request = request};
    uint8_t *buffer = peer ? buffer_of(service, part->length + 32) : NULL;
    if (buffer) {
        struct writer writer = writer_of(buffer, part->length + 32);
        task_local_encode(&writer, &local);
        part->call.done = on_part_called;
        err = calls_ask(service->config.calls, peer, HOST_SERVICE_TASK,
                        writer_bytes(&writer),
                        left_ms(service, part->submit->until_ns), &part->call);
    }
    if (err && now_ns(service) >= part->submit->until_ns) {
        end_part(part, ERR_TIMEOUT, (struct bytes){0});
    } else if (err) {
        try_soon(part);
    }
}

static void send_part(struct part *part)
{
    struct task_service *service = part->submit->service;
    if (part->submit->is_volatile) {
        send_volatile(part);
        return;
    }
    struct router_ask ask = {
        .shard = part->shard,
        .may_repeat = true, /* a submission is known by its number */
        .command = bytes_of(part->bytes, part->length),
        .timeout_ms = left_ms(service, part->submit->until_ns)};
    part->request.done = on_part_done;
    enum err err = router_ask(service->config.router, &ask, &part->request);
    if (err) {
        end_part(part, err, (struct bytes){0});
    }
}

/* ---- dividing a submission ---- */

struct dividing {
    const struct task_pool *pool;
    struct reader specs;
    size_t room; /* for a whole request */
    uint64_t submission;
    uint32_t count;
};

/* The same when it is asked again, by its number, through whichever node: that
 * shard knows it. */
static uint32_t any_shard(const struct submit *submit, uint64_t submission)
{
    struct tasks *tasks = submit->service->config.tasks;
    uint8_t number[8];
    put_u64(number, submission);
    uint32_t led = submit->is_volatile ? tasks_any_led(tasks) : UINT32_MAX;
    return led != UINT32_MAX ? led
                             : (uint32_t)(hash_bytes(bytes_of(number, 8), 0) %
                                          tasks_shard_count(tasks));
}

static struct part *find_part(struct submit *submit,
                              uint32_t shard,
                              bool is_anywhere,
                              uint16_t *at)
{
    *at = 0;
    for (struct part *part = submit->parts; part; part = part->next, ++*at) {
        if (part->is_anywhere == is_anywhere &&
            (is_anywhere || part->shard == shard)) {
            return part;
        }
    }
    return NULL;
}

static struct part *add_part(struct submit *submit,
                             uint32_t shard,
                             bool is_anywhere,
                             const struct dividing *dividing)
{
    size_t room = dividing->room;
    uint64_t submission = dividing->submission;
    struct part **last = &submit->parts;
    while (*last) {
        last = &(*last)->next;
    }
    struct part *part = calloc(1, sizeof *part);
    uint8_t *bytes = malloc(room);
    if (!part || !bytes) {
        free(part);
        free(bytes);
        return NULL;
    }
    part->submit = submit;
    part->shard = is_anywhere ? any_shard(submit, submission) : shard;
    part->is_anywhere = is_anywhere;
    part->bytes = bytes;
    part->timer.fire = run_part_timer;
    submit->part_count++;
    *last = part;
    return part;
}

/* Which part each is in, and how many each has. */
static enum err divide(struct submit *submit, const struct dividing *dividing)
{
    struct reader specs = dividing->specs;
    uint32_t shard_count = tasks_shard_count(submit->service->config.tasks);
    uint32_t single = task_pool_is_single(dividing->pool)
                          ? task_pool_shard(dividing->pool->name, shard_count)
                          : UINT32_MAX;
    for (uint32_t i = 0; i < dividing->count; i++) {
        struct task_spec spec;
        task_spec_decode(&spec, &specs);
        if (specs.failed) {
            return ERR_MALFORMED;
        }
        uint32_t shard =
            single != UINT32_MAX
                ? single
                : task_spec_shard(&spec, dividing->pool, shard_count);
        bool is_anywhere = shard == UINT32_MAX;
        struct part *part =
            find_part(submit, shard, is_anywhere, &submit->of[i]);
        if (!part) {
            part = add_part(submit, shard, is_anywhere, dividing);
        }
        if (!part) {
            return ERR_MEMORY;
        }
        part->count++;
    }
    return ERR_NONE;
}

/* Each part gets a number of its own: that of the whole, and which it is. */
static void write_parts(struct submit *submit, const struct dividing *dividing)
{
    uint64_t number = dividing->submission;
    for (struct part *part = submit->parts; part; part = part->next) {
        struct writer writer = writer_of(part->bytes, dividing->room);
        book_submit_begin(&writer, dividing->pool->name, number, part->count);
        part->length = (size_t)(writer.next - writer.start);
        number += number != 0;
    }
    struct reader specs = dividing->specs;
    for (uint32_t i = 0; i < dividing->count; i++) {
        struct part *part = part_at(submit, submit->of[i]);
        const uint8_t *from = specs.next;
        pack_skip(&specs);
        memcpy(part->bytes + part->length, from, (size_t)(specs.next - from));
        part->length += (size_t)(specs.next - from);
    }
}

/* Those that it is limited to; NULL: it is not. */
static const char *pools_of(const struct asked *asked)
{
    const struct certificate *certificate = asked_certificate(asked);
    return certificate && certificate->role == ROLE_CLIENT ? certificate->pools
                                                           : NULL;
}

static bool may_submit(const struct asked *asked, const char *pool)
{
    const struct certificate *certificate = asked_certificate(asked);
    return !certificate || certificate->role == ROLE_NODE ||
           certificate->role == ROLE_OPERATOR ||
           (certificate->role == ROLE_CLIENT &&
            certificate_may_use(certificate, pool));
}

/* Reads the head; `pool` is borrowed until the pools change. */
static enum err read_submission(struct task_service *service,
                                struct bytes question,
                                struct dividing *out)
{
    struct reader reader = reader_of(question);
    (void)pack_read_array_of(&reader, 4, UINT32_MAX);
    (void)pack_read_uint(&reader);
    struct bytes name = pack_read_str(&reader);
    out->submission = pack_read_uint(&reader);
    out->count = pack_read_array(&reader);
    out->specs = reader;
    out->room = question.length + 32;
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    if (out->count == 0 || out->count > BOOK_REQUEST_TASKS_MAX) {
        return ERR_INVALID;
    }
    out->pool = task_pools_find(tasks_pools(service->config.tasks), name);
    return out->pool ? ERR_NONE : ERR_NOT_FOUND;
}

static void free_early(struct early *early)
{
    struct early **link = &early->service->early;
    while (*link != early) {
        link = &(*link)->next;
    }
    *link = early->next;
    early->service->count--;
    reactor_timer_cancel(early->service->config.reactor, &early->timer);
    free(early);
}

static void run_early_timer(struct timer *timer)
{
    struct early *early = OWNER_OF(timer, struct early, timer);
    struct task_service *service = early->service;
    struct dividing dividing;
    struct bytes question = bytes_of(early->question, early->length);
    bool is_known = read_submission(service, question, &dividing) == ERR_NONE;
    if (is_known || now_ns(service) >= early->until_ns) {
        submit(service, early->asked, question, true);
        free_early(early);
    } else {
        reactor_timer_set(service->config.reactor, &early->timer, RETRY_NS);
    }
}

/* Its pool may be newer than our view. False: no memory. */
static bool wait_for_pool(struct task_service *service,
                          struct asked *asked,
                          struct bytes question)
{
    struct early *early = malloc(sizeof *early + question.length);
    if (!early) {
        return false;
    }
    *early = (struct early){.next = service->early,
                            .service = service,
                            .asked = asked,
                            .until_ns = now_ns(service) + NEW_POOL_NS,
                            .timer.fire = run_early_timer,
                            .length = question.length};
    memcpy(early->question, question.data, question.length);
    service->early = early;
    service->count++;
    reactor_timer_set(service->config.reactor, &early->timer, RETRY_NS);
    return true;
}

static void submit(struct task_service *service,
                   struct asked *asked,
                   struct bytes question,
                   bool has_waited)
{
    struct dividing dividing;
    /* Without a view there are no pools, either. */
    enum err err = tasks_shard_count(service->config.tasks) == 0
                       ? ERR_NO_QUORUM
                       : read_submission(service, question, &dividing);
    if (err == ERR_NOT_FOUND && !has_waited &&
        wait_for_pool(service, asked, question)) {
        return;
    }
    if (!err && !may_submit(asked, dividing.pool->name)) {
        err = ERR_DENIED;
    }
    struct submit *one = NULL;
    if (!err) {
        one = calloc(1, sizeof *one + dividing.count * sizeof *one->of);
        err = one ? ERR_NONE : ERR_MEMORY;
    }
    if (err) {
        answer_text(&asked, err,
                    err == ERR_NOT_FOUND ? "there is no such pool" : "");
        return;
    }
    one->service = service;
    one->asked = asked;
    one->count = dividing.count;
    one->is_volatile = !dividing.pool->is_durable;
    one->begun_ns = now_ns(service);
    one->until_ns = asked_until_ns(asked);
    one->next = service->submits;
    service->submits = one;
    service->count++;
    if (dividing.submission == 0) {
        service->config.entropy->fill(service->config.entropy->context,
                                      &dividing.submission,
                                      sizeof dividing.submission);
    }
    err = divide(one, &dividing);
    if (err) {
        asked_answer(&one->asked, err, (struct bytes){0});
        free_submit(one);
        return;
    }
    write_parts(one, &dividing);
    one->left = one->part_count;
    for (struct part *part = one->parts; part;) {
        struct part *next = part->next;
        bool is_last = !next;
        send_part(part); /* the last one may end it all */
        part = is_last ? NULL : next;
    }
}

/* ---- awaiting ---- */

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
    if (needed > await->ends_capacity) {
        uint8_t *more =
            needed < ANSWER_BYTES_MAX ? realloc(await->ends, 2 * needed) : NULL;
        if (!more) {
            return; /* asked for again: it is not over, for this answer */
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
    uint64_t now = now_ns(await->service);
    uint64_t left = await->until_ns > now ? await->until_ns - now : 0;
    reactor_timer_set(await->service->config.reactor, &await->timer,
                      left < RETRY_NS ? left : RETRY_NS);
}

/* Answered, when all are over, or after a moment for more. */
static void note_over(struct await *await)
{
    uint64_t now = now_ns(await->service);
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
    struct router_ask ask = {.shard = task_id_shard(waited->watcher.id),
                             .is_read = true,
                             .may_repeat = true,
                             .command = writer_bytes(&writer),
                             .timeout_ms =
                                 left_ms(service, waited->await->until_ns)};
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
    uint32_t wait_ms = left_ms(service, await->until_ns);
    size_t room = task_await_bytes_max(await->count);
    uint64_t *ids = calloc(2 * (size_t)await->count, sizeof *ids);
    uint64_t *seen = ids ? ids + await->count : NULL;
    uint8_t *buffer = ids ? buffer_of(service, room) : NULL;
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
        err =
            calls_ask(service->config.calls, peer, HOST_SERVICE_TASK, question,
                      left_ms(service, await->until_ns) + 1000, &asked->call);
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
    uint8_t *buffer = buffer_of(service, room);
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
    uint64_t now = now_ns(service);
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

static void begin_await(struct task_service *service,
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
    await->begun_ns = now_ns(service);
    await->is_ours_alone = is_ours_alone;
    const char *pools = pools_of(asked);
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
        await->until_ns = now_ns(service) + WATCH_WAIT_MS * NS_PER_MS;
        reactor_timer_set(service->config.reactor, &await->timer, 0);
    }
}

/* ---- cancel, retry, purge ---- */

static void free_change(struct change *change)
{
    struct change **link = &change->service->changes;
    while (*link != change) {
        link = &(*link)->next;
    }
    *link = change->next;
    change->service->count--;
    while (change->parts) { /* only when the service ends */
        struct change_part *part = change->parts;
        change->parts = part->next;
        router_cancel(change->service->config.router, &part->request);
        calls_cancel(change->service->config.calls, &part->call);
        free(part);
    }
    free(change);
}

static void count_down(struct change *change, enum err err, uint64_t changed)
{
    change->changed += changed;
    change->err = change->err ? change->err : err;
    if (--change->left > 0) {
        return;
    }
    uint8_t buffer[16];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_uint(&writer, change->changed);
    asked_answer(&change->asked, change->err,
                 change->err ? (struct bytes){0} : writer_bytes(&writer));
    free_change(change);
}

static void end_change_part(struct change_part *part,
                            enum err err,
                            struct bytes answer)
{
    struct change *change = part->change;
    struct reader reader = reader_of(answer);
    uint64_t changed = err ? 0 : pack_read_uint(&reader);
    struct change_part **link = &change->parts;
    while (*link != part) {
        link = &(*link)->next;
    }
    *link = part->next;
    free(part);
    count_down(change, err, reader.failed ? 0 : changed);
}

static void on_change_done(struct router_request *request,
                           enum err err,
                           struct bytes answer)
{
    end_change_part(OWNER_OF(request, struct change_part, request), err,
                    answer);
}

static void on_change_called(struct call *call,
                             enum err err,
                             struct bytes answer)
{
    end_change_part(OWNER_OF(call, struct change_part, call), err, answer);
}

static void send_change(struct change *change,
                        enum book_request_kind kind,
                        const uint64_t *ids,
                        uint32_t count)
{
    struct task_service *service = change->service;
    struct change_part *part = calloc(1, sizeof *part);
    size_t room = 64 + CERTIFICATE_POOLS_BYTES + 9 * (size_t)count;
    uint8_t *buffer = malloc(2 * room);
    change->left++;
    if (!part || !buffer) {
        free(part);
        free(buffer);
        change->left--;
        change->err = ERR_MEMORY;
        return;
    }
    *part = (struct change_part){.next = change->parts,
                                 .change = change,
                                 .request.done = on_change_done,
                                 .call.done = on_change_called};
    change->parts = part;
    struct writer writer = writer_of(buffer, room);
    book_request_ids(&writer, kind, ids, count, pools_of(change->asked));
    uint32_t shard = task_id_shard(ids[0]);
    uint32_t timeout_ms = left_ms(service, asked_until_ns(change->asked));
    enum err err;
    if (task_id_is_volatile(ids[0])) {
        struct writer outer = writer_of(buffer + room, room);
        task_local_encode(
            &outer, &(struct task_local){.shard = shard,
                                         .request = writer_bytes(&writer)});
        uint32_t leader = host_leader(service->config.host, shard);
        struct peer *peer =
            leader == MEMBER_NONE || leader == host_number(service->config.host)
                ? NULL
                : host_peer(service->config.host, leader);
        err = calls_ask(service->config.calls, peer, HOST_SERVICE_TASK,
                        writer_bytes(&outer), timeout_ms, &part->call);
    } else {
        err = router_ask(service->config.router,
                         &(struct router_ask){.shard = shard,
                                              .may_repeat = true,
                                              .command = writer_bytes(&writer),
                                              .timeout_ms = timeout_ms},
                         &part->request);
    }
    free(buffer);
    if (err) {
        end_change_part(part, err, (struct bytes){0});
    }
}

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static bool belong_together(uint64_t left, uint64_t right)
{
    return task_id_shard(left) == task_id_shard(right) &&
           task_id_is_volatile(left) == task_id_is_volatile(right);
}

static void begin_change(struct task_service *service,
                         struct asked *asked,
                         struct bytes question)
{
    struct task_change request;
    enum err err = task_change_decode(&request, question);
    struct change *change = err ? NULL : calloc(1, sizeof *change);
    uint64_t *ids = err ? NULL : calloc(request.count, sizeof *ids);
    if (!change || !ids) {
        free(change);
        free(ids);
        asked_answer(&asked, err ? err : ERR_MEMORY, (struct bytes){0});
        return;
    }
    for (uint32_t i = 0; i < request.count; i++) {
        ids[i] = pack_read_uint(&request.ids);
    }
    qsort(ids, request.count, sizeof *ids, compare_ids);
    *change = (struct change){.next = service->changes,
                              .service = service,
                              .asked = asked,
                              .left = 1}; /* ours, until all are sent */
    service->changes = change;
    service->count++;
    for (uint32_t from = 0, to = 0; from < request.count; from = to) {
        while (to < request.count && belong_together(ids[from], ids[to])) {
            to++;
        }
        send_change(change, request.kind, ids + from, to - from);
    }
    free(ids);
    count_down(change, ERR_NONE, 0);
}

/* ---- between nodes ---- */

static bool is_of_node(const struct asked *asked)
{
    const struct certificate *certificate = asked_certificate(asked);
    return !certificate || certificate->role == ROLE_NODE;
}

static void do_local(struct task_service *service,
                     struct asked *asked,
                     struct bytes question)
{
    struct task_local local;
    enum err err = task_local_decode(&local, question);
    struct coordinator *coordinator =
        err ? NULL : tasks_led(service->config.tasks, local.shard);
    uint8_t *buffer = buffer_of(service, REPLY_BYTES);
    struct writer reply = writer_of(buffer, REPLY_BYTES);
    if (!err) {
        err = !coordinator ? ERR_NOT_LEADER : buffer ? ERR_NONE : ERR_MEMORY;
    }
    if (!err &&
        !coordinator_request(coordinator, local.request, &reply, &err)) {
        err = ERR_INVALID; /* durable: not this way */
    }
    tasks_wake(service->config.tasks);
    asked_answer(&asked, err, err ? (struct bytes){0} : writer_bytes(&reply));
}

static void on_asked(void *context, struct asked *asked, struct bytes question)
{
    struct task_service *service = context;
    const struct certificate *certificate = asked_certificate(asked);
    enum task_request_kind kind = task_request_kind(question);
    bool is_inner = kind == TASK_REQUEST_LOCAL || kind == TASK_REQUEST_ENDS;
    if ((certificate && certificate->role == ROLE_OBSERVER) ||
        (is_inner && !is_of_node(asked))) {
        answer_text(&asked, ERR_DENIED, "");
    } else if (service->count >= service->config.request_max) {
        answer_text(&asked, ERR_FULL, "");
    } else if (kind == TASK_REQUEST_SUBMIT) {
        submit(service, asked, question, false);
    } else if (kind == TASK_REQUEST_AWAIT || kind == TASK_REQUEST_ENDS) {
        begin_await(service, asked, question, kind == TASK_REQUEST_ENDS);
    } else if (kind == TASK_REQUEST_CHANGE) {
        begin_change(service, asked, question);
    } else if (kind == TASK_REQUEST_LOCAL) {
        do_local(service, asked, question);
    } else {
        answer_text(&asked, ERR_MALFORMED, "");
    }
}

/* ---- life ---- */

enum err task_service_open(struct task_service **out,
                           const struct task_service_config *config)
{
    struct task_service *service = calloc(1, sizeof *service);
    if (!service) {
        return ERR_MEMORY;
    }
    service->config = *config;
    if (service->config.request_max == 0) {
        service->config.request_max = REQUEST_MAX;
    }
    calls_serve(config->calls, HOST_SERVICE_TASK, on_asked, service, true);
    *out = service;
    return ERR_NONE;
}

void task_service_close(struct task_service **service)
{
    if (!*service) {
        return;
    }
    calls_serve((*service)->config.calls, HOST_SERVICE_TASK, NULL, NULL, false);
    while ((*service)->submits) {
        asked_answer(&(*service)->submits->asked, ERR_CLOSED,
                     (struct bytes){0});
        free_submit((*service)->submits);
    }
    while ((*service)->early) {
        asked_answer(&(*service)->early->asked, ERR_CLOSED, (struct bytes){0});
        free_early((*service)->early);
    }
    while ((*service)->changes) {
        asked_answer(&(*service)->changes->asked, ERR_CLOSED,
                     (struct bytes){0});
        free_change((*service)->changes);
    }
    while ((*service)->awaits) {
        if ((*service)->awaits->asked) {
            asked_answer(&(*service)->awaits->asked, ERR_CLOSED,
                         (struct bytes){0});
        }
        free_await((*service)->awaits);
    }
    free((*service)->buffer);
    free(*service);
    *service = NULL;
}

static void on_ask_done(struct call *call, enum err err, struct bytes answer)
{
    struct task_ask *ask = OWNER_OF(call, struct task_ask, call);
    ask->done(ask, err, answer);
}

enum err task_service_ask(struct task_service *service,
                          struct bytes question,
                          uint32_t timeout_ms,
                          struct task_ask *ask)
{
    ask->call.done = on_ask_done;
    return calls_ask(service->config.calls, NULL, HOST_SERVICE_TASK, question,
                     timeout_ms, &ask->call);
}

void task_service_cancel(struct task_service *service, struct task_ask *ask)
{
    calls_cancel(service->config.calls, &ask->call);
}
