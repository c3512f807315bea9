#include "bench/cluster_nodes.h"

#include "base/pack.h"
#include "base/posix/posix_folder.h"
#include "bench/cluster_founding.h"
#include "bench/cluster_node.h"
#include "bench/log_host.h"
#include "bench/process.h"
#include "config/founding.h"
#include "config/path.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORTS_PER_NODE 100 /* as the founding gives out on a shared host */
#define LOOK_NS (2 * NS_PER_MS)
#define AWAIT_NS (60 * NS_PER_S)
#define ASKED_AGAIN 50
#define ASK_PAUSE_NS (100 * NS_PER_MS)

static const char *const names[CLUSTER_NODES_MAX] = {"n1", "n2", "n3", "n4",
                                                     "n5"};

const char *cluster_nodes_name(uint32_t node)
{
    return names[node];
}

uint32_t cluster_nodes_find(struct bytes name)
{
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        if (bytes_are_equal(name, bytes_of_text(names[i]))) {
            return i;
        }
    }
    return CLUSTER_NOBODY;
}

/* ---- processes ---- */

enum err cluster_nodes_start(struct cluster_nodes *nodes, uint32_t node)
{
    struct cluster_node_start start = {.shared = nodes->shared, .node = node};
    atomic_store(&nodes->shared->ready_ns[node], 0);
    nodes->children[node] = process_start(cluster_node_run, &start);
    return nodes->children[node] > 0 ? ERR_NONE : ERR_MEMORY;
}

void cluster_nodes_kill(struct cluster_nodes *nodes, uint32_t node)
{
    process_end(nodes->children[node]);
    nodes->children[node] = 0;
}

enum err cluster_nodes_stop(struct cluster_nodes *nodes, uint32_t node)
{
    uint64_t end_ns = process_now_ns() + AWAIT_NS;
    (void)kill(nodes->children[node], SIGTERM);
    while (!process_has_ended(nodes->children[node])) {
        if (process_now_ns() >= end_ns) {
            err_explain(nodes->why, "%s does not end", names[node]);
            return ERR_TIMEOUT;
        }
        process_sleep_ns(LOOK_NS);
    }
    nodes->children[node] = 0;
    return ERR_NONE;
}

/* ERR_CLOSED: it has ended. */
static enum err check_child(struct cluster_nodes *nodes,
                            pid_t *child,
                            const struct err_detail *said,
                            const char *what)
{
    if (*child <= 0 || !process_has_ended(*child)) {
        return ERR_NONE;
    }
    *child = 0;
    err_explain(nodes->why, "%s has ended: %s", what, said->text);
    return ERR_CLOSED;
}

static enum err check_children(struct cluster_nodes *nodes)
{
    struct cluster_shared *shared = nodes->shared;
    enum err err =
        check_child(nodes, &nodes->load, &shared->load.why, "the load");
    if (!err) {
        err = check_child(nodes, &nodes->steer, &shared->steer.why,
                          "the operator");
    }
    for (uint32_t i = 0; i < shared->node_count && !err; i++) {
        err = check_child(nodes, &nodes->children[i], &shared->why, names[i]);
    }
    return err;
}

enum err cluster_nodes_sleep(struct cluster_nodes *nodes, uint64_t duration_ns)
{
    uint64_t end_ns = process_now_ns() + duration_ns;
    enum err err = check_children(nodes);
    for (uint64_t now_ns = process_now_ns(); !err && now_ns < end_ns;
         now_ns = process_now_ns()) {
        uint64_t rest_ns = end_ns - now_ns;
        process_sleep_ns(rest_ns < NS_PER_S / 4 ? rest_ns : NS_PER_S / 4);
        err = check_children(nodes);
    }
    return err;
}

enum err cluster_nodes_await(struct cluster_nodes *nodes,
                             cluster_nodes_look *look,
                             void *context,
                             const char *what)
{
    uint64_t end_ns = process_now_ns() + AWAIT_NS;
    bool is_so = false;
    enum err err = look(nodes, context, &is_so);
    while (!err && !is_so) {
        if (process_now_ns() >= end_ns) {
            err_explain(nodes->why, "not within %d s: %s",
                        (int)(AWAIT_NS / NS_PER_S), what);
            return ERR_TIMEOUT;
        }
        err = cluster_nodes_sleep(nodes, LOOK_NS);
        if (!err) {
            err = look(nodes, context, &is_so);
        }
    }
    return err;
}

