/*
 * One node of the simulator of shards, as node/ opens and closes a real one.
 */

#include "base/hash.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVE_NS (8 * NS_PER_S) /* as long as a real one has */

/* ---- machines ---- */

static void on_outcome(void *context, struct bytes outcome)
{
    struct replica *replica = context;
    replica->entry_hash = hash_bytes(outcome, replica->entry_hash + 1);
    if (replica->coordinator && outcome.length > 1) {
        check_task_outcome(replica, outcome);
    }
}

static void on_entry(void *context, uint64_t index, uint32_t outcome_count)
{
    struct replica *replica = context;
    (void)outcome_count;
    check_entry(replica, index, replica->entry_hash);
    replica->entry_hash = 0;
}

static void on_disorder(void *context, uint64_t index)
{
    struct replica *replica = context;
    broken(replica->node->sim, "applied",
           "%s applies entry %" PRIu64 " of shard %u after a later one",
           replica->node->name, index, replica->shard);
}

/* Not for the archive, and behind the byte that says so, not for the book. */
static bool is_of_counters(struct bytes command)
{
    return command.data[0] == ARCHIVE_FOR_MACHINE &&
           !shard_machine_is_task(
               bytes_of(command.data + 1, command.length - 1));
}

/* Counters alone where there are no tasks. */
static struct machine open_inner(struct replica *replica)
{
    struct tasks *tasks = replica->node->tasks;
    struct machine counters = counter_map_machine(replica->map);
    if (!tasks) {
        return counters;
    }
    enum err err = tasks_add(tasks, replica->shard, &replica->coordinator);
    assert(!err);
    (void)err;
    struct machine book = book_machine(coordinator_book(replica->coordinator));
    replica->machine = shard_machine_open(&counters, &book);
    assert(replica->machine);
    tasks_set_machine(tasks, replica->shard, replica->machine);
    return shard_machine_of(replica->machine);
}

static enum err open_machine(void *context, uint32_t shard, struct machine *out)
{
    struct node *node = context;
    struct replica *replica = &node->replicas[shard];
    assert(!replica->map);
    *replica = (struct replica){.node = node, .shard = shard};
    replica->map = counter_map_open(&(struct counter_map_config){
        .result_count_max = REQUESTS_MAX,
        .padding_bytes = node->sim->padding_bytes});
    assert(replica->map);
    struct machine machine = open_inner(replica);
    replica->archive =
        archive_open(&machine, world_clock(node->sim->world, node->index));
    assert(replica->archive);
    replica->watched = (struct watched_machine){
        .inner = archive_machine(replica->archive),
        .command_bytes_max = COUNTER_COMMAND_BYTES + 1,
        .may_be_filled = is_of_counters,
        .context = replica,
        .on_outcome = on_outcome,
        .on_entry = on_entry,
        .on_disorder = on_disorder,
    };
    *out = watched_machine(&replica->watched);
    return ERR_NONE;
}

static void close_machine(void *context,
                          uint32_t shard,
                          struct machine *machine)
{
    struct node *node = context;
    struct replica *replica = &node->replicas[shard];
    (void)machine;
    node->sim->result.snapshots += replica->watched.restore_count;
    archive_close(&replica->archive);
    if (node->tasks) {
        tasks_remove(node->tasks, shard);
        shard_machine_close(&replica->machine);
        replica->coordinator = NULL;
    }
    counter_map_close(&replica->map);
}

/* ---- what it is told ---- */

static void write_log(void *context, const char *line, size_t length)
{
    const struct sim *sim = context;
    if (sim->config.trace) {
        (void)fprintf(stderr, "%10.6f %.*s", (double)now_ns(sim) / NS_PER_S,
                      (int)length, line);
    }
}

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    if (node->host) {
        host_on_change(node->host, peer, change);
    }
    if (node->calls) {
        calls_on_change(node->calls, peer, change);
    }
    if (node->tasks) {
        tasks_on_change(node->tasks, peer, change);
    }
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct node *node = context;
    if (node->host) {
        host_on_digest(node->host, from, digest);
    }
    if (node->tasks) {
        tasks_on_digest(node->tasks, from, digest);
    }
}

