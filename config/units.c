#include "config/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Rising; in microseconds. */
static const struct unit times[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000 * 1000},
    {"m", UINT64_C(60) * 1000 * 1000},
    {"h", UINT64_C(3600) * 1000 * 1000},
    {"d", UINT64_C(86400) * 1000 * 1000},
};

/* In bytes. The binary ones come later, so that they win a tie. */
static const struct unit sizes[] = {
    {"B", 1},
    {"kB", UINT64_C(1000)},
    {"MB", UINT64_C(1000) * 1000},
    {"GB", UINT64_C(1000) * 1000 * 1000},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

#define TIME_COUNT (sizeof times / sizeof *times)
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

static uint64_t part_us(enum units_time part)
{
    return part == UNITS_MS ? 1000 : 1;
}

static const struct unit *find(const struct unit *units,
                               size_t count,
                               const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* The digits at the front of `text`; `*rest` is what follows them. */
static enum err leading_number(uint64_t *out,
                               const char *text,
                               const char **rest)
{
    const char *next = text;
    uint64_t value = 0;
    bool fits = true;
    for (; *next >= '0' && *next <= '9'; next++) {
        fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*next - '0'), &value);
    }
    if (next == text || (*text == '0' && next - text > 1)) {
        return ERR_MALFORMED;
    }
    *rest = next;
    if (!fits) {
        return ERR_TOO_LARGE;
    }
    *out = value;
    return ERR_NONE;
}

enum err units_number(uint64_t *out, const char *text)
{
    const char *rest = "";
    uint64_t value = 0;
    enum err err = leading_number(&value, text, &rest);
    if (*rest) {
        return ERR_MALFORMED;
    }
    if (err) {
        return err;
    }
    *out = value;
    return ERR_NONE;
}

enum err units_duration(uint64_t *out, const char *text, enum units_time part)
{
    const char *name = "";
    uint64_t value = 0;
    enum err err = leading_number(&value, text, &name);
    if (err == ERR_MALFORMED) {
        return err;
    }
    if (!*name && !err && value > 0) {
        return ERR_INVALID;
    }
    const struct unit *unit = find(times, TIME_COUNT, *name ? name : "ms");
    if (!unit) {
        return ERR_MALFORMED;
    }
    uint64_t whole = unit->factor / part_us(part);
    if (whole == 0) {
        /* "1500us" in milliseconds: only without a rest. */
        uint64_t share = part_us(part) / unit->factor;
        if (!err && value % share != 0) {
            return ERR_INVALID;
        }
        value /= share;
        whole = 1;
    }
    if (err || __builtin_mul_overflow(value, whole, &value)) {
        return ERR_TOO_LARGE;
    }
    *out = value;
    return ERR_NONE;
}

enum err units_size(uint64_t *out, const char *text)
{
    const char *name = "";
    uint64_t value = 0;
    enum err err = leading_number(&value, text, &name);
    if (err == ERR_MALFORMED) {
        return err;
    }
    const struct unit *unit = find(sizes, SIZE_COUNT, *name ? name : "B");
    if (!unit) {
        return ERR_MALFORMED;
    }
    if (err || __builtin_mul_overflow(value, unit->factor, &value)) {
        return ERR_TOO_LARGE;
    }
    *out = value;
    return ERR_NONE;
}

void units_number_text(char out[static UNITS_TEXT_BYTES], uint64_t value)
{
    (void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64, value);
}

/* With the unit that divides `value` evenly and leaves the least. */
static void shortest(char out[static UNITS_TEXT_BYTES],
                     uint64_t value,
                     const struct unit *units,
                     size_t count)
{
    const struct unit *best = &units[0];
    for (size_t i = 0; value > 0 && i < count; i++) {
        if (value % units[i].factor == 0 && units[i].factor >= best->factor) {
            best = &units[i];
        }
    }
    int length = snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 "%s",
                          value / best->factor, best->name);
    assert(length > 0 && length < UNITS_TEXT_BYTES);
}

void units_duration_text(char out[static UNITS_TEXT_BYTES],
                         uint64_t value,
                         enum units_time part)
{
    if (value == 0) {
        units_number_text(out, 0);
        return;
    }
    /* Counted in `part`, no unit below it is needed, nor any overflow met. */
    struct unit scaled[TIME_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < TIME_COUNT; i++) {
        if (times[i].factor >= part_us(part)) {
            scaled[count++] =
                (struct unit){times[i].name, times[i].factor / part_us(part)};
        }
    }
    shortest(out, value, scaled, count);
}

void units_size_text(char out[static UNITS_TEXT_BYTES], uint64_t bytes)
{
    shortest(out, bytes, sizes, SIZE_COUNT);
}
