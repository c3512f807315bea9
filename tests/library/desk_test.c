#include "library/desk.h"

#include "tests/support/check.h"
#include "tests/support/fake_clock.h"

#include "base/owner.h"
#include "base/pack.h"
#include "base/time_units.h"
#include "shard/task_request.h"

#include <stdio.h>
#include <string.h>

#define HEARD_MAX 64
#define ASKED_MAX 32
#define TIMEOUT_NS (60 * NS_PER_S)

/* What was asked and waits for an answer; a copy of its bytes stays. */
struct asked_once {
    struct desk_call *call; /* NULL: answered, or called off */
    uint8_t bytes[16 << 10];
    size_t length;
};

/* A desk whose questions the test answers. */
struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct entropy entropy;
    uint64_t next_random;
    struct reactor *reactor;
    struct desk *desk;

    struct asked_once asked[ASKED_MAX];
    uint32_t asked_count;
    uint32_t cancelled_count;
    struct troupe_receipt receipts[HEARD_MAX];
    uint32_t receipt_count;
    struct troupe_result results[HEARD_MAX];
    char outputs[HEARD_MAX][16];
    uint32_t result_count;
    uint32_t progress_count;
    uint32_t done_of_1000;
    char progress_text[32];
    enum err told_err;
    uint64_t told;
    uint32_t told_count;
};

static void fill(void *context, void *to, size_t length)
{
    struct fixture *f = context;
    f->next_random += UINT64_C(0x123456789abcdef1);
    CHECK(length == sizeof f->next_random);
    memcpy(to, &f->next_random, length);
}

static void ask(void *context, struct desk_call *call)
{
    struct fixture *f = context;
    CHECK(f->asked_count < ASKED_MAX);
    struct asked_once *one = &f->asked[f->asked_count++];
    CHECK(call->question.length <= sizeof one->bytes);
    CHECK(call->until_ns > f->fake.now_ns);
    one->call = call;
    one->length = call->question.length;
    memcpy(one->bytes, call->question.data, one->length);
}

static void cancel(void *context, struct desk_call *call)
{
    struct fixture *f = context;
    for (uint32_t i = 0; i < f->asked_count; i++) {
        if (f->asked[i].call == call) {
            f->asked[i].call = NULL;
            f->cancelled_count++;
        }
    }
}

static int set_up(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    f.fake.now_ns = NS_PER_S;
    f.clock = fake_clock_table(&f.fake);
    f.entropy = (struct entropy){.context = &f, .fill = fill};
    CHECK_OK(reactor_open(&f.reactor, &(struct reactor_config){
                                          .name = "test", .clock = &f.clock}));
    CHECK_OK(desk_open(
        &f.desk, &(struct desk_config){
                     .reactor = f.reactor,
                     .clock = &f.clock,
                     .entropy = &f.entropy,
                     .way = {.context = &f, .ask = ask, .cancel = cancel}}));
    *state = &f;
    return 0;
}

static void turn(struct fixture *f)
{
    (void)reactor_turn(f->reactor);
}

static void pass(struct fixture *f, uint64_t ns)
{
    f->fake.now_ns += ns;
    turn(f);
}

static void on_stopped(struct desk_stop *stop)
{
    (void)stop;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct desk_stop stop = {.stopped = on_stopped};
    desk_stop(f->desk, &stop);
    turn(f);
    turn(f);
    desk_close(&f->desk);
    reactor_close(&f->reactor);
    return 0;
}

/* ---- what the caller does and hears ---- */

static void on_receipt(void *context, const struct troupe_receipt *receipt)
{
    struct fixture *f = context;
    if (f->receipt_count < HEARD_MAX) {
        f->receipts[f->receipt_count] = *receipt;
    }
    f->receipt_count++;
}

static void on_result(void *context, const struct troupe_result *result)
{
    struct fixture *f = context;
    CHECK(f->result_count < HEARD_MAX);
    (void)snprintf(f->outputs[f->result_count], sizeof *f->outputs, "%.*s",
                   (int)result->output_length, (const char *)result->output);
    f->results[f->result_count++] = *result;
}

static void on_told(void *context, enum err err, uint64_t count)
{
    struct fixture *f = context;
    f->told_count++;
    f->told_err = err;
    f->told = count;
}

