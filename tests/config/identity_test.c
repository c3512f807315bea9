#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/armor.h"
#include "config/identity.h"
#include "tests/support/memory_files.h"
#include "tests/support/test_identity.h"

#define NOW_MS INT64_C(1795260600000)

struct fixture {
    struct test_authority authority;
    struct memory_files memory;
    struct files files;
    const struct identity *identity; /* "alpha", as written to k/ */
    struct err_detail why;
};

static void put(struct fixture *fixture,
                const char *path,
                enum file_access access,
                struct bytes content)
{
    CHECK_OK(fixture->files.write(fixture->files.context, path, access, true,
                                  content));
}

static void put_certificate(struct fixture *fixture,
                            const char *path,
                            const struct identity *identity)
{
    uint8_t text[2048];
    struct writer writer = writer_of(text, sizeof text);
    identity_write_certificate(
        &writer, bytes_of(identity->encoded, identity->encoded_length));
    CHECK(!writer.failed);
    put(fixture, path, FILE_PUBLIC, writer_bytes(&writer));
}

/* A key file with the keys of `count` identities. */
static void put_keys(struct fixture *fixture,
                     const char *path,
                     const struct identity *const *identities,
                     size_t count)
{
    uint8_t text[2048];
    struct writer writer = writer_of(text, sizeof text);
    for (size_t i = 0; i < count; i++) {
        identity_write_key(&writer, identities[i]->secret);
    }
    CHECK(!writer.failed);
    put(fixture, path, FILE_SECRET, writer_bytes(&writer));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    test_authority_init(&fixture->authority, 1, NOW_MS);
    fixture->files = memory_files_table(&fixture->memory);
    CHECK_OK(
        fixture->files.make_folder(fixture->files.context, "k", FILE_SECRET));
    fixture->identity = test_identity_make(&fixture->authority, "alpha", NULL);
    put_certificate(fixture, "k/alpha.cert", fixture->identity);
    put_keys(fixture, "k/alpha.key", &fixture->identity, 1);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    identity_unref(&fixture->identity);
    memory_files_clear(&fixture->memory);
    free(fixture);
    return 0;
}

static enum err open_alpha(struct fixture *fixture)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    fixture->why.text[0] = '\0';
    enum err err =
        identity_open(&identity, &fixture->files, "k", "alpha", &fixture->why);
    CHECK((identity != NULL) == (err == ERR_NONE));
    CHECK((err != ERR_NONE) == (fixture->why.text[0] != '\0'));
    if (identity) {
        CHECK(memcmp(identity->secret, fixture->identity->secret, 32) == 0);
        CHECK(identity->certificate.serial ==
              fixture->identity->certificate.serial);
    }
    return err;
}

static void reads_back_what_was_written(void **state)
{
    CHECK_OK(open_alpha(*state));
}

static void says_which_file_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(fixture->files.remove(fixture->files.context, "k/alpha.key"));
    CHECK_ERR(open_alpha(fixture), ERR_NOT_FOUND);
    CHECK(strstr(fixture->why.text, "k/alpha.key") != NULL);
    CHECK_OK(fixture->files.remove(fixture->files.context, "k/alpha.cert"));
    CHECK_ERR(open_alpha(fixture), ERR_NOT_FOUND);
    CHECK(strstr(fixture->why.text, "k/alpha.cert") != NULL);
}

static void refuses_a_key_that_others_can_read(void **state)
{
    struct fixture *fixture = *state;
    memory_files_find(&fixture->memory, "k/alpha.key")->access = FILE_PUBLIC;
    CHECK_ERR(open_alpha(fixture), ERR_EXPOSED);
    CHECK(strstr(fixture->why.text, "chmod 600 k/alpha.key") != NULL);
}

static void refuses_a_key_of_another_certificate(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *other =
        test_identity_make(&fixture->authority, "alpha", NULL);
    put_keys(fixture, "k/alpha.key", &other, 1);
    CHECK_ERR(open_alpha(fixture), ERR_INVALID);
    const struct identity *made = NULL;
    CHECK_ERR(identity_make(&made, other->secret,
                            bytes_of(fixture->identity->encoded,
                                     fixture->identity->encoded_length)),
              ERR_INVALID);
    CHECK(made == NULL);
}

static void refuses_a_certificate_of_another_name(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *beta =
        test_identity_make(&fixture->authority, "beta", NULL);
    put_certificate(fixture, "k/alpha.cert", beta);
    put_keys(fixture, "k/alpha.key", &beta, 1);
    CHECK_ERR(open_alpha(fixture), ERR_INVALID);
    CHECK(strstr(fixture->why.text, "`beta`") != NULL);
}

