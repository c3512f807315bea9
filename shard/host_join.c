#include "shard/host_core.h"

#include "base/pack.h"
#include "base/scope.h"
#include "shard/placement.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_PAUSE_NS (15 * NS_PER_MS) /* for each that is asked */
#define HELLO_FRESH_NS (5 * NS_PER_S)   /* an answer counts for so long */
#define OTHERS_NS                                                \
    (2 * NS_PER_S) /* founders wait so long for those who do not \
                      vote, and join later otherwise */
#define JOIN_PAUSE_NS (500 * NS_PER_MS)
#define FETCH_PAUSE_NS (100 * NS_PER_MS)
#define QUESTION_BYTES 2048
#define JOIN_BYTES_MAX (32u << 10) /* a value may be a path */
#define TEXT_BYTES 512

/* ---- who I am, and what I know ---- */

static void count_group(void *context, const struct wal_group *group)
{
    uint32_t *count = context;
    (void)group;
    (*count)++;
}

/* Whether this disk has ever held anything of the cluster. */
static bool has_data(const struct host *host)
{
    uint32_t count = 0;
    wal_groups(multiraft_wal(host->multiraft), count_group, &count);
    return host->view || count > 0;
}

static void write_self(const struct host *host, struct writer *writer)
{
    uint8_t digest[SETTINGS_DIGEST_BYTES];
    settings_cluster_digest(digest, host->config.settings);
    pack_uint(writer, HOST_WIRE_VERSION);
    pack_uint(writer, host->disk_id);
    pack_bool(writer, has_data(host));
    pack_uint(writer, host->view ? host->view->version : 0);
    pack_bin(writer, bytes_of(digest, sizeof digest));
}

#define SELF_FIELDS 5

struct hello {
    uint64_t disk_id;
    bool has_data;
    uint64_t view_version;
    bool is_equal;
    bool is_founded;
    struct bytes meta_members;
    uint32_t meta_leader;
};

static bool read_hello(const struct host *host,
                       struct hello *out,
                       struct bytes bytes,
                       bool is_answer)
{
    uint8_t digest[SETTINGS_DIGEST_BYTES];
    struct reader reader = reader_of(bytes);
    (void)host_read_head(&reader, SELF_FIELDS + (is_answer ? 3 : 0));
    *out = (struct hello){.disk_id = pack_read_uint(&reader)};
    out->has_data = pack_read_bool(&reader);
    out->view_version = pack_read_uint(&reader);
    struct bytes other = pack_read_bin(&reader);
    settings_cluster_digest(digest, host->config.settings);
    out->is_equal = bytes_are_equal(other, bytes_of(digest, sizeof digest));
    if (is_answer) {
        out->is_founded = pack_read_bool(&reader);
        out->meta_members = pack_read_bin(&reader);
        out->meta_leader = (uint32_t)pack_read_uint(&reader);
    }
    return !reader.failed;
}

/* HELLO, from another node. */
static void on_hello(void *context, struct asked *asked, struct bytes question)
{
    struct host *host = context;
    uint8_t buffer[QUESTION_BYTES];
    uint8_t members[RAFT_CONFIGURATION_BYTES_MAX];
    struct hello hello;
    if (!read_hello(host, &hello, question, false)) {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
        return;
    }
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct writer inner = writer_of(members, sizeof members);
    const struct group *meta = host_group(host, META_GROUP);
    if (meta) {
        raft_configuration_encode(raft_newest_configuration(group_raft(meta)),
                                  &inner);
    }
    pack_record(&writer, SELF_FIELDS + 3);
    write_self(host, &writer);
    pack_bool(&writer, host->view && host->view->is_founded);
    pack_bin(&writer, writer_bytes(&inner));
    pack_uint(&writer, host_meta_leader_seen(host));
    pack_record_end(&writer);
    asked_answer(&asked, writer.failed ? ERR_TOO_LARGE : ERR_NONE,
                 writer_bytes(&writer));
}

