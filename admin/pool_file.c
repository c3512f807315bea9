#include "admin/pool_file.h"

#include "admin/answer.h"
#include "admin/pack_json.h"
#include "base/scope.h"
#include "config/document.h"
#include "config/nearest.h"
#include "config/units.h"
#include "shard/task_pool.h"
#include "shard/task_schedule.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_BYTES 64

/* One pool that is read, or one of its schedules. */
struct reading_pool {
    const char *file;
    const char *what;       /* "a pool" */
    const json_t *defaults; /* of all fields: their names and kinds */
    const json_t *of_schedules;
    json_t *definition;
    struct err_detail *why;
};

__attribute__((format(printf, 3, 4))) static enum err refuse(
    const struct reading_pool *pool,
    const struct document_node *node,
    const char *format,
    ...)
{
    char text[500];
    va_list arguments;
    struct problem_place place = document_place(node);
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    err_explain(pool->why, "%s:%" PRIu32 ":%" PRIu32 ": %s", pool->file,
                place.line, place.column, text);
    return ERR_INVALID;
}

/* ---- all that there is ---- */

static enum err pack_pool(json_t **out, const struct task_pool *pool)
{
    size_t bytes = task_pool_bytes_max(pool);
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, bytes);
    task_pool_encode(pool, &writer);
    enum err err = pack_json_decode(out, writer_bytes(&writer));
    free(buffer);
    return err;
}

static enum err make_defaults(json_t **out)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    return pack_pool(out, &pool);
}

static enum err make_schedule_defaults(json_t **out)
{
    struct task_schedule schedule;
    uint8_t buffer[1024];
    struct writer writer = writer_of(buffer, sizeof buffer);
    task_schedule_defaults(&schedule);
    task_schedule_encode(&schedule, &writer);
    return pack_json_decode(out, writer_bytes(&writer));
}

/* ---- one field ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t more = strlen(end);
    return length >= more && strcmp(text + length - more, end) == 0;
}

/* What `cluster.pools` calls otherwise is the same here. NULL: none. */
static const char *find_field(const struct reading_pool *pool,
                              const char *key,
                              char to[static FIELD_BYTES])
{
    const char *bare = strncmp(key, "retry_", 6) == 0 ? key + 6 : key;
    (void)snprintf(to, FIELD_BYTES, "%s", key);
    if (json_object_get(pool->defaults, to)) {
        return to;
    }
    (void)snprintf(to, FIELD_BYTES, "%s_ms", bare);
    return json_object_get(pool->defaults, to) ? to : NULL;
}

static enum err refuse_field(const struct reading_pool *pool,
                             const struct document_node *node)
{
    const char *name = NULL;
    json_t *value = NULL;
    struct nearest nearest = {.name = node->key};
    char names[420] = "";
    json_t *defaults = (json_t *)(uintptr_t)pool->defaults; /* only read */
    json_object_foreach(defaults, name, value)
    {
        nearest_offer(&nearest, name);
        size_t length = strlen(names);
        if (length + strlen(name) + sizeof ", " <= sizeof names) {
            (void)snprintf(names + length, sizeof names - length, "%s%s",
                           length > 0 ? ", " : "", name);
        }
    }
    if (!nearest.best) {
        return refuse(pool, node, "%.64s: %s has no such field; allowed: %s",
                      node->key, pool->what, names);
    }
    return refuse(pool, node, "%.64s: %s has no such field; did you mean %s?",
                  node->key, pool->what, nearest.best);
}

/* With units where the field has some. NULL: it is none. */
static json_t *number_of(const char *field, const char *text)
{
    uint64_t number = 0;
    enum err err = units_number(&number, text);
    if (err && ends_with(field, "_ms")) {
        err = units_duration(&number, text, UNITS_MS);
    } else if (err && strstr(field, "bytes")) {
        err = units_size(&number, text);
    }
    return err || number > INT64_MAX ? NULL : json_integer((json_int_t)number);
}

static json_t *bool_of(const char *text)
{
    return strcmp(text, "true") == 0    ? json_true()
           : strcmp(text, "false") == 0 ? json_false()
                                        : NULL;
}

static const char *expected_for(const char *field, const json_t *standard)
{
    return json_is_boolean(standard)    ? "true or false"
           : !json_is_integer(standard) ? "a text"
           : ends_with(field, "_ms")    ? "a time, such as 30s"
           : strstr(field, "bytes")     ? "a size, such as 64KiB"
                                        : "a whole number";
}

static enum err read_scalar(const struct reading_pool *pool,
                            const char *field,
                            const struct document_node *node)
{
    const json_t *standard = json_object_get(pool->defaults, field);
    const char *text = node->kind == DOCUMENT_SCALAR ? node->text : NULL;
    json_t *value = NULL;
    if (text && json_is_integer(standard)) {
        value = number_of(field, text);
    } else if (text && json_is_boolean(standard)) {
        value = bool_of(text);
    } else if (text) {
        value = json_string(text);
    }
    return value && !json_object_set_new(pool->definition, field, value)
               ? ERR_NONE
               : refuse(pool, node, "%s: found %.64s; allowed: %s", field,
                        text ? text : "no single value",
                        expected_for(field, standard));
}

