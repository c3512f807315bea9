/*
 * Questions to HOST_SERVICE_TASK and what their answers mean.
 *
 * A submission keeps its number when it is asked for again, and its tasks:
 * the shards' coordinators know by it what they have accepted.
 */

#include "base/owner.h"
#include "base/pack.h"
#include "base/time_units.h"
#include "library/desk_core.h"
#include "shard/task_request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SUBMIT_TASKS_MAX 1024
#define SUBMIT_BYTES_MAX (256u << 10) /* unless one alone is more */
#define SUBMIT_NS (5 * NS_PER_S)      /* for an answer, before asking again */
#define AWAIT_MS 10000
#define AWAIT_BUSY_MS 250 /* while others would have to wait for a question */
#define AWAIT_SLACK_NS (2 * NS_PER_S) /* for the way */
#define AWAIT_BATCHES_FEW 4
#define AGAIN_NS_MIN (10 * NS_PER_MS)
#define AGAIN_NS_MAX (500 * NS_PER_MS)
#define FULL_NS (50 * NS_PER_MS) /* before a pool that was full is asked */

/* ---- life ---- */

void batch_end(struct batch *batch, uint32_t at, enum err err)
{
    struct errand *errand = batch->errands[at];
    batch->errands[at] = NULL;
    batch->open_count--;
    errand_end(batch->lane->desk, errand, err);
}

void batch_free(struct batch *batch)
{
    struct desk_lane *lane = batch->lane;
    struct desk *desk = lane->desk;
    assert(batch->open_count == 0);
    struct batch **link = &lane->batches;
    while (*link != batch) {
        link = &(*link)->next;
    }
    *link = batch->next;
    lane->batch_count--;
    reactor_timer_cancel(desk->config.reactor, &batch->again);
    if (batch->is_asked) {
        desk->config.way.cancel(desk->config.way.context, &batch->call);
    }
    free(batch->errands);
    free(batch->question);
    free(batch);
}

/* What is open in it waits again, in front of the others. */
static void give_back(struct batch *batch, uint32_t at)
{
    struct errand *errand = batch->errands[at];
    batch->errands[at] = NULL;
    batch->open_count--;
    lane_put_back(batch->lane, errand);
}

/* ---- asking ---- */

static uint64_t latest_ns(const struct batch *batch)
{
    uint64_t latest = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct errand *errand = batch->errands[i];
        if (errand && errand->until_ns > latest) {
            latest = errand->until_ns;
        }
    }
    return latest;
}

/* By which asking again is known; it also says which shard they go to: one that
 * is alone to where it is done soonest. */
static uint64_t new_number(const struct desk *desk, uint32_t count)
{
    const struct desk_way *way = &desk->config.way;
    if (way->number && count == 1) {
        return way->number(way->context);
    }
    uint64_t number = entropy_u64(desk->config.entropy);
    return number != 0 ? number : 1;
}

static void write_submission(struct batch *batch, struct writer *writer)
{
    book_submit_begin(writer, batch->lane->pool,
                      new_number(batch->lane->desk, batch->count),
                      batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        struct bytes spec = batch->errands[i]->encoded;
        write_bytes(writer, spec.data, spec.length);
    }
}

/* For as long as its errands wait, but others must get their turn. */
static void write_await(struct batch *batch, struct writer *writer)
{
    uint64_t now = desk_now_ns(batch->lane->desk);
    uint64_t latest = latest_ns(batch);
    uint64_t wait_ms = latest > now ? (latest - now) / NS_PER_MS : 0;
    uint64_t most_ms =
        batch->lane->batch_count > AWAIT_BATCHES_FEW ? AWAIT_BUSY_MS : AWAIT_MS;
    bool is_curious = batch->lane->is_curious;
    pack_array(writer, is_curious ? 5 : 3);
    pack_uint(writer, TASK_REQUEST_AWAIT);
    pack_array(writer, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        pack_uint(writer, batch->errands[i]->id);
    }
    pack_uint(writer, wait_ms < most_ms ? wait_ms : most_ms);
    if (is_curious) {
        pack_nil(writer); /* all pools that we may use */
        pack_array(writer, batch->count);
        for (uint32_t i = 0; i < batch->count; i++) {
            pack_uint(writer, batch->errands[i]->seen);
        }
    }
}

static void write_question(struct batch *batch)
{
    struct writer writer = writer_of(batch->question, batch->question_bytes);
    if (batch->lane->kind == ERRAND_SUBMIT) {
        write_submission(batch, &writer);
    } else if (batch->lane->kind == ERRAND_AWAIT) {
        write_await(batch, &writer);
    } else {
        struct bytes encoded = batch->errands[0]->encoded;
        write_bytes(&writer, encoded.data, encoded.length);
    }
    assert(!writer.failed);
    batch->call.question = writer_bytes(&writer);
}

