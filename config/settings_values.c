#include "config/settings_values.h"

#include "config/problems.h"
#include "config/schema.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

struct walk {
    const struct settings *settings;
    settings_on_value *on_value;
    void *context;
};

/* Both kinds of items begin with their names. */
static_assert(offsetof(struct settings_member, name) == 0, "name first");
static_assert(offsetof(struct settings_pool, name) == 0, "name first");

static void tell_item(const struct walk *walk,
                      const struct schema_key *list,
                      const void *item)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    char parent[SCHEMA_PATH_BYTES];
    problem_say(parent, sizeof parent, "%s[]", list->path);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], parent);
        if (name) {
            char shown[SCHEMA_PATH_BYTES];
            char text[SCHEMA_VALUE_BYTES];
            problem_say(shown, sizeof shown, "%s[%.63s].%s", list->path,
                        (const char *)item, name);
            schema_write(text, &keys[i], item);
            walk->on_value(walk->context, shown, text);
        }
    }
}

static void tell_list(const struct walk *walk, const struct schema_key *list)
{
    const uint8_t *base = (const uint8_t *)walk->settings;
    const uint8_t *items = NULL;
    uint32_t count = 0;
    memcpy(&items, base + list->offset, sizeof items);
    memcpy(&count, base + list->count_offset, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        tell_item(walk, list, items + i * list->item_bytes);
    }
}

static void tell_seeds(const struct walk *walk)
{
    for (uint32_t i = 0; i < walk->settings->seed_count; i++) {
        char shown[SCHEMA_PATH_BYTES];
        problem_say(shown, sizeof shown, "seeds[%u]", i);
        walk->on_value(walk->context, shown, walk->settings->seeds[i].url);
    }
}

void settings_values(const struct settings *settings,
                     settings_on_value *on_value,
                     void *context)
{
    struct walk walk = {settings, on_value, context};
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_key *key = &keys[i];
        bool is_of_item = strchr(key->path, '[') != NULL;
        if (key->kind == SCHEMA_LIST) {
            tell_list(&walk, key);
        } else if (key->kind == SCHEMA_URLS) {
            tell_seeds(&walk);
        } else if (!is_of_item && !schema_is_branch(key)) {
            char text[SCHEMA_VALUE_BYTES];
            schema_write(text, key, settings);
            on_value(context, key->path, text);
        }
    }
}
