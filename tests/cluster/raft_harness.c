#include "tests/cluster/raft_harness.h"

#include "store/raft_configuration.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELIVERIES_MAX 20000 /* of one harness_flow(): else it never ends */

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

/* ---- saying what is wrong ---- */

__attribute__((format(printf, 2, 3))) static void violate(
    struct harness *harness, const char *format, ...)
{
    if (harness->violation[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(harness->violation, sizeof harness->violation, format,
                        arguments);
        va_end(arguments);
    }
}

static bool are_same_configurations(const struct raft_configuration *left,
                                    const struct raft_configuration *right)
{
    uint8_t buffers[2][RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writers[2] = {
        writer_of(buffers[0], sizeof buffers[0]),
        writer_of(buffers[1], sizeof buffers[1]),
    };
    raft_configuration_encode(left, &writers[0]);
    raft_configuration_encode(right, &writers[1]);
    return bytes_are_equal(writer_bytes(&writers[0]),
                           writer_bytes(&writers[1]));
}

/* ---- what was committed ---- */

/* As of `index`, for one that began with `founding`. */
static struct raft_configuration true_configuration(
    const struct harness *harness,
    const struct raft_configuration *founding,
    uint64_t index)
{
    struct raft_configuration found = *founding;
    for (uint64_t i = index; i > 0; i--) {
        const struct truth *truth = &harness->truth[i];
        if (truth->type == RAFT_CONFIGURATION) {
            MUST(!raft_configuration_decode(
                &found, bytes_of(truth->data, truth->length)));
            break;
        }
    }
    return found;
}

static bool is_truth(const struct truth *truth, const struct raft_entry *entry)
{
    return truth->term == entry->term && truth->type == entry->type &&
           bytes_are_equal(bytes_of(truth->data, truth->length), entry->bytes);
}

static void learn_truth(struct harness *harness, const struct raft_entry *entry)
{
    if (harness->truth_count == harness->truth_capacity) {
        harness->truth_capacity *= 2;
        harness->truth = realloc(harness->truth, harness->truth_capacity *
                                                     sizeof *harness->truth);
        MUST(harness->truth);
    }
    uint8_t *copy = malloc(entry->bytes.length + 1);
    MUST(copy);
    if (entry->bytes.length > 0) {
        memcpy(copy, entry->bytes.data, entry->bytes.length);
    }
    harness->truth[harness->truth_count++] = (struct truth){
        .term = entry->term,
        .type = entry->type,
        .data = copy,
        .length = entry->bytes.length,
    };
}

/* ---- invariants ---- */

/* Committed entries are the same everywhere, and never change. */
static void check_committed(struct replica *replica)
{
    struct harness *harness = replica->harness;
    uint64_t commit = raft_commit_index(replica->raft);
    if (commit < replica->checked) {
        violate(harness, "commit of %" PRIu64 " fell", replica->number);
    }
    for (uint64_t i = replica->checked + 1; i <= commit; i++) {
        const struct raft_entry *entry = raft_entry_at(replica->raft, i);
        if (!entry) {
            violate(harness, "%" PRIu64 " has committed %" PRIu64 " unseen",
                    replica->number, i);
        } else if (i == harness->truth_count) {
            learn_truth(harness, entry);
        } else if (i > harness->truth_count) {
            violate(harness, "a gap in what is committed");
        } else if (!is_truth(&harness->truth[i], entry)) {
            violate(harness,
                    "%" PRIu64 " commits another entry %" PRIu64
                    " than was committed before",
                    replica->number, i);
        }
        replica->checked = i;
    }
}

static void apply(struct replica *replica)
{
    uint64_t commit = raft_commit_index(replica->raft);
    while (!replica->is_state_lost && replica->applied < commit) {
        if (!raft_entry_at(replica->raft, replica->applied + 1)) {
            violate(replica->harness, "%" PRIu64 " cannot apply %" PRIu64,
                    replica->number, replica->applied + 1);
            return;
        }
        replica->applied++;
    }
}

/* One leader of a term, which has all that was committed in earlier ones. */
static void check_leader(struct replica *replica)
{
    struct harness *harness = replica->harness;
    const struct raft *raft = replica->raft;
    uint64_t term = raft_term(raft);
    if (raft_role(raft) != RAFT_LEADER) {
        replica->read_count = 0;
        return;
    }
    if (term >= harness->leader_count) {
        size_t count = 2 * (size_t)term + 16;
        harness->leaders =
            realloc(harness->leaders, count * sizeof *harness->leaders);
        MUST(harness->leaders);
        memset(harness->leaders + harness->leader_count, 0,
               (count - harness->leader_count) * sizeof *harness->leaders);
        harness->leader_count = count;
    }
    if (harness->leaders[term] == replica->number) {
        return;
    }
    if (harness->leaders[term] != 0) {
        violate(harness, "two leaders of term %" PRIu64, term);
        return;
    }
    harness->leaders[term] = replica->number;
    for (uint64_t i = raft_snapshot_index(raft) + 1; i < harness->truth_count;
         i++) {
        const struct raft_entry *entry = raft_entry_at(raft, i);
        if (harness->truth[i].term < term &&
            (!entry || !is_truth(&harness->truth[i], entry))) {
            /* Of an earlier term, but perhaps committed in a later one. */
            bool is_later_possible = false;
            for (uint64_t t = term + 1; t < harness->leader_count; t++) {
                is_later_possible =
                    is_later_possible || harness->leaders[t] != 0;
            }
            if (!is_later_possible) {
                violate(harness,
                        "the leader of term %" PRIu64
                        " lacks the committed %" PRIu64,
                        term, i);
            }
            return;
        }
    }
}

/* The newest configuration is that of the log, the committed one that of what
 * is committed. */
static void check_configurations(struct replica *replica)
{
    struct harness *harness = replica->harness;
    const struct raft *raft = replica->raft;
    uint64_t commit = raft_commit_index(raft);
    if (commit >= harness->truth_count) {
        return;
    }
    struct raft_configuration committed =
        true_configuration(harness, &replica->founding, commit);
    struct raft_configuration newest = committed;
    for (uint64_t i = raft_last_index(raft); i > commit; i--) {
        const struct raft_entry *entry = raft_entry_at(raft, i);
        if (entry && entry->type == RAFT_CONFIGURATION) {
            MUST(!raft_configuration_decode(&newest, entry->bytes));
            break;
        }
    }
    if (!are_same_configurations(&newest, raft_newest_configuration(raft))) {
        violate(harness,
                "%" PRIu64 " takes another configuration for the"
                " newest than its log's",
                replica->number);
    }
    if (!are_same_configurations(&committed,
                                 raft_committed_configuration(raft))) {
        violate(harness,
                "%" PRIu64 " takes another configuration for the"
                " committed one",
                replica->number);
    }
}

static void store_to(struct replica *replica, uint64_t to)
{
    if (to > replica->durable_count) {
        replica->durable_count = to;
        raft_stored(replica->raft, replica->harness->now_ns, to);
    }
}

static void send_snapshots(struct replica *replica)
{
    for (uint64_t i = 1; i < HARNESS_REPLICAS_MAX; i++) {
        if (replica->is_wanted[i]) {
            replica->is_wanted[i] = false;
            if (raft_role(replica->raft) == RAFT_LEADER) {
                harness_send_snapshot(replica->harness, replica->number, i);
            }
        }
    }
}

/* After each event. */
static void settle(struct replica *replica)
{
    while (!replica->is_disk_slow &&
           replica->durable_count < replica->record_count) {
        store_to(replica, replica->record_count);
    }
    check_leader(replica);
    check_committed(replica);
    apply(replica);
    send_snapshots(replica);
    check_configurations(replica);
    if (raft_contradiction_count(replica->raft) > 0) {
        violate(replica->harness, "%" PRIu64 " was told what cannot be",
                replica->number);
    }
}

/* ---- packets ---- */

static struct bytes copy_bytes(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.length + 1);
    MUST(copy);
    if (bytes.length > 0) {
        memcpy(copy, bytes.data, bytes.length);
    }
    return bytes_of(copy, bytes.length);
}

static void free_bytes(struct bytes bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

static struct packet *copy_packet(const struct raft_message *message)
{
    struct packet *packet = calloc(1, sizeof *packet);
    MUST(packet);
    packet->message = *message;
    packet->message.bytes = copy_bytes(message->bytes);
    struct raft_entry *entries =
        calloc(message->entry_count + 1, sizeof *entries);
    MUST(entries);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        entries[i] = message->entries[i];
        entries[i].bytes = copy_bytes(message->entries[i].bytes);
    }
    packet->message.entries = entries;
    return packet;
}

static void free_packet(struct packet *packet)
{
    if (!packet) {
        return;
    }
    for (uint32_t i = 0; i < packet->message.entry_count; i++) {
        free_bytes(packet->message.entries[i].bytes);
    }
    free((void *)(uintptr_t)packet->message.entries);
    free_bytes(packet->message.bytes);
    free(packet);
}

static void post(struct harness *harness, const struct raft_message *message)
{
    if (harness->packet_count == harness->packet_capacity) {
        harness->packet_capacity = 2 * harness->packet_capacity + 64;
        harness->packets =
            realloc(harness->packets,
                    harness->packet_capacity * sizeof *harness->packets);
        MUST(harness->packets);
    }
    struct packet *packet = copy_packet(message);
    packet->id = ++harness->packet_id;
    harness->packets[harness->packet_count++] = packet;
}

static struct packet *take_packet(struct harness *harness, size_t i)
{
    struct packet *packet = harness->packets[i];
    harness->packet_count--;
    memmove(harness->packets + i, harness->packets + i + 1,
            (harness->packet_count - i) * sizeof *harness->packets);
    return packet;
}

/* ---- effects ---- */

static void on_send(void *context, const struct raft_message *message)
{
    struct replica *replica = context;
    post(replica->harness, message);
}

static uint64_t on_save(void *context, const struct wal_record *record)
{
    struct replica *replica = context;
    if (replica->record_count == replica->record_capacity) {
        replica->record_capacity = 2 * replica->record_capacity + 16;
        replica->records =
            realloc(replica->records,
                    replica->record_capacity * sizeof *replica->records);
        MUST(replica->records);
    }
    struct wal_record *to = &replica->records[replica->record_count++];
    *to = *record;
    to->bytes = copy_bytes(record->bytes);
    return replica->record_count;
}

static void on_change(void *context)
{
    struct replica *replica = context;
    replica->change_count++;
    if (raft_role(replica->raft) != RAFT_LEADER) {
        replica->read_count = 0;
    }
}

static void on_read_ready(void *context, uint64_t round)
{
    struct replica *replica = context;
    replica->ready_round = round;
    uint32_t left = 0;
    for (uint32_t i = 0; i < replica->read_count; i++) {
        struct harness_read read = replica->reads[i];
        if (read.round > round) {
            replica->reads[left++] = read;
            continue;
        }
        replica->answered_count++;
        if (raft_commit_index(replica->raft) < read.required) {
            violate(replica->harness, "%" PRIu64 " answers a stale read",
                    replica->number);
        }
    }
    replica->read_count = left;
}

static void on_snapshot_wanted(void *context, uint64_t number)
{
    struct replica *replica = context;
    replica->wanted_count++;
    replica->is_wanted[number] = !replica->harness->config.is_snapshot_manual;
}

/* ---- life ---- */

static struct raft_config raft_config_of(struct replica *replica)
{
    const struct harness_config *config = &replica->harness->config;
    return (struct raft_config){
        .number = replica->number,
        .entropy = &replica->harness->entropy,
        .effects =
            {
                .context = replica,
                .send = on_send,
                .save = on_save,
                .on_change = on_change,
                .on_read_ready = on_read_ready,
                .on_snapshot_wanted = on_snapshot_wanted,
            },
        .election_ns = HARNESS_ELECTION_MS * HARNESS_MS,
        .heartbeat_ns = HARNESS_HEARTBEAT_MS * HARNESS_MS,
        .inflight_count_max =
            config->inflight_count_max > 0 ? config->inflight_count_max : 4,
        .append_bytes_max =
            config->append_bytes_max > 0 ? config->append_bytes_max : 64,
        .keep_bytes = config->keep_bytes,
#ifdef TROUPE_FAULTS
        .fault = (enum raft_fault)config->fault,
#endif
    };
}

/* What the durable records say. */
struct recovered {
    struct raft_past past;
    struct raft_configuration configuration;
    const struct wal_record **entries;
    uint64_t count;
};

static void recover_snapshot(struct recovered *recovered,
                             const struct wal_record *record)
{
    bool is_there = false;
    uint64_t behind = 0; /* entries up to the snapshot */
    for (uint64_t i = 0; i < recovered->count; i++) {
        const struct wal_record *entry = recovered->entries[i];
        is_there = is_there || (entry->index == record->index &&
                                entry->term == record->term);
        behind += entry->index <= record->index;
    }
    is_there = is_there || (record->index == recovered->past.snapshot_index &&
                            record->term == recovered->past.snapshot_term);
    recovered->count = is_there ? recovered->count - behind : 0;
    memmove(recovered->entries, recovered->entries + behind,
            recovered->count * sizeof *recovered->entries);
    recovered->past.snapshot_index = record->index;
    recovered->past.snapshot_term = record->term;
    MUST(!raft_configuration_decode(&recovered->configuration, record->bytes));
}

static void recover_record(struct recovered *recovered,
                           const struct wal_record *record)
{
    switch (record->kind) {
    case WAL_ENTRY:
    case WAL_TRUNCATE:
        while (recovered->count > 0 &&
               recovered->entries[recovered->count - 1]->index >=
                   record->index) {
            recovered->count--;
        }
        if (record->kind == WAL_ENTRY) {
            recovered->entries[recovered->count++] = record;
        }
        break;
    case WAL_VOTE:
        recovered->past.term = record->term;
        recovered->past.vote = record->vote;
        break;
    case WAL_SNAPSHOT:
        recover_snapshot(recovered, record);
        break;
    case WAL_FORGET:
        abort();
    }
}

void harness_restart(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    MUST(!replica->raft);
    struct recovered recovered = {.configuration = replica->founding};
    recovered.entries =
        calloc(replica->record_count + 1, sizeof *recovered.entries);
    MUST(recovered.entries);
    for (uint64_t i = 0; i < replica->record_count; i++) {
        recover_record(&recovered, &replica->records[i]);
    }
    recovered.past.configuration = &recovered.configuration;
    struct raft_config config = raft_config_of(replica);
    MUST(!raft_open(&replica->raft, &config, &recovered.past));
    for (uint64_t i = 0; i < recovered.count; i++) {
        const struct wal_record *record = recovered.entries[i];
        MUST(!raft_restore(
            replica->raft,
            &(struct raft_entry){.index = record->index,
                                 .term = record->term,
                                 .type = (enum raft_entry_type)record->type,
                                 .bytes = record->bytes}));
    }
    free(recovered.entries);
    if (replica->state_index < recovered.past.snapshot_index) {
        replica->state_index = recovered.past.snapshot_index;
    }
    replica->applied = replica->state_index;
    replica->checked = raft_commit_index(replica->raft);
    raft_needs_snapshot(replica->raft, replica->is_state_lost);
    raft_start(replica->raft, harness->now_ns);
    settle(replica);
}

void harness_crash(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    raft_close(&replica->raft);
    while (replica->record_count > replica->durable_count) {
        free_bytes(replica->records[--replica->record_count].bytes);
    }
    free_packet(replica->installing);
    replica->installing = NULL;
    replica->read_count = 0;
}

void harness_write_log(struct harness *harness,
                       uint64_t number,
                       const char *terms,
                       uint64_t term)
{
    struct replica *replica = &harness->replicas[number];
    MUST(!replica->raft);
    uint64_t index = 0;
    for (const char *next = terms; *next != '\0'; next++) {
        uint8_t bytes[8];
        uint64_t entry_term = (uint64_t)(*next - '0');
        put_u64(bytes, entry_term);
        on_save(replica,
                &(struct wal_record){.kind = WAL_ENTRY,
                                     .type = RAFT_COMMANDS,
                                     .index = ++index,
                                     .term = entry_term,
                                     .bytes = bytes_of(bytes, sizeof bytes)});
    }
    replica->durable_count =
        on_save(replica, &(struct wal_record){.kind = WAL_VOTE, .term = term});
    harness_restart(harness, number);
}

static void add_replica(struct harness *harness,
                        const struct raft_configuration *founding)
{
    uint64_t number = ++harness->replica_count;
    MUST(number < HARNESS_REPLICAS_MAX);
    struct replica *replica = &harness->replicas[number];
    replica->harness = harness;
    replica->number = number;
    replica->founding = *founding;
    harness_restart(harness, number);
}

uint64_t harness_add(struct harness *harness)
{
    add_replica(harness, &(struct raft_configuration){0});
    return harness->replica_count;
}

void harness_open(struct harness *harness, const struct harness_config *config)
{
    *harness = (struct harness){.config = *config, .now_ns = HARNESS_MS};
    harness->seeded.state = config->seed;
    harness->entropy = seeded_entropy(&harness->seeded);
    harness->truth_capacity = 64;
    harness->truth = calloc(harness->truth_capacity, sizeof *harness->truth);
    MUST(harness->truth);
    harness->truth_count = 1;
    for (uint64_t i = 1; i <= config->voter_count; i++) {
        harness->founding = harness_with(harness->founding, i, true);
    }
    for (uint64_t i = 1; i <= config->voter_count; i++) {
        add_replica(harness, &harness->founding);
    }
}

void harness_close(struct harness *harness)
{
    for (uint64_t i = 1; i <= harness->replica_count; i++) {
        struct replica *replica = &harness->replicas[i];
        raft_close(&replica->raft);
        free_packet(replica->installing);
        while (replica->record_count > 0) {
            free_bytes(replica->records[--replica->record_count].bytes);
        }
        free(replica->records);
    }
    while (harness->packet_count > 0) {
        free_packet(take_packet(harness, harness->packet_count - 1));
    }
    free(harness->packets);
    for (uint64_t i = 1; i < harness->truth_count; i++) {
        free(harness->truth[i].data);
    }
    free(harness->truth);
    free(harness->leaders);
}

struct replica *harness_replica(struct harness *harness, uint64_t number)
{
    return &harness->replicas[number];
}

struct raft *harness_raft(struct harness *harness, uint64_t number)
{
    return harness->replicas[number].raft;
}

/* ---- disks ---- */

void harness_store_to(struct harness *harness, uint64_t number, uint64_t to)
{
    struct replica *replica = &harness->replicas[number];
    if (replica->raft) {
        store_to(replica,
                 to < replica->record_count ? to : replica->record_count);
        settle(replica);
    }
}

void harness_store(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    while (replica->raft && replica->durable_count < replica->record_count) {
        harness_store_to(harness, number, replica->record_count);
    }
}

void harness_lose_state(struct harness *harness, uint64_t number)
{
    harness->replicas[number].is_state_lost = true;
}

/* ---- messages ---- */

static bool is_like(const struct raft_message *message, struct like like)
{
    return (like.from == 0 || like.from == message->from) &&
           (like.to == 0 || like.to == message->to) &&
           (like.kind == RAFT_MESSAGE_KIND_COUNT || like.kind == message->kind);
}

static size_t find_packet(const struct harness *harness, struct like like)
{
    size_t i = 0;
    while (i < harness->packet_count &&
           !is_like(&harness->packets[i]->message, like)) {
        i++;
    }
    return i;
}

size_t harness_count(const struct harness *harness, struct like like)
{
    size_t count = 0;
    for (size_t i = 0; i < harness->packet_count; i++) {
        count += is_like(&harness->packets[i]->message, like);
    }
    return count;
}

const struct raft_message *harness_find(const struct harness *harness,
                                        struct like like)
{
    size_t i = find_packet(harness, like);
    return i < harness->packet_count ? &harness->packets[i]->message : NULL;
}

/* A snapshot for one that wants it; it is laid ready beside the state, and
 * comes in its place with harness_install(). */
static void take_snapshot(struct replica *replica,
                          const struct raft_message *message)
{
    const struct raft *raft = replica->raft;
    bool is_wanted =
        message->index > raft_commit_index(raft) ||
        (replica->is_state_lost && message->index >= raft_snapshot_index(raft));
    if (raft_leader(raft) == message->from && is_wanted &&
        !replica->installing) {
        replica->installing = copy_packet(message);
        if (!replica->harness->config.is_snapshot_manual) {
            (void)harness_install(replica->harness, replica->number);
        }
    }
}

void harness_deliver_at(struct harness *harness, size_t i)
{
    struct packet *packet = take_packet(harness, i);
    const struct raft_message *message = &packet->message;
    MUST(message->to < HARNESS_REPLICAS_MAX);
    struct replica *replica = &harness->replicas[message->to];
    if (replica->raft && !harness->is_cut[message->from][message->to]) {
        raft_receive(replica->raft, harness->now_ns, message);
        if (message->kind == RAFT_SNAPSHOT) {
            take_snapshot(replica, message);
        }
        settle(replica);
    }
    free_packet(packet);
}

bool harness_deliver(struct harness *harness, struct like like)
{
    size_t i = find_packet(harness, like);
    if (i == harness->packet_count) {
        return false;
    }
    harness_deliver_at(harness, i);
    return true;
}

void harness_duplicate_at(struct harness *harness, size_t i)
{
    post(harness, &harness->packets[i]->message);
}

void harness_drop_at(struct harness *harness, size_t i)
{
    free_packet(take_packet(harness, i));
}

void harness_drop(struct harness *harness, struct like like)
{
    for (size_t i = find_packet(harness, like); i < harness->packet_count;
         i = find_packet(harness, like)) {
        harness_drop_at(harness, i);
    }
}

void harness_drop_all(struct harness *harness)
{
    harness_drop(harness, (struct like){0, 0, HARNESS_ANY});
}

void harness_flow(struct harness *harness)
{
    uint32_t count = 0;
    while (harness->packet_count > 0) {
        harness_deliver_at(harness, 0);
        if (++count == DELIVERIES_MAX) {
            violate(harness, "messages without end");
            harness_drop(harness,
                         (struct like){.kind = RAFT_MESSAGE_KIND_COUNT});
        }
    }
}

void harness_isolate(struct harness *harness, uint64_t number, bool is_cut)
{
    for (uint64_t i = 1; i < HARNESS_REPLICAS_MAX; i++) {
        harness_cut(harness, number, i, is_cut);
    }
}

void harness_cut(struct harness *harness,
                 uint64_t left,
                 uint64_t right,
                 bool is_cut)
{
    harness->is_cut[left][right] = is_cut;
    harness->is_cut[right][left] = is_cut;
}

void harness_heal(struct harness *harness)
{
    memset(harness->is_cut, 0, sizeof harness->is_cut);
}

/* ---- time ---- */

void harness_wait(struct harness *harness, uint64_t ms)
{
    harness->now_ns += ms * HARNESS_MS;
}

void harness_forget_leader(struct harness *harness)
{
    harness_wait(harness, HARNESS_ELECTION_MS);
}

void harness_tick(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    if (replica->raft) {
        raft_tick(replica->raft, harness->now_ns);
        settle(replica);
    }
}

void harness_heartbeat(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    if (replica->raft) {
        raft_heartbeat(replica->raft, harness->now_ns);
        settle(replica);
    }
}

void harness_run(struct harness *harness, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += HARNESS_TICK_MS) {
        harness_wait(harness, HARNESS_TICK_MS);
        for (uint64_t i = 1; i <= harness->replica_count; i++) {
            harness_tick(harness, i);
            if (passed % HARNESS_HEARTBEAT_MS == 0) {
                harness_heartbeat(harness, i);
            }
        }
        harness_flow(harness);
    }
}

