/*
 * SUBMIT: a submission is divided among shards, by keys and order keys; each
 * part goes to its shard's book through the router, or, of a volatile pool, to
 * whoever leads. What comes back is put together in the order of the tasks.
 */

#include "node/task_service_core.h"

#include "base/hash.h"
#include "base/owner.h"
#include "base/time_units.h"
#include "shard/task_request.h"

#include <stdlib.h>
#include <string.h>

#define NEW_POOL_NS NS_PER_S /* for so long a pool may be unknown here */
#define TRIES_MAX 8          /* of shards that may have room */
#define NEAR_TRIES_MAX 64    /* of numbers, for one whose shard is led here */

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
    uint8_t *buffer = service_buffer(service, 16 + (size_t)submit->count * 24);
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
        service_now_ns(service) < submit->begun_ns + NEW_POOL_NS) {
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
    reactor_timer_set(service->config.reactor, &part->timer, SERVICE_RETRY_NS);
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
        uint8_t *buffer = service_buffer(service, SERVICE_REPLY_BYTES);
        struct writer reply = writer_of(buffer, SERVICE_REPLY_BYTES);
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
    uint8_t *buffer = peer ? service_buffer(service, part->length + 32) : NULL;
    if (buffer) {
        struct writer writer = writer_of(buffer, part->length + 32);
        task_local_encode(&writer, &local);
        part->call.done = on_part_called;
        err = calls_ask(service->config.calls, peer, HOST_SERVICE_TASK,
                        writer_bytes(&writer),
                        service_left_ms(service, part->submit->until_ns),
                        &part->call);
    }
    if (err && service_now_ns(service) >= part->submit->until_ns) {
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
        .timeout_ms = service_left_ms(service, part->submit->until_ns)};
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
static uint32_t shard_of_number(const struct tasks *tasks, uint64_t submission)
{
    uint8_t number[8];
    put_u64(number, submission);
    return (uint32_t)(hash_bytes(bytes_of(number, 8), 0) %
                      tasks_shard_count(tasks));
}

uint64_t task_service_number(const struct task_service *service)
{
    const struct tasks *tasks = service->config.tasks;
    uint64_t number = 0;
    for (uint32_t i = 0; i < NEAR_TRIES_MAX; i++) {
        number = entropy_u64(service->config.entropy) | 1; /* never 0 */
        if (tasks_shard_count(tasks) > 0 &&
            tasks_led(tasks, shard_of_number(tasks, number))) {
            break;
        }
    }
    return number;
}

static uint32_t any_shard(const struct submit *submit, uint64_t submission)
{
    struct tasks *tasks = submit->service->config.tasks;
    uint32_t led = submit->is_volatile ? tasks_any_led(tasks) : UINT32_MAX;
    return led != UINT32_MAX ? led : shard_of_number(tasks, submission);
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
    if (is_known || service_now_ns(service) >= early->until_ns) {
        submit(service, early->asked, question, true);
        free_early(early);
    } else {
        reactor_timer_set(service->config.reactor, &early->timer,
                          SERVICE_RETRY_NS);
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
                            .until_ns = service_now_ns(service) + NEW_POOL_NS,
                            .timer.fire = run_early_timer,
                            .length = question.length};
    memcpy(early->question, question.data, question.length);
    service->early = early;
    service->count++;
    reactor_timer_set(service->config.reactor, &early->timer, SERVICE_RETRY_NS);
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
        asked_answer(
            &asked, err,
            bytes_of_text(err == ERR_NOT_FOUND ? "there is no such pool" : ""));
        return;
    }
    one->service = service;
    one->asked = asked;
    one->count = dividing.count;
    one->is_volatile = !dividing.pool->is_durable;
    one->begun_ns = service_now_ns(service);
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

void service_submit(struct task_service *service,
                    struct asked *asked,
                    struct bytes question)
{
    submit(service, asked, question, false);
}

void service_close_submits(struct task_service *service)
{
    while (service->submits) {
        asked_answer(&service->submits->asked, ERR_CLOSED, (struct bytes){0});
        free_submit(service->submits);
    }
    while (service->early) {
        asked_answer(&service->early->asked, ERR_CLOSED, (struct bytes){0});
        free_early(service->early);
    }
}
