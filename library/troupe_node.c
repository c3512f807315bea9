/*
 * A program that is a node: the whole of node/, with the program's handlers,
 * and a desk on its reactor.
 */

#include "troupe/node.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_folder.h"
#include "base/posix/posix_latch.h"
#include "base/posix/posix_log.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/founding.h"
#include "config/identity.h"
#include "config/path.h"
#include "library/cluster_file.h"
#include "library/handle.h"
#include "library/handler_pool.h"
#include "node/node.h"
#include "node/workers.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READY_MS_STANDARD 30000
#define LEAVE_MS_STANDARD 10000
#define LEAVE_MS_MORE 2000 /* beyond, it is ended all the same */
#define LONE_NAME "self"

struct base {
    struct troupe_node_options options;
    struct node *node;
    struct workers_function *functions;
    char (*names)[CERTIFICATE_NAME_BYTES];
    uint32_t function_count;
    struct posix_latch ready; /* or ended */
    struct posix_latch ended;
    _Atomic bool is_leaving;
    bool is_started;

    /* The reactor's thread. */
    bool was_ready;
    bool has_ended;
};

/* ---- the desk's way ---- */

static void on_answer(struct task_ask *one, enum err err, struct bytes answer)
{
    struct desk_call *call = OWNER_OF(one, struct desk_call, by_node);
    call->done(call, err, answer);
}

static uint32_t left_ms(const struct node *node, uint64_t until_ns)
{
    uint64_t now = reactor_now_ns(node_reactor(node));
    uint64_t left = until_ns > now ? (until_ns - now) / NS_PER_MS : 0;
    return left < UINT32_MAX ? (uint32_t)left + 1 : UINT32_MAX;
}

/* Not within ask(): a turn later. */
static void run_refused(struct timer *timer)
{
    struct desk_call *call = OWNER_OF(timer, struct desk_call, refused);
    call->done(call, ERR_BUSY, (struct bytes){0});
}

static void ask(void *context, struct desk_call *call)
{
    struct base *base = context;
    call->by_node.done = on_answer;
    enum err err =
        task_service_ask(node_task_service(base->node), call->question,
                         left_ms(base->node, call->until_ns), &call->by_node);
    if (err) {
        call->refused.fire = run_refused;
        reactor_timer_set(node_reactor(base->node), &call->refused, 0);
    }
}

static void cancel(void *context, struct desk_call *call)
{
    struct base *base = context;
    reactor_timer_cancel(node_reactor(base->node), &call->refused);
    task_service_cancel(node_task_service(base->node), &call->by_node);
}

static uint64_t number(void *context)
{
    const struct base *base = context;
    return task_service_number(node_task_service(base->node));
}

/* ---- what the node tells ---- */

static void on_ready(void *context)
{
    struct base *base = context;
    base->was_ready = true;
    posix_latch_count(&base->ready);
}

static void on_ended(void *context)
{
    struct base *base = context;
    struct err_detail why = {{0}};
    if (base->has_ended) {
        return;
    }
    base->has_ended = true;
    if (!base->was_ready) {
        posix_latch_count(&base->ready);
    } else if (!atomic_load(&base->is_leaving) && base->options.on_ended) {
        enum err err = node_failure(base->node, &why);
        base->options.on_ended(base->options.context, handle_error(err),
                               why.text);
    }
    posix_latch_count(&base->ended);
}

/* ---- a cluster of one ---- */

/* Its configuration's path, into `out`; it is made when it is not there. */
static enum err found(struct path *out,
                      const char *folder,
                      struct err_detail *why)
{
    struct path path;
    char *real = NULL;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    const struct files *files = posix_files();
    enum err err = files->make_folder(files->context, folder, FILE_SECRET);
    err = err && err != ERR_EXISTS ? err : posix_folder_real(&real, folder);
    if (err) {
        err_explain(why, "%.400s: %s", folder, err_text(err));
        return err;
    }
    err = path_make(&path, "%s/cluster", real);
    if (!err) {
        err = path_make(out, "%s/" LONE_NAME "/cluster.yaml", path.text);
    }
    struct founding_host host = {.name = LONE_NAME};
    struct founding founding = {.cluster_name = LONE_NAME,
                                .transport = SETTINGS_IPC,
                                .data_dir = "../../data",
                                .ipc_dir = real,
                                .hosts = &host,
                                .host_count = 1};
    struct authority_world world = {
        .files = files, .clock = posix_clock(), .entropy = posix_entropy()};
    if (!err) {
        err = founding_make(&founding, &world, path.text, cluster_id, why);
    }
    free(real);
    return err == ERR_EXISTS ? ERR_NONE : err;
}

/* ---- opening ---- */

