#include "client/client.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_reactor.h"
#include "base/posix/posix_waker.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/certificate.h"
#include "transport/calls.h"
#include "transport/nng_network.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define NOBODY UINT32_MAX
#define HANDSHAKE_MS 2000
#define DIAL_MS_MIN 10
#define DIAL_MS_MAX 200
#define TIDY_AGAIN_MS 20
#define ASK_AGAIN_MS_MIN 250 /* with less time left nobody else is asked */

/* One of those whom we are told, and how it went. */
struct attempt {
    char name[CERTIFICATE_NAME_BYTES];
    char door[SOCKET_URL_BYTES];
    struct peer *peer; /* NULL: not knocked at just now */
    enum err err;      /* ERR_NONE: no word yet */
    bool is_by_peer;
    char text[128]; /* more about it */
};

enum call_state {
    CALL_NONE,
    CALL_WAITS, /* for a link */
    CALL_ASKED,
    CALL_FAILED, /* it is told in a moment */
};

/* What a thread that waits has asked. Handed to and fro between both. */
struct order {
    struct reactor_event event;
    struct client_call call;
    enum err err;
    uint8_t *answer;
    size_t answer_length;
    _Atomic bool is_done;
};

struct client {
    /* Set once by client_open(). */
    struct log *log;
    uint32_t connect_ms;
    struct attempt *attempts;
    uint32_t attempt_count;
    struct posix_reactor *runner;
    struct posix_waker *posix_waker;
    struct waker waker; /* wakes the caller */

    /* The links' thread. */
    struct endpoint *endpoint;
    struct calls *calls;
    uint32_t linked;       /* index of an attempt; NOBODY */
    _Atomic uint32_t last; /* that was linked last; the caller reads it, too */
    struct asked *leaving; /* a node ends, and waits for this answer */
    uint32_t leaving_at;
    struct client_call *started; /* the oldest first */
    struct client_call *newest;
    uint64_t started_count;
    bool is_linking;
    uint32_t first;       /* to be tried, since it is linking */
    uint32_t tried_count; /* since then */
    struct timer next_timer;
    struct timer end_timer;
    struct timer tidy_timer;

    /* The caller's, but while it waits. */
    struct order order;
};

static struct reactor *reactor_of(const struct client *client)
{
    return posix_reactor_get(client->runner);
}

/* ---- what is asked ---- */

/* ERR_MEMORY */
static enum err keep_answer(struct client_call *call, struct bytes says)
{
    free(call->kept);
    call->kept = NULL;
    call->kept_bytes = 0;
    if (says.length > 0) {
        call->kept = malloc(says.length);
        if (!call->kept) {
            return ERR_MEMORY;
        }
        memcpy(call->kept, says.data, says.length);
        call->kept_bytes = says.length;
    }
    return ERR_NONE;
}

static uint64_t left_ms(const struct client_call *call)
{
    uint64_t now_ns = reactor_now_ns(reactor_of(call->client));
    return call->until_ns > now_ns ? (call->until_ns - now_ns) / NS_PER_MS : 0;
}

static void link_in(struct client *client, struct client_call *call)
{
    call->next = NULL;
    call->previous = client->newest;
    *(client->newest ? &client->newest->next : &client->started) = call;
    client->newest = call;
}

static void unlink_call(struct client *client, struct client_call *call)
{
    *(call->previous ? &call->previous->next : &client->started) = call->next;
    *(call->next ? &call->next->previous : &client->newest) = call->previous;
    call->next = NULL;
    call->previous = NULL;
    call->state = CALL_NONE;
}

/* It is its asker's again before that hears. */
static void finish_call(struct client_call *call,
                        enum err err,
                        struct bytes answer)
{
    struct client *client = call->client;
    assert(call->state != CALL_NONE);
    uint8_t *kept = call->kept;
    call->kept = NULL;
    reactor_timer_cancel(reactor_of(client), &call->timer);
    unlink_call(client, call);
    call->done(call, err, answer);
    free(kept);
}

