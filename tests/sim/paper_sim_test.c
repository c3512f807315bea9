#include "tests/sim/paper_cases.h"
#include "tests/support/check.h"

/* Another seed is another timing: the schedules decide what matters. */
#define SEEDS 10

static void play(void **state)
{
    const struct paper_case *which = *state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct cluster_sim_config config = {.seed = seed};
        struct paper_outcome outcome = paper_cases_play(which, &config);
        if (outcome.broken[0]) {
            print_error("seed %u: %s: %s\n", (unsigned)seed, outcome.checker,
                        outcome.broken);
            config.trace = true;
            (void)paper_cases_play(which, &config);
        }
        assert_string_equal(outcome.broken, "");
    }
}

int main(void)
{
    struct CMUnitTest tests[PAPER_CASE_COUNT];
    for (size_t i = 0; i < PAPER_CASE_COUNT; i++) {
        /* cmocka gives it to the test as it is, which only reads it. */
        union {
            const struct paper_case *which;
            void *state;
        } each = {.which = &paper_cases[i]};
        tests[i] = (struct CMUnitTest){.name = paper_cases[i].name,
                                       .test_func = play,
                                       .initial_state = each.state};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
