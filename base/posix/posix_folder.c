#include "base/posix/posix_folder.h"

#include <ftw.h>
#include <stdio.h>

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
