#include "admin/cluster_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>

#define NAMES_BYTES 512

/* ---- status ---- */

static void print_meta(FILE *out, const json_t *answer)
{
    char voters[NAMES_BYTES];
    char missing[NAMES_BYTES];
    answer_join(voters, sizeof voters, answer, "meta.voters");
    answer_join(missing, sizeof missing, answer, "meta.missing");
    human_clean(voters);
    human_clean(missing);
    fprintf(out, "Meta group  led by %s, term %" PRId64 ", voters %s\n",
            answer_name(answer, "meta.leader"),
            answer_number(answer, "meta.term"), voters);
    if (answer_count(answer, "meta.missing") > 0) {
        fprintf(out, "            missing: %s\n", missing);
    }
}

static void print_members(FILE *out, const json_t *answer)
{
    static const char *const states[] = {"active", "cordoned", "draining",
                                         "down"};
    const char *separator = ": ";
    fprintf(out, "Members     %" PRId64 " of %" PRId64 " heard",
            answer_number(answer, "members.heard"),
            answer_number(answer, "members.total"));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        const json_t *count =
            json_object_get(answer_at(answer, "members"), states[i]);
        if (json_integer_value(count) > 0) {
            fprintf(out, "%s%" PRId64 " %s", separator,
                    (int64_t)json_integer_value(count), states[i]);
            separator = ", ";
        }
    }
    fputc('\n', out);
}

static void print_shards(FILE *out, const json_t *answer)
{
    fprintf(out,
            "Shards      %" PRId64 " of %" PRId64 " led, %" PRId64
            " whole, %" PRId64 " moving, %" PRId64 " without a leader\n",
            answer_number(answer, "shards.led"),
            answer_number(answer, "shards.total"),
            answer_number(answer, "shards.whole"),
            answer_number(answer, "shards.moving"),
            answer_number(answer, "shards.unled"));
    fprintf(out,
            "Balance     owners %" PRId64 " at most, %s on average; replicas "
            "%" PRId64 ", %s\n",
            answer_number(answer, "balance.owners_max"),
            human_real(answer_real(answer, "balance.owners_mean")).text,
            answer_number(answer, "balance.replicas_max"),
            human_real(answer_real(answer, "balance.replicas_mean")).text);
}

static enum exit_code print_status(const struct command *command,
                                   const json_t *answer)
{
    FILE *out = command->world->out;
    bool is_colored = command->world->out_is_colored;
    size_t count = answer_count(answer, "problems");
    fprintf(out, "Cluster     %s (%s), view %" PRId64 "%s%s\n",
            answer_name(answer, "cluster.name"),
            answer_name(answer, "cluster.id"), answer_number(answer, "view"),
            answer_is(answer, "founded") ? "" : ", being founded",
            answer_is(answer, "paused") ? ", rebalancing is paused" : "");
    print_meta(out, answer);
    print_members(out, answer);
    print_shards(out, answer);
    enum table_tone tone = count > 0 ? TABLE_BAD : TABLE_GOOD;
    fprintf(out, "Problems    %s%s%s\n", table_tone_begin(tone, is_colored),
            count > 0 ? "" : "none", table_tone_end(tone, is_colored));
    for (size_t i = 0; i < count; i++) {
        const char *text =
            json_string_value(answer_item(answer, "problems", i));
        fprintf(out, "  %s\n", text ? text : "?");
    }
    return EXIT_CODE_OK;
}

enum exit_code cluster_status_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "cluster.status",
                                                  .print = print_status});
}

/* ---- members ---- */

static const struct table_column member_columns[] = {
    {"NODE", false},    {"NUMBER", true}, {"STATE", false}, {"HEARD", true},
    {"UP", false},      {"ROLES", false}, {"ZONE", false},  {"VIEW", true},
    {"RELEASE", false}, {"SINCE", true},  {"DOOR", false},  {0}};

