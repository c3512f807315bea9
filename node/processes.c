#include "node/processes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/posix/posix_helper.h"
#include "base/scope.h"
#include "base/spawn_wire.h"
#include "node/command.h"
#include "troupe/task.h"

#define WHY_BYTES 320
#define LOOKS_MAX 64 /* at the same time: each may bring 64 KiB */

/* A run that the spawner has; run->own points to it. */
struct ticket {
    struct run *run;
    void *giver;
    uint32_t number; /* its index */
    struct ticket *next_free;
};

struct processes {
    struct processes_config config;
    char *program;
    const char *arguments[3];
    struct posix_helper *spawner;
    struct ticket **tickets;
    uint32_t ticket_count;
    uint32_t ticket_capacity;
    struct ticket *free;
    struct buffer output; /* of the result that is told */
    struct run_look *looks;
    uint32_t look_count;
    uint32_t look_number; /* of the newest */
};

/* ---- tickets ---- */

static struct ticket *add_ticket(struct processes *processes)
{
    if (processes->ticket_count == processes->ticket_capacity) {
        uint32_t capacity = processes->ticket_capacity * 2 + 16;
        struct ticket **more =
            realloc(processes->tickets, capacity * sizeof(struct ticket *));
        if (!more) {
            return NULL;
        }
        processes->tickets = more;
        processes->ticket_capacity = capacity;
    }
    struct ticket *ticket = calloc(1, sizeof *ticket);
    if (ticket) {
        ticket->number = processes->ticket_count;
        processes->tickets[processes->ticket_count++] = ticket;
    }
    return ticket;
}

/* ERR_MEMORY */
static enum err take_ticket(struct processes *processes,
                            struct run *run,
                            void *giver)
{
    struct ticket *ticket = processes->free;
    if (ticket) {
        processes->free = ticket->next_free;
    } else {
        ticket = add_ticket(processes);
    }
    if (!ticket) {
        return ERR_MEMORY;
    }
    ticket->run = run;
    ticket->giver = giver;
    run->own = ticket;
    return ERR_NONE;
}

static uint32_t number_of(const struct run *run)
{
    const struct ticket *ticket = run->own;
    assert(ticket->run == run);
    return ticket->number;
}

/* Returns who gave it. */
static void *give_back(struct processes *processes, struct run *run)
{
    struct ticket *ticket = run->own;
    assert(ticket->run == run);
    run->own = NULL;
    ticket->run = NULL;
    ticket->next_free = processes->free;
    processes->free = ticket;
    return ticket->giver;
}

/* NULL: nobody has it. */
static struct run *find_run(const struct processes *processes, uint32_t ticket)
{
    return ticket < processes->ticket_count ? processes->tickets[ticket]->run
                                            : NULL;
}

/* ---- looks ---- */

enum err processes_look(struct processes *processes,
                        struct run *run,
                        struct run_look *look)
{
    if (processes->look_count == LOOKS_MAX) {
        return ERR_FULL;
    }
    uint32_t number = processes->look_number + 1;
    number += number == 0;
    const struct spawn_look message = {.ticket = number_of(run),
                                       .number = number,
                                       .output_from = look->output_from,
                                       .errors_from = look->errors_from};
    enum err err =
        spawn_wire_put_look(posix_helper_begin(processes->spawner), &message);
    posix_helper_end(processes->spawner);
    if (!err) {
        look->run = run;
        look->number = processes->look_number = number;
        look->next = processes->looks;
        processes->looks = look;
        processes->look_count++;
    }
    return err;
}

static void take_look(struct processes *processes, struct run_look **link)
{
    struct run_look *look = *link;
    *link = look->next;
    look->number = 0;
    processes->look_count--;
}

void processes_unlook(struct processes *processes, struct run_look *look)
{
    struct run_look **link = &processes->looks;
    while (*link && *link != look) {
        link = &(*link)->next;
    }
    if (*link) {
        take_look(processes, link);
    }
}

static void end_looks(struct processes *processes, const struct run *run)
{
    for (struct run_look **link = &processes->looks; *link;) {
        struct run_look *look = *link;
        if (look->run == run) {
            take_look(processes, link);
            look->done(look, ERR_CLOSED, NULL);
            link = &processes->looks; /* more may have been taken out */
        } else {
            link = &look->next;
        }
    }
}

static void on_looked(struct processes *processes, struct bytes message)
{
    struct spawn_looked looked;
    struct run_look **link = &processes->looks;
    if (spawn_wire_get_looked(&looked, message)) {
        return;
    }
    while (*link && (*link)->number != looked.number) {
        link = &(*link)->next;
    }
    struct run_look *look = *link;
    if (look) {
        take_look(processes, link);
        look->done(look, ERR_NONE,
                   &(struct run_written){.output = looked.output,
                                         .errors = looked.errors,
                                         .cut_bytes = looked.cut_bytes});
    }
}

/* ---- what the spawner says ---- */

