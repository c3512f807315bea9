#include "base/posix/posix_spawner_core.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/owner.h"

#define READ_BYTES (16u << 10)

/* Of what is still in a pipe when its command has ended: more than a pipe
 * holds; what has left the group may go on writing for ever. */
#define LAST_BYTES_MAX (1u << 20)

/* stdout or stderr. */
struct capture {
    struct watch watch;
    struct buffer kept;
    uint32_t bytes_max;
    uint64_t cut_bytes;
};

struct spawner_command {
    struct spawner *spawner;
    struct spawner_command *next;
    uint32_t ticket;
    pid_t pid;
    struct buffer message; /* what `command` borrows from */
    struct spawn_command command;
    struct capture output;
    struct capture errors;
    struct timer timer;    /* until it is asked to end, or killed */
    enum spawn_end asked;  /* TIMED_OUT, CANCELLED; EXITED: it was not */
    struct shared *shared; /* whether it could begin */
};

/* ---- what it writes ---- */

static void close_capture(struct capture *capture)
{
    int fd = capture->watch.fd;
    if (fd >= 0 && capture->watch.spawner) {
        spawner_forget(&capture->watch);
        (void)close(fd);
    }
}

static void keep(struct capture *capture, struct bytes bytes)
{
    size_t room = capture->bytes_max - buffer_length(&capture->kept);
    struct bytes kept = bytes;
    kept.length = kept.length < room ? kept.length : room;
    if (buffer_append(&capture->kept, kept)) {
        kept.length = 0;
    }
    capture->cut_bytes += bytes.length - kept.length;
}

/* Read once; false: there is nothing now, or ever. */
static bool read_some(struct capture *capture)
{
    uint8_t bytes[READ_BYTES];
    if (capture->watch.fd < 0) {
        return false;
    }
    ssize_t length = read(capture->watch.fd, bytes, sizeof bytes);
    if (length > 0) {
        keep(capture, bytes_of(bytes, (size_t)length));
        return true;
    }
    if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_capture(capture);
    }
    return false;
}

static void on_output(struct watch *watch, uint32_t events)
{
    (void)events;
    (void)read_some(OWNER_OF(watch, struct capture, watch));
}

static void read_last(struct capture *capture)
{
    for (uint32_t bytes = 0; bytes < LAST_BYTES_MAX; bytes += READ_BYTES) {
        if (!read_some(capture)) {
            break;
        }
    }
    close_capture(capture);
}

/* `*write_fd` is for the command. */
static enum err open_capture(struct spawner *spawner,
                             struct capture *capture,
                             int *write_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC)) {
        return ERR_LIMIT;
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    capture->watch.run = on_output;
    if (spawner_watch(spawner, &capture->watch, fds[0])) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        capture->watch.fd = -1;
        return ERR_LIMIT;
    }
    *write_fd = fds[1];
    return ERR_NONE;
}

/* ---- its end ---- */

static void free_command(struct spawner_command *command)
{
    close_capture(&command->output);
    close_capture(&command->errors);
    timers_cancel(&command->spawner->timers, &command->timer);
    if (command->shared) {
        command->shared->is_taken = false;
    }
    buffer_clear(&command->output.kept);
    buffer_clear(&command->errors.kept);
    buffer_clear(&command->message);
    free(command);
}

static void unlink_command(struct spawner_command *command)
{
    struct spawner_command **at = &command->spawner->commands;
    while (*at != command) {
        at = &(*at)->next;
    }
    *at = command->next;
}

void spawner_command_clear(struct spawner *spawner)
{
    while (spawner->commands) {
        struct spawner_command *command = spawner->commands;
        spawner->commands = command->next;
        free_command(command);
    }
}

static void say_how(struct spawn_ended *ended,
                    const struct spawner_command *command,
                    int status,
                    char why[static SPAWN_WHY_BYTES])
{
    const struct posix_launch_failure *failure = &command->shared->failure;
    if (command->asked != SPAWN_EXITED) {
        ended->end = command->asked;
        ended->code = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    } else if (failure->step) {
        ended->end =
            posix_launch_is_final(failure) ? SPAWN_REFUSED : SPAWN_FAILED;
        posix_launch_explain(why, failure, &command->command);
    } else if (WIFSIGNALED(status)) {
        ended->end = SPAWN_SIGNALLED;
        ended->code = WTERMSIG(status);
    } else {
        ended->end = SPAWN_EXITED;
        ended->code = WEXITSTATUS(status);
    }
}

static struct spawner_command *find_command(const struct spawner *spawner,
                                            pid_t pid)
{
    struct spawner_command *command = spawner->commands;
    while (command && command->pid != pid) {
        command = command->next;
    }
    return command;
}

bool spawner_command_has(const struct spawner *spawner, pid_t pid)
{
    return find_command(spawner, pid) != NULL;
}

bool spawner_command_ended(struct spawner *spawner, pid_t pid, int status)
{
    char why[SPAWN_WHY_BYTES] = "";
    struct spawner_command *command = find_command(spawner, pid);
    if (!command) {
        return false;
    }
    read_last(&command->output);
    read_last(&command->errors);
    struct spawn_ended ended = {.ticket = command->ticket,
                                .output = buffer_bytes(&command->output.kept),
                                .errors = buffer_bytes(&command->errors.kept),
                                .cut_bytes = command->output.cut_bytes +
                                             command->errors.cut_bytes,
                                .why = why};
    say_how(&ended, command, status, why);
    spawner_say_ended(spawner, &ended);
    unlink_command(command);
    free_command(command);
    return true;
}

