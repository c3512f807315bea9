#include "bench/harness.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_QUICK 3
#define RUNS_FULL 5
#define PEER_MAX 16

/* One experiment under way. */
struct trial {
    const struct bench_experiment *experiment;
    const struct bench_options *options;
    struct bench_results *results;
    struct bench_row *rows[PEER_MAX][BENCH_CASE_MAX];
    bool is_given_up[PEER_MAX];
};

static bool is_chosen(const char *pattern, const char *name)
{
    return !pattern || fnmatch(pattern, name, 0) == 0;
}

static bool has_chosen_case(const struct bench_experiment *experiment,
                            const char *pattern)
{
    for (size_t i = 0; i < BENCH_CASE_MAX && experiment->cases[i].name; i++) {
        if (is_chosen(pattern, experiment->cases[i].name)) {
            return true;
        }
    }
    return false;
}

static int compare_values(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_row_median(const struct bench_row *row)
{
    assert(row->value_count > 0);
    unsigned middle = row->value_count / 2;
    if (row->value_count % 2 == 1) {
        return row->values[middle];
    }
    return (row->values[middle - 1] + row->values[middle]) / 2;
}

void bench_number_text(char text[static 16], double value)
{
    /* clang-format off */
    static const struct { double unit; const char *name; } scales[] = {
        {1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, ""},
    };
    /* clang-format on */
    size_t i = 0;
    while (i < 3 && fabs(value) < scales[i].unit) {
        i++;
    }
    double shown = value / scales[i].unit;
    int decimals = fabs(shown) >= 99.95 ? 0 : fabs(shown) >= 9.995 ? 1 : 2;
    snprintf(text, 16, "%.*f%s", decimals, shown, scales[i].name);
}

static void add_values(struct trial *trial,
                       const char *suite,
                       size_t peer,
                       const double *values)
{
    const struct bench_experiment *experiment = trial->experiment;
    for (size_t i = 0; i < BENCH_CASE_MAX && experiment->cases[i].name; i++) {
        struct bench_row *row = trial->rows[peer][i];
        if (row && row->value_count < BENCH_RUN_MAX) {
            row->suite = suite;
            row->values[row->value_count++] = values[i];
        }
    }
}

/* A row for each chosen case and peer, those of a case side by side. */
static void reserve_rows(struct trial *trial)
{
    const struct bench_experiment *experiment = trial->experiment;
    struct bench_results *results = trial->results;
    for (size_t i = 0; i < BENCH_CASE_MAX && experiment->cases[i].name; i++) {
        if (!is_chosen(trial->options->case_pattern,
                       experiment->cases[i].name)) {
            continue;
        }
        for (size_t peer = 0; experiment->peers[peer]; peer++) {
            assert(peer < PEER_MAX && results->row_count < BENCH_ROW_MAX);
            struct bench_row *row = &results->rows[results->row_count++];
            row->about = &experiment->cases[i];
            row->peer = experiment->peers[peer];
            row->value_count = 0;
            trial->rows[peer][i] = row;
        }
    }
}

static void measure_once(struct trial *trial,
                         const struct bench_suite *suite,
                         size_t peer)
{
    const struct bench_experiment *experiment = trial->experiment;
    const char *name = experiment->peers[peer];
    double values[BENCH_CASE_MAX] = {0};
    struct err_detail why = {{0}};
    enum err err =
        experiment->measure(experiment, trial->options, name, values, &why);
    if (!err) {
        add_values(trial, suite->name, peer, values);
        return;
    }
    bool is_missing = err == ERR_NOT_FOUND;
    trial->is_given_up[peer] = true;
    trial->results->failure_count += is_missing ? 0 : 1;
    fprintf(stderr, "%s: %s: %s %s: %s\n", suite->name, experiment->name, name,
            is_missing ? "is missing" : "FAILED",
            why.text[0] ? why.text : err_text(err));
}

static void print_json(const struct bench_row *row)
{
    /* Names are ours and need no escaping. */
    printf("{\"suite\": \"%s\", \"case\": \"%s\", \"peer\": \"%s\", "
           "\"value\": %.6g, \"unit\": \"%s\", \"min\": %.6g, "
           "\"max\": %.6g, \"n\": %u}\n",
           row->suite, row->about->name, row->peer, bench_row_median(row),
           row->about->unit, row->values[0], row->values[row->value_count - 1],
           row->value_count);
}

/* Sort the values, drop empty rows, print. */
static void finish_rows(struct bench_results *results,
                        size_t first,
                        bool is_json)
{
    size_t kept = first;
    for (size_t i = first; i < results->row_count; i++) {
        struct bench_row *row = &results->rows[i];
        if (row->value_count == 0) {
            continue;
        }
        qsort(row->values, row->value_count, sizeof row->values[0],
              compare_values);
        if (is_json) {
            print_json(row);
        }
        if (kept != i) {
            results->rows[kept] = *row;
        }
        kept++;
    }
    results->row_count = kept;
    fflush(stdout);
}

static unsigned run_count(const struct bench_experiment *experiment,
                          const struct bench_options *options)
{
    if (experiment->is_exact) {
        return 1;
    }
    if (options->run_count) {
        return options->run_count;
    }
    if (!options->is_quick) {
        return RUNS_FULL;
    }
    unsigned max = experiment->run_max_quick;
    return max > 0 && max < RUNS_QUICK ? max : RUNS_QUICK;
}

static void run_trial(struct trial *trial,
                      const struct bench_suite *suite,
                      size_t number)
{
    const struct bench_experiment *experiment = trial->experiment;
    const struct bench_options *options = trial->options;
    bool is_terminal = isatty(STDERR_FILENO);
    size_t first = trial->results->row_count;
    reserve_rows(trial);
    if (!is_terminal) {
        fprintf(stderr, "[%zu/%zu] %s %s\n", number, suite->experiment_count,
                suite->name, experiment->name);
    }
    for (unsigned run = 0; run < run_count(experiment, options); run++) {
        for (size_t peer = 0; experiment->peers[peer]; peer++) {
            const char *name = experiment->peers[peer];
            if (trial->is_given_up[peer] ||
                !is_chosen(options->peer_pattern, name)) {
                continue;
            }
            if (is_terminal) {
                fprintf(stderr, "\r\033[K[%zu/%zu] %s %s, run %u of %u: %s",
                        number, suite->experiment_count, suite->name,
                        experiment->name, run + 1,
                        run_count(experiment, options), name);
            }
            measure_once(trial, suite, peer);
        }
    }
    if (is_terminal) {
        fputs("\r\033[K", stderr);
    }
    finish_rows(trial->results, first, options->is_json);
}

void bench_run(struct bench_results *results,
               const struct bench_suite *suite,
               const struct bench_options *options)
{
    for (size_t i = 0; i < suite->experiment_count; i++) {
        const struct bench_experiment *experiment = &suite->experiments[i];
        if (!has_chosen_case(experiment, options->case_pattern)) {
            continue;
        }
        struct trial trial = {
            .experiment = experiment, .options = options, .results = results};
        run_trial(&trial, suite, i + 1);
    }
}

/* How many times better `first` is than `other`. */
static double advantage(const struct bench_row *first,
                        const struct bench_row *other)
{
    double ours = bench_row_median(first);
    double theirs = bench_row_median(other);
    return first->about->is_cost ? theirs / ours : ours / theirs;
}

void bench_print_table(const struct bench_results *results)
{
    printf("%-26s %-15s %11s  %-7s %9s %9s %3s  %s\n", "case", "peer", "median",
           "unit", "min", "max", "n", "");
    const struct bench_row *first = NULL;
    for (size_t i = 0; i < results->row_count; i++) {
        const struct bench_row *row = &results->rows[i];
        bool begins = !first || first->about != row->about;
        first = begins ? row : first;
        char median[16], min[16], max[16];
        bench_number_text(median, bench_row_median(row));
        bench_number_text(min, row->values[0]);
        bench_number_text(max, row->values[row->value_count - 1]);
        printf("%-26s %-15s %11s  %-7s %9s %9s %3u",
               begins ? row->about->name : "", row->peer, median,
               row->about->unit, min, max, row->value_count);
        if (!begins) {
            printf("  %s is %.2fx as good", first->peer, advantage(first, row));
        }
        printf("\n");
    }
}
