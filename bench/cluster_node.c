#include "bench/cluster_node.h"

#include "base/posix/posix_log.h"
#include "base/scope.h"
#include "bench/process.h"
#include "config/path.h"
#include "node/node.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAVE_MS 10000
#define LOG_VARIABLE "TROUPE_BENCH_LOG" /* nodes write their logs to stderr */

static _Atomic uint64_t *ready_of(void *context)
{
    const struct cluster_node_start *start = context;
    return &start->shared->ready_ns[start->node];
}

static void on_ready(void *context)
{
    atomic_store(ready_of(context), process_now_ns());
}

/* The first thread waits for signals alone. */
static void on_ended(void *context)
{
    (void)context;
    (void)kill(getpid(), SIGUSR1);
}

static int log_file(const struct cluster_node_start *start)
{
    char path[PATH_BYTES];
    if (getenv(LOG_VARIABLE)) {
        return STDERR_FILENO;
    }
    (void)snprintf(path, sizeof path, "%s/%s.log", start->shared->folder,
                   cluster_nodes_name(start->node));
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static enum err serve(struct node *node, const sigset_t *signals)
{
    int number = 0;
    enum err err = node_start(node);
    while (!err && number != SIGUSR1) {
        if (sigwait(signals, &number)) {
            err = ERR_IO;
        } else if (number == SIGTERM) {
            node_leave(node, LEAVE_MS);
        }
    }
    return err;
}

/* Beside us when installed; in the build folder of trouped before. */
static const char *runner_path(char path[static PATH_BYTES])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_BYTES - 1);
    path[length > 0 ? length : 0] = '\0';
    char *end = strstr(path, "/bench/troupe-bench");
    if (!end) {
        return NULL;
    }
    *end = '\0';
    size_t room = PATH_BYTES - strlen(path);
    (void)snprintf(end, room, "/node/troupe-runner");
    return access(path, X_OK) == 0 ? path : NULL;
}

enum err cluster_node_run(void *context)
{
    static struct problems problems; /* large */
    struct cluster_node_start *start = context;
    const struct cluster_plan *plan = &start->shared->plan;
    char path[PATH_BYTES];
    char runner[PATH_BYTES];
    struct err_detail why = {{0}};
    scoped(node_close) struct node *node = NULL;
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(path, sizeof path, "%s/cluster/%s/cluster.yaml",
                   start->shared->folder, cluster_nodes_name(start->node));
    struct node_options options = {.config_path = path,
                                   .log_sink = posix_log_sink(log_file(start)),
                                   .events = {.context = start,
                                              .on_ready = on_ready,
                                              .on_ended = on_ended},
                                   .may_found =
                                       start->node < plan->founder_count,
                                   .functions = plan->functions,
                                   .function_count = plan->function_count,
                                   .runner = runner_path(runner)};
    enum err err = node_open(&node, &options, &problems, &why);
    if (!err && plan->begin) {
        plan->begin(plan->context, start->node, node);
    }
    if (!err) {
        err = serve(node, &signals);
    }
    if (!err) {
        err = node_failure(node, &why);
    }
    if (err) {
        err_explain(&start->shared->why, "%s: %s: %s",
                    cluster_nodes_name(start->node), err_text(err), why.text);
    }
    return err;
}
