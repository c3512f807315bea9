#include "shard/reconcile.h"

#include <assert.h>
#include <string.h>

/* What is asked again and again of one state. */
struct sight {
    const struct reconcile_state *state;
    const struct raft_configuration *members;
    uint32_t voter_count;
    bool are_wanted_up;     /* all of them */
    bool are_wanted_voters; /* all of them */
};

/* ---- nodes and members ---- */

static bool is_wanted(const struct sight *sight, uint32_t node)
{
    for (uint32_t i = 0; i < sight->state->wanted_count; i++) {
        if (sight->state->wanted[i] == node) {
            return true;
        }
    }
    return false;
}

static const struct reconcile_node *node_of(const struct sight *sight,
                                            uint32_t number)
{
    return sight->state->node(sight->state->context, number);
}

static bool is_node_up(const struct sight *sight, uint32_t number)
{
    const struct reconcile_node *node = node_of(sight, number);
    return node && node->is_up;
}

static bool is_self(const struct sight *sight, uint32_t at)
{
    return sight->members->members[at].number == sight->state->self;
}

static bool is_up(const struct sight *sight, uint32_t at)
{
    return is_self(sight, at) ||
           is_node_up(sight, sight->members->members[at].node);
}

/* It has forgotten what it promised. */
static bool is_lost(const struct sight *sight, uint32_t at)
{
    const struct raft_member *member = &sight->members->members[at];
    const struct reconcile_node *node = node_of(sight, member->node);
    if (is_self(sight, at) || !node || !node->is_up) {
        return false;
    }
    bool has_other_disk = node->disk_id != 0 && member->disk_id != 0 &&
                          node->disk_id != member->disk_id;
    return has_other_disk || sight->state->facts[at].is_lost;
}

/* It is there, and has what is committed. */
static bool is_good(const struct sight *sight, uint32_t at)
{
    const struct reconcile_member *fact = &sight->state->facts[at];
    return is_self(sight, at) || (is_up(sight, at) && !is_lost(sight, at) &&
                                  fact->is_begun && fact->is_caught_up);
}

/* `count`: none. */
static uint32_t member_on(const struct raft_configuration *members,
                          uint32_t node)
{
    uint32_t at = 0;
    while (at < members->count && members->members[at].node != node) {
        at++;
    }
    return at;
}

static uint32_t count_good_voters(const struct sight *sight)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sight->members->count; i++) {
        count += sight->members->members[i].is_voter && is_good(sight, i);
    }
    return count;
}

static struct sight look(const struct reconcile_state *state)
{
    struct sight sight = {
        .state = state,
        .members = state->members,
        .voter_count = raft_configuration_voter_count(state->members),
        .are_wanted_up = true,
        .are_wanted_voters = true,
    };
    for (uint32_t i = 0; i < state->wanted_count; i++) {
        uint32_t at = member_on(state->members, state->wanted[i]);
        bool is_member = at < state->members->count;
        sight.are_wanted_up &= is_member ? is_up(&sight, at)
                                         : is_node_up(&sight, state->wanted[i]);
        sight.are_wanted_voters &=
            is_member && state->members->members[at].is_voter;
    }
    return sight;
}

/* ---- steps ---- */

static struct reconcile_step wait_for(const char *why)
{
    return (struct reconcile_step){.kind = RECONCILE_WAIT, .why = why};
}

static struct reconcile_step reconfigure(const struct sight *sight,
                                         const char *why)
{
    return (struct reconcile_step){
        .kind = RECONCILE_RECONFIGURE, .next = *sight->members, .why = why};
}

static void remove_at(struct raft_configuration *members, uint32_t at)
{
    members->count--;
    memmove(&members->members[at], &members->members[at + 1],
            (members->count - at) * sizeof members->members[0]);
}

static struct reconcile_step removal(const struct sight *sight,
                                     uint32_t at,
                                     const char *why)
{
    struct reconcile_step step = reconfigure(sight, why);
    remove_at(&step.next, at);
    return step;
}

/* Whether the others could agree without this voter: nobody could lead a
 * group any more of whose voters too few are there. */
static bool can_spare(const struct sight *sight, uint32_t at)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < sight->members->count; i++) {
        there += i != at && sight->members->members[i].is_voter &&
                 is_up(sight, i) && !is_lost(sight, i);
    }
    return there > (sight->voter_count - 1) / 2;
}