static enum err read_list(const struct reading_pool *pool,
                          const char *field,
                          const struct document_node *node)
{
    json_t *list = json_array();
    (void)json_object_set_new(pool->definition, field, list);
    if (node->kind != DOCUMENT_LIST) {
        return refuse(pool, node, "%s: a list of texts is expected", field);
    }
    for (const struct document_node *item = node->first; item;
         item = item->next) {
        if (item->kind != DOCUMENT_SCALAR ||
            json_array_append_new(list, json_string(item->text))) {
            return refuse(pool, item, "%s: a text is expected", field);
        }
    }
    return ERR_NONE;
}

/* [tenant, weight], or what stands under a tenant. */
static json_t *share_of(const struct document_node *node)
{
    const struct document_node *tenant = node->first;
    bool is_pair = node->kind == DOCUMENT_LIST && node->count == 2 &&
                   tenant->kind == DOCUMENT_SCALAR;
    const char *name = is_pair ? tenant->text : node->key;
    const struct document_node *weight = is_pair ? tenant->next : node;
    json_t *number = weight->kind == DOCUMENT_SCALAR
                         ? number_of("weight", weight->text)
                         : NULL;
    json_t *share = name && number ? json_pack("[s, O]", name, number) : NULL;
    json_decref(number);
    return share;
}

/* {tenant: weight}, or [[tenant, weight] ...] as pool.show has it */
static enum err read_shares(const struct reading_pool *pool,
                            const struct document_node *node)
{
    json_t *list = json_array();
    (void)json_object_set_new(pool->definition, "shares", list);
    if (node->kind != DOCUMENT_MAP && node->kind != DOCUMENT_LIST) {
        return refuse(pool, node,
                      "shares: a map of tenants and their weights is expected");
    }
    for (const struct document_node *item = node->first; item;
         item = item->next) {
        json_t *share = share_of(item);
        if (!share || json_array_append_new(list, share)) {
            return refuse(pool, item,
                          "shares: a tenant and a whole number are expected");
        }
    }
    return ERR_NONE;
}

/* ---- schedules ---- */

/* Any value; NULL: no memory. What is not in quotes and is a number, true or
 * false in JSON is so here. */
static json_t *value_of(const struct document_node *node)
{
    json_t *value = NULL;
    switch (node->kind) {
    case DOCUMENT_EMPTY:
        return json_null();
    case DOCUMENT_SCALAR:
        if (!node->is_quoted) {
            value = json_loads(node->text, JSON_DECODE_ANY, NULL);
        }
        return value ? value : json_string(node->text);
    case DOCUMENT_LIST:
        value = json_array();
        break;
    case DOCUMENT_MAP:
        value = json_object();
        break;
    }
    for (const struct document_node *child = node->first; child;
         child = child->next) {
        if (node->kind == DOCUMENT_LIST) {
            (void)json_array_append_new(value, value_of(child));
        } else {
            (void)json_object_set_new(value, child->key, value_of(child));
        }
    }
    return value;
}

static enum err read_cron(const struct reading_pool *schedule,
                          const struct document_node *node)
{
    struct err_detail what = {{0}};
    struct cron cron;
    if (node->kind == DOCUMENT_SCALAR && cron_parse(&cron, node->text, &what)) {
        return refuse(schedule, node, "cron: %s", what.text);
    }
    return read_scalar(schedule, "cron", node);
}

static enum err read_field(const struct reading_pool *pool,
                           const struct document_node *node);

static enum err read_schedule(const struct reading_pool *pool,
                              const struct document_node *node,
                              json_t *list)
{
    struct reading_pool schedule = {.file = pool->file,
                                    .what = "a schedule",
                                    .defaults = pool->of_schedules,
                                    .definition = json_object(),
                                    .why = pool->why};
    enum err err = ERR_NONE;
    (void)json_array_append_new(list, schedule.definition);
    if (node->kind != DOCUMENT_MAP || !document_get(node, "name") ||
        !document_get(node, "cron")) {
        return refuse(pool, node,
                      "a schedule is a map, with a `name` and a `cron`");
    }
    for (const struct document_node *field = node->first; field && !err;
         field = field->next) {
        err = read_field(&schedule, field);
    }
    return err;
}

static enum err read_schedules(const struct reading_pool *pool,
                               const struct document_node *node)
{
    json_t *list = json_array();
    enum err err = ERR_NONE;
    (void)json_object_set_new(pool->definition, "schedules", list);
    if (node->kind != DOCUMENT_LIST) {
        return refuse(pool, node, "schedules: a list of them is expected");
    }
    for (const struct document_node *item = node->first; item && !err;
         item = item->next) {
        err = read_schedule(pool, item, list);
    }
    return err;
}

/* ---- all fields ---- */

