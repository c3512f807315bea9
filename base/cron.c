#include "base/cron.h"

#include "base/time_units.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define S_PER_MINUTE 60
#define MINUTES_PER_HOUR 60
#define MINUTES_PER_DAY 1440
#define DAYS_PER_WEEK 7
#define FIELD_COUNT 5
#define SUNDAY_LAST 7 /* 0 as well */
#define ALL_WEEK_DAYS 0x7f
/* Dates have the same days of the week again after so long. */
#define CYCLE_MONTHS (400 * 12)

/* ---- what is allowed ---- */

enum field_kind { MINUTE, HOUR, MONTH_DAY, MONTH, WEEK_DAY };

struct field {
    const char *name;
    uint32_t min;
    uint32_t max;
    const char *const *names; /* from `min` on; NULL: none */
    const char *allowed;
};

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR",
                                          "MAY", "JUN", "JUL", "AUG",
                                          "SEP", "OCT", "NOV", "DEC"};
static const char *const week_day_names[] = {"SUN", "MON", "TUE", "WED",
                                             "THU", "FRI", "SAT", "SUN"};

static const struct field fields[FIELD_COUNT] = {
    [MINUTE] = {"minute", 0, 59, NULL, "0 to 59"},
    [HOUR] = {"hour", 0, 23, NULL, "0 to 23"},
    [MONTH_DAY] = {"day of month", 1, 31, NULL, "1 to 31"},
    [MONTH] = {"month", 1, 12, month_names, "1 to 12 or JAN to DEC"},
    [WEEK_DAY] = {"day of week", 0, SUNDAY_LAST, week_day_names,
                  "0 to 7 (0 and 7 are Sunday) or SUN to SAT"},
};

static const struct {
    const char *name;
    const char *text;
} shorts[] = {
    {"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"}, {"@monthly", "0 0 1 * *"},
    {"@yearly", "0 0 1 1 *"},
};

/* ---- parsing ---- */

/* A part of the text. */
struct span {
    const char *at;
    const char *end;
};

static struct span span_until(struct span *rest, const char *separators)
{
    struct span span = {rest->at, rest->at};
    while (span.end < rest->end && !strchr(separators, *span.end)) {
        span.end++;
    }
    rest->at = span.end < rest->end ? span.end + 1 : span.end;
    return span;
}

static struct span skip_blanks(struct span span)
{
    while (span.at < span.end && (*span.at == ' ' || *span.at == '\t')) {
        span.at++;
    }
    return span;
}

static bool has(struct span span, char character)
{
    return span.at < span.end &&
           memchr(span.at, character, (size_t)(span.end - span.at));
}

static enum err refuse(const struct field *field,
                       struct span found,
                       const char *form,
                       struct err_detail *why)
{
    err_explain(why, "%s: found \"%.*s\"; allowed: %s%s", field->name,
                (int)(found.end - found.at), found.at, field->allowed, form);
    return ERR_INVALID;
}

/* Digits alone, at most three. */
static bool read_number(uint32_t *out, struct span span)
{
    uint32_t number = 0;
    for (const char *at = span.at; at < span.end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        number = 10 * number + (uint32_t)(*at - '0');
    }
    *out = number;
    return span.at < span.end && span.end - span.at <= 3;
}

/* `is_last`: of a range; Sunday is then at the end of the week. */
static bool read_value(uint32_t *out,
                       const struct field *field,
                       struct span span,
                       bool is_last)
{
    for (uint32_t value = field->min; field->names && value <= field->max;
         value++) {
        bool is_it =
            span.end - span.at == 3 &&
            strncasecmp(field->names[value - field->min], span.at, 3) == 0;
        if (is_it && (value > 0 || !is_last)) {
            *out = value;
            return true;
        }
    }
    return read_number(out, span) && *out >= field->min && *out <= field->max;
}

struct range {
    uint32_t first;
    uint32_t last;
    uint32_t step;
};

static bool read_range(struct range *range,
                       const struct field *field,
                       struct span span)
{
    if (span.end - span.at == 1 && *span.at == '*') {
        range->first = field->min;
        range->last = field->max;
        return true;
    }
    bool is_range = has(span, '-');
    struct span first = span_until(&span, "-");
    if (!read_value(&range->first, field, first, false)) {
        return false;
    }
    range->last = range->first;
    return !is_range || (read_value(&range->last, field, span, true) &&
                         range->last >= range->first);
}

