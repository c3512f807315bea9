#include "bench/cluster.h"

#include "base/pack.h"
#include "bench/cluster_nodes.h"
#include "bench/cluster_scale.h"
#include "bench/process.h"

#include <stdio.h>
#include <string.h>

#define NODES 3
#define ROLLING_NODES 5
#define MOVING_NODES 4 /* so that one of them has no replica of a shard */

#define LIGHT_RATE 1000 /* requests per second, over all shards */
#define FOCUS_RATE 4000 /* half of them for one shard: each 0.5 ms */
#define LOAD_RATE 10000 /* for one shard each 13 ms */

#define FILL_ADDS (10 * CLUSTER_KEYS)
#define FILL_LOOK_NS (10 * NS_PER_MS)

#define MOVES_QUICK 12
#define KILLS 10
#define KILLS_QUICK 2
#define DRAINED "n1"
#define CALM_NS (500 * NS_PER_MS) /* of load, before something happens */
#define BEFORE_NS (50 * NS_PER_MS)
#define AFTER_NS (50 * NS_PER_MS)

static const char *const own_peers[] = {"troupe", NULL};

struct handover_about {
    uint32_t node_count;
};

static double percentile_of(const struct histogram *histogram,
                            double percent,
                            uint64_t unit_ns)
{
    return (double)histogram_percentile(histogram, percent) / (double)unit_ns;
}

/* A fixed rate, whatever becomes of the requests; answers come or not. */
static enum err offer(struct cluster_nodes *nodes, uint32_t rate)
{
    struct cluster_load *load = &nodes->shared->load;
    atomic_store(&load->rate, rate);
    atomic_store(&load->aim, CLUSTER_ASK_ANY);
    enum err err = cluster_nodes_order(nodes, CLUSTER_LOAD_OPEN);
    return err ? err : cluster_nodes_sleep(nodes, CALM_NS);
}

/* So many adds that next to every key has a counter. */
static enum err fill(struct cluster_nodes *nodes)
{
    struct cluster_load *load = &nodes->shared->load;
    uint64_t end = atomic_load(&load->acked) + FILL_ADDS;
    atomic_store(&load->aim, CLUSTER_ASK_LEADER);
    atomic_store(&load->outstanding, 1024);
    enum err err = cluster_nodes_order(nodes, CLUSTER_LOAD_CLOSED);
    while (!err && atomic_load(&load->acked) < end) {
        err = cluster_nodes_sleep(nodes, FILL_LOOK_NS);
    }
    return err;
}

/* Failed requests are a figure of one case; elsewhere there must be none. */
static enum err check(struct cluster_nodes *nodes)
{
    struct cluster_load *load = &nodes->shared->load;
    enum err err = cluster_nodes_check(nodes);
    uint64_t failed = atomic_load(&load->failed);
    if (!err && failed > 0) {
        err_explain(nodes->why, "%llu requests have failed: %s",
                    (unsigned long long)failed, load->why.text);
        return ERR_MALFORMED;
    }
    return err;
}

/* ---- requests ---- */

struct request_load {
    enum cluster_load_aim aim;
    uint32_t outstanding;
    struct histogram latency_ns;
    double per_second;
};

static enum err measure_load(struct cluster_nodes *nodes,
                             const struct bench_options *options,
                             struct request_load *out)
{
    struct cluster_load *load = &nodes->shared->load;
    atomic_store(&load->aim, out->aim);
    atomic_store(&load->outstanding, out->outstanding);
    enum err err = cluster_nodes_order(nodes, CLUSTER_LOAD_CLOSED);
    if (!err) {
        err = cluster_nodes_sleep(nodes,
                                  (options->is_quick ? 300 : 1000) * NS_PER_MS);
    }
    atomic_store(&load->is_recording, true);
    uint64_t start_ns = process_now_ns();
    uint64_t start = atomic_load(&load->acked);
    if (!err) {
        err = cluster_nodes_sleep(nodes,
                                  (options->is_quick ? 700 : 5000) * NS_PER_MS);
    }
    uint64_t acked = atomic_load(&load->acked) - start;
    out->per_second =
        (double)acked / ((double)(process_now_ns() - start_ns) / 1e9);
    atomic_store(&load->is_recording, false);
    if (!err) {
        err = cluster_nodes_order(nodes, CLUSTER_LOAD_REST);
    }
    out->latency_ns = load->latency_ns;
    return err;
}

