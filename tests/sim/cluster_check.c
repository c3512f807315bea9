/*
 * The promises of consensus, checked after every turn of every node.
 */

#include "store/raft_configuration.h"
#include "tests/sim/cluster_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is committed ---- */

static struct committed *committed_at(struct shard *shard, uint64_t index)
{
    assert(index > 0);
    if (index > shard->log_capacity) {
        size_t capacity = 2 * index + 64;
        shard->log = realloc(shard->log, capacity * sizeof *shard->log);
        assert(shard->log);
        memset(shard->log + shard->log_capacity, 0,
               (capacity - shard->log_capacity) * sizeof *shard->log);
        shard->log_capacity = capacity;
    }
    return &shard->log[index - 1];
}

static uint64_t hash_entry(const struct raft_entry *entry)
{
    uint64_t hash = hash_bytes(entry->bytes, entry->term);
    return hash * 31 + (uint64_t)entry->type + 1; /* never 0 in practice */
}

static void check_entry(struct node *node,
                        struct shard *shard,
                        const struct raft *raft,
                        const struct raft_entry *entry)
{
    struct sim *sim = node->sim;
    struct committed *known = committed_at(shard, entry->index);
    uint64_t hash = hash_entry(entry);
    if (known->hash == 0) {
        known->term = entry->term;
        known->hash = hash;
        known->leader_term = raft_term(raft);
        if (entry->index > shard->log_count) {
            shard->log_count = entry->index;
        }
        sim->result.entries++;
        note(sim, hash);
        if (entry->type == RAFT_CONFIGURATION &&
            shard->member_count < MEMBERS_KNOWN_MAX) {
            uint32_t at = shard->member_count++;
            shard->members[at].index = entry->index;
            shard->members[at].hash = hash_bytes(entry->bytes, 0);
        }
        return;
    }
    if (known->hash != hash || known->term != entry->term) {
        broken(sim, "committed",
               "n%u g%u: %" PRIu64 " of term %" PRIu64
               " is committed, and was before, another, of term %" PRIu64,
               node->index, shard->id, entry->index, entry->term, known->term);
    }
    if (raft_term(raft) < known->leader_term) {
        known->leader_term = raft_term(raft);
    }
}

/* Who belongs to the group is what the last configuration that is committed
 * says. */
