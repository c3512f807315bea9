#include "node/readiness.h"

#include "tests/support/check.h"

#include "base/posix/posix_thread.h"

#include <string.h>

#define ROUNDS 20000

static void hears_what_was_said_last(void **state)
{
    (void)state;
    struct readiness readiness = {0};
    struct err_detail why = {{0}};
    readiness_say(&readiness, false, &(struct err_detail){.text = "starts"});
    CHECK(!readiness_hear(&readiness, &why));
    assert_string_equal(why.text, "starts");
    readiness_say(&readiness, true, &(struct err_detail){.text = ""});
    CHECK(readiness_hear(&readiness, &why));
    assert_string_equal(why.text, "");
}

/* Ready with all `a`, or not with all `b`. */
static void say_often(void *context)
{
    struct err_detail texts[2] = {0};
    memset(texts[0].text, 'a', sizeof texts[0].text - 1);
    memset(texts[1].text, 'b', sizeof texts[1].text - 1);
    for (int i = 0; i < ROUNDS; i++) {
        readiness_say(context, i % 2 == 0, &texts[i % 2]);
    }
}

static void is_never_heard_in_halves(void **state)
{
    (void)state;
    struct readiness readiness = {0};
    struct posix_thread *thread = NULL;
    CHECK_OK(posix_thread_start(&thread, "says", say_often, &readiness));
    for (int i = 0; i < ROUNDS; i++) {
        struct err_detail why = {{0}};
        bool is_ready = readiness_hear(&readiness, &why);
        if (why.text[0] == 'a' || why.text[0] == 'b') {
            char letters[] = {why.text[0], '\0'};
            CHECK(is_ready == (why.text[0] == 'a'));
            CHECK(strspn(why.text, letters) == sizeof why.text - 1);
        }
    }
    posix_thread_join(&thread);
    struct err_detail why = {{0}};
    CHECK(!readiness_hear(&readiness, &why)); /* the last of them */
    CHECK(why.text[0] == 'b');
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hears_what_was_said_last),
        cmocka_unit_test(is_never_heard_in_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