/* ---- requests ---- */

void harness_campaign(struct harness *harness, uint64_t number)
{
    raft_campaign_soon(harness_raft(harness, number), harness->now_ns);
    harness_wait(harness, HARNESS_ELECTION_MS / 4);
    harness_tick(harness, number);
}

void harness_elect(struct harness *harness, uint64_t number)
{
    harness_campaign(harness, number);
    harness_flow(harness);
}

enum err harness_propose(struct harness *harness,
                         uint64_t number,
                         uint64_t value)
{
    struct replica *replica = &harness->replicas[number];
    uint8_t bytes[8];
    put_u64(bytes, value);
    enum err err = raft_propose(replica->raft, harness->now_ns, RAFT_COMMANDS,
                                bytes_of(bytes, sizeof bytes));
    settle(replica);
    return err;
}

enum err harness_reconfigure(struct harness *harness,
                             uint64_t number,
                             const struct raft_configuration *next)
{
    struct replica *replica = &harness->replicas[number];
    enum err err = raft_reconfigure(replica->raft, harness->now_ns, next);
    settle(replica);
    return err;
}

enum err harness_transfer(struct harness *harness, uint64_t from, uint64_t to)
{
    struct replica *replica = &harness->replicas[from];
    enum err err = raft_transfer(replica->raft, harness->now_ns, to);
    settle(replica);
    return err;
}

