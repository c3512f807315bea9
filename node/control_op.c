/*
 * What takes long, by name: op.*.
 *
 * Nothing is stored of it. That a node drains stands in the view, that shards
 * move is the difference of the map to what groups report; so each name can be
 * asked about at any time, also when it has ended. Another kind is a row of
 * `kinds`.
 */

#include "node/control_core.h"

#include "config/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHO_SLACK_MS 10000 /* between the journal's clock and ours */

enum op_state {
    OP_RUNNING,
    OP_WAITING, /* for what `why` says */
    OP_PAUSED,  /* until somebody lets it go on */
    OP_DONE,
    OP_CANCELLED, /* or never begun */
    OP_STATE_COUNT,
};

static const char *const state_names[OP_STATE_COUNT] = {
    [OP_RUNNING] = "running",     [OP_WAITING] = "waiting",
    [OP_PAUSED] = "paused",       [OP_DONE] = "done",
    [OP_CANCELLED] = "cancelled",
};

struct op {
    const struct op_kind *kind;
    enum op_state state;
    uint32_t shard;              /* of a move */
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
    const char *cancel; /* what cancelling does; NULL: it cannot be */
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
        say(op->why, "it still votes in the meta group");
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

/* ---- a shard ---- */

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
    uint64_t shard = 0;
    if (units_number(&shard, rest)) {
        err_explain(why, "move-%.32s: a shard's number is expected", rest);
        return ERR_NOT_FOUND;
    }
    enum err err = control_check_shard(control, shard, why);
    if (!err) {
        struct control_shard look = control_look(control, (uint32_t)shard);
        look_at_move(control, (uint32_t)shard, &look, out);
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
static const struct op_kind kinds[] = {
    {"drain", "the node is active again and keeps what it has",
     next_drain, find_drain, end_drain},
    {"repair", NULL, next_repair, find_repair, NULL},
    {"rebalance", "shards stay where they are, until troupe shard resume",
     next_rebalance, find_rebalance, end_rebalance},
    {"move", "the shard goes back to where it was",
     next_move, find_move, end_move},
};
/* clang-format on */

#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

static void write_id(const struct op *op, char to[static CONTROL_OP_BYTES])
{
    if (op->member) {
        control_op_name(to, op->kind->name, "%s", op->member->name);
    } else if (op->version > 0) {
        control_op_name(to, op->kind->name, "%" PRIu64, op->version);
    } else {
        control_op_name(to, op->kind->name, "%u", op->shard);
    }
}

void control_op_name(char to[static CONTROL_OP_BYTES],
                     const char *kind,
                     const char *format,
                     ...)
{
    int length = snprintf(to, CONTROL_OP_BYTES, "%s-", kind);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(to + length, CONTROL_OP_BYTES - (size_t)length, format,
                    arguments);
    va_end(arguments);
}

static enum err find(const struct control *control,
                     const char *id,
                     struct op *out,
                     struct err_detail *why)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        size_t length = strlen(kinds[i].name);
        if (strncmp(id, kinds[i].name, length) == 0 && id[length] == '-') {
            *out = (struct op){.kind = &kinds[i]};
            return kinds[i].find(control, id + length + 1, out, why);
        }
    }
    err_explain(why,
                "%.64s is no operation: drain-NODE, repair-NODE, "
                "rebalance-VERSION or move-SHARD",
                id);
    return ERR_NOT_FOUND;
}

/* ---- the verbs ---- */

static void write_progress(const struct control *control,
                           const struct op *op,
                           struct fields *fields)
{
    const struct control_progress *progress = &op->progress;
    uint64_t left_ms = 0;
    uint32_t unit = op->unit > 0 ? op->unit : 1;
    int64_t now_ms = clock_wall_ms(control->config.clock);
    bool goes_on = op->state == OP_RUNNING || op->state == OP_WAITING;
    fields_uint(fields, "done", progress->done / unit);
    fields_uint(fields, "total", progress->total / unit);
    fields_text(fields, "unit", op->unit_name ? op->unit_name : "");
    fields_uint(fields, "percent",
                op->state == OP_CANCELLED ? 0 : control_percent(progress));
    if (goes_on && control_left_for(control, progress, &left_ms)) {
        fields_real(fields, "rate",
                    (double)progress->done / unit * 1000.0 /
                        (double)(now_ms - progress->since_ms));
        fields_uint(fields, "left_ms", left_ms);
    } else {
        fields_nil(fields, "rate");
        fields_nil(fields, "left_ms");
    }
}

static void write_op(const struct control *control,
                     const struct op *op,
                     struct fields *fields)
{
    char id[CONTROL_OP_BYTES];
    write_id(op, id);
    fields_text(fields, "id", id);
    fields_text(fields, "kind", op->kind->name);
    fields_text(fields, "what", op->what);
    fields_text(fields, "state", state_names[op->state]);
    fields_text(fields, "why", op->why);
    if (op->since_ms != 0) {
        fields_int(fields, "since_ms", op->since_ms);
    } else {
        fields_nil(fields, "since_ms");
    }
    fields_text(fields, "who", op->who);
    write_progress(control, op, fields);
    if (op->kind->cancel) {
        fields_text(fields, "cancel", op->kind->cancel);
    } else {
        fields_nil(fields, "cancel");
    }
}

enum err control_op_list(const struct control_request *request,
                         const struct control_args *args,
                         struct fields *fields,
                         struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    struct fields list = fields_list(fields, "ops");
    for (size_t i = 0; i < KIND_COUNT; i++) {
        uint32_t at = 0;
        struct op op = {.kind = &kinds[i]};
        while (kinds[i].next(control, &at, &op)) {
            struct fields item = fields_item_map(&list);
            write_op(control, &op, &item);
            fields_end(&item);
            op = (struct op){.kind = &kinds[i]};
        }
    }
    fields_end(&list);
    return ERR_NONE;
}

static enum err find_given(const struct control *control,
                           const struct control_args *args,
                           struct op *out,
                           struct err_detail *why)
{
    char id[CONTROL_OP_BYTES];
    (void)snprintf(id, sizeof id, "%.*s", (int)args->id.length,
                   (const char *)args->id.data);
    return find(control, id, out, why);
}

enum err control_op_show(const struct control_request *request,
                         const struct control_args *args,
                         struct fields *fields,
                         struct err_detail *why)
{
    struct op op;
    enum err err = find_given(request->control, args, &op, why);
    if (!err) {
        write_op(request->control, &op, fields);
    }
    return err;
}

static enum err check_end(const struct op *op,
                          const char *id,
                          struct err_detail *why)
{
    if (op->state == OP_DONE || op->state == OP_CANCELLED) {
        err_explain(why, "%s is %s: there is nothing to cancel", id,
                    state_names[op->state]);
        return ERR_REFUSED;
    }
    if (!op->kind->end) {
        err_explain(why,
                    "%s cannot be cancelled: it ends when %s is back, or "
                    "all is made anew",
                    id, op->member->name);
        return ERR_REFUSED;
    }
    return ERR_NONE;
}

enum err control_op_cancel(struct control_request *request,
                           const struct control_args *args,
                           struct err_detail *why)
{
    struct op op;
    enum err err = find_given(request->control, args, &op, why);
    if (err) {
        return err;
    }
    write_id(&op, request->op);
    request->told = op.kind->cancel;
    err = check_end(&op, request->op, why);
    return err ? err : op.kind->end(request, &op, why);
}

enum err control_op_cancelled(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_text(fields, "id", request->op);
    fields_text(fields, "told", request->told);
    fields_bool(fields, "paused", control_view(request->control)->is_paused);
    return ERR_NONE;
}