/*
 * The others have founded the meta group with this very disk among its
 * members. It is safe to begin under that number only because nothing was ever
 * held here, and nobody leaves a group before all shards have begun.
 */
static void begin_meta(struct host *host, const struct hello *hello)
{
    struct raft_configuration members;
    bool is_founded =
        hello->is_founded || (host->view && host->view->is_founded);
    if (is_founded || host_group(host, META_GROUP) ||
        host->slots[META_GROUP].is_lost || hello->meta_members.length == 0 ||
        raft_configuration_decode(&members, hello->meta_members)) {
        return;
    }
    for (uint32_t i = 0; i < members.count; i++) {
        if (members.members[i].disk_id == host->disk_id) {
            (void)!replicas_begin(host, META_GROUP, &members); /* again later */
            return;
        }
    }
}

static void note_meta(struct known *known, const struct hello *hello)
{
    struct raft_configuration members;
    known->has_meta = !raft_configuration_decode(&members, hello->meta_members);
    known->meta_generation =
        known->has_meta ? raft_generation_of(members.next_number - 1) : 0;
}

static void on_hello_answer(struct errand *errand,
                            enum err err,
                            struct bytes answer)
{
    struct host *host = errand->host;
    struct known *known = host_known(host, errand->name);
    struct hello hello;
    if (known) {
        known->is_asked = false;
    }
    if (err || !known || !read_hello(host, &hello, answer, true)) {
        return;
    }
    known->answered_ns = host_now_ns(host);
    known->disk_id = hello.disk_id;
    known->view_version = hello.view_version;
    known->has_data = hello.has_data;
    note_meta(known, &hello);
    known->is_equal = hello.is_equal;
    if (hello.view_version > host->newest_version) {
        host->newest_version = hello.view_version;
    }
    if (hello.meta_leader != MEMBER_NONE) {
        host->heard_meta_leader = hello.meta_leader;
    }
    begin_meta(host, &hello);
    host_poke(host);
}

static void say_hello(struct host *host, struct known *known)
{
    uint8_t buffer[QUESTION_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    pack_record(&writer, SELF_FIELDS);
    write_self(host, &writer);
    pack_record_end(&writer);
    errand->done = on_hello_answer;
    (void)snprintf(errand->name, sizeof errand->name, "%s", known->name);
    known->is_asked = host_ask(errand, known->peer, HOST_SERVICE_HELLO,
                               writer_bytes(&writer));
}

static void say_hello_to_all(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    uint64_t pause_ns = 0;
    for (struct known *known = host->known; known; known = known->next) {
        pause_ns += HELLO_PAUSE_NS; /* so that a large cluster is not flooded */
    }
    for (struct known *known = host->known; known; known = known->next) {
        if (!known->is_asked && known->peer && peer_is_up(known->peer) &&
            (known->answered_ns == 0 ||
             now_ns - known->answered_ns >= pause_ns)) {
            say_hello(host, known);
        }
    }
}

/* ---- founding ---- */

/* The first five that may vote, in the order of the settings. */
static uint32_t first_voters(const struct host *host,
                             uint32_t out[SETTINGS_META_VOTER_COUNT_MAX])
{
    const struct settings_cluster *cluster = &host->config.settings->cluster;
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if ((cluster->members[i].roles & SETTINGS_VOTER) &&
            count < SETTINGS_META_VOTER_COUNT_MAX) {
            out[count++] = i;
        }
    }
    return count;
}

/* The disk that a node of the settings has told of; 0: not lately, or it has
 * held something before. */
static uint64_t empty_disk_of(const struct host *host, uint32_t index)
{
    const char *name = host->config.settings->cluster.members[index].name;
    if (strcmp(name, host->config.self.name) == 0) {
        return host->disk_id;
    }
    const struct known *known = host_known(host, name);
    bool is_fresh = known && known->answered_ns != 0 &&
                    host_now_ns(host) - known->answered_ns < HELLO_FRESH_NS;
    if (HAS_HOST_FAULT(&host->config, FOUND_AGAIN)) {
        return index + 1u; /* as the simulator numbers its disks */
    }
    return is_fresh && !known->has_data && known->is_equal ? known->disk_id : 0;
}

