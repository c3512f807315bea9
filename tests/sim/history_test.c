#include "tests/sim/history.h"

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/seeded.h"

/* --------------------------------------------- short histories by hand */

struct fixture {
    struct history *history;
    uint64_t now_ns;
    uint32_t client;
};

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){.history = history_open()};
    CHECK(fixture->history);
}

static history_id invoke(struct fixture *fixture,
                         struct history_operation operation)
{
    fixture->now_ns += 1000000;
    operation.client = fixture->client++;
    return history_invoke(fixture->history, fixture->now_ns, &operation);
}

static history_id add(struct fixture *fixture, int64_t operand)
{
    return invoke(fixture, (struct history_operation){.kind = HISTORY_ADD,
                                                      .operand = operand});
}

static history_id get(struct fixture *fixture)
{
    return invoke(fixture, (struct history_operation){.kind = HISTORY_READ});
}

static history_id set_if(struct fixture *fixture,
                         int64_t expected,
                         int64_t operand)
{
    return invoke(fixture,
                  (struct history_operation){.kind = HISTORY_COMPARE_AND_SET,
                                             .expected = expected,
                                             .operand = operand});
}

/* The value; of a compare-and-set: the one that was found. */
static void told(struct fixture *fixture, history_id id, int64_t value)
{
    fixture->now_ns += 1000000;
    history_return(fixture->history, fixture->now_ns, id,
                   &(struct history_result){.value = value});
}

static void told_set(struct fixture *fixture, history_id id)
{
    fixture->now_ns += 1000000;
    history_return(fixture->history, fixture->now_ns, id,
                   &(struct history_result){.is_set = true});
}

static void check_verdict(struct fixture *fixture,
                          enum history_verdict expected)
{
    struct history_fault why = {0};
    enum history_verdict verdict = history_check(fixture->history, &why);
    if (verdict != expected) {
        print_error("%s\n", why.text);
    }
    history_close(&fixture->history);
    CHECK(verdict == expected);
}

#define GOOD(fixture) check_verdict((fixture), HISTORY_LINEARIZABLE)
#define BAD(fixture) check_verdict((fixture), HISTORY_NOT_LINEARIZABLE)

static void takes_what_one_client_does_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    GOOD(&fixture);
    set_up(&fixture);
    told(&fixture, get(&fixture), 0);
    told(&fixture, add(&fixture, 5), 5);
    told_set(&fixture, set_if(&fixture, 5, -2));
    told(&fixture, set_if(&fixture, 5, 7), -2);
    told(&fixture, get(&fixture), -2);
    GOOD(&fixture);
}

static void takes_concurrent_operations_in_any_order(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    history_id first = add(&fixture, 1);
    history_id second = add(&fixture, 10);
    history_id third = get(&fixture);
    told(&fixture, first, 11);
    told(&fixture, second, 10);
    told(&fixture, third, 10);
    GOOD(&fixture);
}

static void finds_a_stale_read(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    told(&fixture, add(&fixture, 1), 1);
    told(&fixture, get(&fixture), 0);
    BAD(&fixture);
    /* Two reads under way with a write, in the wrong order. */
    set_up(&fixture);
    history_id slow = add(&fixture, 1);
    told(&fixture, get(&fixture), 1);
    told(&fixture, get(&fixture), 0);
    told(&fixture, slow, 1);
    BAD(&fixture);
    set_up(&fixture);
    slow = add(&fixture, 1);
    told(&fixture, get(&fixture), 0);
    told(&fixture, get(&fixture), 1);
    told(&fixture, slow, 1);
    GOOD(&fixture);
}

static void finds_a_lost_update(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    history_id first = add(&fixture, 1);
    history_id second = add(&fixture, 1);
    told(&fixture, first, 1);
    told(&fixture, second, 1);
    BAD(&fixture);
    set_up(&fixture);
    told(&fixture, add(&fixture, 3), 3);
    told(&fixture, add(&fixture, 4), 4);
    BAD(&fixture);
}

