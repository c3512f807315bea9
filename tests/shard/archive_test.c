/*
 * A leader's machine and a follower's, around a map of counters each: what the
 * leader decides, both apply.
 */

#include "shard/archive.h"
#include "shard/archive_export.h"

#include "tests/support/check.h"

#include "base/time_units.h"
#include "shard/counter_map.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"

#include <stdlib.h>
#include <string.h>

#define ROOM (2 * ARCHIVE_PIECE_BYTES_MAX)
#define LOG_MAX 512
#define PIECES_MAX 64
#define RESULTS 1000

struct replica {
    struct counter_map *map;
    struct archive *archive;
    struct machine machine;
    size_t applied; /* of the log */
};

struct outcome {
    uint8_t *data;
    size_t length;
    int64_t wall_ms;
};

struct pieces {
    uint8_t *data[PIECES_MAX];
    size_t length[PIECES_MAX];
    uint32_t count;
    uint64_t digest;
    uint64_t index;
};

struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct replica leader;
    struct replica follower;
    struct outcome log[LOG_MAX];
    size_t log_count;
    struct pieces pieces; /* of an export */
    uint8_t outcome[ROOM];
    uint8_t reply[ROOM];
    uint8_t command[ROOM];
    uint64_t session; /* the newest restore */
};

/* ---- what is done ---- */

static void open_replica(struct fixture *fixture, struct replica *replica)
{
    replica->map = counter_map_open(
        &(struct counter_map_config){.result_count_max = RESULTS});
    assert_non_null(replica->map);
    struct machine inner = counter_map_machine(replica->map);
    replica->archive = archive_open(&inner, &fixture->clock);
    assert_non_null(replica->archive);
    replica->machine = archive_machine(replica->archive);
}

static void close_replica(struct replica *replica)
{
    archive_close(&replica->archive);
    counter_map_close(&replica->map);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->fake = (struct fake_clock){.now_ns = NS_PER_S, .wall_ms = 1000000};
    fixture->clock = fake_clock_table(&fixture->fake);
    open_replica(fixture, &fixture->leader);
    open_replica(fixture, &fixture->follower);
    *state = fixture;
    return 0;
}

static void clear_pieces(struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        free(pieces->data[i]);
    }
    *pieces = (struct pieces){0};
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < fixture->log_count; i++) {
        free(fixture->log[i].data);
    }
    clear_pieces(&fixture->pieces);
    close_replica(&fixture->leader);
    close_replica(&fixture->follower);
    free(fixture);
    return 0;
}

static struct bytes copy_of(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.length + 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.length);
    return bytes_of(copy, bytes.length);
}

static enum err decide(struct fixture *fixture,
                       struct bytes command,
                       struct bytes *reply)
{
    struct machine_stamp stamp = {.wall_ms = fixture->fake.wall_ms};
    struct machine_decision decision = {
        .outcome = writer_of(fixture->outcome, ROOM),
        .reply = writer_of(fixture->reply, ROOM)};
    const struct machine *machine = &fixture->leader.machine;
    enum err err =
        machine->decide(machine->context, &stamp, command, &decision);
    struct bytes outcome = writer_bytes(&decision.outcome);
    *reply = writer_bytes(&decision.reply);
    if (!err && outcome.length > 0) {
        assert_true(fixture->log_count < LOG_MAX);
        struct bytes copy = copy_of(outcome);
        fixture->log[fixture->log_count++] =
            (struct outcome){.data = (uint8_t *)(uintptr_t)copy.data,
                             .length = copy.length,
                             .wall_ms = stamp.wall_ms};
    }
    return err;
}

static enum err apply_next(struct fixture *fixture, struct replica *replica)
{
    const struct outcome *outcome = &fixture->log[replica->applied++];
    struct machine_stamp stamp = {.wall_ms = outcome->wall_ms};
    return replica->machine.apply(replica->machine.context, replica->applied,
                                  &stamp,
                                  bytes_of(outcome->data, outcome->length));
}

static void apply_to(struct fixture *fixture, struct replica *replica)
{
    while (replica->applied < fixture->log_count) {
        CHECK_OK(apply_next(fixture, replica));
    }
}

static void apply(struct fixture *fixture)
{
    apply_to(fixture, &fixture->leader);
    apply_to(fixture, &fixture->follower);
}

static struct bytes write_command(uint8_t to[static 1 + COUNTER_COMMAND_BYTES],
                                  const struct counter_command *command)
{
    struct bytes bytes = counter_command_encode(to + 1, command);
    to[0] = ARCHIVE_FOR_MACHINE;
    return bytes_of(to, bytes.length + 1);
}

static enum err try_add(struct fixture *fixture, uint64_t key, int64_t value)
{
    struct bytes reply;
    uint8_t buffer[1 + COUNTER_COMMAND_BYTES];
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = key, .value = value};
    return decide(fixture, write_command(buffer, &command), &reply);
}

