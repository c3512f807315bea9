#include "node/node.h"

#include "base/metrics.h"
#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_memory.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "gateway/gateway.h"
#include "node/agreed.h"
#include "node/control.h"
#include "node/counts.h"
#include "node/farewell.h"
#include "node/kept_file.h"
#include "node/links.h"
#include "node/readiness.h"
#include "node/shards.h"
#include "node/storage.h"
#include "node/task_service.h"
#include "node/tasks.h"
#include "node/workers.h"
#include "shard/host.h"
#include "shard/router.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (20 * NS_PER_MS) /* whether it is ready, or has left */
#define LOOK_READY_NS (250 * NS_PER_MS)
#define TELL_NS (5 * NS_PER_S)
#define TELL_ENDING_NS NS_PER_S      /* mostly it has ended long before */
#define ABANDON_NS (500 * NS_PER_MS) /* before it must have left */
#define METRICS_MAX 4096
#define STALL_NS (10 * NS_PER_S) /* a reactor that has not turned is dead */

/* Of the next release, as far as the tests need one: base/pack.c. */
#ifdef TROUPE_NEXT
#define FEATURE_LEVEL (VIEW_FEATURE_LEVEL + 1)
#else
#define FEATURE_LEVEL VIEW_FEATURE_LEVEL
#endif

struct node {
    struct node_options options;
    struct links *links;
    struct storage *storage;
    struct raft_links *raft_links;
    struct calls *calls;
    struct kept_file *view_file;
    struct kept_file *trust_file;
    struct workers_crew *workers; /* NULL: none here */
    struct tasks *tasks;
    struct task_service *task_service;
    struct shards *shards;
    struct host *host;
    struct router *router;
    struct control *control;
    struct farewell *farewell;
    struct metrics *metrics;
    struct counts *counts;
    struct gateway *gateway;

    struct timer look_timer;
    struct reactor_event leave_event;
    struct reactor_event reload_event;
    uint32_t leave_within_ms;
    uint64_t leave_until_ns; /* 0: it stays */
    uint64_t tell_ns;        /* when to say again what it waits for */
    uint64_t settings_told;  /* the version that the log has told of */
    bool has_started;
    bool has_abandoned;
    bool is_ending; /* nothing new is begun; what is under way ends */
    enum err failure;
    struct err_detail failure_why;

    /* For the gateway's thread. */
    struct readiness readiness;
    _Atomic uint64_t looked_ns;
};

static struct reactor *reactor_of(const struct node *node)
{
    return links_reactor(node->links);
}

/* ---- events ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    if (node->host) {
        host_on_change(node->host, peer, change);
    }
    if (node->calls) {
        calls_on_change(node->calls, peer, change);
    }
    if (node->tasks) {
        tasks_on_change(node->tasks, peer, change);
    }
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct node *node = context;
    if (node->host) {
        host_on_digest(node->host, from, digest);
    }
    if (node->tasks) {
        tasks_on_digest(node->tasks, from, digest);
    }
}

static void on_view(void *context, const struct view *view)
{
    struct node *node = context;
    agreed_tell(links_settings(node->links), &view->settings,
                &node->settings_told, links_log(node->links));
    if (node->router) {
        router_on_view(node->router);
    }
    tasks_on_view(node->tasks, view);
}

static void on_leader(void *context, uint32_t shard)
{
    struct node *node = context;
    if (node->router) {
        router_on_leader(node->router, shard);
    }
    tasks_on_leader(node->tasks, shard);
}

/* The file in the keys folder is what the node begins with next time. */
static void on_trust(void *context, struct trust *trust)
{
    struct node *node = context;
    kept_file_save(node->trust_file, trust_text(trust));
}

static void look_soon(struct node *node)
{
    reactor_timer_set(reactor_of(node), &node->look_timer, 0);
}

/* Fail-stop: what the disk has not taken must not be claimed. */
static void on_failed(void *context, enum err err, const char *what)
{
    struct node *node = context;
    if (!node->failure) {
        node->failure = err;
        err_explain(&node->failure_why, "%s: %s", what, err_text(err));
        look_soon(node);
    }
}

/* ---- life on the reactor ---- */