static void finish_with_kept(struct client_call *call, enum err err)
{
    finish_call(call, err, bytes_of(call->kept, call->kept_bytes));
}

/* There is no link. What a node has said is worth more than that. */
static void fail_call(struct client_call *call, enum err err)
{
    finish_with_kept(call, call->no_quorum_count > 0 ? ERR_NO_QUORUM : err);
}

static void run_call_timer(struct timer *timer)
{
    struct client_call *call = OWNER_OF(timer, struct client_call, timer);
    fail_call(call, call->state == CALL_FAILED ? call->err : ERR_UNREACHABLE);
}

/* Until there is a link. */
static void let_wait(struct client_call *call)
{
    call->state = CALL_WAITS;
    if (!call->is_for_link) {
        reactor_timer_set(reactor_of(call->client), &call->timer,
                          left_ms(call) * NS_PER_MS);
    }
}

/* Not at once: who starts a call is not called back meanwhile. */
static void fail_soon(struct client_call *call, enum err err)
{
    call->state = CALL_FAILED;
    call->err = err;
    reactor_timer_set(reactor_of(call->client), &call->timer, 0);
}

static void on_answer(struct call *call, enum err err, struct bytes answer);

/* There is a link: go on with what waits for it. */
static void serve_call(struct client_call *call)
{
    struct client *client = call->client;
    if (call->is_for_link) {
        finish_call(call, ERR_NONE, (struct bytes){0});
        return;
    }
    reactor_timer_cancel(reactor_of(client), &call->timer);
    call->state = CALL_ASKED;
    call->asked_at = client->linked;
    call->call.done = on_answer;
    enum err err = calls_ask(
        client->calls, client->attempts[client->linked].peer, call->service,
        call->question, (uint32_t)left_ms(call), &call->call);
    if (err) {
        fail_soon(call, err);
    }
}

/* Call `visit`, which takes it out of that state, for those that are in it; not
 * for those that are started meanwhile. Others may go, too. */
static void each_call(struct client *client,
                      enum call_state state,
                      void (*visit)(struct client_call *call))
{
    uint64_t last = client->started_count;
    struct client_call *call = client->started;
    while (call && call->number <= last) {
        if (call->state == state) {
            visit(call);
            call = client->started;
        } else {
            call = call->next;
        }
    }
}

/* Whether something is under way with one of the nodes. */
static bool is_busy(const struct client *client, uint32_t attempt)
{
    for (const struct client_call *call = client->started; call;
         call = call->next) {
        if (call->state == CALL_ASKED && call->asked_at == attempt) {
            return true;
        }
    }
    return false;
}

/* ---- linking ---- */

static struct attempt *attempt_of(struct client *client,
                                  const struct peer *peer)
{
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        if (client->attempts[i].peer == peer) {
            return &client->attempts[i];
        }
    }
    return NULL;
}

/* It will not be otherwise in a moment. */
static bool is_final(const struct attempt *attempt)
{
    switch (attempt->err) {
    case ERR_NONE:
    case ERR_TIMEOUT:
    case ERR_BUSY:
    case ERR_MEMORY:
    case ERR_LIMIT:
    case ERR_IO:
    case ERR_MALFORMED:
        return false;
    default:
        return true;
    }
}

/* What there is to say when nobody lets us in: a refusal of us before one of
 * theirs, and that before silence. */
static enum err verdict(const struct client *client)
{
    enum err ours = ERR_NONE;
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        const struct attempt *attempt = &client->attempts[i];
        if (is_final(attempt) && attempt->is_by_peer) {
            return attempt->err;
        }
        if (is_final(attempt) && !ours) {
            ours = attempt->err;
        }
    }
    return ours ? ours : ERR_UNREACHABLE;
}

static void leave(struct client *client, struct attempt *attempt)
{
    if (attempt->peer) {
        calls_forget_peer(client->calls, attempt->peer);
        struct peer *peer = attempt->peer;
        attempt->peer = NULL;
        endpoint_peer_remove(client->endpoint, &peer);
    }
}

