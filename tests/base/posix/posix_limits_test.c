#include "tests/support/check.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/posix/posix_limits.h"

/* Hard limits cannot be raised again: so each test has its own process. */
static void in_child(void (*run)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run();
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* In the child cmocka's own checks would return into the parent's run. */
#define EXPECT(condition)    \
    do {                     \
        if (!(condition)) {  \
            _exit(__LINE__); \
        }                    \
    } while (0)

static void limit_descriptors(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void check_raised(void)
{
    limit_descriptors(32, 128);
    struct err_detail why = {0};
    EXPECT(posix_limits_check(
               &(struct posix_limits_needed){.descriptor_count = 128}, &why) ==
           ERR_NONE);
    struct rlimit limit;
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    EXPECT(limit.rlim_cur == 128);
    EXPECT(why.text[0] == '\0');
}

static void check_refused(void)
{
    limit_descriptors(32, 128);
    struct err_detail why = {0};
    EXPECT(posix_limits_check(
               &(struct posix_limits_needed){.descriptor_count = 129}, &why) ==
           ERR_LIMIT);
    EXPECT(strstr(why.text, "may have 128, but needs 129"));
    EXPECT(strstr(why.text, "`ulimit -n 129`"));
    EXPECT(strstr(why.text, "`LimitNOFILE=129`"));
}

static void check_locked(void)
{
    /* More than any machine has: refused whatever the capabilities. */
    uint64_t needed = UINT64_C(1) << 60;
    struct rlimit limit = {.rlim_cur = 65536, .rlim_max = 65536};
    EXPECT(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    struct err_detail why = {0};
    EXPECT(posix_limits_check(
               &(struct posix_limits_needed){.locked_bytes = needed}, &why) ==
           ERR_LIMIT);
    EXPECT(strstr(why.text, "may lock 64 KiB, but needs 1125899906842624 KiB"));
    EXPECT(strstr(why.text, "`ulimit -l 1125899906842624`"));
    EXPECT(strstr(why.text, "`LimitMEMLOCK=1125899906842624K`"));
    EXPECT(
        posix_limits_check(&(struct posix_limits_needed){.locked_bytes = 65536},
                           NULL) == ERR_NONE);
}

static void raises_the_soft_limit_to_the_hard_one(void **state)
{
    (void)state;
    in_child(check_raised);
}

static void says_how_to_raise_the_limit_on_open_files(void **state)
{
    (void)state;
    in_child(check_refused);
}

static void says_how_to_raise_the_limit_on_locked_memory(void **state)
{
    (void)state;
    in_child(check_locked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raises_the_soft_limit_to_the_hard_one),
        cmocka_unit_test(says_how_to_raise_the_limit_on_open_files),
        cmocka_unit_test(says_how_to_raise_the_limit_on_locked_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