static void say_why_not_joined(struct host *host, const char *why)
{
    (void)snprintf(host->why_not_joined, sizeof host->why_not_joined, "%s",
                   why);
}

static void say_why_not_founded(struct host *host, const char *name)
{
    const struct known *known = host_known(host, name);
    const char *why =
        !known || known->answered_ns == 0 ? "it has not answered yet"
        : known->has_data                 ? "it holds data already"
        : !known->is_equal ? "its settings of `cluster` differ from ours "
                             "(troupe config diff tells where)"
                           : "it has not answered lately";
    (void)snprintf(host->why_not_joined, sizeof host->why_not_joined,
                   "founding needs %s: %s", name, why);
}

/* Those who do not vote are not needed, and may be away. But when one of them
 * holds data there is a cluster, whose voters have lost what they had: beside
 * it no other is founded. */
static bool is_nobody_left(struct host *host)
{
    const struct settings_cluster *cluster = &host->config.settings->cluster;
    bool is_waited_for = false;
    if (host->founding_ns == 0) {
        host->founding_ns = host_now_ns(host);
    }
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const char *name = cluster->members[i].name;
        const struct known *known = host_known(host, name);
        if (known && known->answered_ns != 0 && known->has_data) {
            say_why_not_founded(host, name);
            return false;
        }
        is_waited_for |= strcmp(name, host->config.self.name) != 0 &&
                         (!known || known->answered_ns == 0);
    }
    return !is_waited_for ||
           host_now_ns(host) - host->founding_ns >= OTHERS_NS ||
           HAS_HOST_FAULT(&host->config, FOUND_AGAIN);
}

/* Only the first of the first voters founds, and all of them must say that
 * they have never held data. */
static void try_to_found(struct host *host)
{
    const struct settings_cluster *cluster = &host->config.settings->cluster;
    uint32_t voters[SETTINGS_META_VOTER_COUNT_MAX];
    uint32_t count = first_voters(host, voters);
    struct raft_configuration members = {.next_number = count + 1,
                                         .count = count};
    if (!host->config.may_found || has_data(host) || count == 0) {
        return;
    }
    if (settings_joins_only(host->config.settings)) {
        say_why_not_joined(host,
                           "it founds nothing, since its seeds are others "
                           "than its cluster.nodes, and none of them has "
                           "answered");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        members.members[i] =
            (struct raft_member){.number = i + 1,
                                 .node = voters[i],
                                 .disk_id = empty_disk_of(host, voters[i]),
                                 .is_voter = true};
        if (members.members[i].disk_id == 0) {
            say_why_not_founded(host, cluster->members[voters[i]].name);
            return;
        }
    }
    if (strcmp(cluster->members[voters[0]].name, host->config.self.name) == 0 &&
        is_nobody_left(host) && !replicas_begin(host, META_GROUP, &members)) {
        log_info(host_log(host), "host.founds", LOG_NUMBER("voters", count));
        group_campaign_soon(host_group(host, META_GROUP));
    }
}

static uint64_t disk_in_meta_group(const struct host *host, uint32_t node)
{
    const struct raft_configuration *members =
        raft_newest_configuration(group_raft(host_group(host, META_GROUP)));
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].node == node) {
            return members->members[i].disk_id;
        }
    }
    return 0;
}

static bool are_others_there(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    if (host->founding_ns == 0) {
        host->founding_ns = now_ns;
    }
    for (uint32_t i = 0; i < host->config.settings->cluster.member_count; i++) {
        if (disk_in_meta_group(host, i) == 0 && empty_disk_of(host, i) == 0 &&
            now_ns - host->founding_ns < OTHERS_NS) {
            return false;
        }
    }
    return true;
}