/* ---- questions ---- */

static bool is_passing(enum err err)
{
    switch (err) {
    case ERR_BUSY:
    case ERR_NO_QUORUM:
    case ERR_NOT_LEADER:
    case ERR_TIMEOUT:
    case ERR_UNCERTAIN:
    case ERR_UNREACHABLE:
        return true;
    default:
        return false;
    }
}

enum err cluster_nodes_ask(struct cluster_nodes *nodes,
                           const struct cluster_steer_question *question,
                           struct reader *answer)
{
    struct cluster_steer *steer = &nodes->shared->steer;
    enum err err = cluster_steer_ask(steer, question, answer, nodes->why);
    for (uint32_t i = 0; i < ASKED_AGAIN && is_passing(err); i++) {
        err = cluster_nodes_sleep(nodes, ASK_PAUSE_NS);
        if (!err) {
            err = cluster_steer_ask(steer, question, answer, nodes->why);
        }
    }
    return err;
}

static uint64_t number_at(const struct reader *map,
                          const char *outer,
                          const char *key)
{
    struct reader inner = cluster_steer_find(map, outer);
    struct reader value = cluster_steer_find(&inner, key);
    uint64_t number = pack_read_uint(&value);
    return value.failed ? UINT64_MAX : number;
}

/* What the members call for may not be known yet to the one who is asked:
 * its view must be as new as `version`. */
static enum err look_whether_balanced(struct cluster_nodes *nodes,
                                      uint64_t version,
                                      bool *is_so)
{
    struct reader answer;
    enum err err = cluster_nodes_ask(
        nodes, &(struct cluster_steer_question){.verb = "shard.plan"}, &answer);
    if (err) {
        return err;
    }
    struct reader view = cluster_steer_find(&answer, "view");
    struct reader moves = cluster_steer_find(&answer, "moves");
    *is_so = pack_read_uint(&view) >= version && !view.failed &&
             pack_read_array(&moves) == 0 && !moves.failed;
    return ERR_NONE;
}

static enum err look_whether_whole(struct cluster_nodes *nodes,
                                   void *context,
                                   bool *is_so)
{
    const uint32_t *member_count = context;
    struct reader answer;
    enum err err = cluster_nodes_ask(
        nodes, &(struct cluster_steer_question){.verb = "cluster.status"},
        &answer);
    *is_so = !err && number_at(&answer, "members", "heard") == *member_count &&
             number_at(&answer, "shards", "whole") == CLUSTER_SHARDS &&
             number_at(&answer, "shards", "moving") == 0;
    if (err || !*is_so) {
        return err;
    }
    struct reader view = cluster_steer_find(&answer, "view");
    return look_whether_balanced(nodes, pack_read_uint(&view), is_so);
}

/* One of the list `shards`: true when its leader is its owner, and then that
 * is noted for the load. */
static bool take_shard(struct cluster_load *load, const struct reader *shard)
{
    struct reader number = cluster_steer_find(shard, "shard");
    struct reader leader = cluster_steer_find(shard, "leader");
    struct reader owner = cluster_steer_find(shard, "owner");
    uint64_t index = pack_read_uint(&number);
    uint32_t leads = cluster_nodes_find(pack_read_str(&leader));
    uint32_t owns = cluster_nodes_find(pack_read_str(&owner));
    bool is_led = !number.failed && !leader.failed && index < CLUSTER_SHARDS &&
                  leads != CLUSTER_NOBODY && leads == owns;
    if (is_led) {
        atomic_store(&load->shards[index].leader, leads);
    }
    return is_led;
}

static enum err look_who_leads(struct cluster_nodes *nodes,
                               void *context,
                               bool *is_so)
{
    (void)context;
    struct reader answer;
    enum err err = cluster_nodes_ask(
        nodes, &(struct cluster_steer_question){.verb = "shard.map"}, &answer);
    if (err) {
        return err;
    }
    struct reader shards = cluster_steer_find(&answer, "shards");
    uint32_t count = pack_read_array(&shards);
    uint32_t led_count = 0;
    for (uint32_t i = 0; i < count && !shards.failed; i++) {
        led_count += take_shard(&nodes->shared->load, &shards);
        pack_skip(&shards);
    }
    *is_so = led_count == CLUSTER_SHARDS;
    return ERR_NONE;
}

