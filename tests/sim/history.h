/*
 * What clients asked of a map of counters and were told, and whether it could
 * have been so: whether each operation can be given one moment between its
 * invocation and its return, such that one map, doing them one at a time at
 * those moments, gives the same answers (Herlihy & Wing 1990).
 *
 * Functions are called in the order of the events, by one thread.
 */

#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history;

enum history_kind {
    HISTORY_ADD,             /* `operand`; tells the new value */
    HISTORY_READ,            /* tells the value */
    HISTORY_COMPARE_AND_SET, /* `expected` by `operand`; tells whether it was
                                so, or the value that it has found */
};

/* Every counter begins at zero; sums wrap around. */
struct history_operation {
    enum history_kind kind;
    uint32_t client; /* for people */
    uint64_t key;
    int64_t operand;
    int64_t expected;
};

struct history_result {
    int64_t value; /* of a compare-and-set that has succeeded: unused */
    bool is_set;   /* HISTORY_COMPARE_AND_SET */
};

/* An operation's number: 0, 1, ... */
typedef size_t history_id;

/* NULL when memory is out. */
struct history *history_open(void);
void history_close(struct history **history);

/* `now_ns` is for people; the order of the calls is what counts. */
history_id history_invoke(struct history *history,
                          uint64_t now_ns,
                          const struct history_operation *operation);

void history_return(struct history *history,
                    uint64_t now_ns,
                    history_id id,
                    const struct history_result *result);

/* Nobody knows: it has effect at some time from its invocation on, or never.
 * So is an operation of which nothing was said until the check. */
void history_unknown(struct history *history, history_id id);

/* It had no effect and never will. */
void history_fail(struct history *history, history_id id);

size_t history_count(const struct history *history);
size_t history_unknown_count(const struct history *history);

enum history_verdict {
    HISTORY_LINEARIZABLE,
    HISTORY_NOT_LINEARIZABLE,
    HISTORY_TOO_HARD, /* not decided within the bound on work and memory */
};

/* Of the first key with a verdict other than HISTORY_LINEARIZABLE. */
struct history_fault {
    uint64_t key;
    uint64_t tried_count; /* configurations */
    char text[4096];      /* the operations around the failure, for people */
};

/* Each key alone: a history is linearizable if every object's part is. `why`
 * may be NULL. */
enum history_verdict history_check(const struct history *history,
                                   struct history_fault *why);

#endif