static void lets_an_unknown_one_happen_late_or_never(void **state)
{
    (void)state;
    for (int64_t seen = 0; seen <= 2; seen++) {
        struct fixture fixture;
        set_up(&fixture);
        history_unknown(fixture.history, add(&fixture, 1));
        told(&fixture, get(&fixture), 0);
        told(&fixture, get(&fixture), seen);
        /* Twice is once too often. */
        check_verdict(&fixture, seen <= 1 ? HISTORY_LINEARIZABLE
                                          : HISTORY_NOT_LINEARIZABLE);
    }
}

static void finds_an_unknown_one_that_is_undone(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    history_unknown(fixture.history, add(&fixture, 1));
    told(&fixture, get(&fixture), 1);
    told(&fixture, get(&fixture), 0);
    BAD(&fixture);
}

static void finds_an_effect_before_its_invocation(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    told(&fixture, get(&fixture), 1);
    history_unknown(fixture.history, add(&fixture, 1));
    BAD(&fixture);
}

static void finds_an_effect_of_one_that_has_failed(void **state)
{
    (void)state;
    for (int64_t seen = 0; seen <= 1; seen++) {
        struct fixture fixture;
        set_up(&fixture);
        history_fail(fixture.history, add(&fixture, 1));
        told(&fixture, get(&fixture), seen);
        check_verdict(&fixture, seen == 0 ? HISTORY_LINEARIZABLE
                                          : HISTORY_NOT_LINEARIZABLE);
    }
}

static void finds_two_who_set_from_the_same_value(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    history_id first = set_if(&fixture, 0, 1);
    history_id second = set_if(&fixture, 0, 2);
    told_set(&fixture, first);
    told_set(&fixture, second);
    BAD(&fixture);
    set_up(&fixture);
    first = set_if(&fixture, 0, 1);
    second = set_if(&fixture, 0, 2);
    told_set(&fixture, first);
    told(&fixture, second, 1);
    GOOD(&fixture);
}

static void finds_a_refusal_that_names_the_expected_value(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    told(&fixture, set_if(&fixture, 0, 1), 0);
    BAD(&fixture);
}

static void finds_a_value_that_was_never_there(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    history_unknown(fixture.history, set_if(&fixture, 5, 9));
    told(&fixture, get(&fixture), 9);
    BAD(&fixture);
    set_up(&fixture);
    history_unknown(fixture.history, set_if(&fixture, 5, 9));
    told(&fixture, add(&fixture, 5), 5);
    told(&fixture, get(&fixture), 9);
    GOOD(&fixture);
}

static void wraps_sums_around(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    told(&fixture, add(&fixture, INT64_MAX), INT64_MAX);
    told(&fixture, add(&fixture, 1), INT64_MIN);
    GOOD(&fixture);
}

static void names_the_key_and_the_operation_that_cannot_be(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    told(&fixture, add(&fixture, 1), 1);
    told(&fixture,
         invoke(&fixture, (struct history_operation){.kind = HISTORY_ADD,
                                                     .key = 77,
                                                     .operand = 2}),
         3);
    struct history_fault why = {0};
    CHECK(history_check(fixture.history, &why) == HISTORY_NOT_LINEARIZABLE);
    CHECK(why.key == 77);
    CHECK(strstr(why.text, "key 77: not linearizable"));
    CHECK(strstr(why.text, "the counter can be 0"));
    CHECK(strstr(why.text, "\n>      3.000      4.000 ms  client 1    "
                           "add 2 -> 3\n"));
    CHECK(history_count(fixture.history) == 2);
    CHECK(history_unknown_count(fixture.history) == 0);
    history_close(&fixture.history);
}

/* -------------------------------------- a second checker, by brute force */

#define SMALL_COUNT_MAX 7

struct small {
    struct history_operation operation;
    struct history_result result;
    uint32_t invoked;
    uint32_t returned; /* UINT32_MAX: unknown */
};

