#include "shard/host_core.h"

#include "base/owner.h"
#include "base/pack.h"

#include <stdlib.h>
#include <string.h>

#define FRESH_REPORTS 4 /* a report counts for so many periods */
#define HEAD_BYTES 512
#define SHARD_BYTES (64 + RAFT_MEMBERS_MAX * 20)
#define ANSWER_BYTES 32
#define REPORT_FIELDS 11
#define REPORT_FIELDS_DISK 10 /* of releases without settings that wait */
#define REPORT_FIELDS_MIN 6   /* of releases without disk and memory */
#define LAG_UNHEARD UINT64_MAX

/* ---- reporting ---- */

/* Which nodes we hear, ourselves too: one bit for each number. */
static void write_hears(const struct host *host, struct writer *writer)
{
    uint8_t hears[(MEMBER_NUMBERS_MAX + 7) / 8] = {0};
    for (uint32_t i = 0; i < MEMBER_NUMBERS_MAX; i++) {
        struct peer *peer = host_peer(host, i);
        if (i == host->number || (peer && peer_is_up(peer))) {
            hears[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
    pack_bin(writer, bytes_of(hears, sizeof hears));
}

static uint64_t rate_of(struct host *host, uint32_t id, uint64_t applied)
{
    struct slot *slot = &host->slots[id];
    uint64_t now_ns = host_now_ns(host);
    uint64_t passed_ns = now_ns - slot->rate_ns;
    uint64_t rate = 0;
    if (slot->rate_ns != 0 && passed_ns > 0 && applied > slot->rate_index) {
        rate = (applied - slot->rate_index) * NS_PER_S / passed_ns;
    }
    slot->rate_index = applied;
    slot->rate_ns = now_ns;
    return rate;
}

/* [shard, term, applied, log bytes, rate, [[node, votes, lag], ...],
 * generation]; without the last one from those who do not know it */
static void write_shard(struct host *host,
                        struct writer *writer,
                        uint32_t shard,
                        const struct group *group)
{
    const struct raft *raft = group_raft(group);
    /* Only what is committed has happened: a change that is under way may yet
     * be lost with its leader. */
    const struct raft_configuration *members =
        raft_committed_configuration(raft);
    uint64_t applied = group_applied_index(group);
    pack_record(writer, 7);
    pack_uint(writer, shard);
    pack_uint(writer, raft_term(raft));
    pack_uint(writer, applied);
    pack_uint(writer, raft_log_bytes(raft));
    pack_uint(writer, rate_of(host, shard_group_id(shard), applied));
    pack_array(writer, members->count);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        uint64_t match = member->number == raft_number(raft)
                             ? raft_stable_index(raft)
                             : raft_match_index(raft, member->number);
        pack_record(writer, 3);
        pack_uint(writer, member->node);
        pack_bool(writer, member->is_voter);
        pack_uint(writer, match == 0 ? LAG_UNHEARD
                          : raft_last_index(raft) > match
                              ? raft_last_index(raft) - match
                              : 0);
        pack_record_end(writer);
    }
    pack_uint(writer, raft_generation_of(raft_number(raft)));
    pack_record_end(writer);
}

static const struct group *led_group(const struct host *host, uint32_t shard)
{
    const struct group *group = host_group(host, shard_group_id(shard));
    return group && raft_is_settled(group_raft(group)) ? group : NULL;
}

/* [version, incarnation, view version, release, hears, [shard, ...], free
 * bytes of the disk, resident bytes, feature level, is full, settings that
 * wait] */
static bool write_report(struct host *host, struct writer *writer)
{
    uint32_t shard_count = host->view->map.shard_count;
    uint32_t led = 0;
    for (uint32_t shard = 0; shard < shard_count; shard++) {
        led += led_group(host, shard) != NULL;
    }
    size_t bytes = HEAD_BYTES + (size_t)led * SHARD_BYTES;
    uint8_t *buffer = host_buffer(host, bytes);
    if (!buffer) {
        return false;
    }
    *writer = writer_of(buffer, bytes);
    pack_record(writer, REPORT_FIELDS);
    pack_uint(writer, HOST_WIRE_VERSION);
    pack_uint(writer, endpoint_incarnation(host->config.endpoint));
    pack_uint(writer, host->view->version);
    pack_text(writer, host->config.self.release);
    write_hears(host, writer);
    pack_array(writer, led);
    for (uint32_t shard = 0; shard < shard_count; shard++) {
        const struct group *group = led_group(host, shard);
        if (group) {
            write_shard(host, writer, shard, group);
        }
    }
    pack_uint(writer, host_log_stats(host).free_bytes);
    pack_uint(writer,
              host->config.resident_bytes ? host->config.resident_bytes() : 0);
    pack_uint(writer, host->config.self.feature_level);
    pack_bool(writer, wal_is_low(multiraft_wal(host->multiraft)));
    pack_uint(writer, host->waiting_count);
    pack_record_end(writer);
    return !writer->failed;
}

/* [version, view version, leader] */
static void on_report_answer(struct errand *errand,
                             enum err err,
                             struct bytes answer)
{
    struct host *host = errand->host;
    struct reader reader = reader_of(answer);
    if (err && err != ERR_NOT_LEADER) {
        host->heard_meta_leader = MEMBER_NONE; /* somebody else may know */
        return;
    }
    (void)host_read_head(&reader, 3);
    uint64_t newest = pack_read_uint(&reader);
    uint64_t leader = pack_read_uint(&reader);
    if (reader.failed) {
        host->heard_meta_leader = MEMBER_NONE;
        return;
    }
    host->heard_meta_leader = (uint32_t)leader;
    if (!err && newest > host->confirmed_version) {
        host->confirmed_version = newest; /* it leads: so that is the newest */
        host_poke(host);
    }
    if (newest > host->newest_version) {
        host->newest_version = newest;
        host_poke(host);
    }
}

static void note_alive(struct host *host);

void report_step(struct host *host)
{
    struct writer writer;
    uint32_t leader = host_meta_leader(host);
    if (!host_leads_meta(host)) {
        report_forget(host);
    }
    if (!host->view || host->number == MEMBER_NONE || leader == MEMBER_NONE ||
        !write_report(host, &writer)) {
        return;
    }
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    errand->done = on_report_answer;
    if (!host_ask_number(errand, leader, HOST_SERVICE_REPORT,
                         writer_bytes(&writer)) &&
        leader == host->heard_meta_leader) {
        host->heard_meta_leader = MEMBER_NONE;
    }
    note_alive(host);
}

/* ---- hearing reports ---- */

void report_forget(struct host *host)
{
    if (host->news) {
        shard_map_clear(&host->news->wanted);
        free(host->news->shards);
        free(host->news);
        host->news = NULL;
    }
}

/* What was gathered in an earlier term may have been overtaken meanwhile. */
static struct news *news_of(struct host *host)
{
    const struct raft *raft = group_raft(host_group(host, META_GROUP));
    uint32_t shard_count = host->view->map.shard_count;
    if (host->news && (host->news->term != raft_term(raft) ||
                       host->news->shard_count != shard_count)) {
        report_forget(host);
    }
    if (!host->news) {
        struct news *news = calloc(1, sizeof *news);
        struct shard_news *shards = calloc(shard_count, sizeof *shards);
        if (!news || !shards) {
            free(news);
            free(shards);
            return NULL;
        }
        news->term = raft_term(raft);
        news->since_ns = host_now_ns(host);
        history_note_all_settled(host->history);
        news->shard_count = shard_count;
        news->shards = shards;
        for (uint32_t i = 0; i < shard_count; i++) {
            shards[i].report.leader = MEMBER_NONE;
        }
        for (uint32_t i = 0; i < MEMBER_NUMBERS_MAX; i++) {
            news->nodes[i].alive_ns = news->since_ns;
        }
        host->news = news;
    }
    return host->news;
}

static bool read_replicas(struct host_shard_report *report,
                          struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, 0, RAFT_MEMBERS_MAX);
    report->replica_count = count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        uint32_t fields = pack_read_array_of(reader, 3, UINT32_MAX);
        report->replicas[i] =
            (struct host_replica){.node = (uint32_t)pack_read_uint(reader)};
        report->replicas[i].is_voter = pack_read_bool(reader);
        report->replicas[i].lag = pack_read_uint(reader);
        pack_skip_count(reader, fields - 3);
    }
    return !reader->failed;
}