static void add(struct fixture *fixture, uint64_t key, int64_t value)
{
    CHECK_OK(try_add(fixture, key, value));
    apply(fixture);
}

static struct bytes write_ask(struct fixture *fixture,
                              const struct archive_ask *ask)
{
    struct writer writer = writer_of(fixture->command, ROOM);
    write_u8(&writer, ARCHIVE_FOR_ARCHIVE);
    archive_ask_encode(ask, &writer);
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static enum err try_question(struct fixture *fixture,
                             struct archive_ask ask,
                             struct archive_answer *answer)
{
    struct writer to = writer_of(fixture->reply, ROOM);
    const struct machine *machine = &fixture->leader.machine;
    enum err err =
        machine->read(machine->context, write_ask(fixture, &ask), &to);
    if (!err) {
        CHECK_OK(archive_answer_decode(answer, writer_bytes(&to)));
    }
    return err;
}

static struct archive_answer question(struct fixture *fixture,
                                      struct archive_ask ask)
{
    struct archive_answer answer = {0};
    CHECK_OK(try_question(fixture, ask, &answer));
    return answer;
}

/* Decided, and not applied. */
static struct archive_answer plan_step(struct fixture *fixture,
                                       struct archive_ask ask)
{
    struct bytes reply;
    struct archive_answer answer = {0};
    CHECK_OK(decide(fixture, write_ask(fixture, &ask), &reply));
    CHECK_OK(archive_answer_decode(&answer, reply));
    return answer;
}

static struct archive_answer step(struct fixture *fixture,
                                  struct archive_ask ask)
{
    struct archive_answer answer = plan_step(fixture, ask);
    apply(fixture);
    return answer;
}

/* ---- exports and restores, whole ---- */

static struct archive_answer begin_export(struct fixture *fixture,
                                          uint64_t session)
{
    return question(fixture, (struct archive_ask){.kind = ARCHIVE_EXPORT_BEGIN,
                                                  .session = session});
}

static struct archive_answer ask_piece(struct fixture *fixture,
                                       uint64_t session,
                                       uint32_t piece)
{
    return question(fixture, (struct archive_ask){.kind = ARCHIVE_EXPORT_PIECE,
                                                  .session = session,
                                                  .piece = piece});
}

/* The pieces of an export that has begun. */
static void take_pieces(struct fixture *fixture, uint64_t session)
{
    struct pieces *pieces = &fixture->pieces;
    clear_pieces(pieces);
    for (;;) {
        struct archive_answer answer =
            ask_piece(fixture, session, pieces->count);
        assert_int_equal(answer.state, ARCHIVE_OPEN);
        assert_int_equal(answer.piece, pieces->count);
        pieces->index = answer.index;
        if (answer.bytes.length == 0) {
            assert_true(answer.digest == pieces->digest);
            return;
        }
        struct bytes copy = copy_of(answer.bytes);
        assert_true(pieces->count < PIECES_MAX);
        pieces->data[pieces->count] = (uint8_t *)(uintptr_t)copy.data;
        pieces->length[pieces->count++] = copy.length;
        pieces->digest = archive_digest(pieces->digest, copy);
    }
}

static void export_all(struct fixture *fixture)
{
    assert_int_equal(begin_export(fixture, 1).state, ARCHIVE_OPEN);
    take_pieces(fixture, 1);
}

static struct archive_answer begin_restore(struct fixture *fixture,
                                           uint64_t session)
{
    return step(fixture, (struct archive_ask){.kind = ARCHIVE_RESTORE_BEGIN,
                                              .session = session,
                                              .who = "operator/ann"});
}

static struct archive_ask piece_ask(const struct fixture *fixture,
                                    uint64_t session,
                                    uint32_t i)
{
    const struct pieces *pieces = &fixture->pieces;
    return (struct archive_ask){
        .kind = ARCHIVE_RESTORE_PIECE,
        .session = session,
        .piece = i,
        .bytes = bytes_of(pieces->data[i], pieces->length[i])};
}

static void bring_pieces(struct fixture *fixture, uint64_t session)
{
    for (uint32_t i = 0; i < fixture->pieces.count; i++) {
        struct archive_answer answer =
            step(fixture, piece_ask(fixture, session, i));
        assert_int_equal(answer.state, ARCHIVE_OPEN);
        assert_int_equal(answer.piece, i + 1);
    }
}

static struct archive_ask end_ask(const struct fixture *fixture,
                                  uint64_t session)
{
    return (struct archive_ask){.kind = ARCHIVE_RESTORE_END,
                                .session = session,
                                .piece = fixture->pieces.count,
                                .digest = fixture->pieces.digest};
}

static enum archive_state look(struct fixture *fixture, uint64_t session)
{
    return question(fixture, (struct archive_ask){.kind = ARCHIVE_RESTORE_LOOK,
                                                  .session = session})
        .state;
}

static void fill(struct fixture *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add(fixture, i, (int64_t)i + 1);
    }
}