/* Do an operation; false if it would have been told something else. */
static bool would_be(const struct small *small, int64_t *value)
{
    bool is_known = small->returned != UINT32_MAX;
    const struct history_operation *operation = &small->operation;
    switch (operation->kind) {
    case HISTORY_ADD:
        *value += operation->operand;
        return !is_known || *value == small->result.value;
    case HISTORY_READ:
        return !is_known || *value == small->result.value;
    default:
        break;
    }
    bool is_set = *value == operation->expected;
    bool is_right = !is_known || (is_set == small->result.is_set &&
                                  (is_set || *value == small->result.value));
    if (is_set) {
        *value = operation->operand;
    }
    return is_right;
}

/* Whether the ones that are not in `done` can follow, some unknown ones left
 * out. */
static bool can_follow(const struct small *all,
                       size_t count,
                       uint32_t done,
                       int64_t value)
{
    bool is_known_left = false;
    uint32_t end = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!(done >> i & 1) && all[i].returned != UINT32_MAX) {
            is_known_left = true;
            end = all[i].returned < end ? all[i].returned : end;
        }
    }
    if (!is_known_left) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t then = value;
        if (!(done >> i & 1) && all[i].invoked < end &&
            would_be(&all[i], &then) &&
            can_follow(all, count, done | 1u << i, then)) {
            return true;
        }
    }
    return false;
}

/* A history that is right more often than chance would have it, with few
 * values, so that many are nearly right. */
static size_t make_small(struct small *all,
                         struct history *history,
                         struct seeded *seeded)
{
    size_t count = 0;
    size_t total = 2 + (size_t)seeded_below(seeded, SMALL_COUNT_MAX - 1);
    uint32_t open = 0;
    for (uint32_t event = 1; count < total || open; event++) {
        if (count < total && seeded_below(seeded, 2)) {
            struct history_operation operation = {
                .kind = (enum history_kind)seeded_below(seeded, 3),
                .operand = (int64_t)seeded_below(seeded, 4) - 1,
                .expected = (int64_t)seeded_below(seeded, 3),
            };
            all[count] = (struct small){.operation = operation,
                                        .invoked = event,
                                        .returned = UINT32_MAX};
            (void)history_invoke(history, event, &operation);
            open |= 1u << count++;
            continue;
        }
        size_t at = (size_t)seeded_below(seeded, SMALL_COUNT_MAX);
        if (!(open >> at & 1)) {
            continue;
        }
        open &= ~(1u << at);
        if (seeded_below(seeded, 4) == 0) {
            history_unknown(history, at);
            continue;
        }
        all[at].returned = event;
        all[at].result = (struct history_result){
            .value = (int64_t)seeded_below(seeded, 4),
            .is_set = seeded_below(seeded, 2),
        };
        history_return(history, event, at, &all[at].result);
    }
    return count;
}

static void agrees_with_brute_force_on_small_histories(void **state)
{
    (void)state;
    size_t good_count = 0;
    size_t bad_count = 0;
    for (uint64_t seed = 0; seed < 60000; seed++) {
        struct seeded seeded = {seed};
        struct small all[SMALL_COUNT_MAX];
        struct history *history = history_open();
        CHECK(history);
        size_t count = make_small(all, history, &seeded);
        bool is_good = can_follow(all, count, 0, 0);
        struct history_fault why = {0};
        enum history_verdict verdict = history_check(history, &why);
        if (verdict !=
            (is_good ? HISTORY_LINEARIZABLE : HISTORY_NOT_LINEARIZABLE)) {
            fail_msg("seed %d: brute force says %s\n%s", (int)seed,
                     is_good ? "good" : "bad", why.text);
        }
        good_count += is_good;
        bad_count += !is_good;
        history_close(&history);
    }
    print_message("%zu good, %zu bad\n", good_count, bad_count);
    CHECK(good_count > 5000 && bad_count > 5000);
}

/* ------------------------------------- long histories of a real counter */

#define KEY_COUNT_MAX 20
#define CLIENT_COUNT_MAX 16
#define FLYING_COUNT_MAX 128