/* Who led before we began to hear of it is not known. */
static void note_leader(struct host *host,
                        const struct shard_news *of,
                        const struct host_shard_report *report,
                        uint32_t shard)
{
    if (of->report.at_ms != 0 && of->report.leader != report->leader) {
        history_note_leader(
            host->history,
            &(struct history_line){.at_ms = report->at_ms,
                                   .shard = shard,
                                   .kind = HISTORY_LED,
                                   .leader_before = of->report.leader,
                                   .leader = report->leader,
                                   .term = report->term});
    }
}

/* By its epoch: a group that begins anew begins with the first term. */
static bool is_as_new(const struct host_shard_report *report,
                      const struct host_shard_report *than)
{
    return report->generation > than->generation ||
           (report->generation == than->generation &&
            report->term >= than->term);
}

static bool read_shard(struct host *host,
                       struct news *news,
                       uint32_t from,
                       struct reader *reader)
{
    uint32_t fields = pack_read_array(reader);
    uint64_t shard = pack_read_uint(reader);
    struct host_shard_report report = {
        .leader = from, .at_ms = clock_wall_ms(host->config.multiraft.clock)};
    report.term = pack_read_uint(reader);
    report.applied_index = pack_read_uint(reader);
    report.log_bytes = pack_read_uint(reader);
    report.rate = pack_read_uint(reader);
    if (fields < 6 || !read_replicas(&report, reader) ||
        shard >= news->shard_count) {
        return false;
    }
    if (fields > 6) {
        report.generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    }
    pack_skip_count(reader, fields > 7 ? fields - 7 : 0);
    struct shard_news *of = &news->shards[shard];
    if (report.generation >= host->view->map.places[shard].generation &&
        is_as_new(&report, &of->report)) {
        note_leader(host, of, &report, (uint32_t)shard);
        of->report = report;
        of->heard_ns = host_now_ns(host);
        of->view_version = news->nodes[from].report.view_version;
    }
    return !reader->failed;
}