static void describe(struct member *member,
                     const struct settings *settings,
                     uint32_t index)
{
    const struct settings_member *from = &settings->cluster.members[index];
    *member = (struct member){.number = index,
                              .weight = from->weight,
                              .roles = from->roles,
                              .state = MEMBER_ACTIVE};
    (void)snprintf(member->name, sizeof member->name, "%s", from->name);
    (void)snprintf(member->zone, sizeof member->zone, "%s", from->zone);
    settings_door_url(member->door, settings, from, SETTINGS_ADVERTISED);
    settings_bus_url(member->bus, settings, from, SETTINGS_ADVERTISED);
}

static enum err first_map(const struct host *host, struct view_change *change)
{
    struct placement_node *nodes = calloc(change->members.count, sizeof *nodes);
    uint32_t count = 0;
    if (!nodes) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < change->members.count; i++) {
        const struct member *member = &change->members.list[i];
        if (member->roles & SETTINGS_SHARD) {
            nodes[count++] =
                (struct placement_node){.number = member->number,
                                        .weight = member->weight,
                                        .hash = placement_hash(member->name),
                                        .zone = placement_hash(member->zone)};
        }
    }
    enum err err = placement_make(
        &change->map, &(struct placement_request){
                          .nodes = nodes,
                          .node_count = count,
                          .replication = change->replication,
                          .shard_count = host->config.settings->cluster.shards,
                      });
    free(nodes);
    return err;
}

static enum err describe_founding(const struct host *host,
                                  struct view_change *change)
{
    const struct settings *settings = host->config.settings;
    *change = (struct view_change){
        .kind = VIEW_FOUND, .replication = settings->cluster.replication};
    memcpy(change->cluster_id, settings->cluster.id, sizeof change->cluster_id);
    (void)snprintf(change->cluster_name, sizeof change->cluster_name, "%s",
                   settings->cluster.name);
    (void)snprintf(change->who, sizeof change->who, "node/%s",
                   host->config.self.name);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < settings->cluster.member_count && !err; i++) {
        struct member member;
        describe(&member, settings, i);
        member.since_ms = clock_wall_ms(host->config.multiraft.clock);
        member.disk_id = disk_in_meta_group(host, i);
        if (member.disk_id == 0) {
            member.disk_id = empty_disk_of(host, i);
        }
        if (member.disk_id != 0) {
            err = members_add(&change->members, &member);
        }
    }
    (void)snprintf(change->text, sizeof change->text,
                   "founds the cluster with %u nodes and %u shards",
                   change->members.count, settings->cluster.shards);
    if (!err) {
        err = view_settings_make(&change->settings, settings);
    }
    if (!err) {
        err = task_pools_of_settings(&change->pools, settings);
    }
    return err ? err : first_map(host, change);
}

/* Said once, though it is tried again and again. */
static void note_refusal(struct host *host, enum err err, struct bytes answer)
{
    char why[sizeof host->why_not_joined];
    (void)snprintf(
        why, sizeof why, "%s%s%.*s", err_text(err),
        answer.length > 0 ? ": " : "",
        (int)(answer.length < TEXT_BYTES ? answer.length : TEXT_BYTES),
        answer.length > 0 ? (const char *)answer.data : "");
    if (strcmp(why, host->why_not_joined) != 0) {
        memcpy(host->why_not_joined, why, sizeof why);
        log_warn(host_log(host), "host.refused", LOG_TEXT("why", why));
    }
}

static void on_joined(struct errand *errand, enum err err, struct bytes answer)
{
    struct host *host = errand->host;
    if (err == ERR_NOT_LEADER) {
        host->heard_meta_leader = MEMBER_NONE; /* somebody else may know */
    }
    if (err) {
        note_refusal(host, err, answer);
    } else {
        host->why_not_joined[0] = 0;
    }
    host_poke(host);
}

/* The meta group has a leader, us, and nothing is in it. */
static void found_view(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    if (now_ns < host->join_ns || !are_others_there(host)) {
        return;
    }
    host->join_ns = now_ns + JOIN_PAUSE_NS;
    struct view_change change;
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    errand->done = on_joined;
    if (describe_founding(host, &change) ||
        host_change(host, &change, &errand->call)) {
        free(errand);
    } else {
        host_errand_begun(errand);
    }
    view_change_clear(&change);
}

