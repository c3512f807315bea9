#include "shard/share.h"

#include "tests/support/check.h"
#include "tests/support/seeded.h"

static void divides_evenly_what_can_be(void **state)
{
    (void)state;
    struct share shares[4] = {{.weight = 7, .limit = 100},
                              {.weight = 7, .limit = 100},
                              {.weight = 7, .limit = 100},
                              {.weight = 7, .limit = 100}};
    share_out(shares, 4, 40);
    for (int i = 0; i < 4; i++) {
        CHECK(shares[i].down == 10 && shares[i].up == 10);
        CHECK(shares[i].loose == 11 && shares[i].scant == 9);
    }
}

static void rounds_both_ways(void **state)
{
    (void)state;
    struct share shares[3] = {{.weight = 1, .limit = 100},
                              {.weight = 1, .limit = 100},
                              {.weight = 2, .limit = 100}};
    share_out(shares, 3, 10);
    CHECK(shares[0].down == 2 && shares[0].up == 3);
    CHECK(shares[0].loose == 3 && shares[0].scant == 2);
    CHECK(shares[2].down == 5 && shares[2].up == 5 && shares[2].loose == 5);
}

static void what_one_cannot_take_goes_to_the_others(void **state)
{
    (void)state;
    struct share shares[4] = {{.weight = 800, .limit = 128},
                              {.weight = 100, .limit = 128},
                              {.weight = 100, .limit = 30},
                              {.weight = 100, .limit = 128}};
    share_out(shares, 4, 384);
    CHECK(shares[0].down == 128 && shares[0].loose == 128);
    CHECK(shares[2].up == 30 && shares[2].scant == 30);
    CHECK(shares[1].down == 113 && shares[3].up == 113);
}

static void nobody_gets_more_than_there_is_or_its_limit(void **state)
{
    (void)state;
    struct share shares[3] = {{.weight = 0, .limit = 9},
                              {.weight = 5, .limit = 9},
                              {.weight = 9, .limit = 0}};
    share_out(shares, 3, 100);
    CHECK(shares[0].up == 0 && shares[1].down == 9 && shares[2].loose == 0);
    share_out(shares, 3, 0);
    CHECK(shares[1].up == 0 && shares[1].loose == 0);
    share_out(shares, 0, 5);
}

static void shares_sum_to_the_total(void **state)
{
    (void)state;
    struct seeded random = {.state = 1};
    for (int round = 0; round < 2000; round++) {
        struct share shares[40];
        size_t count = 1 + seeded_below(&random, 40);
        uint32_t limits = 0;
        for (size_t i = 0; i < count; i++) {
            shares[i] = (struct share){
                .weight = 1 + (uint32_t)seeded_below(&random, UINT32_MAX),
                .limit = (uint32_t)seeded_below(&random, 500)};
            limits += shares[i].limit;
        }
        uint32_t total = (uint32_t)seeded_below(&random, limits + 1);
        uint32_t down = 0;
        uint32_t up = 0;
        share_out(shares, count, total);
        for (size_t i = 0; i < count; i++) {
            down += shares[i].down;
            up += shares[i].up;
            CHECK(shares[i].loose <= shares[i].limit);
            CHECK(shares[i].up <= shares[i].loose);
            CHECK(shares[i].scant <= shares[i].down);
        }
        CHECK(down <= total && total <= up && up - down <= count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divides_evenly_what_can_be),
        cmocka_unit_test(rounds_both_ways),
        cmocka_unit_test(what_one_cannot_take_goes_to_the_others),
        cmocka_unit_test(nobody_gets_more_than_there_is_or_its_limit),
        cmocka_unit_test(shares_sum_to_the_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
