#include "admin/pack_json.h"

#include "base/pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct decoding {
    struct reader reader;
    uint32_t value_count;
    uint32_t depth;
    enum err err;
};

static json_t *decode(struct decoding *decoding);

static json_t *failed(struct decoding *decoding, enum err err)
{
    decoding->err = decoding->err ? decoding->err : err;
    return NULL;
}

static json_t *decode_natural(uint64_t natural)
{
    char text[24];
    if (natural <= INT64_MAX) {
        return json_integer((json_int_t)natural);
    }
    (void)snprintf(text, sizeof text, "%" PRIu64, natural);
    return json_string(text);
}

static json_t *decode_real(double real)
{
    json_t *value = json_real(real);
    return value ? value : json_null();
}

static json_t *decode_text(struct bytes bytes)
{
    return json_stringn((const char *)bytes.data, bytes.length);
}

static json_t *decode_bin(struct bytes bytes)
{
    char *text = malloc(2 * bytes.length + 1);
    if (!text) {
        return NULL;
    }
    hex_encode(text, bytes);
    json_t *value = json_string(text);
    free(text);
    return value;
}

static json_t *decode_array(struct decoding *decoding, uint32_t count)
{
    json_t *array = json_array();
    for (uint32_t i = 0; array && i < count; i++) {
        json_t *value = decode(decoding);
        if (!value || json_array_append_new(array, value)) {
            json_decref(array);
            return failed(decoding, ERR_MEMORY);
        }
    }
    return array;
}

/* False: it is to fail. */
static bool decode_pair(struct decoding *decoding, json_t *map)
{
    char key[PACK_JSON_KEY_BYTES];
    pack_read_text(&decoding->reader, key, sizeof key);
    if (decoding->reader.failed || json_object_get(map, key)) {
        (void)failed(decoding, ERR_MALFORMED);
        return false;
    }
    json_t *value = decode(decoding);
    if (!value) {
        return false;
    }
    /* The value is fine: it is the key that is no UTF-8. */
    if (json_object_set_new(map, key, value)) {
        (void)failed(decoding, ERR_MALFORMED);
        return false;
    }
    return true;
}

static json_t *decode_map(struct decoding *decoding, uint32_t count)
{
    json_t *map = json_object();
    for (uint32_t i = 0; map && i < count; i++) {
        if (!decode_pair(decoding, map)) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *decode_nested(struct decoding *decoding,
                             const struct pack_token *token)
{
    if (decoding->depth == PACK_JSON_DEPTH_MAX) {
        return failed(decoding, ERR_MALFORMED);
    }
    decoding->depth++;
    json_t *value = token->kind == PACK_MAP
                        ? decode_map(decoding, token->value.count)
                        : decode_array(decoding, token->value.count);
    decoding->depth--;
    return value ? value : failed(decoding, ERR_MEMORY);
}

static json_t *decode(struct decoding *decoding)
{
    if (decoding->value_count++ == PACK_JSON_VALUES_MAX) {
        return failed(decoding, ERR_TOO_LARGE);
    }
    struct pack_token token = pack_read(&decoding->reader);
    json_t *value = NULL;
    switch (token.kind) {
    case PACK_NIL:
        return json_null();
    case PACK_BOOL:
        return json_boolean(token.value.is_true);
    case PACK_UINT:
        value = decode_natural(token.value.natural);
        break;
    case PACK_INT:
        value = json_integer(token.value.negative);
        break;
    case PACK_REAL:
        value = decode_real(token.value.real);
        break;
    case PACK_STR:
        value = decode_text(token.value.bytes);
        return value ? value : failed(decoding, ERR_MALFORMED);
    case PACK_BIN:
        value = decode_bin(token.value.bytes);
        break;
    case PACK_ARRAY:
    case PACK_MAP:
        return decode_nested(decoding, &token);
    default:
        return failed(decoding, ERR_MALFORMED);
    }
    return value ? value : failed(decoding, ERR_MEMORY);
}

enum err pack_json_decode(json_t **out, struct bytes bytes)
{
    struct decoding decoding = {.reader = reader_of(bytes)};
    json_t *value = decode(&decoding);
    if (!value) {
        return decoding.err;
    }
    if (reader_left(&decoding.reader) > 0) {
        json_decref(value);
        return ERR_MALFORMED;
    }
    *out = value;
    return ERR_NONE;
}

static void encode_map(struct writer *writer, const json_t *value)
{
    /* jansson iterates only over what is not const; nothing is changed. */
    json_t *map = (json_t *)(uintptr_t)value;
    void *at = json_object_iter(map);
    pack_map(writer, (uint32_t)json_object_size(map));
    for (; at; at = json_object_iter_next(map, at)) {
        pack_text(writer, json_object_iter_key(at));
        pack_json_encode(writer, json_object_iter_value(at));
    }
}

void pack_json_encode(struct writer *writer, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        encode_map(writer, value);
        break;
    case JSON_ARRAY:
        pack_array(writer, (uint32_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++) {
            pack_json_encode(writer, json_array_get(value, i));
        }
        break;
    case JSON_STRING:
        pack_text(writer, json_string_value(value));
        break;
    case JSON_INTEGER:
        pack_int(writer, json_integer_value(value));
        break;
    case JSON_REAL:
        pack_real(writer, json_real_value(value));
        break;
    case JSON_NULL:
        pack_nil(writer);
        break;
    default:
        pack_bool(writer, json_is_true(value));
    }
}
