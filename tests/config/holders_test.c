#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "config/holders.h"
#include "config/identity.h"
#include "tests/support/memory_files.h"
#include "tests/support/test_identity.h"

#define NOW_MS INT64_C(1795260600000)

struct fixture {
    struct test_authority authority;
    struct memory_files memory;
    struct files files;
};

static void put(struct fixture *fixture, const char *path, struct bytes content)
{
    CHECK_OK(fixture->files.write(fixture->files.context, path, FILE_PUBLIC,
                                  true, content));
}

static void put_certificate(struct fixture *fixture,
                            const char *name,
                            enum role role)
{
    uint8_t text[2048];
    char path[64];
    struct writer writer = writer_of(text, sizeof text);
    struct test_identity_options options = {.role = role};
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, name, &options);
    identity_write_certificate(
        &writer, bytes_of(identity->encoded, identity->encoded_length));
    CHECK(!writer.failed);
    (void)snprintf(path, sizeof path, "k/%s.cert", name);
    put(fixture, path, writer_bytes(&writer));
}

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    CHECK_OK(identity_library_init());
    test_authority_init(&fixture.authority, 1, NOW_MS);
    fixture.files = memory_files_table(&fixture.memory);
    CHECK_OK(
        fixture.files.make_folder(fixture.files.context, "k", FILE_PUBLIC));
    put_certificate(&fixture, "alpha", ROLE_NODE);
    put_certificate(&fixture, "anna", ROLE_OPERATOR);
    put_certificate(&fixture, "web", ROLE_CLIENT);
    put(&fixture, "k/trust", bytes_of_text("not looked at"));
    put(&fixture, "k/broken.cert", bytes_of_text("rubbish"));
    put(&fixture, "k/.cert", bytes_of_text("rubbish"));
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    memory_files_clear(&fixture->memory);
    return 0;
}

static void those_of_a_role_are_found(void **state)
{
    struct fixture *fixture = *state;
    struct holders holders;
    CHECK_OK(holders_find(&holders, &fixture->files, "k", 1u << ROLE_OPERATOR));
    CHECK(holders.count == 1);
    assert_string_equal(holders.first, "anna");
    CHECK_OK(holders_find(&holders, &fixture->files, "k", 1u << ROLE_OBSERVER));
    CHECK(holders.count == 0 && holders.names[0] == '\0');
}

static void all_of_several_roles_are_named(void **state)
{
    struct fixture *fixture = *state;
    struct holders holders;
    CHECK_OK(holders_find(&holders, &fixture->files, "k",
                          1u << ROLE_OPERATOR | 1u << ROLE_CLIENT));
    CHECK(holders.count == 2);
    assert_string_equal(holders.first, "anna");
    assert_string_equal(holders.names, "anna, web");
}

static void that_there_is_no_folder_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct holders holders;
    CHECK_ERR(holders_find(&holders, &fixture->files, "none", 1),
              ERR_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(those_of_a_role_are_found),
        TEST(all_of_several_roles_are_named),
        TEST(that_there_is_no_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
