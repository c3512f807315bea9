/*
 * Maps and lists of MessagePack whose number of entries is known at their end
 * only.
 *
 * Plain data; pure. A writer that is too small says so (writer.failed).
 */

#ifndef NODE_FIELDS_H
#define NODE_FIELDS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* One that is being written, or a list. Those within it must be ended before
 * it goes on. */
struct fields {
    struct writer *writer;
    size_t at; /* where it begins */
    uint32_t count;
};

struct fields fields_begin(struct writer *writer);

/* Of either. */
void fields_end(struct fields *fields);

/* The value is to be written next, to fields->writer. */
void fields_key(struct fields *fields, const char *key);

void fields_nil(struct fields *fields, const char *key);
void fields_bool(struct fields *fields, const char *key, bool value);
void fields_uint(struct fields *fields, const char *key, uint64_t value);
void fields_int(struct fields *fields, const char *key, int64_t value);
void fields_real(struct fields *fields, const char *key, double value);
void fields_text(struct fields *fields, const char *key, const char *text);

/* As 16 hexadecimal digits; 0 is nil. */
void fields_hex(struct fields *fields, const char *key, uint64_t value);

/* A map, or a list, as the value. */
struct fields fields_map(struct fields *fields, const char *key);
struct fields fields_list(struct fields *fields, const char *key);

/* The next in a list: to be written to what is returned, or a map. */
struct writer *fields_item(struct fields *list);
struct fields fields_item_map(struct fields *list);

#endif
