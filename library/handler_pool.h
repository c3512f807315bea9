/*
 * The pool for a handler of this program: added to the cluster's when there is
 * none of that name.
 */

#ifndef LIBRARY_HANDLER_POOL_H
#define LIBRARY_HANDLER_POOL_H

#include "base/err.h"

struct node;
struct troupe_handler;

/* Waits until this node knows the pool; not on its reactor. ERR_INVALID: the
 * number of workers. Others: nobody could be asked in time */
FALLIBLE handler_pool_add(struct node *node,
                          const struct troupe_handler *handler,
                          struct err_detail *why);

#endif
