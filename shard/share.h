/*
 * Divide things by weight among those who want some, none of whom takes more
 * than its limit: what one cannot take goes to the others (water filling).
 *
 * Plain data; pure. Integers, so that it is the same everywhere.
 */

#ifndef SHARD_SHARE_H
#define SHARD_SHARE_H

#include <stddef.h>
#include <stdint.h>

struct share {
    uint32_t weight; /* 0: gets nothing */
    uint32_t limit;

    /* Set by share_out(): the fair share, which is a fraction. */
    uint32_t down;  /* rounded down */
    uint32_t up;    /* rounded up */
    uint32_t loose; /* a tenth more, rounded down; at least `up` */
    uint32_t scant; /* a tenth less, rounded up; at most `down` */
};

/* `count` and `total` are at most 65536. */
void share_out(struct share *shares, size_t count, uint32_t total);

#endif