struct flying {
    struct history_operation operation;
    struct history_result result;
    history_id id;
    bool is_done;
    bool is_unknown; /* nobody waits for it any more */
};

struct counters {
    struct seeded seeded;
    struct history *history;
    int64_t values[KEY_COUNT_MAX];
    uint64_t key_count;
    uint64_t client_count;
    uint64_t unknown_max;
    uint64_t unknown_count;
    struct flying flying[FLYING_COUNT_MAX];
    size_t flying_count;
    size_t waiting_count; /* of them, those whose client waits */
    uint64_t now_ns;
    bool is_broken; /* answers are sometimes wrong */
    size_t wrong_count;
};

static void do_operation(struct counters *counters, struct flying *flying)
{
    const struct history_operation *operation = &flying->operation;
    int64_t *value = &counters->values[operation->key];
    flying->is_done = true;
    if (operation->kind == HISTORY_ADD) {
        *value += operation->operand;
    } else if (operation->kind == HISTORY_COMPARE_AND_SET) {
        flying->result.is_set = *value == operation->expected;
        flying->result.value = *value;
        *value = flying->result.is_set ? operation->operand : *value;
        return;
    }
    flying->result.value = *value;
}

static void take_off(struct counters *counters)
{
    if (counters->waiting_count == counters->client_count ||
        counters->flying_count == FLYING_COUNT_MAX) {
        return;
    }
    struct seeded *seeded = &counters->seeded;
    uint64_t key = seeded_below(seeded, counters->key_count);
    struct flying flying = {
        .operation = {
            .kind = (enum history_kind)seeded_below(seeded, 3),
            .client = (uint32_t)seeded_below(seeded, counters->client_count),
            .key = key,
            .operand = (int64_t)seeded_below(seeded, 10) + 1,
            /* Often right, sometimes out of date. */
            .expected =
                counters->values[key] - (int64_t)(seeded_below(seeded, 4) == 0),
        }};
    if (flying.operation.kind == HISTORY_COMPARE_AND_SET) {
        flying.operation.operand = (int64_t)seeded_below(seeded, 1000);
    }
    flying.id =
        history_invoke(counters->history, counters->now_ns, &flying.operation);
    counters->flying[counters->flying_count++] = flying;
    counters->waiting_count++;
}

static void land(struct counters *counters, size_t at)
{
    counters->flying[at] = counters->flying[--counters->flying_count];
}

static void answer(struct counters *counters, size_t at)
{
    struct flying *flying = &counters->flying[at];
    if (counters->is_broken && seeded_below(&counters->seeded, 100) == 0) {
        flying->result.value += 1 + (int64_t)seeded_below(&counters->seeded, 3);
        flying->result.is_set = !flying->result.is_set;
        counters->wrong_count++;
    }
    history_return(counters->history, counters->now_ns, flying->id,
                   &flying->result);
    counters->waiting_count--;
    land(counters, at);
}

/* Something happens to one that is under way. */
static void move_one(struct counters *counters)
{
    if (counters->flying_count == 0) {
        return;
    }
    struct seeded *seeded = &counters->seeded;
    size_t at = (size_t)seeded_below(seeded, counters->flying_count);
    struct flying *flying = &counters->flying[at];
    bool is_lucky = seeded_below(seeded, 8) != 0;
    if (flying->is_unknown) { /* late, if at all */
        if (!flying->is_done && !is_lucky) {
            do_operation(counters, flying);
        }
        if (!is_lucky) {
            land(counters, at);
        }
    } else if (!is_lucky && counters->unknown_count < counters->unknown_max) {
        counters->unknown_count++;
        counters->waiting_count--;
        flying->is_unknown = true;
        history_unknown(counters->history, flying->id);
    } else if (!is_lucky && !flying->is_done) {
        counters->waiting_count--;
        history_fail(counters->history, flying->id);
        land(counters, at);
    } else if (flying->is_done) {
        answer(counters, at);
    } else {
        do_operation(counters, flying);
    }
}

