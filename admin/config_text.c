#include "admin/config_text.h"

#include "admin/config_print.h"
#include "base/scope.h"
#include "config/schema.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A part of the table, the same in this file, and its struct. */
struct place {
    const char *path;  /* "cluster.nodes[]" */
    const char *shown; /* "cluster.nodes[2]" */
    const void *base;
};

static struct config_print_path item_number(const char *list, uint32_t index)
{
    char number[16];
    problem_say(number, sizeof number, "%u", index);
    return config_print_item(list, number);
}

static uint32_t count_of(const struct schema_key *key, const void *base)
{
    uint32_t count = 0;
    memcpy(&count, (const uint8_t *)base + key->count_offset, sizeof count);
    return count;
}

static const void *item_at(const struct schema_key *key,
                           const void *base,
                           uint32_t index)
{
    const uint8_t *items = NULL;
    memcpy(&items, (const uint8_t *)base + key->offset, sizeof items);
    return items + index * key->item_bytes;
}

/* A derived value that has no meaning here: no zone, no bus port with ws. */
static bool is_unset(const char *value)
{
    return !*value || strcmp(value, "0") == 0 || strcmp(value, "0-0") == 0;
}

/* ---- YAML ---- */

static bool is_plain(const char *value)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
    return *value && *value != '-' && value[strspn(value, safe)] == '\0' &&
           strcasecmp(value, "null") != 0;
}

static void put_quoted(FILE *out, const char *value)
{
    fputc('"', out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            fputc('\\', out);
        }
        fputc(*value, out);
    }
    fputc('"', out);
}

static void put_scalar(FILE *out,
                       const struct schema_key *key,
                       const char *value)
{
    if (key->kind == SCHEMA_ROLES || is_plain(value)) {
        fputs(value, out);
    } else {
        put_quoted(out, value);
    }
}

struct yaml {
    FILE *out;
    const struct config_text *text;
};

static bool is_written(const struct config_text *text, const char *shown)
{
    return document_find(text->root, shown) != NULL;
}

/* A part whose keys are all commented out sets nothing. */
static bool is_set(const struct config_text *text,
                   const struct schema_key *key,
                   const char *shown)
{
    const struct document_node *node = document_find(text->root, shown);
    if (!node || key->kind != SCHEMA_PART) {
        return node;
    }
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], key->path);
        if (name &&
            is_set(text, &keys[i], config_print_join(shown, name).text)) {
            return true;
        }
    }
    return false;
}

static void yaml_part(const struct yaml *yaml,
                      struct place place,
                      uint32_t depth,
                      bool is_item);

static void yaml_urls(const struct yaml *yaml,
                      const struct schema_key *key,
                      uint32_t depth)
{
    const struct settings *settings = yaml->text->settings;
    fprintf(yaml->out, "%s:\n", key->path);
    for (uint32_t i = 0; i < settings->seed_count; i++) {
        config_print_indent(yaml->out, depth + 1);
        fprintf(yaml->out, "- \"%s\"\n", settings->seeds[i].url);
    }
}

static void yaml_list(const struct yaml *yaml,
                      const struct schema_key *key,
                      const char *name,
                      uint32_t depth)
{
    config_print_indent(yaml->out, depth);
    fprintf(yaml->out, "%s:\n", name);
    struct config_print_path path = config_print_item(key->path, "");
    uint32_t count = count_of(key, yaml->text->settings);
    for (uint32_t i = 0; i < count; i++) {
        struct config_print_path shown = item_number(key->path, i);
        struct place item = {path.text, shown.text,
                             item_at(key, yaml->text->settings, i)};
        yaml_part(yaml, item, depth + 1, true);
    }
}

static void yaml_value(const struct yaml *yaml,
                       const struct schema_key *key,
                       const char *name,
                       const void *base,
                       bool is_default)
{
    char value[SCHEMA_VALUE_BYTES];
    schema_write(value, key, base);
    if (is_default && key->derived && is_unset(value)) {
        fprintf(yaml->out, "# %s: default: %s\n", name, key->derived);
        return;
    }
    fprintf(yaml->out, "%s: ", name);
    put_scalar(yaml->out, key, value);
    fputs(is_default ? " # default\n" : "\n", yaml->out);
}

static void yaml_key(const struct yaml *yaml,
                     const struct schema_key *key,
                     const char *name,
                     struct place place,
                     uint32_t depth)
{
    struct config_print_path shown = config_print_join(place.shown, name);
    bool is_default = !is_written(yaml->text, shown.text);
    if (!yaml->text->is_effective && !is_set(yaml->text, key, shown.text)) {
        return;
    }
    bool is_list = key->kind == SCHEMA_LIST || key->kind == SCHEMA_URLS;
    if (is_list && count_of(key, place.base) == 0) {
        config_print_indent(yaml->out, depth);
        fprintf(yaml->out, "# %s: default: %s\n", name, key->derived);
    } else if (key->kind == SCHEMA_URLS) {
        yaml_urls(yaml, key, depth);
    } else if (key->kind == SCHEMA_LIST) {
        yaml_list(yaml, key, name, depth);
    } else if (key->kind == SCHEMA_PART) {
        config_print_indent(yaml->out, depth);
        fprintf(yaml->out, "%s:\n", name);
        struct place child = {key->path, shown.text, place.base};
        yaml_part(yaml, child, depth + 1, false);
    } else {
        config_print_indent(yaml->out, depth);
        yaml_value(yaml, key, name, place.base, is_default);
    }
}

