/*
 * Two levels of lists: families (a name) and their series (its labels). Both
 * only ever grow, at the end, by a compare-and-swap of the last `next`; so
 * nobody needs a lock, what was found stays valid, and two threads that add
 * the same series at once get the same one.
 */

#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/scope.h"
#include "base/utf8.h"

#define CACHE_LINE_BYTES 64
#define HELP_BYTES_MAX 1024
#define LABELS_BYTES_MAX                                              \
    (METRICS_LABEL_COUNT_MAX *                                        \
         (METRICS_NAME_BYTES_MAX + 2 * METRICS_VALUE_BYTES_MAX + 4) + \
     1)

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

static const char *const kind_words[] = {
    [KIND_COUNTER] = "counter",
    [KIND_GAUGE] = "gauge",
    [KIND_HISTOGRAM] = "histogram",
};

struct series {
    /* Set before it is in the list. */
    const struct family *family;
    char *labels; /* as rendered, sorted: a="b",c="d" */

    _Atomic(struct series *) next; /* set once */

    /* Any thread, atomically: a line of its own. */
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t value; /* histogram: the sum */
    _Atomic uint64_t *bucket_counts; /* histogram: bound_count + 1 */
};

/* The handles are series: their types only keep users from mixing them. */
struct metrics_counter {
    struct series series;
};

struct metrics_gauge {
    struct series series;
};

struct metrics_histogram {
    struct series series;
};

struct family {
    /* Set before it is in the list. */
    char *name;
    char *help;
    enum kind kind;
    double divisor;
    size_t bound_count;
    uint64_t bounds[METRICS_BOUND_COUNT_MAX];

    _Atomic(struct series *) first; /* set once */
    _Atomic(struct family *) next;  /* set once */
};

struct metrics {
    size_t series_count_max;
    /* One adds at a time, seldom and shortly; others go on reading. */
    atomic_flag is_adding; /* guards series_count and the lists' ends */
    size_t series_count;
    _Atomic(struct family *) first; /* set once */
};

/* What a series is to be. */
struct wanted {
    const struct metrics_about *about;
    enum kind kind;
    const struct metrics_buckets *buckets; /* histogram */
    char labels[LABELS_BYTES_MAX];
};

static void series_close(struct series **series)
{
    if (*series) {
        free((*series)->labels);
        free((*series)->bucket_counts);
        free(*series);
        *series = NULL;
    }
}

static void family_close(struct family **family)
{
    if (!*family) {
        return;
    }
    struct series *series = atomic_load(&(*family)->first);
    while (series) {
        struct series *next = atomic_load(&series->next);
        series_close(&series);
        series = next;
    }
    free((*family)->name);
    free((*family)->help);
    free(*family);
    *family = NULL;
}

static bool is_name(const char *name, bool with_colon)
{
    static const char start[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
    size_t length = strlen(name);
    if (length == 0 || length > METRICS_NAME_BYTES_MAX ||
        !strchr(start, name[0]) || (!with_colon && strchr(name, ':'))) {
        return false;
    }
    return name[strspn(name, "0123456789"
                             "abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ_:")] == '\0';
}

static bool is_label(const struct metrics_label *label, enum kind kind)
{
    return is_name(label->name, false) && strncmp(label->name, "__", 2) != 0 &&
           (kind != KIND_HISTOGRAM || strcmp(label->name, "le") != 0) &&
           strlen(label->value) <= METRICS_VALUE_BYTES_MAX &&
           utf8_is_valid(label->value);
}

static bool are_buckets(const struct metrics_buckets *buckets)
{
    if (buckets->bound_count < 1 ||
        buckets->bound_count > METRICS_BOUND_COUNT_MAX ||
        !(buckets->divisor > 0)) {
        return false;
    }
    for (size_t i = 1; i < buckets->bound_count; i++) {
        if (buckets->bounds[i] <= buckets->bounds[i - 1]) {
            return false;
        }
    }
    return true;
}

static bool is_valid(const struct wanted *wanted)
{
    const struct metrics_about *about = wanted->about;
    if (!is_name(about->name, true) || strlen(about->help) > HELP_BYTES_MAX ||
        !utf8_is_valid(about->help) ||
        about->label_count > METRICS_LABEL_COUNT_MAX) {
        return false;
    }
    for (size_t i = 0; i < about->label_count; i++) {
        if (!is_label(&about->labels[i], wanted->kind)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(about->labels[i].name, about->labels[j].name) == 0) {
                return false;
            }
        }
    }
    return wanted->kind != KIND_HISTOGRAM || are_buckets(wanted->buckets);
}