static bool remove_lost(const struct sight *sight, struct reconcile_step *out)
{
    for (uint32_t i = 0; i < sight->members->count; i++) {
        bool is_voter = sight->members->members[i].is_voter;
        if (is_lost(sight, i) && (!is_voter || can_spare(sight, i))) {
            *out = removal(sight, i, "a replica was lost: it is removed");
            return true;
        }
    }
    return false;
}

static bool remove_unwanted_learners(const struct sight *sight,
                                     struct reconcile_step *out)
{
    *out = reconfigure(sight, "a replica that does not vote is not wanted");
    for (uint32_t i = out->next.count; i > 0; i--) {
        const struct raft_member *member = &out->next.members[i - 1];
        if (!member->is_voter && !is_wanted(sight, member->node)) {
            remove_at(&out->next, i - 1);
        }
    }
    return out->next.count < sight->members->count;
}

/*
 * Whether this voter, which nobody wants, may go now. One that is there goes
 * only when as many as are wanted are good without it, and all who are wanted
 * are there: until then it may be needed. One that is away helps nobody once
 * there is another in its place.
 */
static bool may_leave(const struct sight *sight, uint32_t at)
{
    uint32_t wanted_count = sight->state->wanted_count;
    if (is_self(sight, at) || !can_spare(sight, at)) {
        return false;
    }
    if (!is_up(sight, at)) {
        return sight->voter_count - 1 >= wanted_count;
    }
    uint32_t good = count_good_voters(sight) - is_good(sight, at);
    return sight->are_wanted_up && good >= wanted_count;
}

/* Of the voters that nobody wants and `may` allows one that is away, or else
 * the first; `count`: none. */
static uint32_t find_leaver(const struct sight *sight,
                            bool (*may)(const struct sight *sight, uint32_t at))
{
    uint32_t found = sight->members->count;
    for (uint32_t i = 0; i < sight->members->count; i++) {
        const struct raft_member *member = &sight->members->members[i];
        if (member->is_voter && !is_wanted(sight, member->node) &&
            may(sight, i) &&
            (found == sight->members->count || !is_up(sight, i))) {
            found = i;
        }
    }
    return found;
}

/* While others are still to be promoted an even number of voters becomes odd
 * again: so one goes for one that has come. */
static bool remove_unwanted_voter(const struct sight *sight,
                                  struct reconcile_step *out)
{
    uint32_t at = find_leaver(sight, may_leave);
    if (at == sight->members->count ||
        (sight->voter_count % 2 != 0 && !sight->are_wanted_voters)) {
        return false;
    }
    *out = removal(sight, at, "a replica is not wanted any more");
    return true;
}

/* When nobody else fits in, one goes before the one that replaces it; the
 * others must bear that one more fails. */
static bool may_make_room(const struct sight *sight, uint32_t at)
{
    uint32_t good = count_good_voters(sight) - is_good(sight, at);
    return !is_self(sight, at) && good > (sight->voter_count - 1) / 2 + 1;
}

static bool make_room(const struct sight *sight, struct reconcile_step *out)
{
    uint32_t at = find_leaver(sight, may_make_room);
    if (at == sight->members->count) {
        return false;
    }
    *out = removal(sight, at, "a replica makes room for a new one");
    return true;
}

static bool add_wanted(const struct sight *sight, struct reconcile_step *out)
{
    for (uint32_t i = 0; i < sight->state->wanted_count; i++) {
        uint32_t wanted = sight->state->wanted[i];
        const struct reconcile_node *node = node_of(sight, wanted);
        if (member_on(sight->members, wanted) < sight->members->count ||
            !node || !node->is_up || node->disk_id == 0) {
            continue;
        }
        if (sight->members->count == RAFT_MEMBERS_MAX) {
            return make_room(sight, out);
        }
        *out = reconfigure(sight, "a new replica is added");
        out->next.members[out->next.count++] =
            (struct raft_member){.number = out->next.next_number++,
                                 .node = wanted,
                                 .disk_id = node->disk_id};
        return true;
    }
    return false;
}

static bool promote(const struct sight *sight, struct reconcile_step *out)
{
    for (uint32_t i = 0; i < sight->members->count; i++) {
        if (!sight->members->members[i].is_voter && is_good(sight, i)) {
            *out = reconfigure(sight, "a replica has caught up: it votes");
            out->next.members[i].is_voter = true;
            return true;
        }
    }
    return false;
}

