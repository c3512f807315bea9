#include "base/posix/posix_helper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_stream.h"
#include "base/posix/posix_thread.h"
#include "base/scope.h"
#include "base/spawn_wire.h"
#include "base/time_units.h"

#define WHY_BYTES 256
#define CALM_NS (10 * NS_PER_S) /* one that lived so long was well */

extern char **environ;

struct posix_helper {
    /* Set once by posix_helper_open(). */
    struct posix_helper_config config;
    int wake_fd; /* for the thread */

    /* Guarded by `mutex`. */
    pthread_mutex_t mutex;
    struct buffer unsent;
    struct buffer received;
    uint64_t start_count;
    bool is_posted; /* `event` is */
    bool is_woken;
    bool is_lost; /* until the reactor knows */
    bool is_closing;
    char why[WHY_BYTES];

    /* The reactor. */
    struct posix_thread *thread;
    struct reactor_event event;
    struct buffer heard; /* the beginning of a message, perhaps */

    /* The thread. */
    struct posix_stream stream;
    pid_t pid;
    struct backoff backoff;
};

static void lock(struct posix_helper *helper)
{
    int code = pthread_mutex_lock(&helper->mutex);
    assert(code == 0);
}

static void unlock(struct posix_helper *helper)
{
    int code = pthread_mutex_unlock(&helper->mutex);
    assert(code == 0);
}

/* Locked. */
static void wake(struct posix_helper *helper)
{
    if (!helper->is_woken) {
        helper->is_woken = true;
        (void)!eventfd_write(helper->wake_fd, 1);
    }
}

/* Locked. */
static void post(struct posix_helper *helper)
{
    if (!helper->is_posted) {
        helper->is_posted = true;
        reactor_post(helper->config.reactor, &helper->event);
    }
}

/* ---- on the reactor ---- */

static void tell(struct posix_helper *helper)
{
    struct bytes message;
    enum err err = ERR_NONE;
    while (spawn_wire_next(&helper->heard, &message, &err)) {
        helper->config.on_message(helper->config.context, message);
        spawn_wire_take(&helper->heard, message);
    }
}

static void on_event(struct reactor_event *event)
{
    struct posix_helper *helper = OWNER_OF(event, struct posix_helper, event);
    char why[WHY_BYTES];
    lock(helper);
    helper->is_posted = false;
    bool is_closing = helper->is_closing;
    enum err err =
        buffer_append(&helper->heard, buffer_bytes(&helper->received));
    if (!err) {
        buffer_take(&helper->received, buffer_length(&helper->received));
    } else if (!helper->is_lost) {
        post(helper); /* there may be memory later */
    }
    bool is_lost = helper->is_lost;
    if (is_lost) {
        memcpy(why, helper->why, sizeof why);
        buffer_clear(&helper->unsent);
        buffer_clear(&helper->received);
        helper->is_lost = false;
        wake(helper);
    }
    unlock(helper);
    if (is_closing) {
        return;
    }
    tell(helper);
    if (is_lost) {
        buffer_clear(&helper->heard);
        helper->config.on_lost(helper->config.context, why);
    }
}

struct buffer *posix_helper_begin(struct posix_helper *helper)
{
    lock(helper);
    return &helper->unsent;
}

void posix_helper_end(struct posix_helper *helper)
{
    wake(helper);
    unlock(helper);
}

uint64_t posix_helper_start_count(struct posix_helper *helper)
{
    lock(helper);
    uint64_t count = helper->start_count;
    unlock(helper);
    return count;
}

/* ---- on the thread: the process ---- */

static enum err spawn(struct posix_helper *helper, int fd)
{
    posix_spawn_file_actions_t actions;
    const char *const *arguments = helper->config.arguments;
    if (posix_spawn_file_actions_init(&actions)) {
        return ERR_MEMORY;
    }
    int code = posix_spawn_file_actions_adddup2(&actions, fd, POSIX_HELPER_FD);
    if (!code) {
        code = posix_spawn(&helper->pid, arguments[0], &actions, NULL,
                           (char *const *)(uintptr_t)arguments, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (code == ENOENT) {
        return ERR_NOT_FOUND;
    }
    return code ? err_from_errno(code) : ERR_NONE;
}

static enum err start(struct posix_helper *helper)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        return ERR_LIMIT;
    }
    /* On the same descriptor, adddup2() keeps it open as well. */
    enum err err = spawn(helper, fds[1]);
    (void)close(fds[1]);
    if (err) {
        (void)close(fds[0]);
        return err;
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    posix_stream_init(&helper->stream, fds[0]);
    lock(helper);
    helper->start_count++;
    unlock(helper);
    return ERR_NONE;
}

/* It has closed its socket, or is to see that we have closed ours. */
static void end(struct posix_helper *helper,
                bool may_finish,
                char why[static WHY_BYTES])
{
    int status = 0;
    posix_stream_clear(&helper->stream);
    if (!may_finish) {
        (void)kill(helper->pid, SIGKILL);
    }
    while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        (void)snprintf(why, WHY_BYTES, "was ended by the signal %s",
                       strsignal(WTERMSIG(status)));
    } else {
        (void)snprintf(why, WHY_BYTES, "has ended, with status %d",
                       WEXITSTATUS(status));
    }
}

/* ---- on the thread: moving bytes ---- */

/* False: it is to end. */
static bool take_unsent(struct posix_helper *helper)
{
    lock(helper);
    struct bytes bytes = buffer_bytes(&helper->unsent);
    if (!buffer_append(&helper->stream.unsent, bytes)) {
        buffer_take(&helper->unsent, bytes.length);
    }
    bool goes_on = !helper->is_closing;
    unlock(helper);
    return goes_on;
}

