#include "admin/human.h"

#include "base/time_units.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct human scaled(uint64_t value,
                           uint64_t step,
                           const char *const *units)
{
    struct human human;
    uint64_t rest = value;
    uint64_t tenths = 0;
    size_t unit = 0;
    while (rest >= step && units[unit + 1]) {
        tenths = rest % step * 10 / step;
        rest /= step;
        unit++;
    }
    char fraction[4] = "";
    if (rest < 100 && tenths > 0) {
        (void)snprintf(fraction, sizeof fraction, ".%d", (int)tenths);
    }
    (void)snprintf(human.text, sizeof human.text, "%" PRIu64 "%s%s", rest,
                   fraction, units[unit]);
    return human;
}

struct human human_size(uint64_t bytes)
{
    static const char *const units[] = {" B",   " KiB", " MiB",
                                        " GiB", " TiB", NULL};
    return scaled(bytes, 1024, units);
}

struct human human_count(uint64_t count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    return scaled(count, 1000, units);
}

struct human human_span(uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = {{86400000, "d"},
                 {3600000, "h"},
                 {60000, "min"},
                 {1000, "s"},
                 {1, "ms"}};
    struct human human;
    size_t i = 0;
    /* "47 h" says more than "1 d"; of seconds one is enough. */
    while (i < 4 && ms < (i < 3 ? 2 : 1) * units[i].ms) {
        i++;
    }
    (void)snprintf(human.text, sizeof human.text, "%" PRIu64 " %s",
                   ms / units[i].ms, units[i].name);
    return human;
}

struct human human_ago(int64_t now_ms, int64_t then_ms)
{
    struct human human = {"-"};
    if (then_ms == 0) {
        return human;
    }
    /* Unsigned: what is far apart does not overflow. */
    bool is_past = then_ms <= now_ms;
    uint64_t ms = is_past ? (uint64_t)now_ms - (uint64_t)then_ms
                          : (uint64_t)then_ms - (uint64_t)now_ms;
    struct human span = human_span(ms);
    (void)snprintf(human.text, sizeof human.text, "%s%.20s%s",
                   is_past ? "" : "in ", span.text, is_past ? " ago" : "");
    return human;
}

struct human human_minute(int64_t at_ms)
{
    struct human human = {"-"};
    time_t at = (time_t)(at_ms / MS_PER_S);
    struct tm date;
    if (gmtime_r(&at, &date) && date.tm_year <= 9999 - 1900) {
        (void)strftime(human.text, sizeof human.text, "%Y-%m-%d %H:%M", &date);
    }
    return human;
}

struct human human_real(double value)
{
    struct human human;
    bool is_sane = value > -1e12 && value < 1e12;
    double sane = is_sane ? value : 0;
    double rest = sane - (double)(int64_t)sane;
    bool is_whole = rest > -0.005 && rest < 0.005;
    (void)snprintf(human.text, sizeof human.text, "%.*f", is_whole ? 0 : 2,
                   sane);
    return human;
}

void human_clean(char *text)
{
    while (*text) {
        uint32_t code = 0;
        size_t length = utf8_decode(text, &code);
        if (length == 0 || utf8_is_control(code)) {
            length = length ? length : 1;
            memset(text, '?', length);
        }
        text += length;
    }
}
