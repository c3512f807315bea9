#include "shard/router_core.h"

#include "base/owner.h"
#include "base/time_units.h"

#include <assert.h>
#include <stdlib.h>

/* The pause between attempts, when nothing tells that it is time. */
static const struct backoff_config pauses = {
    .base_ms = 5, .multiplier_percent = 200, .max_ms = 100};

/* Between looks at those who were asked. */
#define LOOK_NS (250 * NS_PER_MS)

/* Where a request can go: to a group here, or else to a node. */
struct aim {
    struct group *group;
    struct peer *peer;
    uint32_t node;
    uint8_t hops;
};

/* ---- those that wait ---- */

static void set_timer(struct route *route, uint64_t after_ns)
{
    reactor_timer_set(route->router->config.reactor, &route->timer, after_ns);
}

void route_wake(struct route *route)
{
    if (route->first) {
        set_timer(route, 0);
    }
}

static void try_later(struct route *route)
{
    if (route->first && !route->timer.is_set) {
        set_timer(route, backoff_next_ms(&route->backoff, NULL) * NS_PER_MS);
    }
}

/* Those that come back stand before those that came after them; mostly they
 * come back in order and before others wait, so that this is cheap. */
static void insert(struct route *route, struct held_request *held)
{
    struct held_request *after = route->last;
    while (after && after->order > held->order) {
        after = after->previous;
    }
    held->previous = after;
    held->next = after ? after->next : route->first;
    *(held->next ? &held->next->previous : &route->last) = held;
    *(after ? &after->next : &route->first) = held;
    held->state = HELD_WAITS;
    if (!held->has_waited) {
        held->has_waited = true;
        route->router->stats.waited++;
    }
}

void route_drop(struct route *route, struct held_request *held)
{
    assert(held->state == HELD_WAITS);
    *(held->next ? &held->next->previous : &route->last) = held->previous;
    *(held->previous ? &held->previous->next : &route->first) = held->next;
    held->state = HELD_NEW;
    if (!route->first) {
        reactor_timer_cancel(route->router->config.reactor, &route->timer);
    }
}

/* ---- those that others were asked ---- */

static void note_asked(struct route *route, struct held_request *held)
{
    struct router *router = route->router;
    held->previous = NULL;
    held->next = route->asked;
    if (held->next) {
        held->next->previous = held;
    }
    route->asked = held;
    held->state = HELD_ASKED;
    if (!router->look_timer.is_set) {
        reactor_timer_set(router->config.reactor, &router->look_timer, LOOK_NS);
    }
}

static void forget_asked(struct route *route, struct held_request *held)
{
    assert(held->state == HELD_ASKED);
    if (held->next) {
        held->next->previous = held->previous;
    }
    *(held->previous ? &held->previous->next : &route->asked) = held->next;
    held->state = HELD_NEW;
}

void route_unask(struct route *route, struct held_request *held)
{
    forget_asked(route, held);
    calls_cancel(route->router->config.calls, &held->call);
}

/* ---- where it goes ---- */

static struct group *group_here(const struct route *route)
{
    return host_group(route->router->config.host, shard_group_id(route->shard));
}

/* By our replica's word, or that of others, or else the owner by the map. */
static uint32_t believed_leader(const struct route *route)
{
    const struct host *host = route->router->config.host;
    const struct shard_place *place = router_place(route->router, route->shard);
    bool has_group = group_here(route) != NULL;
    uint32_t leader = has_group ? host_leader(host, route->shard) : MEMBER_NONE;
    if (leader != MEMBER_NONE) {
        return leader;
    }
    if (route->hint != MEMBER_NONE) {
        return route->hint;
    }
    if (!place || place->replica_count == 0 ||
        (has_group && shard_place_has(place, host_number(host)))) {
        return MEMBER_NONE; /* our replica will hear of it */
    }
    return place->replicas[0];
}

static struct peer *up_peer(const struct route *route, uint32_t node)
{
    const struct host *host = route->router->config.host;
    struct peer *peer =
        node == host_number(host) ? NULL : host_peer(host, node);
    return peer && peer_is_up(peer) ? peer : NULL;
}

