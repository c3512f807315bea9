#include "shard/router.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/archive_wire.h"
#include "shard/router_core.h"
#include "shard/shard_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 1024 /* kept for the next ones */

/* Whoever waits elsewhere is told so much earlier that the answer arrives. */
#define MARGIN_NS_MAX (50 * NS_PER_MS)
#define MARGIN_SHARE 8 /* at most this part of the time that is left */

/* Whom to tell: one of these, or nobody. */
struct waiter {
    struct router_request *request;
    struct asked *asked;
};

void router_config_defaults(struct router_config *config)
{
    config->quiet_ms = 750;
    config->request_max = 1u << 16;
    config->held_bytes_max = 64u << 20;
}

/* ---- what the view says ---- */

bool router_has_map(const struct router *router)
{
    const struct view *view = host_view(router->config.host);
    return view && view->map.places;
}

const struct shard_place *router_place(const struct router *router,
                                       uint32_t shard)
{
    return router_has_map(router) &&
                   shard < host_view(router->config.host)->map.shard_count
               ? &host_view(router->config.host)->map.places[shard]
               : NULL;
}

/* ---- telling ---- */

static void answer_not_leader(const struct router *router,
                              uint32_t shard,
                              struct asked **asked)
{
    const struct view *view = host_view(router->config.host);
    uint8_t buffer[ROUTER_HINT_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct router_hint hint = {.leader =
                                   router_place(router, shard)
                                       ? host_leader(router->config.host, shard)
                                       : MEMBER_NONE,
                               .view_version = view ? view->version : 0};
    router_hint_encode(&hint, &writer);
    asked_answer(asked, ERR_NOT_LEADER, writer_bytes(&writer));
}

/* `request` and `asked` may be gone, or used anew, when it returns. */
static void tell(struct router *router,
                 uint32_t shard,
                 struct waiter waiter,
                 enum err err,
                 struct bytes answer)
{
    if (!waiter.asked && !waiter.request) {
        return;
    }
    router->stats.timed_out += err == ERR_TIMEOUT || err == ERR_NO_QUORUM;
    router->stats.uncertain += err == ERR_UNCERTAIN;
    if (waiter.asked && err == ERR_NOT_LEADER) {
        answer_not_leader(router, shard, &waiter.asked);
    } else if (waiter.asked) {
        asked_answer(&waiter.asked, err, answer);
    } else if (waiter.request) {
        waiter.request->done(waiter.request, err, answer);
    }
}

/* Nobody waits for it any more. */
static struct waiter take_waiter(struct held_request *held)
{
    struct waiter waiter = {.request = held->request, .asked = held->asked};
    if (held->request) {
        held->request->held = NULL;
    }
    held->request = NULL;
    held->asked = NULL;
    return waiter;
}

/* ---- held requests ---- */

static void free_held(struct held_request *held)
{
    free(held->own);
    free(held);
}

/* Of those that are under way: its place and its bytes are free. */
static void unlink_held(struct router *router, struct held_request *held)
{
    if (held->next_held) {
        held->next_held->previous_held = held->previous_held;
    }
    *(held->previous_held ? &held->previous_held->next_held : &router->held) =
        held->next_held;
    router->held_count--;
    router->held_bytes -= held->command_bytes;
    reactor_timer_cancel(router->config.reactor, &held->timer);
}

static void recycle(struct router *router, struct held_request *held)
{
    unlink_held(router, held);
    if (router->spare_count == SPARE_MAX) {
        free_held(held);
        return;
    }
    free(held->own);
    held->own = NULL;
    held->next = router->spare;
    router->spare = held;
    router->spare_count++;
}

/* All zero but for `small`. NULL: no memory */
static struct held_request *make_held(struct router *router)
{
    struct held_request *held = router->spare;
    if (!held) {
        return calloc(1, sizeof *held);
    }
    router->spare = held->next;
    router->spare_count--;
    memset(held, 0, offsetof(struct held_request, small));
    return held;
}

void router_finish(struct held_request *held, enum err err, struct bytes answer)
{
    struct router *router = held->router;
    assert(held->state == HELD_NEW || held->state == HELD_DECIDED);
    if (!router) {
        free_held(held);
        return;
    }
    struct waiter waiter = take_waiter(held);
    uint32_t shard = held->shard;
    bool is_doubled = HAS_HOST_FAULT(&router->config, ANSWER_TWICE) &&
                      waiter.request && held->try_count > 1 && !err;
    recycle(router, held);
    tell(router, shard, waiter, err, answer);
    if (is_doubled) {
        tell(router, shard, waiter, err, answer);
    }
}

void router_decide(struct held_request *held, enum err err)
{
    assert(held->state == HELD_NEW);
    held->state = HELD_DECIDED;
    held->err = err;
    reactor_timer_set(held->router->config.reactor, &held->timer, 0);
}

/* Out of wherever it is; but from a group nothing can be taken back. */
static void take_out(struct held_request *held)
{
    struct router *router = held->router;
    if (held->state == HELD_WAITS) {
        route_drop(router->routes[held->shard], held);
    } else if (held->state == HELD_ASKED) {
        route_unask(router->routes[held->shard], held);
    }
    if (held->state != HELD_IN_GROUP) {
        held->state = HELD_NEW;
    }
}

/* Whoever waits for it waits no more. */
static void give_up(struct held_request *held, enum err err)
{
    struct router *router = held->router;
    take_out(held);
    if (held->state != HELD_IN_GROUP) {
        router_finish(held, err, bytes_of(NULL, 0));
        return;
    }
    reactor_timer_cancel(router->config.reactor, &held->timer);
    tell(router, held->shard, take_waiter(held), err, bytes_of(NULL, 0));
}

static enum err err_of_time_over(const struct held_request *held)
{
    bool is_idle = held->state == HELD_WAITS && !held->may_have_happened &&
                   !HAS_HOST_FAULT(&held->router->config, SILENT_MINORITY);
    return is_idle && !held->has_had_leader &&
                   route_lacks_majority(held->router->routes[held->shard])
               ? ERR_NO_QUORUM
               : ERR_TIMEOUT;
}

static void on_timer(struct timer *timer)
{
    struct held_request *held = OWNER_OF(timer, struct held_request, timer);
    if (held->state == HELD_DECIDED) {
        router_finish(held, held->err, bytes_of(NULL, 0));
    } else {
        give_up(held, err_of_time_over(held));
    }
}

/* ERR_MEMORY */
static enum err copy_command(struct held_request *held,
                             const struct router_ask *ask)
{
    uint8_t *to = held->small;
    size_t bytes = ask->command.length + 1;
    if (bytes > sizeof held->small) {
        held->own = malloc(bytes);
        to = held->own;
    }
    if (!to) {
        return ERR_MEMORY;
    }
    to[0] = ask->for_archive ? ARCHIVE_FOR_ARCHIVE : ARCHIVE_FOR_MACHINE;
    if (ask->command.length > 0) {
        memcpy(to + 1, ask->command.data, ask->command.length);
    }
    held->command_bytes = ask->command.length;
    return ERR_NONE;
}

static void link_held(struct router *router, struct held_request *held)
{
    held->next_held = router->held;
    if (router->held) {
        router->held->previous_held = held;
    }
    router->held = held;
    router->held_count++;
    router->held_bytes += held->command_bytes;
}

/* ERR_FULL, ERR_MEMORY */
static enum err hold(struct router *router,
                     const struct router_ask *ask,
                     uint64_t left_ns,
                     struct held_request **out)
{
    if (router->held_count >= router->config.request_max ||
        ask->command.length >
            router->config.held_bytes_max - router->held_bytes) {
        router->stats.refused++;
        return ERR_FULL;
    }
    struct held_request *held =
        router_route(router, ask->shard) ? make_held(router) : NULL;
    if (!held) {
        return ERR_MEMORY;
    }
    if (copy_command(held, ask)) {
        free_held(held);
        return ERR_MEMORY;
    }
    held->router = router;
    held->timer.fire = on_timer;
    held->order = router->order++;
    held->until_ns = clock_now_ns(router->config.clock) + left_ns;
    held->shard = ask->shard;
    held->is_read = ask->is_read;
    held->may_repeat = ask->may_repeat;
    held->for_archive = ask->for_archive;
    link_held(router, held);
    reactor_timer_set(router->config.reactor, &held->timer, left_ns);
    *out = held;
    return ERR_NONE;
}

/* ---- asking ---- */

enum err router_ask(struct router *router,
                    const struct router_ask *ask,
                    struct router_request *request)
{
    if (router->is_closing) {
        return ERR_CLOSED;
    }
    if (ask->shard >= SHARD_COUNT_MAX ||
        (router_has_map(router) && !router_place(router, ask->shard))) {
        return ERR_NOT_FOUND;
    }
    struct held_request *held;
    enum err err =
        hold(router, ask, (uint64_t)ask->timeout_ms * NS_PER_MS, &held);
    if (err) {
        return err;
    }
    held->request = request;
    request->held = held;
    route_take(router->routes[held->shard], held);
    return ERR_NONE;
}

void router_cancel(struct router *router, struct router_request *request)
{
    struct held_request *held = request->held;
    if (!held) {
        return;
    }
    assert(held->router == router && held->request == request);
    (void)take_waiter(held);
    take_out(held);
    if (held->state == HELD_IN_GROUP) {
        reactor_timer_cancel(router->config.reactor, &held->timer);
    } else {
        recycle(router, held);
    }
}

/* ---- serving ---- */

static bool may_ask(const struct asked *asked, const struct router_ask *ask)
{
    const struct certificate *certificate = asked_certificate(asked);
    if (!certificate || certificate->role == ROLE_NODE ||
        certificate->role == ROLE_OPERATOR) {
        return true;
    }
    /* Tasks have a service of their own, which knows a client's pools. */
    return !ask->for_archive && !shard_machine_is_task(ask->command) &&
           (certificate->role != ROLE_OBSERVER || ask->is_read);
}

static uint64_t time_left(const struct router *router,
                          const struct asked *asked)
{
    uint64_t now_ns = clock_now_ns(router->config.clock);
    uint64_t until_ns = asked_until_ns(asked);
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    uint64_t margin_ns = left_ns / MARGIN_SHARE;
    return left_ns - (margin_ns < MARGIN_NS_MAX ? margin_ns : MARGIN_NS_MAX);
}

/* When there is no router any more, and until the process ends. */
static void on_asked_late(void *context,
                          struct asked *asked,
                          struct bytes question)
{
    (void)context;
    (void)question;
    asked_answer(&asked, ERR_NOT_LEADER, bytes_of(NULL, 0));
}

static void on_asked(void *context, struct asked *asked, struct bytes question)
{
    struct router *router = context;
    struct router_ask ask;
    struct held_request *held = NULL;
    uint8_t hops;
    enum err err = router_ask_decode(&ask, &hops, question);
    if (!err && !may_ask(asked, &ask)) {
        err = ERR_DENIED;
    }
    if (!err && router->is_leaving) {
        answer_not_leader(router, ask.shard, &asked);
        return;
    }
    if (!err) {
        err = hold(router, &ask, time_left(router, asked), &held);
    }
    if (err) {
        asked_answer(&asked, err, bytes_of(NULL, 0));
        return;
    }
    held->asked = asked;
    held->hops = hops;
    route_take(router->routes[held->shard], held);
}

/* ---- events ---- */

void router_on_leader(struct router *router, uint32_t shard)
{
    struct route *route =
        shard < SHARD_COUNT_MAX ? router->routes[shard] : NULL;
    if (route) {
        route->hint = MEMBER_NONE; /* our replica knows better */
        backoff_reset(&route->backoff);
        route_wake(route);
        route_follow(route);
    }
}

void router_on_view(struct router *router)
{
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        router_on_leader(router, i);
    }
}