static void submit_with(struct fixture *f,
                        const struct troupe_spec *spec,
                        uint64_t timeout_ns)
{
    enum err err;
    struct errand *errand = errand_submit(spec, &err);
    CHECK_OK(err);
    errand->until_ns = f->fake.now_ns + timeout_ns;
    errand->done.receipt = on_receipt;
    errand->context = f;
    CHECK_OK(desk_put(f->desk, errand, false));
}

static void submit(struct fixture *f, const char *payload)
{
    struct troupe_spec spec = {
        .pool = "p", .payload = payload, .payload_length = strlen(payload)};
    submit_with(f, &spec, TIMEOUT_NS);
}

static void submit_ordered(struct fixture *f, const char *payload)
{
    struct troupe_spec spec = {.pool = "p",
                               .order = "o",
                               .payload = payload,
                               .payload_length = strlen(payload)};
    submit_with(f, &spec, TIMEOUT_NS);
}

static void on_progress(void *context, const struct troupe_progress *progress)
{
    struct fixture *f = context;
    f->progress_count++;
    f->done_of_1000 = progress->done_of_1000;
    (void)snprintf(f->progress_text, sizeof f->progress_text, "%s",
                   progress->text);
}

static void await_for(struct fixture *f,
                      uint64_t id,
                      troupe_on_progress *progress,
                      uint64_t timeout_ns)
{
    enum err err;
    struct errand *errand = errand_await(id, progress, &err);
    CHECK_OK(err);
    errand->until_ns = f->fake.now_ns + timeout_ns;
    errand->done.result = on_result;
    errand->context = f;
    CHECK_OK(desk_put(f->desk, errand, false));
}

static void await_with(struct fixture *f,
                       uint64_t id,
                       troupe_on_progress *progress)
{
    await_for(f, id, progress, TIMEOUT_NS);
}

static void await(struct fixture *f, uint64_t id)
{
    await_with(f, id, NULL);
}

/* ---- the answers ---- */

static void answer_bytes(struct fixture *f,
                         uint32_t at,
                         enum err err,
                         struct bytes bytes)
{
    struct desk_call *call = f->asked[at].call;
    CHECK(call);
    f->asked[at].call = NULL;
    call->done(call, err, bytes);
    turn(f);
}

static void refuse(struct fixture *f, uint32_t at, enum err err)
{
    answer_bytes(f, at, err, (struct bytes){0});
}

static void answer_runs(struct fixture *f,
                        uint32_t at,
                        const struct book_run *runs,
                        uint32_t count)
{
    uint8_t buffer[256];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        book_run_encode(&runs[i], &writer);
    }
    answer_bytes(f, at, ERR_NONE, writer_bytes(&writer));
}

static void accept(struct fixture *f, uint32_t at, uint32_t count, uint64_t id)
{
    struct book_run run = {.count = count, .first = id};
    answer_runs(f, at, &run, 1);
}

static void answer_outcomes(struct fixture *f,
                            uint32_t at,
                            const struct task_outcome *outcomes,
                            uint32_t count)
{
    uint8_t buffer[1024];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        task_outcome_encode(&outcomes[i], &writer);
    }
    answer_bytes(f, at, ERR_NONE, writer_bytes(&writer));
}

static struct task_outcome done_with(uint64_t id, const char *output)
{
    return (struct task_outcome){.id = id,
                                 .end = {.id = id,
                                         .state = TASK_DONE,
                                         .attempts = 1,
                                         .output = bytes_of_text(output)}};
}

/* The numbers of a submission. */
struct submission {
    uint64_t number;
    uint32_t count;
};

static struct submission submission_at(const struct fixture *f, uint32_t at)
{
    struct submission out = {0};
    struct reader reader =
        reader_of(bytes_of(f->asked[at].bytes, f->asked[at].length));
    CHECK(pack_read_array(&reader) == 4);
    CHECK(pack_read_uint(&reader) == TASK_REQUEST_SUBMIT);
    CHECK(bytes_are_equal(pack_read_str(&reader), bytes_of_text("p")));
    out.number = pack_read_uint(&reader);
    out.count = pack_read_array(&reader);
    CHECK(!reader.failed);
    return out;
}

static bool are_same(const struct fixture *f, uint32_t left, uint32_t right)
{
    return bytes_are_equal(
        bytes_of(f->asked[left].bytes, f->asked[left].length),
        bytes_of(f->asked[right].bytes, f->asked[right].length));
}

