/*
 * All settings of a node as they are used, key by key: for people, and for
 * comparing nodes with each other.
 *
 * Pure. There is no secret among them: keys are files of their own.
 */

#ifndef CONFIG_SETTINGS_VALUES_H
#define CONFIG_SETTINGS_VALUES_H

#include "config/settings.h"

/* Call `on_value` for each key that has a value, in the order of the schema:
 * "node.data_dir", "seeds[0]", "cluster.nodes[alpha].port". */
void settings_values(const struct settings *settings,
                     settings_on_value *on_value,
                     void *context);

#endif
