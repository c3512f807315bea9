/*
 * Where shards are and how their groups are.
 */

#include "node/control_core.h"

#include "base/pack.h"
#include "shard/key.h"

#define HISTORY_LINES_STANDARD 100

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

/* A text list of names. */
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
        write_known(&item, "lag",
                    replica->lag != UINT64_MAX &&
                        control_is_up(control, replica->node),
                    replica->lag);
        fields_end(&item);
    }
    fields_end(&list);
}

/* When the map moved it last, and how far that is. */
static void write_move(const struct control *control,
                       uint32_t shard,
                       const struct control_shard *look,
                       struct fields *fields)
{
    const struct history_line *move =
        history_last_move(host_history(control->config.host), shard);
    struct control_progress progress =
        control_move_progress(control, shard, look);
    bool is_moving = control_is_moving(control, shard, look);
    uint64_t left_ms = 0;
    bool is_left_known =
        is_moving && control_left_for(control, &progress, &left_ms);
    write_known(fields, "moved_ms", move != NULL,
                move ? (uint64_t)move->at_ms : 0);
    if (move) {
        write_place(control, fields, "moved_from", &move->from);
    } else {
        fields_nil(fields, "moved_from");
    }
    write_known(fields, "percent", is_moving, control_percent(&progress));
    write_known(fields, "left_ms", is_left_known, left_ms);
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
    write_move(control, shard, look, fields);
}

/* Whether it is known to have our view, or a newer one. */
static bool is_informed(const struct control *control, uint32_t number)
{
    const struct host_node_report *report =
        control_node_report(control, number);
    return number == host_number(control->config.host) ||
           (report && report->view_version >= control_view(control)->version);
}

static void write_informed(const struct control *control, struct fields *fields)
{
    const struct members *members = &control_view(control)->members;
    uint32_t count = 0;
    if (!control_leads(control)) {
        fields_nil(fields, "nodes_with_version");
        fields_nil(fields, "nodes_without_version");
        return;
    }
    struct fields list = fields_list(fields, "nodes_without_version");
    for (uint32_t i = 0; i < members->count; i++) {
        bool is_one = is_informed(control, members->list[i].number);
        count += is_one;
        if (!is_one) {
            pack_text(fields_item(&list), members->list[i].name);
        }
    }
    fields_end(&list);
    fields_uint(fields, "nodes_with_version", count);
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
    fields_uint(&map, "replication", view->replication);
    fields_end(&map);
    write_informed(control, fields);
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

/* ---- shard.history ---- */

struct history_walk {
    const struct control *control;
    struct fields *lines; /* NULL: only counted */
    bool has_shard;       /* that one alone */
    uint32_t shard;
    uint64_t count;
    uint64_t skip; /* so many first */
};

static void write_line(const struct control *control,
                       const struct history_line *line,
                       struct fields *list)
{
    struct fields fields = fields_item_map(list);
    bool is_move = line->kind == HISTORY_MOVED;
    fields_uint(&fields, "number", line->number);
    fields_int(&fields, "at_ms", line->at_ms);
    fields_uint(&fields, "shard", line->shard);
    fields_text(&fields, "kind", is_move ? "moved" : "led");
    if (is_move) {
        fields_uint(&fields, "map_version", line->map_version);
        write_place(control, &fields, "from", &line->from);
        write_place(control, &fields, "to", &line->to);
    } else {
        control_write_node(control, &fields, "leader_before",
                           line->leader_before);
        control_write_node(control, &fields, "leader", line->leader);
        fields_uint(&fields, "term", line->term);
    }
    fields_end(&fields);
}

static void visit_line(void *context, const struct history_line *line)
{
    struct history_walk *walk = context;
    if (walk->has_shard && line->shard != walk->shard) {
        return;
    }
    if (walk->lines && walk->count >= walk->skip) {
        write_line(walk->control, line, walk->lines);
    }
    walk->count++;
}

enum err control_shard_history(const struct control_request *request,
                               const struct control_args *args,
                               struct fields *fields,
                               struct err_detail *why)
{
    (void)why;
    const struct control *control = request->control;
    const struct history *history = host_history(control->config.host);
    uint64_t limit =
        args->given & ARG_LIMIT ? args->limit : HISTORY_LINES_STANDARD;
    struct history_walk walk = {.control = control,
                                .has_shard = args->given & ARG_SHARD,
                                .shard = (uint32_t)args->shard};
    history_each(history, visit_line, &walk);
    struct fields list = fields_list(fields, "lines");
    walk.lines = &list;
    walk.skip = walk.count > limit ? walk.count - limit : 0;
    walk.count = 0;
    history_each(history, visit_line, &walk);
    fields_end(&list);
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
