/*
 * Counters, through the router as any request.
 */

#include "node/control_core.h"

#include "base/hash.h"
#include "base/owner.h"
#include "shard/counter_map.h"
#include "shard/key.h"

/* Whom to look after: those that shall hold it and are not heard. */
static void explain_no_majority(const struct control_request *request,
                                struct err_detail *why)
{
    const struct control *control = request->control;
    const struct shard_place *place =
        &control_view(control)->map.places[request->shard];
    uint32_t missing[SHARD_REPLICAS_MAX];
    uint32_t count = 0;
    char names[160];
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (!control_is_up(control, place->replicas[i])) {
            missing[count++] = place->replicas[i];
        }
    }
    control_names_text(control, missing, count, names, sizeof names);
    err_explain(why, "shard %u has no majority; %s hears %s%s", request->shard,
                control->name, count > 0 ? "nothing of " : "all of its nodes",
                names);
}

static void on_counted(struct router_request *router_request,
                       enum err err,
                       struct bytes answer)
{
    struct control_request *request =
        OWNER_OF(router_request, struct control_request, router_request);
    struct counter_reply reply = {0};
    struct err_detail why = {{0}};
    if (err == ERR_NO_QUORUM) {
        explain_no_majority(request, &why);
    } else if (err) {
        err_explain(&why, "shard %u: %s", request->shard, err_text(err));
    } else if (counter_reply_decode(&reply, answer)) {
        request->value = reply.value;
    } else {
        err = ERR_MALFORMED;
        err_explain(&why, "shard %u has no counters", request->shard);
    }
    control_end(request, err, why.text);
}

static enum err ask(struct control_request *request,
                    const struct control_args *args,
                    enum counter_kind kind,
                    struct err_detail *why)
{
    const struct control *control = request->control;
    uint8_t buffer[COUNTER_COMMAND_BYTES];
    struct counter_command command = {.kind = kind,
                                      .key = hash_bytes(args->id, 0),
                                      .value = args->value,
                                      .idempotency_key = args->key};
    struct router_ask ask = {
        .is_read = kind == COUNTER_READ,
        .may_repeat = args->key != 0,
        .timeout_ms = control_left_ms(request),
        .shard = shard_of_key(bytes_of_text("counter"), args->id,
                              control_view(control)->map.shard_count),
        .command = counter_command_encode(buffer, &command)};
    request->shard = ask.shard;
    request->router_request.done = on_counted;
    enum err err =
        router_ask(control->config.router, &ask, &request->router_request);
    if (err) {
        err_explain(why, "shard %u cannot be asked: %s", ask.shard,
                    err_text(err));
    }
    request->is_waiting = !err;
    return err;
}

enum err control_counter_add(struct control_request *request,
                             const struct control_args *args,
                             struct err_detail *why)
{
    return ask(request, args, COUNTER_ADD, why);
}

enum err control_counter_get(struct control_request *request,
                             const struct control_args *args,
                             struct err_detail *why)
{
    return ask(request, args, COUNTER_READ, why);
}

enum err control_counter_value(const struct control_request *request,
                               const struct control_args *args,
                               struct fields *fields,
                               struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_uint(fields, "shard", request->shard);
    fields_int(fields, "value", request->value);
    return ERR_NONE;
}