/* ---- life ---- */

enum err router_open(struct router **out, const struct router_config *config)
{
    assert(config->host && config->calls && config->clock && config->reactor);
    struct router *router = calloc(1, sizeof *router);
    if (!router) {
        return ERR_MEMORY;
    }
    router->config = *config;
    router->look_timer.fire = route_look;
    calls_serve(config->calls, HOST_SERVICE_REQUEST, on_asked, router, true);
    *out = router;
    return ERR_NONE;
}

void router_leave(struct router *router)
{
    router->is_leaving = true;
}

bool router_is_idle(const struct router *router)
{
    return router->held_count == 0;
}

/* What is said when we close: others can ask elsewhere what has not
 * happened. */
static enum err err_of_closing(const struct held_request *held)
{
    bool is_away = held->state == HELD_IN_GROUP || held->state == HELD_ASKED;
    if (held->request) {
        return ERR_CLOSED;
    }
    return !held->is_read && (is_away || held->may_have_happened)
               ? ERR_UNCERTAIN
               : ERR_NOT_LEADER;
}

static void close_held(struct router *router, struct held_request *held)
{
    enum err err = err_of_closing(held);
    take_out(held);
    if (held->state != HELD_IN_GROUP) {
        router_finish(held, err, bytes_of(NULL, 0));
        return;
    }
    unlink_held(router, held);
    held->router = NULL; /* the group frees it */
    tell(router, held->shard, take_waiter(held), err, bytes_of(NULL, 0));
}

void router_close(struct router **router)
{
    if (!*router) {
        return;
    }
    (*router)->is_closing = true;
    calls_serve((*router)->config.calls, HOST_SERVICE_REQUEST, on_asked_late,
                NULL, true);
    while ((*router)->held) {
        close_held(*router, (*router)->held);
    }
    reactor_timer_cancel((*router)->config.reactor, &(*router)->look_timer);
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        free((*router)->routes[i]); /* empty: its timer is not set */
    }
    while ((*router)->spare) {
        struct held_request *held = (*router)->spare;
        (*router)->spare = held->next;
        free_held(held);
    }
    free((*router)->buffer);
    free(*router);
    *router = NULL;
}

const struct router_stats *router_stats(const struct router *router)
{
    return &router->stats;
}
