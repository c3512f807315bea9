/*
 * What must hold between settings: conditions over more than one key, and
 * the defaults that follow from other keys.
 *
 * Pure.
 */

#ifndef CONFIG_RULES_H
#define CONFIG_RULES_H

#include "config/document.h"
#include "config/problems.h"
#include "config/settings.h"

/*
 * Complete `settings` and add what is wrong to `problems`, with places from
 * `root`. A key that has a problem already is not complained about again.
 */
void rules_apply(struct settings *settings,
                 const struct document_node *root,
                 struct problems *problems);

/*
 * Whether the values of `cluster` (all but nodes and pools), each of which is
 * within its bounds, go together.
 *
 * ERR_INVALID   `why` says which do not
 * ERR_MEMORY
 */
FALLIBLE rules_check_cluster(const struct settings *settings,
                             struct err_detail *why);

#endif
