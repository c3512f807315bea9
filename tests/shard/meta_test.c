#include "shard/meta.h"

#include "tests/shard/test_view.h"
#include "tests/support/check.h"

#include "base/pack.h"
#include "base/scope.h"

#define BUFFER_BYTES (1u << 20)
#define REPLICA_COUNT 3
#define LOG_COUNT_MAX 512

static uint8_t buffer[BUFFER_BYTES];
static uint8_t reply_buffer[16];

static enum err decide_bytes(struct meta *meta,
                             struct bytes command,
                             struct machine_decision *decision)
{
    struct machine machine = meta_machine(meta);
    struct machine_stamp stamp = {.wall_ms = 12345};
    return machine.decide(machine.context, &stamp, command, decision);
}

static struct bytes encode(const struct view_change *change)
{
    static uint8_t command[BUFFER_BYTES];
    struct writer writer = writer_of(command, sizeof command);
    view_change_encode(change, &writer);
    CHECK(!writer.failed);
    return writer_bytes(&writer);
}

/* `outcome` and `reply` are valid until the next. */
static enum err decide(struct meta *meta,
                       const struct view_change *change,
                       struct bytes *outcome,
                       struct bytes *reply)
{
    struct machine_decision decision = {
        .outcome = writer_of(buffer, sizeof buffer),
        .reply = writer_of(reply_buffer, sizeof reply_buffer)};
    enum err err = decide_bytes(meta, encode(change), &decision);
    *outcome = writer_bytes(&decision.outcome);
    *reply = writer_bytes(&decision.reply);
    CHECK((err == ERR_NONE) == (meta_why(meta)[0] == '\0'));
    return err;
}

static enum err apply(struct meta *meta, struct bytes outcome)
{
    struct machine machine = meta_machine(meta);
    struct machine_stamp stamp = {.wall_ms = 99};
    return machine.apply(machine.context, 7, &stamp, outcome);
}

static enum err run(struct meta *meta, const struct view_change *change)
{
    struct bytes outcome;
    struct bytes reply;
    enum err err = decide(meta, change, &outcome, &reply);
    return err ? err : apply(meta, outcome);
}

static void drop(struct meta *meta)
{
    struct machine machine = meta_machine(meta);
    machine.drop(machine.context);
}

/* ---- the journal, as text ---- */

