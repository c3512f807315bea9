#include "admin/node_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

static const struct table_column columns[] = {
    {"NODE", false},     {"STATE", false},
    {"UP", false},       {"OWNS", true},
    {"REPLICAS", true},  {"LEADS", true},
    {"WEIGHT", true},    {"ZONE", false},
    {"DISK FREE", true}, {"MEMORY", true},
    {"VIEW", true},      {"RELEASE", false},
    {"SINCE", true},     {0}};

static enum table_tone tone_of_state(const char *state)
{
    return strcmp(state, "active") == 0 ? TABLE_GOOD
           : strcmp(state, "down") == 0 ? TABLE_BAD
                                        : TABLE_WARNING;
}

/* Nil: "-". */
static void add_number(struct table *table, const json_t *node, const char *key)
{
    if (answer_has_number(node, key)) {
        table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(node, key));
    } else {
        table_cell(table, TABLE_PLAIN, "-");
    }
}

/* What is not known: "-". */
static struct human size_at(const json_t *node, const char *key)
{
    return answer_has_number(node, key)
               ? human_size((uint64_t)answer_number(node, key))
               : (struct human){"-"};
}

static void add_node(struct table *table, const json_t *node, int64_t now_ms)
{
    const char *state = answer_name(node, "state");
    const char *zone = answer_name(node, "zone");
    bool is_up = answer_is(node, "is_up");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(node, "name"));
    table_cell(table, tone_of_state(state), "%s", state);
    table_cell(table, is_up ? TABLE_GOOD : TABLE_BAD, "%s",
               is_up ? "yes" : "no");
    add_number(table, node, "owners");
    add_number(table, node, "replicas");
    add_number(table, node, "leads");
    add_number(table, node, "weight");
    table_cell(table, TABLE_PLAIN, "%s", *zone ? zone : "-");
    table_cell(table, TABLE_PLAIN, "%s", size_at(node, "free_bytes").text);
    table_cell(table, TABLE_PLAIN, "%s", size_at(node, "resident_bytes").text);
    add_number(table, node, "view");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(node, "release"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_ago(now_ms, answer_number(node, "since_ms")).text);
}

static enum exit_code print_ls(const struct command *command,
                               const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "members"); i++) {
        add_node(table, answer_item(answer, "members", i),
                 clock_wall_ms(world->clock));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

enum exit_code node_ls_run(const struct command *command)
{
    return reading_run(command,
                       &(struct reading){.verb = "node.ls", .print = print_ls});
}

/* ---- one ---- */

static void print_shards(FILE *out, const json_t *node, const char *role)
{
    uint32_t count = 0;
    for (size_t i = 0; i < answer_count(node, "shards"); i++) {
        const json_t *shard = answer_item(node, "shards", i);
        if (strcmp(answer_name(shard, "role"), role) == 0) {
            fprintf(out, "%s%" PRId64, count++ > 0 ? " " : "",
                    answer_number(shard, "shard"));
        }
    }
    fprintf(out, "%s\n", count > 0 ? "" : "-");
}

static enum exit_code print_node(const struct command *command,
                                 const json_t *node)
{
    FILE *out = command->world->out;
    char roles[128];
    const char *zone = answer_name(node, "zone");
    int64_t now_ms = clock_wall_ms(command->world->clock);
    answer_join(roles, sizeof roles, node, "roles");
    fprintf(
        out,
        "Node      %s, number %" PRId64 ", %s, %s, a member for %s\n"
        "Heard by  %" PRId64 " of %" PRId64 "\n"
        "Roles     %s; weight %" PRId64 ", zone %s\n"
        "Door      %s\n"
        "Runs      %s, view %" PRId64 "\n"
        "Has       %s of disk free, %s in memory\n"
        "Leads     %" PRId64 " shards\n"
        "Owns      ",
        answer_name(node, "name"), answer_number(node, "number"),
        answer_name(node, "state"), answer_is(node, "is_up") ? "up" : "away",
        human_span((uint64_t)(now_ms - answer_number(node, "since_ms"))).text,
        answer_number(node, "heard_by"), answer_number(node, "observers"),
        roles, answer_number(node, "weight"), *zone ? zone : "-",
        answer_name(node, "door"), answer_name(node, "release"),
        answer_number(node, "view"), size_at(node, "free_bytes").text,
        size_at(node, "resident_bytes").text, answer_number(node, "leads"));
    print_shards(out, node, "owner");
    fprintf(out, "Replicas  ");
    print_shards(out, node, "replica");
    return EXIT_CODE_OK;
}

enum exit_code node_show_run(const struct command *command)
{
    return reading_run(
        command,
        &(struct reading){
            .verb = "node.show",
            .args = json_pack("{s:s}", "name", command_operand(command, 0)),
            .print = print_node});
}
