/*
 * The search is Wing & Gong's (1993) with Lowe's memory of configurations
 * (2017, "Testing for linearizability"), key by key (Horn & Kroening 2015).
 * It lays operations in a row, each next one being among those that no other,
 * still unlaid, has returned before; a configuration is the set of the laid
 * ones and the counter's value, and is entered once.
 *
 * What we add, for operations that nobody knows the end of:
 *
 * - What changes nothing and fits the value now (a read, a compare-and-set
 *   that finds another value) is laid at once, and nothing else is tried:
 *   laying it sooner takes nothing from the others.
 * - Of equal operations of unknown end only the one invoked first is tried:
 *   in any row they can change places.
 * - When sums of all that may still come cannot reach a value at which any
 *   known operation fits, there is no way on.
 * - Few of unknown end in a row are tried first, then any number: else rows
 *   that use them up too soon are searched before the likely ones.
 */

#include "tests/sim/history.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX
#define NEVER UINT64_MAX
#define MEMORY_COUNT_MIN 1024 /* slots; a power of two */
#define EXCERPT_COUNT_MAX 24  /* operations */

enum outcome {
    OUTCOME_UNKNOWN,
    OUTCOME_RETURNED,
    OUTCOME_FAILED,
};

struct entry {
    struct history_operation operation;
    struct history_result result;
    enum outcome outcome;
    uint64_t invoked; /* number of the event */
    uint64_t returned;
    uint64_t invoked_ns;
    uint64_t returned_ns;
};

struct history {
    struct entry *entries; /* in the order of invocation */
    size_t count;
    size_t capacity;
    uint64_t event_count;
};

/* An operation on the key that is searched; in a list, by invocation, of those
 * that are not laid yet. */
struct step {
    const struct entry *entry;
    size_t before;
    size_t after;
    uint64_t mark_low; /* of the hash of a set that holds it */
    uint64_t mark_high;
};

struct layer {
    size_t step;
    uint64_t value_before;
    uint32_t unknown_run_before;
};

/* A configuration, by 128 bits of hash: that two of a million fall together
 * has a chance of one in 10^26. */
struct configuration {
    uint64_t low;
    uint64_t high; /* both 0: free */
};

/* How far a search has come: the state in which the first operation to return
 * of those unlaid returned last. */
struct furthest {
    uint64_t returned; /* 0: none yet */
    size_t blocked;
    uint64_t value;
};

struct search {
    struct step *steps; /* [count]: the list's head */
    size_t count;
    size_t known_left; /* of those that have returned */
    struct layer *layers;
    size_t layer_count;
    uint64_t value; /* as unsigned: sums wrap around */
    uint64_t low;
    uint64_t high;
    uint32_t unknown_run;     /* laid since the last known one */
    uint32_t unknown_run_max; /* UINT32_MAX: any */

    struct configuration *memory;
    size_t memory_count;
    size_t memory_capacity; /* a power of two */
    size_t tried_count_max;
    uint64_t tried_count;
    struct furthest furthest;
};

/* ------------------------------------------------------------ recording */

struct history *history_open(void)
{
    return calloc(1, sizeof(struct history));
}

void history_close(struct history **history)
{
    if (!*history) {
        return;
    }
    free((*history)->entries);
    free(*history);
    *history = NULL;
}

history_id history_invoke(struct history *history,
                          uint64_t now_ns,
                          const struct history_operation *operation)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? 2 * history->capacity : 64;
        history->entries = realloc(
            history->entries, history->capacity * sizeof *history->entries);
        assert(history->entries);
    }
    history->entries[history->count] = (struct entry){
        .operation = *operation,
        .invoked = ++history->event_count,
        .returned = NEVER,
        .invoked_ns = now_ns,
    };
    return history->count++;
}

static struct entry *open_entry(struct history *history, history_id id)
{
    assert(id < history->count);
    struct entry *entry = &history->entries[id];
    assert(entry->outcome == OUTCOME_UNKNOWN);
    return entry;
}

void history_return(struct history *history,
                    uint64_t now_ns,
                    history_id id,
                    const struct history_result *result)
{
    struct entry *entry = open_entry(history, id);
    entry->outcome = OUTCOME_RETURNED;
    entry->result = *result;
    entry->returned = ++history->event_count;
    entry->returned_ns = now_ns;
}

void history_unknown(struct history *history, history_id id)
{
    (void)open_entry(history, id); /* as it is */
}

