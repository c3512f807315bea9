/*
 * Random schedules: everything that can happen to a group, in any order, with
 * all invariants checked after each event. In the end all is healed, and then
 * everybody must agree within a bounded time.
 *
 * RAFT_SEED=n runs one seed only, RAFT_SEEDS=n the first n.
 */

#include "store/raft_configuration.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdlib.h>

#define SEED_COUNT 300
#define STEP_COUNT 2000
#define PACKETS_MAX 200 /* more are lost */
#define HEALING_MS (20 * HARNESS_ELECTION_MS)

struct run {
    struct harness harness;
    struct seeded seeded;
    uint64_t value;
    bool may_lose_state; /* then the members stay the same */
};

static uint64_t below(struct run *run, uint64_t bound)
{
    return seeded_below(&run->seeded, bound);
}

/* Any replica that runs; 0: the one that was drawn does not. */
static uint64_t draw(struct run *run)
{
    uint64_t number = 1 + below(run, run->harness.replica_count);
    return harness_raft(&run->harness, number) ? number : 0;
}

/* Somebody who thinks that it leads. */
static uint64_t draw_leader(struct run *run)
{
    uint64_t number = draw(run);
    if (number == 0 ||
        raft_role(harness_raft(&run->harness, number)) != RAFT_LEADER) {
        number = harness_leader(&run->harness);
    }
    return number;
}

/* ---- what can happen ---- */

static void deliver_some(struct run *run)
{
    struct harness *harness = &run->harness;
    for (uint64_t count = below(run, 8); count > 0; count--) {
        if (harness->packet_count > 0) {
            bool is_in_order = below(run, 4) > 0;
            harness_deliver_at(
                harness, is_in_order ? 0 : below(run, harness->packet_count));
        }
    }
}

static void disturb_messages(struct run *run)
{
    struct harness *harness = &run->harness;
    if (harness->packet_count == 0) {
        return;
    }
    size_t i = below(run, harness->packet_count);
    if (below(run, 2) == 0) {
        harness_drop_at(harness, i);
    } else {
        harness_duplicate_at(harness, i);
    }
}

static void pass_time(struct run *run)
{
    struct harness *harness = &run->harness;
    harness_wait(harness, below(run, 2 * HARNESS_TICK_MS));
    for (uint64_t i = 1; i <= harness->replica_count; i++) {
        if (below(run, 8) > 0) {
            harness_tick(harness, i);
        }
        if (below(run, 4) == 0) {
            harness_heartbeat(harness, i);
        }
    }
}

static void crash_or_restart(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t number = 1 + below(run, harness->replica_count);
    if (harness_raft(harness, number)) {
        if (below(run, 4) == 0) {
            harness_crash(harness, number);
        }
        return;
    }
    bool is_one_lost = false;
    for (uint64_t i = 1; i <= harness->replica_count; i++) {
        is_one_lost = is_one_lost || harness_replica(harness, i)->is_state_lost;
    }
    if (!is_one_lost && run->may_lose_state && below(run, 8) == 0) {
        harness_lose_state(harness, number);
    }
    harness_restart(harness, number);
}

static void use_disk(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t number = draw(run);
    if (number == 0) {
        return;
    }
    struct replica *replica = harness_replica(harness, number);
    if (below(run, 10) == 0) {
        replica->is_disk_slow = below(run, 4) == 0;
    }
    uint64_t left = replica->record_count - replica->durable_count;
    if (left > 0) {
        harness_store_to(harness, number,
                         replica->durable_count + 1 + below(run, left));
    }
}

static void propose(struct run *run)
{
    uint64_t leader = draw_leader(run);
    if (leader != 0) {
        for (uint64_t count = below(run, 4); count > 0; count--) {
            enum err err = harness_propose(&run->harness, leader, ++run->value);
            CHECK(err == ERR_NONE || err == ERR_BUSY);
        }
    }
}

/* A next configuration, which may be refused. */
static struct raft_configuration draw_configuration(struct run *run,
                                                    uint64_t leader)
{
    struct harness *harness = &run->harness;
    struct raft_configuration next =
        *raft_newest_configuration(harness_raft(harness, leader));
    uint64_t i = below(run, next.count);
    uint64_t number = next.members[i].number;
    if (below(run, 3) == 0 && next.count < 6 &&
        harness->replica_count + 1 < HARNESS_REPLICAS_MAX) {
        return harness_with(next, harness_add(harness), false);
    }
    if (!next.members[i].is_voter) {
        return harness_with(next, number, true);
    }
    return raft_configuration_voter_count(&next) > 3
               ? harness_without(next, number)
               : next;
}