/* Into five values. */
static enum err measure_aim(struct cluster_nodes *nodes,
                            const struct bench_options *options,
                            enum cluster_load_aim aim,
                            double *values)
{
    static const uint32_t outstanding[] = {1024, 64, 1};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < 3 && !err; i++) {
        struct request_load load = {.aim = aim, .outstanding = outstanding[i]};
        err = measure_load(nodes, options, &load);
        if (i == 0) {
            values[0] = load.per_second;
        } else {
            values[2 * i - 1] = percentile_of(&load.latency_ns, 50, NS_PER_US);
            values[2 * i] = percentile_of(&load.latency_ns, 99, NS_PER_US);
        }
    }
    return err;
}

static enum err measure_requests(const struct bench_experiment *experiment,
                                 const struct bench_options *options,
                                 const char *peer,
                                 double *values,
                                 struct err_detail *why)
{
    (void)experiment;
    (void)peer;
    struct cluster_nodes nodes = {0};
    enum err err = cluster_nodes_open(
        &nodes, &(struct cluster_plan){.founder_count = NODES}, why);
    values[0] = nodes.ready_s;
    if (!err) {
        err = measure_aim(&nodes, options, CLUSTER_ASK_LEADER, &values[1]);
    }
    if (!err) {
        err = measure_aim(&nodes, options, CLUSTER_ASK_OTHER, &values[6]);
    }
    if (!err) {
        values[11] = values[6] / values[1];
        err = check(&nodes);
    }
    cluster_nodes_close(&nodes);
    return err;
}

/* ---- hand-over ---- */

struct handover {
    struct cluster_nodes nodes;
    struct histogram gap_ns; /* one for each move */
};

/* Who holds a shard, by the map. */
struct holders {
    uint32_t shard;
    uint32_t count;
    uint32_t nodes[CLUSTER_NODES_MAX];
};

static void read_holders(struct holders *out, const struct reader *shard)
{
    struct reader wanted = cluster_steer_find(shard, "wanted");
    uint32_t count = pack_read_array(&wanted);
    out->count = 0;
    for (uint32_t i = 0; i < count && i < CLUSTER_NODES_MAX; i++) {
        out->nodes[out->count++] = cluster_nodes_find(pack_read_str(&wanted));
    }
}

static enum err find_holders(struct cluster_nodes *nodes, struct holders *out)
{
    struct reader answer;
    enum err err = cluster_nodes_ask(
        nodes, &(struct cluster_steer_question){.verb = "shard.map"}, &answer);
    if (err) {
        return err;
    }
    struct reader shards = cluster_steer_find(&answer, "shards");
    uint32_t count = pack_read_array(&shards);
    for (uint32_t i = 0; i < count && i < out->shard && !shards.failed; i++) {
        pack_skip(&shards);
    }
    read_holders(out, &shards);
    return out->count > 0 ? ERR_NONE : ERR_MALFORMED;
}

/* A node without a replica, or else the last that has one. */
static uint32_t next_owner(const struct holders *holders, uint32_t node_count)
{
    for (uint32_t node = 0; node < node_count; node++) {
        bool holds = false;
        for (uint32_t i = 0; i < holders->count; i++) {
            holds |= holders->nodes[i] == node;
        }
        if (!holds) {
            return node;
        }
    }
    return holders->nodes[holders->count - 1];
}

static enum err look_whether_there(struct cluster_nodes *nodes,
                                   void *context,
                                   bool *is_so)
{
    (void)context;
    *is_so = atomic_load(&nodes->shared->load.has_probed);
    return ERR_NONE;
}

/* The owner's place is given away; the longest time without an answer in
 * between is what users see. */