enum err cluster_nodes_await_whole(struct cluster_nodes *nodes,
                                   uint32_t member_count)
{
    enum err err = cluster_nodes_await(nodes, look_whether_whole, &member_count,
                                       "every shard is whole");
    return err ? err
               : cluster_nodes_await(nodes, look_who_leads, NULL,
                                     "every shard is led by its owner");
}

static enum err look_whether_ready(struct cluster_nodes *nodes,
                                   void *context,
                                   bool *is_so)
{
    const uint32_t *node = context;
    *is_so = atomic_load(&nodes->shared->ready_ns[*node]) != 0;
    return ERR_NONE;
}

enum err cluster_nodes_await_ready(struct cluster_nodes *nodes, uint32_t node)
{
    return cluster_nodes_await(nodes, look_whether_ready, &node,
                               "a node is ready");
}

/* ---- the load ---- */

static enum err look_whether_looked(struct cluster_nodes *nodes,
                                    void *context,
                                    bool *is_so)
{
    const uint64_t *count = context;
    *is_so = atomic_load(&nodes->shared->load.look_count) >= *count;
    return ERR_NONE;
}

/* One look may have begun before. */
static enum err await_order(struct cluster_nodes *nodes)
{
    uint64_t count = atomic_load(&nodes->shared->load.look_count) + 2;
    return cluster_nodes_await(nodes, look_whether_looked, &count,
                               "the load follows");
}

enum err cluster_nodes_order(struct cluster_nodes *nodes,
                             enum cluster_load_phase phase)
{
    atomic_store(&nodes->shared->load.phase, phase);
    return await_order(nodes);
}

enum err cluster_nodes_round(struct cluster_nodes *nodes)
{
    struct cluster_load *load = &nodes->shared->load;
    atomic_store(&load->has_probed, false);
    atomic_store(&load->round_ns, process_now_ns());
    atomic_fetch_add(&load->round, 1);
    return await_order(nodes);
}

static enum err look_whether_answered(struct cluster_nodes *nodes,
                                      void *context,
                                      bool *is_so)
{
    (void)context;
    *is_so = atomic_load(&nodes->shared->load.under_way) == 0;
    return ERR_NONE;
}

static enum err look_whether_checked(struct cluster_nodes *nodes,
                                     void *context,
                                     bool *is_so)
{
    struct cluster_load *load = &nodes->shared->load;
    (void)context;
    *is_so = atomic_load(&load->checked) == CLUSTER_KEYS;
    return ERR_NONE;
}

enum err cluster_nodes_check(struct cluster_nodes *nodes)
{
    struct cluster_load *load = &nodes->shared->load;
    atomic_store(&load->focus, CLUSTER_NOBODY);
    atomic_store(&load->checked, 0);
    atomic_store(&load->aim, CLUSTER_ASK_ANY);
    enum err err = cluster_nodes_order(nodes, CLUSTER_LOAD_REST);
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_answered, NULL,
                                  "nothing is under way");
    }
    if (!err) {
        err = cluster_nodes_order(nodes, CLUSTER_LOAD_CHECK);
    }
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_checked, NULL,
                                  "all counters are read");
    }
    if (!err) {
        err = cluster_nodes_order(nodes, CLUSTER_LOAD_REST);
    }
    if (!err && atomic_load(&load->wrong) > 0) {
        err_explain(nodes->why, "%u counters are wrong: %s",
                    atomic_load(&load->wrong), load->why.text);
        err = ERR_MALFORMED;
    }
    return err;
}

/* ---- life ---- */

static enum err run_founding(struct cluster_nodes *nodes)
{
    struct cluster_node_start start = {.shared = nodes->shared};
    uint64_t end_ns = process_now_ns() + AWAIT_NS;
    char path[PATH_BYTES];
    pid_t child = process_start(cluster_founding_run, &start);
    while (child > 0 && !process_has_ended(child)) {
        if (process_now_ns() >= end_ns) {
            process_end(child);
            return ERR_TIMEOUT;
        }
        process_sleep_ns(LOOK_NS);
    }
    (void)snprintf(path, sizeof path, "%s/cluster/" CLUSTER_CLIENT "/trust",
                   nodes->shared->folder);
    if (nodes->shared->why.text[0] || access(path, R_OK)) {
        err_explain(nodes->why, "founding: %s", nodes->shared->why.text);
        return ERR_IO;
    }
    return ERR_NONE;
}

