#include "shard/reconcile.h"

#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_COUNT 12
#define NUMBERS_MAX 4096
#define SEED_COUNT 1000
#define ROUNDS_MAX 4000 /* until a quiet group is as it shall be */

/* ---- single decisions ---- */

/* A group as its leader sees it: all is well unless a test says otherwise. */
struct fixture {
    struct raft_configuration members;
    struct reconcile_node nodes[NODE_COUNT];
    struct reconcile_state state;
};

static uint64_t disk_of(uint32_t node)
{
    return 1000 + node;
}

static const struct reconcile_node *find_node(const void *context,
                                              uint32_t number)
{
    const struct fixture *fixture = context;
    return number < NODE_COUNT ? &fixture->nodes[number] : NULL;
}

/* Voters 1 to `voter_count` on nodes 0 and up; they are wanted, 1 leads. */
static struct fixture *begin(uint32_t voter_count)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture);
    fixture->members = (struct raft_configuration){
        .next_number = voter_count + 1, .count = voter_count};
    fixture->state = (struct reconcile_state){.members = &fixture->members,
                                              .is_committed = true,
                                              .self = 1,
                                              .wanted_count = voter_count,
                                              .node = find_node,
                                              .context = fixture};
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        fixture->nodes[i] = (struct reconcile_node){
            .number = i, .is_up = true, .disk_id = disk_of(i)};
    }
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        fixture->state.facts[i] =
            (struct reconcile_member){.is_begun = true, .is_caught_up = true};
    }
    for (uint32_t i = 0; i < voter_count; i++) {
        fixture->members.members[i] =
            (struct raft_member){.number = i + 1,
                                 .node = i,
                                 .disk_id = disk_of(i),
                                 .is_voter = true};
        fixture->state.wanted[i] = i;
    }
    return fixture;
}

static void want(struct fixture *fixture,
                 uint32_t count,
                 const uint32_t *wanted)
{
    fixture->state.wanted_count = count;
    memcpy(fixture->state.wanted, wanted, count * sizeof *wanted);
}

#define WANT(fixture, ...)                                                \
    want((fixture), sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), \
         (uint32_t[]){__VA_ARGS__})

/* One more member; returns its place. */
static uint32_t add_member(struct fixture *fixture, uint32_t node, bool votes)
{
    uint32_t at = fixture->members.count++;
    fixture->members.members[at] =
        (struct raft_member){.number = fixture->members.next_number++,
                             .node = node,
                             .disk_id = disk_of(node),
                             .is_voter = votes};
    return at;
}

static struct reconcile_step step_of(struct fixture *fixture,
                                     enum reconcile_kind kind)
{
    struct reconcile_step step = reconcile(&fixture->state);
    if (step.kind != kind) {
        print_error("kind %d, expected %d: %s\n", step.kind, kind, step.why);
    }
    CHECK(step.kind == kind);
    CHECK(step.why);
    return step;
}

/* That the only change is that `number` is no member any more. */
static void check_removes(struct fixture *fixture, uint64_t number)
{
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    CHECK(step.next.count == fixture->members.count - 1);
    CHECK(raft_configuration_find(&fixture->members, number));
    CHECK(!raft_configuration_find(&step.next, number));
    CHECK(step.next.next_number == fixture->members.next_number);
}

static void check_waits(struct fixture *fixture, const char *word)
{
    struct reconcile_step step = step_of(fixture, RECONCILE_WAIT);
    if (!strstr(step.why, word)) {
        print_error("\"%s\" does not say \"%s\"\n", step.why, word);
    }
    CHECK(strstr(step.why, word));
}

static void does_nothing_when_all_is_as_it_shall_be(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    step_of(fixture, RECONCILE_NOTHING);
    free(fixture);
}

static void waits_while_a_change_is_under_way(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 5);
    fixture->state.is_committed = false;
    check_waits(fixture, "under way");
    free(fixture);
}

static void waits_when_it_leads_and_does_not_belong(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->state.self = 77;
    check_waits(fixture, "leaves");
    free(fixture);
}

