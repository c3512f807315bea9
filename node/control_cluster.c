/*
 * The cluster as a whole, the links of this node, and the audit journal.
 */

#include "node/control_core.h"

#include "base/pack.h"
#include "base/posix/posix_memory.h"
#include "base/time_units.h"

#include <stdarg.h>
#include <stdio.h>

#define LINES_STANDARD 100
#define NAMES_BYTES 200
#define SHARDS_NAMED 8 /* in a problem */

/* ---- cluster.status ---- */

struct counts {
    uint32_t heard;
    uint32_t of_state[MEMBER_STATE_COUNT];
    uint32_t led;
    uint32_t whole;
    uint32_t moving;
    uint32_t unled;
    uint32_t unled_first[SHARDS_NAMED];
};

static struct counts count_all(const struct control *control)
{
    const struct view *view = control_view(control);
    struct counts counts = {0};
    for (uint32_t i = 0; i < view->members.count; i++) {
        counts.of_state[view->members.list[i].state]++;
        counts.heard += control_is_up(control, view->members.list[i].number);
    }
    for (uint32_t shard = 0; shard < view->map.shard_count; shard++) {
        struct control_shard look = control_look(control, shard);
        bool is_led = look.report.leader != MEMBER_NONE;
        counts.led += is_led;
        counts.whole += look.is_whole;
        counts.moving += look.state == SHARD_MOVING;
        if (!is_led && (look.is_heard || control_leads(control))) {
            if (counts.unled < SHARDS_NAMED) {
                counts.unled_first[counts.unled] = shard;
            }
            counts.unled++;
        }
    }
    return counts;
}

static void write_names(const struct control *control,
                        struct fields *fields,
                        const char *key,
                        const uint32_t *numbers,
                        uint32_t count)
{
    struct fields list = fields_list(fields, key);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = control_node_name(control, numbers[i]);
        pack_text(fields_item(&list), name ? name : "?");
    }
    fields_end(&list);
}

static void write_meta(const struct control *control, struct fields *fields)
{
    struct control_meta meta = control_meta_of(control);
    struct fields inner = fields_map(fields, "meta");
    control_write_node(control, &inner, "leader", meta.leader);
    if (meta.term > 0) {
        fields_uint(&inner, "term", meta.term);
    } else {
        fields_nil(&inner, "term");
    }
    write_names(control, &inner, "voters", meta.voters, meta.voter_count);
    write_names(control, &inner, "missing", meta.missing, meta.missing_count);
    fields_end(&inner);
}

static void write_counts(const struct view *view,
                         const struct counts *counts,
                         struct fields *fields)
{
    struct fields members = fields_map(fields, "members");
    fields_uint(&members, "total", view->members.count);
    fields_uint(&members, "heard", counts->heard);
    for (int i = 0; i < MEMBER_STATE_COUNT; i++) {
        fields_uint(&members, member_state_name((enum member_state)i),
                    counts->of_state[i]);
    }
    fields_end(&members);
    struct fields shards = fields_map(fields, "shards");
    fields_uint(&shards, "total", view->map.shard_count);
    fields_uint(&shards, "led", counts->led);
    fields_uint(&shards, "whole", counts->whole);
    fields_uint(&shards, "moving", counts->moving);
    fields_uint(&shards, "unled", counts->unled);
    fields_end(&shards);
}

__attribute__((format(printf, 2, 3))) static void write_problem(
    struct fields *problems, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pack_text(fields_item(problems), text);
}

static void write_member_problems(const struct control *control,
                                  struct fields *problems)
{
    const struct members *members = &control_view(control)->members;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if (member->state == MEMBER_DOWN) {
            write_problem(problems,
                          "%s is down: its shards are made anew elsewhere",
                          member->name);
        } else if (!control_is_up(control, member->number)) {
            write_problem(problems, "%s is not heard", member->name);
        } else if (control_is_full(control, member->number)) {
            write_problem(problems,
                          "the disk of %s is nearly full: what it leads takes "
                          "no writes, and it gets no more shards",
                          member->name);
        }
        const struct host_node_report *report =
            control_node_report(control, member->number);
        if (report && report->waiting_count > 0) {
            write_problem(problems,
                          "%s runs with %u settings that were changed since: "
                          "restart it",
                          member->name, report->waiting_count);
        }
        uint32_t staying = 0;
        if (member->state == MEMBER_DRAINING &&
            !control_staying(control, member->number, &staying) &&
            staying > 0) {
            write_problem(problems,
                          "%s is to be drained, and waits for another node: "
                          "%u shards have nowhere to go",
                          member->name, staying);
        }
    }
}

