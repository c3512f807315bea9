#include "admin/table.h"

#include "admin/human.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN_COUNT_MAX 16

struct cell {
    char *text;
    enum table_tone tone;
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    struct cell *cells; /* row by row */
    size_t cell_count;
    size_t cell_capacity;
    bool has_failed;
};

const char *table_tone_begin(enum table_tone tone, bool is_colored)
{
    static const char *const sequences[TABLE_TONE_COUNT] = {
        [TABLE_PLAIN] = "",
        [TABLE_GOOD] = "\033[32m",
        [TABLE_WARNING] = "\033[33m",
        [TABLE_BAD] = "\033[31m",
    };
    return is_colored ? sequences[tone] : "";
}

const char *table_tone_end(enum table_tone tone, bool is_colored)
{
    return is_colored && tone != TABLE_PLAIN ? "\033[0m" : "";
}

enum err table_open(struct table **out, const struct table_column *columns)
{
    struct table *table = calloc(1, sizeof *table);
    if (!table) {
        return ERR_MEMORY;
    }
    table->columns = columns;
    while (columns[table->column_count].title) {
        table->column_count++;
    }
    assert(table->column_count > 0);
    assert(table->column_count <= COLUMN_COUNT_MAX);
    *out = table;
    return ERR_NONE;
}

void table_close(struct table **table)
{
    if (!*table) {
        return;
    }
    for (size_t i = 0; i < (*table)->cell_count; i++) {
        free((*table)->cells[i].text);
    }
    free((*table)->cells);
    free(*table);
    *table = NULL;
}

static bool has_room(struct table *table)
{
    if (table->cell_count < table->cell_capacity) {
        return true;
    }
    size_t capacity = table->cell_capacity > 0 ? 2 * table->cell_capacity : 64;
    struct cell *cells = reallocarray(table->cells, capacity, sizeof *cells);
    if (!cells) {
        return false;
    }
    table->cells = cells;
    table->cell_capacity = capacity;
    return true;
}

void table_cell(struct table *table,
                enum table_tone tone,
                const char *format,
                ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0 || !has_room(table)) {
        table->has_failed = true;
        if (length >= 0) {
            free(text);
        }
        return;
    }
    human_clean(text);
    table->cells[table->cell_count++] = (struct cell){text, tone};
}

/* In characters; that some are wider is not worth a table of them. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; width++) {
        uint32_t code;
        size_t length = utf8_decode(text, &code);
        text += length > 0 ? length : 1;
    }
    return width;
}

static void measure(const struct table *table, size_t *widths)
{
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = width_of(table->columns[i].title);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = width_of(table->cells[i].text);
        size_t *widest = &widths[i % table->column_count];
        *widest = width > *widest ? width : *widest;
    }
}

struct printing {
    const struct table *table;
    FILE *out;
    bool is_colored;
    size_t widths[COLUMN_COUNT_MAX];
};

static void print_cell(const struct printing *printing,
                       size_t column,
                       const char *text,
                       enum table_tone tone)
{
    const struct table *table = printing->table;
    bool is_last = column + 1 == table->column_count;
    bool is_right = table->columns[column].is_number;
    int blanks = (int)(printing->widths[column] - width_of(text));
    fprintf(printing->out, "%*s%s%s%s", is_right ? blanks : 0, "",
            table_tone_begin(tone, printing->is_colored), text,
            table_tone_end(tone, printing->is_colored));
    if (!is_last) {
        fprintf(printing->out, "%*s", is_right ? 2 : blanks + 2, "");
    } else {
        fputc('\n', printing->out);
    }
}

enum err table_print(const struct table *table, FILE *out, bool is_colored)
{
    struct printing printing = {
        .table = table, .out = out, .is_colored = is_colored};
    if (table->has_failed) {
        return ERR_MEMORY;
    }
    assert(table->cell_count % table->column_count == 0);
    measure(table, printing.widths);
    for (size_t i = 0; i < table->column_count; i++) {
        print_cell(&printing, i, table->columns[i].title, TABLE_PLAIN);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        print_cell(&printing, i % table->column_count, table->cells[i].text,
                   table->cells[i].tone);
    }
    return ERR_NONE;
}
