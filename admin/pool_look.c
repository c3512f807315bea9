#include "admin/pool_verbs.h"

#include "admin/answer.h"
#include "admin/each_node.h"
#include "admin/human.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- all nodes together ---- */

json_t *pool_find_named(json_t *list, const char *name)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(list, i, item)
    {
        if (strcmp(answer_name(item, "name"), name) == 0) {
            return item;
        }
    }
    return NULL;
}

static const char *const head_keys[] = {"name",    "handler", "workers",
                                        "durable", "paused",  "version"};

/* As a node says that it is; all say the same, soon. */
static json_t *add_pool(json_t *pools, const json_t *from)
{
    json_t *pool = json_object();
    for (size_t i = 0; i < sizeof head_keys / sizeof *head_keys; i++) {
        (void)json_object_set(pool, head_keys[i],
                              json_object_get(from, head_keys[i]));
    }
    (void)json_array_append_new(pools, pool);
    return pool;
}

/* `workers` of a node's own are told as `workers_total`. */
static void add_counts(json_t *pool, json_t *here)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(here, key, value)
    {
        const char *to = strcmp(key, "workers") == 0 ? "workers_total" : key;
        (void)json_object_set_new(
            pool, to,
            json_integer(answer_number(pool, to) + json_integer_value(value)));
    }
    bool has_workers = answer_number(here, "workers") > 0;
    (void)json_object_set_new(
        pool, "nodes",
        json_integer(answer_number(pool, "nodes") + has_workers));
}

static json_t *merge(const json_t *answers)
{
    json_t *merged = json_array();
    for (size_t i = 0; i < json_array_size(answers); i++) {
        const json_t *answer = json_array_get(answers, i);
        for (size_t j = 0; j < answer_count(answer, "pools"); j++) {
            const json_t *from = answer_item(answer, "pools", j);
            json_t *pool = pool_find_named(merged, answer_name(from, "name"));
            pool = pool ? pool : add_pool(merged, from);
            add_counts(pool, json_object_get(from, "here"));
        }
    }
    return merged;
}

enum exit_code pool_ls_fetch(const struct command *command,
                             struct remote *remote,
                             json_t **answer)
{
    scoped(answer_clear) json_t *answers = NULL;
    scoped(answer_clear) json_t *away = NULL;
    struct remote_question question = {.verb = "pool.ls"};
    enum exit_code code = each_node_ask(remote, &question, &answers, &away);
    if (code) {
        return code;
    }
    *answer = json_pack("{s:i, s:o, s:O, s:O}", "v", 1, "pools", merge(answers),
                        "nodes", answers, "away", away);
    return *answer ? EXIT_CODE_OK
                   : command_failed(command, ERR_MEMORY, "the pools");
}

/* ---- ls ---- */

static const struct table_column columns[] = {
    {"POOL", false},   {"HANDLER", false}, {"KEPT", false}, {"STATE", false},
    {"WORKERS", true}, {"WAITING", true},  {"READY", true}, {"LEASED", true},
    {"DONE", true},    {"RETRIED", true},  {"DEAD", true},  {0}};

static void add_number(struct table *table, const json_t *pool, const char *key)
{
    table_cell(table, TABLE_PLAIN, "%s",
               human_count((uint64_t)answer_number(pool, key)).text);
}

static void add_row(struct table *table, const json_t *pool)
{
    bool is_paused = answer_is(pool, "paused");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(pool, "name"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(pool, "handler"));
    table_cell(table, TABLE_PLAIN, "%s",
               answer_is(pool, "durable") ? "durable" : "volatile");
    table_cell(table, is_paused ? TABLE_WARNING : TABLE_GOOD, "%s",
               is_paused ? "paused" : "active");
    add_number(table, pool, "workers_total");
    add_number(table, pool, "waiting");
    add_number(table, pool, "ready");
    add_number(table, pool, "held");
    add_number(table, pool, "done_total");
    add_number(table, pool, "retried_total");
    table_cell(table, answer_number(pool, "dead") ? TABLE_BAD : TABLE_PLAIN,
               "%s", human_count((uint64_t)answer_number(pool, "dead")).text);
}

static enum exit_code print_table(const struct command *command,
                                  const json_t *answer,
                                  struct table *table,
                                  enum err err)
{
    const struct command_world *world = command->world;
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    each_node_say_away(command, answer_at(answer, "away"));
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code print_pools(const struct command *command,
                                  const json_t *answer)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "pools"); i++) {
        add_row(table, answer_item(answer, "pools", i));
    }
    return print_table(command, answer, table, err);
}

enum exit_code pool_ls_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "pool.ls",
                                                  .fetch = pool_ls_fetch,
                                                  .print = print_pools});
}

/* ---- by node ---- */

static const struct table_column worker_columns[] = {
    {"NODE", false}, {"POOL", false},    {"WORKERS", true}, {"LEASED", true},
    {"KEPT", true},  {"FINISHED", true}, {"STOLEN", true},  {0}};

/* All, or the one that is named. */
static bool is_wanted(const struct command *command, const json_t *pool)
{
    const char *name = command_operand(command, 0);
    return !name || strcmp(name, answer_name(pool, "name")) == 0;
}

