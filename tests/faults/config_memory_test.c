/*
 * Every allocation of the configuration is made to fail once.
 */

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"
#include "tests/faults/failing_allocator.h"

static struct problems problems;

/* How many allocations there are before it succeeds or ends as `wanted`. */
static uint32_t sweep(const char *text, enum err wanted)
{
    uint32_t passes = 0;
    enum err err = ERR_MEMORY;
    while (err == ERR_MEMORY) {
        scoped(settings_close) struct settings *settings = NULL;
        countdown = ++passes;
        err = config_parse(&settings, bytes_of_text(text), "x", &problems);
        bool was_reached = countdown == 0;
        countdown = 0;
        CHECK((settings != NULL) == (err == ERR_NONE));
        CHECK(was_reached == (err == ERR_MEMORY));
    }
    CHECK_ERR(err, wanted);
    return passes - 1;
}

static void a_good_file_survives_any_one_failure(void **state)
{
    (void)state;
    uint32_t count = sweep("cluster:\n"
                           "  id: 000102030405060708090a0b0c0d0e0f\n"
                           "  nodes: [{name: a, host: h}]\n"
                           "  pools: [{name: p}]\n"
                           "seeds: [tcp://h:1]\n",
                           ERR_NONE);
    /* 12 nodes with 8 keys and 5 texts, the settings and their 3 arrays. */
    assert_int_equal(count, 12 + 8 + 5 + 1 + 3);
}

static void a_wrong_file_survives_any_one_failure(void **state)
{
    (void)state;
    uint32_t count = sweep("a: &x [1]\na: {b: [*x]}\nc: \"d\"\n", ERR_INVALID);
    CHECK(count > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_survives_any_one_failure),
        cmocka_unit_test(a_wrong_file_survives_any_one_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