static void hash_line(void *context, const struct meta_line *line)
{
    uint64_t *digest = context;
    const char *at = line->who;
    *digest = (*digest ^ line->number ^ (uint64_t)line->at_ms) *
              UINT64_C(0x100000001b3);
    for (; *at; at++) {
        *digest = (*digest ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    for (at = line->text; *at; at++) {
        *digest = (*digest ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
}

static uint64_t digest_of(const struct meta *meta)
{
    uint64_t digest = view_digest(meta_view(meta));
    meta_journal_each(meta, 0, hash_line, &digest);
    return digest;
}

/* ---- snapshots, kept as their pieces ---- */

struct snapshot {
    uint8_t *bytes;
    size_t length;
    size_t piece_ends[64];
    size_t piece_count;
};

static void snapshot_clear(struct snapshot *snapshot)
{
    free(snapshot->bytes);
    *snapshot = (struct snapshot){0};
}

static void next_piece(struct meta *meta,
                       struct snapshot *snapshot,
                       size_t room)
{
    struct machine machine = meta_machine(meta);
    snapshot->bytes = realloc(snapshot->bytes, snapshot->length + room);
    CHECK(snapshot->bytes);
    struct writer piece = writer_of(snapshot->bytes + snapshot->length, room);
    CHECK_OK(machine.snapshot_next(machine.context, &piece));
    CHECK(!piece.failed);
    size_t length = writer_bytes(&piece).length;
    CHECK(length <= META_PIECE_BYTES);
    snapshot->length += length;
    if (length > 0) {
        CHECK(snapshot->piece_count < 64);
        snapshot->piece_ends[snapshot->piece_count++] = snapshot->length;
    }
}

static void begin(struct meta *meta)
{
    struct machine machine = meta_machine(meta);
    CHECK_OK(machine.snapshot_begin(machine.context));
}

static struct snapshot finish(struct meta *meta)
{
    struct machine machine = meta_machine(meta);
    struct snapshot snapshot = {0};
    size_t before;
    do {
        before = snapshot.length;
        next_piece(meta, &snapshot, 2 * META_PIECE_BYTES);
    } while (snapshot.length > before);
    machine.snapshot_end(machine.context);
    return snapshot;
}

static enum err restore(struct meta *meta,
                        const struct snapshot *snapshot,
                        bool is_whole)
{
    struct machine machine = meta_machine(meta);
    size_t from = 0;
    CHECK_OK(machine.restore_begin(machine.context));
    for (size_t i = 0; i < snapshot->piece_count; i++) {
        struct bytes piece =
            bytes_of(snapshot->bytes + from, snapshot->piece_ends[i] - from);
        CHECK_OK(machine.restore_piece(machine.context, piece));
        from = snapshot->piece_ends[i];
    }
    return machine.restore_end(machine.context, is_whole);
}

/* ---- one machine ---- */

struct fixture {
    struct meta *meta;
    uint32_t told_count; /* calls of on_view() */
    uint64_t told_version;
};

static void on_view(void *context, const struct view *view)
{
    struct fixture *fixture = context;
    fixture->told_count++;
    fixture->told_version = view->version;
}

static struct meta *open_meta(void)
{
    struct meta *meta = NULL;
    CHECK_OK(meta_open(&meta, &(struct meta_events){0}));
    return meta;
}

static void found(struct meta *meta)
{
    scoped(view_change_clear) struct view_change founding =
        test_founding(3, 16, 2);
    struct view_change founded = test_change(VIEW_FOUNDED);
    CHECK_OK(run(meta, &founding));
    CHECK_OK(run(meta, &founded));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    *state = fixture;
    struct meta_events events = {.context = fixture, .on_view = on_view};
    CHECK_OK(meta_open(&fixture->meta, &events));
    found(fixture->meta);
    CHECK(fixture->told_count == 2);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    meta_close(&fixture->meta);
    free(fixture);
    return 0;
}

static struct view_change joining(uint32_t name)
{
    struct view_change join = test_change(VIEW_MEMBER_ADD);
    join.member = test_member(name);
    join.member.number = MEMBER_NONE;
    return join;
}

/* Decide, and keep the outcome. */
static struct bytes keep(struct meta *meta,
                         const struct view_change *change,
                         uint8_t to[static 1024])
{
    struct bytes outcome;
    struct bytes reply;
    CHECK_OK(decide(meta, change, &outcome, &reply));
    CHECK(outcome.length <= 1024);
    memcpy(to, outcome.data, outcome.length);
    return bytes_of(to, outcome.length);
}

static void a_member_gets_its_number_in_the_answer(void **state)
{
    struct fixture *fixture = *state;
    struct bytes outcome;
    for (uint32_t i = 3; i < 6; i++) { /* none of them applied yet */
        struct view_change join = joining(10 + i);
        struct bytes answer;
        CHECK_OK(decide(fixture->meta, &join, &outcome, &answer));
        struct reader reader = reader_of(answer);
        CHECK(pack_read_uint(&reader) == i && reader_left(&reader) == 0);
    }
    CHECK(meta_view(fixture->meta)->members.count == 3);
}

static void other_answers_are_empty(void **state)
{
    struct fixture *fixture = *state;
    struct view_change pause = test_change(VIEW_PAUSE);
    struct bytes outcome;
    struct bytes answer;
    CHECK_OK(decide(fixture->meta, &pause, &outcome, &answer));
    CHECK(answer.length == 0 && outcome.length > 0);
}

static void what_was_decided_before_counts(void **state)
{
    struct fixture *fixture = *state;
    uint8_t first[1024];
    struct view_change join = joining(10);
    struct bytes outcome = keep(fixture->meta, &join, first);
    CHECK_ERR(run(fixture->meta, &join), ERR_EXISTS);
    CHECK(strstr(meta_why(fixture->meta), "node-10 is a member already"));
    drop(fixture->meta);
    uint8_t again[1024];
    outcome = keep(fixture->meta, &join, again); /* as if it had not been */
    CHECK_OK(apply(fixture->meta, outcome));
    CHECK_ERR(run(fixture->meta, &join), ERR_EXISTS);
    CHECK(meta_view(fixture->meta)->members.count == 4);
}

static void a_refusal_changes_nothing_and_says_why(void **state)
{
    struct fixture *fixture = *state;
    struct view_change forget = test_change(VIEW_MEMBER_FORGET);
    uint64_t digest = digest_of(fixture->meta);
    CHECK_ERR(run(fixture->meta, &forget), ERR_BUSY);
    CHECK(strstr(meta_why(fixture->meta), "drain it first"));
    CHECK(digest_of(fixture->meta) == digest);
    struct view_change pause = test_change(VIEW_PAUSE);
    CHECK_OK(run(fixture->meta, &pause));
    CHECK(strcmp(meta_why(fixture->meta), "") == 0);
}

static void commands_that_are_none_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct machine_decision decision = {
        .outcome = writer_of(buffer, sizeof buffer),
        .reply = writer_of(reply_buffer, sizeof reply_buffer)};
    CHECK_ERR(decide_bytes(fixture->meta, bytes_of_text("what"), &decision),
              ERR_MALFORMED);
    CHECK(strstr(meta_why(fixture->meta), "cannot be read"));
    CHECK(writer_bytes(&decision.outcome).length == 0);
}

static void without_room_nothing_happens(void **state)
{
    struct fixture *fixture = *state;
    struct view_change join = joining(10);
    for (size_t room = 0; room < 80; room += 26) {
        struct machine_decision decision = {
            .outcome = writer_of(buffer, room),
            .reply = writer_of(reply_buffer, sizeof reply_buffer)};
        CHECK_ERR(decide_bytes(fixture->meta, encode(&join), &decision),
                  ERR_TOO_LARGE);
    }
    struct machine_decision decision = {.outcome =
                                            writer_of(buffer, sizeof buffer),
                                        .reply = writer_of(reply_buffer, 0)};
    CHECK_ERR(decide_bytes(fixture->meta, encode(&join), &decision),
              ERR_TOO_LARGE);
    CHECK_OK(run(fixture->meta, &join)); /* its name is not taken */
}

static void the_leaders_clock_stands_in_the_outcome(void **state)
{
    struct fixture *fixture = *state;
    struct view_change join = joining(10);
    join.at_ms = 1; /* whoever asks does not matter */
    CHECK_OK(run(fixture->meta, &join));
    const struct view *view = meta_view(fixture->meta);
    CHECK(members_find(&view->members, 3)->since_ms == 12345);
}

static void outcomes_that_nobody_decided_are_malformed(void **state)
{
    struct fixture *fixture = *state;
    uint64_t digest = digest_of(fixture->meta);
    struct view_change numberless = joining(10);
    struct view_change forget = test_change(VIEW_MEMBER_FORGET);
    CHECK_ERR(apply(fixture->meta, bytes_of_text("x")), ERR_MALFORMED);
    CHECK_ERR(apply(fixture->meta, encode(&numberless)), ERR_MALFORMED);
    CHECK_ERR(apply(fixture->meta, encode(&forget)), ERR_MALFORMED);
    CHECK(digest_of(fixture->meta) == digest);
}

static void a_new_view_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct view_change note = test_change(VIEW_NOTE);
    struct view_change pause = test_change(VIEW_PAUSE);
    CHECK_OK(run(fixture->meta, &note));
    CHECK(fixture->told_count == 2);
    CHECK_OK(run(fixture->meta, &pause));
    CHECK(fixture->told_count == 3 && fixture->told_version == 3);
    begin(fixture->meta);
    scoped(snapshot_clear) struct snapshot snapshot = finish(fixture->meta);
    CHECK_OK(restore(fixture->meta, &snapshot, false));
    CHECK(fixture->told_count == 3);
    CHECK_OK(restore(fixture->meta, &snapshot, true));
    CHECK(fixture->told_count == 4 && fixture->told_version == 3);
}

static void questions_are_not_asked(void **state)
{
    struct fixture *fixture = *state;
    struct machine machine = meta_machine(fixture->meta);
    struct writer answer = writer_of(buffer, sizeof buffer);
    CHECK_ERR(machine.read(machine.context, bytes_of_text("?"), &answer),
              ERR_INVALID);
}

/* ---- the journal ---- */

struct seen {
    uint64_t first;
    uint64_t last;
    uint32_t count;
    struct meta_line newest;
};

static void see(void *context, const struct meta_line *line)
{
    struct seen *seen = context;
    CHECK(seen->count == 0 || line->number == seen->last + 1);
    seen->first = seen->count == 0 ? line->number : seen->first;
    seen->last = line->number;
    seen->count++;
    seen->newest = *line;
}

static struct seen journal_of(const struct meta *meta, uint64_t from)
{
    struct seen seen = {0};
    meta_journal_each(meta, from, see, &seen);
    return seen;
}

static void changes_with_a_text_stand_in_the_journal(void **state)
{
    struct fixture *fixture = *state;
    struct view_change pause = test_change(VIEW_PAUSE);
    view_change_say(&pause, "paused for %s", "the night");
    CHECK_OK(run(fixture->meta, &pause));
    struct seen seen = journal_of(fixture->meta, 0);
    CHECK(seen.first == 1 && seen.last == 3 && seen.count == 3);
    CHECK(seen.newest.at_ms == 12345);
    CHECK(strcmp(seen.newest.who, "operator/ann") == 0);
    CHECK(strcmp(seen.newest.text, "paused for the night") == 0);
    pause.text[0] = '\0';
    CHECK_OK(run(fixture->meta, &pause));
    CHECK(journal_of(fixture->meta, 0).count == 3);
    CHECK(journal_of(fixture->meta, 3).count == 1);
    CHECK(journal_of(fixture->meta, 4).count == 0);
    CHECK(journal_of(fixture->meta, UINT64_MAX).count == 0);
}

static void the_journal_keeps_its_newest_lines(void **state)
{
    struct fixture *fixture = *state;
    struct view_change note = test_change(VIEW_NOTE);
    for (uint32_t i = 3; i <= META_JOURNAL_MAX + 10; i++) {
        view_change_say(&note, "line %u", i);
        CHECK_OK(run(fixture->meta, &note));
    }
    struct seen seen = journal_of(fixture->meta, 0);
    CHECK(seen.first == 11 && seen.last == META_JOURNAL_MAX + 10);
    CHECK(seen.count == META_JOURNAL_MAX);
    CHECK(strcmp(seen.newest.text, "line 1034") == 0);
    CHECK(journal_of(fixture->meta, 1030).first == 1030);

    scoped(meta_close) struct meta *other = open_meta();
    begin(fixture->meta);
    scoped(snapshot_clear) struct snapshot snapshot = finish(fixture->meta);
    CHECK_OK(restore(other, &snapshot, true));
    CHECK(digest_of(other) == digest_of(fixture->meta));
    CHECK_OK(run(other, &note));
    CHECK(journal_of(other, 0).last == META_JOURNAL_MAX + 11);
}

/* ---- snapshots ---- */

static void a_machine_without_a_cluster_has_a_snapshot(void **state)
{
    (void)state;
    scoped(meta_close) struct meta *one = open_meta();
    scoped(meta_close) struct meta *two = open_meta();
    begin(one);
    scoped(snapshot_clear) struct snapshot snapshot = finish(one);
    found(two);
    CHECK_OK(restore(two, &snapshot, true));
    CHECK(meta_view(two)->version == 0);
    CHECK(journal_of(two, 0).count == 0);
    found(two);
}

static void a_snapshot_is_of_when_it_was_begun(void **state)
{
    struct fixture *fixture = *state;
    uint64_t digest = digest_of(fixture->meta);
    struct view_change join = joining(10);
    begin(fixture->meta);
    CHECK_OK(run(fixture->meta, &join));
    scoped(snapshot_clear) struct snapshot snapshot = finish(fixture->meta);
    scoped(meta_close) struct meta *other = open_meta();
    CHECK_OK(restore(other, &snapshot, true));
    CHECK(digest_of(other) == digest);
    CHECK(digest_of(fixture->meta) != digest);
}

static void a_large_snapshot_comes_in_pieces(void **state)
{
    (void)state;
    scoped(meta_close) struct meta *meta = open_meta();
    scoped(meta_close) struct meta *other = open_meta();
    scoped(view_change_clear) struct view_change founding =
        test_founding(MEMBER_NUMBERS_MAX, SHARD_COUNT_MAX, 3);
    CHECK_OK(run(meta, &founding));
    begin(meta);
    scoped(snapshot_clear) struct snapshot snapshot = finish(meta);
    CHECK(snapshot.piece_count > 1);
    CHECK(snapshot.length < META_SNAPSHOT_BYTES_MAX);
    for (size_t i = 0; i + 1 < snapshot.piece_count; i++) {
        CHECK(snapshot.piece_ends[i] == (i + 1) * META_PIECE_BYTES);
    }
    CHECK_OK(restore(other, &snapshot, true));
    CHECK(digest_of(other) == digest_of(meta));
}

static void small_pieces_serve_too(void **state)
{
    struct fixture *fixture = *state;
    struct machine machine = meta_machine(fixture->meta);
    scoped(snapshot_clear) struct snapshot snapshot = {0};
    struct writer none = writer_of(buffer, 0);
    begin(fixture->meta);
    CHECK_ERR(machine.snapshot_next(machine.context, &none), ERR_TOO_LARGE);
    for (int i = 0; i < 20; i++) {
        next_piece(fixture->meta, &snapshot, 100);
    }
    machine.snapshot_end(machine.context);
    scoped(meta_close) struct meta *other = open_meta();
    CHECK_OK(restore(other, &snapshot, true));
    CHECK(digest_of(other) == digest_of(fixture->meta));
}

static void a_snapshot_that_is_not_whole_leaves_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    scoped(meta_close) struct meta *other = open_meta();
    begin(other);
    scoped(snapshot_clear) struct snapshot snapshot = finish(other);
    uint64_t digest = digest_of(fixture->meta);
    CHECK(snapshot.piece_count == 1);
    size_t length = snapshot.length;
    for (; snapshot.piece_ends[0] > 0; snapshot.piece_ends[0]--) {
        bool is_whole = snapshot.piece_ends[0] == length;
        CHECK_ERR(restore(fixture->meta, &snapshot, !is_whole),
                  is_whole ? ERR_NONE : ERR_MALFORMED);
        CHECK(digest_of(fixture->meta) == digest);
    }
    snapshot.piece_ends[0] = length;
    snapshot.bytes[1] = 2; /* its format */
    CHECK_ERR(restore(fixture->meta, &snapshot, true), ERR_VERSION);
    CHECK(digest_of(fixture->meta) == digest);
}

static void a_snapshot_without_end_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    struct machine machine = meta_machine(fixture->meta);
    uint64_t digest = digest_of(fixture->meta);
    CHECK_OK(machine.restore_begin(machine.context));
    struct bytes piece = bytes_of(buffer, sizeof buffer);
    for (uint32_t i = 0; i < META_SNAPSHOT_BYTES_MAX / BUFFER_BYTES; i++) {
        CHECK_OK(machine.restore_piece(machine.context, piece));
    }
    CHECK_ERR(machine.restore_piece(machine.context, bytes_of(buffer, 1)),
              ERR_MALFORMED);
    CHECK_OK(machine.restore_end(machine.context, false));
    CHECK(digest_of(fixture->meta) == digest);
}