/* Copy with the escapes of the format; returns the end. */
static char *escape(char *to, const char *text, bool with_quote)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '\n' || (*text == '"' && with_quote)) {
            *to++ = '\\';
        }
        *to++ = *text == '\n' ? 'n' : *text;
    }
    *to = '\0';
    return to;
}

static int compare_labels(const void *left, const void *right)
{
    const struct metrics_label *a = left;
    const struct metrics_label *b = right;
    return strcmp(a->name, b->name);
}

/* Sorted, so that the same labels are the same text in whatever order. */
static void write_labels(struct wanted *wanted)
{
    size_t count = wanted->about->label_count;
    struct metrics_label sorted[METRICS_LABEL_COUNT_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        sorted[i] = wanted->about->labels[i];
    }
    qsort(sorted, count, sizeof *sorted, compare_labels);
    char *to = wanted->labels;
    *to = '\0';
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            *to++ = ',';
        }
        to = escape(to, sorted[i].name, true);
        *to++ = '=';
        *to++ = '"';
        to = escape(to, sorted[i].value, true);
        *to++ = '"';
        *to = '\0';
    }
    assert(to < wanted->labels + sizeof wanted->labels);
}

static enum err family_open(struct family **out, const struct wanted *wanted)
{
    scoped(family_close) struct family *family = calloc(1, sizeof *family);
    if (!family) {
        return ERR_MEMORY;
    }
    family->kind = wanted->kind;
    family->name = strdup(wanted->about->name);
    family->help = malloc(2 * strlen(wanted->about->help) + 1);
    if (!family->name || !family->help) {
        return ERR_MEMORY;
    }
    (void)escape(family->help, wanted->about->help, false);
    if (wanted->buckets) {
        family->divisor = wanted->buckets->divisor;
        family->bound_count = wanted->buckets->bound_count;
        memcpy(family->bounds, wanted->buckets->bounds,
               family->bound_count * sizeof *family->bounds);
    }
    *out = family;
    family = NULL; /* the caller owns it now */
    return ERR_NONE;
}

static enum err series_open(struct series **out,
                            const struct family *family,
                            const char *labels)
{
    scoped(series_close) struct series *series =
        aligned_alloc(CACHE_LINE_BYTES, sizeof *series);
    if (!series) {
        return ERR_MEMORY;
    }
    memset(series, 0, sizeof *series);
    series->family = family;
    series->labels = strdup(labels);
    if (!series->labels) {
        return ERR_MEMORY;
    }
    if (family->kind == KIND_HISTOGRAM) {
        series->bucket_counts =
            calloc(family->bound_count + 1, sizeof *series->bucket_counts);
        if (!series->bucket_counts) {
            return ERR_MEMORY;
        }
    }
    *out = series;
    series = NULL; /* the caller owns it now */
    return ERR_NONE;
}

static bool fits(const struct family *family, const struct wanted *wanted)
{
    if (family->kind != wanted->kind) {
        return false;
    }
    return !wanted->buckets ||
           (family->divisor == wanted->buckets->divisor &&
            family->bound_count == wanted->buckets->bound_count &&
            memcmp(family->bounds, wanted->buckets->bounds,
                   family->bound_count * sizeof *family->bounds) == 0);
}

