/*
 * Plug-ins and their hosts: processes that are forks of the spawner, which is
 * small and has one thread. Each has one task at a time and stays for the
 * next.
 */

#include "base/posix/posix_spawner_core.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/owner.h"

/* Between hosts that have crashed before their plug-in was loaded. */
#define PAUSE_MIN_NS (100 * NS_PER_MS)
#define PAUSE_MAX_NS (10 * NS_PER_S)

struct host {
    struct spawner_plugin *plugin;
    struct host *next;
    pid_t pid;
    struct posix_stream stream;
    struct watch watch;
    struct shared *shared;
    struct spawner_task *task; /* NULL: it is idle */
    bool has_begun;            /* the plug-in is loaded */
    bool is_old;               /* ends when it is idle */
    bool is_broken;            /* it has said what makes no sense */
};

struct spawner_task {
    struct spawner_plugin *plugin;
    struct spawner_task *next; /* that waits */
    struct host *host;         /* NULL: it waits */
    struct buffer message;     /* until a host has it */
    struct timer timer;
    enum spawn_end asked; /* TIMED_OUT, CANCELLED; EXITED: it was not */
    uint32_t ticket;
    uint32_t timeout_ms;
    uint32_t output_bytes_max;
};

struct spawner_plugin {
    struct spawner *spawner;
    struct spawner_plugin *next;
    char *path;
    char *function;
    struct host *hosts;
    struct spawner_task *waiting; /* the oldest first */
    struct timer timer;           /* until hosts may be started again */
    uint64_t pause_ns;            /* the next one */
    uint64_t not_before_ns;
};

static uint64_t now_ns(void)
{
    return clock_now_ns(posix_clock());
}

/* ---- tasks ---- */

static void free_task(struct spawner_task *task)
{
    timers_cancel(&task->plugin->spawner->timers, &task->timer);
    buffer_clear(&task->message);
    free(task);
}

/* `ended` but for its ticket. The task is gone. */
static void end_task(struct spawner_task *task, struct spawn_ended *ended)
{
    ended->ticket = task->ticket;
    if (task->asked != SPAWN_EXITED) {
        ended->end = task->asked;
    }
    ended->why = ended->why ? ended->why : "";
    spawner_say_ended(task->plugin->spawner, ended);
    if (task->host) {
        task->host->task = NULL;
    }
    free_task(task);
}

static void on_task_timer(struct timer *timer)
{
    struct spawner_task *task = OWNER_OF(timer, struct spawner_task, timer);
    if (task->asked == SPAWN_EXITED) {
        task->asked = SPAWN_TIMED_OUT;
    }
    spawner_signal_group(task->host->pid, SIGKILL);
}

static void set_timer(struct spawner_task *task, uint64_t after_ns)
{
    timers_set(&task->plugin->spawner->timers, &task->timer,
               now_ns() + after_ns);
}

/* ---- hosts ---- */

static void on_host(struct watch *watch, uint32_t events);

static void close_stream(struct host *host)
{
    spawner_forget(&host->watch);
    posix_stream_clear(&host->stream);
}

static void free_host(struct host *host)
{
    close_stream(host);
    host->shared->is_taken = false;
    free(host);
}

static void break_host(struct host *host)
{
    host->is_broken = true;
    spawner_signal_group(host->pid, SIGKILL);
}

static void send_to(struct host *host)
{
    /* That it has gone, we hear as the end of a child. */
    if (host->stream.fd >= 0 && posix_stream_send(&host->stream) == ERR_NONE) {
        spawner_watch_sending(&host->watch,
                              buffer_length(&host->stream.unsent) > 0);
    }
}

__attribute__((noreturn)) static void become_host(
    const struct spawner *spawner, int fd, const _Atomic uint32_t *is_cancelled)
{
    sigset_t none;
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(spawner->null_fd, 0);
    (void)dup2(2, 1); /* what it prints is for the node's log */
    posix_launch_close_others(fd);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    spawner->host->run(fd, is_cancelled);
    _exit(0);
}

