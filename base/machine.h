/*
 * A replicated state machine, as its group drives it.
 *
 * The leader decides: it turns a command into an outcome, on a state in which
 * everything decided before has happened already (speculation), and logs the
 * outcome, not the command. Every replica applies outcomes once they are
 * committed, in the order of the log. What a decision says to the outside
 * leaves only when its outcome, and all decided before it, is committed. When
 * leadership is lost the machine drops its speculation.
 *
 * So `apply` must be deterministic, and `decide` need not be. All is called on
 * one thread.
 */

#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* When a decision was made: the leader's clock, the same for all replicas. */
struct machine_stamp {
    int64_t wall_ms; /* never goes back in the log of a group */
};

/* What a decision comes to. Each has room for the limits of the group. */
struct machine_decision {
    struct writer outcome; /* nothing written: nothing happens */
    struct writer reply;
};

struct machine {
    void *context;

    /*
     * Leader only. Decide on a command, and take its outcome into the
     * speculation. An error is an answer as well: it goes to whoever asked,
     * and nothing happened. A `outcome` or `reply` that has failed means
     * ERR_TOO_LARGE; then, too, nothing may have happened.
     */
    enum err (*decide)(void *context,
                       const struct machine_stamp *stamp,
                       struct bytes command,
                       struct machine_decision *decision);

    /* An outcome is committed. `index` is that of its entry; several outcomes
     * may share it. ERR_MEMORY, ERR_MALFORMED: the replica cannot go on. */
    enum err (*apply)(void *context,
                      uint64_t index,
                      const struct machine_stamp *stamp,
                      struct bytes outcome);

    /* Forget what was decided and is not applied. */
    void (*drop)(void *context);

    /* Answer a question from what is applied. */
    enum err (*read)(void *context,
                     struct bytes question,
                     struct writer *answer);

    /*
     * A snapshot of what is applied now, given out in pieces while it goes on.
     * One at a time. begin(): ERR_BUSY: not now, the group asks again. next():
     * one piece, nothing written: that was all.
     */
    enum err (*snapshot_begin)(void *context);
    enum err (*snapshot_next)(void *context, struct writer *piece);
    void (*snapshot_end)(void *context);

    /*
     * Replace the applied state by a snapshot. Until restore_end() the present
     * state stays, and may be read and given out; without `is_whole` it stays
     * for good. ERR_MALFORMED, ERR_MEMORY
     */
    enum err (*restore_begin)(void *context);
    enum err (*restore_piece)(void *context, struct bytes piece);
    enum err (*restore_end)(void *context, bool is_whole);
};

#endif