static bool read_report(struct host *host,
                        struct news *news,
                        uint32_t from,
                        struct bytes bytes)
{
    struct node_news *node = &news->nodes[from];
    struct reader reader = reader_of(bytes);
    uint32_t fields = host_read_head(&reader, REPORT_FIELDS_MIN);
    if (reader.failed) {
        return false;
    }
    node->report.incarnation = pack_read_uint(&reader);
    node->report.view_version = pack_read_uint(&reader);
    pack_read_text(&reader, node->report.version, sizeof node->report.version);
    struct bytes hears = pack_read_bin(&reader);
    uint32_t count = pack_read_array(&reader);
    if (reader.failed || hears.length != sizeof node->hears) {
        return false;
    }
    memcpy(node->hears, hears.data, sizeof node->hears);
    node->report.at_ms = clock_wall_ms(host->config.multiraft.clock);
    node->heard_ns = host_now_ns(host);
    for (uint32_t i = 0; i < count; i++) {
        if (!read_shard(host, news, from, &reader)) {
            return false;
        }
    }
    node->report.feature_level = VIEW_FEATURE_LEVEL_FOUNDED;
    if (fields < REPORT_FIELDS_DISK) {
        return true;
    }
    node->report.free_bytes = pack_read_uint(&reader);
    node->report.resident_bytes = pack_read_uint(&reader);
    node->report.feature_level =
        (uint32_t)pack_read_uint_to(&reader, UINT32_MAX);
    node->report.is_full = pack_read_bool(&reader);
    node->report.waiting_count =
        fields >= REPORT_FIELDS
            ? (uint32_t)pack_read_uint_to(&reader, UINT32_MAX)
            : 0;
    return !reader.failed;
}

static uint32_t number_of(const struct host *host, const struct asked *asked)
{
    const struct certificate *from = asked_certificate(asked);
    const struct member *member =
        from ? members_find_name(&host->view->members, from->name) : NULL;
    return !from ? host->number : member ? member->number : MEMBER_NONE;
}

static void on_report(void *context, struct asked *asked, struct bytes report)
{
    struct host *host = context;
    uint8_t buffer[ANSWER_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    enum err err = ERR_NONE;
    pack_record(&writer, 3);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, host->view ? host->view->version : 0);
    pack_uint(&writer, host_meta_leader_seen(host));
    pack_record_end(&writer);
    if (!host->view || !host_leads_meta(host)) {
        err = ERR_NOT_LEADER;
    } else {
        struct news *news = news_of(host);
        uint32_t from = number_of(host, asked);
        if (!news) {
            err = ERR_MEMORY;
        } else if (from == MEMBER_NONE) {
            err = ERR_DENIED;
        } else if (!read_report(host, news, from, report)) {
            err = ERR_MALFORMED;
        }
    }
    asked_answer(&asked, err, writer_bytes(&writer));
}