static uint64_t answer_until_ns(const struct batch *batch)
{
    uint64_t now = desk_now_ns(batch->lane->desk);
    uint64_t latest = latest_ns(batch);
    if (batch->lane->kind == ERRAND_AWAIT) {
        return now + AWAIT_MS * NS_PER_MS + AWAIT_SLACK_NS;
    }
    return latest < now + SUBMIT_NS ? latest : now + SUBMIT_NS;
}

static void ask(struct batch *batch)
{
    struct desk *desk = batch->lane->desk;
    batch->is_asked = true;
    batch->tries++;
    batch->asked_ns = desk_now_ns(desk);
    batch->call.until_ns = answer_until_ns(batch);
    desk->config.way.ask(desk->config.way.context, &batch->call);
}

static void run_again(struct timer *timer)
{
    ask(OWNER_OF(timer, struct batch, again));
}

static void ask_again(struct batch *batch)
{
    uint64_t after_ns = AGAIN_NS_MIN << (batch->tries < 6 ? batch->tries : 6);
    reactor_timer_set(batch->lane->desk->config.reactor, &batch->again,
                      after_ns < AGAIN_NS_MAX ? after_ns : AGAIN_NS_MAX);
}

/* ---- what an error means ---- */

/* Asking again may help. */
static bool is_passing(enum err err)
{
    switch (err) {
    case ERR_UNREACHABLE:
    case ERR_TIMEOUT:
    case ERR_UNCERTAIN:
    case ERR_NOT_LEADER:
    case ERR_NO_QUORUM:
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_CLOSED:
    case ERR_LIMIT:
    case ERR_MEMORY:
        return true;
    default:
        return false;
    }
}

/* What was asked may have happened. */
static bool leaves_doubt(enum err err)
{
    return err == ERR_TIMEOUT || err == ERR_UNCERTAIN || err == ERR_CLOSED ||
           err == ERR_MALFORMED;
}

/* The coordinator itself says so, of this very submission. */
static bool is_of_book(enum err err)
{
    return err == ERR_TOO_LARGE || err == ERR_EXISTS || err == ERR_INVALID;
}

/* An error for good: what was in doubt before stays so. */
static void refuse(struct batch *batch, uint32_t at, enum err err)
{
    const struct errand *errand = batch->errands[at];
    bool is_in_doubt = errand->kind != ERRAND_AWAIT && !is_of_book(err) &&
                       (errand->is_uncertain || leaves_doubt(err));
    batch_end(batch, at, is_in_doubt ? ERR_UNCERTAIN : err);
}

static void note(struct batch *batch, uint32_t at, enum err err)
{
    struct errand *errand = batch->errands[at];
    if (is_passing(err)) {
        errand->last = err;
        errand->is_uncertain = errand->is_uncertain || leaves_doubt(err);
    } else {
        refuse(batch, at, err);
    }
}

static void note_all(struct batch *batch, enum err err)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->errands[i]) {
            note(batch, i, err);
        }
    }
}

/* ---- answers ---- */

static void take_run(struct batch *batch,
                     uint32_t at,
                     const struct book_run *run,
                     uint32_t place)
{
    struct errand *errand = batch->errands[at];
    if (!errand) {
        return;
    }
    if (run->err) {
        note(batch, at, run->err);
        return;
    }
    struct troupe_receipt receipt = {.is_known = run->is_known,
                                     .id = run->first + place};
    batch->errands[at] = NULL;
    batch->open_count--;
    errand_end_receipt(batch->lane->desk, errand, &receipt);
}

/* What the shards had no room for may go to others, under another number: under
 * this one they would say the same again. */
static void give_back_full(struct batch *batch)
{
    bool is_full = false;
    for (uint32_t i = batch->count; i-- > 0;) {
        const struct errand *errand = batch->errands[i];
        if (errand && errand->last == ERR_FULL && !errand->is_uncertain) {
            give_back(batch, i);
            is_full = true;
        }
    }
    if (is_full) {
        lane_hold(batch->lane, FULL_NS);
    }
}

static enum err take_runs(struct batch *batch, struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint32_t run_count = pack_read_array(&reader);
    uint32_t at = 0;
    for (uint32_t i = 0; i < run_count; i++) {
        struct book_run run;
        book_run_decode(&run, &reader);
        if (reader.failed || run.count > batch->count - at) {
            return ERR_MALFORMED;
        }
        for (uint32_t place = 0; place < run.count; place++) {
            take_run(batch, at++, &run, place);
        }
    }
    return reader.failed || at < batch->count ? ERR_MALFORMED : ERR_NONE;
}

/* Outcomes come in the order of the question. */
static uint32_t find(const struct batch *batch, uint64_t id, uint32_t from)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t at = (from + i) % batch->count;
        if (batch->errands[at] && batch->errands[at]->id == id) {
            return at;
        }
    }
    return batch->count;
}