/* It may stand still, or be cut off, though its link is not down yet. */
static bool is_quiet(const struct route *route, const struct peer *peer)
{
    const struct router_config *config = &route->router->config;
    return clock_now_ns(config->clock) - peer_heard_ns(peer) >=
           config->quiet_ms * NS_PER_MS;
}

/* Another replica's node: it knows better who leads, or reaches it; another
 * one at each attempt. */
static bool aim_at_another(const struct route *route,
                           const struct held_request *held,
                           uint32_t leader,
                           struct aim *out)
{
    const struct shard_place *place = router_place(route->router, route->shard);
    for (uint32_t i = 0; place && i < place->replica_count; i++) {
        uint32_t node =
            place->replicas[(held->try_count + i) % place->replica_count];
        struct peer *peer = node == leader ? NULL : up_peer(route, node);
        if (peer && !is_quiet(route, peer)) {
            out->peer = peer;
            out->node = node;
            return true;
        }
    }
    return false;
}

/* False: nobody can be asked now. */
static bool aim(const struct route *route,
                struct held_request *held,
                struct aim *out)
{
    uint32_t leader = believed_leader(route);
    *out = (struct aim){.node = leader, .hops = (uint8_t)(held->hops + 1)};
    if (leader == MEMBER_NONE) {
        return false;
    }
    if (leader == host_number(route->router->config.host)) {
        out->group = group_here(route);
    }
    out->peer = up_peer(route, leader);
    held->has_had_leader |= out->group || out->peer;
    if (out->group) {
        return true;
    }
    bool is_heard = out->peer && !is_quiet(route, out->peer);
    if (!is_heard && aim_at_another(route, held, leader, out)) {
        out->hops += held->try_count % 2; /* first it shall tell us who leads,
                                             then pass it on */
        is_heard = true;
    }
    /* Who has asked us to pass it on had better hear of a quiet one. */
    bool may_ask = held->hops == 0 ? out->peer != NULL : is_heard;
    return held->hops != 1 && may_ask && out->hops <= ROUTER_HOPS_MAX;
}

/* ---- one attempt ---- */

/* As a shard's machine reads it: with the byte in front. */
static struct bytes tagged_of(const struct held_request *held)
{
    return bytes_of(held->own ? held->own : held->small,
                    held->command_bytes + 1);
}

static enum err give(struct held_request *held, struct group *group)
{
    held->group_request = (struct group_request){.done = route_on_group_done};
    enum err err =
        held->is_read
            ? group_read(group, tagged_of(held), &held->group_request)
            : group_propose(group, tagged_of(held), &held->group_request);
    if (!err) {
        held->state = HELD_IN_GROUP;
        held->router->stats.local++;
    }
    return err;
}

/* ERR_MEMORY */
static enum err write_question(struct held_request *held,
                               uint8_t hops,
                               struct bytes *out)
{
    struct router *router = held->router;
    struct router_ask ask = {
        .shard = held->shard,
        .is_read = held->is_read,
        .may_repeat = held->may_repeat,
        .for_archive = held->for_archive,
        .command = bytes_of(tagged_of(held).data + 1, held->command_bytes)};
    size_t needed = router_ask_bytes_max(&ask);
    if (needed > router->buffer_bytes) {
        uint8_t *buffer = realloc(router->buffer, needed);
        if (!buffer) {
            return ERR_MEMORY;
        }
        router->buffer = buffer;
        router->buffer_bytes = needed;
    }
    struct writer writer = writer_of(router->buffer, router->buffer_bytes);
    router_ask_encode(&ask, hops, &writer);
    assert(!writer.failed);
    *out = writer_bytes(&writer);
    return ERR_NONE;
}

static enum err send_on(struct held_request *held, const struct aim *aim)
{
    struct router *router = held->router;
    struct bytes question;
    uint64_t now_ns = clock_now_ns(router->config.clock);
    uint64_t left_ns = held->until_ns > now_ns ? held->until_ns - now_ns : 0;
    enum err err = write_question(held, aim->hops, &question);
    if (err) {
        return err;
    }
    held->call.done = route_on_call_done;
    err = calls_ask(router->config.calls, aim->peer, HOST_SERVICE_REQUEST,
                    question, (uint32_t)(left_ns / NS_PER_MS) + 1, &held->call);
    if (!err) {
        note_asked(router->routes[held->shard], held);
        held->asked_node = aim->node;
        router->stats.forwarded++;
    }
    return err == ERR_FULL ? ERR_BUSY : err; /* of the link: soon */
}