/* A node lives when at least half of those who look at it hear it: a single
 * one that does not may itself be the one that is cut off. */
static void note_alive_one(struct host *host,
                           uint32_t number,
                           uint64_t fresh_ns)
{
    struct news *news = host->news;
    uint64_t now_ns = host_now_ns(host);
    uint32_t asked = 0;
    uint32_t heard = 0;
    for (uint32_t i = 0; i < host->view->members.count; i++) {
        uint32_t observer = host->view->members.list[i].number;
        const struct node_news *from = &news->nodes[observer];
        if (observer != number && from->heard_ns != 0 &&
            now_ns - from->heard_ns <= fresh_ns) {
            asked++;
            heard += (from->hears[number / 8] >> number % 8) & 1u;
        }
    }
    news->nodes[number].report.asked_count = asked;
    news->nodes[number].report.heard_count = heard;
    if (number == host->number || 2 * heard >= asked) {
        news->nodes[number].alive_ns = now_ns;
    }
}

static void note_alive(struct host *host)
{
    uint64_t fresh_ns =
        FRESH_REPORTS * (uint64_t)host->config.report_ms * NS_PER_MS;
    for (uint32_t i = 0; host->news && i < host->view->members.count; i++) {
        note_alive_one(host, host->view->members.list[i].number, fresh_ns);
    }
}

const struct host_shard_report *host_shard_report(const struct host *host,
                                                  uint32_t shard)
{
    return host->news && shard < host->news->shard_count
               ? &host->news->shards[shard].report
               : NULL;
}

const struct host_node_report *host_node_report(const struct host *host,
                                                uint32_t number)
{
    return host->news && number < MEMBER_NUMBERS_MAX
               ? &host->news->nodes[number].report
               : NULL;
}

/* ---- changes of the view ---- */

struct change_request {
    struct group_request request;
    struct asked *asked;
    struct err_detail why; /* it was refused; what was decided says so */
};

static void on_committed(struct group_request *request,
                         enum err err,
                         struct bytes reply)
{
    struct change_request *change =
        OWNER_OF(request, struct change_request, request);
    asked_answer(&change->asked, err,
                 err ? bytes_of_text(change->why.text) : reply);
    free(change);
}

static void on_change(void *context, struct asked *asked, struct bytes command)
{
    struct host *host = context;
    struct group *group = host_group(host, META_GROUP);
    struct change_request *change = calloc(1, sizeof *change);
    if (!change || !group) {
        free(change);
        asked_answer(&asked, group ? ERR_MEMORY : ERR_NOT_LEADER,
                     (struct bytes){0});
        return;
    }
    *change = (struct change_request){.request = {.done = on_committed},
                                      .asked = asked};
    enum err err = group_propose(group, command, &change->request);
    if (err) {
        free(change);
        asked_answer(&asked, err, (struct bytes){0});
        return;
    }
    err_explain(&change->why, "%s", meta_why(host->meta));
}

enum err host_change(struct host *host,
                     const struct view_change *change,
                     struct call *call)
{
    uint32_t leader = host_meta_leader(host);
    struct peer *peer = leader == MEMBER_NONE ? NULL : host_peer(host, leader);
    bool is_here = host_leads_meta(host);
    if (!is_here && !peer) {
        return ERR_UNREACHABLE;
    }
    size_t bytes = view_change_bytes_max(change);
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, bytes);
    view_change_encode(change, &writer);
    enum err err = writer.failed
                       ? ERR_TOO_LARGE
                       : calls_ask(host->config.calls, is_here ? NULL : peer,
                                   HOST_SERVICE_CHANGE, writer_bytes(&writer),
                                   HOST_ASK_MS, call);
    free(buffer);
    return err;
}

void report_serve(struct host *host)
{
    calls_serve(host->config.calls, HOST_SERVICE_REPORT, on_report, host,
                false);
    calls_serve(host->config.calls, HOST_SERVICE_CHANGE, on_change, host,
                false);
}
