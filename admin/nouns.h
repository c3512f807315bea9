/*
 * All the nouns of `troupe`, in the order of its help.
 */

#ifndef ADMIN_NOUNS_H
#define ADMIN_NOUNS_H

#include "admin/command.h"

/* Ends with NULL. */
extern const struct command_noun *const nouns_all[];

#endif