/* ---- submitting ---- */

static void tasks_go_together_in_one_question(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    submit(f, "b");
    submit(f, "c");
    CHECK(f->asked_count == 0);
    turn(f);
    CHECK(f->asked_count == 1 && submission_at(f, 0).count == 3);
    accept(f, 0, 3, 70);
    CHECK(f->receipt_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(!f->receipts[i].error && f->receipts[i].id == 70 + i);
    }
}

static void each_task_hears_its_own_answer(void **state)
{
    struct fixture *f = *state;
    const struct book_run runs[] = {{.count = 1, .first = 5},
                                    {.count = 1, .err = ERR_EXISTS},
                                    {.count = 1, .first = 3, .is_known = true},
                                    {.count = 1, .err = ERR_TOO_LARGE}};
    for (uint32_t i = 0; i < 4; i++) {
        submit(f, "x");
    }
    turn(f);
    answer_runs(f, 0, runs, 4);
    CHECK(f->receipt_count == 4);
    CHECK(f->receipts[0].id == 5 && !f->receipts[0].is_known);
    CHECK(f->receipts[1].error == TROUPE_ERR_EXISTS);
    CHECK(f->receipts[2].id == 3 && f->receipts[2].is_known);
    CHECK(f->receipts[3].error == TROUPE_ERR_TOO_LARGE);
}

static void what_did_not_come_through_is_asked_again_as_it_was(void **state)
{
    struct fixture *f = *state;
    const enum err passing[] = {ERR_UNCERTAIN, ERR_TIMEOUT, ERR_UNREACHABLE,
                                ERR_NO_QUORUM, ERR_BUSY};
    submit(f, "a");
    turn(f);
    for (uint32_t i = 0; i < 5; i++) {
        refuse(f, i, passing[i]);
        CHECK(f->receipt_count == 0 && f->asked_count == i + 1);
        pass(f, NS_PER_S);
        CHECK(f->asked_count == i + 2 && are_same(f, 0, i + 1));
    }
    accept(f, 5, 1, 9);
    CHECK(f->receipt_count == 1 && f->receipts[0].id == 9);
}

static void others_do_not_wait_for_what_is_asked_again(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    turn(f);
    refuse(f, 0, ERR_UNCERTAIN);
    submit(f, "b");
    turn(f);
    CHECK(f->asked_count == 2 && !are_same(f, 0, 1));
    CHECK(submission_at(f, 0).number != submission_at(f, 1).number);
}

static void of_a_part_that_failed_the_whole_is_asked_again(void **state)
{
    struct fixture *f = *state;
    const struct book_run first[] = {{.count = 1, .first = 5},
                                     {.count = 1, .err = ERR_TIMEOUT}};
    const struct book_run again[] = {{.count = 1, .first = 5},
                                     {.count = 1, .first = 8}};
    submit(f, "a");
    submit(f, "b");
    turn(f);
    answer_runs(f, 0, first, 2);
    CHECK(f->receipt_count == 1 && f->receipts[0].id == 5);
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 2 && are_same(f, 0, 1));
    answer_runs(f, 1, again, 2);
    CHECK(f->receipt_count == 2 && f->receipts[1].id == 8);
}

static void a_full_pool_is_asked_again_under_another_number(void **state)
{
    struct fixture *f = *state;
    const struct book_run runs[] = {{.count = 1, .first = 5},
                                    {.count = 2, .err = ERR_FULL}};
    submit(f, "a");
    submit(f, "b");
    submit(f, "c");
    turn(f);
    answer_runs(f, 0, runs, 2);
    CHECK(f->receipt_count == 1 && f->asked_count == 1);
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 2 && submission_at(f, 1).count == 2);
    CHECK(submission_at(f, 0).number != submission_at(f, 1).number);
    accept(f, 1, 2, 20);
    CHECK(f->receipts[1].id == 20 && f->receipts[2].id == 21);
}

static void an_uncertain_task_does_not_change_its_number(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    turn(f);
    refuse(f, 0, ERR_UNCERTAIN);
    pass(f, NS_PER_S);
    const struct book_run full = {.count = 1, .err = ERR_FULL};
    answer_runs(f, 1, &full, 1);
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 3 && are_same(f, 0, 2));
}

