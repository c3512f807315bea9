#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/posix/posix_files.h"
#include "base/posix/posix_folder.h"
#include "tests/support/temp_folder.h"

static void make_folder(const char *path)
{
    const struct files *files = posix_files();
    CHECK_OK(files->make_folder(files->context, path, FILE_PUBLIC));
}

static void make_file(const char *path)
{
    const struct files *files = posix_files();
    CHECK_OK(files->write(files->context, path, FILE_PUBLIC, false,
                          bytes_of_text("x")));
}

static void removes_all_below_and_nothing_beside(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    char kept[256];
    temp_folder_init(&folder);
    make_folder(temp_folder_path(&folder, path, "beside"));
    make_file(temp_folder_path(&folder, kept, "beside/kept"));
    make_folder(temp_folder_path(&folder, path, "top"));
    make_folder(temp_folder_path(&folder, path, "top/deep"));
    make_file(temp_folder_path(&folder, path, "top/deep/file"));
    CHECK(symlink("../beside", temp_folder_path(&folder, path, "top/link")) ==
          0);
    CHECK_OK(posix_folder_remove(temp_folder_path(&folder, path, "top")));
    CHECK(access(path, F_OK) != 0);
    CHECK(access(kept, F_OK) == 0);
    CHECK_ERR(posix_folder_remove(path), ERR_IO);
    temp_folder_clear(&folder);
}

static void tells_the_absolute_path(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    char *real = NULL;
    char *top = NULL;
    temp_folder_init(&folder);
    make_folder(temp_folder_path(&folder, path, "top"));
    CHECK_OK(posix_folder_real(&top, path));
    CHECK(top[0] == '/');
    CHECK_OK(posix_folder_real(
        &real, temp_folder_path(&folder, path, "./top/../top")));
    assert_string_equal(real, top);
    free(real);
    free(top);
    CHECK_ERR(
        posix_folder_real(&real, temp_folder_path(&folder, path, "nothing")),
        ERR_NOT_FOUND);
    temp_folder_clear(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removes_all_below_and_nothing_beside),
        cmocka_unit_test(tells_the_absolute_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
