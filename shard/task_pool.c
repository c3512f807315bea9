#include "shard/task_pool.h"

#include "base/pack.h"
#include "shard/task_schedule.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#define MS_PER_HOUR UINT64_C(3600000)
#define MS_PER_YEAR (UINT64_C(366) * 24 * MS_PER_HOUR)
#define GIB (UINT64_C(1) << 30)

/* ---- the fields ---- */

enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_BOOL,
    FIELD_NAME, /* char [CERTIFICATE_NAME_BYTES] */
    FIELD_TEXT, /* char *, NULL is "" */
    FIELD_LIST, /* char **, and its count */
    FIELD_HANDLER,
    FIELD_SHARES,
    FIELD_SCHEDULES,
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t at;
    size_t count_at; /* of a list */
    uint64_t min;    /* of numbers */
    uint64_t max;
    uint64_t standard;
};

/* clang-format off */
#define AT(member) offsetof(struct task_pool, member)
static const struct field fields[] = {
    {"name", FIELD_NAME, AT(name), 0, 0, 0, 0},
    {"version", FIELD_U64, AT(version), 0, 0, UINT64_MAX, 0},
    {"handler", FIELD_HANDLER, AT(handler), 0, 0, 0, 0},
    {"function", FIELD_NAME, AT(function), 0, 0, 0, 0},
    {"plugin", FIELD_TEXT, AT(plugin), 0, 0, 0, 0},
    {"commands", FIELD_LIST, AT(commands), AT(command_count), 0, 0, 0},
    {"any_command", FIELD_BOOL, AT(any_command), 0, 0, 0, 0},
    {"variables", FIELD_LIST, AT(variables), AT(variable_count), 0, 0, 0},
    {"user", FIELD_TEXT, AT(user), 0, 0, 0, 0},
    {"dir", FIELD_TEXT, AT(dir), 0, 0, 0, 0},
    {"cpu_ms", FIELD_U64, AT(limits.cpu_ms), 0, 0, MS_PER_YEAR, 0},
    {"memory_bytes", FIELD_U64, AT(limits.memory_bytes), 0, 0, UINT64_C(1) << 50, 0},
    {"file_bytes", FIELD_U64, AT(limits.file_bytes), 0, 0, UINT64_C(1) << 50, 0},
    {"files", FIELD_U32, AT(limits.files), 0, 0, 1u << 20, 0},
    {"processes", FIELD_U32, AT(limits.processes), 0, 0, 1u << 20, 0},
    {"workers", FIELD_U32, AT(workers), 0, 0, 1024, 4},
    {"durable", FIELD_BOOL, AT(is_durable), 0, 0, 0, 1},
    {"paused", FIELD_BOOL, AT(is_paused), 0, 0, 0, 0},
    {"queue_max", FIELD_U64, AT(queue_max), 0, 1, 100000000, 1000000},
    {"lease_ms", FIELD_U64, AT(lease_ms), 0, 1000, 7 * 24 * MS_PER_HOUR, 30000},
    {"timeout_ms", FIELD_U64, AT(timeout_ms), 0, 0, 7 * 24 * MS_PER_HOUR, 0},
    {"attempts_max", FIELD_U32, AT(attempts_max), 0, 1, 1000, 5},
    {"backoff_min_ms", FIELD_U64, AT(backoff_min_ms), 0, 1, MS_PER_HOUR, 1000},
    {"backoff_max_ms", FIELD_U64, AT(backoff_max_ms), 0, 1, 7 * 24 * MS_PER_HOUR, 300000},
    {"running_max", FIELD_U32, AT(running_max), 0, 0, 1u << 20, 0},
    {"rate", FIELD_U32, AT(rate), 0, 0, 1000000, 0},
    {"payload_bytes_max", FIELD_U32, AT(payload_bytes_max), 0, 1, 128u << 10, 64u << 10},
    {"output_bytes_max", FIELD_U32, AT(output_bytes_max), 0, 0, TASK_POOL_OUTPUT_BYTES_MAX, TASK_POOL_OUTPUT_BYTES_MAX},
    {"result_ms", FIELD_U64, AT(result_ms), 0, 0, MS_PER_YEAR, MS_PER_HOUR},
    {"result_bytes_max", FIELD_U64, AT(result_bytes_max), 0, 0, 1024 * GIB, GIB},
    {"key_ms", FIELD_U64, AT(key_ms), 0, 0, MS_PER_YEAR, 24 * MS_PER_HOUR},
    {"dead_max", FIELD_U32, AT(dead_max), 0, 1, 100000000, 100000},
    {"shares", FIELD_SHARES, AT(shares), AT(share_count), 0, 0, 0},
    {"schedules", FIELD_SCHEDULES, AT(schedules), AT(schedule_count), 0, 0, 0},
};
/* clang-format on */