static void add_member(struct table *table,
                       const json_t *member,
                       int64_t now_ms)
{
    char roles[128];
    const char *state = answer_name(member, "state");
    const char *zone = answer_name(member, "zone");
    bool is_up = answer_is(member, "is_up");
    answer_join(roles, sizeof roles, member, "roles");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(member, "name"));
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(member, "number"));
    table_cell(table, TABLE_PLAIN, "%s", state);
    table_cell(table, TABLE_PLAIN, "%" PRId64 "/%" PRId64,
               answer_number(member, "heard_by"),
               answer_number(member, "observers"));
    table_cell(table, is_up ? TABLE_GOOD : TABLE_BAD, "%s",
               is_up ? "yes" : "no");
    table_cell(table, TABLE_PLAIN, "%s", roles);
    table_cell(table, TABLE_PLAIN, "%s", *zone ? zone : "-");
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(member, "view"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(member, "release"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_ago(now_ms, answer_number(member, "since_ms")).text);
    table_cell(table, TABLE_PLAIN, "%s", answer_name(member, "door"));
}

static enum exit_code print_table(const struct command *command,
                                  const struct table *table)
{
    enum err err =
        table_print(table, command->world->out, command->world->out_is_colored);
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code print_member_table(const struct command *command,
                                         const json_t *answer)
{
    scoped(table_close) struct table *table = NULL;
    int64_t now_ms = clock_wall_ms(command->world->clock);
    enum err err = table_open(&table, member_columns);
    if (err) {
        return command_failed(command, err, "the table");
    }
    for (size_t i = 0; i < answer_count(answer, "members"); i++) {
        add_member(table, answer_item(answer, "members", i), now_ms);
    }
    return print_table(command, table);
}

enum exit_code cluster_members_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "node.ls",
                                                  .print = print_member_table});
}

/* ---- links ---- */

static const struct table_column link_columns[] = {{"PEER", false},
                                                   {"ROLE", false},
                                                   {"UP", false},
                                                   {"HEARD", true},
                                                   {"SENT", true},
                                                   {"RECEIVED", true},
                                                   {"HELD", true},
                                                   {"OUT", true},
                                                   {"IN", true},
                                                   {"REPEATED", true},
                                                   {"CONNECTIONS", true},
                                                   {"ROUND TRIP", true},
                                                   {0}};

static void add_traffic(struct table *table, const json_t *link)
{
    static const struct {
        const char *key;
        bool is_size;
    } figures[] = {{"sent", false},
                   {"received", false},
                   {"held_bytes", true},
                   {"bytes_out", true},
                   {"bytes_in", true},
                   {"frames_repeated", false},
                   {"connection_count", false}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        uint64_t value = (uint64_t)answer_number(link, figures[i].key);
        struct human human =
            figures[i].is_size ? human_size(value) : human_count(value);
        table_cell(table, TABLE_PLAIN, "%s", human.text);
    }
}

static void add_link(struct table *table, const json_t *link)
{
    bool is_up = answer_is(link, "is_up");
    bool is_heard = answer_has_number(link, "heard_ms_ago");
    uint64_t heard_ms = (uint64_t)answer_number(link, "heard_ms_ago");
    double round_trip_us = answer_real(link, "round_trip_ns") / 1000;
    table_cell(table, TABLE_PLAIN, "%s", answer_name(link, "name"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(link, "role"));
    table_cell(table, is_up ? TABLE_GOOD : TABLE_BAD, "%s",
               is_up ? "yes" : "no");
    table_cell(table, TABLE_PLAIN, "%s",
               is_heard ? human_span(heard_ms).text : "-");
    add_traffic(table, link);
    if (round_trip_us > 0) {
        table_cell(table, TABLE_PLAIN, "%.0f us", round_trip_us);
    } else {
        table_cell(table, TABLE_PLAIN, "-");
    }
}

static enum exit_code print_links(const struct command *command,
                                  const json_t *answer)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, link_columns);
    if (err) {
        return command_failed(command, err, "the table");
    }
    for (size_t i = 0; i < answer_count(answer, "links"); i++) {
        add_link(table, answer_item(answer, "links", i));
    }
    fprintf(command->world->out, "Links of %s\n", answer_name(answer, "node"));
    return print_table(command, table);
}

enum exit_code cluster_links_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "cluster.links",
                                                  .print = print_links});
}