void history_fail(struct history *history, history_id id)
{
    open_entry(history, id)->outcome = OUTCOME_FAILED;
}

size_t history_count(const struct history *history)
{
    return history->count;
}

size_t history_unknown_count(const struct history *history)
{
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++) {
        count += history->entries[i].outcome == OUTCOME_UNKNOWN;
    }
    return count;
}

/* ------------------------------------------------------- the counter */

static bool is_known(const struct entry *entry)
{
    return entry->outcome == OUTCOME_RETURNED;
}

/* Whether it leaves the counter as it is, whatever that is. */
static bool is_idle(const struct entry *entry)
{
    const struct history_operation *operation = &entry->operation;
    switch (operation->kind) {
    case HISTORY_ADD:
        return operation->operand == 0;
    case HISTORY_READ:
        return true;
    case HISTORY_COMPARE_AND_SET:
        return operation->operand == operation->expected ||
               (is_known(entry) && !entry->result.is_set);
    }
    return true;
}

/* The value at which what it was told is right. */
static uint64_t value_needed(const struct entry *entry)
{
    const struct history_operation *operation = &entry->operation;
    uint64_t told = (uint64_t)entry->result.value;
    switch (operation->kind) {
    case HISTORY_ADD:
        return told - (uint64_t)operation->operand;
    case HISTORY_READ:
        return told;
    case HISTORY_COMPARE_AND_SET:
        return entry->result.is_set ? (uint64_t)operation->expected : told;
    }
    return told;
}

static bool fits(const struct entry *entry, uint64_t value)
{
    const struct history_operation *operation = &entry->operation;
    if (!is_known(entry)) { /* one that does nothing need not be laid */
        return operation->kind == HISTORY_ADD ||
               value == (uint64_t)operation->expected;
    }
    bool is_refusal =
        operation->kind == HISTORY_COMPARE_AND_SET && !entry->result.is_set;
    return value == value_needed(entry) &&
           !(is_refusal && value == (uint64_t)operation->expected);
}

static uint64_t value_after(const struct entry *entry, uint64_t value)
{
    if (is_idle(entry)) {
        return value;
    }
    uint64_t operand = (uint64_t)entry->operation.operand;
    return entry->operation.kind == HISTORY_ADD ? value + operand : operand;
}

/* ------------------------------------------------------------- memory */

/* SplitMix64's finish: every bit of the input reaches every bit. */
static uint64_t mixed(uint64_t z)
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct configuration configuration_of(const struct search *search)
{
    uint64_t run =
        search->unknown_run_max == UINT32_MAX ? 0 : search->unknown_run;
    return (struct configuration){
        .low = mixed(search->low ^ mixed(search->value) ^ run),
        .high = mixed(search->high ^ mixed(~search->value) ^ run) | 1,
    };
}

/* False when it was there. */
static bool put(struct configuration *slots,
                size_t capacity,
                struct configuration wanted)
{
    size_t at = (size_t)wanted.low & (capacity - 1);
    while (slots[at].high) {
        if (slots[at].low == wanted.low && slots[at].high == wanted.high) {
            return false;
        }
        at = (at + 1) & (capacity - 1);
    }
    slots[at] = wanted;
    return true;
}

static void grow_memory(struct search *search)
{
    size_t capacity = search->memory_capacity ? 2 * search->memory_capacity
                                              : MEMORY_COUNT_MIN;
    struct configuration *slots = calloc(capacity, sizeof *slots);
    assert(slots);
    for (size_t i = 0; i < search->memory_capacity; i++) {
        if (search->memory[i].high) {
            (void)put(slots, capacity, search->memory[i]);
        }
    }
    free(search->memory);
    search->memory = slots;
    search->memory_capacity = capacity;
}

/* Remember the configuration; false when it was entered before. */
static bool remember(struct search *search)
{
    if (2 * (search->memory_count + 1) > search->memory_capacity) {
        grow_memory(search);
    }
    if (!put(search->memory, search->memory_capacity,
             configuration_of(search))) {
        return false;
    }
    search->memory_count++;
    search->tried_count++;
    return true;
}

/* ------------------------------------------------------------ laying */

static size_t first_step(const struct search *search)
{
    return search->steps[search->count].after;
}

