/*
 * The promises about tasks of the simulator of shards. What is accepted and
 * what has ended is taken from the log, as whoever applies an entry first has
 * it; what workers do, from them.
 */

#include "base/hash.h"
#include "cluster/raft_core.h"
#include "shard/task_book_core.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_COUNT (4u * TASKS_MAX)
#define NONE UINT32_MAX
#define LEASE_NS \
    ((uint64_t)SIM_LEASE_MS * NS_PER_MS * 8 / 10) /* clocks drift */

#define OUTCOME_OF_ARCHIVE 1 /* shard/archive.c */

#define MOMENT_NS (20 * NS_PER_MS)

static void *make(size_t count, size_t bytes)
{
    void *made = calloc(count, bytes);
    assert(made);
    return made;
}

void task_memory_open(struct sim *sim)
{
    struct task_memory *memory = &sim->tasks;
    memory->specs = make(TASKS_MAX, sizeof *memory->specs);
    memory->tasks = make(SLOT_COUNT / 2, sizeof *memory->tasks);
    memory->slots = make(SLOT_COUNT, sizeof *memory->slots);
    memory->by_payload = make(PAYLOADS_MAX, sizeof *memory->by_payload);
    memory->applied = make(sim->shard_count, sizeof *memory->applied);
    memory->applied_count =
        make(sim->shard_count, sizeof *memory->applied_count);
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        schedules_begin(sim, shard);
    }
    memory->order_last = make(TASK_ORDERS + 1, sizeof *memory->order_last);
}

void task_memory_close(struct sim *sim)
{
    struct task_memory *memory = &sim->tasks;
    free(memory->specs);
    free(memory->tasks);
    free(memory->slots);
    free(memory->attempts);
    free(memory->by_payload);
    free(memory->applied);
    free(memory->applied_count);
    free(memory->order_last);
}

/* ---- by id ---- */

static uint32_t *slot_of(struct task_memory *memory, uint64_t id)
{
    uint64_t at = id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    for (;; at++) {
        uint32_t *slot = &memory->slots[at % SLOT_COUNT];
        const struct sim_task *task =
            *slot > 0 ? &memory->tasks[*slot - 1] : NULL;
        if (!task || (task->id == id && !task->is_lost)) {
            return slot;
        }
    }
}

struct sim_task *task_memory_find(struct sim *sim, uint64_t id)
{
    uint32_t at = *slot_of(&sim->tasks, id);
    return at > 0 ? &sim->tasks.tasks[at - 1] : NULL;
}

void task_memory_empty(struct sim *sim, uint32_t shard)
{
    struct task_memory *memory = &sim->tasks;
    memory->applied[shard] = 0;
    schedules_begin(sim, shard);
    for (uint32_t i = 0; i < memory->task_count; i++) {
        struct sim_task *task = &memory->tasks[i];
        if (task_id_shard(task->id) == shard) {
            task->is_lost = true;
            memory->by_payload[task->payload] = 0;
        }
    }
    for (uint32_t i = 0; i < memory->spec_count; i++) {
        struct sim_spec *spec = &memory->specs[i];
        if (spec->told == SIM_ACCEPTED && task_id_shard(spec->id) == shard) {
            spec->told = SIM_UNCERTAIN;
        }
    }
}

static struct book *book_of(struct sim *sim,
                            uint32_t shard,
                            const struct coordinator **out)
{
    struct node *leader = leader_of(sim, shard_group_id(shard));
    struct coordinator *coordinator =
        leader ? leader->replicas[shard].coordinator : NULL;
    *out = coordinator;
    return coordinator ? coordinator_book(coordinator) : NULL;
}

/* ---- the log ---- */

static bool is_keyed(uint32_t payload)
{
    return payload >= TASKS_MAX;
}

/* A key has two payloads, and one task. */
static void check_made(struct sim *sim, uint32_t payload, uint64_t id)
{
    struct task_memory *memory = &sim->tasks;
    uint32_t twin = is_keyed(payload) ? payload ^ 1 : payload;
    uint32_t known = memory->by_payload[payload] != 0
                         ? memory->by_payload[payload]
                         : memory->by_payload[twin];
    if (known != 0) {
        broken(sim, is_keyed(payload) ? "task key" : "task once",
               "task %u is %" PRIx64 " and %" PRIx64, payload,
               memory->tasks[known - 1].id, id);
    }
}

static uint32_t order_of(const struct task_spec *spec)
{
    return spec->order.length > 0 ? (uint32_t)(spec->order.data[0] - '0') : 0;
}

