/*
 * The kinds of operations. Another one is a row of control_op_kinds[] and its
 * three functions.
 */

#include "node/control_op.h"

#include "config/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHO_SLACK_MS 10000 /* between the journal's clock and ours */

__attribute__((format(printf, 2, 3))) static void say(char to[static 128],
                                                      const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(to, 128, format, arguments);
    va_end(arguments);
}

/* ---- who began it ---- */

struct begun {
    const char *prefix;
    int64_t near_ms; /* 0: at any time */
    struct op *op;
};

static void visit_line(void *context, const struct meta_line *line)
{
    struct begun *begun = context;
    int64_t apart_ms = line->at_ms - begun->near_ms;
    bool is_near = begun->near_ms == 0 ||
                   (apart_ms < WHO_SLACK_MS && apart_ms > -WHO_SLACK_MS);
    if (is_near &&
        strncmp(line->text, begun->prefix, strlen(begun->prefix)) == 0) {
        (void)snprintf(begun->op->who, sizeof begun->op->who, "%s", line->who);
        begun->op->since_ms = line->at_ms;
    }
}

/* The newest line of the journal that begins so. */
static void note_who(const struct control *control,
                     struct op *op,
                     const char *prefix,
                     int64_t near_ms)
{
    struct begun begun = {.prefix = prefix, .near_ms = near_ms, .op = op};
    op->since_ms = op->progress.since_ms;
    meta_journal_each(host_meta(control->config.host), 0, visit_line, &begun);
}

/* ---- nodes that give all away: draining, and down ---- */

static void note_waiting(const struct control *control,
                         const struct control_leaving *leaving,
                         struct op *op)
{
    if (leaving->staying > 0 && leaving->staying >= leaving->replicas) {
        op->state = OP_WAITING;
        say(op->why, "%u shards have nowhere to go until there is another node",
            leaving->staying);
    } else if (control_view(control)->is_paused &&
               op->member->state == MEMBER_DRAINING) {
        op->state = OP_WAITING;
        say(op->why, "shards stay where they are: troupe shard resume");
    } else if (leaving->unknown > 0) {
        op->state = OP_WAITING;
        say(op->why, "of %u shards nobody has reported yet", leaving->unknown);
    } else if (leaving->replicas == 0) {
        say(op->why, "it votes in the meta group until three others do");
    }
}

static enum err look_at_leaving(const struct control *control,
                                const struct member *member,
                                struct op *op)
{
    struct control_leaving leaving;
    struct history_leaving seen =
        history_leaving(host_history(control->config.host), member->number);
    enum err err = control_leaving_look(control, member, &leaving);
    if (err) {
        return err;
    }
    op->member = member;
    op->unit = 1;
    op->unit_name = "replicas";
    op->progress.since_ms = seen.since_ms;
    op->progress.total = seen.replica_count > leaving.replicas
                             ? seen.replica_count
                             : leaving.replicas;
    op->progress.done = op->progress.total - leaving.replicas;
    bool is_empty = leaving.replicas == 0 && leaving.owners == 0 &&
                    leaving.unknown == 0 && !leaving.is_voter;
    op->state = is_empty ? OP_DONE : OP_RUNNING;
    if (!is_empty) {
        note_waiting(control, &leaving, op);
    }
    return ERR_NONE;
}

static enum err look_at_drain(const struct control *control,
                              const struct member *member,
                              struct op *op)
{
    char prefix[CERTIFICATE_NAME_BYTES + 16];
    enum err err = look_at_leaving(control, member, op);
    (void)snprintf(prefix, sizeof prefix, "%s is draining", member->name);
    say(op->what, "%s gives its shards to the others", member->name);
    note_who(control, op, prefix, 0);
    return err;
}

static enum err look_at_repair(const struct control *control,
                               const struct member *member,
                               struct op *op)
{
    enum err err = look_at_leaving(control, member, op);
    say(op->what, "the replicas of %s, which is down, are made anew elsewhere",
        member->name);
    op->since_ms = op->progress.since_ms;
    return err;
}

typedef enum err look_at_member(const struct control *control,
                                const struct member *member,
                                struct op *op);

static bool next_member(const struct control *control,
                        uint32_t *at,
                        enum member_state state,
                        look_at_member *look,
                        struct op *out)
{
    const struct members *members = &control_view(control)->members;
    while (*at < members->count) {
        const struct member *member = &members->list[(*at)++];
        if (member->state == state && look(control, member, out) == ERR_NONE) {
            return true;
        }
    }
    return false;
}

