#include "shard/view_settings.h"

#include "base/utf8.h"
#include "config/schema.h"
#include "config/units.h"
#include "shard/shard_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 2
#define HEADS_BYTES_MAX 32
#define HEAD_BYTES_MAX 5 /* of a text */

/* ---- life ---- */

void view_settings_clear(struct view_settings *settings)
{
    free(settings->list);
    *settings = (struct view_settings){0};
}

enum err view_settings_copy(struct view_settings *out,
                            const struct view_settings *from)
{
    struct view_settings copy = *from;
    copy.list = NULL;
    if (from->count > 0) {
        copy.list = calloc(from->count, sizeof *copy.list);
        if (!copy.list) {
            return ERR_MEMORY;
        }
        memcpy(copy.list, from->list, from->count * sizeof *copy.list);
    }
    *out = copy;
    return ERR_NONE;
}

static struct view_setting *find(const struct view_settings *settings,
                                 const char *key)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->list[i].key, key) == 0) {
            return &settings->list[i];
        }
    }
    return NULL;
}

const char *view_settings_find(const struct view_settings *settings,
                               const char *key)
{
    const struct view_setting *setting = find(settings, key);
    return setting ? setting->value : NULL;
}

static enum err add(struct view_settings *settings,
                    const struct view_setting *setting)
{
    if (settings->count == VIEW_SETTINGS_MAX) {
        return ERR_FULL;
    }
    struct view_setting *list =
        realloc(settings->list, ((size_t)settings->count + 1) * sizeof *list);
    if (!list) {
        return ERR_MEMORY;
    }
    list[settings->count++] = *setting;
    settings->list = list;
    return ERR_NONE;
}

enum err view_settings_set(struct view_settings *settings,
                           const char *key,
                           const char *value)
{
    struct view_setting setting = {{0}, {0}};
    if (strlen(key) >= sizeof setting.key ||
        strlen(value) >= sizeof setting.value) {
        return ERR_TOO_LARGE;
    }
    (void)snprintf(setting.key, sizeof setting.key, "%s", key);
    (void)snprintf(setting.value, sizeof setting.value, "%s", value);
    struct view_setting *present = find(settings, key);
    if (present) {
        *present = setting;
        return ERR_NONE;
    }
    return add(settings, &setting);
}

struct making {
    struct view_settings settings;
    enum err err;
};

static void take_value(void *context, const char *key, const char *value)
{
    struct making *making = context;
    if (!making->err) {
        making->err = view_settings_set(&making->settings, key, value);
    }
}

enum err view_settings_make(struct view_settings *out,
                            const struct settings *from)
{
    struct making making = {.err = ERR_NONE};
    settings_cluster_values(from, take_value, &making);
    if (making.err) {
        view_settings_clear(&making.settings);
        return making.err;
    }
    *out = making.settings;
    return ERR_NONE;
}

/* ---- what waits ---- */

struct waiting {
    const struct view_settings *agreed;
    settings_on_difference *on_waiting;
    void *context;
    uint32_t count;
};

static void look_at_value(void *context, const char *key, const char *in_use)
{
    struct waiting *waiting = context;
    const struct schema_key *known = schema_find(key);
    const char *agreed = view_settings_find(waiting->agreed, key);
    if (!agreed || strcmp(agreed, in_use) == 0 || known->is_live ||
        known->fixed) {
        return;
    }
    waiting->count++;
    if (waiting->on_waiting) {
        waiting->on_waiting(waiting->context, key, in_use, agreed);
    }
}

uint32_t view_settings_waiting(const struct view_settings *agreed,
                               const struct settings *in_use,
                               settings_on_difference *on_waiting,
                               void *context)
{
    struct waiting waiting = {agreed, on_waiting, context, 0};
    settings_cluster_values(in_use, look_at_value, &waiting);
    return waiting.count;
}

/* ---- what holds together ---- */

static enum err check_number(const struct view_settings *settings,
                             const char *key,
                             uint64_t *out,
                             struct err_detail *why)
{
    const char *value = view_settings_find(settings, key);
    if (!value || units_number(out, value)) {
        err_explain(why, "%s: found %s; a number is needed", key,
                    value ? value : "nothing");
        return ERR_INVALID;
    }
    return ERR_NONE;
}

enum err view_settings_check(const struct view_settings *settings,
                             uint32_t shard_count,
                             uint32_t *replication,
                             struct err_detail *why)
{
    uint64_t shards = 0;
    uint64_t replicas = 0;
    enum err err = check_number(settings, "cluster.shards", &shards, why);
    if (!err) {
        err = check_number(settings, "cluster.replication", &replicas, why);
    }
    if (err) {
        return err;
    }
    const char *name = view_settings_find(settings, "cluster.name");
    if (shards != shard_count) {
        err_explain(why, "cluster.shards: found %.32s; there are %u shards",
                    view_settings_find(settings, "cluster.shards"),
                    shard_count);
        return ERR_INVALID;
    }
    if (replicas < 1 || replicas > SHARD_REPLICAS_MAX) {
        err_explain(why,
                    "cluster.replication: found %.32s; 1 to %d is possible",
                    view_settings_find(settings, "cluster.replication"),
                    SHARD_REPLICAS_MAX);
        return ERR_INVALID;
    }
    if (!name || !certificate_name_is_valid(name)) {
        err_explain(why, "cluster.name: found %s; a name is needed",
                    name ? name : "nothing");
        return ERR_INVALID;
    }
    *replication = (uint32_t)replicas;
    return ERR_NONE;
}

/* ---- bytes ---- */

size_t view_settings_bytes_max(const struct view_settings *settings)
{
    return HEADS_BYTES_MAX + settings->count * (sizeof(struct view_setting) +
                                                2 * (size_t)HEAD_BYTES_MAX);
}

void view_settings_encode(const struct view_settings *settings,
                          struct writer *writer)
{
    pack_record(writer, FIELDS);
    pack_uint(writer, settings->version);
    pack_map(writer, settings->count);
    for (uint32_t i = 0; i < settings->count; i++) {
        pack_text(writer, settings->list[i].key);
        pack_text(writer, settings->list[i].value);
    }
    pack_record_end(writer);
}

static void read_setting(struct view_settings *out, struct reader *reader)
{
    struct view_setting *setting = &out->list[out->count];
    pack_read_text(reader, setting->key, sizeof setting->key);
    pack_read_text(reader, setting->value, sizeof setting->value);
    if (setting->key[0] == '\0' || !utf8_is_printable(setting->key) ||
        !utf8_is_printable(setting->value) || find(out, setting->key)) {
        reader->failed = true;
    }
    out->count++;
}

enum err view_settings_decode(struct view_settings *out, struct reader *reader)
{
    struct view_settings settings = {0};
    uint32_t field_count = pack_read_array_of(reader, FIELDS, UINT32_MAX);
    settings.version = pack_read_uint(reader);
    uint32_t count = pack_read_map(reader);
    if (reader->failed || count > VIEW_SETTINGS_MAX) {
        reader->failed = true;
        return ERR_MALFORMED;
    }
    if (count > 0) {
        settings.list = calloc(count, sizeof *settings.list);
        if (!settings.list) {
            return ERR_MEMORY;
        }
    }
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_setting(&settings, reader);
    }
    pack_skip_count(reader, field_count - FIELDS);
    if (reader->failed) {
        view_settings_clear(&settings);
        return ERR_MALFORMED;
    }
    *out = settings;
    return ERR_NONE;
}
