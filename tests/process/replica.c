#include "tests/process/replica.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_log.h"
#include "base/posix/posix_reactor.h"
#include "base/time_units.h"
#include "cluster/multiraft.h"
#include "cluster/raft_links.h"
#include "node/storage.h"
#include "shard/counter_map.h"
#include "tests/support/seeded.h"
#include "tests/support/test_identity.h"
#include "transport/endpoint.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEED 5
#define CHANNEL_RAFT 1
#define LOOK_NS (3 * NS_PER_MS)
#define RESULT_COUNT_MAX (1u << 20)     /* none is forgotten */
#define KEEP_BYTES 4096                 /* of entries that a snapshot covers */
#define LOG_BYTES_MAX ((size_t)1 << 30) /* and no snapshots */
#define FREE_BYTES_MIN (UINT64_C(1) << 20)

struct client {
    struct group_request request;
    struct replica *replica;
    uint32_t number;
    uint64_t sequence; /* how many it will have added */
    bool is_busy;
};

/* One group on this node. */
struct replica {
    struct node *node;
    uint32_t id;
    struct group *group; /* NULL: refused */
    struct counter_map *map;
    struct client clients[REPLICA_CLIENTS];
    struct replica_group *shared;
    struct replica_view *view;
};

struct node {
    struct replica_shared *shared;
    const struct replica_start *start;
    struct replica_node *report;
    struct log *log;
    struct test_authority authority;
    struct trust *trust;
    struct storage *storage;
    struct posix_reactor *links; /* run by the process's first thread */
    struct posix_reactor *door;
    struct raft_links *raft_links;
    struct endpoint *endpoint;
    struct multiraft *multiraft;
    struct disk disk; /* whose syncs fail when the test says so */
    bool is_new;      /* there was no log yet */
    struct replica replicas[REPLICA_GROUPS];
    struct timer look_timer;
    bool is_stopping;
    enum err err;
    struct err_detail why;
};

void replica_name(char out[static REPLICA_NAME_BYTES], uint32_t number)
{
    (void)snprintf(out, REPLICA_NAME_BYTES, "n%u", number);
}

static struct reactor *links_of(const struct node *node)
{
    return posix_reactor_get(node->links);
}

/* ---- a disk whose syncs fail ---- */

/* A file does not know its disk. Set once, before there is a second thread. */
static enum err (*real_sync)(struct disk_file *file);
static const _Atomic bool *syncs_fail;

static enum err sync_or_fail(struct disk_file *file)
{
    return atomic_load(syncs_fail) ? ERR_IO : real_sync(file);
}

static const struct disk *overlay(struct node *node, const struct disk *disk)
{
    real_sync = disk->sync;
    syncs_fail = &node->report->syncs_fail;
    node->disk = *disk;
    node->disk.sync = sync_or_fail;
    return &node->disk;
}

/* ---- clients ---- */

/* Make `counter` at least `value`. */
static void raise_to(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t old = atomic_load(counter);
    while (old < value && !atomic_compare_exchange_weak(counter, &old, value)) {
    }
}

static uint64_t idempotency_key(const struct client *client)
{
    return client->sequence * REPLICA_CLIENTS + client->number + 1;
}

static void ask(struct client *client)
{
    struct replica *replica = client->replica;
    struct node *node = replica->node;
    struct replica_client *shared = &replica->shared->clients[client->number];
    uint8_t buffer[COUNTER_COMMAND_BYTES];
    if (client->is_busy || node->is_stopping || !replica->group ||
        raft_role(group_raft(replica->group)) != RAFT_LEADER) {
        return;
    }
    client->sequence = atomic_load(&shared->acknowledged) + 1;
    if (!atomic_load(&node->shared->is_loaded) &&
        atomic_load(&shared->begun) < client->sequence) {
        return;
    }
    struct counter_command command = {.kind = COUNTER_ADD,
                                      .key = client->number,
                                      .value = 1,
                                      .idempotency_key =
                                          idempotency_key(client)};
    raise_to(&shared->begun, client->sequence);
    enum err err =
        group_propose(replica->group, counter_command_encode(buffer, &command),
                      &client->request);
    client->is_busy = !err; /* else we ask again when we look */
}

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    struct client *client = OWNER_OF(request, struct client, request);
    struct replica *replica = client->replica;
    struct counter_reply said = {0};
    client->is_busy = false;
    if (err) {
        return; /* asked again, here or elsewhere */
    }
    if (!counter_reply_decode(&said, reply) || !said.is_done ||
        said.value != (int64_t)client->sequence) {
        atomic_store(&replica->node->shared->is_wrong, true);
    }
    raise_to(&replica->shared->clients[client->number].acknowledged,
             client->sequence);
    ask(client);
}

