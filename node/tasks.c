#include "node/tasks.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/archive_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (50 * NS_PER_MS)     /* whether who leads does */
#define LOOK_SOON_NS (1 * NS_PER_MS) /* while a leader is new */
#define LOAD_NS (20 * NS_PER_MS)     /* between digests of what is ready, */
#define LOAD_SOON_NS (1 * NS_PER_MS) /* but for news that workers are short */
#define LOAD_BYTES 1024
#define DIGEST_VERSION                                     \
    1 /* shard/host.c: [version, version of the view, ...] \
       */

/* To ourselves, as if it had come over a link. */
struct note {
    struct note *next;
    size_t length;
    uint8_t bytes[];
};

/* What was proposed, until it is committed. */
struct proposal {
    struct group_request request;
};

struct tasks {
    struct tasks_config config;
    struct host *host; /* NULL: not attached (any more) */
    struct dispatcher *dispatcher;
    struct agent *agent;
    struct workers no_workers;
    struct task_pools pools;
    uint32_t self;
    uint32_t shard_count;   /* of the view; 0: none yet */
    struct members members; /* of the view; a copy, for who is asked */
    struct shard_machine *machines[SHARD_COUNT_MAX];
    uint32_t next_led;
    uint64_t look_ns;
    uint64_t load_ns; /* when to tell it */
    uint64_t load_told_ns;
    bool has_told_load;
    bool was_enough; /* workers, some time since then */
    struct turn_end turn_end;
    struct timer timer;
    struct note *notes;
    struct note *last_note;
    bool wakes_dispatcher;
    bool wakes_agent;
};

void tasks_wake(struct tasks *tasks)
{
    tasks->wakes_dispatcher = true;
    tasks->wakes_agent = true;
    reactor_at_turn_end(tasks->config.reactor, &tasks->turn_end);
}

static void wake_dispatcher(void *context)
{
    struct tasks *tasks = context;
    tasks->wakes_dispatcher = true;
    reactor_at_turn_end(tasks->config.reactor, &tasks->turn_end);
}

static void wake_agent(void *context)
{
    struct tasks *tasks = context;
    tasks->wakes_agent = true;
    reactor_at_turn_end(tasks->config.reactor, &tasks->turn_end);
}

/* ---- messages ---- */

static bool send_to_self(struct tasks *tasks, struct bytes message)
{
    struct note *note = malloc(sizeof *note + message.length);
    if (!note) {
        return false;
    }
    note->next = NULL;
    note->length = message.length;
    memcpy(note->bytes, message.data, message.length);
    *(tasks->last_note ? &tasks->last_note->next : &tasks->notes) = note;
    tasks->last_note = note;
    reactor_at_turn_end(tasks->config.reactor, &tasks->turn_end);
    return true;
}

static bool send_to(void *context, uint32_t node, struct bytes message)
{
    struct tasks *tasks = context;
    if (node == tasks->self) {
        return send_to_self(tasks, message);
    }
    struct peer *peer = tasks->host ? host_peer(tasks->host, node) : NULL;
    return peer && !peer_send(peer, LANE_DATA, tasks->config.channel, message);
}

/* Whose ear it is for, its kind says. */
static void receive(struct tasks *tasks, uint32_t node, struct bytes message)
{
    struct reader reader = reader_of(message);
    enum task_message kind = task_message_read(&reader);
    enum err err = kind >= TASK_ASSIGN && kind <= TASK_ASK
                       ? agent_receive(tasks->agent, node, message)
                       : dispatcher_receive(tasks->dispatcher, node, message);
    if (err) {
        log_warn(tasks->config.log, "tasks.malformed", LOG_NUMBER("node", node),
                 LOG_NUMBER("kind", kind));
    }
}

static uint32_t number_of(const struct tasks *tasks, const char *name)
{
    const struct member *member = members_find_name(&tasks->members, name);
    return member ? member->number : MEMBER_NONE;
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct tasks *tasks = context;
    uint32_t node = peer_role(peer) == ROLE_NODE
                        ? number_of(tasks, peer_name(peer))
                        : MEMBER_NONE;
    if (tasks->host && node != MEMBER_NONE) {
        receive(tasks, node, message);
    }
}

/* Who is down for others may have come back just now, and may even have been
 * given tasks. */