static void see_accepted(struct sim *sim,
                         enum sim_pool pool,
                         uint64_t id,
                         const struct task_spec *spec)
{
    struct task_memory *memory = &sim->tasks;
    uint32_t payload = sim_payload_decode(spec->payload).number;
    uint32_t *slot = slot_of(memory, id);
    if (payload < SIM_SCHEDULED_FIRST) {
        check_made(sim, payload, id);
    }
    if (*slot != 0) {
        broken(sim, "task once", "two tasks are %" PRIx64, id);
        return;
    }
    assert(memory->task_count < SLOT_COUNT / 2);
    struct sim_task *task = &memory->tasks[memory->task_count++];
    *slot = memory->task_count;
    *task = (struct sim_task){.id = id,
                              .pool = pool,
                              .payload = payload,
                              .is_after = spec->after_count > 0,
                              .after = spec->after[0],
                              .before = NONE,
                              .same_order = order_of(spec)};
    memory->by_payload[payload] = memory->task_count;
    if (task->same_order > 0) {
        uint32_t *last = &memory->order_last[task->same_order];
        task->before = *last > 0 ? *last - 1 : NONE;
        *last = memory->task_count;
    }
}

static void see_submission(struct replica *replica, struct reader *reader)
{
    struct sim *sim = replica->node->sim;
    struct bytes name = pack_read_str(reader);
    (void)pack_read_uint(reader);
    uint64_t first = pack_read_uint(reader);
    uint32_t count = pack_read_array(reader);
    enum sim_pool pool = SIM_POOL_WORK;
    while (pool < SIM_POOL_COUNT &&
           !bytes_are_equal(name, bytes_of_text(sim_pool_names[pool]))) {
        pool++;
    }
    assert(pool < SIM_POOL_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        struct task_spec spec;
        task_spec_decode(&spec, reader);
        assert(!reader->failed);
        see_accepted(sim, pool, task_id(replica->shard, first + i), &spec);
    }
}

static const struct sim_attempt *find_attempt(const struct task_memory *memory,
                                              const struct sim_task *task,
                                              uint64_t token)
{
    for (uint32_t at = task->attempt; at > 0;
         at = memory->attempts[at - 1].older) {
        if (memory->attempts[at - 1].token == token) {
            return &memory->attempts[at - 1];
        }
    }
    return NULL;
}

/* In the term in which it is recorded no newer attempt was given out. */
static void check_token(struct replica *replica, const struct sim_task *task)
{
    struct sim *sim = replica->node->sim;
    const struct task_memory *memory = &sim->tasks;
    const struct group *group =
        host_group(replica->node->host, shard_group_id(replica->shard));
    uint64_t term =
        raft_log_term(&group_raft(group)->log, replica->watched.index);
    for (uint32_t at = task->attempt; at > 0;
         at = memory->attempts[at - 1].older) {
        uint64_t token = memory->attempts[at - 1].token;
        if (token > task->token && token >> 32 == term) {
            broken(sim, "task late",
                   "%" PRIx64 " is done by %" PRIx64 ", though %" PRIx64
                   " was given out after it",
                   task->id, task->token, token);
        }
    }
}

static void check_done(struct replica *replica,
                       struct sim_task *task,
                       struct bytes bytes)
{
    struct sim *sim = replica->node->sim;
    struct sim_output output = {0};
    if (!sim_output_decode(&output, bytes) || output.number != task->payload) {
        broken(sim, "task result",
               "%" PRIx64 " is done with what is no result of %u: %zu bytes, "
               "of %u by %" PRIx64,
               task->id, task->payload, bytes.length, output.number,
               output.token);
        return;
    }
    task->token = output.token;
    const struct sim_attempt *attempt =
        find_attempt(&sim->tasks, task, output.token);
    if (!attempt || !attempt->is_done) {
        broken(sim, "task result",
               "%" PRIx64 " is done by %" PRIx64 ", which nobody has done",
               task->id, output.token);
    }
    check_token(replica, task);
}

static void see_end(struct replica *replica, const struct book_end *end)
{
    struct sim *sim = replica->node->sim;
    struct sim_task *task = task_memory_find(sim, end->id);
    if (!task || task->state != TASK_WAITING || task->is_purged) {
        broken(sim, "task twice", "%" PRIx64 " ends (%s), and is %s", end->id,
               task_state_name(end->state),
               task ? task_state_name(task->state) : "unknown");
        return;
    }
    task->state = end->state;
    if (end->state == TASK_DEAD && end->why.length == 0) {
        broken(sim, "task reason", "%" PRIx64 " is dead, and nobody knows why",
               end->id);
    } else if (end->state == TASK_DONE) {
        check_done(replica, task, end->output);
    }
    sim->result.tasks_ended += end->state != TASK_WAITING;
}

