/*
 * A table of files in memory whose n-th change fails.
 *
 * For tests that sweep a failure over everything an operation writes. Zeroed
 * it is empty; "" is the root, which is there.
 */

#ifndef TESTS_SUPPORT_MEMORY_FILES_H
#define TESTS_SUPPORT_MEMORY_FILES_H

#include "base/env.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_FILES_ENTRY_COUNT_MAX 128

struct memory_file {
    char path[256]; /* "": a free entry */
    bool is_folder;
    bool is_locked; /* by a process that lives */
    enum file_access access;
    uint8_t *data;
    size_t length;
};

struct memory_files {
    struct memory_file entries[MEMORY_FILES_ENTRY_COUNT_MAX];
    uint32_t write_count; /* files and folders written, or tried to */

    /* The write number `fail_at` (from 1) gets ERR_NO_SPACE; 0: none does. */
    uint32_t fail_at;
    bool fails_on;      /* and so do all writes after it */
    bool fails_removal; /* from that write on nothing can be removed either:
                           as if the process were killed there */
};

struct files memory_files_table(struct memory_files *memory);

/* Frees what is in it; leaves it empty. */
void memory_files_clear(struct memory_files *memory);

/* Make `to`, which is empty, hold the same files. */
void memory_files_copy(struct memory_files *to,
                       const struct memory_files *from);

/* Whether both hold the same files with the same content and access. */
bool memory_files_are_equal(const struct memory_files *left,
                            const struct memory_files *right);

/* NULL: not there. Borrowed until the next change. */
struct memory_file *memory_files_find(struct memory_files *memory,
                                      const char *path);

/* How many files and folders there are. */
uint32_t memory_files_count(const struct memory_files *memory);

#endif
