/*
 * trouped: one node of a cluster.
 *
 * Exit codes: docs/operations.md.
 */

#include "base/posix/posix_log.h"
#include "base/posix/posix_memory.h"
#include "base/posix/posix_notify.h"
#include "base/scope.h"
#include "node/links.h"
#include "node/node.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAVE_MS 10000
#define END_S 5 /* then a disk that does not answer is not waited for */

/* As sysexits.h has them where it has them, so that a service manager can tell
 * what is worth another attempt. */
enum trouped_exit {
    TROUPED_OK = 0,
    TROUPED_FAILED = 1,   /* while it ran: the disk, memory. Start it again */
    TROUPED_USAGE = 64,   /* the command line */
    TROUPED_HANGS = 74,   /* when it was to end: a disk does not answer */
    TROUPED_REFUSED = 78, /* the configuration, keys or data: a person must
                             act, starting again does not help */
    TROUPED_IN_USE = 75,  /* an address or the data folder is in use */
};

static const char help_text[] =
    "trouped: one node of a Troupe cluster.\n"
    "\n"
    "Usage: trouped --config FILE [--node NAME] [--join | --recover-meta]\n"
    "\n"
    "  --config FILE  the cluster's configuration (troupe cluster init makes "
    "one)\n"
    "  --node NAME    which of cluster.nodes this is; default: node.name\n"
    "  --join         never found a cluster, only join one\n"
    "  --recover-meta a majority of the meta group's voters is gone for good: "
    "take it\n"
    "                 over with what is here (docs/operations.md). On ONE "
    "survivor,\n"
    "                 once; refused while a majority is there\n"
    "  --check        read the configuration and the keys, say what is wrong, "
    "end\n"
    "  --version      print the version\n"
    "  --help         this text\n"
    "\n"
    "Examples:\n"
    "  trouped --config /etc/troupe/cluster.yaml\n"
    "  trouped --config cluster.yaml --node alpha\n"
    "  trouped --config cluster.yaml --node delta --join\n"
    "\n"
    "Signals: SIGTERM and SIGINT hand over what this node leads and end it, "
    "again: at\nonce. SIGHUP reads the keys and revocations again.\n"
    "Exit codes: 0 ended as asked; 1 failed while running (start it again);\n"
    "64 usage; 74 ended as asked, but a disk did not answer; 75 an address or "
    "the data folder is in use; 78 the "
    "configuration,\nthe keys or the data need a person.\n";

struct arguments {
    const char *config;
    const char *node;
    bool joins;
    bool recovers_meta;
    bool checks;
};

static void on_ready(void *context)
{
    (void)context;
    posix_notify("READY=1\nSTATUS=serves");
}

/* The main thread waits for signals alone. */
static void on_ended(void *context)
{
    (void)context;
    (void)kill(getpid(), SIGUSR1);
}

/* -1: go on; else the exit code. */
static int parse(struct arguments *arguments, int count, char **values)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"node", required_argument, NULL, 'n'},
        {"join", no_argument, NULL, 'j'},
        {"recover-meta", no_argument, NULL, 'r'},
        {"check", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0}};
    int option;
    while ((option = getopt_long(count, values, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments->config = optarg;
            break;
        case 'n':
            arguments->node = optarg;
            break;
        case 'j':
            arguments->joins = true;
            break;
        case 'r':
            arguments->recovers_meta = true;
            break;
        case 'k':
            arguments->checks = true;
            break;
        case 'v':
            printf("trouped %s\n", TROUPE_VERSION);
            return TROUPED_OK;
        case 'h':
            fputs(help_text, stdout);
            return TROUPED_OK;
        default:
            fputs("Try trouped --help.\n", stderr);
            return TROUPED_USAGE;
        }
    }
    if (optind < count) {
        fprintf(stderr, "trouped: `%s` is not expected. Try trouped --help.\n",
                values[optind]);
        return TROUPED_USAGE;
    }
    if (arguments->joins && arguments->recovers_meta) {
        fputs("trouped: --join and --recover-meta exclude each other.\n",
              stderr);
        return TROUPED_USAGE;
    }
    if (!arguments->config) {
        fputs("trouped: --config FILE is missing. Try trouped --help.\n",
              stderr);
        return TROUPED_USAGE;
    }
    return -1;
}

