/* How an agent steals: what it asks of whom, and when. */

#include "shard/task_agent.h"

#include "base/time_units.h"
#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <string.h>

#define SELF 0
#define NODES 3 /* we, and two that may be stolen from */
#define WORKERS 8
#define WANTED (2 * WORKERS) /* while nothing is known of the rate */
#define TRIP_MS 20

struct fixture {
    struct agent *agent;
    struct task_pool pool;
    struct clock clock;
    struct workers workers;
    struct seeded seeded;
    struct entropy entropy;
    uint64_t now_ns;
    struct run *runs; /* oldest first */
    struct run **last_run;
    uint64_t next_id;
    uint64_t granted[NODES]; /* in all, as was said last */
    uint64_t given[NODES];
    uint32_t asked[NODES]; /* how often */
};

static uint64_t on_now(void *context)
{
    return ((struct fixture *)context)->now_ns;
}

static int64_t on_wall(void *context)
{
    return (int64_t)(on_now(context) / NS_PER_MS);
}

static void set_pools(void *context, const struct task_pools *pools)
{
    (void)context;
    (void)pools;
}

static void start(void *context, struct run *run)
{
    struct fixture *fixture = context;
    run->next = NULL;
    *fixture->last_run = run;
    fixture->last_run = &run->next;
}

static void cancel(void *context, struct run *run)
{
    (void)context;
    (void)run;
}

static bool hear(void *context, uint32_t node, struct bytes message)
{
    struct fixture *fixture = context;
    struct reader reader = reader_of(message);
    if (task_message_read(&reader) == TASK_CREDIT) {
        (void)pack_read_str(&reader);
        fixture->granted[node] = pack_read_uint(&reader);
        fixture->asked[node] += pack_read_bool(&reader);
    }
    return true;
}

static void each_node(void *context,
                      void (*visit)(void *context, uint32_t node),
                      void *visit_context)
{
    (void)context;
    for (uint32_t i = 0; i < NODES; i++) {
        visit(visit_context, i);
    }
}

static void wake(void *context)
{
    (void)context;
}

static void set_up(struct fixture *fixture)
{
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    *fixture = (struct fixture){.now_ns = NS_PER_S,
                                .clock = {fixture, on_now, on_wall},
                                .workers = {.context = fixture,
                                            .set_pools = set_pools,
                                            .start = start,
                                            .cancel = cancel}};
    fixture->last_run = &fixture->runs;
    fixture->entropy = seeded_entropy(&fixture->seeded);
    const struct agent_home home = {.context = fixture,
                                    .clock = &fixture->clock,
                                    .entropy = &fixture->entropy,
                                    .workers = &fixture->workers,
                                    .send = hear,
                                    .each_node = each_node,
                                    .wake = wake};
    task_pool_defaults(&fixture->pool);
    memcpy(fixture->pool.name, "work", sizeof "work");
    fixture->pool.workers = WORKERS;
    const struct task_pools pools = {.list = &fixture->pool, .count = 1};
    CHECK_OK(agent_open(&fixture->agent, &home, &limits));
    agent_set_self(fixture->agent, SELF);
    CHECK_OK(agent_set_pools(fixture->agent, &pools));
    agent_turn_end(fixture->agent);
}

static void tear_down(struct fixture *fixture)
{
    agent_close(&fixture->agent);
}

/* The bus says that so many are ready there. */
static void tell_load(struct fixture *fixture, uint32_t node, uint64_t ready)
{
    uint8_t buffer[64];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 1);
    pack_array(&writer, 2);
    pack_text(&writer, "work");
    pack_uint(&writer, ready);
    struct reader reader = reader_of(writer_bytes(&writer));
    agent_on_load(fixture->agent, node, &reader);
    agent_turn_end(fixture->agent);
}

