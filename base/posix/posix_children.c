#include "base/posix/posix_children.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_BYTES 64
#define NOTICE_BYTES 256
#define PATH_BYTES 4096

struct child {
    char name[NAME_BYTES];
    pid_t pid;     /* 0: it does not run */
    int notice_fd; /* -1: none */
    bool is_ready;
};

struct posix_children {
    char folder[PATH_BYTES];
    int signal_fd;
    sigset_t previous; /* signals that were blocked before */
    uint32_t count;
    struct child list[POSIX_CHILDREN_MAX];
};

enum err posix_children_open(struct posix_children **out, const char *folder)
{
    struct posix_children *children = calloc(1, sizeof *children);
    sigset_t signals;
    if (!children) {
        return ERR_MEMORY;
    }
    (void)snprintf(children->folder, sizeof children->folder, "%s", folder);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, &children->previous);
    children->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children->signal_fd < 0) {
        enum err err = err_from_errno(errno);
        (void)sigprocmask(SIG_SETMASK, &children->previous, NULL);
        free(children);
        return err;
    }
    *out = children;
    return ERR_NONE;
}

/* False: it is too long for the address of a socket. */
static bool notice_path(struct sockaddr_un *out,
                        const struct posix_children *children,
                        const struct child *child)
{
    char path[PATH_BYTES + NAME_BYTES + 8];
    int length = snprintf(path, sizeof path, "%s/%s.notify", children->folder,
                          child->name);
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length < 0 || (size_t)length >= sizeof out->sun_path) {
        return false;
    }
    memcpy(out->sun_path, path, (size_t)length);
    return true;
}

static void close_notice(const struct posix_children *children,
                         struct child *child)
{
    struct sockaddr_un address;
    if (child->notice_fd >= 0) {
        (void)close(child->notice_fd);
        child->notice_fd = -1;
        if (notice_path(&address, children, child)) {
            (void)unlink(address.sun_path);
        }
    }
}

void posix_children_close(struct posix_children **children)
{
    if (!*children) {
        return;
    }
    for (uint32_t i = 0; i < (*children)->count; i++) {
        struct child *child = &(*children)->list[i];
        if (child->pid > 0) {
            (void)kill(child->pid, SIGKILL);
            while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
            }
        }
        close_notice(*children, child);
    }
    (void)close((*children)->signal_fd);
    (void)sigprocmask(SIG_SETMASK, &(*children)->previous, NULL);
    free(*children);
    *children = NULL;
}

static enum err open_notice(const struct posix_children *children,
                            struct child *child)
{
    struct sockaddr_un address;
    if (!notice_path(&address, children, child)) {
        return ERR_INVALID;
    }
    (void)unlink(address.sun_path);
    child->notice_fd =
        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (child->notice_fd < 0 ||
        bind(child->notice_fd, (const struct sockaddr *)&address,
             sizeof address)) {
        return err_from_errno(errno);
    }
    return ERR_NONE;
}

