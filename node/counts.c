#include "node/counts.h"

#include "base/posix/posix_memory.h"

#include <stdlib.h>

/* What a sample is made of, gathered first, so that each line of the table
 * below only names a member. */
struct sample {
    uint64_t ready;
    uint64_t view_version;
    uint64_t map_version;
    uint64_t members;
    uint64_t peers_up;
    uint64_t shards_led;
    uint64_t replicas;
    uint64_t replicas_led_by_nobody;
    uint64_t meta_leader;
    uint64_t log_bytes;
    uint64_t log_segments;
    uint64_t log_flushes;
    uint64_t log_records;
    uint64_t resident_bytes;
    uint64_t link_messages_out;
    uint64_t link_messages_in;
    uint64_t link_bytes_out;
    uint64_t link_bytes_in;
    uint64_t link_frames_repeated;
    uint64_t link_full;
    uint64_t bus_lost;
    uint64_t bus_dropped;
    uint64_t calls_asked;
    uint64_t calls_timed_out;
    uint64_t calls_broken;
    uint64_t calls_served;
    uint64_t calls_refused;
    uint64_t requests_local;
    uint64_t requests_forwarded;
    uint64_t requests_waited;
    uint64_t requests_repeated;
    uint64_t requests_refused;
    uint64_t requests_timed_out;
    uint64_t requests_uncertain;
    uint64_t raft_sent;
    uint64_t raft_lost;
    uint64_t raft_received;
};

struct line {
    const char *name;
    const char *help;
    size_t offset; /* in struct sample */
    bool is_gauge;
};

#define GAUGE(member, name_text, help_text)                         \
    {                                                               \
        .name = "troupe_" name_text, .help = help_text,             \
        .offset = offsetof(struct sample, member), .is_gauge = true \
    }
#define COUNTER(member, name_text, help_text)                    \
    {                                                            \
        .name = "troupe_" name_text "_total", .help = help_text, \
        .offset = offsetof(struct sample, member)                \
    }

/* clang-format off */
static const struct line lines[] = {
    GAUGE(ready, "ready", "Whether the node serves all that it shall (1)."),
    GAUGE(view_version, "view_version", "Version of the cluster's view here."),
    GAUGE(map_version, "map_version", "Version of the shard map here."),
    GAUGE(members, "members", "Members of the cluster by this node's view."),
    GAUGE(peers_up, "peers_up", "Other processes that are linked and heard."),
    GAUGE(shards_led, "shards_led", "Shards that this node leads."),
    GAUGE(replicas, "replicas", "Replicas of shards on this node."),
    GAUGE(replicas_led_by_nobody, "replicas_without_leader",
          "Replicas here that know of no leader."),
    GAUGE(meta_leader, "meta_leader",
          "Whether this node leads the meta group (1)."),
    GAUGE(log_bytes, "log_bytes", "Size of the durable log's segments."),
    GAUGE(log_segments, "log_segments", "Segments of the durable log."),
    COUNTER(log_flushes, "log_flushes",
            "Writes of the durable log, each with one fdatasync."),
    COUNTER(log_records, "log_records", "Records appended to the durable log."),
    GAUGE(resident_bytes, "resident_bytes", "Memory of the process."),
    GAUGE(link_messages_out, "link_messages_out",
          "Messages taken by the present links."),
    GAUGE(link_messages_in, "link_messages_in",
          "Messages delivered by the present links."),
    GAUGE(link_bytes_out, "link_bytes_out", "Bytes of those messages."),
    GAUGE(link_bytes_in, "link_bytes_in", "Bytes of those messages."),
    GAUGE(link_frames_repeated, "link_frames_repeated",
          "Frames that the present links sent again."),
    GAUGE(link_full, "link_full",
          "Times that a window of the present links was full."),
    COUNTER(bus_lost, "bus_lost", "Hints on the bus that never came."),
    COUNTER(bus_dropped, "bus_dropped",
            "Hints not sent since the bus was slow."),
    COUNTER(calls_asked, "calls_asked", "Questions to other processes."),
    COUNTER(calls_timed_out, "calls_timed_out",
            "Those of them that nobody answered in time."),
    COUNTER(calls_broken, "calls_broken",
            "Those of them that a link or a process broke off."),
    COUNTER(calls_served, "calls_served", "Questions answered here."),
    COUNTER(calls_refused, "calls_refused",
            "Questions refused here: too many, unknown or not allowed."),
    COUNTER(requests_local, "requests_local",
            "Requests to shards answered by this node itself."),
    COUNTER(requests_forwarded, "requests_forwarded",
            "Requests to shards passed on to the node that leads."),
    COUNTER(requests_waited, "requests_waited",
            "Requests that had to wait for a leader."),
    COUNTER(requests_repeated, "requests_repeated", "Requests sent again."),
    COUNTER(requests_refused, "requests_refused",
            "Requests refused since too many waited."),
    COUNTER(requests_timed_out, "requests_timed_out",
            "Requests that were not answered in time."),
    COUNTER(requests_uncertain, "requests_uncertain",
            "Requests of which nobody knows whether they happened."),
    COUNTER(raft_sent, "raft_messages_sent", "Consensus messages sent."),
    COUNTER(raft_lost, "raft_messages_lost",
            "Consensus messages that a link did not take."),
    COUNTER(raft_received, "raft_messages_received",
            "Consensus messages received."),
};
/* clang-format on */

