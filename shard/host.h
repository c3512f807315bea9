/*
 * The cluster on one node: its replicas of the meta group and of shards, its
 * copy of the view, and its part in keeping things as they shall be.
 *
 *   - founds and joins: a node without data asks the others what there is
 *   - has the replicas that the map gives it, and drops what left it
 *   - where it leads a shard, makes the group's members those of the map
 *     (shard/reconcile.h)
 *   - where it leads the meta group, makes the map what the members call for
 *     (shard/controller.c)
 *
 * Owned by the links' reactor. Opened by node/, and by the simulator.
 */

#ifndef SHARD_HOST_H
#define SHARD_HOST_H

#include "cluster/multiraft.h"
#include "cluster/raft_links.h"
#include "config/settings.h"
#include "shard/history.h"
#include "shard/host_fault.h"
#include "shard/host_service.h"
#include "shard/meta.h"
#include "shard/view.h"
#include "transport/calls.h"

struct host;

/* The machines of shards: what runs in them is not the host's matter. */
struct host_machines {
    void *context;
    /* ERR_MEMORY */
    enum err (*open)(void *context, uint32_t shard, struct machine *out);
    void (*close)(void *context, uint32_t shard, struct machine *machine);
};

struct host_events {
    void *context;
    /* There is another view. */
    void (*on_view)(void *context, const struct view *view);
    /* Who leads a shard, seen from here, has changed. */
    void (*on_leader)(void *context, uint32_t shard);
    /* Another node has brought a newer trust, which the endpoint uses by now;
     * to be kept, so that it survives a restart. May be NULL. */
    void (*on_trust)(void *context, struct trust *trust);
    /* The node must end: fail-stop. `what` says why. ERR_VERSION: the cluster
     * is of a newer release. */
    void (*on_failed)(void *context, enum err err, const char *what);
};

/* Where a copy of the view is kept from one process to the next, so that a node
 * knows whom to look for when all begin again. Losing it loses nothing. */
struct host_keep {
    void *context;
    /* `*out` is freed by the host with free(). ERR_NOT_FOUND, ERR_IO ... */
    enum err (*load)(void *context, uint8_t **out, size_t *out_length);
    void (*save)(void *context, struct bytes view);
};

/* This node, as it tells others about itself. Copied, but for `release`. */
struct host_self {
    const char *name;
    const char *door; /* advertised */
    const char *bus;
    const char *zone;
    uint32_t weight;
    uint32_t roles;
    const char *release;    /* of the program, such as "0.1.0" */
    uint32_t feature_level; /* the highest that it knows; 0:
                               VIEW_FEATURE_LEVEL */
};

struct host_config {
    const struct settings *settings; /* its `cluster` part is for founding */
    struct host_self self;
    struct endpoint *endpoint;
    struct calls *calls;
    struct raft_links *raft_links;
    struct host_machines machines;
    struct host_events events;
    struct host_keep keep;            /* {0}: nowhere */
    uint64_t (*resident_bytes)(void); /* of this process; NULL: unknown */
    /* All but mesh, events, node; those are set here. */
    struct multiraft_config multiraft;
    uint32_t step_ms;   /* between looks at what is to be done */
    uint32_t report_ms; /* between reports to the meta group's leader */
    uint32_t down_ms;   /* a member away for so long is MEMBER_DOWN */
    uint32_t moves_max; /* shards that change replicas at the same time */
    bool may_found;     /* false: joins only */
    /* A majority of the meta group's voters is gone for good: be the one that
     * takes it over. Refused (on_failed with ERR_REFUSED) if one of them leads,
     * a majority of them is there, or this node has no replica. */
    bool recovers_meta;
#ifdef TROUPE_FAULTS
    enum host_fault fault;
#endif
};

void host_config_defaults(struct host_config *config);

/*
 * Open the log and the groups that are in it. Blocks. Nothing is said to
 * others before host_start().
 *
 * what multiraft_open() says; ERR_VERSION also: the view that was kept is of a
 * newer release; with `why`
 */
FALLIBLE host_open(struct host **out,
                   const struct host_config *config,
                   struct err_detail *why);
void host_start(struct host *host);

/* Hand all that is led here to others, before host_stop(): until
 * host_has_left(), or for as long as one likes to wait. */
void host_leave(struct host *host);
bool host_has_left(const struct host *host);

/* Stop deciding: what is under way comes to its end. host_close() when
 * host_is_idle(). */
void host_stop(struct host *host);
bool host_is_idle(const struct host *host);

/* What is not idle, for people; NULL: nothing. Static. */
const char *host_waits_for(const struct host *host);
void host_close(struct host **host);

/* To be told of endpoint_events. */
void host_on_change(struct host *host,
                    struct peer *peer,
                    enum peer_change change);

/* Also of endpoint_events: a hint that there is a newer view. */
void host_on_digest(struct host *host, const char *from, struct bytes digest);

/* NULL: this node has never heard of any. Valid until it changes. */
const struct view *host_view(const struct host *host);

/* Our number; MEMBER_NONE: not a member yet. */
uint32_t host_number(const struct host *host);

