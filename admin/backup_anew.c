#include "admin/backup_anew.h"

#include "admin/answer.h"
#include "admin/waiting.h"
#include "base/scope.h"

#include <string.h>

#define DEADLINE_MS 60000 /* until what was begun anew is led */

static enum exit_code look(struct remote *remote,
                           uint32_t shard,
                           json_t **map,
                           const json_t **about,
                           struct err_detail *why)
{
    struct remote_question question = {.verb = "shard.map"};
    enum exit_code code = remote_try(remote, &question, map, why);
    *about =
        code ? NULL
             : answer_find_number(answer_at(*map, "shards"), "shard", shard);
    return code;
}

/* What a node has of it must be known, and be nothing. */
static enum exit_code check_node(const struct command *command,
                                 struct remote *remote,
                                 uint32_t shard,
                                 const char *name)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "coord.replicas", .args = json_pack("{s:s}", "name", name)};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (code) {
        command_say(command,
                    "shard %u has no leader, and what %s has of it is not "
                    "known: `troupe cluster recover` says what can be done",
                    shard, name);
        return EXIT_CODE_REFUSED;
    }
    const json_t *group = answer_find_number(answer_at(answer, "groups"),
                                             "group", (int64_t)shard + 1);
    if (group && !answer_is(group, "lost") && !answer_is(group, "retired") &&
        answer_is(group, "has_state")) {
        command_say(command,
                    "shard %u has no leader, but %s has a replica that can be "
                    "used: wait, or `troupe cluster recover`",
                    shard, name);
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

static enum exit_code recover(struct remote *remote,
                              uint32_t shard,
                              const char *to)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "shard.recover",
        .args = json_pack("{s:I, s:s, s:b, s:b}", "shard", (json_int_t)shard,
                          "to", to, "empty", 1, "force", 1),
        .changes = true};
    return remote_ask(remote, &question, &answer);
}

struct begun {
    struct remote *remote;
    uint32_t shard;
};

static enum exit_code look_for_leader(void *context,
                                      bool *is_done,
                                      struct err_detail *why)
{
    const struct begun *begun = context;
    scoped(answer_clear) json_t *map = NULL;
    const json_t *about = NULL;
    enum exit_code code = look(begun->remote, begun->shard, &map, &about, why);
    *is_done = !code && answer_text(about, "leader");
    return code;
}

static enum exit_code await_leader(const struct command *command,
                                   struct remote *remote,
                                   uint32_t shard)
{
    struct begun begun = {.remote = remote, .shard = shard};
    return waiting_run(
        &(struct waiting){.command = command,
                          .deadline_ms = DEADLINE_MS,
                          .goes_on = "it was begun anew and has no leader yet.",
                          .look = look_for_leader,
                          .context = &begun});
}

enum exit_code backup_anew(const struct command *command,
                           struct remote *remote,
                           uint32_t shard)
{
    scoped(answer_clear) json_t *map = NULL;
    const json_t *about = NULL;
    struct err_detail why = {{0}};
    enum exit_code code = look(remote, shard, &map, &about, &why);
    if (code) {
        command_say(command, "%s", why.text);
        return code;
    }
    if (strcmp(answer_name(about, "state"), "no_leader") != 0) {
        return EXIT_CODE_OK;
    }
    const json_t *wanted = answer_at(about, "wanted");
    for (size_t i = 0; !code && i < json_array_size(wanted); i++) {
        code = check_node(command, remote, shard,
                          json_string_value(json_array_get(wanted, i)));
    }
    if (!code) {
        code = recover(remote, shard, answer_name(about, "owner"));
    }
    if (!code) {
        fprintf(command->world->talk,
                "Shard %u has no replica left: it begins empty on %s.\n", shard,
                answer_name(about, "owner"));
        code = await_leader(command, remote, shard);
    }
    return code;
}
