#include "base/posix/posix_spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/posix/posix_spawner_core.h"

#define EVENT_COUNT 64
#define NO_FD (-1)

/* ---- what is waited for ---- */

enum err spawner_watch(struct spawner *spawner, struct watch *watch, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    watch->fd = fd;
    watch->spawner = spawner;
    watch->wants_to_send = false;
    if (epoll_ctl(spawner->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        return err_from_errno(errno);
    }
    return ERR_NONE;
}

void spawner_watch_sending(struct watch *watch, bool wants_to_send)
{
    if (watch->wants_to_send == wants_to_send) {
        return;
    }
    watch->wants_to_send = wants_to_send;
    struct epoll_event event = {
        .events = EPOLLIN | (wants_to_send ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = watch};
    (void)epoll_ctl(watch->spawner->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void spawner_forget(struct watch *watch)
{
    struct spawner *spawner = watch->spawner;
    if (watch->fd < 0 || !spawner) {
        return;
    }
    (void)epoll_ctl(spawner->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = NO_FD;
    /* What was heard of it in this round is not to be told any more. */
    for (int i = 0; i < spawner->event_count; i++) {
        if (spawner->events[i].data.ptr == watch) {
            spawner->events[i].data.ptr = NULL;
        }
    }
}

/* ---- shared memory ---- */

struct shared *spawner_take_shared(struct spawner *spawner)
{
    for (uint32_t i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        struct shared *shared =
            &spawner->shared[(spawner->shared_next + i) % SPAWNER_CHILDREN_MAX];
        if (!shared->is_taken) {
            spawner->shared_next =
                (spawner->shared_next + i + 1) % SPAWNER_CHILDREN_MAX;
            *shared = (struct shared){.is_taken = true};
            return shared;
        }
    }
    return NULL;
}

/* ---- talking to the node ---- */

/* The node is gone, or we cannot tell it the truth any more: end. */
static void lose_node(struct spawner *spawner)
{
    spawner->is_ending = true;
}

static void flush(struct spawner *spawner)
{
    if (posix_stream_send(&spawner->node)) {
        lose_node(spawner);
        return;
    }
    spawner_watch_sending(&spawner->node_watch,
                          buffer_length(&spawner->node.unsent) > 0);
}

void spawner_say_ended(struct spawner *spawner, const struct spawn_ended *ended)
{
    if (spawn_wire_put_ended(&spawner->node.unsent, ended)) {
        lose_node(spawner);
    }
}

void spawner_say_looked(struct spawner *spawner,
                        const struct spawn_looked *looked)
{
    if (spawn_wire_put_looked(&spawner->node.unsent, looked)) {
        lose_node(spawner);
    }
}

void spawner_say_progress(struct spawner *spawner,
                          const struct spawn_progress *progress)
{
    if (spawn_wire_put_progress(&spawner->node.unsent, progress)) {
        lose_node(spawner);
    }
}

static void on_cancel(struct spawner *spawner, struct bytes message)
{
    uint32_t ticket = 0;
    if (!spawn_wire_get_cancel(&ticket, message)) {
        spawner_command_cancel(spawner, ticket);
        spawner_plugin_cancel(spawner, ticket);
    }
}

static void on_look(struct spawner *spawner, struct bytes message)
{
    struct spawn_look look;
    if (!spawn_wire_get_look(&look, message)) {
        spawner_command_look(spawner, &look);
    }
}

static void on_message(struct spawner *spawner, struct bytes message)
{
    switch (spawn_wire_kind(message)) {
    case SPAWN_COMMAND:
        spawner_command_start(spawner, message);
        return;
    case SPAWN_PLUGIN:
        spawner_plugin_start(spawner, message);
        return;
    case SPAWN_CANCEL:
        on_cancel(spawner, message);
        return;
    case SPAWN_RENEW:
        spawner_plugin_renew(spawner);
        return;
    case SPAWN_LOOK:
        on_look(spawner, message);
        return;
    default:
        lose_node(spawner);
        return;
    }
}

static void on_node(struct watch *watch, uint32_t events)
{
    struct spawner *spawner = watch->spawner;
    struct bytes message;
    enum err err = ERR_NONE;
    (void)events;
    if (posix_stream_receive(&spawner->node)) {
        lose_node(spawner);
        return;
    }
    while (!spawner->is_ending &&
           spawn_wire_next(&spawner->node.received, &message, &err)) {
        on_message(spawner, message);
        spawn_wire_take(&spawner->node.received, message);
    }
    if (err) {
        lose_node(spawner);
    }
}

/* ---- children ---- */

void spawner_signal_group(pid_t pid, int signal)
{
    /* It may not have made its group yet. */
    if (kill(-pid, signal)) {
        (void)kill(pid, signal);
    }
}

/* All that have ended. One of ours stays what it was, a zombie whose number
 * nobody else can have, until its group is killed; what was adopted has left
 * its group on purpose, and its own lives on. */
static void reap(struct spawner *spawner)
{
    for (;;) {
        siginfo_t info = {0};
        int status = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ||
            info.si_pid == 0) {
            return;
        }
        pid_t pid = info.si_pid;
        if (spawner_command_has(spawner, pid) ||
            spawner_plugin_has(spawner, pid)) {
            (void)kill(-pid, SIGKILL);
        }
        if (waitpid(pid, &status, 0) == pid &&
            !spawner_command_ended(spawner, pid, status)) {
            spawner_plugin_ended(spawner, pid, status);
        }
    }
}

static void on_signal(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof info) == sizeof info) {
    }
    reap(watch->spawner);
}

/* ---- the end ---- */

/* Whose parent we are: also what was adopted. /proc/PID/stat is "PID (NAME) S
 * PARENT ...", and the name may hold anything. */
static bool is_child(const char *name)
{
    char path[64];
    char text[512];
    long parent = 0;
    (void)snprintf(path, sizeof path, "/proc/%.16s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[length > 0 ? length : 0] = 0;
    const char *behind = strrchr(text, ')');
    return behind && sscanf(behind + 1, " %*c %ld", &parent) == 1 &&
           parent == (long)getpid();
}

static void kill_children(void)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 1 && is_child(entry->d_name)) {
            (void)kill(-(pid_t)pid, SIGKILL);
            (void)kill((pid_t)pid, SIGKILL);
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
}

/* Those of whom one was the parent come to us then: so until nobody is left,
 * or what is left does not die (it hangs in the kernel). */
static void end_all(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    for (uint32_t i = 0; i < 50; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        }
        if (pid < 0) {
            return;
        }
        kill_children();
        (void)sigtimedwait(&signals, NULL, &pause);
    }
}

/* ---- the loop ---- */

static int wait_ms(const struct spawner *spawner)
{
    uint64_t next_ns = timers_next_ns(&spawner->timers);
    uint64_t now_ns = clock_now_ns(posix_clock());
    if (next_ns == TIMER_NEVER) {
        return -1;
    }
    if (next_ns <= now_ns) {
        return 0;
    }
    uint64_t ms = (next_ns - now_ns) / NS_PER_MS + 1;
    return ms > 1000 * 1000 ? 1000 * 1000 : (int)ms;
}

static void serve(struct spawner *spawner)
{
    struct epoll_event events[EVENT_COUNT];
    spawner->events = events;
    while (!spawner->is_ending) {
        int count = epoll_wait(spawner->epoll_fd, events, EVENT_COUNT,
                               wait_ms(spawner));
        spawner->event_count = count > 0 ? count : 0;
        for (int i = 0; i < spawner->event_count; i++) {
            struct watch *watch = events[i].data.ptr;
            if (watch) {
                watch->run(watch, events[i].events);
            }
        }
        spawner->event_count = 0;
        timers_fire(&spawner->timers, clock_now_ns(posix_clock()));
        flush(spawner);
    }
}

static enum err open_spawner(struct spawner *spawner, int fd)
{
    sigset_t signals;
    (void)sigfillset(&signals);
    (void)sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    spawner->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    spawner->signal_fd = signalfd(NO_FD, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    spawner->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    spawner->shared =
        mmap(NULL, SPAWNER_CHILDREN_MAX * sizeof(struct shared),
             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, NO_FD, 0);
    if (spawner->epoll_fd < 0 || spawner->signal_fd < 0 ||
        spawner->null_fd < 0 || spawner->shared == MAP_FAILED) {
        return ERR_LIMIT;
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    posix_stream_init(&spawner->node, fd);
    spawner->node_watch.run = on_node;
    spawner->signal_watch.run = on_signal;
    enum err err = spawner_watch(spawner, &spawner->node_watch, fd);
    return err ? err
               : spawner_watch(spawner, &spawner->signal_watch,
                               spawner->signal_fd);
}

int posix_spawner_run(int fd, const struct posix_spawner_host *host)
{
    struct spawner spawner = {.host = host};
    /* The node ignores these; commands are to begin as from a shell. */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
    (void)setsid(); /* Ctrl-C is for the node */
    posix_launch_close_others(fd);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) || open_spawner(&spawner, fd)) {
        return 1;
    }
    serve(&spawner);
    end_all();
    spawner_command_clear(&spawner);
    spawner_plugin_clear(&spawner);
    posix_stream_clear(&spawner.node);
    return 0; /* what else it has goes with the process */
}
