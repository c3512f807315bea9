#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/shard_plot.h"
#include "admin/table.h"
#include "base/scope.h"
#include "base/utf8.h"
#include "config/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS_BYTES 512

enum exit_code shard_take_number(uint64_t *out,
                                 const struct command *command,
                                 const char *text)
{
    if (units_number(out, text) || *out >= UINT32_MAX) {
        return command_misused(command,
                               "`%.32s` is no shard: a number from 0 on", text);
    }
    return EXIT_CODE_OK;
}

enum exit_code shard_take_key(struct shard_key *out,
                              const struct command *command)
{
    const char *text = command_operand(command, 0);
    const char *slash = strchr(text, '/');
    if (!slash || slash == text || !slash[1] || !utf8_is_valid(text)) {
        return command_misused(command,
                               "`%.64s` is no actor: TYPE/ID is expected, such "
                               "as counter/visits",
                               text);
    }
    out->type = bytes_of(text, (size_t)(slash - text));
    out->id = bytes_of_text(slash + 1);
    return EXIT_CODE_OK;
}

/* ---- the map ---- */

static const struct table_column columns[] = {{"SHARD", true},
                                              {"OWNER", false},
                                              {"LEADER", false},
                                              {"STATE", false},
                                              {"GEN", true},
                                              {"TERM", true},
                                              {"RATE", true},
                                              {"LOG", true},
                                              {"APPLIED", true},
                                              {"REPLICAS", false},
                                              {0}};

/* Without a leader nobody knows who is behind. */
static bool is_any_lag_known(const json_t *shard)
{
    for (size_t i = 0; i < answer_count(shard, "replicas"); i++) {
        if (answer_has_number(answer_item(shard, "replicas", i), "lag")) {
            return true;
        }
    }
    return false;
}

/* "alpha beta(+12) gamma(learner)": with what each is behind. */
static void replicas_text(char to[static REPLICAS_BYTES], const json_t *shard)
{
    size_t length = 0;
    (void)snprintf(to, REPLICAS_BYTES, "-");
    for (size_t i = 0;
         i < answer_count(shard, "replicas") && length < REPLICAS_BYTES; i++) {
        const json_t *replica = answer_item(shard, "replicas", i);
        int64_t lag = answer_number(replica, "lag");
        char behind[32] = "";
        if (!answer_has_number(replica, "lag") && is_any_lag_known(shard)) {
            (void)snprintf(behind, sizeof behind, "(unheard)");
        } else if (lag > 0) {
            (void)snprintf(behind, sizeof behind, "(+%" PRId64 ")", lag);
        }
        int more =
            snprintf(to + length, REPLICAS_BYTES - length, "%s%s%s%s",
                     i > 0 ? " " : "", answer_name(replica, "node"),
                     answer_is(replica, "voter") ? "" : "(learner)", behind);
        length += more > 0 ? (size_t)more : 0;
    }
}

static enum table_tone tone_of(const char *state)
{
    return strcmp(state, "serving") == 0  ? TABLE_GOOD
           : strcmp(state, "moving") == 0 ? TABLE_WARNING
                                          : TABLE_BAD;
}

static void add_shard(struct table *table, const json_t *shard)
{
    char replicas[REPLICAS_BYTES];
    const char *state = answer_name(shard, "state");
    const char *leader = answer_text(shard, "leader");
    replicas_text(replicas, shard);
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "shard"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(shard, "owner"));
    table_cell(table, leader ? TABLE_PLAIN : TABLE_BAD, "%s",
               leader ? leader : "-");
    table_cell(table, tone_of(state), "%s", state);
    table_cell(table, TABLE_PLAIN, "%" PRId64,
               answer_number(shard, "generation"));
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "term"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_count((uint64_t)answer_number(shard, "rate")).text);
    table_cell(table, TABLE_PLAIN, "%s",
               human_size((uint64_t)answer_number(shard, "log_bytes")).text);
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "applied"));
    table_cell(table, TABLE_PLAIN, "%s", replicas);
}

static void print_summary(FILE *out, const json_t *answer)
{
    size_t count = answer_count(answer, "shards");
    size_t unled = 0;
    for (size_t i = 0; i < count; i++) {
        unled += !answer_text(answer_item(answer, "shards", i), "leader");
    }
    fprintf(out,
            "%zu shards, %" PRId64
            " moving, %zu without a leader; map version %" PRId64
            ", on %" PRId64 " nodes\nOwners %" PRId64
            " at most, %s on average; replicas %" PRId64 ", %s\n",
            count, answer_number(answer, "moving"), unled,
            answer_number(answer, "map.version"),
            answer_number(answer, "nodes_with_version"),
            answer_number(answer, "balance.owners_max"),
            human_real(answer_real(answer, "balance.owners_mean")).text,
            answer_number(answer, "balance.replicas_max"),
            human_real(answer_real(answer, "balance.replicas_mean")).text);
}