enum err harness_read(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    struct harness_read read = {.required = harness->truth_count - 1};
    if (replica->read_count == HARNESS_READS_MAX) {
        return ERR_FULL;
    }
    enum err err = raft_read(replica->raft, &read.round);
    if (!err) {
        replica->reads[replica->read_count++] = read;
    }
    return err;
}

void harness_flush(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    if (replica->raft) {
        raft_flush(replica->raft, harness->now_ns);
        settle(replica);
    }
}

void harness_node_lost(struct harness *harness, uint64_t number, uint64_t lost)
{
    struct replica *replica = &harness->replicas[number];
    raft_node_lost(replica->raft, harness->now_ns, (uint32_t)lost);
    settle(replica);
}

void harness_node_found(struct harness *harness,
                        uint64_t number,
                        uint64_t found)
{
    struct replica *replica = &harness->replicas[number];
    raft_node_found(replica->raft, harness->now_ns, (uint32_t)found);
    settle(replica);
}

/* ---- snapshots ---- */

void harness_compact(struct harness *harness, uint64_t number, uint64_t index)
{
    struct replica *replica = &harness->replicas[number];
    MUST(index <= replica->applied);
    if (replica->state_index < index) {
        replica->state_index = index;
    }
    raft_compact(replica->raft, index);
    settle(replica);
}

