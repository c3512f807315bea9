#include "shard/counter_map.h"

#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <stdlib.h>
#include <string.h>

#define OUTCOMES_MAX 4096
#define OUTCOME_ROOM 64

/* A leader's machine, what it has logged, and a replica's. */
struct fixture {
    struct counter_map *map;
    struct machine machine;
    struct counter_map *other_map;
    struct machine other;
    uint8_t log[OUTCOMES_MAX][OUTCOME_ROOM];
    size_t lengths[OUTCOMES_MAX];
    size_t log_count;
    size_t applied_count;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct counter_map_config config = {.result_count_max = 3};
    fixture->map = counter_map_open(&config);
    fixture->machine = counter_map_machine(fixture->map);
    fixture->other_map = counter_map_open(&config);
    fixture->other = counter_map_machine(fixture->other_map);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    counter_map_close(&fixture->map);
    counter_map_close(&fixture->other_map);
    free(fixture);
    return 0;
}

/* Decide, and log the outcome, if any. */
static struct counter_reply decide(struct fixture *fixture,
                                   const struct counter_command *command)
{
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    uint8_t buffer[COUNTER_REPLY_BYTES];
    struct counter_reply reply = {0};
    struct machine_stamp stamp = {0};
    assert_true(fixture->log_count < OUTCOMES_MAX);
    struct machine_decision decision = {
        .outcome = writer_of(fixture->log[fixture->log_count], OUTCOME_ROOM),
        .reply = writer_of(buffer, sizeof buffer)};
    CHECK_OK(fixture->machine.decide(fixture->machine.context, &stamp,
                                     counter_command_encode(bytes, command),
                                     &decision));
    size_t length = writer_bytes(&decision.outcome).length;
    if (length > 0) {
        fixture->lengths[fixture->log_count++] = length;
    }
    CHECK(counter_reply_decode(&reply, writer_bytes(&decision.reply)));
    return reply;
}

static int64_t add(struct fixture *fixture, uint64_t key, int64_t value)
{
    return decide(fixture, &(struct counter_command){.kind = COUNTER_ADD,
                                                     .key = key,
                                                     .value = value})
        .value;
}

static void apply_to(struct fixture *fixture,
                     const struct machine *machine,
                     size_t i)
{
    struct machine_stamp stamp = {0};
    CHECK_OK(machine->apply(machine->context, i + 1, &stamp,
                            bytes_of(fixture->log[i], fixture->lengths[i])));
}

/* Commit all that is logged, at both. */
static void apply_all(struct fixture *fixture)
{
    for (; fixture->applied_count < fixture->log_count;
         fixture->applied_count++) {
        apply_to(fixture, &fixture->machine, fixture->applied_count);
        apply_to(fixture, &fixture->other, fixture->applied_count);
    }
}

static void decides_on_what_was_decided_before(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(add(fixture, 0, 5), 5);
    assert_int_equal(add(fixture, 0, 2), 7);
    assert_int_equal(counter_map_value(fixture->map, 0), 0);
    assert_int_equal(counter_map_count(fixture->map), 0);
    apply_all(fixture);
    assert_int_equal(counter_map_value(fixture->map, 0), 7);
    assert_int_equal(counter_map_value(fixture->other_map, 0), 7);
    assert_int_equal(counter_map_count(fixture->other_map), 1);
}

static void forgets_speculation_when_it_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 7, 5);
    apply_all(fixture);
    add(fixture, 7, 10);
    add(fixture, 8, 1);
    decide(fixture, &(struct counter_command){.kind = COUNTER_ADD,
                                              .key = 9,
                                              .value = 1,
                                              .idempotency_key = 77});
    fixture->machine.drop(fixture->machine.context);
    fixture->log_count = fixture->applied_count;
    assert_int_equal(add(fixture, 7, 1), 6);
    assert_int_equal(add(fixture, 8, 1), 1);
    struct counter_reply reply = decide(
        fixture,
        &(struct counter_command){
            .kind = COUNTER_ADD, .key = 9, .value = 4, .idempotency_key = 77});
    assert_int_equal(reply.value, 4); /* nothing remembered */
    apply_all(fixture);
    assert_int_equal(counter_map_count(fixture->map), 3);
}