static void removes_nobody_when_nobody_is_wanted(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->state.wanted_count = 0;
    check_waits(fixture, "nowhere");
    free(fixture);
}

static void removes_a_replica_whose_node_says_that_it_is_lost(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->state.facts[2].is_lost = true;
    check_removes(fixture, 3);
    free(fixture);
}

static void removes_a_replica_whose_node_has_another_disk(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->nodes[1].disk_id++;
    check_removes(fixture, 2);
    free(fixture);
}

static void believes_no_disk_that_is_not_known(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->nodes[1].disk_id = 0;
    step_of(fixture, RECONCILE_NOTHING);
    fixture->nodes[1].disk_id = disk_of(1);
    fixture->members.members[1].disk_id = 0;
    step_of(fixture, RECONCILE_NOTHING);
    free(fixture);
}

static void believes_nothing_of_a_node_that_is_away(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->nodes[1] = (struct reconcile_node){.number = 1, .disk_id = 7};
    fixture->state.facts[1].is_lost = true;
    check_waits(fixture, "away");
    free(fixture);
}

static void never_removes_itself_as_lost(void **state)
{
    (void)state;
    struct fixture *fixture = begin(1);
    fixture->nodes[0].disk_id++;
    fixture->state.facts[0].is_lost = true;
    step_of(fixture, RECONCILE_NOTHING);
    free(fixture);
}

static void keeps_a_lost_voter_when_the_others_could_not_agree(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->state.facts[2].is_lost = true;
    fixture->nodes[1].is_up = false;
    check_waits(fixture, "away");
    free(fixture);
}

static void adds_a_lost_replica_again_under_a_new_number(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    fixture->nodes[2].disk_id = 4711;
    fixture->members = step_of(fixture, RECONCILE_RECONFIGURE).next;
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    const struct raft_member *member = raft_configuration_find(&step.next, 4);
    CHECK(member && member->node == 2 && member->disk_id == 4711);
    CHECK(!member->is_voter);
    CHECK(step.next.next_number == 5);
    free(fixture);
}

static void adds_who_is_wanted_as_one_that_does_not_vote(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 2, 5);
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    const struct raft_member *member = raft_configuration_find(&step.next, 4);
    CHECK(step.next.count == 4);
    CHECK(step.next.next_number == 5);
    CHECK(member && member->node == 5 && member->disk_id == disk_of(5));
    CHECK(!member->is_voter);
    free(fixture);
}

static void adds_nobody_who_is_away_or_whose_disk_is_unknown(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 2, 5);
    fixture->nodes[5].is_up = false;
    check_waits(fixture, "away");
    fixture->nodes[5].is_up = true;
    fixture->nodes[5].disk_id = 0;
    check_waits(fixture, "which disk");
    WANT(fixture, 0, 1, 2, NODE_COUNT);
    check_waits(fixture, "away");
    free(fixture);
}

static void has_a_new_replica_begin_until_it_has(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 2, 5);
    uint32_t at = add_member(fixture, 5, false);
    fixture->state.facts[at] = (struct reconcile_member){0};
    struct reconcile_step step = step_of(fixture, RECONCILE_BEGIN);
    CHECK(step.node == 5 && step.number == 4);
    fixture->nodes[5].is_up = false;
    check_waits(fixture, "away");
    fixture->nodes[5].is_up = true;
    fixture->state.facts[at].is_begun = true;
    check_waits(fixture, "catches up");
    free(fixture);
}

static void promotes_who_has_caught_up(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 2, 5);
    add_member(fixture, 5, false);
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    CHECK(step.next.count == 4);
    CHECK(raft_configuration_has_voter(&step.next, 4));
    fixture->nodes[5].is_up = false;
    check_waits(fixture, "away");
    free(fixture);
}

static void one_that_cannot_begin_holds_up_nobody(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 2, 5, 6);
    uint32_t at = add_member(fixture, 5, false);
    fixture->state.facts[at] = (struct reconcile_member){0};
    add_member(fixture, 6, false);
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    CHECK(raft_configuration_has_voter(&step.next, 5));
    CHECK(!raft_configuration_has_voter(&step.next, 4));
    free(fixture);
}