static void on_view(void *context, const struct view *view)
{
    struct node *node = context;
    node->sim->result.views++;
    if (!node->sim->is_large) {
        say(node->sim, "%s: view %" PRIu64 ", map %" PRIu64, node->name,
            view->version, view->map.version);
        check_view(node, view);
    }
    if (node->router) {
        router_on_view(node->router);
    }
    if (node->tasks) {
        tasks_on_view(node->tasks, view);
    }
}

static void on_leader(void *context, uint32_t shard)
{
    struct node *node = context;
    if (node->router) {
        router_on_leader(node->router, shard);
    }
    if (node->tasks) {
        tasks_on_leader(node->tasks, shard);
    }
}

static void close_services(struct node *node)
{
    if (node->task_service) {
        task_clients_stop(node);
        task_service_close(&node->task_service);
    }
    router_close(&node->router);
    if (node->tasks) {
        tasks_detach(node->tasks);
    }
}

static void on_failed(void *context, enum err err, const char *what)
{
    struct node *node = context;
    say(node->sim, "%s fails: %s: %s", node->name, what, err_text(err));
    node->is_failed = true;
    /* It does nothing more: a log that has failed takes no records. */
    clients_stop(node);
    close_services(node);
    host_stop(node->host);
    calls_serve(node->calls, HOST_SERVICE_CHANGE, NULL, NULL, false);
    raft_links_leave(node->raft_links);
}

static enum err load_view(void *context, uint8_t **out, size_t *out_length)
{
    const struct node *node = context;
    if (!node->kept) {
        return ERR_NOT_FOUND;
    }
    *out = malloc(node->kept_length);
    assert(*out);
    memcpy(*out, node->kept, node->kept_length);
    *out_length = node->kept_length;
    return ERR_NONE;
}

static void save_view(void *context, struct bytes view)
{
    struct node *node = context;
    free(node->kept);
    node->kept = malloc(view.length);
    assert(node->kept);
    memcpy(node->kept, view.data, view.length);
    node->kept_length = view.length;
}

/* ---- on ---- */

static void open_log(struct node *node)
{
    struct sim *sim = node->sim;
    enum err err = log_open(
        &node->log,
        &(struct log_config){.node = node->name,
                             .level_min = sim->is_large ? LOG_ERROR : LOG_INFO,
                             .sink = {.context = sim, .write = write_log},
                             .clock = world_clock(sim->world, node->index)});
    assert(!err);
}

static void open_endpoint(struct node *node)
{
    struct sim *sim = node->sim;
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    char pair[SOCKET_URL_BYTES];
    settings_door_url(door, &sim->settings, &node->self, SETTINGS_BIND);
    settings_bus_url(bus, &sim->settings, &node->self, SETTINGS_BIND);
    settings_link_prefix(pair, &sim->settings, &node->self, SETTINGS_BIND);
    struct endpoint_config config = {
        .network = world_network(sim->world, node->index),
        .clock = world_clock(sim->world, node->index),
        .entropy = world_entropy(sim->world, node->index),
        .log = node->log,
        .reactor = node->reactor,
        .door_reactor = world_reactor_open(sim->world, node->index),
        .identity = node->identity,
        .trust = sim->trust,
        .addresses = {.door = door,
                      .bus = bus,
                      .pair_bind = pair,
                      .pair_advertise = pair,
                      .pair_first =
                          settings_link_first(&sim->settings, &node->self),
                      .pair_count = sim->node_count},
        .events = {.context = node,
                   .on_change = on_change,
                   .on_digest = on_digest},
    };
    endpoint_config_defaults(&config);
    config.peer_count_max = sim->node_count + NODES_MAX; /* names of old */
    enum err err = endpoint_open(&node->endpoint, &config, NULL);
    assert(!err);
}

