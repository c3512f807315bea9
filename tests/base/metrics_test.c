#include "tests/support/check.h"
#include "tests/support/metrics_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/posix/posix_thread.h"

#define THREAD_COUNT 4
#define ROUND_COUNT 300

static void check_text(const struct metrics *metrics, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    CHECK_OK(metrics_render(metrics, &text, &length));
    assert_string_equal(text, expected);
    CHECK(strlen(text) == length);
    free(text);
}

static enum err add_counter(struct metrics *metrics, const char *name)
{
    struct metrics_counter *counter = NULL;
    enum err err = metrics_add_counter(
        metrics, &counter, &(struct metrics_about){.name = name, .help = ""});
    CHECK((counter != NULL) == (err == ERR_NONE));
    return err;
}

static void renders_counters_and_gauges(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    struct metrics_counter *plain = NULL;
    struct metrics_counter *labelled = NULL;
    struct metrics_gauge *gauge = NULL;
    CHECK_OK(metrics_open(&metrics, 10));
    check_text(metrics, "");
    CHECK_OK(metrics_add_counter(
        metrics, &plain,
        &(struct metrics_about){.name = "frames_total",
                                .help = "Frames that were sent."}));
    CHECK_OK(metrics_add_gauge(
        metrics, &gauge,
        &(struct metrics_about){.name = "links", .help = "Links now."}));
    /* Added later, but shown with its family. */
    struct metrics_label labels[] = {{"zone", "a"}, {"peer", "beta"}};
    CHECK_OK(metrics_add_counter(metrics, &labelled,
                                 &(struct metrics_about){.name = "frames_total",
                                                         .help = "Other words.",
                                                         .labels = labels,
                                                         .label_count = 2}));
    metrics_counter_add(plain, 3);
    metrics_counter_add(plain, UINT32_MAX);
    metrics_counter_add(labelled, 1);
    metrics_gauge_set(gauge, 5);
    metrics_gauge_add(gauge, -7);
    CHECK(metrics_counter_value(plain) == UINT64_C(4294967298));
    CHECK(metrics_gauge_value(gauge) == -2);
    check_text(metrics, "# HELP frames_total Frames that were sent.\n"
                        "# TYPE frames_total counter\n"
                        "frames_total 4294967298\n"
                        "frames_total{peer=\"beta\",zone=\"a\"} 1\n"
                        "# HELP links Links now.\n"
                        "# TYPE links gauge\n"
                        "links -2\n");
    metrics_close(&metrics);
    CHECK(metrics == NULL);
    metrics_close(&metrics);
}

static void renders_a_histogram_with_cumulated_buckets(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    struct metrics_histogram *histogram = NULL;
    static const uint64_t bounds[] = {1000000, 250000000};
    struct metrics_label label = {"peer", "beta"};
    CHECK_OK(metrics_open(&metrics, 10));
    CHECK_OK(metrics_add_histogram(
        metrics, &histogram,
        &(struct metrics_about){.name = "rtt_seconds",
                                .help = "",
                                .labels = &label,
                                .label_count = 1},
        &(struct metrics_buckets){
            .bounds = bounds, .bound_count = 2, .divisor = 1e9}));
    metrics_histogram_record(histogram, 0);
    metrics_histogram_record(histogram, 1000000); /* on the bound: below */
    metrics_histogram_record(histogram, 1000001);
    metrics_histogram_record(histogram, 500000000);
    check_text(metrics, "# TYPE rtt_seconds histogram\n"
                        "rtt_seconds_bucket{peer=\"beta\",le=\"0.001\"} 2\n"
                        "rtt_seconds_bucket{peer=\"beta\",le=\"0.25\"} 3\n"
                        "rtt_seconds_bucket{peer=\"beta\",le=\"+Inf\"} 4\n"
                        "rtt_seconds_sum{peer=\"beta\"} 0.502000001\n"
                        "rtt_seconds_count{peer=\"beta\"} 4\n");
    metrics_close(&metrics);
}

static void escapes_label_values_and_help(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    struct metrics_counter *counter = NULL;
    struct metrics_label label = {"l", "a\"b\\c\nd\xc3\xbc{}"};
    CHECK_OK(metrics_open(&metrics, 1));
    CHECK_OK(
        metrics_add_counter(metrics, &counter,
                            &(struct metrics_about){.name = "n",
                                                    .help = "say \"x\\y\"\nz",
                                                    .labels = &label,
                                                    .label_count = 1}));
    check_text(metrics, "# HELP n say \"x\\\\y\"\\nz\n"
                        "# TYPE n counter\n"
                        "n{l=\"a\\\"b\\\\c\\nd\xc3\xbc{}\"} 0\n");
    metrics_close(&metrics);
}

