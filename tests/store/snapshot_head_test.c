/* Heads of snapshots, marks of groups, and the configurations in both. */

#include "store/snapshot_head.h"

#include "store/group_mark.h"
#include "tests/support/check.h"

static const struct snapshot_head head = {
    .index = 12,
    .term = 3,
    .stamp_ms = 1795260600250,
    .piece_count = 4,
    .configuration = {
        .next_number = 4,
        .count = 2,
        .members = {{.number = 1, .node = 5, .disk_id = 7, .is_voter = true},
                    {.number = 3, .node = 6, .disk_id = 8}}}};

static void check_configuration(const struct raft_configuration *found)
{
    CHECK(found->next_number == 4 && found->count == 2);
    CHECK(found->members[0].number == 1 && found->members[0].node == 5 &&
          found->members[0].disk_id == 7 && found->members[0].is_voter);
    CHECK(found->members[1].number == 3 && !found->members[1].is_voter);
}

static void a_head_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    struct snapshot_head found;
    CHECK_OK(snapshot_head_decode(&found, snapshot_head_encode(buffer, &head)));
    CHECK(found.index == 12 && found.term == 3 && found.piece_count == 4);
    CHECK(found.stamp_ms == 1795260600250);
    check_configuration(&found.configuration);
}

static void a_mark_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t buffer[GROUP_MARK_BYTES_MAX];
    struct group_mark mark = {.number = 3, .configuration = head.configuration};
    struct group_mark found;
    CHECK_OK(group_mark_decode(&found, group_mark_encode(buffer, &mark)));
    CHECK(found.number == 3);
    check_configuration(&found.configuration);
}

static void refuses_what_is_cut_anywhere(void **state)
{
    (void)state;
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    struct snapshot_head found_head;
    struct bytes whole = snapshot_head_encode(buffer, &head);
    for (size_t length = 0; length < whole.length; length++) {
        CHECK_ERR(
            snapshot_head_decode(&found_head, bytes_of(whole.data, length)),
            ERR_MALFORMED);
    }
    struct group_mark mark = {.number = 3, .configuration = head.configuration};
    struct group_mark found_mark;
    whole = group_mark_encode(buffer, &mark);
    for (size_t length = 0; length < whole.length; length++) {
        CHECK_ERR(group_mark_decode(&found_mark, bytes_of(whole.data, length)),
                  ERR_MALFORMED);
    }
}

static void refuses_another_version_and_a_mark_without_a_number(void **state)
{
    (void)state;
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    struct snapshot_head found_head;
    struct bytes whole = snapshot_head_encode(buffer, &head);
    buffer[0]++;
    CHECK_ERR(snapshot_head_decode(&found_head, whole), ERR_VERSION);
    struct group_mark found_mark;
    whole = group_mark_encode(
        buffer, &(struct group_mark){.configuration = head.configuration});
    CHECK_ERR(group_mark_decode(&found_mark, whole), ERR_MALFORMED);
    buffer[0] = 1;
    buffer[8]++; /* the configuration's version */
    CHECK_ERR(group_mark_decode(&found_mark, whole), ERR_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_comes_back_as_it_was),
        cmocka_unit_test(a_mark_comes_back_as_it_was),
        cmocka_unit_test(refuses_what_is_cut_anywhere),
        cmocka_unit_test(refuses_another_version_and_a_mark_without_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
