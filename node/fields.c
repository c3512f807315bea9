#include "node/fields.h"

#include "base/pack.h"

#include <inttypes.h>
#include <stdio.h>

struct fields fields_begin(struct writer *writer)
{
    return (struct fields){.writer = writer, .at = pack_map_begin(writer)};
}

void fields_end(struct fields *fields)
{
    pack_count(fields->writer, fields->at, fields->count);
}

void fields_key(struct fields *fields, const char *key)
{
    pack_text(fields->writer, key);
    fields->count++;
}

void fields_nil(struct fields *fields, const char *key)
{
    fields_key(fields, key);
    pack_nil(fields->writer);
}

void fields_bool(struct fields *fields, const char *key, bool value)
{
    fields_key(fields, key);
    pack_bool(fields->writer, value);
}

void fields_uint(struct fields *fields, const char *key, uint64_t value)
{
    fields_key(fields, key);
    pack_uint(fields->writer, value);
}

void fields_int(struct fields *fields, const char *key, int64_t value)
{
    fields_key(fields, key);
    pack_int(fields->writer, value);
}

void fields_real(struct fields *fields, const char *key, double value)
{
    fields_key(fields, key);
    pack_real(fields->writer, value);
}

void fields_text(struct fields *fields, const char *key, const char *text)
{
    fields_key(fields, key);
    pack_text(fields->writer, text);
}

void fields_hex(struct fields *fields, const char *key, uint64_t value)
{
    char text[17];
    (void)snprintf(text, sizeof text, "%016" PRIx64, value);
    if (value == 0) {
        fields_nil(fields, key);
    } else {
        fields_text(fields, key, text);
    }
}

struct fields fields_map(struct fields *fields, const char *key)
{
    fields_key(fields, key);
    return fields_begin(fields->writer);
}

struct fields fields_list(struct fields *fields, const char *key)
{
    fields_key(fields, key);
    return (struct fields){.writer = fields->writer,
                           .at = pack_array_begin(fields->writer)};
}

struct writer *fields_item(struct fields *list)
{
    list->count++;
    return list->writer;
}

struct fields fields_item_map(struct fields *list)
{
    return fields_begin(fields_item(list));
}
