/*
 * The promises of the simulator of shards.
 */

#include "shard/placement.h"
#include "shard/shard_balance.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TERMS_MAX UINT64_C(10000)  /* of a group in a generation, both */
#define NUMBERS_MAX 1024           /* of a group in a generation */
#define EXCUSED_NS (12 * NS_PER_S) /* after a loss, or a move by hand */

static uint32_t group_count(const struct sim *sim)
{
    return sim->shard_count + 1;
}

static const struct raft *raft_of(const struct node *node, uint32_t id)
{
    const struct group *group = node->host ? host_group(node->host, id) : NULL;
    return group ? group_raft(group) : NULL;
}

/* A place for `index` in a growing array of zeros. */
static uint64_t *at(uint64_t **array, size_t *capacity, uint64_t index)
{
    if (index >= *capacity) {
        size_t grown = 2 * (size_t)index + 64;
        *array = realloc(*array, grown * sizeof **array);
        assert(*array);
        memset(*array + *capacity, 0, (grown - *capacity) * sizeof **array);
        *capacity = grown;
    }
    return &(*array)[index];
}

void memory_open(struct sim *sim)
{
    struct memory *memory = &sim->memory;
    memory->terms = calloc(group_count(sim), sizeof *memory->terms);
    memory->disks = calloc(group_count(sim), sizeof *memory->disks);
    memory->entries = calloc(sim->shard_count, sizeof *memory->entries);
    memory->by_hand_ns = calloc(sim->shard_count, sizeof(uint64_t));
    memory->is_emptied = calloc(sim->shard_count, sizeof(bool));
    assert(memory->terms && memory->disks && memory->entries &&
           memory->by_hand_ns && memory->is_emptied);
}

void memory_close(struct sim *sim)
{
    struct memory *memory = &sim->memory;
    for (uint32_t id = 0; id < group_count(sim); id++) {
        free(memory->terms[id].leaders);
        free(memory->disks[id].of);
    }
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        free(memory->entries[shard].hashes);
    }
    free(memory->terms);
    free(memory->disks);
    free(memory->entries);
    free(memory->by_hand_ns);
    free(memory->is_emptied);
    shard_map_clear(&memory->map);
}

void memory_empty(struct sim *sim, uint32_t shard)
{
    struct entries *entries = &sim->memory.entries[shard];
    sim->memory.is_emptied[shard] = true;
    task_memory_empty(sim, shard);
    if (entries->capacity > 0) {
        memset(entries->hashes, 0, entries->capacity * sizeof *entries->hashes);
    }
}

/* ---- groups ---- */

/* Generation and term, as they follow each other. */
static uint64_t epoch_of(const struct raft *raft)
{
    return raft_generation_of(raft_number(raft)) * TERMS_MAX + raft_term(raft);
}

struct node *leader_of(struct sim *sim, uint32_t group)
{
    struct node *leader = NULL;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct raft *raft = raft_of(&sim->nodes[i], group);
        if (raft && raft_is_settled(raft) &&
            (!leader || epoch_of(raft) > epoch_of(raft_of(leader, group)))) {
            leader = &sim->nodes[i];
        }
    }
    return leader;
}

static void check_leader(struct node *node,
                         uint32_t id,
                         const struct raft *raft)
{
    struct terms *terms = &node->sim->memory.terms[id];
    uint64_t epoch = epoch_of(raft);
    uint64_t *known = at(&terms->leaders, &terms->capacity, epoch);
    if (*known != 0 && *known != raft_number(raft)) {
        broken(node->sim, "leaders",
               "%s, replica %" PRIu64 ", and replica %" PRIu64
               " lead group %u in term %" PRIu64,
               node->name, raft_number(raft), *known, id, raft_term(raft));
    }
    *known = raft_number(raft);
    if (epoch > terms->newest) {
        terms->newest = epoch;
    }
}

/* A number is that of one replica, on one disk, for ever. */
static void check_number(struct node *node, uint32_t id, uint64_t number)
{
    struct disks *disks = &node->sim->memory.disks[id];
    uint64_t *disk =
        at(&disks->of, &disks->capacity,
           raft_generation_of(number) * NUMBERS_MAX + number % NUMBERS_MAX);
    if (*disk != 0 && *disk != node->disk_id) {
        broken(node->sim, "numbers",
               "%s begins replica %" PRIu64 " of group %u, which is on "
               "another disk",
               node->name, number, id);
    }
    *disk = node->disk_id;
    node->held[id] = number;
}