static bool is_there(const struct tasks *tasks, const struct member *member)
{
    const struct peer *peer =
        tasks->host ? host_peer(tasks->host, member->number) : NULL;
    return member->state != MEMBER_DOWN || (peer && peer_is_up(peer));
}

static void each_member(const struct tasks *tasks,
                        uint32_t role,
                        void (*visit)(void *context, uint32_t node),
                        void *context)
{
    for (uint32_t i = 0; i < tasks->members.count; i++) {
        const struct member *member = &tasks->members.list[i];
        if ((member->roles & role) && is_there(tasks, member)) {
            visit(context, member->number);
        }
    }
}

static void each_worker(void *context,
                        void (*visit)(void *context, uint32_t node),
                        void *visit_context)
{
    each_member(context, SETTINGS_WORKER, visit, visit_context);
}

static void each_holder(void *context,
                        void (*visit)(void *context, uint32_t node),
                        void *visit_context)
{
    each_member(context, SETTINGS_SHARD, visit, visit_context);
}

/* ---- proposals ---- */

/* What comes of it is applied, or leadership is lost: both are heard of. */
static void on_proposed(struct group_request *request,
                        enum err err,
                        struct bytes reply)
{
    struct proposal *proposal = OWNER_OF(request, struct proposal, request);
    (void)err;
    (void)reply;
    free(proposal);
}

static enum err propose(void *context, uint32_t shard, struct bytes command)
{
    struct tasks *tasks = context;
    struct group *group =
        tasks->host ? host_group(tasks->host, shard_group_id(shard)) : NULL;
    struct proposal *proposal = calloc(1, sizeof *proposal);
    uint8_t *tagged = malloc(command.length + 1);
    enum err err = !group || !tasks->machines[shard] ? ERR_NOT_LEADER
                   : !proposal || !tagged            ? ERR_MEMORY
                                                     : ERR_NONE;
    if (!err) {
        tagged[0] = ARCHIVE_FOR_MACHINE;
        memcpy(tagged + 1, command.data, command.length);
        proposal->request.done = on_proposed;
        shard_machine_trust(tasks->machines[shard], true);
        err = group_propose(group, bytes_of(tagged, command.length + 1),
                            &proposal->request);
        shard_machine_trust(tasks->machines[shard], false);
    }
    if (err) {
        free(proposal);
    }
    free(tagged);
    /* The group answers later what was decided at once. */
    return err ? err : shard_machine_decided(tasks->machines[shard]);
}

/* ---- who leads ---- */

/* True: it is about to. */
static bool look_at(struct tasks *tasks, uint32_t shard)
{
    const struct coordinator *coordinator =
        dispatcher_find(tasks->dispatcher, shard);
    const struct group *group = host_group(tasks->host, shard_group_id(shard));
    if (!coordinator) {
        return false;
    }
    const struct raft *raft = group ? group_raft(group) : NULL;
    bool is_settled = raft && raft_is_settled(raft);
    if (!is_settled && coordinator_term(coordinator) != 0) {
        dispatcher_follow(tasks->dispatcher, shard);
    }
    if (is_settled && coordinator_term(coordinator) != raft_term(raft)) {
        /* What is committed and not applied yet would not be found. */
        if (group_applied_index(group) < raft_commit_index(raft)) {
            return true;
        }
        dispatcher_lead(tasks->dispatcher, shard, raft_term(raft));
    }
    return raft && !is_settled && raft_role(raft) == RAFT_LEADER;
}

static void look_at_all(struct tasks *tasks, uint64_t now_ns)
{
    bool is_any_new = false;
    for (uint32_t i = 0; i < tasks->shard_count; i++) {
        is_any_new = look_at(tasks, i) || is_any_new;
    }
    tasks->look_ns = now_ns + (is_any_new ? LOOK_SOON_NS : LOOK_NS);
}

void tasks_on_leader(struct tasks *tasks, uint32_t shard)
{
    if (tasks->host && look_at(tasks, shard)) {
        tasks->look_ns = clock_now_ns(tasks->config.clock) + LOOK_SOON_NS;
        wake_dispatcher(tasks);
    }
}

