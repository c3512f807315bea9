/*
 * Pools: what they are, by the view; and what a node has of them.
 */

#include "node/control_core.h"

#include "base/time_units.h"
#include "shard/task_schedule.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- what this node has ---- */

/* Of the shards that are led here. */
static struct book_pool_stats led_stats(const struct control *control,
                                        const char *name)
{
    struct book_pool_stats sum = {0};
    for (uint32_t i = 0; i < control_view(control)->map.shard_count; i++) {
        struct coordinator *coordinator =
            dispatcher_find(control->config.dispatcher, i);
        if (!control_coordinator(control, i)) {
            continue;
        }
        struct book_pool_stats one =
            book_stats(coordinator_book(coordinator), bytes_of_text(name));
        sum.waiting += one.waiting;
        sum.done += one.done;
        sum.dead += one.dead;
        sum.other += one.other;
        sum.kept_bytes += one.kept_bytes;
        sum.accepted_total += one.accepted_total;
        sum.done_total += one.done_total;
        sum.dead_total += one.dead_total;
        sum.retried_total += one.retried_total;
        sum.dead_dropped += one.dead_dropped;
    }
    return sum;
}

struct agent_search {
    const char *name;
    struct agent_pool found;
};

static void find_agent_pool(void *context, const struct agent_pool *pool)
{
    struct agent_search *search = context;
    if (strcmp(search->name, pool->name) == 0) {
        search->found = *pool;
    }
}

static void write_counts(const struct control *control,
                         const char *name,
                         struct fields *fields)
{
    const struct control_config *config = &control->config;
    struct book_pool_stats stats = led_stats(control, name);
    struct agent_search search = {.name = name};
    agent_pools_each(config->agent, find_agent_pool, &search);
    struct fields here = fields_map(fields, "here");
    fields_uint(&here, "waiting", stats.waiting);
    fields_uint(&here, "ready", dispatcher_ready(config->dispatcher, name));
    fields_uint(&here, "done", stats.done);
    fields_uint(&here, "dead", stats.dead);
    fields_uint(&here, "other", stats.other);
    fields_uint(&here, "kept_bytes", stats.kept_bytes);
    fields_uint(&here, "accepted_total", stats.accepted_total);
    fields_uint(&here, "done_total", stats.done_total);
    fields_uint(&here, "dead_total", stats.dead_total);
    fields_uint(&here, "retried_total", stats.retried_total);
    fields_uint(&here, "dead_dropped", stats.dead_dropped);
    fields_uint(&here, "workers", search.found.workers);
    fields_uint(&here, "held", search.found.held);
    fields_uint(&here, "unrecorded", search.found.unrecorded);
    fields_uint(&here, "finished", search.found.finished);
    fields_uint(&here, "stolen", search.found.stolen);
    fields_end(&here);
}

static void write_dispatcher(const struct control *control,
                             struct fields *fields)
{
    const struct dispatcher_stats *stats =
        dispatcher_stats(control->config.dispatcher);
    struct fields map = fields_map(fields, "dispatcher");
    fields_uint(&map, "pushed", stats->pushed);
    fields_uint(&map, "stolen", stats->stolen);
    fields_uint(&map, "steals", stats->steals);
    fields_uint(&map, "dry", stats->dry);
    fields_uint(&map, "malformed", stats->malformed);
    fields_end(&map);
}

static void write_agent(const struct control *control, struct fields *fields)
{
    const struct agent_stats *stats = agent_stats(control->config.agent);
    struct fields map = fields_map(fields, "agent");
    fields_uint(&map, "taken", stats->taken);
    fields_uint(&map, "stolen", stats->stolen);
    fields_uint(&map, "steals", stats->steals);
    fields_uint(&map, "dry", stats->dry);
    fields_uint(&map, "finished", stats->finished);
    fields_uint(&map, "late", stats->late);
    fields_uint(&map, "malformed", stats->malformed);
    fields_end(&map);
}

