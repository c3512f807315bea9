#include "admin/config_cluster.h"

#include "admin/answer.h"
#include "admin/config_file.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

/* ---- show ---- */

static const struct table_column setting_columns[] = {
    {"KEY", false}, {"VALUE", false}, {0}};

static enum exit_code print_settings(const struct command *command,
                                     const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    json_t *settings = json_object_get(answer, "settings");
    const char *key = NULL;
    json_t *value = NULL;
    enum err err = table_open(&table, setting_columns);
    if (err) {
        return command_failed(command, err, "the table");
    }
    json_object_foreach(settings, key, value)
    {
        const char *text = json_string_value(value);
        table_cell(table, TABLE_PLAIN, "%s", key);
        table_cell(table, TABLE_PLAIN, "%s", text ? text : "-");
    }
    err = table_print(table, world->out, world->out_is_colored);
    if (err) {
        return command_failed(command, err, "the table");
    }
    return EXIT_CODE_OK;
}

enum exit_code config_cluster_show(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "config.show",
                                                  .print = print_settings});
}

/* ---- a file ---- */

/* The one to be compared: an operand, --config, or the usual one. */
static enum exit_code open_file(const struct command *command,
                                struct settings **out,
                                const char **file)
{
    struct err_detail why = {{0}};
    *file = command_operand(command, 0);
    if (!*file) {
        *file = command_value(command, "config");
    }
    enum err err =
        config_file_explained(out, file, command->world->files, &why);
    if (!err) {
        return EXIT_CODE_OK;
    }
    command_say(command, "%s", why.text[0] ? why.text : err_text(err));
    return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of_change(err);
}

struct claims {
    const struct settings *settings;
    json_t *map;
};

static void add_claim(void *context, const char *key, const char *value)
{
    const struct claims *claims = context;
    if (!settings_leaves_open(claims->settings, key)) {
        (void)json_object_set_new(claims->map, key, json_string(value));
    }
}

json_t *config_cluster_claims(const struct settings *settings)
{
    struct claims claims = {settings, json_object()};
    settings_cluster_values(settings, add_claim, &claims);
    return claims.map;
}

/* ---- two files ---- */

struct comparison {
    const struct command *command;
    struct table *table;
    json_t *list;
};

static const struct table_column file_columns[] = {
    {"KEY", false}, {"FIRST", false}, {"SECOND", false}, {0}};

static void add_difference(void *context,
                           const char *key,
                           const char *left,
                           const char *right)
{
    struct comparison *comparison = context;
    table_cell(comparison->table, TABLE_PLAIN, "%s", key);
    table_cell(comparison->table, TABLE_PLAIN, "%s", left);
    table_cell(comparison->table, TABLE_PLAIN, "%s", right);
    (void)json_array_append_new(
        comparison->list,
        json_pack("{s:s, s:s, s:s}", "key", key, "from", left, "to", right));
}

static enum exit_code compare_files(const struct command *command,
                                    const struct settings *first,
                                    const struct settings *second)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, file_columns);
    if (err) {
        return command_failed(command, err, "the table");
    }
    struct comparison comparison = {command, table, json_array()};
    uint32_t count = settings_cluster_differences(first, second, add_difference,
                                                  &comparison);
    json_t *answer = json_pack("{s:o}", "changes", comparison.list);
    enum exit_code code = EXIT_CODE_OK;
    if (command_has(command, "json")) {
        code = reading_print_json(command, "config.diff", answer);
    } else {
        err = count > 0 ? table_print(table, world->out, world->out_is_colored)
                        : ERR_NONE;
        code = err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
        json_decref(answer);
    }
    return code ? code : count > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

static enum exit_code diff_files(const struct command *command)
{
    scoped(settings_close) struct settings *first = NULL;
    scoped(settings_close) struct settings *second = NULL;
    struct err_detail why = {{0}};
    const char *file = NULL;
    const char *other = command_operand(command, 1);
    enum exit_code code = open_file(command, &first, &file);
    if (code) {
        return code;
    }
    enum err err =
        config_file_explained(&second, &other, command->world->files, &why);
    if (err) {
        command_say(command, "%s", why.text[0] ? why.text : err_text(err));
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE
                                    : exit_code_of_change(err);
    }
    return compare_files(command, first, second);
}

/* ---- the plan ---- */

static const struct table_column change_columns[] = {
    {"KEY", false}, {"CLUSTER", false}, {"FILE", false}, {"WHEN", false}, {0}};

static const char *when_text(const json_t *change)
{
    static const struct {
        const char *effect;
        const char *text;
    } texts[] = {{"now", "at once, everywhere"},
                 {"restart", "when a node starts next"},
                 {"never", "never"}};
    const char *effect = answer_name(change, "effect");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].effect, effect) == 0) {
            return texts[i].text;
        }
    }
    return effect;
}

