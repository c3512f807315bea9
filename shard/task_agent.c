#include "shard/task_agent.h"

#include "base/owner.h"
#include "base/time_units.h"

#include <assert.h>
#include <stdlib.h>

#define NODES_MAX 512
#define SHARDS_MAX 4096          /* as many as ids have */
#define HELD_SLOT_COUNT_MIN 4096 /* hash slots, for attempts held here */
#define UNRECORDED_MAX (1u << 20)
#define AGAIN_NS \
    (2 * NS_PER_S)         /* a result that is not recorded is said again */
#define AGAIN_COUNT_MAX 64 /* at a time */
/* The rate is measured over so long, and a trip. */
#define RATE_NS (10 * NS_PER_MS)
#define TRIPS_SMOOTHED 8 /* that make the mean, as TCP's do */

/* A dispatcher, for one pool. */
struct source {
    uint64_t granted; /* as it was told */
    uint64_t given;
    uint64_t load;     /* ready tasks there, as heard */
    uint64_t pause_ns; /* not to be stolen from before */
    uint32_t pause_ms;
    bool is_stealing;  /* what is outstanding is on its way, */
    uint64_t steal_ns; /* and was asked for then, last */
    uint64_t timed;    /* when `given` is this, a trip has ended */
    uint64_t timed_ns; /* that has begun then; 0: none is timed */
};

struct pool_agent {
    struct pool_agent *next;
    struct task_pool settings;
    uint64_t epoch;      /* of what its sources count, told to dispatchers */
    bool is_gone;        /* no such pool any more */
    uint64_t held;       /* given to the workers, not finished */
    uint64_t unrecorded; /* finished */
    uint64_t finished;
    uint64_t stolen;
    struct source *sources; /* NODES_MAX */

    /* Finished in the present stretch of RATE_NS, and in the one before. */
    uint64_t rate_ns;
    uint64_t now_count;
    uint64_t rate_count;
    uint64_t trip_ns; /* from asking others to what they give, about */
};

/* An attempt: it runs here, or its result waits to be recorded. */
struct held {
    struct run run;
    struct held *same_hash;
    struct agent *agent;
    struct pool_agent *pool;
    uint32_t node; /* whose dispatcher gave it, or asked for it last */
    bool is_finished;
    bool is_to_say;    /* stands in the agent's list, */
    bool is_forgotten; /* and goes with it */
    uint64_t said_ns;  /* when it was put there last */
    enum run_status status;
    struct held *next_to_say;
    uint32_t output_bytes;
    uint32_t why_bytes;
    uint8_t *result;   /* output, why */
    uint8_t payload[]; /* of the run */
};

struct agent {
    struct agent_home home;
    struct agent_limits limits;
    uint32_t self;
    struct pool_agent *pools;
    struct held **held;     /* chains */
    size_t held_slot_count; /* a power of two */
    uint64_t held_count;
    uint64_t terms[SHARDS_MAX]; /* in which we have presented, last */
    struct held *to_say;        /* results, the newest first */
    uint64_t epoch;             /* the newest pool's */
    struct task_parcel parcel;
    uint64_t alive_ns;
    bool is_leaving;
    struct agent_stats stats;
};

static uint64_t now_ns(const struct agent *agent)
{
    return clock_now_ns(agent->home.clock);
}

static void wake(const struct agent *agent)
{
    agent->home.wake(agent->home.context);
}

/* ---- attempts ---- */

static struct held **slot_of(const struct agent *agent, uint64_t id)
{
    uint64_t hash = id * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
    return &agent->held[hash >> 32 & (agent->held_slot_count - 1)];
}

/* Without memory its chains get longer. */
static void make_slots(struct agent *agent)
{
    if (agent->held_count < agent->held_slot_count) {
        return;
    }
    struct held **old = agent->held;
    size_t old_count = agent->held_slot_count;
    struct held **slots = calloc(2 * old_count, sizeof *slots);
    if (!slots) {
        return;
    }
    agent->held = slots;
    agent->held_slot_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct held *held = old[i];
            struct held **slot = slot_of(agent, held->run.task);
            old[i] = held->same_hash;
            held->same_hash = *slot;
            *slot = held;
        }
    }
    free(old);
}

