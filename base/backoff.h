/*
 * How long to wait before the next attempt: longer each time, and not all at
 * the same time.
 *
 * Pure; owned by one thread.
 */

#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include "base/env.h"

#include <stdbool.h>
#include <stdint.h>

struct backoff_config {
    uint32_t base_ms;            /* first pause; at least 1 */
    uint32_t multiplier_percent; /* next pause: at least 100; 200 doubles */
    uint32_t max_ms;             /* longest pause; at least base_ms */
    uint32_t jitter_percent;     /* 0 .. 100: how much of a pause is random */
};

struct backoff {
    struct backoff_config config;
    uint32_t pause_ms; /* the next one, without jitter */
    uint32_t attempt_count;
};

/* Whether backoff_init() takes it. */
bool backoff_config_is_valid(const struct backoff_config *config);

/* `config` must be valid; it is copied. */
void backoff_init(struct backoff *backoff, const struct backoff_config *config);

/*
 * The next pause: evenly spread from (100 - jitter_percent) % of the pause to
 * the whole of it, so never above max_ms. `entropy` is not used without
 * jitter.
 */
uint32_t backoff_next_ms(struct backoff *backoff,
                         const struct entropy *entropy);

/* It went well: begin with the first pause again. */
void backoff_reset(struct backoff *backoff);

/* Pauses since backoff_init() or backoff_reset(). */
uint32_t backoff_attempt_count(const struct backoff *backoff);

#endif
