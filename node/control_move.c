/*
 * What moves shards, and what would.
 */

#include "node/control_core.h"

#include "base/owner.h"
#include "base/pack.h"
#include "base/scope.h"
#include "shard/placement.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PLAN_WEIGHT                                          \
    100 /* of a node that might be added, as in the settings \
         */
#define PLAN_DOOR "tcp://0.0.0.0:1"

/* ---- shard.plan ---- */

static enum err plan_add(struct members *members,
                         const char *name,
                         struct err_detail *why)
{
    struct member member = {.number = members_free_number(members),
                            .door = PLAN_DOOR,
                            .weight = PLAN_WEIGHT,
                            .roles = SETTINGS_SHARD};
    (void)snprintf(member.name, sizeof member.name, "%s", name);
    enum err err = members_add(members, &member);
    if (err == ERR_EXISTS) {
        err_explain(why, "%s is a member already", name);
    }
    return err;
}

static enum err plan_remove(struct members *members,
                            const char *name,
                            struct err_detail *why)
{
    struct member *member = members_find_name(members, name);
    if (!member) {
        err_explain(why, "no node is called %s", name);
        return ERR_NOT_FOUND;
    }
    member->state = MEMBER_DRAINING;
    return ERR_NONE;
}

typedef enum err plan_step(struct members *members,
                           const char *name,
                           struct err_detail *why);

static enum err plan_each(struct members *members,
                          struct bytes names,
                          plan_step *step,
                          struct err_detail *why)
{
    uint32_t count = 0;
    struct reader reader = control_args_names(names, &count);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        char name[CERTIFICATE_NAME_BYTES];
        control_args_next_name(&reader, name);
        err = step(members, name, why);
    }
    return err;
}

static void write_names(const struct members *members,
                        const struct shard_place *place,
                        const char *key,
                        struct fields *fields)
{
    struct fields list = fields_list(fields, key);
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct member *member = members_find(members, place->replicas[i]);
        pack_text(fields_item(&list), member ? member->name : "?");
    }
    fields_end(&list);
}

static void write_moves(const struct members *members,
                        const struct placement_move *moves,
                        uint32_t count,
                        struct fields *fields)
{
    struct fields list = fields_list(fields, "moves");
    for (uint32_t i = 0; i < count; i++) {
        struct fields move = fields_item_map(&list);
        fields_uint(&move, "shard", moves[i].shard);
        write_names(members, &moves[i].from, "from", &move);
        write_names(members, &moves[i].to, "to", &move);
        fields_bool(&move, "owner_only", moves[i].is_owner_only);
        fields_end(&move);
    }
    fields_end(&list);
}

enum err control_write_plan(const struct view *now,
                            const struct view *then,
                            struct fields *fields)
{
    struct shard_map wanted = {0};
    uint32_t count = now->map.shard_count;
    struct placement_move *moves = calloc(count, sizeof *moves);
    enum err err = moves ? host_wanted_map(then, &wanted) : ERR_MEMORY;
    if (!err) {
        count = placement_diff(&now->map, &wanted, moves, count);
        write_moves(&then->members, moves, count, fields);
        control_write_balance(fields, "balance_before", &now->members,
                              &now->map);
        control_write_balance(fields, "balance_after", &then->members, &wanted);
    }
    shard_map_clear(&wanted);
    free(moves);
    return err;
}

enum err control_move_plan(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    const struct view *view = control_view(request->control);
    scoped(view_close) struct view *then = NULL;
    enum err err = view_copy(&then, view);
    if (!err) {
        err = plan_each(&then->members, args->add, plan_add, why);
    }
    if (!err) {
        err = plan_each(&then->members, args->remove, plan_remove, why);
    }
    return err ? err : control_write_plan(view, then, fields);
}

/* ---- shard.move ---- */