/* ---- replicas that come back as others ---- */

static const struct raft_member *member_on(
    const struct raft_configuration *members, uint32_t node)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].node == node) {
            return &members->members[i];
        }
    }
    return NULL;
}

static uint64_t disk_id_of(uint32_t node)
{
    struct seeded seeded = {.state = node};
    struct entropy entropy = seeded_entropy(&seeded);
    return entropy_u64(&entropy);
}

/* What the members should be, one step further; false: they may stay. */
static bool plan_step(const struct replica *replica,
                      uint32_t node,
                      struct raft_configuration *members)
{
    const struct replica_view *view =
        &replica->node->shared->nodes[node].views[replica->id];
    const struct raft_member *member = member_on(members, node);
    enum replica_state state = atomic_load(&view->state);
    uint64_t joining = atomic_load(&replica->shared->joining);
    if (!member && state == REPLICA_REFUSED) {
        members->members[members->count++] =
            (struct raft_member){.number = members->next_number++,
                                 .node = node,
                                 .disk_id = disk_id_of(node)};
        return true;
    }
    size_t at = member ? (size_t)(member - members->members) : 0;
    if (member && state == REPLICA_REFUSED && member->number != joining) {
        members->count--;
        memmove(&members->members[at], &members->members[at + 1],
                (members->count - at) * sizeof *member);
        return true;
    }
    if (member && state == REPLICA_OPEN && !member->is_voter &&
        atomic_load(&view->number) == member->number) {
        members->members[at].is_voter = true;
        return true;
    }
    return false;
}

/* As the meta group will: a lost replica is removed, a new one is added, and
 * votes when it has caught up. */
static void replace_lost(struct replica *replica)
{
    const struct raft *raft = group_raft(replica->group);
    uint32_t node_count = replica->node->shared->plan.node_count;
    struct raft_configuration members = *raft_newest_configuration(raft);
    if (!raft_is_settled(raft) || node_count == 1 ||
        raft_committed_configuration(raft) != raft_newest_configuration(raft)) {
        return;
    }
    uint64_t next_number = members.next_number;
    for (uint32_t i = 0; i < node_count; i++) {
        if (plan_step(replica, i, &members)) {
            bool is_added = members.next_number > next_number;
            enum err err = group_reconfigure(replica->group, &members);
            if (!err && is_added) {
                replica->shared->members = members;
                atomic_store(&replica->shared->joining, next_number);
            }
            return;
        }
    }
}

/* ---- looking, and telling how it is ---- */

/* The digest is for when all is quiet: it reads the whole map. */
static void see(struct replica *replica)
{
    struct replica_view *view = replica->view;
    const struct raft *raft = group_raft(replica->group);
    for (uint64_t i = 0; i < REPLICA_CLIENTS; i++) {
        atomic_store(&view->values[i], counter_map_value(replica->map, i));
    }
    if (!atomic_load(&replica->node->shared->is_loaded)) {
        atomic_store(&view->digest, counter_map_digest(replica->map));
    }
    atomic_store(&view->leads,
                 raft_role(raft) == RAFT_LEADER && raft_is_settled(raft));
    atomic_store(&view->has_state, group_has_state(replica->group));
    atomic_store(&view->number, raft_number(raft));
    atomic_store(&view->stored_index, group_stored_index(replica->group));
    atomic_store(&view->commit_index, raft_commit_index(raft));
    atomic_store(&view->applied_index, group_applied_index(replica->group));
    atomic_store(&view->state, REPLICA_OPEN);
}