static struct held *find_held(struct agent *agent, uint64_t id, uint64_t token)
{
    struct held *held = *slot_of(agent, id);
    while (held && (held->run.task != id || held->run.token != token)) {
        held = held->same_hash;
    }
    return held;
}

static void free_held(struct held *held)
{
    free(held->result);
    free(held);
}

/* One that is to be said goes with the list. */
static void forget(struct agent *agent, struct held *held)
{
    struct held **link = slot_of(agent, held->run.task);
    while (*link != held) {
        link = &(*link)->same_hash;
    }
    *link = held->same_hash;
    agent->held_count--;
    if (held->is_to_say) {
        held->is_forgotten = true;
    } else {
        free_held(held);
    }
}

static struct pool_agent *pool_find(const struct agent *agent,
                                    struct bytes name)
{
    struct pool_agent *pool = agent->pools;
    while (pool && !bytes_are_equal(bytes_of_text(pool->settings.name), name)) {
        pool = pool->next;
    }
    return pool;
}

/* ---- results ---- */

static void say(struct agent *agent, struct held *held)
{
    if (!held->is_to_say) {
        held->is_to_say = true;
        held->said_ns = now_ns(agent);
        held->next_to_say = agent->to_say;
        agent->to_say = held;
        wake(agent);
    }
}

static void keep_result(struct held *held, const struct run_result *result)
{
    size_t why_bytes = strnlen(result->why, TASK_WHY_BYTES - 1);
    held->status = result->status;
    if (result->output.length + why_bytes == 0) {
        return;
    }
    held->result = malloc(result->output.length + why_bytes + 1);
    if (!held->result) {
        /* What it did is done; only what it wrote is lost. A worker that did
         * well is not to be sent again for that. */
        return;
    }
    if (result->output.length > 0) {
        memcpy(held->result, result->output.data, result->output.length);
    }
    memcpy(held->result + result->output.length, result->why, why_bytes);
    held->output_bytes = (uint32_t)result->output.length;
    held->why_bytes = (uint32_t)why_bytes;
}

static void on_done(struct run *run, const struct run_result *result)
{
    struct held *held = OWNER_OF(run, struct held, run);
    struct agent *agent = held->agent;
    struct pool_agent *pool = held->pool;
    held->is_finished = true;
    pool->held--;
    pool->unrecorded++;
    pool->finished++;
    pool->now_count++;
    agent->stats.finished++;
    keep_result(held, result);
    say(agent, held);
}

static void on_progress(struct run *run,
                        uint32_t done_of_1000,
                        const char *text)
{
    struct held *held = OWNER_OF(run, struct held, run);
    struct agent *agent = held->agent;
    uint8_t buffer[64 + TASK_WHY_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 5);
    pack_uint(&writer, TASK_PROGRESS);
    pack_uint(&writer, run->task);
    pack_uint(&writer, run->token);
    pack_uint(&writer, done_of_1000 > 1000 ? 1000 : done_of_1000);
    pack_str(&writer, bytes_of(text, strnlen(text, TASK_WHY_BYTES - 1)));
    (void)agent->home.send(agent->home.context, held->node,
                           writer_bytes(&writer));
}

static struct bytes output_of(const struct held *held)
{
    return bytes_of(held->result, held->output_bytes);
}

static struct bytes why_of(const struct held *held)
{
    return held->why_bytes > 0
               ? bytes_of(held->result + held->output_bytes, held->why_bytes)
               : (struct bytes){0};
}

static bool put_finish(struct task_parcel *parcel, const struct held *held)
{
    struct task_finish finish = {.id = held->run.task,
                                 .token = held->run.token,
                                 .status = held->status,
                                 .output = output_of(held),
                                 .why = why_of(held)};
    if (task_parcel_room(parcel, 16 + task_finish_bytes_max(&finish))) {
        return false;
    }
    if (parcel->count == 0) {
        pack_array(&parcel->writer, 2);
        pack_uint(&parcel->writer, TASK_FINISHED);
        task_parcel_begin(parcel);
    }
    task_finish_encode(&finish, &parcel->writer);
    parcel->count++;
    return true;
}