#define LINE_COUNT (sizeof lines / sizeof *lines)

struct counts {
    struct counts_config config;
    uint64_t told[LINE_COUNT]; /* of counters: what was added so far */
    struct metrics_counter *counters[LINE_COUNT];
    struct metrics_gauge *gauges[LINE_COUNT];
};

enum err counts_open(struct counts **out, const struct counts_config *config)
{
    struct counts *counts = calloc(1, sizeof *counts);
    if (!counts) {
        return ERR_MEMORY;
    }
    counts->config = *config;
    enum err err = ERR_NONE;
    for (size_t i = 0; i < LINE_COUNT && !err; i++) {
        struct metrics_about about = {.name = lines[i].name,
                                      .help = lines[i].help};
        err =
            lines[i].is_gauge
                ? metrics_add_gauge(config->metrics, &counts->gauges[i], &about)
                : metrics_add_counter(config->metrics, &counts->counters[i],
                                      &about);
    }
    if (err) {
        free(counts);
        return err;
    }
    *out = counts;
    return ERR_NONE;
}

void counts_close(struct counts **counts)
{
    free(*counts);
    *counts = NULL;
}

static void add_peer(void *context, struct peer *peer)
{
    struct sample *sample = context;
    const struct link_stats *stats = peer_stats(peer);
    sample->peers_up += peer_is_up(peer);
    sample->link_messages_out += stats->messages_out;
    sample->link_messages_in += stats->messages_in;
    sample->link_bytes_out += stats->bytes_out;
    sample->link_bytes_in += stats->bytes_in;
    sample->link_frames_repeated += stats->frames_repeated;
    sample->link_full += stats->full_count;
}

static void add_groups(struct sample *sample, const struct host *host)
{
    const struct view *view = host_view(host);
    const struct group *meta = host_group(host, META_GROUP);
    uint32_t shard_count = view ? view->map.shard_count : 0;
    for (uint32_t shard = 0; shard < shard_count; shard++) {
        const struct group *group = host_group(host, shard_group_id(shard));
        if (group) {
            sample->replicas++;
            sample->shards_led += raft_is_settled(group_raft(group));
            sample->replicas_led_by_nobody +=
                raft_leader(group_raft(group)) == 0;
        }
    }
    sample->view_version = view ? view->version : 0;
    sample->map_version = view ? view->map.version : 0;
    sample->members = view ? view->members.count : 0;
    sample->meta_leader = meta && raft_is_settled(group_raft(meta));
}

static void add_store(struct sample *sample, const struct host *host)
{
    struct wal_stats stats = host_log_stats(host);
    sample->log_bytes = stats.bytes;
    sample->log_segments = stats.segment_count;
    sample->log_flushes = stats.flush_count;
    sample->log_records = stats.record_count;
    sample->resident_bytes = posix_memory_resident_bytes();
}

static void add_traffic(struct sample *sample, const struct counts_config *from)
{
    const struct bus_stats *bus = endpoint_bus_stats(from->endpoint);
    const struct calls_stats *calls = calls_stats(from->calls);
    const struct raft_links_stats *raft = raft_links_stats(from->raft_links);
    endpoint_peer_each(from->endpoint, add_peer, sample);
    sample->bus_lost = bus ? bus->lost : 0;
    sample->bus_dropped = bus ? bus->dropped : 0;
    sample->calls_asked = calls->asked;
    sample->calls_timed_out = calls->timed_out;
    sample->calls_broken = calls->broken;
    sample->calls_served = calls->served;
    sample->calls_refused = calls->refused;
    sample->raft_sent = raft->sent;
    sample->raft_lost = raft->lost;
    sample->raft_received = raft->received;
}

static void add_requests(struct sample *sample, const struct router *router)
{
    const struct router_stats *stats = router_stats(router);
    sample->requests_local = stats->local;
    sample->requests_forwarded = stats->forwarded;
    sample->requests_waited = stats->waited;
    sample->requests_repeated = stats->repeated;
    sample->requests_refused = stats->refused;
    sample->requests_timed_out = stats->timed_out;
    sample->requests_uncertain = stats->uncertain;
}

static uint64_t value_of(const struct sample *sample, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)sample + offset);
}

void counts_sample(struct counts *counts,
                   const struct router *router,
                   bool is_ready)
{
    struct sample sample = {.ready = is_ready};
    add_groups(&sample, counts->config.host);
    add_store(&sample, counts->config.host);
    add_traffic(&sample, &counts->config);
    if (router) {
        add_requests(&sample, router);
    }
    for (size_t i = 0; i < LINE_COUNT; i++) {
        uint64_t value = value_of(&sample, lines[i].offset);
        if (lines[i].is_gauge) {
            metrics_gauge_set(counts->gauges[i], (int64_t)value);
        } else if (value > counts->told[i]) {
            metrics_counter_add(counts->counters[i], value - counts->told[i]);
            counts->told[i] = value;
        }
    }
}