static void assign(struct fixture *fixture,
                   uint32_t node,
                   uint64_t count,
                   uint64_t ready)
{
    struct task_parcel parcel = {0};
    CHECK_OK(task_parcel_room(&parcel, 64 + 64 * count));
    pack_array(&parcel.writer, 4);
    pack_uint(&parcel.writer, TASK_ASSIGN);
    pack_text(&parcel.writer, "work");
    task_parcel_begin(&parcel);
    for (uint64_t i = 0; i < count; i++) {
        const struct task_assignment assignment = {
            .id = ++fixture->next_id, .token = UINT64_C(1) << 32, .attempt = 1};
        task_assignment_encode(&assignment, &parcel.writer);
        parcel.count++;
    }
    fixture->given[node] += count;
    (void)task_parcel_end(&parcel);
    pack_uint(&parcel.writer, ready);
    CHECK_OK(agent_receive(fixture->agent, node, writer_bytes(&parcel.writer)));
    task_parcel_free(&parcel);
    agent_turn_end(fixture->agent);
}

static void tell_dry(struct fixture *fixture, uint32_t node)
{
    uint8_t buffer[64];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 2);
    pack_uint(&writer, TASK_DRY);
    pack_text(&writer, "work");
    CHECK_OK(agent_receive(fixture->agent, node, writer_bytes(&writer)));
    agent_turn_end(fixture->agent);
}

/* So many runs end, at most; each result is recorded at once. */
static uint64_t work(struct fixture *fixture, uint64_t count)
{
    uint64_t done = 0;
    for (; fixture->runs && done < count; done++) {
        struct run *run = fixture->runs;
        const uint64_t id = run->task;
        const uint64_t token = run->token;
        fixture->runs = run->next;
        fixture->last_run = fixture->runs ? fixture->last_run : &fixture->runs;
        run->done(run, &(struct run_result){.status = RUN_DONE, .why = ""});
        uint8_t buffer[64];
        struct writer writer = writer_of(buffer, sizeof buffer);
        pack_array(&writer, 2);
        pack_uint(&writer, TASK_ACK);
        pack_array(&writer, 1);
        pack_array(&writer, 3);
        pack_uint(&writer, id);
        pack_uint(&writer, token);
        pack_bool(&writer, true);
        CHECK_OK(agent_receive(fixture->agent, 1, writer_bytes(&writer)));
    }
    agent_turn_end(fixture->agent);
    return done;
}

static uint64_t under_way(const struct fixture *fixture, uint32_t node)
{
    return fixture->granted[node] - fixture->given[node];
}

static void asks_for_more_before_it_has_run_out(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    tell_load(&fixture, 1, 1000);
    assert_int_equal(fixture.granted[1], WANTED);
    assign(&fixture, 1, WANTED, 1000);
    assert_int_equal(fixture.asked[1], 1); /* it has enough */
    (void)work(&fixture, WANTED / 2);
    assert_int_equal(under_way(&fixture, 1), WANTED / 2);
    (void)work(&fixture, WANTED / 2); /* the first are not here yet */
    assert_int_equal(under_way(&fixture, 1), WANTED);
    assert_int_equal(fixture.asked[1], 3);
    assign(&fixture, 1, WANTED / 2, 1000);
    assert_int_equal(under_way(&fixture, 1), WANTED / 2); /* never more */
    tear_down(&fixture);
}

static void leaves_half_to_other_thieves(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    tell_load(&fixture, 1, 10);
    assert_int_equal(fixture.granted[1], 5);
    agent_turn_end(fixture.agent);
    assert_int_equal(fixture.granted[1], 5); /* also while it waits for them */
    assign(&fixture, 1, 5, 5);
    assert_int_equal(under_way(&fixture, 1), 3);
    tear_down(&fixture);
}