/* Those that still have something to answer, a little later. */
static void leave_others(struct client *client)
{
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        if (i != client->linked && is_busy(client, i)) {
            reactor_timer_set(reactor_of(client), &client->tidy_timer,
                              TIDY_AGAIN_MS * NS_PER_MS);
        } else if (i != client->linked) {
            leave(client, &client->attempts[i]);
        }
    }
}

static void stop_linking(struct client *client)
{
    client->is_linking = false;
    reactor_timer_cancel(reactor_of(client), &client->next_timer);
    reactor_timer_cancel(reactor_of(client), &client->end_timer);
}

static bool is_up(const struct attempt *attempt)
{
    return attempt->peer && peer_is_up(attempt->peer);
}

static void fail_waiting(struct client_call *call)
{
    fail_call(call, verdict(call->client));
}

/* A node that was only to be left for a better one is kept. */
static void give_up(struct client *client)
{
    stop_linking(client);
    client->linked =
        is_up(&client->attempts[client->last]) ? client->last : NOBODY;
    leave_others(client);
    each_call(client, CALL_WAITS, fail_waiting);
}

static void run_end(struct timer *timer)
{
    give_up(OWNER_OF(timer, struct client, end_timer));
}

static void run_tidy(struct timer *timer)
{
    struct client *client = OWNER_OF(timer, struct client, tidy_timer);
    if (client->linked != NOBODY) {
        leave_others(client);
    }
}

static bool all_have_refused(const struct client *client)
{
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        const struct attempt *attempt = &client->attempts[i];
        if (!is_final(attempt) && !is_up(attempt)) {
            return false;
        }
    }
    return true;
}

static void try_next_in_ms(struct client *client, uint64_t ms)
{
    reactor_timer_set(reactor_of(client), &client->next_timer, ms * NS_PER_MS);
}

static void knock_at(struct client *client, struct attempt *attempt)
{
    struct peer_address address = {.name = attempt->name,
                                   .door = attempt->door};
    attempt->err = attempt->peer ? ERR_NONE
                                 : endpoint_peer_add(client->endpoint, &address,
                                                     &attempt->peer);
    attempt->is_by_peer = false;
    attempt->text[0] = '\0';
}

static void run_next(struct timer *timer)
{
    struct client *client = OWNER_OF(timer, struct client, next_timer);
    if (client->tried_count < client->attempt_count) {
        uint32_t i =
            (client->first + client->tried_count++) % client->attempt_count;
        knock_at(client, &client->attempts[i]);
        try_next_in_ms(client,
                       client->attempts[i].err ? 0 : CLIENT_PATIENCE_MS);
    } else if (all_have_refused(client)) {
        give_up(client);
    }
}

static void start_linking(struct client *client, uint32_t first, uint32_t ms)
{
    client->is_linking = true;
    client->first = first;
    client->tried_count = 0;
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        client->attempts[i].err = ERR_NONE;
    }
    try_next_in_ms(client, 0);
    reactor_timer_set(reactor_of(client), &client->end_timer, ms * NS_PER_MS);
}

/* ---- a node that ends, or has no quorum ---- */

/* Its link is left when there is one with another node. */
static void go_elsewhere(struct client *client, uint32_t search_ms)
{
    if (client->linked != NOBODY && client->attempt_count > 1) {
        client->linked = NOBODY;
        start_linking(client, client->last + 1, search_ms);
    }
}

/* Tell the node that ends that nothing is under way with it any more. */
static void take_leave(struct client *client)
{
    if (client->leaving && !is_busy(client, client->leaving_at)) {
        asked_answer(&client->leaving, ERR_NONE, (struct bytes){0});
    }
}

static void on_leaving(void *context,
                       struct asked *asked,
                       struct bytes question)
{
    struct client *client = context;
    (void)question;
    if (client->leaving || client->linked == NOBODY ||
        asked_peer(asked) != client->attempts[client->linked].peer) {
        asked_answer(&asked, ERR_NONE, (struct bytes){0});
        return;
    }
    client->leaving = asked;
    client->leaving_at = client->linked;
    go_elsewhere(client, client->connect_ms);
    take_leave(client);
}

