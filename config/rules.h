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

#endif