/* ---- joining ---- */

/* Counts without a writer. */
struct join_values {
    const struct settings *settings;
    struct writer *writer;
    uint32_t count;
};

/* What only a founding would take is nothing that we claim. */
static void write_value(void *context, const char *key, const char *value)
{
    struct join_values *values = context;
    if (settings_leaves_open(values->settings, key)) {
        return;
    }
    values->count++;
    if (values->writer) {
        pack_text(values->writer, key);
        pack_text(values->writer, value);
    }
}

/* [version, member, {key of `cluster`: value, ...}] */
static void write_join(const struct host *host, struct writer *writer)
{
    struct join_values values = {.settings = host->config.settings};
    settings_cluster_values(values.settings, write_value, &values);
    pack_record(writer, 3);
    pack_uint(writer, HOST_WIRE_VERSION);
    member_encode(&host->self, writer);
    pack_map(writer, values.count);
    values.writer = writer;
    settings_cluster_values(values.settings, write_value, &values);
    pack_record_end(writer);
}

static bool is_same_member(const struct member *left,
                           const struct member *right)
{
    return left->disk_id == right->disk_id && left->weight == right->weight &&
           left->roles == right->roles &&
           strcmp(left->zone, right->zone) == 0 &&
           strcmp(left->door, right->door) == 0 &&
           strcmp(left->bus, right->bus) == 0;
}

bool join_is_moved(const struct host *host)
{
    const struct member *self =
        host->number != MEMBER_NONE
            ? members_find(&host->view->members, host->number)
            : NULL;
    return self && !is_same_member(self, &host->self);
}

static void join(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    uint32_t leader = host_meta_leader(host);
    uint8_t *buffer = host_buffer(host, JOIN_BYTES_MAX);
    if (now_ns < host->join_ns || leader == MEMBER_NONE || !buffer) {
        return;
    }
    host->join_ns = now_ns + JOIN_PAUSE_NS;
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    struct writer writer = writer_of(buffer, JOIN_BYTES_MAX);
    write_join(host, &writer);
    assert(!writer.failed);
    errand->done = on_joined;
    (void)host_ask_number(errand, leader, HOST_SERVICE_JOIN,
                          writer_bytes(&writer));
}

/* Of one who asks to join: the values that it has, and what is wrong with
 * them. */
struct check {
    struct bytes theirs; /* a map */
    char text[sizeof((struct err_detail *)0)->text];
    size_t length;
    uint32_t count; /* of differences */
};

/* Nothing when they do not have the key: it may be newer than they are. */
static struct bytes their_value(const struct check *check, const char *key)
{
    struct reader reader = reader_of(check->theirs);
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct bytes name = pack_read_str(&reader);
        struct bytes value = pack_read_str(&reader);
        if (!reader.failed && bytes_are_equal(name, bytes_of_text(key))) {
            return value;
        }
    }
    return (struct bytes){0};
}

static void note_difference(struct check *check,
                            const char *key,
                            struct bytes theirs,
                            const char *ours)
{
    int theirs_length = theirs.length < 120 ? (int)theirs.length : 120;
    size_t room = sizeof check->text - check->length;
    int length = snprintf(check->text + check->length, room,
                          "%s%s: %.*s there, %.120s in the cluster",
                          check->count > 0 ? "; " : "", key, theirs_length,
                          (const char *)theirs.data, ours);
    check->count++;
    if (length > 0) {
        check->length += (size_t)length < room ? (size_t)length : room - 1;
    }
}

static void compare(struct check *check, const char *key, const char *value)
{
    struct bytes theirs = their_value(check, key);
    if (theirs.data && !bytes_are_equal(theirs, bytes_of_text(value))) {
        note_difference(check, key, theirs, value);
    }
}

/* Whether a node with such settings of `cluster` can belong to it: all keys
 * that differ, with both values. */
