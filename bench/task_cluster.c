#include "bench/task_cluster.h"

#include "bench/process.h"

#include <stdio.h>
#include <string.h>

#define QUEUE_MAX 100000000
#define RUNNING_MAX (1u << 20) /* no limit in fact: a pool that is single */

static enum err check(struct task_cluster *cluster)
{
    if (atomic_load(&cluster->bench->has_failed)) {
        err_explain(cluster->why, "%s", cluster->bench->why.text);
        return ERR_IO;
    }
    return ERR_NONE;
}

static uint64_t done_count(const struct task_cluster *cluster)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < cluster->nodes.shared->node_count; i++) {
        done += atomic_load(&cluster->bench->nodes[i].done);
    }
    return done;
}

static uint64_t cpu_ns(const struct task_cluster *cluster)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < cluster->nodes.shared->node_count; i++) {
        sum += atomic_load(&cluster->bench->nodes[i].cpu_ns);
    }
    return sum;
}

static uint64_t stolen_count(const struct task_cluster *cluster)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < cluster->nodes.shared->node_count; i++) {
        sum += atomic_load(&cluster->bench->nodes[i].stolen);
    }
    return sum;
}

static enum err look_whether_pool(struct cluster_nodes *nodes,
                                  void *context,
                                  bool *is_so)
{
    struct task_cluster *cluster = context;
    uint64_t led = 0;
    *is_so = true;
    for (uint32_t i = 0; i < nodes->shared->node_count; i++) {
        *is_so &= atomic_load(&cluster->bench->nodes[i].has_pool);
        led += atomic_load(&cluster->bench->nodes[i].led);
    }
    *is_so &= led == CLUSTER_SHARDS;
    return check(cluster);
}

static enum err look_whether_done(struct cluster_nodes *nodes,
                                  void *context,
                                  bool *is_so)
{
    struct task_cluster *cluster = context;
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < nodes->shared->node_count; i++) {
        wanted += atomic_load(&cluster->bench->nodes[i].wanted);
    }
    *is_so = done_count(cluster) >= wanted;
    return check(cluster);
}

static enum err look_whether_singles(struct cluster_nodes *nodes,
                                     void *context,
                                     bool *is_so)
{
    struct task_cluster *cluster = context;
    const struct task_bench_node *node = &cluster->bench->nodes[0];
    (void)nodes;
    *is_so = atomic_load(&node->singles_done) >= atomic_load(&node->singles);
    return check(cluster);
}

static void fill_bench(struct task_bench *bench,
                       const struct task_cluster_plan *plan)
{
    struct task_pool *pool = &bench->pool;
    task_pool_defaults(pool);
    (void)snprintf(pool->name, sizeof pool->name, "bench");
    pool->handler = plan->is_command ? TASK_EXEC : TASK_FUNCTION;
    pool->any_command = plan->is_command;
    if (plan->function) {
        (void)snprintf(pool->function, sizeof pool->function, "%s",
                       plan->function);
    }
    pool->workers = plan->workers;
    pool->is_durable = plan->is_durable;
    pool->queue_max = QUEUE_MAX;
    pool->running_max = plan->is_single ? RUNNING_MAX : 0;
    bench->pool_home = plan->is_single ? plan->home : CLUSTER_NOBODY;
    bench->steals = !plan->steals_nothing;
    bench->is_command = plan->is_command;
    bench->batch = TASK_BENCH_BATCH;
    bench->window = TASK_BENCH_WINDOW;
}

enum err task_cluster_open(struct task_cluster *cluster,
                           const struct task_cluster_plan *plan,
                           struct err_detail *why)
{
    *cluster = (struct task_cluster){
        .bench = process_shared_open(sizeof *cluster->bench), .why = why};
    if (!cluster->bench) {
        return ERR_MEMORY;
    }
    fill_bench(cluster->bench, plan);
    struct cluster_plan nodes = {.founder_count = plan->node_count,
                                 .worker_node_count = plan->worker_node_count,
                                 .is_without_load = true,
                                 .allows_commands = plan->is_command,
                                 .functions = task_bench_functions,
                                 .function_count = task_bench_function_count,
                                 .begin = task_node_begin,
                                 .context = cluster->bench};
    enum err err = cluster_nodes_open(&cluster->nodes, &nodes, why);
    atomic_store(&cluster->bench->begins, true);
    return err ? err
               : cluster_nodes_await(&cluster->nodes, look_whether_pool,
                                     cluster, "all nodes know the pool");
}

void task_cluster_close(struct task_cluster *cluster)
{
    cluster_nodes_close(&cluster->nodes);
    process_shared_close(cluster->bench, sizeof *cluster->bench);
    cluster->bench = NULL;
}

enum err task_cluster_run(struct task_cluster *cluster,
                          struct task_cluster_load *load)
{
    uint64_t before_cpu_ns = cpu_ns(cluster);
    uint64_t before_stolen = stolen_count(cluster);
    uint64_t start_ns = process_now_ns();
    for (uint32_t i = 0; i < load->submitter_count; i++) {
        uint32_t node = load->submitter_first + i;
        atomic_fetch_add(&cluster->bench->nodes[node].wanted,
                         load->count / load->submitter_count);
    }
    enum err err = cluster_nodes_await(&cluster->nodes, look_whether_done,
                                       cluster, "all tasks are done");
    double passed_s = (double)(process_now_ns() - start_ns) / 1e9;
    load->per_second = (double)load->count / passed_s;
    load->cpu_ns = (cpu_ns(cluster) - before_cpu_ns) / load->count;
    load->stolen =
        (double)(stolen_count(cluster) - before_stolen) / (double)load->count;
    return err;
}

enum err task_cluster_singles(struct task_cluster *cluster, uint64_t count)
{
    atomic_fetch_add(&cluster->bench->nodes[0].singles, count);
    return cluster_nodes_await(&cluster->nodes, look_whether_singles, cluster,
                               "tasks one at a time");
}
