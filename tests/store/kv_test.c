/*
 * What every implementation of store/kv.h must do: each test runs over all.
 */

#include "tests/support/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/kv.h"
#include "store/rocks_kv.h"
#include "tests/sim/sim_kv.h"
#include "tests/support/seeded.h"
#include "tests/support/temp_folder.h"

struct subject {
    struct temp_folder folder;
    struct rocks_kv *rocks;
    struct sim_kv *sim;
    const struct kv *kv;
};

static void open_rocks(struct subject *subject)
{
    char path[256];
    /* So small that tests reach RocksDB's files. */
    struct rocks_kv_config config = {
        .folder = temp_folder_path(&subject->folder, path, "state"),
        .write_buffer_bytes = 64 * 1024,
    };
    CHECK_OK(rocks_kv_open(&subject->rocks, &config, NULL));
    subject->kv = rocks_kv_table(subject->rocks);
}

static void reopen_rocks(struct subject *subject)
{
    rocks_kv_close(&subject->rocks);
    open_rocks(subject);
}

static void open_sim(struct subject *subject)
{
    subject->sim = sim_kv_open();
    CHECK(subject->sim);
    subject->kv = sim_kv_table(subject->sim);
}

static void reopen_sim(struct subject *subject)
{
    (void)subject; /* outlives its user's process */
}

static const struct implementation {
    const char *name;
    void (*open)(struct subject *subject);
    void (*reopen)(struct subject *subject); /* the process ends and starts */
} implementations[] = {
    {"rocks", open_rocks, reopen_rocks},
    {"sim", open_sim, reopen_sim},
};

typedef void promise(struct subject *subject,
                     const struct implementation *implementation);

static void check_all(promise *check)
{
    for (size_t i = 0; i < sizeof implementations / sizeof implementations[0];
         i++) {
        print_message("  over %s\n", implementations[i].name);
        struct subject subject = {0};
        temp_folder_init(&subject.folder);
        implementations[i].open(&subject);
        check(&subject, &implementations[i]);
        rocks_kv_close(&subject.rocks);
        sim_kv_close(&subject.sim);
        temp_folder_clear(&subject.folder);
    }
}

static struct kv_change put(const char *key, const char *value)
{
    return (struct kv_change){KV_PUT, bytes_of_text(key), bytes_of_text(value)};
}

static struct kv_change erase(const char *key)
{
    return (struct kv_change){.kind = KV_DELETE, .key = bytes_of_text(key)};
}

static struct kv_change erase_range(const char *from, const char *end)
{
    return (struct kv_change){KV_DELETE_RANGE, bytes_of_text(from),
                              bytes_of_text(end)};
}

#define WRITE(kv, ...)                                                     \
    CHECK_OK((kv)->write((kv)->context,                                    \
                         (const struct kv_change[]){__VA_ARGS__},          \
                         sizeof((const struct kv_change[]){__VA_ARGS__}) / \
                             sizeof(struct kv_change)))

static void check_get(const struct kv *kv, const char *key, const char *value)
{
    uint8_t *found = NULL;
    size_t length = 0;
    enum err err = kv->get(kv->context, bytes_of_text(key), &found, &length);
    if (!value) {
        CHECK_ERR(err, ERR_NOT_FOUND);
        return;
    }
    CHECK_OK(err);
    CHECK(bytes_are_equal(bytes_of(found, length), bytes_of_text(value)));
    free(found);
}

struct listing {
    char text[4096]; /* "key=value " of each row */
    size_t count;
    size_t count_max; /* then stop */
};

static bool list_row(void *visitor, struct bytes key, struct bytes value)
{
    struct listing *listing = visitor;
    size_t used = strlen(listing->text);
    (void)snprintf(listing->text + used, sizeof listing->text - used,
                   "%.*s=%.*s ", (int)key.length, (const char *)key.data,
                   (int)value.length, (const char *)value.data);
    return ++listing->count < listing->count_max;
}

static void check_scan_max(const struct kv *kv,
                           const char *from,
                           const char *end,
                           size_t count_max,
                           const char *expected)
{
    struct listing listing = {.count_max = count_max};
    CHECK_OK(kv->scan(kv->context, bytes_of_text(from), bytes_of_text(end),
                      list_row, &listing));
    assert_string_equal(listing.text, expected);
}

