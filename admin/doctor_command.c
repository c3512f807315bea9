#include "admin/doctor_command.h"

#include "admin/health.h"
#include "admin/table.h"
#include "base/scope.h"

static void print_finding(const struct command *command,
                          const struct health_finding *finding)
{
    FILE *out = command->world->out;
    bool is_colored = command->world->out_is_colored;
    bool is_critical = finding->grade == HEALTH_CRITICAL;
    enum table_tone tone = is_critical ? TABLE_BAD : TABLE_WARNING;
    fprintf(out, "\n%s%s%s  %s\n          %s\n          Next: %s\n",
            table_tone_begin(tone, is_colored),
            is_critical ? "critical" : "warning ",
            table_tone_end(tone, is_colored), finding->what, finding->means,
            finding->next);
}

static void print_step(const struct command *command,
                       const char *what,
                       uint32_t found)
{
    FILE *out = command->world->out;
    bool is_colored = command->world->out_is_colored;
    enum table_tone tone = found > 0 ? TABLE_WARNING : TABLE_GOOD;
    fprintf(out, "%s%s%s  %s\n", table_tone_begin(tone, is_colored),
            found > 0 ? "look" : "ok  ", table_tone_end(tone, is_colored),
            what);
}

/* One check after the other, each with whether it found something. */
static void examine(const struct command *command,
                    struct health *health,
                    const struct health_facts *facts)
{
    uint32_t before = health->count;
    health_judge_meta(health, facts->status);
    print_step(command, "the meta group has a leader and all its voters",
               health->count - before);
    before = health->count;
    health_judge_nodes(health, facts->nodes);
    print_step(command, "all nodes are up, heard by all, and agree on the view",
               health->count - before);
    before = health->count;
    health_judge_shards(health, facts->map);
    print_step(command, "every shard is led by its owner, with whole replicas",
               health->count - before);
}

/* What a failure to get in usually means. */
static enum exit_code tell_failure(const struct command *command,
                                   enum exit_code code,
                                   const struct err_detail *why)
{
    static const struct {
        enum exit_code code;
        const char *next;
    } advice[] = {
        {EXIT_CODE_USAGE, "troupe context ls"},
        {EXIT_CODE_FOUND, "troupe config check FILE"},
        {EXIT_CODE_UNREACHABLE,
         "is trouped running there (systemctl status trouped), and its door "
         "open from here?"},
        {EXIT_CODE_DENIED, "troupe key ls"},
        {EXIT_CODE_NO_QUORUM, "troupe cluster members --stale --node NODE"},
        {EXIT_CODE_TIMEOUT, "troupe doctor --timeout 60s"},
    };
    FILE *out = command->world->out;
    print_step(command, "the cluster can be asked", 1);
    fprintf(out, "\n%s\n          %s\n",
            why->text[0] ? why->text : exit_code_text(code),
            exit_code_text(code));
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) {
        if (advice[i].code == code) {
            fprintf(out, "          Next: %s\n", advice[i].next);
        }
    }
    return code;
}

static enum exit_code conclude(const struct command *command,
                               const struct health *health,
                               bool is_stale)
{
    FILE *out = command->world->out;
    for (uint32_t i = 0; i < health->count; i++) {
        print_finding(command, &health->findings[i]);
    }
    if (health->count == HEALTH_FINDING_COUNT_MAX) {
        fprintf(out, "\nThere may be more.\n");
    }
    if (health->count == 0 && !is_stale) {
        fprintf(out, "\nNothing is wrong.\n");
    }
    return health->count > 0 || is_stale ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

/* Without a majority: what one node knows by itself. */
static enum exit_code fetch(struct health_facts *facts,
                            const struct command *command,
                            struct remote *remote,
                            bool *out_is_stale,
                            struct err_detail *why)
{
    enum exit_code code = health_fetch(facts, remote, false, why);
    if (code != EXIT_CODE_NO_QUORUM) {
        return code;
    }
    fprintf(command->world->out,
            "look  %s\n      What follows is what %s knows by itself.\n",
            why->text, remote_node(remote));
    health_facts_clear(facts);
    *out_is_stale = true;
    return health_fetch(facts, remote, true, why);
}

static enum exit_code doctor_run(const struct command *command)
{
    struct err_detail why = {0};
    bool is_stale = false;
    struct health health = {.count = 0};
    scoped(remote_close) struct remote *remote = NULL;
    scoped(health_facts_clear) struct health_facts facts = {.status = NULL};
    enum exit_code code = remote_connect(&remote, command, &why);
    if (!code) {
        code = fetch(&facts, command, remote, &is_stale, &why);
    }
    if (code) {
        return tell_failure(command, code, &why);
    }
    print_step(command, "the cluster can be asked", 0);
    examine(command, &health, &facts);
    return conclude(command, &health, is_stale);
}

static const struct command_flag flags[] = {REMOTE_FLAGS, {0}};

static const struct command_verb verbs[] = {
    {.name = "doctor",
     .operands = "",
     .summary = "Check the cluster, explain what is found, and name the next "
                "command.\nExit status 1 when something is wrong.",
     .examples = {"troupe doctor", "troupe doctor --node beta",
                  "troupe doctor --config cluster.yaml"},
     .flags = flags,
     .run = doctor_run},
    {0}};

const struct command_noun doctor_command = {
    .name = "doctor",
    .summary = "What is wrong with the cluster, and what to do.\nChanges "
               "nothing.",
    .verbs = verbs,
    .is_verb = true,
};
