#include "admin/node_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/interrupt.h"
#include "admin/remote.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/units.h"

#include <inttypes.h>
#include <string.h>

#define LOOK_MS 1000
#define FAILED_LOOKS_MAX 60 /* in a row: then nobody is there any more */

/* ---- setting a node's state ---- */

static enum exit_code set_state(struct remote *remote,
                                const struct command *command,
                                const char *state,
                                bool is_forced)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "node.set",
        .args =
            json_pack("{s:s, s:s, s:b}", "name", command_operand(command, 0),
                      "state", state, "force", is_forced),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code) {
        fprintf(command->world->talk, "%s is %s.\n",
                command_operand(command, 0), answer_name(answer, "state"));
    }
    return code;
}

static enum exit_code set_alone(const struct command *command,
                                const char *state,
                                bool is_forced)
{
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    return code ? code : set_state(remote, command, state, is_forced);
}

enum exit_code node_cordon_run(const struct command *command)
{
    return set_alone(command, "cordoned", command_has(command, "force"));
}

enum exit_code node_uncordon_run(const struct command *command)
{
    return set_alone(command, "active", false);
}

/* ---- waiting until it is empty ---- */

struct drain {
    const struct command *command;
    struct remote *remote;
    const char *name;
    uint64_t begun_ns;
    uint64_t deadline_ms; /* 0: none */
    int64_t left_at_begin;
    int64_t left_said; /* -1: nothing yet */
    int64_t staying_said;
    uint32_t failed_looks;
};

static uint64_t elapsed_ms(const struct drain *drain)
{
    const struct clock *clock = drain->command->world->clock;
    return (clock_now_ns(clock) - drain->begun_ns) / NS_PER_MS;
}

/* "37 shards owned, 112 replicas left, 12.5 a second, 9 s to go" */
static void say_progress(struct drain *drain, const json_t *progress)
{
    FILE *talk = drain->command->world->talk;
    int64_t left = answer_number(progress, "replicas_left");
    int64_t done = drain->left_at_begin - left;
    uint64_t ms = elapsed_ms(drain);
    if (left == drain->left_said) {
        return;
    }
    drain->left_said = left;
    fprintf(talk, "%s: %" PRId64 " shards owned, %" PRId64 " replicas left",
            drain->name, answer_number(progress, "owners_left"), left);
    if (done > 0 && left > 0 && ms > 0) {
        double rate = (double)done / (double)ms; /* per ms */
        fprintf(talk, ", %" PRId64 " %%, %s a second, %s to go",
                100 * done / drain->left_at_begin,
                human_real(rate * (double)MS_PER_S).text,
                human_span((uint64_t)((double)left / rate)).text);
    }
    fputc('\n', talk);
    (void)fflush(talk);
}

/* Else who waits would see a drain that has stopped, and not why. */
static void say_staying(struct drain *drain, const json_t *progress)
{
    FILE *talk = drain->command->world->talk;
    int64_t staying = answer_number(progress, "staying");
    if (staying > 0 && staying != drain->staying_said) {
        fprintf(talk,
                "%s: %" PRId64 " shards keep a replica here until there is "
                "another node for it: the drain waits for one.\n",
                drain->name, staying);
        (void)fflush(talk);
    }
    drain->staying_said = staying;
}

static bool is_empty(const json_t *progress)
{
    return answer_has_number(progress, "replicas_left") &&
           answer_number(progress, "replicas_left") == 0 &&
           answer_number(progress, "owners_left") == 0 &&
           !answer_is(progress, "voter");
}

/* That it fails now and then, as leaders change, ends nothing. */
static enum exit_code look(struct drain *drain, bool *out_is_empty)
{
    scoped(answer_clear) json_t *progress = NULL;
    struct err_detail why = {0};
    json_t *args = json_pack("{s:s}", "name", drain->name);
    struct remote_question question = {.verb = "node.progress", .args = args};
    enum exit_code code = remote_try(drain->remote, &question, &progress, &why);
    json_decref(args);
    if (code) {
        bool may_pass = code == EXIT_CODE_UNREACHABLE ||
                        code == EXIT_CODE_TIMEOUT ||
                        code == EXIT_CODE_NO_QUORUM;
        if (may_pass && drain->failed_looks++ < FAILED_LOOKS_MAX) {
            return EXIT_CODE_OK;
        }
        command_say(drain->command, "%s", why.text);
        return code;
    }
    drain->failed_looks = 0;
    if (drain->left_at_begin == 0) {
        drain->left_at_begin = answer_number(progress, "replicas_left");
    }
    say_progress(drain, progress);
    say_staying(drain, progress);
    *out_is_empty = is_empty(progress);
    if (strcmp(answer_name(progress, "state"), "draining") != 0 &&
        !*out_is_empty) {
        command_say(drain->command, "%s is %s: somebody has ended the draining",
                    drain->name, answer_name(progress, "state"));
        return EXIT_CODE_PARTIAL;
    }
    return EXIT_CODE_OK;
}

