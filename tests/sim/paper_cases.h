/*
 * The schedules of the paper's figures, and of what other implementations got
 * wrong, on the whole simulated stack.
 *
 * Ongaro and Ousterhout 2014 (extended version); Ongaro's thesis 2014.
 */

#ifndef TESTS_SIM_PAPER_CASES_H
#define TESTS_SIM_PAPER_CASES_H

#include "tests/sim/script.h"

struct paper_case {
    const char *name;
    uint32_t node_count;
    uint32_t founder_count;
    size_t snapshot_log_bytes;
    void (*play)(struct script *script);
};

#define PAPER_CASE_COUNT 16

extern const struct paper_case paper_cases[PAPER_CASE_COUNT];

/* What a case has broken; "": nothing. */
struct paper_outcome {
    char broken[256];
    const char *checker; /* who found it; static, or NULL */
};

struct paper_outcome paper_cases_play(const struct paper_case *which,
                                      const struct cluster_sim_config *sim);

#endif
