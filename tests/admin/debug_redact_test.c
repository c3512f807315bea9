#include "admin/debug_redact.h"

#include "tests/support/check.h"

#include "base/scope.h"

#include <stdlib.h>

static void check_clean(const struct debug_redact *redact,
                        const char *text,
                        const char *expected)
{
    char *cleaned = NULL;
    CHECK_OK(debug_redact_apply(redact, text, &cleaned));
    assert_string_equal(cleaned, expected);
    free(cleaned);
}

static void replaces_whole_words_the_same_everywhere(void **state)
{
    (void)state;
    scoped(debug_redact_close) struct debug_redact *redact = NULL;
    CHECK_OK(debug_redact_open(&redact));
    CHECK_OK(debug_redact_add(redact, "host", "10.0.0.1"));
    CHECK_OK(debug_redact_add(redact, "host", "10.0.0.12"));
    CHECK_OK(debug_redact_add(redact, "person", "ann"));
    CHECK_OK(debug_redact_add(redact, "host", "10.0.0.1"));
    CHECK_OK(debug_redact_add(redact, "host", "fe80::1"));
    CHECK_OK(debug_redact_add(redact, "host", ""));
    check_clean(redact, "tcp://10.0.0.1:7600, tcp://10.0.0.12:7600.",
                "tcp://host-1:7600, tcp://host-2:7600.");
    check_clean(redact, "operator/ann asks anna and joann; ann.",
                "operator/person-1 asks anna and joann; person-1.");
    check_clean(redact, "10.0.0.1.5 210.0.0.1", "10.0.0.1.5 210.0.0.1");
    check_clean(redact, "tcp://[fe80::1]:7600", "tcp://[host-3]:7600");
    check_clean(redact, "", "");
    check_clean(redact, "Grüße an ann", "Grüße an person-1");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_whole_words_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