static void check_scan(const struct kv *kv,
                       const char *from,
                       const char *end,
                       const char *expected)
{
    check_scan_max(kv, from, end, SIZE_MAX, expected);
}

static void gives_back(struct subject *subject,
                       const struct implementation *implementation)
{
    (void)implementation;
    const struct kv *kv = subject->kv;
    check_get(kv, "a", NULL);
    WRITE(kv, put("a", "1"), put("b", ""));
    check_get(kv, "a", "1");
    check_get(kv, "b", "");
    WRITE(kv, put("a", "2"), erase("b"), erase("never there"));
    check_get(kv, "a", "2");
    check_get(kv, "b", NULL);
}

static void gives_back_what_was_put_last(void **state)
{
    (void)state;
    check_all(gives_back);
}

static void scans(struct subject *subject,
                  const struct implementation *implementation)
{
    (void)implementation;
    const struct kv *kv = subject->kv;
    check_scan(kv, "", "", "");
    WRITE(kv, put("b", "2"), put("\xff", "5"), put("a", "1"), put("ba", "3"),
          put("c", "4"));
    check_scan(kv, "", "", "a=1 b=2 ba=3 c=4 \xff=5 ");
    check_scan(kv, "b", "c", "b=2 ba=3 ");
    check_scan(kv, "aa", "b", "");
    check_scan(kv, "c", "b", "");
    check_scan(kv, "c", "c", "");
    check_scan_max(kv, "", "", 2, "a=1 b=2 ");
}

static void scans_in_the_order_of_unsigned_bytes(void **state)
{
    (void)state;
    check_all(scans);
}

static void applies_in_order(struct subject *subject,
                             const struct implementation *implementation)
{
    (void)implementation;
    const struct kv *kv = subject->kv;
    WRITE(kv, put("a", "1"), erase("a"), put("b", "1"), put("b", "2"));
    check_scan(kv, "", "", "b=2 ");
    WRITE(kv, put("c", "1"), erase_range("a", "d"), put("ab", "2"));
    check_scan(kv, "", "", "ab=2 ");
    CHECK_OK(kv->write(kv->context, NULL, 0));
}

static void applies_a_batch_in_its_order(void **state)
{
    (void)state;
    check_all(applies_in_order);
}

static void deletes_ranges(struct subject *subject,
                           const struct implementation *implementation)
{
    const struct kv *kv = subject->kv;
    WRITE(kv, put("a", "1"), put("b", "2"), put("bb", "3"), put("c", "4"));
    WRITE(kv, erase_range("c", "b"), erase_range("b", "b"));
    check_scan(kv, "", "", "a=1 b=2 bb=3 c=4 ");
    WRITE(kv, erase_range("b", "c"));
    check_scan(kv, "", "", "a=1 c=4 ");
    check_get(kv, "bb", NULL);
    WRITE(kv, put("bb", "5"));
    check_get(kv, "bb", "5");
    CHECK_OK(kv->sync(kv->context));
    WRITE(kv, erase_range("b", "\xff\xff\xff\xff\xff"));
    check_scan(kv, "", "\xff\xff\xff\xff\xff", "a=1 ");
    implementation->reopen(subject); /* its own rows are all there */
    check_scan(kv = subject->kv, "", "", "a=1 ");
}

static void deletes_a_range_up_to_before_its_end(void **state)
{
    (void)state;
    check_all(deletes_ranges);
}

static void takes_any_bytes(struct subject *subject,
                            const struct implementation *implementation)
{
    (void)implementation;
    const struct kv *kv = subject->kv;
    uint8_t key[KV_KEY_BYTES_MAX] = {0};
    size_t value_bytes = 3 * 1024 * 1024;
    uint8_t *value = malloc(value_bytes);
    CHECK(value);
    struct seeded seeded = {1};
    seeded_fill(&seeded, value, value_bytes);
    struct kv_change changes[] = {
        {KV_PUT, bytes_of(key, sizeof key), bytes_of(value, value_bytes)},
        {KV_PUT, bytes_of(key, 1), bytes_of(NULL, 0)},
    };
    CHECK_OK(kv->write(kv->context, changes, 2));
    uint8_t *found = NULL;
    size_t length = 0;
    CHECK_OK(kv->get(kv->context, changes[0].key, &found, &length));
    CHECK(bytes_are_equal(bytes_of(found, length), changes[0].value));
    free(found);
    CHECK_OK(kv->get(kv->context, changes[1].key, &found, &length));
    CHECK(length == 0);
    free(found);
    free(value);
}

