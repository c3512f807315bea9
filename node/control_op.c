/*
 * What takes long, by name: op.*.
 */

#include "node/control_op.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[OP_STATE_COUNT] = {
    [OP_RUNNING] = "running",     [OP_WAITING] = "waiting",
    [OP_PAUSED] = "paused",       [OP_DONE] = "done",
    [OP_CANCELLED] = "cancelled",
};

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
    for (const struct op_kind *kind = control_op_kinds; kind->name; kind++) {
        size_t length = strlen(kind->name);
        if (strncmp(id, kind->name, length) == 0 && id[length] == '-') {
            *out = (struct op){.kind = kind};
            return kind->find(control, id + length + 1, out, why);
        }
    }
    err_explain(why,
                "%.64s is no operation: drain-NODE, repair-NODE, "
                "recover-SHARD, rebalance-VERSION or move-SHARD",
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
    fields_uint(fields, "done", progress->done / unit);
    fields_uint(fields, "total", progress->total / unit);
    fields_text(fields, "unit", op->unit_name ? op->unit_name : "");
    fields_uint(fields, "percent",
                op->state == OP_CANCELLED ? 0 : control_percent(progress));
    if (op->state == OP_RUNNING &&
        control_left_for(control, progress, &left_ms)) {
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
    for (const struct op_kind *kind = control_op_kinds; kind->name; kind++) {
        uint32_t at = 0;
        struct op op = {.kind = kind};
        while (kind->next(control, &at, &op)) {
            struct fields item = fields_item_map(&list);
            write_op(control, &op, &item);
            fields_end(&item);
            op = (struct op){.kind = kind};
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
        err_explain(why, "%s cannot be cancelled: %s", id, op->kind->ends);
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
