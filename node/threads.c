/*
 * Who does what:
 *
 *     reactor: push --> deque of thread 0 --> thread 0 (or a thief) --.
 *              push --> deque of thread 1 --> thread 1               |
 *              on_ended() for all <-- one event <-- stack of ended <-'
 *
 * The reactor owns the bottoms of all deques; threads steal from their own,
 * too, since popping would give the newest first. It wakes a thread only when
 * one sleeps, once for all that was pushed in a turn, and is woken only by the
 * first of those that end until it has looked.
 */

#include "node/threads.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/deque.h"
#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_thread.h"
#include "base/posix/posix_waker.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "node/task.h"

#define DEQUE_CAPACITY 256

enum job_state {
    JOB_WAITS,     /* in a deque */
    JOB_RUNS,      /* a thread has it */
    JOB_WITHDRAWN, /* still in a deque, but its run has ended */
};

/* The newest progress of a run that the reactor has not seen. */
struct note {
    uint32_t done_of_1000;
    char text[TASK_PROGRESS_BYTES];
};

struct job {
    struct threads *threads;
    _Atomic uint32_t state;
    _Atomic uint32_t is_cancelled;

    /* The reactor, and the thread while it runs. */
    struct run *run;
    struct troupe_task task;
    uint32_t timeout_ms;
    int result;
    struct job *next; /* in the stack of those that have ended */

    /* From the thread to the reactor. The event is posted while there is a
     * note. */
    _Atomic(struct note *) note;
    struct reactor_event note_event;
    bool has_ended; /* the reactor's: freed with the note */
};

enum worker_state {
    WORKER_LIVES,
    WORKER_STOPS, /* it is to end, or to live again if that is said first */
    WORKER_GONE,  /* its thread ends, or there was none */
};

struct worker {
    /* Set once. */
    struct threads *threads;
    struct deque *deque;
    struct posix_waker *waker;
    uint32_t index;

    struct posix_thread *thread; /* the reactor's; NULL: none */
    _Atomic uint32_t state;      /* of enum worker_state */
    _Atomic bool is_asleep;
    _Atomic(struct job *) running; /* for threads_close() */
};

struct threads {
    struct threads_config config;

    /* Written by the reactor. */
    _Atomic(struct worker *) workers[THREADS_COUNT_MAX];
    _Atomic uint32_t worker_count; /* that have a deque; it only rises */
    uint32_t live_count;           /* the first of them, which are to live */
    uint32_t next;                 /* who gets the next run */
    struct turn_end turn_end;      /* wakes for what was pushed in the turn */
    uint32_t run_count;
    _Atomic bool is_closing;
    struct reactor_event ended_event;

    /* All threads. */
    alignas(64) _Atomic uint32_t asleep_count;
    _Atomic bool is_waking; /* one was woken and has not looked yet */
    alignas(64) _Atomic(struct job *) ended; /* the newest first */
    alignas(64) _Atomic uint64_t steal_count;
};

/* ---- on a worker's thread ---- */

static void on_progress(void *context, uint32_t done_of_1000, const char *text)
{
    struct job *job = context;
    struct note *note = calloc(1, sizeof *note);
    if (!note) {
        return; /* the next one, perhaps */
    }
    note->done_of_1000 = done_of_1000;
    (void)snprintf(note->text, sizeof note->text, "%s", text);
    struct note *unseen = atomic_exchange(&job->note, note);
    if (unseen) {
        free(unseen); /* the event is posted already */
    } else {
        reactor_post(job->threads->config.reactor, &job->note_event);
    }
}

static void give_back(struct job *job)
{
    struct threads *threads = job->threads;
    struct job *newest = atomic_load(&threads->ended);
    do {
        job->next = newest;
    } while (!atomic_compare_exchange_weak(&threads->ended, &newest, job));
    if (!newest) {
        reactor_post(threads->config.reactor, &threads->ended_event);
    }
}

static void execute(struct worker *worker, struct job *job)
{
    uint32_t state = JOB_WAITS;
    if (atomic_compare_exchange_strong(&job->state, &state, JOB_RUNS)) {
        atomic_store(&worker->running, job);
        /* Pairs with stop_all(): either it sees the job, or we see that it
         * has begun. */
        if (atomic_load(&worker->threads->is_closing)) {
            atomic_store(&job->is_cancelled, 1);
        }
        if (job->timeout_ms > 0) {
            job->task.deadline_ns =
                clock_now_ns(posix_clock()) + job->timeout_ms * NS_PER_MS;
        }
        job->result = worker->threads->config.handler(&job->task);
        atomic_store(&worker->running, NULL);
    }
    give_back(job);
}

