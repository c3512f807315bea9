/*
 * Tasks, one by one: where each is, and why it is there.
 */

#include "node/control_core.h"

#include "base/pack.h"
#include "base/time_units.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define PAGE_PLACES 4096 /* of books, looked at for an answer: about 1 ms */
#define SHOWN_BYTES_MAX (64u << 10) /* of a payload */
#define WHY_BYTES 512
#define NAMES_BYTES 200

const struct coordinator *control_coordinator(const struct control *control,
                                              uint32_t shard)
{
    const struct coordinator *coordinator =
        dispatcher_find(control->config.dispatcher, shard);
    return coordinator && coordinator_term(coordinator) != 0 ? coordinator
                                                             : NULL;
}

enum err control_check_leads(struct control_request *request,
                             struct err_detail *why)
{
    if (control_coordinator(request->control, request->shard)) {
        return ERR_NONE;
    }
    request->may_pass = true;
    err_explain(why, "shard %" PRIu32 " gets another leader: try again",
                request->shard);
    return ERR_BUSY;
}

static struct book *book_of(const struct coordinator *coordinator)
{
    /* It is not const only for who decides something; here it is read. */
    return coordinator_book((struct coordinator *)(uintptr_t)coordinator);
}

static int64_t wall_ms(const struct control *control)
{
    return clock_wall_ms(control->config.clock);
}

/* ---- why ---- */

