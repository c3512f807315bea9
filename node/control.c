#include "node/control.h"

#include "base/time_units.h"
#include "base/utf8.h"
#include "node/control_core.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_BYTES_MIN (16u << 10)
#define ANSWER_BYTES_MAX CALLS_REPLY_BYTES_MAX
#define ERROR_BYTES 1024
#define LEFT_MS_MAX 60000
#define ANSWER_SHARE 10 /* of the time is for the answer */

static const struct control_args no_args = {0};

/* ---- the verbs ---- */

/* clang-format off */
static const struct control_verb verbs[] = {
    {.name = "cluster.status", .place = ANSWERED_BY_META,
     .answer = control_cluster_status},
    {.name = "cluster.links", .needs_no_view = true,
     .answer = control_cluster_links},
    {.name = "events", .place = ANSWERED_BY_META,
     .optional = ARG_SINCE | ARG_LIMIT,
     .answer = control_cluster_events},
    {.name = "node.info", .needs_no_view = true,
     .answer = control_cluster_node_info},
    {.name = "node.log", .needs_no_view = true,
     .optional = ARG_LIMIT,
     .answer = control_debug_log},
    {.name = "node.config", .needs_no_view = true,
     .answer = control_debug_config},
    {.name = "node.metrics", .needs_no_view = true,
     .answer = control_debug_metrics},
    {.name = "node.machine", .needs_no_view = true,
     .answer = control_debug_machine},
    {.name = "node.ls", .place = ANSWERED_BY_META,
     .answer = control_member_list},
    {.name = "node.show", .place = ANSWERED_BY_META, .has_own_view = true,
     .required = ARG_NAME,
     .answer = control_member_show},
    {.name = "node.progress", .place = ANSWERED_BY_META,
     .required = ARG_NAME,
     .answer = control_member_progress},
    {.name = "node.set", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_NAME | ARG_STATE, .optional = ARG_FORCE | ARG_DRY_RUN,
     .begin = control_member_set, .answer = control_member_state},
    {.name = "member.forget", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_NAME, .optional = ARG_FORCE | ARG_DRY_RUN,
     .begin = control_member_forget},
    {.name = "shard.map", .place = ANSWERED_BY_META,
     .answer = control_shard_map},
    {.name = "shard.locate",
     .required = ARG_TYPE | ARG_ID,
     .answer = control_shard_locate},
    {.name = "shard.plan",
     .optional = ARG_ADD | ARG_REMOVE,
     .answer = control_move_plan},
    {.name = "shard.move", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_SHARD | ARG_TO, .optional = ARG_FORCE | ARG_DRY_RUN,
     .begin = control_move_begin, .answer = control_move_told},
    {.name = "shard.pause", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .begin = control_move_pause, .answer = control_move_paused},
    {.name = "shard.resume", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .begin = control_move_resume, .answer = control_move_paused},
    {.name = "shard.rebalance", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .optional = ARG_DRY_RUN,
     .begin = control_move_rebalance, .answer = control_move_rebalanced},
    {.name = "shard.history", .place = ANSWERED_BY_META,
     .optional = ARG_SHARD | ARG_LIMIT,
     .answer = control_shard_history},
    {.name = "op.ls", .place = ANSWERED_BY_META,
     .answer = control_op_list},
    {.name = "op.show", .place = ANSWERED_BY_META,
     .required = ARG_ID,
     .answer = control_op_show},
    {.name = "op.cancel", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_ID, .optional = ARG_DRY_RUN,
     .begin = control_op_cancel, .answer = control_op_cancelled},
    {.name = "coord.ls", .place = ANSWERED_BY_META,
     .answer = control_shard_groups},
    {.name = "coord.replicas", .place = ANSWERED_BY_NAME, .optional = ARG_NAME,
     .answer = control_recover_replicas},
    {.name = "shard.recover", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_SHARD | ARG_TO, .optional = ARG_EMPTY | ARG_FORCE,
     .begin = control_recover_begin, .answer = control_recover_told},
    {.name = "coord.transfer", .access = MAY_STEER, .place = ANSWERED_BY_SHARD,
     .required = ARG_SHARD | ARG_TO,
     .begin = control_move_transfer, .answer = control_move_transferred},
    {.name = "config.show", .place = ANSWERED_BY_META,
     .answer = control_config_show},
    {.name = "config.plan", .place = ANSWERED_BY_META,
     .required = ARG_SETTINGS,
     .answer = control_config_plan},
    {.name = "config.apply", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_SETTINGS | ARG_VERSION,
     .begin = control_config_apply, .answer = control_config_applied},
    {.name = "counter.add", .access = MAY_USE,
     .required = ARG_ID | ARG_VALUE, .optional = ARG_KEY,
     .begin = control_counter_add, .answer = control_counter_value},
    {.name = "counter.get",
     .required = ARG_ID,
     .begin = control_counter_get, .answer = control_counter_value},
    {.name = "task.show", .place = ANSWERED_BY_SHARD,
     .required = ARG_TASK,
     .begin = control_task_find, .answer = control_task_show},
    {.name = "task.output", .place = ANSWERED_BY_NAME,
     .required = ARG_TASK,
     .optional = ARG_NAME | ARG_TOKEN | ARG_STDOUT | ARG_STDERR,
     .begin = control_output_look, .answer = control_output_seen},
    {.name = "task.ls",
     .optional = ARG_POOL | ARG_TASK_STATE | ARG_SINCE_MS | ARG_UNTIL |
                 ARG_LIMIT | ARG_CURSOR,
     .answer = control_task_list},
    {.name = "pool.ls",
     .answer = control_pool_list},
    {.name = "pool.show",
     .required = ARG_NAME,
     .answer = control_pool_show},
    {.name = "pool.schedules", .place = ANSWERED_BY_POOL,
     .required = ARG_NAME,
     .begin = control_pool_find, .answer = control_pool_schedules},
    {.name = "pool.set", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_DEFINITION, .optional = ARG_DRY_RUN,
     .begin = control_pool_set},
    {.name = "pool.remove", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_NAME, .optional = ARG_FORCE | ARG_DRY_RUN,
     .begin = control_pool_remove},
    {.name = "backup.created", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_ID | ARG_SHARDS,
     .begin = control_backup_created},
    {.name = "backup.restoring", .access = MAY_STEER, .place = ANSWERED_BY_META,
     .required = ARG_ID | ARG_SHARDS,
     .begin = control_backup_restoring},
};
/* clang-format on */