static void look_whether_ready(struct node *node)
{
    struct err_detail why = {{0}};
    bool is_ready = host_is_ready(node->host, &why);
    if (!is_ready && reactor_now_ns(reactor_of(node)) >= node->tell_ns) {
        if (node->tell_ns != 0) {
            log_info(links_log(node->links), "node.waits",
                     LOG_TEXT("why", why.text));
        }
        node->tell_ns = reactor_now_ns(reactor_of(node)) + TELL_NS;
    }
    counts_sample(node->counts, node->router, is_ready);
    readiness_say(&node->readiness, is_ready, &why);
    atomic_store(&node->looked_ns, clock_now_ns(posix_clock()));
    if (is_ready && !node->has_started) {
        node->has_started = true;
        log_info(links_log(node->links), "node.ready",
                 LOG_NUMBER("number", host_number(node->host)));
        if (node->options.events.on_ready) {
            node->options.events.on_ready(node->options.events.context);
        }
    }
}

/* All that was led is handed over, all that was asked is answered, and those
 * who asked have gone elsewhere: or it is time. */
static bool has_left(struct node *node)
{
    uint64_t now_ns = reactor_now_ns(reactor_of(node));
    if (!node->has_abandoned && now_ns + ABANDON_NS >= node->leave_until_ns) {
        /* So that others may have at once what runs here for too long. */
        node->has_abandoned = true;
        tasks_abandon(node->tasks);
    }
    if (host_has_left(node->host)) {
        router_leave(node->router);
        farewell_say(node->farewell);
        if (router_is_idle(node->router) && farewell_is_over(node->farewell) &&
            tasks_are_idle(node->tasks)) {
            return true;
        }
    }
    return now_ns >= node->leave_until_ns;
}

/* A disk that does not answer is waited for: the program may not want to. */
static void tell_waiting(struct node *node)
{
    const char *what = host_waits_for(node->host);
    uint64_t now_ns = reactor_now_ns(reactor_of(node));
    if (what && now_ns >= node->tell_ns) {
        log_warn(links_log(node->links), "node.waits", LOG_TEXT("why", what),
                 LOG_TEXT("next", "it ends all the same when time is over"));
        node->tell_ns = now_ns + TELL_ENDING_NS;
    }
}

/* Leaving, then ending: each goes on until there is nothing left to do. A
 * failed disk is not waited for. */
static bool look_whether_ended(struct node *node)
{
    if (node->failure) {
        return true;
    }
    if (!node->is_ending && has_left(node)) {
        node->is_ending = true;
        control_close(&node->control);
        task_service_close(&node->task_service);
        router_close(&node->router);
        tasks_detach(node->tasks);
        host_stop(node->host);
        node->tell_ns = reactor_now_ns(reactor_of(node)) + TELL_ENDING_NS;
    }
    if (node->is_ending) {
        tell_waiting(node);
    }
    return node->is_ending && host_is_idle(node->host);
}

static void tell_leaving(struct node *node)
{
    struct err_detail why = {{0}};
    err_explain(&why, "%s",
                node->failure ? node->failure_why.text
                              : "it leaves: what it leads is handed over");
    readiness_say(&node->readiness, false, &why);
}

static void run_look(struct timer *timer)
{
    struct node *node = OWNER_OF(timer, struct node, look_timer);
    if (node->failure || node->leave_until_ns != 0) {
        tell_leaving(node);
        if (look_whether_ended(node)) {
            node->options.events.on_ended(node->options.events.context);
            return;
        }
        reactor_timer_set(reactor_of(node), timer, NS_PER_MS);
        return;
    }
    look_whether_ready(node);
    reactor_timer_set(reactor_of(node), timer,
                      node->has_started ? LOOK_READY_NS : LOOK_NS);
}

static void run_leave(struct reactor_event *event)
{
    struct node *node = OWNER_OF(event, struct node, leave_event);
    log_info(links_log(node->links), "node.leaves",
             LOG_NUMBER("within_ms", node->leave_within_ms));
    node->leave_until_ns = reactor_now_ns(reactor_of(node)) +
                           (uint64_t)node->leave_within_ms * NS_PER_MS;
    host_leave(node->host);
    tasks_leave(node->tasks);
    look_soon(node);
}