/* A replica that was lost begins under its new number. */
static void join(struct replica *replica)
{
    struct node *node = replica->node;
    uint64_t joining = atomic_load(&replica->shared->joining);
    const struct raft_member *member =
        joining ? member_on(&replica->shared->members, node->start->number)
                : NULL;
    if (!member || member->number != joining) {
        return;
    }
    struct machine machine = counter_map_machine(replica->map);
    /* Whatever was lost here begins under a new number, or not at all. */
    multiraft_forget_unlisted(node->multiraft);
    enum err err = multiraft_group_drop(node->multiraft, replica->id);
    if (err == ERR_NOT_FOUND) {
        err = multiraft_group_found(node->multiraft, replica->id, &machine,
                                    &replica->shared->members, &replica->group);
    }
    if (!err && replica->group) { /* else it is still being dropped */
        see(replica);
    }
}

static void look_at(struct replica *replica)
{
    if (!replica->group) {
        join(replica);
        return;
    }
    see(replica);
    if (raft_role(group_raft(replica->group)) == RAFT_LEADER) {
        replace_lost(replica);
    }
    for (uint32_t i = 0; i < REPLICA_CLIENTS; i++) {
        ask(&replica->clients[i]);
    }
}

static void run_look(struct timer *timer)
{
    struct node *node = OWNER_OF(timer, struct node, look_timer);
    if (atomic_load(&node->report->must_stop) && !node->is_stopping) {
        node->is_stopping = true;
        raft_links_leave(node->raft_links);
    }
    if (node->is_stopping && multiraft_is_idle(node->multiraft)) {
        reactor_stop(links_of(node));
        return;
    }
    for (uint32_t i = 0; i < REPLICA_GROUPS && !node->is_stopping; i++) {
        look_at(&node->replicas[i]);
    }
    atomic_fetch_add(&node->report->look_count, 1);
    reactor_timer_set(links_of(node), timer, LOOK_NS);
}

/* ---- opening ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    raft_links_on_change(node->raft_links, peer, change);
}

/* Fail-stop. What multiraft logs is all that is said. */
static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    struct node *node = context;
    (void)group;
    err_explain(&node->why, "%s", what);
    node->err = err;
    reactor_stop(links_of(node));
}

static enum err open_storage(struct node *node)
{
    char name[REPLICA_NAME_BYTES];
    struct seeded seeded = {.state = node->start->number};
    struct entropy entropy = seeded_entropy(&seeded);
    replica_name(name, node->start->number);
    struct storage_config config = {
        .entropy = &entropy,
        .data_dir = node->shared->plan.data_dir,
        .node = node->start->name ? node->start->name : name,
        .free_bytes_min = FREE_BYTES_MIN,
        .log = node->log};
    memcpy(config.cluster_id, node->authority.cluster_id, CLUSTER_ID_BYTES);
    config.cluster_id[0] ^= node->start->is_of_other_cluster;
    return storage_open(&node->storage, &config, &node->why);
}

static void door_of(char url[static SOCKET_URL_BYTES],
                    const struct replica_plan *plan,
                    uint32_t number)
{
    (void)snprintf(url, SOCKET_URL_BYTES, "tcp://%s:%u", plan->host,
                   plan->port_first + REPLICA_PORTS * number);
}

/* All nodes know each other's keys: one seed makes them, in order. */
static const struct identity *make_identity(struct node *node)
{
    const struct identity *identity = NULL;
    for (uint32_t i = 0; i <= node->start->number; i++) {
        char name[REPLICA_NAME_BYTES];
        replica_name(name, i);
        identity_unref(&identity);
        identity = test_identity_make(&node->authority, name, NULL);
    }
    return identity;
}