void check_turn(struct node *node)
{
    if (!node->host || node->is_closing) {
        return;
    }
    for (uint32_t id = 0; id < group_count(node->sim); id++) {
        const struct raft *raft = raft_of(node, id);
        if (raft && raft_contradiction_count(raft) > 0) {
            broken(node->sim, "contradiction",
                   "%s: replica %" PRIu64 " of group %u was told what cannot "
                   "be",
                   node->name, raft_number(raft), id);
        }
        if (raft && raft_number(raft) != node->held[id]) {
            check_number(node, id, raft_number(raft));
        }
        if (raft && raft_is_settled(raft)) {
            check_leader(node, id, raft);
        }
    }
}

/* What is applied is the same everywhere. */
void check_entry(struct replica *replica, uint64_t index, uint64_t hash)
{
    struct sim *sim = replica->node->sim;
    struct entries *entries = &sim->memory.entries[replica->shard];
    uint64_t *known = at(&entries->hashes, &entries->capacity, index);
    if (*known != 0 && *known != hash) {
        broken(sim, "applied",
               "%s applies another entry %" PRIu64 " of shard %u than others",
               replica->node->name, index, replica->shard);
    }
    *known = hash;
}

static struct node *node_with_disk(struct sim *sim, uint64_t disk_id)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].disk_id == disk_id) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

/* What votes is there: nobody has dropped it, nor begun anew under its
 * number, unless a disk has lost it. */
static void check_voters(struct sim *sim, uint32_t id)
{
    const struct node *leader = leader_of(sim, id);
    const struct raft *raft = leader ? raft_of(leader, id) : NULL;
    if (!raft || epoch_of(raft) != sim->memory.terms[id].newest) {
        return;
    }
    const struct raft_configuration *members =
        raft_committed_configuration(raft);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct node *node = node_with_disk(sim, member->disk_id);
        if (member->is_voter && node && node->host && !node->is_failed &&
            !node->is_harmed && node->held[id] == member->number &&
            !raft_of(node, id)) {
            broken(sim, "voters",
                   "%s has dropped replica %" PRIu64 " of group %u, which is "
                   "a voter",
                   node->name, member->number, id);
        }
    }
}

/* ---- may a disk be lost ---- */

static bool has_all_replicas(struct sim *sim, uint32_t id)
{
    const struct node *leader = leader_of(sim, id);
    const struct raft *raft = leader ? raft_of(leader, id) : NULL;
    if (!raft ||
        raft_newest_configuration(raft) != raft_committed_configuration(raft)) {
        return false;
    }
    const struct raft_configuration *members = raft_newest_configuration(raft);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct node *node = node_with_disk(sim, member->disk_id);
        const struct raft *own = node ? raft_of(node, id) : NULL;
        if (!member->is_voter || !own || raft_number(own) != member->number ||
            raft_stable_index(own) < raft_commit_index(raft)) {
            return false;
        }
    }
    return members->count >= 3;
}

bool may_lose_disk(struct sim *sim)
{
    for (uint32_t id = 0; id < group_count(sim); id++) {
        if (!has_all_replicas(sim, id)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        sim->nodes[i].is_harmed = false; /* whatever it was */
    }
    return true;
}

static void tell_group(struct sim *sim, const struct node *node, uint32_t id)
{
    const struct raft *raft = raft_of(node, id);
    if (!raft) {
        return;
    }
    const struct raft_configuration *members = raft_newest_configuration(raft);
    char text[256] = "";
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length, " %" PRIu64 "@%u%s",
                       member->number, member->node,
                       member->is_voter ? "" : "?");
    }
    say(sim,
        "%s group %u: number %" PRIu64 ", role %d, term %" PRIu64
        ", leader %" PRIu64 ", last %" PRIu64 ", commit %" PRIu64
        "%s%s, members%s%s",
        node->name, id, raft_number(raft), (int)raft_role(raft),
        raft_term(raft), raft_leader(raft), raft_last_index(raft),
        raft_commit_index(raft),
        group_has_state(host_group(node->host, id)) ? "" : ", no state",
        raft_is_settled(raft) ? ", settled" : "", text,
        members == raft_committed_configuration(raft) ? "" : " (uncommitted)");
}

/* ---- the view ---- */

static bool is_excused(const struct sim *sim, uint64_t since_ns)
{
    return since_ns != 0 && now_ns(sim) - since_ns < EXCUSED_NS;
}

/* Somebody of whom nothing more is to be hoped for has it. */
static bool is_from_gone(const struct view *view,
                         const struct shard_place *place)
{
    bool is = false;
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct member *member =
            members_find(&view->members, place->replicas[i]);
        is = is || !member || member->state == MEMBER_DOWN;
    }
    return is;
}

