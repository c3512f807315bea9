#include "shard/key.h"

#include "base/hash.h"

#include <assert.h>

#define SHORT_KEY_BYTES 240 /* as almost all are: hashed at once */

/*
 * The paper's loop. Its division of doubles is exact enough to be the same
 * everywhere: IEEE 754 defines each step, and there is nothing to contract.
 */
uint32_t shard_jump(uint64_t hash, uint32_t bucket_count)
{
    assert(bucket_count > 0);
    int64_t bucket = -1;
    int64_t next = 0;
    while (next < (int64_t)bucket_count) {
        bucket = next;
        hash = hash * UINT64_C(2862933555777941757) + 1;
        next = (int64_t)((double)(bucket + 1) * ((double)(INT64_C(1) << 31) /
                                                 (double)((hash >> 33) + 1)));
    }
    return (uint32_t)bucket;
}

static uint64_t hash_of(struct bytes type, struct bytes id)
{
    if (type.length + 1 + id.length > SHORT_KEY_BYTES) {
        const struct bytes parts[] = {type, bytes_of("/", 1), id};
        return hash_parts(parts, 3, 0);
    }
    uint8_t key[SHORT_KEY_BYTES];
    struct writer writer = writer_of(key, sizeof key);
    write_bytes(&writer, type.data, type.length);
    write_u8(&writer, '/');
    write_bytes(&writer, id.data, id.length);
    return hash_bytes(writer_bytes(&writer), 0);
}

uint32_t shard_of_key(struct bytes type, struct bytes id, uint32_t shard_count)
{
    return shard_jump(hash_of(type, id), shard_count);
}
