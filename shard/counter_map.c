#include "shard/counter_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Both tables, of counters and of results, map a number to a slot by open
 * addressing with linear probing. A slot holds what is applied and, beside it,
 * what is decided and not applied yet: so a decision costs one look.
 *
 * Outcome: flags u8, key u64, value i64, idempotency key u64, padding.
 *
 * Snapshot: pieces of whole records, each a tag u8 and
 *
 *     HEAD       version u8, counters u64, results u64; first of all
 *     COUNTER    key u64, value i64
 *     RESULT     idempotency key u64, value i64, is_done u8; oldest first
 */
#define OUTCOME_BYTES 25
#define OUTCOME_SETS 1u /* the value; not: a comparison failed */
#define OUTCOME_DONE 2u

#define SNAPSHOT_VERSION 1
#define TAG_HEAD 1
#define TAG_COUNTER 2
#define TAG_RESULT 3
#define HEAD_BYTES 18
#define RESULT_BYTES 18

#define SLOT_COUNT_MIN 16u

struct slot {
    uint64_t key;
    int64_t value;       /* applied */
    int64_t speculative; /* holds while something is pending */
    uint32_t pending;    /* outcomes decided and not applied */
    bool is_used;
    bool is_applied;
    bool is_done; /* of a result */
};

struct table {
    struct slot *slots;
    size_t slot_count; /* a power of two; 0: nothing is there yet */
    size_t used_count;
    size_t applied_count;
};

/* What is applied, or is about to be. */
struct state {
    struct table counters;
    struct table results;
    uint64_t *order; /* of applied results: a ring; NULL: none yet */
    size_t oldest;
};

struct counter_map {
    struct counter_map_config config;
    struct state state;

    struct slot *copied; /* for the snapshot: counters, then results */
    size_t copied_counters;
    size_t copied_results;
    size_t copied_next;
    bool is_head_written;
    bool is_copied;

    struct state restored;
    uint64_t promised_counters;
    uint64_t promised_results;
    bool is_head_read;
    bool is_restoring;
};

/* ---- tables ---- */

static uint64_t mix(uint64_t number)
{
    /* The finalizer of MurmurHash3 (Austin Appleby). */
    number ^= number >> 33;
    number *= UINT64_C(0xff51afd7ed558ccd);
    number ^= number >> 33;
    number *= UINT64_C(0xc4ceb9fe1a85ec53);
    return number ^ number >> 33;
}