static void refuses_names_that_prometheus_would(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "1a",       "a-b",       "a b",
                                      "a\n", "\xc3\xbc", "a{b=\"c\"}"};
    static const char *const good[] = {"a", "_a", ":a", "A1_:"};
    struct metrics *metrics = NULL;
    CHECK_OK(metrics_open(&metrics, 10));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(add_counter(metrics, bad[i]), ERR_INVALID);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_OK(add_counter(metrics, good[i]));
    }
    char name[METRICS_NAME_BYTES_MAX + 2];
    memset(name, 'x', sizeof name);
    name[METRICS_NAME_BYTES_MAX + 1] = '\0';
    CHECK_ERR(add_counter(metrics, name), ERR_INVALID);
    name[METRICS_NAME_BYTES_MAX] = '\0';
    CHECK_OK(add_counter(metrics, name));
    metrics_close(&metrics);
}

static enum err add_labelled(struct metrics *metrics,
                             const struct metrics_label *labels,
                             size_t label_count)
{
    struct metrics_counter *counter = NULL;
    return metrics_add_counter(
        metrics, &counter,
        &(struct metrics_about){.name = "n",
                                .help = "",
                                .labels = labels,
                                .label_count = label_count});
}

static void refuses_labels_that_prometheus_would(void **state)
{
    (void)state;
    static const struct metrics_label bad[] = {
        {"", "v"}, {"1", "v"}, {"a:b", "v"}, {"__a", "v"}, {"a", "\xff"}};
    struct metrics *metrics = NULL;
    CHECK_OK(metrics_open(&metrics, 10));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(add_labelled(metrics, &bad[i], 1), ERR_INVALID);
    }
    struct metrics_label doubled[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    CHECK_ERR(add_labelled(metrics, doubled, 3), ERR_INVALID);
    CHECK_OK(add_labelled(metrics, doubled, 2));
    struct metrics_label many[METRICS_LABEL_COUNT_MAX + 1];
    char names[METRICS_LABEL_COUNT_MAX + 1][2] = {0};
    for (size_t i = 0; i < METRICS_LABEL_COUNT_MAX + 1; i++) {
        names[i][0] = (char)('a' + i);
        many[i] = (struct metrics_label){names[i], ""};
    }
    CHECK_ERR(add_labelled(metrics, many, METRICS_LABEL_COUNT_MAX + 1),
              ERR_INVALID);
    CHECK_OK(add_labelled(metrics, many, METRICS_LABEL_COUNT_MAX));
    metrics_close(&metrics);
}

/* The longest of everything, all of it to be escaped. */
static void has_room_for_the_longest_labels(void **state)
{
    (void)state;
    static char names[METRICS_LABEL_COUNT_MAX][METRICS_NAME_BYTES_MAX + 1];
    static char value[METRICS_VALUE_BYTES_MAX + 2];
    struct metrics_label labels[METRICS_LABEL_COUNT_MAX];
    memset(value, '"', METRICS_VALUE_BYTES_MAX);
    for (size_t i = 0; i < METRICS_LABEL_COUNT_MAX; i++) {
        memset(names[i], 'n', METRICS_NAME_BYTES_MAX);
        names[i][0] = (char)('a' + i);
        labels[i] = (struct metrics_label){names[i], value};
    }
    struct metrics *metrics = NULL;
    CHECK_OK(metrics_open(&metrics, 10));
    CHECK_OK(add_labelled(metrics, labels, METRICS_LABEL_COUNT_MAX));
    value[METRICS_VALUE_BYTES_MAX] = 'x';
    CHECK_ERR(add_labelled(metrics, labels, 1), ERR_INVALID);
    metrics_close(&metrics);
}

static void finds_what_was_added_before(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    struct metrics_gauge *found[3] = {0};
    struct metrics_label labels[2][2] = {{{"a", "1"}, {"b", "2"}},
                                         {{"b", "2"}, {"a", "1"}}};
    CHECK_OK(metrics_open(&metrics, 2));
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(metrics_add_gauge(
            metrics, &found[i],
            &(struct metrics_about){.name = "g",
                                    .help = "",
                                    .labels = labels[i % 2],
                                    .label_count = i < 2 ? 2 : 1}));
    }
    CHECK(found[0] == found[1]); /* in whatever order the labels come */
    CHECK(found[0] != found[2]);
    metrics_close(&metrics);
}

