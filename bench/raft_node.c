#include "bench/raft_node.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_log.h"
#include "base/posix/posix_reactor.h"
#include "bench/process.h"
#include "cluster/multiraft.h"
#include "cluster/raft_links.h"
#include "node/storage.h"
#include "shard/counter_map.h"
#include "tests/support/test_identity.h"
#include "transport/endpoint.h"
#include "transport/nng_network.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEED 11
#define CHANNEL_RAFT 1
#define NAME_BYTES 16 /* of a node */
#define OUTCOME_BYTES 128
#define OUTCOME_OWN_BYTES 25 /* of a counter map's, without padding */
#define KEY_COUNT 1024       /* in each group */
#define LOOK_NS (10 * NS_PER_MS)
#define LOOK_IDLE_NS (200 * NS_PER_MS)
#define RETRY_NS (NS_PER_MS)
#define BALANCE_LOOKS 20 /* between attempts to move leaders */

struct client {
    struct group_request request;
    struct client_group *group;
    struct client *next; /* that has nothing under way */
    uint64_t asked_ns;
};

/* The clients of one group. */
struct client_group {
    struct node *node;
    uint32_t id;
    struct group *group;
    struct counter_map *map;
    struct client *resting;
    struct raft_tally *tally;
};

struct node {
    struct raft_cluster_shared *shared;
    const struct raft_cluster_job *job;
    struct raft_node_report *report;
    uint32_t number;
    struct posix_reactor *links; /* run by the process's first thread */
    struct posix_reactor *door;
    struct storage *storage;
    struct log *log;
    struct test_authority authority;
    struct trust *trust;
    struct endpoint *endpoint;
    struct raft_links *raft_links;
    struct multiraft *multiraft;
    struct client_group groups[RAFT_CLUSTER_GROUPS_MAX];
    struct client *clients;
    uint32_t outstanding;
    uint64_t random;
    struct timer look_timer;
    struct timer retry_timer;
    uint32_t look_count;
    enum err err;
};

static struct reactor *links_of(const struct node *node)
{
    return posix_reactor_get(node->links);
}

static void fail(struct node *node, enum err err, const char *what)
{
    if (!node->err) {
        node->err = err;
        err_explain(&node->report->why, "node %u: %s: %s", node->number, what,
                    err_text(err));
    }
    reactor_stop(links_of(node));
}

static void add_one(_Atomic uint64_t *counter)
{
    /* Only this node writes it. */
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

/* ---- clients ---- */

static bool is_loaded(const struct node *node)
{
    return atomic_load_explicit(&node->shared->phase, memory_order_relaxed) ==
           RAFT_PHASE_LOAD;
}

/* Marsaglia's xorshift64: which key. */
static uint64_t next_random(struct node *node)
{
    node->random ^= node->random << 13;
    node->random ^= node->random >> 7;
    node->random ^= node->random << 17;
    return node->random;
}

/* Let resting clients ask, as far as the group takes it. */
static void ask(struct client_group *group)
{
    struct node *node = group->node;
    uint8_t buffer[COUNTER_COMMAND_BYTES];
    if (!is_loaded(node) || !group->resting ||
        raft_role(group_raft(group->group)) != RAFT_LEADER) {
        return;
    }
    uint64_t now_ns = process_now_ns();
    enum err err = ERR_NONE;
    while (group->resting && !err) {
        struct client *client = group->resting;
        struct counter_command command = {.kind = COUNTER_ADD,
                                          .key = next_random(node) % KEY_COUNT,
                                          .value = 1};
        client->asked_ns = now_ns;
        err = group_propose(group->group,
                            counter_command_encode(buffer, &command),
                            &client->request);
        if (!err) {
            group->resting = client->next;
            node->outstanding++;
            add_one(&group->tally->asked);
        }
    }
    if (err && err != ERR_NOT_LEADER && !node->retry_timer.is_set) {
        reactor_timer_set(links_of(node), &node->retry_timer, RETRY_NS);
    }
}

static void run_retry(struct timer *timer)
{
    struct node *node = OWNER_OF(timer, struct node, retry_timer);
    for (uint32_t i = 0; i < node->job->group_count; i++) {
        ask(&node->groups[i]);
    }
}

/* The first that is acknowledged after a failure tells that it is over. */
static void note_round(struct client_group *group, uint64_t now_ns)
{
    struct raft_cluster_shared *shared = group->node->shared;
    uint64_t round = atomic_load_explicit(&shared->round, memory_order_acquire);
    if (round != atomic_load_explicit(&group->tally->acked_round,
                                      memory_order_relaxed) &&
        atomic_load(&shared->victim) != group->node->number) {
        atomic_store_explicit(&group->tally->acked_round_ns, now_ns,
                              memory_order_relaxed);
        /* Pairs with the acquire of the parent. */
        atomic_store_explicit(&group->tally->acked_round, round,
                              memory_order_release);
    }
}

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    struct client *client = OWNER_OF(request, struct client, request);
    struct client_group *group = client->group;
    struct node *node = group->node;
    (void)reply;
    node->outstanding--;
    if (!err) {
        uint64_t now_ns = process_now_ns();
        add_one(&group->tally->acked);
        note_round(group, now_ns);
        if (atomic_load_explicit(&node->shared->is_recording,
                                 memory_order_relaxed)) {
            histogram_record(&node->report->latency_ns,
                             now_ns - client->asked_ns);
        }
    } else if (err == ERR_NOT_LEADER) {
        add_one(&group->tally->refused);
    }
    client->next = group->resting;
    group->resting = client;
    ask(group);
}

