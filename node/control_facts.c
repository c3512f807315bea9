#include "node/control_core.h"

#include "base/time_units.h"

#include <assert.h>
#include <stdio.h>

const struct view *control_view(const struct control *control)
{
    const struct view *view = host_view(control->config.host);
    assert(view);
    return view;
}

bool control_leads(const struct control *control)
{
    const struct group *group = host_group(control->config.host, META_GROUP);
    return group && raft_is_settled(group_raft(group));
}

/* ---- nodes ---- */

const char *control_node_name(const struct control *control, uint32_t number)
{
    const struct member *member =
        members_find(&control_view(control)->members, number);
    return member ? member->name : NULL;
}

void control_write_node(const struct control *control,
                        struct fields *fields,
                        const char *key,
                        uint32_t number)
{
    const char *name = control_node_name(control, number);
    if (name) {
        fields_text(fields, key, name);
    } else {
        fields_nil(fields, key);
    }
}

enum err control_find_member(const struct control *control,
                             const char *name,
                             const struct member **out,
                             struct err_detail *why)
{
    *out = members_find_name(&control_view(control)->members, name);
    if (!*out) {
        err_explain(why, "no node is called %s: troupe node ls shows all",
                    name);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

enum err control_check_shard(const struct control *control,
                             uint64_t shard,
                             struct err_detail *why)
{
    uint32_t count = control_view(control)->map.shard_count;
    if (shard >= count) {
        err_explain(why, "there is no shard %llu; the last one is %u",
                    (unsigned long long)shard, count - 1);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

static bool is_fresh(const struct control *control, int64_t at_ms)
{
    return at_ms != 0 &&
           clock_wall_ms(control->config.clock) - at_ms < CONTROL_FRESH_MS;
}

const struct host_node_report *control_node_report(
    const struct control *control, uint32_t number)
{
    const struct host_node_report *report =
        control_leads(control) ? host_node_report(control->config.host, number)
                               : NULL;
    return report && report->at_ms != 0 ? report : NULL;
}

bool control_is_up(const struct control *control, uint32_t number)
{
    const struct host_node_report *report =
        control_node_report(control, number);
    struct peer *peer = host_peer(control->config.host, number);
    if (number == host_number(control->config.host)) {
        return true;
    }
    return report ? is_fresh(control, report->at_ms) : peer && peer_is_up(peer);
}

static bool is_heard(const struct control *control, const struct peer *peer)
{
    uint64_t quiet_ns = settings_quiet_ms(control->config.settings) * NS_PER_MS;
    return peer && peer_is_up(peer) &&
           clock_now_ns(control->config.clock) - peer_heard_ns(peer) < quiet_ns;
}

bool control_is_full(const struct control *control, uint32_t number)
{
    const struct host_node_report *report =
        control_node_report(control, number);
    return report && report->is_full;
}

/* ---- the meta group ---- */

const struct raft_configuration *control_group_members(
    const struct control *control, uint32_t group)
{
    const struct group *replica = host_group(control->config.host, group);
    return replica ? raft_newest_configuration(group_raft(replica)) : NULL;
}

static void add_voter(const struct control *control,
                      struct control_meta *meta,
                      uint32_t number)
{
    const struct host *host = control->config.host;
    bool is_there = number == host_number(host) ||
                    is_heard(control, host_peer(host, number));
    if (meta->voter_count < RAFT_MEMBERS_MAX) {
        meta->voters[meta->voter_count++] = number;
    }
    if (!is_there && meta->missing_count < RAFT_MEMBERS_MAX) {
        meta->missing[meta->missing_count++] = number;
    }
}

/* Who has no replica of it knows the members that may vote only: those of them
 * that are away may be what is missing. */
struct control_meta control_meta_of(const struct control *control)
{
    struct control_meta meta = {.leader =
                                    host_meta_leader(control->config.host)};
    const struct raft_configuration *group =
        control_group_members(control, META_GROUP);
    const struct members *members = &control_view(control)->members;
    if (group) {
        meta.term =
            raft_term(group_raft(host_group(control->config.host, META_GROUP)));
        for (uint32_t i = 0; i < group->count; i++) {
            if (group->members[i].is_voter) {
                add_voter(control, &meta, group->members[i].node);
            }
        }
        return meta;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].roles & SETTINGS_VOTER) {
            add_voter(control, &meta, members->list[i].number);
        }
    }
    return meta;
}

void control_names_text(const struct control *control,
                        const uint32_t *numbers,
                        uint32_t count,
                        char *to,
                        size_t capacity)
{
    size_t length = 0;
    to[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        const char *name = control_node_name(control, numbers[i]);
        int added =
            snprintf(to + length, capacity - length, "%s%s", i > 0 ? ", " : "",
                     name ? name : "a node that is gone");
        if (added < 0 || (size_t)added >= capacity - length) {
            return;
        }
        length += (size_t)added;
    }
}

/* ---- shards ---- */

/* What our replica knows. */
static bool look_here(const struct control *control,
                      uint32_t shard,
                      struct host_shard_report *out)
{
    const struct group *group =
        host_group(control->config.host, shard_group_id(shard));
    if (!group) {
        return false;
    }
    const struct raft *raft = group_raft(group);
    const struct raft_configuration *members = raft_newest_configuration(raft);
    bool leads = raft_is_settled(raft);
    *out = (struct host_shard_report){
        .leader = host_leader(control->config.host, shard),
        .term = raft_term(raft),
        .applied_index = group_applied_index(group),
        .log_bytes = raft_log_bytes(raft),
        .replica_count = members->count};
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        uint64_t match = member->number == raft_number(raft)
                             ? raft_stable_index(raft)
                             : raft_match_index(raft, member->number);
        uint64_t last = raft_last_index(raft);
        out->replicas[i] =
            (struct host_replica){.node = member->node,
                                  .is_voter = member->is_voter,
                                  .lag = !leads || match == 0 ? UINT64_MAX
                                         : last > match       ? last - match
                                                              : 0};
    }
    return true;
}

/* Its members are those of the map, and all vote. */
static bool are_replicas_near(const struct control *control,
                              const struct host_shard_report *report)
{
    for (uint32_t i = 0; i < report->replica_count; i++) {
        if (report->replicas[i].lag > CONTROL_LAG_MAX ||
            !control_is_up(control, report->replicas[i].node)) {
            return false;
        }
    }
    return true;
}

struct control_shard control_look(const struct control *control, uint32_t shard)
{
    struct control_shard look = {.report = {.leader = MEMBER_NONE}};
    const struct host_shard_report *heard =
        control_leads(control) ? host_shard_report(control->config.host, shard)
                               : NULL;
    if (heard && heard->at_ms != 0) {
        look.report = *heard;
        look.is_heard = true;
        if (!is_fresh(control, heard->at_ms)) {
            look.report.leader = MEMBER_NONE;
        }
    } else {
        look.is_heard = look_here(control, shard, &look.report);
    }
    if (!look.is_heard) {
        return look;
    }
    if (look.report.leader == MEMBER_NONE) {
        look.state = SHARD_NO_LEADER;
        return look;
    }
    bool settled = host_report_is_of(&look.report,
                                     &control_view(control)->map.places[shard]);
    look.state = settled ? SHARD_SERVING : SHARD_MOVING;
    look.is_whole = settled && are_replicas_near(control, &look.report);
    return look;
}

void control_tally_make(const struct control *control,
                        struct control_tally *out)
{
    const struct shard_map *map = &control_view(control)->map;
    *out = (struct control_tally){0};
    for (uint32_t shard = 0; shard < map->shard_count; shard++) {
        const struct shard_place *place = &map->places[shard];
        struct control_shard look = control_look(control, shard);
        for (uint32_t i = 0; i < place->replica_count; i++) {
            out->owners[place->replicas[i]] += i == 0;
            out->replicas[place->replicas[i]]++;
        }
        if (look.report.leader < MEMBER_NUMBERS_MAX) {
            out->leads[look.report.leader]++;
        }
    }
}

enum err control_staying(const struct control *control,
                         uint32_t number,
                         uint32_t *out)
{
    struct shard_map wanted = {0};
    enum err err = host_wanted_map(control_view(control), &wanted);
    if (err) {
        return err;
    }
    *out = 0;
    for (uint32_t i = 0; i < wanted.shard_count; i++) {
        *out += shard_place_has(&wanted.places[i], number);
    }
    shard_map_clear(&wanted);
    return ERR_NONE;
}

static bool shall_hold(const struct member *member)
{
    return (member->roles & SETTINGS_SHARD) &&
           (member->state == MEMBER_ACTIVE || member->state == MEMBER_CORDONED);
}

void control_write_balance(struct fields *fields,
                           const char *key,
                           const struct members *members,
                           const struct shard_map *map)
{
    uint32_t holder_count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        holder_count += shall_hold(&members->list[i]);
    }
    struct shard_balance balance = shard_balance_of(map, holder_count);
    struct fields inner = fields_map(fields, key);
    fields_uint(&inner, "owners_max", balance.owners_max);
    fields_real(&inner, "owners_mean", balance.owners_mean);
    fields_uint(&inner, "replicas_max", balance.replicas_max);
    fields_real(&inner, "replicas_mean", balance.replicas_mean);
    fields_end(&inner);
}