void harness_send_snapshot(struct harness *harness, uint64_t from, uint64_t to)
{
    struct replica *replica = &harness->replicas[from];
    /* A new one now and then: who lost its state can only use one that is not
     * older than its own last. */
    if (raft_snapshot_index(replica->raft) == 0 ||
        replica->wanted_count % 4 == 3) {
        uint64_t commit = raft_commit_index(replica->raft);
        if (replica->applied < commit) {
            commit = replica->applied;
        }
        if (commit == 0) {
            return;
        }
        raft_compact(replica->raft, commit);
    }
    uint64_t i = replica->record_count;
    while (replica->records[i - 1].kind != WAL_SNAPSHOT) {
        i--;
    }
    const struct wal_record *record = &replica->records[i - 1];
    post(harness, &(struct raft_message){.kind = RAFT_SNAPSHOT,
                                         .from = from,
                                         .to = to,
                                         .term = raft_term(replica->raft),
                                         .index = record->index,
                                         .log_term = record->term,
                                         .is_ok = true,
                                         .bytes = record->bytes});
}

static void check_snapshot(struct replica *replica,
                           const struct raft_message *message,
                           const struct raft_configuration *configuration)
{
    struct harness *harness = replica->harness;
    struct raft_configuration expected =
        true_configuration(harness, &harness->founding, message->index);
    if (message->index >= harness->truth_count ||
        harness->truth[message->index].term != message->log_term ||
        !are_same_configurations(configuration, &expected)) {
        violate(harness, "a snapshot of what was not committed");
    }
}