static enum err check_target(const struct control *control,
                             const struct member *to,
                             bool is_forced,
                             struct err_detail *why)
{
    if (to->state == MEMBER_DRAINING || to->state == MEMBER_DOWN) {
        err_explain(why, "%s is %s: it gives all its shards away", to->name,
                    member_state_name(to->state));
        return ERR_REFUSED;
    }
    if (!(to->roles & SETTINGS_SHARD)) {
        err_explain(why, "%s holds no shards: it lacks the role shard",
                    to->name);
        return ERR_REFUSED;
    }
    if (to->state == MEMBER_CORDONED && !is_forced) {
        err_explain(why,
                    "%s is cordoned: it takes nothing new; --force does it "
                    "all the same",
                    to->name);
        return ERR_REFUSED;
    }
    if (control_is_full(control, to->number) && !is_forced) {
        err_explain(why,
                    "the disk of %s is nearly full: make room there; --force "
                    "does it all the same",
                    to->name);
        return ERR_REFUSED;
    }
    if (!control_is_up(control, to->number) && !is_forced) {
        err_explain(why, "%s is not heard; --force does it all the same",
                    to->name);
        return ERR_REFUSED;
    }
    return ERR_NONE;
}

/* `to` first: it changes places with the owner, or takes its place. */
static struct shard_place place_with_owner(const struct shard_place *from,
                                           uint32_t to)
{
    struct shard_place place = *from;
    for (uint32_t i = 1; i < place.replica_count; i++) {
        if (place.replicas[i] == to) {
            place.replicas[i] = place.replicas[0];
        }
    }
    place.replicas[0] = to;
    return place;
}

enum err control_move_begin(struct control_request *request,
                            const struct control_args *args,
                            struct err_detail *why)
{
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    const struct shard_place *place = &view->map.places[request->shard];
    const struct member *to = NULL;
    enum err err = control_find_member(control, args->to, &to, why);
    if (err) {
        return err;
    }
    if (place->replicas[0] == to->number) {
        err_explain(why, "%s is the owner of shard %u already", to->name,
                    request->shard);
        return ERR_REFUSED;
    }
    err = check_target(control, to, args->is_forced, why);
    if (err) {
        return err;
    }
    struct view_move move = {.shard = request->shard,
                             .place = place_with_owner(place, to->number)};
    struct view_change change = {.kind = VIEW_PLACE,
                                 .map_version = view->map.version,
                                 .moves = &move,
                                 .move_count = 1};
    const char *from = control_node_name(control, place->replicas[0]);
    view_change_say(&change, "shard %u moves from %s to %s%s", move.shard,
                    from ? from : "?", to->name,
                    args->is_forced ? " (forced)" : "");
    request->from = place->replicas[0];
    request->to = to->number;
    control_op_name(request->op, "move", "%u", move.shard);
    return control_change(request, &change, why);
}

enum err control_move_told(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    control_write_node(control, fields, "from", request->from);
    control_write_node(control, fields, "to", request->to);
    fields_text(fields, "op", request->op);
    fields_bool(fields, "paused", control_view(control)->is_paused);
    return ERR_NONE;
}

/* ---- back to where it was ---- */

static enum err check_back(const struct control *control,
                           const struct shard_place *from,
                           struct err_detail *why)
{
    for (uint32_t i = 0; i < from->replica_count; i++) {
        const struct member *member =
            members_find(&control_view(control)->members, from->replicas[i]);
        if (!member || member->state == MEMBER_DRAINING ||
            member->state == MEMBER_DOWN) {
            err_explain(why, "%s, where it was, is %s: it cannot go back",
                        member ? member->name : "a node",
                        member ? member_state_name(member->state)
                               : "no member any more");
            return ERR_REFUSED;
        }
    }
    return ERR_NONE;
}

enum err control_move_back(struct control_request *request,
                           uint32_t shard,
                           struct err_detail *why)
{
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    const struct history_line *last =
        history_last_move(host_history(control->config.host), shard);
    if (!last || !shard_place_is_equal(&last->to, &view->map.places[shard])) {
        err_explain(why,
                    "%s has not seen where shard %u was before: troupe shard "
                    "move says where it shall go",
                    control->name, shard);
        return ERR_REFUSED;
    }
    enum err err = check_back(control, &last->from, why);
    if (err) {
        return err;
    }
    struct view_move move = {.shard = shard, .place = last->from};
    struct view_change change = {.kind = VIEW_PLACE,
                                 .map_version = view->map.version,
                                 .moves = &move,
                                 .move_count = 1};
    const char *to = control_node_name(control, last->from.replicas[0]);
    view_change_say(&change, "shard %u moves back to %s: cancelled", shard,
                    to ? to : "?");
    return control_change(request, &change, why);
}