static void reconfigure(struct run *run)
{
    uint64_t leader = draw_leader(run);
    if (leader == 0 || run->may_lose_state) {
        return;
    }
    struct raft_configuration next = draw_configuration(run, leader);
    enum err err = harness_reconfigure(&run->harness, leader, &next);
    CHECK(err == ERR_NONE || err == ERR_BUSY || err == ERR_INVALID ||
          err == ERR_UNREACHABLE);
}

static void hand_over(struct run *run)
{
    uint64_t leader = draw_leader(run);
    if (leader != 0) {
        enum err err = harness_transfer(
            &run->harness, leader, 1 + below(run, run->harness.replica_count));
        CHECK(err == ERR_NONE || err == ERR_BUSY || err == ERR_INVALID);
    }
}

static void read_something(struct run *run)
{
    uint64_t leader = draw_leader(run);
    if (leader != 0) {
        enum err err = harness_read(&run->harness, leader);
        CHECK(err == ERR_NONE || err == ERR_BUSY || err == ERR_FULL);
        harness_flush(&run->harness, leader);
    }
}

static void compact(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t number = draw(run);
    if (number == 0) {
        return;
    }
    const struct replica *replica = harness_replica(harness, number);
    uint64_t commit = raft_commit_index(replica->raft);
    if (!replica->is_state_lost && replica->applied > 0 && commit > 0) {
        uint64_t most = replica->applied < commit ? replica->applied : commit;
        harness_compact(harness, number, most - below(run, most) / 4);
    }
}

static void install(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t number = draw(run);
    if (number != 0 && harness_replica(harness, number)->installing) {
        (void)harness_install(harness, number);
    } else if (number != 0) {
        uint64_t leader = draw_leader(run);
        if (leader != 0 && leader != number) {
            harness_send_snapshot(harness, leader, number);
        }
    }
}

static void hint(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t number = draw(run);
    uint64_t other = 1 + below(run, harness->replica_count);
    if (number != 0 && below(run, 2) == 0) {
        harness_node_lost(harness, number, other);
    } else if (number != 0) {
        harness_node_found(harness, number, other);
    }
}

static void cut_or_heal(struct run *run)
{
    struct harness *harness = &run->harness;
    uint64_t left = 1 + below(run, harness->replica_count);
    uint64_t right = 1 + below(run, harness->replica_count);
    switch (below(run, 6)) {
    case 0:
        harness_isolate(harness, left, true);
        break;
    case 1:
        harness_cut(harness, left, right, true);
        break;
    case 2:
        harness->is_cut[left][right] = true; /* one way */
        break;
    default:
        harness_heal(harness);
        break;
    }
}

static const struct {
    void (*happen)(struct run *run);
    uint64_t weight;
} events[] = {
    {deliver_some, 500},    {pass_time, 150},  {disturb_messages, 60},
    {use_disk, 100},        {propose, 100},    {read_something, 20},
    {compact, 10},          {install, 10},     {hint, 10},
    {cut_or_heal, 8},       {reconfigure, 10}, {hand_over, 4},
    {crash_or_restart, 20},
};

static void step(struct run *run)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        sum += events[i].weight;
    }
    uint64_t drawn = below(run, sum);
    size_t i = 0;
    for (; drawn >= events[i].weight; i++) {
        drawn -= events[i].weight;
    }
    events[i].happen(run);
    while (run->harness.packet_count > PACKETS_MAX) {
        harness_drop_at(&run->harness, below(run, run->harness.packet_count));
    }
}

/* ---- the end ---- */

static void heal(struct run *run)
{
    struct harness *harness = &run->harness;
    harness_heal(harness);
    harness->config.is_snapshot_manual = false;
    for (uint64_t i = 1; i <= harness->replica_count; i++) {
        struct replica *replica = harness_replica(harness, i);
        replica->is_disk_slow = false;
        if (!replica->raft) {
            harness_restart(harness, i);
        }
        if (replica->installing) {
            (void)harness_install(harness, i);
        }
        harness_store(harness, i);
    }
}

