#include "base/backoff.h"

#include <assert.h>

bool backoff_config_is_valid(const struct backoff_config *config)
{
    return config->base_ms >= 1 && config->multiplier_percent >= 100 &&
           config->max_ms >= config->base_ms && config->jitter_percent <= 100;
}

void backoff_init(struct backoff *backoff, const struct backoff_config *config)
{
    assert(backoff_config_is_valid(config));
    *backoff = (struct backoff){.config = *config};
    backoff_reset(backoff);
}

/* Rounded up, so that 150 % of 1 ms is more than 1 ms. */
static uint32_t grow(uint32_t pause_ms, const struct backoff_config *config)
{
    uint64_t product = (uint64_t)pause_ms * config->multiplier_percent;
    uint64_t grown_ms = product / 100 + (product % 100 > 0);
    return grown_ms < config->max_ms ? (uint32_t)grown_ms : config->max_ms;
}

uint32_t backoff_next_ms(struct backoff *backoff, const struct entropy *entropy)
{
    uint32_t pause_ms = backoff->pause_ms;
    uint64_t random_ms =
        (uint64_t)pause_ms * backoff->config.jitter_percent / 100;
    backoff->pause_ms = grow(pause_ms, &backoff->config);
    if (backoff->attempt_count < UINT32_MAX) {
        backoff->attempt_count++;
    }
    if (random_ms > 0) {
        pause_ms -= (uint32_t)entropy_below(entropy, random_ms + 1);
    }
    assert(pause_ms <= backoff->config.max_ms);
    return pause_ms;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->pause_ms = backoff->config.base_ms;
    backoff->attempt_count = 0;
}

uint32_t backoff_attempt_count(const struct backoff *backoff)
{
    return backoff->attempt_count;
}