static bool begin(const struct sight *sight, struct reconcile_step *out)
{
    for (uint32_t i = 0; i < sight->members->count; i++) {
        const struct raft_member *member = &sight->members->members[i];
        if (!member->is_voter && !sight->state->facts[i].is_begun &&
            is_up(sight, i)) {
            *out = (struct reconcile_step){.kind = RECONCILE_BEGIN,
                                           .node = member->node,
                                           .number = member->number,
                                           .why = "a new replica begins"};
            return true;
        }
    }
    return false;
}

/* Whether this one of `wanted` may lead now. */
static bool hand_over_to(const struct sight *sight,
                         uint32_t wanted,
                         struct reconcile_step *out)
{
    uint32_t at = member_on(sight->members, wanted);
    if (at == sight->members->count || is_self(sight, at) ||
        !sight->members->members[at].is_voter || !is_good(sight, at)) {
        return false;
    }
    *out = (struct reconcile_step){.kind = RECONCILE_TRANSFER,
                                   .node = wanted,
                                   .number = sight->members->members[at].number,
                                   .why = "another shall lead"};
    return true;
}

static bool hand_over(const struct sight *sight, struct reconcile_step *out)
{
    const struct reconcile_state *state = sight->state;
    uint32_t self_node =
        raft_configuration_find(sight->members, state->self)->node;
    if (is_wanted(sight, self_node)) {
        return !state->keeps_leader && self_node != state->wanted[0] &&
               hand_over_to(sight, state->wanted[0], out);
    }
    for (uint32_t i = 0; i < state->wanted_count; i++) {
        if (hand_over_to(sight, state->wanted[i], out)) {
            return true;
        }
    }
    return false;
}

/* Why this one of `wanted` is not a voter yet; NULL: it is. */
static const char *what_holds_up(const struct sight *sight, uint32_t wanted)
{
    const struct raft_configuration *members = sight->members;
    const struct reconcile_node *node = node_of(sight, wanted);
    uint32_t at = member_on(members, wanted);
    if (at < members->count && members->members[at].is_voter) {
        return NULL;
    }
    if (!node || !node->is_up) {
        return "a node that shall have a replica is away";
    }
    if (at < members->count) {
        return "a new replica catches up";
    }
    return node->disk_id == 0 ? "a node has not said which disk it has"
                              : "there is no room for a new replica";
}

/* Why nothing can be done although something is to be done; NULL: nothing
 * is. */
static const char *what_is_missing(const struct sight *sight)
{
    const struct reconcile_state *state = sight->state;
    for (uint32_t i = 0; i < state->wanted_count; i++) {
        const char *why = what_holds_up(sight, state->wanted[i]);
        if (why) {
            return why;
        }
    }
    if (!sight->are_wanted_up) {
        return "a node that has a replica is away";
    }
    if (state->members->count > state->wanted_count) {
        return "a replica stays until the others have all";
    }
    uint32_t self_node =
        raft_configuration_find(state->members, state->self)->node;
    return state->keeps_leader || self_node == state->wanted[0]
               ? NULL
               : "the owner does not have all yet";
}

static struct reconcile_step step_of(const struct sight *sight)
{
    struct reconcile_step step;
    if (remove_lost(sight, &step) || remove_unwanted_learners(sight, &step) ||
        add_wanted(sight, &step) || remove_unwanted_voter(sight, &step) ||
        promote(sight, &step) || begin(sight, &step)) {
        return step;
    }
    bool is_full = sight->members->count == RAFT_MEMBERS_MAX;
    if ((sight->are_wanted_voters || is_full) && hand_over(sight, &step)) {
        return step; /* full: perhaps it is the leader who must make room */
    }
    const char *why = what_is_missing(sight);
    return why ? wait_for(why)
               : (struct reconcile_step){.kind = RECONCILE_NOTHING,
                                         .why = "all is as it shall be"};
}

struct reconcile_step reconcile(const struct reconcile_state *state)
{
    assert(state->wanted_count <= RECONCILE_WANTED_MAX);
    assert(state->members->count <= RAFT_MEMBERS_MAX);
    if (!state->is_committed) {
        return wait_for("a change of the members is under way");
    }
    if (state->wanted_count == 0) {
        return wait_for("the map places it nowhere");
    }
    if (!raft_configuration_has_voter(state->members, state->self)) {
        return wait_for("who leads it leaves");
    }
    struct sight sight = look(state);
    struct reconcile_step step = step_of(&sight);
    assert(step.kind != RECONCILE_RECONFIGURE ||
           raft_configuration_check_next(state->members, &step.next) ==
               ERR_NONE);
    return step;
}