static void refuses_one_name_for_two_kinds(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {1, 2, 2};
    struct metrics_about about = {.name = "n", .help = ""};
    struct metrics_buckets buckets = {
        .bounds = bounds, .bound_count = 2, .divisor = 1};
    struct metrics *metrics = NULL;
    struct metrics_gauge *gauge = NULL;
    struct metrics_histogram *histogram = NULL;
    CHECK_OK(metrics_open(&metrics, 10));
    CHECK_OK(metrics_add_gauge(metrics, &gauge, &about));
    CHECK_ERR(add_counter(metrics, "n"), ERR_EXISTS);
    CHECK_ERR(metrics_add_histogram(metrics, &histogram, &about, &buckets),
              ERR_EXISTS);
    about.name = "h";
    CHECK_OK(metrics_add_histogram(metrics, &histogram, &about, &buckets));
    buckets.bound_count = 1;
    CHECK_ERR(metrics_add_histogram(metrics, &histogram, &about, &buckets),
              ERR_EXISTS);
    buckets.bound_count = 3; /* does not rise */
    CHECK_ERR(metrics_add_histogram(metrics, &histogram, &about, &buckets),
              ERR_INVALID);
    buckets.bound_count = 0;
    CHECK_ERR(metrics_add_histogram(metrics, &histogram, &about, &buckets),
              ERR_INVALID);
    metrics_close(&metrics);
}

static void holds_no_more_than_its_maximum(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    CHECK_OK(metrics_open(&metrics, 2));
    CHECK_OK(add_counter(metrics, "a"));
    CHECK_OK(add_counter(metrics, "b"));
    CHECK_ERR(add_counter(metrics, "c"), ERR_FULL);
    CHECK_OK(add_counter(metrics, "a")); /* is there */
    check_text(metrics, "# TYPE a counter\na 0\n# TYPE b counter\nb 0\n");
    metrics_close(&metrics);
}

static void a_null_handle_counts_nothing(void **state)
{
    (void)state;
    metrics_counter_add(NULL, 1);
    metrics_gauge_set(NULL, 1);
    metrics_gauge_add(NULL, 1);
    metrics_histogram_record(NULL, 1);
    CHECK(metrics_counter_value(NULL) == 0);
    CHECK(metrics_gauge_value(NULL) == 0);
}

/* All threads add the same series at the same time, count, and render. */
/* ---- the format as a whole ---- */

/* Names that come and go, labels that need escapes, every kind. */
static void renders_what_the_format_allows(void **state)
{
    (void)state;
    char line[1024];
    char *text = NULL;
    size_t length = 0;
    struct metrics *metrics = NULL;
    CHECK_OK(metrics_open(&metrics, 100));
    for (int i = 0; i < 6; i++) {
        static const uint64_t bounds[] = {1, 10, 100};
        static const char *const values[] = {
            "a", "\"\\\n", "{x=\"y\"}, 3", "\xc3\xa4", "", "# HELP"};
        struct metrics_label labels[] = {{"peer", values[i]}, {"n", "1"}};
        struct metrics_about about = {.help = "A \\ and\na new line.",
                                      .labels = labels,
                                      .label_count = 2};
        struct metrics_counter *counter = NULL;
        struct metrics_gauge *gauge = NULL;
        struct metrics_histogram *histogram = NULL;
        about.name = "asked_total";
        CHECK_OK(metrics_add_counter(metrics, &counter, &about));
        about.name = "asked";
        CHECK_OK(metrics_add_gauge(metrics, &gauge, &about));
        about.name = "asked_seconds";
        CHECK_OK(
            metrics_add_histogram(metrics, &histogram, &about,
                                  &(struct metrics_buckets){bounds, 3, 1e9}));
        metrics_gauge_set(gauge, -i);
        metrics_histogram_record(histogram, (uint64_t)i * 20);
    }
    CHECK_OK(metrics_render(metrics, &text, &length));
    const char *wrong = metrics_format_check(text, line);
    if (wrong) {
        fail_msg("%s: %s", wrong, line);
    }
    free(text);
    metrics_close(&metrics);
}