static void removes_what_does_not_vote_and_is_not_wanted_at_once(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    add_member(fixture, 5, false);
    add_member(fixture, 6, false);
    struct reconcile_step step = step_of(fixture, RECONCILE_RECONFIGURE);
    CHECK(step.next.count == 3);
    CHECK(raft_configuration_voter_count(&step.next) == 3);
    free(fixture);
}

static void replaces_one_by_promoting_first_and_removing_then(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 0, 1, 5);
    fixture->members = step_of(fixture, RECONCILE_RECONFIGURE).next;
    CHECK(fixture->members.count == 4);
    fixture->members = step_of(fixture, RECONCILE_RECONFIGURE).next;
    CHECK(raft_configuration_voter_count(&fixture->members) == 4);
    check_removes(fixture, 3);
    free(fixture);
}

static void replaces_all_one_after_the_other(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 5, 6, 7);
    for (uint32_t i = 0; i < 3 + 5; i++) {
        fixture->members = step_of(fixture, RECONCILE_RECONFIGURE).next;
        CHECK(raft_configuration_voter_count(&fixture->members) <= 4);
        CHECK(raft_configuration_voter_count(&fixture->members) >= 3);
    }
    CHECK(fixture->members.count == 4); /* and its leader */
    struct reconcile_step step = step_of(fixture, RECONCILE_TRANSFER);
    CHECK(step.node == 5);
    fixture->state.self = step.number;
    check_removes(fixture, 1);
    free(fixture);
}

static void keeps_an_old_voter_while_another_is_away(void **state)
{
    (void)state;
    struct fixture *fixture = begin(4);
    WANT(fixture, 0, 1, 2);
    fixture->nodes[2].is_up = false;
    check_waits(fixture, "away");
    fixture->nodes[2].is_up = true;
    fixture->state.facts[2].is_caught_up = false;
    check_waits(fixture, "stays");
    fixture->state.facts[2].is_caught_up = true;
    check_removes(fixture, 4);
    free(fixture);
}

static void removes_a_voter_that_is_away_when_it_is_replaced(void **state)
{
    (void)state;
    struct fixture *fixture = begin(6);
    WANT(fixture, 0, 1, 2, 3, 4);
    fixture->nodes[4].is_up = false; /* wanted */
    fixture->nodes[5].is_up = false;
    check_removes(fixture, 6);
    free(fixture);
}

static void removes_who_is_away_before_who_is_there(void **state)
{
    (void)state;
    struct fixture *fixture = begin(5);
    WANT(fixture, 0, 1, 2);
    fixture->nodes[4].is_up = false;
    check_removes(fixture, 5);
    free(fixture);
}

static void a_leader_that_is_not_wanted_hands_over_last(void **state)
{
    (void)state;
    struct fixture *fixture = begin(5);
    fixture->state.keeps_leader = true;
    WANT(fixture, 2, 1, 3);
    check_removes(fixture, 5);
    fixture->members.count = 4;
    CHECK(step_of(fixture, RECONCILE_TRANSFER).number == 3);
    fixture->state.facts[2].is_caught_up = false; /* the owner */
    CHECK(step_of(fixture, RECONCILE_TRANSFER).number == 2);
    free(fixture);
}

static void hands_over_to_the_owner(void **state)
{
    (void)state;
    struct fixture *fixture = begin(3);
    WANT(fixture, 2, 0, 1);
    struct reconcile_step step = step_of(fixture, RECONCILE_TRANSFER);
    CHECK(step.number == 3 && step.node == 2);
    fixture->state.facts[2].is_caught_up = false;
    check_waits(fixture, "owner");
    fixture->nodes[2].is_up = false;
    check_waits(fixture, "away");
    fixture->nodes[2].is_up = true;
    fixture->state.keeps_leader = true;
    step_of(fixture, RECONCILE_NOTHING);
    free(fixture);
}

static void makes_room_when_all_places_are_taken(void **state)
{
    (void)state;
    struct fixture *fixture = begin(RAFT_MEMBERS_MAX);
    WANT(fixture, 0, 1, 2, 3, 4, 5, 6, 7, 9);
    check_removes(fixture, 9);
    for (uint32_t i = 1; i < 4; i++) {
        fixture->nodes[i].is_up = false; /* the others could bear no more */
    }
    check_waits(fixture, "no room");
    free(fixture);
}

