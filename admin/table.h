/*
 * A table for people: columns as wide as they must be, numbers to the right.
 *
 * Cells are added one after the other, row by row; memory that is lacking shows
 * when it is printed. One thread.
 */

#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct table_column {
    const char *title;
    bool is_number; /* stands to the right */
};

enum table_tone {
    TABLE_PLAIN,
    TABLE_GOOD,
    TABLE_WARNING,
    TABLE_BAD,
    TABLE_TONE_COUNT,
};

struct table;

/* `columns` ends with {0} and is borrowed. ERR_MEMORY */
FALLIBLE table_open(struct table **out, const struct table_column *columns);
void table_close(struct table **table);

/* The next cell, in printf's form. What steers terminals becomes `?`. */
__attribute__((format(printf, 3, 4))) void table_cell(struct table *table,
                                                      enum table_tone tone,
                                                      const char *format,
                                                      ...);

/* ERR_MEMORY: a cell before found none; nothing is printed */
FALLIBLE table_print(const struct table *table, FILE *out, bool is_colored);

/* The sequence that begins a tone, and that which ends it; "" without colours.
 */
const char *table_tone_begin(enum table_tone tone, bool is_colored);
const char *table_tone_end(enum table_tone tone, bool is_colored);

#endif
