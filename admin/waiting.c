#include "admin/waiting.h"

#include "admin/interrupt.h"
#include "base/time_units.h"
#include "config/units.h"

#define PAUSE_MS 1000
#define FAILED_MS_MAX 60000 /* of looks that fail: nobody is there any more */

enum exit_code waiting_take_deadline(uint64_t *out_ms,
                                     const struct command *command)
{
    const char *text = command_value(command, "deadline");
    *out_ms = 0;
    if (text && (units_duration(out_ms, text, UNITS_MS) || *out_ms == 0)) {
        return command_misused(
            command, "--deadline: `%.32s`: a time such as 5m is expected",
            text);
    }
    return EXIT_CODE_OK;
}

enum exit_code waiting_open(struct remote **out, const struct command *command)
{
    const struct interrupt *interrupt = command->world->interrupt;
    interrupt->hold(interrupt->context);
    return remote_open(out, command);
}

bool waiting_confirm(const struct command *command, const char *word)
{
    const struct interrupt *interrupt = command->world->interrupt;
    interrupt->release(interrupt->context);
    bool is_so = command_confirm(command, word);
    interrupt->hold(interrupt->context);
    return is_so;
}

static bool may_pass(enum exit_code code)
{
    return code == EXIT_CODE_UNREACHABLE || code == EXIT_CODE_TIMEOUT ||
           code == EXIT_CODE_NO_QUORUM;
}

static enum exit_code end(const struct waiting *waiting,
                          enum exit_code code,
                          const char *why)
{
    fprintf(waiting->command->world->talk, "%s %s\n", why, waiting->goes_on);
    return code;
}

enum exit_code waiting_run(const struct waiting *waiting)
{
    const struct command_world *world = waiting->command->world;
    uint64_t begun_ns = clock_now_ns(world->clock);
    uint64_t pause_ms = waiting->pause_ms > 0 ? waiting->pause_ms : PAUSE_MS;
    uint64_t failed_max = FAILED_MS_MAX / pause_ms; /* in a row */
    for (uint64_t failed = 0;;) {
        struct err_detail why = {{0}};
        bool is_done = false;
        enum exit_code code = waiting->look(waiting->context, &is_done, &why);
        failed = code ? failed + 1 : 0;
        if (code && (!may_pass(code) || failed > failed_max)) {
            if (why.text[0]) {
                command_say(waiting->command, "%s", why.text);
            }
            return code;
        }
        if (is_done) {
            return EXIT_CODE_OK;
        }
        if (waiting->deadline_ms > 0 &&
            (clock_now_ns(world->clock) - begun_ns) / NS_PER_MS >=
                waiting->deadline_ms) {
            return end(waiting, EXIT_CODE_TIMEOUT, "The time is over;");
        }
        if (!world->interrupt->wait(world->interrupt->context, pause_ms)) {
            return end(waiting, EXIT_CODE_PARTIAL, "\nNot waiting any longer;");
        }
    }
}