static void check_equal(const struct fixture *fixture)
{
    assert_true(counter_map_digest(fixture->leader.map) ==
                counter_map_digest(fixture->follower.map));
}

static int64_t value_of(const struct fixture *fixture, uint64_t key)
{
    return counter_map_value(fixture->leader.map, key);
}

/* ---- the machine within ---- */

static void passes_on_what_is_for_the_machine(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[1 + COUNTER_COMMAND_BYTES];
    struct counter_reply reply;
    struct writer to = writer_of(fixture->reply, ROOM);
    const struct machine *machine = &fixture->leader.machine;
    struct counter_command read = {.kind = COUNTER_READ, .key = 7};
    add(fixture, 7, 40);
    add(fixture, 7, 2);
    CHECK_OK(
        machine->read(machine->context, write_command(buffer, &read), &to));
    assert_true(counter_reply_decode(&reply, writer_bytes(&to)));
    assert_int_equal(reply.value, 42);
    check_equal(fixture);
}

static void logs_nothing_when_the_machine_does_not(void **state)
{
    struct fixture *fixture = *state;
    struct bytes reply;
    uint8_t buffer[1 + COUNTER_COMMAND_BYTES];
    struct counter_command miss = {
        .kind = COUNTER_COMPARE_AND_SET, .key = 1, .expected = 5, .value = 6};
    CHECK_OK(decide(fixture, write_command(buffer, &miss), &reply));
    assert_int_equal(fixture->log_count, 0);
}

static void refuses_what_is_for_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct bytes reply;
    struct writer to = writer_of(fixture->reply, ROOM);
    const struct machine *machine = &fixture->leader.machine;
    const uint8_t strange[] = {2, 0, 0};
    CHECK_ERR(decide(fixture, bytes_of(strange, sizeof strange), &reply),
              ERR_MALFORMED);
    CHECK_ERR(decide(fixture, bytes_of(NULL, 0), &reply), ERR_MALFORMED);
    CHECK_ERR(
        machine->read(machine->context, bytes_of(strange, sizeof strange), &to),
        ERR_MALFORMED);
    struct archive_ask command = {.kind = ARCHIVE_RESTORE_BEGIN, .session = 1};
    struct archive_answer answer;
    CHECK_ERR(try_question(fixture, command, &answer), ERR_MALFORMED);
    struct archive_ask ask = {.kind = ARCHIVE_EXPORT_BEGIN, .session = 1};
    CHECK_ERR(decide(fixture, write_ask(fixture, &ask), &reply), ERR_MALFORMED);
    assert_int_equal(fixture->log_count, 0);
}

static void a_decision_without_room_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct machine_stamp stamp = {.wall_ms = 1};
    const struct machine *machine = &fixture->leader.machine;
    struct archive_ask ask = {.kind = ARCHIVE_RESTORE_BEGIN, .session = 9};
    struct bytes command = write_ask(fixture, &ask);
    for (size_t room = 0; room < command.length; room++) {
        struct machine_decision decision = {
            .outcome = writer_of(fixture->outcome, room),
            .reply = writer_of(fixture->reply, ROOM)};
        CHECK_ERR(machine->decide(machine->context, &stamp, command, &decision),
                  ERR_TOO_LARGE);
    }
    add(fixture, 1, 1); /* it is open for everybody */
    assert_int_equal(begin_restore(fixture, 9).state, ARCHIVE_OPEN);
}

/* ---- exports ---- */

static void an_export_is_of_when_it_was_begun(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 100);
    uint64_t digest = counter_map_digest(fixture->leader.map);
    struct archive_answer begun = begin_export(fixture, 5);
    assert_true(begun.index == 100);
    fill(fixture, 150);
    take_pieces(fixture, 5);
    assert_true(fixture->pieces.index == 100);
    begin_restore(fixture, 6);
    bring_pieces(fixture, 6);
    step(fixture, end_ask(fixture, 6));
    assert_true(counter_map_digest(fixture->leader.map) == digest);
    check_equal(fixture);
}

static void the_last_piece_may_be_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 50);
    begin_export(fixture, 5);
    assert_int_equal(begin_export(fixture, 5).state, ARCHIVE_OPEN);
    struct bytes first = copy_of(ask_piece(fixture, 5, 0).bytes);
    struct archive_answer again = ask_piece(fixture, 5, 0);
    assert_true(first.length > 0 && bytes_are_equal(first, again.bytes));
    struct archive_answer over = ask_piece(fixture, 5, 1);
    assert_int_equal(over.bytes.length, 0);
    struct archive_answer over_again = ask_piece(fixture, 5, 1);
    assert_true(over_again.state == ARCHIVE_OPEN &&
                over_again.digest == over.digest && over_again.piece == 1);
    assert_int_equal(ask_piece(fixture, 5, 0).state, ARCHIVE_GONE);
    free((void *)(uintptr_t)first.data);
}