static void say_it_goes_on(const struct drain *drain, const char *why)
{
    fprintf(drain->command->world->talk,
            "%s %s goes on draining: `troupe node drain %s` shows it again, "
            "`troupe node uncordon %s` ends it.\n",
            why, drain->name, drain->name, drain->name);
}

static enum exit_code follow(struct drain *drain)
{
    const struct interrupt *interrupt = drain->command->world->interrupt;
    for (;;) {
        bool is_done = false;
        enum exit_code code = look(drain, &is_done);
        if (code) {
            return code;
        }
        if (is_done) {
            fprintf(drain->command->world->talk,
                    "%s is empty: it can be stopped. `troupe cluster forget "
                    "%s` if it does not come back.\n",
                    drain->name, drain->name);
            return EXIT_CODE_OK;
        }
        if (drain->deadline_ms > 0 && elapsed_ms(drain) >= drain->deadline_ms) {
            say_it_goes_on(drain, "The time is over;");
            return EXIT_CODE_TIMEOUT;
        }
        if (!interrupt->wait(interrupt->context, LOOK_MS)) {
            say_it_goes_on(drain, "\nNot waiting any longer;");
            return EXIT_CODE_PARTIAL;
        }
    }
}

/* ---- draining ---- */

static enum exit_code take_deadline(struct drain *drain)
{
    const char *text = command_value(drain->command, "deadline");
    if (text && (units_duration(&drain->deadline_ms, text, UNITS_MS) ||
                 drain->deadline_ms == 0)) {
        return command_misused(drain->command,
                               "--deadline: `%.32s`: a time such as 5m is "
                               "expected",
                               text);
    }
    return EXIT_CODE_OK;
}

/* What it holds, and where that would go. */
static enum exit_code print_plan(const struct drain *drain)
{
    scoped(answer_clear) json_t *node = NULL;
    scoped(answer_clear) json_t *plan = NULL;
    struct remote_question ask_node = {
        .verb = "node.show", .args = json_pack("{s:s}", "name", drain->name)};
    struct remote_question ask_plan = {
        .verb = "shard.plan",
        .args = json_pack("{s:[s]}", "remove", drain->name)};
    enum exit_code code = remote_ask(drain->remote, &ask_node, &node);
    if (code) {
        json_decref(ask_plan.args);
        return code;
    }
    code = remote_ask(drain->remote, &ask_plan, &plan);
    if (!code) {
        fprintf(drain->command->world->talk,
                "%s is %s; it owns %" PRId64 " shards and holds %" PRId64
                " replicas. %zu shards would change; then a node owns %" PRId64
                " at most.\n",
                drain->name, answer_name(node, "state"),
                answer_number(node, "owners"), answer_number(node, "replicas"),
                answer_count(plan, "moves"),
                answer_number(plan, "balance_after.owners_max"));
        if (answer_count(plan, "moves") == 0 &&
            answer_number(node, "replicas") > 0) {
            fprintf(drain->command->world->talk,
                    "No other node can take them: it stays full until there "
                    "are as many others as a shard has replicas.\n");
        }
    }
    return code;
}

/* Whoever is asked may end it with Ctrl-C. */
static bool confirm(const struct command *command, const char *name)
{
    const struct interrupt *interrupt = command->world->interrupt;
    interrupt->release(interrupt->context);
    bool is_so = command_confirm(command, name);
    interrupt->hold(interrupt->context);
    return is_so;
}

static enum exit_code drain_node(struct drain *drain)
{
    const struct command *command = drain->command;
    enum exit_code code = print_plan(drain);
    if (code) {
        return code;
    }
    if (command_has(command, "dry-run")) {
        fprintf(command->world->talk, "Nothing was done: --dry-run.\n");
        return EXIT_CODE_OK;
    }
    if (!confirm(command, drain->name)) {
        return EXIT_CODE_REFUSED;
    }
    code = set_state(drain->remote, command, "draining",
                     command_has(command, "force"));
    if (code || command_has(command, "detach")) {
        return code;
    }
    drain->begun_ns = clock_now_ns(command->world->clock);
    return follow(drain);
}

enum exit_code node_drain_run(const struct command *command)
{
    const struct interrupt *interrupt = command->world->interrupt;
    scoped(remote_close) struct remote *remote = NULL;
    struct drain drain = {.command = command,
                          .name = command_operand(command, 0),
                          .left_said = -1};
    enum exit_code code = take_deadline(&drain);
    if (code) {
        return code;
    }
    interrupt->hold(interrupt->context);
    code = remote_open(&remote, command);
    drain.remote = remote;
    return code ? code : drain_node(&drain);
}