static enum run_status status_of_exit(const struct run *run, int32_t code)
{
    if (code == 0) {
        return RUN_DONE;
    }
    return run->pool->handler == TASK_PLUGIN && code == TROUPE_TASK_REFUSED
               ? RUN_REFUSED
               : RUN_FAILED;
}

static enum run_status status_of(const struct run *run,
                                 const struct spawn_ended *ended)
{
    switch (ended->end) {
    case SPAWN_EXITED:
        return status_of_exit(run, ended->code);
    case SPAWN_SIGNALLED:
        return RUN_CRASHED;
    case SPAWN_TIMED_OUT:
        return RUN_TIMED_OUT;
    case SPAWN_CANCELLED:
        return RUN_CANCELLED;
    case SPAWN_REFUSED:
        return RUN_REFUSED;
    default:
        return RUN_FAILED;
    }
}

/* What nobody has said yet. */
static void explain(char why[static WHY_BYTES],
                    const struct run *run,
                    const struct spawn_ended *ended)
{
    char signal[32];
    bool is_command = run->pool->handler == TASK_EXEC;
    (void)snprintf(why, WHY_BYTES, "%s", ended->why);
    if (ended->why[0]) {
        return;
    }
    if (ended->end == SPAWN_SIGNALLED) {
        command_signal_name(signal, ended->code);
        (void)snprintf(why, WHY_BYTES, "%s was ended by the signal %s",
                       is_command ? "the command" : "the plug-in's process",
                       signal);
    } else if (ended->end == SPAWN_TIMED_OUT) {
        (void)snprintf(why, WHY_BYTES, "killed after %u ms", run->timeout_ms);
    } else if (ended->end == SPAWN_EXITED && ended->code != 0) {
        (void)snprintf(why, WHY_BYTES,
                       is_command ? "exit status %d"
                                  : "the function returned %d",
                       ended->code);
    } else if (ended->end == SPAWN_EXITED && ended->cut_bytes > 0) {
        (void)snprintf(why, WHY_BYTES, "%llu bytes of output were cut",
                       (unsigned long long)ended->cut_bytes);
    }
}

static struct bytes output_of(struct processes *processes,
                              const struct run *run,
                              const struct spawn_ended *ended)
{
    bool has_begun = ended->end < SPAWN_REFUSED;
    if (run->pool->handler != TASK_EXEC || !has_begun) {
        return ended->output;
    }
    buffer_take(&processes->output, buffer_length(&processes->output));
    if (command_encode_result(&processes->output, ended)) {
        return (struct bytes){0};
    }
    return buffer_bytes(&processes->output);
}

static void end_run(struct processes *processes,
                    struct run *run,
                    const struct spawn_ended *ended)
{
    char why[WHY_BYTES];
    explain(why, run, ended);
    const struct run_result result = {.status = status_of(run, ended),
                                      .output =
                                          output_of(processes, run, ended),
                                      .why = why};
    end_looks(processes, run);
    processes->config.on_ended(give_back(processes, run), run, &result);
}

static void on_ended(struct processes *processes, struct bytes message)
{
    struct spawn_ended ended;
    if (!spawn_wire_get_ended(&ended, message)) {
        struct run *run = find_run(processes, ended.ticket);
        if (run) {
            end_run(processes, run, &ended);
        }
    }
}

static void on_progress(struct processes *processes, struct bytes message)
{
    struct spawn_progress progress;
    if (!spawn_wire_get_progress(&progress, message)) {
        struct run *run = find_run(processes, progress.ticket);
        if (run && run->progress) {
            run->progress(run, progress.done_of_1000, progress.text);
        }
    }
}

static void on_message(void *context, struct bytes message)
{
    switch (spawn_wire_kind(message)) {
    case SPAWN_ENDED:
        on_ended(context, message);
        return;
    case SPAWN_PROGRESS:
        on_progress(context, message);
        return;
    case SPAWN_LOOKED:
        on_looked(context, message);
        return;
    default:
        return; /* it says nothing else */
    }
}

/* Every run that it had has failed. What is started in answer to that is for
 * the next spawner, and none of those that are gathered here. */
static void on_lost(void *context, const char *how)
{
    struct processes *processes = context;
    char why[SPAWN_WHY_BYTES];
    struct ticket *lost = NULL;
    log_warn(processes->config.log, "tasks.runner_lost", LOG_TEXT("why", how),
             LOG_TEXT("next", "its tasks fail; it is started again"));
    (void)snprintf(why, sizeof why, "the process that runs tasks %.200s", how);
    for (uint32_t i = 0; i < processes->ticket_count; i++) {
        struct ticket *ticket = processes->tickets[i];
        if (ticket->run) {
            ticket->next_free = lost;
            lost = ticket;
        }
    }
    while (lost) {
        struct ticket *next = lost->next_free;
        struct run *run = lost->run;
        const struct run_result result = {.status = RUN_FAILED, .why = why};
        end_looks(processes, run);
        processes->config.on_ended(give_back(processes, run), run, &result);
        lost = next;
    }
}

/* ---- what it is told ---- */