static uint32_t client_count_of(const struct raft_cluster_job *job, uint32_t id)
{
    return job->outstanding / job->group_count +
           (id < job->outstanding % job->group_count);
}

static enum err make_clients(struct node *node)
{
    size_t made = 0;
    node->clients = calloc(node->job->outstanding + 1, sizeof(struct client));
    if (!node->clients) {
        return ERR_MEMORY;
    }
    for (uint32_t id = 0; id < node->job->group_count; id++) {
        struct client_group *group = &node->groups[id];
        for (uint32_t i = 0; i < client_count_of(node->job, id); i++) {
            struct client *client = &node->clients[made++];
            *client = (struct client){.request = {.done = on_done},
                                      .group = group,
                                      .next = group->resting};
            group->resting = client;
        }
    }
    return ERR_NONE;
}

/* ---- looking at the phase, and telling how it is ---- */

static void tell_sums(struct client_group *group)
{
    int64_t sum = 0;
    for (uint64_t key = 0; key < KEY_COUNT; key++) {
        sum += counter_map_value(group->map, key);
    }
    atomic_store(&group->tally->sum, sum);
    atomic_store(&group->tally->digest, counter_map_digest(group->map));
    atomic_store(&group->tally->applied_index,
                 group_applied_index(group->group));
}

/* Give a group to the node that is meant to lead it. */
static void balance(struct node *node, const struct client_group *group)
{
    uint32_t meant = raft_cluster_meant(node->job, group->id);
    if (meant != node->number &&
        raft_role(group_raft(group->group)) == RAFT_LEADER) {
        (void)!group_transfer(group->group, meant + 1);
    }
}

static void look(struct node *node)
{
    enum raft_phase phase = atomic_load(&node->shared->phase);
    bool moves =
        phase == RAFT_PHASE_SETTLE && ++node->look_count % BALANCE_LOOKS == 0;
    uint32_t settled_count = 0;
    for (uint32_t i = 0; i < node->job->group_count; i++) {
        struct client_group *group = &node->groups[i];
        const struct raft *raft = group_raft(group->group);
        bool is_led = raft_role(raft) == RAFT_LEADER && raft_is_settled(raft);
        settled_count +=
            is_led && raft_cluster_meant(node->job, i) == node->number;
        atomic_store(&group->tally->is_led, is_led);
        if (moves) {
            balance(node, group);
        }
        if (phase == RAFT_PHASE_DRAIN) {
            tell_sums(group);
        }
        ask(group);
    }
    atomic_store(&node->report->settled_count, settled_count);
    atomic_store(&node->report->outstanding, node->outstanding);
    atomic_store(&node->report->cpu_ns, process_cpu_ns());
    atomic_store(&node->report->resident_bytes, process_resident_bytes());
    atomic_fetch_add(&node->report->look_count, 1);
}