static enum err open_endpoint(struct node *node)
{
    const struct replica_plan *plan = &node->shared->plan;
    const struct identity *identity = make_identity(node);
    char door[SOCKET_URL_BYTES];
    char pairs[SOCKET_URL_BYTES];
    door_of(door, plan, node->start->number);
    (void)snprintf(pairs, sizeof pairs, "tcp://%s:", plan->host);
    struct endpoint_config config;
    test_node_defaults(&config);
    config.log = node->log;
    config.reactor = links_of(node);
    config.door_reactor = posix_reactor_get(node->door);
    config.identity = identity;
    config.trust = node->trust;
    config.addresses = (struct endpoint_addresses){
        .door = door,
        .pair_bind = pairs,
        .pair_advertise = pairs,
        .pair_first =
            plan->port_first + REPLICA_PORTS * node->start->number + 1,
        .pair_count = REPLICA_PORTS - 1};
    config.events =
        (struct endpoint_events){.context = node, .on_change = on_change};
    enum err err = endpoint_open(&node->endpoint, &config, &node->why);
    identity_unref(&identity);
    return err;
}

static enum err add_peers(struct node *node)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < node->shared->plan.node_count && !err; i++) {
        char name[REPLICA_NAME_BYTES];
        char door[SOCKET_URL_BYTES];
        struct peer *peer = NULL;
        if (i == node->start->number) {
            continue;
        }
        replica_name(name, i);
        door_of(door, &node->shared->plan, i);
        struct peer_address address = {.name = name, .door = door};
        err = endpoint_peer_add(node->endpoint, &address, &peer);
        if (!err) {
            err = raft_links_add(node->raft_links, i, peer);
        }
    }
    return err;
}

static enum err open_multiraft(struct node *node)
{
    const struct replica_plan *plan = &node->shared->plan;
    struct wal_report report = {0};
    struct multiraft_config config = {
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = node->log,
        .reactor = links_of(node),
        .mesh = raft_links_mesh(node->raft_links),
        .events = {.context = node, .on_failed = on_failed},
    };
    multiraft_config_defaults(&config);
    storage_fill(node->storage, &config);
    config.disk = overlay(node, config.disk);
    config.segment_bytes = plan->segment_bytes;
    config.keep_bytes = KEEP_BYTES;
    config.group.snapshot_log_bytes =
        plan->snapshot_log_bytes ? plan->snapshot_log_bytes : LOG_BYTES_MAX;
    node->is_new = !config.must_exist;
    enum err err =
        multiraft_open(&node->multiraft, &config, &report, &node->why);
    return err ? err : storage_made(node->storage, &node->why);
}

static void refuse(struct replica *replica, enum err err, const char *why)
{
    struct replica_view *view = replica->view;
    (void)snprintf(view->why, sizeof view->why, "%s", why);
    atomic_store(&view->err, err);
    atomic_store(&view->state, REPLICA_REFUSED);
    replica->group = NULL;
}

static enum err prepare(struct node *node, uint32_t id)
{
    struct replica *replica = &node->replicas[id];
    struct counter_map_config config = {.result_count_max = RESULT_COUNT_MAX};
    *replica = (struct replica){.node = node,
                                .id = id,
                                .map = counter_map_open(&config),
                                .shared = &node->shared->groups[id],
                                .view = &node->report->views[id]};
    for (uint32_t i = 0; i < REPLICA_CLIENTS; i++) {
        replica->clients[i] = (struct client){
            .request.done = on_done, .replica = replica, .number = i};
    }
    return replica->map ? ERR_NONE : ERR_MEMORY;
}

static void open_group(struct replica *replica)
{
    struct err_detail why = {{0}};
    struct machine machine = counter_map_machine(replica->map);
    enum err err = multiraft_group_open(replica->node->multiraft, replica->id,
                                        &machine, &replica->group, &why);
    if (err && !(err == ERR_NOT_FOUND && replica->node->is_new)) {
        refuse(replica, err, why.text);
    }
}

