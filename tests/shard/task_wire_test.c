#include "shard/task_wire.h"

#include "tests/support/check.h"

#include <string.h>

static uint8_t buffer[1024];

static struct writer writer_on(size_t room)
{
    assert_true(room <= sizeof buffer);
    return writer_of(buffer, room);
}

/* ---- kinds ---- */

static enum task_message kind_of(uint64_t kind)
{
    struct writer writer = writer_on(sizeof buffer);
    pack_array(&writer, 1);
    pack_uint(&writer, kind);
    struct reader reader = reader_of(writer_bytes(&writer));
    return task_message_read(&reader);
}

static void only_kinds_that_there_are_are_read(void **state)
{
    (void)state;
    for (uint64_t kind = 1; kind < TASK_MESSAGE_COUNT; kind++) {
        assert_int_equal(kind_of(kind), kind);
    }
    assert_int_equal(kind_of(0), 0);
    assert_int_equal(kind_of(TASK_MESSAGE_COUNT), 0);
    assert_int_equal(kind_of(UINT64_MAX), 0);
    struct reader reader = reader_of((struct bytes){0});
    assert_int_equal(task_message_read(&reader), 0);
    reader = reader_of(bytes_of("\x90", 1)); /* an empty array */
    assert_int_equal(task_message_read(&reader), 0);
}

/* ---- assignments ---- */

static const struct task_assignment assignments[] = {
    {.id = 0, .token = 0},
    {.id = UINT64_MAX,
     .token = UINT64_MAX,
     .attempt = UINT32_MAX,
     .timeout_ms = UINT32_MAX,
     .payload = {(const uint8_t *)"payload", 7}},
};

static void an_assignment_is_read_as_it_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct task_assignment *from = &assignments[i];
        struct task_assignment to;
        struct writer writer = writer_on(task_assignment_bytes_max(from));
        task_assignment_encode(from, &writer);
        assert_false(writer.failed);
        struct reader reader = reader_of(writer_bytes(&writer));
        task_assignment_decode(&to, &reader);
        assert_false(reader.failed);
        assert_int_equal(reader_left(&reader), 0);
        assert_true(to.id == from->id && to.token == from->token);
        assert_int_equal(to.attempt, from->attempt);
        assert_int_equal(to.timeout_ms, from->timeout_ms);
        assert_true(bytes_are_equal(to.payload, from->payload));
    }
}

static void an_assignment_that_is_cut_fails(void **state)
{
    (void)state;
    struct task_assignment to;
    struct writer writer = writer_on(sizeof buffer);
    task_assignment_encode(&assignments[1], &writer);
    struct bytes bytes = writer_bytes(&writer);
    for (size_t i = 0; i < bytes.length; i++) {
        struct reader reader = reader_of(bytes_of(bytes.data, i));
        task_assignment_decode(&to, &reader);
        assert_true(reader.failed);
    }
}

static bool takes_assignment(uint64_t attempt, uint64_t timeout_ms)
{
    struct task_assignment to;
    struct writer writer = writer_on(sizeof buffer);
    pack_array(&writer, 5);
    pack_uint(&writer, 1);
    pack_uint(&writer, 2);
    pack_uint(&writer, attempt);
    pack_uint(&writer, timeout_ms);
    pack_bin(&writer, (struct bytes){0});
    struct reader reader = reader_of(writer_bytes(&writer));
    task_assignment_decode(&to, &reader);
    return !reader.failed;
}

static void an_assignment_has_bounds(void **state)
{
    (void)state;
    assert_true(takes_assignment(UINT32_MAX, UINT32_MAX));
    assert_false(takes_assignment(UINT32_MAX + UINT64_C(1), 0));
    assert_false(takes_assignment(1, UINT32_MAX + UINT64_C(1)));
}

/* ---- results ---- */

static struct task_finish finish_of(enum run_status status)
{
    return (struct task_finish){.id = UINT64_MAX,
                                .token = 7,
                                .status = status,
                                .output = bytes_of_text("output"),
                                .why = bytes_of_text("why")};
}