static void write_coordinators(const struct control *control,
                               struct fields *fields)
{
    struct coordinator_stats sum = {0};
    uint32_t led = 0;
    for (uint32_t i = 0; i < control_view(control)->map.shard_count; i++) {
        const struct coordinator *coordinator = control_coordinator(control, i);
        if (coordinator) {
            const struct coordinator_stats *one =
                coordinator_stats(coordinator);
            led++;
            sum.given += one->given;
            sum.given_away += one->given_away;
            sum.late += one->late;
            sum.stalled += one->stalled;
            sum.presented += one->presented;
            sum.requeued += one->requeued;
        }
    }
    struct fields map = fields_map(fields, "coordinators");
    fields_uint(&map, "led", led);
    fields_uint(&map, "given", sum.given);
    fields_uint(&map, "given_away", sum.given_away);
    fields_uint(&map, "late", sum.late);
    fields_uint(&map, "stalled", sum.stalled);
    fields_uint(&map, "presented", sum.presented);
    fields_uint(&map, "requeued", sum.requeued);
    fields_end(&map);
}

struct agents {
    const struct control *control;
    struct fields list;
};

static void write_credit(void *context, const struct dispatcher_agent *agent)
{
    struct agents *agents = context;
    struct fields item = fields_item_map(&agents->list);
    control_write_node(agents->control, &item, "node", agent->node);
    fields_uint(&item, "heard_ms_ago", agent->heard_ms_ago);
    fields_uint(&item, "credit", agent->credit);
    fields_end(&item);
}

/* Of all pools together. */
static void write_node(const struct control *control, struct fields *fields)
{
    struct agents agents = {.control = control};
    write_coordinators(control, fields);
    write_dispatcher(control, fields);
    write_agent(control, fields);
    agents.list = fields_list(fields, "agents");
    dispatcher_agents_each(control->config.dispatcher, write_credit, &agents);
    fields_end(&agents.list);
}

/* ---- looking ---- */

enum err control_pool_list(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct task_pools *pools = &control_view(request->control)->pools;
    struct fields list = fields_list(fields, "pools");
    for (uint32_t i = 0; i < pools->count; i++) {
        const struct task_pool *pool = &pools->list[i];
        if (!control_may_see(request, pool->name)) {
            continue;
        }
        struct fields item = fields_item_map(&list);
        fields_text(&item, "name", pool->name);
        fields_text(&item, "handler", task_handler_name(pool->handler));
        fields_uint(&item, "workers", pool->workers);
        fields_bool(&item, "durable", pool->is_durable);
        fields_bool(&item, "paused", pool->is_paused);
        fields_uint(&item, "version", pool->version);
        write_counts(request->control, pool->name, &item);
        fields_end(&item);
    }
    fields_end(&list);
    write_node(request->control, fields);
    return ERR_NONE;
}