static void what_another_leader_logged_ends_speculation(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 7, 5);
    apply_to(fixture, &fixture->machine, 0);
    apply_to(fixture, &fixture->machine, 0); /* once more, from another */
    fixture->machine.drop(fixture->machine.context);
    assert_int_equal(add(fixture, 7, 1), 6);
}

static void compares_and_sets(void **state)
{
    struct fixture *fixture = *state;
    struct counter_command command = {
        .kind = COUNTER_COMPARE_AND_SET, .key = 3, .expected = 0, .value = 9};
    struct counter_reply reply = decide(fixture, &command);
    CHECK(reply.is_done);
    assert_int_equal(reply.value, 9);
    reply = decide(fixture, &command);
    CHECK(!reply.is_done);
    assert_int_equal(reply.value, 9);
    assert_int_equal(fixture->log_count, 1); /* failure changes nothing */
}

static void a_doubled_command_gets_the_same_answer(void **state)
{
    struct fixture *fixture = *state;
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = 1, .value = 2, .idempotency_key = 11};
    assert_int_equal(decide(fixture, &command).value, 2);
    assert_int_equal(decide(fixture, &command).value, 2); /* speculative */
    apply_all(fixture);
    add(fixture, 1, 100);
    assert_int_equal(decide(fixture, &command).value, 2);
    assert_int_equal(fixture->log_count, 2);
    apply_all(fixture);
    assert_int_equal(counter_map_value(fixture->map, 1), 102);
}

static void a_failed_comparison_is_remembered_by_its_key(void **state)
{
    struct fixture *fixture = *state;
    struct counter_command command = {.kind = COUNTER_COMPARE_AND_SET,
                                      .key = 1,
                                      .expected = 5,
                                      .value = 6,
                                      .idempotency_key = 12};
    CHECK(!decide(fixture, &command).is_done);
    apply_all(fixture);
    assert_int_equal(counter_map_count(fixture->map), 0);
    add(fixture, 1, 5);
    CHECK(!decide(fixture, &command).is_done);
}

static void keeps_the_newest_results_only(void **state)
{
    struct fixture *fixture = *state;
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = 1, .value = 1};
    for (uint64_t i = 1; i <= 4; i++) {
        command.idempotency_key = i;
        decide(fixture, &command);
    }
    apply_all(fixture);
    command.idempotency_key = 2; /* the oldest of the three that are kept */
    decide(fixture, &command);
    assert_int_equal(fixture->log_count, 4);
    command.idempotency_key = 1; /* forgotten */
    assert_int_equal(decide(fixture, &command).value, 5);
    apply_all(fixture);
    assert_int_equal(counter_map_digest(fixture->map),
                     counter_map_digest(fixture->other_map));
}

static void a_decision_without_room_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    uint8_t small[8];
    struct machine_stamp stamp = {0};
    struct machine_decision decision = {
        .outcome = writer_of(small, sizeof small),
        .reply = writer_of(small, sizeof small)};
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = 1, .value = 1, .idempotency_key = 5};
    CHECK_ERR(fixture->machine.decide(fixture->machine.context, &stamp,
                                      counter_command_encode(bytes, &command),
                                      &decision),
              ERR_TOO_LARGE);
    assert_int_equal(decide(fixture, &command).value, 1);
}

static void refuses_what_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    struct machine_stamp stamp = {0};
    struct machine_decision decision = {0};
    struct writer answer = {0};
    uint8_t bytes[OUTCOME_ROOM] = {9};
    const struct machine *machine = &fixture->machine;
    CHECK_ERR(machine->decide(machine->context, &stamp, bytes_of(bytes, 5),
                              &decision),
              ERR_MALFORMED);
    CHECK_ERR(machine->apply(machine->context, 1, &stamp, bytes_of(bytes, 25)),
              ERR_MALFORMED);
    bytes[0] = 1;
    CHECK_ERR(machine->apply(machine->context, 1, &stamp, bytes_of(bytes, 24)),
              ERR_MALFORMED);
    CHECK_ERR(machine->read(machine->context, bytes_of(bytes, 3), &answer),
              ERR_MALFORMED);
}