/* The results for one node, of those in `list`, as far as there is memory; the
 * others are left, in their order. */
static struct held *say_to(struct agent *agent,
                           uint32_t node,
                           struct held *list)
{
    struct task_parcel *parcel = &agent->parcel;
    struct held *others = NULL;
    struct held **last = &others;
    task_parcel_clear(parcel);
    while (list) {
        struct held *held = list;
        list = held->next_to_say;
        if (held->node != node || !put_finish(parcel, held)) {
            *last = held;
            last = &held->next_to_say;
            continue;
        }
        held->is_to_say = false;
        if (task_parcel_bytes(parcel) > TASK_WIRE_BYTES) {
            (void)agent->home.send(agent->home.context, node,
                                   task_parcel_end(parcel));
            task_parcel_clear(parcel);
        }
    }
    *last = NULL;
    if (parcel->count > 0) {
        /* If it cannot be sent, who leads by then asks for it. */
        (void)agent->home.send(agent->home.context, node,
                               task_parcel_end(parcel));
    }
    return others;
}

/* Oldest first: they were put in front. Without those that are forgotten. */
static struct held *take_to_say(struct agent *agent)
{
    struct held *list = NULL;
    while (agent->to_say) {
        struct held *held = agent->to_say;
        agent->to_say = held->next_to_say;
        if (held->is_forgotten) {
            free_held(held);
        } else {
            held->next_to_say = list;
            list = held;
        }
    }
    return list;
}

static void say_all(struct agent *agent)
{
    struct held *list = take_to_say(agent);
    while (list) {
        struct held *left = say_to(agent, list->node, list);
        if (left == list) {
            agent->to_say = list; /* no memory: with the next turn */
            break;
        }
        list = left;
    }
}

/* ---- what dispatchers say ---- */

static uint64_t outstanding(const struct source *source)
{
    return source->granted > source->given ? source->granted - source->given
                                           : 0;
}

static void time_trip(const struct agent *agent,
                      struct pool_agent *pool,
                      struct source *source)
{
    if (source->timed_ns != 0 && source->given >= source->timed) {
        uint64_t trip_ns = now_ns(agent) - source->timed_ns;
        trip_ns = trip_ns < AGAIN_NS ? trip_ns : AGAIN_NS;
        pool->trip_ns -= pool->trip_ns / TRIPS_SMOOTHED;
        pool->trip_ns += trip_ns / TRIPS_SMOOTHED;
        source->timed_ns = 0;
    }
}

static void begin_run(struct agent *agent,
                      uint32_t node,
                      struct pool_agent *pool,
                      const struct task_assignment *assignment)
{
    size_t length = assignment->payload.length;
    struct held *held = calloc(1, sizeof *held + length);
    if (!held) {
        return; /* its lease ends, some time */
    }
    if (length > 0) {
        memcpy(held->payload, assignment->payload.data, length);
    }
    held->agent = agent;
    held->pool = pool;
    held->node = node;
    held->run = (struct run){.done = on_done,
                             .progress = on_progress,
                             .task = assignment->id,
                             .token = assignment->token,
                             .attempt = assignment->attempt,
                             .timeout_ms = assignment->timeout_ms,
                             .pool = &pool->settings,
                             .payload = bytes_of(held->payload, length)};
    make_slots(agent);
    struct held **slot = slot_of(agent, assignment->id);
    held->same_hash = *slot;
    *slot = held;
    agent->held_count++;
    pool->held++;
    agent->home.workers->start(agent->home.workers->context, &held->run);
}

/* It is given back, as if it had not been given. */
static void decline(struct agent *agent,
                    uint32_t node,
                    const struct task_assignment *assignment)
{
    struct task_parcel parcel = {0};
    struct task_finish finish = {.id = assignment->id,
                                 .token = assignment->token,
                                 .status = RUN_CANCELLED};
    if (task_parcel_room(&parcel, 32 + task_finish_bytes_max(&finish))) {
        return;
    }
    pack_array(&parcel.writer, 2);
    pack_uint(&parcel.writer, TASK_FINISHED);
    task_parcel_begin(&parcel);
    task_finish_encode(&finish, &parcel.writer);
    parcel.count = 1;
    (void)agent->home.send(agent->home.context, node, task_parcel_end(&parcel));
    task_parcel_free(&parcel);
}

