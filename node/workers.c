/*
 * A run waits in its pool's list until the pool has room: a process for each
 * of its workers, or a place in its threads' deques. What cannot be begun is
 * told in a turn of its own, as nobody may be told within start().
 */

#include "node/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/owner.h"
#include "base/posix/posix_children.h"
#include "node/processes.h"
#include "node/threads.h"

#define RUNNER_NAME "troupe-runner"

struct pool {
    struct workers_crew *crew;
    struct pool *next;
    char name[CERTIFICATE_NAME_BYTES];
    enum task_handler handler;
    char function[CERTIFICATE_NAME_BYTES];
    uint32_t workers;
    uint64_t version;
    bool is_gone; /* its runs end, nothing new begins; it comes back when the
                     same pool does */
    struct threads *threads; /* FUNCTION; NULL: it has no such function */
    uint32_t running;        /* in processes */
    uint32_t waiting_count;
    struct run *oldest; /* that waits */
    struct run *newest;
};

/* A run that could not begin. */
struct refusal {
    struct run *run;
    struct refusal *next;
    enum run_status status;
    struct err_detail why;
};

struct workers_crew {
    struct workers_config config;
    struct workers table;
    struct pool *pools;
    struct processes *processes; /* NULL: nobody needed them yet */
    struct refusal *refusals;    /* the newest first */
    struct run *forgotten;       /* for which there was no memory */
    struct reactor_event refuse_event;
    bool is_posted; /* `refuse_event` */
    bool is_closing;
};

/* ---- what cannot begin ---- */

static void post_refusals(struct workers_crew *crew)
{
    if (!crew->is_posted) {
        crew->is_posted = true;
        reactor_post(crew->config.reactor, &crew->refuse_event);
    }
}

static void refuse(struct workers_crew *crew,
                   struct run *run,
                   enum run_status status,
                   const struct err_detail *why)
{
    struct refusal *refusal = malloc(sizeof *refusal);
    run->own = NULL;
    if (refusal) {
        *refusal = (struct refusal){
            .run = run, .next = crew->refusals, .status = status, .why = *why};
        crew->refusals = refusal;
    } else {
        run->next = crew->forgotten;
        crew->forgotten = run;
    }
    post_refusals(crew);
}

static void tell(struct workers_crew *crew,
                 struct run *run,
                 enum run_status status,
                 const char *why)
{
    const struct run_result result = {.status = status, .why = why};
    if (!crew->is_closing) {
        run->done(run, &result);
    }
}

