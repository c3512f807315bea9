#include "tests/shard/book_lab.h"

#include <assert.h>

#define PIECE_BYTES 1000 /* so that snapshots have several */

static const struct task_pools *on_pools(void *context)
{
    return context;
}

static uint32_t on_shard_count(void *context)
{
    (void)context;
    return BOOK_LAB_SHARD_COUNT;
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

struct book *book_lab_open(uint32_t shard, const struct task_pools *pools)
{
    struct book *book = NULL;
    struct book_config config = {.shard = shard,
                                 .pools = on_pools,
                                 .shard_count = on_shard_count,
                                 .events = {.context = (void *)(uintptr_t)pools,
                                            .on_waiting = on_task,
                                            .on_end = on_task,
                                            .on_reset = on_event,
                                            .on_marked = on_event},
                                 .submission_count_max =
                                     BOOK_LAB_SUBMISSION_COUNT};
    enum err err = book_open(&book, &config);
    assert(!err);
    (void)err;
    return book;
}

void book_lab_copy(struct book *from, struct book *to)
{
    static uint8_t buffer[PIECE_BYTES];
    struct machine giver = book_machine(from);
    struct machine taker = book_machine(to);
    struct bytes piece;
    enum err err = giver.snapshot_begin(giver.context);
    assert(!err);
    err = taker.restore_begin(taker.context);
    do {
        struct writer writer = writer_of(buffer, sizeof buffer);
        assert(!err);
        err = giver.snapshot_next(giver.context, &writer);
        assert(!err);
        piece = writer_bytes(&writer);
        err = piece.length > 0 ? taker.restore_piece(taker.context, piece)
                               : ERR_NONE;
    } while (piece.length > 0);
    giver.snapshot_end(giver.context);
    err = taker.restore_end(taker.context, true);
    assert(!err);
    (void)err;
    assert(book_digest(from) == book_digest(to));
}