static enum err pass_on(struct posix_helper *helper)
{
    lock(helper);
    struct bytes bytes = buffer_bytes(&helper->stream.received);
    enum err err = buffer_append(&helper->received, bytes);
    if (!err) {
        buffer_take(&helper->stream.received, bytes.length);
        post(helper);
    }
    unlock(helper);
    return err;
}

static void sleep_until(struct posix_helper *helper,
                        int fd,
                        short events,
                        int timeout_ms)
{
    struct pollfd waits[] = {{.fd = helper->wake_fd, .events = POLLIN},
                             {.fd = fd, .events = events}};
    eventfd_t count;
    (void)poll(waits, fd < 0 ? 1 : 2, timeout_ms);
    lock(helper);
    if (helper->is_woken) {
        (void)!eventfd_read(helper->wake_fd, &count);
        helper->is_woken = false;
    }
    unlock(helper);
}

/* Until the process is lost. False: we are closing. */
static bool serve(struct posix_helper *helper)
{
    enum err err = ERR_NONE;
    while (!err) {
        if (!take_unsent(helper)) {
            return false;
        }
        err = posix_stream_send(&helper->stream);
        if (!err) {
            bool has_more = buffer_length(&helper->stream.unsent) > 0;
            sleep_until(helper, helper->stream.fd,
                        has_more ? POLLIN | POLLOUT : POLLIN, -1);
        }
        if (!err || err == ERR_CLOSED) {
            enum err heard = posix_stream_receive(&helper->stream);
            err = err ? err : heard;
        }
        if (buffer_length(&helper->stream.received) > 0) {
            enum err passed = pass_on(helper);
            err = err ? err : passed;
        }
    }
    return true;
}

/* ---- on the thread: its life ---- */

/* Until there is something to send. False: we are closing. */
static bool wait_for_work(struct posix_helper *helper)
{
    for (;;) {
        lock(helper);
        bool is_closing = helper->is_closing;
        bool has_work = buffer_length(&helper->unsent) > 0 && !helper->is_lost;
        unlock(helper);
        if (is_closing || has_work) {
            return !is_closing;
        }
        sleep_until(helper, -1, 0, -1);
    }
}

static void say_lost(struct posix_helper *helper, const char *why)
{
    lock(helper);
    (void)snprintf(helper->why, sizeof helper->why, "%s", why);
    helper->is_lost = true;
    post(helper);
    unlock(helper);
}

/* False: we are closing. */
static bool rest(struct posix_helper *helper, uint64_t started_ns)
{
    uint64_t now_ns = clock_now_ns(posix_clock());
    if (now_ns - started_ns >= CALM_NS) {
        backoff_reset(&helper->backoff);
    }
    uint64_t until_ns =
        now_ns + backoff_next_ms(&helper->backoff, NULL) * NS_PER_MS;
    for (;;) {
        lock(helper);
        bool is_closing = helper->is_closing;
        unlock(helper);
        now_ns = clock_now_ns(posix_clock());
        if (is_closing || now_ns >= until_ns) {
            return !is_closing;
        }
        sleep_until(helper, -1, 0, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
    }
}

static void run(void *argument)
{
    struct posix_helper *helper = argument;
    char why[WHY_BYTES];
    while (wait_for_work(helper)) {
        uint64_t started_ns = clock_now_ns(posix_clock());
        enum err err = start(helper);
        if (err) {
            (void)snprintf(why, sizeof why, "cannot be started (`%s`): %s",
                           helper->config.arguments[0], err_text(err));
        } else {
            bool is_lost = serve(helper);
            end(helper, !is_lost, why);
            if (!is_lost) {
                return;
            }
        }
        say_lost(helper, why);
        if (!rest(helper, started_ns)) {
            return;
        }
    }
}

/* ---- opening and closing ---- */

enum err posix_helper_open(struct posix_helper **out,
                           const struct posix_helper_config *config)
{
    static const struct backoff_config pauses = {
        .base_ms = 50, .multiplier_percent = 200, .max_ms = 10000};
    scoped(posix_helper_close) struct posix_helper *helper =
        calloc(1, sizeof *helper);
    if (!helper) {
        return ERR_MEMORY;
    }
    helper->config = *config;
    helper->event.run = on_event;
    helper->wake_fd = -1;
    posix_stream_init(&helper->stream, -1);
    backoff_init(&helper->backoff, &pauses);
    (void)pthread_mutex_init(&helper->mutex, NULL);
    helper->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (helper->wake_fd < 0) {
        return ERR_LIMIT;
    }
    enum err err =
        posix_thread_start(&helper->thread, config->name, run, helper);
    if (err) {
        return err;
    }
    *out = helper;
    helper = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* An event that was posted must be run before it may go. */
static bool is_posted(struct posix_helper *helper)
{
    lock(helper);
    bool is_posted = helper->is_posted;
    unlock(helper);
    return is_posted;
}

void posix_helper_close(struct posix_helper **helper)
{
    if (!*helper) {
        return;
    }
    if ((*helper)->thread) {
        lock(*helper);
        (*helper)->is_closing = true;
        wake(*helper);
        unlock(*helper);
        posix_thread_join(&(*helper)->thread);
    }
    while (is_posted(*helper)) {
        (void)reactor_turn((*helper)->config.reactor);
    }
    if ((*helper)->wake_fd >= 0) {
        (void)close((*helper)->wake_fd);
    }
    buffer_clear(&(*helper)->unsent);
    buffer_clear(&(*helper)->received);
    buffer_clear(&(*helper)->heard);
    (void)pthread_mutex_destroy(&(*helper)->mutex);
    free(*helper);
    *helper = NULL;
}
