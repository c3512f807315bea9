/*
 * A map of counters: the replicated state machine that consensus is tested and
 * measured with.
 *
 * It decides on speculative values (an overlay over what is applied) and logs
 * outcomes: key, new value, and what the idempotency key answered. Values of
 * keys that were never set are 0. Results of idempotency keys are kept for the
 * newest `result_count_max` of them, the same ones on all replicas.
 */

#ifndef SHARD_COUNTER_MAP_H
#define SHARD_COUNTER_MAP_H

#include "base/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct counter_map;

struct counter_map_config {
    uint32_t result_count_max;
    uint32_t padding_bytes; /* added to each outcome, for benchmarks */
};

enum counter_kind {
    COUNTER_ADD,             /* value: what is added */
    COUNTER_COMPARE_AND_SET, /* expected, value */
    COUNTER_READ,            /* only as a question */
};

struct counter_command {
    enum counter_kind kind;
    uint64_t key;
    int64_t expected;
    int64_t value;
    uint64_t idempotency_key; /* 0: none */
};

struct counter_reply {
    bool is_done;  /* COMPARE_AND_SET: false when another value was there */
    int64_t value; /* that is there now */
};

#define COUNTER_COMMAND_BYTES 33
#define COUNTER_REPLY_BYTES 9

struct counter_map *counter_map_open(const struct counter_map_config *config);
void counter_map_close(struct counter_map **map);
struct machine counter_map_machine(struct counter_map *map);

struct bytes counter_command_encode(uint8_t to[static COUNTER_COMMAND_BYTES],
                                    const struct counter_command *command);
bool counter_reply_decode(struct counter_reply *out, struct bytes reply);

/* Of what is applied: equal on replicas that have applied the same. */
uint64_t counter_map_digest(const struct counter_map *map);
int64_t counter_map_value(const struct counter_map *map, uint64_t key);
size_t counter_map_count(const struct counter_map *map);

#endif