static void a_refusal_for_good_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    submit(f, "b");
    turn(f);
    refuse(f, 0, ERR_NOT_FOUND);
    CHECK(f->receipt_count == 2 && f->asked_count == 1);
    CHECK(f->receipts[0].error == TROUPE_ERR_NOT_FOUND);
}

static void a_refusal_after_doubt_leaves_the_doubt(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    turn(f);
    refuse(f, 0, ERR_UNCERTAIN);
    pass(f, NS_PER_S);
    refuse(f, 1, ERR_DENIED);
    CHECK(f->receipt_count == 1);
    CHECK(f->receipts[0].error == TROUPE_ERR_UNCERTAIN);
}

static void an_answer_that_makes_no_sense_leaves_a_doubt(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    submit(f, "b");
    turn(f);
    accept(f, 0, 1, 7); /* one run for two tasks */
    CHECK(f->receipt_count == 2 && f->receipts[0].id == 7);
    CHECK(f->receipts[1].error == TROUPE_ERR_UNCERTAIN);
    submit(f, "c");
    turn(f);
    accept(f, 1, 9, 7); /* more than there are */
    CHECK(f->receipts[2].error == TROUPE_ERR_UNCERTAIN);
}

static void when_time_is_over_what_was_asked_is_uncertain(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    turn(f);
    pass(f, TIMEOUT_NS + 1);
    CHECK(f->receipt_count == 1 && f->cancelled_count == 1);
    CHECK(f->receipts[0].error == TROUPE_ERR_UNCERTAIN);
}

static void when_time_is_over_what_never_happened_is_certain(void **state)
{
    struct fixture *f = *state;
    submit(f, "a");
    turn(f);
    refuse(f, 0, ERR_NO_QUORUM);
    f->fake.now_ns += TIMEOUT_NS - 1;
    turn(f);
    refuse(f, 1, ERR_NO_QUORUM);
    pass(f, 1);
    CHECK(f->receipt_count == 1 && f->asked_count == 2);
    CHECK(f->receipts[0].error == TROUPE_ERR_NO_QUORUM);
}

static void each_has_its_own_deadline(void **state)
{
    struct fixture *f = *state;
    struct troupe_spec spec = {.pool = "p"};
    submit_with(f, &spec, 3 * NS_PER_S);
    submit_with(f, &spec, NS_PER_S);
    submit_with(f, &spec, 2 * NS_PER_S);
    turn(f);
    pass(f, NS_PER_S);
    CHECK(f->receipt_count == 1);
    pass(f, NS_PER_S);
    CHECK(f->receipt_count == 2 && f->cancelled_count == 0);
    accept(f, 0, 3, 1);
    CHECK(f->receipt_count == 3 && f->receipts[2].id == 1);
}

static void ordered_tasks_have_one_question_at_a_time(void **state)
{
    struct fixture *f = *state;
    submit_ordered(f, "1");
    turn(f);
    submit_ordered(f, "2");
    submit_ordered(f, "3");
    turn(f);
    CHECK(f->asked_count == 1);
    submit(f, "another");
    turn(f);
    CHECK(f->asked_count == 2); /* without order: at once */
    refuse(f, 0, ERR_UNCERTAIN);
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 3 && are_same(f, 0, 2));
    accept(f, 2, 1, 1);
    CHECK(f->asked_count == 4 && submission_at(f, 3).count == 2);
}

static void questions_of_a_pool_are_limited(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 20; i++) {
        submit(f, "x");
        turn(f);
    }
    CHECK(f->asked_count == 8);
    accept(f, 0, 1, 1);
    CHECK(f->asked_count == 9 && submission_at(f, 8).count == 12);
}