bool harness_install(struct harness *harness, uint64_t number)
{
    struct replica *replica = &harness->replicas[number];
    struct packet *packet = replica->installing;
    MUST(packet);
    replica->installing = NULL;
    struct raft_configuration configuration;
    MUST(!raft_configuration_decode(&configuration, packet->message.bytes));
    check_snapshot(replica, &packet->message, &configuration);
    uint64_t index = packet->message.index;
    bool is_of_use =
        replica->is_state_lost || index > raft_commit_index(replica->raft);
    bool is_in =
        is_of_use && raft_install(replica->raft, harness->now_ns, index,
                                  packet->message.log_term, &configuration);
    if (is_in) {
        replica->is_state_lost = false;
        replica->state_index = index;
        replica->applied = index;
        replica->checked = index > replica->checked ? index : replica->checked;
    }
    settle(replica);
    free_packet(packet);
    return is_in;
}

/* ---- what is ---- */

uint64_t harness_leader(const struct harness *harness)
{
    uint64_t leader = 0;
    for (uint64_t i = 1; i <= harness->replica_count; i++) {
        const struct raft *raft = harness->replicas[i].raft;
        if (raft && raft_role(raft) == RAFT_LEADER &&
            (leader == 0 ||
             raft_term(raft) > raft_term(harness->replicas[leader].raft))) {
            leader = i;
        }
    }
    return leader;
}