static void takes_keys_and_values_of_any_bytes(void **state)
{
    (void)state;
    check_all(takes_any_bytes);
}

static void survives_reopening(struct subject *subject,
                               const struct implementation *implementation)
{
    WRITE(subject->kv, put("a", "1"), put("b", "2"));
    CHECK_OK(subject->kv->sync(subject->kv->context));
    WRITE(subject->kv, put("a", "3"), erase("b"));
    for (int i = 0; i < 3; i++) {
        implementation->reopen(subject);
        check_scan(subject->kv, "", "", "a=3 ");
        CHECK_OK(subject->kv->sync(subject->kv->context));
    }
}

static void keeps_what_was_written_when_the_process_ends(void **state)
{
    (void)state;
    check_all(survives_reopening);
}

/* --------------------------------------------- against a plain array */

#define MODEL_KEY_COUNT 200

struct model {
    uint32_t values[MODEL_KEY_COUNT]; /* 0: not there */
};

static struct bytes model_key(char text[static 8], uint64_t number)
{
    int length = snprintf(text, 8, "%05u", (unsigned)number);
    return bytes_of(text, (size_t)length);
}

struct model_scan {
    const struct model *model;
    uint32_t next; /* the first key that was not visited */
};

static bool check_model_row(void *visitor, struct bytes key, struct bytes value)
{
    struct model_scan *scan = visitor;
    while (scan->next < MODEL_KEY_COUNT && !scan->model->values[scan->next]) {
        scan->next++;
    }
    CHECK(scan->next < MODEL_KEY_COUNT);
    char text[8];
    CHECK(bytes_are_equal(key, model_key(text, scan->next)));
    CHECK(value.length >= 4);
    CHECK(get_u32(value.data) == scan->model->values[scan->next]);
    scan->next++;
    return true;
}

static void check_model(const struct kv *kv, const struct model *model)
{
    struct model_scan scan = {.model = model};
    CHECK_OK(kv->scan(kv->context, bytes_of(NULL, 0), bytes_of(NULL, 0),
                      check_model_row, &scan));
    while (scan.next < MODEL_KEY_COUNT) {
        CHECK(!model->values[scan.next++]);
    }
}

static void change_both(const struct kv *kv,
                        struct model *model,
                        struct seeded *seeded)
{
    char from[8];
    char end[8];
    uint8_t value[600] = {0};
    uint64_t first = seeded_below(seeded, MODEL_KEY_COUNT);
    uint64_t last = first + seeded_below(seeded, 20);
    uint32_t number = (uint32_t)seeded_u64(seeded) | 1;
    put_u32(value, number);
    struct kv_change change = {.key = model_key(from, first)};
    switch (seeded_below(seeded, 10)) {
    case 0:
        change.kind = KV_DELETE_RANGE;
        change.value = model_key(end, last);
        for (uint64_t i = first; i < last && i < MODEL_KEY_COUNT; i++) {
            model->values[i] = 0;
        }
        break;
    case 1:
    case 2:
        change.kind = KV_DELETE;
        model->values[first] = 0;
        break;
    default:
        change.kind = KV_PUT;
        change.value = bytes_of(value, sizeof value);
        model->values[first] = number;
        break;
    }
    CHECK_OK(kv->write(kv->context, &change, 1));
}

static void agrees(struct subject *subject,
                   const struct implementation *implementation)
{
    struct seeded seeded = {7};
    struct model model = {0};
    for (int i = 1; i <= 2000; i++) {
        change_both(subject->kv, &model, &seeded);
        if (i % 250 == 0) {
            implementation->reopen(subject);
            check_model(subject->kv, &model);
        }
        if (i % 170 == 0) {
            CHECK_OK(subject->kv->sync(subject->kv->context));
        }
    }
}

static void agrees_with_a_plain_array_over_many_changes(void **state)
{
    (void)state;
    check_all(agrees);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_was_put_last),
        cmocka_unit_test(scans_in_the_order_of_unsigned_bytes),
        cmocka_unit_test(applies_a_batch_in_its_order),
        cmocka_unit_test(deletes_a_range_up_to_before_its_end),
        cmocka_unit_test(takes_keys_and_values_of_any_bytes),
        cmocka_unit_test(keeps_what_was_written_when_the_process_ends),
        cmocka_unit_test(agrees_with_a_plain_array_over_many_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