static enum err find_family(struct metrics *metrics,
                            struct family **out,
                            const struct wanted *wanted)
{
    _Atomic(struct family *) *end = &metrics->first;
    struct family *family = NULL;
    while ((family = atomic_load(end))) {
        if (strcmp(family->name, wanted->about->name) == 0) {
            *out = family;
            return fits(family, wanted) ? ERR_NONE : ERR_EXISTS;
        }
        end = &family->next;
    }
    if (metrics->series_count >= metrics->series_count_max) {
        return ERR_FULL; /* no family that stays empty */
    }
    enum err err = family_open(&family, wanted);
    if (err) {
        return err;
    }
    atomic_store(end, family);
    *out = family;
    return ERR_NONE;
}

static enum err find_series(struct metrics *metrics,
                            struct series **out,
                            struct family *family,
                            const char *labels)
{
    _Atomic(struct series *) *end = &family->first;
    struct series *series = NULL;
    while ((series = atomic_load(end))) {
        if (strcmp(series->labels, labels) == 0) {
            *out = series;
            return ERR_NONE;
        }
        end = &series->next;
    }
    if (metrics->series_count >= metrics->series_count_max) {
        return ERR_FULL;
    }
    enum err err = series_open(&series, family, labels);
    if (err) {
        return err;
    }
    metrics->series_count++;
    atomic_store(end, series);
    *out = series;
    return ERR_NONE;
}

static enum err add(struct metrics *metrics,
                    struct series **out,
                    const struct metrics_about *about,
                    enum kind kind,
                    const struct metrics_buckets *buckets)
{
    struct wanted wanted = {.about = about, .kind = kind, .buckets = buckets};
    if (!is_valid(&wanted)) {
        return ERR_INVALID;
    }
    write_labels(&wanted);
    struct family *family = NULL;
    while (atomic_flag_test_and_set(&metrics->is_adding)) {
    }
    enum err err = find_family(metrics, &family, &wanted);
    if (!err) {
        err = find_series(metrics, out, family, wanted.labels);
    }
    atomic_flag_clear(&metrics->is_adding);
    return err;
}

enum err metrics_open(struct metrics **out, size_t series_count_max)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics) {
        return ERR_MEMORY;
    }
    metrics->series_count_max = series_count_max;
    *out = metrics;
    return ERR_NONE;
}

void metrics_close(struct metrics **metrics)
{
    if (!*metrics) {
        return;
    }
    struct family *family = atomic_load(&(*metrics)->first);
    while (family) {
        struct family *next = atomic_load(&family->next);
        family_close(&family);
        family = next;
    }
    free(*metrics);
    *metrics = NULL;
}

enum err metrics_add_counter(struct metrics *metrics,
                             struct metrics_counter **out,
                             const struct metrics_about *about)
{
    struct series *series = NULL;
    enum err err = add(metrics, &series, about, KIND_COUNTER, NULL);
    if (!err) {
        *out = (struct metrics_counter *)series;
    }
    return err;
}

enum err metrics_add_gauge(struct metrics *metrics,
                           struct metrics_gauge **out,
                           const struct metrics_about *about)
{
    struct series *series = NULL;
    enum err err = add(metrics, &series, about, KIND_GAUGE, NULL);
    if (!err) {
        *out = (struct metrics_gauge *)series;
    }
    return err;
}

enum err metrics_add_histogram(struct metrics *metrics,
                               struct metrics_histogram **out,
                               const struct metrics_about *about,
                               const struct metrics_buckets *buckets)
{
    struct series *series = NULL;
    enum err err = add(metrics, &series, about, KIND_HISTOGRAM, buckets);
    if (!err) {
        *out = (struct metrics_histogram *)series;
    }
    return err;
}

/* Relaxed, as all access to values: numbers that no other data depends on. */
static void add_to(_Atomic uint64_t *value, uint64_t more)
{
    atomic_fetch_add_explicit(value, more, memory_order_relaxed);
}