static void finds_the_right_key_among_several(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *newer =
        test_identity_make(&fixture->authority, "alpha", NULL);
    const struct identity *first[] = {fixture->identity, newer};
    const struct identity *second[] = {newer, fixture->identity};
    put_keys(fixture, "k/alpha.key", first, 2);
    CHECK_OK(open_alpha(fixture));
    put_keys(fixture, "k/alpha.key", second, 2);
    CHECK_OK(open_alpha(fixture));
    const struct identity *many[] = {newer, newer, newer, newer,
                                     fixture->identity};
    put_keys(fixture, "k/alpha.key", many, 5);
    CHECK_ERR(open_alpha(fixture), ERR_MALFORMED);
}

static void refuses_a_damaged_key_file(void **state)
{
    struct fixture *fixture = *state;
    struct memory_file *file =
        memory_files_find(&fixture->memory, "k/alpha.key");
    for (size_t i = 0; i < file->length; i++) {
        uint8_t before = file->data[i];
        if (before == '\n') {
            continue; /* white space has more forms than one */
        }
        file->data[i] = before == 'B' ? 'C' : 'B';
        enum err err = open_alpha(fixture);
        CHECK(err == ERR_MALFORMED || err == ERR_INVALID);
        file->data[i] = before;
    }
    for (size_t length = file->length - 2; length > 0; length--) {
        file->length = length;
        CHECK_ERR(open_alpha(fixture), ERR_MALFORMED);
    }
}

static void accepts_line_ends_of_other_systems(void **state)
{
    struct fixture *fixture = *state;
    struct memory_file *file =
        memory_files_find(&fixture->memory, "k/alpha.key");
    uint8_t text[2048];
    struct writer writer = writer_of(text, sizeof text);
    for (size_t i = 0; i < file->length; i++) {
        if (file->data[i] == '\n') {
            write_u8(&writer, '\r');
        }
        write_u8(&writer, file->data[i]);
    }
    write_bytes(&writer, "\r\n \n", 4);
    put(fixture, "k/alpha.key", FILE_SECRET, writer_bytes(&writer));
    CHECK_OK(open_alpha(fixture));
}

static void refuses_more_behind_a_certificate(void **state)
{
    struct fixture *fixture = *state;
    struct memory_file *file =
        memory_files_find(&fixture->memory, "k/alpha.cert");
    uint8_t text[4096];
    struct writer writer = writer_of(text, sizeof text);
    write_bytes(&writer, file->data, file->length);
    write_bytes(&writer, "x\n", 2);
    put(fixture, "k/alpha.cert", FILE_PUBLIC, writer_bytes(&writer));
    CHECK_ERR(open_alpha(fixture), ERR_MALFORMED);
}

static void refuses_names_that_leave_the_folder(void **state)
{
    struct fixture *fixture = *state;
    const struct identity *identity = NULL;
    CHECK_ERR(identity_open(&identity, &fixture->files, "k", "../k/alpha",
                            &fixture->why),
              ERR_INVALID);
}

static void is_shared_until_the_last_holder_goes(void **state)
{
    struct fixture *fixture = *state;
    const struct identity *mine = identity_ref(fixture->identity);
    uint8_t secret = mine->secret[31];
    const struct identity *yours = identity_ref(mine);
    identity_unref(&mine);
    CHECK(mine == NULL);
    CHECK(yours->secret[31] == secret);
    identity_unref(&yours);
    identity_unref(&yours); /* NULL is fine */
}

static void keeps_every_length_of_content_in_armor(void **state)
{
    (void)state;
    uint8_t content[ARMOR_CONTENT_BYTES_MAX];
    uint8_t text[ARMOR_TEXT_BYTES_MAX];
    uint8_t read[ARMOR_CONTENT_BYTES_MAX];
    memset(content, 0xa5, sizeof content);
    for (size_t length = 0; length <= sizeof content; length++) {
        struct writer writer = writer_of(text, sizeof text);
        armor_write(&writer, ARMOR_CERTIFICATE, bytes_of(content, length));
        CHECK(!writer.failed);
        struct armor armor = armor_of(writer_bytes(&writer));
        struct writer back = writer_of(read, length);
        CHECK_OK(armor_read(&armor, ARMOR_CERTIFICATE, &back, NULL));
        CHECK(armor_is_at_end(&armor));
        CHECK(bytes_are_equal(writer_bytes(&back), bytes_of(content, length)));
        if (length > 0) {
            armor = armor_of(writer_bytes(&writer));
            back = writer_of(read, length - 1);
            CHECK_ERR(armor_read(&armor, ARMOR_CERTIFICATE, &back, NULL),
                      ERR_MALFORMED);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_back_what_was_written),
        TEST(says_which_file_is_not_there),
        TEST(refuses_a_key_that_others_can_read),
        TEST(refuses_a_key_of_another_certificate),
        TEST(refuses_a_certificate_of_another_name),
        TEST(finds_the_right_key_among_several),
        TEST(refuses_a_damaged_key_file),
        TEST(accepts_line_ends_of_other_systems),
        TEST(refuses_more_behind_a_certificate),
        TEST(refuses_names_that_leave_the_folder),
        TEST(is_shared_until_the_last_holder_goes),
        cmocka_unit_test(keeps_every_length_of_content_in_armor),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