static void open_links(struct node *node)
{
    open_endpoint(node);
    struct calls_config calls;
    calls_config_defaults(&calls);
    calls.endpoint = node->endpoint;
    calls.reactor = node->reactor;
    calls.log = node->log;
    calls.channel = CHANNEL_CALLS;
    enum err err = calls_open(&node->calls, &calls);
    assert(!err);
    err = raft_links_open(&node->raft_links, node->log);
    assert(!err);
}

static void describe_groups(struct node *node, struct host_config *config)
{
    struct sim *sim = node->sim;
    struct multiraft_config *groups = &config->multiraft;
    groups->clock = world_clock(sim->world, node->index);
    groups->entropy = world_entropy(sim->world, node->index);
    groups->log = node->log;
    groups->reactor = node->reactor;
    groups->disk = sim_disk_table(node->disk);
    groups->writer = sim_executor_table(node->writer);
    groups->kv = sim_kv_table(node->kv);
    groups->applier = sim_executor_table(node->applier);
    groups->disk_id = node->disk_id;
    groups->must_exist = node->is_made;
    /* Every other cluster refuses what is new before a disk is full. */
    groups->free_bytes_min = sim->config.seed % 2 * (128u << 10);
    groups->group.snapshot_log_bytes = 16u << 10;
    groups->keep_bytes = 4u << 10;
    groups->segment_bytes = 1u << 20;
    groups->group.piece_bytes = 4096;
}

static enum err open_host(struct node *node, struct err_detail *why)
{
    struct sim *sim = node->sim;
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    settings_door_url(door, &sim->settings, &node->self, SETTINGS_ADVERTISED);
    settings_bus_url(bus, &sim->settings, &node->self, SETTINGS_ADVERTISED);
    struct host_config config = {
        .settings = &sim->settings,
        .self = {.name = node->name,
                 .door = door,
                 .bus = bus,
                 .zone = "",
                 .weight = 100,
                 .roles = node->self.roles,
                 .release = "sim"},
        .endpoint = node->endpoint,
        .calls = node->calls,
        .raft_links = node->raft_links,
        .machines = {.context = node,
                     .open = open_machine,
                     .close = close_machine},
        .events = {.context = node,
                   .on_view = on_view,
                   .on_leader = on_leader,
                   .on_failed = on_failed},
        .keep = {.context = node, .load = load_view, .save = save_view},
    };
    host_config_defaults(&config);
    describe_groups(node, &config);
    config.down_ms = sim->is_large ? 20000 : 8000;
    config.recovers_meta = node->recovers_meta;
    /* With empty disks all founders would found another cluster: who replaces
     * one that is lost only joins. */
    config.may_found = node->index < sim->founder_count && !sim->was_lost;
#ifdef TROUPE_FAULTS
    config.fault = sim->config.fault;
#endif
    return host_open(&node->host, &config, why);
}

static void open_router(struct node *node)
{
    struct sim *sim = node->sim;
    struct router_config config;
    router_config_defaults(&config);
    config.host = node->host;
    config.calls = node->calls;
    config.clock = world_clock(sim->world, node->index);
    config.reactor = node->reactor;
#ifdef TROUPE_FAULTS
    config.fault = sim->config.fault;
#endif
    enum err err = router_open(&node->router, &config);
    assert(!err);
}

static void on_watch(void *context, uint64_t id)
{
    struct node *node = context;
    if (node->task_service) {
        task_service_watch(node->task_service, id);
    }
}

