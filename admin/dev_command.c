#include "admin/dev_command.h"

#include "admin/context.h"
#include "base/posix/posix_children.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_folder.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/founding.h"
#include "config/units.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CONTEXT "dev" /* that it is remembered as */
#define NODES_DEFAULT 3
#define NODES_MAX 9
#define READY_MS 30000
#define LEAVE_MS 15000
#define PATH_BYTES 4096

struct dev {
    const struct command *command;
    uint32_t node_count;
    char folder[PATH_BYTES];
    bool is_temporary;
    char program[PATH_BYTES]; /* trouped */
    struct founding_host hosts[NODES_MAX];
    struct posix_children *children;
};

static enum exit_code parse(struct dev *dev)
{
    const struct command *command = dev->command;
    const char *text = command_value(command, "nodes");
    uint64_t count = NODES_DEFAULT;
    if (text &&
        (units_number(&count, text) || count < 1 || count > NODES_MAX)) {
        return command_misused(command, "--nodes: `%s`: 1 to %d", text,
                               NODES_MAX);
    }
    dev->node_count = (uint32_t)count;
    for (uint32_t i = 0; i < dev->node_count; i++) {
        (void)snprintf(dev->hosts[i].name, sizeof dev->hosts[i].name, "n%u",
                       i + 1);
    }
    return EXIT_CODE_OK;
}

static enum exit_code find_program(struct dev *dev)
{
    char *path = NULL;
    enum err err = posix_children_program(&path, "trouped", "node");
    if (err) {
        return command_failed(dev->command, err,
                              "trouped, which stands beside troupe");
    }
    (void)snprintf(dev->program, sizeof dev->program, "%s", path);
    free(path);
    return EXIT_CODE_OK;
}

static enum exit_code make_folder(struct dev *dev)
{
    const char *given = command_value(dev->command, "dir");
    const struct files *files = dev->command->world->files;
    char *path = NULL;
    enum err err = ERR_NONE;
    if (given) {
        err = files->make_folder(files->context, given, FILE_SECRET);
        err = err && err != ERR_EXISTS ? err : posix_folder_real(&path, given);
    } else {
        err = posix_folder_temporary(&path, "troupe-dev");
    }
    if (err) {
        return command_failed(dev->command, err, "%s",
                              given ? given : "a temporary folder");
    }
    (void)snprintf(dev->folder, sizeof dev->folder, "%s", path);
    free(path);
    dev->is_temporary = !given && !command_has(dev->command, "keep");
    return EXIT_CODE_OK;
}

static void path_of(char out[static PATH_BYTES],
                    const struct dev *dev,
                    const char *rest)
{
    (void)snprintf(out, PATH_BYTES, "%.3800s/%s", dev->folder, rest);
}

/* Two clusters on one folder would take each other's files away. */
static enum exit_code check_free(const struct dev *dev)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        char path[PATH_BYTES];
        char rest[128];
        (void)snprintf(rest, sizeof rest, "data/n%u/lock", i + 1);
        path_of(path, dev, rest);
        if (posix_files_look_at_lock(path) == ERR_BUSY) {
            command_say(dev->command,
                        "%s: n%u runs there already. End that `troupe dev` "
                        "with Ctrl-C, or give another --dir.",
                        dev->folder, i + 1);
            return EXIT_CODE_REFUSED;
        }
    }
    return EXIT_CODE_OK;
}

/* A folder that was used before is used again, with its data. */
static enum exit_code found(struct dev *dev)
{
    char path[PATH_BYTES];
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct err_detail why = {{0}};
    const struct command_world *world = dev->command->world;
    path_of(path, dev, "cluster");
    struct founding founding = {.cluster_name = "dev",
                                .transport = SETTINGS_IPC,
                                .data_dir = "../../data",
                                .runs_commands = true,
                                .ipc_dir = dev->folder,
                                .hosts = dev->hosts,
                                .host_count = dev->node_count};
    struct authority_world authority = {.files = world->files,
                                        .clock = world->clock,
                                        .entropy = world->entropy};
    enum err err = founding_make(&founding, &authority, path, cluster_id, &why);
    if (err == ERR_EXISTS) {
        return EXIT_CODE_OK;
    }
    return err ? command_failed(dev->command, err, "%s", why.text)
               : EXIT_CODE_OK;
}