/* Somebody has it who has lost data, and perhaps not made its replica anew: it
 * counts as a voter until its leader knows. */
static bool is_from_harmed(const struct sim *sim,
                           const struct shard_place *place)
{
    bool is = false;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        is = is || (node->is_harmed && node->host &&
                    shard_place_has(place, host_number(node->host)));
    }
    return is;
}

/* A shard is only moved when it has come to where it was to be before. */
static void check_move(struct sim *sim, const struct view *view, uint32_t shard)
{
    const struct shard_place *from = &sim->memory.map.places[shard];
    const struct node *leader = leader_of(sim, shard_group_id(shard));
    if (shard_place_is_equal(from, &view->map.places[shard]) || !leader ||
        is_excused(sim, sim->memory.lost_ns) ||
        is_excused(sim, sim->memory.by_hand_ns[shard]) ||
        is_from_gone(view, from) || is_from_harmed(sim, from)) {
        return;
    }
    const struct raft_configuration *members =
        raft_newest_configuration(raft_of(leader, shard_group_id(shard)));
    bool is_settled = members->count == from->replica_count;
    for (uint32_t i = 0; i < members->count; i++) {
        is_settled = is_settled && members->members[i].is_voter &&
                     shard_place_has(from, members->members[i].node);
    }
    if (!is_settled) {
        tell_group(sim, leader, shard_group_id(shard));
        broken(sim, "moves",
               "shard %u is moved on from node %u, %u, ... before it is there",
               shard, from->replicas[0], from->replicas[1]);
    }
}

static void check_places(struct node *node, const struct view *view)
{
    for (uint32_t shard = 0; shard < view->map.shard_count; shard++) {
        const struct shard_place *place = &view->map.places[shard];
        for (uint32_t i = 0; i < place->replica_count; i++) {
            if (!members_find(&view->members, place->replicas[i])) {
                broken(node->sim, "places",
                       "view %" PRIu64 " of %s has shard %u on node %u, which "
                       "is no member",
                       view->version, node->name, shard, place->replicas[i]);
            }
        }
    }
}

void check_view(struct node *node, const struct view *view)
{
    struct sim *sim = node->sim;
    struct shard_map *newest = &sim->memory.map;
    if (view->version <= node->view_version) {
        broken(sim, "view", "%s goes back from view %" PRIu64 " to %" PRIu64,
               node->name, node->view_version, view->version);
    }
    node->view_version = view->version;
    check_places(node, view);
    if (view->map.version <= newest->version) {
        return;
    }
    for (uint32_t i = 0; view->is_founded && i < newest->shard_count; i++) {
        check_move(sim, view, i);
    }
    shard_map_clear(newest);
    enum err err = shard_map_copy(newest, &view->map);
    assert(!err);
}

/* ---- often ---- */

static void check_waiting(struct node *node)
{
    struct sim *sim = node->sim;
    if (!node->host || node->stands_until_ns != 0 ||
        now_ns(sim) < node->excused_until_ns) {
        return;
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &node->clients[i];
        if (client->is_asking && now_ns(sim) > client->until_ns) {
            broken(sim, "in time", "%s: request %u is not answered in its time",
                   node->name, client->number);
        }
    }
    for (uint32_t i = 0; i < TASK_CLIENTS; i++) {
        const struct task_client *client = &node->task_clients[i];
        if (client->is_asking && now_ns(sim) > client->until_ns) {
            broken(
                sim, "in time",
                "%s: a question about tasks, kind %d, is not answered in its "
                "time",
                node->name, (int)client->kind);
        }
    }
}

void check_often(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        check_waiting(&sim->nodes[i]);
    }
    for (uint32_t id = 0; id < group_count(sim); id++) {
        check_voters(sim, id);
    }
}

/* ---- whether all is well ---- */

static bool are_views_equal(struct sim *sim,
                            const struct view **out,
                            struct err_detail *why)
{
    const struct view *view = NULL;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        struct err_detail detail = {{0}};
        if (!node->is_member) {
            continue;
        }
        if (!node->host || !host_is_ready(node->host, &detail)) {
            err_explain(why, "%s is not ready: %s", node->name,
                        node->host ? detail.text : "it is off");
            return false;
        }
        const struct view *own = host_view(node->host);
        if (view && view_digest(view) != view_digest(own)) {
            err_explain(why, "%s has view %" PRIu64 ", not %" PRIu64,
                        node->name, own->version, view->version);
            return false;
        }
        view = own;
    }
    *out = view;
    return view != NULL;
}