static bool next_drain(const struct control *control,
                       uint32_t *at,
                       struct op *out)
{
    return next_member(control, at, MEMBER_DRAINING, look_at_drain, out);
}

static bool next_repair(const struct control *control,
                        uint32_t *at,
                        struct op *out)
{
    return next_member(control, at, MEMBER_DOWN, look_at_repair, out);
}

static enum err find_drain(const struct control *control,
                           const char *rest,
                           struct op *out,
                           struct err_detail *why)
{
    const struct member *member = NULL;
    enum err err = control_find_member(control, rest, &member, why);
    if (err || member->state == MEMBER_DRAINING) {
        return err ? err : look_at_drain(control, member, out);
    }
    out->member = member;
    out->state = OP_CANCELLED;
    say(out->what, "%s gives its shards to the others", member->name);
    say(out->why, "it is %s", member_state_name(member->state));
    return ERR_NONE;
}

static enum err find_repair(const struct control *control,
                            const char *rest,
                            struct op *out,
                            struct err_detail *why)
{
    const struct member *member = NULL;
    enum err err = control_find_member(control, rest, &member, why);
    if (err || member->state == MEMBER_DOWN) {
        return err ? err : look_at_repair(control, member, out);
    }
    out->member = member;
    out->state = OP_DONE;
    say(out->what, "%s is %s", member->name, member_state_name(member->state));
    return ERR_NONE;
}

static enum err end_drain(struct control_request *request,
                          const struct op *op,
                          struct err_detail *why)
{
    return control_member_change(request, op->member, MEMBER_ACTIVE, false,
                                 why);
}

/* ---- the plan of the meta group's leader ---- */

static void look_at_plan(const struct control *control,
                         const struct host_plan *plan,
                         struct op *out)
{
    out->version = plan->version;
    out->unit = 1;
    out->unit_name = "shards";
    out->since_ms = plan->since_ms;
    out->progress = (struct control_progress){.since_ms = plan->since_ms,
                                              .total = plan->total,
                                              .done = plan->total - plan->left};
    out->state = plan->left == 0 ? OP_DONE : OP_RUNNING;
    if (plan->left > 0 && control_view(control)->is_paused) {
        out->state = OP_PAUSED;
        say(out->why, "shards stay where they are: troupe shard resume");
    }
    if (out->state == OP_RUNNING && plan->blocked == plan->left) {
        out->state = OP_WAITING;
        say(out->why, "%u shards are for nodes that are away", plan->blocked);
    }
    say(out->what, "shards move to where the members call for");
}

static bool next_rebalance(const struct control *control,
                           uint32_t *at,
                           struct op *out)
{
    struct host_plan plan = host_plan(control->config.host);
    if ((*at)++ > 0 || plan.left == 0) {
        return false;
    }
    look_at_plan(control, &plan, out);
    return true;
}

/* There is one at most: an older name means what has become of it. */
static enum err find_rebalance(const struct control *control,
                               const char *rest,
                               struct op *out,
                               struct err_detail *why)
{
    uint64_t version = 0;
    struct host_plan plan = host_plan(control->config.host);
    if (units_number(&version, rest) ||
        version > control_view(control)->map.version) {
        err_explain(
            why, "there was no rebalance-%.32s: the map has version %" PRIu64,
            rest, control_view(control)->map.version);
        return ERR_NOT_FOUND;
    }
    look_at_plan(control, &plan, out);
    out->version = plan.left > 0 ? plan.version : version;
    if (plan.version == 0) {
        out->state = OP_WAITING;
        say(out->why, "the meta group's leader gathers reports");
    }
    return ERR_NONE;
}

static enum err end_rebalance(struct control_request *request,
                              const struct op *op,
                              struct err_detail *why)
{
    (void)op;
    return control_move_set_paused(request, true, why);
}

/* ---- a shard that lost its majority ---- */

static void look_at_recovery(const struct control *control,
                             const struct view_recovery *recovery,
                             struct op *out)
{
    char prefix[64];
    const char *name = control_node_name(control, recovery->node);
    out->shard = recovery->shard;
    out->progress.total = 1;
    out->unit_name = "shards";
    out->state = OP_RUNNING;
    say(out->what, "shard %u is %s by %s", recovery->shard,
        recovery->is_empty ? "begun empty" : "taken over",
        name ? name : "a node that is gone");
    if (!control_is_up(control, recovery->node)) {
        out->state = OP_WAITING;
        say(out->why, "%s is not heard", name ? name : "it");
    }
    (void)snprintf(prefix, sizeof prefix, "shard %u has lost its majority",
                   recovery->shard);
    note_who(control, out, prefix, 0);
}