/* Ask the node that it is linked with now, or wait for one. */
static void ask_again(struct client_call *call)
{
    let_wait(call);
    if (call->client->linked != NOBODY) {
        serve_call(call);
    }
}

/* It may be on the wrong side of a partition: another one is asked, if not for
 * this then for what comes next. */
static void on_no_quorum(struct client_call *call, struct bytes answer)
{
    struct client *client = call->client;
    uint32_t search_ms = client->connect_ms < CLIENT_SEARCH_MS
                             ? client->connect_ms
                             : CLIENT_SEARCH_MS;
    if (client->linked == call->asked_at) {
        go_elsewhere(client, search_ms);
    }
    bool may_ask = ++call->no_quorum_count < client->attempt_count &&
                   left_ms(call) >= ASK_AGAIN_MS_MIN;
    if (may_ask && !keep_answer(call, answer)) {
        ask_again(call);
    } else {
        finish_call(call, ERR_NO_QUORUM, answer);
    }
}

/* A node that ends has done nothing when it says so: another one is asked. */
static void on_answer(struct call *one, enum err err, struct bytes answer)
{
    struct client_call *call = OWNER_OF(one, struct client_call, call);
    struct client *client = call->client;
    if (err == ERR_NOT_LEADER && client->attempt_count > 1) {
        if (client->linked == call->asked_at) {
            go_elsewhere(client, client->connect_ms);
        }
        ask_again(call);
    } else if (err == ERR_NO_QUORUM) {
        on_no_quorum(call, answer);
    } else {
        finish_call(call, err, answer);
    }
    take_leave(client);
}

/* ---- what the endpoint tells ---- */

static void on_linked(struct client *client, const struct attempt *attempt)
{
    if (client->linked == NOBODY) {
        client->linked = (uint32_t)(attempt - client->attempts);
        client->last = client->linked;
        stop_linking(client);
        reactor_timer_set(reactor_of(client), &client->tidy_timer, 0);
        each_call(client, CALL_WAITS, serve_call);
    }
}

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct client *client = context;
    if (!client->calls) {
        return; /* we are closing */
    }
    const struct attempt *attempt = attempt_of(client, peer);
    bool is_linked = attempt && client->linked != NOBODY &&
                     attempt == &client->attempts[client->linked];
    if (change == PEER_DOWN && is_linked) {
        client->linked = NOBODY; /* before it is known to who asks */
        /* It may have ended. */
        start_linking(client, client->last + 1, client->connect_ms);
    }
    calls_on_change(client->calls, peer, change);
    if (change == PEER_DOWN) {
        take_leave(client);
    }
    if (change == PEER_UP && attempt) {
        on_linked(client, attempt);
    }
}

static void on_refused(void *context,
                       struct peer *peer,
                       const struct peer_refusal *refusal)
{
    struct client *client = context;
    struct attempt *attempt = attempt_of(client, peer);
    if (!attempt) {
        return;
    }
    attempt->err = refusal->err;
    attempt->is_by_peer = refusal->is_by_peer;
    (void)snprintf(attempt->text, sizeof attempt->text, "%s", refusal->text);
    if (client->is_linking && is_final(attempt)) {
        try_next_in_ms(client, 0);
    }
}

static void explain(const struct client *client, struct err_detail *why)
{
    char text[sizeof why->text] = {0};
    size_t length = 0;
    for (uint32_t i = 0; i < client->attempt_count; i++) {
        const struct attempt *attempt = &client->attempts[i];
        enum err err = attempt->err ? attempt->err : ERR_TIMEOUT;
        int added =
            snprintf(text + length, sizeof text - length, "%s%s (%s): %s%s",
                     i ? "; " : "", attempt->name, attempt->door,
                     attempt->is_by_peer ? "it says of us: " : "",
                     attempt->text[0] ? attempt->text : err_text(err));
        if (added < 0 || (size_t)added >= sizeof text - length) {
            break;
        }
        length += (size_t)added;
    }
    err_explain(why, "%s", text);
}

