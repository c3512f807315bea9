/*
 * When something is due, as the five fields of cron say it. Always UTC: nodes
 * may be set to different zones, and a day of a zone may lack an hour or have
 * one twice.
 *
 * Pure; plain data.
 */

#ifndef BASE_CRON_H
#define BASE_CRON_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CRON_TEXT_BYTES 128               /* with its zero */
#define CRON_NEVER INT64_MAX              /* beyond the last that is told */
#define CRON_LAST_S INT64_C(253402300799) /* the end of the year 9999 */

/* A bit for each value that is meant. */
struct cron {
    uint64_t minutes;
    uint32_t hours;
    uint32_t month_days; /* from bit 1 on */
    uint32_t months;     /* from bit 1 on */
    uint32_t week_days;  /* bit 0: Sunday */
    bool is_either_day;  /* both fields of days are restricted: one of them is
                            enough */
};

/*
 * "minute hour day-of-month month day-of-week": numbers, JAN-DEC, SUN-SAT (0
 * and 7 are Sunday), "*", lists, ranges and steps of them ("1-5,30", "8-18/2");
 * or @hourly, @daily, @weekly, @monthly, @yearly. Of both fields of days one is
 * enough, unless one of them begins with "*", as cron has it.
 *
 * ERR_INVALID   `why` names the field, what was found and what is allowed; so
 *               of what is never due (30 February)
 */
FALLIBLE cron_parse(struct cron *out, const char *text, struct err_detail *why);

/* The first time later than `after_s` at which it is due, Unix time in s;
 * CRON_NEVER when that is beyond CRON_LAST_S. */
int64_t cron_next(const struct cron *cron, int64_t after_s);

#endif