/* ---- a group that lives ---- */

struct home {
    bool is_up;
    uint64_t disk_id;
    uint64_t number; /* of the replica it has; 0: none */
    uint64_t lost;   /* of the replica that its log lost; 0: none */
    uint32_t lag;    /* rounds until it has what is committed */
};

struct model {
    struct seeded seeded;
    struct home homes[NODE_COUNT];
    struct raft_configuration committed;
    struct raft_configuration next; /* under way when `commit_at` is not 0 */
    uint32_t commit_at;             /* round */
    uint32_t change_count;          /* committed */
    uint64_t leader;                /* 0: none */
    uint32_t round;
    uint32_t wanted[RECONCILE_WANTED_MAX];
    uint32_t wanted_count;
    bool keeps_leader;
    struct reconcile_node nodes[NODE_COUNT];
    uint32_t order_at; /* round in which `order` is carried out; 0: none */
    struct reconcile_step order;
    uint32_t order_of; /* the change after which it was given */
    uint32_t node_of_number[NUMBERS_MAX]; /* plus 1; 0: not used yet */
    bool is_gone[NUMBERS_MAX];            /* it was a member */
};

static uint32_t below(struct model *model, uint32_t bound)
{
    return (uint32_t)seeded_below(&model->seeded, bound);
}

static bool chance(struct model *model, uint32_t percent)
{
    return below(model, 100) < percent;
}

static struct home *home_of(struct model *model,
                            const struct raft_member *member)
{
    return &model->homes[member->node];
}

/* It is there and remembers all that it has promised. */
static bool is_alive(struct model *model, const struct raft_member *member)
{
    struct home *home = home_of(model, member);
    return home->is_up && home->disk_id == member->disk_id &&
           home->number == member->number;
}

static bool is_healthy(struct model *model, const struct raft_member *member)
{
    return is_alive(model, member) && home_of(model, member)->lag == 0;
}

static uint32_t count_voters(struct model *model,
                             const struct raft_configuration *members,
                             bool (*is)(struct model *model,
                                        const struct raft_member *member))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        count +=
            members->members[i].is_voter && is(model, &members->members[i]);
    }
    return count;
}

static bool has_quorum(struct model *model,
                       const struct raft_configuration *members)
{
    return count_voters(model, members, is_alive) >
           raft_configuration_voter_count(members) / 2;
}

static bool is_wanted(const struct model *model, uint32_t node)
{
    for (uint32_t i = 0; i < model->wanted_count; i++) {
        if (model->wanted[i] == node) {
            return true;
        }
    }
    return false;
}

/* Some nodes, each once. */
static void want_others(struct model *model)
{
    uint32_t count = 1 + 2 * below(model, 3);
    if (chance(model, 15)) {
        count = 1 + below(model, RECONCILE_WANTED_MAX);
    }
    model->wanted_count = 0;
    model->keeps_leader = chance(model, 30);
    while (model->wanted_count < count) {
        uint32_t node = below(model, NODE_COUNT);
        if (!is_wanted(model, node)) {
            model->wanted[model->wanted_count++] = node;
        }
    }
}

static void found(struct model *model)
{
    want_others(model);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        model->homes[i] = (struct home){.is_up = true, .disk_id = disk_of(i)};
    }
    model->committed.next_number = 1;
    for (uint32_t i = 0; i < model->wanted_count; i++) {
        uint32_t node = model->wanted[i];
        uint64_t number = model->committed.next_number++;
        model->committed.members[model->committed.count++] =
            (struct raft_member){.number = number,
                                 .node = node,
                                 .disk_id = disk_of(node),
                                 .is_voter = true};
        model->homes[node].number = number;
        model->node_of_number[number] = node + 1;
    }
}

/* What is newest: that is what counts, committed or not. */
static const struct raft_configuration *newest(const struct model *model)
{
    return model->commit_at ? &model->next : &model->committed;
}

