/*
 * Requests to shards, from wherever they come to the leader wherever it is,
 * and the answers back.
 *
 * A request waits here while its shard has no leader that is known or changes
 * hands, in a bounded queue, and goes again when the leader is known; so a
 * request that was accepted is answered, or its caller is told when its time
 * is over. A command that may have happened (ERR_UNCERTAIN) is asked again
 * only when it says that it can be: it carries an idempotency key that its
 * machine knows.
 *
 * Owned by the links' reactor.
 */

#ifndef SHARD_ROUTER_H
#define SHARD_ROUTER_H

#include "shard/host.h"
#include "shard/host_fault.h"
#include "shard/router_wire.h"

struct router;

/* The caller's; it must live until `done` was called or router_cancel(). */
struct router_request {
    /*
     * Once, never within router_ask(). `answer` is borrowed.
     *
     * ERR_TIMEOUT     not answered in time: it may have happened or not
     * ERR_UNCERTAIN   it may have happened or not, and must not be repeated
     * ERR_NO_QUORUM   nobody leads the shard, and a majority of its replicas
     *                 is away: nothing has happened
     * ERR_FULL        too many wait, here or where it was sent
     * ERR_NO_SPACE, ERR_TOO_LARGE, ERR_MEMORY   what group_propose() says
     * ERR_NOT_FOUND   no such shard, now that there is a view
     * ERR_CLOSED      router_close(): it may have happened or not
     * others          what the shard's machine says; it must not use these,
     *                 nor ERR_NOT_LEADER and ERR_UNREACHABLE. ERR_BUSY of a
     *                 machine is waited for
     */
    void (*done)(struct router_request *request,
                 enum err err,
                 struct bytes answer);

    /* Of router.c. */
    struct held_request *held; /* NULL: not under way */
};

struct router_config {
    struct host *host;
    struct calls *calls;
    const struct clock *clock;
    struct reactor *reactor;
    uint32_t quiet_ms; /* a node that was not heard for so long may stand still:
                          another is asked. More than the links' heartbeat */
    uint32_t request_max;  /* at the same time, of ours and of others */
    size_t held_bytes_max; /* of their commands */
#ifdef TROUPE_FAULTS
    enum host_fault fault;
#endif
};

void router_config_defaults(struct router_config *config);

/* Serves HOST_SERVICE_REQUEST. ERR_MEMORY */
FALLIBLE router_open(struct router **out, const struct router_config *config);

/*
 * This node ends: take in nothing more from others. They hear ERR_NOT_LEADER,
 * which says that nothing has happened: ask another node. What is under way
 * goes on until router_is_idle(), so that nobody is left with ERR_UNCERTAIN.
 */
void router_leave(struct router *router);
bool router_is_idle(const struct router *router);

/* All that are under way hear ERR_CLOSED; others who ask later, as with
 * router_leave(). Before calls_close() and
 * host_close(); not from within `done`. */
void router_close(struct router **router);

/* Of host_events: those that wait for a leader go on, and those that are with
 * another node and may be repeated go to the new one. */
void router_on_leader(struct router *router, uint32_t shard);
void router_on_view(struct router *router);

/*
 * The command is copied. Requests to a shard that wait keep their order; those
 * for its archive do not wait for others.
 *
 * ERR_FULL, ERR_NOT_FOUND (no such shard), ERR_MEMORY, ERR_CLOSED: `done` is
 * not called
 */
FALLIBLE router_ask(struct router *router,
                    const struct router_ask *ask,
                    struct router_request *request);

/* `done` will not be called; it may happen all the same. Nothing happens when
 * it is not under way. */
void router_cancel(struct router *router, struct router_request *request);

struct router_stats {
    uint64_t local;     /* answered here */
    uint64_t forwarded; /* sent to another node */
    uint64_t waited;    /* had to wait for a leader */
    uint64_t repeated;  /* sent again */
    uint64_t recalled;  /* of them, before the node that had them answered */
    uint64_t refused;   /* too many */
    uint64_t timed_out;
    uint64_t uncertain;
};
const struct router_stats *router_stats(const struct router *router);

#endif