static bool next_recovery(const struct control *control,
                          uint32_t *at,
                          struct op *out)
{
    const struct view *view = control_view(control);
    if (*at >= view->recovery_count) {
        return false;
    }
    look_at_recovery(control, &view->recoveries[(*at)++], out);
    return true;
}

/* "move-17": the 17. */
static enum err read_shard(const struct control *control,
                           const char *text,
                           uint32_t *out,
                           struct err_detail *why)
{
    uint64_t shard = 0;
    if (units_number(&shard, text)) {
        err_explain(why, "`%.32s` is no shard: a number is expected", text);
        return ERR_NOT_FOUND;
    }
    enum err err = control_check_shard(control, shard, why);
    *out = (uint32_t)shard;
    return err;
}

static enum err find_recovery(const struct control *control,
                              const char *rest,
                              struct op *out,
                              struct err_detail *why)
{
    enum err err = read_shard(control, rest, &out->shard, why);
    if (err) {
        return err;
    }
    const struct view_recovery *recovery =
        view_recovery_of(control_view(control), out->shard);
    if (recovery) {
        look_at_recovery(control, recovery, out);
    } else {
        out->state = OP_DONE;
        say(out->what, "shard %u is not being recovered", out->shard);
    }
    return ERR_NONE;
}

/* ---- a shard that moves ---- */

static void note_owner(const struct control *control, struct op *op)
{
    char prefix[64];
    uint32_t owner = control_view(control)->map.places[op->shard].replicas[0];
    const char *name = control_node_name(control, owner);
    say(op->what, "shard %u moves; %s shall own it", op->shard,
        name ? name : "a node that is gone");
    op->since_ms = op->progress.since_ms;
    (void)snprintf(prefix, sizeof prefix, "shard %u moves ", op->shard);
    if (op->since_ms != 0) {
        note_who(control, op, prefix, op->since_ms);
    }
    if (!control_is_up(control, owner) && op->state == OP_RUNNING) {
        op->state = OP_WAITING;
        say(op->why, "%s is not heard", name ? name : "its owner");
    }
}

static void look_at_move(const struct control *control,
                         uint32_t shard,
                         const struct control_shard *look,
                         struct op *out)
{
    out->shard = shard;
    out->unit = CONTROL_STEP;
    out->unit_name = "steps";
    out->progress = control_move_progress(control, shard, look);
    out->state = control_is_moving(control, shard, look) ? OP_RUNNING : OP_DONE;
    if (look->report.leader == MEMBER_NONE) {
        out->state = OP_WAITING;
        say(out->why, "the shard has no leader");
    } else if (out->state == OP_DONE) {
        out->progress.done = out->progress.total;
    }
    note_owner(control, out);
}

static bool next_move(const struct control *control,
                      uint32_t *at,
                      struct op *out)
{
    while (*at < control_view(control)->map.shard_count) {
        uint32_t shard = (*at)++;
        struct control_shard look = control_look(control, shard);
        if (control_is_moving(control, shard, &look)) {
            look_at_move(control, shard, &look, out);
            return true;
        }
    }
    return false;
}

static enum err find_move(const struct control *control,
                          const char *rest,
                          struct op *out,
                          struct err_detail *why)
{
    uint32_t shard = 0;
    enum err err = read_shard(control, rest, &shard, why);
    if (!err) {
        struct control_shard look = control_look(control, shard);
        look_at_move(control, shard, &look, out);
    }
    return err;
}

static enum err end_move(struct control_request *request,
                         const struct op *op,
                         struct err_detail *why)
{
    return control_move_back(request, op->shard, why);
}

/* ---- all of them ---- */

/* clang-format off */
const struct op_kind control_op_kinds[] = {
    {"drain", "the node is active again and keeps what it has", NULL,
     next_drain, find_drain, end_drain},
    {"repair", NULL, "it ends when the node is back, or all is made anew",
     next_repair, find_repair, NULL},
    {"recover", NULL, "it ends when the shard serves again",
     next_recovery, find_recovery, NULL},
    {"rebalance", "shards stay where they are, until troupe shard resume", NULL,
     next_rebalance, find_rebalance, end_rebalance},
    {"move", "the shard goes back to where it was", NULL,
     next_move, find_move, end_move},
    {0},
};
/* clang-format on */
