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
#define STATE_BYTES 128
#define TOP_DEFAULT 10

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

static const struct table_column columns[] = {
    {"SHARD", true},   {"OWNER", false}, {"LEADER", false},   {"STATE", false},
    {"GEN", true},     {"TERM", true},   {"RATE", true},      {"LOG", true},
    {"APPLIED", true}, {"MOVED", true},  {"REPLICAS", false}, {0}};

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

/* "moving 40 %, 3 s" */
static void state_text(char to[static STATE_BYTES], const json_t *shard)
{
    char percent[32] = "";
    char left[48] = "";
    if (answer_has_number(shard, "percent")) {
        (void)snprintf(percent, sizeof percent, " %" PRId64 " %%",
                       answer_number(shard, "percent"));
    }
    if (answer_has_number(shard, "left_ms")) {
        (void)snprintf(
            left, sizeof left, ", %s",
            human_span((uint64_t)answer_number(shard, "left_ms")).text);
    }
    (void)snprintf(to, STATE_BYTES, "%.32s%s%s", answer_name(shard, "state"),
                   percent, left);
}

static void add_shard(struct table *table, const json_t *shard, int64_t now_ms)
{
    char replicas[REPLICAS_BYTES];
    char state_with[STATE_BYTES];
    const char *state = answer_name(shard, "state");
    state_text(state_with, shard);
    const char *leader = answer_text(shard, "leader");
    replicas_text(replicas, shard);
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "shard"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(shard, "owner"));
    table_cell(table, leader ? TABLE_PLAIN : TABLE_BAD, "%s",
               leader ? leader : "-");
    table_cell(table, tone_of(state), "%s", state_with);
    table_cell(table, TABLE_PLAIN, "%" PRId64,
               answer_number(shard, "generation"));
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "term"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_count((uint64_t)answer_number(shard, "rate")).text);
    table_cell(table, TABLE_PLAIN, "%s",
               human_size((uint64_t)answer_number(shard, "log_bytes")).text);
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(shard, "applied"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_ago(now_ms, answer_number(shard, "moved_ms")).text);
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
    if (answer_count(answer, "nodes_without_version") > 0) {
        char names[REPLICAS_BYTES];
        answer_join(names, sizeof names, answer, "nodes_without_version");
        fprintf(out, "Not on: %s\n", names);
    }
}

static enum exit_code print_shards(const struct command *command,
                                   const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "shards"); i++) {
        add_shard(table, answer_item(answer, "shards", i),
                  clock_wall_ms(world->clock));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code print_map(const struct command *command,
                                const json_t *answer)
{
    enum exit_code code = print_shards(command, answer);
    if (!code) {
        print_summary(command->world->out, answer);
    }
    return code;
}

/* Written as a whole or not at all. */
enum exit_code shard_plot_map(const struct command *command, json_t *answer)
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
    if (command_has(command, "from-config")) {
        return shard_map_offline(command);
    }
    return reading_run(command, &(struct reading){.verb = "shard.map",
                                                  .narrow = shard_plot_map,
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
        return EXIT_CODE_USAGE;
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
    char from[REPLICAS_BYTES];
    const json_t *shard = answer_item(answer, "shards", 0);
    char state[STATE_BYTES];
    replicas_text(replicas, shard);
    state_text(state, shard);
    answer_join(wanted, sizeof wanted, shard, "wanted");
    answer_join(from, sizeof from, shard, "moved_from");
    fprintf(out,
            "Shard       %" PRId64 ", %s\n"
            "Owner       %s\n"
            "Leader      %s, term %" PRId64 "\n"
            "Replicas    %s\n"
            "Wanted      %s\n"
            "Generation  %" PRId64 "; group %" PRId64 "\n"
            "Applied     %" PRId64 ", %s a second\n"
            "Log         %s\n",
            answer_number(shard, "shard"), state, answer_name(shard, "owner"),
            answer_name(shard, "leader"), answer_number(shard, "term"),
            replicas, wanted, answer_number(shard, "generation"),
            answer_number(shard, "shard") + 1, answer_number(shard, "applied"),
            human_count((uint64_t)answer_number(shard, "rate")).text,
            human_size((uint64_t)answer_number(shard, "log_bytes")).text);
    if (answer_has_number(shard, "moved_ms")) {
        fprintf(out, "Moved       %s, from %s\n",
                human_ago(clock_wall_ms(command->world->clock),
                          answer_number(shard, "moved_ms"))
                    .text,
                from);
    }
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

/* ---- those with the most of something ---- */

static int by_rate(const void *left, const void *right)
{
    int64_t left_rate = answer_number(*(json_t *const *)left, "rate");
    int64_t right_rate = answer_number(*(json_t *const *)right, "rate");
    return left_rate < right_rate ? 1 : -(left_rate > right_rate);
}

static int by_size(const void *left, const void *right)
{
    int64_t left_bytes = answer_number(*(json_t *const *)left, "log_bytes");
    int64_t right_bytes = answer_number(*(json_t *const *)right, "log_bytes");
    return left_bytes < right_bytes ? 1 : -(left_bytes > right_bytes);
}

struct hot {
    uint64_t top;
    int (*order)(const void *left, const void *right);
};

static enum exit_code take_hot(struct hot *hot, const struct command *command)
{
    const char *by = command_value(command, "by");
    const char *top = command_value(command, "top");
    bool is_by_size = by && strcmp(by, "size") == 0;
    *hot = (struct hot){.top = TOP_DEFAULT,
                        .order = is_by_size ? by_size : by_rate};
    if (by && !is_by_size && strcmp(by, "rate") != 0) {
        return command_misused(command, "--by: `%.32s`: rate or size", by);
    }
    if (top && (units_number(&hot->top, top) || hot->top == 0)) {
        return command_misused(command, "--top: `%.32s`: a number from 1 on",
                               top);
    }
    return EXIT_CODE_OK;
}

static enum exit_code narrow_to_hot(const struct command *command,
                                    json_t *answer)
{
    struct hot hot;
    json_t *shards = json_object_get(answer, "shards");
    size_t count = json_array_size(shards);
    json_t **list = calloc(count + 1, sizeof *list);
    enum exit_code code = take_hot(&hot, command);
    if (code || !list) {
        free(list);
        return code ? code : command_failed(command, ERR_MEMORY, "the list");
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = json_array_get(shards, i);
    }
    qsort(list, count, sizeof *list, hot.order);
    json_t *hottest = json_array();
    for (size_t i = 0; i < count && i < hot.top; i++) {
        (void)json_array_append(hottest, list[i]);
    }
    free(list);
    (void)json_object_set_new(answer, "shards", hottest);
    return EXIT_CODE_OK;
}

enum exit_code shard_hot_run(const struct command *command)
{
    struct hot hot;
    enum exit_code code = take_hot(&hot, command);
    return code
               ? code
               : reading_run(command, &(struct reading){.verb = "shard.map",
                                                        .narrow = narrow_to_hot,
                                                        .print = print_shards});
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
