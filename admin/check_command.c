#include "admin/check_command.h"

#include "admin/answer.h"
#include "admin/health.h"
#include "base/scope.h"
#include "config/units.h"

#include <inttypes.h>
#include <string.h>

/*
 * The form that monitoring systems read, since Nagios: one line, what can be
 * drawn behind a bar, and an exit status of its own.
 */
enum check_status {
    CHECK_OK,
    CHECK_WARNING,
    CHECK_CRITICAL,
    CHECK_UNKNOWN,
};

struct check {
    const struct command *command;
    const char *what; /* "CLUSTER" */
    struct health health;
    char well[256];    /* when nothing was found */
    char figures[256]; /* behind the bar */
};

static enum exit_code print(const struct check *check,
                            enum check_status status,
                            const char *text)
{
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    fprintf(check->command->world->out, "TROUPE %s %s - %s%s%s\n", check->what,
            names[status], text, check->figures[0] ? " | " : "",
            check->figures);
    return (enum exit_code)status;
}

/* All that was found, in one line; the worst decides. */
static enum exit_code tell(const struct check *check)
{
    char text[1024] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < check->health.count && length < sizeof text; i++) {
        int more = snprintf(text + length, sizeof text - length, "%s%s",
                            i > 0 ? "; " : "", check->health.findings[i].what);
        length += more > 0 ? (size_t)more : 0;
    }
    for (char *bar = text; (bar = strchr(bar, '|'));) {
        *bar = '/';
    }
    enum check_status status =
        check->health.grade == HEALTH_CRITICAL  ? CHECK_CRITICAL
        : check->health.grade == HEALTH_WARNING ? CHECK_WARNING
                                                : CHECK_OK;
    return print(check, status, length > 0 ? text : check->well);
}

/* That nobody answers, or there is no majority, is critical; that we cannot
 * even ask is unknown. */
static enum exit_code tell_failure(const struct check *check,
                                   enum exit_code code,
                                   struct err_detail *why)
{
    enum check_status status = code == EXIT_CODE_UNREACHABLE ||
                                       code == EXIT_CODE_NO_QUORUM ||
                                       code == EXIT_CODE_TIMEOUT
                                   ? CHECK_CRITICAL
                                   : CHECK_UNKNOWN;
    why->text[strcspn(why->text, "\n|")] = '\0';
    return print(check, status,
                 why->text[0] ? why->text : exit_code_text(code));
}

static enum exit_code ask(const struct check *check,
                          struct remote_question *question,
                          json_t **answer,
                          struct err_detail *why)
{
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_connect(&remote, check->command, why);
    if (!code) {
        code = remote_try(remote, question, answer, why);
    }
    json_decref(question->args);
    return code;
}

/* ---- the cluster ---- */

static void say_cluster(struct check *check, const json_t *status)
{
    (void)snprintf(check->well, sizeof check->well,
                   "%" PRId64 " of %" PRId64 " members heard, %" PRId64
                   " of %" PRId64 " shards led",
                   answer_number(status, "members.heard"),
                   answer_number(status, "members.total"),
                   answer_number(status, "shards.led"),
                   answer_number(status, "shards.total"));
    (void)snprintf(check->figures, sizeof check->figures,
                   "members=%" PRId64 " heard=%" PRId64 " shards=%" PRId64
                   " led=%" PRId64 " whole=%" PRId64 " moving=%" PRId64,
                   answer_number(status, "members.total"),
                   answer_number(status, "members.heard"),
                   answer_number(status, "shards.total"),
                   answer_number(status, "shards.led"),
                   answer_number(status, "shards.whole"),
                   answer_number(status, "shards.moving"));
}

static enum exit_code cluster_run(const struct command *command)
{
    struct check check = {.command = command, .what = "CLUSTER"};
    struct err_detail why = {0};
    scoped(remote_close) struct remote *remote = NULL;
    scoped(health_facts_clear) struct health_facts facts = {.status = NULL};
    enum exit_code code = remote_connect(&remote, command, &why);
    if (!code) {
        code = health_fetch(&facts, remote, false, &why);
    }
    if (code) {
        return tell_failure(&check, code, &why);
    }
    health_judge(&check.health, &facts);
    say_cluster(&check, facts.status);
    return tell(&check);
}

/* ---- a node ---- */