static void hear_assign(struct agent *agent,
                        uint32_t node,
                        struct reader *reader)
{
    struct pool_agent *pool = pool_find(agent, pack_read_str(reader));
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct task_assignment assignment;
        task_assignment_decode(&assignment, reader);
        if (reader->failed) {
            break;
        }
        if (pool) {
            pool->sources[node].given++;
            pool->stolen += node != agent->self;
        }
        *(node == agent->self ? &agent->stats.taken : &agent->stats.stolen) +=
            1;
        if (assignment.token >> 32 <
            agent->terms[task_id_shard(assignment.id)]) {
            continue; /* of a leader that is none any more: the next one has
                         heard that we do not have it */
        }
        if (!pool || pool->is_gone || agent->is_leaving) {
            decline(agent, node, &assignment);
        } else if (!find_held(agent, assignment.id, assignment.token)) {
            begin_run(agent, node, pool, &assignment);
        }
    }
    uint64_t ready = pack_read_uint(reader);
    if (pool && node != agent->self) {
        struct source *source = &pool->sources[node];
        time_trip(agent, pool, source);
        source->load = reader->failed ? 0 : ready;
        source->is_stealing = source->load > 0 && outstanding(source) > 0;
        source->timed_ns = source->is_stealing ? source->timed_ns : 0;
        source->pause_ms = 0;
    }
    wake(agent);
}

static void hear_dry(struct agent *agent, uint32_t node, struct reader *reader)
{
    struct pool_agent *pool = pool_find(agent, pack_read_str(reader));
    if (reader->failed || !pool) {
        return;
    }
    struct source *source = &pool->sources[node];
    source->is_stealing = false;
    source->timed_ns = 0;
    source->load = 0;
    source->pause_ms = source->pause_ms == 0 ? agent->limits.steal_pause_ms_min
                                             : 2 * source->pause_ms;
    if (source->pause_ms > agent->limits.steal_pause_ms_max) {
        source->pause_ms = agent->limits.steal_pause_ms_max;
    }
    source->pause_ns = now_ns(agent) + source->pause_ms * NS_PER_MS;
    agent->stats.dry++;
}

static void hear_acks(struct agent *agent, struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count; i++) {
        (void)pack_read_array_of(reader, 3, 3);
        uint64_t id = pack_read_uint(reader);
        uint64_t token = pack_read_uint(reader);
        bool is_recorded = pack_read_bool(reader);
        struct held *held = reader->failed ? NULL : find_held(agent, id, token);
        if (!held || !held->is_finished) {
            continue;
        }
        if (!is_recorded) {
            agent->stats.late++;
            if (agent->home.on_late) {
                agent->home.on_late(agent->home.context, id, token);
            }
        }
        held->pool->unrecorded--;
        forget(agent, held);
    }
}

static void hear_cancel(struct agent *agent, struct reader *reader)
{
    uint64_t id = pack_read_uint(reader);
    uint64_t token = pack_read_uint(reader);
    struct held *held = reader->failed ? NULL : find_held(agent, id, token);
    if (held && !held->is_finished) {
        agent->home.workers->cancel(agent->home.workers->context, &held->run);
    }
}

/* Tell a new leader what is here of its shard; results follow. */
static void present(struct agent *agent,
                    uint32_t node,
                    uint64_t shard,
                    uint64_t term)
{
    struct task_parcel parcel = {0};
    if (task_parcel_room(&parcel, 64 + 32 * (size_t)agent->held_count)) {
        return; /* the time of a lease decides */
    }
    pack_array(&parcel.writer, 4);
    pack_uint(&parcel.writer, TASK_PRESENT);
    pack_uint(&parcel.writer, shard);
    pack_uint(&parcel.writer, term);
    task_parcel_begin(&parcel);
    for (size_t i = 0; agent->held_count > 0 && i < agent->held_slot_count;
         i++) {
        for (struct held *held = agent->held[i]; held; held = held->same_hash) {
            if (task_id_shard(held->run.task) != shard) {
                continue;
            }
            held->node = node;
            pack_array(&parcel.writer, 2);
            pack_uint(&parcel.writer, held->run.task);
            pack_uint(&parcel.writer, held->run.token);
            parcel.count++;
            if (held->is_finished) {
                say(agent, held);
            }
        }
    }
    (void)agent->home.send(agent->home.context, node, task_parcel_end(&parcel));
    task_parcel_free(&parcel);
}

