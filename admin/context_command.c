#include "admin/context_command.h"

#include "admin/context.h"
#include "admin/store_print.h"
#include "admin/table.h"
#include "base/scope.h"

#include <stdlib.h>
#include <string.h>

static enum exit_code failed(const struct command *command,
                             enum err err,
                             const struct err_detail *why)
{
    command_say(command, "%s", why->text[0] ? why->text : err_text(err));
    return err == ERR_NOT_FOUND || err == ERR_INVALID
               ? EXIT_CODE_USAGE
               : exit_code_of_change(err);
}

/* ---- add ---- */

static enum exit_code add_run(const struct command *command)
{
    struct err_detail why = {0};
    const char *name = command_operand(command, 0);
    scoped(context_clear) struct context context = {.node_count = 0};
    enum err err =
        context_add(&context, command, name, command_value(command, "config"),
                    command_value(command, "as"), &why);
    if (err) {
        return failed(command, err, &why);
    }
    fprintf(command->world->talk,
            "Context %s: cluster %s, as %s, with the key in %s.\n", name,
            context.cluster, context.who, context.keys_dir.text);
    return EXIT_CODE_OK;
}

/* ---- ls ---- */

struct listing {
    const struct command *command;
    char active[CERTIFICATE_NAME_BYTES];
    struct table *table;
    json_t *contexts;
};

/* One that cannot be read is in the list, too. */
static void add_context(void *visitor, const char *name)
{
    struct listing *listing = visitor;
    bool is_active = strcmp(listing->active, name) == 0;
    struct err_detail why = {0};
    scoped(context_clear) struct context context = {.node_count = 0};
    bool is_bad = context_load(&context, listing->command, name, &why);
    table_cell(listing->table, is_active ? TABLE_GOOD : TABLE_PLAIN, "%s",
               is_active ? "*" : "");
    table_cell(listing->table, TABLE_PLAIN, "%s", name);
    table_cell(listing->table, is_bad ? TABLE_BAD : TABLE_PLAIN, "%s",
               is_bad ? "cannot be read" : context.cluster);
    table_cell(listing->table, TABLE_PLAIN, "%s", context.who);
    table_cell(listing->table, TABLE_PLAIN, "%u", context.node_count);
    table_cell(listing->table, TABLE_PLAIN, "%s", context.keys_dir.text);
    (void)json_array_append_new(
        listing->contexts,
        json_pack("{s:s, s:b, s:s, s:s, s:s, s:i}", "name", name, "active",
                  is_active, "cluster", context.cluster, "who", context.who,
                  "keys_dir", context.keys_dir.text, "nodes",
                  (int)context.node_count));
}

static enum exit_code print_listing(struct listing *listing)
{
    const struct command *command = listing->command;
    const struct command_world *world = command->world;
    enum err err = ERR_NONE;
    if (command_has(command, "json")) {
        json_t *document =
            json_pack("{s:s, s:i, s:O}", "schema", "troupe.contexts", "version",
                      1, "contexts", listing->contexts);
        err = store_print_json(world->out, document);
    } else {
        err = table_print(listing->table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the output") : EXIT_CODE_OK;
}

static enum exit_code ls_run(const struct command *command)
{
    static const struct table_column columns[] = {{"", false},
                                                  {"CONTEXT", false},
                                                  {"CLUSTER", false},
                                                  {"AS", false},
                                                  {"NODES", true},
                                                  {"KEYS", false},
                                                  {0}};
    struct err_detail why = {0};
    struct listing listing = {.command = command, .contexts = json_array()};
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    listing.table = table;
    if (!err) {
        err = context_active(listing.active, command, &why);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    if (!err) {
        err = context_each(command, add_context, &listing, &why);
    }
    enum exit_code code =
        err ? failed(command, err, &why) : print_listing(&listing);
    json_decref(listing.contexts);
    return code;
}

/* ---- use, rm ---- */

static enum exit_code use_run(const struct command *command)
{
    struct err_detail why = {0};
    enum err err = context_use(command, command_operand(command, 0), &why);
    return err ? failed(command, err, &why) : EXIT_CODE_OK;
}

static enum exit_code rm_run(const struct command *command)
{
    struct err_detail why = {0};
    enum err err = context_remove(command, command_operand(command, 0), &why);
    return err ? failed(command, err, &why) : EXIT_CODE_OK;
}

static const struct command_flag add_flags[] = {
    {.name = "config",
     .value = "FILE",
     .text = "the cluster's file (default: cluster.yaml here, or else in "
             "/etc/troupe)"},
    {.name = "as",
     .value = "NAME",
     .text = "whose certificate in its keys_dir (default: the only "
             "operator's)"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "add",
     .operands = "NAME",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Remember a cluster: its nodes, and where the key for it "
                "is.\nThe key itself is not copied. The first one is used from "
                "then on.",
     .examples = {"troupe context add shop --config shop/operator/cluster.yaml",
                  "troupe context add lab --as anna",
                  "troupe context add prod --config /etc/troupe/cluster.yaml "
                  "--as monitor"},
     .flags = add_flags,
     .run = add_run},
    {.name = "ls",
     .operands = "",
     .summary = "List the contexts.\nThe one that is used has a star.",
     .examples = {"troupe context ls", "troupe context ls --json",
                  "XDG_CONFIG_HOME=/srv/config troupe context ls"},
     .has_json = true,
     .run = ls_run},
    {.name = "use",
     .operands = "CONTEXT",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Use this context from now on.\n--context, --config and "
                "TROUPE_CONTEXT come before it.",
     .examples = {"troupe context use shop", "troupe context use lab",
                  "TROUPE_CONTEXT=lab troupe node ls"},
     .run = use_run},
    {.name = "rm",
     .operands = "CONTEXT",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Forget a context.\nThe cluster and the key stay as they are.",
     .examples = {"troupe context rm lab", "troupe context rm shop",
                  "troupe context ls"},
     .run = rm_run},
    {0}};

const struct command_noun context_command = {
    .name = "context",
    .summary = "Which cluster the other commands talk to, and as whom.\nFiles "
               "below ~/.config/troupe/contexts.",
    .verbs = verbs,
};
