#include "node/kept_file.h"

#include "tests/support/check.h"
#include "tests/support/temp_folder.h"

#include "base/posix/posix_files.h"
#include "base/posix/posix_reactor.h"
#include "base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct temp_folder folder;
    struct posix_reactor *reactor;
    char path[256];
};

static int set_up(void **state)
{
    static struct fixture fixture;
    temp_folder_init(&fixture.folder);
    (void)snprintf(fixture.path, sizeof fixture.path, "%s/kept",
                   fixture.folder.path);
    CHECK_OK(posix_reactor_open(&fixture.reactor, "test"));
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    posix_reactor_close(&fixture->reactor);
    temp_folder_clear(&fixture->folder);
    return 0;
}

static struct kept_file *open_at(struct fixture *fixture, const char *path)
{
    struct kept_file *file = NULL;
    CHECK_OK(kept_file_open(&file, posix_files(), path, NULL,
                            posix_reactor_get(fixture->reactor)));
    return file;
}

static void check_content(struct kept_file *file, const char *text)
{
    struct host_keep keep = kept_file_keep(file);
    uint8_t *content = NULL;
    size_t length = 0;
    CHECK_OK(keep.load(keep.context, &content, &length));
    CHECK(bytes_are_equal(bytes_of(content, length), bytes_of_text(text)));
    free(content);
}

static void what_was_saved_last_is_there_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct kept_file *file = open_at(fixture, fixture->path);
    kept_file_save(file, bytes_of_text("one"));
    kept_file_save(file, bytes_of_text("two"));
    kept_file_save(file, bytes_of_text("three"));
    kept_file_close(&file);
    CHECK(!file);
    file = open_at(fixture, fixture->path);
    check_content(file, "three");
    kept_file_save(file, bytes_of_text("four"));
    kept_file_close(&file);
    file = open_at(fixture, fixture->path);
    check_content(file, "four");
    kept_file_close(&file);
}

static void what_cannot_be_written_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/none/kept", fixture->folder.path);
    scoped(kept_file_close) struct kept_file *file = open_at(fixture, path);
    kept_file_save(file, bytes_of_text("one"));
    kept_file_save(file, bytes_of_text("two"));
    struct host_keep keep = kept_file_keep(file);
    uint8_t *content = NULL;
    size_t length = 0;
    CHECK_ERR(keep.load(keep.context, &content, &length), ERR_NOT_FOUND);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static char path[4096];
    memset(path, 'x', sizeof path - 1);
    struct kept_file *file = NULL;
    CHECK_ERR(kept_file_open(&file, posix_files(), path, NULL,
                             posix_reactor_get(fixture->reactor)),
              ERR_INVALID);
    CHECK(!file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_saved_last_is_there_after_a_restart),
        TEST(what_cannot_be_written_does_no_harm),
        TEST(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
