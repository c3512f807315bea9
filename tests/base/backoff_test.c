#include "tests/support/check.h"

#include "base/backoff.h"
#include "tests/support/seeded.h"

static const struct backoff_config doubling = {
    .base_ms = 100, .multiplier_percent = 200, .max_ms = 1000};

static void doubles_up_to_the_maximum(void **state)
{
    (void)state;
    static const uint32_t expected[] = {100, 200, 400, 800, 1000, 1000};
    struct backoff backoff;
    backoff_init(&backoff, &doubling);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK(backoff_attempt_count(&backoff) == i);
        /* Without jitter nobody asks for entropy. */
        CHECK(backoff_next_ms(&backoff, NULL) == expected[i]);
    }
    backoff_reset(&backoff);
    CHECK(backoff_attempt_count(&backoff) == 0);
    CHECK(backoff_next_ms(&backoff, NULL) == 100);
}

static void even_a_pause_of_one_grows(void **state)
{
    (void)state;
    static const uint32_t expected[] = {1, 2, 3, 5, 8, 12};
    struct backoff backoff;
    backoff_init(&backoff, &(struct backoff_config){.base_ms = 1,
                                                    .multiplier_percent = 150,
                                                    .max_ms = 12});
    for (size_t i = 0; i < 6; i++) {
        CHECK(backoff_next_ms(&backoff, NULL) == expected[i]);
    }
}

static void the_greatest_numbers_do_not_overflow(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff,
                 &(struct backoff_config){.base_ms = UINT32_MAX - 1,
                                          .multiplier_percent = UINT32_MAX,
                                          .max_ms = UINT32_MAX});
    CHECK(backoff_next_ms(&backoff, NULL) == UINT32_MAX - 1);
    CHECK(backoff_next_ms(&backoff, NULL) == UINT32_MAX);
    CHECK(backoff_next_ms(&backoff, NULL) == UINT32_MAX);
}

static void jitter_spreads_over_its_share_and_no_further(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 9};
    struct entropy entropy = seeded_entropy(&seeded);
    struct backoff_config config = doubling;
    config.jitter_percent = 25;
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    uint64_t sum = 0;
    for (int i = 0; i < 10000; i++) {
        struct backoff backoff;
        backoff_init(&backoff, &config);
        uint32_t pause_ms = backoff_next_ms(&backoff, &entropy);
        least = pause_ms < least ? pause_ms : least;
        most = pause_ms > most ? pause_ms : most;
        sum += pause_ms;
        /* Jitter does not add up: the next one starts from the whole. */
        CHECK(backoff_next_ms(&backoff, &entropy) >= 150);
    }
    CHECK(least == 75);
    CHECK(most == 100);
    CHECK(sum / 10000 >= 86 && sum / 10000 <= 88); /* 87.5 */
}

static void full_jitter_may_not_wait_at_all(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 1};
    struct entropy entropy = seeded_entropy(&seeded);
    struct backoff backoff;
    backoff_init(&backoff, &(struct backoff_config){.base_ms = 1,
                                                    .multiplier_percent = 100,
                                                    .max_ms = 1,
                                                    .jitter_percent = 100});
    bool seen[2] = {false, false};
    for (int i = 0; i < 100; i++) {
        uint32_t pause_ms = backoff_next_ms(&backoff, &entropy);
        CHECK(pause_ms <= 1);
        seen[pause_ms] = true;
    }
    CHECK(seen[0] && seen[1]);
}

static void tells_a_config_that_makes_no_sense(void **state)
{
    (void)state;
    CHECK(backoff_config_is_valid(&doubling));
    struct backoff_config config = doubling;
    config.base_ms = 0;
    CHECK(!backoff_config_is_valid(&config));
    config = doubling;
    config.multiplier_percent = 99;
    CHECK(!backoff_config_is_valid(&config));
    config = doubling;
    config.max_ms = 99;
    CHECK(!backoff_config_is_valid(&config));
    config = doubling;
    config.jitter_percent = 101;
    CHECK(!backoff_config_is_valid(&config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_maximum),
        cmocka_unit_test(even_a_pause_of_one_grows),
        cmocka_unit_test(the_greatest_numbers_do_not_overflow),
        cmocka_unit_test(jitter_spreads_over_its_share_and_no_further),
        cmocka_unit_test(full_jitter_may_not_wait_at_all),
        cmocka_unit_test(tells_a_config_that_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