static void lay(struct search *search, size_t at)
{
    struct step *step = &search->steps[at];
    search->layers[search->layer_count++] = (struct layer){
        .step = at,
        .value_before = search->value,
        .unknown_run_before = search->unknown_run,
    };
    search->steps[step->before].after = step->after;
    search->steps[step->after].before = step->before;
    search->value = value_after(step->entry, search->value);
    search->low ^= step->mark_low;
    search->high ^= step->mark_high;
    search->known_left -= is_known(step->entry);
    search->unknown_run = is_known(step->entry) ? 0 : search->unknown_run + 1;
}

static struct layer take_back(struct search *search)
{
    struct layer layer = search->layers[--search->layer_count];
    struct step *step = &search->steps[layer.step];
    search->steps[step->before].after = layer.step;
    search->steps[step->after].before = layer.step;
    search->value = layer.value_before;
    search->low ^= step->mark_low;
    search->high ^= step->mark_high;
    search->known_left += is_known(step->entry);
    search->unknown_run = layer.unknown_run_before;
    return layer;
}

/* What may be laid next: those in the list that were invoked before `end`. */
struct choice {
    uint64_t end;     /* the first return of one that is not laid */
    size_t blocked;   /* whose that is */
    size_t forced;    /* one that fits and changes nothing; or NONE */
    bool is_hopeless; /* no sum can make a known one fit */
};

static bool can_reach(const struct search *search,
                      const struct choice *choice,
                      int64_t down,
                      int64_t up)
{
    for (size_t i = first_step(search); i != search->count;
         i = search->steps[i].after) {
        const struct entry *entry = search->steps[i].entry;
        if (entry->invoked > choice->end) {
            break;
        }
        int64_t distance = (int64_t)(value_needed(entry) - search->value);
        if (is_known(entry) && distance >= down && distance <= up) {
            return true;
        }
    }
    return false;
}

static struct choice look(const struct search *search)
{
    struct choice choice = {.end = NEVER, .blocked = NONE, .forced = NONE};
    bool is_adding_only = true;
    int64_t down = 0;
    int64_t up = 0;
    for (size_t i = first_step(search); i != search->count;
         i = search->steps[i].after) {
        const struct entry *entry = search->steps[i].entry;
        if (entry->invoked > choice.end) {
            break;
        }
        if (!is_known(entry)) {
            int64_t operand = entry->operation.operand;
            /* Far from where sums of them could wrap around. */
            is_adding_only =
                is_adding_only && entry->operation.kind == HISTORY_ADD &&
                operand > -(INT64_C(1) << 40) && operand < INT64_C(1) << 40;
            *(operand < 0 ? &down : &up) += is_adding_only ? operand : 0;
            continue;
        }
        if (entry->returned < choice.end) {
            choice.end = entry->returned;
            choice.blocked = i;
        }
        if (choice.forced == NONE && is_idle(entry) &&
            fits(entry, search->value)) {
            choice.forced = i;
        }
    }
    choice.is_hopeless =
        is_adding_only && !can_reach(search, &choice, down, up);
    return choice;
}

/* Whether one of unknown end, equal to this one, was invoked before it and is
 * not laid. */
static bool has_twin_before(const struct search *search, size_t at)
{
    const struct history_operation *wanted =
        &search->steps[at].entry->operation;
    for (size_t i = first_step(search); i != at; i = search->steps[i].after) {
        const struct entry *entry = search->steps[i].entry;
        if (!is_known(entry) && entry->operation.kind == wanted->kind &&
            entry->operation.operand == wanted->operand &&
            entry->operation.expected == wanted->expected) {
            return true;
        }
    }
    return false;
}

static bool may_be_laid(const struct search *search, size_t at)
{
    const struct entry *entry = search->steps[at].entry;
    if (!fits(entry, search->value)) {
        return false;
    }
    return is_known(entry) || (search->unknown_run < search->unknown_run_max &&
                               !has_twin_before(search, at));
}

/*
 * The next to try after `last` (NONE: from the beginning): known ones first,
 * then those of unknown end. NONE: there is no other.
 */
static size_t next_choice(const struct search *search,
                          const struct choice *choice,
                          size_t last)
{
    bool is_known_turn = last == NONE || is_known(search->steps[last].entry);
    size_t from = last == NONE ? first_step(search) : search->steps[last].after;
    for (;;) {
        for (size_t i = from; i != search->count; i = search->steps[i].after) {
            const struct entry *entry = search->steps[i].entry;
            if (entry->invoked > choice->end) {
                break;
            }
            if (is_known(entry) == is_known_turn && may_be_laid(search, i)) {
                return i;
            }
        }
        if (!is_known_turn) {
            return NONE;
        }
        is_known_turn = false;
        from = first_step(search);
    }
}