static void an_answer_without_room_loses_no_piece(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 50);
    begin_export(fixture, 5);
    const struct machine *machine = &fixture->leader.machine;
    struct archive_ask ask = {.kind = ARCHIVE_EXPORT_PIECE, .session = 5};
    struct writer to = writer_of(fixture->reply, 64);
    CHECK_ERR(machine->read(machine->context, write_ask(fixture, &ask), &to),
              ERR_TOO_LARGE);
    take_pieces(fixture, 5);
    assert_int_equal(fixture->pieces.count, 1);
}

static void a_piece_of_another_session_is_gone(void **state)
{
    struct fixture *fixture = *state;
    begin_export(fixture, 5);
    assert_int_equal(ask_piece(fixture, 6, 0).state, ARCHIVE_GONE);
    assert_int_equal(ask_piece(fixture, 5, 1).state, ARCHIVE_GONE);
    question(fixture,
             (struct archive_ask){.kind = ARCHIVE_EXPORT_END, .session = 6});
    assert_int_equal(ask_piece(fixture, 5, 0).state, ARCHIVE_OPEN);
    question(fixture,
             (struct archive_ask){.kind = ARCHIVE_EXPORT_END, .session = 5});
    assert_int_equal(ask_piece(fixture, 5, 1).state, ARCHIVE_GONE);
}

static void one_export_at_a_time_until_nobody_reads_it(void **state)
{
    struct fixture *fixture = *state;
    begin_export(fixture, 5);
    assert_int_equal(begin_export(fixture, 6).state, ARCHIVE_TAKEN);
    fixture->fake.now_ns += (ARCHIVE_EXPORT_IDLE_MS - 1) * NS_PER_MS;
    assert_int_equal(ask_piece(fixture, 5, 0).state, ARCHIVE_OPEN);
    fixture->fake.now_ns += (ARCHIVE_EXPORT_IDLE_MS - 1) * NS_PER_MS;
    assert_int_equal(begin_export(fixture, 6).state, ARCHIVE_TAKEN);
    fixture->fake.now_ns += NS_PER_MS;
    assert_int_equal(begin_export(fixture, 6).state, ARCHIVE_OPEN);
    assert_int_equal(ask_piece(fixture, 5, 1).state, ARCHIVE_GONE);
}

static void an_export_is_gone_when_leadership_is_lost(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *machine = &fixture->leader.machine;
    begin_export(fixture, 5);
    machine->drop(machine->context);
    assert_int_equal(ask_piece(fixture, 5, 0).state, ARCHIVE_GONE);
}

static void the_groups_snapshot_waits_for_an_export_that_is_read(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *machine = &fixture->leader.machine;
    begin_export(fixture, 5);
    CHECK_ERR(machine->snapshot_begin(machine->context), ERR_BUSY);
    fixture->fake.now_ns += ARCHIVE_EXPORT_IDLE_MS * NS_PER_MS;
    CHECK_OK(machine->snapshot_begin(machine->context));
    assert_int_equal(ask_piece(fixture, 5, 0).state, ARCHIVE_GONE);
    struct archive_answer answer;
    struct archive_ask ask = {.kind = ARCHIVE_EXPORT_BEGIN, .session = 6};
    CHECK_ERR(try_question(fixture, ask, &answer), ERR_BUSY);
    machine->snapshot_end(machine->context);
    assert_int_equal(begin_export(fixture, 6).state, ARCHIVE_OPEN);
}

/* ---- restores ---- */

static void a_restore_replaces_all_on_every_replica(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 100);
    uint64_t digest = counter_map_digest(fixture->leader.map);
    export_all(fixture);
    add(fixture, 1000, 1);
    add(fixture, 5, 500);
    begin_restore(fixture, 7);
    bring_pieces(fixture, 7);
    assert_true(value_of(fixture, 1000) == 1); /* until it ends */
    assert_int_equal(look(fixture, 7), ARCHIVE_OPEN);
    assert_int_equal(step(fixture, end_ask(fixture, 7)).state, ARCHIVE_DONE);
    assert_int_equal(look(fixture, 7), ARCHIVE_DONE);
    assert_true(counter_map_digest(fixture->leader.map) == digest);
    check_equal(fixture);
    add(fixture, 5, 1); /* and it goes on from there */
    assert_true(value_of(fixture, 5) == 7);
    check_equal(fixture);
}

