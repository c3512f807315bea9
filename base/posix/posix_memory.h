/*
 * How the C library hands memory back to the operating system, and how much
 * the process has of it.
 */

#ifndef BASE_POSIX_POSIX_MEMORY_H
#define BASE_POSIX_POSIX_MEMORY_H

#include <stdint.h>

/*
 * Called once, by main, before other threads exist.
 *
 * Keep freed memory for the next message instead of returning it at once:
 * frames of 64 KiB and more come and go thousands of times a second, and
 * getting their pages anew costs more than filling them. At most some
 * 64 MiB are kept.
 */
void posix_memory_keep(void);

/* What the process has in memory; 0: the system does not say. Any thread. */
uint64_t posix_memory_resident_bytes(void);

#endif