/* ---- what goes wrong in it ---- */

/* As many more can be lost as the group, as it is and as it may become, can
 * bear. */
static bool may_lose(struct model *model,
                     const struct raft_configuration *members,
                     uint32_t node)
{
    uint32_t voters = raft_configuration_voter_count(members);
    uint32_t sound = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct home *home = home_of(model, member);
        sound += member->is_voter && member->node != node &&
                 home->disk_id == member->disk_id &&
                 home->number == member->number;
    }
    return sound > voters / 2;
}

static void lose(struct model *model, uint32_t node)
{
    struct home *home = &model->homes[node];
    if (!may_lose(model, &model->committed, node) ||
        !may_lose(model, newest(model), node) || model->order_at) {
        return;
    }
    if (chance(model, 50)) {
        home->disk_id += 100;
        home->lost = 0;
    } else if (home->number) {
        home->lost = home->number;
    }
    home->number = 0;
}

static void disturb(struct model *model)
{
    uint32_t node = below(model, NODE_COUNT);
    if (chance(model, 10)) {
        model->homes[node].is_up = !model->homes[node].is_up;
    }
    if (chance(model, 4)) {
        lose(model, node);
    }
    if (chance(model, 3)) {
        want_others(model);
    }
    if (chance(model, 5) && model->homes[node].number &&
        model->homes[node].number != model->leader) {
        model->homes[node].lag = below(model, 30);
    }
}

/* ---- how it goes on ---- */

static void take_note(struct model *model)
{
    const struct raft_configuration *next = &model->next;
    for (uint32_t i = 0; i < model->committed.count; i++) {
        uint64_t number = model->committed.members[i].number;
        model->is_gone[number] = !raft_configuration_find(next, number);
    }
    for (uint32_t i = 0; i < next->count; i++) {
        const struct raft_member *member = &next->members[i];
        uint32_t known = model->node_of_number[member->number];
        CHECK(known == 0 || known == member->node + 1);
        CHECK(!model->is_gone[member->number]);
        model->node_of_number[member->number] = member->node + 1;
    }
    model->committed = *next;
    model->commit_at = 0;
    model->change_count++;
}

static void elect(struct model *model)
{
    const struct raft_member *leader =
        raft_configuration_find(newest(model), model->leader);
    if (leader && leader->is_voter && is_alive(model, leader) &&
        has_quorum(model, newest(model))) {
        return;
    }
    model->leader = 0;
    if (model->commit_at && chance(model, 50)) {
        model->commit_at = 0; /* no majority had it: it is rolled back */
    }
    if (!has_quorum(model, newest(model))) {
        return;
    }
    uint32_t start = below(model, RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < newest(model)->count && !model->leader; i++) {
        const struct raft_member *member =
            &newest(model)->members[(start + i) % newest(model)->count];
        if (member->is_voter && is_healthy(model, member)) {
            model->leader = member->number;
        }
    }
}

static void go_on(struct model *model)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        struct home *home = &model->homes[i];
        home->lag -= home->is_up && home->lag > 0;
        if (home->is_up && home->number && model->is_gone[home->number]) {
            home->number = 0; /* dropped: it has left */
        }
    }
    if (model->commit_at && model->round >= model->commit_at && model->leader &&
        has_quorum(model, &model->next)) {
        take_note(model);
    }
    elect(model);
}

/* ---- carrying out what is decided ---- */

static void check_change(struct model *model,
                         const struct raft_configuration *next)
{
    const struct raft_configuration *members = &model->committed;
    CHECK_OK(raft_configuration_check_next(members, next));
    CHECK(has_quorum(model, next));
    CHECK(raft_configuration_has_voter(next, model->leader));
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        bool leaves = !raft_configuration_find(next, member->number);
        CHECK(leaves || raft_configuration_has_voter(next, member->number) ||
              !member->is_voter); /* nobody loses his vote and stays */
        bool is_lost =
            home_of(model, member)->is_up && !is_alive(model, member);
        if (leaves && member->is_voter && !is_lost) {
            CHECK(!is_wanted(model, member->node));
            CHECK(members->count == RAFT_MEMBERS_MAX ||
                  raft_configuration_voter_count(next) >= model->wanted_count);
            CHECK(members->count == RAFT_MEMBERS_MAX ||
                  !is_alive(model, member) ||
                  count_voters(model, next, is_healthy) >= model->wanted_count);
        }
    }
}