static void hear_ask(struct agent *agent, uint32_t node, struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count; i++) {
        (void)pack_read_array_of(reader, 2, 2);
        uint64_t shard = pack_read_uint(reader);
        uint64_t term = pack_read_uint(reader);
        if (!reader->failed && shard < SHARDS_MAX) {
            /* Not the greatest: a shard that begins empty begins anew. */
            agent->terms[shard] = term;
            present(agent, node, shard, term);
        }
    }
}

enum err agent_receive(struct agent *agent, uint32_t node, struct bytes message)
{
    struct reader reader = reader_of(message);
    enum task_message kind = task_message_read(&reader);
    assert(node < NODES_MAX);
    if (kind == TASK_ASSIGN) {
        hear_assign(agent, node, &reader);
    } else if (kind == TASK_DRY) {
        hear_dry(agent, node, &reader);
    } else if (kind == TASK_ACK) {
        hear_acks(agent, &reader);
    } else if (kind == TASK_CANCEL) {
        hear_cancel(agent, &reader);
    } else if (kind == TASK_ASK) {
        hear_ask(agent, node, &reader);
    } else {
        reader.failed = true;
    }
    agent->stats.malformed += reader.failed;
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

void agent_node_begun(struct agent *agent, uint32_t node)
{
    for (struct pool_agent *pool = agent->pools; pool; pool = pool->next) {
        pool->sources[node] = (struct source){0};
    }
    wake(agent);
}

void agent_on_load(struct agent *agent, uint32_t node, struct reader *load)
{
    uint32_t count = pack_read_array(load);
    for (struct pool_agent *pool = agent->pools; pool; pool = pool->next) {
        pool->sources[node].load = 0;
    }
    for (uint32_t i = 0; i < count && !load->failed; i++) {
        uint32_t fields = pack_read_array_of(load, 2, UINT32_MAX);
        struct pool_agent *pool = pool_find(agent, pack_read_str(load));
        uint64_t ready = pack_read_uint(load);
        pack_skip_count(load, load->failed ? 0 : fields - 2);
        if (pool && !load->failed) {
            pool->sources[node].load = ready;
        }
    }
    wake(agent);
}

/* ---- asking for more ---- */

/* How many attempts shall be here or on their way: enough for all workers, and
 * for those short ones that are finished before the next message comes. */
static uint64_t wanted(const struct agent *agent, const struct pool_agent *pool)
{
    uint64_t workers = pool->settings.workers;
    uint64_t ahead_us = agent->limits.ahead_us + pool->trip_ns / NS_PER_US;
    uint64_t ahead = pool->rate_count * ahead_us / (RATE_NS / NS_PER_US);
    uint64_t max = agent->limits.ahead_max;
    return 2 * workers + (ahead < max ? ahead : max);
}

static void grant(struct agent *agent,
                  struct pool_agent *pool,
                  uint32_t node,
                  uint64_t count,
                  bool is_steal)
{
    uint8_t buffer[CERTIFICATE_NAME_BYTES + 32];
    struct source *source = &pool->sources[node];
    struct writer writer = writer_of(buffer, sizeof buffer);
    uint64_t granted = source->given + count;
    pack_array(&writer, 5);
    pack_uint(&writer, TASK_CREDIT);
    pack_text(&writer, pool->settings.name);
    pack_uint(&writer, granted);
    pack_bool(&writer, is_steal);
    pack_uint(&writer, pool->epoch);
    if (agent->home.send(agent->home.context, node, writer_bytes(&writer))) {
        source->granted = granted;
        source->is_stealing = is_steal;
        source->steal_ns = now_ns(agent);
        agent->stats.steals += is_steal;
    }
}

/* What comes of others without another word. */
static uint64_t awaited(const struct agent *agent, const struct source *source)
{
    bool is_coming =
        source->is_stealing && now_ns(agent) - source->steal_ns < AGAIN_NS;
    return is_coming ? outstanding(source) : 0;
}

struct victims {
    struct agent *agent;
    struct pool_agent *pool;
    uint64_t awaited; /* of all */
    uint32_t node;    /* that has most for us; UINT32_MAX: none has any */
    uint64_t share;   /* so many */
    uint32_t count;   /* of equals */
};

/* Half of what is there, as far as is known, is for us; the other half is for
 * other thieves. Among equals any. */
static void see_victim(void *context, uint32_t node)
{
    struct victims *victims = context;
    const struct source *source = &victims->pool->sources[node];
    if (node == victims->agent->self) {
        return;
    }
    uint64_t half = (source->load + 1) / 2;
    uint64_t coming = awaited(victims->agent, source);
    uint64_t share = half > coming ? half - coming : 0;
    victims->awaited += coming;
    if (share == 0 || share < victims->share ||
        source->pause_ns > now_ns(victims->agent)) {
        return;
    }
    victims->count = share > victims->share ? 1 : victims->count + 1;
    if (entropy_below(victims->agent->home.entropy, victims->count) == 0) {
        victims->node = node;
    }
    victims->share = share;
}

/* A window, moved on when half of it was used: what is asked for arrives before
 * the workers have run out. */
static void steal(struct agent *agent, struct pool_agent *pool, uint64_t want)
{
    struct victims victims = {.agent = agent, .pool = pool, .node = UINT32_MAX};
    agent->home.each_node(agent->home.context, see_victim, &victims);
    uint64_t here = pool->held + victims.awaited;
    if (victims.node == UINT32_MAX || here > want / 2) {
        return;
    }
    uint64_t count = victims.share < want - here ? victims.share : want - here;
    struct source *source = &pool->sources[victims.node];
    uint64_t coming = awaited(agent, source);
    if (source->timed_ns == 0 || coming == 0) {
        source->timed = source->given + coming + 1;
        source->timed_ns = now_ns(agent);
    }
    grant(agent, pool, victims.node, coming + count, true);
}

/* Our own node has all the credit that there is; what it does not use in time
 * others get on top, as long as workers are idle. */
static void ask_for_more(struct agent *agent, struct pool_agent *pool)
{
    struct source *own = &pool->sources[agent->self];
    uint64_t want = wanted(agent, pool);
    if (pool->unrecorded >= UNRECORDED_MAX || agent->is_leaving ||
        pool->is_gone) {
        want = 0;
    }
    uint64_t free_count = want > pool->held ? want - pool->held : 0;
    if (outstanding(own) < free_count - free_count / 4 ||
        (free_count == 0 && outstanding(own) > 0)) {
        grant(agent, pool, agent->self, free_count, false);
    }
    /* Waiting for our own node would leave workers idle. */
    if (want > 0 && pool->held <= want / 2 && !agent->limits.steals_nothing) {
        steal(agent, pool, want);
    }
}

static void measure(struct agent *agent, struct pool_agent *pool)
{
    uint64_t now = now_ns(agent);
    uint64_t passed = now - pool->rate_ns;
    if (passed >= RATE_NS + pool->trip_ns) {
        pool->rate_count = pool->now_count * RATE_NS / passed;
        pool->now_count = 0;
        pool->rate_ns = now;
    }
}

void agent_turn_end(struct agent *agent)
{
    say_all(agent);
    for (struct pool_agent *pool = agent->pools;
         pool && agent->self != UINT32_MAX; pool = pool->next) {
        measure(agent, pool);
        ask_for_more(agent, pool);
    }
}

/* ---- the clock ---- */

static void say_alive(void *context, uint32_t node)
{
    struct agent *agent = context;
    uint8_t buffer[4];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 1);
    pack_uint(&writer, TASK_ALIVE);
    (void)agent->home.send(agent->home.context, node, writer_bytes(&writer));
}