static enum err start_one(struct dev *dev, uint32_t child)
{
    char rest[128];
    char config[PATH_BYTES];
    (void)snprintf(rest, sizeof rest, "cluster/%s/cluster.yaml",
                   dev->hosts[child].name);
    path_of(config, dev, rest);
    const char *arguments[] = {dev->program, "--config", config, NULL};
    return posix_children_start(dev->children, dev->hosts[child].name,
                                arguments);
}

static enum exit_code start(struct dev *dev)
{
    enum err err = posix_children_open(&dev->children, dev->folder);
    for (uint32_t i = 0; i < dev->node_count && !err; i++) {
        err = start_one(dev, i);
    }
    return err ? command_failed(dev->command, err, "starting %s", dev->program)
               : EXIT_CODE_OK;
}

static void say_ended(const struct dev *dev, uint32_t child, int status)
{
    FILE *talk = dev->command->world->talk;
    if (WIFSIGNALED(status)) {
        fprintf(talk, "%s: ended by signal %d; %s/%s.log has its last words\n",
                dev->hosts[child].name, WTERMSIG(status), dev->folder,
                dev->hosts[child].name);
    } else {
        fprintf(talk, "%s: ended with exit code %d; see %s/%s.log\n",
                dev->hosts[child].name, WEXITSTATUS(status), dev->folder,
                dev->hosts[child].name);
    }
}

static enum exit_code wait_until_ready(struct dev *dev, bool *is_interrupted)
{
    for (uint32_t ready = 0; ready < dev->node_count;) {
        uint32_t child = 0;
        int status = 0;
        switch (posix_children_next(dev->children, READY_MS, &child, &status)) {
        case CHILDREN_READY:
            ready++;
            break;
        case CHILDREN_ENDED:
            say_ended(dev, child, status);
            return EXIT_CODE_FAILED;
        case CHILDREN_INTERRUPTED:
            *is_interrupted = true;
            return EXIT_CODE_OK;
        case CHILDREN_TIMEOUT:
            return command_failed(dev->command, ERR_TIMEOUT,
                                  "the nodes are not ready; see %s/*.log",
                                  dev->folder);
        }
    }
    return EXIT_CODE_OK;
}

/* So that `troupe` finds it without a flag: what is said is whether it does.
 * The name is ours: what had it before is replaced. */
static bool remember(const struct dev *dev)
{
    char path[PATH_BYTES];
    char active[CERTIFICATE_NAME_BYTES];
    const struct command *command = dev->command;
    scoped(context_clear) struct context context = {.node_count = 0};
    path_of(path, dev, "cluster/operator/cluster.yaml");
    bool is_used = context_active(active, command, NULL) == ERR_NONE &&
                   strcmp(active, CONTEXT) == 0;
    (void)!context_remove(command, CONTEXT, NULL);
    enum err err = context_add(&context, command, CONTEXT, path, NULL, NULL);
    if (!err && is_used) {
        err = context_use(command, CONTEXT, NULL);
    }
    return !err && context_active(active, command, NULL) == ERR_NONE &&
           strcmp(active, CONTEXT) == 0;
}

static void say_how_to_go_on(const struct dev *dev, uint64_t took_ns)
{
    FILE *talk = dev->command->world->talk;
    fprintf(talk, "%u node%s serve%s after %.2f s. In another terminal:\n\n",
            dev->node_count, dev->node_count > 1 ? "s" : "",
            dev->node_count > 1 ? "" : "s", (double)took_ns / NS_PER_S);
    if (!remember(dev)) {
        fprintf(talk,
                "  export TROUPE_CONTEXT=" CONTEXT "  # another one is used\n");
    }
    fprintf(talk,
            "  troupe cluster status\n"
            "  troupe shard map\n"
            "  troupe task submit -- echo hello\n\n"
            "Logs: %s/*.log. Ctrl-C ends them%s.\n",
            dev->folder, dev->is_temporary ? " and removes the folder" : "");
    fflush(talk);
}

