/*
 * What this process runs on, and how much of it it may have and has: for people
 * who look for the cause of something.
 *
 * Any thread; reads small files of the kernel.
 */

#ifndef BASE_POSIX_POSIX_MACHINE_H
#define BASE_POSIX_POSIX_MACHINE_H

#include <stdint.h>

struct posix_machine {
    char system[65]; /* "Linux" */
    char release[65];
    char machine[65]; /* "x86_64" */
    uint32_t cores;   /* that are on */
    uint64_t memory_bytes;
    uint32_t process_id;
    uint64_t descriptor_count;  /* open files, sockets and so on */
    uint64_t descriptor_max;    /* RLIMIT_NOFILE; UINT64_MAX: no limit */
    uint64_t locked_bytes_max;  /* RLIMIT_MEMLOCK */
    uint64_t core_bytes_max;    /* RLIMIT_CORE */
    uint64_t process_count_max; /* RLIMIT_NPROC */
    uint64_t memory_bytes_max;  /* RLIMIT_AS */
    uint64_t resident_bytes;
};

/* What the system does not say is 0, or "". */
void posix_machine_look(struct posix_machine *out);

#endif