static void send_parcel(void *context, uint32_t node)
{
    struct agent *agent = context;
    (void)agent->home.send(agent->home.context, node,
                           task_parcel_end(&agent->parcel));
}

static bool has_unrecorded(const struct agent *agent)
{
    const struct pool_agent *pool = agent->pools;
    while (pool && pool->unrecorded == 0) {
        pool = pool->next;
    }
    return pool != NULL;
}

/* Whoever was told may not have led any more, and whoever leads may have asked
 * before the attempt came here: nobody asks again. So it is said to all; who
 * leads, answers. */
static void say_again(struct agent *agent)
{
    task_parcel_clear(&agent->parcel);
    for (size_t i = 0; i < agent->held_slot_count && has_unrecorded(agent);
         i++) {
        for (struct held *held = agent->held[i];
             held && agent->parcel.count < AGAIN_COUNT_MAX &&
             task_parcel_bytes(&agent->parcel) < TASK_WIRE_BYTES;
             held = held->same_hash) {
            if (held->is_finished && now_ns(agent) - held->said_ns > AGAIN_NS &&
                put_finish(&agent->parcel, held)) {
                held->said_ns = now_ns(agent);
            }
        }
    }
    if (agent->parcel.count > 0) {
        agent->home.each_node(agent->home.context, send_parcel, agent);
        task_parcel_clear(&agent->parcel);
    }
}