/* Until somebody has had enough, or all have ended by themselves. */
static void serve(struct dev *dev)
{
    while (posix_children_running(dev->children) > 0) {
        uint32_t child = 0;
        int status = 0;
        switch (posix_children_next(dev->children, -1, &child, &status)) {
        case CHILDREN_READY:
            fprintf(dev->command->world->talk, "%s serves again\n",
                    dev->hosts[child].name);
            break;
        case CHILDREN_ENDED:
            say_ended(dev, child, status);
            /* Killed: as a service manager would. What ends by itself would do
             * so again. */
            if (WIFSIGNALED(status) && start_one(dev, child)) {
                fprintf(dev->command->world->talk,
                        "%s cannot be started again\n", dev->hosts[child].name);
            }
            break;
        case CHILDREN_INTERRUPTED:
        case CHILDREN_TIMEOUT:
            return;
        }
    }
}

static void end(struct dev *dev)
{
    for (uint32_t i = 0; i < dev->node_count; i++) {
        posix_children_signal(dev->children, i, SIGTERM);
    }
    while (posix_children_running(dev->children) > 0) {
        uint32_t child = 0;
        int status = 0;
        enum posix_children_event event =
            posix_children_next(dev->children, LEAVE_MS, &child, &status);
        if (event == CHILDREN_INTERRUPTED || event == CHILDREN_TIMEOUT) {
            break; /* posix_children_close() does not ask */
        }
    }
}

static enum exit_code run_nodes(struct dev *dev)
{
    const struct clock *clock = dev->command->world->clock;
    bool is_interrupted = false;
    uint64_t begun_ns = clock_now_ns(clock);
    enum exit_code code = found(dev);
    if (code == EXIT_CODE_OK) {
        code = start(dev);
    }
    if (code == EXIT_CODE_OK) {
        code = wait_until_ready(dev, &is_interrupted);
    }
    if (code == EXIT_CODE_OK && !is_interrupted) {
        say_how_to_go_on(dev, clock_now_ns(clock) - begun_ns);
        serve(dev);
    }
    if (dev->is_temporary) {
        (void)!context_remove(dev->command, CONTEXT, NULL);
    }
    if (dev->children) {
        end(dev);
        posix_children_close(&dev->children);
    }
    return code;
}

static enum exit_code run(const struct command *command)
{
    struct dev dev = {.command = command};
    enum exit_code code = parse(&dev);
    if (code == EXIT_CODE_OK) {
        code = find_program(&dev);
    }
    if (code == EXIT_CODE_OK) {
        code = make_folder(&dev);
    }
    if (code == EXIT_CODE_OK) {
        code = check_free(&dev);
    }
    if (code != EXIT_CODE_OK) {
        return code;
    }
    code = run_nodes(&dev);
    /* What went wrong is in the logs. */
    if (dev.is_temporary && code == EXIT_CODE_OK &&
        posix_folder_remove(dev.folder)) {
        fprintf(command->world->talk, "%s is left\n", dev.folder);
    }
    return code;
}

static const struct command_flag flags[] = {
    {.name = "nodes", .value = "N", .text = "how many, 1 to 9 (default: 3)"},
    {.name = "dir",
     .value = "DIR",
     .text = "use this folder, and what an earlier run left in it"},
    {.name = "keep", .text = "do not remove the folder at the end"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "dev",
     .operands = "",
     .summary = "Runs a cluster on this machine, until Ctrl-C.\n"
                "Keys, configuration and data are in a folder of their own.",
     .examples = {"troupe dev", "troupe dev --nodes 5",
                  "troupe dev --dir ~/lab"},
     .flags = flags,
     .run = run},
    {0}};

const struct command_noun dev_command = {
    .name = "dev",
    .summary = "Runs a cluster on this machine, until Ctrl-C.\n"
               "Keys, configuration and data are in a folder of their own.",
    .verbs = verbs,
    .is_verb = true};