static void steps_that_are_repeated_are_done_once(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7);
    assert_int_equal(begin_restore(fixture, 7).state, ARCHIVE_OPEN);
    bring_pieces(fixture, 7);
    size_t count = fixture->log_count;
    assert_int_equal(step(fixture, piece_ask(fixture, 7, 0)).piece, 1);
    assert_int_equal(begin_restore(fixture, 7).piece, 1);
    assert_int_equal(fixture->log_count, count);
    step(fixture, end_ask(fixture, 7));
    add(fixture, 3, 100);
    count = fixture->log_count;
    assert_int_equal(step(fixture, end_ask(fixture, 7)).state, ARCHIVE_DONE);
    assert_int_equal(begin_restore(fixture, 7).state, ARCHIVE_DONE);
    assert_int_equal(fixture->log_count, count);
    assert_true(value_of(fixture, 3) == 104);
}

static void commands_wait_while_a_restore_is_under_way(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *machine = &fixture->leader.machine;
    fill(fixture, 20);
    export_all(fixture);
    plan_step(fixture, (struct archive_ask){.kind = ARCHIVE_RESTORE_BEGIN,
                                            .session = 7});
    CHECK_ERR(try_add(fixture, 1, 1), ERR_BUSY); /* not applied yet */
    apply(fixture);
    CHECK_ERR(try_add(fixture, 1, 1), ERR_BUSY);
    CHECK_ERR(machine->snapshot_begin(machine->context), ERR_BUSY);
    bring_pieces(fixture, 7);
    plan_step(fixture, end_ask(fixture, 7));
    CHECK_ERR(try_add(fixture, 1, 1), ERR_BUSY);
    apply(fixture);
    CHECK_OK(try_add(fixture, 1, 1));
    CHECK_OK(machine->snapshot_begin(machine->context));
    machine->snapshot_end(machine->context);
}

static void its_end_waits_for_the_pieces_to_be_applied(void **state)
{
    struct fixture *fixture = *state;
    struct bytes reply;
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7);
    plan_step(fixture, piece_ask(fixture, 7, 0));
    struct archive_ask end = end_ask(fixture, 7);
    CHECK_ERR(decide(fixture, write_ask(fixture, &end), &reply), ERR_BUSY);
    apply(fixture);
    assert_int_equal(step(fixture, end).state, ARCHIVE_DONE);
}

/* Nothing happens to it: so it can be put back as it is. */
static void an_export_tells_of_the_old_state_during_a_restore(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    uint64_t digest = counter_map_digest(fixture->leader.map);
    begin_restore(fixture, 7);
    export_all(fixture);
    bring_pieces(fixture, 7);
    begin_export(fixture, 2); /* and is not read to its end */
    step(fixture, end_ask(fixture, 7));
    assert_int_equal(look(fixture, 7), ARCHIVE_DONE);
    assert_true(counter_map_digest(fixture->leader.map) == digest);
    assert_int_equal(ask_piece(fixture, 2, 0).state, ARCHIVE_GONE);
    check_equal(fixture);
}

static void a_new_restore_takes_the_place_of_one_under_way(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7);
    bring_pieces(fixture, 7);
    assert_int_equal(begin_restore(fixture, 8).piece, 0);
    assert_int_equal(step(fixture, end_ask(fixture, 7)).state, ARCHIVE_GONE);
    bring_pieces(fixture, 8);
    step(fixture, end_ask(fixture, 8));
    assert_int_equal(look(fixture, 8), ARCHIVE_DONE);
    assert_int_equal(look(fixture, 7), ARCHIVE_GONE);
    check_equal(fixture);
}

static void a_restore_that_is_aborted_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    add(fixture, 3, 100);
    uint64_t digest = counter_map_digest(fixture->leader.map);
    begin_restore(fixture, 7);
    bring_pieces(fixture, 7);
    step(fixture,
         (struct archive_ask){.kind = ARCHIVE_RESTORE_ABORT, .session = 7});
    assert_int_equal(look(fixture, 7), ARCHIVE_GONE);
    assert_true(counter_map_digest(fixture->leader.map) == digest);
    assert_int_equal(step(fixture, end_ask(fixture, 7)).state, ARCHIVE_GONE);
    add(fixture, 3, 1);
    check_equal(fixture);
}

static void a_restore_with_another_digest_or_count_is_unfit(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    add(fixture, 3, 100);
    uint64_t digest = counter_map_digest(fixture->leader.map);
    for (uint64_t session = 7; session < 9; session++) {
        begin_restore(fixture, session);
        bring_pieces(fixture, session);
        struct archive_ask end = end_ask(fixture, session);
        end.digest += session == 7;
        end.piece += session == 8;
        assert_int_equal(step(fixture, end).state, ARCHIVE_UNFIT);
        assert_int_equal(look(fixture, session), ARCHIVE_UNFIT);
        assert_true(counter_map_digest(fixture->leader.map) == digest);
    }
    add(fixture, 3, 1);
    check_equal(fixture);
}

