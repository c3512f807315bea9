/*
 * Nodes: what is known of each, and what an operator makes of them.
 */

#include "node/control_core.h"

#include "base/pack.h"

static const struct {
    uint32_t role;
    const char *name;
} roles[] = {
    {SETTINGS_VOTER, "voter"},
    {SETTINGS_SHARD, "shard"},
    {SETTINGS_WORKER, "worker"},
    {SETTINGS_GATEWAY, "gateway"},
};

/* ---- looking ---- */

static void write_roles(const struct member *member, struct fields *fields)
{
    struct fields list = fields_list(fields, "roles");
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (member->roles & roles[i].role) {
            pack_text(fields_item(&list), roles[i].name);
        }
    }
    fields_end(&list);
}

/* 0: not known. */
static void write_size(struct fields *fields, const char *key, uint64_t bytes)
{
    if (bytes > 0) {
        fields_uint(fields, key, bytes);
    } else {
        fields_nil(fields, key);
    }
}

static void write_report(const struct control *control,
                         const struct member *member,
                         struct fields *fields)
{
    const struct host_node_report *report =
        control_node_report(control, member->number);
    bool is_self = member->number == host_number(control->config.host);
    if (report) {
        fields_uint(fields, "heard_by", report->heard_count);
        fields_uint(fields, "observers", report->asked_count);
        fields_uint(fields, "view", report->view_version);
        fields_text(fields, "release", report->version);
        write_size(fields, "free_bytes", report->free_bytes);
        write_size(fields, "resident_bytes", report->resident_bytes);
        fields_uint(fields, "settings_waiting", report->waiting_count);
        return;
    }
    fields_nil(fields, "heard_by");
    fields_nil(fields, "observers");
    if (is_self) {
        fields_uint(fields, "view", control_view(control)->version);
        fields_text(fields, "release", TROUPE_VERSION);
    } else {
        fields_nil(fields, "view");
        fields_nil(fields, "release");
    }
    fields_nil(fields, "free_bytes");
    fields_nil(fields, "resident_bytes");
    fields_nil(fields, "settings_waiting");
}

/* Of one that drains: shards that have nowhere to go. */
static void write_staying(const struct control *control,
                          const struct member *member,
                          struct fields *fields)
{
    uint32_t staying = 0;
    if (member->state == MEMBER_DRAINING &&
        control_staying(control, member->number, &staying) == ERR_NONE) {
        fields_uint(fields, "staying", staying);
    } else {
        fields_nil(fields, "staying");
    }
}

static void write_member(const struct control *control,
                         const struct member *member,
                         const struct control_tally *tally,
                         struct fields *fields)
{
    uint32_t number = member->number;
    fields_text(fields, "name", member->name);
    fields_uint(fields, "number", number);
    fields_text(fields, "state", member_state_name(member->state));
    fields_bool(fields, "is_up", control_is_up(control, number));
    write_roles(member, fields);
    fields_text(fields, "zone", member->zone);
    fields_uint(fields, "weight", member->weight);
    fields_uint(fields, "owners", tally->owners[number]);
    fields_uint(fields, "replicas", tally->replicas[number]);
    fields_uint(fields, "leads", tally->leads[number]);
    write_report(control, member, fields);
    write_staying(control, member, fields);
    fields_int(fields, "since_ms", member->since_ms);
    fields_text(fields, "door", member->door);
}

enum err control_member_list(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    const struct members *members = &control_view(control)->members;
    struct control_tally tally;
    control_tally_make(control, &tally);
    struct fields list = fields_list(fields, "members");
    for (uint32_t i = 0; i < members->count; i++) {
        struct fields member = fields_item_map(&list);
        write_member(control, &members->list[i], &tally, &member);
        fields_end(&member);
    }
    fields_end(&list);
    return ERR_NONE;
}

enum err control_member_show(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    const struct control *control = request->control;
    const struct shard_map *map = &control_view(control)->map;
    const struct member *member = NULL;
    struct control_tally tally;
    enum err err = control_find_member(control, args->name, &member, why);
    if (err) {
        return err;
    }
    control_tally_make(control, &tally);
    write_member(control, member, &tally, fields);
    struct fields list = fields_list(fields, "shards");
    for (uint32_t i = 0; i < map->shard_count; i++) {
        const struct shard_place *place = &map->places[i];
        if (shard_place_has(place, member->number)) {
            struct fields shard = fields_item_map(&list);
            fields_uint(&shard, "shard", i);
            fields_text(&shard, "role",
                        place->replicas[0] == member->number ? "owner"
                                                             : "replica");
            fields_end(&shard);
        }
    }
    fields_end(&list);
    return ERR_NONE;
}

/* ---- how far a drain is ---- */

enum err control_member_progress(const struct control_request *request,
                                 const struct control_args *args,
                                 struct fields *fields,
                                 struct err_detail *why)
{
    const struct control *control = request->control;
    const struct member *member = NULL;
    struct control_leaving leaving;
    enum err err = control_find_member(control, args->name, &member, why);
    if (!err) {
        err = control_leaving_look(control, member, &leaving);
    }
    if (err) {
        return err;
    }
    fields_text(fields, "state", member_state_name(member->state));
    fields_uint(fields, "owners_left", leaving.owners);
    fields_uint(fields, "replicas_left", leaving.replicas);
    fields_uint(fields, "staying", leaving.staying);
    fields_bool(fields, "voter", leaving.is_voter);
    return ERR_NONE;
}

/* ---- steering ---- */

/* Others than `member` that get shards. */
static uint32_t count_others(const struct members *members,
                             const struct member *member)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *other = &members->list[i];
        count += other->number != member->number &&
                 other->state == MEMBER_ACTIVE &&
                 (other->roles & SETTINGS_SHARD);
    }
    return count;
}