static void it_closes_in_the_middle_of_anything(void **state)
{
    (void)state;
    scoped(meta_close) struct meta *meta = open_meta();
    found(meta);
    struct machine machine = meta_machine(meta);
    struct view_change pause = test_change(VIEW_PAUSE);
    struct bytes outcome;
    struct bytes answer;
    CHECK_OK(decide(meta, &pause, &outcome, &answer));
    begin(meta);
    CHECK_OK(machine.restore_begin(machine.context));
    CHECK_OK(machine.restore_piece(machine.context, bytes_of_text("piece")));
}

/* ---- a model of a group: one leads, all apply ---- */

/* The log holds outcomes; each replica has applied a beginning of it. */
struct model {
    struct seeded seeded;
    struct meta *replicas[REPLICA_COUNT];
    uint32_t applied[REPLICA_COUNT];
    uint32_t leader;
    struct encoded_outcome {
        uint8_t *data;
        size_t length;
    } log[LOG_COUNT_MAX];
    uint32_t log_count;
    uint32_t committed;
    uint64_t digests[LOG_COUNT_MAX + 1]; /* after so many outcomes; 0: none
                                            has applied them yet */
    uint32_t restored_count;
    uint32_t dropped_count; /* outcomes that were decided and lost */
};

static void model_digest(struct model *model, uint32_t i)
{
    uint64_t digest = digest_of(model->replicas[i]);
    uint64_t *known = &model->digests[model->applied[i]];
    CHECK(*known == 0 || *known == digest);
    *known = digest;
}

