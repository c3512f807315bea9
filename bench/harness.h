/*
 * Runs the experiments of a suite over its peers, and shows what came out:
 * one JSON object per line, or a table.
 *
 * Runs are interleaved (peer A, B, C, then A, B, C again), so that a noisy
 * spell of the machine hits all alike; values are medians. A peer that fails
 * does not stop the others.
 */

#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define BENCH_RUN_MAX 99
#define BENCH_ROW_MAX 512
#define BENCH_CASE_MAX 12 /* of one experiment */

struct bench_options {
    bool is_quick; /* each suite within a minute */
    bool is_json;
    unsigned run_count;       /* 1 .. BENCH_RUN_MAX; 0: the suite's choice */
    const char *case_pattern; /* as of a shell; NULL: all */
    const char *peer_pattern;
    const char *plot_path; /* NULL: none */
};

/* One figure that an experiment yields. */
struct bench_case {
    const char *name;
    const char *unit;
    bool is_cost; /* less is better */
};

/*
 * One measurement, which may yield several figures: `measure` fills `values`
 * in the order of `cases`.
 *
 * ERR_NOT_FOUND   the peer is not there; `why` says what it takes. Said, and
 *                 no failure
 */
struct bench_experiment {
    const char *name;
    struct bench_case cases[BENCH_CASE_MAX]; /* up to the first without name */
    const char *const *peers;                /* ends with NULL */
    enum err (*measure)(const struct bench_experiment *experiment,
                        const struct bench_options *options,
                        const char *peer,
                        double *values,
                        struct err_detail *why);
    const void *about;      /* for `measure` */
    unsigned run_max_quick; /* a long one: no more runs in --quick, unless
                               they are asked for; 0: no limit */
    bool is_exact;          /* each run yields the same: one is enough */
};

struct bench_suite {
    const char *name;
    const char *about; /* one line for people */
    bool uses_disk;    /* the folder's: --dir */
    const struct bench_experiment *experiments;
    size_t experiment_count;
};

/* The values of one case and one peer; `values` are sorted. */
struct bench_row {
    const char *suite;
    const struct bench_case *about;
    const char *peer;
    double values[BENCH_RUN_MAX];
    unsigned value_count; /* at least 1 */
};

struct bench_results {
    struct bench_row rows[BENCH_ROW_MAX]; /* of one case side by side */
    size_t row_count;
    unsigned failure_count;
};

double bench_row_median(const struct bench_row *row);

/* Add the suite's rows; in JSON each is printed as soon as it is known. */
void bench_run(struct bench_results *results,
               const struct bench_suite *suite,
               const struct bench_options *options);

/* The table: how much better the first peer of a case is than the others. */
void bench_print_table(const struct bench_results *results);

/* A number with three digits that count, such as "3.21 M". */
void bench_number_text(char text[static 16], double value);

#endif