static enum err start_founders(struct cluster_nodes *nodes)
{
    struct cluster_shared *shared = nodes->shared;
    uint64_t start_ns = process_now_ns();
    uint64_t ready_ns = start_ns;
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < shared->plan.founder_count && !err; i++) {
        err = cluster_nodes_start(nodes, i);
    }
    for (uint32_t i = 0; i < shared->plan.founder_count && !err; i++) {
        err = cluster_nodes_await_ready(nodes, i);
        uint64_t at_ns = atomic_load(&shared->ready_ns[i]);
        ready_ns = at_ns > ready_ns ? at_ns : ready_ns;
    }
    nodes->ready_s = (double)(ready_ns - start_ns) / 1e9;
    return err;
}

static enum err start_others(struct cluster_nodes *nodes)
{
    struct cluster_shared *shared = nodes->shared;
    struct cluster_load_start load = {.load = &shared->load};
    struct cluster_steer_start steer = {.steer = &shared->steer};
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/cluster/", shared->folder);
    bool fits =
        (size_t)snprintf(load.folder, sizeof load.folder, "%s" CLUSTER_CLIENT,
                         folder) < sizeof load.folder &&
        (size_t)snprintf(steer.folder, sizeof steer.folder,
                         "%s" FOUNDING_OPERATOR, folder) < sizeof steer.folder;
    if (!fits) {
        err_explain(nodes->why, "%s: the path is too long", folder);
        return ERR_IO;
    }
    if (!shared->plan.is_without_load) {
        nodes->load = process_start(cluster_load_run, &load);
    }
    nodes->steer = process_start(cluster_steer_run, &steer);
    return nodes->load >= 0 && nodes->steer > 0 ? ERR_NONE : ERR_MEMORY;
}

static enum err look_whether_linked(struct cluster_nodes *nodes,
                                    void *context,
                                    bool *is_so)
{
    (void)context;
    const struct cluster_plan *plan = &nodes->shared->plan;
    *is_so =
        plan->is_without_load ||
        atomic_load(&nodes->shared->load.link_count) >= plan->founder_count;
    return ERR_NONE;
}

enum err cluster_nodes_open(struct cluster_nodes *nodes,
                            const struct cluster_plan *plan,
                            struct err_detail *why)
{
    *nodes = (struct cluster_nodes){
        .shared = process_shared_open(sizeof(struct cluster_shared)),
        .why = why};
    struct cluster_shared *shared = nodes->shared;
    if (!shared) {
        return ERR_MEMORY;
    }
    shared->plan = *plan;
    shared->node_count = plan->founder_count + plan->joiner_count;
    atomic_store(&shared->load.focus, CLUSTER_NOBODY);
    atomic_store(&shared->load.probed_node, CLUSTER_NOBODY);
    shared->port_first =
        process_free_ports(PORTS_PER_NODE * shared->node_count);
    if (shared->port_first == 0 || !log_host_folder(shared->folder)) {
        shared->folder[0] = '\0';
        err_explain(why, "no free ports, or no folder");
        return ERR_IO;
    }
    enum err err = run_founding(nodes);
    if (!err) {
        err = start_founders(nodes);
    }
    if (!err) {
        err = start_others(nodes);
    }
    if (!err) {
        err = cluster_nodes_await(nodes, look_whether_linked, NULL,
                                  "the load is linked with all nodes");
    }
    return err ? err : cluster_nodes_await_whole(nodes, plan->founder_count);
}

void cluster_nodes_close(struct cluster_nodes *nodes)
{
    if (!nodes->shared) {
        return;
    }
    process_end(nodes->load);
    process_end(nodes->steer);
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        process_end(nodes->children[i]);
    }
    const char *folder = nodes->shared->folder;
    if (folder[0] && posix_folder_remove(folder)) {
        (void)fprintf(stderr, "troupe-bench: %s is left behind\n", folder);
    }
    process_shared_close(nodes->shared, sizeof *nodes->shared);
    *nodes = (struct cluster_nodes){0};
}