/* How the leader's Raft takes it: whoever shall vote must have all. */
static bool is_refused(struct model *model,
                       const struct raft_configuration *next)
{
    for (uint32_t i = 0; i < next->count; i++) {
        const struct raft_member *member = &next->members[i];
        if (member->is_voter && !is_healthy(model, member) &&
            !raft_configuration_has_voter(&model->committed, member->number)) {
            return true;
        }
    }
    return !has_quorum(model, next);
}

static void begin_replica(struct model *model,
                          const struct reconcile_step *step)
{
    struct home *home = &model->homes[step->node];
    const struct raft_member *member =
        raft_configuration_find(&model->committed, step->number);
    if (home->is_up && member && home->disk_id == member->disk_id &&
        home->lost != step->number && home->number != step->number) {
        CHECK(!member->is_voter);
        home->number = step->number;
        home->lost = 0;
        home->lag = 1 + below(model, 20);
    }
}

/* By now the leader may be another, and the members too. */
static void carry_out(struct model *model)
{
    const struct reconcile_step *step = &model->order;
    model->order_at = 0;
    if (step->kind == RECONCILE_BEGIN) {
        begin_replica(model, step);
    }
    if (!model->leader || model->commit_at ||
        model->order_of != model->change_count) {
        return;
    }
    if (step->kind == RECONCILE_RECONFIGURE &&
        !is_refused(model, &step->next)) {
        model->next = step->next;
        model->commit_at = model->round + 1 + below(model, 10);
    }
    const struct raft_member *to =
        raft_configuration_find(&model->committed, step->number);
    if (step->kind == RECONCILE_TRANSFER && to && is_healthy(model, to)) {
        model->leader = to->number;
    }
}

static const struct reconcile_node *node_in_model(const void *context,
                                                  uint32_t number)
{
    const struct model *model = context;
    return &model->nodes[number];
}

static struct reconcile_state see(struct model *model)
{
    struct reconcile_state state = {
        .members = newest(model),
        .is_committed = model->commit_at == 0,
        .self = model->leader,
        .wanted_count = model->wanted_count,
        .keeps_leader = model->keeps_leader,
        .node = node_in_model,
        .context = model,
    };
    memcpy(state.wanted, model->wanted, sizeof state.wanted);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        model->nodes[i] =
            (struct reconcile_node){.number = i,
                                    .is_up = model->homes[i].is_up,
                                    .disk_id = model->homes[i].disk_id};
    }
    for (uint32_t i = 0; i < state.members->count; i++) {
        const struct raft_member *member = &state.members->members[i];
        const struct home *home = home_of(model, member);
        state.facts[i] = (struct reconcile_member){
            .is_begun = home->number == member->number,
            .is_caught_up = is_healthy(model, member),
            .is_lost = home->lost == member->number,
        };
    }
    return state;
}

static enum reconcile_kind decide(struct model *model)
{
    struct reconcile_state state = see(model);
    struct reconcile_step step = reconcile(&state);
    if (step.kind == RECONCILE_RECONFIGURE) {
        check_change(model, &step.next);
    }
    if (step.kind == RECONCILE_TRANSFER) {
        CHECK(is_healthy(
            model, raft_configuration_find(&model->committed, step.number)));
        CHECK(step.number != model->leader);
    }
    if (step.kind >= RECONCILE_RECONFIGURE && !chance(model, 10)) {
        model->order = step; /* else it is lost on its way */
        model->order_of = model->change_count;
        model->order_at = model->round + 1 + below(model, 5);
    }
    return step.kind;
}

/* True: nothing is to be done. */
static bool play_round(struct model *model)
{
    model->round++;
    go_on(model);
    if (model->order_at && model->round >= model->order_at) {
        carry_out(model);
    }
    return model->leader && !model->order_at &&
           decide(model) == RECONCILE_NOTHING;
}