/* The first key of an item stands behind its dash. */
static void yaml_part(const struct yaml *yaml,
                      struct place place,
                      uint32_t depth,
                      bool is_item)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    bool is_first = is_item;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], place.path);
        if (!name) {
            continue;
        }
        if (is_first) {
            config_print_indent(yaml->out, depth);
            fputs("- ", yaml->out);
            yaml_value(yaml, &keys[i], name, place.base, false);
            is_first = false;
            continue;
        }
        yaml_key(yaml, &keys[i], name, place, depth + (is_item ? 1 : 0));
    }
}

void config_text_yaml(FILE *out, const struct config_text *text)
{
    struct yaml yaml = {out, text};
    struct place root = {"", "", text->settings};
    yaml_part(&yaml, root, 0, false);
}

/* ---- JSON ---- */

static json_t *json_roles(uint32_t roles)
{
    const struct schema_key *key = schema_find("cluster.nodes[].roles");
    json_t *list = json_array();
    for (uint32_t i = 0; list && key->choices[i]; i++) {
        if (roles & UINT32_C(1) << i) {
            (void)json_array_append_new(list, json_string(key->choices[i]));
        }
    }
    return list;
}

static json_t *json_urls(const struct settings *settings)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < settings->seed_count; i++) {
        (void)json_array_append_new(list, json_string(settings->seeds[i].url));
    }
    return list;
}

/* Numbers and booleans as such; what has a unit as in the file. */
static json_t *json_value(const struct schema_key *key, const void *base)
{
    char value[SCHEMA_VALUE_BYTES];
    schema_write(value, key, base);
    if (key->derived && is_unset(value)) {
        return json_null();
    }
    switch (key->kind) {
    case SCHEMA_NUMBER:
        return json_integer(strtoll(value, NULL, 10));
    case SCHEMA_BOOL:
        return json_boolean(strcmp(value, "true") == 0);
    case SCHEMA_ROLES: {
        uint32_t roles = 0;
        memcpy(&roles, (const uint8_t *)base + key->offset, sizeof roles);
        return json_roles(roles);
    }
    default:
        return json_string(value);
    }
}

struct json {
    const struct config_text *text;
    json_t *defaults;
};

static json_t *json_part(struct json *json, struct place place);

static json_t *json_list(struct json *json, const struct schema_key *key)
{
    json_t *list = json_array();
    struct config_print_path path = config_print_item(key->path, "");
    uint32_t count = count_of(key, json->text->settings);
    for (uint32_t i = 0; list && i < count; i++) {
        struct config_print_path shown = item_number(key->path, i);
        struct place item = {path.text, shown.text,
                             item_at(key, json->text->settings, i)};
        (void)json_array_append_new(list, json_part(json, item));
    }
    return list;
}

static json_t *json_key(struct json *json,
                        const struct schema_key *key,
                        const char *shown,
                        const void *base)
{
    switch (key->kind) {
    case SCHEMA_PART:
        return json_part(json, (struct place){key->path, shown, base});
    case SCHEMA_LIST:
        return json_list(json, key);
    case SCHEMA_URLS:
        return json_urls(json->text->settings);
    default:
        return json_value(key, base);
    }
}

static json_t *json_part(struct json *json, struct place place)
{
    json_t *object = json_object();
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; object && i < count; i++) {
        const char *name = schema_child_name(&keys[i], place.path);
        struct config_print_path shown =
            config_print_join(place.shown, name ? name : "");
        bool is_default = name && !is_written(json->text, shown.text);
        if (!name || (!json->text->is_effective &&
                      !is_set(json->text, &keys[i], shown.text))) {
            continue;
        }
        if (is_default && keys[i].kind != SCHEMA_PART) {
            (void)json_array_append_new(json->defaults,
                                        json_string(shown.text));
        }
        (void)json_object_set_new(
            object, name, json_key(json, &keys[i], shown.text, place.base));
    }
    return object;
}

enum err config_text_json(FILE *out, const struct config_text *text)
{
    struct json json = {text, json_array()};
    struct place root = {"", "", text->settings};
    json_t *settings = json_part(&json, root);
    scoped(config_print_json_clear) json_t *object = json_pack(
        "{s:s, s:i, s:s, s:o, s:o}", "schema", "troupe-config", "version", 1,
        "file", text->file, "settings", settings, "defaults", json.defaults);
    return config_print_json(out, object);
}

/* ---- problems ---- */

void config_text_problems(FILE *out,
                          const struct problems *problems,
                          bool is_colored)
{
    const char *bold = is_colored ? "\033[1m" : "";
    const char *plain = is_colored ? "\033[0m" : "";
    for (uint32_t i = 0; i < problems->count; i++) {
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, &problems->items[i]);
        size_t place = strlen(problems->file);
        fprintf(out, "%s%.*s%s%s\n", bold, (int)place, text, plain,
                text + place);
    }
    if (problems->more_count) {
        fprintf(out, "and at least %u more\n", problems->more_count);
    }
}

enum err config_text_problems_json(FILE *out, const struct problems *problems)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        (void)json_array_append_new(
            list,
            json_pack("{s:i, s:i, s:s, s:s, s:s}", "line",
                      (int)problem->place.line, "column",
                      (int)problem->place.column, "key", problem->key, "found",
                      problem->found, "allowed", problem->allowed));
    }
    scoped(config_print_json_clear) json_t *object =
        json_pack("{s:s, s:i, s:s, s:b, s:i, s:o}", "schema",
                  "troupe-config-check", "version", 1, "file", problems->file,
                  "valid", problems_total(problems) == 0, "problem_count",
                  (int)problems_total(problems), "problems", list);
    return config_print_json(out, object);
}