/* "*", "7", "1-5", and with a step behind "*" or a range. */
static enum err read_item(uint64_t *mask,
                          const struct field *field,
                          struct span item,
                          struct err_detail *why)
{
    struct range range = {.step = 1};
    struct span rest = item;
    bool has_step = has(item, '/');
    struct span values = span_until(&rest, "/");
    if (!read_range(&range, field, values)) {
        return refuse(field, item, ", rising ranges, and * for all", why);
    }
    if (has_step && (!read_number(&range.step, rest) || range.step == 0 ||
                     range.step > field->max)) {
        return refuse(field, item,
                      "; a step is from 1 to the greatest of these", why);
    }
    if (has_step && !has(values, '*') && !has(values, '-')) {
        return refuse(field, item, "; a step stands behind * or a range", why);
    }
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        *mask |= UINT64_C(1) << i;
    }
    return ERR_NONE;
}

static enum err read_field(uint64_t *mask,
                           const struct field *field,
                           struct span span,
                           struct err_detail *why)
{
    enum err err = ERR_NONE;
    bool goes_on = true;
    *mask = 0;
    while (goes_on && !err) {
        goes_on = has(span, ',');
        err = read_item(mask, field, span_until(&span, ","), why);
    }
    return err;
}

/* How many there are, which may be more than are kept. */
static uint32_t split(struct span spans[static FIELD_COUNT], const char *text)
{
    struct span rest = skip_blanks((struct span){text, text + strlen(text)});
    uint32_t count = 0;
    while (rest.at < rest.end) {
        struct span span = span_until(&rest, " \t");
        if (count < FIELD_COUNT) {
            spans[count] = span;
        }
        count++;
        rest = skip_blanks(rest);
    }
    return count;
}