static enum err found_group(struct replica *replica)
{
    struct node *node = replica->node;
    struct raft_configuration members = {
        .next_number = node->shared->plan.node_count + 1,
        .count = node->shared->plan.node_count};
    for (uint32_t i = 0; i < members.count; i++) {
        members.members[i] = (struct raft_member){.number = i + 1,
                                                  .node = i,
                                                  .disk_id = disk_id_of(i),
                                                  .is_voter = true};
    }
    struct machine machine = counter_map_machine(replica->map);
    return multiraft_group_found(node->multiraft, replica->id, &machine,
                                 &members, &replica->group);
}

static enum err open_groups(struct node *node)
{
    struct wal_report report = {0};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < REPLICA_GROUPS && !err; i++) {
        err = prepare(node, i);
        if (!err) {
            open_group(&node->replicas[i]);
        }
    }
    if (!err) {
        err = multiraft_start(node->multiraft, &report);
    }
    if (!err) {
        storage_tell(node->storage, &report);
    }
    for (uint32_t i = 0; i < REPLICA_GROUPS && !err; i++) {
        struct replica *replica = &node->replicas[i];
        if (node->is_new) {
            err = found_group(replica);
        } else if (replica->group && !multiraft_group(node->multiraft, i)) {
            refuse(replica, ERR_REVOKED, report.what);
        }
    }
    return err;
}

static enum err open_threads(struct node *node)
{
    enum err err = posix_reactor_open(&node->links, "links");
    if (!err) {
        err = posix_reactor_open(&node->door, "door");
    }
    return err ? err : raft_links_open(&node->raft_links, node->log);
}

static enum err open_log(struct node *node)
{
    struct log_config config = {.node = "test",
                                .level_min = LOG_WARN,
                                .sink = posix_log_sink(STDERR_FILENO),
                                .clock = posix_clock()};
    return log_open(&node->log, &config);
}

static enum err open_node(struct node *node)
{
    enum err err = identity_library_init();
    test_authority_init(&node->authority, SEED, clock_wall_ms(posix_clock()));
    node->trust = test_trust_make(&node->authority);
    if (!err) {
        err = open_log(node);
    }
    if (!err) {
        err = open_storage(node);
    }
    if (!err) {
        err = open_threads(node);
    }
    if (!err) {
        err = open_endpoint(node);
    }
    if (!err) {
        err = open_multiraft(node);
    }
    if (!err) {
        raft_links_join(node->raft_links, node->multiraft, node->endpoint,
                        CHANNEL_RAFT);
        err = add_peers(node);
    }
    if (!err) {
        err = open_groups(node);
    }
    return err ? err : posix_reactor_start(node->door);
}

/* ---- ending ---- */

static void close_node(struct node *node)
{
    posix_reactor_stop(node->door);
    /* The last turn may have given something to the log writer. */
    while (!multiraft_is_idle(node->multiraft)) {
        (void)reactor_turn(links_of(node));
    }
    multiraft_close(&node->multiraft);
    endpoint_close(&node->endpoint);
    raft_links_close(&node->raft_links);
    storage_close(&node->storage); /* its threads post to the reactor */
    posix_reactor_close(&node->links);
    posix_reactor_close(&node->door);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        counter_map_close(&node->replicas[i].map);
    }
    trust_unref(&node->trust);
    log_close(&node->log);
}

int replica_run(struct replica_shared *shared,
                const struct replica_start *start)
{
    struct node *node = calloc(1, sizeof *node);
    assert(node);
    node->shared = shared;
    node->start = start;
    node->report = &shared->nodes[start->number];
    node->look_timer.fire = run_look;
    node->err = open_node(node);
    if (!node->err) {
        run_look(&node->look_timer);
        reactor_run(links_of(node));
    }
    if (node->err) {
        (void)snprintf(node->report->why, sizeof node->report->why, "%s",
                       node->why.text);
        atomic_store(&node->report->err, node->err);
        return 1; /* as after a crash: nothing is closed */
    }
    close_node(node);
    free(node);
    return 0;
}