/* ---- pausing ---- */

enum err control_move_set_paused(struct control_request *request,
                                 bool is_paused,
                                 struct err_detail *why)
{
    if (control_view(request->control)->is_paused == is_paused) {
        return ERR_NONE;
    }
    struct view_change change = {.kind = VIEW_PAUSE, .flag = is_paused};
    view_change_say(&change, "%s",
                    is_paused ? "shards stay where they are"
                              : "shards may move again");
    return control_change(request, &change, why);
}

enum err control_move_pause(struct control_request *request,
                            const struct control_args *args,
                            struct err_detail *why)
{
    (void)args;
    return control_move_set_paused(request, true, why);
}

enum err control_move_resume(struct control_request *request,
                             const struct control_args *args,
                             struct err_detail *why)
{
    (void)args;
    return control_move_set_paused(request, false, why);
}

enum err control_move_paused(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_bool(fields, "paused", control_view(request->control)->is_paused);
    return ERR_NONE;
}

enum err control_move_rebalance(struct control_request *request,
                                const struct control_args *args,
                                struct err_detail *why)
{
    return args->is_dry_run ? ERR_NONE
                            : control_move_set_paused(request, false, why);
}

enum err control_move_rebalanced(const struct control_request *request,
                                 const struct control_args *args,
                                 struct fields *fields,
                                 struct err_detail *why)
{
    const struct control *control = request->control;
    struct host_plan plan = host_plan(control->config.host);
    enum err err = control_move_plan(request, args, fields, why);
    if (err) {
        return err;
    }
    if (plan.left > 0) {
        char op[CONTROL_OP_BYTES];
        control_op_name(op, "rebalance", "%" PRIu64, plan.version);
        fields_text(fields, "op", op);
    } else {
        fields_nil(fields, "op");
    }
    return control_move_paused(request, args, fields, why);
}

/* ---- coord.transfer ---- */

/* It is done, whether the journal has a line of it or not. */
static void on_noted(struct call *call, enum err err, struct bytes reply)
{
    struct control_request *request =
        OWNER_OF(call, struct control_request, call);
    (void)reply;
    request->is_noted = !err;
    control_end(request, ERR_NONE, NULL);
}

static void note_transfer(struct control_request *request, const char *to)
{
    struct control *control = request->control;
    struct view_change change = {.kind = VIEW_NOTE};
    (void)snprintf(change.who, sizeof change.who, "%s", request->who);
    view_change_say(&change, "shard %u: leadership goes from %s to %s",
                    request->shard, control->name, to);
    request->call.done = on_noted;
    request->is_waiting =
        host_change(control->config.host, &change, &request->call) == ERR_NONE;
}

static void explain_transfer(const struct control_request *request,
                             enum err err,
                             const char *to,
                             struct err_detail *why)
{
    switch (err) {
    case ERR_NOT_FOUND:
        err_explain(why, "%s has no voting replica of shard %u", to,
                    request->shard);
        break;
    case ERR_INVALID:
        err_explain(why, "%s leads shard %u already, or nobody else votes", to,
                    request->shard);
        break;
    case ERR_BUSY:
        err_explain(why, "the members of shard %u are just changing: try again",
                    request->shard);
        break;
    default:
        break;
    }
}

enum err control_move_transfer(struct control_request *request,
                               const struct control_args *args,
                               struct err_detail *why)
{
    struct control *control = request->control;
    const struct member *to = NULL;
    enum err err = control_find_member(control, args->to, &to, why);
    if (err) {
        return err;
    }
    err = host_transfer(control->config.host, request->shard, to->number);
    if (err) {
        explain_transfer(request, err, to->name, why);
        bool is_refusal = err == ERR_INVALID || err == ERR_NOT_FOUND;
        return is_refusal ? ERR_REFUSED : err;
    }
    note_transfer(request, to->name);
    return ERR_NONE;
}

enum err control_move_transferred(const struct control_request *request,
                                  const struct control_args *args,
                                  struct fields *fields,
                                  struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_bool(fields, "noted", request->is_noted);
    return ERR_NONE;
}