struct saying {
    char text[WHY_BYTES];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void say(struct saying *saying,
                                                      const char *format,
                                                      ...)
{
    va_list arguments;
    size_t left = sizeof saying->text - saying->length;
    va_start(arguments, format);
    int length =
        vsnprintf(saying->text + saying->length, left, format, arguments);
    va_end(arguments);
    if (length > 0) {
        saying->length += (size_t)length < left ? (size_t)length : left - 1;
    }
}

/* What others have chosen; it may be no text for people. */
static void say_bytes(struct saying *saying, struct bytes bytes)
{
    char text[TASK_KEY_BYTES_MAX + 1] = {0};
    size_t length = bytes.length < sizeof text ? bytes.length : sizeof text - 1;
    if (length > 0) {
        memcpy(text, bytes.data, length);
    }
    say(saying, "%s", utf8_is_printable(text) ? text : "(no text)");
}

/* "alpha, beta" */
static uint32_t worker_names(const struct control *control,
                             char *to,
                             size_t capacity)
{
    const struct members *members = &control_view(control)->members;
    uint32_t numbers[MEMBER_NUMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if ((member->roles & SETTINGS_WORKER) && member->state != MEMBER_DOWN &&
            count < MEMBER_NUMBERS_MAX) {
            numbers[count++] = member->number;
        }
    }
    control_names_text(control, numbers, count, to, capacity);
    return count;
}

static void say_ready(const struct control *control,
                      const struct task *task,
                      struct saying *saying)
{
    char names[NAMES_BYTES];
    const struct task_pool *pool = task_pools_find(
        &control_view(control)->pools, bytes_of_text(task_pool_name(task)));
    uint32_t count = worker_names(control, names, sizeof names);
    if (!pool) {
        say(saying, "there is no pool %s any more", task_pool_name(task));
    } else if (pool->is_paused) {
        say(saying, "pool %s is paused", pool->name);
    } else if (count == 0 || pool->workers == 0) {
        say(saying, "pool %s has no workers on any node", pool->name);
    } else if (pool->handler == TASK_FUNCTION &&
               !dispatcher_is_asked(control->config.dispatcher, pool->name)) {
        say(saying,
            "no node has asked for tasks of pool %s: is there a program with "
            "its function %s among them?",
            pool->name, pool->function);
    } else {
        say(saying,
            "no worker of pool %s is free: it has %" PRIu32 " on each of %s",
            pool->name, pool->workers, names);
        if (task_pool_is_single(pool)) {
            say(saying, ", and limits how many run or begin");
        }
    }
}

static void say_after(const struct control *control,
                      const struct task *task,
                      struct saying *saying)
{
    const char *separator = "tasks that it comes after are not done: ";
    for (uint32_t i = 0; i < task->extra->after_count; i++) {
        char id[TASK_ID_BYTES];
        uint64_t after = task->extra->after[i];
        const struct coordinator *coordinator =
            control_coordinator(control, task_id_shard(after));
        const struct task *other =
            coordinator ? book_find(book_of(coordinator), after) : NULL;
        if (other && other->state == TASK_DONE) {
            continue;
        }
        task_id_text(id, after);
        say(saying, "%s%s", separator, id);
        if (other) {
            say(saying, " (%s)", task_state_name(other->state));
        }
        separator = ", ";
    }
}

static void say_leased(const struct control *control,
                       const struct coordinator *coordinator,
                       const struct task *task,
                       struct saying *saying)
{
    struct coordinator_look look = coordinator_look(coordinator, task);
    const char *name = control_node_name(control, task->agent);
    say(saying, "%s has it since %" PRIu64 " ms", name ? name : "a node",
        look.leased_ms);
}

static void say_waiting(const struct control *control,
                        const struct coordinator *coordinator,
                        const struct task *task,
                        struct saying *saying)
{
    switch ((enum task_work)task->work) {
    case WORK_READY:
        say_ready(control, task, saying);
        break;
    case WORK_DELAYED:
        say(saying, "it may not begin for another %" PRId64 " ms",
            task->at_ms > wall_ms(control) ? task->at_ms - wall_ms(control)
                                           : 0);
        break;
    case WORK_BEHIND:
        say(saying, "another task with the order key ");
        say_bytes(saying, task_order(task));
        say(saying, " goes before");
        break;
    case WORK_AFTER:
        say_after(control, task, saying);
        break;
    case WORK_LEASED:
        say_leased(control, coordinator, task, saying);
        break;
    case WORK_SUSPECT:
        say(saying,
            "the shard has a new leader, which waits until all nodes have "
            "told what they run, or for one lease time");
        break;
    case WORK_ENDING:
        say(saying, "what came of it is being recorded");
        break;
    case WORK_NONE:
    case WORK_STATE_COUNT:
        say(saying, "it is about to be looked at");
        break;
    }
}

static void say_ended(const struct task *task, struct saying *saying)
{
    switch ((enum task_state)task->state) {
    case TASK_DEAD:
        say(saying, "it has failed for good after %" PRIu32 " attempts",
            task->attempts);
        break;
    case TASK_CANCELLED:
        say(saying, "somebody has cancelled it");
        break;
    case TASK_EXPIRED:
        say(saying, "it had not begun by its deadline");
        break;
    default:
        say(saying, "it is done");
        break;
    }
}

static void say_why(const struct control *control,
                    const struct coordinator *coordinator,
                    const struct task *task,
                    struct saying *saying)
{
    if (task->state == TASK_WAITING) {
        say_waiting(control, coordinator, task, saying);
        if (task->attempts > 0) {
            say(saying, "; %" PRIu32 " attempts have failed", task->attempts);
        }
    } else {
        say_ended(task, saying);
    }
    if (task_why(task).length > 0) {
        say(saying, ": ");
        say_bytes(saying, task_why(task));
    }
}

/* ---- fields ---- */

/* Nil for none; of what is no text for people its bytes. */
static void write_words(struct fields *fields,
                        const char *key,
                        struct bytes bytes)
{
    char text[TASK_WHY_BYTES] = {0};
    if (bytes.length == 0) {
        fields_nil(fields, key);
        return;
    }
    if (bytes.length < sizeof text) {
        memcpy(text, bytes.data, bytes.length);
    }
    if (strlen(text) == bytes.length && utf8_is_printable(text)) {
        fields_text(fields, key, text);
    } else {
        fields_key(fields, key);
        pack_bin(fields->writer, bytes);
    }
}

void control_write_task(struct fields *fields, const char *key, uint64_t id)
{
    char text[TASK_ID_BYTES];
    task_id_text(text, id);
    fields_text(fields, key, text);
}

/* What both a list and a page of its own have. */
static void write_head(const struct control *control,
                       const struct task *task,
                       struct fields *fields)
{
    control_write_task(fields, "id", task->id);
    fields_text(fields, "pool", task_pool_name(task));
    fields_text(fields, "state", task_state_name(task->state));
    fields_text(fields, "work", task_work_name((enum task_work)task->work));
    fields_bool(fields, "volatile", task->is_volatile);
    fields_uint(fields, "attempts", task->attempts);
    fields_uint(fields, "priority", task->priority);
    fields_int(fields, "accepted_ms", task->accepted_ms);
    fields_int(fields, "at_ms", task->at_ms);
    fields_uint(fields, "payload_bytes", task->payload_bytes);
    write_words(fields, "key", task_key(task));
    write_words(fields, "error", task_why(task));
    if (task->work == WORK_LEASED) {
        control_write_node(control, fields, "agent", task->agent);
    } else {
        fields_nil(fields, "agent");
    }
}

static void write_extra(const struct task *task, struct fields *fields)
{
    static const struct task_extra none = {0};
    const struct task_extra *extra = task->extra ? task->extra : &none;
    write_words(fields, "order", task_order(task));
    write_words(fields, "tenant", task_tenant(task));
    fields_int(fields, "until_ms", extra->until_ms);
    fields_uint(fields, "attempts_max", extra->attempts_max);
    fields_uint(fields, "timeout_ms", extra->timeout_ms);
    struct fields list = fields_list(fields, "after");
    for (uint32_t i = 0; i < extra->after_count; i++) {
        char text[TASK_ID_BYTES];
        task_id_text(text, task->extra->after[i]);
        pack_text(fields_item(&list), text);
    }
    fields_end(&list);
}

static void write_content(const struct task *task, struct fields *fields)
{
    struct bytes payload = task_payload(task);
    bool is_cut = payload.length > SHOWN_BYTES_MAX;
    payload.length = is_cut ? SHOWN_BYTES_MAX : payload.length;
    fields_key(fields, "payload");
    pack_bin(fields->writer, payload);
    fields_bool(fields, "payload_is_cut", is_cut);
    fields_key(fields, "output");
    pack_bin(fields->writer, task_output(task));
}

static void write_run(const struct coordinator *coordinator,
                      const struct task *task,
                      struct fields *fields)
{
    struct coordinator_look look = {0};
    if (task->work == WORK_LEASED) {
        look = coordinator_look(coordinator, task);
    }
    fields_uint(fields, "running_ms", look.leased_ms);
    fields_uint(fields, "done_of_1000", look.said.done_of_1000);
    fields_text(fields, "progress",
                utf8_is_printable(look.said.text) ? look.said.text : "");
}

/* ---- one ---- */

enum err control_task_unknown(const struct control_request *request,
                              uint64_t task,
                              struct err_detail *why)
{
    char id[TASK_ID_BYTES];
    char where[CERTIFICATE_POOLS_BYTES + 16] = "";
    task_id_text(id, task);
    if (request->is_limited) { /* whether it is in another is not said */
        (void)snprintf(where, sizeof where, " in the pools %s",
                       control_pools_text(request));
    }
    err_explain(why,
                "there is no task %s%s: it never was, or its result was kept "
                "for as long as its pool says%s",
                id, where,
                task_id_is_volatile(task)
                    ? ", or it was lost with the node that led its shard: it "
                      "was of a volatile pool"
                    : "");
    return ERR_NOT_FOUND;
}

enum err control_task_find(struct control_request *request,
                           const struct control_args *args,
                           struct err_detail *why)
{
    const struct coordinator *coordinator =
        control_coordinator(request->control, request->shard);
    enum err err = control_check_leads(request, why);
    if (err) {
        return err;
    }
    const struct task *task = book_find(book_of(coordinator), args->task);
    return task && control_may_see(request, task_pool_name(task))
               ? ERR_NONE
               : control_task_unknown(request, args->task, why);
}

enum err control_task_show(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    (void)why;
    const struct control *control = request->control;
    const struct coordinator *coordinator =
        control_coordinator(control, request->shard);
    const struct task *task = book_find(book_of(coordinator), args->task);
    struct saying saying = {{0}, 0};
    say_why(control, coordinator, task, &saying);
    write_head(control, task, fields);
    write_extra(task, fields);
    write_run(coordinator, task, fields);
    fields_text(fields, "why", saying.text);
    write_content(task, fields);
    return ERR_NONE;
}

/* ---- many ---- */

/* A part of the list: what stands at some of the books' places. */
struct page {
    const struct control_request *request;
    const struct control_args *args;
    struct fields list;
    uint32_t limit;
    uint32_t places_left; /* that may be looked at */
};

/* The shard, and where in its book. */
static uint64_t cursor_of(uint32_t shard, uint32_t place)
{
    return (uint64_t)shard << 32 | place;
}

static bool is_meant(const struct page *page, const struct task *task)
{
    const struct control_args *args = page->args;
    const char *pool = task_pool_name(task);
    return (!(args->given & ARG_TASK_STATE) ||
            task->state == args->task_state) &&
           (!(args->given & ARG_POOL) || strcmp(pool, args->pool) == 0) &&
           (!(args->given & ARG_UNTIL) ||
            (uint64_t)task->at_ms <= args->until_ms) &&
           (uint64_t)task->accepted_ms >= args->since_ms &&
           control_may_see(page->request, pool);
}

static void write_task(void *context, const struct task *task)
{
    struct page *page = context;
    if (is_meant(page, task)) {
        struct fields item = fields_item_map(&page->list);
        write_head(page->request->control, task, &item);
        fields_end(&item);
    }
}

struct tally {
    const struct control_args *args;
    uint64_t count;
};

static void count_meant(void *context,
                        const char *pool,
                        const struct book_pool_stats *stats)
{
    struct tally *tally = context;
    const struct control_args *args = tally->args;
    const uint64_t counts[TASK_STATE_COUNT] = {[TASK_WAITING] = stats->waiting,
                                               [TASK_DONE] = stats->done,
                                               [TASK_DEAD] = stats->dead,
                                               [TASK_CANCELLED] = stats->other,
                                               [TASK_EXPIRED] = stats->other};
    if ((args->given & ARG_POOL) && strcmp(pool, args->pool) != 0) {
        return;
    }
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++) {
        bool is_asked = !(args->given & ARG_TASK_STATE) ||
                        args->task_state == (enum task_state)i;
        tally->count += is_asked ? counts[i] : 0;
    }
}

