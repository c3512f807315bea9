#include "bench/raft_cluster.h"

#include "base/posix/posix_folder.h"
#include "bench/log_host.h"
#include "bench/process.h"
#include "bench/raft_node.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (2 * NS_PER_MS)
#define SETTLE_NS (20 * NS_PER_S)
#define SETTLED_NS (300 * NS_PER_MS)
#define DRAIN_NS (20 * NS_PER_S)

/* What a child gets a copy of. */
struct start {
    struct raft_cluster_shared *shared;
    uint32_t number;
};

static enum err run_node(void *context)
{
    const struct start *start = context;
    return raft_node_run(start->shared, start->number);
}

static enum err start_node(struct raft_cluster *cluster, uint32_t number)
{
    struct start start = {.shared = cluster->shared, .number = number};
    /* What it told before is not so any more. */
    atomic_store(&cluster->shared->nodes[number].settled_count, 0);
    for (uint32_t i = 0; i < RAFT_CLUSTER_GROUPS_MAX; i++) {
        atomic_store(&cluster->shared->nodes[number].groups[i].is_led, false);
    }
    cluster->children[number] = process_start(run_node, &start);
    return cluster->children[number] > 0 ? ERR_NONE : ERR_MEMORY;
}

/* ERR_CLOSED: a node has ended that should not. */
static enum err check_nodes(struct raft_cluster *cluster,
                            struct err_detail *why)
{
    for (uint32_t i = 0; i < cluster->shared->job.node_count; i++) {
        if (cluster->children[i] > 0 &&
            process_has_ended(cluster->children[i])) {
            cluster->children[i] = 0;
            const char *said = cluster->shared->nodes[i].why.text;
            err_explain(why, "%s", said[0] ? said : "a node has ended");
            return ERR_CLOSED;
        }
    }
    return ERR_NONE;
}

FALLIBLE raft_cluster_sleep(struct raft_cluster *cluster,
                            uint64_t duration_ns,
                            struct err_detail *why)
{
    uint64_t end_ns = process_now_ns() + duration_ns;
    enum err err = check_nodes(cluster, why);
    for (uint64_t now_ns = process_now_ns(); !err && now_ns < end_ns;
         now_ns = process_now_ns()) {
        uint64_t rest_ns = end_ns - now_ns;
        process_sleep_ns(rest_ns < NS_PER_S / 4 ? rest_ns : NS_PER_S / 4);
        err = check_nodes(cluster, why);
    }
    return err;
}

/* Until `is_true`, which is called again and again. */
static enum err await(struct raft_cluster *cluster,
                      bool (*is_true)(const struct raft_cluster *cluster),
                      uint64_t timeout_ns,
                      struct err_detail *why)
{
    uint64_t end_ns = process_now_ns() + timeout_ns;
    enum err err = ERR_NONE;
    while (!err && !is_true(cluster)) {
        err = process_now_ns() < end_ns
                  ? raft_cluster_sleep(cluster, LOOK_NS, why)
                  : ERR_TIMEOUT;
    }
    return err;
}

static bool is_led_as_meant(const struct raft_cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->shared->job.node_count; i++) {
        count += atomic_load(&cluster->shared->nodes[i].settled_count);
    }
    return count == cluster->shared->job.group_count;
}

/* A node that was paused may still believe what is not so any more: look
 * twice. */
FALLIBLE raft_cluster_settle(struct raft_cluster *cluster,
                             struct err_detail *why)
{
    enum raft_phase before =
        atomic_exchange(&cluster->shared->phase, RAFT_PHASE_SETTLE);
    enum err err = ERR_NONE;
    do {
        err = await(cluster, is_led_as_meant, SETTLE_NS, why);
        if (!err) {
            err = raft_cluster_sleep(cluster, SETTLED_NS, why);
        }
    } while (!err && !is_led_as_meant(cluster));
    atomic_store(&cluster->shared->phase, before);
    if (err == ERR_TIMEOUT) {
        err_explain(why, "groups have not got their leaders within %d s",
                    (int)(SETTLE_NS / NS_PER_S));
    }
    return err;
}

FALLIBLE raft_cluster_open(struct raft_cluster *cluster,
                           const struct raft_cluster_job *job,
                           struct err_detail *why)
{
    *cluster = (struct raft_cluster){
        .shared = process_shared_open(sizeof(struct raft_cluster_shared))};
    if (!cluster->shared) {
        return ERR_MEMORY;
    }
    struct raft_cluster_job *own = &cluster->shared->job;
    *own = *job;
    own->port_first =
        process_free_ports(RAFT_CLUSTER_PORTS * RAFT_CLUSTER_NODES_MAX);
    if (own->port_first == 0 || !log_host_folder(own->folder)) {
        own->folder[0] = '\0';
        err_explain(why, "no free ports, or no folder for the log");
        return ERR_IO;
    }
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < job->node_count && !err; i++) {
        err = start_node(cluster, i);
    }
    return err ? err : raft_cluster_settle(cluster, why);
}