static void model_propose(struct model *model)
{
    struct meta *meta = model->replicas[model->leader];
    struct bytes outcome;
    struct bytes reply;
    if (model->log_count == LOG_COUNT_MAX) {
        return;
    }
    scoped(view_change_clear) struct view_change change =
        test_random_change(&model->seeded, meta_view(meta));
    if (decide(meta, &change, &outcome, &reply)) {
        return;
    }
    uint8_t *data = malloc(outcome.length);
    CHECK(data);
    memcpy(data, outcome.data, outcome.length);
    model->log[model->log_count].data = data;
    model->log[model->log_count++].length = outcome.length;
}

static void model_apply(struct model *model, uint32_t i)
{
    if (model->applied[i] < model->committed) {
        struct encoded_outcome *next = &model->log[model->applied[i]];
        CHECK_OK(apply(model->replicas[i], bytes_of(next->data, next->length)));
        model->applied[i]++;
        model_digest(model, i);
    }
}

/* The leader applies what it commits; the others in their own time. */
static void model_commit(struct model *model)
{
    if (model->committed < model->log_count) {
        model->committed++;
        model_apply(model, model->leader);
    }
}

/* What is not committed is lost, or part of it is committed by the next. */
static void model_depose(struct model *model)
{
    drop(model->replicas[model->leader]);
    uint32_t open_count = model->log_count - model->committed;
    model->committed += (uint32_t)seeded_below(&model->seeded, open_count + 1);
    while (model->log_count > model->committed) {
        free(model->log[--model->log_count].data);
        model->dropped_count++;
    }
    model->leader = (uint32_t)seeded_below(&model->seeded, REPLICA_COUNT);
    while (model->applied[model->leader] < model->committed) {
        model_apply(model, model->leader); /* before it decides */
    }
}