/* Pieces of `piece_bytes`, but not the one numbered `left_out`. */
static enum err copy_snapshot(struct fixture *fixture,
                              size_t piece_bytes,
                              size_t left_out)
{
    uint8_t piece[256];
    const struct machine *from = &fixture->machine;
    const struct machine *to = &fixture->other;
    CHECK_OK(to->restore_begin(to->context));
    for (size_t i = 0;; i++) {
        struct writer writer = writer_of(piece, piece_bytes);
        CHECK_OK(from->snapshot_next(from->context, &writer));
        struct bytes bytes = writer_bytes(&writer);
        if (bytes.length == 0) {
            break;
        }
        if (i != left_out) {
            CHECK_OK(to->restore_piece(to->context, bytes));
        }
    }
    return to->restore_end(to->context, true);
}

static void a_snapshot_is_of_when_it_was_begun(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t key = 1; key < 6; key++) {
        decide(fixture, &(struct counter_command){.kind = COUNTER_ADD,
                                                  .key = key,
                                                  .value = 1,
                                                  .idempotency_key = key});
        apply_to(fixture, &fixture->machine, fixture->log_count - 1);
    }
    for (uint64_t key = 0; key < 200; key++) {
        add(fixture, key * key, (int64_t)key);
        apply_to(fixture, &fixture->machine, fixture->log_count - 1);
    }
    uint64_t digest = counter_map_digest(fixture->map);
    CHECK_OK(fixture->machine.snapshot_begin(fixture->machine.context));
    add(fixture, 4, 1000);
    apply_to(fixture, &fixture->machine, fixture->log_count - 1);
    CHECK_OK(copy_snapshot(fixture, 40, SIZE_MAX));
    fixture->machine.snapshot_end(fixture->machine.context);
    assert_int_equal(counter_map_digest(fixture->other_map), digest);
    CHECK(counter_map_digest(fixture->map) != digest);
    apply_to(fixture, &fixture->other, fixture->log_count - 1);
    assert_int_equal(counter_map_digest(fixture->map),
                     counter_map_digest(fixture->other_map));
}

static void an_empty_snapshot_replaces_all(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1, 1);
    apply_to(fixture, &fixture->other, 0);
    fixture->machine.drop(fixture->machine.context);
    CHECK_OK(fixture->machine.snapshot_begin(fixture->machine.context));
    CHECK_OK(copy_snapshot(fixture, 64, SIZE_MAX));
    fixture->machine.snapshot_end(fixture->machine.context);
    assert_int_equal(counter_map_count(fixture->other_map), 0);
}

static void a_lost_piece_is_noticed_and_the_old_state_stays(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1000, 1);
    apply_all(fixture);
    uint64_t before = counter_map_digest(fixture->other_map);
    for (uint64_t key = 0; key < 20; key++) {
        add(fixture, key, 3);
        apply_to(fixture, &fixture->machine, fixture->log_count - 1);
    }
    CHECK_OK(fixture->machine.snapshot_begin(fixture->machine.context));
    CHECK_ERR(copy_snapshot(fixture, 64, 2), ERR_MALFORMED);
    fixture->machine.snapshot_end(fixture->machine.context);
    assert_int_equal(counter_map_digest(fixture->other_map), before);
}

static void a_restore_that_is_broken_off_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *other = &fixture->other;
    uint8_t piece[256];
    add(fixture, 1, 1);
    apply_all(fixture);
    uint64_t before = counter_map_digest(fixture->other_map);
    add(fixture, 2, 2);
    apply_to(fixture, &fixture->machine, 1);
    struct writer writer = writer_of(piece, sizeof piece);
    CHECK_OK(fixture->machine.snapshot_begin(fixture->machine.context));
    CHECK_OK(fixture->machine.snapshot_next(fixture->machine.context, &writer));
    fixture->machine.snapshot_end(fixture->machine.context);
    CHECK_OK(other->restore_begin(other->context));
    CHECK_OK(other->restore_piece(other->context, writer_bytes(&writer)));
    CHECK_OK(other->restore_end(other->context, false));
    assert_int_equal(counter_map_digest(fixture->other_map), before);
}