/* ---- the caller's side ---- */

static void run_order(struct reactor_event *event)
{
    struct client *client = OWNER_OF(event, struct client, order.event);
    client_start(client, &client->order.call);
}

static void end_order(struct client_call *call,
                      enum err err,
                      struct bytes answer)
{
    struct client *client = OWNER_OF(call, struct client, order.call);
    struct order *order = &client->order;
    order->err = err;
    if (answer.length > 0) {
        order->answer = malloc(answer.length);
        if (order->answer) {
            memcpy(order->answer, answer.data, answer.length);
            order->answer_length = answer.length;
        } else {
            order->err = ERR_MEMORY;
        }
    }
    struct waker waker = client->waker;
    /* From here on it is the caller's, who may close the client once this
     * thread has ended. */
    atomic_store(&order->is_done, true);
    waker.wake(waker.context);
}

static enum err give_order(struct client *client)
{
    struct order *order = &client->order;
    atomic_store(&order->is_done, false);
    reactor_post(reactor_of(client), &order->event);
    while (!atomic_load(&order->is_done)) {
        client->waker.wait(client->waker.context, TIMER_NEVER);
    }
    return order->err;
}

/* ---- life ---- */

static enum err copy_nodes(struct client *client,
                           const struct client_config *config,
                           struct err_detail *why)
{
    client->attempts = calloc(config->node_count, sizeof *client->attempts);
    if (!client->attempts) {
        return ERR_MEMORY;
    }
    client->attempt_count = config->node_count;
    for (uint32_t i = 0; i < config->node_count; i++) {
        const struct client_node *node = &config->nodes[i];
        struct attempt *attempt = &client->attempts[i];
        if (!certificate_name_is_valid(node->name) ||
            strlen(node->door) >= sizeof attempt->door) {
            err_explain(why, "node \"%s\": %s", node->name,
                        err_text(ERR_INVALID));
            return ERR_INVALID;
        }
        (void)snprintf(attempt->name, sizeof attempt->name, "%s", node->name);
        (void)snprintf(attempt->door, sizeof attempt->door, "%s", node->door);
    }
    return ERR_NONE;
}