static struct spawn_limits limits_of(const struct task_limits *limits)
{
    return (struct spawn_limits){.cpu_ms = limits->cpu_ms,
                                 .memory_bytes = limits->memory_bytes,
                                 .file_bytes = limits->file_bytes,
                                 .files = limits->files,
                                 .processes = limits->processes};
}

static enum err send_command(struct processes *processes,
                             const struct run *run,
                             const struct command *command)
{
    const struct task_pool *pool = run->pool;
    const struct spawn_command message = {
        .ticket = number_of(run),
        .timeout_ms = run->timeout_ms,
        .output_bytes_max = pool->output_bytes_max / 2,
        .arguments = {command->argument_count,
                      buffer_bytes(&command->arguments)},
        .variables = {command->variable_count,
                      buffer_bytes(&command->variables)},
        .user = pool->user ? pool->user : "",
        .dir = pool->dir ? pool->dir : "/",
        .limits = limits_of(&pool->limits),
        .input = command->input};
    enum err err = spawn_wire_put_command(
        posix_helper_begin(processes->spawner), &message);
    posix_helper_end(processes->spawner);
    return err;
}

/* Whether the pool lets it run. */
static enum err check_command(const struct command *command,
                              const struct task_pool *pool,
                              struct err_detail *why)
{
    const char *program = (const char *)buffer_bytes(&command->arguments).data;
    if (!task_pool_allows(pool, program)) {
        err_explain(why,
                    "the pool `%s` does not allow the command `%.200s`: its "
                    "`commands` name those that it does",
                    pool->name, program);
        return ERR_DENIED;
    }
    /* With LD_PRELOAD any command would be every command. */
    if (command->variable_count > 0 && !pool->any_command) {
        err_explain(why,
                    "the pool `%s` does not allow tasks to set `env`: only one "
                    "with `any_command` does",
                    pool->name);
        return ERR_DENIED;
    }
    return ERR_NONE;
}

enum err processes_start_command(struct processes *processes,
                                 struct run *run,
                                 void *giver,
                                 struct err_detail *why)
{
    scoped(command_clear) struct command command = {0};
    enum err err = command_decode(&command, run->payload, why);
    err = err ? err : check_command(&command, run->pool, why);
    err = err ? err : command_add_environment(&command, run);
    err = err ? err : take_ticket(processes, run, giver);
    if (err) {
        return err;
    }
    err = send_command(processes, run, &command);
    if (err) {
        (void)give_back(processes, run);
    }
    return err;
}

enum err processes_start_plugin(struct processes *processes,
                                struct run *run,
                                void *giver)
{
    enum err err = take_ticket(processes, run, giver);
    if (err) {
        return err;
    }
    const struct spawn_plugin message = {
        .ticket = number_of(run),
        .timeout_ms = run->timeout_ms,
        .output_bytes_max = run->pool->output_bytes_max,
        .path = run->pool->plugin ? run->pool->plugin : "",
        .function = run->pool->function,
        .task = run->task,
        .token = run->token,
        .attempt = run->attempt,
        .payload = run->payload};
    err =
        spawn_wire_put_plugin(posix_helper_begin(processes->spawner), &message);
    posix_helper_end(processes->spawner);
    if (err) {
        (void)give_back(processes, run);
    }
    return err;
}

void processes_cancel(struct processes *processes, struct run *run)
{
    /* Without memory for so little it goes on until its time is over. */
    (void)!spawn_wire_put_cancel(posix_helper_begin(processes->spawner),
                                 number_of(run));
    posix_helper_end(processes->spawner);
}

void processes_renew(struct processes *processes)
{
    (void)!spawn_wire_put_plain(posix_helper_begin(processes->spawner),
                                SPAWN_RENEW);
    posix_helper_end(processes->spawner);
}

uint64_t processes_start_count(struct processes *processes)
{
    return posix_helper_start_count(processes->spawner);
}

/* ---- opening and closing ---- */

enum err processes_open(struct processes **out,
                        const struct processes_config *config)
{
    scoped(processes_close) struct processes *processes =
        calloc(1, sizeof *processes);
    if (!processes) {
        return ERR_MEMORY;
    }
    processes->config = *config;
    processes->program = strdup(config->program);
    if (!processes->program) {
        return ERR_MEMORY;
    }
    processes->arguments[0] = processes->program;
    processes->arguments[1] = "--serve";
    const struct posix_helper_config spawner = {.name = "commands",
                                                .arguments =
                                                    processes->arguments,
                                                .reactor = config->reactor,
                                                .context = processes,
                                                .on_message = on_message,
                                                .on_lost = on_lost};
    enum err err = posix_helper_open(&processes->spawner, &spawner);
    if (err) {
        return err;
    }
    *out = processes;
    processes = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void processes_close(struct processes **processes)
{
    if (!*processes) {
        return;
    }
    posix_helper_close(&(*processes)->spawner);
    for (uint32_t i = 0; i < (*processes)->ticket_count; i++) {
        free((*processes)->tickets[i]);
    }
    free((*processes)->tickets);
    buffer_clear(&(*processes)->output);
    free((*processes)->program);
    free(*processes);
    *processes = NULL;
}
