/*
 * The schema as text: help, JSON, Markdown and a file to begin with.
 *
 * Writes to a stream that is given.
 */

#ifndef ADMIN_CONFIG_PAGES_H
#define ADMIN_CONFIG_PAGES_H

#include "base/err.h"
#include "config/schema.h"

#include <stdio.h>

/* One key at length; a part with the keys in it. */
void config_pages_key(FILE *out, const struct schema_key *key);
FALLIBLE config_pages_key_json(FILE *out, const struct schema_key *key);

/* All keys, a line each. */
void config_pages_keys(FILE *out);
FALLIBLE config_pages_keys_json(FILE *out);

/* docs/configuration.md, whole. */
void config_pages_markdown(FILE *out);

/* A file with every key, commented, for one node; `id` is the cluster's. */
void config_pages_default(FILE *out, const char *id);

#endif