static void bad_specs_are_refused(void **state)
{
    (void)state;
    char longer[TASK_KEY_BYTES_MAX + 2];
    memset(longer, 'k', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    uint64_t after[TASK_AFTER_COUNT_MAX + 1] = {0};
    const struct {
        struct troupe_spec spec;
        enum err err;
    } cases[] = {
        {{.pool = ""}, ERR_INVALID},
        {{.pool = "No Pool"}, ERR_INVALID},
        {{.pool = longer}, ERR_INVALID},
        {{.key = longer}, ERR_INVALID},
        {{.order = longer}, ERR_INVALID},
        {{.tenant = longer}, ERR_INVALID},
        {{.priority = 9}, ERR_INVALID},
        {{.payload_length = 1}, ERR_INVALID},
        {{.after = after, .after_count = TASK_AFTER_COUNT_MAX + 1},
         ERR_INVALID},
        {{.payload = longer, .payload_length = CALLS_QUESTION_BYTES_MAX + 1},
         ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum err err;
        CHECK(!errand_submit(&cases[i].spec, &err));
        CHECK_ERR(err, cases[i].err);
    }
}

/* The same as what the shard's own functions make of it. */
static void a_spec_is_written_in_full(void **state)
{
    (void)state;
    const uint64_t after[] = {4, 5};
    const struct troupe_spec spec = {.pool = "p",
                                     .payload = "load",
                                     .payload_length = 4,
                                     .key = "k",
                                     .order = "o",
                                     .tenant = "t",
                                     .priority = 1,
                                     .attempts_max = 2,
                                     .timeout_ms = 3,
                                     .delay_ms = 4,
                                     .ttl_ms = 5,
                                     .after = after,
                                     .after_count = 2};
    enum err err;
    struct errand *errand = errand_submit(&spec, &err);
    struct task_spec read;
    struct reader reader = reader_of(errand->encoded);
    task_spec_decode(&read, &reader);
    CHECK(!reader.failed && reader_left(&reader) == 0);
    CHECK(bytes_are_equal(read.payload, bytes_of_text("load")));
    CHECK(bytes_are_equal(read.key, bytes_of_text("k")));
    CHECK(bytes_are_equal(read.order, bytes_of_text("o")));
    CHECK(bytes_are_equal(read.tenant, bytes_of_text("t")));
    CHECK(read.priority == 0 && read.attempts_max == 2);
    CHECK(read.timeout_ms == 3 && read.delay_ms == 4 && read.ttl_ms == 5);
    CHECK(read.after_count == 2 && read.after[1] == 5);
    errand_free(errand);
    errand = errand_submit(&(struct troupe_spec){.payload = NULL}, &err);
    reader = reader_of(errand->encoded);
    task_spec_decode(&read, &reader);
    CHECK(read.priority == TASK_PRIORITY_DEFAULT);
    assert_string_equal(errand->pool, TASK_POOL_DEFAULT);
    errand_free(errand);
}

/* ---- awaiting ---- */

static void results_come_as_tasks_end(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 3; id++) {
        await(f, id);
    }
    turn(f);
    CHECK(f->asked_count == 1);
    struct task_outcome first = done_with(2, "two");
    answer_outcomes(f, 0, &first, 1);
    CHECK(f->result_count == 1 && f->results[0].id == 2);
    assert_string_equal(f->outputs[0], "two");
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 2);
    struct task_outcome rest[] = {done_with(1, "one"),
                                  {.id = 3, .err = ERR_NOT_FOUND}};
    answer_outcomes(f, 1, rest, 2);
    CHECK(f->result_count == 3 && f->results[1].state == TROUPE_DONE);
    CHECK(f->results[2].error == TROUPE_ERR_NOT_FOUND);
}

static void a_task_may_be_awaited_twice(void **state)
{
    struct fixture *f = *state;
    await(f, 1);
    await(f, 1);
    turn(f);
    struct task_outcome both[] = {done_with(1, "x"), done_with(1, "x")};
    answer_outcomes(f, 0, both, 2);
    CHECK(f->result_count == 2);
}

static void waiting_goes_on_when_a_node_is_lost(void **state)
{
    struct fixture *f = *state;
    await(f, 1);
    turn(f);
    refuse(f, 0, ERR_UNCERTAIN);
    CHECK(f->result_count == 0);
    pass(f, NS_PER_S);
    struct task_outcome outcome = done_with(1, "x");
    answer_outcomes(f, 1, &outcome, 1);
    CHECK(f->result_count == 1 && !f->results[0].error);
}

static void what_has_not_ended_in_time_is_told(void **state)
{
    struct fixture *f = *state;
    await(f, 1);
    turn(f);
    answer_outcomes(f, 0, NULL, 0);
    pass(f, NS_PER_S);
    pass(f, TIMEOUT_NS);
    CHECK(f->result_count == 1);
    CHECK(f->results[0].error == TROUPE_ERR_TIMEOUT);
}

/* A service that answers nothing at once must not be asked without end. */
static void an_empty_answer_at_once_is_no_busy_loop(void **state)
{
    struct fixture *f = *state;
    await(f, 1);
    turn(f);
    answer_outcomes(f, 0, NULL, 0);
    turn(f);
    CHECK(f->asked_count == 1);
    pass(f, NS_PER_S);
    CHECK(f->asked_count == 2);
}