static enum err check_handler(const struct troupe_handler *handler,
                              struct err_detail *why)
{
    if (!handler->name || !certificate_name_is_valid(handler->name)) {
        err_explain(why,
                    "a handler's name: `%.64s`: a-z 0-9 . _ - are allowed, "
                    "beginning with a letter or digit",
                    handler->name ? handler->name : "");
        return ERR_INVALID;
    }
    if (!handler->run) {
        err_explain(why, "handler %s has no function", handler->name);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err copy_handlers(struct base *base, struct err_detail *why)
{
    size_t count = base->options.handler_count;
    if (count == 0) {
        return ERR_NONE;
    }
    base->functions = calloc(count, sizeof *base->functions);
    base->names = calloc(count, sizeof *base->names);
    if (!base->functions || !base->names) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const struct troupe_handler *handler = &base->options.handlers[i];
        enum err err = check_handler(handler, why);
        if (err) {
            return err;
        }
        (void)snprintf(base->names[i], sizeof base->names[i], "%s",
                       handler->name);
        base->functions[base->function_count++] = (struct workers_function){
            .name = base->names[i], .handler = handler->run};
    }
    return ERR_NONE;
}

static enum err open_node(struct base *base,
                          const char *config,
                          struct err_detail *why)
{
    const struct troupe_node_options *options = &base->options;
    struct node_options own = {
        .config_path = config,
        .name = options->node,
        .log_sink = posix_log_sink(options->logs ? STDERR_FILENO : -1),
        .events = {.context = base, .on_ready = on_ready, .on_ended = on_ended},
        .may_found = !options->joins,
        .functions = base->functions,
        .function_count = base->function_count};
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return ERR_MEMORY;
    }
    enum err err = node_open(&base->node, &own, problems, why);
    if (err && problems->count > 0) {
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, &problems->items[0]);
        err_explain(why, "%.480s", text);
    }
    return err;
}

static enum err open_base(struct base *base, struct err_detail *why)
{
    struct path lone;
    const struct troupe_node_options *options = &base->options;
    enum err err = identity_library_init();
    if (options->config && options->folder) {
        err_explain(why, "`config` and `folder`: one of them");
        return ERR_INVALID;
    }
    if (!err) {
        err = copy_handlers(base, why);
    }
    if (!err && options->folder) {
        err = found(&lone, options->folder, why);
    }
    return err ? err
               : open_node(base,
                           options->folder ? lone.text
                                           : cluster_file_path(options->config),
                           why);
}

static enum err start(struct base *base, struct err_detail *why)
{
    uint32_t ready_ms =
        base->options.ready_ms ? base->options.ready_ms : READY_MS_STANDARD;
    enum err err = node_start(base->node);
    if (err) {
        return err;
    }
    base->is_started = true;
    if (!posix_latch_wait_ms(&base->ready, ready_ms)) {
        (void)node_is_ready(base->node, why);
        return ERR_TIMEOUT;
    }
    err = node_failure(base->node, why);
    for (uint32_t i = 0; i < base->function_count && !err; i++) {
        err = handler_pool_add(base->node, &base->options.handlers[i], why);
    }
    return err;
}

/* ---- closing ---- */

static void leave(struct base *base)
{
    uint32_t leave_ms =
        base->options.leave_ms ? base->options.leave_ms : LEAVE_MS_STANDARD;
    if (posix_latch_wait_ms(&base->ended, 0)) {
        return; /* by itself */
    }
    atomic_store(&base->is_leaving, true);
    node_leave(base->node, leave_ms);
    (void)posix_latch_wait_ms(&base->ended, (uint64_t)leave_ms + LEAVE_MS_MORE);
}

static void base_close(struct base **base)
{
    if (*base) {
        if ((*base)->is_started) {
            leave(*base);
        }
        node_close(&(*base)->node);
        posix_latch_clear(&(*base)->ready);
        posix_latch_clear(&(*base)->ended);
        free((*base)->functions);
        free((*base)->names);
        free(*base);
        *base = NULL;
    }
}

/* Of the handle: the desk's reactor has nothing more of the desk's to do. */
static void stop(void *context)
{
    struct base *base = context;
    leave(base);
    base->is_started = false;
    node_close(&base->node);
}

static void free_base(void *context)
{
    struct base *base = context;
    base_close(&base);
}

static enum err open_handle(struct troupe **out, struct base *base)
{
    return handle_open(
        out,
        &(struct troupe){.reactor = node_reactor(base->node),
                         .base = base,
                         .stop = stop,
                         .free = free_base},
        &(struct desk_way){
            .context = base, .ask = ask, .cancel = cancel, .number = number});
}

enum troupe_error troupe_node_open(struct troupe **out,
                                   const struct troupe_node_options *options,
                                   struct troupe_why *why)
{
    struct err_detail detail = {{0}};
    scoped(base_close) struct base *base = calloc(1, sizeof *base);
    if (!base) {
        handle_say(why, ERR_MEMORY, &detail);
        return TROUPE_ERR_MEMORY;
    }
    base->options = *options;
    posix_latch_init(&base->ready, 1);
    posix_latch_init(&base->ended, 1);
    enum err err = open_base(base, &detail);
    if (!err) {
        err = start(base, &detail);
    }
    if (!err) {
        err = open_handle(out, base);
    }
    if (err) {
        handle_say(why, err, &detail);
        return handle_error(err);
    }
    base->options.handlers = NULL; /* the caller's */
    base = NULL;                   /* the handle owns it now */
    return TROUPE_ERR_NONE;
}
