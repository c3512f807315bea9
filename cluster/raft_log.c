#include "cluster/raft_log.h"

#include "store/raft_configuration.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- room ---- */

/* `*items` has room for one more. ERR_MEMORY */
static enum err reserve(void **items,
                        size_t *capacity,
                        size_t count,
                        size_t size)
{
    if (count < *capacity) {
        return ERR_NONE;
    }
    size_t wanted = *capacity == 0 ? 4 : 2 * *capacity;
    void *more = realloc(*items, wanted * size);
    if (!more) {
        return ERR_MEMORY;
    }
    *items = more;
    *capacity = wanted;
    return ERR_NONE;
}

/* What it takes in memory; many small ones, or empty ones, count too. */
static size_t entry_bytes(const struct raft_entry *entry)
{
    return sizeof *entry + entry->bytes.length;
}

static void free_entry(struct raft_log *log, struct raft_entry *entry)
{
    log->bytes -= entry_bytes(entry);
    free((void *)(uintptr_t)entry->bytes.data);
}

/* ---- epochs ---- */

static enum err push_epoch(struct raft_log *log,
                           uint64_t index,
                           const struct raft_configuration *configuration)
{
    void *items = log->epochs;
    enum err err = reserve(&items, &log->epoch_capacity, log->epoch_count,
                           sizeof *log->epochs);
    log->epochs = items;
    if (!err) {
        log->epochs[log->epoch_count++] =
            (struct raft_epoch){index, *configuration};
    }
    return err;
}

const struct raft_epoch *raft_log_epoch(const struct raft_log *log,
                                        uint64_t index)
{
    size_t i = log->epoch_count - 1;
    while (i > 0 && log->epochs[i].index > index) {
        i--;
    }
    return &log->epochs[i];
}

const struct raft_epoch *raft_log_newest(const struct raft_log *log)
{
    return &log->epochs[log->epoch_count - 1];
}

/* ---- life ---- */

FALLIBLE raft_log_init(struct raft_log *log,
                       uint64_t snapshot_index,
                       uint64_t snapshot_term,
                       const struct raft_configuration *configuration)
{
    *log = (struct raft_log){
        .first = snapshot_index + 1,
        .snapshot_index = snapshot_index,
        .snapshot_term = snapshot_term,
        .stable = snapshot_index,
    };
    return push_epoch(log, snapshot_index, configuration);
}

void raft_log_clear(struct raft_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        free_entry(log, &log->entries[i]);
    }
    free(log->entries);
    free(log->epochs);
    *log = (struct raft_log){0};
}

/* ---- looking ---- */

uint64_t raft_log_last(const struct raft_log *log)
{
    return log->first + log->count - 1;
}

const struct raft_entry *raft_log_entry(const struct raft_log *log,
                                        uint64_t index)
{
    return index >= log->first && index - log->first < log->count
               ? &log->entries[index - log->first]
               : NULL;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index == log->snapshot_index) {
        return log->snapshot_term;
    }
    const struct raft_entry *entry = raft_log_entry(log, index);
    return entry ? entry->term : 0;
}

/* ---- changing ---- */

FALLIBLE raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    assert(entry->index == raft_log_last(log) + 1);
    void *items = log->entries;
    enum err err =
        reserve(&items, &log->capacity, log->count, sizeof *log->entries);
    log->entries = items;
    if (err) {
        return err;
    }
    uint8_t *copy = malloc(entry->bytes.length + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    if (entry->type == RAFT_CONFIGURATION) {
        struct raft_configuration configuration;
        err = raft_configuration_decode(&configuration, entry->bytes);
        if (!err) {
            err = push_epoch(log, entry->index, &configuration);
        }
        if (err) {
            free(copy);
            return err == ERR_MEMORY ? err : ERR_MALFORMED;
        }
    }
    if (entry->bytes.length > 0) {
        memcpy(copy, entry->bytes.data, entry->bytes.length);
    }
    struct raft_entry *to = &log->entries[log->count++];
    *to = *entry;
    to->bytes = bytes_of(copy, entry->bytes.length);
    log->bytes += entry_bytes(to);
    return ERR_NONE;
}

void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    assert(from > log->snapshot_index && from >= log->first);
    while (log->count > 0 && raft_log_last(log) >= from) {
        free_entry(log, &log->entries[log->count - 1]);
        log->count--;
    }
    while (log->epoch_count > 1 && raft_log_newest(log)->index >= from) {
        log->epoch_count--;
    }
    if (log->stable >= from) {
        log->stable = from - 1;
    }
    for (uint32_t i = 0; i < log->write_count; i++) {
        if (log->writes[i].last >= from) {
            log->writes[i].last = from - 1;
        }
    }
}

static void drop_front(struct raft_log *log, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free_entry(log, &log->entries[i]);
    }
    log->count -= count;
    log->first += count;
    if (count > 0) {
        memmove(log->entries, log->entries + count,
                log->count * sizeof *log->entries);
    }
}

void raft_log_compact(struct raft_log *log, uint64_t index, size_t keep_bytes)
{
    assert(index >= log->snapshot_index && index <= raft_log_last(log));
    uint64_t term = raft_log_term(log, index);
    log->snapshot_index = index;
    log->snapshot_term = term;

    size_t bytes = log->bytes;
    size_t count = 0;
    while (log->first + count <= index && bytes > keep_bytes) {
        bytes -= entry_bytes(&log->entries[count]);
        count++;
    }
    drop_front(log, count);

    size_t old = (size_t)(raft_log_epoch(log, index) - log->epochs);
    log->epoch_count -= old;
    memmove(log->epochs, log->epochs + old,
            log->epoch_count * sizeof *log->epochs);
}

FALLIBLE raft_log_install(struct raft_log *log,
                          uint64_t index,
                          uint64_t term,
                          const struct raft_configuration *configuration)
{
    assert(log->epoch_capacity > 0);
    for (size_t i = 0; i < log->count; i++) {
        free_entry(log, &log->entries[i]);
    }
    log->count = 0;
    log->first = index + 1;
    log->snapshot_index = index;
    log->snapshot_term = term;
    log->stable = 0; /* until the record of the snapshot is durable */
    log->write_count = 0;
    log->epoch_count = 0;
    return push_epoch(log, index, configuration); /* there is room for one */
}

/* ---- durability ---- */

void raft_log_writing(struct raft_log *log, uint64_t number, uint64_t last)
{
    if (log->write_count == RAFT_WRITES_MAX) {
        /* Two become one, known to be durable when the later is. */
        uint64_t before = log->writes[--log->write_count].last;
        last = last > before ? last : before;
    }
    log->writes[log->write_count++] = (struct raft_write){number, last};
}

void raft_log_stored(struct raft_log *log, uint64_t number)
{
    uint32_t done = 0;
    while (done < log->write_count && log->writes[done].number <= number) {
        if (log->writes[done].last > log->stable) {
            log->stable = log->writes[done].last;
        }
        done++;
    }
    log->write_count -= done;
    memmove(log->writes, log->writes + done,
            log->write_count * sizeof *log->writes);
}
