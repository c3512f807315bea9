/*
 * A cluster of real daemons: each `trouped` on a machine of its own
 * (tests/process/cluster_network.h), with the files that `troupe cluster init`
 * makes, killed, stopped, and asked as an operator asks.
 *
 * What does not come true within a generous time fails the test, and so does a
 * daemon that ends unasked. A test that has failed shows what the daemons have
 * written.
 */

#ifndef TESTS_PROCESS_CLUSTER_LAB_H
#define TESTS_PROCESS_CLUSTER_LAB_H

#include "base/err.h"
#include "client/client.h"
#include "tests/process/cluster_network.h"
#include "tests/support/temp_folder.h"

#include <jansson.h>
#include <signal.h>

#define CLUSTER_LAB_PATH_BYTES 256

struct cluster_lab_programs {
    const char *trouped;
    const char *folder; /* of what is built beside the test */
    const char *troupe;
};

struct cluster_lab_plan {
    uint32_t node_count;    /* that found it, on the first machines */
    uint32_t machine_count; /* 0: as many */
    uint32_t shards;        /* 0: 16 */
    const char *cluster;    /* more lines of `cluster` in the files; or NULL */
    bool is_expired; /* all certificates have: it was made too long ago */
    uint32_t small_disk_mib; /* of each node; 0: the disk of the temporary
                                folder */
};

struct cluster_lab {
    const struct cluster_lab_programs *programs;
    struct cluster_lab_plan plan;
    struct temp_folder temp;
    struct cluster_network network;
    pid_t processes[CLUSTER_MACHINES_MAX]; /* 0: is not up */
    long said_from[CLUSTER_MACHINES_MAX];  /* of the present process's words */
    const char *other[CLUSTER_MACHINES_MAX]; /* it starts with this program that
                                                is built beside the test; NULL:
                                                with trouped */
    uint32_t clock_behind_s[CLUSTER_MACHINES_MAX]; /* of trouped_late */
    bool has_passed;                               /* the test, to its end */
};

/* Make the files and the machines. Nothing is started. */
void cluster_lab_open(struct cluster_lab *lab,
                      const struct cluster_lab_programs *programs,
                      const struct cluster_lab_plan *plan);

/* Kill what is up, remove all files; show what was said unless it has passed.
 */
void cluster_lab_close(struct cluster_lab *lab);

/* alpha, beta, ... */
const char *cluster_lab_name(uint32_t node);

/* Below the lab's folder. */
struct cluster_lab_path {
    char text[CLUSTER_LAB_PATH_BYTES];
};
__attribute__((format(printf, 2, 3))) struct cluster_lab_path cluster_lab_path(
    const struct cluster_lab *lab, const char *format, ...);

/* What a node keeps: DATA_DIR. */
struct cluster_lab_path cluster_lab_data(const struct cluster_lab *lab,
                                         uint32_t node);

/* ---- files ---- */

/* `troupe ARGUMENTS` in the lab's folder, with the shell; its exit code. */
__attribute__((format(printf, 2, 3))) int cluster_lab_troupe(
    const struct cluster_lab *lab, const char *format, ...);

/* Copy the authority's trust to a node's keys: it reads it at SIGHUP. */
void cluster_lab_copy_trust(const struct cluster_lab *lab, uint32_t node);

/* Put the first occurrence of `old` in a node's configuration right. */
void cluster_lab_edit(const struct cluster_lab *lab,
                      uint32_t node,
                      const char *old,
                      const char *new);

/* A folder for one more node, with a certificate and a configuration that has
 * it in its list. */
void cluster_lab_add_node(const struct cluster_lab *lab, uint32_t node);

/* The same, with a configuration that knows of the others nothing but the
 * address of one of them. */
void cluster_lab_add_seeded(const struct cluster_lab *lab,
                            uint32_t node,
                            uint32_t seed);

/* The same, but its certificate has expired so many seconds ago. */
void cluster_lab_add_expired_node(const struct cluster_lab *lab,
                                  uint32_t node,
                                  uint32_t ago_s);