static enum exit_code print_changes(const struct command *command,
                                    const json_t *plan)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, change_columns);
    for (size_t i = 0; !err && i < answer_count(plan, "changes"); i++) {
        const json_t *change = answer_item(plan, "changes", i);
        bool is_refused = answer_text(change, "refused") != NULL;
        table_cell(table, TABLE_PLAIN, "%s", answer_name(change, "key"));
        table_cell(table, TABLE_PLAIN, "%s", answer_name(change, "from"));
        table_cell(table, TABLE_PLAIN, "%s", answer_name(change, "to"));
        table_cell(table, is_refused ? TABLE_BAD : TABLE_PLAIN, "%s",
                   is_refused ? "refused" : when_text(change));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static bool changes_replication(const json_t *plan)
{
    for (size_t i = 0; i < answer_count(plan, "changes"); i++) {
        const json_t *change = answer_item(plan, "changes", i);
        if (strcmp(answer_name(change, "key"), "cluster.replication") == 0) {
            return !answer_text(change, "refused");
        }
    }
    return false;
}

static enum exit_code ask_plan(struct remote *remote,
                               const struct settings *settings,
                               json_t **plan)
{
    struct remote_question question = {
        .verb = "config.plan",
        .args =
            json_pack("{s:o}", "settings", config_cluster_claims(settings))};
    return remote_ask(remote, &question, plan);
}

/* ---- diff ---- */

static enum exit_code tell_difference(const struct command *command,
                                      json_t *plan)
{
    bool differs = answer_count(plan, "changes") > 0;
    enum exit_code code = EXIT_CODE_OK;
    if (command_has(command, "json")) {
        code = reading_print_json(command, "config.plan", json_incref(plan));
    } else if (differs) {
        code = print_changes(command, plan);
    } else {
        fprintf(command->world->talk, "The file says what the cluster has.\n");
    }
    return code ? code : differs ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

enum exit_code config_cluster_diff(const struct command *command)
{
    if (command_operand(command, 1)) {
        return diff_files(command);
    }
    scoped(settings_close) struct settings *settings = NULL;
    scoped(remote_close) struct remote *remote = NULL;
    scoped(answer_clear) json_t *plan = NULL;
    const char *file = NULL;
    enum exit_code code = open_file(command, &settings, &file);
    if (!code) {
        code = remote_open(&remote, command);
    }
    if (!code) {
        code = ask_plan(remote, settings, &plan);
    }
    return code ? code : tell_difference(command, plan);
}

/* ---- apply ---- */

/* For people: all that would change, and what moves for it. */
static enum exit_code print_plan(const struct command *command,
                                 const json_t *plan)
{
    enum exit_code code = print_changes(command, plan);
    if (!code && changes_replication(plan)) {
        fprintf(command->world->out,
                "%zu shards get other replicas, a few at a time; a node has at "
                "most %" PRId64 " of them, then %" PRId64 ".\n",
                answer_count(plan, "moves"),
                answer_number(plan, "balance_before.replicas_max"),
                answer_number(plan, "balance_after.replicas_max"));
    }
    return code;
}

static enum exit_code carry_out(struct remote *remote,
                                const struct command *command,
                                const struct settings *settings,
                                const json_t *plan)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "config.apply",
        .args = json_pack("{s:o, s:I}", "settings",
                          config_cluster_claims(settings), "settings_version",
                          (json_int_t)answer_number(plan, "settings_version")),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (code) {
        return code;
    }
    if (command_has(command, "json")) {
        return reading_print_json(command, "config.apply", json_incref(answer));
    }
    fprintf(command->world->talk,
            "%" PRId64 " setting%s agreed. What counts when a node starts next "
            "needs a restart of each, one after the other.\n",
            answer_number(answer, "changed"),
            answer_number(answer, "changed") == 1 ? " is" : "s are");
    return EXIT_CODE_OK;
}

/* Whether there is something that may be done. */
static enum exit_code judge_plan(const struct command *command,
                                 const json_t *plan,
                                 bool *goes_on)
{
    const char *refused = answer_text(plan, "refused");
    *goes_on = false;
    if (refused) {
        command_say(command, "nothing was done: %s", refused);
        return EXIT_CODE_REFUSED;
    }
    if (answer_count(plan, "changes") == 0) {
        fprintf(command->world->talk,
                "Nothing to do: the file says what the cluster has.\n");
        return EXIT_CODE_OK;
    }
    if (command_is_dry(command)) {
        return EXIT_CODE_FOUND;
    }
    *goes_on = true;
    return EXIT_CODE_OK;
}

static enum exit_code apply(struct remote *remote,
                            const struct command *command,
                            const struct settings *settings)
{
    scoped(answer_clear) json_t *plan = NULL;
    bool is_json = command_has(command, "json");
    bool goes_on = false;
    enum exit_code code = ask_plan(remote, settings, &plan);
    if (!code && is_json && command_has(command, "dry-run")) {
        code = reading_print_json(command, "config.plan", json_incref(plan));
    } else if (!code && !is_json && answer_count(plan, "changes") > 0) {
        code = print_plan(command, plan);
    }
    if (!code) {
        code = judge_plan(command, plan, &goes_on);
    }
    if (code || !goes_on) {
        return code;
    }
    return command_confirm(command, settings->cluster.name)
               ? carry_out(remote, command, settings, plan)
               : EXIT_CODE_REFUSED;
}

enum exit_code config_cluster_apply(const struct command *command)
{
    scoped(settings_close) struct settings *settings = NULL;
    scoped(remote_close) struct remote *remote = NULL;
    const char *file = NULL;
    enum exit_code code = open_file(command, &settings, &file);
    if (!code) {
        code = remote_open(&remote, command);
    }
    return code ? code : apply(remote, command, settings);
}
