/*
 * troupe-runner: the program that a node starts to run commands and plug-ins
 * in (base/posix/posix_spawner.h). Nobody else starts it.
 */

#include "base/posix/posix_helper.h"
#include "base/posix/posix_spawner.h"
#include "node/plugin_host.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **values)
{
    static const struct posix_spawner_host host = {.run = plugin_host_run};
    const char *option = count == 2 ? values[1] : "";
    if (strcmp(option, "--version") == 0) {
        printf("troupe-runner %s\n", TROUPE_VERSION);
        return 0;
    }
    if (strcmp(option, "--serve") == 0) {
        return posix_spawner_run(POSIX_HELPER_FD, &host);
    }
    fputs("troupe-runner runs tasks for a node, which starts it; there is "
          "nothing to do\nfor you. See `trouped --help`.\n",
          stderr);
    return strcmp(option, "--help") == 0 ? 0 : 64;
}
