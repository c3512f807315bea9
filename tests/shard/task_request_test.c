#include "shard/task_request.h"

#include "base/pack.h"
#include "tests/support/check.h"

#include <string.h>

static uint8_t buffer[128 << 10];
static uint64_t ids[TASK_REQUEST_IDS_MAX + 1];

static struct writer writer_on(size_t room)
{
    assert_true(room <= sizeof buffer);
    return writer_of(buffer, room);
}

/* What a decoder of a whole question says of each beginning of it. */
static void check_cut(struct bytes question, enum err (*decode)(struct bytes))
{
    CHECK_OK(decode(question));
    for (size_t i = 0; i < question.length; i++) {
        CHECK_ERR(decode(bytes_of(question.data, i)), ERR_MALFORMED);
    }
}

/* ---- specs ---- */

static struct task_spec full_spec(void)
{
    struct task_spec spec = {.payload = bytes_of_text("payload"),
                             .key = bytes_of_text("key"),
                             .order = bytes_of_text("order"),
                             .tenant = bytes_of_text("tenant"),
                             .priority = TASK_PRIORITY_COUNT - 1,
                             .delay_ms = UINT64_MAX / 4,
                             .ttl_ms = UINT64_MAX / 4,
                             .attempts_max = UINT32_MAX,
                             .timeout_ms = UINT32_MAX,
                             .after_count = TASK_AFTER_COUNT_MAX};
    for (uint32_t i = 0; i < TASK_AFTER_COUNT_MAX; i++) {
        spec.after[i] = UINT64_MAX - i;
    }
    return spec;
}

static struct bytes written_spec(const struct task_spec *spec)
{
    struct writer writer = writer_on(task_spec_bytes_max(spec));
    task_spec_encode(spec, &writer);
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static bool takes_spec(const struct task_spec *spec)
{
    struct task_spec to;
    struct reader reader = reader_of(written_spec(spec));
    task_spec_decode(&to, &reader);
    return !reader.failed;
}

static void check_same_spec(const struct task_spec *from)
{
    struct task_spec to;
    struct reader reader = reader_of(written_spec(from));
    task_spec_decode(&to, &reader);
    assert_false(reader.failed);
    assert_int_equal(reader_left(&reader), 0);
    assert_true(bytes_are_equal(to.payload, from->payload));
    assert_true(bytes_are_equal(to.key, from->key));
    assert_true(bytes_are_equal(to.order, from->order));
    assert_true(bytes_are_equal(to.tenant, from->tenant));
    assert_int_equal(to.priority, from->priority);
    assert_true(to.delay_ms == from->delay_ms && to.ttl_ms == from->ttl_ms);
    assert_int_equal(to.attempts_max, from->attempts_max);
    assert_int_equal(to.timeout_ms, from->timeout_ms);
    assert_int_equal(to.after_count, from->after_count);
    assert_memory_equal(to.after, from->after,
                        from->after_count * sizeof *to.after);
}

static void a_spec_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct task_spec full = full_spec();
    struct task_spec plain = task_spec_of((struct bytes){0});
    check_same_spec(&full);
    check_same_spec(&plain);
    /* Each field alone: those before it are as by default. */
    struct task_spec each[9];
    for (size_t i = 0; i < 9; i++) {
        each[i] = plain;
    }
    each[0].priority = 0;
    each[1].delay_ms = 1;
    each[2].ttl_ms = 1;
    each[3].attempts_max = 1;
    each[4].timeout_ms = 1;
    each[5].key = bytes_of_text("k");
    each[6].order = bytes_of_text("o");
    each[7].tenant = bytes_of_text("t");
    each[8].after_count = 1;
    for (size_t i = 0; i < 9; i++) {
        check_same_spec(&each[i]);
    }
}

static void a_spec_that_is_cut_fails(void **state)
{
    (void)state;
    struct task_spec spec = full_spec();
    struct bytes bytes = written_spec(&spec);
    for (size_t i = 0; i < bytes.length; i++) {
        struct reader reader = reader_of(bytes_of(bytes.data, i));
        task_spec_decode(&spec, &reader);
        assert_true(reader.failed);
    }
}

static void a_spec_has_bounds(void **state)
{
    (void)state;
    static const char text[TASK_KEY_BYTES_MAX + 1] = "x";
    struct bytes longest = bytes_of(text, TASK_KEY_BYTES_MAX);
    struct bytes longer = bytes_of(text, TASK_KEY_BYTES_MAX + 1);
    struct task_spec specs[6];
    for (size_t i = 0; i < 6; i++) {
        specs[i] = full_spec();
        specs[i].key = specs[i].order = specs[i].tenant = longest;
        assert_true(takes_spec(&specs[i]));
    }
    specs[0].key = longer;
    specs[1].order = longer;
    specs[2].tenant = longer;
    specs[3].priority = TASK_PRIORITY_COUNT;
    specs[4].delay_ms++;
    specs[5].ttl_ms++;
    for (size_t i = 0; i < 6; i++) {
        assert_false(takes_spec(&specs[i]));
    }
}

