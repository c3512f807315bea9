#include "tests/sim/sim_kv.h"

#include "tests/support/check.h"

#include <stdlib.h>

#include "tests/support/seeded.h"

/* Batch `number` puts two rows: "n" and a row of its own. */
static enum err write_numbered(const struct kv *kv, uint8_t number)
{
    struct kv_change changes[] = {
        {KV_PUT, bytes_of_text("n"), bytes_of(&number, 1)},
        {KV_PUT, bytes_of(&number, 1), bytes_of(&number, 1)},
    };
    return kv->write(kv->context, changes, 2);
}

static bool count_row(void *visitor, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    size_t *count = visitor;
    (*count)++;
    return true;
}

/* The number of the last batch that is there; all before it must be. */
static uint8_t last_batch(const struct kv *kv)
{
    size_t count = 0;
    CHECK_OK(kv->scan(kv->context, bytes_of(NULL, 0), bytes_of(NULL, 0),
                      count_row, &count));
    uint8_t *found = NULL;
    size_t length = 0;
    enum err err = kv->get(kv->context, bytes_of_text("n"), &found, &length);
    uint8_t number = 0;
    if (err != ERR_NOT_FOUND) {
        CHECK_OK(err);
        CHECK(length == 1);
        number = found[0];
        free(found);
    }
    CHECK(count == (number ? number + 1u : 0));
    return number;
}

static void loses_any_suffix_of_what_was_not_synced(void **state)
{
    (void)state;
    bool was_left[11] = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct seeded seeded = {seed};
        struct entropy entropy = seeded_entropy(&seeded);
        struct sim_kv *sim = sim_kv_open();
        CHECK(sim);
        const struct kv *kv = sim_kv_table(sim);
        for (uint8_t i = 1; i <= 10; i++) {
            CHECK_OK(write_numbered(kv, i));
            if (i == 4) {
                CHECK_OK(kv->sync(kv->context));
            }
        }
        CHECK(sim_kv_unsynced_count(sim) == 6);
        size_t lost = sim_kv_crash(sim, &entropy);
        uint8_t left = last_batch(kv);
        CHECK(left == 10 - lost && left >= 4);
        was_left[left] = true;
        /* What a crash has left is there for good. */
        CHECK(sim_kv_crash(sim, &entropy) == 0);
        CHECK(last_batch(kv) == left);
        sim_kv_close(&sim);
    }
    for (size_t left = 4; left <= 10; left++) {
        CHECK(was_left[left]);
    }
}

static void check_read(const struct kv *kv, enum err expected)
{
    uint8_t *found = NULL;
    size_t length = 0;
    size_t count = 0;
    CHECK_ERR(kv->get(kv->context, bytes_of_text("n"), &found, &length),
              expected);
    CHECK_ERR(kv->scan(kv->context, bytes_of(NULL, 0), bytes_of(NULL, 0),
                       count_row, &count),
              expected == ERR_NOT_FOUND ? ERR_NONE : expected);
    free(found);
}

static void finds_damage_until_it_is_wiped(void **state)
{
    (void)state;
    struct sim_kv *sim = sim_kv_open();
    CHECK(sim);
    const struct kv *kv = sim_kv_table(sim);
    CHECK_OK(write_numbered(kv, 1));
    CHECK_OK(kv->sync(kv->context));
    sim_kv_damage(sim);
    check_read(kv, ERR_MALFORMED);
    sim_kv_wipe(sim);
    check_read(kv, ERR_NOT_FOUND);
    CHECK(last_batch(kv) == 0);
    sim_kv_close(&sim);
}

static void fails_on_demand_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct sim_kv *sim = sim_kv_open();
    CHECK(sim);
    const struct kv *kv = sim_kv_table(sim);
    CHECK_OK(write_numbered(kv, 1));
    sim_kv_fail(sim, ERR_NO_SPACE);
    CHECK_ERR(write_numbered(kv, 2), ERR_NO_SPACE);
    CHECK_ERR(kv->sync(kv->context), ERR_NO_SPACE);
    check_read(kv, ERR_NONE);
    sim_kv_fail(sim, ERR_IO);
    CHECK_ERR(write_numbered(kv, 2), ERR_IO);
    CHECK_ERR(kv->sync(kv->context), ERR_IO);
    check_read(kv, ERR_IO);
    sim_kv_fail(sim, ERR_NONE);
    CHECK(last_batch(kv) == 1);
    CHECK(sim_kv_unsynced_count(sim) == 1);
    sim_kv_close(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loses_any_suffix_of_what_was_not_synced),
        cmocka_unit_test(finds_damage_until_it_is_wiped),
        cmocka_unit_test(fails_on_demand_and_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
