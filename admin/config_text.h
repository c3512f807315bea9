/*
 * Settings, and what is wrong with them, as text: YAML and JSON.
 *
 * Writes to a stream that is given.
 */

#ifndef ADMIN_CONFIG_TEXT_H
#define ADMIN_CONFIG_TEXT_H

#include "base/err.h"
#include "config/document.h"
#include "config/problems.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdio.h>

/* What a file says, or with all that it leaves open. */
struct config_text {
    const struct settings *settings;
    const struct document_node *root; /* of the same file */
    const char *file;
    bool is_effective; /* defaults, too, each marked as one */
};

/* Reads back as the same settings. */
void config_text_yaml(FILE *out, const struct config_text *text);

/* One object; `defaults` lists the keys that the file does not set. */
FALLIBLE config_text_json(FILE *out, const struct config_text *text);

void config_text_problems(FILE *out,
                          const struct problems *problems,
                          bool is_colored);
FALLIBLE config_text_problems_json(FILE *out, const struct problems *problems);

#endif