void raft_cluster_close(struct raft_cluster *cluster)
{
    if (!cluster->shared) {
        return;
    }
    for (uint32_t i = 0; i < RAFT_CLUSTER_NODES_MAX; i++) {
        process_end(cluster->children[i]);
        cluster->children[i] = 0;
    }
    const char *folder = cluster->shared->job.folder;
    if (folder[0] && posix_folder_remove(folder)) {
        (void)fprintf(stderr, "troupe-bench: %s is left behind\n", folder);
    }
    process_shared_close(cluster->shared, sizeof *cluster->shared);
    cluster->shared = NULL;
}

void raft_cluster_kill(struct raft_cluster *cluster, uint32_t node)
{
    process_end(cluster->children[node]);
    cluster->children[node] = 0;
}

FALLIBLE raft_cluster_restart(struct raft_cluster *cluster, uint32_t node)
{
    return start_node(cluster, node);
}

void raft_cluster_pause(struct raft_cluster *cluster, uint32_t node)
{
    kill(cluster->children[node], SIGSTOP);
}

void raft_cluster_resume(struct raft_cluster *cluster, uint32_t node)
{
    kill(cluster->children[node], SIGCONT);
}

uint64_t raft_cluster_acked(const struct raft_cluster *cluster)
{
    uint64_t acked = 0;
    for (uint32_t i = 0; i < cluster->shared->job.node_count; i++) {
        for (uint32_t j = 0; j < cluster->shared->job.group_count; j++) {
            acked +=
                atomic_load_explicit(&cluster->shared->nodes[i].groups[j].acked,
                                     memory_order_relaxed);
        }
    }
    return acked;
}

/* ---- looking at what has become of all commands ---- */

/* Nothing is under way, and all replicas have told the same since. */
static bool is_drained(const struct raft_cluster *cluster)
{
    const struct raft_cluster_shared *shared = cluster->shared;
    for (uint32_t i = 0; i < shared->job.node_count; i++) {
        if (atomic_load(&shared->nodes[i].outstanding) > 0) {
            return false;
        }
        for (uint32_t j = 0; j < shared->job.group_count; j++) {
            const struct raft_tally *first = &shared->nodes[0].groups[j];
            const struct raft_tally *other = &shared->nodes[i].groups[j];
            if (atomic_load(&first->applied_index) !=
                    atomic_load(&other->applied_index) ||
                atomic_load(&first->digest) != atomic_load(&other->digest)) {
                return false;
            }
        }
    }
    return true;
}

static enum err verify_group(const struct raft_cluster_shared *shared,
                             uint32_t group,
                             struct err_detail *why)
{
    uint64_t acked = 0;
    uint64_t possible = 0;
    for (uint32_t i = 0; i < shared->job.node_count; i++) {
        const struct raft_tally *tally = &shared->nodes[i].groups[group];
        acked += atomic_load(&tally->acked);
        possible += atomic_load(&tally->asked) - atomic_load(&tally->refused);
    }
    int64_t sum = atomic_load(&shared->nodes[0].groups[group].sum);
    if (sum < 0 || (uint64_t)sum < acked || (uint64_t)sum > possible) {
        err_explain(why,
                    "group %u holds %" PRId64 ", but %" PRIu64
                    " were acknowledged of at most %" PRIu64,
                    group, sum, acked, possible);
        return ERR_MALFORMED;
    }
    return ERR_NONE;
}

FALLIBLE raft_cluster_verify(struct raft_cluster *cluster,
                             struct err_detail *why)
{
    struct raft_cluster_shared *shared = cluster->shared;
    uint64_t looks[RAFT_CLUSTER_NODES_MAX];
    atomic_store(&shared->phase, RAFT_PHASE_DRAIN);
    for (uint32_t i = 0; i < shared->job.node_count; i++) {
        looks[i] = atomic_load(&shared->nodes[i].look_count);
    }
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < shared->job.node_count; i++) {
        /* One look may have begun before. */
        while (!err &&
               atomic_load(&shared->nodes[i].look_count) < looks[i] + 2) {
            err = raft_cluster_sleep(cluster, LOOK_NS, why);
        }
    }
    if (!err) {
        err = await(cluster, is_drained, DRAIN_NS, why);
        if (err == ERR_TIMEOUT) {
            err_explain(why, "replicas have not become equal within %d s",
                        (int)(DRAIN_NS / NS_PER_S));
        }
    }
    for (uint32_t j = 0; j < shared->job.group_count && !err; j++) {
        err = verify_group(shared, j, why);
    }
    return err;
}
