/*
 * A debug bundle: what the nodes of a cluster answered at one time, kept in a
 * parcel (admin/parcel.h) and asked again later, without them. docs/control.md
 * says what is in it.
 *
 *     manifest.json              of when, from whom, who was away
 *     cluster/VERB.json          what the meta group's leader answered
 *     nodes/NODE/VERB.json       what one node knew by itself
 *     nodes/NODE/log.txt, metrics.txt
 *     SHA256SUMS
 *
 * Owned by one thread.
 */

#ifndef ADMIN_DEBUG_BUNDLE_H
#define ADMIN_DEBUG_BUNDLE_H

#include "admin/parcel.h"
#include "admin/remote.h"

#define DEBUG_BUNDLE_VERSION 1
#define DEBUG_BUNDLE_CLUSTER                        \
    "cluster" /* the folder of the leader's answers \
               */

/* What is asked for a bundle. */
struct debug_bundle_verb {
    const char *name;
    bool of_cluster;       /* of the leader, and of each node as stale */
    uint32_t limit;        /* newest lines; 0: there is no such argument */
    const char *text_file; /* its `lines` are kept, as this; NULL: as JSON */
};

/* Ended by {0}. */
extern const struct debug_bundle_verb debug_bundle_verbs[];

/* ---- making ---- */

/* How one question ended. */
struct debug_bundle_answer {
    const struct debug_bundle_verb *verb;
    const char *asked; /* the node */
    int64_t at_ms;
    enum exit_code code;
    const char *why;      /* when it failed */
    const json_t *answer; /* NULL: it failed */
};

/* Put it into the folder: "cluster", or "nodes/NODE". What parcel_add() says */
FALLIBLE debug_bundle_put(struct parcel *parcel,
                          const char *folder,
                          const struct debug_bundle_answer *answer);

/* The same of the manifest: takes a map with `at_ms`, `cluster`, `asked`,
 * `missing`, and adds schema, version and release. */
FALLIBLE debug_bundle_put_manifest(struct parcel *parcel, json_t *manifest);

/* ---- asking ---- */

struct debug_bundle;

/*
 * Load and check. `why` says which file is damaged, and how.
 *
 * EXIT_CODE_USAGE     no such file
 * EXIT_CODE_REFUSED   it is damaged, or no bundle
 * EXIT_CODE_FAILED
 */
enum exit_code debug_bundle_open(struct debug_bundle **out,
                                 const struct files *files,
                                 const char *path,
                                 struct err_detail *why);
void debug_bundle_close(struct debug_bundle **bundle);

/* When it was made. */
int64_t debug_bundle_at_ms(const struct debug_bundle *bundle);

/* One line that says what it is, of when, and who was away. */
void debug_bundle_tell(const struct debug_bundle *bundle, FILE *out);

/*
 * Have a node answer alone what nodes answer alone: any that was there when
 * `name` is NULL. EXIT_CODE_USAGE: there is none of that name;
 * EXIT_CODE_UNREACHABLE: it was away
 */
enum exit_code debug_bundle_choose(struct debug_bundle *bundle,
                                   const char *name,
                                   struct err_detail *why);

/* The node that was chosen. */
const char *debug_bundle_node(const struct debug_bundle *bundle);

/*
 * As remote_try(): what was answered, or how it failed then. What has arguments
 * is worked out from the answers that are there.
 *
 * EXIT_CODE_REFUSED   it would change something
 * EXIT_CODE_USAGE     the bundle does not have it
 */
enum exit_code debug_bundle_ask(const struct debug_bundle *bundle,
                                const struct remote_question *question,
                                json_t **answer,
                                struct err_detail *why);

/* ---- for debug_bundle_ask.c ---- */

/* What is kept as the answer to a verb without arguments; the caller's.
 * `stale`: what the chosen node knows by itself. */
enum exit_code debug_bundle_stored(const struct debug_bundle *bundle,
                                   const char *verb,
                                   bool stale,
                                   json_t **answer,
                                   struct err_detail *why);

#endif
