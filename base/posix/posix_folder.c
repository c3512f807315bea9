#include "base/posix/posix_folder.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define DESCRIPTOR_COUNT_MAX 8

static int remove_entry(const char *path,
                        const struct stat *about,
                        int kind,
                        struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

enum err posix_folder_remove(const char *path)
{
    return nftw(path, remove_entry, DESCRIPTOR_COUNT_MAX, FTW_DEPTH | FTW_PHYS)
               ? ERR_IO
               : ERR_NONE;
}

enum err posix_folder_real(char **out, const char *path)
{
    char *real = realpath(path, NULL);
    if (!real) {
        return err_from_errno(errno);
    }
    *out = real;
    return ERR_NONE;
}

enum err posix_folder_temporary(char **out, const char *prefix)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/%s-XXXXXX", base && *base ? base : "/tmp", prefix) <
        0) {
        return ERR_MEMORY;
    }
    if (!mkdtemp(path)) {
        enum err err = err_from_errno(errno);
        free(path);
        return err;
    }
    *out = path;
    return ERR_NONE;
}