static void run_reload(struct reactor_event *event)
{
    struct node *node = OWNER_OF(event, struct node, reload_event);
    struct err_detail why = {{0}};
    enum err err = links_reload(node->links, &why);
    if (err) {
        log_error(links_log(node->links), "node.not_reloaded", LOG_ERR(err),
                  LOG_TEXT("why", why.text),
                  LOG_TEXT("next", "what was read before stays in use"));
    } else {
        log_info(links_log(node->links), "node.reloaded",
                 LOG_TEXT("what", "keys and revocations"));
    }
}

void node_leave(struct node *node, uint32_t within_ms)
{
    node->leave_within_ms = within_ms;
    reactor_post(reactor_of(node), &node->leave_event);
}

void node_reload(struct node *node)
{
    reactor_post(reactor_of(node), &node->reload_event);
}

/* ---- what the gateway asks, on its thread ---- */

static bool is_live(void *context)
{
    struct node *node = context;
    uint64_t looked_ns = atomic_load(&node->looked_ns);
    return looked_ns == 0 || clock_now_ns(posix_clock()) - looked_ns < STALL_NS;
}

bool node_is_ready(const struct node *node, struct err_detail *why)
{
    return readiness_hear(&node->readiness, why);
}

static bool is_ready(void *context, struct err_detail *why)
{
    return node_is_ready(context, why);
}

static enum err render_metrics(void *context, char **out, size_t *out_length)
{
    struct node *node = context;
    return metrics_render(node->metrics, out, out_length);
}

/* ---- opening ---- */

static enum err open_links(struct node *node,
                           const struct node_options *options,
                           struct problems *problems,
                           struct err_detail *why)
{
    struct links_options links = {
        .config_path = options->config_path,
        .name = options->name,
        .log_sink = options->log_sink,
        .events = {.context = node,
                   .on_change = on_change,
                   .on_digest = on_digest},
        .knows_nobody = true,
    };
    return links_open(&node->links, &links, problems, why);
}

static enum err open_files(struct node *node)
{
    const struct settings_node *own = &links_settings(node->links)->node;
    char path[AGREED_PATH_BYTES];
    agreed_view_path(path, links_settings(node->links));
    enum err err = kept_file_open(&node->view_file, posix_files(), path,
                                  links_log(node->links), reactor_of(node));
    if (!err) {
        (void)snprintf(path, sizeof path, "%s/trust", own->keys_dir);
        err = kept_file_open(&node->trust_file, posix_files(), path,
                             links_log(node->links), reactor_of(node));
    }
    return err;
}

static enum err open_storage(struct node *node, struct err_detail *why)
{
    const struct settings *settings = links_settings(node->links);
    struct storage_config config = {.entropy = posix_entropy(),
                                    .data_dir = settings->node.data_dir,
                                    .node = settings->node.name,
                                    .log = links_log(node->links)};
    memcpy(config.cluster_id, settings->cluster.id, sizeof config.cluster_id);
    enum err err = storage_open(&node->storage, &config, why);
    return err ? err : open_files(node);
}

static void on_watch(void *context, uint64_t id)
{
    struct node *node = context;
    if (node->task_service) {
        task_service_watch(node->task_service, id);
    }
}

static enum err open_workers(struct node *node)
{
    const struct settings *settings = links_settings(node->links);
    if (!(settings_self(settings)->roles & SETTINGS_WORKER)) {
        return ERR_NONE;
    }
    return workers_open(
        &node->workers,
        &(struct workers_config){.reactor = reactor_of(node),
                                 .log = links_log(node->links),
                                 .functions = node->options.functions,
                                 .function_count = node->options.function_count,
                                 .allows_commands = settings->node.exec,
                                 .runner = node->options.runner});
}

static bool may_run(void *context, const struct task_pool *pool)
{
    const struct node *node = context;
    return workers_may_run(node->workers, pool);
}

static enum err open_tasks(struct node *node)
{
    struct tasks_config config = {
        .reactor = reactor_of(node),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = links_log(node->links),
        .endpoint = links_endpoint(node->links),
        .workers = node->workers ? workers_table(node->workers) : NULL,
        .may_run = may_run,
        .may_run_context = node,
        .channel = CHANNEL_TASKS,
        .watch = on_watch,
        .watch_context = node,
    };
    return tasks_open(&node->tasks, &config);
}

