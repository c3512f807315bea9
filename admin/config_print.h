/*
 * What the pages about settings have in common: names of keys, indentation,
 * JSON documents.
 */

#ifndef ADMIN_CONFIG_PRINT_H
#define ADMIN_CONFIG_PRINT_H

#include "base/err.h"
#include "config/schema.h"

#include <jansson.h>
#include <stdio.h>

/* The path of a key, by value. */
struct config_print_path {
    char text[SCHEMA_PATH_BYTES];
};

/* "cluster.name" of "cluster" and "name"; `parent` may be "". */
struct config_print_path config_print_join(const char *parent,
                                           const char *name);

/* "cluster.nodes[2]" of "cluster.nodes" and "2". */
struct config_print_path config_print_item(const char *list, const char *index);

/* Two blanks for each level. */
void config_print_indent(FILE *out, uint32_t depth);

/* A whole document; `json` may be NULL, when there was no memory for it. */
FALLIBLE config_print_json(FILE *out, const json_t *json);

/* For scoped(). */
void config_print_json_clear(json_t **json);

#endif
