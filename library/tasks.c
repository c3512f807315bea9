/*
 * The functions of troupe/tasks.h: errands for the desk, and waiting for them.
 */

#include "troupe/tasks.h"

#include "base/posix/posix_latch.h"
#include "base/time_units.h"
#include "library/handle.h"
#include "shard/task_request.h"

#include <assert.h>
#include <stdlib.h>

static bool is_own_thread(const struct troupe *troupe)
{
    return pthread_equal(troupe->thread, pthread_self());
}

static uint64_t until_ns(const struct troupe *troupe, unsigned timeout_ms)
{
    return clock_now_ns(troupe->clock) + timeout_ms * (uint64_t)NS_PER_MS;
}

/* ---- room ---- */

struct waiting {
    struct posix_latch latch;
    enum err err;
    uint64_t count;
};

static void on_told(void *context, enum err err, uint64_t count)
{
    struct waiting *waiting = context;
    waiting->err = err;
    waiting->count = count;
    posix_latch_count(&waiting->latch);
}

static enum err wait_for_room(struct troupe *troupe, uint64_t until_ns)
{
    enum err err;
    struct waiting waiting = {.err = ERR_NONE};
    struct errand *room = errand_room(&err);
    if (err) {
        return err;
    }
    room->until_ns = until_ns;
    room->done.told = on_told;
    room->context = &waiting;
    posix_latch_init(&waiting.latch, 1);
    err = desk_put(troupe->desk, room, false);
    if (err) {
        errand_free(room);
    } else {
        posix_latch_wait(&waiting.latch);
        err = waiting.err;
    }
    posix_latch_clear(&waiting.latch);
    return err;
}

/* Takes the errand, also when it fails. */
static enum err put(struct troupe *troupe, struct errand *errand)
{
    bool is_within = is_own_thread(troupe);
    enum err err = desk_put(troupe->desk, errand, is_within);
    while (err == ERR_FULL && !is_within) {
        err = wait_for_room(troupe, errand->until_ns);
        if (!err) {
            err = desk_put(troupe->desk, errand, false);
        }
    }
    if (err) {
        errand_free(errand);
    }
    return err;
}

/* ---- submitting ---- */

enum troupe_error troupe_submit_async(struct troupe *troupe,
                                      const struct troupe_spec *spec,
                                      unsigned timeout_ms,
                                      troupe_on_receipt *on_receipt,
                                      void *context)
{
    enum err err;
    struct errand *errand = errand_submit(spec, &err);
    if (!err) {
        errand->until_ns = until_ns(troupe, timeout_ms);
        errand->done.receipt = on_receipt;
        errand->context = context;
        err = put(troupe, errand);
    }
    return handle_error(err);
}

/* One of many that somebody waits for. */
struct submitting {
    struct posix_latch *latch;
    struct troupe_receipt *receipt;
};

static void on_receipt(void *context, const struct troupe_receipt *receipt)
{
    struct submitting *one = context;
    *one->receipt = *receipt;
    posix_latch_count(one->latch);
}

static void submit_all(struct troupe *troupe,
                       const struct troupe_spec *specs,
                       size_t count,
                       unsigned timeout_ms,
                       struct submitting *list)
{
    uint64_t until = until_ns(troupe, timeout_ms);
    for (size_t i = 0; i < count; i++) {
        enum err err;
        struct errand *errand = errand_submit(&specs[i], &err);
        if (!err) {
            errand->until_ns = until;
            errand->done.receipt = on_receipt;
            errand->context = &list[i];
            err = put(troupe, errand);
        }
        if (err) {
            on_receipt(&list[i],
                       &(struct troupe_receipt){.error = handle_error(err)});
        }
    }
}

static enum troupe_error refuse_all(struct troupe_receipt *receipts,
                                    size_t count,
                                    enum err err)
{
    for (size_t i = 0; i < count; i++) {
        receipts[i] = (struct troupe_receipt){.error = handle_error(err)};
    }
    return handle_error(err);
}

enum troupe_error troupe_submit(struct troupe *troupe,
                                const struct troupe_spec *specs,
                                size_t count,
                                unsigned timeout_ms,
                                struct troupe_receipt *receipts)
{
    if (is_own_thread(troupe)) {
        return refuse_all(receipts, count, ERR_REFUSED);
    }
    struct submitting *list = count > 0 ? calloc(count, sizeof *list) : NULL;
    if (!list) {
        return count > 0 ? refuse_all(receipts, count, ERR_MEMORY)
                         : TROUPE_ERR_NONE;
    }
    struct posix_latch latch;
    posix_latch_init(&latch, count);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct submitting){&latch, &receipts[i]};
    }
    submit_all(troupe, specs, count, timeout_ms, list);
    posix_latch_wait(&latch);
    posix_latch_clear(&latch);
    free(list);
    for (size_t i = 0; i < count; i++) {
        if (receipts[i].error) {
            return receipts[i].error;
        }
    }
    return TROUPE_ERR_NONE;
}

/* ---- awaiting ---- */

/* Who is to hear of a task. */
struct listener {
    troupe_on_progress *on_progress; /* may be NULL */
    troupe_on_result *on_result;     /* likewise */
    void *context;
};

static enum err await(struct troupe *troupe,
                      uint64_t id,
                      uint64_t until_ns,
                      const struct listener *listener)
{
    enum err err;
    struct errand *errand = errand_await(id, listener->on_progress, &err);
    if (!err) {
        errand->until_ns = until_ns;
        errand->done.result = listener->on_result;
        errand->context = listener->context;
        err = put(troupe, errand);
    }
    return err;
}