/* In the child: never returns. */
static void become(const struct posix_children *children,
                   const struct child *child,
                   const char *const *arguments,
                   pid_t parent)
{
    char path[PATH_BYTES + NAME_BYTES + 8];
    struct sockaddr_un address;
    (void)snprintf(path, sizeof path, "%s/%s.log", children->folder,
                   child->name);
    int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int null_fd = open("/dev/null", O_RDONLY);
    if (log_fd < 0 || null_fd < 0 || !notice_path(&address, children, child) ||
        dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
        setenv("NOTIFY_SOCKET", address.sun_path, 1) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent) {
        _exit(126);
    }
    /* Ctrl-C is for the parent, who tells its children. */
    (void)setpgid(0, 0);
    (void)sigprocmask(SIG_SETMASK, &children->previous, NULL);
    (void)execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static struct child *child_of(struct posix_children *children, const char *name)
{
    for (uint32_t i = 0; i < children->count; i++) {
        if (strcmp(children->list[i].name, name) == 0) {
            return &children->list[i];
        }
    }
    if (children->count == POSIX_CHILDREN_MAX) {
        return NULL;
    }
    struct child *child = &children->list[children->count++];
    *child = (struct child){.notice_fd = -1};
    (void)snprintf(child->name, sizeof child->name, "%s", name);
    return child;
}

enum err posix_children_start(struct posix_children *children,
                              const char *name,
                              const char *const *arguments)
{
    if (access(arguments[0], X_OK)) {
        return ERR_NOT_FOUND;
    }
    struct child *child = child_of(children, name);
    if (!child || child->pid > 0) {
        return ERR_FULL;
    }
    close_notice(children, child);
    enum err err = open_notice(children, child);
    if (err) {
        close_notice(children, child);
        return err;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(children, child, arguments, parent);
    }
    if (pid < 0) {
        close_notice(children, child);
        return ERR_LIMIT;
    }
    child->pid = pid;
    child->is_ready = false;
    return ERR_NONE;
}

void posix_children_signal(struct posix_children *children,
                           uint32_t child,
                           int signal)
{
    if (child < children->count && children->list[child].pid > 0) {
        (void)kill(children->list[child].pid, signal);
    }
}

/* Whether one has ended. */
static bool reap(struct posix_children *children, uint32_t *child, int *status)
{
    for (uint32_t i = 0; i < children->count; i++) {
        pid_t pid = children->list[i].pid;
        if (pid > 0 && waitpid(pid, status, WNOHANG) == pid) {
            children->list[i].pid = 0;
            *child = i;
            return true;
        }
    }
    return false;
}

static bool is_interrupted(const struct posix_children *children)
{
    struct signalfd_siginfo info;
    while (read(children->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            return true;
        }
    }
    return false;
}

/* Whether one has said that it is ready. */
static bool hear(struct posix_children *children, uint32_t *child)
{
    for (uint32_t i = 0; i < children->count; i++) {
        struct child *from = &children->list[i];
        char notice[NOTICE_BYTES + 1];
        ssize_t length;
        while (from->notice_fd >= 0 &&
               (length = recv(from->notice_fd, notice, NOTICE_BYTES, 0)) > 0) {
            notice[length] = 0;
            if (!from->is_ready && strstr(notice, "READY=1")) {
                from->is_ready = true;
                *child = i;
                return true;
            }
        }
    }
    return false;
}

enum posix_children_event posix_children_next(struct posix_children *children,
                                              int timeout_ms,
                                              uint32_t *child,
                                              int *status)
{
    for (;;) {
        struct pollfd waits[POSIX_CHILDREN_MAX + 1];
        if (hear(children, child)) {
            return CHILDREN_READY;
        }
        if (reap(children, child, status)) {
            return CHILDREN_ENDED;
        }
        if (is_interrupted(children)) {
            return CHILDREN_INTERRUPTED;
        }
        waits[0] = (struct pollfd){.fd = children->signal_fd, .events = POLLIN};
        for (uint32_t i = 0; i < children->count; i++) {
            waits[i + 1] = (struct pollfd){.fd = children->list[i].notice_fd,
                                           .events = POLLIN};
        }
        int ready = poll(waits, children->count + 1, timeout_ms);
        if (ready == 0) {
            return CHILDREN_TIMEOUT;
        }
    }
}

uint32_t posix_children_running(const struct posix_children *children)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < children->count; i++) {
        count += children->list[i].pid > 0;
    }
    return count;
}

enum err posix_children_program(char **out,
                                const char *name,
                                const char *folder)
{
    char self[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;
    if (length > 0) {
        self[length] = 0;
        slash = strrchr(self, '/');
    }
    if (!slash) {
        return ERR_NOT_FOUND;
    }
    *slash = 0;
    const char *const between[] = {"", "../", NULL};
    const char *const places[] = {"", folder};
    for (uint32_t i = 0; between[i]; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s%s%s%s", self, between[i], places[i],
                     places[i][0] ? "/" : "", name) < 0) {
            return ERR_MEMORY;
        }
        if (access(path, X_OK) == 0) {
            *out = path;
            return ERR_NONE;
        }
        free(path);
    }
    return ERR_NOT_FOUND;
}
