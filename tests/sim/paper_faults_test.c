/*
 * The cases of the paper are able to fail: with a deliberate fault they do.
 */

#include "tests/sim/paper_cases.h"
#include "tests/support/check.h"

#include <string.h>

struct proof {
    const char *name; /* the case's name begins so */
    struct cluster_sim_config sim;
    const char *checker; /* who finds it */
};

/* clang-format off */
static const struct proof proofs[] = {
    {"figure 7", {.raft_fault = RAFT_FAULT_ACK_OLD_LAST}, "contradiction"},
    {"figure 8 d", {.raft_fault = RAFT_FAULT_COMMIT_OLDER_TERM},
     "completeness"},
    {"one change at a time", {.raft_fault = RAFT_FAULT_CHANGE_TWICE},
     "completeness"},
    {"a new server", {.group_fault = GROUP_FAULT_FORGET_APPLIED}, "state"},
    {"a deposed leader", {.raft_fault = RAFT_FAULT_READ_WITHOUT_ASKING},
     "linearizability"},
    {"an acknowledgement", {.raft_fault = RAFT_FAULT_ACK_BEFORE_SYNC},
     "completeness"},
    {"a vote waits", {.raft_fault = RAFT_FAULT_VOTE_BEFORE_SYNC}, "leaders"},
    {"a vote waits", {.raft_fault = RAFT_FAULT_FORGET_VOTE}, "leaders"},
};
/* clang-format on */

#define PROOF_COUNT (sizeof proofs / sizeof proofs[0])

static const struct paper_case *find(const char *name)
{
    for (size_t i = 0; i < PAPER_CASE_COUNT; i++) {
        if (strncmp(paper_cases[i].name, name, strlen(name)) == 0) {
            return &paper_cases[i];
        }
    }
    return NULL;
}

static bool is_proven(const struct proof *proof, uint64_t seed)
{
    const struct paper_case *which = find(proof->name);
    CHECK(which);
    struct cluster_sim_config config = {.seed = seed};
    struct paper_outcome without = paper_cases_play(which, &config);
    config = proof->sim;
    config.seed = seed;
    struct paper_outcome with = paper_cases_play(which, &config);
    bool is_right = !without.broken[0] && with.broken[0] &&
                    strcmp(with.checker, proof->checker) == 0;
    if (!is_right) {
        print_error("%s, seed %u: without the fault \"%s\", with it \"%s\" "
                    "(%s, expected %s)\n",
                    which->name, (unsigned)seed, without.broken, with.broken,
                    with.broken[0] ? with.checker : "nobody", proof->checker);
    }
    return is_right;
}

static void a_fault_breaks_its_case_and_nothing_else_does(void **state)
{
    (void)state;
    uint32_t failed_count = 0;
    for (size_t i = 0; i < PROOF_COUNT; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            failed_count += !is_proven(&proofs[i], seed);
        }
    }
    CHECK(failed_count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_breaks_its_case_and_nothing_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
