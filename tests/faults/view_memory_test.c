/*
 * Every allocation of the view and of the meta group's machine is made to fail
 * once: then nothing has happened.
 */

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "shard/meta.h"
#include "tests/faults/failing_allocator.h"
#include "tests/shard/test_view.h"

static uint8_t command_buffer[4096];
static uint8_t outcome_buffer[4096];
static uint8_t reply_buffer[16];

/* Decide and apply, each as often as it takes; the allocations that failed. */
static uint32_t sweep(struct meta *meta, const struct view_change *change)
{
    struct machine machine = meta_machine(meta);
    struct machine_stamp stamp = {.wall_ms = 5};
    struct writer command = writer_of(command_buffer, sizeof command_buffer);
    struct machine_decision decision;
    uint32_t passes = 0;
    uint64_t digest = view_digest(meta_view(meta));
    enum err err = ERR_MEMORY;
    view_change_encode(change, &command);
    for (uint32_t i = 1; err == ERR_MEMORY; i++, passes++) {
        decision.outcome = writer_of(outcome_buffer, sizeof outcome_buffer);
        decision.reply = writer_of(reply_buffer, sizeof reply_buffer);
        countdown = i;
        err = machine.decide(machine.context, &stamp, writer_bytes(&command),
                             &decision);
        countdown = 0;
    }
    CHECK_OK(err);
    CHECK(view_digest(meta_view(meta)) == digest);
    err = ERR_MEMORY;
    for (uint32_t i = 1; err == ERR_MEMORY; i++, passes++) {
        CHECK(view_digest(meta_view(meta)) == digest);
        countdown = i;
        err = machine.apply(machine.context, 1, &stamp,
                            writer_bytes(&decision.outcome));
        countdown = 0;
    }
    CHECK_OK(err);
    return passes - 2;
}

static void a_change_happens_wholly_or_not_at_all(void **state)
{
    (void)state;
    scoped(meta_close) struct meta *meta = NULL;
    scoped(view_change_clear) struct view_change found = test_founding(3, 4, 2);
    struct view_change join = test_change(VIEW_MEMBER_ADD);
    join.member = test_member(9);
    CHECK_OK(meta_open(&meta, &(struct meta_events){0}));
    /* Decoding takes three, the speculation one, the founding four. */
    assert_int_equal(sweep(meta, &found), 3 + 1 + 4 + 3 + 4);
    /* The copy of the view takes five, the longer table one. */
    assert_int_equal(sweep(meta, &join), 5 + 1 + 1);
    CHECK(meta_view(meta)->members.count == 4);
    scoped(view_change_clear) struct view_change settings =
        test_change(VIEW_SETTINGS);
    settings.settings = test_settings(4, 1);
    settings.settings.version = meta_view(meta)->settings.version;
    /* Decoding takes one, the copy of the view five, having them one. */
    assert_int_equal(sweep(meta, &settings), 1 + 5 + 1 + 1 + 1);
    CHECK(meta_view(meta)->replication == 1);
}

static void a_machine_opens_or_not(void **state)
{
    (void)state;
    enum err err = ERR_MEMORY;
    uint32_t passes = 0;
    while (err == ERR_MEMORY) {
        scoped(meta_close) struct meta *meta = NULL;
        countdown = ++passes;
        err = meta_open(&meta, &(struct meta_events){0});
        countdown = 0;
        CHECK((meta != NULL) == (err == ERR_NONE));
    }
    assert_int_equal(passes - 1, 3);
}

/* One piece; how many allocations failed before it was taken. */
static uint32_t sweep_restoring(struct meta *meta, struct bytes snapshot)
{
    struct machine machine = meta_machine(meta);
    uint32_t passes = 0;
    enum err err = ERR_MEMORY;
    while (err == ERR_MEMORY) {
        CHECK(meta_view(meta)->version == 0);
        CHECK_OK(machine.restore_begin(machine.context));
        CHECK_OK(machine.restore_piece(machine.context, snapshot));
        countdown = ++passes;
        err = machine.restore_end(machine.context, true);
        countdown = 0;
    }
    CHECK_OK(err);
    return passes - 1;
}

static void a_snapshot_is_given_and_taken_or_not(void **state)
{
    (void)state;
    scoped(meta_close) struct meta *from = NULL;
    scoped(meta_close) struct meta *to = NULL;
    scoped(view_change_clear) struct view_change found = test_founding(3, 4, 2);
    CHECK_OK(meta_open(&from, &(struct meta_events){0}));
    CHECK_OK(meta_open(&to, &(struct meta_events){0}));
    (void)sweep(from, &found);
    struct machine machine = meta_machine(from);
    uint32_t passes = 0;
    enum err err = ERR_MEMORY;
    while (err == ERR_MEMORY) {
        countdown = ++passes;
        err = machine.snapshot_begin(machine.context);
        countdown = 0;
    }
    CHECK_OK(err);
    assert_int_equal(passes - 1, 2);
    struct writer piece = writer_of(outcome_buffer, sizeof outcome_buffer);
    CHECK_OK(machine.snapshot_next(machine.context, &piece));
    machine.snapshot_end(machine.context);
    /* The view, its four tables, the journal. */
    assert_int_equal(sweep_restoring(to, writer_bytes(&piece)), 6);
    CHECK(view_digest(meta_view(to)) == view_digest(meta_view(from)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_happens_wholly_or_not_at_all),
        cmocka_unit_test(a_machine_opens_or_not),
        cmocka_unit_test(a_snapshot_is_given_and_taken_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