enum raft_role harness_role(const struct harness *harness, uint64_t number)
{
    return raft_role(harness->replicas[number].raft);
}

uint64_t harness_commit(const struct harness *harness, uint64_t number)
{
    return raft_commit_index(harness->replicas[number].raft);
}

uint64_t harness_last(const struct harness *harness, uint64_t number)
{
    return raft_last_index(harness->replicas[number].raft);
}

uint64_t harness_term_at(const struct harness *harness,
                         uint64_t number,
                         uint64_t index)
{
    const struct raft_entry *entry =
        raft_entry_at(harness->replicas[number].raft, index);
    return entry ? entry->term : 0;
}

/* ---- configurations ---- */

struct raft_configuration harness_with(struct raft_configuration configuration,
                                       uint64_t number,
                                       bool is_voter)
{
    uint32_t i = 0;
    while (i < configuration.count &&
           configuration.members[i].number != number) {
        i++;
    }
    if (i == configuration.count) {
        MUST(i < RAFT_MEMBERS_MAX);
        configuration.count++;
    }
    configuration.members[i] = (struct raft_member){
        .number = number,
        .node = (uint32_t)number,
        .disk_id = number,
        .is_voter = is_voter,
    };
    if (configuration.next_number <= number) {
        configuration.next_number = number + 1;
    }
    return configuration;
}

struct raft_configuration harness_without(
    struct raft_configuration configuration, uint64_t number)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < configuration.count; i++) {
        if (configuration.members[i].number != number) {
            configuration.members[left++] = configuration.members[i];
        }
    }
    configuration.count = left;
    return configuration;
}
