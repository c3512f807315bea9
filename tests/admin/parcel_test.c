#include "admin/parcel.h"

#include "tests/support/check.h"
#include "tests/support/temp_folder.h"

#include "base/posix/posix_files.h"
#include "base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct temp_folder temp;
    char tar[256];
    char folder[256];
    char loaded[256]; /* what is loaded next */
};

static int set_up(void **state)
{
    static struct fixture fixture;
    temp_folder_init(&fixture.temp);
    (void)temp_folder_path(&fixture.temp, fixture.tar, "some.tar");
    (void)temp_folder_path(&fixture.temp, fixture.folder, "some");
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    temp_folder_clear(&fixture->temp);
    return 0;
}

static void save(const char *path)
{
    struct err_detail why = {{0}};
    scoped(parcel_close) struct parcel *parcel = NULL;
    char large[1025];
    memset(large, 'x', sizeof large);
    CHECK_OK(parcel_open(&parcel));
    CHECK_OK(parcel_add(parcel, "first.json", bytes_of_text("{\"a\": 1}\n")));
    CHECK_OK(parcel_add(parcel, "nodes/a/empty", bytes_of("", 0)));
    CHECK_OK(parcel_add(parcel, "nodes/a/large", bytes_of(large, 1025)));
    CHECK_OK(parcel_add(parcel, "nodes/a/block", bytes_of(large, 512)));
    CHECK_OK(parcel_save(parcel, posix_files(), path, 1700000000000, &why));
}

static void check_loads(const char *path)
{
    struct err_detail why = {{0}};
    size_t length = 0;
    scoped(parcel_close) struct parcel *parcel = NULL;
    CHECK_OK(parcel_load(&parcel, posix_files(), path, &why));
    assert_string_equal(parcel_find(parcel, "first.json", NULL),
                        "{\"a\": 1}\n");
    CHECK(parcel_find(parcel, "nodes/a/large", &length)[1024] == 'x');
    CHECK(length == 1025);
    CHECK(parcel_find(parcel, "nodes/a/empty", &length) && length == 0);
    CHECK(!parcel_find(parcel, "nodes/a", NULL));
}

static void check_damaged(const char *path, const char *words)
{
    struct err_detail why = {{0}};
    struct parcel *parcel = NULL;
    CHECK_ERR(parcel_load(&parcel, posix_files(), path, &why), ERR_MALFORMED);
    if (!strstr(why.text, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, why.text);
    }
}

/* ---- a file's bytes ---- */

struct bytes_read {
    uint8_t *data;
    size_t length;
};

static struct bytes_read slurp(const char *path)
{
    struct bytes_read read = {0};
    CHECK_OK(posix_files()->read(NULL, path, FILE_PUBLIC, 1 << 20, &read.data,
                                 &read.length));
    return read;
}

static void spill(const char *path, struct bytes bytes)
{
    CHECK_OK(posix_files()->write(NULL, path, FILE_SECRET, true, bytes));
}

/* ---- tests ---- */

static void comes_back_from_a_tar_file_and_from_a_folder(void **state)
{
    struct fixture *fixture = *state;
    save(fixture->tar);
    check_loads(fixture->tar);
    save(fixture->folder);
    check_loads(fixture->folder);
}

static void run_shell(const char *line)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* As GNU tar unpacks it, and packs it again with its folders. */
static void is_a_tar_file_to_other_programs(void **state)
{
    struct fixture *fixture = *state;
    char line[1024];
    save(fixture->tar);
    (void)snprintf(line, sizeof line,
                   "cd '%s' && mkdir out && tar xf some.tar -C out && "
                   "cd out && sha256sum --quiet -c SHA256SUMS && "
                   "tar cf ../again.tar .",
                   fixture->temp.path);
    run_shell(line);
    (void)temp_folder_path(&fixture->temp, fixture->loaded, "out");
    check_loads(fixture->loaded);
    (void)temp_folder_path(&fixture->temp, fixture->loaded, "again.tar");
    check_loads(fixture->loaded);
}

