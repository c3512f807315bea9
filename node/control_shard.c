/*
 * Where shards are and how their groups are.
 */

#include "node/control_core.h"

#include "base/pack.h"
#include "shard/key.h"

static const char *const state_names[SHARD_STATE_COUNT] = {
    [SHARD_UNKNOWN] = "unknown",
    [SHARD_NO_LEADER] = "no_leader",
    [SHARD_MOVING] = "moving",
    [SHARD_SERVING] = "serving",
};

static void write_item(const struct control *control,
                       struct fields *list,
                       uint32_t number)
{
    const char *name = control_node_name(control, number);
    pack_text(fields_item(list), name ? name : "?");
}

static void write_place(const struct control *control,
                        struct fields *fields,
                        const char *key,
                        const struct shard_place *place)
{
    struct fields list = fields_list(fields, key);
    for (uint32_t i = 0; i < place->replica_count; i++) {
        write_item(control, &list, place->replicas[i]);
    }
    fields_end(&list);
}

static void write_known(struct fields *fields,
                        const char *key,
                        bool is_known,
                        uint64_t value)
{
    if (is_known) {
        fields_uint(fields, key, value);
    } else {
        fields_nil(fields, key);
    }
}

/* ---- shard.map ---- */

static void write_replicas(const struct control *control,
                           const struct host_shard_report *report,
                           struct fields *fields)
{
    struct fields list = fields_list(fields, "replicas");
    for (uint32_t i = 0; i < report->replica_count; i++) {
        const struct host_replica *replica = &report->replicas[i];
        struct fields item = fields_item_map(&list);
        control_write_node(control, &item, "node", replica->node);
        fields_bool(&item, "voter", replica->is_voter);
        write_known(&item, "lag", replica->lag != UINT64_MAX, replica->lag);
        fields_end(&item);
    }
    fields_end(&list);
}

static void write_shard(const struct control *control,
                        uint32_t shard,
                        const struct control_shard *look,
                        struct fields *fields)
{
    const struct shard_place *place = &control_view(control)->map.places[shard];
    const struct host_shard_report *report = &look->report;
    fields_uint(fields, "shard", shard);
    control_write_node(control, fields, "owner", place->replicas[0]);
    control_write_node(control, fields, "leader", report->leader);
    fields_uint(fields, "generation", place->generation);
    write_known(fields, "term", look->is_heard, report->term);
    fields_text(fields, "state", state_names[look->state]);
    write_replicas(control, report, fields);
    write_place(control, fields, "wanted", place);
    write_known(fields, "rate", look->is_heard && report->at_ms != 0,
                report->rate);
    write_known(fields, "applied", look->is_heard, report->applied_index);
    write_known(fields, "log_bytes", look->is_heard, report->log_bytes);
}

/* Members that are known to have our view, or a newer one. */
static uint32_t count_informed(const struct control *control)
{
    const struct view *view = control_view(control);
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->members.count; i++) {
        uint32_t number = view->members.list[i].number;
        const struct host_node_report *report =
            control_node_report(control, number);
        count += number == host_number(control->config.host) ||
                 (report && report->view_version >= view->version);
    }
    return count;
}

enum err control_shard_map(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    uint32_t moving = 0;
    struct fields map = fields_map(fields, "map");
    fields_uint(&map, "version", view->map.version);
    fields_end(&map);
    write_known(fields, "nodes_with_version", control_leads(control),
                count_informed(control));
    control_write_balance(fields, "balance", &view->members, &view->map);
    struct fields list = fields_list(fields, "shards");
    for (uint32_t i = 0; i < view->map.shard_count; i++) {
        struct control_shard look = control_look(control, i);
        struct fields shard = fields_item_map(&list);
        moving += look.state == SHARD_MOVING;
        write_shard(control, i, &look, &shard);
        fields_end(&shard);
    }
    fields_end(&list);
    fields_uint(fields, "moving", moving);
    return ERR_NONE;
}

/* ---- shard.locate ---- */

enum err control_shard_locate(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)why;
    const struct control *control = request->control;
    const struct shard_map *map = &control_view(control)->map;
    uint32_t shard = shard_of_key(args->type, args->id, map->shard_count);
    const struct shard_place *place = &map->places[shard];
    fields_uint(fields, "shard", shard);
    control_write_node(control, fields, "owner", place->replicas[0]);
    control_write_node(control, fields, "leader",
                       host_leader(control->config.host, shard));
    write_place(control, fields, "replicas", place);
    return ERR_NONE;
}

/* ---- coord.ls ---- */

static void write_members(const struct control *control,
                          const struct host_shard_report *report,
                          bool votes,
                          struct fields *fields)
{
    struct fields list = fields_list(fields, votes ? "voters" : "learners");
    for (uint32_t i = 0; i < report->replica_count; i++) {
        if (report->replicas[i].is_voter == votes) {
            write_item(control, &list, report->replicas[i].node);
        }
    }
    fields_end(&list);
}

static void write_group(const struct control *control,
                        uint32_t group,
                        bool is_known,
                        const struct host_shard_report *report,
                        struct fields *list)
{
    struct fields fields = fields_item_map(list);
    fields_uint(&fields, "group", group);
    control_write_node(control, &fields, "leader", report->leader);
    write_known(&fields, "term", is_known, report->term);
    write_members(control, report, true, &fields);
    write_members(control, report, false, &fields);
    write_known(&fields, "applied", is_known, report->applied_index);
    fields_end(&fields);
}

/* The meta group as a report of it would be. */
static bool look_at_meta(const struct control *control,
                         struct host_shard_report *out)
{
    const struct raft_configuration *members =
        control_group_members(control, META_GROUP);
    *out = (struct host_shard_report){
        .leader = host_meta_leader(control->config.host)};
    if (!members) {
        return false;
    }
    const struct group *group = host_group(control->config.host, META_GROUP);
    out->term = raft_term(group_raft(group));
    out->applied_index = group_applied_index(group);
    out->replica_count = members->count;
    for (uint32_t i = 0; i < members->count; i++) {
        out->replicas[i].node = members->members[i].node;
        out->replicas[i].is_voter = members->members[i].is_voter;
    }
    return true;
}

enum err control_shard_groups(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    struct fields list = fields_list(fields, "groups");
    struct host_shard_report meta;
    bool is_known = look_at_meta(control, &meta);
    write_group(control, META_GROUP, is_known, &meta, &list);
    for (uint32_t i = 0; i < control_view(control)->map.shard_count; i++) {
        struct control_shard look = control_look(control, i);
        write_group(control, shard_group_id(i), look.is_heard, &look.report,
                    &list);
    }
    fields_end(&list);
    return ERR_NONE;
}