static enum err hand_over(struct handover *handover, uint32_t shard)
{
    struct cluster_nodes *nodes = &handover->nodes;
    struct cluster_load *load = &nodes->shared->load;
    struct holders holders = {.shard = shard};
    enum err err = find_holders(nodes, &holders);
    if (err) {
        return err;
    }
    uint32_t to = next_owner(&holders, nodes->shared->node_count);
    struct cluster_steer_question move = {
        .verb = "shard.move",
        .args = {{.key = "shard", .number = shard},
                 {.key = "to", .text = cluster_nodes_name(to)}}};
    atomic_store(&load->probed_node, to);
    atomic_store(&load->focus, shard);
    err = cluster_nodes_sleep(nodes, BEFORE_NS);
    if (!err) {
        err = cluster_nodes_round(nodes);
    }
    if (!err) {
        err = cluster_nodes_ask(nodes, &move, NULL);
    }
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_there, NULL,
                                  "a shard's new owner leads it");
    }
    if (!err) {
        err = cluster_nodes_sleep(nodes, AFTER_NS);
    }
    histogram_record(&handover->gap_ns,
                     atomic_load(&load->shards[shard].gap_ns));
    return err;
}

static enum err run_handovers(struct handover *handover, uint32_t count)
{
    struct cluster_nodes *nodes = &handover->nodes;
    struct cluster_steer_question pause = {.verb = "shard.pause"};
    enum err err = cluster_nodes_ask(nodes, &pause, NULL);
    if (!err) {
        err = fill(nodes);
    }
    if (!err) {
        err = offer(nodes, FOCUS_RATE);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        err = hand_over(handover, i * (CLUSTER_SHARDS / count));
    }
    return err ? err : check(nodes);
}

static enum err measure_handover(const struct bench_experiment *experiment,
                                 const struct bench_options *options,
                                 const char *peer,
                                 double *values,
                                 struct err_detail *why)
{
    const struct handover_about *about = experiment->about;
    (void)peer;
    struct handover handover = {0};
    enum err err = cluster_nodes_open(
        &handover.nodes,
        &(struct cluster_plan){.founder_count = about->node_count}, why);
    if (!err) {
        err = run_handovers(&handover,
                            options->is_quick ? MOVES_QUICK : CLUSTER_SHARDS);
    }
    cluster_nodes_close(&handover.nodes);
    values[0] = percentile_of(&handover.gap_ns, 50, NS_PER_MS);
    values[1] = percentile_of(&handover.gap_ns, 99, NS_PER_MS);
    values[2] = percentile_of(&handover.gap_ns, 100, NS_PER_MS);
    return err;
}

/* ---- joining and draining ---- */

static enum err look_whether_drained(struct cluster_nodes *nodes,
                                     void *context,
                                     bool *is_so)
{
    (void)context;
    struct cluster_steer_question progress = {
        .verb = "node.progress", .args = {{.key = "name", .text = DRAINED}}};
    struct reader answer;
    enum err err = cluster_nodes_ask(nodes, &progress, &answer);
    if (err) {
        return err;
    }
    struct reader owners = cluster_steer_find(&answer, "owners_left");
    struct reader replicas = cluster_steer_find(&answer, "replicas_left");
    *is_so = pack_read_uint(&owners) == 0 && pack_read_uint(&replicas) == 0 &&
             !owners.failed && !replicas.failed;
    return ERR_NONE;
}

static enum err time_join(struct cluster_nodes *nodes, double *out)
{
    uint64_t start_ns = process_now_ns();
    enum err err = cluster_nodes_start(nodes, NODES);
    if (!err) {
        err = cluster_nodes_await_ready(nodes, NODES);
    }
    if (!err) {
        err = cluster_nodes_await_whole(nodes, NODES + 1);
    }
    *out = (double)(process_now_ns() - start_ns) / 1e9;
    return err;
}

static enum err time_drain(struct cluster_nodes *nodes, double *out)
{
    struct cluster_steer_question drain = {
        .verb = "node.set",
        .args = {{.key = "name", .text = DRAINED},
                 {.key = "state", .text = "draining"}}};
    uint64_t start_ns = process_now_ns();
    enum err err = cluster_nodes_ask(nodes, &drain, NULL);
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_drained, NULL,
                                  "a drained node holds nothing");
    }
    *out = (double)(process_now_ns() - start_ns) / 1e9;
    return err;
}

static enum err measure_join(const struct bench_experiment *experiment,
                             const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    (void)experiment;
    (void)options;
    (void)peer;
    struct cluster_nodes nodes = {0};
    enum err err = cluster_nodes_open(
        &nodes,
        &(struct cluster_plan){.founder_count = NODES, .joiner_count = 1}, why);
    if (!err) {
        err = offer(&nodes, LIGHT_RATE);
    }
    if (!err) {
        err = time_join(&nodes, &values[0]);
    }
    if (!err) {
        err = time_drain(&nodes, &values[1]);
    }
    if (!err) {
        err = check(&nodes);
    }
    cluster_nodes_close(&nodes);
    return err;
}

