#include "shard/rendezvous.h"

#include "tests/support/check.h"

#include <string.h>

#define SHARDS 40000

/* How many shards are nearest to each of `count` nodes. */
static void count_nearest(const uint32_t *weights,
                          uint32_t count,
                          uint32_t *nearest)
{
    struct rendezvous rendezvous;
    rendezvous_init(&rendezvous);
    memset(nearest, 0, count * sizeof *nearest);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        uint64_t least = UINT64_MAX;
        uint32_t best = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t distance = rendezvous_distance(
                &rendezvous, (struct rendezvous_pair){.shard = shard,
                                                      .weight = weights[i],
                                                      .hash = i * 77 + 5});
            if (distance < least) {
                least = distance;
                best = i;
            }
        }
        nearest[best]++;
    }
}

static void check_near(uint32_t given, double expected)
{
    double off = given - expected;
    CHECK(off * off < 25 * expected); /* five standard deviations */
}

static void equal_nodes_are_nearest_equally_often(void **state)
{
    (void)state;
    static const uint32_t weights[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    uint32_t nearest[8];
    count_nearest(weights, 8, nearest);
    for (int i = 0; i < 8; i++) {
        check_near(nearest[i], SHARDS / 8.0);
    }
}

static void a_node_is_nearest_as_often_as_it_weighs(void **state)
{
    (void)state;
    static const uint32_t weights[4] = {100, 200, 700, 1000};
    uint32_t nearest[4];
    count_nearest(weights, 4, nearest);
    for (int i = 0; i < 4; i++) {
        check_near(nearest[i], SHARDS * weights[i] / 2000.0);
    }
}

static void logarithms_are_right(void **state)
{
    (void)state;
    struct rendezvous rendezvous;
    rendezvous_init(&rendezvous);
    CHECK(rendezvous.log2[0] == 0);
    CHECK(rendezvous.log2[256] == UINT64_C(1) << 32);
    /* log2(1.5) and log2(1.25), times 2^32; the last digits are cut. */
    CHECK(UINT64_C(2512394810) - rendezvous.log2[128] < 64);
    CHECK(UINT64_C(1382670639) - rendezvous.log2[64] < 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_nodes_are_nearest_equally_often),
        cmocka_unit_test(a_node_is_nearest_as_often_as_it_weighs),
        cmocka_unit_test(logarithms_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