static void on_timer(struct timer *timer)
{
    struct spawner_command *command =
        OWNER_OF(timer, struct spawner_command, timer);
    if (command->asked != SPAWN_EXITED) {
        spawner_signal_group(command->pid, SIGKILL);
        return;
    }
    command->asked = SPAWN_TIMED_OUT;
    spawner_signal_group(command->pid, SIGTERM);
    timers_set(&command->spawner->timers, timer,
               clock_now_ns(posix_clock()) + SPAWNER_GRACE_NS);
}

void spawner_command_cancel(struct spawner *spawner, uint32_t ticket)
{
    for (struct spawner_command *command = spawner->commands; command;
         command = command->next) {
        if (command->ticket == ticket && command->asked == SPAWN_EXITED) {
            command->asked = SPAWN_CANCELLED;
            spawner_signal_group(command->pid, SIGTERM);
            timers_set(&spawner->timers, &command->timer,
                       clock_now_ns(posix_clock()) + SPAWNER_GRACE_NS);
        }
    }
}

/* ---- looking at it ---- */

static struct bytes kept_from(const struct capture *capture, uint64_t from)
{
    struct bytes kept = buffer_bytes(&capture->kept);
    return from < kept.length
               ? bytes_of(kept.data + from, kept.length - (size_t)from)
               : (struct bytes){0};
}

void spawner_command_look(struct spawner *spawner,
                          const struct spawn_look *look)
{
    const struct spawner_command *command = spawner->commands;
    while (command && command->ticket != look->ticket) {
        command = command->next;
    }
    if (command) {
        spawner_say_looked(
            spawner,
            &(struct spawn_looked){
                .number = look->number,
                .output = kept_from(&command->output, look->output_from),
                .errors = kept_from(&command->errors, look->errors_from),
                .cut_bytes =
                    command->output.cut_bytes + command->errors.cut_bytes});
    }
}

/* ---- its beginning ---- */

/* A file in memory, so that nobody waits for a command that does not read. */
static enum err open_input(int *out, struct bytes input)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0) {
        return ERR_LIMIT;
    }
    while (input.length > 0) {
        ssize_t length = write(fd, input.data, input.length);
        if (length < 0 && errno != EINTR) {
            (void)close(fd);
            return ERR_MEMORY;
        }
        input = bytes_of(input.data + (length > 0 ? length : 0),
                         input.length - (length > 0 ? (size_t)length : 0));
    }
    (void)lseek(fd, 0, SEEK_SET);
    *out = fd;
    return ERR_NONE;
}

static enum err launch(struct spawner_command *command)
{
    int input_fd = command->spawner->null_fd;
    int output_fd = -1;
    int errors_fd = -1;
    enum err err = ERR_NONE;
    if (command->command.input.length > 0) {
        err = open_input(&input_fd, command->command.input);
    }
    if (!err) {
        err = open_capture(command->spawner, &command->output, &output_fd);
    }
    if (!err) {
        err = open_capture(command->spawner, &command->errors, &errors_fd);
    }
    if (!err) {
        const struct posix_launch how = {.command = &command->command,
                                         .input_fd = input_fd,
                                         .output_fd = output_fd,
                                         .errors_fd = errors_fd,
                                         .failure = &command->shared->failure};
        err = posix_launch(&command->pid, &how);
    }
    const int fds[] = {input_fd, output_fd, errors_fd};
    for (uint32_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0 && fds[i] != command->spawner->null_fd) {
            (void)close(fds[i]);
        }
    }
    return err;
}

static struct spawner_command *make_command(struct spawner *spawner,
                                            struct bytes message)
{
    struct spawner_command *command = calloc(1, sizeof *command);
    if (!command) {
        return NULL;
    }
    command->spawner = spawner;
    command->output.watch.fd = -1;
    command->errors.watch.fd = -1;
    command->timer.fire = on_timer;
    command->shared = spawner_take_shared(spawner);
    if (!command->shared || buffer_append(&command->message, message) ||
        spawn_wire_get_command(&command->command,
                               buffer_bytes(&command->message))) {
        free_command(command);
        return NULL;
    }
    command->ticket = command->command.ticket;
    command->output.bytes_max = command->command.output_bytes_max;
    command->errors.bytes_max = command->command.output_bytes_max;
    return command;
}

static void say_failed(struct spawner *spawner,
                       const struct spawn_command *command,
                       enum err err)
{
    char why[SPAWN_WHY_BYTES];
    bool is_user = err == ERR_INVALID;
    if (is_user) {
        (void)snprintf(why, sizeof why, "this host has no user `%s`",
                       command->user);
    } else {
        (void)snprintf(why, sizeof why, "cannot start a process: %s",
                       err_text(err));
    }
    struct spawn_ended ended = {.ticket = command->ticket,
                                .end = is_user ? SPAWN_REFUSED : SPAWN_FAILED,
                                .why = why};
    spawner_say_ended(spawner, &ended);
}

void spawner_command_start(struct spawner *spawner, struct bytes message)
{
    struct spawn_command asked;
    if (spawn_wire_get_command(&asked, message)) {
        spawner->is_ending = true; /* the node makes no sense */
        return;
    }
    struct spawner_command *command = make_command(spawner, message);
    enum err err = command ? launch(command) : ERR_LIMIT;
    if (err) {
        say_failed(spawner, &asked, err);
        if (command) {
            free_command(command);
        }
        return;
    }
    command->next = spawner->commands;
    spawner->commands = command;
    if (command->command.timeout_ms > 0) {
        timers_set(&spawner->timers, &command->timer,
                   clock_now_ns(posix_clock()) +
                       command->command.timeout_ms * NS_PER_MS);
    }
}