/* A number or a list beyond what the struct holds. */
static void a_spec_of_another_s_making_has_bounds_too(void **state)
{
    (void)state;
    static const uint32_t places[] = {4, 5}; /* attempts, timeout */
    for (size_t i = 0; i < 2; i++) {
        struct task_spec to;
        struct writer writer = writer_on(sizeof buffer);
        pack_array(&writer, places[i] + 1);
        pack_bin(&writer, (struct bytes){0});
        for (uint32_t j = 1; j < places[i]; j++) {
            pack_uint(&writer, 0);
        }
        pack_uint(&writer, UINT32_MAX + UINT64_C(1));
        struct reader reader = reader_of(writer_bytes(&writer));
        task_spec_decode(&to, &reader);
        assert_true(reader.failed);
    }
    struct task_spec spec = full_spec();
    struct bytes bytes = written_spec(&spec);
    uint8_t *head = buffer + bytes.length - 9 * TASK_AFTER_COUNT_MAX - 3;
    assert_int_equal(head[0], 0xdc); /* the list of those before it */
    assert_int_equal(head[2], TASK_AFTER_COUNT_MAX);
    head[2]++;
    memcpy(buffer + bytes.length, "\x00", 1);
    struct reader reader = reader_of(bytes_of(buffer, bytes.length + 1));
    task_spec_decode(&spec, &reader);
    assert_true(reader.failed);
}

/* ---- what is asked ---- */

static void only_what_can_be_asked_has_a_kind(void **state)
{
    (void)state;
    for (uint64_t kind = 0; kind <= TASK_REQUEST_KIND_COUNT; kind++) {
        struct writer writer = writer_on(sizeof buffer);
        pack_array(&writer, 3);
        pack_uint(&writer, kind);
        pack_nil(&writer);
        pack_nil(&writer);
        bool is_one = kind > 0 && kind < TASK_REQUEST_KIND_COUNT;
        assert_int_equal(task_request_kind(writer_bytes(&writer)),
                         is_one ? kind : 0);
    }
    assert_int_equal(task_request_kind((struct bytes){0}), 0);
    assert_int_equal(task_request_kind(bytes_of("\x92\x01\x01", 3)), 0);
}

static struct bytes written_await(uint32_t count,
                                  uint64_t wait_ms,
                                  const char *pools)
{
    struct writer writer = writer_on(task_await_bytes_max(count));
    task_await_encode(&writer,
                      &(struct task_await_question){.kind = TASK_REQUEST_AWAIT,
                                                    .count = count,
                                                    .ids = ids,
                                                    .wait_ms = wait_ms,
                                                    .pools = pools});
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static enum err decode_await(struct bytes question)
{
    struct task_await await;
    return task_await_decode(&await, question);
}

static void an_await_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct task_await await;
    CHECK_OK(
        task_await_decode(&await, written_await(TASK_REQUEST_IDS_MAX,
                                                TASK_AWAIT_MS_MAX, "a,b*")));
    assert_int_equal(await.count, TASK_REQUEST_IDS_MAX);
    assert_int_equal(await.wait_ms, TASK_AWAIT_MS_MAX);
    assert_true(await.is_limited);
    assert_string_equal(await.pools, "a,b*");
    for (uint32_t i = 0; i < await.count; i++) {
        assert_true(pack_read_uint(&await.ids) == ids[i]);
    }
    CHECK_OK(task_await_decode(&await, written_await(1, 0, NULL)));
    assert_false(await.is_limited);
    CHECK_OK(task_await_decode(&await, written_await(1, 0, "")));
    assert_true(await.is_limited); /* to none */
}

static void an_await_has_bounds(void **state)
{
    (void)state;
    static char pools[CERTIFICATE_POOLS_BYTES + 1];
    memset(pools, 'p', CERTIFICATE_POOLS_BYTES);
    CHECK_ERR(decode_await(written_await(0, 0, NULL)), ERR_INVALID);
    CHECK_ERR(decode_await(written_await(TASK_REQUEST_IDS_MAX + 1, 0, NULL)),
              ERR_MALFORMED);
    CHECK_ERR(decode_await(written_await(1, TASK_AWAIT_MS_MAX + 1, NULL)),
              ERR_MALFORMED);
    CHECK_ERR(decode_await(written_await(1, 0, pools)), ERR_MALFORMED);
    pools[CERTIFICATE_POOLS_BYTES - 1] = '\0';
    CHECK_OK(decode_await(written_await(1, 0, pools)));
}

