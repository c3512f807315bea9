/*
 * What the files of the router share.
 *
 *   router.c         life, asking, serving, answering, limits
 *   router_route.c   where a request goes, what comes back, who waits
 *   router_wire.c    how requests and hints are written
 */

#ifndef SHARD_ROUTER_CORE_H
#define SHARD_ROUTER_CORE_H

#include "base/backoff.h"
#include "shard/router.h"

/* Commands up to this long need no memory of their own. */
#define HELD_COMMAND_BYTES 256

enum held_state {
    HELD_NEW,
    HELD_WAITS,    /* in its route */
    HELD_IN_GROUP, /* here: it cannot be taken back */
    HELD_ASKED,    /* of another node */
    HELD_DECIDED,  /* `err` is told soon */
};

/*
 * A request under way: of ours (`request`) or of another process (`asked`).
 * Neither: nobody waits for it any more, but the group has it.
 */
struct held_request {
    struct router *router; /* NULL: closed, only the group has it */
    struct router_request *request;
    struct asked *asked;
    struct held_request *next; /* in a list of its route, or of the spare */
    struct held_request *previous;
    struct held_request *next_held; /* of all */
    struct held_request *previous_held;

    struct group_request group_request;
    struct call call;
    struct timer timer; /* its time is over, or it is decided */
    enum held_state state;
    enum err err;

    uint64_t order; /* in which it came */
    uint64_t until_ns;
    uint32_t shard;
    uint32_t asked_node;
    uint32_t try_count;
    uint32_t hint_count; /* followed, one after the other */
    uint8_t hops;        /* as it came to us */
    bool is_read;
    bool may_repeat;
    bool for_archive;
    bool may_have_happened;
    bool has_waited;
    bool has_had_leader; /* there was one that could be asked */

    /* Behind a byte that says whom it is for (shard/archive_wire.h). */
    uint8_t *own;         /* a long command; NULL: it is in `small` */
    size_t command_bytes; /* without it */
    uint8_t small[HELD_COMMAND_BYTES];
};

/* One shard's: those that wait, in the order in which they came, and those
 * that other nodes were asked, in none. */
struct route {
    struct router *router;
    uint32_t shard;
    uint32_t hint; /* who leads, as others say; MEMBER_NONE */
    struct held_request *first;
    struct held_request *last;
    struct held_request *asked;
    struct timer timer; /* try again */
    struct backoff backoff;
};

struct router {
    struct router_config config;
    struct router_stats stats;
    bool is_leaving;
    bool is_closing;
    uint64_t order;
    struct held_request *held; /* all, the newest first */
    struct held_request *spare;
    uint32_t held_count;
    uint32_t spare_count;
    size_t held_bytes;
    struct timer look_timer; /* while others are asked: do they stand still? */
    uint8_t *buffer;         /* for questions to others */
    size_t buffer_bytes;
    struct route *routes[SHARD_COUNT_MAX]; /* made when first needed, kept */
};

/* ---- router.c ---- */

/* Answer, and forget it. */
void router_finish(struct held_request *held,
                   enum err err,
                   struct bytes answer);

/* Answer with an error, not now: callers may not expect it yet. */
void router_decide(struct held_request *held, enum err err);

/* Of a shard; NULL: the view does not say. */
const struct shard_place *router_place(const struct router *router,
                                       uint32_t shard);

/* Whether there is a view with a map. */
bool router_has_map(const struct router *router);

/* ---- router_route.c ---- */

/* NULL: no memory. */
struct route *router_route(struct router *router, uint32_t shard);

/* Have it done, or wait its turn. */
void route_take(struct route *route, struct held_request *held);

/* It waits no more, or another node is asked no more. */
void route_drop(struct route *route, struct held_request *held);
void route_unask(struct route *route, struct held_request *held);

/* Those that wait try again now. */
void route_wake(struct route *route);

/* Who leads may be another: what is with the one before goes there. */
void route_follow(struct route *route);

/* Of `look_timer`: what is with a node that is quiet goes elsewhere. */
void route_look(struct timer *timer);

/* Whether a majority of a shard's replicas is away, seen from here. */
bool route_lacks_majority(const struct route *route);

/* The group or the other node answers. */
void route_on_group_done(struct group_request *request,
                         enum err err,
                         struct bytes reply);
void route_on_call_done(struct call *call, enum err err, struct bytes answer);

#endif
