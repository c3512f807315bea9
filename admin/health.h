/*
 * What is wrong with a cluster, as far as its answers tell: what `cluster
 * verify`, `check` and `doctor` judge by.
 *
 * Plain data; pure, but for the questions that fetch the answers.
 */

#ifndef ADMIN_HEALTH_H
#define ADMIN_HEALTH_H

#include "admin/remote.h"

#define HEALTH_FINDING_COUNT_MAX 32
/* Entries behind; as the node counts (docs/control.md). */
#define HEALTH_LAG_MAX 4096

enum health_grade {
    HEALTH_OK,
    HEALTH_WARNING, /* it serves, but less safely */
    HEALTH_CRITICAL /* something does not serve */
};

struct health_finding {
    enum health_grade grade;
    char what[256];    /* "3 shards have no leader: 4, 7, 12" */
    const char *means; /* for whom that does not say enough */
    char next[128];    /* a command that helps */
};

struct health {
    enum health_grade grade; /* the worst */
    uint32_t count;
    struct health_finding findings[HEALTH_FINDING_COUNT_MAX];
};

struct health_about {
    enum health_grade grade;
    const char *means; /* static */
    const char *next;  /* copied */
};

/* Add a finding; what is too much is left out, its grade counts. */
__attribute__((format(printf, 3, 4))) void health_find(
    struct health *health,
    const struct health_about *about,
    const char *format,
    ...);

/* The answers that a judgement needs. All zero at first. */
struct health_facts {
    json_t *status; /* cluster.status */
    json_t *nodes;  /* node.ls */
    json_t *map;    /* shard.map */
};

/* Ask for all. What fails says nothing but `why`. */
enum exit_code health_fetch(struct health_facts *out,
                            struct remote *remote,
                            bool is_stale,
                            struct err_detail *why);
void health_facts_clear(struct health_facts *facts);

/* Judge all; into `health`, which is all zero. */
void health_judge(struct health *health, const struct health_facts *facts);

/* The same of one part. */
void health_judge_meta(struct health *health, const json_t *status);
void health_judge_nodes(struct health *health, const json_t *nodes);
void health_judge_shards(struct health *health, const json_t *map);
void health_judge_node(struct health *health, const json_t *node);
void health_judge_shard(struct health *health, const json_t *shard);

/*
 * Ask every node that is up for itself: whether all have the same view of the
 * same cluster, no shard is led twice, clocks agree. Looks some times, since
 * what has just changed takes a moment. Of the facts, `status` and `nodes`.
 */
void health_judge_agreement(struct health *health,
                            const struct remote *remote,
                            const struct health_facts *facts);

#endif