static enum exit_code node_run(const struct command *command)
{
    struct check check = {.command = command, .what = "NODE"};
    struct err_detail why = {0};
    scoped(answer_clear) json_t *node = NULL;
    struct remote_question question = {
        .verb = "node.show",
        .args = json_pack("{s:s}", "name", command_operand(command, 0))};
    enum exit_code code = ask(&check, &question, &node, &why);
    if (code) {
        return tell_failure(&check, code, &why);
    }
    health_judge_node(&check.health, node);
    (void)snprintf(check.well, sizeof check.well,
                   "%s is %s and leads %" PRId64 " shards",
                   answer_name(node, "name"), answer_name(node, "state"),
                   answer_number(node, "leads"));
    (void)snprintf(check.figures, sizeof check.figures,
                   "owners=%" PRId64 " replicas=%" PRId64 " leads=%" PRId64,
                   answer_number(node, "owners"),
                   answer_number(node, "replicas"),
                   answer_number(node, "leads"));
    return tell(&check);
}

/* ---- shards ---- */

static enum exit_code tell_shard(struct check *check,
                                 const json_t *map,
                                 uint64_t number)
{
    const json_t *shard = answer_find_number(json_object_get(map, "shards"),
                                             "shard", (int64_t)number);
    if (!shard) {
        return print(check, CHECK_UNKNOWN, "there is no such shard");
    }
    health_judge_shard(&check->health, shard);
    (void)snprintf(check->well, sizeof check->well,
                   "shard %" PRIu64 " is led by %s", number,
                   answer_name(shard, "leader"));
    (void)snprintf(check->figures, sizeof check->figures,
                   "rate=%" PRId64 " log=%" PRId64 "B",
                   answer_number(shard, "rate"),
                   answer_number(shard, "log_bytes"));
    return tell(check);
}

static enum exit_code tell_shards(struct check *check, const json_t *map)
{
    health_judge_shards(&check->health, map);
    (void)snprintf(check->well, sizeof check->well,
                   "all %zu shards are led and whole",
                   answer_count(map, "shards"));
    (void)snprintf(check->figures, sizeof check->figures,
                   "shards=%zu moving=%" PRId64, answer_count(map, "shards"),
                   answer_number(map, "moving"));
    return tell(check);
}

static enum exit_code shard_run(const struct command *command)
{
    struct check check = {.command = command, .what = "SHARD"};
    struct err_detail why = {0};
    uint64_t number = 0;
    const char *text = command_operand(command, 0);
    scoped(answer_clear) json_t *map = NULL;
    struct remote_question question = {.verb = "shard.map"};
    if (text && units_number(&number, text)) {
        return print(&check, CHECK_UNKNOWN, "SHARD is a number from 0 on");
    }
    enum exit_code code = ask(&check, &question, &map, &why);
    if (code) {
        return tell_failure(&check, code, &why);
    }
    return text ? tell_shard(&check, map, number) : tell_shards(&check, map);
}

static const struct command_flag flags[] = {REMOTE_FLAGS, {0}};

static const struct command_verb verbs[] = {
    {.name = "cluster",
     .operands = "",
     .summary = "Check the cluster as a whole, in one line.\nExit status: 0 "
                "OK, 1 warning, 2 critical, 3 unknown.",
     .examples = {"troupe check cluster", "troupe check cluster --timeout 5s",
                  "troupe check cluster --config /etc/troupe/cluster.yaml "
                  "--as monitor"},
     .flags = flags,
     .run = cluster_run},
    {.name = "node",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Check one node, as the others see it, in one line.\nExit "
                "status: 0 OK, 1 warning, 2 critical, 3 unknown.",
     .examples = {"troupe check node alpha",
                  "troupe check node alpha --node beta",
                  "troupe check node alpha --timeout 5s"},
     .flags = flags,
     .run = node_run},
    {.name = "shard",
     .operands = "[SHARD]",
     .operand_count_max = 1,
     .summary = "Check one shard or all of them, in one line.\nExit status: 0 "
                "OK, 1 warning, 2 critical, 3 unknown.",
     .examples = {"troupe check shard", "troupe check shard 17",
                  "troupe check shard --timeout 5s"},
     .flags = flags,
     .run = shard_run},
    {0}};

const struct command_noun check_command = {
    .name = "check",
    .summary = "Checks for a monitoring system: one line, and an exit status "
               "of their own.\n0 OK, 1 warning, 2 critical, 3 unknown.",
    .verbs = verbs,
    .misuse_code = CHECK_UNKNOWN,
};
