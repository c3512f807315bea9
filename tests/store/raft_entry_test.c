#include "store/raft_entry.h"

#include "tests/support/check.h"

#define ENTRY_BYTES \
    (RAFT_ENTRY_COMMANDS_BYTES + 2 * RAFT_ENTRY_OUTCOME_BYTES + 3 + 0)

/* Two outcomes: "abc" and nothing. */
static void make(uint8_t entry[static ENTRY_BYTES])
{
    uint8_t *at = entry + RAFT_ENTRY_COMMANDS_BYTES;
    raft_entry_commands_encode(entry, -5);
    raft_entry_outcome_encode(at, 3);
    memcpy(at + RAFT_ENTRY_OUTCOME_BYTES, "abc", 3);
    raft_entry_outcome_encode(at + RAFT_ENTRY_OUTCOME_BYTES + 3, 0);
}

static void gives_back_what_was_put_in(void **state)
{
    (void)state;
    uint8_t entry[ENTRY_BYTES];
    struct raft_entry_commands commands;
    struct bytes outcome;
    make(entry);
    CHECK_OK(
        raft_entry_commands_decode(&commands, bytes_of(entry, sizeof entry)));
    CHECK(commands.stamp_ms == -5);
    CHECK(raft_entry_next_outcome(&commands, &outcome));
    CHECK(bytes_are_equal(outcome, bytes_of_text("abc")));
    CHECK(raft_entry_next_outcome(&commands, &outcome));
    CHECK(outcome.length == 0);
    CHECK(!raft_entry_next_outcome(&commands, &outcome));
    CHECK(!commands.outcomes.failed);
}

static void an_entry_may_have_no_outcome(void **state)
{
    (void)state;
    uint8_t entry[ENTRY_BYTES];
    struct raft_entry_commands commands;
    struct bytes outcome;
    make(entry);
    CHECK_OK(raft_entry_commands_decode(
        &commands, bytes_of(entry, RAFT_ENTRY_COMMANDS_BYTES)));
    CHECK(!raft_entry_next_outcome(&commands, &outcome));
    CHECK(!commands.outcomes.failed);
}

static void refuses_an_entry_that_is_cut_anywhere(void **state)
{
    (void)state;
    uint8_t entry[ENTRY_BYTES];
    struct raft_entry_commands commands;
    struct bytes outcome;
    make(entry);
    for (size_t length = 0; length < sizeof entry; length++) {
        enum err err =
            raft_entry_commands_decode(&commands, bytes_of(entry, length));
        if (length < RAFT_ENTRY_COMMANDS_BYTES) {
            CHECK_ERR(err, ERR_MALFORMED);
            continue;
        }
        CHECK_OK(err);
        while (raft_entry_next_outcome(&commands, &outcome)) {
        }
        /* Between two outcomes it ends as a shorter one would. */
        bool ends_well =
            length == RAFT_ENTRY_COMMANDS_BYTES ||
            length == RAFT_ENTRY_COMMANDS_BYTES + RAFT_ENTRY_OUTCOME_BYTES + 3;
        CHECK(commands.outcomes.failed == !ends_well);
        CHECK(!raft_entry_next_outcome(&commands, &outcome));
    }
}

static void refuses_another_version(void **state)
{
    (void)state;
    uint8_t entry[ENTRY_BYTES];
    struct raft_entry_commands commands;
    make(entry);
    entry[0]++;
    CHECK_ERR(
        raft_entry_commands_decode(&commands, bytes_of(entry, sizeof entry)),
        ERR_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_was_put_in),
        cmocka_unit_test(an_entry_may_have_no_outcome),
        cmocka_unit_test(refuses_an_entry_that_is_cut_anywhere),
        cmocka_unit_test(refuses_another_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