static int exit_of(enum err err)
{
    switch (err) {
    case ERR_IN_USE:
    case ERR_BUSY:
        return TROUPED_IN_USE;
    case ERR_MEMORY:
    case ERR_IO:
    case ERR_NO_SPACE:
        return TROUPED_FAILED;
    default:
        return TROUPED_REFUSED;
    }
}

static void say_problems(const struct problems *problems,
                         const struct err_detail *why)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, &problems->items[i]);
        fprintf(stderr, "%s\n", text);
    }
    if (problems->count == 0) {
        fprintf(stderr, "trouped: %s\n", why->text);
    }
}

/* The threads that wait for the disk cannot be ended, nor can what they use be
 * freed: only the whole process can go. What is durable is so all the same. */
static void on_alarm(int signal)
{
    (void)signal; /* the log has said what is waited for */
    _exit(TROUPED_HANGS);
}

/* Until it has ended. */
static void serve(struct node *node, const sigset_t *signals)
{
    bool leaves = false;
    int signal = 0;
    while (signal != SIGUSR1) {
        if (sigwait(signals, &signal)) {
            return;
        }
        if (signal == SIGHUP) {
            node_reload(node);
        } else if (signal != SIGUSR1 && !leaves) {
            leaves = true;
            posix_notify("STOPPING=1\nSTATUS=hands over what it leads");
            node_leave(node, LEAVE_MS);
            (void)alarm(LEAVE_MS / 1000 + END_S);
        } else if (signal != SIGUSR1) {
            return; /* at once */
        }
    }
}

static int check(const struct arguments *arguments)
{
    struct err_detail why = {{0}};
    static struct problems problems; /* large */
    struct links_options options = {.config_path = arguments->config,
                                    .name = arguments->node,
                                    .log_sink = posix_log_sink(STDERR_FILENO)};
    enum err err = links_check(&options, &problems, &why);
    if (err) {
        say_problems(&problems, &why);
        return exit_of(err);
    }
    puts("all is well");
    return TROUPED_OK;
}

static int run(const struct arguments *arguments, const sigset_t *signals)
{
    struct err_detail why = {{0}};
    static struct problems problems; /* large */
    scoped(node_close) struct node *node = NULL;
    struct node_options options = {
        .config_path = arguments->config,
        .name = arguments->node,
        .log_sink = posix_log_sink(STDERR_FILENO),
        .events = {.on_ready = on_ready, .on_ended = on_ended},
        .may_found = !arguments->joins && !arguments->recovers_meta,
        .recovers_meta = arguments->recovers_meta};
    enum err err = node_open(&node, &options, &problems, &why);
    if (err) {
        say_problems(&problems, &why);
        return exit_of(err);
    }
    err = node_start(node);
    if (err) {
        fprintf(stderr, "trouped: threads: %s\n", err_text(err));
        return TROUPED_FAILED;
    }
    serve(node, signals);
    (void)alarm(END_S); /* until it is closed, too */
    err = node_failure(node, &why);
    if (err) {
        fprintf(stderr, "trouped: %s\n", why.text);
    }
    bool needs_person = err == ERR_VERSION || err == ERR_REFUSED;
    return needs_person ? TROUPED_REFUSED : err ? TROUPED_FAILED : TROUPED_OK;
}

int main(int count, char **values)
{
    struct arguments arguments = {0};
    int code = parse(&arguments, count, values);
    if (code >= 0) {
        return code;
    }
    /* Before any thread: they inherit it, and only main waits for them. */
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGALRM, on_alarm);
    posix_memory_keep();
    return arguments.checks ? check(&arguments) : run(&arguments, &signals);
}
