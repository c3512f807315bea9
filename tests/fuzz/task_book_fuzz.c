/*
 * Any bytes to a shard's book: as a request, as an outcome, as a piece of a
 * snapshot. Whatever is taken, another replica takes, too; and the copy of what
 * stands then is equal.
 */

#include <stdlib.h>
#include <string.h>

#include "tests/shard/book_lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

#define OUTCOME_BYTES (1u << 20)

static struct task_pools pools;
static uint8_t outcome_buffer[OUTCOME_BYTES];
static uint8_t reply_buffer[OUTCOME_BYTES];

static void add_pool(const char *name, bool is_durable)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    memcpy(pool.name, name, strlen(name) + 1);
    pool.is_durable = is_durable;
    pool.queue_max = 64;
    MUST(task_pools_set(&pools, &pool) == ERR_NONE);
}

/* What one decides both apply. */
static void run(struct book *leader, struct book *follower, struct bytes bytes)
{
    struct machine machine = book_machine(leader);
    struct machine_stamp stamp = {.wall_ms = 1000};
    struct machine_decision decision = {
        .outcome = writer_of(outcome_buffer, sizeof outcome_buffer),
        .reply = writer_of(reply_buffer, sizeof reply_buffer)};
    if (machine.decide(machine.context, &stamp, bytes, &decision)) {
        return;
    }
    struct bytes outcome = writer_bytes(&decision.outcome);
    if (outcome.length > 0) {
        MUST(machine.apply(machine.context, 1, &stamp, outcome) == ERR_NONE);
        machine = book_machine(follower);
        MUST(machine.apply(machine.context, 1, &stamp, outcome) == ERR_NONE);
    }
    MUST(book_digest(leader) == book_digest(follower));
}

/* Each command is a length, u8, and so many bytes. */
static void run_all(struct book *leader,
                    struct book *follower,
                    struct bytes bytes)
{
    size_t at = 0;
    while (at < bytes.length) {
        size_t length = bytes.data[at++];
        length = length < bytes.length - at ? length : bytes.length - at;
        run(leader, follower, bytes_of(bytes.data + at, length));
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    add_pool("work", true);
    add_pool("fast", false);
    struct book *leader = book_lab_open(0, &pools);
    struct book *follower = book_lab_open(0, &pools);
    struct book *third = book_lab_open(0, &pools);
    struct bytes bytes = bytes_of(data, length);
    run(leader, follower, bytes);
    run_all(leader, follower, bytes);
    book_lab_copy(leader, third);
    struct machine machine = book_machine(third);
    struct machine_stamp stamp = {.wall_ms = 2000};
    (void)!machine.apply(machine.context, 2, &stamp, bytes);
    struct machine other = book_machine(follower);
    MUST(other.restore_begin(other.context) == ERR_NONE);
    bool is_taken = !other.restore_piece(other.context, bytes);
    (void)!other.restore_end(other.context, is_taken);
    book_close(&leader);
    book_close(&follower);
    book_close(&third);
    task_pools_clear(&pools);
    return 0;
}