/* A folder for a node of another cluster that knocks at this one's doors; for
 * one with the name and the keys of `other` on another machine. */
void cluster_lab_add_stranger(const struct cluster_lab *lab, uint32_t node);
void cluster_lab_add_double(const struct cluster_lab *lab,
                            uint32_t node,
                            uint32_t other);

/* ---- processes ---- */

/* Start `trouped --config FILE` and further arguments (or NULL). */
void cluster_lab_fork(struct cluster_lab *lab,
                      uint32_t node,
                      const char *argument);

/* Until it says that it is ready. */
void cluster_lab_await_ready(const struct cluster_lab *lab, uint32_t node);
void cluster_lab_start(struct cluster_lab *lab, uint32_t node);
void cluster_lab_start_all(struct cluster_lab *lab);

/* To its end. The exit code; -1: a signal has ended it. */
int cluster_lab_await_end(struct cluster_lab *lab, uint32_t node);

/* It ends by itself, with this code and these words. */
void cluster_lab_check_end(struct cluster_lab *lab,
                           uint32_t node,
                           int code,
                           const char *words);

void cluster_lab_kill(struct cluster_lab *lab, uint32_t node);

/* As a plug that is pulled: the others hear nothing of its end. */
void cluster_lab_power_off(struct cluster_lab *lab, uint32_t node);

/* SIGTERM; it must end with code 0. */
void cluster_lab_stop(struct cluster_lab *lab, uint32_t node);

/* SIGSTOP, SIGCONT, SIGHUP ... */
void cluster_lab_signal(const struct cluster_lab *lab, uint32_t node, int what);

/* Whether the present process, or the last one, has written these words. */
bool cluster_lab_has_said(const struct cluster_lab *lab,
                          uint32_t node,
                          const char *words);
void cluster_lab_await_said(const struct cluster_lab *lab,
                            uint32_t node,
                            const char *words);

/* ---- questions ---- */

/* A client with the certificate in the folder `name`, linked with one of the
 * nodes, `first` before the others, or with that one alone. */
struct cluster_lab_caller {
    const char *name;
    uint32_t first;
    bool is_alone;
    uint32_t connect_ms;
};
FALLIBLE cluster_lab_connect(const struct cluster_lab *lab,
                             const struct cluster_lab_caller *caller,
                             struct client **out,
                             struct err_detail *why);

/* The same as `caller`, but with a certificate of this cluster that another
 * authority has signed: what is said of it. */
FALLIBLE
cluster_lab_connect_forged(const struct cluster_lab *lab,
                           const struct cluster_lab_caller *caller,
                           struct err_detail *why);

/*
 * Ask a node as the operator: `args` is JSON. `*answer` is the caller's, and
 * holds what is said about an error; NULL: nothing.
 */
FALLIBLE cluster_lab_ask(const struct cluster_lab *lab,
                         uint32_t node,
                         const char *verb,
                         const char *args,
                         json_t **answer);

/* Ask a node until it answers, and the answer is so. */
struct cluster_lab_question {
    uint32_t node;
    const char *verb;
    const char *args;
    bool (*is_so)(const json_t *answer); /* NULL: any answer */
};
void cluster_lab_await(const struct cluster_lab *lab,
                       const struct cluster_lab_question *question);

/* The cluster, as `node` sees it, has all its members up and every shard led
 * and whole. */
void cluster_lab_await_whole(const struct cluster_lab *lab, uint32_t node);

/* The node that leads the meta group. */
uint32_t cluster_lab_leader(const struct cluster_lab *lab, uint32_t ask);

/* Look again until it is true. */
void cluster_lab_wait(const struct cluster_lab *lab,
                      bool (*is_true)(void *context),
                      void *context,
                      const char *what);

/* Say what is wrong and fail. */
void cluster_lab_give_up(const struct cluster_lab *lab, const char *what);

#endif
