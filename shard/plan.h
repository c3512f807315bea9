/*
 * What the files of placement share: the table of who holds what while it is
 * being worked out. plan.c (the table), plan_replicas.c (who holds),
 * plan_chain.c (how to make room), plan_owners.c (who leads), placement.c (for
 * others).
 *
 * Nodes are sites here, numbered in the order of their numbers, so that the
 * order in which they were given does not matter.
 */

#ifndef SHARD_PLAN_H
#define SHARD_PLAN_H

#include "shard/placement.h"
#include "shard/rendezvous.h"
#include "shard/share.h"

#define SITE_NONE UINT16_MAX

struct site {
    uint32_t number; /* of the node */
    uint32_t weight;
    uint64_t hash;
    uint16_t zone; /* 0 .. zone_count-1 */
    bool takes;    /* something new */

    uint32_t load; /* replicas */
    struct share replicas;
    uint32_t owner_count;
    struct share owners;
};

/* One shard. */
struct holding {
    uint16_t sites[SHARD_REPLICAS_MAX];
    uint8_t count;
    uint8_t wanted;  /* replicas */
    bool is_moved;   /* differs from the previous map */
    uint16_t owner;  /* SITE_NONE: none yet */
    uint16_t before; /* its owner in the previous map; SITE_NONE: none */
};

/* For plan_chain(): one per site. */
struct chain_link {
    uint16_t from;
    uint32_t shard;
    bool is_visited;
};

/* One replica, to another site. */
struct hop {
    uint32_t shard;
    uint16_t from;
    uint16_t to;
};

/* A hop that would do. */
struct plan_offer {
    struct hop hop;
    int cost; /* what matters most; the lower, the better */
    uint64_t distance;
};

struct plan {
    struct rendezvous rendezvous;
    uint32_t shard_count;
    uint32_t site_count;
    uint32_t zone_count; /* those that a site which takes stands in */
    uint32_t replication;
    bool is_fresh; /* there was no map before */
    struct site *sites;
    struct holding *holdings;

    /* Scratch. */
    struct chain_link *links;  /* of sites */
    uint16_t *queue;           /* of sites */
    uint8_t *marks;            /* of sites */
    struct plan_offer *offers; /* of replicas */
    uint32_t *first_offers;    /* of sites */
};

/* ERR_MEMORY */
FALLIBLE plan_open(struct plan **out, const struct placement_request *request);
void plan_close(struct plan **plan);

/* Decide who holds what: plan_replicas.c. */
void plan_replicas(struct plan *plan, bool spreads_zones);

/* Decide who leads: plan_owners.c. */
void plan_owners(struct plan *plan);

/* ---- the table ---- */

bool plan_has(const struct plan *plan, uint32_t shard, uint16_t site);
void plan_put(struct plan *plan, uint32_t shard, uint16_t site);
void plan_take(struct plan *plan, uint32_t shard, uint16_t site);

void plan_hop(struct plan *plan, struct hop hop);

/* Whether a replica of the shard elsewhere than on `except` stands in the
 * zone of `site`. */
bool plan_is_zone_used(const struct plan *plan,
                       uint32_t shard,
                       uint16_t site,
                       uint16_t except);

/* -1: it parts two replicas of one zone; 1: it brings two together. */
int plan_zone_change(const struct plan *plan, struct hop hop);

uint64_t plan_distance(const struct plan *plan, uint32_t shard, uint16_t site);

/* ---- chains of hops: plan_chain.c ---- */

/* In plan->marks. */
enum chain_mark {
    CHAIN_FROM = 1, /* may lose a replica */
    CHAIN_TO = 2,   /* may get one more */
    CHAIN_DEAD = 4, /* for plan_replicas.c */
};

struct chain_rules {
    uint32_t except;     /* a shard that stays; UINT32_MAX: none */
    bool may_join_zones; /* bring two replicas of a shard into one zone */
    bool may_move_again; /* a shard that has moved already */
};

/*
 * Do the fewest hops, each of another shard, after which one site that is
 * marked CHAIN_FROM has one replica less and one marked CHAIN_TO one more. The
 * former, or SITE_NONE when there are none: then nothing has changed.
 */
uint16_t plan_chain(struct plan *plan, struct chain_rules rules);

#endif