static enum err open_endpoint(struct client *client,
                              const struct client_config *config,
                              struct err_detail *why)
{
    struct endpoint_config own = {
        .network = nng_network(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = config->log,
        .reactor = reactor_of(client),
        .door_reactor = reactor_of(client),
        .identity = config->identity,
        .trust = config->trust,
        .events = {.context = client,
                   .on_change = on_change,
                   .on_refused = on_refused},
    };
    endpoint_config_defaults(&own);
    own.peer_count_max = config->node_count;
    own.handshake_ms = HANDSHAKE_MS;
    own.dial_ms_min = DIAL_MS_MIN;
    own.dial_ms_max = DIAL_MS_MAX;
    return endpoint_open(&client->endpoint, &own, why);
}

static enum err open_calls(struct client *client)
{
    struct calls_config config = {.endpoint = client->endpoint,
                                  .reactor = reactor_of(client),
                                  .log = client->log};
    calls_config_defaults(&config);
    config.asking_max = CLIENT_CALLS_MAX;
    config.asked_max = 2 * client->attempt_count;
    enum err err = calls_open(&client->calls, &config);
    if (!err) {
        calls_serve(client->calls, CALLS_SERVICE_LEAVING, on_leaving, client,
                    false);
    }
    return err;
}

static enum err open_parts(struct client *client,
                           const struct client_config *config,
                           struct err_detail *why)
{
    enum err err = copy_nodes(client, config, why);
    if (!err) {
        err = posix_waker_open(&client->posix_waker);
    }
    if (!err) {
        client->waker = posix_waker_table(client->posix_waker);
        err = posix_reactor_open(&client->runner, "client");
    }
    if (!err) {
        err = open_endpoint(client, config, why);
    }
    if (!err) {
        err = open_calls(client);
    }
    return err ? err : posix_reactor_start(client->runner);
}

enum err client_open(struct client **out,
                     const struct client_config *config,
                     struct err_detail *why)
{
    if (config->identity->certificate.role == ROLE_NODE) {
        err_explain(why, "the identity is a node's, not a client's");
        return ERR_DENIED;
    }
    if (config->node_count == 0) {
        err_explain(why, "no node to ask");
        return ERR_INVALID;
    }
    scoped(client_close) struct client *client = calloc(1, sizeof *client);
    if (!client) {
        return ERR_MEMORY;
    }
    client->log = config->log;
    client->connect_ms = config->connect_ms;
    client->linked = NOBODY;
    client->next_timer.fire = run_next;
    client->end_timer.fire = run_end;
    client->tidy_timer.fire = run_tidy;
    client->order.event.run = run_order;
    client->order.call.done = end_order;
    client->order.call.is_for_link = true;
    enum err err = open_parts(client, config, why);
    if (err) {
        return err;
    }
    err = give_order(client);
    client->order.call.is_for_link = false;
    if (err) {
        explain(client, why);
        return err;
    }
    *out = client;
    client = NULL; /* the caller owns it now */
    return ERR_NONE;
}

static void end_timers(struct client *client)
{
    struct reactor *reactor = reactor_of(client);
    reactor_timer_cancel(reactor, &client->next_timer);
    reactor_timer_cancel(reactor, &client->end_timer);
    reactor_timer_cancel(reactor, &client->tidy_timer);
}

static void close_call(struct client_call *call)
{
    calls_cancel(call->client->calls, &call->call);
    finish_call(call, ERR_CLOSED, (struct bytes){0});
}

void client_close(struct client **client)
{
    if (!*client) {
        return;
    }
    struct client *old = *client;
    posix_reactor_stop(old->runner);
    if (old->runner) {
        each_call(old, CALL_ASKED, close_call);
        each_call(old, CALL_WAITS, close_call);
        each_call(old, CALL_FAILED, close_call);
        end_timers(old);
    }
    calls_close(&old->calls);
    if (old->leaving) {
        asked_answer(&old->leaving, ERR_CLOSED, (struct bytes){0});
    }
    endpoint_close(&old->endpoint);
    posix_reactor_close(&old->runner);
    posix_waker_close(&old->posix_waker);
    free(old->attempts);
    free(old);
    *client = NULL;
}

const char *client_node_name(const struct client *client)
{
    return client->attempts[client->last].name;
}

enum err client_ask(struct client *client,
                    uint8_t service,
                    struct bytes question,
                    uint32_t timeout_ms,
                    uint8_t **answer,
                    size_t *answer_length)
{
    struct order *order = &client->order;
    order->call.service = service;
    order->call.question = question;
    order->call.until_ns = clock_now_ns(posix_clock()) + timeout_ms * NS_PER_MS;
    order->answer = NULL;
    order->answer_length = 0;
    enum err err = give_order(client);
    *answer = order->answer;
    *answer_length = order->answer_length;
    order->answer = NULL;
    return err;
}

struct reactor *client_reactor(const struct client *client)
{
    return reactor_of(client);
}

void client_start(struct client *client, struct client_call *call)
{
    assert(call->state == CALL_NONE);
    call->client = client;
    call->number = ++client->started_count;
    call->no_quorum_count = 0;
    call->kept_bytes = 0;
    call->timer.fire = run_call_timer;
    link_in(client, call);
    ask_again(call);
    if (client->linked == NOBODY && !client->is_linking) {
        start_linking(client, client->last, client->connect_ms);
    }
}

void client_cancel(struct client *client, struct client_call *call)
{
    if (call->state != CALL_NONE) {
        calls_cancel(client->calls, &call->call);
        reactor_timer_cancel(reactor_of(client), &call->timer);
        free(call->kept);
        call->kept = NULL;
        unlink_call(client, call);
        take_leave(client);
    }
}