static void on_refuse(struct reactor_event *event)
{
    struct workers_crew *crew =
        OWNER_OF(event, struct workers_crew, refuse_event);
    struct refusal *newest = crew->refusals;
    struct refusal *oldest = NULL;
    struct run *forgotten = crew->forgotten;
    crew->is_posted = false;
    crew->refusals = NULL;
    crew->forgotten = NULL;
    while (newest) {
        struct refusal *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    while (oldest) {
        struct refusal *next = oldest->next;
        tell(crew, oldest->run, oldest->status, oldest->why.text);
        free(oldest);
        oldest = next;
    }
    while (forgotten) {
        struct run *next = forgotten->next;
        tell(crew, forgotten, RUN_FAILED, "out of memory");
        forgotten = next;
    }
}

/* ---- pools ---- */

/* The same pool with another handler is another one. */
static bool is_of(const struct pool *pool, const struct task_pool *given)
{
    return pool->handler == given->handler &&
           strcmp(pool->name, given->name) == 0 &&
           strcmp(pool->function, given->function) == 0;
}

static struct pool *find_pool(const struct workers_crew *crew,
                              const struct task_pool *given)
{
    struct pool *pool = crew->pools;
    while (pool && !is_of(pool, given)) {
        pool = pool->next;
    }
    return pool;
}

static troupe_task_handler *find_function(const struct workers_crew *crew,
                                          const char *name)
{
    for (uint32_t i = 0; i < crew->config.function_count; i++) {
        if (strcmp(crew->config.functions[i].name, name) == 0) {
            return crew->config.functions[i].handler;
        }
    }
    return NULL;
}

static void append(struct pool *pool, struct run *run)
{
    run->next = NULL;
    if (pool->newest) {
        pool->newest->next = run;
    } else {
        pool->oldest = run;
    }
    pool->newest = run;
    pool->waiting_count++;
}

static struct run *take_oldest(struct pool *pool)
{
    struct run *run = pool->oldest;
    pool->oldest = run->next;
    pool->newest = pool->oldest ? pool->newest : NULL;
    pool->waiting_count--;
    run->next = NULL;
    return run;
}

/* False: it does not wait there. */
static bool remove_waiting(struct pool *pool, struct run *run)
{
    struct run *before = NULL;
    struct run *at = pool->oldest;
    while (at && at != run) {
        before = at;
        at = at->next;
    }
    if (!at) {
        return false;
    }
    *(before ? &before->next : &pool->oldest) = run->next;
    pool->newest = pool->newest == run ? before : pool->newest;
    pool->waiting_count--;
    run->next = NULL;
    return true;
}

/* ---- beginning ---- */

static void on_process_ended(void *giver,
                             struct run *run,
                             const struct run_result *result);

static enum err open_processes(struct workers_crew *crew,
                               struct err_detail *why)
{
    char *found = NULL;
    const char *program = crew->config.runner;
    enum err err = ERR_NONE;
    if (!program) {
        err = posix_children_program(&found, RUNNER_NAME, "node");
        program = found;
    }
    if (err == ERR_NOT_FOUND) {
        err_explain(why, "the program `" RUNNER_NAME "`, which runs tasks, is "
                         "not beside this node's");
    }
    if (!err) {
        const struct processes_config config = {.program = program,
                                                .reactor = crew->config.reactor,
                                                .log = crew->config.log,
                                                .on_ended = on_process_ended};
        err = processes_open(&crew->processes, &config);
    }
    free(found);
    return err;
}

static enum err need_processes(struct workers_crew *crew,
                               struct err_detail *why)
{
    return crew->processes ? ERR_NONE : open_processes(crew, why);
}

static enum err begin_command(struct pool *pool,
                              struct run *run,
                              struct err_detail *why)
{
    if (!pool->crew->config.allows_commands) {
        err_explain(why, "this node runs no commands: its setting `node.exec` "
                         "is off");
        return ERR_DENIED;
    }
    enum err err = need_processes(pool->crew, why);
    return err ? err
               : processes_start_command(pool->crew->processes, run, pool, why);
}

static enum err begin_plugin(struct pool *pool,
                             struct run *run,
                             struct err_detail *why)
{
    if (!pool->crew->config.allows_commands) {
        err_explain(why, "this node runs no plug-ins: its setting `node.exec` "
                         "is off");
        return ERR_DENIED;
    }
    enum err err = need_processes(pool->crew, why);
    return err ? err : processes_start_plugin(pool->crew->processes, run, pool);
}

static enum err begin_function(struct pool *pool,
                               struct run *run,
                               struct err_detail *why)
{
    if (!pool->threads) {
        err_explain(why, "the program of this node has no function `%s`",
                    pool->function);
        return ERR_NOT_FOUND;
    }
    if (threads_count(pool->threads) == 0) {
        enum err err = threads_set_count(pool->threads, pool->workers);
        if (err && threads_count(pool->threads) == 0) {
            return err;
        }
    }
    return threads_start(pool->threads, run);
}

static enum err begin(struct pool *pool,
                      struct run *run,
                      struct err_detail *why)
{
    switch (pool->handler) {
    case TASK_FUNCTION:
        return begin_function(pool, run, why);
    case TASK_PLUGIN:
        return begin_plugin(pool, run, why);
    default:
        return begin_command(pool, run, why);
    }
}

bool workers_may_run(const struct workers_crew *crew,
                     const struct task_pool *pool)
{
    return pool->handler == TASK_FUNCTION
               ? find_function(crew, pool->function) != NULL
               : crew->config.allows_commands;
}

/* Whether trying it again makes no sense. */
static bool is_final(enum err err)
{
    return err == ERR_MALFORMED || err == ERR_DENIED;
}

/* All that there is room for. */
static void fill(struct pool *pool)
{
    bool is_full = false;
    while (pool->oldest && !is_full &&
           (pool->handler == TASK_FUNCTION || pool->running < pool->workers)) {
        struct err_detail why = {{0}};
        enum err err = begin(pool, pool->oldest, &why);
        is_full = err == ERR_FULL;
        if (is_full) {
            continue;
        }
        struct run *run = take_oldest(pool);
        if (err) {
            if (!why.text[0]) {
                err_explain(&why, "%s", err_text(err));
            }
            refuse(pool->crew, run, is_final(err) ? RUN_REFUSED : RUN_FAILED,
                   &why);
        } else if (pool->handler != TASK_FUNCTION) {
            pool->running++;
        }
    }
}

/* ---- ending ---- */

static void on_thread_ended(void *context,
                            struct run *run,
                            const struct run_result *result)
{
    const struct pool *pool = context;
    if (!pool->crew->is_closing) {
        run->done(run, result);
    }
}

/* Nothing is left of a pool that is gone: its threads go, too. */
static void rest(struct pool *pool)
{
    if (pool->is_gone && pool->threads && !pool->oldest &&
        threads_run_count(pool->threads) == 0) {
        (void)!threads_set_count(pool->threads, 0);
    }
}

static void on_thread_room(void *context)
{
    struct pool *pool = context;
    if (!pool->crew->is_closing) {
        fill(pool);
        rest(pool);
    }
}

static void on_process_ended(void *giver,
                             struct run *run,
                             const struct run_result *result)
{
    struct pool *pool = giver;
    pool->running--;
    run->done(run, result);
    fill(pool);
}

/* ---- what the agent asks ---- */

static void start(void *context, struct run *run)
{
    struct workers_crew *crew = context;
    struct pool *pool = find_pool(crew, run->pool);
    run->own = NULL;
    run->next = NULL;
    if (crew->is_closing) {
        return; /* nobody is told any more */
    }
    if (!pool || pool->is_gone) {
        struct err_detail why = {{0}};
        err_explain(&why, "this node has no workers for the pool `%s`",
                    run->pool->name);
        refuse(crew, run, RUN_FAILED, &why);
        return;
    }
    append(pool, run);
    fill(pool);
}

static void cancel(void *context, struct run *run)
{
    struct workers_crew *crew = context;
    struct pool *pool = find_pool(crew, run->pool);
    bool is_over = false;
    if (crew->is_closing) {
        return;
    }
    if (!run->own) {
        /* If it does not wait it was refused, and hears of that soon. */
        is_over = pool && remove_waiting(pool, run);
    } else if (run->pool->handler == TASK_FUNCTION) {
        is_over = threads_cancel(run);
    } else {
        processes_cancel(crew->processes, run);
    }
    if (is_over) {
        tell(crew, run, RUN_CANCELLED, "");
        rest(pool);
    }
}

static enum err look(void *context, struct run *run, struct run_look *of)
{
    struct workers_crew *crew = context;
    if (run->pool->handler != TASK_EXEC) {
        return ERR_REFUSED;
    }
    return run->own && !crew->is_closing
               ? processes_look(crew->processes, run, of)
               : ERR_NOT_FOUND;
}

static void unlook(void *context, struct run_look *of)
{
    struct workers_crew *crew = context;
    if (crew->processes) {
        processes_unlook(crew->processes, of);
    }
}

/* ---- which pools there are ---- */

static struct pool *add_pool(struct workers_crew *crew,
                             const struct task_pool *given)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        return NULL;
    }
    pool->crew = crew;
    pool->handler = given->handler;
    (void)snprintf(pool->name, sizeof pool->name, "%s", given->name);
    (void)snprintf(pool->function, sizeof pool->function, "%s",
                   given->function);
    const struct threads_config config = {
        .handler = find_function(crew, given->function),
        .reactor = crew->config.reactor,
        .context = pool,
        .on_ended = on_thread_ended,
        .on_room = on_thread_room};
    if (given->handler == TASK_FUNCTION && config.handler &&
        threads_open(&pool->threads, &config)) {
        free(pool);
        return NULL;
    }
    pool->next = crew->pools;
    crew->pools = pool;
    return pool;
}