struct coordinator *tasks_led(const struct tasks *tasks, uint32_t shard)
{
    struct coordinator *coordinator = dispatcher_find(tasks->dispatcher, shard);
    return coordinator && coordinator_term(coordinator) != 0 ? coordinator
                                                             : NULL;
}

uint32_t tasks_any_led(struct tasks *tasks)
{
    for (uint32_t i = 0; i < tasks->shard_count; i++) {
        tasks->next_led = (tasks->next_led + 1) % tasks->shard_count;
        if (tasks_led(tasks, tasks->next_led)) {
            return tasks->next_led;
        }
    }
    return UINT32_MAX;
}

/* ---- load ---- */

static void tell_load(struct tasks *tasks, uint64_t now_ns)
{
    uint8_t buffer[LOAD_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 3);
    pack_uint(&writer, DIGEST_VERSION);
    pack_uint(&writer, 0); /* no news of the view */
    uint8_t *load = writer.next;
    dispatcher_write_load(tasks->dispatcher, &writer);
    bool has_load = !writer.failed && *load != 0x90; /* an empty array */
    if (has_load || tasks->has_told_load) {
        /* A hint, which may be lost; another follows. */
        (void)!endpoint_publish(tasks->config.endpoint, writer_bytes(&writer));
    }
    tasks->has_told_load = has_load;
    tasks->was_enough = false;
    tasks->load_told_ns = now_ns;
    tasks->load_ns = now_ns + LOAD_NS;
}

void tasks_on_digest(struct tasks *tasks, const char *from, struct bytes digest)
{
    struct reader reader = reader_of(digest);
    uint32_t node = number_of(tasks, from);
    uint32_t count = pack_read_array(&reader);
    uint64_t version = pack_read_uint(&reader);
    (void)pack_read_uint(&reader);
    if (!reader.failed && version == DIGEST_VERSION && count >= 3 &&
        node != MEMBER_NONE && pack_peek(&reader) == PACK_ARRAY) {
        agent_on_load(tasks->agent, node, &reader);
    }
}

/* Others hear soon when our workers are not enough any more; while that stays
 * so they hear as often as usual. */
static void look_at_load(struct tasks *tasks)
{
    uint64_t now_ns = clock_now_ns(tasks->config.clock);
    if (!dispatcher_is_short(tasks->dispatcher)) {
        tasks->was_enough = true;
        return;
    }
    uint64_t soon_ns = tasks->load_told_ns + LOAD_SOON_NS;
    if (tasks->was_enough && now_ns >= soon_ns) {
        tell_load(tasks, now_ns);
    } else if (tasks->was_enough && soon_ns < tasks->load_ns) {
        tasks->load_ns = soon_ns;
    }
}

/* ---- turns ---- */

static void set_timer(struct tasks *tasks)
{
    uint64_t now_ns = clock_now_ns(tasks->config.clock);
    uint64_t due_ns = dispatcher_due_ns(tasks->dispatcher);
    const uint64_t others_ns[] = {agent_due_ns(tasks->agent), tasks->look_ns,
                                  tasks->load_ns};
    for (size_t i = 0; i < 3; i++) {
        due_ns = others_ns[i] < due_ns ? others_ns[i] : due_ns;
    }
    reactor_timer_set(tasks->config.reactor, &tasks->timer,
                      due_ns > now_ns ? due_ns - now_ns : 0);
}

static void run_timer(struct timer *timer)
{
    struct tasks *tasks = OWNER_OF(timer, struct tasks, timer);
    uint64_t now_ns = clock_now_ns(tasks->config.clock);
    if (!tasks->host) {
        return;
    }
    if (now_ns >= tasks->look_ns) {
        look_at_all(tasks, now_ns);
    }
    if (now_ns >= tasks->load_ns) {
        tell_load(tasks, now_ns);
    }
    if (now_ns >= dispatcher_due_ns(tasks->dispatcher)) {
        dispatcher_tick(tasks->dispatcher);
    }
    agent_tick(tasks->agent);
    wake_dispatcher(tasks);
}

static void deliver_notes(struct tasks *tasks)
{
    while (tasks->notes) {
        struct note *note = tasks->notes;
        tasks->notes = note->next;
        tasks->last_note = tasks->notes ? tasks->last_note : NULL;
        if (tasks->host) {
            receive(tasks, tasks->self, bytes_of(note->bytes, note->length));
        }
        free(note);
    }
}