static void open_tasks(struct node *node)
{
    struct sim *sim = node->sim;
    struct tasks_config config = {
        .reactor = node->reactor,
        .clock = world_clock(sim->world, node->index),
        .entropy = world_entropy(sim->world, node->index),
        .log = node->log,
        .endpoint = node->endpoint,
        .channel = CHANNEL_TASKS,
        .workers = &node->workers.table,
        .watch = on_watch,
        .watch_context = node,
    };
#ifdef TROUPE_FAULTS
    config.fault = sim->config.task_fault;
#endif
    worker_house_open(node);
    enum err err = tasks_open(&node->tasks, &config);
    assert(!err);
    (void)err;
}

static void open_task_service(struct node *node)
{
    struct sim *sim = node->sim;
    tasks_attach(node->tasks, node->host);
    enum err err = task_service_open(
        &node->task_service,
        &(struct task_service_config){
            .tasks = node->tasks,
            .host = node->host,
            .router = node->router,
            .calls = node->calls,
            .reactor = node->reactor,
            .clock = world_clock(sim->world, node->index),
            .entropy = world_entropy(sim->world, node->index)});
    assert(!err);
    (void)err;
    task_clients_start(node);
}

static void close_program(struct node *node)
{
    close_services(node);
    host_close(&node->host);
    calls_close(&node->calls);
    worker_house_close(node);
    tasks_close(&node->tasks);
    endpoint_close(&node->endpoint);
    raft_links_close(&node->raft_links);
    log_close(&node->log);
    world_power_off(node->sim->world, node->index);
    node->reactor = NULL;
}

/* A disk that is full, or fails, may keep it from starting: later again. */
static void give_up_start(struct node *node, enum err err)
{
    struct sim *sim = node->sim;
    if ((err != ERR_IO && err != ERR_NO_SPACE) || sim->phase > PHASE_SETTLE) {
        broken(sim, "opening", "%s does not start: %s", node->name,
               err_text(err));
    }
    world_crash(sim->world, node->index);
    sim_executor_crash(node->writer);
    sim_executor_crash(node->applier);
    sim_disk_kill(node->disk);
    close_program(node);
    node->on_at_ns = now_ns(sim) + NS_PER_S;
}

void node_start(struct node *node)
{
    struct sim *sim = node->sim;
    struct err_detail why = {{0}};
    assert(!node->host);
    world_power_on(sim->world, node->index);
    node->reactor = world_reactor_open(sim->world, node->index);
    node->is_failed = false;
    node->is_leaving = false;
    node->view_version = 0;
    node->on_at_ns = 0;
    open_log(node);
    open_links(node);
    if (!sim->is_large) {
        open_tasks(node);
    }
    enum err err = open_host(node, &why);
    say(sim, "%s starts: %s", node->name,
        !err          ? "opened"
        : why.text[0] ? why.text
                      : err_text(err));
    if (err) {
        give_up_start(node, err);
        return;
    }
    node->is_made = true;
    open_router(node);
    if (node->tasks) {
        open_task_service(node);
    }
    host_start(node->host);
    clients_start(node);
    sim->result.restarts++;
    world_poke(sim->world, node->index);
}

/* ---- off ---- */

void node_stop(struct node *node, bool is_power_lost)
{
    struct sim *sim = node->sim;
    if (!node->host) {
        return;
    }
    say(sim, "%s ends%s", node->name, is_power_lost ? ": no power" : "");
    node->is_closing = true;
    world_crash(sim->world, node->index);
    sim_executor_crash(node->writer);
    sim_executor_crash(node->applier);
    if (is_power_lost) {
        sim_disk_crash(node->disk);
        (void)sim_kv_crash(node->kv, world_entropy(sim->world, node->index));
    } else {
        sim_disk_kill(node->disk);
    }
    clients_stop(node);
    close_program(node);
    node->is_closing = false;
    node->is_leaving = false;
    node->stands_until_ns = 0;
}

/* Everything is led by others now, who are all there. */
static void check_left(const struct node *node)
{
    for (uint32_t id = 0; id <= node->sim->shard_count; id++) {
        const struct group *group = host_group(node->host, id);
        if (group && raft_role(group_raft(group)) == RAFT_LEADER) {
            broken(node->sim, "leave", "%s ends, and leads group %u",
                   node->name, id);
        }
    }
}