static enum err find_pool(const struct control *control,
                          const char *name,
                          const struct task_pool **out,
                          struct err_detail *why)
{
    *out = task_pools_find(&control_view(control)->pools, bytes_of_text(name));
    if (!*out) {
        err_explain(why, "there is no pool %s", name);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

enum err control_pool_show(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    const struct task_pool *pool = NULL;
    enum err err = control_check_pool(request, args->name, why);
    err = err ? err : find_pool(request->control, args->name, &pool, why);
    if (err) {
        return err;
    }
    fields_key(fields, "definition");
    task_pool_encode(pool, fields->writer);
    write_counts(request->control, pool->name, fields);
    write_node(request->control, fields);
    return ERR_NONE;
}

/* ---- schedules ---- */

enum err control_pool_find(struct control_request *request,
                           const struct control_args *args,
                           struct err_detail *why)
{
    const struct task_pool *pool = NULL;
    enum err err = control_check_pool(request, args->name, why);
    err = err ? err : find_pool(request->control, args->name, &pool, why);
    return err ? err : control_check_leads(request, why);
}

/* In ms; nil: never. */
static void write_time(struct fields *fields, const char *key, int64_t at_s)
{
    if (at_s == BOOK_NO_TIME || at_s == CRON_NEVER) {
        fields_nil(fields, key);
    } else {
        fields_int(fields, key, at_s * MS_PER_S);
    }
}

static void write_schedule(struct fields *fields,
                           const struct task_schedule *schedule,
                           const struct book_schedule *is)
{
    int64_t from_s = task_schedule_from_s(schedule, is->due_s);
    fields_text(fields, "name", schedule->name);
    fields_text(fields, "cron", schedule->text);
    fields_int(fields, "since_ms", schedule->since_ms);
    write_time(fields, "next_ms", cron_next(&schedule->cron, from_s));
    write_time(fields, "last_ms", is->due_s);
    if (is->task != 0) {
        control_write_task(fields, "last_task", is->task);
    } else {
        fields_nil(fields, "last_task");
    }
    fields_uint(fields, "passed", is->passed);
}

enum err control_pool_schedules(const struct control_request *request,
                                const struct control_args *args,
                                struct fields *fields,
                                struct err_detail *why)
{
    const struct control *control = request->control;
    const struct book *book = coordinator_book(
        dispatcher_find(control->config.dispatcher, request->shard));
    const struct task_pool *pool = NULL;
    enum err err = find_pool(control, args->name, &pool, why);
    if (err) {
        return err;
    }
    fields_uint(fields, "shard", request->shard);
    struct fields list = fields_list(fields, "schedules");
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        const struct task_schedule *schedule = &pool->schedules[i];
        struct book_schedule is = book_schedule(book, bytes_of_text(pool->name),
                                                bytes_of_text(schedule->name));
        struct fields item = fields_item_map(&list);
        write_schedule(&item, schedule, &is);
        fields_end(&item);
    }
    fields_end(&list);
    return ERR_NONE;
}

/* ---- changing ---- */

/* For the journal: what people look for there. */
static void say_set(struct view_change *change,
                    const struct task_pool *before,
                    const struct task_pool *pool)
{
    if (!before) {
        view_change_say(change, "pool %s: %" PRIu32 " workers on each node",
                        pool->name, pool->workers);
    } else if (before->is_paused != pool->is_paused) {
        view_change_say(change, "pool %s is %s", pool->name,
                        pool->is_paused ? "paused" : "resumed");
    } else if (before->workers != pool->workers) {
        view_change_say(change,
                        "pool %s: %" PRIu32 " workers on each node, before "
                        "%" PRIu32,
                        pool->name, pool->workers, before->workers);
    } else {
        view_change_say(change, "pool %s has another definition", pool->name);
    }
}

enum err control_pool_set(struct control_request *request,
                          const struct control_args *args,
                          struct err_detail *why)
{
    struct view_change change = {.kind = VIEW_POOL_SET};
    struct reader reader = reader_of(args->definition);
    enum err err = task_pool_decode(&change.pool, &reader, why);
    if (err) {
        return err == ERR_MALFORMED ? ERR_INVALID : err;
    }
    const struct task_pool *before =
        task_pools_find(&control_view(request->control)->pools,
                        bytes_of_text(change.pool.name));
    task_schedules_stamp(&change.pool, before,
                         clock_wall_ms(request->control->config.clock));
    say_set(&change, before, &change.pool);
    err = control_change(request, &change, why);
    task_pool_clear(&change.pool);
    return err;
}

/* As far as is known here: of all replicas, whoever leads them. */
static uint64_t waiting_here(const struct control *control, const char *name)
{
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < control_view(control)->map.shard_count; i++) {
        struct coordinator *coordinator =
            dispatcher_find(control->config.dispatcher, i);
        if (coordinator) {
            waiting +=
                book_stats(coordinator_book(coordinator), bytes_of_text(name))
                    .waiting;
        }
    }
    return waiting;
}

enum err control_pool_remove(struct control_request *request,
                             const struct control_args *args,
                             struct err_detail *why)
{
    const struct control *control = request->control;
    const struct task_pool *pool = NULL;
    enum err err = find_pool(control, args->name, &pool, why);
    uint64_t waiting = err ? 0 : waiting_here(control, args->name);
    if (err) {
        return err;
    }
    if (waiting > 0 && !args->is_forced) {
        err_explain(why,
                    "at least %" PRIu64 " tasks wait in pool %s, and nobody "
                    "would work on them: let them end or cancel them first, "
                    "or use force",
                    waiting, args->name);
        return ERR_REFUSED;
    }
    struct view_change change = {.kind = VIEW_POOL_REMOVE};
    (void)snprintf(change.pool.name, sizeof change.pool.name, "%s", args->name);
    view_change_say(&change, "pool %s is removed", args->name);
    return control_change(request, &change, why);
}