static void see_ids(struct sim *sim, uint64_t kind, struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_task *task = task_memory_find(sim, pack_read_uint(reader));
        assert(task);
        if (kind == OUTCOME_REVIVE && task->state == TASK_DEAD) {
            task->state = TASK_WAITING;
        } else if (kind == OUTCOME_PURGE) {
            task->is_purged = task->state != TASK_WAITING;
        }
    }
}

/* Whether nobody has applied that outcome of that entry before. */
static bool is_news(struct replica *replica)
{
    struct sim *sim = replica->node->sim;
    uint64_t *applied = &sim->tasks.applied[replica->shard];
    uint32_t *count = &sim->tasks.applied_count[replica->shard];
    uint64_t index = replica->watched.index;
    bool is_new = index > *applied || (index == *applied &&
                                       replica->watched.outcome_count > *count);
    if (is_new) {
        *applied = index;
        *count = replica->watched.outcome_count;
    }
    return is_new;
}

void check_task_outcome(struct replica *replica, struct bytes outcome)
{
    /* Behind the byte of the archive, which may have given up a restore. */
    struct bytes rest = bytes_of(outcome.data + 1, outcome.length - 1);
    if (outcome.data[0] == OUTCOME_OF_ARCHIVE || !shard_machine_is_task(rest) ||
        !is_news(replica)) {
        return;
    }
    struct reader reader = reader_of(rest);
    (void)pack_read_array(&reader);
    uint64_t kind = pack_read_uint(&reader);
    if (kind == OUTCOME_FIRE && check_fired(replica->node->sim, &reader)) {
        (void)pack_read_array(&reader);
        kind = pack_read_uint(&reader);
    }
    if (kind == OUTCOME_SUBMIT) {
        see_submission(replica, &reader);
    } else if (kind == OUTCOME_ENDS) {
        uint32_t count = pack_read_array(&reader);
        for (uint32_t i = 0; i < count; i++) {
            struct book_end end;
            end_read(&end, &reader);
            see_end(replica, &end);
        }
    } else if (kind == OUTCOME_REVIVE || kind == OUTCOME_PURGE) {
        see_ids(replica->node->sim, kind, &reader);
    }
    assert(!reader.failed);
}

/* ---- workers ---- */

/* On its way it may have been overtaken by its lease. */
static bool is_late(struct sim *sim, const struct run *run)
{
    const struct coordinator *coordinator;
    const struct book *book =
        book_of(sim, task_id_shard(run->task), &coordinator);
    const struct task *task = book ? book_find(book, run->task) : NULL;
    return book &&
           (!task || task->work != WORK_LEASED || task->token != run->token);
}

uint32_t check_attempt_given(struct node *node, const struct run *run)
{
    struct sim *sim = node->sim;
    struct task_memory *memory = &sim->tasks;
    if (memory->attempt_count == memory->attempt_capacity) {
        memory->attempt_capacity = 2 * memory->attempt_capacity + 1024;
        memory->attempts =
            realloc(memory->attempts,
                    memory->attempt_capacity * sizeof *memory->attempts);
        assert(memory->attempts);
    }
    struct sim_task *task = task_memory_find(sim, run->task);
    if (!task && !task_id_is_volatile(run->task)) {
        broken(sim, "task once", "%s is given %" PRIx64 ", which is none",
               node->name, run->task);
    }
    memory->attempts[memory->attempt_count++] =
        (struct sim_attempt){.id = run->task,
                             .token = run->token,
                             .older = task ? task->attempt : 0,
                             .is_late = is_late(sim, run),
                             .node = node->index,
                             .given_ns = now_ns(sim)};
    if (task) {
        task->attempt = memory->attempt_count;
    }
    sim->result.attempts++;
    return memory->attempt_count - 1;
}

/*
 * It was given out for the time of its lease: nobody else has it sooner. A
 * leader that is deposed may still have assignments on their way: these come
 * after their node has told the next leader what it runs. So of two terms only
 * what happens while all is calm counts, and not within a moment.
 */