static void pieces_that_the_machine_refuses_are_told_of(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 3, 100);
    struct archive_ask rubbish = {.kind = ARCHIVE_RESTORE_PIECE,
                                  .session = 7,
                                  .bytes = bytes_of_text("rubbish")};
    begin_restore(fixture, 7);
    step(fixture, rubbish);
    assert_int_equal(look(fixture, 7), ARCHIVE_UNFIT);
    rubbish.piece = 1;
    assert_int_equal(step(fixture, rubbish).state, ARCHIVE_UNFIT);
    add(fixture, 3, 1);
    assert_true(value_of(fixture, 3) == 101);
    check_equal(fixture);
}

/* None at all: its head is missing. */
static void an_end_that_the_machine_refuses_is_told_of(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 3, 100);
    begin_restore(fixture, 7);
    step(fixture,
         (struct archive_ask){.kind = ARCHIVE_RESTORE_END, .session = 7});
    assert_int_equal(look(fixture, 7), ARCHIVE_UNFIT);
    add(fixture, 3, 1);
    assert_true(value_of(fixture, 3) == 101);
    check_equal(fixture);
}

static void a_restore_that_nobody_goes_on_with_is_given_up(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7);
    fixture->fake.wall_ms += ARCHIVE_RESTORE_IDLE_MS;
    bring_pieces(fixture, 7);
    fixture->fake.wall_ms += ARCHIVE_RESTORE_IDLE_MS;
    CHECK_ERR(try_add(fixture, 3, 1), ERR_BUSY);
    fixture->fake.wall_ms++;
    CHECK_OK(try_add(fixture, 3, 1));
    CHECK_ERR(try_add(fixture, 3, 1), ERR_BUSY); /* not applied yet */
    apply(fixture);
    add(fixture, 3, 1);
    assert_int_equal(look(fixture, 7), ARCHIVE_GONE);
    assert_true(value_of(fixture, 3) == 6);
    check_equal(fixture);
}

/* A command that changes nothing: then there is nothing but the end. */
static void giving_up_alone_is_logged_too(void **state)
{
    struct fixture *fixture = *state;
    struct bytes reply;
    uint8_t buffer[1 + COUNTER_COMMAND_BYTES];
    struct counter_command miss = {
        .kind = COUNTER_COMPARE_AND_SET, .key = 1, .expected = 5, .value = 6};
    begin_restore(fixture, 7);
    fixture->fake.wall_ms += ARCHIVE_RESTORE_IDLE_MS + 1;
    size_t count = fixture->log_count;
    CHECK_OK(decide(fixture, write_command(buffer, &miss), &reply));
    assert_int_equal(fixture->log_count, count + 1);
    apply(fixture);
    add(fixture, 1, 1);
    check_equal(fixture);
}

static void another_leader_goes_on_with_a_restore(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, 20);
    export_all(fixture);
    add(fixture, 3, 100);
    begin_restore(fixture, 7);
    plan_step(fixture, piece_ask(fixture, 7, 0));
    free(fixture->log[--fixture->log_count].data); /* never committed */
    struct replica leader = fixture->leader;
    leader.machine.drop(leader.machine.context);
    fixture->leader = fixture->follower;
    fixture->follower = leader;
    CHECK_ERR(try_add(fixture, 3, 1), ERR_BUSY);
    bring_pieces(fixture, 7);
    step(fixture, end_ask(fixture, 7));
    assert_int_equal(look(fixture, 7), ARCHIVE_DONE);
    assert_true(value_of(fixture, 3) == 4);
    check_equal(fixture);
}

/* Another shard's state, of more than a piece. */
static struct counter_map *make_large(uint32_t count)
{
    struct counter_map *map =
        counter_map_open(&(struct counter_map_config){.result_count_max = 1});
    assert_non_null(map);
    struct machine machine = counter_map_machine(map);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t command[COUNTER_COMMAND_BYTES];
        uint8_t outcome[64];
        uint8_t reply[COUNTER_REPLY_BYTES];
        struct machine_stamp stamp = {0};
        struct counter_command add = {
            .kind = COUNTER_ADD, .key = i, .value = 1 + (int64_t)i};
        struct machine_decision decision = {
            .outcome = writer_of(outcome, sizeof outcome),
            .reply = writer_of(reply, sizeof reply)};
        CHECK_OK(machine.decide(machine.context, &stamp,
                                counter_command_encode(command, &add),
                                &decision));
        CHECK_OK(machine.apply(machine.context, i + 1, &stamp,
                               writer_bytes(&decision.outcome)));
    }
    return map;
}