static void notices_every_byte_of_a_file_that_was_changed(void **state)
{
    struct fixture *fixture = *state;
    save(fixture->tar);
    struct bytes_read good = slurp(fixture->tar);
    size_t refused = 0;
    for (size_t i = 0; i < good.length; i += 7) {
        struct err_detail why = {{0}};
        scoped(parcel_close) struct parcel *parcel = NULL;
        uint8_t *bad = malloc(good.length);
        CHECK(bad);
        memcpy(bad, good.data, good.length);
        bad[i] ^= 0x20;
        spill(fixture->tar, bytes_of(bad, good.length));
        free(bad);
        enum err err = parcel_load(&parcel, posix_files(), fixture->tar, &why);
        CHECK(err == ERR_NONE || err == ERR_MALFORMED);
        CHECK(!err || why.text[0]);
        refused += err != ERR_NONE;
        if (!err) { /* padding, or zeros behind the end */
            assert_string_equal(parcel_find(parcel, "first.json", NULL),
                                "{\"a\": 1}\n");
        }
    }
    CHECK(refused > good.length / 7 / 3);
    for (size_t length = 0; length < good.length; length += 97) {
        struct err_detail why = {{0}};
        struct parcel *parcel = NULL;
        spill(fixture->tar, bytes_of(good.data, length));
        enum err err = parcel_load(&parcel, posix_files(), fixture->tar, &why);
        CHECK(err == ERR_MALFORMED || length > good.length - 1024);
        parcel_close(&parcel);
    }
    free(good.data);
}

static void says_which_file_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    save(fixture->folder);
    (void)snprintf(path, sizeof path, "%s/nodes/a/block", fixture->folder);
    spill(path, bytes_of_text("other"));
    check_damaged(fixture->folder, "nodes/a/block: is damaged, or was changed");
    CHECK_OK(posix_files()->remove(NULL, path));
    check_damaged(fixture->folder, "nodes/a/block: is missing");
    (void)snprintf(path, sizeof path, "%s/SHA256SUMS", fixture->folder);
    spill(path, bytes_of_text("rubbish\n"));
    check_damaged(fixture->folder, "SHA256SUMS: is damaged");
    CHECK_OK(posix_files()->remove(NULL, path));
    check_damaged(fixture->folder, "neither a tar file nor a folder");
    spill(fixture->tar, bytes_of_text("not a tar file"));
    check_damaged(fixture->tar, "no tar file");
    struct err_detail why = {{0}};
    struct parcel *parcel = NULL;
    CHECK_ERR(parcel_load(&parcel, posix_files(), "/nowhere.tar", &why),
              ERR_NOT_FOUND);
}

static void reads_no_file_outside_its_folder(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    save(fixture->folder);
    (void)snprintf(path, sizeof path, "%s/SHA256SUMS", fixture->folder);
    spill(path, bytes_of_text("0123456789abcdef0123456789abcdef0123456789abcdef"
                              "0123456789abcdef  ../some.tar\n"));
    check_damaged(fixture->folder, "SHA256SUMS: is damaged");
}

static void takes_only_harmless_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/a",  "../a", "a/../b",
                                      "a//b", ".a",  "a/.b", "a/",
                                      "a b",  "a\n", "a\\b", "ä"};
    scoped(parcel_close) struct parcel *parcel = NULL;
    CHECK_OK(parcel_open(&parcel));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(parcel_add(parcel, bad[i], bytes_of("", 0)), ERR_INVALID);
    }
    CHECK_OK(parcel_add(parcel, "a/b-c_d.e", bytes_of("", 0)));
    CHECK_ERR(parcel_add(parcel, "a/b-c_d.e", bytes_of("", 0)), ERR_EXISTS);
}

static void replaces_nothing_that_is_there(void **state)
{
    struct fixture *fixture = *state;
    struct err_detail why = {{0}};
    scoped(parcel_close) struct parcel *parcel = NULL;
    save(fixture->tar);
    save(fixture->folder);
    CHECK_OK(parcel_open(&parcel));
    CHECK_ERR(parcel_save(parcel, posix_files(), fixture->tar, 0, &why),
              ERR_EXISTS);
    check_loads(fixture->tar);
    check_loads(fixture->folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(comes_back_from_a_tar_file_and_from_a_folder),
        TEST(is_a_tar_file_to_other_programs),
        TEST(notices_every_byte_of_a_file_that_was_changed),
        TEST(says_which_file_is_damaged),
        TEST(reads_no_file_outside_its_folder),
        TEST(takes_only_harmless_names),
        TEST(replaces_nothing_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