#define FIELD_COUNT (sizeof fields / sizeof *fields)

static const char *const handler_names[TASK_HANDLER_COUNT] = {
    "exec", "function", "plugin"};

const char *task_handler_name(enum task_handler handler)
{
    return handler_names[handler];
}

static void *member(struct task_pool *pool, size_t at)
{
    return (char *)pool + at;
}

static const void *member_of(const struct task_pool *pool, size_t at)
{
    return (const char *)pool + at;
}

static uint64_t number_of(const struct task_pool *pool,
                          const struct field *field)
{
    const void *at = member_of(pool, field->at);
    return field->kind == FIELD_U32   ? *(const uint32_t *)at
           : field->kind == FIELD_U64 ? *(const uint64_t *)at
                                      : *(const bool *)at;
}

static void set_number(struct task_pool *pool,
                       const struct field *field,
                       uint64_t number)
{
    void *at = member(pool, field->at);
    if (field->kind == FIELD_U32) {
        *(uint32_t *)at = (uint32_t)number;
    } else if (field->kind == FIELD_U64) {
        *(uint64_t *)at = number;
    } else {
        *(bool *)at = number != 0;
    }
}

static bool is_number(const struct field *field)
{
    return field->kind == FIELD_U32 || field->kind == FIELD_U64;
}

void task_pool_defaults(struct task_pool *pool)
{
    *pool = (struct task_pool){0};
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (is_number(&fields[i]) || fields[i].kind == FIELD_BOOL) {
            set_number(pool, &fields[i], fields[i].standard);
        }
    }
}

/* As `cluster.pools` has it; the rest are defaults. */
static void pool_of_settings(struct task_pool *out,
                             const struct settings_pool *settings)
{
    task_pool_defaults(out);
    memcpy(out->name, settings->name, sizeof out->name);
    out->workers = settings->workers;
    out->is_durable = settings->durable;
    out->queue_max = settings->queue_max;
    out->lease_ms = settings->lease_ms;
    out->attempts_max = settings->attempts_max;
    out->backoff_min_ms = settings->retry_backoff_min_ms;
    out->backoff_max_ms = settings->retry_backoff_max_ms;
}

/* ---- life ---- */

static void free_list(char **list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(list[i]);
    }
    free(list);
}

static void free_schedules(struct task_pool *pool)
{
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        task_schedule_clear(&pool->schedules[i]);
    }
    free(pool->schedules);
}

void task_pool_clear(struct task_pool *pool)
{
    free(pool->plugin);
    free(pool->user);
    free(pool->dir);
    free_list(pool->commands, pool->command_count);
    free_list(pool->variables, pool->variable_count);
    free(pool->shares);
    free_schedules(pool);
    *pool = (struct task_pool){0};
}

static bool copy_text(char **out, const char *from)
{
    *out = from ? strdup(from) : NULL;
    return !from || *out;
}

static bool copy_list(char ***out,
                      uint32_t *out_count,
                      char *const *from,
                      uint32_t count)
{
    *out = count > 0 ? calloc(count, sizeof **out) : NULL;
    *out_count = 0;
    for (uint32_t i = 0; *out && i < count; i++) {
        if (!copy_text(&(*out)[i], from[i])) {
            return false;
        }
        ++*out_count;
    }
    return count == 0 || *out;
}

static bool copy_shares(struct task_pool *out, const struct task_pool *from)
{
    size_t bytes = from->share_count * sizeof *from->shares;
    out->shares = bytes > 0 ? malloc(bytes) : NULL;
    if (out->shares) {
        memcpy(out->shares, from->shares, bytes);
    }
    return bytes == 0 || out->shares;
}

