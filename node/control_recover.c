/*
 * Groups that have lost their majority for good: what nodes have of them, and
 * who takes them over.
 */

#include "node/control_core.h"

#include <inttypes.h>

/* ---- coord.replicas ---- */

static void write_members(const struct control *control,
                          const struct raft_configuration *members,
                          struct fields *fields)
{
    struct fields list = fields_list(fields, "members");
    for (uint32_t i = 0; i < members->count; i++) {
        struct fields member = fields_item_map(&list);
        control_write_node(control, &member, "node", members->members[i].node);
        fields_uint(&member, "number", members->members[i].node);
        fields_bool(&member, "voter", members->members[i].is_voter);
        fields_hex(&member, "disk_id", members->members[i].disk_id);
        fields_end(&member);
    }
    fields_end(&list);
}

static void write_replica(const struct control *control,
                          uint32_t group,
                          const struct host_own_replica *replica,
                          struct fields *fields)
{
    fields_uint(fields, "group", group);
    fields_bool(fields, "lost", replica->number == 0);
    fields_uint(fields, "generation", raft_generation_of(replica->number));
    fields_uint(fields, "term", replica->term);
    fields_uint(fields, "last_term", replica->last_term);
    fields_uint(fields, "last_index", replica->last_index);
    fields_uint(fields, "applied", replica->applied_index);
    control_write_node(control, fields, "leader", replica->leader);
    fields_bool(fields, "retired", replica->is_retired);
    fields_bool(fields, "has_state", replica->has_state);
    write_members(control, &replica->members, fields);
}

enum err control_recover_replicas(const struct control_request *request,
                                  const struct control_args *args,
                                  struct fields *fields,
                                  struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    const struct member *self =
        members_find(&view->members, host_number(control->config.host));
    fields_hex(fields, "disk_id", self ? self->disk_id : 0);
    struct fields list = fields_list(fields, "groups");
    for (uint32_t id = 0; id <= view->map.shard_count; id++) {
        struct host_own_replica replica;
        if (host_own_replica(control->config.host, id, &replica)) {
            struct fields group = fields_item_map(&list);
            write_replica(control, id, &replica, &group);
            fields_end(&group);
        }
    }
    fields_end(&list);
    return ERR_NONE;
}

/* ---- shard.recover ---- */

static uint32_t count_up(const struct control *control,
                         const struct shard_place *place)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < place->replica_count; i++) {
        count += control_is_up(control, place->replicas[i]);
    }
    return count;
}

/* Nothing that a majority could still serve is taken over. */
static enum err check_majority(const struct control *control,
                               uint32_t shard,
                               bool is_forced,
                               struct err_detail *why)
{
    const struct shard_place *place = &control_view(control)->map.places[shard];
    struct control_shard look = control_look(control, shard);
    const char *leader = control_node_name(control, look.report.leader);
    uint32_t up = count_up(control, place);
    if (leader) {
        err_explain(why,
                    "shard %" PRIu32 " is led by %s: nothing of it is to "
                    "be recovered",
                    shard, leader);
        return ERR_REFUSED;
    }
    if (up > place->replica_count / 2u && !is_forced) {
        err_explain(why,
                    "%" PRIu32 " of the %u nodes that shall have shard %" PRIu32
                    " are up: wait for it to be led; --force when they have "
                    "lost what they had",
                    up, place->replica_count, shard);
        return ERR_REFUSED;
    }
    return ERR_NONE;
}

static enum err check_taker(const struct control *control,
                            uint32_t shard,
                            const struct member *to,
                            bool is_forced,
                            struct err_detail *why)
{
    const struct view_recovery *present =
        view_recovery_of(control_view(control), shard);
    if (!control_is_up(control, to->number)) {
        err_explain(why, "%s is not heard: it cannot take anything over",
                    to->name);
        return ERR_REFUSED;
    }
    if (!(to->roles & SETTINGS_SHARD)) {
        err_explain(why, "%s holds no shards: it lacks the role shard",
                    to->name);
        return ERR_REFUSED;
    }
    if (present && !is_forced && control_is_up(control, present->node)) {
        const char *name = control_node_name(control, present->node);
        err_explain(why, "%s is about to take shard %" PRIu32 " over: wait",
                    name ? name : "another node", shard);
        return ERR_BUSY;
    }
    return ERR_NONE;
}

enum err control_recover_begin(struct control_request *request,
                               const struct control_args *args,
                               struct err_detail *why)
{
    const struct control *control = request->control;
    const struct member *to = NULL;
    enum err err = control_find_member(control, args->to, &to, why);
    if (!err) {
        err = check_majority(control, request->shard, args->is_forced, why);
    }
    if (!err) {
        err = check_taker(control, request->shard, to, args->is_forced, why);
    }
    if (err) {
        return err;
    }
    struct view_change change = {
        .kind = VIEW_RECOVER,
        .number = request->shard,
        .node = to->number,
        .flag = args->is_empty,
        .generation =
            control_view(control)->map.places[request->shard].generation + 1};
    view_change_say(&change,
                    "shard %" PRIu32 " has lost its majority: %s %s, "
                    "generation %" PRIu32 "; what %s is gone%s",
                    request->shard, to->name,
                    args->is_empty ? "begins it empty" : "takes it over",
                    change.generation,
                    args->is_empty ? "was in it" : "only others had",
                    args->is_forced ? " (forced)" : "");
    request->value = change.generation;
    control_op_name(request->op, "recover", "%" PRIu32, request->shard);
    return control_change(request, &change, why);
}

enum err control_recover_told(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_uint(fields, "generation", (uint64_t)request->value);
    fields_text(fields, "op", request->op);
    return ERR_NONE;
}