/* For whoever need not wait until the others give it up. */
static enum err check_down(const struct control *control,
                           const struct member *member,
                           struct err_detail *why)
{
    if (!control_is_up(control, member->number)) {
        return ERR_NONE;
    }
    err_explain(why, "%s is up: drain it, or stop its process first",
                member->name);
    return ERR_REFUSED;
}

static enum err check_state(const struct control *control,
                            const struct member *member,
                            enum member_state state,
                            bool is_forced,
                            struct err_detail *why)
{
    if (state == MEMBER_DOWN) {
        return check_down(control, member, why);
    }
    if (member->state == MEMBER_DOWN && state != MEMBER_DRAINING) {
        err_explain(why,
                    "%s is down and gets no shards; it is active again when "
                    "it comes back",
                    member->name);
        return ERR_REFUSED;
    }
    bool gives_up = member->state == MEMBER_ACTIVE && state != MEMBER_ACTIVE &&
                    (member->roles & SETTINGS_SHARD);
    if (gives_up && !is_forced &&
        count_others(&control_view(control)->members, member) == 0) {
        err_explain(why,
                    "%s is the last active node: its shards have nowhere to "
                    "go; --force does it all the same",
                    member->name);
        return ERR_REFUSED;
    }
    return ERR_NONE;
}

enum err control_member_change(struct control_request *request,
                               const struct member *member,
                               enum member_state state,
                               bool is_forced,
                               struct err_detail *why)
{
    enum err err = check_state(request->control, member, state, is_forced, why);
    if (err) {
        return err;
    }
    struct view_change change = {.kind = VIEW_MEMBER_SET, .member = *member};
    change.member.state = state;
    view_change_say(&change, "%s is %s%s", member->name,
                    member_state_name(state), is_forced ? " (forced)" : "");
    return control_change(request, &change, why);
}

enum err control_member_set(struct control_request *request,
                            const struct control_args *args,
                            struct err_detail *why)
{
    const struct member *member = NULL;
    enum err err =
        control_find_member(request->control, args->name, &member, why);
    if (err) {
        return err;
    }
    request->to = member->number;
    if (args->state == MEMBER_DRAINING) {
        control_op_name(request->op, "drain", "%s", member->name);
    }
    return member->state == args->state
               ? ERR_NONE
               : control_member_change(request, member, args->state,
                                       args->is_forced, why);
}

enum err control_member_state(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct member *member =
        members_find(&control_view(request->control)->members, request->to);
    if (member) {
        fields_text(fields, "state", member_state_name(member->state));
    } else {
        fields_nil(fields, "state"); /* forgotten meanwhile */
    }
    if (request->op[0] != '\0') {
        fields_text(fields, "op", request->op);
    } else {
        fields_nil(fields, "op");
    }
    return ERR_NONE;
}

/* ---- forgetting ---- */

/* Whom a group still counts on, the map alone does not tell: a replica that is
 * to leave has not left before its group says so. */
static enum err check_groups(const struct control *control,
                             const struct member *member,
                             struct err_detail *why)
{
    const struct host *host = control->config.host;
    const struct group *meta = host_group(host, META_GROUP);
    const struct raft_configuration *voters =
        meta ? raft_newest_configuration(group_raft(meta)) : NULL;
    for (uint32_t i = 0; voters && i < voters->count; i++) {
        if (voters->members[i].node == member->number) {
            err_explain(why,
                        "%s votes in the meta group until three others do: "
                        "drain it, or wait; --force takes its vote, while the "
                        "others and it still run",
                        member->name);
            return ERR_REFUSED;
        }
    }
    for (uint32_t shard = 0; shard < control_view(control)->map.shard_count;
         shard++) {
        const struct host_shard_report *report = host_shard_report(host, shard);
        bool is_known = report && report->at_ms != 0;
        bool has_it = false;
        for (uint32_t i = 0; is_known && i < report->replica_count; i++) {
            has_it = has_it || report->replicas[i].node == member->number;
        }
        if (!is_known || has_it) {
            err_explain(why,
                        is_known
                            ? "%s still belongs to shard %u: wait until it "
                              "has left"
                            : "%s may still belong to shard %u, of which "
                              "nobody has reported lately",
                        member->name, shard);
            return ERR_REFUSED;
        }
    }
    return ERR_NONE;
}

static enum err check_forget(const struct control *control,
                             const struct member *member,
                             bool is_forced,
                             struct err_detail *why)
{
    if (control_view(control)->members.count > 1 &&
        member->number == host_number(control->config.host)) {
        err_explain(why,
                    "%s leads the meta group: stop its process, then forget "
                    "it",
                    member->name);
        return ERR_REFUSED;
    }
    if (control_is_up(control, member->number) && !is_forced) {
        err_explain(why,
                    "%s is up and would join again: stop its process, and "
                    "give it a few seconds to be missed; --force does it all "
                    "the same",
                    member->name);
        return ERR_REFUSED;
    }
    return is_forced ? ERR_NONE : check_groups(control, member, why);
}

enum err control_member_forget(struct control_request *request,
                               const struct control_args *args,
                               struct err_detail *why)
{
    const struct control *control = request->control;
    const struct member *member = NULL;
    enum err err = control_find_member(control, args->name, &member, why);
    if (err) {
        return err;
    }
    struct view_change change = {.kind = VIEW_MEMBER_FORGET,
                                 .number = member->number};
    view_change_say(&change, "%s is forgotten%s", member->name,
                    args->is_forced ? " (forced)" : "");
    /* What stands in the way for longer is said first. */
    err = view_check(control_view(control), &change, why);
    if (err) {
        return ERR_REFUSED;
    }
    err = check_forget(control, member, args->is_forced, why);
    return err ? err : control_change(request, &change, why);
}
