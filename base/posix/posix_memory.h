/*
 * How the C library hands memory back to the operating system.
 *
 * Called once, by main, before other threads exist.
 */

#ifndef BASE_POSIX_POSIX_MEMORY_H
#define BASE_POSIX_POSIX_MEMORY_H

/*
 * Keep freed memory for the next message instead of returning it at once:
 * frames of 64 KiB and more come and go thousands of times a second, and
 * getting their pages anew costs more than filling them. At most some
 * 64 MiB are kept.
 */
void posix_memory_keep(void);

#endif