static void set_pool(struct workers_crew *crew, const struct task_pool *given)
{
    struct pool *pool = find_pool(crew, given);
    pool = pool ? pool : add_pool(crew, given);
    enum err err = pool ? ERR_NONE : ERR_MEMORY;
    if (pool) {
        bool is_new = pool->version != given->version;
        pool->is_gone = false;
        pool->workers = given->workers;
        pool->version = given->version;
        if (pool->threads) {
            err = threads_set_count(pool->threads, pool->workers);
        }
        if (is_new && pool->handler == TASK_PLUGIN && crew->processes) {
            processes_renew(crew->processes);
        }
        fill(pool);
    }
    if (err) {
        log_warn(crew->config.log, "tasks.fewer_workers",
                 LOG_TEXT("pool", given->name), LOG_ERR(err),
                 LOG_TEXT("next", "it goes on with those that it has"));
    }
}

static void set_pools(void *context, const struct task_pools *pools)
{
    struct workers_crew *crew = context;
    if (crew->is_closing) {
        return;
    }
    for (struct pool *pool = crew->pools; pool; pool = pool->next) {
        pool->is_gone = true;
    }
    for (uint32_t i = 0; i < pools->count; i++) {
        set_pool(crew, &pools->list[i]);
    }
    for (struct pool *pool = crew->pools; pool; pool = pool->next) {
        rest(pool);
    }
}