static struct job *steal(struct worker *worker)
{
    struct threads *threads = worker->threads;
    uint32_t count = atomic_load(&threads->worker_count);
    for (uint32_t i = 1; i < count; i++) {
        struct worker *victim =
            atomic_load(&threads->workers[(worker->index + i) % count]);
        struct job *job = deque_steal(victim->deque);
        if (job) {
            atomic_fetch_add(&threads->steal_count, 1);
            return job;
        }
    }
    return NULL;
}

static struct job *find_job(struct worker *worker)
{
    struct job *job = deque_steal(worker->deque);
    return job ? job : steal(worker);
}

/* Whoever ends the sleep counts it. */
static bool end_sleep(struct worker *worker)
{
    bool was_asleep = atomic_exchange(&worker->is_asleep, false);
    if (was_asleep) {
        atomic_fetch_sub(&worker->threads->asleep_count, 1);
    }
    return was_asleep;
}

static bool has_jobs(struct threads *threads)
{
    uint32_t count = atomic_load(&threads->worker_count);
    for (uint32_t i = 0; i < count; i++) {
        if (deque_count(atomic_load(&threads->workers[i])->deque) > 0) {
            return true;
        }
    }
    return false;
}

static void wake(struct worker *worker)
{
    struct waker waker = posix_waker_table(worker->waker);
    waker.wake(waker.context);
}

/* Wake one that sleeps, from the worker `first` on; false: none does. */
static bool wake_any(struct threads *threads, uint32_t first)
{
    uint32_t count = atomic_load(&threads->worker_count);
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker =
            atomic_load(&threads->workers[(first + i) % count]);
        if (end_sleep(worker)) {
            wake(worker);
            return true;
        }
    }
    return false;
}

/*
 * There is something to do: wake one that sleeps, unless one was woken that
 * has not looked yet; it will wake the next when it finds that there is more.
 * So a burst of short tasks does not wake all of them for nothing.
 */
static void wake_one(struct threads *threads, uint32_t first)
{
    while (atomic_fetch_add(&threads->asleep_count, 0) > 0 &&
           !atomic_exchange(&threads->is_waking, true) &&
           !wake_any(threads, first)) {
        /* It was about to sleep, or is awake by itself: somebody may have
         * relied on us meanwhile. */
        (void)atomic_exchange(&threads->is_waking, false);
        if (!has_jobs(threads)) {
            return;
        }
    }
}

/* Until there may be something to do; or the job that was found meanwhile. */
static struct job *sleep_or_find(struct worker *worker)
{
    struct threads *threads = worker->threads;
    struct waker waker = posix_waker_table(worker->waker);
    (void)atomic_exchange(&worker->is_asleep, true);
    /* Pairs with the one in wake_one(): either it sees that we sleep, or we
     * see what was pushed. */
    (void)atomic_fetch_add(&threads->asleep_count, 1);
    struct job *job = find_job(worker);
    while (!job && atomic_load(&worker->is_asleep) &&
           atomic_load(&worker->state) == WORKER_LIVES) {
        waker.wait(waker.context, UINT64_MAX);
    }
    if (end_sleep(worker)) {
        return job;
    }
    /* We were woken, and say that we have looked. */
    job = job ? job : find_job(worker);
    (void)atomic_exchange(&threads->is_waking, false);
    if (has_jobs(threads)) {
        wake_one(threads, worker->index + 1);
    }
    return job;
}

/* Whether it is to end, and nobody wants it back. */
static bool has_stopped(struct worker *worker)
{
    uint32_t state = WORKER_STOPS;
    return atomic_compare_exchange_strong(&worker->state, &state, WORKER_GONE);
}

static void work(void *argument)
{
    struct worker *worker = argument;
    while (!has_stopped(worker)) {
        struct job *job = find_job(worker);
        job = job ? job : sleep_or_find(worker);
        if (job) {
            execute(worker, job);
        }
    }
}

/* ---- on the reactor: what has ended ---- */

static void free_job(struct job *job)
{
    task_clear(&job->task);
    job->has_ended = true;
    if (!atomic_load(&job->note)) {
        free(job);
    }
}

static void on_note(struct reactor_event *event)
{
    struct job *job = OWNER_OF(event, struct job, note_event);
    struct note *note = atomic_exchange(&job->note, NULL);
    if (job->has_ended) {
        free(job);
    } else if (!job->threads->is_closing && job->run->progress) {
        job->run->progress(job->run, note->done_of_1000, note->text);
    }
    free(note);
}