enum troupe_error troupe_watch_async(struct troupe *troupe,
                                     uint64_t id,
                                     unsigned timeout_ms,
                                     troupe_on_progress *on_progress,
                                     troupe_on_result *on_result,
                                     void *context)
{
    return handle_error(
        await(troupe, id, until_ns(troupe, timeout_ms),
              &(struct listener){on_progress, on_result, context}));
}

enum troupe_error troupe_await_async(struct troupe *troupe,
                                     uint64_t id,
                                     unsigned timeout_ms,
                                     troupe_on_result *on_result,
                                     void *context)
{
    return troupe_watch_async(troupe, id, timeout_ms, NULL, on_result, context);
}

/* All that somebody waits for. */
struct awaiting {
    struct posix_latch latch;
    struct listener told;
    /* Of the reactor's thread until the latch is over. */
    enum troupe_error error;
};

static void on_progress(void *context, const struct troupe_progress *progress)
{
    const struct awaiting *awaiting = context;
    awaiting->told.on_progress(awaiting->told.context, progress);
}

static void on_result(void *context, const struct troupe_result *result)
{
    struct awaiting *awaiting = context;
    if (!awaiting->error) {
        awaiting->error = result->error;
    }
    if (awaiting->told.on_result) {
        awaiting->told.on_result(awaiting->told.context, result);
    }
    posix_latch_count(&awaiting->latch);
}

enum troupe_error troupe_watch(struct troupe *troupe,
                               const uint64_t *ids,
                               size_t count,
                               unsigned timeout_ms,
                               troupe_on_progress *progress,
                               troupe_on_result *told,
                               void *context)
{
    if (is_own_thread(troupe)) {
        return TROUPE_ERR_REFUSED;
    }
    struct awaiting awaiting = {.told = {progress, told, context}};
    const struct listener listener = {progress ? on_progress : NULL, on_result,
                                      &awaiting};
    uint64_t until = until_ns(troupe, timeout_ms);
    enum err err = ERR_NONE;
    size_t asked = 0;
    posix_latch_init(&awaiting.latch, count);
    for (; asked < count && !err; asked += !err) {
        err = await(troupe, ids[asked], until, &listener);
    }
    for (size_t i = asked; i < count; i++) {
        posix_latch_count(&awaiting.latch);
    }
    posix_latch_wait(&awaiting.latch);
    posix_latch_clear(&awaiting.latch);
    for (size_t i = asked; i < count && told; i++) {
        told(context, &(struct troupe_result){
                          .id = ids[i], .error = handle_error(err), .why = ""});
    }
    return err && !awaiting.error ? handle_error(err) : awaiting.error;
}

enum troupe_error troupe_await(struct troupe *troupe,
                               const uint64_t *ids,
                               size_t count,
                               unsigned timeout_ms,
                               troupe_on_result *told,
                               void *context)
{
    return troupe_watch(troupe, ids, count, timeout_ms, NULL, told, context);
}

const char *troupe_state_name(enum troupe_state state)
{
    return (unsigned)state < TASK_STATE_COUNT
               ? task_state_name((enum task_state)state)
               : "a state of a newer release";
}

/* ---- changing ---- */

static enum err change_some(struct troupe *troupe,
                            struct errand *errand,
                            uint64_t *changed)
{
    struct waiting waiting = {.err = ERR_NONE};
    posix_latch_init(&waiting.latch, 1);
    errand->done.told = on_told;
    errand->context = &waiting;
    enum err err = put(troupe, errand);
    if (!err) {
        posix_latch_wait(&waiting.latch);
        err = waiting.err;
        *changed += waiting.count;
    }
    posix_latch_clear(&waiting.latch);
    return err;
}

struct changing {
    enum book_request_kind kind;
    const uint64_t *ids;
    size_t count;
    uint64_t until_ns;
};

static enum err change(struct troupe *troupe,
                       const struct changing *changing,
                       size_t *count_changed)
{
    uint64_t changed = 0;
    enum err err = is_own_thread(troupe) ? ERR_REFUSED : ERR_NONE;
    for (size_t from = 0; from < changing->count && !err;) {
        size_t left = changing->count - from;
        uint32_t count =
            left < TASK_REQUEST_IDS_MAX ? (uint32_t)left : TASK_REQUEST_IDS_MAX;
        struct errand *errand =
            errand_change(changing->kind, changing->ids + from, count, &err);
        if (!err) {
            errand->until_ns = changing->until_ns;
            err = change_some(troupe, errand, &changed);
        }
        from += count;
    }
    if (count_changed) {
        *count_changed = (size_t)changed;
    }
    return err;
}

enum troupe_error troupe_cancel(struct troupe *troupe,
                                const uint64_t *ids,
                                size_t count,
                                unsigned timeout_ms,
                                size_t *count_changed)
{
    return handle_error(change(troupe,
                               &(struct changing){BOOK_CANCEL, ids, count,
                                                  until_ns(troupe, timeout_ms)},
                               count_changed));
}

enum troupe_error troupe_retry(struct troupe *troupe,
                               const uint64_t *ids,
                               size_t count,
                               unsigned timeout_ms,
                               size_t *count_changed)
{
    return handle_error(change(troupe,
                               &(struct changing){BOOK_RETRY, ids, count,
                                                  until_ns(troupe, timeout_ms)},
                               count_changed));
}
