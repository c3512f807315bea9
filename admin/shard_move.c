#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/op_follow.h"
#include "admin/reading.h"
#include "base/scope.h"

#include <inttypes.h>

/* ---- moving one ---- */

struct move {
    const struct command *command;
    struct remote *remote;
    const char *text; /* the shard, as it was typed */
    uint64_t shard;
    const char *to;
};

/* Where it is now, and what would become of it. */
static enum exit_code print_move(const struct move *move)
{
    char wanted[512];
    scoped(answer_clear) json_t *map = NULL;
    struct remote_question question = {.verb = "shard.map"};
    enum exit_code code = remote_ask(move->remote, &question, &map);
    if (code) {
        return code;
    }
    const json_t *shard = answer_find_number(json_object_get(map, "shards"),
                                             "shard", (int64_t)move->shard);
    if (!shard) {
        command_say(move->command,
                    "there is no shard %s: there are %zu, from 0 on",
                    move->text, answer_count(map, "shards"));
        return EXIT_CODE_USAGE;
    }
    answer_join(wanted, sizeof wanted, shard, "wanted");
    fprintf(move->command->world->talk,
            "Shard %" PRIu64 " is owned by %s, led by %s; it shall stand on "
            "%s.\n%s becomes its owner.\n",
            move->shard, answer_name(shard, "owner"),
            answer_name(shard, "leader"), wanted, move->to);
    return EXIT_CODE_OK;
}

static enum exit_code ask_move(const struct move *move,
                               bool is_dry,
                               json_t **answer)
{
    bool is_forced = command_has(move->command, "force");
    struct remote_question question = {
        .verb = "shard.move",
        .args =
            json_pack("{s:I, s:s, s:b, s:b}", "shard", (json_int_t)move->shard,
                      "to", move->to, "force", is_forced, "dry_run", is_dry),
        .changes = true};
    return remote_ask(move->remote, &question, answer);
}

/* Whether it would be refused is said before anybody is asked. */
static enum exit_code check_move(const struct move *move)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = print_move(move);
    return code ? code : ask_move(move, true, &answer);
}

static enum exit_code carry_out(const struct move *move)
{
    char id[OP_ID_BYTES];
    FILE *talk = move->command->world->talk;
    scoped(answer_clear) json_t *answer = NULL;
    (void)snprintf(id, sizeof id, "move-%" PRIu64, move->shard);
    enum exit_code code = ask_move(move, false, &answer);
    if (code) {
        return code;
    }
    fprintf(talk, "Shard %" PRIu64 " moves from %s to %s.\n", move->shard,
            answer_name(answer, "from"), answer_name(answer, "to"));
    if (!answer_is(answer, "paused")) {
        fprintf(talk, "Rebalancing may move it again: `troupe shard pause` "
                      "stops that.\n");
    }
    return op_begun(move->command, move->remote, id);
}

enum exit_code shard_move_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    struct move move = {.command = command,
                        .text = command_operand(command, 0),
                        .to = command_value(command, "to")};
    uint64_t deadline_ms = 0; /* read again when it is needed */
    enum exit_code code = shard_take_number(&move.shard, command, move.text);
    if (!code) {
        code = waiting_take_deadline(&deadline_ms, command);
    }
    if (!code && !move.to) {
        code = command_misused(command, "where to? Give --to NODE");
    }
    if (!code) {
        code = waiting_open(&remote, command);
    }
    move.remote = remote;
    if (!code) {
        code = check_move(&move);
    }
    if (code) {
        return code;
    }
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    return waiting_confirm(command, move.text) ? carry_out(&move)
                                               : EXIT_CODE_REFUSED;
}

enum exit_code shard_cancel_run(const struct command *command)
{
    char id[OP_ID_BYTES];
    uint64_t shard = 0;
    enum exit_code code =
        shard_take_number(&shard, command, command_operand(command, 0));
    (void)snprintf(id, sizeof id, "move-%" PRIu64, shard);
    return code ? code : op_cancel(command, id);
}

/* ---- all of them ---- */

static enum exit_code ask_rebalance(struct remote *remote,
                                    bool is_dry,
                                    json_t **answer)
{
    struct remote_question question = {
        .verb = "shard.rebalance",
        .args = json_pack("{s:b}", "dry_run", is_dry),
        .changes = !is_dry};
    return remote_ask(remote, &question, answer);
}

static enum exit_code tell(const struct command *command, json_t *answer)
{
    enum exit_code code = EXIT_CODE_OK;
    if (command_has(command, "json")) {
        return reading_print_json(command, "shard.rebalance",
                                  json_incref(answer));
    }
    code = shard_print_plan(command, answer);
    return code == EXIT_CODE_FOUND ? EXIT_CODE_OK : code;
}

static enum exit_code rebalance(struct remote *remote,
                                const struct command *command)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = ask_rebalance(remote, false, &answer);
    if (!code && command_has(command, "json")) {
        code = tell(command, answer);
    } else if (!code) {
        fprintf(command->world->talk,
                "Shards move now; `troupe shard map --watch` shows it.\n");
    }
    const char *id = answer_text(answer, "op");
    return code || !id ? code : op_begun(command, remote, id);
}

enum exit_code shard_rebalance_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    scoped(answer_clear) json_t *plan = NULL;
    bool is_dry = command_has(command, "dry-run");
    bool is_silent = command_has(command, "json") && !is_dry;
    uint64_t deadline_ms = 0; /* read again when it is needed */
    enum exit_code code = waiting_take_deadline(&deadline_ms, command);
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (!code) {
        code = ask_rebalance(remote, true, &plan);
    }
    if (!code && !is_silent) {
        code = tell(command, plan);
    }
    if (code) {
        return code;
    }
    if (command_is_dry(command)) {
        return shard_judge_plan(command, plan);
    }
    return waiting_confirm(command, "rebalance") ? rebalance(remote, command)
                                                 : EXIT_CODE_REFUSED;
}

/* ---- pausing ---- */

static enum exit_code set_pause(const struct command *command,
                                const char *verb,
                                const char *text)
{
    scoped(remote_close) struct remote *remote = NULL;
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {.verb = verb, .changes = true};
    enum exit_code code = remote_open(&remote, command);
    if (!code) {
        code = remote_ask(remote, &question, &answer);
    }
    if (!code) {
        fprintf(command->world->talk, "%s\n", text);
    }
    return code;
}

enum exit_code shard_pause_run(const struct command *command)
{
    return set_pause(command, "shard.pause",
                     "Shards stay where they are, but for those of nodes that "
                     "are down. `troupe shard resume` ends it.");
}

enum exit_code shard_resume_run(const struct command *command)
{
    return set_pause(command, "shard.resume",
                     "Shards move again to where they belong.");
}