static enum err take_outcomes(struct batch *batch, struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint32_t count = pack_read_array(&reader);
    uint32_t from = 0;
    bool some_were_late = batch->open_count < batch->count;
    for (uint32_t i = 0; i < count; i++) {
        struct task_outcome outcome;
        task_outcome_decode(&outcome, &reader);
        uint32_t at =
            reader.failed ? batch->count : find(batch, outcome.id, from);
        if (at == batch->count && some_were_late && !reader.failed) {
            continue; /* of one whose time was over, which was told */
        }
        if (at == batch->count) {
            return ERR_MALFORMED;
        }
        from = at + 1;
        struct errand *errand = batch->errands[at];
        if (outcome.err == ERR_BUSY && errand->on_progress) {
            errand_tell_progress(errand, &outcome.said);
        } else if (outcome.err) {
            note(batch, at, outcome.err);
        } else {
            batch->errands[at] = NULL;
            batch->open_count--;
            errand_end_result(batch->lane->desk, errand, &outcome.end);
        }
    }
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

static enum err take_count(struct batch *batch, struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint64_t count = pack_read_uint(&reader);
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    struct errand *errand = batch->errands[0];
    batch->errands[0] = NULL;
    batch->open_count--;
    errand_end_change(batch->lane->desk, errand, count);
    return ERR_NONE;
}

static enum err take_answer(struct batch *batch, struct bytes answer)
{
    switch (batch->lane->kind) {
    case ERRAND_SUBMIT:
        return take_runs(batch, answer);
    case ERRAND_AWAIT:
        return take_outcomes(batch, answer);
    default:
        return take_count(batch, answer);
    }
}

/* What still waits is asked for with what has come meanwhile, unless nothing
 * came of it just now. */
static void give_back_all(struct batch *batch)
{
    bool is_quick =
        batch->open_count == batch->count &&
        desk_now_ns(batch->lane->desk) - batch->asked_ns < AGAIN_NS_MIN;
    for (uint32_t i = batch->count; i-- > 0;) {
        if (batch->errands[i]) {
            batch->errands[i]->last = ERR_NONE;
            give_back(batch, i);
        }
    }
    if (is_quick) {
        lane_hold(batch->lane, AGAIN_NS_MIN);
    }
}

static void on_answer(struct desk_call *call, enum err err, struct bytes answer)
{
    struct batch *batch = OWNER_OF(call, struct batch, call);
    struct desk_lane *lane = batch->lane;
    batch->is_asked = false;
    bool is_answered = !err;
    if (!err) {
        err = take_answer(batch, answer);
    }
    if (err) {
        note_all(batch, err);
    }
    if (lane->kind == ERRAND_AWAIT && is_answered) {
        give_back_all(batch);
    } else if (lane->kind == ERRAND_SUBMIT && is_answered) {
        give_back_full(batch);
    }
    if (batch->open_count > 0) {
        ask_again(batch);
        return;
    }
    batch_free(batch);
    lane_go_on(lane);
}

/* ---- gathering ---- */

/* How many of those that wait go together, and the room that they need. */
static uint32_t gather(const struct desk_lane *lane, size_t *room)
{
    uint32_t count = 0;
    uint32_t count_max = lane->kind == ERRAND_SUBMIT  ? SUBMIT_TASKS_MAX
                         : lane->kind == ERRAND_AWAIT ? TASK_REQUEST_IDS_MAX
                                                      : 1;
    *room = lane->kind == ERRAND_SUBMIT ? book_submit_bytes(lane->pool)
                                        : task_await_bytes_max(count_max);
    for (const struct errand *errand = lane->oldest;
         errand && count < count_max; errand = errand->next) {
        if (count > 0 && *room + errand->encoded.length > SUBMIT_BYTES_MAX) {
            break;
        }
        *room += errand->encoded.length;
        count++;
    }
    return count;
}

static struct batch *make(struct desk_lane *lane)
{
    size_t room = 0;
    uint32_t count = gather(lane, &room);
    struct batch *batch = calloc(1, sizeof *batch);
    struct errand **errands = calloc(count, sizeof *errands);
    uint8_t *question = malloc(room);
    if (!batch || !errands || !question) {
        free(batch);
        free(errands);
        free(question);
        return NULL;
    }
    batch->lane = lane;
    batch->errands = errands;
    batch->count = count;
    batch->open_count = count;
    batch->question = question;
    batch->question_bytes = room;
    batch->again.fire = run_again;
    batch->call.done = on_answer;
    return batch;
}

void batch_start(struct desk_lane *lane)
{
    struct batch *batch = make(lane);
    if (!batch) {
        lane_hold(lane, AGAIN_NS_MAX); /* until there is memory */
        return;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->errands[i] = lane->oldest;
        lane->oldest = lane->oldest->next;
        batch->errands[i]->next = NULL;
    }
    batch->next = lane->batches;
    lane->batches = batch;
    lane->batch_count++;
    write_question(batch);
    ask(batch);
}
