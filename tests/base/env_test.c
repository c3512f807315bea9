#include "tests/support/check.h"

#include <locale.h>
#include <string.h>

#include "base/decimal.h"
#include "base/env.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"

static void below_is_even_and_below(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 7};
    struct entropy entropy = seeded_entropy(&seeded);
    unsigned counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint64_t value = entropy_below(&entropy, 6);
        CHECK(value < 6);
        counts[value]++;
    }
    for (size_t i = 0; i < 6; i++) {
        CHECK(counts[i] > 9500 && counts[i] < 10500); /* 5 deviations */
    }
    CHECK(entropy_below(&entropy, 1) == 0);
    CHECK(entropy_below(&entropy, UINT64_MAX) < UINT64_MAX);
}

/* First all ones, which must be thrown away for a bound that is no power of
 * two; then 7. */
static void fill_ones_then_seven(void *context, void *to, size_t length)
{
    int *call_count = context;
    memset(to, 0, length);
    if ((*call_count)++ == 0) {
        memset(to, 0xff, length);
    } else {
        *(uint8_t *)to = 7;
    }
}

static void below_refuses_the_uneven_rest(void **state)
{
    (void)state;
    int call_count = 0;
    struct entropy entropy = {.context = &call_count,
                              .fill = fill_ones_then_seven};
    CHECK(entropy_below(&entropy, 10) == 7);
    CHECK(call_count == 2);
}

static void the_clock_is_the_one_of_the_table(void **state)
{
    (void)state;
    struct fake_clock fake = {.now_ns = 5, .wall_ms = -6};
    struct clock clock = fake_clock_table(&fake);
    CHECK(clock_now_ns(&clock) == 5);
    CHECK(clock_wall_ms(&clock) == -6);
}

static void every_error_has_its_own_name_and_text(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        CHECK(strncmp(err_name((enum err)i), "ERR_", 4) == 0);
        CHECK(strlen(err_text((enum err)i)) > 0);
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(err_name((enum err)i), err_name((enum err)j)) != 0);
            CHECK(strcmp(err_text((enum err)i), err_text((enum err)j)) != 0);
        }
    }
}

static void a_long_explanation_is_cut_and_terminated(void **state)
{
    (void)state;
    struct {
        struct err_detail why;
        char after;
    } box = {.after = 'x'};
    err_explain(&box.why, "%0600d", 1);
    CHECK(strlen(box.why.text) == sizeof box.why.text - 1);
    CHECK(box.after == 'x');
    err_explain(NULL, "nobody asks");
}

static void decimals_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double real;
        const char *text;
    } cases[] = {
        {0, "0"},          {-0.5, "-0.5"},
        {0.1, "0.1"},      {1.0 / 3, "0.33333333333333331"},
        {1e300, "1e+300"}, {-1.5e-300, "-1.5e-300"},
    };
    char text[DECIMAL_TEXT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decimal_text(text, cases[i].real);
        assert_string_equal(text, cases[i].text);
    }
}

/* Only where such a locale is installed; the C locale is checked above. */
static void decimals_have_a_point_in_every_locale(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") &&
        !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        skip();
    }
    char text[DECIMAL_TEXT_BYTES];
    decimal_text(text, -1234.5);
    (void)setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "-1234.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_is_even_and_below),
        cmocka_unit_test(below_refuses_the_uneven_rest),
        cmocka_unit_test(the_clock_is_the_one_of_the_table),
        cmocka_unit_test(every_error_has_its_own_name_and_text),
        cmocka_unit_test(a_long_explanation_is_cut_and_terminated),
        cmocka_unit_test(decimals_are_short_and_exact),
        cmocka_unit_test(decimals_have_a_point_in_every_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
