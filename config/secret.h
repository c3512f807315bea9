/*
 * Memory for secrets: between guard pages, locked, never in a core dump.
 *
 * Any thread. Each costs at least a locked page (RLIMIT_MEMLOCK).
 */

#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include <stddef.h>

/* `length` zero bytes; NULL when memory cannot be had or not be locked. */
void *secret_open(size_t length);

/* Wipe and free. Accepts NULL. */
void secret_close(void *secret);

#endif