/* All members have all that the leader has, and have applied it. */
static bool are_agreed(struct harness *harness)
{
    uint64_t leader = harness_leader(harness);
    if (leader == 0) {
        return false;
    }
    uint64_t last = harness_last(harness, leader);
    const struct raft_configuration *members =
        raft_newest_configuration(harness_raft(harness, leader));
    for (uint32_t i = 0; i < members->count; i++) {
        const struct replica *replica =
            harness_replica(harness, members->members[i].number);
        if (raft_commit_index(replica->raft) != last ||
            replica->applied != last || replica->is_state_lost ||
            raft_leader(replica->raft) != leader) {
            return false;
        }
    }
    return true;
}

static void fail_seed(const struct run *run, uint64_t seed, const char *what)
{
    print_error("RAFT_SEED=%" PRIu64 ": %s %s\n", seed, what,
                run->harness.violation);
    for (uint64_t i = 1; i <= run->harness.replica_count; i++) {
        const struct replica *replica = &run->harness.replicas[i];
        const struct raft *raft = replica->raft;
        if (raft) {
            print_error(
                "  %" PRIu64 ": role %d term %" PRIu64 " leader %" PRIu64
                " last %" PRIu64 " stable %" PRIu64 " commit %" PRIu64
                " applied %" PRIu64 " snapshot %" PRIu64 " lost %d\n",
                i, (int)raft_role(raft), raft_term(raft), raft_leader(raft),
                raft_last_index(raft), raft_stable_index(raft),
                raft_commit_index(raft), replica->applied,
                raft_snapshot_index(raft), replica->is_state_lost);
        }
    }
    fail();
}

static uint64_t run_seed(uint64_t seed)
{
    struct run run = {.seeded = {.state = seed}};
    struct harness *harness = &run.harness;
    harness_open(harness,
                 &(struct harness_config){
                     .voter_count = (uint32_t)(1 + below(&run, 5)),
                     .inflight_count_max = (uint32_t)(1 + below(&run, 5)),
                     .append_bytes_max = 8 + below(&run, 200),
                     .keep_bytes = below(&run, 2) * 1000,
                     .seed = seed,
                     .is_snapshot_manual = below(&run, 2) == 0});
    /* One without its state cannot lead. If it has the longest log, the others
     * must be able to elect somebody without it: so not one of two, and not
     * while some of them count with other members than the others. */
    run.may_lose_state = harness->config.voter_count > 2 && below(&run, 3) == 0;
    for (uint32_t i = 0; i < STEP_COUNT; i++) {
        step(&run);
        if (harness->violation[0] != '\0') {
            fail_seed(&run, seed, "");
        }
    }
    heal(&run);
    uint64_t healed_ns = harness->now_ns;
    uint64_t proposed = 0;
    for (;;) {
        harness_run(harness, HARNESS_HEARTBEAT_MS);
        uint64_t leader = harness_leader(harness);
        if (proposed == 0 && leader != 0 &&
            harness_propose(harness, leader, 0) == ERR_NONE) {
            proposed = harness_last(harness, leader);
        }
        if (harness->violation[0] != '\0') {
            fail_seed(&run, seed, "");
        }
        if (proposed > 0 && are_agreed(harness)) {
            break;
        }
        if (harness->now_ns - healed_ns > HEALING_MS * HARNESS_MS) {
            fail_seed(&run, seed, "no agreement in time");
        }
    }
    uint64_t committed = harness->truth_count - 1;
    harness_close(harness);
    return committed;
}

static void random_schedules_keep_all_promises(void **state)
{
    (void)state;
    const char *text = getenv("RAFT_SEED");
    if (text) {
        (void)run_seed(strtoull(text, NULL, 10));
        return;
    }
    const char *count = getenv("RAFT_SEEDS");
    uint64_t seed_count = count ? strtoull(count, NULL, 10) : SEED_COUNT;
    uint64_t committed = 0;
    for (uint64_t seed = 1; seed <= seed_count; seed++) {
        committed += run_seed(seed);
    }
    print_message("%" PRIu64 " entries committed\n", committed);
    CHECK(committed > seed_count * 30); /* else little was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_keep_all_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
