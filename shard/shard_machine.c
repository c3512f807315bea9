#include "shard/shard_machine.h"

#include "shard/task_book.h"

#include <assert.h>
#include <stdlib.h>

#define TASKS_BYTE_MIN 0x90

struct shard_machine {
    struct machine counters;
    struct machine tasks;
    bool is_coordinator;
    enum err decided; /* what it was told last */
    bool is_counting; /* the snapshot that is given out: still its counters */
};

bool shard_machine_is_task(struct bytes bytes)
{
    return bytes.length > 0 && bytes.data[0] >= TASKS_BYTE_MIN;
}

static const struct machine *machine_for(const struct shard_machine *machine,
                                         struct bytes bytes)
{
    return shard_machine_is_task(bytes) ? &machine->tasks : &machine->counters;
}

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes command,
                          struct machine_decision *decision)
{
    struct shard_machine *machine = context;
    const struct machine *inner = machine_for(machine, command);
    if (shard_machine_is_task(command) && book_is_inner(command) &&
        !machine->is_coordinator) {
        return ERR_DENIED;
    }
    enum err err = inner->decide(inner->context, stamp, command, decision);
    machine->decided = machine->is_coordinator ? err : machine->decided;
    return err;
}

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    const struct machine *inner = machine_for(context, outcome);
    return inner->apply(inner->context, index, stamp, outcome);
}

static void on_drop(void *context)
{
    const struct shard_machine *machine = context;
    machine->counters.drop(machine->counters.context);
    machine->tasks.drop(machine->tasks.context);
}

static enum err on_read(void *context,
                        struct bytes question,
                        struct writer *answer)
{
    const struct machine *inner = machine_for(context, question);
    return inner->read(inner->context, question, answer);
}

static enum err on_snapshot_begin(void *context)
{
    struct shard_machine *machine = context;
    const struct machine *counters = &machine->counters;
    const struct machine *tasks = &machine->tasks;
    enum err err = counters->snapshot_begin(counters->context);
    if (err) {
        return err;
    }
    err = tasks->snapshot_begin(tasks->context);
    if (err) {
        counters->snapshot_end(counters->context);
    }
    machine->is_counting = true;
    return err;
}

static enum err on_snapshot_next(void *context, struct writer *piece)
{
    struct shard_machine *machine = context;
    const struct machine *counters = &machine->counters;
    const uint8_t *began = piece->next;
    if (machine->is_counting) {
        enum err err = counters->snapshot_next(counters->context, piece);
        if (err || piece->next > began) {
            return err;
        }
        machine->is_counting = false;
    }
    return machine->tasks.snapshot_next(machine->tasks.context, piece);
}

static void on_snapshot_end(void *context)
{
    const struct shard_machine *machine = context;
    machine->counters.snapshot_end(machine->counters.context);
    machine->tasks.snapshot_end(machine->tasks.context);
}

static enum err on_restore_begin(void *context)
{
    const struct shard_machine *machine = context;
    const struct machine *counters = &machine->counters;
    enum err err = counters->restore_begin(counters->context);
    if (!err) {
        err = machine->tasks.restore_begin(machine->tasks.context);
        if (err) {
            (void)!counters->restore_end(counters->context, false);
        }
    }
    return err;
}

static enum err on_restore_piece(void *context, struct bytes piece)
{
    const struct machine *inner = machine_for(context, piece);
    return inner->restore_piece(inner->context, piece);
}

/* Both, or neither: the first one is only looked at when the second has all.
 * The tasks say so without having taken anything (book_is_restored()). */
static enum err on_restore_end(void *context, bool is_whole)
{
    struct shard_machine *machine = context;
    const struct machine *counters = &machine->counters;
    const struct machine *tasks = &machine->tasks;
    bool is_good = is_whole && book_is_restored(tasks->context);
    enum err err = counters->restore_end(counters->context, is_good);
    enum err of_tasks =
        tasks->restore_end(tasks->context, is_good && err == ERR_NONE);
    assert(!of_tasks || !is_good);
    return err ? err : is_whole && !is_good ? ERR_MALFORMED : of_tasks;
}

struct shard_machine *shard_machine_open(const struct machine *counters,
                                         const struct machine *tasks)
{
    struct shard_machine *machine = calloc(1, sizeof *machine);
    if (machine) {
        machine->counters = *counters;
        machine->tasks = *tasks;
    }
    return machine;
}

void shard_machine_close(struct shard_machine **machine)
{
    free(*machine);
    *machine = NULL;
}

struct machine shard_machine_of(struct shard_machine *machine)
{
    return (struct machine){.context = machine,
                            .decide = on_decide,
                            .apply = on_apply,
                            .drop = on_drop,
                            .read = on_read,
                            .snapshot_begin = on_snapshot_begin,
                            .snapshot_next = on_snapshot_next,
                            .snapshot_end = on_snapshot_end,
                            .restore_begin = on_restore_begin,
                            .restore_piece = on_restore_piece,
                            .restore_end = on_restore_end};
}

void shard_machine_trust(struct shard_machine *machine, bool is_coordinator)
{
    machine->decided = is_coordinator ? ERR_BUSY : machine->decided;
    machine->is_coordinator = is_coordinator;
}

enum err shard_machine_decided(const struct shard_machine *machine)
{
    return machine->decided;
}
