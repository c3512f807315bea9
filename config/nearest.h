/*
 * "Did you mean ...?": the candidate that is nearest to a mistyped name.
 *
 * Pure. The distance is that of Damerau, restricted ("optimal string
 * alignment"): insertions, deletions, changes and swaps of neighbours.
 */

#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include <stdint.h>

#define NEAREST_NAME_BYTES 64 /* longer ones are never near */

/* At first {.name = the mistyped one}. */
struct nearest {
    const char *name;
    const char *best; /* NULL: nothing is near enough */
    uint32_t distance;
};

/* Consider one more candidate, which is borrowed. The first of equals wins. */
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