static void a_result_is_read_as_it_is_written(void **state)
{
    (void)state;
    for (unsigned status = 0; status < RUN_STATUS_COUNT; status++) {
        struct task_finish from = finish_of((enum run_status)status);
        struct task_finish to;
        struct writer writer = writer_on(task_finish_bytes_max(&from));
        task_finish_encode(&from, &writer);
        assert_false(writer.failed);
        struct reader reader = reader_of(writer_bytes(&writer));
        task_finish_decode(&to, &reader);
        assert_false(reader.failed);
        assert_int_equal(reader_left(&reader), 0);
        assert_true(to.id == from.id && to.token == from.token);
        assert_int_equal(to.status, status);
        assert_true(bytes_are_equal(to.output, from.output));
        assert_true(bytes_are_equal(to.why, from.why));
    }
}

static void a_result_that_is_cut_fails(void **state)
{
    (void)state;
    struct task_finish from = finish_of(RUN_FAILED);
    struct writer writer = writer_on(sizeof buffer);
    task_finish_encode(&from, &writer);
    struct bytes bytes = writer_bytes(&writer);
    for (size_t i = 0; i < bytes.length; i++) {
        struct reader reader = reader_of(bytes_of(bytes.data, i));
        task_finish_decode(&from, &reader);
        assert_true(reader.failed);
    }
}

static void a_result_with_a_status_that_is_none_fails(void **state)
{
    (void)state;
    struct task_finish from = finish_of(RUN_STATUS_COUNT);
    struct writer writer = writer_on(sizeof buffer);
    task_finish_encode(&from, &writer);
    struct reader reader = reader_of(writer_bytes(&writer));
    task_finish_decode(&from, &reader);
    assert_true(reader.failed);
}

/* As a newer release writes it. */
static void fields_behind_those_known_are_skipped(void **state)
{
    (void)state;
    struct task_finish to;
    struct writer writer = writer_on(sizeof buffer);
    pack_array(&writer, 7);
    pack_uint(&writer, 1);
    pack_uint(&writer, 2);
    pack_uint(&writer, RUN_DONE);
    pack_bin(&writer, (struct bytes){0});
    pack_bin(&writer, (struct bytes){0});
    pack_text(&writer, "more");
    pack_array(&writer, 0);
    pack_uint(&writer, 99);
    struct reader reader = reader_of(writer_bytes(&writer));
    task_finish_decode(&to, &reader);
    assert_false(reader.failed);
    assert_int_equal(pack_read_uint(&reader), 99);
}

/* ---- parcels ---- */

static void a_parcel_has_as_many_parts_as_were_put_in(void **state)
{
    (void)state;
    struct task_parcel parcel = {0};
    struct task_finish finish = finish_of(RUN_DONE);
    for (uint32_t round = 0; round < 2; round++) { /* its memory stays */
        assert_int_equal(task_parcel_bytes(&parcel), 0);
        CHECK_OK(task_parcel_room(&parcel, 16));
        pack_array(&parcel.writer, 2);
        pack_uint(&parcel.writer, TASK_FINISHED);
        task_parcel_begin(&parcel);
        for (finish.id = 0; finish.id < 300; finish.id++) {
            CHECK_OK(task_parcel_room(&parcel, task_finish_bytes_max(&finish)));
            task_finish_encode(&finish, &parcel.writer);
            parcel.count++;
        }
        struct reader reader = reader_of(task_parcel_end(&parcel));
        assert_int_equal(task_message_read(&reader), TASK_FINISHED);
        assert_int_equal(pack_read_array(&reader), 300);
        for (uint64_t i = 0; i < 300; i++) {
            task_finish_decode(&finish, &reader);
            assert_true(!reader.failed && finish.id == i);
        }
        assert_int_equal(reader_left(&reader), 0);
        finish = finish_of(RUN_DONE);
        task_parcel_clear(&parcel);
    }
    task_parcel_free(&parcel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_kinds_that_there_are_are_read),
        cmocka_unit_test(an_assignment_is_read_as_it_is_written),
        cmocka_unit_test(an_assignment_that_is_cut_fails),
        cmocka_unit_test(an_assignment_has_bounds),
        cmocka_unit_test(a_result_is_read_as_it_is_written),
        cmocka_unit_test(a_result_that_is_cut_fails),
        cmocka_unit_test(a_result_with_a_status_that_is_none_fails),
        cmocka_unit_test(fields_behind_those_known_are_skipped),
        cmocka_unit_test(a_parcel_has_as_many_parts_as_were_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
