#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/reading.h"
#include "admin/store_print.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_BYTES 512
#define JOURNAL_LINES 1024 /* all that there are */

/* ---- both sources in one answer ---- */

/* "shard 17 moves ...", and with `shard` that one alone. */
static bool is_of_shard(const char *text, const char *shard)
{
    size_t length = shard ? strlen(shard) : 0;
    return strncmp(text, "shard ", 6) == 0 &&
           (!shard || (strncmp(text + 6, shard, length) == 0 &&
                       (text[6 + length] == ' ' || text[6 + length] == ':')));
}

static void add_journal(json_t *lines, const json_t *events, const char *shard)
{
    for (size_t i = 0; i < answer_count(events, "lines"); i++) {
        const json_t *line = answer_item(events, "lines", i);
        if (is_of_shard(answer_name(line, "text"), shard)) {
            (void)json_array_append_new(
                lines,
                json_pack("{s:s, s:I, s:s, s:s}", "kind", "journal", "at_ms",
                          (json_int_t)answer_number(line, "at_ms"), "who",
                          answer_name(line, "who"), "text",
                          answer_name(line, "text")));
        }
    }
}

static int by_time(const void *left, const void *right)
{
    int64_t left_ms = answer_number(*(json_t *const *)left, "at_ms");
    int64_t right_ms = answer_number(*(json_t *const *)right, "at_ms");
    return left_ms < right_ms ? -1 : left_ms > right_ms;
}

/* The list in the order of time. */
static enum err sort(json_t *lines)
{
    size_t count = json_array_size(lines);
    json_t **list = calloc(count + 1, sizeof *list);
    if (!list) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = json_incref(json_array_get(lines, i));
    }
    qsort(list, count, sizeof *list, by_time);
    (void)json_array_clear(lines);
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(lines, list[i]);
    }
    free(list);
    return ERR_NONE;
}

static json_t *args_of(const struct command *command)
{
    uint64_t number = 0;
    const char *shard = command_operand(command, 0);
    json_t *args = json_pack("{s:i}", "limit", JOURNAL_LINES);
    if (shard && !shard_take_number(&number, command, shard)) {
        (void)json_object_set_new(args, "shard",
                                  json_integer((json_int_t)number));
    }
    if (command_has(command, "stale")) {
        (void)json_object_set_new(args, "stale", json_true());
    }
    return args;
}

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    scoped(answer_clear) json_t *events = NULL;
    struct remote_question history = {.verb = "shard.history",
                                      .args = args_of(command)};
    struct remote_question journal = {
        .verb = "events",
        .args = json_pack("{s:i, s:b}", "limit", JOURNAL_LINES, "stale",
                          command_has(command, "stale"))};
    enum exit_code code = remote_ask(remote, &history, answer);
    if (code) {
        json_decref(journal.args);
        return code;
    }
    code = remote_ask(remote, &journal, &events);
    if (code) {
        return code;
    }
    json_t *lines = json_object_get(*answer, "lines");
    add_journal(lines, events, command_operand(command, 0));
    enum err err = sort(lines);
    return err ? command_failed(command, err, "the list") : EXIT_CODE_OK;
}

/* ---- for people ---- */

static void print_line(FILE *out, const json_t *line)
{
    char time[STORE_PRINT_TIME_BYTES];
    char from[NAMES_BYTES];
    char to[NAMES_BYTES];
    const char *kind = answer_name(line, "kind");
    store_print_time(time, answer_number(line, "at_ms"));
    if (strcmp(kind, "journal") == 0) {
        fprintf(out, "%s  %s (%s)\n", time, answer_name(line, "text"),
                answer_name(line, "who"));
    } else if (strcmp(kind, "moved") == 0) {
        answer_join(from, sizeof from, line, "from");
        answer_join(to, sizeof to, line, "to");
        fprintf(out,
                "%s  shard %" PRId64 ": from %s to %s, map version %" PRId64
                "\n",
                time, answer_number(line, "shard"), from, to,
                answer_number(line, "map_version"));
    } else {
        fprintf(out,
                "%s  shard %" PRId64 ": led by %s after %s, term %" PRId64 "\n",
                time, answer_number(line, "shard"), answer_name(line, "leader"),
                answer_name(line, "leader_before"),
                answer_number(line, "term"));
    }
}

static enum exit_code print(const struct command *command, const json_t *answer)
{
    FILE *out = command->world->out;
    for (size_t i = 0; i < answer_count(answer, "lines"); i++) {
        print_line(out, answer_item(answer, "lines", i));
    }
    if (answer_count(answer, "lines") == 0) {
        fprintf(out, "Nothing has moved since %s looks.\n",
                answer_name(answer, "node"));
    }
    return EXIT_CODE_OK;
}

enum exit_code shard_history_run(const struct command *command)
{
    uint64_t number = 0;
    const char *shard = command_operand(command, 0);
    enum exit_code code =
        shard ? shard_take_number(&number, command, shard) : EXIT_CODE_OK;
    return code
               ? code
               : reading_run(command, &(struct reading){.verb = "shard.history",
                                                        .fetch = fetch,
                                                        .print = print});
}
