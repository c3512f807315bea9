#include "shard/task_book_core.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

#define SLOT_COUNT_MIN 64u
#define TASK_OVERHEAD_BYTES 32 /* of two allocations, about */

/* ---- lists ---- */

void list_push(struct task_list *list, struct task *task)
{
    task->newer = NULL;
    task->older = list->last;
    if (list->last) {
        list->last->newer = task;
    } else {
        list->first = task;
    }
    list->last = task;
    list->count++;
}

void list_remove(struct task_list *list, struct task *task)
{
    struct task **to_next = task->older ? &task->older->newer : &list->first;
    struct task **to_previous = task->newer ? &task->newer->older : &list->last;
    *to_next = task->newer;
    *to_previous = task->older;
    task->older = NULL;
    task->newer = NULL;
    list->count--;
}

/* ---- hash tables ---- */

/* Ids count up, so that their low bits spread better than any hash, and those
 * that were accepted together lie together. */
static uint64_t mix(uint64_t id)
{
    return id ^ id >> 32;
}

static uint64_t hash_of_id(const struct task *task)
{
    return mix(task->id);
}

static uint64_t hash_of_key(const struct task *task)
{
    return task->extra->key_hash;
}

static struct task **link_of_id(struct task *task)
{
    return &task->same_hash;
}

static struct task **link_of_key(struct task *task)
{
    return &task->extra->same_key_hash;
}

struct hashing {
    uint64_t (*hash)(const struct task *task);
    struct task **(*link)(struct task *task);
};

static const struct hashing by_id = {hash_of_id, link_of_id};
static const struct hashing by_key = {hash_of_key, link_of_key};

/* The slots of the first half that have not been split yet have what belongs to
 * their partners in the second, too. */
static struct task **slot_of(const struct task_table *table, uint64_t hash)
{
    size_t at = hash & (table->capacity - 1);
    at -= at < table->slot_count ? 0 : table->capacity / 2;
    return &table->slots[at];
}

static void put(struct task_table *table,
                const struct hashing *hashing,
                struct task *task)
{
    struct task **slot = slot_of(table, hashing->hash(task));
    *hashing->link(task) = *slot;
    *slot = task;
}