static enum err fork_host(struct host *host)
{
    struct spawner *spawner = host->plugin->spawner;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        return ERR_LIMIT;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_host(spawner, fds[1], &host->shared->is_cancelled);
    }
    (void)close(fds[1]);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    posix_stream_init(&host->stream, fds[0]);
    if (pid < 0) {
        return ERR_LIMIT;
    }
    host->pid = pid;
    host->watch.run = on_host;
    if (spawner_watch(spawner, &host->watch, fds[0])) {
        host->watch.fd = -1;
        break_host(host); /* its end is heard of */
    }
    return ERR_NONE;
}

static enum err start_host(struct host **out, struct spawner_plugin *plugin)
{
    struct host *host = calloc(1, sizeof *host);
    if (!host) {
        return ERR_MEMORY;
    }
    host->plugin = plugin;
    host->watch.fd = -1;
    host->stream.fd = -1;
    host->shared = spawner_take_shared(plugin->spawner);
    enum err err = host->shared ? fork_host(host) : ERR_LIMIT;
    if (err) {
        posix_stream_clear(&host->stream);
        if (host->shared) {
            host->shared->is_taken = false;
        }
        free(host);
        return err;
    }
    host->next = plugin->hosts;
    plugin->hosts = host;
    *out = host;
    return ERR_NONE;
}

static struct host *find_idle(struct spawner_plugin *plugin)
{
    struct host *host = plugin->hosts;
    while (host && (host->task || host->is_old || host->is_broken)) {
        host = host->next;
    }
    return host;
}

/* ---- from waiting to running ---- */

static struct spawner_task *take_waiting(struct spawner_plugin *plugin)
{
    struct spawner_task *task = plugin->waiting;
    plugin->waiting = task->next;
    task->next = NULL;
    return task;
}

static void give(struct host *host, struct spawner_task *task)
{
    task->host = host;
    host->task = task;
    atomic_store(&host->shared->is_cancelled, 0);
    if (spawn_wire_put_message(&host->stream.unsent,
                               buffer_bytes(&task->message))) {
        break_host(host);
    }
    buffer_clear(&task->message);
    if (task->timeout_ms > 0) {
        set_timer(task, task->timeout_ms * NS_PER_MS);
    }
    send_to(host);
}

/* All that wait and can begin. */
static void begin_waiting(struct spawner_plugin *plugin)
{
    while (plugin->waiting) {
        struct host *host = find_idle(plugin);
        if (!host && now_ns() < plugin->not_before_ns) {
            timers_set(&plugin->spawner->timers, &plugin->timer,
                       plugin->not_before_ns);
            return;
        }
        enum err err = host ? ERR_NONE : start_host(&host, plugin);
        struct spawner_task *task = take_waiting(plugin);
        if (err) {
            end_task(task, &(struct spawn_ended){
                               .end = SPAWN_FAILED,
                               .why = "cannot start a process for the "
                                      "plug-in: too many processes or open "
                                      "files"});
        } else {
            give(host, task);
        }
    }
}

static void on_plugin_timer(struct timer *timer)
{
    begin_waiting(OWNER_OF(timer, struct spawner_plugin, timer));
}

/* ---- what hosts say: it may be anything ---- */

static void on_ended(struct host *host, struct bytes message)
{
    struct spawn_ended ended;
    struct spawner_task *task = host->task;
    if (!task || spawn_wire_get_ended(&ended, message) ||
        (ended.end != SPAWN_EXITED && ended.end != SPAWN_REFUSED) ||
        ended.output.length > task->output_bytes_max ||
        ended.errors.length > 0 || strlen(ended.why) >= SPAWN_WHY_BYTES) {
        break_host(host);
        return;
    }
    end_task(task, &ended);
    if (host->is_old) {
        close_stream(host); /* it ends when it sees that */
    }
}

static void on_progress(struct host *host, struct bytes message)
{
    struct spawn_progress progress;
    if (!host->task || spawn_wire_get_progress(&progress, message) ||
        progress.done_of_1000 > 1000 ||
        strlen(progress.text) >= SPAWN_WHY_BYTES) {
        break_host(host);
        return;
    }
    progress.ticket = host->task->ticket;
    spawner_say_progress(host->plugin->spawner, &progress);
}

static void on_message(struct host *host, struct bytes message)
{
    switch (spawn_wire_kind(message)) {
    case SPAWN_BEGUN:
        host->has_begun = true;
        host->plugin->pause_ns = 0;
        return;
    case SPAWN_PROGRESS:
        on_progress(host, message);
        return;
    case SPAWN_ENDED:
        on_ended(host, message);
        return;
    default:
        break_host(host);
        return;
    }
}