static struct counters *run_counters(uint64_t seed, bool is_broken)
{
    struct counters *counters = calloc(1, sizeof *counters);
    CHECK(counters);
    counters->seeded.state = seed;
    counters->history = history_open();
    CHECK(counters->history);
    counters->key_count = 4 + seeded_below(&counters->seeded, 17);
    counters->client_count = 2 + seeded_below(&counters->seeded, 15);
    counters->unknown_max = seeded_below(&counters->seeded, 51);
    counters->is_broken = is_broken;
    while (history_count(counters->history) < 500) {
        counters->now_ns += 1000 * seeded_below(&counters->seeded, 1000);
        if (seeded_below(&counters->seeded, 3) == 0) {
            take_off(counters);
        } else {
            move_one(counters);
        }
    }
    return counters;
}

static void close_counters(struct counters **counters)
{
    history_close(&(*counters)->history);
    free(*counters);
    *counters = NULL;
}

static void takes_every_history_of_a_real_counter(void **state)
{
    (void)state;
    uint64_t unknown_count = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct counters *counters = run_counters(seed, false);
        struct history_fault why = {0};
        enum history_verdict verdict = history_check(counters->history, &why);
        if (verdict != HISTORY_LINEARIZABLE) {
            fail_msg("seed %d: %s", (int)seed, why.text);
        }
        unknown_count += counters->unknown_count;
        close_counters(&counters);
    }
    CHECK(unknown_count > 400 * 15);
}

static void finds_most_wrong_answers_of_a_broken_counter(void **state)
{
    (void)state;
    size_t wrong_count = 0;
    size_t found_count = 0;
    size_t hard_count = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct counters *counters = run_counters(seed, true);
        struct history_fault why = {0};
        enum history_verdict verdict = history_check(counters->history, &why);
        CHECK(verdict == HISTORY_LINEARIZABLE || why.text[0]);
        wrong_count += counters->wrong_count > 0;
        found_count += verdict == HISTORY_NOT_LINEARIZABLE;
        hard_count += verdict == HISTORY_TOO_HARD;
        close_counters(&counters);
    }
    print_message("%zu broken, %zu found, %zu too hard\n", wrong_count,
                  found_count, hard_count);
    CHECK(found_count <= wrong_count && found_count * 10 > wrong_count * 8);
}

/* Any of 2^39 sums, and a value that is none; the compare-and-set, which might
 * put it, keeps the search from knowing that. */
static void gives_up_on_what_would_take_for_ever(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    for (int i = 1; i < 40; i++) {
        history_unknown(fixture.history, add(&fixture, INT64_C(1) << i));
    }
    history_unknown(fixture.history, set_if(&fixture, 1, 12345));
    told(&fixture, get(&fixture), 12345);
    check_verdict(&fixture, HISTORY_TOO_HARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_one_client_does_alone),
        cmocka_unit_test(takes_concurrent_operations_in_any_order),
        cmocka_unit_test(finds_a_stale_read),
        cmocka_unit_test(finds_a_lost_update),
        cmocka_unit_test(lets_an_unknown_one_happen_late_or_never),
        cmocka_unit_test(finds_an_unknown_one_that_is_undone),
        cmocka_unit_test(finds_an_effect_before_its_invocation),
        cmocka_unit_test(finds_an_effect_of_one_that_has_failed),
        cmocka_unit_test(finds_two_who_set_from_the_same_value),
        cmocka_unit_test(finds_a_refusal_that_names_the_expected_value),
        cmocka_unit_test(finds_a_value_that_was_never_there),
        cmocka_unit_test(wraps_sums_around),
        cmocka_unit_test(names_the_key_and_the_operation_that_cannot_be),
        cmocka_unit_test(agrees_with_brute_force_on_small_histories),
        cmocka_unit_test(takes_every_history_of_a_real_counter),
        cmocka_unit_test(finds_most_wrong_answers_of_a_broken_counter),
        cmocka_unit_test(gives_up_on_what_would_take_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