static void add_workers(struct table *table,
                        const json_t *node,
                        const json_t *pool)
{
    const json_t *here = answer_at(pool, "here");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(node, "node"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(pool, "name"));
    add_number(table, here, "workers");
    add_number(table, here, "held");
    add_number(table, here, "unrecorded");
    add_number(table, here, "finished");
    add_number(table, here, "stolen");
}

static enum exit_code print_workers(const struct command *command,
                                    const json_t *answer)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, worker_columns);
    for (size_t i = 0; !err && i < answer_count(answer, "nodes"); i++) {
        const json_t *node = answer_item(answer, "nodes", i);
        for (size_t j = 0; j < answer_count(node, "pools"); j++) {
            const json_t *pool = answer_item(node, "pools", j);
            if (is_wanted(command, pool)) {
                add_workers(table, node, pool);
            }
        }
    }
    return print_table(command, answer, table, err);
}

/* There is one of that name, if one is named. */
static enum exit_code check_name(const struct command *command, json_t *answer)
{
    const char *name = command_operand(command, 0);
    if (name && !pool_find_named(json_object_get(answer, "pools"), name)) {
        command_say(command, "there is no pool %.64s", name);
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

enum exit_code pool_workers_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "pool.workers",
                                                  .fetch = pool_ls_fetch,
                                                  .narrow = check_name,
                                                  .print = print_workers});
}

static const struct table_column steal_columns[] = {{"NODE", false},
                                                    {"LEADS", true},
                                                    {"GIVEN", true},
                                                    {"AWAY", true},
                                                    {"STEALS", true},
                                                    {"DRY", true},
                                                    {"STOLEN", true},
                                                    {"OWN", true},
                                                    {"LATE", true},
                                                    {"REQUEUED", true},
                                                    {0}};

static void add_steals(struct table *table, const json_t *node)
{
    table_cell(table, TABLE_PLAIN, "%s", answer_name(node, "node"));
    add_number(table, answer_at(node, "coordinators"), "led");
    add_number(table, answer_at(node, "coordinators"), "given");
    add_number(table, answer_at(node, "coordinators"), "given_away");
    add_number(table, answer_at(node, "agent"), "steals");
    add_number(table, answer_at(node, "agent"), "dry");
    add_number(table, answer_at(node, "agent"), "stolen");
    add_number(table, answer_at(node, "agent"), "taken");
    add_number(table, answer_at(node, "agent"), "late");
    add_number(table, answer_at(node, "coordinators"), "requeued");
}

static enum exit_code print_steals(const struct command *command,
                                   const json_t *answer)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, steal_columns);
    for (size_t i = 0; !err && i < answer_count(answer, "nodes"); i++) {
        add_steals(table, answer_item(answer, "nodes", i));
    }
    return print_table(command, answer, table, err);
}

enum exit_code pool_steal_stats_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "pool.steal-stats",
                                                  .fetch = pool_ls_fetch,
                                                  .print = print_steals});
}

/* ---- one ---- */

static enum exit_code fetch_one(const struct command *command,
                                struct remote *remote,
                                json_t **answer)
{
    const char *name = command_operand(command, 0);
    scoped(answer_clear) json_t *shown = NULL;
    struct remote_question question = {
        .verb = "pool.show", .args = json_pack("{s:s}", "name", name)};
    enum exit_code code = remote_ask(remote, &question, &shown);
    if (!code) {
        code = pool_ls_fetch(command, remote, answer);
    }
    if (!code) {
        (void)json_object_set(*answer, "definition",
                              json_object_get(shown, "definition"));
        (void)json_object_set(
            *answer, "sums",
            pool_find_named(json_object_get(*answer, "pools"), name));
    }
    if (!code && answer_count(answer_at(*answer, "definition"), "schedules")) {
        pool_schedules_fetch(remote, name, *answer);
    }
    return code;
}

static void print_definition(FILE *out, json_t *definition)
{
    const char *field = NULL;
    json_t *value = NULL;
    json_object_foreach(definition, field, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        bool is_empty =
            text && (strcmp(text, "\"\"") == 0 || strcmp(text, "[]") == 0);
        /* They are told below, with what has come of them. */
        if (text && !is_empty && strcmp(field, "schedules") != 0) {
            fprintf(out, "%-18s %s\n", field, text);
        }
        free(text);
    }
}

static enum exit_code print_one(const struct command *command,
                                const json_t *answer)
{
    FILE *out = command->world->out;
    const json_t *sums = answer_at(answer, "sums");
    print_definition(out, json_object_get(answer, "definition"));
    fprintf(out,
            "\n%" PRId64 " waiting (%" PRId64 " ready), %" PRId64
            " with workers; kept: %" PRId64 " done, %" PRId64 " dead, %" PRId64
            " others, %s\n\n",
            answer_number(sums, "waiting"), answer_number(sums, "ready"),
            answer_number(sums, "held"), answer_number(sums, "done"),
            answer_number(sums, "dead"), answer_number(sums, "other"),
            human_size((uint64_t)answer_number(sums, "kept_bytes")).text);
    enum exit_code code = pool_schedules_print(command, answer);
    return code ? code : print_workers(command, answer);
}

enum exit_code pool_show_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "pool.show",
                                                  .fetch = fetch_one,
                                                  .print = print_one});
}
