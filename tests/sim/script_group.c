/*
 * What a script asks of its group, and what it sees of it.
 */

#include "store/raft_configuration.h"
#include "tests/sim/script_core.h"

#include <string.h>

/* ---- clients ---- */

static void end_request(struct request *request,
                        enum err err,
                        const struct counter_reply *reply)
{
    struct sim *sim = &request->script->sim;
    if (!err) {
        struct history_result result = {.value = reply->value};
        history_return(sim->events, world_now_ns(sim->world),
                       request->operation, &result);
        request->answer = reply->value;
        request->state = SCRIPT_DONE;
        sim->result.operations++;
    } else if (err == ERR_UNCERTAIN) {
        history_unknown(sim->events, request->operation);
        request->state = SCRIPT_UNKNOWN;
        sim->result.unknown++;
    } else {
        history_fail(sim->events, request->operation);
        request->state = SCRIPT_REFUSED;
    }
}

static void on_done(struct group_request *group_request,
                    enum err err,
                    struct bytes bytes)
{
    struct request *request = OWNER_OF(group_request, struct request, request);
    struct counter_reply reply = {0};
    if (request->node->is_closing) {
        err = ERR_UNCERTAIN; /* nobody says anything any more */
    } else if (!err && !counter_reply_decode(&reply, bytes)) {
        broken(&request->script->sim, "answer", "what is no answer");
    }
    end_request(request, err, &reply);
}

static void run_request(struct node *node, struct errand *errand)
{
    struct script *script = script_of(node->sim);
    struct request *request = &script->requests[errand->attempt];
    struct group *group = node->replicas[SCRIPT_SHARD].group;
    enum err err =
        group ? clients_ask(group, &request->command, &request->request)
              : ERR_NOT_LEADER;
    if (err) {
        end_request(request, err, NULL);
    }
}

static size_t ask(struct script *script,
                  uint32_t node,
                  struct counter_command command)
{
    struct sim *sim = &script->sim;
    bool is_read = command.kind == COUNTER_READ;
    assert(script->request_count < SCRIPT_REQUESTS_MAX);
    size_t number = script->request_count++;
    struct request *request = &script->requests[number];
    *request = (struct request){.request.done = on_done,
                                .script = script,
                                .node = script_node(script, node),
                                .command = command};
    request->operation =
        history_invoke(sim->events, world_now_ns(sim->world),
                       &(struct history_operation){
                           .kind = is_read ? HISTORY_READ : HISTORY_ADD,
                           .client = (uint32_t)number,
                           .operand = command.value});
    if (script_is_broken(script) || !node_is_up(request->node)) {
        end_request(request, ERR_NOT_LEADER, NULL);
        return number;
    }
    struct errand *errand = make_errand(request->node, run_request, 0);
    errand->attempt = number;
    post_errand(errand);
    /* Its turn ends before the next one is asked: an entry of its own. */
    (void)script_pass(script, UINT64_MAX);
    return number;
}

size_t script_add(struct script *script, uint32_t node, int64_t value)
{
    return ask(script, node,
               (struct counter_command){.kind = COUNTER_ADD, .value = value});
}

size_t script_read(struct script *script, uint32_t node)
{
    return ask(script, node, (struct counter_command){.kind = COUNTER_READ});
}

enum script_state script_state(const struct script *script, size_t request)
{
    return script->requests[request].state;
}

int64_t script_answer(const struct script *script, size_t request)
{
    return script->requests[request].answer;
}

/* ---- orders ---- */

static const struct raft *raft_on(const struct script *script, uint32_t node)
{
    const struct group *group =
        script->sim.nodes[node].replicas[SCRIPT_SHARD].group;
    return group ? group_raft(group) : NULL;
}

static void end_order(struct node *node, enum err err)
{
    struct script *script = script_of(node->sim);
    script->err = err;
    script->is_done = true;
}

static void run_reconfigure(struct node *node, struct errand *errand)
{
    end_order(node, group_reconfigure(node->replicas[SCRIPT_SHARD].group,
                                      &errand->configuration));
}

static void run_transfer(struct node *node, struct errand *errand)
{
    end_order(node, group_transfer(node->replicas[SCRIPT_SHARD].group,
                                   errand->number));
}

static struct errand *make_order(struct script *script,
                                 uint32_t node,
                                 void (*run)(struct node *node,
                                             struct errand *errand))
{
    return script_is_broken(script) || !raft_on(script, node)
               ? NULL
               : make_errand(script_node(script, node), run, 0);
}

/* Have it carried out now. */
static enum err order(struct script *script, struct errand *errand)
{
    script->is_done = false;
    script->err = ERR_CLOSED;
    if (errand) {
        post_errand(errand);
        (void)script_pass(script, UINT64_MAX);
        script_must(script, script->is_done, "an order is carried out", 0);
    }
    return script->err;
}

static enum err reconfigure(struct script *script,
                            uint32_t leader,
                            const struct raft_configuration *next)
{
    struct errand *errand = make_order(script, leader, run_reconfigure);
    if (errand) {
        errand->configuration = *next;
    }
    return order(script, errand);
}

/* The leader's newest; empty when it has none. */
static struct raft_configuration members_of(const struct script *script,
                                            uint32_t leader)
{
    const struct raft *raft = raft_on(script, leader);
    return raft ? *raft_newest_configuration(raft)
                : (struct raft_configuration){0};
}