static void check_members(struct node *node,
                          const struct shard *shard,
                          const struct raft *raft)
{
    uint8_t buffer[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    uint64_t commit = raft_commit_index(raft);
    uint32_t at = shard->member_count;
    while (at > 0 && shard->members[at - 1].index > commit) {
        at--;
    }
    if (at == 0) {
        return; /* its founders, or who was there when it was added */
    }
    raft_configuration_encode(raft_committed_configuration(raft), &writer);
    if (hash_bytes(writer_bytes(&writer), 0) != shard->members[at - 1].hash) {
        broken(node->sim, "members",
               "n%u g%u: its members after %" PRIu64
               " are not those that were committed at %" PRIu64,
               node->index, shard->id, commit, shard->members[at - 1].index);
    }
}

static bool was_installed(const struct raft *raft, const struct replica *seen)
{
    return raft_snapshot_index(raft) > seen->commit;
}

static void check_commit(struct node *node,
                         struct shard *shard,
                         struct replica *replica)
{
    const struct raft *raft = group_raft(replica->group);
    uint64_t commit = raft_commit_index(raft);
    if (commit < replica->commit) {
        broken(node->sim, "committed",
               "n%u g%u: the commit index falls from %" PRIu64 " to %" PRIu64,
               node->index, shard->id, replica->commit, commit);
    }
    node->sim->result.snapshots += was_installed(raft, replica);
    for (uint64_t index = replica->commit + 1; index <= commit; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (entry) { /* not: it came with a snapshot, or went into one */
            check_entry(node, shard, raft, entry);
        }
    }
    if (commit != replica->commit) {
        check_members(node, shard, raft);
    }
    replica->commit = commit;
}

/* A look at a whole state takes long: not after every entry. */
static bool is_looked_at(const struct sim *sim, uint64_t index)
{
    return index % 8 == 0 || sim->are_faults_over;
}

static void check_applied(struct node *node,
                          struct shard *shard,
                          struct replica *replica)
{
    uint64_t applied = group_applied_index(replica->group);
    if (!group_has_state(replica->group) || applied == replica->applied) {
        return;
    }
    replica->applied = applied;
    watched_machine_flush(&replica->watched);
    if (applied == 0 || !is_looked_at(node->sim, applied)) {
        return;
    }
    struct committed *known = committed_at(shard, applied);
    uint64_t digest = counter_map_digest(replica->map) | 1;
    if (known->digest == 0) {
        known->digest = digest;
    } else if (known->digest != digest) {
        broken(node->sim, "state",
               "n%u g%u: after %" PRIu64 " its state is not that of others",
               node->index, shard->id, applied);
    }
}

static void on_entry(void *context, uint64_t index, uint32_t outcome_count)
{
    const struct replica *replica = context;
    struct node *node = replica->node;
    struct committed *known =
        committed_at(&node->sim->shards[replica->shard], index);
    if (known->outcome_count == 0) {
        known->outcome_count = outcome_count;
    } else if (known->outcome_count != outcome_count) {
        broken(node->sim, "applied",
               "n%u g%u: %u outcomes of %" PRIu64
               " are applied; elsewhere %u were",
               node->index, replica->shard, outcome_count, index,
               known->outcome_count);
    }
}

static void on_disorder(void *context, uint64_t index)
{
    const struct replica *replica = context;
    broken(replica->node->sim, "applied",
           "n%u g%u: %" PRIu64 " is applied after a later one",
           replica->node->index, replica->shard, index);
}

void check_watch(struct replica *replica)
{
    replica->watched = (struct watched_machine){
        .inner = counter_map_machine(replica->map),
        .context = replica,
        .on_entry = on_entry,
        .on_disorder = on_disorder,
    };
}

/* ---- leaders ---- */

static uint64_t *leader_of(struct shard *shard, uint64_t term)
{
    if (term >= shard->leader_capacity) {
        size_t capacity = 2 * term + 16;
        shard->leaders =
            realloc(shard->leaders, capacity * sizeof *shard->leaders);
        assert(shard->leaders);
        memset(shard->leaders + shard->leader_capacity, 0,
               (capacity - shard->leader_capacity) * sizeof *shard->leaders);
        shard->leader_capacity = capacity;
    }
    return &shard->leaders[term];
}

/* What was committed in terms before its own, it has. */
static void check_completeness(struct node *node,
                               struct shard *shard,
                               const struct raft *raft)
{
    for (uint64_t index = shard->log_count; index > 0; index--) {
        const struct committed *known = &shard->log[index - 1];
        if (known->hash == 0 || known->leader_term >= raft_term(raft)) {
            continue;
        }
        const struct raft_entry *entry = raft_entry_at(raft, index);
        bool has = entry ? hash_entry(entry) == known->hash
                         : index <= raft_snapshot_index(raft);
        if (!has) {
            broken(node->sim, "completeness",
                   "n%u g%u leads term %" PRIu64 " without %" PRIu64
                   ", which is committed",
                   node->index, shard->id, raft_term(raft), index);
        }
        return;
    }
}

static void check_leader(struct node *node,
                         struct shard *shard,
                         struct replica *replica)
{
    const struct raft *raft = group_raft(replica->group);
    uint64_t term = raft_term(raft);
    if (raft_role(raft) != RAFT_LEADER || replica->led_term == term) {
        return;
    }
    replica->led_term = term;
    uint64_t *leader = leader_of(shard, term);
    if (*leader != 0) {
        broken(node->sim, "leaders",
               "n%u g%u: %" PRIu64 " leads term %" PRIu64 ", and %" PRIu64
               " did",
               node->index, shard->id, raft_number(raft), term, *leader);
    }
    *leader = raft_number(raft);
    node->sim->result.leaders++;
    note(node->sim, term);
    say(node->sim, "n%u g%u: %" PRIu64 " leads term %" PRIu64, node->index,
        shard->id, raft_number(raft), term);
    check_completeness(node, shard, raft);
    faults_tempt(node->sim, shard->id, node->index);
}

/* ---- a node ---- */

static void check_replica(struct node *node, uint32_t at)
{
    struct replica *replica = &node->replicas[at];
    struct shard *shard = &node->sim->shards[at];
    node->whole[at] = replica->group && group_has_state(replica->group)
                          ? raft_number(group_raft(replica->group))
                          : 0;
    if (!replica->group) {
        return;
    }
    const struct raft *raft = group_raft(replica->group);
    check_leader(node, shard, replica);
    check_commit(node, shard, replica);
    check_applied(node, shard, replica);
    if (raft_contradiction_count(raft) > 0) {
        broken(node->sim, "contradiction", "n%u g%u was told what cannot be",
               node->index, at);
    }
    if (raft_log_bytes(raft) > node->sim->plan.log_bytes_max) {
        broken(node->sim, "memory", "n%u g%u keeps %zu bytes of its log",
               node->index, at, raft_log_bytes(raft));
    }
}

void check_node(struct node *node)
{
    if (!node->multiraft) {
        return;
    }
    for (uint32_t i = 0; i < node->sim->plan.shard_count; i++) {
        check_replica(node, i);
    }
}

/* ---- the end ---- */

static bool is_well(struct sim *sim, struct shard *shard, const char **what)
{
    struct node *node = operator_leader(sim, shard->id);
    *what = "nobody leads";
    if (!node) {
        return false;
    }
    const struct raft *raft = group_raft(node->replicas[shard->id].group);
    const struct raft_configuration *members = raft_newest_configuration(raft);
    *what = "its members are not those that are wanted";
    if (members != raft_committed_configuration(raft) ||
        members->count != shard->wanted_count) {
        return false;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct node *home = &sim->nodes[member->node];
        const struct replica *replica = &home->replicas[shard->id];
        *what = "a replica is missing";
        if (!member->is_voter || !home->multiraft || !replica->group ||
            raft_number(group_raft(replica->group)) != member->number) {
            return false;
        }
        *what = "a replica is behind";
        if (!group_has_state(replica->group) ||
            group_applied_index(replica->group) != raft_last_index(raft)) {
            return false;
        }
    }
    return true;
}

static void say_replica(struct node *node, uint32_t at)
{
    static const char *const roles[] = {
        [RAFT_FOLLOWER] = "follower",
        [RAFT_PRE_CANDIDATE] = "pre-candidate",
        [RAFT_CANDIDATE] = "candidate",
        [RAFT_LEADER] = "leader",
    };
    const struct group *group = node->replicas[at].group;
    const struct raft *raft = group_raft(group);
    say(node->sim,
        "n%u g%u: %" PRIu64 " is %s of term %" PRIu64 ", follows %" PRIu64
        ", snapshot %" PRIu64 " (%s %" PRIu64 "), applied %" PRIu64
        ", commit %" PRIu64 ", durable %" PRIu64 ", last %" PRIu64,
        node->index, at, raft_number(raft), roles[raft_role(raft)],
        raft_term(raft), raft_leader(raft), raft_snapshot_index(raft),
        group_has_state(group) ? "has" : "lost", group_stored_index(group),
        group_applied_index(group), raft_commit_index(raft),
        raft_stable_index(raft), raft_last_index(raft));
    const struct raft_configuration *members = raft_newest_configuration(raft);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        say(node->sim, "    %" PRIu64 " on n%u%s, match %" PRIu64,
            member->number, member->node, member->is_voter ? "" : ", no voter",
            raft_match_index(raft, member->number));
    }
}