static uint64_t value_of(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void metrics_counter_add(struct metrics_counter *counter, uint64_t more)
{
    if (counter) {
        add_to(&counter->series.value, more);
    }
}

void metrics_gauge_set(struct metrics_gauge *gauge, int64_t value)
{
    if (gauge) {
        /* Relaxed: see add_to(). */
        atomic_store_explicit(&gauge->series.value, (uint64_t)value,
                              memory_order_relaxed);
    }
}

void metrics_gauge_add(struct metrics_gauge *gauge, int64_t more)
{
    if (gauge) {
        add_to(&gauge->series.value, (uint64_t)more); /* wraps as it should */
    }
}

void metrics_histogram_record(struct metrics_histogram *histogram,
                              uint64_t value)
{
    if (!histogram) {
        return;
    }
    struct series *series = &histogram->series;
    const struct family *family = series->family;
    size_t bucket = 0;
    while (bucket < family->bound_count && value > family->bounds[bucket]) {
        bucket++;
    }
    add_to(&series->bucket_counts[bucket], 1);
    add_to(&series->value, value);
}

uint64_t metrics_counter_value(const struct metrics_counter *counter)
{
    return counter ? value_of(&counter->series.value) : 0;
}

int64_t metrics_gauge_value(const struct metrics_gauge *gauge)
{
    return gauge ? (int64_t)value_of(&gauge->series.value) : 0;
}

static void render_histogram(FILE *to, const struct series *series)
{
    const struct family *family = series->family;
    const char *comma = *series->labels ? "," : "";
    uint64_t count = 0;
    char real[DECIMAL_TEXT_BYTES];
    for (size_t i = 0; i <= family->bound_count; i++) {
        count += value_of(&series->bucket_counts[i]);
        if (i < family->bound_count) {
            decimal_text(real, (double)family->bounds[i] / family->divisor);
        }
        (void)fprintf(to, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n",
                      family->name, series->labels, comma,
                      i < family->bound_count ? real : "+Inf", count);
    }
    const char *open = *series->labels ? "{" : "";
    const char *close = *series->labels ? "}" : "";
    decimal_text(real, (double)value_of(&series->value) / family->divisor);
    (void)fprintf(to, "%s_sum%s%s%s %s\n", family->name, open, series->labels,
                  close, real);
    /* Added up, not counted apart: so it is that of the last bucket. */
    (void)fprintf(to, "%s_count%s%s%s %" PRIu64 "\n", family->name, open,
                  series->labels, close, count);
}

static void render_value(FILE *to, const struct series *series)
{
    uint64_t value = value_of(&series->value);
    (void)fprintf(to, "%s", series->family->name);
    if (*series->labels) {
        (void)fprintf(to, "{%s}", series->labels);
    }
    if (series->family->kind == KIND_GAUGE) {
        (void)fprintf(to, " %" PRId64 "\n", (int64_t)value);
    } else {
        (void)fprintf(to, " %" PRIu64 "\n", value);
    }
}

static void render_family(FILE *to, const struct family *family)
{
    const struct series *series = atomic_load(&family->first);
    if (!series) {
        return; /* about to be added */
    }
    if (*family->help) {
        (void)fprintf(to, "# HELP %s %s\n", family->name, family->help);
    }
    (void)fprintf(to, "# TYPE %s %s\n", family->name, kind_words[family->kind]);
    for (; series; series = atomic_load(&series->next)) {
        if (family->kind == KIND_HISTOGRAM) {
            render_histogram(to, series);
        } else {
            render_value(to, series);
        }
    }
}

enum err metrics_render(const struct metrics *metrics,
                        char **out,
                        size_t *out_length)
{
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    if (!to) {
        return ERR_MEMORY;
    }
    const struct family *family = atomic_load(&metrics->first);
    for (; family; family = atomic_load(&family->next)) {
        render_family(to, family);
    }
    bool has_failed = ferror(to) != 0;
    has_failed = fclose(to) != 0 || has_failed;
    if (has_failed) {
        free(text);
        return ERR_MEMORY;
    }
    *out = text;
    *out_length = length;
    return ERR_NONE;
}
