#include "tests/support/check.h"

#include "base/cron.h"
#include "base/time_units.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct cron parsed(const char *text)
{
    struct err_detail why = {{0}};
    struct cron cron;
    enum err err = cron_parse(&cron, text, &why);
    if (err) {
        print_error("%s: %s\n", text, why.text);
    }
    CHECK_OK(err);
    return cron;
}

/* "2024-02-29 12:34" */
static int64_t time_of(const char *text)
{
    struct tm date = {0};
    CHECK(strptime(text, "%Y-%m-%d %H:%M", &date));
    return timegm(&date);
}

static void text_of(char to[static 32], int64_t at_s)
{
    time_t at = at_s;
    struct tm date;
    CHECK(gmtime_r(&at, &date));
    CHECK(strftime(to, 32, "%Y-%m-%d %H:%M", &date) > 0);
}

static void tells_when_it_is_due_next(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *after;
        const char *next;
    } cases[] = {
        {"* * * * *", "2024-01-01 00:00", "2024-01-01 00:01"},
        {"* * * * *", "2023-12-31 23:59", "2024-01-01 00:00"},
        {"*/15 * * * *", "2024-01-01 10:46", "2024-01-01 11:00"},
        {"5-59/10 * * * *", "2024-01-01 10:15", "2024-01-01 10:25"},
        {"0 9-17/4 * * *", "2024-01-01 13:00", "2024-01-01 17:00"},
        {"0 9-17/4 * * *", "2024-01-01 17:00", "2024-01-02 09:00"},
        {"30 2 * * *", "2024-01-01 02:29", "2024-01-01 02:30"},
        {"30 2 * * *", "2024-01-01 02:30", "2024-01-02 02:30"},
        {"0 0 31 * *", "2024-01-31 00:00", "2024-03-31 00:00"},
        {"0 0 29 2 *", "2024-02-29 00:00", "2028-02-29 00:00"},
        {"0 0 29 2 *", "2096-02-29 00:00", "2104-02-29 00:00"},
        {"0 0 28-29 FEB *", "2025-02-28 00:00", "2026-02-28 00:00"},
        {"15 6 * * mon-FRI", "2024-06-07 06:15", "2024-06-10 06:15"},
        {"0 0 * * 0", "2024-06-05 00:00", "2024-06-09 00:00"},
        {"0 0 * * 7", "2024-06-05 00:00", "2024-06-09 00:00"},
        {"0 0 * * SUN", "2024-06-05 00:00", "2024-06-09 00:00"},
        {"0 0 * * sat-sun", "2024-06-08 00:00", "2024-06-09 00:00"},
        {"0 12 * jan,JUL *", "2024-01-31 12:00", "2024-07-01 12:00"},
        /* Both days are restricted: either. */
        {"0 0 13 * 5", "2024-09-01 00:00", "2024-09-06 00:00"},
        {"0 0 13 * 5", "2024-10-11 00:00", "2024-10-13 00:00"},
        /* What begins with * restricts nothing by itself: both. */
        {"0 0 */2 * 1", "2024-09-01 00:00", "2024-09-09 00:00"},
        /* A 29 February that is a Sunday. */
        {"0 0 29 2 */7", "2024-01-01 00:00", "2032-02-29 00:00"},
        {"0 0 29 2 */7", "2088-02-29 00:00", "2128-02-29 00:00"},
        {"@hourly", "2024-01-01 10:00", "2024-01-01 11:00"},
        {"@daily", "2024-02-28 10:00", "2024-02-29 00:00"},
        {"@weekly", "2024-06-05 10:00", "2024-06-09 00:00"},
        {"@monthly", "2024-12-05 10:00", "2025-01-01 00:00"},
        {"@yearly", "2024-12-05 10:00", "2025-01-01 00:00"},
        {" \t0  0 1\t1 * ", "2024-12-05 10:00", "2025-01-01 00:00"},
        {"59 23 31 12 *", "9999-12-31 23:58", "9999-12-31 23:59"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cron cron = parsed(cases[i].text);
        char found[32];
        text_of(found, cron_next(&cron, time_of(cases[i].after)));
        assert_string_equal(found, cases[i].next);
    }
}

static void begins_at_any_second(void **state)
{
    (void)state;
    struct cron cron = parsed("* * * * *");
    CHECK(cron_next(&cron, -1) == 0);
    CHECK(cron_next(&cron, INT64_MIN) == 0);
    CHECK(cron_next(&cron, 0) == 60);
    CHECK(cron_next(&cron, 59) == 60);
    CHECK(cron_next(&cron, 60) == 120);
}