static enum err expand(const char **text, struct err_detail *why)
{
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++) {
        if (strcmp(shorts[i].name, *text) == 0) {
            *text = shorts[i].text;
        }
    }
    if ((*text)[0] == '@') {
        err_explain(why,
                    "found \"%.64s\"; allowed: @hourly, @daily, @weekly, "
                    "@monthly, @yearly",
                    *text);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err read_fields(struct cron *out,
                            const struct span *spans,
                            struct err_detail *why)
{
    uint64_t masks[FIELD_COUNT];
    for (uint32_t i = 0; i < FIELD_COUNT; i++) {
        enum err err = read_field(&masks[i], &fields[i], spans[i], why);
        if (err) {
            return err;
        }
    }
    uint64_t week_days = masks[WEEK_DAY] | masks[WEEK_DAY] >> SUNDAY_LAST;
    *out = (struct cron){.minutes = masks[MINUTE],
                         .hours = (uint32_t)masks[HOUR],
                         .month_days = (uint32_t)masks[MONTH_DAY],
                         .months = (uint32_t)masks[MONTH],
                         .week_days = (uint32_t)week_days & ALL_WEEK_DAYS,
                         .is_either_day = *spans[MONTH_DAY].at != '*' &&
                                          *spans[WEEK_DAY].at != '*'};
    return ERR_NONE;
}

enum err cron_parse(struct cron *out, const char *text, struct err_detail *why)
{
    struct span spans[FIELD_COUNT];
    struct cron cron;
    if (strnlen(text, CRON_TEXT_BYTES) == CRON_TEXT_BYTES) {
        err_explain(why, "longer than %d bytes", CRON_TEXT_BYTES - 1);
        return ERR_INVALID;
    }
    enum err err = expand(&text, why);
    uint32_t count = err ? 0 : split(spans, text);
    if (!err && count != FIELD_COUNT) {
        err_explain(why,
                    "found %u fields in \"%s\"; allowed: five (minute, hour, "
                    "day of month, month, day of week), or @daily and the like",
                    count, text);
        err = ERR_INVALID;
    }
    err = err ? err : read_fields(&cron, spans, why);
    if (!err && cron_next(&cron, 0) == CRON_NEVER) {
        err_explain(why,
                    "day of month: found \"%.*s\" with the month \"%.*s\"; "
                    "allowed: days that such a month has",
                    (int)(spans[MONTH_DAY].end - spans[MONTH_DAY].at),
                    spans[MONTH_DAY].at,
                    (int)(spans[MONTH].end - spans[MONTH].at), spans[MONTH].at);
        err = ERR_INVALID;
    }
    if (!err) {
        *out = cron;
    }
    return err;
}

/* ---- the calendar ---- */

/* A month, and where it begins. */
struct month {
    int64_t year;
    uint32_t number;   /* 1 to 12 */
    int64_t first_day; /* since 1970 */
    uint32_t day_count;
};

/* Source: H. Hinnant, "chrono-compatible low-level date algorithms", 2014:
 * years begin in March, so that the odd day is their last. */
static int64_t days_before(int64_t year, uint32_t month)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    uint32_t since_march = month > 2 ? month - 3 : month + 9;
    int64_t of_year = (153 * since_march + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

static struct month month_of(int64_t year, uint32_t number)
{
    int64_t first_day = days_before(year, number);
    int64_t next =
        number < 12 ? days_before(year, number + 1) : days_before(year + 1, 1);
    return (struct month){year, number, first_day,
                          (uint32_t)(next - first_day)};
}

static struct month month_after(const struct month *month)
{
    return month->number < 12 ? month_of(month->year, month->number + 1)
                              : month_of(month->year + 1, 1);
}

static struct month month_with(int64_t day)
{
    int64_t year = 1970 + day / 366; /* or one that is later */
    while (days_before(year + 1, 1) <= day) {
        year++;
    }
    uint32_t number = 12;
    while (days_before(year, number) > day) {
        number--;
    }
    return month_of(year, number);
}

/* The days of a month that are meant, from bit 1 on. */
static uint32_t days_of(const struct cron *cron, const struct month *month)
{
    uint32_t all = (uint32_t)((UINT64_C(2) << month->day_count) - 2);
    uint32_t by_week = 0;
    for (uint32_t i = 1; i <= month->day_count; i++) {
        /* 1 January 1970 was a Thursday. */
        uint32_t week_day =
            (uint32_t)((month->first_day + i - 1 + 4) % DAYS_PER_WEEK);
        by_week |= (cron->week_days >> week_day & 1) << i;
    }
    if (!(cron->months >> month->number & 1)) {
        return 0;
    }
    return all & (cron->is_either_day ? cron->month_days | by_week
                                      : cron->month_days & by_week);
}

/* The lowest bit from `from` on; 64: none. */
static uint32_t bit_from(uint64_t mask, uint32_t from)
{
    while (from < 64 && !(mask >> from & 1)) {
        from++;
    }
    return from;
}

/* The first day from this one on, since 1970; CRON_NEVER. */
static int64_t next_day(const struct cron *cron, int64_t day)
{
    struct month month = month_with(day);
    uint32_t from = (uint32_t)(day - month.first_day) + 1;
    for (uint32_t i = 0; i <= CYCLE_MONTHS; i++) {
        uint32_t found = bit_from(days_of(cron, &month), from);
        if (found < 64) {
            return month.first_day + found - 1;
        }
        month = month_after(&month);
        from = 1;
    }
    return CRON_NEVER;
}

/* The first minute of a day from this one on; MINUTES_PER_DAY: none. */
static uint32_t next_minute(const struct cron *cron, uint32_t minute)
{
    uint32_t hour = minute / MINUTES_PER_HOUR;
    uint32_t found = bit_from(cron->hours, hour);
    uint32_t of_hour =
        found == hour ? bit_from(cron->minutes, minute % MINUTES_PER_HOUR) : 0;
    if (of_hour == 64) { /* not in this hour any more */
        found = bit_from(cron->hours, hour + 1);
    }
    if (found == 64) {
        return MINUTES_PER_DAY;
    }
    return MINUTES_PER_HOUR * found +
           (found == hour ? of_hour : bit_from(cron->minutes, 0));
}

int64_t cron_next(const struct cron *cron, int64_t after_s)
{
    if (after_s >= CRON_LAST_S) {
        return CRON_NEVER;
    }
    assert(cron->minutes != 0 && cron->hours != 0);
    int64_t minute = after_s < 0 ? 0 : after_s / S_PER_MINUTE + 1;
    int64_t day = minute / MINUTES_PER_DAY;
    int64_t found = next_day(cron, day);
    uint32_t of_day = next_minute(
        cron, found == day ? (uint32_t)(minute % MINUTES_PER_DAY) : 0);
    if (of_day == MINUTES_PER_DAY) { /* not on this day any more */
        found = next_day(cron, day + 1);
        of_day = next_minute(cron, 0);
    }
    int64_t due_s = found == CRON_NEVER
                        ? CRON_NEVER
                        : found * S_PER_DAY + (int64_t)of_day * S_PER_MINUTE;
    return due_s <= CRON_LAST_S ? due_s : CRON_NEVER;
}
