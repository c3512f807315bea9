#include "base/hash.h"

#define XXH_STATIC_LINKING_ONLY /* a state that stands on the stack */
#include <xxhash.h>

uint64_t hash_bytes(struct bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.length, seed);
}

uint64_t hash_parts(const struct bytes *parts, size_t count, uint64_t seed)
{
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    (void)XXH3_64bits_reset_withSeed(&state, seed);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].length > 0) {
            (void)XXH3_64bits_update(&state, parts[i].data, parts[i].length);
        }
    }
    return XXH3_64bits_digest(&state);
}