static bool copy_schedules(struct task_pool *out, const struct task_pool *from)
{
    uint32_t count = from->schedule_count;
    out->schedules = count > 0 ? calloc(count, sizeof *out->schedules) : NULL;
    out->schedule_count = 0;
    for (uint32_t i = 0; out->schedules && i < count; i++) {
        if (task_schedule_copy(&out->schedules[i], &from->schedules[i])) {
            return false;
        }
        out->schedule_count++;
    }
    return count == 0 || out->schedules;
}

enum err task_pool_copy(struct task_pool *out, const struct task_pool *from)
{
    *out = *from;
    out->plugin = NULL;
    out->user = NULL;
    out->dir = NULL;
    out->commands = NULL;
    out->variables = NULL;
    out->command_count = 0;
    out->variable_count = 0;
    out->shares = NULL;
    out->schedules = NULL;
    out->schedule_count = 0;
    bool is_copied = copy_text(&out->plugin, from->plugin) &&
                     copy_text(&out->user, from->user) &&
                     copy_text(&out->dir, from->dir) &&
                     copy_list(&out->commands, &out->command_count,
                               from->commands, from->command_count) &&
                     copy_list(&out->variables, &out->variable_count,
                               from->variables, from->variable_count) &&
                     copy_shares(out, from) && copy_schedules(out, from);
    if (!is_copied) {
        task_pool_clear(out);
        return ERR_MEMORY;
    }
    return ERR_NONE;
}

/* ---- validation ---- */

static enum err check_number(const struct field *field,
                             uint64_t number,
                             struct err_detail *why)
{
    if (number >= field->min && number <= field->max) {
        return ERR_NONE;
    }
    err_explain(why, "%" PRIu64 " is not between %" PRIu64 " and %" PRIu64,
                number, field->min, field->max);
    return ERR_INVALID;
}