static void run_look(struct timer *timer)
{
    struct node *node = OWNER_OF(timer, struct node, look_timer);
    look(node);
    reactor_timer_set(links_of(node), timer,
                      node->job->is_idle ? LOOK_IDLE_NS : LOOK_NS);
}

/* ---- opening ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    raft_links_on_change(node->raft_links, peer, change);
}

static void on_group_change(void *context, struct group *group)
{
    struct node *node = context;
    if (raft_role(group_raft(group)) == RAFT_LEADER &&
        !node->retry_timer.is_set) {
        reactor_timer_set(links_of(node), &node->retry_timer, RETRY_NS);
    }
}

static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    (void)group;
    fail(context, err, what);
}

static void node_name(char name[static NAME_BYTES], uint32_t number)
{
    (void)snprintf(name, NAME_BYTES, "n%u", number);
}

static void door_of(char url[static SOCKET_URL_BYTES],
                    const struct raft_cluster_job *job,
                    uint32_t number)
{
    (void)snprintf(url, SOCKET_URL_BYTES, "tcp://127.0.0.1:%u",
                   job->port_first + RAFT_CLUSTER_PORTS * number);
}

static enum err open_endpoint(struct node *node)
{
    const struct identity *identity = NULL;
    for (uint32_t i = 0; i <= node->number; i++) { /* a seed makes them all */
        char name[NAME_BYTES];
        node_name(name, i);
        identity_unref(&identity);
        identity = test_identity_make(&node->authority, name, NULL);
    }
    char door[SOCKET_URL_BYTES];
    door_of(door, node->job, node->number);
    struct endpoint_config config = {
        .network = nng_network(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = node->log,
        .reactor = links_of(node),
        .door_reactor = posix_reactor_get(node->door),
        .identity = identity,
        .trust = node->trust,
        .addresses = {.door = door,
                      .pair_bind = "tcp://127.0.0.1:",
                      .pair_advertise = "tcp://127.0.0.1:",
                      .pair_first = node->job->port_first +
                                    RAFT_CLUSTER_PORTS * node->number + 1,
                      .pair_count = RAFT_CLUSTER_PORTS - 1},
        .events = {.context = node, .on_change = on_change},
    };
    endpoint_config_defaults(&config);
    enum err err = endpoint_open(&node->endpoint, &config, &node->report->why);
    identity_unref(&identity);
    return err;
}

static enum err add_peers(struct node *node)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < node->job->node_count && !err; i++) {
        char name[NAME_BYTES];
        char door[SOCKET_URL_BYTES];
        struct peer *peer = NULL;
        if (i == node->number) {
            continue;
        }
        node_name(name, i);
        door_of(door, node->job, i);
        err = endpoint_peer_add(
            node->endpoint, &(struct peer_address){.name = name, .door = door},
            &peer);
        if (!err) {
            err = raft_links_add(node->raft_links, i, peer);
        }
    }
    return err;
}

/* Disk ids that all nodes know beforehand. */
static void fill_disk_id(void *context, void *to, size_t length)
{
    const struct node *node = context;
    assert(length == sizeof(uint64_t));
    put_u64(to, node->number + 1);
}

static enum err open_storage(struct node *node)
{
    char name[NAME_BYTES];
    struct entropy disk_ids = {.context = node, .fill = fill_disk_id};
    struct storage_config config = {.entropy = &disk_ids,
                                    .data_dir = node->job->folder,
                                    .node = name,
                                    .log = node->log};
    node_name(name, node->number);
    memcpy(config.cluster_id, node->authority.cluster_id, CLUSTER_ID_BYTES);
    return storage_open(&node->storage, &config, &node->report->why);
}