static enum err open_calls(struct node *node)
{
    struct calls_config config;
    calls_config_defaults(&config);
    config.endpoint = links_endpoint(node->links);
    config.reactor = reactor_of(node);
    config.log = links_log(node->links);
    config.channel = CHANNEL_CALLS;
    enum err err = calls_open(&node->calls, &config);
    if (!err) {
        err = raft_links_open(&node->raft_links, links_log(node->links));
    }
    if (!err) {
        err = open_workers(node);
    }
    if (!err) {
        err = open_tasks(node);
    }
    if (!err) {
        err = shards_open(&node->shards, posix_clock(), node->tasks);
    }
    return err;
}

static void fill_multiraft(const struct node *node,
                           struct multiraft_config *config)
{
    const struct settings_timeouts *timeouts =
        &links_settings(node->links)->cluster.timeouts;
    config->clock = posix_clock();
    config->entropy = posix_entropy();
    config->log = links_log(node->links);
    config->metrics = node->metrics;
    config->reactor = reactor_of(node);
    config->election_ns = timeouts->election_ms * NS_PER_MS;
    config->heartbeat_ns = timeouts->heartbeat_ms * NS_PER_MS;
    storage_fill(node->storage, config);
}

static enum err open_host(struct node *node, struct err_detail *why)
{
    const struct settings *settings = links_settings(node->links);
    const struct settings_member *self = settings_self(settings);
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    settings_door_url(door, settings, self, SETTINGS_ADVERTISED);
    settings_bus_url(bus, settings, self, SETTINGS_ADVERTISED);
    struct host_config config = {
        .settings = settings,
        .self = {.name = self->name,
                 .door = door,
                 .bus = bus,
                 .zone = self->zone,
                 .weight = self->weight,
                 .roles = self->roles,
                 .release = TROUPE_VERSION,
                 .feature_level = FEATURE_LEVEL},
        .endpoint = links_endpoint(node->links),
        .calls = node->calls,
        .raft_links = node->raft_links,
        .machines = shards_machines(node->shards),
        .keep = kept_file_keep(node->view_file),
        .resident_bytes = posix_memory_resident_bytes,
        .events = {.context = node,
                   .on_view = on_view,
                   .on_leader = on_leader,
                   .on_trust = on_trust,
                   .on_failed = on_failed},
    };
    host_config_defaults(&config);
    config.may_found = node->options.may_found;
    config.recovers_meta = node->options.recovers_meta;
    fill_multiraft(node, &config.multiraft);
    enum err err = host_open(&node->host, &config, why);
    /* Nothing is written before the reactor turns: from now on a log that is
     * not there is a loss, and not a node that is new. */
    return err ? err : storage_made(node->storage, why);
}

static enum err open_services(struct node *node)
{
    struct router_config config;
    router_config_defaults(&config);
    config.host = node->host;
    config.calls = node->calls;
    config.clock = posix_clock();
    config.reactor = reactor_of(node);
    config.quiet_ms = settings_quiet_ms(links_settings(node->links));
    enum err err = router_open(&node->router, &config);
    tasks_attach(node->tasks, node->host);
    if (!err) {
        err = task_service_open(
            &node->task_service,
            &(struct task_service_config){.tasks = node->tasks,
                                          .host = node->host,
                                          .router = node->router,
                                          .calls = node->calls,
                                          .reactor = reactor_of(node),
                                          .clock = posix_clock(),
                                          .entropy = posix_entropy()});
    }
    if (!err) {
        err = control_open(
            &node->control,
            &(struct control_config){
                .host = node->host,
                .router = node->router,
                .calls = node->calls,
                .endpoint = links_endpoint(node->links),
                .settings = links_settings(node->links),
                .clock = posix_clock(),
                .log = links_log(node->links),
                .log_tail = links_log_tail(node->links),
                .metrics = node->metrics,
                .dispatcher = tasks_dispatcher(node->tasks),
                .agent = tasks_agent(node->tasks),
                .workers = node->workers ? workers_table(node->workers) : NULL,
            });
    }
    if (!err) {
        err = counts_open(&node->counts,
                          &(struct counts_config){
                              .metrics = node->metrics,
                              .host = node->host,
                              .calls = node->calls,
                              .raft_links = node->raft_links,
                              .endpoint = links_endpoint(node->links),
                          });
    }
    if (!err) {
        err = farewell_open(&node->farewell, node->calls,
                            links_endpoint(node->links));
    }
    return err;
}