/* ---- opening and closing ---- */

enum err workers_open(struct workers_crew **out,
                      const struct workers_config *config)
{
    struct workers_crew *crew = calloc(1, sizeof *crew);
    if (!crew) {
        return ERR_MEMORY;
    }
    crew->config = *config;
    crew->refuse_event.run = on_refuse;
    crew->table = (struct workers){.context = crew,
                                   .set_pools = set_pools,
                                   .start = start,
                                   .cancel = cancel,
                                   .look = look,
                                   .unlook = unlook};
    *out = crew;
    return ERR_NONE;
}

void workers_close(struct workers_crew **crew)
{
    if (!*crew) {
        return;
    }
    (*crew)->is_closing = true;
    processes_close(&(*crew)->processes);
    while ((*crew)->is_posted) {
        (void)reactor_turn((*crew)->config.reactor);
    }
    while ((*crew)->pools) {
        struct pool *pool = (*crew)->pools;
        (*crew)->pools = pool->next;
        threads_close(&pool->threads);
        free(pool);
    }
    free(*crew);
    *crew = NULL;
}

const struct workers *workers_table(const struct workers_crew *crew)
{
    return &crew->table;
}

struct workers_figures workers_look(const struct workers_crew *crew,
                                    const char *name)
{
    struct workers_figures figures = {0};
    for (const struct pool *pool = crew->pools; pool; pool = pool->next) {
        if (strcmp(pool->name, name) == 0) {
            figures.running += pool->running;
            figures.waiting += pool->waiting_count;
            if (pool->threads) {
                figures.running += threads_run_count(pool->threads);
                figures.steals += threads_steal_count(pool->threads);
            }
        }
    }
    return figures;
}

uint64_t workers_runner_starts(const struct workers_crew *crew)
{
    return crew->processes ? processes_start_count(crew->processes) : 0;
}