/* So that a few dead letters are soon found beside many results. */
static bool has_some(const struct book *book, const struct control_args *args)
{
    struct tally tally = {.args = args};
    book_pools_each(book, count_meant, &tally);
    return tally.count > 0;
}

/* From a place of a shard on, as far as the page goes; returns the place where
 * it goes on, 0: in another shard. */
static uint32_t write_shard(struct page *page, uint32_t shard, uint32_t place)
{
    const struct coordinator *coordinator =
        control_coordinator(page->request->control, shard);
    const struct book *book = coordinator ? book_of(coordinator) : NULL;
    if (!book || !has_some(book, page->args)) {
        return 0;
    }
    do {
        place = book_walk(book, place, write_task, page);
        page->places_left--;
    } while (place != 0 && page->places_left > 0 &&
             page->list.count < page->limit);
    return place;
}

enum err control_task_list(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    enum err err = args->given & ARG_POOL
                       ? control_check_pool(request, args->pool, why)
                       : ERR_NONE;
    if (err) {
        return err;
    }
    struct page page = {.request = request,
                        .args = args,
                        .list = fields_list(fields, "tasks"),
                        .limit = args->given & ARG_LIMIT ? (uint32_t)args->limit
                                                         : LIMIT_DEFAULT,
                        .places_left = PAGE_PLACES};
    uint32_t shard_count = control_view(request->control)->map.shard_count;
    uint64_t shard = args->cursor >> 32;
    uint32_t place = (uint32_t)args->cursor;
    while (shard < shard_count && page.places_left > 0 &&
           page.list.count < page.limit) {
        place = write_shard(&page, (uint32_t)shard, place);
        shard += place == 0;
    }
    fields_end(&page.list);
    if (shard < shard_count) {
        fields_uint(fields, "cursor", cursor_of((uint32_t)shard, place));
    } else {
        fields_nil(fields, "cursor");
    }
    return ERR_NONE;
}
