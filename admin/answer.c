#include "admin/answer.h"

#include "admin/human.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 64

void answer_clear(json_t **answer)
{
    json_decref(*answer);
    *answer = NULL;
}

static void clean_text(json_t *value)
{
    char *text = strdup(json_string_value(value));
    if (text) {
        human_clean(text);
        (void)json_string_set(value, text);
        free(text);
    }
}

void answer_clean(json_t *answer)
{
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(answer)) {
        clean_text(answer);
    }
    json_array_foreach(answer, i, item)
    {
        answer_clean(item);
    }
    json_object_foreach(answer, key, item)
    {
        answer_clean(item);
    }
}

const json_t *answer_at(const json_t *answer, const char *path)
{
    while (answer) {
        char key[KEY_BYTES];
        size_t length = strcspn(path, ".");
        (void)snprintf(key, sizeof key, "%.*s", (int)length, path);
        answer = json_object_get(answer, key);
        if (path[length] == '\0') {
            return answer;
        }
        path += length + 1;
    }
    return NULL;
}

const char *answer_text(const json_t *answer, const char *path)
{
    return json_string_value(answer_at(answer, path));
}

uint8_t *answer_bytes(const json_t *answer, const char *path, size_t *length)
{
    const char *hex = answer_text(answer, path);
    *length = hex ? strlen(hex) / 2 : 0;
    uint8_t *bytes = malloc(*length + 1);
    for (size_t i = 0; bytes && i < *length; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes;
}

const char *answer_name(const json_t *answer, const char *path)
{
    const char *text = answer_text(answer, path);
    return text ? text : "-";
}

bool answer_has_number(const json_t *answer, const char *path)
{
    return json_is_integer(answer_at(answer, path));
}

int64_t answer_number(const json_t *answer, const char *path)
{
    const json_t *value = answer_at(answer, path);
    return json_is_array(value) ? (int64_t)json_array_size(value)
                                : (int64_t)json_integer_value(value);
}

double answer_real(const json_t *answer, const char *path)
{
    return json_number_value(answer_at(answer, path));
}

bool answer_is(const json_t *answer, const char *path)
{
    return json_is_true(answer_at(answer, path));
}

size_t answer_count(const json_t *answer, const char *path)
{
    return json_array_size(answer_at(answer, path));
}

const json_t *answer_item(const json_t *answer, const char *path, size_t i)
{
    return json_array_get(answer_at(answer, path), i);
}

const json_t *answer_find_number(const json_t *list,
                                 const char *key,
                                 int64_t number)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (answer_has_number(item, key) &&
            answer_number(item, key) == number) {
            return item;
        }
    }
    return NULL;
}

void answer_join(char *to,
                 size_t capacity,
                 const json_t *answer,
                 const char *path)
{
    size_t length = 0;
    const json_t *list = answer_at(answer, path);
    (void)snprintf(to, capacity, "-");
    for (size_t i = 0; i < json_array_size(list) && length < capacity; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        int more = snprintf(to + length, capacity - length, "%s%s",
                            i > 0 ? " " : "", text ? text : "?");
        length += more > 0 ? (size_t)more : 0;
    }
}