/* Where `key` is, or would be put. */
static struct slot *probe(struct slot *slots, size_t slot_count, uint64_t key)
{
    size_t at = mix(key) & (slot_count - 1);
    while (slots[at].is_used && slots[at].key != key) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

/* NULL: not there. */
static struct slot *table_find(const struct table *table, uint64_t key)
{
    if (table->slot_count == 0) {
        return NULL;
    }
    struct slot *slot = probe(table->slots, table->slot_count, key);
    return slot->is_used ? slot : NULL;
}

static bool table_grow(struct table *table)
{
    size_t count =
        table->slot_count == 0 ? SLOT_COUNT_MIN : 2 * table->slot_count;
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots) {
        return false;
    }
    table->used_count = 0;
    for (size_t i = 0; i < table->slot_count; i++) {
        const struct slot *old = &table->slots[i];
        if (old->is_used && (old->is_applied || old->pending > 0)) {
            *probe(slots, count, old->key) = *old;
            table->used_count++;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return true;
}

/* Find, or make one that is neither applied nor pending. NULL: no memory.
 * Other slots may move. */
static struct slot *table_claim(struct table *table, uint64_t key)
{
    struct slot *slot = table_find(table, key);
    if (slot) {
        return slot;
    }
    if (4 * (table->used_count + 1) > 3 * table->slot_count &&
        !table_grow(table)) {
        return NULL;
    }
    slot = probe(table->slots, table->slot_count, key);
    *slot = (struct slot){.key = key, .is_used = true};
    table->used_count++;
    return slot;
}

/* Empty a slot, and move up those that were pushed behind it. */
static void table_remove(struct table *table, struct slot *slot)
{
    size_t mask = table->slot_count - 1;
    size_t hole = (size_t)(slot - table->slots);
    table->applied_count -= slot->is_applied;
    table->used_count--;
    for (size_t at = (hole + 1) & mask; table->slots[at].is_used;
         at = (at + 1) & mask) {
        size_t home = mix(table->slots[at].key) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (struct slot){0};
}

/* Slots that nothing applied is in stay, as if they were not. */
static void table_drop(struct table *table)
{
    for (size_t i = 0; i < table->slot_count; i++) {
        table->slots[i].pending = 0;
    }
}

static void table_apply(struct table *table, struct slot *slot, int64_t value)
{
    slot->value = value;
    slot->pending -= slot->pending > 0;
    table->applied_count += !slot->is_applied;
    slot->is_applied = true;
}

static bool is_known(const struct slot *slot)
{
    return slot && (slot->is_applied || slot->pending > 0);
}

/* With all that was decided. */
static int64_t newest_value(const struct slot *slot)
{
    return slot->pending > 0  ? slot->speculative
           : slot->is_applied ? slot->value
                              : 0;
}

/* ---- the state ---- */

static void state_clear(struct state *state)
{
    free(state->counters.slots);
    free(state->results.slots);
    free(state->order);
    *state = (struct state){0};
}

static enum err set_counter(struct state *state, uint64_t key, int64_t value)
{
    struct slot *slot = table_claim(&state->counters, key);
    if (!slot) {
        return ERR_MEMORY;
    }
    table_apply(&state->counters, slot, value);
    return ERR_NONE;
}

static void evict_oldest(struct state *state, uint32_t count_max)
{
    struct slot *slot =
        table_find(&state->results, state->order[state->oldest]);
    assert(slot && slot->is_applied);
    state->oldest = (state->oldest + 1) % count_max;
    table_remove(&state->results, slot);
}

/* Remember what was answered to an idempotency key; the oldest may go. */
static enum err set_result(struct state *state,
                           uint32_t count_max,
                           const struct slot *result)
{
    if (!state->order && count_max > 0) {
        state->order = calloc(count_max, sizeof *state->order);
        if (!state->order) {
            return ERR_MEMORY;
        }
    }
    struct slot *slot = table_claim(&state->results, result->key);
    if (!slot) {
        return ERR_MEMORY;
    }
    if (count_max == 0) {
        table_remove(&state->results, slot);
        return ERR_NONE;
    }
    if (!slot->is_applied) {
        if (state->results.applied_count == count_max) {
            evict_oldest(state, count_max);
            slot = table_find(&state->results, result->key);
        }
        size_t newest = state->oldest + state->results.applied_count;
        state->order[newest % count_max] = result->key;
    }
    slot->is_done = result->is_done;
    table_apply(&state->results, slot, result->value);
    return ERR_NONE;
}

/* ---- deciding ---- */

static bool decode_command(struct counter_command *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint8_t kind = read_u8(&reader);
    *out = (struct counter_command){
        .kind = (enum counter_kind)kind,
        .key = read_u64(&reader),
        .expected = (int64_t)read_u64(&reader),
        .value = (int64_t)read_u64(&reader),
        .idempotency_key = read_u64(&reader),
    };
    return !reader.failed && reader_left(&reader) == 0 && kind <= COUNTER_READ;
}

struct bytes counter_command_encode(uint8_t to[static COUNTER_COMMAND_BYTES],
                                    const struct counter_command *command)
{
    struct writer writer = writer_of(to, COUNTER_COMMAND_BYTES);
    write_u8(&writer, (uint8_t)command->kind);
    write_u64(&writer, command->key);
    write_u64(&writer, (uint64_t)command->expected);
    write_u64(&writer, (uint64_t)command->value);
    write_u64(&writer, command->idempotency_key);
    assert(!writer.failed);
    return writer_bytes(&writer);
}

bool counter_reply_decode(struct counter_reply *out, struct bytes reply)
{
    struct reader reader = reader_of(reply);
    uint8_t is_done = read_u8(&reader);
    int64_t value = (int64_t)read_u64(&reader);
    if (reader.failed || reader_left(&reader) > 0 || is_done > 1) {
        return false;
    }
    *out = (struct counter_reply){.is_done = is_done == 1, .value = value};
    return true;
}

static void write_reply(struct writer *writer,
                        const struct counter_reply *reply)
{
    write_u8(writer, reply->is_done);
    write_u64(writer, (uint64_t)reply->value);
}

static void write_padding(struct writer *writer, uint32_t padding_bytes)
{
    static const uint8_t zeros[64];
    for (uint32_t left = padding_bytes; left > 0;) {
        uint32_t length = left < sizeof zeros ? left : sizeof zeros;
        write_bytes(writer, zeros, length);
        left -= length;
    }
}

/* What a command does to the newest value. */
static struct counter_reply work_out(const struct counter_command *command,
                                     int64_t present)
{
    if (command->kind == COUNTER_ADD) {
        /* Unsigned, so that it wraps around. */
        uint64_t sum = (uint64_t)present + (uint64_t)command->value;
        return (struct counter_reply){.is_done = true, .value = (int64_t)sum};
    }
    bool is_done = present == command->expected;
    return (struct counter_reply){.is_done = is_done,
                                  .value = is_done ? command->value : present};
}

static enum err write_decision(const struct counter_map *map,
                               const struct counter_command *command,
                               const struct counter_reply *reply,
                               struct machine_decision *decision)
{
    write_reply(&decision->reply, reply);
    if (reply->is_done || command->idempotency_key != 0) {
        write_u8(&decision->outcome,
                 reply->is_done ? OUTCOME_SETS | OUTCOME_DONE : 0);
        write_u64(&decision->outcome, command->key);
        write_u64(&decision->outcome, (uint64_t)reply->value);
        write_u64(&decision->outcome, command->idempotency_key);
        write_padding(&decision->outcome, map->config.padding_bytes);
    }
    return decision->outcome.failed || decision->reply.failed ? ERR_TOO_LARGE
                                                              : ERR_NONE;
}

static void speculate(struct slot *slot, const struct counter_reply *reply)
{
    slot->speculative = reply->value;
    slot->pending++;
}

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes bytes,
                          struct machine_decision *decision)
{
    struct counter_map *map = context;
    struct counter_command command;
    (void)stamp;
    if (!decode_command(&command, bytes) || command.kind == COUNTER_READ) {
        return ERR_MALFORMED;
    }
    struct slot *counter = table_claim(&map->state.counters, command.key);
    struct slot *result = NULL;
    if (command.idempotency_key != 0) {
        result = table_claim(&map->state.results, command.idempotency_key);
    }
    if (!counter || (command.idempotency_key != 0 && !result)) {
        return ERR_MEMORY;
    }
    if (is_known(result)) { /* it was asked before: the same answer */
        write_reply(&decision->reply,
                    &(struct counter_reply){.is_done = result->is_done,
                                            .value = newest_value(result)});
        return decision->reply.failed ? ERR_TOO_LARGE : ERR_NONE;
    }
    struct counter_reply reply = work_out(&command, newest_value(counter));
    enum err err = write_decision(map, &command, &reply, decision);
    if (err) {
        return err;
    }
    if (reply.is_done) {
        speculate(counter, &reply);
    }
    if (result) {
        speculate(result, &reply);
        result->is_done = reply.is_done;
    }
    return ERR_NONE;
}

static void on_drop(void *context)
{
    struct counter_map *map = context;
    table_drop(&map->state.counters);
    table_drop(&map->state.results);
}

/* ---- applying and reading ---- */

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    struct counter_map *map = context;
    struct reader reader = reader_of(outcome);
    uint8_t flags = read_u8(&reader);
    uint64_t key = read_u64(&reader);
    int64_t value = (int64_t)read_u64(&reader);
    uint64_t idempotency_key = read_u64(&reader);
    (void)index;
    (void)stamp;
    if (reader.failed || flags > (OUTCOME_SETS | OUTCOME_DONE)) {
        return ERR_MALFORMED;
    }
    enum err err = ERR_NONE;
    if (flags & OUTCOME_SETS) {
        err = set_counter(&map->state, key, value);
    }
    if (!err && idempotency_key != 0) {
        struct slot result = {.key = idempotency_key,
                              .value = value,
                              .is_done = (flags & OUTCOME_DONE) != 0};
        err = set_result(&map->state, map->config.result_count_max, &result);
    }
    return err;
}

static enum err on_read(void *context,
                        struct bytes question,
                        struct writer *answer)
{
    const struct counter_map *map = context;
    struct counter_command command;
    if (!decode_command(&command, question) || command.kind != COUNTER_READ) {
        return ERR_MALFORMED;
    }
    write_reply(answer, &(struct counter_reply){
                            .is_done = true,
                            .value = counter_map_value(map, command.key)});
    return ERR_NONE;
}

/* ---- snapshots ---- */

static const struct slot *result_at(const struct counter_map *map, size_t i)
{
    size_t at = (map->state.oldest + i) % map->config.result_count_max;
    const struct slot *slot =
        table_find(&map->state.results, map->state.order[at]);
    assert(slot && slot->is_applied);
    return slot;
}

static void on_snapshot_end(void *context)
{
    struct counter_map *map = context;
    free(map->copied);
    map->copied = NULL;
    map->is_copied = false;
}

static enum err on_snapshot_begin(void *context)
{
    struct counter_map *map = context;
    assert(!map->is_copied);
    size_t counters = map->state.counters.applied_count;
    size_t results = map->state.results.applied_count;
    struct slot *to = calloc(counters + results + 1, sizeof *to);
    if (!to) {
        return ERR_MEMORY;
    }
    map->copied = to;
    map->copied_counters = counters;
    map->copied_results = results;
    map->copied_next = 0;
    map->is_head_written = false;
    map->is_copied = true;
    for (size_t i = 0; i < map->state.counters.slot_count; i++) {
        if (map->state.counters.slots[i].is_applied) {
            *to++ = map->state.counters.slots[i];
        }
    }
    for (size_t i = 0; i < results; i++) {
        *to++ = *result_at(map, i);
    }
    assert(to == map->copied + counters + results);
    return ERR_NONE;
}

static void write_record(const struct counter_map *map, struct writer *piece)
{
    const struct slot *slot = &map->copied[map->copied_next];
    bool is_counter = map->copied_next < map->copied_counters;
    write_u8(piece, is_counter ? TAG_COUNTER : TAG_RESULT);
    write_u64(piece, slot->key);
    write_u64(piece, (uint64_t)slot->value);
    if (!is_counter) {
        write_u8(piece, slot->is_done);
    }
}

static enum err on_snapshot_next(void *context, struct writer *piece)
{
    struct counter_map *map = context;
    assert(map->is_copied);
    if (piece->end - piece->next < HEAD_BYTES) {
        return ERR_TOO_LARGE;
    }
    if (!map->is_head_written) {
        write_u8(piece, TAG_HEAD);
        write_u8(piece, SNAPSHOT_VERSION);
        write_u64(piece, map->copied_counters);
        write_u64(piece, map->copied_results);
        map->is_head_written = true;
    }
    while (map->copied_next < map->copied_counters + map->copied_results &&
           piece->end - piece->next >= RESULT_BYTES) {
        write_record(map, piece);
        map->copied_next++;
    }
    assert(!piece->failed);
    return ERR_NONE;
}

static enum err on_restore_begin(void *context)
{
    struct counter_map *map = context;
    assert(!map->is_restoring);
    map->is_restoring = true;
    map->is_head_read = false;
    return ERR_NONE;
}

static enum err read_head(struct counter_map *map, struct reader *reader)
{
    uint8_t version = read_u8(reader);
    map->promised_counters = read_u64(reader);
    map->promised_results = read_u64(reader);
    if (map->is_head_read || version != SNAPSHOT_VERSION) {
        return ERR_MALFORMED;
    }
    map->is_head_read = true;
    return ERR_NONE;
}

static enum err read_record(struct counter_map *map,
                            uint8_t tag,
                            struct reader *reader)
{
    struct slot slot = {.key = read_u64(reader),
                        .value = (int64_t)read_u64(reader)};
    uint8_t is_done = tag == TAG_RESULT ? read_u8(reader) : 0;
    slot.is_done = is_done == 1;
    const struct table *table =
        tag == TAG_COUNTER ? &map->restored.counters : &map->restored.results;
    if (reader->failed || !map->is_head_read || is_done > 1 ||
        is_known(table_find(table, slot.key))) {
        return ERR_MALFORMED;
    }
    if (tag == TAG_COUNTER) {
        return set_counter(&map->restored, slot.key, slot.value);
    }
    if (map->restored.results.applied_count == map->config.result_count_max) {
        return ERR_MALFORMED;
    }
    return set_result(&map->restored, map->config.result_count_max, &slot);
}

static enum err on_restore_piece(void *context, struct bytes piece)
{
    struct counter_map *map = context;
    struct reader reader = reader_of(piece);
    enum err err = ERR_NONE;
    assert(map->is_restoring);
    while (!err && reader_left(&reader) > 0) {
        uint8_t tag = read_u8(&reader);
        err = tag == TAG_HEAD ? read_head(map, &reader)
              : tag == TAG_COUNTER || tag == TAG_RESULT
                  ? read_record(map, tag, &reader)
                  : ERR_MALFORMED;
    }
    return !err && reader.failed ? ERR_MALFORMED : err;
}

static enum err on_restore_end(void *context, bool is_whole)
{
    struct counter_map *map = context;
    enum err err = ERR_NONE;
    assert(map->is_restoring);
    map->is_restoring = false;
    if (is_whole &&
        (!map->is_head_read ||
         map->restored.counters.applied_count != map->promised_counters ||
         map->restored.results.applied_count != map->promised_results)) {
        err = ERR_MALFORMED;
    }
    if (is_whole && !err) {
        state_clear(&map->state);
        map->state = map->restored;
        map->restored = (struct state){0};
    }
    state_clear(&map->restored);
    return err;
}

/* ---- life ---- */

struct counter_map *counter_map_open(const struct counter_map_config *config)
{
    struct counter_map *map = calloc(1, sizeof *map);
    if (map) {
        map->config = *config;
    }
    return map;
}

void counter_map_close(struct counter_map **map)
{
    if (!*map) {
        return;
    }
    state_clear(&(*map)->state);
    state_clear(&(*map)->restored);
    free((*map)->copied);
    free(*map);
    *map = NULL;
}

struct machine counter_map_machine(struct counter_map *map)
{
    return (struct machine){
        .context = map,
        .decide = on_decide,
        .apply = on_apply,
        .drop = on_drop,
        .read = on_read,
        .snapshot_begin = on_snapshot_begin,
        .snapshot_next = on_snapshot_next,
        .snapshot_end = on_snapshot_end,
        .restore_begin = on_restore_begin,
        .restore_piece = on_restore_piece,
        .restore_end = on_restore_end,
    };
}

/* ---- what is applied ---- */

uint64_t counter_map_digest(const struct counter_map *map)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < map->state.counters.slot_count; i++) {
        const struct slot *slot = &map->state.counters.slots[i];
        if (slot->is_applied) { /* a sum: in any order */
            digest += mix(mix(slot->key + 1) ^ (uint64_t)slot->value);
        }
    }
    for (size_t i = 0; i < map->state.results.applied_count; i++) {
        const struct slot *slot = result_at(map, i);
        digest = mix(digest ^ slot->key);
        digest = mix(digest ^ (uint64_t)slot->value);
        digest = mix(digest + slot->is_done + 1);
    }
    return digest;
}

int64_t counter_map_value(const struct counter_map *map, uint64_t key)
{
    const struct slot *slot = table_find(&map->state.counters, key);
    return slot && slot->is_applied ? slot->value : 0;
}

size_t counter_map_count(const struct counter_map *map)
{
    return map->state.counters.applied_count;
}
