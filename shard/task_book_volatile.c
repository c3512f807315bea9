/*
 * Tasks of volatile pools: in the book of the leader alone, and gone with its
 * leadership.
 */

#include "shard/task_book_core.h"

#include <assert.h>

/* Of a term, 19 bits between the flag and the count. */
#define TERM_MASK UINT64_C(0x7ffff)

bool book_is_volatile_submission(const struct book *book, struct bytes request)
{
    struct submission_request submission;
    const struct task_pool *pool;
    return !submission_read(&submission, request) &&
           !submission_pool(book, &submission, &pool) && !pool->is_durable;
}

static uint64_t first_sequence(struct book *book, uint64_t term)
{
    if (book->volatile_term != term) {
        book->volatile_term = term;
        book->next_volatile = 0;
    }
    return TASK_VOLATILE_BIT | (term & TERM_MASK) << 32 | book->next_volatile;
}

enum err book_submit_volatile(struct book *book,
                              uint64_t term,
                              int64_t now_ms,
                              struct bytes request,
                              struct writer *reply)
{
    struct submission_request submission;
    struct submission_made made = {.request = &submission,
                                   .is_volatile = true,
                                   .first = first_sequence(book, term),
                                   .now_ms = now_ms};
    enum err err = submission_read(&submission, request);
    if (!err) {
        err = submission_pool(book, &submission, &made.pool);
    }
    if (!err) {
        err = submission_make(book, &made, reply);
    }
    if (err) {
        return err;
    }
    book->next_volatile += made.tasks.count;
    err = submission_add(book, &made.tasks);
    /* Without memory some are added and stay: who asked hears of an error, and
     * they are done nevertheless. */
    submission_undo(book, &made);
    return err;
}

enum err book_end_volatile(struct book *book,
                           struct task *task,
                           const struct book_end *end,
                           int64_t now_ms)
{
    const struct book_events *events = &book->config.events;
    assert(task->is_volatile && task->state == TASK_WAITING);
    if (end->state == TASK_WAITING) {
        enum err err = state_again(task, end);
        if (!err) {
            events->on_waiting(events->context, task);
        }
        return err;
    }
    enum err err = state_end(&book->state, task, end, now_ms);
    if (!err) {
        events->on_end(events->context, task);
    }
    return err;
}

bool book_change_volatile(struct book *book,
                          struct task *task,
                          enum book_request_kind kind,
                          int64_t now_ms)
{
    const struct book_events *events = &book->config.events;
    assert(task->is_volatile);
    if (kind == BOOK_CANCEL && task->state == TASK_WAITING) {
        const struct book_end end = {.id = task->id, .state = TASK_CANCELLED};
        return !book_end_volatile(book, task, &end, now_ms);
    }
    if (kind == BOOK_RETRY && task->state == TASK_DEAD) {
        state_revive(&book->state, task, now_ms);
        events->on_waiting(events->context, task);
        return true;
    }
    if (kind == BOOK_PURGE && task->state != TASK_WAITING) {
        state_remove(&book->state, task);
        return true;
    }
    return false;
}

void book_trim_volatile(struct book *book, int64_t now_ms)
{
    for (struct book_pool *pool = book->state.pools; pool; pool = pool->next) {
        struct trim trim = trim_of(book, pool, now_ms);
        if (trim_is_due(&trim, true)) {
            state_trim(&book->state, &trim, true);
        }
    }
}