/* Whether it is better to wait than to say so. What has waited, or may have
 * happened, has been taken in: then the limits of others can be waited for. */
static bool is_passing(const struct held_request *held, enum err err)
{
    switch (err) {
    case ERR_BUSY:
    case ERR_NOT_LEADER:
    case ERR_UNREACHABLE:
        return true;
    case ERR_FULL:
        return held->has_waited || held->may_have_happened;
    case ERR_NO_SPACE:
    case ERR_MEMORY:
        return held->may_have_happened;
    default:
        return false;
    }
}

/* False: it must wait. */
static bool attempt(struct route *route, struct held_request *held)
{
    struct router *router = route->router;
    struct aim at;
    if (router_has_map(router) && !router_place(router, route->shard) &&
        !held->may_have_happened) {
        router_decide(held, held->hops == 0 ? ERR_NOT_FOUND : ERR_NOT_LEADER);
        return true;
    }
    enum err err = ERR_NOT_LEADER;
    if (aim(route, held, &at)) {
        err = at.group ? give(held, at.group) : send_on(held, &at);
        held->try_count++;
    }
    if (!err) {
        router->stats.repeated += held->try_count > 1;
        return true;
    }
    if (at.node == route->hint && err == ERR_UNREACHABLE) {
        route->hint = MEMBER_NONE;
    }
    if (held->hops > 0 && err != ERR_BUSY) {
        router_decide(held, err); /* who asked knows better what to do */
        return true;
    }
    if (is_passing(held, err)) {
        return false;
    }
    router_decide(held, err);
    return true;
}

void route_take(struct route *route, struct held_request *held)
{
    bool must_wait = route->first && !held->for_archive;
    if (must_wait || !attempt(route, held)) {
        insert(route, held);
        try_later(route);
    }
}

static void run_route(struct timer *timer)
{
    struct route *route = OWNER_OF(timer, struct route, timer);
    while (route->first) {
        struct held_request *held = route->first;
        route_drop(route, held);
        if (!attempt(route, held)) {
            insert(route, held);
            try_later(route);
            return;
        }
    }
}

/* ---- what comes back ---- */

static void answered(struct held_request *held,
                     enum err err,
                     struct bytes reply)
{
    struct route *route = held->router->routes[held->shard];
    backoff_reset(&route->backoff);
    router_finish(held, err, reply);
}

/* Once more, if it can be; at once, when it is known where. */
static void try_again(struct held_request *held, enum err err, bool at_once)
{
    struct route *route = held->router->routes[held->shard];
    bool may = held->is_read || held->may_repeat || !held->may_have_happened ||
               HAS_HOST_FAULT(&held->router->config, REPEAT_UNSAFE);
    if (held->hops > 0 || !may) {
        router_finish(held, err, bytes_of(NULL, 0));
        return;
    }
    insert(route, held);
    if (at_once) {
        route_wake(route);
    } else {
        try_later(route);
    }
}

static bool may_recall(const struct held_request *held)
{
    return held->is_read || held->may_repeat;
}

/* It is asked elsewhere, before the node that has it has answered. */
static void recall(struct route *route, struct held_request *held)
{
    route_unask(route, held);
    held->may_have_happened |= !held->is_read;
    route->router->stats.recalled++;
    try_again(held, ERR_UNCERTAIN, true);
}

/* Our replica alone is believed, so that nothing goes to and fro. */
void route_follow(struct route *route)
{
    uint32_t leader =
        group_here(route)
            ? host_leader(route->router->config.host, route->shard)
            : MEMBER_NONE;
    struct held_request *next = NULL;
    for (struct held_request *held = route->asked; held; held = next) {
        next = held->next;
        if (leader != MEMBER_NONE && held->asked_node != leader &&
            may_recall(held)) {
            recall(route, held);
        }
    }
}

static void look_at(struct route *route)
{
    struct held_request *next = NULL;
    for (struct held_request *held = route->asked; held; held = next) {
        struct aim other;
        const struct peer *peer = up_peer(route, held->asked_node);
        next = held->next;
        if (peer && is_quiet(route, peer) && may_recall(held) &&
            aim_at_another(route, held, held->asked_node, &other)) {
            recall(route, held);
        }
    }
}