static enum run_status status_of(const struct job *job)
{
    switch (job->result) {
    case TROUPE_TASK_DONE:
        return RUN_DONE;
    case TROUPE_TASK_REFUSED:
        return RUN_REFUSED;
    default:
        return atomic_load(&job->is_cancelled) ? RUN_CANCELLED
               : task_is_late(&job->task)      ? RUN_TIMED_OUT
                                               : RUN_FAILED;
    }
}

/* What it has not said itself. */
static void explain(struct troupe_task *task,
                    enum run_status status,
                    int result)
{
    if (task->why[0]) {
        return;
    }
    if (status == RUN_TIMED_OUT) {
        troupe_task_explain(task, "the function was asked to end when its time "
                                  "was over");
    } else if (status == RUN_DONE && task->cut_bytes > 0) {
        troupe_task_explain(task, "%llu bytes of output were cut",
                            (unsigned long long)task->cut_bytes);
    } else if (status == RUN_FAILED || status == RUN_REFUSED) {
        troupe_task_explain(task, "the function returned %d", result);
    }
}

static void end_job(struct threads *threads, struct job *job)
{
    struct run *run = job->run;
    if (run && !threads->is_closing) {
        struct run_result result = {.status = status_of(job),
                                    .output = buffer_bytes(&job->task.output),
                                    .why = job->task.why};
        threads->run_count--;
        run->own = NULL;
        explain(&job->task, result.status, job->result);
        threads->config.on_ended(threads->config.context, run, &result);
    }
    free_job(job);
}

static void on_ended(struct reactor_event *event)
{
    struct threads *threads = OWNER_OF(event, struct threads, ended_event);
    struct job *newest = atomic_exchange(&threads->ended, NULL);
    struct job *oldest = NULL;
    while (newest) {
        struct job *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    while (oldest) {
        struct job *next = oldest->next;
        end_job(threads, oldest);
        oldest = next;
    }
    if (!threads->is_closing) {
        threads->config.on_room(threads->config.context);
    }
}

/* ---- on the reactor: giving ---- */

static struct worker *worker_of(struct threads *threads, uint32_t index)
{
    return atomic_load(&threads->workers[index]);
}

static struct job *make_job(struct threads *threads, struct run *run)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        return NULL;
    }
    job->threads = threads;
    job->run = run;
    job->note_event.run = on_note;
    job->task =
        (struct troupe_task){.payload = run->payload,
                             .id = run->task,
                             .token = run->token,
                             .attempt = run->attempt,
                             .output_bytes_max = run->pool->output_bytes_max,
                             .is_cancelled = &job->is_cancelled,
                             .context = job,
                             .progress = on_progress};
    job->timeout_ms = run->timeout_ms;
    return job;
}

/* Who is woken wakes the next, if there is more. */
static void wake_for_pushed(struct turn_end *turn_end)
{
    struct threads *threads = OWNER_OF(turn_end, struct threads, turn_end);
    if (has_jobs(threads)) {
        wake_one(threads, threads->next - 1);
    }
}

/* ERR_FULL: all deques are. */
static enum err push(struct threads *threads, struct job *job)
{
    for (uint32_t i = 0; i < threads->live_count; i++) {
        uint32_t index = (threads->next + i) % threads->live_count;
        if (!deque_push(worker_of(threads, index)->deque, job)) {
            threads->next = index + 1;
            reactor_at_turn_end(threads->config.reactor, &threads->turn_end);
            return ERR_NONE;
        }
    }
    return ERR_FULL;
}

enum err threads_start(struct threads *threads, struct run *run)
{
    struct job *job = make_job(threads, run);
    if (!job) {
        return ERR_MEMORY;
    }
    run->own = job;
    threads->run_count++;
    enum err err = push(threads, job);
    if (err) {
        run->own = NULL;
        threads->run_count--;
        free(job);
    }
    return err;
}

bool threads_cancel(struct run *run)
{
    struct job *job = run->own;
    assert(job->run == run);
    uint32_t state = JOB_WAITS;
    if (atomic_compare_exchange_strong(&job->state, &state, JOB_WITHDRAWN)) {
        job->run = NULL;
        run->own = NULL;
        job->threads->run_count--;
        return true;
    }
    atomic_store(&job->is_cancelled, 1);
    return false;
}

/* ---- how many there are ---- */

static void free_worker(struct worker **worker)
{
    if (*worker) {
        deque_close(&(*worker)->deque);
        posix_waker_close(&(*worker)->waker);
        free(*worker);
        *worker = NULL;
    }
}