/* ---- failures ---- */

struct failover {
    struct cluster_nodes nodes;
    struct histogram ns; /* of each shard that a victim led */
};

static enum err look_whether_served(struct cluster_nodes *nodes,
                                    void *context,
                                    bool *is_so)
{
    const uint32_t *victim = context;
    struct cluster_load *load = &nodes->shared->load;
    uint64_t round = atomic_load(&load->round);
    *is_so = true;
    for (uint32_t i = 0; i < CLUSTER_SHARDS; i++) {
        /* Pairs with the release of the load. */
        *is_so &= atomic_load(&load->shards[i].leader) != *victim ||
                  atomic_load_explicit(&load->shards[i].round,
                                       memory_order_acquire) == round;
    }
    return ERR_NONE;
}

static void take_times(struct failover *failover, uint32_t victim)
{
    const struct cluster_load *load = &failover->nodes.shared->load;
    uint64_t start_ns = atomic_load(&load->round_ns);
    for (uint32_t i = 0; i < CLUSTER_SHARDS; i++) {
        if (atomic_load(&load->shards[i].leader) == victim) {
            histogram_record(&failover->ns,
                             atomic_load(&load->shards[i].first_ns) - start_ns);
        }
    }
}

/* What was due after the kill is counted: what was answered before it may
 * still have been on its way. */
static enum err fail_once(struct failover *failover, uint32_t victim)
{
    struct cluster_nodes *nodes = &failover->nodes;
    cluster_nodes_kill(nodes, victim);
    enum err err = cluster_nodes_round(nodes);
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_served, &victim,
                                  "all shards of a killed node are served");
    }
    if (err) {
        return err;
    }
    take_times(failover, victim);
    err = cluster_nodes_start(nodes, victim);
    if (!err) {
        err = cluster_nodes_await_ready(nodes, victim);
    }
    return err ? err : cluster_nodes_await_whole(nodes, NODES);
}

static enum err measure_failover(const struct bench_experiment *experiment,
                                 const struct bench_options *options,
                                 const char *peer,
                                 double *values,
                                 struct err_detail *why)
{
    (void)experiment;
    (void)peer;
    struct failover failover = {0};
    uint32_t count = options->is_quick ? KILLS_QUICK : KILLS;
    enum err err = cluster_nodes_open(
        &failover.nodes, &(struct cluster_plan){.founder_count = NODES}, why);
    if (!err) {
        err = offer(&failover.nodes, LOAD_RATE);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        err = cluster_nodes_sleep(&failover.nodes, CALM_NS);
        if (!err) {
            err = fail_once(&failover, i % NODES);
        }
    }
    if (!err) {
        err = check(&failover.nodes);
    }
    cluster_nodes_close(&failover.nodes);
    values[0] = percentile_of(&failover.ns, 50, NS_PER_MS);
    values[1] = percentile_of(&failover.ns, 99, NS_PER_MS);
    values[2] = percentile_of(&failover.ns, 100, NS_PER_MS);
    return err;
}

/* ---- a rolling restart ---- */

static enum err restart_all(struct cluster_nodes *nodes)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < ROLLING_NODES && !err; i++) {
        err = cluster_nodes_stop(nodes, i);
        if (!err) {
            err = cluster_nodes_start(nodes, i);
        }
        if (!err) {
            err = cluster_nodes_await_ready(nodes, i);
        }
    }
    return err ? err : cluster_nodes_sleep(nodes, CALM_NS);
}