/* From the leader to one that is behind. */
static void model_restore(struct model *model)
{
    uint32_t to = (uint32_t)seeded_below(&model->seeded, REPLICA_COUNT);
    if (to == model->leader ||
        model->applied[to] >= model->applied[model->leader]) {
        return;
    }
    begin(model->replicas[model->leader]);
    scoped(snapshot_clear) struct snapshot snapshot =
        finish(model->replicas[model->leader]);
    CHECK_OK(restore(model->replicas[to], &snapshot, true));
    model->applied[to] = model->applied[model->leader];
    model->restored_count++;
    model_digest(model, to);
}

static void model_step(struct model *model)
{
    uint64_t dice = seeded_below(&model->seeded, 100);
    if (dice < 40) {
        model_propose(model);
    } else if (dice < 65) {
        model_commit(model);
    } else if (dice < 92) {
        model_apply(model,
                    (uint32_t)seeded_below(&model->seeded, REPLICA_COUNT));
    } else if (dice < 96) {
        model_depose(model);
    } else {
        model_restore(model);
    }
}

static void model_finish(struct model *model)
{
    model_depose(model);
    for (uint32_t i = 0; i < REPLICA_COUNT; i++) {
        while (model->applied[i] < model->committed) {
            model_apply(model, i);
        }
        CHECK(digest_of(model->replicas[i]) == digest_of(model->replicas[0]));
    }
    for (uint32_t i = 0; i < REPLICA_COUNT; i++) {
        meta_close(&model->replicas[i]);
    }
    for (uint32_t i = 0; i < model->log_count; i++) {
        free(model->log[i].data);
    }
}