static const struct control_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* ---- answers ---- */

/* {"v": 1, "why": text}: what is no text for people is left out. */
static void refuse(struct asked **asked,
                   enum err err,
                   const char *why,
                   bool may_pass)
{
    uint8_t buffer[ERROR_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct fields fields = fields_begin(&writer);
    fields_uint(&fields, "v", CONTROL_VERSION);
    if (why && why[0] != '\0' && utf8_is_printable(why)) {
        fields_text(&fields, "why", why);
    } else {
        fields_text(&fields, "why", err_text(err));
    }
    if (may_pass) {
        fields_bool(&fields, "may_pass", true);
    }
    fields_end(&fields);
    assert(!writer.failed);
    asked_answer(asked, err, writer_bytes(&writer));
}

static enum err write_answer(const struct control_request *request,
                             const struct control_args *args,
                             struct writer *writer,
                             struct err_detail *why)
{
    const struct control *control = request->control;
    const struct view *view = host_view(control->config.host);
    struct fields fields = fields_begin(writer);
    fields_uint(&fields, "v", CONTROL_VERSION);
    fields_text(&fields, "node", control->name);
    if (!request->verb->has_own_view) {
        fields_uint(&fields, "view", view ? view->version : 0);
    }
    enum err err = request->verb->answer
                       ? request->verb->answer(request, args, &fields, why)
                       : ERR_NONE;
    fields_end(&fields);
    return err;
}

/* How long an answer is shows when it is written. */
static void answer(struct control_request *request,
                   const struct control_args *args)
{
    enum err err = ERR_TOO_LARGE;
    struct err_detail why = {{0}};
    for (size_t bytes = ANSWER_BYTES_MIN; bytes <= ANSWER_BYTES_MAX;
         bytes *= 4) {
        uint8_t *buffer = malloc(bytes);
        if (!buffer) {
            err = ERR_MEMORY;
            break;
        }
        struct writer writer = writer_of(buffer, bytes);
        err = write_answer(request, args, &writer, &why);
        bool fits = !err && !writer.failed;
        if (fits) {
            asked_answer(&request->asked, ERR_NONE, writer_bytes(&writer));
        }
        free(buffer);
        if (err || fits) {
            break;
        }
        err = ERR_TOO_LARGE;
    }
    if (err) {
        refuse(&request->asked, err, why.text, false);
    }
}

/* ---- requests ---- */

static struct control_request *open_request(struct control *control,
                                            struct asked *asked)
{
    struct control_request *request = calloc(1, sizeof *request);
    if (request) {
        request->control = control;
        request->asked = asked;
    }
    return request;
}

static void link_request(struct control_request *request)
{
    struct control *control = request->control;
    request->next = control->waiting;
    if (request->next) {
        request->next->previous = request;
    }
    control->waiting = request;
}

static void unlink_request(struct control_request *request)
{
    if (request->next) {
        request->next->previous = request->previous;
    }
    if (request->previous) {
        request->previous->next = request->next;
    } else {
        request->control->waiting = request->next;
    }
}

void control_end(struct control_request *request, enum err err, const char *why)
{
    assert(request->is_waiting);
    unlink_request(request);
    if (err) {
        refuse(&request->asked, err, why, request->may_pass);
    } else {
        answer(request, &no_args);
    }
    free(request);
}

void control_relay(struct control_request *request,
                   enum err err,
                   struct bytes answer)
{
    assert(request->is_waiting);
    unlink_request(request);
    asked_answer(&request->asked, err, answer);
    free(request);
}

uint32_t control_left_ms(const struct control_request *request)
{
    uint64_t now_ns = clock_now_ns(request->control->config.clock);
    uint64_t until_ns = asked_until_ns(request->asked);
    uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / NS_PER_MS : 0;
    left_ms = left_ms < LEFT_MS_MAX ? left_ms : LEFT_MS_MAX;
    left_ms -= left_ms / ANSWER_SHARE;
    return left_ms > 0 ? (uint32_t)left_ms : 1;
}

/* ---- questions ---- */

const char *control_pools_text(const struct control_request *request)
{
    return request->pools[0] ? request->pools : "none";
}

bool control_may_see(const struct control_request *request, const char *pool)
{
    return !request->is_limited || certificate_pools_have(request->pools, pool);
}

enum err control_check_pool(const struct control_request *request,
                            const char *pool,
                            struct err_detail *why)
{
    if (control_may_see(request, pool)) {
        return ERR_NONE;
    }
    err_explain(why, "the certificate of %s is not for pool %s: it names %s",
                request->who, pool, control_pools_text(request));
    return ERR_DENIED;
}

static void limit(struct control_request *request, const char *pools)
{
    request->is_limited = true;
    (void)snprintf(request->pools, sizeof request->pools, "%s", pools);
}

/* A node that asks for somebody has looked whether he may. */
static enum err check_access(struct control_request *request,
                             const struct control_question *question,
                             struct err_detail *why)
{
    const struct certificate *from = asked_certificate(request->asked);
    enum role role = from ? from->role : ROLE_NODE;
    const char *name = from ? from->name : request->control->name;
    enum control_access access = request->verb->access;
    request->is_passed_on = role == ROLE_NODE && question->who[0] != '\0';
    if (request->is_passed_on) {
        (void)snprintf(request->who, sizeof request->who, "%s", question->who);
        if (question->is_limited) {
            limit(request, question->pools);
        }
        return ERR_NONE;
    }
    if (role == ROLE_CLIENT) {
        limit(request, from->pools);
    }
    (void)snprintf(request->who, sizeof request->who, "%s/%s", role_text(role),
                   name);
    bool may = role == ROLE_NODE || role == ROLE_OPERATOR ||
               access == MAY_LOOK || (access == MAY_USE && role == ROLE_CLIENT);
    if (!may) {
        err_explain(why, "%s needs the role operator%s; %s has the role %s",
                    request->verb->name, access == MAY_USE ? " or client" : "",
                    name, role_text(role));
        return ERR_DENIED;
    }
    return ERR_NONE;
}

static enum err check_view(const struct control *control,
                           struct err_detail *why)
{
    struct err_detail waits = {{0}};
    if (host_view(control->config.host)) {
        return ERR_NONE;
    }
    (void)host_is_ready(control->config.host, &waits);
    err_explain(why, "%s knows of no cluster yet: %s", control->name,
                waits.text);
    return ERR_NO_QUORUM;
}

static uint32_t number_of(const struct control *control, const char *name)
{
    const struct member *member =
        members_find_name(&control_view(control)->members, name);
    return member ? member->number : MEMBER_NONE;
}

/* By whose leader it is answered, if it is by one. */
static uint32_t shard_for(const struct control_request *request,
                          const struct control_args *args)
{
    if (request->verb->place != ANSWERED_BY_POOL) {
        return (uint32_t)args->shard;
    }
    uint32_t count = control_view(request->control)->map.shard_count;
    return count > 0 ? task_pool_shard(args->name, count) : 0;
}

/* Whom to ask; MEMBER_NONE: nobody is known. */
static uint32_t leader_for(const struct control_request *request,
                           const struct control_args *args)
{
    const struct control *control = request->control;
    switch (request->verb->place) {
    case ANSWERED_HERE:
        break;
    case ANSWERED_BY_META:
        return host_meta_leader(control->config.host);
    case ANSWERED_BY_SHARD:
    case ANSWERED_BY_POOL:
        return host_leader(control->config.host, shard_for(request, args));
    case ANSWERED_BY_NAME:
        return number_of(control, args->name);
    }
    return host_number(control->config.host);
}

static bool is_ours(const struct control_request *request,
                    const struct control_args *args)
{
    const struct control *control = request->control;
    if (request->verb->place == ANSWERED_BY_META) {
        return args->is_stale || control_leads(control);
    }
    if (request->verb->place == ANSWERED_BY_NAME) {
        return args->name[0] == '\0' || strcmp(args->name, control->name) == 0;
    }
    return leader_for(request, args) == host_number(control->config.host);
}

/* Here, or where it can be. */
static enum err run(struct control_request *request,
                    const struct control_question *question,
                    const struct control_args *args,
                    struct err_detail *why)
{
    request->shard = shard_for(request, args);
    request->is_dry = args->is_dry_run;
    if (is_ours(request, args)) {
        return request->verb->begin ? request->verb->begin(request, args, why)
                                    : ERR_NONE;
    }
    const struct member *named = NULL;
    enum err err =
        request->verb->place == ANSWERED_BY_NAME
            ? control_find_member(request->control, args->name, &named, why)
            : ERR_NONE;
    if (err) {
        return err;
    }
    uint32_t leader = leader_for(request, args);
    if (request->is_passed_on) {
        err_explain(why, "%s does not lead", request->control->name);
        return ERR_NOT_LEADER;
    }
    return control_pass_on(request, question, leader, why);
}

static enum err handle(struct control_request *request,
                       const struct control_question *question,
                       struct control_args *args,
                       struct err_detail *why)
{
    const struct control *control = request->control;
    const struct control_verb *verb = find_verb(question->verb);
    if (!verb) {
        err_explain(why, "%s: %s knows no such verb; it runs release %s",
                    question->verb, control->name, TROUPE_VERSION);
        return ERR_NOT_FOUND;
    }
    request->verb = verb;
    enum err err = check_access(request, question, why);
    if (!err) {
        err = control_args_decode(
            args, question->args, verb->required,
            verb->optional | (verb->access == MAY_LOOK ? ARG_STALE : 0), why);
    }
    if (!err && !verb->needs_no_view) {
        err = check_view(control, why);
    }
    if (!err && (args->given & (ARG_SHARD | ARG_TASK))) {
        err = control_check_shard(control, args->shard, why);
    }
    return err ? err : run(request, question, args, why);
}

static void on_question(void *context, struct asked *asked, struct bytes bytes)
{
    struct control *control = context;
    struct control_question question;
    struct control_args args = {0};
    struct err_detail why = {{0}};
    struct control_request *request = NULL;
    enum err err = control_question_decode(&question, bytes, &why);
    if (!err) {
        request = open_request(control, asked);
        err = request ? handle(request, &question, &args, &why) : ERR_MEMORY;
    }
    if (!err && request->is_waiting) {
        link_request(request);
        return;
    }
    if (err) {
        refuse(&asked, err, why.text, request && request->may_pass);
    } else {
        answer(request, &args);
    }
    free(request);
}

/* ---- life ---- */

enum err control_open(struct control **out, const struct control_config *config)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control) {
        return ERR_MEMORY;
    }
    control->config = *config;
    control->name = settings_self(config->settings)->name;
    control->opened_ns = clock_now_ns(config->clock);
    calls_serve(config->calls, HOST_SERVICE_ADMIN, on_question, control, true);
    *out = control;
    return ERR_NONE;
}

void control_close(struct control **control)
{
    if (!*control) {
        return;
    }
    const struct control_config *config = &(*control)->config;
    calls_serve(config->calls, HOST_SERVICE_ADMIN, NULL, NULL, false);
    while ((*control)->waiting) {
        struct control_request *request = (*control)->waiting;
        calls_cancel(config->calls, &request->call);
        router_cancel(config->router, &request->router_request);
        if (config->workers) {
            config->workers->unlook(config->workers->context, &request->look);
        }
        control_end(request, ERR_CLOSED, "this node ends");
    }
    free(*control);
    *control = NULL;
}