static void sweep_pools(struct agent *agent)
{
    for (struct pool_agent **link = &agent->pools; *link;) {
        struct pool_agent *pool = *link;
        if (pool->is_gone && pool->held == 0 && pool->unrecorded == 0) {
            *link = pool->next;
            task_pool_clear(&pool->settings);
            free(pool->sources);
            free(pool);
        } else {
            link = &pool->next;
        }
    }
}

void agent_tick(struct agent *agent)
{
    if (now_ns(agent) < agent->alive_ns) {
        return;
    }
    agent->alive_ns = now_ns(agent) + agent->limits.alive_ms * NS_PER_MS;
    if (agent->held_count > 0) {
        agent->home.each_node(agent->home.context, say_alive, agent);
        say_again(agent);
    }
    sweep_pools(agent);
    wake(agent); /* what steals have paused for may be over */
}

uint64_t agent_due_ns(const struct agent *agent)
{
    return agent->pools ? agent->alive_ns : UINT64_MAX;
}

/* ---- pools ---- */

static struct pool_agent *pool_add(struct agent *agent)
{
    struct pool_agent *pool = calloc(1, sizeof *pool);
    struct source *sources = calloc(NODES_MAX, sizeof *sources);
    if (!pool || !sources) {
        free(pool);
        free(sources);
        return NULL;
    }
    pool->sources = sources;
    pool->epoch = ++agent->epoch;
    pool->next = agent->pools;
    agent->pools = pool;
    return pool;
}

/* A pool's settings are borrowed by its runs: those under way keep the old
 * ones, so they are put in place only while there are none; else the pool goes
 * on as a new one beside. */
static enum err set_pool(struct agent *agent, const struct task_pool *settings)
{
    struct pool_agent *pool = pool_find(agent, bytes_of_text(settings->name));
    struct task_pool copy;
    if (pool && !pool->is_gone && pool->settings.version == settings->version) {
        return ERR_NONE;
    }
    enum err err = task_pool_copy(&copy, settings);
    if (err) {
        return err;
    }
    if (pool && pool->held == 0 && pool->unrecorded == 0) {
        task_pool_clear(&pool->settings);
    } else {
        struct pool_agent *old = pool;
        pool = pool_add(agent);
        if (!pool) {
            task_pool_clear(&copy);
            return ERR_MEMORY;
        }
        if (old) { /* what dispatchers have counted goes on, with the new one
                      alone: two would take back each other's credit */
            struct source *empty = pool->sources;
            uint64_t epoch = pool->epoch;
            pool->sources = old->sources;
            pool->epoch = old->epoch;
            old->sources = empty;
            old->epoch = epoch;
            old->is_gone = true;
        }
    }
    pool->settings = copy;
    pool->is_gone = false;
    return ERR_NONE;
}

