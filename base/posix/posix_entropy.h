/*
 * Random bytes of the operating system.
 *
 * Any thread.
 */

#ifndef BASE_POSIX_POSIX_ENTROPY_H
#define BASE_POSIX_POSIX_ENTROPY_H

#include "base/env.h"

/* Static. Ends the process if the kernel has no random bytes to give. */
const struct entropy *posix_entropy(void);

#endif