void route_look(struct timer *timer)
{
    struct router *router = OWNER_OF(timer, struct router, look_timer);
    bool are_asked = false;
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        if (router->routes[i] && router->routes[i]->asked) {
            look_at(router->routes[i]);
            are_asked = are_asked || router->routes[i]->asked;
        }
    }
    if (are_asked) {
        reactor_timer_set(router->config.reactor, timer, LOOK_NS);
    }
}

void route_on_group_done(struct group_request *request,
                         enum err err,
                         struct bytes reply)
{
    struct held_request *held =
        OWNER_OF(request, struct held_request, group_request);
    held->state = HELD_NEW;
    if (!held->router || (!held->request && !held->asked)) {
        router_finish(held, err, reply); /* nobody waits for it any more */
    } else if (err == ERR_NOT_LEADER &&
               HAS_HOST_FAULT(&held->router->config, FORGET_REQUEST)) {
        reactor_timer_cancel(held->router->config.reactor, &held->timer);
    } else if (err == ERR_NOT_LEADER || err == ERR_BUSY) {
        try_again(held, err, false);
    } else if (err == ERR_UNCERTAIN) {
        held->may_have_happened |= !held->is_read;
        try_again(held, err, false);
    } else {
        answered(held, err, reply);
    }
}

/* Who leads, as the one says who was asked. True: that is news. */
static bool take_hint(struct held_request *held, struct bytes answer)
{
    struct route *route = held->router->routes[held->shard];
    struct router_hint hint;
    bool is_hint = router_hint_decode(&hint, answer) == ERR_NONE &&
                   hint.leader != MEMBER_NONE &&
                   hint.leader != held->asked_node &&
                   hint.leader != host_number(held->router->config.host);
    if (is_hint) {
        route->hint = hint.leader;
    } else if (route->hint == held->asked_node) {
        route->hint = MEMBER_NONE;
    }
    return is_hint && believed_leader(route) != held->asked_node;
}

void route_on_call_done(struct call *call, enum err err, struct bytes answer)
{
    struct held_request *held = OWNER_OF(call, struct held_request, call);
    forget_asked(held->router->routes[held->shard], held);
    if (err == ERR_NOT_FOUND) {
        err = ERR_NOT_LEADER; /* its router has closed: it is about to end */
    }
    if (err == ERR_NOT_LEADER) {
        bool at_once =
            take_hint(held, answer) && held->hint_count < ROUTER_HOPS_MAX;
        held->hint_count = at_once ? held->hint_count + 1 : 0;
        try_again(held, err, at_once);
    } else if (err == ERR_UNCERTAIN || err == ERR_TIMEOUT ||
               err == ERR_CLOSED) {
        held->may_have_happened |= !held->is_read;
        try_again(held, ERR_UNCERTAIN, false);
    } else if (is_passing(held, err)) {
        try_again(held, err, false);
    } else if (err == ERR_NO_QUORUM && held->may_have_happened) {
        /* Nothing has happened there; but elsewhere, before. */
        answered(held, ERR_TIMEOUT, bytes_of(NULL, 0));
    } else {
        answered(held, err, answer);
    }
}

/* ---- the routes ---- */

struct route *router_route(struct router *router, uint32_t shard)
{
    assert(shard < SHARD_COUNT_MAX);
    if (!router->routes[shard]) {
        struct route *route = calloc(1, sizeof *route);
        if (!route) {
            return NULL;
        }
        route->router = router;
        route->shard = shard;
        route->hint = MEMBER_NONE;
        route->timer.fire = run_route;
        backoff_init(&route->backoff, &pauses);
        router->routes[shard] = route;
    }
    return router->routes[shard];
}

bool route_lacks_majority(const struct route *route)
{
    const struct host *host = route->router->config.host;
    const struct shard_place *place = router_place(route->router, route->shard);
    uint32_t there = 0;
    for (uint32_t i = 0; place && i < place->replica_count; i++) {
        there += place->replicas[i] == host_number(host) ||
                 up_peer(route, place->replicas[i]);
    }
    return place && 2 * there <= place->replica_count;
}