static enum exit_code print_map(const struct command *command,
                                const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "shards"); i++) {
        add_shard(table, answer_item(answer, "shards", i));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    if (err) {
        return command_failed(command, err, "the table");
    }
    print_summary(world->out, answer);
    return EXIT_CODE_OK;
}

/* Written as a whole or not at all; also over an older one. */
static enum exit_code plot(const struct command *command, json_t *answer)
{
    const struct files *files = command->world->files;
    const char *path = command_value(command, "plot");
    char *text = NULL;
    size_t length = 0;
    FILE *out = path ? open_memstream(&text, &length) : NULL;
    if (!path) {
        return EXIT_CODE_OK;
    }
    if (!out) {
        return command_failed(command, ERR_MEMORY, "%s", path);
    }
    shard_plot(out, answer);
    enum err err = fclose(out) ? ERR_MEMORY
                               : files->write(files->context, path, FILE_PUBLIC,
                                              true, bytes_of(text, length));
    free(text);
    return err ? command_failed(command, err, "%s", path) : EXIT_CODE_OK;
}

enum exit_code shard_map_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "shard.map",
                                                  .narrow = plot,
                                                  .print = print_map});
}

/* ---- one shard ---- */

/* Leave that shard alone in the answer. */
static enum exit_code narrow_to_one(const struct command *command,
                                    json_t *answer)
{
    const char *text = command_operand(command, 0);
    uint64_t number = 0;
    enum exit_code code = shard_take_number(&number, command, text);
    if (code) {
        return code;
    }
    const json_t *shards = json_object_get(answer, "shards");
    const json_t *shard = answer_find_number(shards, "shard", (int64_t)number);
    if (!shard) {
        command_say(command, "there is no shard %s: there are %zu, from 0 on",
                    text, json_array_size(shards));
        return EXIT_CODE_FOUND;
    }
    json_t *one = json_array();
    /* Counted, not changed. */
    (void)json_array_append(one, (json_t *)(uintptr_t)shard);
    (void)json_object_set_new(answer, "shards", one);
    return EXIT_CODE_OK;
}

static enum exit_code print_shard(const struct command *command,
                                  const json_t *answer)
{
    FILE *out = command->world->out;
    char replicas[REPLICAS_BYTES];
    char wanted[REPLICAS_BYTES];
    const json_t *shard = answer_item(answer, "shards", 0);
    replicas_text(replicas, shard);
    answer_join(wanted, sizeof wanted, shard, "wanted");
    fprintf(out,
            "Shard       %" PRId64 ", %s\n"
            "Owner       %s\n"
            "Leader      %s, term %" PRId64 "\n"
            "Replicas    %s\n"
            "Wanted      %s\n"
            "Generation  %" PRId64 "; group %" PRId64 "\n"
            "Applied     %" PRId64 ", %s a second\n"
            "Log         %s\n",
            answer_number(shard, "shard"), answer_name(shard, "state"),
            answer_name(shard, "owner"), answer_name(shard, "leader"),
            answer_number(shard, "term"), replicas, wanted,
            answer_number(shard, "generation"),
            answer_number(shard, "shard") + 1, answer_number(shard, "applied"),
            human_count((uint64_t)answer_number(shard, "rate")).text,
            human_size((uint64_t)answer_number(shard, "log_bytes")).text);
    return EXIT_CODE_OK;
}

enum exit_code shard_show_run(const struct command *command)
{
    uint64_t number = 0;
    enum exit_code code =
        shard_take_number(&number, command, command_operand(command, 0));
    return code
               ? code
               : reading_run(command, &(struct reading){.verb = "shard.map",
                                                        .narrow = narrow_to_one,
                                                        .print = print_shard});
}

/* ---- of an actor ---- */

static enum exit_code print_place(const struct command *command,
                                  const json_t *answer)
{
    char replicas[REPLICAS_BYTES];
    answer_join(replicas, sizeof replicas, answer, "replicas");
    fprintf(command->world->out,
            "%s is in shard %" PRId64 ", led by %s (owner %s, replicas %s)\n",
            command_operand(command, 0), answer_number(answer, "shard"),
            answer_name(answer, "leader"), answer_name(answer, "owner"),
            replicas);
    return EXIT_CODE_OK;
}

enum exit_code shard_locate_run(const struct command *command)
{
    struct shard_key key = {0};
    enum exit_code code = shard_take_key(&key, command);
    if (code) {
        return code;
    }
    if (command_has(command, "from-config")) {
        return shard_locate_offline(command);
    }
    json_t *args = json_pack("{s:s%, s:s%}", "type", key.type.data,
                             key.type.length, "id", key.id.data, key.id.length);
    return reading_run(command, &(struct reading){.verb = "shard.locate",
                                                  .args = args,
                                                  .print = print_place});
}