static void asks_another_when_one_has_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    tell_load(&fixture, 1, 1000);
    tell_load(&fixture, 2, 10);
    assert_int_equal(fixture.granted[1], WANTED);
    assert_int_equal(fixture.granted[2], 0); /* all is on its way */
    tell_dry(&fixture, 1);
    assert_int_equal(fixture.granted[2], 5);
    tell_load(&fixture, 1, 1000);
    assert_int_equal(fixture.asked[1], 1); /* not so soon */
    assert_int_equal(agent_stats(fixture.agent)->dry, 1);
    tear_down(&fixture);
}

static void what_is_left_of_a_victim_is_asked_of_others(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    tell_load(&fixture, 1, 1000);
    tell_load(&fixture, 2, 1000);
    uint32_t first = fixture.granted[1] > 0 ? 1 : 2;
    uint32_t other = 3 - first;
    assign(&fixture, first, 2, 0); /* others were faster */
    assert_int_equal(fixture.granted[other], WANTED - 2);
    tear_down(&fixture);
}

/* Nodes far away: what they give is on its way for longer than the agent keeps
 * work for. */
static void fills_a_long_way(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t asked[TRIP_MS] = {0}; /* what arrives there, ms by ms */
    uint64_t done = 0;             /* in the last second */
    set_up(&fixture);
    tell_load(&fixture, 1, UINT32_MAX);
    for (uint32_t ms = 0; ms < 3000; ms++) {
        uint64_t granted = asked[ms % TRIP_MS];
        asked[ms % TRIP_MS] = fixture.granted[1];
        fixture.now_ns += NS_PER_MS;
        if (granted > fixture.given[1]) {
            assign(&fixture, 1, granted - fixture.given[1], UINT32_MAX);
        }
        done = (ms == 2000 ? 0 : done) + work(&fixture, UINT64_MAX);
    }
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    assert_true(done > (uint64_t)limits.ahead_max * 1000 / TRIP_MS / 2);
    tear_down(&fixture);
}

/* So many milliseconds with a result in each, while a node gives what it is
 * asked for at once. Returns how many were held here, at most. */
static uint64_t work_on(struct fixture *fixture, uint32_t node, uint32_t ms)
{
    uint64_t held_max = 0;
    for (uint32_t i = 0; i < ms; i++) {
        fixture->now_ns += NS_PER_MS;
        (void)work(fixture, 1);
        if (under_way(fixture, node) > 0) {
            assign(fixture, node, under_way(fixture, node), 1000);
        }
        uint64_t held = 0;
        for (const struct run *run = fixture->runs; run; run = run->next) {
            held++;
        }
        held_max = held > held_max ? held : held_max;
    }
    return held_max;
}

/* What others got instead was not on its way here. */
static void what_never_came_is_not_timed(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    tell_load(&fixture, 1, 1000);
    assign(&fixture, 1, WANTED, 1000);
    (void)work(&fixture, WANTED / 2);
    assign(&fixture, 1, WANTED / 4, 1000);
    (void)work(&fixture, WANTED / 2);
    assert_int_equal(under_way(&fixture, 1), WANTED * 3 / 4);
    assign(&fixture, 1, 2, 0);
    tell_load(&fixture, 2, 1000);
    (void)work_on(&fixture, 2, 1000);
    tell_load(&fixture, 2, 0);
    tell_load(&fixture, 1, 1000);
    assert_true(work_on(&fixture, 1, 100) < 2 * WANTED);
    tear_down(&fixture);
}

static void asks_for_nothing_when_it_leaves(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    agent_leave(fixture.agent);
    tell_load(&fixture, 1, 1000);
    assert_int_equal(fixture.asked[1], 0);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_more_before_it_has_run_out),
        cmocka_unit_test(leaves_half_to_other_thieves),
        cmocka_unit_test(asks_another_when_one_has_nothing),
        cmocka_unit_test(what_is_left_of_a_victim_is_asked_of_others),
        cmocka_unit_test(fills_a_long_way),
        cmocka_unit_test(what_never_came_is_not_timed),
        cmocka_unit_test(asks_for_nothing_when_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