/* Of one that wants to hear what tasks say. */
static struct bytes written_watch(uint32_t count, const char *pools)
{
    static uint64_t seen[TASK_REQUEST_IDS_MAX];
    struct writer writer = writer_on(task_await_bytes_max(count));
    for (uint32_t i = 0; i < count; i++) {
        seen[i] = UINT64_MAX - i;
    }
    task_await_encode(&writer,
                      &(struct task_await_question){.kind = TASK_REQUEST_ENDS,
                                                    .count = count,
                                                    .ids = ids,
                                                    .seen = seen,
                                                    .wait_ms = 7,
                                                    .pools = pools});
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static void what_was_seen_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct task_await await;
    CHECK_OK(task_await_decode(&await, written_await(1, 0, "a")));
    assert_false(await.is_curious);
    CHECK_OK(task_await_decode(&await, written_watch(2, NULL)));
    assert_true(await.is_curious);
    assert_false(await.is_limited);
    assert_true(pack_read_uint(&await.seen) == UINT64_MAX);
    assert_true(pack_read_uint(&await.seen) == UINT64_MAX - 1);
    CHECK_OK(
        task_await_decode(&await, written_watch(TASK_REQUEST_IDS_MAX, "a,b*")));
    assert_true(await.is_curious && await.is_limited);
    check_cut(written_watch(3, NULL), decode_await);
    check_cut(written_watch(3, "pools"), decode_await);
    /* Of one that is awaited nothing is said to be seen, or not. */
    struct writer writer = writer_on(64);
    pack_array(&writer, 5);
    pack_uint(&writer, TASK_REQUEST_AWAIT);
    pack_array(&writer, 1);
    pack_uint(&writer, 1);
    pack_uint(&writer, 0);
    pack_nil(&writer);
    pack_array(&writer, 0);
    CHECK_ERR(decode_await(writer_bytes(&writer)), ERR_MALFORMED);
}

static void an_await_that_is_cut_is_refused(void **state)
{
    (void)state;
    check_cut(written_await(3, 7, "pools"), decode_await);
    check_cut(written_await(3, 7, NULL), decode_await);
}

static struct bytes written_change(enum book_request_kind kind, uint32_t count)
{
    struct writer writer = writer_on(sizeof buffer);
    task_change_encode(&writer, kind, ids, count);
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static enum err decode_change(struct bytes question)
{
    struct task_change change;
    return task_change_decode(&change, question);
}

static void a_change_cancels_retries_or_purges(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 64; kind++) {
        bool is_one = kind >= BOOK_CANCEL && kind <= BOOK_PURGE;
        CHECK_ERR(
            decode_change(written_change((enum book_request_kind)kind, 2)),
            is_one ? ERR_NONE : ERR_MALFORMED);
    }
    struct task_change change;
    CHECK_OK(task_change_decode(
        &change, written_change(BOOK_RETRY, TASK_REQUEST_IDS_MAX)));
    assert_int_equal(change.kind, BOOK_RETRY);
    assert_int_equal(change.count, TASK_REQUEST_IDS_MAX);
    assert_true(pack_read_uint(&change.ids) == ids[0]);
    CHECK_ERR(decode_change(written_change(BOOK_CANCEL, 0)), ERR_INVALID);
    CHECK_ERR(
        decode_change(written_change(BOOK_CANCEL, TASK_REQUEST_IDS_MAX + 1)),
        ERR_MALFORMED);
    check_cut(written_change(BOOK_PURGE, 3), decode_change);
}

static enum err decode_local(struct bytes question)
{
    struct task_local local;
    return task_local_decode(&local, question);
}

static void a_local_request_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct task_local local = {.shard = UINT32_MAX,
                               .request = bytes_of_text("request")};
    struct writer writer = writer_on(sizeof buffer);
    task_local_encode(&writer, &local);
    CHECK_OK(task_local_decode(&local, writer_bytes(&writer)));
    assert_int_equal(local.shard, UINT32_MAX);
    assert_true(bytes_are_equal(local.request, bytes_of_text("request")));
    check_cut(writer_bytes(&writer), decode_local);
    writer = writer_on(sizeof buffer);
    pack_array(&writer, 3);
    pack_uint(&writer, TASK_REQUEST_LOCAL);
    pack_uint(&writer, UINT32_MAX + UINT64_C(1));
    pack_bin(&writer, (struct bytes){0});
    CHECK_ERR(decode_local(writer_bytes(&writer)), ERR_MALFORMED);
}

/* ---- what is answered ---- */