/* Whether there may be more. */
static bool hear(struct host *host)
{
    struct bytes message;
    size_t before = buffer_length(&host->stream.received);
    enum err err =
        host->stream.fd < 0 ? ERR_CLOSED : posix_stream_receive(&host->stream);
    bool has_more = !err && buffer_length(&host->stream.received) > before;
    while (!host->is_broken && host->stream.fd >= 0 &&
           spawn_wire_next(&host->stream.received, &message, &err)) {
        on_message(host, message);
        if (host->stream.fd >= 0) {
            spawn_wire_take(&host->stream.received, message);
        }
    }
    if (err && err != ERR_CLOSED) {
        break_host(host);
    }
    if (err && host->stream.fd >= 0) {
        spawner_forget(&host->watch);
    }
    return has_more && !host->is_broken;
}

static void on_host(struct watch *watch, uint32_t events)
{
    struct host *host = OWNER_OF(watch, struct host, watch);
    struct spawner_plugin *plugin = host->plugin;
    if (events & EPOLLOUT) {
        send_to(host);
    }
    (void)hear(host);
    begin_waiting(plugin);
}

/* ---- the end of a host ---- */

static struct host *find_host(const struct spawner *spawner, pid_t pid)
{
    for (struct spawner_plugin *plugin = spawner->plugins; plugin;
         plugin = plugin->next) {
        for (struct host *host = plugin->hosts; host; host = host->next) {
            if (host->pid == pid) {
                return host;
            }
        }
    }
    return NULL;
}

bool spawner_plugin_has(const struct spawner *spawner, pid_t pid)
{
    return find_host(spawner, pid) != NULL;
}

static void unlink_host(struct host *host)
{
    struct host **at = &host->plugin->hosts;
    while (*at != host) {
        at = &(*at)->next;
    }
    *at = host->next;
}

/* The next host waits, so that a plug-in which crashes whenever it is loaded
 * does not eat all tasks at once. */
static void pause_plugin(struct spawner_plugin *plugin)
{
    uint64_t pause_ns = plugin->pause_ns;
    pause_ns = pause_ns < PAUSE_MIN_NS ? PAUSE_MIN_NS : pause_ns;
    plugin->not_before_ns = now_ns() + pause_ns;
    plugin->pause_ns =
        pause_ns * 2 < PAUSE_MAX_NS ? pause_ns * 2 : PAUSE_MAX_NS;
}

static void end_task_of(struct host *host, int status)
{
    char why[SPAWN_WHY_BYTES] = "";
    struct spawn_ended ended = {.end = SPAWN_FAILED, .why = why};
    if (host->is_broken) {
        (void)snprintf(why, sizeof why,
                       "the plug-in has damaged the memory of its host, which "
                       "said what makes no sense");
    } else if (WIFSIGNALED(status)) {
        ended.end = SPAWN_SIGNALLED;
        ended.code = WTERMSIG(status);
    } else {
        (void)snprintf(why, sizeof why,
                       "the plug-in has ended its process, with status %d",
                       WEXITSTATUS(status));
    }
    end_task(host->task, &ended);
}

bool spawner_plugin_ended(struct spawner *spawner, pid_t pid, int status)
{
    struct host *host = find_host(spawner, pid);
    if (!host) {
        return false;
    }
    struct spawner_plugin *plugin = host->plugin;
    while (hear(host)) { /* what it has said before */
    }
    if (!host->has_begun && (WIFSIGNALED(status) || WEXITSTATUS(status))) {
        pause_plugin(plugin);
    }
    if (host->task) {
        end_task_of(host, status);
    }
    unlink_host(host);
    free_host(host);
    begin_waiting(plugin);
    return true;
}

/* ---- what the node asks for ---- */

static struct spawner_plugin *make_plugin(struct spawner *spawner,
                                          const struct spawn_plugin *asked)
{
    struct spawner_plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin) {
        return NULL;
    }
    plugin->spawner = spawner;
    plugin->timer.fire = on_plugin_timer;
    plugin->path = strdup(asked->path);
    plugin->function = strdup(asked->function);
    if (!plugin->path || !plugin->function) {
        free(plugin->path);
        free(plugin->function);
        free(plugin);
        return NULL;
    }
    plugin->next = spawner->plugins;
    spawner->plugins = plugin;
    return plugin;
}