static void an_outcome_that_was_not_asked_for_is_an_error(void **state)
{
    struct fixture *f = *state;
    await(f, 1);
    turn(f);
    struct task_outcome other = done_with(2, "x");
    answer_outcomes(f, 0, &other, 1);
    CHECK(f->result_count == 1);
    CHECK(f->results[0].error == TROUPE_ERR_MALFORMED);
}

/* They have been asked for in one question. */
static void who_was_told_that_time_is_over_harms_no_other(void **state)
{
    struct fixture *f = *state;
    await_for(f, 1, NULL, NS_PER_S);
    await(f, 2);
    turn(f);
    CHECK(f->asked_count == 1);
    pass(f, NS_PER_S);
    CHECK(f->result_count == 1);
    CHECK(f->results[0].error == TROUPE_ERR_TIMEOUT);
    struct task_outcome both[] = {done_with(1, "late"), done_with(2, "x")};
    answer_outcomes(f, 0, both, 2);
    CHECK(f->result_count == 2 && !f->results[1].error);
    CHECK(f->results[1].id == 2);
    assert_string_equal(f->outputs[1], "x");
}

/* ---- changes, room, the end ---- */

static void a_change_is_asked_until_it_is_answered(void **state)
{
    struct fixture *f = *state;
    const uint64_t ids[] = {1, 2};
    enum err err;
    struct errand *errand = errand_change(BOOK_CANCEL, ids, 2, &err);
    CHECK_OK(err);
    errand->until_ns = f->fake.now_ns + TIMEOUT_NS;
    errand->done.told = on_told;
    errand->context = f;
    CHECK_OK(desk_put(f->desk, errand, false));
    turn(f);
    refuse(f, 0, ERR_NOT_LEADER);
    pass(f, NS_PER_S);
    CHECK(f->told_count == 0 && are_same(f, 0, 1));
    uint8_t count = 2;
    answer_bytes(f, 1, ERR_NONE, bytes_of(&count, 1));
    CHECK(f->told_count == 1 && f->told == 2 && !f->told_err);
}

/* As many as there is room for; they have a second. */
static uint32_t fill_up(struct fixture *f)
{
    struct troupe_spec spec = {.pool = "p"};
    for (uint32_t count = 0;; count++) {
        enum err err;
        struct errand *errand = errand_submit(&spec, &err);
        CHECK_OK(err);
        errand->until_ns = f->fake.now_ns + NS_PER_S;
        err = desk_put(f->desk, errand, false);
        if (err) {
            CHECK_ERR(err, ERR_FULL);
            errand_free(errand);
            return count;
        }
    }
}

/* What is asked with which number of what was seen; fails for a plain one. */
static uint64_t seen_at(const struct fixture *f, uint32_t at)
{
    struct task_await await;
    CHECK_OK(task_await_decode(
        &await, bytes_of(f->asked[at].bytes, f->asked[at].length)));
    CHECK(await.is_curious && await.count == 1 && !await.is_limited);
    return pack_read_uint(&await.seen);
}

static void tell_said(struct fixture *f,
                      uint32_t at,
                      uint64_t number,
                      uint32_t done)
{
    struct task_outcome outcome = {
        .id = 7,
        .err = ERR_BUSY,
        .said = {.number = number, .done_of_1000 = done, .text = "works"}};
    answer_outcomes(f, at, &outcome, 1);
}

static void who_wants_progress_is_told_of_it(void **state)
{
    struct fixture *f = *state;
    await_with(f, 7, on_progress);
    turn(f);
    await(f, 6);
    turn(f);
    CHECK(f->asked_count == 2); /* a question of its own */
    struct task_await plain;
    CHECK_OK(task_await_decode(
        &plain, bytes_of(f->asked[1].bytes, f->asked[1].length)));
    CHECK(!plain.is_curious && plain.count == 1);
    CHECK(seen_at(f, 0) == 0);
    f->fake.now_ns += NS_PER_S;
    tell_said(f, 0, 99, 420);
    CHECK(f->progress_count == 1 && f->done_of_1000 == 420);
    assert_string_equal(f->progress_text, "works");
    CHECK(f->result_count == 0 && f->asked_count == 3);
    CHECK(seen_at(f, 2) == 99); /* that is known */
    struct task_outcome done = done_with(7, "x");
    answer_outcomes(f, 2, &done, 1);
    CHECK(f->result_count == 1 && f->results[0].id == 7);
    CHECK(f->progress_count == 1);
}