static struct task_outcome outcome_of(enum task_state state)
{
    return (struct task_outcome){.id = 7,
                                 .end = {.id = 7,
                                         .state = state,
                                         .attempts = UINT32_MAX,
                                         .accepted_ms = INT64_MIN,
                                         .ended_ms = INT64_MAX,
                                         .output = bytes_of_text("output"),
                                         .why = bytes_of_text("why")}};
}

static struct bytes written_outcome(const struct task_outcome *outcome)
{
    struct writer writer = writer_on(task_outcome_bytes_max(outcome));
    task_outcome_encode(outcome, &writer);
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static void an_outcome_is_read_as_it_is_written(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++) {
        struct task_outcome from = outcome_of((enum task_state)i);
        struct task_outcome to;
        struct reader reader = reader_of(written_outcome(&from));
        task_outcome_decode(&to, &reader);
        assert_false(reader.failed);
        assert_int_equal(reader_left(&reader), 0);
        assert_int_equal(to.err, ERR_NONE);
        assert_int_equal(to.end.state, i);
        assert_int_equal(to.end.attempts, UINT32_MAX);
        assert_true(to.end.accepted_ms == INT64_MIN);
        assert_true(to.end.ended_ms == INT64_MAX);
        assert_true(bytes_are_equal(to.end.output, from.end.output));
        assert_true(bytes_are_equal(to.end.why, from.end.why));
    }
}

static void an_outcome_may_be_an_error(void **state)
{
    (void)state;
    struct task_outcome from = {.id = 7, .err = (enum err)(ERR_COUNT - 1)};
    struct task_outcome to;
    struct reader reader = reader_of(written_outcome(&from));
    task_outcome_decode(&to, &reader);
    assert_true(!reader.failed && to.id == 7 && to.err == from.err);
    from.err = ERR_COUNT;
    reader = reader_of(written_outcome(&from));
    task_outcome_decode(&to, &reader);
    assert_true(reader.failed);
    from = outcome_of(TASK_STATE_COUNT);
    reader = reader_of(written_outcome(&from));
    task_outcome_decode(&to, &reader);
    assert_true(reader.failed);
}

static void an_outcome_may_be_what_a_task_says(void **state)
{
    (void)state;
    struct task_outcome from = {
        .id = 7,
        .err = ERR_BUSY,
        .said = {.number = UINT64_MAX, .done_of_1000 = 1000}};
    struct task_outcome to;
    memset(from.said.text, 'x', sizeof from.said.text - 1);
    struct bytes bytes = written_outcome(&from);
    struct reader reader = reader_of(bytes);
    task_outcome_decode(&to, &reader);
    assert_true(!reader.failed && reader_left(&reader) == 0);
    assert_true(to.err == ERR_BUSY && to.said.number == UINT64_MAX);
    assert_int_equal(to.said.done_of_1000, 1000);
    assert_string_equal(to.said.text, from.said.text);
    for (size_t i = 0; i < bytes.length; i++) {
        reader = reader_of(bytes_of(bytes.data, i));
        task_outcome_decode(&to, &reader);
        assert_true(reader.failed);
    }
    from.said.done_of_1000 = 1001;
    reader = reader_of(written_outcome(&from));
    task_outcome_decode(&to, &reader);
    assert_true(reader.failed);
}

static void an_outcome_that_is_cut_fails(void **state)
{
    (void)state;
    struct task_outcome outcome = outcome_of(TASK_DEAD);
    struct bytes bytes = written_outcome(&outcome);
    for (size_t i = 0; i < bytes.length; i++) {
        struct reader reader = reader_of(bytes_of(bytes.data, i));
        task_outcome_decode(&outcome, &reader);
        assert_true(reader.failed);
    }
}

int main(void)
{
    for (uint32_t i = 0; i < TASK_REQUEST_IDS_MAX + 1; i++) {
        ids[i] = UINT64_MAX - i;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_is_read_as_it_is_written),
        cmocka_unit_test(a_spec_that_is_cut_fails),
        cmocka_unit_test(a_spec_has_bounds),
        cmocka_unit_test(a_spec_of_another_s_making_has_bounds_too),
        cmocka_unit_test(only_what_can_be_asked_has_a_kind),
        cmocka_unit_test(an_await_is_read_as_it_is_written),
        cmocka_unit_test(an_await_has_bounds),
        cmocka_unit_test(what_was_seen_is_read_as_it_is_written),
        cmocka_unit_test(an_await_that_is_cut_is_refused),
        cmocka_unit_test(a_change_cancels_retries_or_purges),
        cmocka_unit_test(a_local_request_is_read_as_it_is_written),
        cmocka_unit_test(an_outcome_is_read_as_it_is_written),
        cmocka_unit_test(an_outcome_may_be_an_error),
        cmocka_unit_test(an_outcome_may_be_what_a_task_says),
        cmocka_unit_test(an_outcome_that_is_cut_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
