#include "admin/interrupt.h"
#include "admin/nouns.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_inputs.h"
#include "config/identity.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *variable(const char *name)
{
    return getenv(name);
}

/* https://no-color.org: set and not empty. */
static bool wants_color(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return !(no_color && *no_color) && terminal &&
           strcmp(terminal, "dumb") != 0 && isatty(fileno(stream));
}

int main(int argument_count, char **arguments)
{
    /* A full disk or a limit on files is an error to tell, not a signal. */
    (void)signal(SIGXFSZ, SIG_IGN);
    struct command_world world = {.files = posix_files(),
                                  .clock = posix_clock(),
                                  .entropy = posix_entropy(),
                                  .interrupt = interrupt_posix(),
                                  .variable = variable,
                                  .in = stdin,
                                  .inputs = posix_inputs(),
                                  .out = stdout,
                                  .talk = stderr,
                                  .out_is_colored = wants_color(stdout),
                                  .talk_is_colored = wants_color(stderr),
                                  .out_is_terminal = isatty(fileno(stdout)),
                                  .talk_is_terminal = isatty(fileno(stderr))};
    if (identity_library_init()) {
        fprintf(stderr, "troupe: the system has no source of randomness\n");
        return EXIT_CODE_FAILED;
    }
    int code = command_run(&world, nouns_all, argument_count, arguments);
    /* What was not written was not done: "troupe ... > /dev/full". */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "troupe: standard output cannot be written\n");
        return EXIT_CODE_FAILED;
    }
    return code;
}
