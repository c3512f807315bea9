#include "tests/sim/watched_machine.h"

void watched_machine_flush(struct watched_machine *watched)
{
    if (watched->outcome_count > 0) {
        watched->on_entry(watched->context, watched->index,
                          watched->outcome_count);
        watched->outcome_count = 0;
    }
}

static struct bytes without_filling(const struct watched_machine *watched,
                                    struct bytes command)
{
    size_t max = watched->command_bytes_max;
    bool is_filled =
        max > 0 && command.length > max &&
        (!watched->may_be_filled || watched->may_be_filled(command));
    return is_filled ? bytes_of(command.data, max) : command;
}

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes command,
                          struct machine_decision *decision)
{
    const struct watched_machine *watched = context;
    return watched->inner.decide(watched->inner.context, stamp,
                                 without_filling(watched, command), decision);
}

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    struct watched_machine *watched = context;
    if (index < watched->index) {
        watched->on_disorder(watched->context, index);
    } else if (index > watched->index) {
        watched_machine_flush(watched);
        watched->index = index;
    }
    watched->outcome_count++;
    if (watched->on_outcome) {
        watched->on_outcome(watched->context, outcome);
    }
    return watched->inner.apply(watched->inner.context, index, stamp, outcome);
}

static void on_drop(void *context)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    inner->drop(inner->context);
}

static enum err on_read(void *context,
                        struct bytes question,
                        struct writer *answer)
{
    const struct watched_machine *watched = context;
    return watched->inner.read(watched->inner.context,
                               without_filling(watched, question), answer);
}

static enum err on_snapshot_begin(void *context)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    return inner->snapshot_begin(inner->context);
}

static enum err on_snapshot_next(void *context, struct writer *piece)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    return inner->snapshot_next(inner->context, piece);
}

static void on_snapshot_end(void *context)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    inner->snapshot_end(inner->context);
}

static enum err on_restore_begin(void *context)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    return inner->restore_begin(inner->context);
}

static enum err on_restore_piece(void *context, struct bytes piece)
{
    const struct machine *inner = &((struct watched_machine *)context)->inner;
    return inner->restore_piece(inner->context, piece);
}

static enum err on_restore_end(void *context, bool is_whole)
{
    struct watched_machine *watched = context;
    enum err err = watched->inner.restore_end(watched->inner.context, is_whole);
    if (is_whole && !err) {
        watched_machine_flush(watched);
        watched->restore_count++;
        watched->index = 0; /* a state that includes more entries */
    }
    return err;
}

struct machine watched_machine(struct watched_machine *watched)
{
    return (struct machine){
        .context = watched,
        .decide = on_decide,
        .apply = on_apply,
        .drop = on_drop,
        .read = on_read,
        .snapshot_begin = on_snapshot_begin,
        .snapshot_next = on_snapshot_next,
        .snapshot_end = on_snapshot_end,
        .restore_begin = on_restore_begin,
        .restore_piece = on_restore_piece,
        .restore_end = on_restore_end,
    };
}