static void who_waits_for_room_is_told(void **state)
{
    struct fixture *f = *state;
    enum err err;
    CHECK(fill_up(f) == DESK_ERRANDS_MAX);
    struct errand *room = errand_room(&err);
    CHECK_OK(err);
    room->until_ns = f->fake.now_ns + TIMEOUT_NS;
    room->done.told = on_told;
    room->context = f;
    CHECK_OK(desk_put(f->desk, room, false));
    turn(f);
    CHECK(f->told_count == 0);
    struct errand *within = errand_await(1, NULL, &err);
    CHECK_OK(err);
    within->until_ns = f->fake.now_ns + NS_PER_S;
    CHECK_OK(desk_put(f->desk, within, true));
    pass(f, NS_PER_S);
    CHECK(f->told_count == 1 && !f->told_err);
    submit(f, "there is room");
}

static void the_end_is_told_to_all(void **state)
{
    struct fixture *f = *state;
    submit_ordered(f, "asked");
    turn(f);
    submit_ordered(f, "waits");
    await(f, 1);
    turn(f);
    submit(f, "just put");
    struct desk_stop stop = {.stopped = on_stopped};
    desk_stop(f->desk, &stop);
    turn(f);
    CHECK(f->receipt_count == 3 && f->result_count == 1);
    CHECK(f->cancelled_count >= 2);
    uint32_t uncertain = 0;
    for (uint32_t i = 0; i < 3; i++) {
        uncertain += f->receipts[i].error == TROUPE_ERR_UNCERTAIN;
        CHECK(f->receipts[i].error == TROUPE_ERR_UNCERTAIN ||
              f->receipts[i].error == TROUPE_ERR_CLOSED);
    }
    CHECK(uncertain == f->asked_count - 1); /* but for the await */
    CHECK(f->results[0].error == TROUPE_ERR_CLOSED);
    enum err err;
    struct errand *late = errand_await(2, NULL, &err);
    CHECK_OK(err);
    CHECK_ERR(desk_put(f->desk, late, true), ERR_CLOSED);
    errand_free(late);
}

int main(void)
{
#define WITH_DESK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DESK(tasks_go_together_in_one_question),
        WITH_DESK(each_task_hears_its_own_answer),
        WITH_DESK(what_did_not_come_through_is_asked_again_as_it_was),
        WITH_DESK(others_do_not_wait_for_what_is_asked_again),
        WITH_DESK(of_a_part_that_failed_the_whole_is_asked_again),
        WITH_DESK(a_full_pool_is_asked_again_under_another_number),
        WITH_DESK(an_uncertain_task_does_not_change_its_number),
        WITH_DESK(a_refusal_for_good_is_told_at_once),
        WITH_DESK(a_refusal_after_doubt_leaves_the_doubt),
        WITH_DESK(an_answer_that_makes_no_sense_leaves_a_doubt),
        WITH_DESK(when_time_is_over_what_was_asked_is_uncertain),
        WITH_DESK(when_time_is_over_what_never_happened_is_certain),
        WITH_DESK(each_has_its_own_deadline),
        WITH_DESK(ordered_tasks_have_one_question_at_a_time),
        WITH_DESK(questions_of_a_pool_are_limited),
        WITH_DESK(bad_specs_are_refused),
        WITH_DESK(a_spec_is_written_in_full),
        WITH_DESK(results_come_as_tasks_end),
        WITH_DESK(a_task_may_be_awaited_twice),
        WITH_DESK(waiting_goes_on_when_a_node_is_lost),
        WITH_DESK(what_has_not_ended_in_time_is_told),
        WITH_DESK(an_empty_answer_at_once_is_no_busy_loop),
        WITH_DESK(an_outcome_that_was_not_asked_for_is_an_error),
        WITH_DESK(who_was_told_that_time_is_over_harms_no_other),
        WITH_DESK(a_change_is_asked_until_it_is_answered),
        WITH_DESK(who_wants_progress_is_told_of_it),
        WITH_DESK(who_waits_for_room_is_told),
        WITH_DESK(the_end_is_told_to_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