static enum err open_gateway(struct node *node, struct err_detail *why)
{
    const struct settings *settings = links_settings(node->links);
    const struct settings_node *own = &settings->node;
    if (settings_self(settings)->http_port == 0) {
        return ERR_NONE;
    }
    return gateway_open(&node->gateway,
                        &(struct gateway_config){
                            .host = own->http_listen,
                            .port = settings_self(settings)->http_port,
                            .connection_count_max = own->http_connections_max,
                            .timeout_ms = own->http_timeout_ms,
                            .source = {.context = node,
                                       .is_live = is_live,
                                       .is_ready = is_ready,
                                       .render_metrics = render_metrics},
                            .log = links_log(node->links)},
                        why);
}

static enum err open_layers(struct node *node,
                            const struct node_options *options,
                            struct problems *problems,
                            struct err_detail *why)
{
    enum err err = open_links(node, options, problems, why);
    if (!err) {
        err = metrics_open(&node->metrics, METRICS_MAX);
    }
    if (!err) {
        err = open_storage(node, why);
    }
    if (!err) {
        err = open_calls(node);
    }
    if (!err) {
        err = open_host(node, why);
    }
    if (!err) {
        err = open_services(node);
    }
    return err ? err : open_gateway(node, why);
}

enum err node_open(struct node **out,
                   const struct node_options *options,
                   struct problems *problems,
                   struct err_detail *why)
{
    scoped(node_close) struct node *node = calloc(1, sizeof *node);
    if (!node) {
        return ERR_MEMORY;
    }
    node->options = *options;
    readiness_say(&node->readiness, false,
                  &(struct err_detail){.text = "it starts"});
    node->look_timer.fire = run_look;
    node->leave_event.run = run_leave;
    node->reload_event.run = run_reload;
    enum err err = open_layers(node, options, problems, why);
    if (err) {
        if (why && !why->text[0]) {
            err_explain(why, "%s", err_text(err));
        }
        return err;
    }
    *out = node;
    node = NULL;
    return ERR_NONE;
}

enum err node_start(struct node *node)
{
    host_start(node->host);
    look_soon(node);
    return links_start(node->links);
}

struct reactor *node_reactor(const struct node *node)
{
    return reactor_of(node);
}

struct task_service *node_task_service(const struct node *node)
{
    return node->task_service;
}

struct host *node_host(const struct node *node)
{
    return node->host;
}

struct tasks *node_tasks(const struct node *node)
{
    return node->tasks;
}

/* ---- closing ---- */

/* What is with the log writer and the applier comes back, also when one of
 * them has failed: the other may be at work on what would be freed. */
static void finish(struct node *node)
{
    host_stop(node->host);
    node->tell_ns = reactor_now_ns(reactor_of(node)) + TELL_ENDING_NS;
    while (!host_is_idle(node->host)) {
        (void)reactor_turn(reactor_of(node));
        tell_waiting(node);
    }
}

void node_close(struct node **node)
{
    if (!*node) {
        return;
    }
    gateway_close(&(*node)->gateway); /* its thread asks the others */
    if ((*node)->links) {
        links_stop((*node)->links);
        reactor_timer_cancel(reactor_of(*node), &(*node)->look_timer);
    }
    farewell_close(&(*node)->farewell);
    control_close(&(*node)->control);
    task_service_close(&(*node)->task_service);
    router_close(&(*node)->router);
    if ((*node)->tasks) {
        tasks_detach((*node)->tasks);
    }
    if ((*node)->host) {
        finish(*node);
    }
    host_close(&(*node)->host);
    calls_close(&(*node)->calls);
    kept_file_close(&(*node)->view_file);
    kept_file_close(&(*node)->trust_file);
    storage_close(&(*node)->storage);
    shards_close(&(*node)->shards);
    workers_close(&(*node)->workers);
    tasks_close(&(*node)->tasks);
    links_close(&(*node)->links);
    raft_links_close(&(*node)->raft_links);
    counts_close(&(*node)->counts);
    metrics_close(&(*node)->metrics);
    free(*node);
    *node = NULL;
}

enum err node_failure(const struct node *node, struct err_detail *why)
{
    if (node->failure) {
        err_explain(why, "%s", node->failure_why.text);
    }
    return node->failure;
}
