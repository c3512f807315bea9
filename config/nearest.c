#include "config/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static uint32_t min2(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

static bool same(char left, char right)
{
    return tolower((unsigned char)left) == tolower((unsigned char)right);
}

static uint32_t distance(const char *left, const char *right)
{
    uint32_t rows[3][NEAREST_NAME_BYTES + 1];
    size_t left_length = strlen(left);
    size_t right_length = strlen(right);
    for (size_t j = 0; j <= right_length; j++) {
        rows[0][j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= left_length; i++) {
        uint32_t *row = rows[i % 3];
        const uint32_t *above = rows[(i + 2) % 3];
        const uint32_t *above2 = rows[(i + 1) % 3];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= right_length; j++) {
            bool is_same = same(left[i - 1], right[j - 1]);
            row[j] = min2(min2(above[j], row[j - 1]) + 1,
                          above[j - 1] + (is_same ? 0 : 1));
            if (i > 1 && j > 1 && same(left[i - 1], right[j - 2]) &&
                same(left[i - 2], right[j - 1])) {
                row[j] = min2(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[left_length % 3][right_length];
}

/* How far a name may be off: a third of it, and always one. */
static uint32_t tolerance(const char *name)
{
    return 1 + (uint32_t)strlen(name) / 3;
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    if (strlen(nearest->name) > NEAREST_NAME_BYTES ||
        strlen(candidate) > NEAREST_NAME_BYTES) {
        return;
    }
    uint32_t offered = distance(nearest->name, candidate);
    bool is_near =
        offered <= tolerance(nearest->name) && offered < strlen(candidate);
    if (is_near && (!nearest->best || offered < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = offered;
    }
}
