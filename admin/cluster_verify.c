#include "admin/cluster_verbs.h"

#include "admin/answer.h"
#include "admin/health.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <string.h>

/* What was found, as an answer: so both forms tell it. */
static json_t *answer_of(const struct health *health,
                         const struct health_facts *facts)
{
    json_t *findings = json_array();
    for (uint32_t i = 0; i < health->count; i++) {
        const struct health_finding *finding = &health->findings[i];
        (void)json_array_append_new(
            findings, json_pack("{s:s, s:s, s:s}", "grade",
                                finding->grade == HEALTH_CRITICAL ? "critical"
                                                                  : "warning",
                                "what", finding->what, "next", finding->next));
    }
    return json_pack("{s:i, s:O*, s:O*, s:b, s:o}", "v", 1, "node",
                     json_object_get(facts->status, "node"), "view",
                     json_object_get(facts->status, "view"), "is_well",
                     health->count == 0, "findings", findings);
}

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    struct err_detail why = {0};
    struct health health = {.count = 0};
    scoped(health_facts_clear) struct health_facts facts = {.status = NULL};
    enum exit_code code =
        health_fetch(&facts, remote, command_has(command, "stale"), &why);
    if (code) {
        command_say(command, "%s", why.text);
        return code;
    }
    health_judge(&health, &facts);
    if (!command_has(command, "stale")) {
        health_judge_agreement(&health, remote, &facts);
    }
    *answer = answer_of(&health, &facts);
    return *answer ? EXIT_CODE_OK
                   : command_failed(command, ERR_MEMORY, "the judgement");
}

static enum exit_code judge(const struct command *command, const json_t *answer)
{
    (void)command;
    return answer_is(answer, "is_well") ? EXIT_CODE_OK : EXIT_CODE_FOUND;
}

static enum exit_code print(const struct command *command, const json_t *answer)
{
    FILE *out = command->world->out;
    bool is_colored = command->world->out_is_colored;
    for (size_t i = 0; i < answer_count(answer, "findings"); i++) {
        const json_t *finding = answer_item(answer, "findings", i);
        bool is_bad = strcmp(answer_name(finding, "grade"), "critical") == 0;
        enum table_tone tone = is_bad ? TABLE_BAD : TABLE_WARNING;
        fprintf(out, "%s%s:%s %s\n", table_tone_begin(tone, is_colored),
                answer_name(finding, "grade"), table_tone_end(tone, is_colored),
                answer_name(finding, "what"));
    }
    if (answer_is(answer, "is_well")) {
        fprintf(out,
                "%sAll is well%s: every shard is led, all replicas are whole, "
                "all nodes agree.\n",
                table_tone_begin(TABLE_GOOD, is_colored),
                table_tone_end(TABLE_GOOD, is_colored));
    }
    return judge(command, answer);
}

enum exit_code cluster_verify_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "cluster.verify",
                                                  .fetch = fetch,
                                                  .print = print,
                                                  .judge = judge});
}
