/*
 * base/inputs.h over file descriptors.
 */

#ifndef BASE_POSIX_POSIX_INPUTS_H
#define BASE_POSIX_POSIX_INPUTS_H

#include "base/inputs.h"

/* Static. */
const struct inputs *posix_inputs(void);

#endif