static bool are_foes(const struct sim *sim,
                     const struct sim_attempt *own,
                     const struct sim_attempt *other)
{
    bool is_one_term = own->token >> 32 == other->token >> 32;
    bool is_calm = sim->phase == PHASE_LEAVE &&
                   own->given_ns > other->given_ns + MOMENT_NS;
    const struct node *holder = &sim->nodes[other->node];
    bool is_forgotten = holder->forgotten_ns != 0 &&
                        now_ns(sim) < holder->forgotten_ns + LEASE_NS;
    if (holder->is_leaving || is_forgotten) {
        return false; /* it goes on for a while, or joins again as a new one */
    }
    return own != other && !other->is_over && !other->is_late &&
           (is_one_term || is_calm) && now_ns(sim) < other->given_ns + LEASE_NS;
}

static void check_alone(struct sim *sim,
                        const struct node *node,
                        const struct sim_task *task,
                        const struct run *run)
{
    const struct task_memory *memory = &sim->tasks;
    const struct sim_attempt *own = find_attempt(memory, task, run->token);
    if (own->is_late || now_ns(sim) >= own->given_ns + LEASE_NS) {
        return; /* late itself: its result is refused */
    }
    for (uint32_t at = task->attempt; at > 0;
         at = memory->attempts[at - 1].older) {
        const struct sim_attempt *other = &memory->attempts[at - 1];
        if (are_foes(sim, own, other)) {
            broken(sim, "task lease",
                   "%s begins %" PRIx64 " by %" PRIx64
                   ", which n%u runs by %" PRIx64 " since %.6f",
                   node->name, run->task, run->token, other->node, other->token,
                   (double)other->given_ns / NS_PER_S);
        }
    }
}

void check_attempt_begun(struct node *node, const struct run *run)
{
    struct sim *sim = node->sim;
    const struct sim_task *task = task_memory_find(sim, run->task);
    if (!task) {
        return;
    }
    const struct sim_task *before =
        task->before == NONE ? NULL : &sim->tasks.tasks[task->before];
    if (before && before->state == TASK_WAITING) {
        broken(sim, "task order",
               "%s begins %" PRIx64 ", though %" PRIx64
               ", which goes before, has not ended",
               node->name, task->id, before->id);
    }
    const struct sim_task *after =
        task->is_after ? task_memory_find(sim, task->after) : NULL;
    if (task->is_after && (!after || after->state != TASK_DONE)) {
        broken(sim, "task after",
               "%s begins %" PRIx64 ", though %" PRIx64 " is not done",
               node->name, task->id, task->after);
    }
    check_alone(sim, node, task, run);
}

void check_attempt_over(struct sim *sim, uint32_t attempt, bool is_done)
{
    sim->tasks.attempts[attempt].is_over = true;
    sim->tasks.attempts[attempt].is_done = is_done;
}

/* ---- what clients are told ---- */

void check_accepted(struct sim *sim, const struct sim_spec *spec)
{
    if (spec->pool == SIM_POOL_FAST) {
        return;
    }
    const struct sim_task *task = task_memory_find(sim, spec->id);
    if (!task || task->payload != spec->payload) {
        broken(sim, "task accepted",
               "task %u is accepted as %" PRIx64 ", which is %s", spec->payload,
               spec->id, task ? "another" : "none");
    }
}

/* A pool's limits, or somebody, may have removed it. */
static bool may_be_gone(const struct sim_task *task)
{
    return task->is_purged ||
           (task->state != TASK_WAITING && task->pool == SIM_POOL_BRIEF);
}

void check_outcome_told(struct sim *sim,
                        const struct node *node,
                        const struct task_outcome *outcome)
{
    const struct sim_task *task = task_memory_find(sim, outcome->id);
    const struct coordinator *coordinator;
    const struct book *book =
        book_of(sim, task_id_shard(outcome->id), &coordinator);
    struct sim_output output = {0};
    if (!task) {
        return; /* volatile */
    }
    if (outcome->err == ERR_NOT_FOUND && !may_be_gone(task)) {
        broken(sim, "task lost",
               "%s says that %" PRIx64
               " of pool %s is not known; it is %s, and "
               "%s in the book",
               node->name, outcome->id, sim_pool_names[task->pool],
               task_state_name(task->state),
               book && book_find(book, outcome->id) ? "is" : "is not");
    } else if (!outcome->err && outcome->end.state == TASK_DONE &&
               (task->state != TASK_DONE ||
                !sim_output_decode(&output, outcome->end.output) ||
                output.token != task->token)) {
        broken(sim, "task result", "%s tells another result of %" PRIx64,
               node->name, outcome->id);
    }
}