static void note_furthest(struct search *search, const struct choice *choice)
{
    if (choice->end > search->furthest.returned) {
        search->furthest = (struct furthest){
            .returned = choice->end,
            .blocked = choice->blocked,
            .value = search->value,
        };
    }
}

/* Lay the next step after `last` that leads to where we have not been. False:
 * there is none. */
static bool go_on(struct search *search, size_t last)
{
    struct choice choice = look(search);
    note_furthest(search, &choice);
    if (choice.forced != NONE) {
        if (last != NONE) { /* it was tried, and led nowhere */
            return false;
        }
        lay(search, choice.forced);
        if (remember(search)) {
            return true;
        }
        (void)take_back(search);
        return false;
    }
    if (choice.is_hopeless) {
        return false;
    }
    for (size_t i = next_choice(search, &choice, last); i != NONE;
         i = next_choice(search, &choice, i)) {
        lay(search, i);
        if (remember(search)) {
            return true;
        }
        (void)take_back(search);
    }
    return false;
}

static enum history_verdict run(struct search *search)
{
    size_t last = NONE;
    while (search->known_left > 0) {
        if (search->memory_count >= search->tried_count_max) {
            return HISTORY_TOO_HARD;
        }
        if (go_on(search, last)) {
            last = NONE;
        } else if (search->layer_count == 0) {
            return HISTORY_NOT_LINEARIZABLE;
        } else {
            last = take_back(search).step;
        }
    }
    return HISTORY_LINEARIZABLE;
}

/* ----------------------------------------------------------- one key */

static void search_close(struct search **search)
{
    if (!*search) {
        return;
    }
    free((*search)->steps);
    free((*search)->layers);
    free((*search)->memory);
    free(*search);
    *search = NULL;
}

/* Link all steps, from the head and back to it. */
static void link_all(struct search *search)
{
    for (size_t i = 0; i <= search->count; i++) {
        search->steps[i].after = i == search->count ? 0 : i + 1;
        search->steps[i].before = i == 0 ? search->count : i - 1;
        search->steps[i].mark_low = mixed(2 * i);
        search->steps[i].mark_high = mixed(2 * i + 1);
    }
}

static struct search *search_open(const struct history *history, uint64_t key)
{
    struct search *search = calloc(1, sizeof *search);
    assert(search);
    search->steps = calloc(history->count + 1, sizeof *search->steps);
    search->layers = calloc(history->count + 1, sizeof *search->layers);
    assert(search->steps && search->layers);
    for (size_t i = 0; i < history->count; i++) {
        const struct entry *entry = &history->entries[i];
        bool has_effect =
            entry->outcome == OUTCOME_RETURNED ||
            (entry->outcome == OUTCOME_UNKNOWN && !is_idle(entry));
        if (entry->operation.key == key && has_effect) {
            search->steps[search->count++].entry = entry;
        }
    }
    return search;
}

/* Begin anew, with nothing laid. */
static void restart(struct search *search,
                    uint32_t unknown_run_max,
                    size_t tried_count_max)
{
    link_all(search);
    search->known_left = 0;
    for (size_t i = 0; i < search->count; i++) {
        search->known_left += is_known(search->steps[i].entry);
    }
    search->layer_count = 0;
    search->value = 0;
    search->low = 0;
    search->high = 0;
    search->unknown_run = 0;
    search->unknown_run_max = unknown_run_max;
    if (search->memory_count > 0) {
        memset(search->memory, 0,
               search->memory_capacity * sizeof *search->memory);
    }
    search->memory_count = 0;
    search->tried_count_max = tried_count_max;
    search->furthest = (struct furthest){0};
}

static enum history_verdict decide(struct search *search)
{
    static const struct {
        uint32_t unknown_run_max;
        size_t tried_count_max;
    } rounds[] = {
        {1, 20000},
        {3, 100000},
        {UINT32_MAX, 1 << 20},
    };
    enum history_verdict verdict = HISTORY_TOO_HARD;
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        restart(search, rounds[i].unknown_run_max, rounds[i].tried_count_max);
        verdict = run(search);
        if (verdict == HISTORY_LINEARIZABLE) {
            break;
        }
    }
    return verdict;
}

