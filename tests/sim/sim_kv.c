#include "tests/sim/sim_kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Key and value lie behind it, in this order. */
struct row {
    size_t key_length;
    size_t value_length;
    uint8_t bytes[];
};

/* Sorted by key; rows are owned. */
struct rows {
    struct row **rows;
    size_t count;
    size_t capacity;
};

struct change {
    enum kv_change_kind kind;
    struct row *row; /* key and value; owned */
};

struct batch {
    struct change *changes; /* owned */
    size_t count;
};

struct sim_kv {
    struct kv table;
    struct rows live;
    struct rows synced;
    struct batch *batches; /* not synced, in order */
    size_t batch_count;
    size_t batch_capacity;
    enum err failing;
    bool is_damaged;
};

static struct bytes key_of(const struct row *row)
{
    return bytes_of(row->bytes, row->key_length);
}

static struct bytes value_of(const struct row *row)
{
    return bytes_of(row->bytes + row->key_length, row->value_length);
}

static struct row *make_row(struct bytes key, struct bytes value)
{
    struct row *row = malloc(sizeof *row + key.length + value.length);
    assert(row);
    row->key_length = key.length;
    row->value_length = value.length;
    memcpy(row->bytes, key.data, key.length);
    if (value.length > 0) {
        memcpy(row->bytes + key.length, value.data, value.length);
    }
    return row;
}

/* The first row whose key is not before `key`; the count if there is none. */
static size_t position_of(const struct rows *rows, struct bytes key)
{
    size_t from = 0;
    size_t end = rows->count;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (bytes_compare(key_of(rows->rows[middle]), key) < 0) {
            from = middle + 1;
        } else {
            end = middle;
        }
    }
    return from;
}

static bool has_at(const struct rows *rows, size_t position, struct bytes key)
{
    return position < rows->count &&
           bytes_are_equal(key_of(rows->rows[position]), key);
}

static void remove_rows(struct rows *rows, size_t from, size_t end)
{
    for (size_t i = from; i < end; i++) {
        free(rows->rows[i]);
    }
    if (from < end) {
        memmove(rows->rows + from, rows->rows + end,
                (rows->count - end) * sizeof(struct row *));
        rows->count -= end - from;
    }
}

static void clear_rows(struct rows *rows)
{
    remove_rows(rows, 0, rows->count);
    free(rows->rows);
    *rows = (struct rows){0};
}

static void put_row(struct rows *rows, const struct row *given)
{
    struct row *row = make_row(key_of(given), value_of(given));
    size_t at = position_of(rows, key_of(row));
    if (has_at(rows, at, key_of(row))) {
        free(rows->rows[at]);
        rows->rows[at] = row;
        return;
    }
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? 2 * rows->capacity : 16;
        rows->rows = realloc(rows->rows, rows->capacity * sizeof(struct row *));
        assert(rows->rows);
    }
    memmove(rows->rows + at + 1, rows->rows + at,
            (rows->count - at) * sizeof(struct row *));
    rows->rows[at] = row;
    rows->count++;
}

static void apply(struct rows *rows, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct row *row = batch->changes[i].row;
        size_t at = position_of(rows, key_of(row));
        switch (batch->changes[i].kind) {
        case KV_PUT:
            put_row(rows, row);
            break;
        case KV_DELETE:
            remove_rows(rows, at, at + has_at(rows, at, key_of(row)));
            break;
        case KV_DELETE_RANGE:
            remove_rows(rows, at, position_of(rows, value_of(row)));
            break;
        }
    }
}

static void clear_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->changes[i].row);
    }
    free(batch->changes);
    *batch = (struct batch){0};
}

static void clear_batches(struct sim_kv *kv)
{
    for (size_t i = 0; i < kv->batch_count; i++) {
        clear_batch(&kv->batches[i]);
    }
    kv->batch_count = 0;
}

static bool is_key(struct bytes key)
{
    static const uint8_t own[KV_OWN_BYTES] = {0xff, 0xff, 0xff, 0xff};
    return key.length > 0 && key.length <= KV_KEY_BYTES_MAX &&
           bytes_compare(key, bytes_of(own, sizeof own)) < 0;
}

static struct batch copy_batch(const struct kv_change *changes, size_t count)
{
    struct batch batch = {.changes = calloc(count + 1, sizeof *batch.changes),
                          .count = count};
    assert(batch.changes);
    for (size_t i = 0; i < count; i++) {
        assert(is_key(changes[i].key));
        assert(changes[i].kind != KV_DELETE_RANGE ||
               (changes[i].value.length > 0 &&
                changes[i].value.length <= KV_KEY_BYTES_MAX));
        batch.changes[i].kind = changes[i].kind;
        batch.changes[i].row = make_row(changes[i].key, changes[i].value);
    }
    return batch;
}