/* ---- whether all is over ---- */

static bool is_shard_over(struct sim *sim,
                          uint32_t shard,
                          struct err_detail *why)
{
    const struct coordinator *coordinator;
    const struct book *book = book_of(sim, shard, &coordinator);
    const struct task *task = book ? book_first(book) : NULL;
    if (!book || coordinator_term(coordinator) == 0) {
        err_explain(why, "nobody leads the tasks of shard %u", shard);
    } else if (task) {
        const struct sim_task *known = task_memory_find(sim, task->id);
        const struct sim_task *after =
            known ? task_memory_find(sim, known->after) : NULL;
        err_explain(why,
                    "%" PRIx64 " of pool %s is still waiting: %s, agent %u; "
                    "after %" PRIx64 " (%s)",
                    task->id, task_pool_name(task),
                    task_work_name((enum task_work)task->work), task->agent,
                    known ? known->after : 0,
                    after ? task_state_name(after->state) : "none");
    }
    return book && coordinator_term(coordinator) != 0 && !task;
}

struct agent_look {
    const struct node *node;
    struct err_detail *why;
    bool is_idle;
};

static void look_at_agent(void *context, const struct agent_pool *pool)
{
    struct agent_look *look = context;
    if (pool->held > 0 || pool->unrecorded > 0) {
        look->is_idle = false;
        err_explain(look->why,
                    "%s still has %" PRIu64 " attempts and %" PRIu64
                    " results of pool %s",
                    look->node->name, pool->held, pool->unrecorded, pool->name);
    }
}

static bool is_book_equal(struct sim *sim,
                          uint32_t shard,
                          struct err_detail *why)
{
    const struct coordinator *coordinator;
    const struct book *book = book_of(sim, shard, &coordinator);
    uint64_t digest = book ? book_digest(book) : 0;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (node->host && host_group(node->host, shard_group_id(shard)) &&
            book_digest(coordinator_book(node->replicas[shard].coordinator)) !=
                digest) {
            err_explain(why, "%s has another book of shard %u", node->name,
                        shard);
            return false;
        }
    }
    return true;
}

bool books_are_equal(struct sim *sim, struct err_detail *why)
{
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        if (!is_book_equal(sim, shard, why)) {
            return false;
        }
    }
    return true;
}

bool tasks_are_over(struct sim *sim, struct err_detail *why)
{
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        if (!is_shard_over(sim, shard, why)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        struct agent_look look = {.node = node, .why = why, .is_idle = true};
        if (node->tasks) {
            agent_pools_each(tasks_agent(node->tasks), look_at_agent, &look);
        }
        if (!look.is_idle) {
            return false;
        }
    }
    return schedules_are_over(sim, why);
}

/* ---- the end ---- */

static void check_task(struct sim *sim, const struct sim_task *known)
{
    const struct coordinator *coordinator;
    const struct book *book =
        book_of(sim, task_id_shard(known->id), &coordinator);
    const struct task *task = book ? book_find(book, known->id) : NULL;
    struct sim_output output = {0};
    if (!task && !may_be_gone(known)) {
        broken(sim, "task lost", "%" PRIx64 ", which is %s, is not in the book",
               known->id, task_state_name(known->state));
    } else if (task && (task->state != known->state || known->is_purged)) {
        broken(sim, "task state", "%" PRIx64 " is %s, and not %s", known->id,
               task_state_name((enum task_state)task->state),
               known->is_purged ? "purged" : task_state_name(known->state));
    } else if (task && task->state == TASK_DONE &&
               (!sim_output_decode(&output, task_output(task)) ||
                output.token != known->token)) {
        broken(sim, "task result", "%" PRIx64 " has another result than it had",
               known->id);
    }
}

void check_tasks(struct sim *sim)
{
    const struct task_memory *memory = &sim->tasks;
    for (uint32_t i = 0; i < memory->task_count; i++) {
        if (!memory->tasks[i].is_lost) {
            check_task(sim, &memory->tasks[i]);
        }
    }
    for (uint32_t i = 0; i < memory->spec_count; i++) {
        const struct sim_spec *spec = &memory->specs[i];
        if (spec->told == SIM_REFUSED && spec->key == 0 &&
            memory->by_payload[spec->payload] != 0) {
            broken(sim, "task refused", "task %u was refused, and is %" PRIx64,
                   i, memory->tasks[memory->by_payload[spec->payload] - 1].id);
        }
    }
}