static void check_is_as_wanted(struct model *model)
{
    const struct raft_configuration *members = &model->committed;
    CHECK(members->count == model->wanted_count);
    for (uint32_t i = 0; i < members->count; i++) {
        CHECK(members->members[i].is_voter);
        CHECK(is_wanted(model, members->members[i].node));
        CHECK(is_alive(model, &members->members[i]));
    }
    uint32_t leader = raft_configuration_find(members, model->leader)->node;
    CHECK(leader == model->wanted[0] || model->keeps_leader);
}

static void settle(struct model *model)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        model->homes[i].is_up = true;
    }
    for (uint32_t i = 0; i < ROUNDS_MAX; i++) {
        if (play_round(model)) {
            check_is_as_wanted(model);
            return;
        }
    }
    struct reconcile_state state = see(model);
    print_error("leader %d, %s\n", (int)model->leader,
                model->leader ? reconcile(&state).why : "-");
    fail_msg("it does not come to be as wanted");
}

static void play(uint64_t seed)
{
    struct model *model = calloc(1, sizeof *model);
    CHECK(model);
    model->seeded.state = seed;
    found(model);
    for (uint32_t k = 0; k < 5; k++) {
        for (uint32_t i = 0; i < 200; i++) {
            disturb(model);
            (void)play_round(model);
        }
        settle(model);
    }
    CHECK(model->committed.next_number < NUMBERS_MAX);
    free(model);
}

static void any_group_comes_to_be_as_wanted(void **state)
{
    uint64_t *seed = *state;
    for (*seed = 1; *seed <= SEED_COUNT; (*seed)++) {
        play(*seed);
    }
}

static int begin_seeds(void **state)
{
    *state = calloc(1, sizeof(uint64_t));
    return *state ? 0 : -1;
}

static int end_seeds(void **state)
{
    uint64_t *seed = *state;
    if (*seed <= SEED_COUNT) {
        print_error("it was seed %d\n", (int)*seed);
    }
    free(seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_nothing_when_all_is_as_it_shall_be),
        cmocka_unit_test(waits_while_a_change_is_under_way),
        cmocka_unit_test(waits_when_it_leads_and_does_not_belong),
        cmocka_unit_test(removes_nobody_when_nobody_is_wanted),
        cmocka_unit_test(removes_a_replica_whose_node_says_that_it_is_lost),
        cmocka_unit_test(removes_a_replica_whose_node_has_another_disk),
        cmocka_unit_test(believes_no_disk_that_is_not_known),
        cmocka_unit_test(believes_nothing_of_a_node_that_is_away),
        cmocka_unit_test(never_removes_itself_as_lost),
        cmocka_unit_test(keeps_a_lost_voter_when_the_others_could_not_agree),
        cmocka_unit_test(adds_a_lost_replica_again_under_a_new_number),
        cmocka_unit_test(adds_who_is_wanted_as_one_that_does_not_vote),
        cmocka_unit_test(adds_nobody_who_is_away_or_whose_disk_is_unknown),
        cmocka_unit_test(has_a_new_replica_begin_until_it_has),
        cmocka_unit_test(promotes_who_has_caught_up),
        cmocka_unit_test(one_that_cannot_begin_holds_up_nobody),
        cmocka_unit_test(removes_what_does_not_vote_and_is_not_wanted_at_once),
        cmocka_unit_test(replaces_one_by_promoting_first_and_removing_then),
        cmocka_unit_test(replaces_all_one_after_the_other),
        cmocka_unit_test(keeps_an_old_voter_while_another_is_away),
        cmocka_unit_test(removes_a_voter_that_is_away_when_it_is_replaced),
        cmocka_unit_test(removes_who_is_away_before_who_is_there),
        cmocka_unit_test(a_leader_that_is_not_wanted_hands_over_last),
        cmocka_unit_test(hands_over_to_the_owner),
        cmocka_unit_test(makes_room_when_all_places_are_taken),
        cmocka_unit_test_setup_teardown(any_group_comes_to_be_as_wanted,
                                        begin_seeds, end_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
