/*
 * What the files of the view share.
 *
 *   view.c          life, and what holds together
 *   view_change.c   what changes it
 *   view_codec.c    bytes, and the digest
 */

#ifndef SHARD_VIEW_CORE_H
#define SHARD_VIEW_CORE_H

#include "shard/view.h"

/* Whether a shard may be placed so. ERR_INVALID */
FALLIBLE view_check_place(const struct members *members,
                          const struct shard_place *place,
                          uint32_t shard,
                          struct err_detail *why);

/* Whether a view that is founded holds together. ERR_INVALID */
FALLIBLE view_validate(const struct view *view, struct err_detail *why);

#endif
