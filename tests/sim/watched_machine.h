/*
 * A machine around another one, which sees in what order and how often it
 * applies.
 *
 * Outcomes that set a value do no harm when they are applied twice; those of
 * other machines will.
 */

#ifndef TESTS_SIM_WATCHED_MACHINE_H
#define TESTS_SIM_WATCHED_MACHINE_H

#include "base/machine.h"

struct watched_machine {
    struct machine inner;
    void *context;
    /* All outcomes of an entry were applied, so many, since the last snapshot
     * or the beginning. */
    void (*on_entry)(void *context, uint64_t index, uint32_t outcome_count);
    /* An outcome of an entry came after one of a later entry. */
    void (*on_disorder)(void *context, uint64_t index);
    /* An outcome is about to be applied. May be NULL. */
    void (*on_outcome)(void *context, struct bytes outcome);
    size_t command_bytes_max; /* more of a command or question is filling;
                                 0: nothing is */
    /* Whether that may be so; NULL: of all. */
    bool (*may_be_filled)(struct bytes command);

    uint64_t index; /* being applied; 0: none */
    uint32_t outcome_count;
    uint64_t restore_count; /* snapshots taken */
};

/* `watched` lives as long as the machine that is returned, and its inner one
 * is set. */
struct machine watched_machine(struct watched_machine *watched);

/* No more outcomes of the entry that is being applied will come. */
void watched_machine_flush(struct watched_machine *watched);

#endif
