#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/config_file.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/shard_view.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>

/*
 * Where shards stand by a configuration alone: as its founding would place
 * them. In a cluster that lives the map has a history, and may differ; which
 * shard an actor belongs to is the same.
 */

static enum exit_code open_view(struct shard_view **out,
                                const struct command *command)
{
    struct err_detail why = {0};
    const char *file = command_value(command, "from-config");
    scoped(settings_close) struct settings *settings = NULL;
    enum err err =
        config_file_explained(&settings, &file, command->world->files, &why);
    if (err) {
        command_say(command, "%s", why.text[0] ? why.text : err_text(err));
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of(err);
    }
    err = shard_view_of_settings(out, settings);
    return err ? command_failed(command, err, "%s", file) : EXIT_CODE_OK;
}

/* Takes `answer`. */
static enum exit_code tell(
    const struct command *command,
    const char *verb,
    json_t *answer,
    enum exit_code (*print)(const struct command *command,
                            const json_t *answer))
{
    if (!answer) {
        return command_failed(command, ERR_MEMORY, "the answer");
    }
    if (command_has(command, "json")) {
        return reading_print_json(command, verb, answer);
    }
    enum exit_code code = print(command, answer);
    json_decref(answer);
    return code;
}

/* ---- which shard ---- */

static enum exit_code print_place(const struct command *command,
                                  const json_t *answer)
{
    char replicas[512];
    answer_join(replicas, sizeof replicas, answer, "replicas");
    fprintf(command->world->out,
            "%s is in shard %" PRId64 "; newly founded, it would be owned by "
            "%s (replicas %s)\n",
            command_operand(command, 0), answer_number(answer, "shard"),
            answer_name(answer, "owner"), replicas);
    return EXIT_CODE_OK;
}

enum exit_code shard_locate_offline(const struct command *command)
{
    struct shard_key key = {0};
    scoped(shard_view_close) struct shard_view *view = NULL;
    enum exit_code code = shard_take_key(&key, command);
    if (!code) {
        code = open_view(&view, command);
    }
    return code ? code
                : tell(command, "shard.locate",
                       shard_view_locate(view, key.type, key.id), print_place);
}

/* ---- the map ---- */

static const struct table_column columns[] = {
    {"SHARD", true}, {"OWNER", false}, {"REPLICAS", false}, {0}};

static enum exit_code print_map(const struct command *command,
                                const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "shards"); i++) {
        char replicas[512];
        const json_t *shard = answer_item(answer, "shards", i);
        answer_join(replicas, sizeof replicas, shard, "wanted");
        table_cell(table, TABLE_PLAIN, "%zu", i);
        table_cell(table, TABLE_PLAIN, "%s", answer_name(shard, "owner"));
        table_cell(table, TABLE_PLAIN, "%s", replicas);
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    if (err) {
        return command_failed(command, err, "the table");
    }
    fprintf(world->out,
            "%zu shards, as they would be newly founded\nOwners %" PRId64
            " at most, %s on average; replicas %" PRId64 ", %s\n",
            answer_count(answer, "shards"),
            answer_number(answer, "balance.owners_max"),
            human_real(answer_real(answer, "balance.owners_mean")).text,
            answer_number(answer, "balance.replicas_max"),
            human_real(answer_real(answer, "balance.replicas_mean")).text);
    return EXIT_CODE_OK;
}

enum exit_code shard_map_offline(const struct command *command)
{
    scoped(shard_view_close) struct shard_view *view = NULL;
    enum exit_code code = open_view(&view, command);
    if (code) {
        return code;
    }
    scoped(answer_clear) json_t *answer = shard_view_map(view);
    code = answer ? shard_plot_map(command, answer) : EXIT_CODE_OK;
    return code ? code
                : tell(command, "shard.map", json_incref(answer), print_map);
}

/* ---- what would move ---- */

/* Names that are wrong were typed. */
static enum exit_code refuse_plan(const struct command *command,
                                  enum err err,
                                  const struct err_detail *why)
{
    return why->text[0] ? command_misused(command, "%s", why->text)
                        : command_failed(command, err, "the plan");
}

enum exit_code shard_plan_offline(const struct command *command,
                                  const json_t *args)
{
    struct err_detail why = {0};
    json_t *answer = NULL;
    scoped(shard_view_close) struct shard_view *view = NULL;
    bool is_change =
        command_has(command, "add") || command_has(command, "remove");
    enum exit_code code = open_view(&view, command);
    if (code) {
        return code;
    }
    enum err err =
        is_change
            ? shard_view_plan(view, json_object_get(args, "add"),
                              json_object_get(args, "remove"), &answer, &why)
            : ERR_NONE;
    if (err) {
        return refuse_plan(command, err, &why);
    }
    if (!is_change) {
        answer = shard_view_founding(view);
    }
    code = answer ? shard_judge_plan(command, answer) : EXIT_CODE_OK;
    enum exit_code told = tell(command, "shard.plan", answer, shard_print_plan);
    return told ? told : code;
}