static void run_turn_end(struct turn_end *turn_end)
{
    struct tasks *tasks = OWNER_OF(turn_end, struct tasks, turn_end);
    while (tasks->wakes_agent || tasks->wakes_dispatcher || tasks->notes) {
        if (tasks->wakes_agent) {
            tasks->wakes_agent = false;
            agent_turn_end(tasks->agent);
        }
        if (tasks->wakes_dispatcher) {
            tasks->wakes_dispatcher = false;
            dispatcher_turn_end(tasks->dispatcher);
        }
        deliver_notes(tasks);
    }
    if (tasks->host) {
        look_at_load(tasks);
        set_timer(tasks);
    }
}

/* ---- events ---- */

/* Those that can run here: others' tasks wait for other nodes. */
static enum err set_agent_pools(struct tasks *tasks)
{
    struct task_pools pools = {0};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < tasks->pools.count && !err; i++) {
        const struct task_pool *pool = &tasks->pools.list[i];
        bool may_run =
            !tasks->config.may_run ||
            tasks->config.may_run(tasks->config.may_run_context, pool);
        err = may_run ? task_pools_set(&pools, pool) : ERR_NONE;
    }
    if (!err) {
        err = agent_set_pools(tasks->agent, &pools);
    }
    task_pools_clear(&pools);
    return err;
}

void tasks_on_view(struct tasks *tasks, const struct view *view)
{
    struct members members = {0};
    struct task_pools pools = {0};
    enum err err = members_copy(&members, &view->members);
    if (!err) {
        err = task_pools_copy(&pools, &view->pools);
    }
    if (err) {
        members_clear(&members);
        log_warn(tasks->config.log, "tasks.view_not_taken", LOG_ERR(err));
        return; /* the next one is */
    }
    members_clear(&tasks->members);
    tasks->members = members;
    tasks->shard_count = view->map.shard_count;
    struct task_pools old = tasks->pools;
    tasks->pools = pools;
    dispatcher_pools_changed(tasks->dispatcher);
    task_pools_clear(&old);
    if (tasks->config.workers) {
        err = set_agent_pools(tasks);
    }
    if (err) {
        log_warn(tasks->config.log, "tasks.pools_not_taken", LOG_ERR(err));
    }
    if (tasks->host && host_number(tasks->host) != tasks->self) {
        tasks->self = host_number(tasks->host);
        dispatcher_set_self(tasks->dispatcher, tasks->self);
        agent_set_self(tasks->agent, tasks->self);
    }
}

void tasks_on_change(struct tasks *tasks,
                     struct peer *peer,
                     enum peer_change change)
{
    uint32_t node = peer_role(peer) == ROLE_NODE
                        ? number_of(tasks, peer_name(peer))
                        : MEMBER_NONE;
    if (node == MEMBER_NONE || !tasks->host) {
        return;
    }
    if (change == PEER_BEGUN) {
        dispatcher_node_begun(tasks->dispatcher, node);
        agent_node_begun(tasks->agent, node);
    } else if (change == PEER_UP) {
        dispatcher_node_up(tasks->dispatcher, node);
    }
}

void tasks_leave(struct tasks *tasks)
{
    agent_leave(tasks->agent);
}

void tasks_abandon(struct tasks *tasks)
{
    agent_abandon(tasks->agent);
}

bool tasks_are_idle(const struct tasks *tasks)
{
    return agent_is_idle(tasks->agent);
}

/* ---- life ---- */

static const struct task_pools *on_pools(void *context)
{
    return tasks_pools(context);
}

static uint32_t on_shard_count(void *context)
{
    const struct tasks *tasks = context;
    return tasks->shard_count > 0 ? tasks->shard_count : 1;
}

/* A task of a shard that another node leads must be done before one of ours.
 * It is asked for as anybody would: node/task_service.h. */
static void watch(void *context, uint64_t id)
{
    struct tasks *tasks = context;
    if (tasks->config.watch) {
        tasks->config.watch(tasks->config.watch_context, id);
    }
}

static void set_no_pools(void *context, const struct task_pools *pools)
{
    (void)context;
    (void)pools;
}