static void ends_with_the_year_9999(void **state)
{
    (void)state;
    struct cron cron = parsed("* * * * *");
    CHECK(cron_next(&cron, CRON_LAST_S - 60) == CRON_LAST_S - 59);
    CHECK(cron_next(&cron, CRON_LAST_S - 59) == CRON_NEVER);
    CHECK(cron_next(&cron, CRON_LAST_S) == CRON_NEVER);
    CHECK(cron_next(&cron, INT64_MAX) == CRON_NEVER);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why; /* begins so */
    } cases[] = {
        {"", "found 0 fields"},
        {"* * * *", "found 4 fields in \"* * * *\"; allowed: five"},
        {"* * * * * *", "found 6 fields"},
        {"@reboot", "found \"@reboot\"; allowed: @hourly"},
        {"61 * * * *", "minute: found \"61\"; allowed: 0 to 59"},
        {"60 * * * *", "minute: found \"60\""},
        {"-1 * * * *", "minute: found \"-1\""},
        {"5, * * * *", "minute: found \"\""},
        {"1,x * * * *", "minute: found \"x\""},
        {"9-5 * * * *", "minute: found \"9-5\"; allowed: 0 to 59, rising"},
        {"1-2-3 * * * *", "minute: found \"1-2-3\""},
        {"*/0 * * * *", "minute: found \"*/0\"; allowed: 0 to 59; a step"},
        {"*/60 * * * *", "minute: found \"*/60\""},
        {"*/ * * * *", "minute: found \"*/\""},
        {"5/10 * * * *", "minute: found \"5/10\"; allowed: 0 to 59; a step"},
        {"99999999999 * * * *", "minute: found \"99999999999\""},
        {"* 24 * * *", "hour: found \"24\"; allowed: 0 to 23"},
        {"* * 0 * *", "day of month: found \"0\"; allowed: 1 to 31"},
        {"* * * 13 *", "month: found \"13\"; allowed: 1 to 12 or JAN to DEC"},
        {"* * * MAI *", "month: found \"MAI\""},
        {"* * * * 8", "day of week: found \"8\"; allowed: 0 to 7"},
        {"* * * * SUNDAY", "day of week: found \"SUNDAY\""},
        {"0 0 30 2 *", "day of month: found \"30\" with the month \"2\""},
        {"0 0 31 4,6,9,11 *", "day of month: found \"31\" with the month"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err_detail why = {{0}};
        struct cron cron = {.minutes = 7};
        CHECK_ERR(cron_parse(&cron, cases[i].text, &why), ERR_INVALID);
        CHECK(cron.minutes == 7);
        if (strncmp(why.text, cases[i].why, strlen(cases[i].why)) != 0) {
            assert_string_equal(why.text, cases[i].why);
        }
    }
}

static void refuses_what_is_too_long(void **state)
{
    (void)state;
    char text[CRON_TEXT_BYTES + 1];
    struct err_detail why = {{0}};
    struct cron cron;
    memset(text, ' ', sizeof text - 1);
    memcpy(text, "* * * * *", 9);
    text[CRON_TEXT_BYTES] = '\0';
    CHECK_ERR(cron_parse(&cron, text, &why), ERR_INVALID);
    assert_string_equal(why.text, "longer than 127 bytes");
    text[CRON_TEXT_BYTES - 1] = '\0';
    CHECK_OK(cron_parse(&cron, text, &why));
}

/* ---- against a walk from minute to minute ---- */

/* By the C library's calendar, not ours. */
static bool is_due(const struct cron *cron, int64_t at_s)
{
    time_t at = at_s;
    struct tm date;
    CHECK(gmtime_r(&at, &date));
    bool is_month_day = cron->month_days >> date.tm_mday & 1;
    bool is_week_day = cron->week_days >> date.tm_wday & 1;
    return (cron->minutes >> date.tm_min & 1) &&
           (cron->hours >> date.tm_hour & 1) &&
           (cron->months >> (date.tm_mon + 1) & 1) &&
           (cron->is_either_day ? is_month_day || is_week_day
                                : is_month_day && is_week_day);
}

static void write_some(struct seeded *seeded,
                       char to[static 32],
                       uint32_t min,
                       uint32_t max)
{
    uint32_t first = min + (uint32_t)(seeded_u64(seeded) % (max - min + 1));
    uint32_t last = first + (uint32_t)(seeded_u64(seeded) % (max - first + 1));
    uint32_t step = 1 + (uint32_t)(seeded_u64(seeded) % 7);
    switch (seeded_u64(seeded) % 6) {
    case 0:
        (void)snprintf(to, 32, "*");
        break;
    case 1:
        (void)snprintf(to, 32, "%u", first);
        break;
    case 2:
        (void)snprintf(to, 32, "%u-%u", first, last);
        break;
    case 3:
        (void)snprintf(to, 32, "%u-%u/%u", first, last, step);
        break;
    case 4:
        (void)snprintf(to, 32, "*/%u", step);
        break;
    default:
        (void)snprintf(to, 32, "%u,%u", last, first);
        break;
    }
}

static void agrees_with_a_walk_by_minutes(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 4};
    uint32_t compared = 0;
    for (int i = 0; i < 400; i++) {
        char parts[5][32];
        char text[CRON_TEXT_BYTES];
        struct cron cron;
        write_some(&seeded, parts[0], 0, 59);
        write_some(&seeded, parts[1], 0, 23);
        write_some(&seeded, parts[2], 1, 31);
        write_some(&seeded, parts[3], 1, 12);
        write_some(&seeded, parts[4], 0, 7);
        (void)snprintf(text, sizeof text, "%.20s %.20s %.20s %.20s %.20s",
                       parts[0], parts[1], parts[2], parts[3], parts[4]);
        if (cron_parse(&cron, text, NULL)) {
            continue; /* never due */
        }
        int64_t after_s =
            (int64_t)(seeded_u64(&seeded) % (UINT64_C(200) * 365 * 86400));
        int64_t next_s = cron_next(&cron, after_s);
        CHECK(next_s > after_s && next_s % 60 == 0 && is_due(&cron, next_s));
        /* At most the 40 days before it, so that the walk is short. */
        int64_t from_s = (after_s / 60 + 1) * 60;
        if (next_s - from_s > 40 * S_PER_DAY) {
            from_s = next_s - 40 * S_PER_DAY;
        }
        for (int64_t at_s = from_s; at_s < next_s; at_s += 60) {
            CHECK(!is_due(&cron, at_s));
        }
        compared++;
    }
    CHECK(compared > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_when_it_is_due_next),
        cmocka_unit_test(begins_at_any_second),
        cmocka_unit_test(ends_with_the_year_9999),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(refuses_what_is_too_long),
        cmocka_unit_test(agrees_with_a_walk_by_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