static enum err open_multiraft(struct node *node)
{
    struct wal_report report = {0};
    struct multiraft_config config = {
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = node->log,
        .reactor = links_of(node),
        .mesh = raft_links_mesh(node->raft_links),
        .events = {.context = node,
                   .on_change = on_group_change,
                   .on_failed = on_failed},
    };
    multiraft_config_defaults(&config);
    storage_fill(node->storage, &config);
    enum err err =
        multiraft_open(&node->multiraft, &config, &report, &node->report->why);
    return err ? err : storage_made(node->storage, &node->report->why);
}

static enum err found_group(struct node *node, struct client_group *group)
{
    struct raft_configuration members = {.next_number =
                                             node->job->node_count + 1,
                                         .count = node->job->node_count};
    for (uint32_t i = 0; i < members.count; i++) {
        members.members[i] = (struct raft_member){
            .number = i + 1, .node = i, .disk_id = i + 1, .is_voter = true};
    }
    struct machine machine = counter_map_machine(group->map);
    enum err err = multiraft_group_found(node->multiraft, group->id, &machine,
                                         &members, &group->group);
    if (!err && raft_cluster_meant(node->job, group->id) == node->number) {
        group_campaign_soon(group->group);
    }
    return err;
}

static enum err open_groups(struct node *node)
{
    enum err err = ERR_NONE;
    struct wal_report report = {0};
    struct counter_map_config config = {.result_count_max = 1024,
                                        .padding_bytes =
                                            OUTCOME_BYTES - OUTCOME_OWN_BYTES};
    for (uint32_t i = 0; i < node->job->group_count && !err; i++) {
        struct client_group *group = &node->groups[i];
        *group = (struct client_group){.node = node,
                                       .id = i,
                                       .tally = &node->report->groups[i],
                                       .map = counter_map_open(&config)};
        if (!group->map) {
            return ERR_MEMORY;
        }
        struct machine machine = counter_map_machine(group->map);
        err = multiraft_group_open(node->multiraft, i, &machine, &group->group,
                                   NULL);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    if (!err) {
        err = multiraft_start(node->multiraft, &report);
    }
    for (uint32_t i = 0; i < node->job->group_count && !err; i++) {
        if (!node->groups[i].group) {
            err = found_group(node, &node->groups[i]);
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
    if (!err) {
        err =
            log_open(&node->log,
                     &(struct log_config){.node = "bench",
                                          .level_min = LOG_ERROR,
                                          .sink = posix_log_sink(STDERR_FILENO),
                                          .clock = posix_clock()});
    }
    return err;
}

static enum err node_open(struct node *node)
{
    enum err err = identity_library_init();
    test_authority_init(&node->authority, SEED, clock_wall_ms(posix_clock()));
    node->trust = test_trust_make(&node->authority);
    if (!err) {
        err = open_threads(node);
    }
    if (!err) {
        err = open_storage(node);
    }
    if (!err) {
        err = raft_links_open(&node->raft_links, node->log);
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
    if (!err) {
        err = make_clients(node);
    }
    return err ? err : posix_reactor_start(node->door);
}

enum err raft_node_run(struct raft_cluster_shared *shared, uint32_t number)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node) {
        return ERR_MEMORY;
    }
    node->shared = shared;
    node->job = &shared->job;
    node->report = &shared->nodes[number];
    node->number = number;
    node->random = process_now_ns() | 1;
    node->look_timer.fire = run_look;
    node->retry_timer.fire = run_retry;
    enum err err = node_open(node);
    if (err) {
        if (!node->report->why.text[0]) {
            err_explain(&node->report->why, "node %u does not open: %s", number,
                        err_text(err));
        }
        return err;
    }
    look(node);
    reactor_timer_set(links_of(node), &node->look_timer, LOOK_NS);
    reactor_run(links_of(node));
    return node->err ? node->err : ERR_CLOSED;
}
