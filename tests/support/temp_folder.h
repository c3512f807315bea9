/*
 * An empty folder for one test, gone with all its content afterwards.
 */

#ifndef TESTS_SUPPORT_TEMP_FOLDER_H
#define TESTS_SUPPORT_TEMP_FOLDER_H

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/posix/posix_folder.h"

struct temp_folder {
    char path[128];
};

static inline void temp_folder_init(struct temp_folder *folder)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(folder->path, sizeof folder->path,
                          "%s/troupe-test-XXXXXX", parent ? parent : "/tmp");
    CHECK(length > 0 && (size_t)length < sizeof folder->path);
    CHECK(mkdtemp(folder->path));
}

static inline void temp_folder_clear(struct temp_folder *folder)
{
    CHECK_OK(posix_folder_remove(folder->path));
}

/* "folder/name" in `path`. */
static inline const char *temp_folder_path(const struct temp_folder *folder,
                                           char path[static 256],
                                           const char *name)
{
    int length = snprintf(path, 256, "%s/%s", folder->path, name);
    CHECK(length > 0 && length < 256);
    return path;
}

#endif