static enum err check_numbers(const struct task_pool *pool,
                              struct err_detail *why)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &fields[i];
        struct err_detail what;
        if (is_number(field) &&
            check_number(field, number_of(pool, field), &what)) {
            err_explain(why, "%s: %s", field->name, what.text);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

static enum err check_text(const char *name,
                           const char *text,
                           struct err_detail *why)
{
    if (text[0] == '\0' ||
        strnlen(text, TASK_POOL_TEXT_BYTES) == TASK_POOL_TEXT_BYTES) {
        err_explain(why, "%s: 1 to %d bytes are allowed", name,
                    TASK_POOL_TEXT_BYTES - 1);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err check_list(const char *name,
                           char *const *list,
                           uint32_t count,
                           struct err_detail *why)
{
    enum err err = ERR_NONE;
    if (count > TASK_POOL_LIST_COUNT_MAX) {
        err_explain(why, "%s: %" PRIu32 " are more than %d", name, count,
                    TASK_POOL_LIST_COUNT_MAX);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        err = check_text(name, list[i], why);
    }
    return err;
}

static enum err check_variables(const struct task_pool *pool,
                                struct err_detail *why)
{
    for (uint32_t i = 0; i < pool->variable_count; i++) {
        const char *equals = strchr(pool->variables[i], '=');
        if (!equals || equals == pool->variables[i]) {
            err_explain(why, "variables: \"%.60s\" is not NAME=value",
                        pool->variables[i]);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

static enum err check_handler(const struct task_pool *pool,
                              struct err_detail *why)
{
    if ((unsigned)pool->handler >= TASK_HANDLER_COUNT) {
        err_explain(why, "handler: exec, function or plugin are allowed");
        return ERR_INVALID;
    }
    if (pool->handler != TASK_EXEC && pool->function[0] == '\0') {
        err_explain(why, "function: handler %s needs one",
                    handler_names[pool->handler]);
        return ERR_INVALID;
    }
    if ((pool->handler == TASK_PLUGIN) != (pool->plugin != NULL)) {
        err_explain(why, "plugin: handler plugin needs one, others have none");
        return ERR_INVALID;
    }
    if (pool->handler != TASK_EXEC &&
        (pool->any_command || pool->command_count > 0)) {
        err_explain(why, "commands: only handler exec runs them");
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err check_shares(const struct task_pool *pool,
                             struct err_detail *why)
{
    if (pool->share_count > TASK_POOL_LIST_COUNT_MAX) {
        err_explain(why, "shares: %" PRIu32 " are more than %d",
                    pool->share_count, TASK_POOL_LIST_COUNT_MAX);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < pool->share_count; i++) {
        if (pool->shares[i].weight < 1 || pool->shares[i].weight > 1000) {
            err_explain(why,
                        "shares: weight %" PRIu32 " of \"%s\" is not "
                        "between 1 and 1000",
                        pool->shares[i].weight, pool->shares[i].tenant);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

static enum err check_schedules(const struct task_pool *pool,
                                struct err_detail *why)
{
    if (pool->schedule_count > 0 && !pool->is_durable) {
        err_explain(why, "schedules: only durable pools may have some: those "
                         "of others would go with a leader");
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        const struct task_schedule *schedule = &pool->schedules[i];
        struct err_detail what = {{0}};
        enum err err = task_schedule_validate(schedule, pool, &what);
        if (!err && task_schedule_find(pool, schedule->name) != schedule) {
            err_explain(&what, "name: there are two of it");
            err = ERR_INVALID;
        }
        if (err) {
            err_explain(why, "schedules: %s: %s", schedule->name, what.text);
            return err;
        }
    }
    return ERR_NONE;
}

static enum err check_texts(const struct task_pool *pool,
                            struct err_detail *why)
{
    const struct {
        const char *name;
        const char *text;
    } texts[] = {
        {"plugin", pool->plugin}, {"user", pool->user}, {"dir", pool->dir}};
    for (size_t i = 0; i < 3; i++) {
        if (texts[i].text && check_text(texts[i].name, texts[i].text, why)) {
            return ERR_INVALID;
        }
    }
    if (pool->plugin && pool->plugin[0] != '/') {
        err_explain(why, "plugin: \"%.60s\" is not an absolute path",
                    pool->plugin);
        return ERR_INVALID;
    }
    if (pool->dir && pool->dir[0] != '/') {
        err_explain(why, "dir: \"%.60s\" is not an absolute path", pool->dir);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

enum err task_pool_validate(const struct task_pool *pool,
                            struct err_detail *why)
{
    if (!certificate_name_is_valid(pool->name)) {
        err_explain(why,
                    "name: \"%.63s\" is not 1 to 63 letters, digits, '-', "
                    "'_' or '.'",
                    pool->name);
        return ERR_INVALID;
    }
    enum err err = check_numbers(pool, why);
    if (!err && pool->backoff_min_ms > pool->backoff_max_ms) {
        err_explain(why, "backoff_min_ms: more than backoff_max_ms");
        err = ERR_INVALID;
    }
    err = err ? err : check_handler(pool, why);
    err = err ? err : check_texts(pool, why);
    err =
        err ? err
            : check_list("commands", pool->commands, pool->command_count, why);
    err = err ? err
              : check_list("variables", pool->variables, pool->variable_count,
                           why);
    err = err ? err : check_variables(pool, why);
    err = err ? err : check_shares(pool, why);
    err = err ? err : check_schedules(pool, why);
    if (!err && task_pool_bytes_max(pool) > TASK_POOL_BYTES_MAX) {
        err_explain(why, "all its texts together are longer than %u bytes",
                    TASK_POOL_BYTES_MAX);
        err = ERR_INVALID;
    }
    return err;
}

/* ---- looking ---- */

bool task_pool_allows(const struct task_pool *pool, const char *command)
{
    for (uint32_t i = 0; i < pool->command_count && !pool->any_command; i++) {
        if (strcmp(pool->commands[i], command) == 0) {
            return true;
        }
    }
    return pool->any_command;
}

uint32_t task_pool_weight(const struct task_pool *pool, struct bytes tenant)
{
    for (uint32_t i = 0; i < pool->share_count; i++) {
        if (bytes_are_equal(bytes_of_text(pool->shares[i].tenant), tenant)) {
            return pool->shares[i].weight;
        }
    }
    return 1;
}

/* ---- tables ---- */

void task_pools_clear(struct task_pools *pools)
{
    for (uint32_t i = 0; i < pools->count; i++) {
        task_pool_clear(&pools->list[i]);
    }
    free(pools->list);
    *pools = (struct task_pools){0};
}

enum err task_pools_copy(struct task_pools *out, const struct task_pools *from)
{
    *out = (struct task_pools){0};
    out->list = from->count > 0 ? calloc(from->count, sizeof *out->list) : NULL;
    enum err err = from->count > 0 && !out->list ? ERR_MEMORY : ERR_NONE;
    for (uint32_t i = 0; i < from->count && !err; i++) {
        err = task_pool_copy(&out->list[i], &from->list[i]);
        out->count += !err;
    }
    if (err) {
        task_pools_clear(out);
    }
    return err;
}

/* Where it is, or would be. */
static uint32_t place_of(const struct task_pools *pools, struct bytes name)
{
    uint32_t from = 0;
    uint32_t to = pools->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (bytes_compare(bytes_of_text(pools->list[middle].name), name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

const struct task_pool *task_pools_find(const struct task_pools *pools,
                                        struct bytes name)
{
    uint32_t at = place_of(pools, name);
    return at < pools->count &&
                   bytes_are_equal(bytes_of_text(pools->list[at].name), name)
               ? &pools->list[at]
               : NULL;
}

enum err task_pools_set(struct task_pools *pools, const struct task_pool *pool)
{
    struct bytes name = bytes_of_text(pool->name);
    uint32_t at = place_of(pools, name);
    bool is_there = task_pools_find(pools, name) != NULL;
    struct task_pool copy;
    if (!is_there && pools->count >= TASK_POOL_COUNT_MAX) {
        return ERR_FULL;
    }
    enum err err = task_pool_copy(&copy, pool);
    if (err) {
        return err;
    }
    if (is_there) {
        task_pool_clear(&pools->list[at]);
        pools->list[at] = copy;
        return ERR_NONE;
    }
    struct task_pool *list =
        realloc(pools->list, (pools->count + 1) * sizeof *list);
    if (!list) {
        task_pool_clear(&copy);
        return ERR_MEMORY;
    }
    memmove(&list[at + 1], &list[at], (pools->count - at) * sizeof *list);
    list[at] = copy;
    pools->list = list;
    pools->count++;
    return ERR_NONE;
}

void task_pools_remove(struct task_pools *pools, struct bytes name)
{
    uint32_t at = place_of(pools, name);
    if (task_pools_find(pools, name)) {
        task_pool_clear(&pools->list[at]);
        pools->count--;
        memmove(&pools->list[at], &pools->list[at + 1],
                (pools->count - at) * sizeof *pools->list);
    }
}

static enum err add_default(struct task_pools *pools)
{
    struct task_pool pool;
    if (task_pools_find(pools, bytes_of_text(TASK_POOL_DEFAULT))) {
        return ERR_NONE;
    }
    task_pool_defaults(&pool);
    memcpy(pool.name, TASK_POOL_DEFAULT, sizeof TASK_POOL_DEFAULT);
    pool.any_command = true;
    return task_pools_set(pools, &pool);
}

enum err task_pools_of_settings(struct task_pools *out,
                                const struct settings *settings)
{
    struct task_pools pools = {0};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < settings->cluster.pool_count && !err; i++) {
        struct task_pool pool;
        pool_of_settings(&pool, &settings->cluster.pools[i]);
        err = task_pools_set(&pools, &pool);
    }
    if (!err) {
        err = add_default(&pools);
    }
    if (err) {
        task_pools_clear(&pools);
        return err;
    }
    *out = pools;
    return ERR_NONE;
}

/* ---- encoding ---- */

static size_t list_bytes(char *const *list, uint32_t count)
{
    size_t bytes = 5;
    for (uint32_t i = 0; i < count; i++) {
        bytes += 5 + strlen(list[i]);
    }
    return bytes;
}

static size_t text_bytes(const char *text)
{
    return 5 + (text ? strlen(text) : 0);
}

static size_t schedules_bytes(const struct task_pool *pool)
{
    size_t bytes = 5;
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        bytes += task_schedule_bytes_max(&pool->schedules[i]);
    }
    return bytes;
}

size_t task_pool_bytes_max(const struct task_pool *pool)
{
    return schedules_bytes(pool) + FIELD_COUNT * 32 +
           2 * CERTIFICATE_NAME_BYTES + text_bytes(pool->plugin) +
           text_bytes(pool->user) + text_bytes(pool->dir) +
           list_bytes(pool->commands, pool->command_count) +
           list_bytes(pool->variables, pool->variable_count) +
           pool->share_count * (CERTIFICATE_NAME_BYTES + 12);
}

static void write_list(struct writer *writer, char *const *list, uint32_t count)
{
    pack_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(writer, list[i]);
    }
}

static void write_shares(struct writer *writer, const struct task_pool *pool)
{
    pack_array(writer, pool->share_count);
    for (uint32_t i = 0; i < pool->share_count; i++) {
        pack_array(writer, 2);
        pack_text(writer, pool->shares[i].tenant);
        pack_uint(writer, pool->shares[i].weight);
    }
}

static void write_schedules(struct writer *writer, const struct task_pool *pool)
{
    pack_array(writer, pool->schedule_count);
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        task_schedule_encode(&pool->schedules[i], writer);
    }
}

static void write_field(struct writer *writer,
                        const struct task_pool *pool,
                        const struct field *field)
{
    const void *at = member_of(pool, field->at);
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        pack_uint(writer, number_of(pool, field));
        break;
    case FIELD_BOOL:
        pack_bool(writer, number_of(pool, field) != 0);
        break;
    case FIELD_NAME:
        pack_text(writer, at);
        break;
    case FIELD_TEXT:
        pack_text(writer, *(char *const *)at ? *(char *const *)at : "");
        break;
    case FIELD_LIST:
        write_list(writer, *(char **const *)at,
                   *(const uint32_t *)member_of(pool, field->count_at));
        break;
    case FIELD_HANDLER:
        pack_text(writer, handler_names[pool->handler]);
        break;
    case FIELD_SHARES:
        write_shares(writer, pool);
        break;
    case FIELD_SCHEDULES:
        write_schedules(writer, pool);
        break;
    }
}

void task_pool_encode(const struct task_pool *pool, struct writer *writer)
{
    pack_map(writer, FIELD_COUNT);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        pack_text(writer, fields[i].name);
        write_field(writer, pool, &fields[i]);
    }
}

size_t task_pools_bytes_max(const struct task_pools *pools)
{
    size_t bytes = 5;
    for (uint32_t i = 0; i < pools->count; i++) {
        bytes += task_pool_bytes_max(&pools->list[i]);
    }
    return bytes;
}

void task_pools_encode(const struct task_pools *pools, struct writer *writer)
{
    pack_array(writer, pools->count);
    for (uint32_t i = 0; i < pools->count; i++) {
        task_pool_encode(&pools->list[i], writer);
    }
}

/* ---- decoding ---- */

static bool is_text(struct bytes text)
{
    return text.length < TASK_POOL_TEXT_BYTES &&
           !memchr(text.data, '\0', text.length);
}

/* NULL and a failed reader: no text, or no memory. */
static char *read_text(struct reader *reader)
{
    struct bytes text = pack_read_str(reader);
    char *copy = !reader->failed && text.length > 0 && is_text(text)
                     ? strndup((const char *)text.data, text.length)
                     : NULL;
    reader->failed = reader->failed || (text.length > 0 && !copy);
    return copy;
}

static void read_list(struct reader *reader, char ***out, uint32_t *out_count)
{
    uint32_t count = pack_read_array_of(reader, 0, TASK_POOL_LIST_COUNT_MAX);
    if (*out || reader->failed || count == 0) {
        reader->failed = reader->failed || *out != NULL; /* twice */
        return;
    }
    *out = calloc(count, sizeof **out);
    reader->failed = !*out;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        (*out)[i] = read_text(reader);
        reader->failed = reader->failed || !(*out)[i];
        *out_count += !reader->failed;
    }
}

static void read_shares(struct reader *reader, struct task_pool *pool)
{
    uint32_t count = pack_read_array_of(reader, 0, TASK_POOL_LIST_COUNT_MAX);
    if (pool->shares || reader->failed || count == 0) {
        reader->failed = reader->failed || pool->shares != NULL;
        return;
    }
    pool->shares = calloc(count, sizeof *pool->shares);
    reader->failed = !pool->shares;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct task_share *share = &pool->shares[i];
        (void)pack_read_array_of(reader, 2, 2);
        pack_read_text(reader, share->tenant, sizeof share->tenant);
        share->weight = (uint32_t)pack_read_uint_to(reader, 1000);
        pool->share_count++;
    }
}

static void read_schedules(struct reader *reader,
                           struct task_pool *pool,
                           struct err_detail *why)
{
    uint32_t count = pack_read_array_of(reader, 0, TASK_POOL_LIST_COUNT_MAX);
    if (pool->schedules || reader->failed || count == 0) {
        reader->failed = reader->failed || pool->schedules != NULL;
        err_explain(reader->failed ? why : NULL,
                    "a list of at most %d is expected",
                    TASK_POOL_LIST_COUNT_MAX);
        return;
    }
    pool->schedules = calloc(count, sizeof *pool->schedules);
    reader->failed = !pool->schedules;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        task_schedule_decode(&pool->schedules[i], reader, why);
        pool->schedule_count += !reader->failed;
    }
}

/* It may not even go into its place. */
static void read_number(struct reader *reader,
                        struct task_pool *pool,
                        const struct field *field,
                        struct err_detail *why)
{
    uint64_t number = pack_read_uint(reader);
    if (!reader->failed && check_number(field, number, why)) {
        reader->failed = true;
    }
    set_number(pool, field, number);
}

static void read_handler(struct reader *reader,
                         struct task_pool *pool,
                         struct err_detail *why)
{
    struct bytes name = pack_read_str(reader);
    bool is_known = false;
    for (unsigned i = 0; i < TASK_HANDLER_COUNT && !reader->failed; i++) {
        if (bytes_are_equal(bytes_of_text(handler_names[i]), name)) {
            pool->handler = (enum task_handler)i;
            is_known = true;
        }
    }
    if (!reader->failed && !is_known) {
        err_explain(why, "`%.*s` is none; exec, function or plugin are allowed",
                    (int)(name.length < 32 ? name.length : 32),
                    (const char *)name.data);
        reader->failed = true;
    }
}

/* What it says into `why` stands under the field. */
static void read_field(struct reader *reader,
                       struct task_pool *pool,
                       const struct field *field,
                       struct err_detail *why)
{
    void *at = member(pool, field->at);
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        read_number(reader, pool, field, why);
        break;
    case FIELD_BOOL:
        set_number(pool, field, pack_read_bool(reader));
        break;
    case FIELD_NAME:
        pack_read_text(reader, at, CERTIFICATE_NAME_BYTES);
        break;
    case FIELD_TEXT:
        free(*(char **)at);
        *(char **)at = read_text(reader);
        break;
    case FIELD_LIST:
        read_list(reader, at, member(pool, field->count_at));
        break;
    case FIELD_HANDLER:
        read_handler(reader, pool, why);
        break;
    case FIELD_SHARES:
        read_shares(reader, pool);
        break;
    case FIELD_SCHEDULES:
        read_schedules(reader, pool, why);
        break;
    }
}

static void read_pair(struct reader *reader,
                      struct task_pool *pool,
                      struct err_detail *why)
{
    struct bytes key = pack_read_str(reader);
    for (size_t i = 0; i < FIELD_COUNT && !reader->failed; i++) {
        if (bytes_are_equal(bytes_of_text(fields[i].name), key)) {
            struct err_detail what = {{0}};
            read_field(reader, pool, &fields[i], &what);
            if (reader->failed) {
                err_explain(why, "%s: %s", fields[i].name,
                            what.text[0] ? what.text : "not what it should be");
            }
            return;
        }
    }
    pack_skip(reader);
}

enum err task_pool_decode(struct task_pool *out,
                          struct reader *reader,
                          struct err_detail *why)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    uint32_t count = pack_read_map(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_pair(reader, &pool, why);
    }
    if (reader->failed || task_pool_validate(&pool, why)) {
        task_pool_clear(&pool);
        return ERR_MALFORMED;
    }
    *out = pool;
    return ERR_NONE;
}

enum err task_pools_decode(struct task_pools *out, struct reader *reader)
{
    struct task_pools pools = {0};
    uint32_t count = pack_read_array_of(reader, 0, TASK_POOL_COUNT_MAX);
    enum err err = reader->failed ? ERR_MALFORMED : ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct task_pool pool;
        err = task_pool_decode(&pool, reader, NULL);
        if (!err) {
            bool is_next =
                i == 0 || strcmp(pools.list[i - 1].name, pool.name) < 0;
            err = is_next ? task_pools_set(&pools, &pool) : ERR_MALFORMED;
            task_pool_clear(&pool);
        }
    }
    if (err) {
        task_pools_clear(&pools);
        return err;
    }
    *out = pools;
    return ERR_NONE;
}