static bool are_members_active(const struct sim *sim,
                               const struct view *view,
                               struct err_detail *why)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        count += sim->nodes[i].is_member;
    }
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        if (member->state != MEMBER_ACTIVE) {
            err_explain(why, "%s is %s", member->name,
                        member_state_name(member->state));
            return false;
        }
    }
    if (view->is_paused || count != view->members.count) {
        err_explain(why, "%u nodes, %u members%s", count, view->members.count,
                    view->is_paused ? ", paused" : "");
        return false;
    }
    return true;
}

static bool is_shard_whole(struct sim *sim,
                           const struct view *view,
                           uint32_t shard,
                           struct err_detail *why)
{
    const struct shard_place *place = &view->map.places[shard];
    uint32_t id = shard_group_id(shard);
    const struct node *leader = leader_of(sim, id);
    if (!leader || host_number(leader->host) != place->replicas[0]) {
        err_explain(why, "%s leads shard %u, not its owner, node %u",
                    leader ? leader->name : "nobody", shard,
                    place->replicas[0]);
        return false;
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        uint32_t number = node->host ? host_number(node->host) : MEMBER_NONE;
        if (shard_place_has(place, number) != (raft_of(node, id) != NULL)) {
            err_explain(why, "%s %s shard %u", node->name,
                        raft_of(node, id) ? "still has" : "does not have",
                        shard);
            return false;
        }
    }
    const struct raft_configuration *members =
        raft_committed_configuration(raft_of(leader, id));
    if (members->count != place->replica_count ||
        raft_configuration_voter_count(members) != place->replica_count) {
        err_explain(why, "shard %u has %u members, %u voters, not %u", shard,
                    members->count, raft_configuration_voter_count(members),
                    place->replica_count);
        return false;
    }
    return true;
}

/* Owners at most the mean rounded up; replicas at most a tenth above it. */
static bool is_balanced(const struct view *view, struct err_detail *why)
{
    struct shard_map wanted = {0};
    enum err err = host_wanted_map(view, &wanted);
    assert(!err);
    uint32_t left = placement_diff(&view->map, &wanted, NULL, 0);
    shard_map_clear(&wanted);
    if (left > 0) {
        err_explain(why, "%u shards are not where they are wanted", left);
        return false;
    }
    struct shard_balance balance =
        shard_balance_of(&view->map, view->members.count);
    if (balance.owners_max >= balance.owners_mean + 1 ||
        balance.replicas_max >= balance.replicas_mean * 1.1 + 1) {
        err_explain(why, "a node owns %u shards (mean %.1f), has %u (%.1f)",
                    balance.owners_max, balance.owners_mean,
                    balance.replicas_max, balance.replicas_mean);
        return false;
    }
    return true;
}

bool is_whole(struct sim *sim, struct err_detail *why)
{
    const struct view *view = NULL;
    if (!are_views_equal(sim, &view, why) ||
        !are_members_active(sim, view, why)) {
        return false;
    }
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        if (!is_shard_whole(sim, view, shard, why)) {
            return false;
        }
    }
    sim->result.moves = view->map.version % VIEW_VERSIONS_SKIPPED;
    return is_balanced(view, why) && pools_are_calm(view, why);
}

/* ---- what clients were told ---- */

/* By value; of one value the add first. */
static int compare_requests(const void *left, const void *right)
{
    const struct request *a = *(const struct request *const *)left;
    const struct request *b = *(const struct request *const *)right;
    return a->value != b->value ? (a->value > b->value) - (a->value < b->value)
                                : (a->kind > b->kind) - (a->kind < b->kind);
}

/*
 * Every add was told another value, and every read one that was there: in the
 * order of values nothing may have ended before what stands in front of it had
 * begun.
 */
static void check_order(struct sim *sim,
                        uint64_t key,
                        const struct request *const *told,
                        uint32_t count)
{
    uint64_t latest_begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && told[i]->kind == REQUEST_ADD &&
            told[i]->value == told[i - 1]->value) {
            broken(sim, "order", "two adds to %" PRIu64 " are told %" PRId64,
                   key, told[i]->value);
        }
        if (told[i]->ended_ns < latest_begin) {
            broken(sim, "order",
                   "%s of %" PRIu64 " goes back in time at %" PRId64,
                   told[i]->kind == REQUEST_READ ? "a read" : "an add", key,
                   told[i]->value);
        }
        if (told[i]->begun_ns > latest_begin) {
            latest_begin = told[i]->begun_ns;
        }
    }
}

