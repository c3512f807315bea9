/*
 * Operations: what takes long, by name (docs/control.md, op.*).
 *
 * Nothing is stored of one. What it is follows from the view and the reports,
 * whenever somebody asks.
 */

#ifndef NODE_CONTROL_OP_H
#define NODE_CONTROL_OP_H

#include "node/control_core.h"

enum op_state {
    OP_RUNNING,
    OP_WAITING, /* for what `why` says */
    OP_PAUSED,  /* until somebody lets it go on */
    OP_DONE,
    OP_CANCELLED, /* or never begun */
    OP_STATE_COUNT,
};

struct op {
    const struct op_kind *kind;
    enum op_state state;
    uint32_t shard;              /* of a move or a recovery */
    const struct member *member; /* of a drain or a repair */
    uint64_t version;            /* of a rebalancing */
    char what[128];
    char why[128];
    char who[VIEW_WHO_BYTES]; /* began it; "": not known, or the cluster */
    int64_t since_ms;         /* 0: not known */
    struct control_progress progress;
    uint32_t unit; /* of progress: so much is one thing done */
    const char *unit_name;
};

struct op_kind {
    const char *name;
    const char *cancel; /* what cancelling does; NULL: it cannot be, */
    const char *ends;   /* and this is how it ends */
    /* What stands now, one after the other: `*at` is 0 at first. False: no
     * more. */
    bool (*next)(const struct control *control, uint32_t *at, struct op *out);
    /* By what stands behind the name's first dash. ERR_NOT_FOUND */
    enum err (*find)(const struct control *control,
                     const char *rest,
                     struct op *out,
                     struct err_detail *why);
    enum err (*end)(struct control_request *request,
                    const struct op *op,
                    struct err_detail *why);
};

/* All that there are; the last one has no name. */
extern const struct op_kind control_op_kinds[];

#endif