static enum err check_join(const struct view_settings *agreed,
                           struct bytes values,
                           struct err_detail *why)
{
    struct check check = {.theirs = values};
    for (uint32_t i = 0; i < agreed->count; i++) {
        compare(&check, agreed->list[i].key, agreed->list[i].value);
    }
    if (check.count == 0) {
        return ERR_NONE;
    }
    err_explain(why, "%s", check.text);
    return ERR_INVALID;
}

static void answer_with_why(struct asked **asked,
                            enum err err,
                            const struct err_detail *why)
{
    asked_answer(asked, err, bytes_of_text(why->text));
}

static void on_member_changed(struct errand *errand,
                              enum err err,
                              struct bytes answer)
{
    asked_answer(&errand->asked, err, answer);
}

/* It is new, or back with another disk or at another address. */
static void accept_member(struct host *host,
                          struct asked **asked,
                          struct member *member)
{
    struct view_change change = {.kind = VIEW_MEMBER_ADD, .member = *member};
    const struct member *present =
        members_find_name(&host->view->members, member->name);
    if (present && is_same_member(present, member)) {
        asked_answer(asked, ERR_NONE, (struct bytes){0});
        return;
    }
    if (present) {
        change.kind = VIEW_MEMBER_SET;
        change.member.number = present->number;
        change.member.version = present->version;
        change.member.since_ms = present->since_ms;
        change.member.state =
            present->state == MEMBER_DOWN ? MEMBER_ACTIVE : present->state;
    } else {
        change.member.since_ms = clock_wall_ms(host->config.multiraft.clock);
    }
    (void)snprintf(change.who, sizeof change.who, "node/%s", member->name);
    (void)snprintf(change.text, sizeof change.text, "%s",
                   !present ? "joins"
                   : present->disk_id != member->disk_id
                       ? "comes back with an empty disk"
                       : "comes back with other settings");
    struct errand *errand = host_errand(host);
    if (!errand) {
        asked_answer(asked, ERR_MEMORY, (struct bytes){0});
        return;
    }
    errand->done = on_member_changed;
    errand->asked = *asked;
    enum err err = host_change(host, &change, &errand->call);
    if (err) {
        free(errand);
        asked_answer(asked, err, (struct bytes){0});
    } else {
        host_errand_begun(errand);
    }
    *asked = NULL;
}

static void on_join(void *context, struct asked *asked, struct bytes question)
{
    struct host *host = context;
    struct err_detail why = {{0}};
    struct member member = {0};
    struct reader reader = reader_of(question);
    (void)host_read_head(&reader, 3);
    enum err err = member_decode(&member, &reader);
    struct bytes values =
        bytes_of(question.data + (question.length - reader_left(&reader)),
                 reader_left(&reader));
    pack_skip(&reader); /* it is well formed */
    const struct certificate *from = asked_certificate(asked);
    if (err || reader.failed) {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
        return;
    }
    if (from && strcmp(from->name, member.name) != 0) {
        err_explain(&why, "%s asks in the name of %s", from->name, member.name);
        answer_with_why(&asked, ERR_DENIED, &why);
        return;
    }
    if (!host_leads_meta(host) || !host->view) {
        asked_answer(&asked, ERR_NOT_LEADER, (struct bytes){0});
        return;
    }
    err = check_join(&host->view->settings, values, &why);
    if (err && members_find_name(&host->view->members, member.name)) {
        /* It could not have followed a change while its disk was gone, and
         * runs with what was agreed when it starts next. */
        log_warn(host_log(host), "host.outdated", LOG_TEXT("node", member.name),
                 LOG_TEXT("what", why.text));
        err = ERR_NONE;
    }
    if (err) {
        answer_with_why(&asked, err, &why);
        return;
    }
    accept_member(host, &asked, &member);
}

/* ---- a newer view ---- */