static void replicas_are_equal_after_any_history(void **state)
{
    (void)state;
    uint32_t committed_count = 0;
    uint32_t restored_count = 0;
    uint32_t dropped_count = 0;
    static struct model model;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        model = (struct model){.seeded.state = seed};
        for (uint32_t i = 0; i < REPLICA_COUNT; i++) {
            model.replicas[i] = open_meta();
        }
        for (int step = 0; step < 600; step++) {
            model_step(&model);
        }
        model_finish(&model);
        committed_count += model.committed;
        restored_count += model.restored_count;
        dropped_count += model.dropped_count;
    }
    CHECK(committed_count > 1000);
    CHECK(restored_count > 50);
    CHECK(dropped_count > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_member_gets_its_number_in_the_answer),
        TEST(other_answers_are_empty),
        TEST(what_was_decided_before_counts),
        TEST(a_refusal_changes_nothing_and_says_why),
        TEST(commands_that_are_none_are_refused),
        TEST(without_room_nothing_happens),
        TEST(the_leaders_clock_stands_in_the_outcome),
        TEST(outcomes_that_nobody_decided_are_malformed),
        TEST(a_new_view_is_told),
        TEST(questions_are_not_asked),
        TEST(changes_with_a_text_stand_in_the_journal),
        TEST(the_journal_keeps_its_newest_lines),
        cmocka_unit_test(a_machine_without_a_cluster_has_a_snapshot),
        TEST(a_snapshot_is_of_when_it_was_begun),
        cmocka_unit_test(a_large_snapshot_comes_in_pieces),
        TEST(small_pieces_serve_too),
        TEST(a_snapshot_that_is_not_whole_leaves_what_is_there),
        TEST(a_snapshot_without_end_is_malformed),
        cmocka_unit_test(it_closes_in_the_middle_of_anything),
        cmocka_unit_test(replicas_are_equal_after_any_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