static void write_unled(const struct counts *counts, struct fields *problems)
{
    char shards[NAMES_BYTES] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < counts->unled && i < SHARDS_NAMED; i++) {
        int added = snprintf(shards + length, sizeof shards - length, "%s%u",
                             i > 0 ? ", " : "", counts->unled_first[i]);
        length += added > 0 ? (size_t)added : 0;
    }
    if (counts->unled > 0) {
        write_problem(problems, "%u shards have no leader: %s%s", counts->unled,
                      shards, counts->unled > SHARDS_NAMED ? " ..." : "");
    }
}

static void write_problems(const struct control *control,
                           const struct counts *counts,
                           struct fields *fields)
{
    const struct view *view = control_view(control);
    struct control_meta meta = control_meta_of(control);
    struct fields problems = fields_list(fields, "problems");
    if (!control_leads(control)) {
        write_problem(&problems,
                      "seen from %s alone: it does not lead the meta group",
                      control->name);
    }
    if (meta.missing_count > 0) {
        char names[NAMES_BYTES];
        control_names_text(control, meta.missing, meta.missing_count, names,
                           sizeof names);
        write_problem(&problems, "the meta group misses %u of %u voters: %s",
                      meta.missing_count, meta.voter_count, names);
    }
    if (!view->is_founded) {
        write_problem(&problems, "not all shards have begun yet");
    }
    if (view->is_paused) {
        write_problem(&problems, "shards stay where they are: troupe shard "
                                 "resume lets them move");
    }
    write_member_problems(control, &problems);
    write_unled(counts, &problems);
    uint32_t rest = counts->led - counts->whole;
    if (control_leads(control) && rest > counts->moving) {
        write_problem(&problems,
                      "%u shards have replicas that are away or "
                      "far behind",
                      rest - counts->moving);
    }
    fields_end(&problems);
}

enum err control_cluster_status(const struct control_request *request,
                                const struct control_args *args,
                                struct fields *fields,
                                struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    struct counts counts = count_all(control);
    char id[2 * CLUSTER_ID_BYTES + 1];
    hex_encode(id, bytes_of(view->cluster_id, sizeof view->cluster_id));
    struct fields cluster = fields_map(fields, "cluster");
    fields_text(&cluster, "id", id);
    fields_text(&cluster, "name", view->cluster_name);
    fields_end(&cluster);
    fields_bool(fields, "founded", view->is_founded);
    fields_bool(fields, "paused", view->is_paused);
    fields_uint(fields, "feature_level", view->feature_level);
    write_meta(control, fields);
    write_counts(view, &counts, fields);
    control_write_balance(fields, "balance", &view->members, &view->map);
    write_problems(control, &counts, fields);
    return ERR_NONE;
}

/* ---- cluster.links ---- */

struct links_walk {
    const struct control *control;
    struct fields *links;
};

static void write_stats(const struct link_stats *stats, struct fields *link)
{
    fields_uint(link, "bytes_out", stats->bytes_out);
    fields_uint(link, "bytes_in", stats->bytes_in);
    fields_uint(link, "frames_out", stats->frames_out);
    fields_uint(link, "frames_in", stats->frames_in);
    fields_uint(link, "frames_repeated", stats->frames_repeated);
    fields_uint(link, "frames_duplicate", stats->frames_duplicate);
    fields_uint(link, "frames_gap", stats->frames_gap);
    fields_uint(link, "frames_refused", stats->frames_refused);
    fields_uint(link, "fleeting_dropped", stats->fleeting_dropped);
    fields_uint(link, "undelivered", stats->undelivered);
    fields_uint(link, "full_count", stats->full_count);
    fields_uint(link, "connection_count", stats->connection_count);
    fields_uint(link, "session_count", stats->session_count);
    fields_uint(link, "rekey_count", stats->rekey_count);
    if (stats->round_trip_ns > 0) {
        fields_uint(link, "round_trip_ns", stats->round_trip_ns);
    } else {
        fields_nil(link, "round_trip_ns");
    }
}

static void write_link(void *context, struct peer *peer)
{
    struct links_walk *walk = context;
    const struct link_stats *stats = peer_stats(peer);
    uint64_t heard_ns = peer_heard_ns(peer);
    uint64_t now_ns = clock_now_ns(walk->control->config.clock);
    struct fields link = fields_item_map(walk->links);
    fields_text(&link, "name", peer_name(peer));
    fields_text(&link, "role", role_text(peer_role(peer)));
    fields_bool(&link, "is_up", peer_is_up(peer));
    if (heard_ns > 0) {
        fields_uint(&link, "heard_ms_ago",
                    now_ns > heard_ns ? (now_ns - heard_ns) / NS_PER_MS : 0);
    } else {
        fields_nil(&link, "heard_ms_ago");
    }
    fields_hex(&link, "incarnation", peer_incarnation(peer));
    fields_uint(&link, "sent", stats->messages_out);
    fields_uint(&link, "received", stats->messages_in);
    fields_uint(&link, "held_bytes", peer_held_bytes(peer));
    write_stats(stats, &link);
    fields_end(&link);
}