static void on_view_asked(void *context,
                          struct asked *asked,
                          struct bytes question)
{
    struct host *host = context;
    struct reader reader = reader_of(question);
    (void)host_read_head(&reader, 2);
    uint64_t version = pack_read_uint(&reader);
    if (reader.failed) {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
        return;
    }
    if (!host->view || host->view->version <= version) {
        asked_answer(&asked, ERR_NONE, (struct bytes){0});
        return;
    }
    size_t bytes = view_bytes_max(host->view);
    uint8_t *buffer = host_buffer(host, bytes);
    if (!buffer) {
        asked_answer(&asked, ERR_MEMORY, (struct bytes){0});
        return;
    }
    struct writer writer = writer_of(buffer, bytes);
    view_encode(host->view, &writer);
    asked_answer(&asked, writer.failed ? ERR_TOO_LARGE : ERR_NONE,
                 writer_bytes(&writer));
}

static void on_view_answer(struct errand *errand,
                           enum err err,
                           struct bytes answer)
{
    struct host *host = errand->host;
    scoped(view_close) struct view *view = NULL;
    if (err || answer.length == 0) {
        return;
    }
    err = view_decode(&view, answer);
    if (err) {
        log_warn(host_log(host), "host.view_unread",
                 LOG_TEXT("from", errand->name), LOG_ERR(err));
        return;
    }
    if (memcmp(view->cluster_id, host->config.settings->cluster.id,
               sizeof view->cluster_id) == 0) {
        host_adopt(host, &view);
    }
}

/* One who has it: the leader, or one after the other. */
static struct known *whom_to_ask(struct host *host)
{
    uint32_t leader = host_meta_leader(host);
    if (leader < MEMBER_NUMBERS_MAX && host->by_number[leader] &&
        host->by_number[leader]->peer &&
        peer_is_up(host->by_number[leader]->peer)) {
        return host->by_number[leader];
    }
    uint32_t up_count = 0;
    for (struct known *known = host->known; known; known = known->next) {
        up_count += known->peer && peer_is_up(known->peer);
    }
    if (up_count == 0) {
        return NULL;
    }
    uint32_t turn = host->next_asked++ % up_count;
    for (struct known *known = host->known; known; known = known->next) {
        if (known->peer && peer_is_up(known->peer) && turn-- == 0) {
            return known;
        }
    }
    return NULL;
}

static void fetch_view(struct host *host)
{
    uint8_t buffer[QUESTION_BYTES];
    uint64_t now_ns = host_now_ns(host);
    uint64_t version = host->view ? host->view->version : 0;
    if (host->newest_version <= version || now_ns < host->fetch_ns) {
        return;
    }
    host->fetch_ns = now_ns + FETCH_PAUSE_NS;
    struct known *known = whom_to_ask(host);
    struct errand *errand = known ? host_errand(host) : NULL;
    if (!errand) {
        return;
    }
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_record(&writer, 2);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, version);
    pack_record_end(&writer);
    errand->done = on_view_answer;
    (void)snprintf(errand->name, sizeof errand->name, "%s", known->name);
    (void)host_ask(errand, known->peer, HOST_SERVICE_VIEW,
                   writer_bytes(&writer));
}

/* ---- steps ---- */

void join_step(struct host *host)
{
    bool is_member = host->number != MEMBER_NONE;
    bool has_meta = host_group(host, META_GROUP) != NULL;
    bool is_founded = host->view && host->view->is_founded;
    fetch_view(host);
    if (!is_member || host_meta_leader(host) == MEMBER_NONE ||
        (!is_founded && !has_meta)) {
        say_hello_to_all(host);
    }
    if (host->view) {
        if (!is_member || (join_is_moved(host) && !host->is_leaving)) {
            join(host);
        }
    } else if (!has_meta) {
        try_to_found(host);
    } else if (host_leads_meta(host) && meta_view(host->meta)->version == 0) {
        found_view(host);
    }
}

void join_serve(struct host *host)
{
    struct calls *calls = host->config.calls;
    calls_serve(calls, HOST_SERVICE_HELLO, on_hello, host, false);
    calls_serve(calls, HOST_SERVICE_JOIN, on_join, host, false);
    calls_serve(calls, HOST_SERVICE_VIEW, on_view_asked, host, false);
}