/* Nothing is asked for, so nothing comes. */
static void start_nothing(void *context, struct run *run)
{
    (void)context;
    run->done(run, &(struct run_result){.status = RUN_CANCELLED, .why = ""});
}

static void cancel_nothing(void *context, struct run *run)
{
    (void)context;
    (void)run;
}

static enum err open_parts(struct tasks *tasks)
{
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    tasks->no_workers = (struct workers){.set_pools = set_no_pools,
                                         .start = start_nothing,
                                         .cancel = cancel_nothing};
    struct dispatcher_home home = {.context = tasks,
                                   .clock = tasks->config.clock,
                                   .entropy = tasks->config.entropy,
                                   .pools = on_pools,
                                   .shard_count = on_shard_count,
                                   .propose = propose,
                                   .send = send_to,
                                   .each_node = each_worker,
                                   .wake = wake_dispatcher,
                                   .watch = watch};
#ifdef TROUPE_FAULTS
    home.fault = tasks->config.fault;
#endif
    enum err err = dispatcher_open(&tasks->dispatcher, &home);
    if (!err) {
        err = agent_open(
            &tasks->agent,
            &(struct agent_home){.context = tasks,
                                 .clock = tasks->config.clock,
                                 .entropy = tasks->config.entropy,
                                 .workers = tasks->config.workers
                                                ? tasks->config.workers
                                                : &tasks->no_workers,
                                 .send = send_to,
                                 .each_node = each_holder,
                                 .wake = wake_agent},
            &limits);
    }
    return err;
}

enum err tasks_open(struct tasks **out, const struct tasks_config *config)
{
    struct tasks *tasks = calloc(1, sizeof *tasks);
    if (!tasks) {
        return ERR_MEMORY;
    }
    tasks->config = *config;
    tasks->self = MEMBER_NONE;
    tasks->turn_end.run = run_turn_end;
    tasks->timer.fire = run_timer;
    enum err err = open_parts(tasks);
    if (err) {
        tasks_close(&tasks);
        return err;
    }
    *out = tasks;
    return ERR_NONE;
}

void tasks_attach(struct tasks *tasks, struct host *host)
{
    tasks->host = host;
    endpoint_channel_set(tasks->config.endpoint, tasks->config.channel,
                         on_message, tasks);
    if (host_view(host)) {
        tasks_on_view(tasks, host_view(host));
    }
    tasks_wake(tasks);
}

void tasks_detach(struct tasks *tasks)
{
    if (tasks->host) {
        endpoint_channel_set(tasks->config.endpoint, tasks->config.channel,
                             NULL, NULL);
        reactor_timer_cancel(tasks->config.reactor, &tasks->timer);
        reactor_forget_turn_end(tasks->config.reactor, &tasks->turn_end);
        tasks->host = NULL;
    }
}

void tasks_close(struct tasks **tasks)
{
    if (!*tasks) {
        return;
    }
    tasks_detach(*tasks);
    reactor_forget_turn_end((*tasks)->config.reactor, &(*tasks)->turn_end);
    deliver_notes(*tasks);
    agent_close(&(*tasks)->agent);
    dispatcher_close(&(*tasks)->dispatcher);
    members_clear(&(*tasks)->members);
    task_pools_clear(&(*tasks)->pools);
    free(*tasks);
    *tasks = NULL;
}

enum err tasks_add(struct tasks *tasks,
                   uint32_t shard,
                   struct coordinator **out)
{
    return dispatcher_add(tasks->dispatcher, shard, out);
}

void tasks_set_machine(struct tasks *tasks,
                       uint32_t shard,
                       struct shard_machine *machine)
{
    tasks->machines[shard] = machine;
}

void tasks_remove(struct tasks *tasks, uint32_t shard)
{
    tasks->machines[shard] = NULL;
    dispatcher_remove(tasks->dispatcher, shard);
}

struct dispatcher *tasks_dispatcher(struct tasks *tasks)
{
    return tasks->dispatcher;
}

struct agent *tasks_agent(struct tasks *tasks)
{
    return tasks->agent;
}

const struct task_pools *tasks_pools(const struct tasks *tasks)
{
    return &tasks->pools;
}

const struct members *tasks_members(const struct tasks *tasks)
{
    return &tasks->members;
}

uint32_t tasks_shard_count(const struct tasks *tasks)
{
    return tasks->shard_count;
}