/* NULL: ourselves, or not known (then host_number() differs). */
struct peer *host_peer(const struct host *host, uint32_t number);

/* NULL: no replica here. */
struct group *host_group(const struct host *host, uint32_t group);

/* The node that leads a shard, as far as is known here: by our replica's
 * word, or else the map's owner. MEMBER_NONE: nobody knows. */
uint32_t host_leader(const struct host *host, uint32_t shard);

/* The node that leads the meta group, the same way. */
uint32_t host_meta_leader(const struct host *host);

/* Whether it serves: it has a view, is a member, and every shard that is to be
 * led here is. `why` says what is still waited for. */
bool host_is_ready(const struct host *host, struct err_detail *why);

/*
 * Change the view, wherever the meta group's leader is. `done` once, as for
 * calls_ask(); an error's answer is why (text).
 *
 * ERR_UNREACHABLE, ERR_NOT_LEADER   no leader of the meta group is known
 */
FALLIBLE host_change(struct host *host,
                     const struct view_change *change,
                     struct call *call);

/* The meta group's machine here, for its journal; nothing is in it when this
 * node has no replica of that group. */
const struct meta *host_meta(const struct host *host);

/* The map that the members of a view call for, into `out`, which holds
 * nothing. ERR_MEMORY */
FALLIBLE host_wanted_map(const struct view *view, struct shard_map *out);

/* What this node has seen of the shards. */
const struct history *host_history(const struct host *host);

/* Want another leader for a shard that we lead. See group_transfer(). */
FALLIBLE host_transfer(struct host *host, uint32_t shard, uint32_t to);

/* What this disk has of a group, to choose who takes it over. */
struct host_own_replica {
    uint64_t number; /* of the replica; 0: it is lost, and was not opened */
    uint64_t term;
    uint64_t last_term;
    uint64_t last_index;
    uint64_t applied_index;
    uint32_t leader; /* the node that leads, by its word; or MEMBER_NONE */
    bool is_retired;
    bool has_state;                    /* not: it could not take over */
    struct raft_configuration members; /* none of one that is lost */
};

/* False: it has nothing of it. */
bool host_own_replica(const struct host *host,
                      uint32_t group,
                      struct host_own_replica *out);

/* ---- what the meta group's leader has heard; empty elsewhere ---- */

struct host_replica {
    uint32_t node;
    bool is_voter;
    uint64_t lag; /* entries behind the leader's log; UINT64_MAX: unheard */
};

struct host_shard_report {
    uint32_t leader; /* MEMBER_NONE: nobody says that it leads */
    uint64_t term;
    uint32_t generation; /* of the group; see store/raft_configuration.h */
    uint64_t applied_index;
    uint64_t log_bytes;
    uint64_t rate; /* committed entries per second, about */
    int64_t at_ms; /* when this was said */
    uint32_t replica_count;
    struct host_replica replicas[RAFT_MEMBERS_MAX];
};

struct host_node_report {
    int64_t at_ms;         /* 0: never */
    uint64_t view_version; /* that it has */
    uint64_t incarnation;
    uint64_t free_bytes;     /* of the disk */
    uint64_t resident_bytes; /* of the process; 0: unknown, also above */
    uint32_t heard_count;    /* how many nodes hear it */
    uint32_t asked_count;    /* of how many that have reported lately */
    uint32_t feature_level;  /* the highest that its release knows */
    uint32_t waiting_count;  /* of settings that it uses after its next start */
    bool is_full; /* its disk is below the low-water mark: it takes nothing */
    char version[32];
};

/* The meta group's leader moves shards by a plan, until the members change or
 * somebody moves a shard by hand: then it makes another one. Not counted are
 * shards of members that leave. */
struct host_plan {
    uint64_t version; /* of the map, when it was made; 0: it is not yet */
    int64_t since_ms; /* Unix time */
    uint32_t total;   /* shards that it moves */
    uint32_t left;    /* of those */
    uint32_t blocked; /* of those: to a node that is away */
};

/* All zero when we do not lead the meta group. */
struct host_plan host_plan(const struct host *host);

/* Of the durable log of all replicas here. */
struct wal_stats host_log_stats(const struct host *host);

static inline bool host_report_has_voter(const struct host_shard_report *report,
                                         uint32_t node)
{
    bool has = false;
    for (uint32_t i = 0; i < report->replica_count; i++) {
        has |= report->replicas[i].is_voter && report->replicas[i].node == node;
    }
    return has;
}

/* Whether the members that were reported are those of the place, all voters. */
static inline bool host_report_is_of(const struct host_shard_report *report,
                                     const struct shard_place *place)
{
    if (report->replica_count != place->replica_count) {
        return false;
    }
    for (uint32_t i = 0; i < report->replica_count; i++) {
        if (!report->replicas[i].is_voter ||
            !shard_place_has(place, report->replicas[i].node)) {
            return false;
        }
    }
    return true;
}

/* NULL when we do not lead the meta group, or it does not exist. */
const struct host_shard_report *host_shard_report(const struct host *host,
                                                  uint32_t shard);
const struct host_node_report *host_node_report(const struct host *host,
                                                uint32_t number);

#endif
