#include "store/rocks_err.h"

#include "tests/support/check.h"

static void names_what_the_caller_can_do(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        enum err err;
    } cases[] = {
        {NULL, ERR_NONE},
        {"Corruption: block checksum mismatch: stored = 1, computed = 2",
         ERR_MALFORMED},
        {"IO error: No such file or directory: While open a file for random "
         "read: state/000009.sst: No such file or directory",
         ERR_MALFORMED},
        {"Invalid argument: state: does not exist (create_if_missing is "
         "false)",
         ERR_MALFORMED},
        {"IO error: No space left on device: While appending to file: "
         "state/000004.log: No space left on device",
         ERR_NO_SPACE},
        {"IO error: While lock file: state/LOCK: Resource temporarily "
         "unavailable",
         ERR_BUSY},
        {"IO error: lock hold by current process, acquire time 1 acquiring "
         "thread 2: state/LOCK: No locks available",
         ERR_BUSY},
        {"IO error: While open a file for appending: state/LOG: Permission "
         "denied",
         ERR_ACCESS},
        {"IO error: While open a file for random read: state/000009.sst: Too "
         "many open files",
         ERR_LIMIT},
        {"IO error: While fdatasync: state/000004.log: Input/output error",
         ERR_IO},
        {"some words of a later release", ERR_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_ERR(err_from_rocksdb(cases[i].message), cases[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_the_caller_can_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