static enum err read_field(const struct reading_pool *pool,
                           const struct document_node *node)
{
    char name[FIELD_BYTES];
    const char *field = find_field(pool, node->key, name);
    if (!field) {
        return refuse_field(pool, node);
    }
    if (json_object_get(pool->definition, field)) {
        return refuse(pool, node, "%s: is there twice", field);
    }
    if (strcmp(field, "version") == 0 || strcmp(field, "since_ms") == 0) {
        return ERR_NONE; /* of what was shown: it is chosen anew */
    }
    if (strcmp(field, "shares") == 0) {
        return read_shares(pool, node);
    }
    if (strcmp(field, "schedules") == 0) {
        return read_schedules(pool, node);
    }
    if (strcmp(field, "cron") == 0) {
        return read_cron(pool, node);
    }
    if (strcmp(field, "payload") == 0) {
        return json_object_set_new(pool->definition, field, value_of(node))
                   ? ERR_MEMORY
                   : ERR_NONE;
    }
    return json_is_array(json_object_get(pool->defaults, field))
               ? read_list(pool, field, node)
               : read_scalar(pool, field, node);
}

/* ---- pools ---- */

static enum err read_pool(struct reading_pool *pool,
                          const struct document_node *node,
                          json_t *list)
{
    enum err err = ERR_NONE;
    scoped(answer_clear) json_t *whole = NULL;
    struct err_detail what = {{0}};
    if (node->kind != DOCUMENT_MAP || !document_get(node, "name")) {
        return refuse(pool, node, "a pool is a map, with a `name`");
    }
    pool->definition = json_object();
    (void)json_array_append_new(list, pool->definition);
    for (const struct document_node *field = node->first; field && !err;
         field = field->next) {
        err = read_field(pool, field);
    }
    if (!err) {
        err = pool_file_complete(&whole, pool->definition, &what);
    }
    return err && what.text[0] ? refuse(pool, node, "%s", what.text) : err;
}

/* Where pools are in a document; NULL: it is one itself. */
static const struct document_node *find_list(const struct document_node *root)
{
    const struct document_node *cluster = document_get(root, "cluster");
    const struct document_node *pools =
        document_get(cluster ? cluster : root, "pools");
    return pools ? pools : root->kind == DOCUMENT_LIST ? root : NULL;
}

static enum err read_pools(struct reading_pool *pool,
                           const struct document_node *root,
                           json_t *list)
{
    enum err err = ERR_NONE;
    const struct document_node *pools = find_list(root);
    if (!pools) {
        return read_pool(pool, root, list);
    }
    if (pools->kind != DOCUMENT_LIST || !pools->first) {
        return refuse(pool, pools, "a list of pools is expected");
    }
    for (const struct document_node *node = pools->first; node && !err;
         node = node->next) {
        err = read_pool(pool, node, list);
    }
    return err;
}

static void tell_problem(const struct problems *problems,
                         struct err_detail *why)
{
    char text[PROBLEM_TEXT_BYTES];
    problem_text(text, problems, &problems->items[0]);
    err_explain(why, "%s", text);
}

enum err pool_file_read(json_t **out,
                        struct bytes text,
                        const char *file,
                        struct err_detail *why)
{
    scoped(document_close) struct document_node *root = NULL;
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    scoped(answer_clear) json_t *defaults = NULL;
    scoped(answer_clear) json_t *of_schedules = NULL;
    scoped(answer_clear) json_t *list = json_array();
    if (!problems || !list) {
        return ERR_MEMORY;
    }
    problems_init(problems, file);
    enum err err = document_open(&root, text, problems);
    if (problems_total(problems) > 0) {
        tell_problem(problems, why);
        return ERR_INVALID;
    }
    if (!err) {
        err = make_defaults(&defaults);
    }
    if (!err) {
        err = make_schedule_defaults(&of_schedules);
    }
    struct reading_pool pool = {.file = file,
                                .what = "a pool",
                                .defaults = defaults,
                                .of_schedules = of_schedules,
                                .why = why};
    if (!err) {
        err = read_pools(&pool, root, list);
    }
    if (!err) {
        *out = list;
        list = NULL; /* the caller owns it now */
    }
    return err;
}

enum err pool_file_complete(json_t **out,
                            const json_t *definition,
                            struct err_detail *why)
{
    struct task_pool pool;
    uint8_t *buffer = malloc(TASK_POOL_BYTES_MAX);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, TASK_POOL_BYTES_MAX);
    pack_json_encode(&writer, definition);
    struct reader reader = reader_of(writer_bytes(&writer));
    enum err err =
        writer.failed ? ERR_INVALID : task_pool_decode(&pool, &reader, why);
    free(buffer);
    if (writer.failed) {
        err_explain(why, "it is longer than %u bytes", TASK_POOL_BYTES_MAX);
    }
    if (err) {
        return err == ERR_MALFORMED ? ERR_INVALID : err;
    }
    err = pack_pool(out, &pool);
    task_pool_clear(&pool);
    return err;
}
