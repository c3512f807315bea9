/*
 * What a node counts, for Prometheus: counters, gauges and histograms with
 * names and labels, in a registry of its own.
 *
 * All functions but metrics_open() and metrics_close() may be called by any
 * thread; updating costs one atomic addition or two. What was added stays
 * until metrics_close(). A handle that is NULL counts nothing.
 */

#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define METRICS_LABEL_COUNT_MAX 8
#define METRICS_BOUND_COUNT_MAX 32
#define METRICS_NAME_BYTES_MAX 128
#define METRICS_VALUE_BYTES_MAX 256 /* of a label */

struct metrics;
struct metrics_counter;
struct metrics_gauge;
struct metrics_histogram;

struct metrics_label {
    const char *name;  /* [a-zA-Z_][a-zA-Z0-9_]*, not beginning with "__" */
    const char *value; /* any valid UTF-8 */
};

/* All is copied. */
struct metrics_about {
    const char *name; /* [a-zA-Z_:][a-zA-Z0-9_:]* */
    const char
        *help; /* one sentence; that of the first with this name counts */
    const struct metrics_label *labels; /* names all different */
    size_t label_count;
};

/* Copied. Of the values that are recorded, bucket i counts those up to
 * `bounds[i]`; one more counts all. */
struct metrics_buckets {
    const uint64_t *bounds; /* rising */
    size_t bound_count;     /* 1 .. METRICS_BOUND_COUNT_MAX */
    double divisor;         /* of what is shown: 1e9 for ns as seconds */
};

/* `series_count_max` handles at most. ERR_MEMORY */
FALLIBLE metrics_open(struct metrics **out, size_t series_count_max);

/* Frees the handles too. */
void metrics_close(struct metrics **metrics);

/*
 * Add a series, or find the one that has this name and these labels already.
 *
 * ERR_INVALID   a name, label or bound is not as above
 * ERR_EXISTS    the name belongs to another kind, or to other buckets
 * ERR_FULL      `series_count_max` are there
 * ERR_MEMORY
 */
FALLIBLE metrics_add_counter(struct metrics *metrics,
                             struct metrics_counter **out,
                             const struct metrics_about *about);
FALLIBLE metrics_add_gauge(struct metrics *metrics,
                           struct metrics_gauge **out,
                           const struct metrics_about *about);
FALLIBLE metrics_add_histogram(struct metrics *metrics,
                               struct metrics_histogram **out,
                               const struct metrics_about *about,
                               const struct metrics_buckets *buckets);

void metrics_counter_add(struct metrics_counter *counter, uint64_t more);
void metrics_gauge_set(struct metrics_gauge *gauge, int64_t value);
void metrics_gauge_add(struct metrics_gauge *gauge, int64_t more);
void metrics_histogram_record(struct metrics_histogram *histogram,
                              uint64_t value);

uint64_t metrics_counter_value(const struct metrics_counter *counter);
int64_t metrics_gauge_value(const struct metrics_gauge *gauge);

/*
 * All as text in Prometheus' format 0.0.4, terminated; the caller frees it
 * with free(). ERR_MEMORY
 */
FALLIBLE metrics_render(const struct metrics *metrics,
                        char **out,
                        size_t *out_length);

#endif