static enum err sim_write(void *context,
                          const struct kv_change *changes,
                          size_t count)
{
    struct sim_kv *kv = context;
    if (kv->failing) {
        return kv->failing;
    }
    if (kv->batch_count == kv->batch_capacity) {
        kv->batch_capacity = kv->batch_capacity ? 2 * kv->batch_capacity : 16;
        kv->batches =
            realloc(kv->batches, kv->batch_capacity * sizeof *kv->batches);
        assert(kv->batches);
    }
    struct batch batch = copy_batch(changes, count);
    apply(&kv->live, &batch);
    kv->batches[kv->batch_count++] = batch;
    return ERR_NONE;
}

static enum err read_fault(const struct sim_kv *kv)
{
    if (kv->failing == ERR_IO) {
        return ERR_IO;
    }
    return kv->is_damaged ? ERR_MALFORMED : ERR_NONE;
}

static enum err sim_get(void *context,
                        struct bytes key,
                        uint8_t **out,
                        size_t *out_length)
{
    const struct sim_kv *kv = context;
    assert(is_key(key));
    enum err err = read_fault(kv);
    if (err) {
        return err;
    }
    size_t at = position_of(&kv->live, key);
    if (!has_at(&kv->live, at, key)) {
        return ERR_NOT_FOUND;
    }
    struct bytes value = value_of(kv->live.rows[at]);
    uint8_t *copy = malloc(value.length + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    memcpy(copy, value.data, value.length);
    *out = copy;
    *out_length = value.length;
    return ERR_NONE;
}

static enum err sim_scan(void *context,
                         struct bytes from,
                         struct bytes end,
                         bool (*visit)(void *visitor,
                                       struct bytes key,
                                       struct bytes value),
                         void *visitor)
{
    const struct sim_kv *kv = context;
    enum err err = read_fault(kv);
    if (err) {
        return err;
    }
    size_t last = end.length > 0 ? position_of(&kv->live, end) : kv->live.count;
    for (size_t i = position_of(&kv->live, from); i < last; i++) {
        const struct row *row = kv->live.rows[i];
        if (!visit(visitor, key_of(row), value_of(row))) {
            break;
        }
    }
    return ERR_NONE;
}

static enum err sim_sync(void *context)
{
    struct sim_kv *kv = context;
    if (kv->failing) {
        return kv->failing;
    }
    for (size_t i = 0; i < kv->batch_count; i++) {
        apply(&kv->synced, &kv->batches[i]);
    }
    clear_batches(kv);
    return ERR_NONE;
}

struct sim_kv *sim_kv_open(void)
{
    struct sim_kv *kv = calloc(1, sizeof *kv);
    if (!kv) {
        return NULL;
    }
    kv->table = (struct kv){
        .context = kv,
        .write = sim_write,
        .get = sim_get,
        .scan = sim_scan,
        .sync = sim_sync,
    };
    return kv;
}

void sim_kv_close(struct sim_kv **kv)
{
    if (!*kv) {
        return;
    }
    sim_kv_wipe(*kv);
    free((*kv)->batches);
    free(*kv);
    *kv = NULL;
}

const struct kv *sim_kv_table(const struct sim_kv *kv)
{
    return &kv->table;
}

size_t sim_kv_crash(struct sim_kv *kv, const struct entropy *entropy)
{
    size_t kept = (size_t)entropy_below(entropy, kv->batch_count + 1);
    size_t lost = kv->batch_count - kept;
    for (size_t i = 0; i < kept; i++) {
        apply(&kv->synced, &kv->batches[i]);
    }
    clear_batches(kv);
    if (lost > 0) {
        clear_rows(&kv->live);
        for (size_t i = 0; i < kv->synced.count; i++) {
            put_row(&kv->live, kv->synced.rows[i]);
        }
    }
    return lost;
}

void sim_kv_damage(struct sim_kv *kv)
{
    kv->is_damaged = true;
}

void sim_kv_wipe(struct sim_kv *kv)
{
    clear_batches(kv);
    clear_rows(&kv->live);
    clear_rows(&kv->synced);
    kv->is_damaged = false;
}

void sim_kv_fail(struct sim_kv *kv, enum err err)
{
    assert(err == ERR_NONE || err == ERR_NO_SPACE || err == ERR_IO);
    kv->failing = err;
}

size_t sim_kv_unsynced_count(const struct sim_kv *kv)
{
    return kv->batch_count;
}