/* The newest replica on a node; `count`: none. */
static uint32_t member_at(const struct raft_configuration *members,
                          uint32_t node)
{
    uint32_t found = members->count;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].node == node) {
            found = i;
        }
    }
    return found;
}

static uint64_t number_at(const struct raft_configuration *members,
                          uint32_t node)
{
    uint32_t at = member_at(members, node);
    return at < members->count ? members->members[at].number : 0;
}

enum err script_begin_replica(struct script *script,
                              uint32_t leader,
                              uint32_t node)
{
    struct raft_configuration next = members_of(script, leader);
    const struct node *home = script_node(script, node);
    next.members[next.count++] = (struct raft_member){
        .number = next.next_number++, .node = node, .disk_id = home->disk_id};
    enum err err = reconfigure(script, leader, &next);
    if (!err && !script_is_broken(script)) {
        operator_begin_replica(script_node(script, node), SCRIPT_SHARD, &next,
                               UINT64_MAX);
    }
    return err;
}

enum err script_promote(struct script *script, uint32_t leader, uint32_t node)
{
    struct raft_configuration next = members_of(script, leader);
    uint32_t at = member_at(&next, node);
    if (at < next.count) {
        next.members[at].is_voter = true;
    }
    return reconfigure(script, leader, &next);
}

enum err script_remove(struct script *script, uint32_t leader, uint32_t node)
{
    struct raft_configuration next = members_of(script, leader);
    for (uint32_t i = 0; i < next.count; i++) { /* the oldest one there */
        if (next.members[i].node == node) {
            operator_remove_member(&next, i);
            break;
        }
    }
    return reconfigure(script, leader, &next);
}

enum err script_transfer(struct script *script, uint32_t leader, uint32_t node)
{
    struct raft_configuration members = members_of(script, leader);
    struct errand *errand = make_order(script, leader, run_transfer);
    if (errand) {
        errand->number = number_at(&members, node);
    }
    return order(script, errand);
}

static void let_one_stand(struct script *script, uint32_t node, bool is_over)
{
    for (uint32_t from = 0; from < script->sim.plan.node_count; from++) {
        for (uint32_t to = 0; from != node && to < NODES_MAX; to++) {
            uint32_t *lost = &script->rules[from][to].lost;
            *lost = is_over ? *lost & ~SCRIPT_KIND(RAFT_PRE_VOTE)
                            : *lost | SCRIPT_KIND(RAFT_PRE_VOTE);
        }
    }
}

void script_elect(struct script *script, uint32_t node)
{
    let_one_stand(script, node, false);
    for (uint32_t to = 0; to < script->sim.plan.node_count; to++) {
        const struct raft *raft = raft_on(script, to);
        struct raft_configuration members = members_of(script, to);
        const struct raft_member *leader =
            raft ? raft_configuration_find(&members, raft_leader(raft)) : NULL;
        if (leader && leader->node != to) {
            script_tell_closed(script, (struct script_way){to, leader->node});
        }
    }
    UNTIL(script, script_leads(script, node));
    let_one_stand(script, node, true);
}

/* ---- what is ---- */

bool script_leads(const struct script *script, uint32_t node)
{
    const struct raft *raft = raft_on(script, node);
    return raft && raft_role(raft) == RAFT_LEADER;
}

static uint64_t number_on(const struct script *script,
                          uint32_t node,
                          uint64_t (*number)(const struct raft *raft))
{
    const struct raft *raft = raft_on(script, node);
    return raft ? number(raft) : 0;
}

uint32_t script_leader(struct script *script)
{
    const struct node *leader = operator_leader(&script->sim, SCRIPT_SHARD);
    return leader ? leader->index : SCRIPT_NOBODY;
}

bool script_is_settled(const struct script *script, uint32_t node)
{
    const struct raft *raft = raft_on(script, node);
    return raft && raft_is_settled(raft);
}

uint64_t script_term(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_term);
}

uint64_t script_number(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_number);
}

uint64_t script_commit(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_commit_index);
}

uint64_t script_last(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_last_index);
}

uint64_t script_stable(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_stable_index);
}

uint64_t script_snapshot_index(const struct script *script, uint32_t node)
{
    return number_on(script, node, raft_snapshot_index);
}

int64_t script_value(const struct script *script, uint32_t node)
{
    const struct counter_map *map =
        script->sim.nodes[node].replicas[SCRIPT_SHARD].map;
    return map ? counter_map_value(map, 0) : 0;
}

uint64_t script_match(const struct script *script,
                      uint32_t leader,
                      uint32_t node)
{
    struct raft_configuration members = members_of(script, leader);
    const struct raft *raft = raft_on(script, leader);
    uint64_t number = number_at(&members, node);
    return raft && number != 0 ? raft_match_index(raft, number) : 0;
}

uint32_t script_members(const struct script *script, uint32_t node)
{
    return members_of(script, node).count;
}

uint32_t script_members_committed(const struct script *script, uint32_t node)
{
    const struct raft *raft = raft_on(script, node);
    return raft ? raft_committed_configuration(raft)->count : 0;
}

bool script_has_log(const struct script *script,
                    uint32_t node,
                    const char *terms)
{
    const struct raft *raft = raft_on(script, node);
    uint64_t length = strlen(terms);
    if (!raft || raft_last_index(raft) != length) {
        return false;
    }
    for (uint64_t index = 1; index <= length; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (!entry || entry->term != (uint64_t)(terms[index - 1] - '0')) {
            return false;
        }
    }
    return true;
}
