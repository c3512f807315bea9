#include "shard/key.h"

#include "base/hash.h"
#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 20000

static uint32_t shard_of(const char *type, const char *id, uint32_t shard_count)
{
    return shard_of_key(bytes_of_text(type), bytes_of_text(id), shard_count);
}

/* Written down once: they may never change, because journals stand there. */
static void gives_the_shards_that_it_always_gave(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *id;
        uint32_t of_128;
        uint32_t of_4096;
    } known[] = {
        {"account", "1", 114, 2476},
        {"account", "2", 80, 3719},
        {"order", "2026-000017", 99, 3243},
        {"session", "alice", 67, 4061},
        {"a", "", 45, 2535},
        {"", "a", 109, 1730},
        {"stock", "äpfel", 72, 3314},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        CHECK(shard_of(known[i].type, known[i].id, 128) == known[i].of_128);
        CHECK(shard_of(known[i].type, known[i].id, 4096) == known[i].of_4096);
    }
}

/* Computed by a second implementation of the paper's figure 1, in Python. */
static void jumps_as_the_paper_says(void **state)
{
    (void)state;
    static const struct {
        uint64_t hash;
        uint32_t bucket_count;
        uint32_t bucket;
    } known[] = {
        {UINT64_C(0x0), 2, 0},
        {UINT64_C(0x0), 10, 0},
        {UINT64_C(0x0), 128, 0},
        {UINT64_C(0x0), 4096, 0},
        {UINT64_C(0x1), 2, 0},
        {UINT64_C(0x1), 10, 6},
        {UINT64_C(0x1), 128, 55},
        {UINT64_C(0x1), 4096, 2323},
        {UINT64_C(0x2), 2, 0},
        {UINT64_C(0x2), 10, 6},
        {UINT64_C(0x2), 128, 62},
        {UINT64_C(0x2), 4096, 3927},
        {UINT64_C(0xdeadbeef), 2, 1},
        {UINT64_C(0xdeadbeef), 10, 5},
        {UINT64_C(0xdeadbeef), 128, 87},
        {UINT64_C(0xdeadbeef), 4096, 2238},
        {UINT64_C(0x9e3779b97f4a7c15), 2, 1},
        {UINT64_C(0x9e3779b97f4a7c15), 10, 3},
        {UINT64_C(0x9e3779b97f4a7c15), 128, 71},
        {UINT64_C(0x9e3779b97f4a7c15), 4096, 1096},
        {UINT64_C(0xffffffffffffffff), 2, 1},
        {UINT64_C(0xffffffffffffffff), 10, 9},
        {UINT64_C(0xffffffffffffffff), 128, 92},
        {UINT64_C(0xffffffffffffffff), 4096, 1921},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        CHECK(shard_jump(known[i].hash, known[i].bucket_count) ==
              known[i].bucket);
    }
}

static void one_shard_has_all_keys(void **state)
{
    (void)state;
    struct seeded random = {.state = 1};
    for (int i = 0; i < 1000; i++) {
        CHECK(shard_jump(seeded_u64(&random), 1) == 0);
    }
    CHECK(shard_jump(0, 4096) < 4096);
    CHECK(shard_jump(UINT64_MAX, 4096) < 4096);
}

static void a_key_moves_only_to_a_new_bucket(void **state)
{
    (void)state;
    struct seeded random = {.state = 2};
    for (uint32_t count = 1; count < 200; count += 7) {
        uint32_t moved = 0;
        for (uint32_t i = 0; i < KEYS; i++) {
            uint64_t hash = seeded_u64(&random);
            uint32_t before = shard_jump(hash, count);
            uint32_t after = shard_jump(hash, count + 1);
            CHECK(after == before || after == count);
            moved += after != before;
        }
        /* One in count + 1; five standard deviations, at most. */
        double mean = (double)KEYS / (count + 1);
        double off = moved - mean;
        CHECK(off * off < 25 * mean);
    }
}

static void keys_are_spread_evenly(void **state)
{
    (void)state;
    static uint32_t counts[128];
    memset(counts, 0, sizeof counts);
    for (uint32_t i = 0; i < 128 * 1000; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "%u", i);
        counts[shard_of("account", id, 128)]++;
    }
    double chi_square = 0;
    for (int i = 0; i < 128; i++) {
        double off = (double)counts[i] - 1000;
        chi_square += off * off / 1000;
    }
    /* 127 degrees of freedom: mean 127, and 181 once in a thousand times. */
    CHECK(chi_square < 181);
    CHECK(chi_square > 80);
}

static void long_keys_are_hashed_as_short_ones_are(void **state)
{
    (void)state;
    static uint8_t key[1000];
    struct seeded random = {.state = 3};
    seeded_fill(&random, key, sizeof key);
    for (size_t length = 0; length + 11 < sizeof key; length++) {
        key[10] = '/';
        uint64_t hash = hash_bytes(bytes_of(key, 11 + length), 0);
        CHECK(shard_of_key(bytes_of(key, 10), bytes_of(key + 11, length),
                           4096) == shard_jump(hash, 4096));
    }
    CHECK(shard_of_key(bytes_of(NULL, 0), bytes_of(NULL, 0), 4096) ==
          shard_jump(hash_bytes(bytes_of("/", 1), 0), 4096));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_shards_that_it_always_gave),
        cmocka_unit_test(jumps_as_the_paper_says),
        cmocka_unit_test(one_shard_has_all_keys),
        cmocka_unit_test(a_key_moves_only_to_a_new_bucket),
        cmocka_unit_test(keys_are_spread_evenly),
        cmocka_unit_test(long_keys_are_hashed_as_short_ones_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
