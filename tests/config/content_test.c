#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/content.h"
#include "tests/support/fake_machine.h"

struct fixture {
    struct fake_machine machine;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    fake_machine_init(&fixture->machine);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fake_machine_clear(&fixture->machine);
    free(fixture);
    return 0;
}

static void put(struct fixture *fixture,
                const char *path,
                enum file_access access,
                struct bytes content)
{
    CHECK_OK(fixture->machine.files.write(fixture->machine.files.context, path,
                                          access, true, content));
}

static void reads_all_and_ends_it_with_a_zero(void **state)
{
    struct fixture *fixture = *state;
    scoped(content_clear) struct content content = {0};
    put(fixture, "a", FILE_SECRET, bytes_of("x\0y", 3));
    CHECK_OK(content_read(&content, &fixture->machine.files, "a", FILE_SECRET,
                          3, NULL));
    CHECK(bytes_are_equal(content_bytes(&content), bytes_of("x\0y", 3)));
    CHECK(content.text[3] == '\0');
    content_clear(&content);
    CHECK(content.text == NULL && content.length == 0);
    content_clear(&content); /* nothing happens */
}

/* Reading fails, and what is said names the file and has `words` in it. */
static void refuses(struct fixture *fixture,
                    const char *path,
                    enum err expected,
                    const char *words)
{
    struct content content = {0};
    struct err_detail why = {0};
    CHECK_ERR(content_read(&content, &fixture->machine.files, path, FILE_SECRET,
                           3, &why),
              expected);
    CHECK(content.text == NULL);
    CHECK(strncmp(why.text, path, strlen(path)) == 0);
    if (!strstr(why.text, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, why.text);
    }
}

static void says_what_fails_and_what_helps(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "long", FILE_SECRET, bytes_of_text("four"));
    put(fixture, "open", FILE_PUBLIC, bytes_of_text("x"));
    refuses(fixture, "none", ERR_NOT_FOUND, "not found");
    refuses(fixture, "long", ERR_MALFORMED, "far too long");
    refuses(fixture, "open", ERR_EXPOSED, "chmod 600 open");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_all_and_ends_it_with_a_zero),
        TEST(says_what_fails_and_what_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