enum err agent_set_pools(struct agent *agent, const struct task_pools *pools)
{
    static const struct task_pools none;
    enum err err = ERR_NONE;
    pools = pools ? pools : &none;
    for (struct pool_agent *pool = agent->pools; pool; pool = pool->next) {
        pool->is_gone =
            pool->is_gone ||
            !task_pools_find(pools, bytes_of_text(pool->settings.name));
    }
    for (uint32_t i = 0; i < pools->count && !err; i++) {
        err = set_pool(agent, &pools->list[i]);
    }
    agent->home.workers->set_pools(agent->home.workers->context, pools);
    wake(agent);
    return err;
}

/* ---- ending ---- */

static void cancel_all(struct agent *agent)
{
    for (size_t i = 0; i < agent->held_slot_count; i++) {
        struct held *next = NULL;
        for (struct held *held = agent->held[i]; held; held = next) {
            next = held->same_hash;
            if (!held->is_finished) {
                agent->home.workers->cancel(agent->home.workers->context,
                                            &held->run);
            }
        }
    }
}

void agent_leave(struct agent *agent)
{
    agent->is_leaving = true;
    wake(agent);
}

void agent_abandon(struct agent *agent)
{
    agent->is_leaving = true;
    cancel_all(agent);
}

bool agent_is_idle(const struct agent *agent)
{
    for (const struct pool_agent *pool = agent->pools; pool;
         pool = pool->next) {
        if (pool->held > 0 || pool->unrecorded > 0) {
            return false;
        }
    }
    return true;
}

/* ---- looking ---- */

struct run *agent_run(const struct agent *agent, uint64_t id)
{
    struct held *held = *slot_of(agent, id);
    while (held && (held->run.task != id || held->is_finished)) {
        held = held->same_hash;
    }
    return held ? &held->run : NULL;
}

const struct agent_stats *agent_stats(const struct agent *agent)
{
    return &agent->stats;
}

void agent_pools_each(const struct agent *agent,
                      void (*visit)(void *context,
                                    const struct agent_pool *pool),
                      void *context)
{
    for (const struct pool_agent *pool = agent->pools; pool;
         pool = pool->next) {
        visit(context, &(struct agent_pool){.name = pool->settings.name,
                                            .workers = pool->settings.workers,
                                            .held = pool->held,
                                            .unrecorded = pool->unrecorded,
                                            .finished = pool->finished,
                                            .stolen = pool->stolen});
    }
}

/* ---- life ---- */

void agent_limits_defaults(struct agent_limits *limits)
{
    *limits = (struct agent_limits){.ahead_max = 4096,
                                    .ahead_us = 4000,
                                    .alive_ms = 300,
                                    .steal_pause_ms_min = 5,
                                    .steal_pause_ms_max = 200};
}

enum err agent_open(struct agent **out,
                    const struct agent_home *home,
                    const struct agent_limits *limits)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        return ERR_MEMORY;
    }
    agent->home = *home;
    agent->limits = *limits;
    agent->self = UINT32_MAX;
    agent->held_slot_count = HELD_SLOT_COUNT_MIN;
    agent->held = calloc(agent->held_slot_count, sizeof *agent->held);
    if (!agent->held) {
        agent_close(&agent);
        return ERR_MEMORY;
    }
    *out = agent;
    return ERR_NONE;
}

void agent_set_limits(struct agent *agent, const struct agent_limits *limits)
{
    agent->limits = *limits;
    wake(agent);
}

void agent_set_self(struct agent *agent, uint32_t node)
{
    agent->self = node;
    wake(agent);
}

void agent_close(struct agent **agent)
{
    if (!*agent) {
        return;
    }
    for (size_t i = 0; (*agent)->held && i < (*agent)->held_slot_count; i++) {
        while ((*agent)->held[i]) {
            struct held *held = (*agent)->held[i];
            held->pool->unrecorded -= held->is_finished;
            held->pool->held -= !held->is_finished;
            forget(*agent, held);
        }
    }
    (void)take_to_say(*agent); /* all are forgotten */
    for (struct pool_agent *pool = (*agent)->pools; pool; pool = pool->next) {
        pool->is_gone = true;
    }
    sweep_pools(*agent);
    task_parcel_free(&(*agent)->parcel);
    free((*agent)->held);
    free(*agent);
    *agent = NULL;
}