void node_leave(struct node *node)
{
    struct sim *sim = node->sim;
    if (!node->host || node->is_leaving) {
        return;
    }
    say(sim, "%s leaves", node->name);
    node->is_leaving = true;
    node->leave_until_ns = now_ns(sim) + LEAVE_NS;
    sim->result.leaves++;
    host_leave(node->host);
    if (node->tasks) {
        tasks_leave(node->tasks);
    }
    world_poke(sim->world, node->index);
}

static bool has_left(const struct node *node)
{
    return host_has_left(node->host) && !clients_are_asking(node) &&
           (!node->tasks ||
            (!task_clients_are_asking(node) && tasks_are_idle(node->tasks)));
}

/* As node/node.c does: it hands over, then ends; its own clients have their
 * answers by then. */
void node_look(struct node *node)
{
    struct sim *sim = node->sim;
    if (node->host && node->is_failed) {
        node_stop(node, false);
    } else if (node->host && node->is_leaving &&
               !world_is_paused(sim->world, node->index) &&
               (has_left(node) || now_ns(sim) >= node->leave_until_ns)) {
        if (sim->phase == PHASE_LEAVE) {
            check_left(node);
        }
        node_stop(node, false);
    }
}

/* ---- another disk, another name ---- */

void node_wipe(struct node *node)
{
    struct sim *sim = node->sim;
    assert(!node->host);
    say(sim, "%s gets an empty disk", node->name);
    /* The executors write to the disk that they were opened with: so it is
     * emptied, not replaced. */
    sim_disk_wipe(node->disk);
    sim_kv_wipe(node->kv);
    free(node->kept);
    node->kept = NULL;
    node->disk_id = ++sim->disk_ids;
    node->is_made = false;
    memset(node->held, 0, (sim->shard_count + 1) * sizeof *node->held);
    node->is_harmed = true;
}

static void name_it(struct node *node)
{
    struct sim *sim = node->sim;
    int length = snprintf(node->name, sizeof node->name, "n%u", node->index);
    if (node->name_count > 0) {
        (void)snprintf(node->name + length, sizeof node->name - (size_t)length,
                       "x%u", node->name_count);
    }
    (void)snprintf(node->self.name, sizeof node->self.name, "%s", node->name);
    identity_unref(&node->identity);
    node->identity = test_identity_make(&sim->authority, node->name, NULL);
}

void node_rename(struct node *node)
{
    assert(!node->host);
    node->name_count++;
    name_it(node);
}

/* ---- life ---- */

void node_make(struct node *node, struct sim *sim, uint32_t index)
{
    node->sim = sim;
    node->index = index;
    node->self = sim->members[index];
    name_it(node);
    node->disk = sim_disk_open(sim->config.seed * NODES_MAX + index);
    node->kv = sim_kv_open();
    node->disk_id = ++sim->disk_ids;
    struct sim_executor_config executor = {.world = sim->world,
                                           .machine = index,
                                           .job_us_min = 100,
                                           .job_us_max = 2000,
                                           .disk = node->disk};
    node->writer = sim_executor_open(&executor);
    executor.disk = NULL;
    node->applier = sim_executor_open(&executor);
    node->is_member = index < sim->founder_count;
    node->replicas = calloc(sim->shard_count, sizeof *node->replicas);
    node->held = calloc(sim->shard_count + 1, sizeof *node->held);
    assert(node->disk && node->kv && node->writer && node->applier &&
           node->replicas && node->held);
}

/* After world_close(). */
void node_clear(struct node *node)
{
    assert(!node->host);
    sim_executor_close(&node->writer);
    sim_executor_close(&node->applier);
    sim_disk_close(&node->disk);
    sim_kv_close(&node->kv);
    identity_unref(&node->identity);
    free(node->replicas);
    free(node->held);
    free(node->kept);
}