enum err control_cluster_links(const struct control_request *request,
                               const struct control_args *args,
                               struct fields *fields,
                               struct err_detail *why)
{
    (void)args;
    (void)why;
    struct fields links = fields_list(fields, "links");
    struct links_walk walk = {.control = request->control, .links = &links};
    endpoint_peer_each(request->control->config.endpoint, write_link, &walk);
    fields_end(&links);
    return ERR_NONE;
}

/* ---- events ---- */

struct lines_walk {
    struct fields *lines; /* NULL: only counted */
    uint64_t count;
    uint64_t skip; /* so many first */
    uint64_t left;
    uint64_t newest;
};

static void visit_line(void *context, const struct meta_line *line)
{
    struct lines_walk *walk = context;
    walk->count++;
    walk->newest = line->number;
    if (!walk->lines || walk->count <= walk->skip || walk->left == 0) {
        return;
    }
    walk->left--;
    struct fields fields = fields_item_map(walk->lines);
    fields_uint(&fields, "number", line->number);
    fields_int(&fields, "at_ms", line->at_ms);
    fields_text(&fields, "who", line->who);
    fields_text(&fields, "text", line->text);
    fields_end(&fields);
}

enum err control_cluster_events(const struct control_request *request,
                                const struct control_args *args,
                                struct fields *fields,
                                struct err_detail *why)
{
    (void)why;
    const struct meta *meta = host_meta(request->control->config.host);
    bool has_since = args->given & ARG_SINCE;
    uint64_t limit = args->given & ARG_LIMIT ? args->limit : LINES_STANDARD;
    struct lines_walk all = {0};
    meta_journal_each(meta, 0, visit_line, &all);
    struct fields lines = fields_list(fields, "lines");
    struct lines_walk walk = {
        .lines = &lines,
        .left = limit,
        .skip = !has_since && all.count > limit ? all.count - limit : 0};
    if (!has_since || args->since < all.newest) {
        meta_journal_each(meta, has_since ? args->since + 1 : 0, visit_line,
                          &walk);
    }
    fields_end(&lines);
    fields_uint(fields, "newest", all.newest);
    return ERR_NONE;
}

/* ---- node.info ---- */

static void write_cluster_id(const struct view *view, struct fields *fields)
{
    char id[2 * CLUSTER_ID_BYTES + 1];
    if (view) {
        hex_encode(id, bytes_of(view->cluster_id, sizeof view->cluster_id));
        fields_text(fields, "cluster_id", id);
    } else {
        fields_nil(fields, "cluster_id");
    }
}

static void write_shards_here(const struct control *control,
                              struct fields *fields)
{
    const struct view *view = host_view(control->config.host);
    uint64_t leads = 0;
    uint64_t replicas = 0;
    for (uint32_t i = 0; view && i < view->map.shard_count; i++) {
        const struct group *group =
            host_group(control->config.host, shard_group_id(i));
        replicas += group != NULL;
        leads += group && raft_is_settled(group_raft(group));
    }
    fields_uint(fields, "leads", leads);
    fields_uint(fields, "replicas", replicas);
}

enum err control_cluster_node_info(const struct control_request *request,
                                   const struct control_args *args,
                                   struct fields *fields,
                                   struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control *control = request->control;
    const struct host *host = control->config.host;
    const struct view *view = host_view(host);
    uint32_t number = host_number(host);
    const struct member *self =
        view ? members_find(&view->members, number) : NULL;
    struct err_detail waits = {{0}};
    bool is_ready = host_is_ready(host, &waits);
    uint64_t resident_bytes = posix_memory_resident_bytes();
    fields_text(fields, "name", control->name);
    if (self) {
        fields_uint(fields, "number", number);
    } else {
        fields_nil(fields, "number");
    }
    fields_text(fields, "release", TROUPE_VERSION);
    fields_bool(fields, "ready", is_ready);
    fields_text(fields, "why", waits.text);
    write_shards_here(control, fields);
    if (resident_bytes > 0) {
        fields_uint(fields, "memory", resident_bytes);
    } else {
        fields_nil(fields, "memory");
    }
    fields_uint(fields, "uptime_ms",
                (clock_now_ns(control->config.clock) - control->opened_ns) /
                    NS_PER_MS);
    fields_hex(fields, "disk_id", self ? self->disk_id : 0);
    write_cluster_id(view, fields);
    fields_hex(fields, "view_digest", view ? view_digest(view) : 0);
    fields_int(fields, "now_ms", clock_wall_ms(control->config.clock));
    return ERR_NONE;
}
