#include "base/env.h"

#include <assert.h>

uint64_t entropy_u64(const struct entropy *entropy)
{
    uint8_t raw[8];
    entropy_fill(entropy, raw, sizeof raw);
    return get_u64(raw);
}

uint64_t entropy_below(const struct entropy *entropy, uint64_t bound)
{
    assert(bound > 0);
    /* Refuse the uneven rest at the top, so that no value is likelier. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
        uint64_t value = entropy_u64(entropy);
        if (value < limit) {
            return value % bound;
        }
    }
}
