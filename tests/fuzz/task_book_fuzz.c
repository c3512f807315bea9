/*
 * Any bytes to a shard's book: as a request, as an outcome, as a piece of a
 * snapshot. Whatever is taken, another replica takes, too; and the copy of what
 * stands then is equal.
 */

#include <stdlib.h>
#include <string.h>

#include "shard/task_book.h"

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

static const struct task_pools *on_pools(void *context)
{
    (void)context;
    return &pools;
}

static uint32_t on_shard_count(void *context)
{
    (void)context;
    return 4;
}

static void on_task(void *context, struct task *task)
{
    (void)context;
    (void)task;
}

static void on_event(void *context)
{
    (void)context;
}

static struct book *open_book(void)
{
    struct book *book = NULL;
    struct book_config config = {.pools = on_pools,
                                 .shard_count = on_shard_count,
                                 .events = {.on_waiting = on_task,
                                            .on_end = on_task,
                                            .on_reset = on_event,
                                            .on_marked = on_event},
                                 .submission_count_max = 8};
    MUST(book_open(&book, &config) == ERR_NONE);
    return book;
}

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

static void copy(struct book *from, struct book *to)
{
    struct machine giver = book_machine(from);
    struct machine taker = book_machine(to);
    MUST(giver.snapshot_begin(giver.context) == ERR_NONE);
    MUST(taker.restore_begin(taker.context) == ERR_NONE);
    for (;;) {
        struct writer piece = writer_of(reply_buffer, sizeof reply_buffer);
        MUST(giver.snapshot_next(giver.context, &piece) == ERR_NONE);
        struct bytes bytes = writer_bytes(&piece);
        if (bytes.length == 0) {
            break;
        }
        MUST(taker.restore_piece(taker.context, bytes) == ERR_NONE);
    }
    giver.snapshot_end(giver.context);
    MUST(taker.restore_end(taker.context, true) == ERR_NONE);
    MUST(book_digest(from) == book_digest(to));
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
    struct book *leader = open_book();
    struct book *follower = open_book();
    struct book *third = open_book();
    struct bytes bytes = bytes_of(data, length);
    run(leader, follower, bytes);
    run_all(leader, follower, bytes);
    copy(leader, third);
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