/* Its pieces, as if they had been exported. */
static void take_large(struct fixture *fixture, struct counter_map *map)
{
    struct pieces *pieces = &fixture->pieces;
    struct machine machine = counter_map_machine(map);
    clear_pieces(pieces);
    CHECK_OK(machine.snapshot_begin(machine.context));
    for (;;) {
        struct writer piece =
            writer_of(fixture->outcome, ARCHIVE_PIECE_BYTES_MAX);
        CHECK_OK(machine.snapshot_next(machine.context, &piece));
        if (writer_bytes(&piece).length == 0) {
            break;
        }
        struct bytes copy = copy_of(writer_bytes(&piece));
        pieces->data[pieces->count] = (uint8_t *)(uintptr_t)copy.data;
        pieces->length[pieces->count++] = copy.length;
        pieces->digest = archive_digest(pieces->digest, copy);
    }
    machine.snapshot_end(machine.context);
}

static void many_pieces_make_one_state(void **state)
{
    struct fixture *fixture = *state;
    struct counter_map *large = make_large(50000);
    take_large(fixture, large);
    uint32_t count = fixture->pieces.count;
    assert_true(count > 2);
    begin_restore(fixture, 7);
    bring_pieces(fixture, 7);
    step(fixture, end_ask(fixture, 7));
    assert_int_equal(look(fixture, 7), ARCHIVE_DONE);
    assert_true(counter_map_digest(fixture->leader.map) ==
                counter_map_digest(large));
    check_equal(fixture);
    export_all(fixture);
    assert_true(fixture->pieces.count == count);
    begin_restore(fixture, 8); /* and without the last one it is none */
    struct archive_ask end = end_ask(fixture, 8);
    for (uint32_t i = 0; i + 1 < count; i++) {
        step(fixture, piece_ask(fixture, 8, i));
    }
    assert_int_equal(step(fixture, end).state, ARCHIVE_UNFIT);
    assert_true(counter_map_digest(fixture->leader.map) ==
                counter_map_digest(large));
    counter_map_close(&large);
}

/* ---- the group's snapshots ---- */

/* The whole of it, from one replica to another, broken off or not. */
static enum err copy_state(struct fixture *fixture,
                           const struct replica *from,
                           const struct replica *to,
                           bool is_whole)
{
    CHECK_OK(from->machine.snapshot_begin(from->machine.context));
    CHECK_OK(to->machine.restore_begin(to->machine.context));
    for (;;) {
        struct writer piece =
            writer_of(fixture->outcome, ARCHIVE_PIECE_BYTES_MAX);
        CHECK_OK(from->machine.snapshot_next(from->machine.context, &piece));
        if (writer_bytes(&piece).length == 0) {
            break;
        }
        CHECK_OK(to->machine.restore_piece(to->machine.context,
                                           writer_bytes(&piece)));
    }
    from->machine.snapshot_end(from->machine.context);
    return to->machine.restore_end(to->machine.context, is_whole);
}

static void a_snapshot_tells_of_the_last_restore_and_the_index(void **state)
{
    struct fixture *fixture = *state;
    struct replica fresh = {0};
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7);
    bring_pieces(fixture, 7);
    step(fixture, end_ask(fixture, 7));
    open_replica(fixture, &fresh);
    CHECK_OK(copy_state(fixture, &fixture->leader, &fresh, true));
    fresh.applied = fixture->log_count;
    struct replica leader = fixture->leader;
    fixture->leader = fresh;
    assert_int_equal(look(fixture, 7), ARCHIVE_DONE);
    assert_true(begin_export(fixture, 2).index == fixture->log_count);
    assert_true(counter_map_digest(fresh.map) ==
                counter_map_digest(leader.map));
    fixture->leader = leader;
    close_replica(&fresh);
}

static void a_snapshot_ends_a_restore_that_was_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct replica *late = &fixture->follower;
    fill(fixture, 20);
    export_all(fixture);
    begin_restore(fixture, 7); /* both */
    size_t behind = late->applied;
    for (uint32_t i = 0; i < fixture->pieces.count; i++) {
        plan_step(fixture, piece_ask(fixture, 7, i));
        apply_to(fixture, &fixture->leader);
    }
    plan_step(fixture, end_ask(fixture, 7));
    apply_to(fixture, &fixture->leader);
    assert_true(late->applied == behind);
    CHECK_OK(copy_state(fixture, &fixture->leader, late, true));
    late->applied = fixture->log_count;
    add(fixture, 3, 1);
    check_equal(fixture);
}

/* It would end with another state than the others. */
static void who_lost_the_pieces_does_not_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct replica *late = &fixture->follower;
    struct replica other = {0};
    fill(fixture, 20);
    export_all(fixture);
    open_replica(fixture, &other);
    begin_restore(fixture, 7);
    CHECK_OK(copy_state(fixture, &other, late, false));
    plan_step(fixture, piece_ask(fixture, 7, 0));
    apply_to(fixture, &fixture->leader);
    CHECK_ERR(apply_next(fixture, late), ERR_MALFORMED);
    close_replica(&other);
}