/* For people: what is not sure of a key, and which values nobody was told. */
static void tell_key(struct sim *sim, uint64_t key)
{
    static const char *const ends[] = {"open", "told", "uncertain", "refused"};
    for (uint32_t i = 0; i < sim->request_count; i++) {
        const struct request *request = &sim->requests[i];
        if (request->key == key && request->kind == REQUEST_ADD &&
            request->end != REQUEST_TOLD) {
            say(sim, "request %u of n%u, %.6f to %.6f: %s", i, request->node,
                (double)request->begun_ns / NS_PER_S,
                (double)request->ended_ns / NS_PER_S, ends[request->end]);
        }
    }
}

static void tell_gaps(struct sim *sim,
                      const struct request *const *told,
                      uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (told[i]->value > told[i - 1]->value + 1) {
            say(sim, "nobody was told %" PRId64 ", between %.6f and %.6f",
                told[i]->value - 1, (double)told[i - 1]->begun_ns / NS_PER_S,
                (double)told[i]->ended_ns / NS_PER_S);
        }
    }
}

/* The last value is at least as many as were told. */
static void check_key(struct sim *sim, uint64_t key, int64_t value)
{
    const struct request **told = calloc(sim->request_count + 1, sizeof *told);
    uint32_t count = 0;
    int64_t adds = 0;
    int64_t uncertain = 0;
    assert(told);
    for (uint32_t i = 0; i < sim->request_count; i++) {
        const struct request *request = &sim->requests[i];
        if (request->key != key) {
            continue;
        }
        uncertain += request->end == REQUEST_UNCERTAIN;
        if (request->end == REQUEST_TOLD) {
            adds += request->kind == REQUEST_ADD;
            told[count++] = request;
        }
    }
    qsort(told, count, sizeof *told, compare_requests);
    check_order(sim, key, told, count);
    if (value < adds || value > adds + uncertain ||
        (count > 0 && told[count - 1]->value > value)) {
        broken(sim, "order",
               "%" PRIu64 " is %" PRId64 " after %" PRId64 " adds and %" PRId64
               " that nobody knows of",
               key, value, adds, uncertain);
        tell_key(sim, key);
        tell_gaps(sim, told, count);
    }
    free(told);
}

static int64_t value_of(struct sim *sim, uint64_t key)
{
    uint32_t shard = (uint32_t)(key % sim->shard_count);
    const struct node *node = leader_of(sim, shard_group_id(shard));
    return node ? counter_map_value(node->replicas[shard].map, key) : -1;
}

/* What must not be repeated has happened once, or never. */
static void check_once(struct sim *sim, uint32_t number)
{
    const struct request *request = &sim->requests[number];
    int64_t value = value_of(sim, request->key);
    bool is_good = request->end == REQUEST_TOLD      ? value == 1
                   : request->end == REQUEST_REFUSED ? value == 0
                                                     : value == 0 || value == 1;
    if (!is_good) {
        broken(sim, "once", "request %u %s, and has happened %" PRId64 " times",
               number,
               request->end == REQUEST_TOLD      ? "was answered"
               : request->end == REQUEST_REFUSED ? "was refused"
                                                 : "must not be repeated",
               value);
    }
}

static void check_equal(struct sim *sim, uint32_t shard)
{
    const struct node *leader = leader_of(sim, shard_group_id(shard));
    uint64_t digest =
        leader ? counter_map_digest(leader->replicas[shard].map) : 0;
    for (uint32_t i = 0; leader && i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (raft_of(node, shard_group_id(shard)) &&
            counter_map_digest(node->replicas[shard].map) != digest) {
            broken(sim, "state", "%s has other counters in shard %u than %s",
                   node->name, shard, leader->name);
        }
    }
}

static bool is_emptied(const struct sim *sim, uint64_t key)
{
    return sim->memory.is_emptied[key % sim->shard_count];
}

void check_requests(struct sim *sim)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        if (!is_emptied(sim, key)) {
            check_key(sim, key, value_of(sim, key));
        }
    }
    for (uint32_t i = 0; i < sim->request_count; i++) {
        if (sim->requests[i].end == REQUEST_OPEN) {
            broken(sim, "in time", "request %u is never answered", i);
        } else if (sim->requests[i].kind == REQUEST_ONCE &&
                   !is_emptied(sim, sim->requests[i].key)) {
            check_once(sim, i);
        }
    }
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        check_equal(sim, shard);
    }
}

/* ---- for people ---- */

void tell_groups(struct sim *sim)
{
    for (uint32_t id = 0; id < group_count(sim); id++) {
        for (uint32_t i = 0; i < sim->node_count; i++) {
            tell_group(sim, &sim->nodes[i], id);
        }
    }
}
