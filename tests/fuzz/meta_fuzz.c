/*
 * Any bytes as a snapshot of the meta group: what is taken is the same after
 * it was given out and taken again; what is not leaves the machine as it was.
 */

#include <stdlib.h>

#include "shard/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static enum err restore(struct meta *meta, struct bytes snapshot)
{
    struct machine machine = meta_machine(meta);
    struct bytes half = bytes_of(snapshot.data, snapshot.length / 2);
    MUST(!machine.restore_begin(machine.context));
    MUST(!machine.restore_piece(machine.context, half));
    if (snapshot.length > 0) {
        struct bytes rest = bytes_of(snapshot.data + half.length,
                                     snapshot.length - half.length);
        MUST(!machine.restore_piece(machine.context, rest));
    }
    return machine.restore_end(machine.context, true);
}

/* Into `to`, whose start is what was there. */
static struct bytes give_out(struct meta *meta, uint8_t *to, size_t capacity)
{
    struct machine machine = meta_machine(meta);
    struct writer writer = writer_of(to, capacity);
    const uint8_t *before;
    MUST(!machine.snapshot_begin(machine.context));
    do {
        before = writer.next;
        MUST(!machine.snapshot_next(machine.context, &writer));
    } while (writer.next > before);
    MUST(!writer.failed);
    machine.snapshot_end(machine.context);
    return writer_bytes(&writer);
}

static void count_line(void *context, const struct meta_line *line)
{
    uint64_t *count = context;
    MUST(line->number > 0);
    ++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct meta *meta = NULL;
    MUST(!meta_open(&meta, &(struct meta_events){0}));
    if (restore(meta, bytes_of(data, length))) {
        MUST(meta_view(meta)->version == 0);
        meta_close(&meta);
        return 0;
    }
    size_t capacity = 2 * length + 4096;
    uint8_t *buffer = malloc(capacity);
    struct meta *again = NULL;
    uint64_t counts[2] = {0};
    MUST(buffer);
    MUST(!meta_open(&again, &(struct meta_events){0}));
    MUST(!restore(again, give_out(meta, buffer, capacity)));
    MUST(view_digest(meta_view(again)) == view_digest(meta_view(meta)));
    meta_journal_each(meta, 0, count_line, &counts[0]);
    meta_journal_each(again, 0, count_line, &counts[1]);
    MUST(counts[0] == counts[1]);
    meta_close(&again);
    meta_close(&meta);
    free(buffer);
    return 0;
}