/* For the trace: how the groups stand. */
static void say_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        const char *what = "";
        if (is_well(sim, &sim->shards[i], &what)) {
            continue;
        }
        say(sim, "g%u: %s", i, what);
        for (uint32_t k = 0; k < sim->plan.node_count; k++) {
            if (sim->nodes[k].replicas[i].group) {
                say_replica(&sim->nodes[k], i);
            }
        }
    }
    for (uint32_t i = 0; i < sim->plan.client_count; i++) {
        const struct client *client = &sim->clients[i];
        if (client->is_busy) {
            say(sim, "client %u waits for g%u", i, client->shard);
        }
    }
}

/* No group keeps old segments of a node's log for ever. */
static bool is_log_short(const struct node *node)
{
    const struct multiraft_config *limits = &node->sim->plan.limits;
    return !node->multiraft ||
           wal_stats(multiraft_wal(node->multiraft)).bytes <=
               limits->disk_bytes_max + 2 * limits->segment_bytes;
}

bool check_is_whole(struct sim *sim, bool say_what)
{
    if (say_what) {
        say_all(sim);
    }
    if (!sim->are_clients_done) {
        if (say_what) {
            broken(sim, "liveness", "a client still waits");
        }
        return false;
    }
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        const char *what = NULL;
        if (!is_well(sim, &sim->shards[i], &what)) {
            if (say_what) {
                broken(sim, "liveness", "g%u: %s", i, what);
            }
            return false;
        }
    }
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        if (!is_log_short(&sim->nodes[i])) {
            if (say_what) {
                broken(sim, "disk", "n%u keeps too much of its log", i);
            }
            return false;
        }
    }
    return true;
}
