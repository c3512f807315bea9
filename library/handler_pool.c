#include "library/handler_pool.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_latch.h"
#include "base/time_units.h"
#include "node/node.h"
#include "shard/host.h"
#include "troupe/node.h"

#include <stdio.h>
#include <string.h>

#define WORKERS_STANDARD 4
#define ADD_NS (10 * NS_PER_S)
#define LOOK_MS 10 /* before looking again */

/* One look at the pools, and asking for the one that is missing. */
struct adding {
    struct reactor_event event;
    struct node *node;
    const struct troupe_handler *handler;
    struct posix_latch latch;
    struct call call;
    bool is_there;
    bool was_asked; /* the leader has agreed: it is on its way here */
    enum err err;
    struct err_detail *why;
};

static void on_answer(struct call *call, enum err err, struct bytes answer)
{
    struct adding *adding = OWNER_OF(call, struct adding, call);
    adding->err = err;
    adding->was_asked = !err;
    if (err) {
        err_explain(adding->why, "pool %s: %.*s%s%s", adding->handler->name,
                    (int)answer.length, (const char *)answer.data,
                    answer.length > 0 ? ": " : "", err_text(err));
    }
    posix_latch_count(&adding->latch);
}

static void fill(struct task_pool *pool, const struct troupe_handler *handler)
{
    task_pool_defaults(pool);
    pool->handler = TASK_FUNCTION;
    (void)snprintf(pool->name, sizeof pool->name, "%s", handler->name);
    (void)snprintf(pool->function, sizeof pool->function, "%s", handler->name);
    pool->is_durable = !handler->is_volatile;
    pool->workers = handler->workers ? handler->workers : WORKERS_STANDARD;
}

static enum err ask(struct adding *adding)
{
    struct view_change change = {.kind = VIEW_POOL_SET, .who = "a program"};
    fill(&change.pool, adding->handler);
    view_change_say(&change, "a program brings a handler for pool %s",
                    adding->handler->name);
    enum err err = task_pool_validate(&change.pool, adding->why);
    if (!err) {
        adding->call.done = on_answer;
        err = host_change(node_host(adding->node), &change, &adding->call);
    }
    view_change_clear(&change);
    return err;
}

static void run_adding(struct reactor_event *event)
{
    struct adding *adding = OWNER_OF(event, struct adding, event);
    const struct view *view = host_view(node_host(adding->node));
    struct bytes name = bytes_of_text(adding->handler->name);
    adding->is_there = view && task_pools_find(&view->pools, name);
    adding->err = ERR_NONE;
    if (!adding->is_there && !adding->was_asked) {
        adding->err = ask(adding);
        if (!adding->err) {
            return; /* on_answer() */
        }
    }
    posix_latch_count(&adding->latch);
}

static void look(struct adding *adding)
{
    posix_latch_init(&adding->latch, 1);
    reactor_post(node_reactor(adding->node), &adding->event);
    posix_latch_wait(&adding->latch);
    posix_latch_clear(&adding->latch);
}

static void pause_a_moment(void)
{
    struct posix_latch nobody;
    posix_latch_init(&nobody, 1);
    (void)posix_latch_wait_ms(&nobody, LOOK_MS);
    posix_latch_clear(&nobody);
}

enum err handler_pool_add(struct node *node,
                          const struct troupe_handler *handler,
                          struct err_detail *why)
{
    struct adding adding = {
        .event.run = run_adding, .node = node, .handler = handler, .why = why};
    uint64_t until_ns = clock_now_ns(posix_clock()) + ADD_NS;
    for (;;) {
        look(&adding);
        if (adding.is_there || adding.err == ERR_INVALID ||
            clock_now_ns(posix_clock()) >= until_ns) {
            break;
        }
        pause_a_moment();
    }
    return adding.is_there ? ERR_NONE : adding.err ? adding.err : ERR_TIMEOUT;
}