static struct spawner_plugin *find_plugin(struct spawner *spawner,
                                          const struct spawn_plugin *asked)
{
    struct spawner_plugin *plugin = spawner->plugins;
    while (plugin && (strcmp(plugin->path, asked->path) != 0 ||
                      strcmp(plugin->function, asked->function) != 0)) {
        plugin = plugin->next;
    }
    return plugin ? plugin : make_plugin(spawner, asked);
}

static enum err add_task(struct spawner_plugin *plugin,
                         const struct spawn_plugin *asked,
                         struct bytes message)
{
    struct spawner_task *task = calloc(1, sizeof *task);
    if (!task || buffer_append(&task->message, message)) {
        free(task);
        return ERR_MEMORY;
    }
    task->plugin = plugin;
    task->timer.fire = on_task_timer;
    task->ticket = asked->ticket;
    task->timeout_ms = asked->timeout_ms;
    task->output_bytes_max = asked->output_bytes_max;
    struct spawner_task **last = &plugin->waiting;
    while (*last) {
        last = &(*last)->next;
    }
    *last = task;
    return ERR_NONE;
}

void spawner_plugin_start(struct spawner *spawner, struct bytes message)
{
    struct spawn_plugin asked;
    if (spawn_wire_get_plugin(&asked, message)) {
        spawner->is_ending = true; /* the node makes no sense */
        return;
    }
    struct spawner_plugin *plugin = find_plugin(spawner, &asked);
    if (!plugin || add_task(plugin, &asked, message)) {
        spawner_say_ended(spawner,
                          &(struct spawn_ended){.ticket = asked.ticket,
                                                .end = SPAWN_FAILED,
                                                .why = "out of memory"});
        return;
    }
    begin_waiting(plugin);
}

static void cancel_waiting(struct spawner_task **at)
{
    struct spawner_task *task = *at;
    *at = task->next;
    task->asked = SPAWN_CANCELLED;
    end_task(task, &(struct spawn_ended){.end = SPAWN_CANCELLED});
}

/* Asked first; killed when it does not look. */
static void cancel_running(struct spawner_task *task)
{
    task->asked = SPAWN_CANCELLED;
    atomic_store(&task->host->shared->is_cancelled, 1);
    set_timer(task, SPAWNER_GRACE_NS);
}

void spawner_plugin_cancel(struct spawner *spawner, uint32_t ticket)
{
    for (struct spawner_plugin *plugin = spawner->plugins; plugin;
         plugin = plugin->next) {
        struct spawner_task **at = &plugin->waiting;
        while (*at && (*at)->ticket != ticket) {
            at = &(*at)->next;
        }
        if (*at) {
            cancel_waiting(at);
            return;
        }
        for (struct host *host = plugin->hosts; host; host = host->next) {
            struct spawner_task *task = host->task;
            if (task && task->ticket == ticket && task->asked == SPAWN_EXITED) {
                cancel_running(task);
            }
        }
    }
}

void spawner_plugin_renew(struct spawner *spawner)
{
    for (struct spawner_plugin *plugin = spawner->plugins; plugin;
         plugin = plugin->next) {
        for (struct host *host = plugin->hosts; host; host = host->next) {
            host->is_old = true;
            if (!host->task) {
                close_stream(host); /* it ends when it sees that */
            }
        }
    }
}

static void free_plugin(struct spawner_plugin *plugin)
{
    timers_cancel(&plugin->spawner->timers, &plugin->timer);
    while (plugin->waiting) {
        free_task(take_waiting(plugin));
    }
    while (plugin->hosts) {
        struct host *host = plugin->hosts;
        plugin->hosts = host->next;
        if (host->task) {
            free_task(host->task);
        }
        free_host(host);
    }
    free(plugin->path);
    free(plugin->function);
    free(plugin);
}

void spawner_plugin_clear(struct spawner *spawner)
{
    while (spawner->plugins) {
        struct spawner_plugin *plugin = spawner->plugins;
        spawner->plugins = plugin->next;
        free_plugin(plugin);
    }
}