static bool make_room(struct task_table *table)
{
    size_t capacity =
        table->capacity == 0 ? SLOT_COUNT_MIN : 2 * table->capacity;
    struct task **slots = realloc(table->slots, capacity * sizeof *slots);
    if (!slots) {
        return false;
    }
    if (table->capacity == 0) {
        table->slot_count = capacity / 2;
        memset(slots, 0, table->slot_count * sizeof(struct task *));
    }
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

/*
 * Split the next slot in two.
 *
 * Source: Litwin, "Linear hashing" (1980).
 */
static bool grow(struct task_table *table, const struct hashing *hashing)
{
    if (table->slot_count == table->capacity && !make_room(table)) {
        return false;
    }
    struct task **from = &table->slots[table->slot_count - table->capacity / 2];
    struct task *task = *from;
    *from = NULL;
    table->slots[table->slot_count++] = NULL;
    while (task) {
        struct task *next = *hashing->link(task);
        put(table, hashing, task);
        task = next;
    }
    return true;
}

static enum err add(struct task_table *table,
                    const struct hashing *hashing,
                    struct task *task)
{
    if (table->count >= table->slot_count && !grow(table, hashing)) {
        return ERR_MEMORY;
    }
    put(table, hashing, task);
    table->count++;
    return ERR_NONE;
}

static void take_out(struct task_table *table,
                     const struct hashing *hashing,
                     struct task *task)
{
    struct task **link = slot_of(table, hashing->hash(task));
    while (*link != task) {
        link = hashing->link(*link);
    }
    *link = *hashing->link(task);
    table->count--;
}

struct task *table_find_id(const struct task_table *table, uint64_t id)
{
    if (!table->slots) {
        return NULL;
    }
    struct task *task = *slot_of(table, mix(id));
    while (task && task->id != id) {
        task = task->same_hash;
    }
    return task;
}

static enum err add_id(struct task_table *table, struct task *task)
{
    return add(table, &by_id, task);
}

static void remove_id(struct task_table *table, struct task *task)
{
    take_out(table, &by_id, task);
}

/* Neighbours change places: bits, then pairs of them, and so on. */
static uint32_t reversed(uint32_t bits)
{
    bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
    bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
    bits = (bits >> 4 & 0x0f0f0f0f) | (bits & 0x0f0f0f0f) << 4;
    bits = (bits >> 8 & 0x00ff00ff) | (bits & 0x00ff00ff) << 8;
    return bits >> 16 | bits << 16;
}

/*
 * The slot behind this one, counted from the highest bit down: when a slot is
 * split, it becomes two that follow each other in this order, so that what lay
 * before stays before.
 *
 * Source: Redis, dictScan() (Noordhuis 2012).
 */
static uint32_t next_place(uint32_t place, uint32_t mask)
{
    return reversed(reversed(place | ~mask) + 1);
}

uint32_t book_walk(const struct book *book,
                   uint32_t place,
                   void (*visit)(void *context, const struct task *task),
                   void *context)
{
    const struct task_table *table = &book->state.by_id;
    if (!table->slots) {
        return 0;
    }
    assert(table->capacity - 1 <= UINT32_MAX);
    uint32_t mask = (uint32_t)(table->capacity - 1);
    if ((place & mask / 2) + table->capacity / 2 >= table->slot_count) {
        mask /= 2; /* it has not been split yet */
    }
    for (const struct task *task = table->slots[place & mask]; task;
         task = task->same_hash) {
        visit(context, task);
    }
    return next_place(place, mask);
}

uint64_t key_hash(struct bytes pool, struct bytes key)
{
    const struct bytes parts[] = {pool, bytes_of("/", 1), key};
    uint64_t hash = hash_parts(parts, 3, 0);
    return hash == 0 ? 1 : hash; /* 0 is: no key */
}

struct task *table_find_key(const struct task_table *table,
                            uint64_t hash,
                            struct bytes pool,
                            struct bytes key)
{
    if (!table->slots) {
        return NULL;
    }
    struct task *task = *slot_of(table, hash);
    while (task && (task->extra->key_hash != hash ||
                    !bytes_are_equal(bytes_of_text(task->pool->name), pool) ||
                    !bytes_are_equal(task_key(task), key))) {
        task = task->extra->same_key_hash;
    }
    return task;
}

enum err table_add_key(struct task_table *table, struct task *task)
{
    return add(table, &by_key, task);
}

void table_remove_key(struct task_table *table, struct task *task)
{
    take_out(table, &by_key, task);
}

/* ---- pools ---- */

struct book_pool *pool_find(const struct book_state *state, struct bytes name)
{
    struct book_pool *pool = state->pools;
    while (pool && !bytes_are_equal(bytes_of_text(pool->name), name)) {
        pool = pool->next;
    }
    return pool;
}

struct book_pool *pool_claim(struct book_state *state, struct bytes name)
{
    struct book_pool *pool = pool_find(state, name);
    if (pool) {
        return pool;
    }
    pool = calloc(1, sizeof *pool);
    if (pool) {
        assert(name.length < sizeof pool->name);
        memcpy(pool->name, name.data, name.length);
        struct book_pool **last = &state->pools;
        while (*last) {
            last = &(*last)->next;
        }
        *last = pool;
    }
    return pool;
}

/* ---- tasks ---- */

static bool has_extra(const struct task_spec *spec)
{
    return spec->key.length > 0 || spec->order.length > 0 ||
           spec->tenant.length > 0 || spec->ttl_ms > 0 ||
           spec->attempts_max > 0 || spec->timeout_ms > 0 ||
           spec->after_count > 0;
}

static uint8_t *names_of(const struct task_extra *extra)
{
    return (uint8_t *)(uintptr_t)&extra->after[extra->after_count];
}

static struct task_extra *extra_new(const struct task_spec *spec,
                                    struct bytes pool,
                                    int64_t now_ms)
{
    struct task_extra *extra = calloc(
        1, sizeof *extra + spec->after_count * sizeof *extra->after +
               spec->key.length + spec->order.length + spec->tenant.length);
    if (!extra) {
        return NULL;
    }
    extra->after_count = spec->after_count;
    extra->attempts_max = spec->attempts_max;
    extra->timeout_ms = spec->timeout_ms;
    extra->until_ms = spec->ttl_ms > 0 ? now_ms + (int64_t)spec->ttl_ms : 0;
    extra->key_bytes = (uint8_t)spec->key.length;
    extra->order_bytes = (uint8_t)spec->order.length;
    extra->tenant_bytes = (uint8_t)spec->tenant.length;
    memcpy(extra->after, spec->after, spec->after_count * sizeof *extra->after);
    struct writer names = writer_of(names_of(extra), SIZE_MAX / 2);
    write_bytes(&names, spec->key.data, spec->key.length);
    write_bytes(&names, spec->order.data, spec->order.length);
    write_bytes(&names, spec->tenant.data, spec->tenant.length);
    if (spec->key.length > 0) {
        extra->key_hash = key_hash(pool, spec->key);
        extra->spec_hash = hash_bytes(spec->payload, 0);
    }
    return extra;
}

struct task *task_new(const struct task_spec *spec,
                      struct book_pool *pool,
                      uint64_t id,
                      int64_t now_ms)
{
    struct task *task = calloc(1, sizeof *task);
    if (!task) {
        return NULL;
    }
    task->id = id;
    task->pool = pool;
    task->accepted_ms = now_ms;
    task->at_ms = spec->delay_ms > 0 ? now_ms + (int64_t)spec->delay_ms : 0;
    task->priority = spec->priority;
    if (spec->payload.length > 0) {
        task->bytes = malloc(spec->payload.length);
        task->payload_bytes = (uint32_t)spec->payload.length;
    }
    if (has_extra(spec)) {
        task->extra = extra_new(spec, bytes_of_text(pool->name), now_ms);
    }
    if ((spec->payload.length > 0 && !task->bytes) ||
        (has_extra(spec) && !task->extra)) {
        task_free(task);
        return NULL;
    }
    if (spec->payload.length > 0) {
        memcpy(task->bytes, spec->payload.data, spec->payload.length);
    }
    return task;
}

void task_free(struct task *task)
{
    free(task->bytes);
    free(task->extra);
    free(task);
}

size_t task_bytes(const struct task *task)
{
    const struct task_extra *extra = task->extra;
    return sizeof *task + TASK_OVERHEAD_BYTES + task->payload_bytes +
           task->output_bytes + task->why_bytes +
           (extra ? sizeof *extra + extra->after_count * sizeof *extra->after +
                        extra->key_bytes + extra->order_bytes +
                        extra->tenant_bytes
                  : 0);
}

enum err task_set_bytes(struct task *task,
                        uint32_t payload_bytes,
                        struct bytes output,
                        struct bytes why)
{
    assert(payload_bytes <= task->payload_bytes);
    if (why.length > TASK_WHY_BYTES - 1) {
        why.length = TASK_WHY_BYTES - 1;
    }
    size_t length = payload_bytes + output.length + why.length;
    uint8_t *bytes = NULL;
    if (length == task->payload_bytes && length == payload_bytes) {
        task->output_bytes = 0;
        task->why_bytes = 0;
        return ERR_NONE; /* what lies behind the payload is not seen */
    }
    if (length > 0) {
        bytes = malloc(length);
        if (!bytes) {
            return ERR_MEMORY;
        }
        struct writer writer = writer_of(bytes, length);
        write_bytes(&writer, task->bytes, payload_bytes);
        write_bytes(&writer, output.data, output.length);
        write_bytes(&writer, why.data, why.length);
    }
    free(task->bytes);
    task->bytes = bytes;
    task->payload_bytes = payload_bytes;
    task->output_bytes = (uint32_t)output.length;
    task->why_bytes = (uint32_t)why.length;
    return ERR_NONE;
}

struct bytes task_payload(const struct task *task)
{
    return bytes_of(task->bytes, task->payload_bytes);
}

struct bytes task_output(const struct task *task)
{
    return task->output_bytes == 0 ? (struct bytes){0}
                                   : bytes_of(task->bytes + task->payload_bytes,
                                              task->output_bytes);
}

struct bytes task_why(const struct task *task)
{
    return task->why_bytes == 0 ? (struct bytes){0}
                                : bytes_of(task->bytes + task->payload_bytes +
                                               task->output_bytes,
                                           task->why_bytes);
}

struct bytes task_key(const struct task *task)
{
    const struct task_extra *extra = task->extra;
    return extra ? bytes_of(names_of(extra), extra->key_bytes)
                 : (struct bytes){0};
}

struct bytes task_order(const struct task *task)
{
    const struct task_extra *extra = task->extra;
    return extra ? bytes_of(names_of(extra) + extra->key_bytes,
                            extra->order_bytes)
                 : (struct bytes){0};
}

struct bytes task_tenant(const struct task *task)
{
    const struct task_extra *extra = task->extra;
    return extra ? bytes_of(names_of(extra) + extra->key_bytes +
                                extra->order_bytes,
                            extra->tenant_bytes)
                 : (struct bytes){0};
}

const char *task_pool_name(const struct task *task)
{
    return task->pool->name;
}

struct task_end task_end_of(const struct task *task)
{
    return (struct task_end){.id = task->id,
                             .state = (enum task_state)task->state,
                             .attempts = task->attempts,
                             .accepted_ms = task->accepted_ms,
                             .ended_ms = task->at_ms,
                             .output = task_output(task),
                             .why = task_why(task)};
}

/* ---- the state ---- */

static enum ended_kind kind_of_ended(const struct task *task)
{
    bool is_keyed = task->extra && task->extra->key_hash != 0;
    return task->state == TASK_DEAD               ? ENDED_DEAD
           : task->state == TASK_DONE && is_keyed ? ENDED_KEYED
                                                  : ENDED_PLAIN;
}

static void enter_ended(struct task *task)
{
    struct book_pool *pool = task->pool;
    struct ended *ended = &pool->ended[task->is_volatile];
    enum ended_kind kind = kind_of_ended(task);
    list_push(&ended->lists[kind], task);
    if (kind != ENDED_DEAD) {
        ended->bytes += task_bytes(task);
        pool->stats.kept_bytes += task_bytes(task);
    }
    pool->stats.done += task->state == TASK_DONE;
    pool->stats.dead += task->state == TASK_DEAD;
    pool->stats.other += task->state > TASK_DEAD;
}

static void leave_ended(struct task *task)
{
    struct book_pool *pool = task->pool;
    struct ended *ended = &pool->ended[task->is_volatile];
    enum ended_kind kind = kind_of_ended(task);
    list_remove(&ended->lists[kind], task);
    if (kind != ENDED_DEAD) {
        ended->bytes -= task_bytes(task);
        pool->stats.kept_bytes -= task_bytes(task);
    }
    pool->stats.done -= task->state == TASK_DONE;
    pool->stats.dead -= task->state == TASK_DEAD;
    pool->stats.other -= task->state > TASK_DEAD;
}

enum err state_add(struct book_state *state, struct task *task)
{
    enum err err = add_id(&state->by_id, task);
    bool has_key = task->extra && task->extra->key_hash != 0;
    if (!err && has_key && !task->is_pending) {
        err = table_add_key(&state->by_key, task);
        if (err) {
            remove_id(&state->by_id, task);
        }
    }
    if (err) {
        return err;
    }
    task->is_pending = false;
    if (task->state == TASK_WAITING) {
        list_push(&state->waiting, task);
        task->pool->stats.waiting++;
    } else {
        enter_ended(task);
    }
    return ERR_NONE;
}

void state_remove(struct book_state *state, struct task *task)
{
    remove_id(&state->by_id, task);
    if (task->extra && task->extra->key_hash != 0) {
        table_remove_key(&state->by_key, task);
    }
    if (task->state == TASK_WAITING) {
        list_remove(&state->waiting, task);
        task->pool->stats.waiting--;
    } else {
        leave_ended(task);
    }
    task_free(task);
}

static void free_list(struct task_list *list)
{
    while (list->first) {
        struct task *task = list->first;
        list_remove(list, task);
        task_free(task);
    }
}

void state_clear(struct book_state *state)
{
    free_list(&state->waiting);
    while (state->pools) {
        struct book_pool *pool = state->pools;
        state->pools = pool->next;
        for (size_t i = 0; i < ENDED_KIND_COUNT; i++) {
            free_list(&pool->ended[0].lists[i]);
            free_list(&pool->ended[1].lists[i]);
        }
        schedules_free(pool);
        free(pool);
    }
    for (uint32_t i = 0; i < state->submission_count; i++) {
        free(state->submissions[i].reply);
    }
    free(state->submissions);
    free(state->submission_ids);
    free(state->by_id.slots);
    free(state->by_key.slots);
    *state = (struct book_state){0};
}

enum err state_end(struct book_state *state,
                   struct task *task,
                   const struct book_end *end,
                   int64_t now_ms)
{
    bool keeps = end->state == TASK_DEAD ||
                 task->payload_bytes <= TASK_KEPT_PAYLOAD_BYTES;
    assert(task->state == TASK_WAITING && end->state != TASK_WAITING);
    enum err err = task_set_bytes(task, keeps ? task->payload_bytes : 0,
                                  end->output, end->why);
    if (err) {
        return err;
    }
    list_remove(&state->waiting, task);
    task->pool->stats.waiting--;
    task->state = (uint8_t)end->state;
    task->is_ending = false;
    task->attempts += end->state == TASK_DONE || end->state == TASK_DEAD;
    task->at_ms = now_ms;
    task->pool->stats.done_total += end->state == TASK_DONE;
    task->pool->stats.dead_total += end->state == TASK_DEAD;
    enter_ended(task);
    return ERR_NONE;
}

enum err state_again(struct task *task, const struct book_end *end)
{
    enum err err =
        task_set_bytes(task, task->payload_bytes, (struct bytes){0}, end->why);
    if (!err) {
        task->attempts++;
        task->at_ms = end->at_ms;
        task->is_ending = false;
        task->pool->stats.retried_total++;
    }
    return err;
}

void state_revive(struct book_state *state, struct task *task, int64_t now_ms)
{
    assert(task->state == TASK_DEAD);
    leave_ended(task);
    task->state = TASK_WAITING;
    task->attempts = 0;
    task->at_ms = 0;
    if (task->extra && task->extra->until_ms > 0) {
        task->extra->until_ms = 0; /* who revives it wants it done */
    }
    task->accepted_ms = now_ms;
    list_push(&state->waiting, task);
    task->pool->stats.waiting++;
}

/* ---- trimming ---- */

struct trim trim_of(const struct book *book,
                    struct book_pool *pool,
                    int64_t now_ms)
{
    const struct task_pools *pools =
        book->config.pools(book->config.events.context);
    const struct task_pool *settings =
        task_pools_find(pools, bytes_of_text(pool->name));
    struct task_pool standard;
    if (!settings) { /* it is gone: what it has goes as by default */
        task_pool_defaults(&standard);
        settings = &standard;
    }
    uint32_t share = task_pool_is_single(settings) ? 1 : book_shard_count(book);
    return (struct trim){
        .pool = pool,
        .before_ms = now_ms - (int64_t)settings->result_ms,
        .keyed_before_ms = now_ms - (int64_t)settings->key_ms,
        .bytes_max = settings->result_bytes_max / share,
        .dead_max = (settings->dead_max + share - 1) / share,
    };
}

static bool is_over(const struct task_list *list, int64_t before_ms)
{
    return list->first && list->first->at_ms <= before_ms;
}

bool trim_is_due(const struct trim *trim, bool is_volatile)
{
    const struct ended *ended = &trim->pool->ended[is_volatile];
    return is_over(&ended->lists[ENDED_PLAIN], trim->before_ms) ||
           is_over(&ended->lists[ENDED_KEYED], trim->keyed_before_ms) ||
           ended->bytes > trim->bytes_max ||
           ended->lists[ENDED_DEAD].count > trim->dead_max;
}

void state_trim(struct book_state *state,
                const struct trim *trim,
                bool is_volatile)
{
    struct ended *ended = &trim->pool->ended[is_volatile];
    struct task_list *plain = &ended->lists[ENDED_PLAIN];
    struct task_list *keyed = &ended->lists[ENDED_KEYED];
    struct task_list *dead = &ended->lists[ENDED_DEAD];
    while (is_over(plain, trim->before_ms) ||
           (plain->first && ended->bytes > trim->bytes_max)) {
        state_remove(state, plain->first);
    }
    while (is_over(keyed, trim->keyed_before_ms) ||
           (keyed->first && ended->bytes > trim->bytes_max)) {
        state_remove(state, keyed->first);
    }
    while (dead->count > trim->dead_max) {
        state_remove(state, dead->first);
        trim->pool->stats.dead_dropped++;
    }
}

/* ---- submissions ---- */

enum err state_remember(struct book_state *state,
                        uint32_t count_max,
                        uint64_t submission,
                        struct bytes reply)
{
    if (state->submission_count == 0) {
        struct submission *places = calloc(count_max, sizeof *places);
        uint64_t *ids = calloc(count_max, sizeof *ids);
        if (!places || !ids) {
            free(places);
            free(ids);
            return ERR_MEMORY;
        }
        state->submissions = places;
        state->submission_ids = ids;
        state->submission_count = count_max;
    }
    uint8_t *copy = malloc(reply.length + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    if (reply.length > 0) {
        memcpy(copy, reply.data, reply.length);
    }
    struct submission *place = &state->submissions[state->submission_next];
    free(place->reply);
    *place = (struct submission){.reply = copy,
                                 .reply_bytes = (uint32_t)reply.length};
    state->submission_ids[state->submission_next] = submission;
    state->submission_next =
        (state->submission_next + 1) % state->submission_count;
    return ERR_NONE;
}

bool state_recall(const struct book_state *state,
                  uint64_t submission,
                  struct bytes *reply)
{
    for (uint32_t i = 0; i < state->submission_count; i++) {
        if (state->submission_ids[i] == submission &&
            state->submissions[i].reply) {
            *reply = bytes_of(state->submissions[i].reply,
                              state->submissions[i].reply_bytes);
            return true;
        }
    }
    return false;
}