static void any_cut_or_changed_piece_is_refused_or_read(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *other = &fixture->other;
    uint8_t piece[256];
    struct seeded seeded = {.state = 3};
    add(fixture, 1, 1);
    add(fixture, 2, 1);
    apply_all(fixture);
    struct writer writer = writer_of(piece, sizeof piece);
    CHECK_OK(fixture->machine.snapshot_begin(fixture->machine.context));
    CHECK_OK(fixture->machine.snapshot_next(fixture->machine.context, &writer));
    fixture->machine.snapshot_end(fixture->machine.context);
    size_t length = writer_bytes(&writer).length;
    for (size_t cut = 0; cut < length; cut++) {
        CHECK_OK(other->restore_begin(other->context));
        enum err err =
            other->restore_piece(other->context, bytes_of(piece, cut));
        CHECK(other->restore_end(other->context, true) || err);
        CHECK(err == ERR_NONE || err == ERR_MALFORMED);
    }
    for (int i = 0; i < 2000; i++) {
        uint8_t changed[256];
        memcpy(changed, piece, length);
        changed[seeded_below(&seeded, length)] ^=
            (uint8_t)(1u << seeded_below(&seeded, 8));
        CHECK_OK(other->restore_begin(other->context));
        enum err err =
            other->restore_piece(other->context, bytes_of(changed, length));
        CHECK(err == ERR_NONE || err == ERR_MALFORMED);
        err = other->restore_end(other->context, err == ERR_NONE);
        CHECK(err == ERR_NONE || err == ERR_MALFORMED);
    }
}

static void replicas_stay_equal_whatever_is_done(void **state)
{
    struct fixture *fixture = *state;
    struct seeded seeded = {.state = 4};
    int64_t model[50] = {0};
    for (int i = 0; i < 3000; i++) {
        uint64_t key = seeded_below(&seeded, 50);
        int64_t value = (int64_t)seeded_below(&seeded, 9);
        /* Keys of results come back after they were forgotten, too. */
        uint64_t idempotency_key = seeded_below(&seeded, 8);
        size_t before = fixture->log_count;
        struct counter_reply reply =
            decide(fixture, &(struct counter_command){.kind = COUNTER_ADD,
                                                      .key = key,
                                                      .value = value,
                                                      .idempotency_key =
                                                          idempotency_key});
        if (fixture->log_count > before) {
            model[key] += value;
            assert_int_equal(reply.value, model[key]);
        }
        if (seeded_below(&seeded, 4) == 0) {
            apply_all(fixture);
            assert_int_equal(counter_map_digest(fixture->map),
                             counter_map_digest(fixture->other_map));
        }
    }
    apply_all(fixture);
    for (uint64_t key = 0; key < 50; key++) {
        assert_int_equal(counter_map_value(fixture->other_map, key),
                         model[key]);
    }
}

static void answers_questions_from_what_is_applied(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    uint8_t buffer[COUNTER_REPLY_BYTES];
    struct counter_reply reply;
    add(fixture, 6, 5);
    apply_all(fixture);
    add(fixture, 6, 5);
    struct writer answer = writer_of(buffer, sizeof buffer);
    struct bytes question = counter_command_encode(
        bytes, &(struct counter_command){.kind = COUNTER_READ, .key = 6});
    CHECK_OK(
        fixture->machine.read(fixture->machine.context, question, &answer));
    CHECK(counter_reply_decode(&reply, writer_bytes(&answer)));
    assert_int_equal(reply.value, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(decides_on_what_was_decided_before),
        TEST(forgets_speculation_when_it_is_dropped),
        TEST(what_another_leader_logged_ends_speculation),
        TEST(compares_and_sets),
        TEST(a_doubled_command_gets_the_same_answer),
        TEST(a_failed_comparison_is_remembered_by_its_key),
        TEST(keeps_the_newest_results_only),
        TEST(a_decision_without_room_changes_nothing),
        TEST(refuses_what_is_malformed),
        TEST(a_snapshot_is_of_when_it_was_begun),
        TEST(an_empty_snapshot_replaces_all),
        TEST(a_lost_piece_is_noticed_and_the_old_state_stays),
        TEST(a_restore_that_is_broken_off_changes_nothing),
        TEST(any_cut_or_changed_piece_is_refused_or_read),
        TEST(replicas_stay_equal_whatever_is_done),
        TEST(answers_questions_from_what_is_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