/* That the check above can fail. */
static void the_check_of_the_format_finds_what_is_wrong(void **state)
{
    (void)state;
#define A_TOTAL "# HELP a_total x\n# TYPE a_total counter\n"
#define A_GAUGE "# HELP a x\n# TYPE a gauge\n"
#define A_TIME "# HELP a x\n# TYPE a histogram\n"
    static const char *const good[] = {
        "", A_TOTAL "a_total 1\n", A_GAUGE "a{b=\"\\\"\",c=\"d\"} -1.5e3\n",
        A_GAUGE "a NaN\n",
        A_TIME "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 3\n"
               "a_count 2\n"};
    static const char *const bad[] = {
        "a 1\n",
        "\n",
        A_GAUGE "a 1",
        A_GAUGE "a 1\na 2\n",
        A_GAUGE "a\n",
        A_GAUGE "a  1\n",
        A_GAUGE "a 1 x\n",
        A_GAUGE "b 1\n",
        A_GAUGE "a{b=c} 1\n",
        A_GAUGE "a{b=\"\\x\"} 1\n",
        A_GAUGE "a{b=\"c\" 1\n",
        A_GAUGE "a{0=\"c\"} 1\n",
        A_GAUGE A_GAUGE,
        "# TYPE a gauge\na 1\n",
        "# comment\n",
        "# HELP a x\n# TYPE a counter\n",
        "# HELP a x\n# TYPE a sum\n",
        "# HELP a \\x\n",
        A_GAUGE "# HELP b x\n# TYPE b gauge\na 1\n",
        A_TIME "a 1\n",
        A_TIME "a_bucket 1\n",
        A_TIME "a_bucket{le=\"1\"} 2\na_bucket{le=\"2\"} 1\n",
        A_GAUGE "a{b=\"\xff\"} 1\n"};
    char line[1024];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(metrics_format_check(good[i], line) == NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!metrics_format_check(bad[i], line)) {
            fail_msg("nothing is wrong with: %s", bad[i]);
        }
    }
}

static void add_and_count(void *argument)
{
    struct metrics *metrics = argument;
    static const uint64_t bounds[] = {10};
    for (int i = 0; i < ROUND_COUNT; i++) {
        char value[2] = {(char)('a' + i % 20), '\0'};
        struct metrics_label label = {"l", value};
        struct metrics_about about = {
            .name = "n", .help = "", .labels = &label, .label_count = 1};
        struct metrics_counter *counter = NULL;
        struct metrics_histogram *histogram = NULL;
        if (metrics_add_counter(metrics, &counter, &about)) {
            abort();
        }
        metrics_counter_add(counter, 1);
        about.name = "h";
        if (metrics_add_histogram(metrics, &histogram, &about,
                                  &(struct metrics_buckets){.bounds = bounds,
                                                            .bound_count = 1,
                                                            .divisor = 1})) {
            abort();
        }
        metrics_histogram_record(histogram, (uint64_t)i);
        char *text = NULL;
        size_t length = 0;
        if (i % 50 == 0 && metrics_render(metrics, &text, &length)) {
            abort();
        }
        free(text);
    }
}

static void many_threads_add_count_and_render(void **state)
{
    (void)state;
    struct metrics *metrics = NULL;
    struct posix_thread *threads[THREAD_COUNT] = {0};
    CHECK_OK(metrics_open(&metrics, 40)); /* exactly what is added */
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        CHECK_OK(
            posix_thread_start(&threads[i], "adder", add_and_count, metrics));
    }
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        posix_thread_join(&threads[i]);
    }
    uint64_t sum = 0;
    for (char c = 'a'; c < 'a' + 20; c++) {
        char value[2] = {c, '\0'};
        struct metrics_label label = {"l", value};
        struct metrics_counter *counter = NULL;
        CHECK_OK(metrics_add_counter(
            metrics, &counter,
            &(struct metrics_about){
                .name = "n", .help = "", .labels = &label, .label_count = 1}));
        sum += metrics_counter_value(counter);
    }
    CHECK(sum == THREAD_COUNT * ROUND_COUNT);
    CHECK_ERR(add_counter(metrics, "one_more"), ERR_FULL);
    metrics_close(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_counters_and_gauges),
        cmocka_unit_test(renders_a_histogram_with_cumulated_buckets),
        cmocka_unit_test(escapes_label_values_and_help),
        cmocka_unit_test(refuses_names_that_prometheus_would),
        cmocka_unit_test(refuses_labels_that_prometheus_would),
        cmocka_unit_test(has_room_for_the_longest_labels),
        cmocka_unit_test(finds_what_was_added_before),
        cmocka_unit_test(refuses_one_name_for_two_kinds),
        cmocka_unit_test(holds_no_more_than_its_maximum),
        cmocka_unit_test(a_null_handle_counts_nothing),
        cmocka_unit_test(renders_what_the_format_allows),
        cmocka_unit_test(the_check_of_the_format_finds_what_is_wrong),
        cmocka_unit_test(many_threads_add_count_and_render),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
