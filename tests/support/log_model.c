#include "tests/support/log_model.h"

#include <assert.h>

#include "base/hash.h"

static struct log_model_group *group_of(struct log_model *model,
                                        uint32_t number)
{
    assert(number < LOG_MODEL_GROUP_COUNT);
    return &model->groups[number];
}

/* 0: there are none. */
static uint64_t digest_of(struct bytes bytes)
{
    return bytes.length > 0 ? hash_bytes(bytes, 0) : 0;
}

static bool has(const struct log_model_group *group,
                uint64_t index,
                uint64_t term)
{
    if (index == group->snapshot_index) {
        return term == group->snapshot_term;
    }
    return index > group->snapshot_index && index <= group->last_index &&
           group->entries[index].term == term;
}

static void set_entry(struct log_model_group *group,
                      const struct wal_record *record)
{
    assert(record->index <= LOG_MODEL_INDEX_MAX);
    group->entries[record->index] = (struct log_model_entry){
        .term = record->term,
        .digest = hash_bytes(record->bytes, record->type),
    };
    group->last_index = record->index;
}

void log_model_apply(struct log_model *model, const struct wal_record *record)
{
    struct log_model_group *group = group_of(model, record->group);
    if (record->kind == WAL_FORGET) {
        *group = (struct log_model_group){0};
        return;
    }
    group->is_there = true;
    switch (record->kind) {
    case WAL_ENTRY:
        set_entry(group, record);
        break;
    case WAL_TRUNCATE:
        if (record->index <= group->last_index) {
            group->last_index = record->index - 1;
        }
        if (group->last_index < group->snapshot_index) {
            group->last_index = group->snapshot_index;
        }
        break;
    case WAL_VOTE:
        group->term = record->term;
        group->vote = record->vote;
        break;
    case WAL_SNAPSHOT:
        if (!has(group, record->index, record->term)) {
            group->last_index = record->index;
        }
        group->snapshot_index = record->index;
        group->snapshot_term = record->term;
        group->configuration = digest_of(record->bytes);
        break;
    case WAL_FORGET:
        break;
    }
}

static uint64_t mix(uint64_t digest, uint64_t value)
{
    uint8_t raw[8];
    put_u64(raw, value);
    return hash_bytes(bytes_of(raw, sizeof raw), digest);
}

static uint64_t group_digest(const struct log_model_group *group)
{
    uint64_t digest = mix(1, group->is_lost);
    digest = mix(digest, group->term);
    digest = mix(digest, group->vote);
    digest = mix(digest, group->snapshot_index);
    digest = mix(digest, group->snapshot_term);
    digest = mix(digest, group->configuration);
    digest = mix(digest, group->last_index);
    for (uint64_t i = group->snapshot_index + 1; i <= group->last_index; i++) {
        digest = mix(digest, group->entries[i].term);
        digest = mix(digest, group->entries[i].digest);
    }
    return digest;
}

uint64_t log_model_digest(const struct log_model *model)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < LOG_MODEL_GROUP_COUNT; i++) {
        const struct log_model_group *group = &model->groups[i];
        digest = mix(digest, group->is_there ? group_digest(group) : 0);
    }
    return digest;
}

static struct bytes some_bytes(struct seeded *random, uint8_t *buffer)
{
    size_t length =
        seeded_below(random, seeded_below(random, 8) == 0 ? 300 : 60);
    seeded_fill(random, buffer, length);
    return bytes_of(buffer, length);
}

static void invent_snapshot(const struct log_model_group *group,
                            struct seeded *random,
                            struct wal_record *record)
{
    uint64_t index =
        group->snapshot_index +
        seeded_below(random, group->last_index - group->snapshot_index + 1);
    record->kind = WAL_SNAPSHOT;
    record->index = index;
    record->term = index == group->snapshot_index ? group->snapshot_term
                                                  : group->entries[index].term;
    if (seeded_below(random, 6) == 0) {
        record->term++; /* of another leader: it does not fit */
    } else if (seeded_below(random, 6) == 0) {
        record->index = group->last_index + 1 + seeded_below(random, 5);
    }
}

struct wal_record log_model_invent(const struct log_model *model,
                                   struct seeded *random,
                                   uint8_t buffer[static LOG_MODEL_BYTES_MAX])
{
    uint32_t number = (uint32_t)seeded_below(random, LOG_MODEL_GROUP_COUNT);
    const struct log_model_group *group = &model->groups[number];
    struct wal_record record = {
        .group = number,
        .index = group->last_index + 1,
        .term = group->term + 1,
        .type = (uint8_t)seeded_below(random, 3),
        .vote = seeded_below(random, 7),
    };
    uint64_t entry_count = group->last_index - group->snapshot_index;
    uint64_t what = seeded_below(random, 40);
    if (group->last_index > LOG_MODEL_INDEX_MAX - 10) {
        what = 39;
    }
    if (what == 39) {
        record.kind = WAL_FORGET;
        return record;
    }
    record.bytes = some_bytes(random, buffer);
    if (what < 6) {
        record.kind = WAL_VOTE;
    } else if (what < 12) {
        invent_snapshot(group, random, &record);
    } else if (what < 15 && entry_count > 0) {
        record.kind = WAL_TRUNCATE;
        record.index -= seeded_below(random, entry_count + 1);
    } else if (what < 19 && entry_count > 0) {
        record.index -= seeded_below(random, entry_count + 1);
    }
    return record;
}

static void read_group(void *context, const struct wal_group *from)
{
    struct log_model_group *to = group_of(context, from->group);
    to->is_there = true;
    to->is_lost = from->is_lost;
    to->term = from->term;
    to->vote = from->vote;
    to->snapshot_index = from->snapshot_index;
    to->snapshot_term = from->snapshot_term;
    to->configuration = digest_of(from->configuration);
    to->last_index = from->last_index;
}

/* Entries must come in order, without a gap: read_group() has set what is
 * to come, so a wrong one shows in the digest. */
static void read_entry(void *context, const struct wal_record *entry)
{
    struct log_model_group *group = group_of(context, entry->group);
    uint64_t last = group->last_index;
    set_entry(group, entry);
    group->last_index = last;
}

static void read_lost(void *context, const struct wal_group *from)
{
    group_of(context, from->group)->is_lost = from->is_lost;
}

enum err log_model_read(struct log_model *out, struct wal *log)
{
    *out = (struct log_model){0};
    wal_groups(log, read_group, out);
    enum err err = wal_replay(log, read_entry, out, NULL);
    wal_groups(log, read_lost, out);
    return err;
}
