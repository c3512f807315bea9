/*
 * What the parts of the desk share: library/desk.c (lanes, deadlines, life)
 * and library/batch.c (questions and answers).
 */

#ifndef LIBRARY_DESK_CORE_H
#define LIBRARY_DESK_CORE_H

#include "library/desk.h"

struct desk_lane {
    struct desk *desk;
    struct desk_lane *next;
    enum errand_kind kind;
    bool is_ordered;
    bool is_curious; /* AWAIT: wants progress */
    char pool[CERTIFICATE_NAME_BYTES];
    struct errand *oldest; /* that wait */
    struct errand *newest;
    struct batch *batches; /* under way */
    uint32_t batch_count;
    struct timer held; /* set: its pool is full, what waits waits on */
};

/* Errands that go in one question, and that question, until all have ended. */
struct batch {
    struct desk_lane *lane;
    struct batch *next;
    struct errand **errands; /* NULL: it has ended */
    uint32_t count;
    uint32_t open_count;
    uint32_t tries;
    bool is_asked;
    uint64_t asked_ns;
    struct timer again;
    struct desk_call call;
    uint8_t *question;
    size_t question_bytes; /* at most */
};

struct desk {
    struct desk_config config;

    /* Any thread. */
    struct queue *inbox;
    _Atomic bool is_posted;
    _Atomic uint32_t errand_count; /* of those that are not ended */
    _Atomic uint64_t byte_count;
    _Atomic bool is_stopped; /* nothing is taken any more */
    struct reactor_event event;

    /* The reactor. */
    struct desk_lane *lanes;
    struct errand *rooms; /* they wait for room */
    struct timer deadline;
    uint64_t deadline_ns; /* for which it is set */
};

/* An errand of a batch has ended; its place there is empty then. */
void batch_end(struct batch *batch, uint32_t at, enum err err);

/* Take what waits in the lane, as much as goes together, and ask. */
void batch_start(struct desk_lane *lane);

/* It is not asked any more, and is freed. Nothing of it is open. */
void batch_free(struct batch *batch);

/* Tell it what came of it, and free it. */
void errand_end(struct desk *desk, struct errand *errand, enum err err);
/* With what it came to. */
void errand_end_receipt(struct desk *desk,
                        struct errand *errand,
                        const struct troupe_receipt *receipt);
void errand_end_result(struct desk *desk,
                       struct errand *errand,
                       const struct task_end *end);
/* It has not ended, and says something new. */
void errand_tell_progress(struct errand *errand, const struct task_said *said);
void errand_end_change(struct desk *desk,
                       struct errand *errand,
                       uint64_t count);

/* An errand that was not done goes in front of what waits, in its order when
 * the last one is given back first. */
void lane_put_back(struct desk_lane *lane, struct errand *errand);
/* What waits waits for a while. */
void lane_hold(struct desk_lane *lane, uint64_t ns);
/* Ask for what waits, as far as it may. */
void lane_go_on(struct desk_lane *lane);

uint64_t desk_now_ns(const struct desk *desk);

#endif