static void a_restore_in_the_log_breaks_off_a_snapshot_that_comes(void **state)
{
    struct fixture *fixture = *state;
    struct replica *late = &fixture->follower;
    fill(fixture, 20);
    export_all(fixture);
    CHECK_OK(late->machine.restore_begin(late->machine.context));
    begin_restore(fixture, 7);
    CHECK_ERR(
        late->machine.restore_piece(late->machine.context, bytes_of_text("x")),
        ERR_BUSY);
    CHECK_OK(late->machine.restore_end(late->machine.context, false));
    bring_pieces(fixture, 7);
    step(fixture, end_ask(fixture, 7));
    check_equal(fixture);
}

static void refuses_a_snapshot_without_a_head(void **state)
{
    struct fixture *fixture = *state;
    const struct machine *machine = &fixture->follower.machine;
    CHECK_OK(machine->restore_begin(machine->context));
    CHECK_ERR(machine->restore_piece(machine->context, bytes_of_text("head")),
              ERR_MALFORMED);
    CHECK_OK(machine->restore_end(machine->context, false));
    CHECK_OK(machine->restore_begin(machine->context));
    CHECK_ERR(machine->restore_end(machine->context, true), ERR_MALFORMED);
}

/* ---- whatever is done ---- */

static void do_something(struct fixture *fixture, struct seeded *seeded)
{
    /* Mostly of the newest. */
    uint64_t session = fixture->session - (seeded_below(seeded, 8) == 0);
    uint64_t dice = seeded_below(seeded, 12);
    fixture->fake.wall_ms +=
        seeded_below(seeded, 40) == 0 ? ARCHIVE_RESTORE_IDLE_MS + 1 : 10;
    if (dice < 4) {
        (void)try_add(fixture, seeded_below(seeded, 20), 1);
    } else if (dice < 6) {
        plan_step(fixture, (struct archive_ask){.kind = ARCHIVE_RESTORE_BEGIN,
                                                .session = ++fixture->session});
    } else if (dice < 9) {
        plan_step(fixture, piece_ask(fixture, session, 0));
    } else if (dice < 10) {
        struct bytes reply;
        struct archive_ask end = end_ask(fixture, session);
        (void)decide(fixture, write_ask(fixture, &end), &reply);
    } else if (dice < 11) {
        plan_step(fixture, (struct archive_ask){.kind = ARCHIVE_RESTORE_ABORT,
                                                .session = session});
    }
    if (seeded_below(seeded, 2) == 0) {
        apply_to(fixture, &fixture->leader);
    }
}

static void replicas_stay_equal_whatever_is_done(void **state)
{
    struct fixture *fixture = *state;
    struct seeded seeded = (struct seeded){.state = 4711};
    uint32_t restored_count = 0;
    fill(fixture, 10);
    export_all(fixture);
    fixture->session = 100;
    for (uint32_t i = 0; i < 450; i++) {
        do_something(fixture, &seeded);
        restored_count += value_of(fixture, 0) == 1;
    }
    apply(fixture);
    check_equal(fixture);
    assert_true(restored_count > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passes_on_what_is_for_the_machine),
        TEST(logs_nothing_when_the_machine_does_not),
        TEST(refuses_what_is_for_nobody),
        TEST(a_decision_without_room_changes_nothing),
        TEST(an_export_is_of_when_it_was_begun),
        TEST(the_last_piece_may_be_asked_for_again),
        TEST(an_answer_without_room_loses_no_piece),
        TEST(a_piece_of_another_session_is_gone),
        TEST(one_export_at_a_time_until_nobody_reads_it),
        TEST(an_export_is_gone_when_leadership_is_lost),
        TEST(the_groups_snapshot_waits_for_an_export_that_is_read),
        TEST(a_restore_replaces_all_on_every_replica),
        TEST(steps_that_are_repeated_are_done_once),
        TEST(commands_wait_while_a_restore_is_under_way),
        TEST(its_end_waits_for_the_pieces_to_be_applied),
        TEST(an_export_tells_of_the_old_state_during_a_restore),
        TEST(a_new_restore_takes_the_place_of_one_under_way),
        TEST(a_restore_that_is_aborted_changes_nothing),
        TEST(a_restore_with_another_digest_or_count_is_unfit),
        TEST(pieces_that_the_machine_refuses_are_told_of),
        TEST(an_end_that_the_machine_refuses_is_told_of),
        TEST(a_restore_that_nobody_goes_on_with_is_given_up),
        TEST(giving_up_alone_is_logged_too),
        TEST(another_leader_goes_on_with_a_restore),
        TEST(many_pieces_make_one_state),
        TEST(a_snapshot_tells_of_the_last_restore_and_the_index),
        TEST(a_snapshot_ends_a_restore_that_was_under_way),
        TEST(who_lost_the_pieces_does_not_go_on),
        TEST(a_restore_in_the_log_breaks_off_a_snapshot_that_comes),
        TEST(refuses_a_snapshot_without_a_head),
        TEST(replicas_stay_equal_whatever_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