static enum err run_rolling(struct cluster_nodes *nodes, double *values)
{
    struct cluster_load *load = &nodes->shared->load;
    enum err err = offer(nodes, LOAD_RATE);
    atomic_store(&load->is_recording, true);
    if (!err) {
        err = cluster_nodes_order(nodes, CLUSTER_LOAD_OPEN);
    }
    if (!err) {
        err = restart_all(nodes);
    }
    if (!err) { /* also those that have waited long */
        err = cluster_nodes_check(nodes);
    }
    atomic_store(&load->is_recording, false);
    values[0] = (double)atomic_load(&load->failed);
    values[1] = percentile_of(&load->latency_ns, 50, NS_PER_MS);
    values[2] = percentile_of(&load->latency_ns, 99, NS_PER_MS);
    values[3] = percentile_of(&load->latency_ns, 99.9, NS_PER_MS);
    values[4] = percentile_of(&load->latency_ns, 100, NS_PER_MS);
    if (!err && values[0] > 0) {
        (void)fprintf(stderr, "troupe-bench: rolling restart: %s\n",
                      load->why.text);
    }
    return err;
}

static enum err measure_rolling(const struct bench_experiment *experiment,
                                const struct bench_options *options,
                                const char *peer,
                                double *values,
                                struct err_detail *why)
{
    (void)experiment;
    (void)options;
    (void)peer;
    struct cluster_nodes nodes = {0};
    enum err err = cluster_nodes_open(
        &nodes, &(struct cluster_plan){.founder_count = ROLLING_NODES}, why);
    if (!err) {
        err = run_rolling(&nodes, values);
    }
    cluster_nodes_close(&nodes);
    return err;
}

/* ---- the suite ---- */

#define HANDOVER(label, nodes)                                              \
    {                                                                       \
        .name = label, .peers = own_peers, .measure = measure_handover,     \
        .about = &(const struct handover_about){nodes}, .run_max_quick = 1, \
        .cases = {{label "-p50", "ms", true},                               \
                  {label "-p99", "ms", true},                               \
                  {label "-max", "ms", true}},                              \
    }

/* clang-format off */
static const struct bench_experiment experiments[] = {
    {
        .name = "request", .peers = own_peers, .measure = measure_requests,
        .run_max_quick = 1,
        .cases = {{"ready", "s", true},
                  {"request-local", "ops/s", false},
                  {"request-local-c64-p50", "us", true},
                  {"request-local-c64-p99", "us", true},
                  {"request-local-c1-p50", "us", true},
                  {"request-local-c1-p99", "us", true},
                  {"request-forwarded", "ops/s", false},
                  {"request-forwarded-c64-p50", "us", true},
                  {"request-forwarded-c64-p99", "us", true},
                  {"request-forwarded-c1-p50", "us", true},
                  {"request-forwarded-c1-p99", "us", true},
                  {"request-forwarded-share", "x", false}},
    },
    HANDOVER("handover", NODES),
    HANDOVER("handover-move", MOVING_NODES),
    {
        .name = "join", .peers = own_peers, .measure = measure_join,
        .run_max_quick = 1,
        .cases = {{"join-3to4", "s", true}, {"drain", "s", true}},
    },
    {
        .name = "failover-kill", .peers = own_peers,
        .measure = measure_failover, .run_max_quick = 1,
        .cases = {{"failover-kill-p50", "ms", true},
                  {"failover-kill-p99", "ms", true},
                  {"failover-kill-max", "ms", true}},
    },
    {
        .name = "rolling-restart", .peers = own_peers,
        .measure = measure_rolling, .run_max_quick = 1,
        .cases = {{"rolling-restart-failed", "count", true},
                  {"rolling-restart-p50", "ms", true},
                  {"rolling-restart-p99", "ms", true},
                  {"rolling-restart-p999", "ms", true},
                  {"rolling-restart-max", "ms", true}},
    },
    {
        .name = "map-converge-100", .peers = own_peers,
        .measure = cluster_scale_measure, .is_exact = true,
        .cases = {{"map-converge-100", "s", true},
                  {"map-converge-100-bytes", "B/s", true},
                  {"map-converge-100-found", "s", true},
                  {"map-converge-100-lost", "s", true},
                  {"map-converge-100-idle-messages", "1/s", true},
                  {"map-converge-100-idle-bytes", "B/s", true},
                  {"map-converge-100-idle-calls", "1/s", true},
                  {"map-converge-100-idle-digests", "1/s", true},
                  {"map-converge-100-memory", "KiB", true}},
    },
};
/* clang-format on */

const struct bench_suite cluster_suite = {
    .name = "cluster",
    .about = "whole nodes: requests, hand-over, join, failover, restarts",
    .uses_disk = true,
    .experiments = experiments,
    .experiment_count = sizeof experiments / sizeof experiments[0],
};