static enum err add_worker(struct threads *threads, uint32_t index)
{
    scoped(free_worker) struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return ERR_MEMORY;
    }
    worker->threads = threads;
    worker->index = index;
    atomic_store(&worker->state, WORKER_GONE);
    enum err err = deque_open(&worker->deque, DEQUE_CAPACITY);
    err = err ? err : posix_waker_open(&worker->waker);
    if (err) {
        return err;
    }
    atomic_store(&threads->workers[index], worker);
    atomic_store(&threads->worker_count, index + 1);
    worker = NULL;
    return ERR_NONE;
}

/* The one behind those that live. */
static enum err start_next(struct threads *threads)
{
    uint32_t index = threads->live_count;
    enum err err = ERR_NONE;
    if (index == atomic_load(&threads->worker_count)) {
        err = add_worker(threads, index);
    }
    if (err) {
        return err;
    }
    struct worker *worker = worker_of(threads, index);
    uint32_t state = WORKER_STOPS;
    if (!atomic_compare_exchange_strong(&worker->state, &state, WORKER_LIVES)) {
        posix_thread_join(&worker->thread); /* it ends, if there is one */
        atomic_store(&worker->state, WORKER_LIVES);
        err = posix_thread_start(&worker->thread, "worker", work, worker);
    }
    if (err) {
        atomic_store(&worker->state, WORKER_GONE);
        return err;
    }
    threads->live_count++;
    return ERR_NONE;
}

/* The last of those that live. What is in its deque is for thieves; so is what
 * it was woken for and has not taken. */
static void stop_last(struct threads *threads)
{
    threads->live_count--;
    struct worker *worker = worker_of(threads, threads->live_count);
    atomic_store(&worker->state, WORKER_STOPS);
    wake(worker);
    for (uint32_t i = 0; i < threads->live_count; i++) {
        wake_one(threads, i);
    }
}

enum err threads_set_count(struct threads *threads, uint32_t count)
{
    assert(count > 0 || threads->run_count == 0);
    count = count < THREADS_COUNT_MAX ? count : THREADS_COUNT_MAX;
    while (threads->live_count > count) {
        stop_last(threads);
    }
    while (threads->live_count < count) {
        enum err err = start_next(threads);
        if (err) {
            return err;
        }
    }
    return ERR_NONE;
}

/* ---- opening and closing ---- */

enum err threads_open(struct threads **out, const struct threads_config *config)
{
    struct threads *threads = aligned_alloc(64, sizeof *threads);
    if (!threads) {
        return ERR_MEMORY;
    }
    memset(threads, 0, sizeof *threads);
    threads->config = *config;
    threads->ended_event.run = on_ended;
    threads->turn_end.run = wake_for_pushed;
    *out = threads;
    return ERR_NONE;
}

static void stop_all(struct threads *threads)
{
    uint32_t count = atomic_load(&threads->worker_count);
    atomic_store(&threads->is_closing, true);
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = worker_of(threads, i);
        uint32_t state = WORKER_LIVES;
        (void)atomic_compare_exchange_strong(&worker->state, &state,
                                             WORKER_STOPS);
        struct job *job = atomic_load(&worker->running);
        if (job) {
            atomic_store(&job->is_cancelled, 1);
        }
        wake(worker);
    }
    for (uint32_t i = 0; i < count; i++) {
        posix_thread_join(&worker_of(threads, i)->thread);
    }
}

void threads_close(struct threads **threads)
{
    if (!*threads) {
        return;
    }
    reactor_forget_turn_end((*threads)->config.reactor, &(*threads)->turn_end);
    stop_all(*threads);
    uint32_t count = atomic_load(&(*threads)->worker_count);
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = worker_of(*threads, i);
        struct job *job;
        while ((job = deque_pop(worker->deque))) {
            free_job(job);
        }
    }
    /* What was posted is run before it may go. */
    while (atomic_load(&(*threads)->ended) ||
           reactor_has_events((*threads)->config.reactor)) {
        (void)reactor_turn((*threads)->config.reactor);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = worker_of(*threads, i);
        free_worker(&worker);
    }
    free(*threads);
    *threads = NULL;
}

uint64_t threads_steal_count(const struct threads *threads)
{
    return atomic_load(&threads->steal_count);
}

uint32_t threads_run_count(const struct threads *threads)
{
    return threads->run_count;
}

uint32_t threads_count(const struct threads *threads)
{
    return threads->live_count;
}