/* ------------------------------------------------------------- words */

struct text {
    char *text;
    size_t capacity;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text,
                                                      const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->text + text->length,
                           text->capacity - text->length, format, arguments);
    va_end(arguments);
    if (length > 0) {
        size_t left = text->capacity - text->length - 1;
        text->length += (size_t)length < left ? (size_t)length : left;
    }
}

static void say_result(struct text *text, const struct entry *entry)
{
    if (!is_known(entry)) {
        say(text, "unknown");
    } else if (entry->operation.kind != HISTORY_COMPARE_AND_SET) {
        say(text, "%" PRId64, entry->result.value);
    } else if (entry->result.is_set) {
        say(text, "set");
    } else {
        say(text, "found %" PRId64, entry->result.value);
    }
}

static void say_operation(struct text *text, const struct entry *entry)
{
    const struct history_operation *operation = &entry->operation;
    say(text, "client %-4" PRIu32 " ", operation->client);
    switch (operation->kind) {
    case HISTORY_ADD:
        say(text, "add %" PRId64, operation->operand);
        break;
    case HISTORY_READ:
        say(text, "read");
        break;
    case HISTORY_COMPARE_AND_SET:
        say(text, "set %" PRId64 " if %" PRId64, operation->operand,
            operation->expected);
        break;
    }
    say(text, " -> ");
    say_result(text, entry);
}

static void say_times(struct text *text, const struct entry *entry)
{
    say(text, "%10.3f ", (double)entry->invoked_ns / 1e6);
    if (is_known(entry)) {
        say(text, "%10.3f ms  ", (double)entry->returned_ns / 1e6);
    } else {
        say(text, "       ... ms  ");
    }
}

/* Whether it may have to do with the failure: it was under way with the
 * blocked one, or not long before. */
static bool is_near(const struct entry *entry, const struct entry *blocked)
{
    uint64_t reach = EXCERPT_COUNT_MAX / 2; /* events */
    uint64_t from = blocked->invoked > reach ? blocked->invoked - reach : 0;
    return entry->invoked < blocked->returned &&
           (!is_known(entry) || entry->returned >= from);
}

static void say_failure(struct text *text, const struct search *search)
{
    const struct entry *blocked = search->steps[search->furthest.blocked].entry;
    say(text, "the counter can be %" PRId64 ", then no order explains:\n",
        (int64_t)search->furthest.value);
    size_t near_count = 0;
    for (size_t i = 0; i < search->count; i++) {
        near_count += is_near(search->steps[i].entry, blocked);
    }
    for (size_t i = 0; i < search->count; i++) {
        const struct entry *entry = search->steps[i].entry;
        if (!is_near(entry, blocked)) {
            continue;
        }
        if (near_count-- > EXCERPT_COUNT_MAX && entry != blocked) {
            continue; /* the last ones say most */
        }
        say(text, "%s ", entry == blocked ? ">" : " ");
        say_times(text, entry);
        say_operation(text, entry);
        say(text, "\n");
    }
}

static void explain(struct history_fault *why,
                    const struct search *search,
                    uint64_t key,
                    enum history_verdict verdict)
{
    if (!why) {
        return;
    }
    *why =
        (struct history_fault){.key = key, .tried_count = search->tried_count};
    struct text text = {.text = why->text, .capacity = sizeof why->text};
    say(&text, "key %" PRIu64 ": %s after %" PRIu64 " configurations; ", key,
        verdict == HISTORY_TOO_HARD ? "undecided" : "not linearizable",
        search->tried_count);
    say_failure(&text, search);
}

static bool is_first_of_key(const struct history *history, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (history->entries[i].operation.key ==
            history->entries[at].operation.key) {
            return false;
        }
    }
    return true;
}

enum history_verdict history_check(const struct history *history,
                                   struct history_fault *why)
{
    for (size_t i = 0; i < history->count; i++) {
        if (!is_first_of_key(history, i)) {
            continue;
        }
        uint64_t key = history->entries[i].operation.key;
        struct search *search = search_open(history, key);
        enum history_verdict verdict = decide(search);
        if (verdict != HISTORY_LINEARIZABLE) {
            explain(why, search, key, verdict);
        }
        search_close(&search);
        if (verdict != HISTORY_LINEARIZABLE) {
            return verdict;
        }
    }
    return HISTORY_LINEARIZABLE;
}
