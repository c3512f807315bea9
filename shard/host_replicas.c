#include "shard/host_core.h"

#include "base/pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ASK_PAUSE_NS (300 * NS_PER_MS)
#define LOST_NS (3 * NS_PER_S) /* what a node says of itself counts so long */
#define SELDOM_NS (5 * NS_PER_S)
#define QUESTION_BYTES 512
#define META_VOTERS_MIN 3 /* when there are as many */

/* What is said about one replica: [version, op, group, number, disk, members]
 * and answered with [version, is member, next number]. */
enum replica_op {
    REPLICA_BEGIN, /* of the leader: begin it here */
    REPLICA_LOST,  /* to the leader: the disk has nothing (any more) of it */
    REPLICA_ASK,   /* to the leader: is that number still a member */
};

struct replica_word {
    uint64_t op;
    uint32_t group;
    uint64_t number;
    uint64_t disk_id;
    struct bytes members;
};

static void write_word(struct writer *writer, const struct replica_word *word)
{
    pack_record(writer, 6);
    pack_uint(writer, HOST_WIRE_VERSION);
    pack_uint(writer, word->op);
    pack_uint(writer, word->group);
    pack_uint(writer, word->number);
    pack_uint(writer, word->disk_id);
    pack_bin(writer, word->members);
    pack_record_end(writer);
}

static bool read_word(struct replica_word *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    (void)host_read_head(&reader, 6);
    *out = (struct replica_word){.op = pack_read_uint(&reader)};
    uint64_t group = pack_read_uint(&reader);
    out->number = pack_read_uint(&reader);
    out->disk_id = pack_read_uint(&reader);
    out->members = pack_read_bin(&reader);
    out->group = (uint32_t)group;
    return !reader.failed && group < MULTIRAFT_GROUPS_MAX;
}

/* ---- machines ---- */

static enum err open_machine(struct host *host, uint32_t group)
{
    struct slot *slot = &host->slots[group];
    assert(!slot->has_machine);
    enum err err = ERR_NONE;
    if (group == META_GROUP) {
        slot->machine = meta_machine(host->meta);
    } else {
        err = host->config.machines.open(host->config.machines.context,
                                         shard_of_group(group), &slot->machine);
    }
    slot->has_machine = err == ERR_NONE;
    return err;
}

static void close_machine(struct host *host, uint32_t group)
{
    struct slot *slot = &host->slots[group];
    if (slot->has_machine && group != META_GROUP) {
        host->config.machines.close(host->config.machines.context,
                                    shard_of_group(group), &slot->machine);
    }
    slot->has_machine = false;
}

/* ---- opening what is there ---- */

struct found_groups {
    uint32_t count;
    uint32_t ids[MULTIRAFT_GROUPS_MAX];
};

static void visit_group(void *context, const struct wal_group *group)
{
    struct found_groups *found = context;
    if (group->group < MULTIRAFT_GROUPS_MAX) {
        found->ids[found->count++] = group->group;
    }
}

/* A group that is lost does not keep the others from serving. */
static enum err open_group(struct host *host,
                           uint32_t id,
                           struct err_detail *why)
{
    struct group *group = NULL;
    enum err err = open_machine(host, id);
    if (err) {
        return err;
    }
    struct err_detail detail = {{0}};
    err = multiraft_group_open(host->multiraft, id, &host->slots[id].machine,
                               &group, &detail);
    if (!err) {
        return ERR_NONE;
    }
    close_machine(host, id);
    if (err == ERR_REVOKED || err == ERR_NOT_FOUND || err == ERR_MALFORMED) {
        host->slots[id].is_lost = true;
        /* Without the error: "certificate is revoked" is not what is meant. */
        log_error(
            host_log(host), "group.lost", LOG_NUMBER("group", id),
            LOG_TEXT("why", detail.text[0] ? detail.text : err_text(err)));
        return ERR_NONE;
    }
    err_explain(why, "group %u: %s", id,
                detail.text[0] ? detail.text : err_text(err));
    return err;
}

enum err replicas_open(struct host *host, struct err_detail *why)
{
    struct found_groups *found = calloc(1, sizeof *found);
    if (!found) {
        return ERR_MEMORY;
    }
    wal_groups(multiraft_wal(host->multiraft), visit_group, found);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < found->count && !err; i++) {
        err = open_group(host, found->ids[i], why);
    }
    free(found);
    return err;
}

void replicas_look(struct host *host)
{
    for (uint32_t id = 0; id < MULTIRAFT_GROUPS_MAX; id++) {
        if (host->slots[id].has_machine && !host_group(host, id)) {
            close_machine(host, id);
            host->slots[id].is_lost = true;
        }
    }
}

void replicas_close(struct host *host)
{
    for (uint32_t id = 0; host->slots && id < MULTIRAFT_GROUPS_MAX; id++) {
        close_machine(host, id);
    }
}

/* ---- beginning and dropping ---- */

static uint64_t own_number(const struct host *host,
                           const struct raft_configuration *members)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].disk_id == host->disk_id &&
            members->members[i].number > number) {
            number = members->members[i].number;
        }
    }
    return number;
}

static enum err drop(struct host *host, uint32_t id)
{
    enum err err = multiraft_group_drop(host->multiraft, id);
    if (err == ERR_NOT_FOUND) {
        err = ERR_NONE;
    }
    if (!err) {
        close_machine(host, id);
        host->slots[id].is_lost = false;
        host->slots[id].leader = MEMBER_NONE;
        if (id == META_GROUP) {
            err = host_renew_meta(host);
        }
    }
    return err;
}

/*
 * The log may have had this group under an older number, and have voted. Once
 * all shards have begun, replicas only begin as learners, whose numbers nobody
 * has had (check_begin()); so what was lost cannot come back by itself.
 */
static bool deal_with_losses(struct host *host,
                             const struct raft_configuration *members,
                             uint64_t number)
{
    if (!host->view || !host->view->is_founded ||
        raft_configuration_has_voter(members, number)) {
        return false;
    }
    multiraft_forget_unlisted(host->multiraft);
    host->has_losses = false;
    return true;
}

/* In place of what there is. */
static enum err found(struct host *host,
                      uint32_t id,
                      const struct raft_configuration *members)
{
    struct group *group = NULL;
    enum err err = drop(host, id);
    if (!err) {
        err = open_machine(host, id);
    }
    if (err) {
        return err;
    }
    err = multiraft_group_found(host->multiraft, id, &host->slots[id].machine,
                                members, &group);
    host->is_view_new |= id == META_GROUP; /* founders have numbers now */
    if (err) {
        close_machine(host, id);
    }
    return err;
}

enum err replicas_begin(struct host *host,
                        uint32_t id,
                        const struct raft_configuration *members)
{
    uint64_t number = own_number(host, members);
    struct group *group = host_group(host, id);
    if (number == 0) {
        return ERR_NOT_FOUND;
    }
    if (group && raft_number(group_raft(group)) >= number) {
        return raft_number(group_raft(group)) == number ? ERR_NONE : ERR_EXISTS;
    }
    if (host->has_losses && !HAS_HOST_FAULT(&host->config, LOST_RETURNS) &&
        !deal_with_losses(host, members, number)) {
        return ERR_REVOKED;
    }
    return found(host, id, members);
}

enum err replicas_begin_anew(struct host *host,
                             uint32_t id,
                             const struct raft_configuration *members)
{
    if (host->has_losses) {
        multiraft_forget_unlisted(host->multiraft);
        host->has_losses = false;
    }
    return found(host, id, members);
}

/* ---- what others say of replicas ---- */

/* Only a learner has promised nothing under its number; but at founding
 * nobody has. */
static enum err check_begin(const struct host *host,
                            const struct replica_word *word,
                            struct raft_configuration *members)
{
    enum err err = raft_configuration_decode(members, word->members);
    if (err) {
        return err;
    }
    uint64_t number = own_number(host, members);
    bool is_founding = !host->view || !host->view->is_founded;
    if (number == 0) {
        return ERR_NOT_FOUND;
    }
    return raft_configuration_has_voter(members, number) &&
                   !host_group(host, word->group) &&
                   (!is_founding || host->slots[word->group].is_lost)
               ? ERR_REVOKED
               : ERR_NONE;
}

static void begin(struct host *host,
                  struct asked **asked,
                  const struct replica_word *word)
{
    struct raft_configuration members;
    enum err err = check_begin(host, word, &members);
    if (!err) {
        err = replicas_begin(host, word->group, &members);
    }
    asked_answer(asked, err, (struct bytes){0});
}

/* By number; it is forgotten after a while. */
static void note_lost(struct host *host, uint32_t id, uint64_t number)
{
    struct slot *slot = &host->slots[id];
    uint64_t now_ns = host_now_ns(host);
    struct lost_member *free_place = NULL;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct lost_member *lost = &slot->lost[i];
        if (lost->number == number || lost->until_ns <= now_ns) {
            free_place = lost;
        }
    }
    if (free_place) {
        *free_place = (struct lost_member){.number = number,
                                           .until_ns = now_ns + LOST_NS};
    }
}

static bool is_lost(const struct host *host, uint32_t id, uint64_t number)
{
    const struct slot *slot = &host->slots[id];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        if (slot->lost[i].number == number &&
            slot->lost[i].until_ns > host_now_ns(host)) {
            return true;
        }
    }
    return false;
}

/* A learner that has not begun is not lost: it is about to be begun. */
static void hear_of_loss(struct host *host,
                         const struct raft *raft,
                         const struct replica_word *word)
{
    const struct raft_configuration *members = raft_newest_configuration(raft);
    if (HAS_HOST_FAULT(&host->config, LOSS_UNHEARD)) {
        return;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        if (member->disk_id == word->disk_id &&
            (member->is_voter || raft_match_index(raft, member->number) > 0)) {
            note_lost(host, word->group, member->number);
            host_poke(host);
        }
    }
}

static bool has_disk(const struct raft_configuration *members, uint64_t disk_id)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].disk_id == disk_id) {
            return true;
        }
    }
    return false;
}

static void tell_leader(struct host *host,
                        struct asked **asked,
                        const struct replica_word *word)
{
    uint8_t buffer[QUESTION_BYTES];
    const struct group *group = host_group(host, word->group);
    if (!group || !raft_is_settled(group_raft(group)) ||
        raft_newest_configuration(group_raft(group)) !=
            raft_committed_configuration(group_raft(group))) {
        asked_answer(asked, ERR_NOT_LEADER, (struct bytes){0});
        return;
    }
    const struct raft *raft = group_raft(group);
    const struct raft_configuration *members = raft_newest_configuration(raft);
    if (word->op == REPLICA_LOST) {
        hear_of_loss(host, raft, word);
    }
    bool is_member = raft_configuration_find(members, word->number) ||
                     has_disk(members, word->disk_id);
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_record(&writer, 3);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_bool(&writer, is_member);
    pack_uint(&writer, members->next_number);
    pack_record_end(&writer);
    asked_answer(asked, ERR_NONE, writer_bytes(&writer));
}

static void on_replica(void *context,
                       struct asked *asked,
                       struct bytes question)
{
    struct host *host = context;
    struct replica_word word;
    if (!read_word(&word, question) || word.op > REPLICA_ASK) {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
    } else if (word.op == REPLICA_BEGIN) {
        begin(host, &asked, &word);
    } else {
        tell_leader(host, &asked, &word);
    }
}

void replicas_serve(struct host *host)
{
    calls_serve(host->config.calls, HOST_SERVICE_REPLICA, on_replica, host,
                false);
}

/* ---- asking about ours ---- */

/* It is still the one that was asked about: a replica that has left, or what
 * the log has of one that was lost. */
static bool may_drop(const struct host *host,
                     const struct errand *errand,
                     uint64_t next_number)
{
    const struct group *group = host_group(host, errand->group);
    return group ? raft_number(group_raft(group)) == errand->number &&
                       errand->number < next_number
                 : host->slots[errand->group].is_lost &&
                       host->view->is_founded; /* or it would begin again as
                                                  the founder that it was */
}

static void on_replica_answer(struct errand *errand,
                              enum err err,
                              struct bytes answer)
{
    struct host *host = errand->host;
    struct reader reader = reader_of(answer);
    host->slots[errand->group].is_asking = false;
    (void)host_read_head(&reader, 3);
    bool is_member = pack_read_bool(&reader);
    uint64_t next_number = pack_read_uint(&reader);
    is_member = (is_member && !HAS_HOST_FAULT(&host->config, DROP_MEMBER)) ||
                HAS_HOST_FAULT(&host->config, KEEP_LEFT);
    if (err || reader.failed || is_member) {
        return;
    }
    if (errand->group == META_GROUP) {
        host->slots[META_GROUP].ask_ns = host_now_ns(host) + SELDOM_NS;
    }
    if (!may_drop(host, errand, next_number)) {
        return;
    }
    err = drop(host, errand->group);
    if (!err) {
        log_info(host_log(host), "group.left",
                 LOG_NUMBER("group", errand->group),
                 LOG_UNSIGNED("number", errand->number));
    } else if (err != ERR_BUSY) {
        log_warn(host_log(host), "group.not_dropped",
                 LOG_NUMBER("group", errand->group), LOG_ERR(err));
    }
}

/* One who may lead the group, another one each time. */
static uint32_t somebody_of(struct host *host, uint32_t id)
{
    if (id == META_GROUP) {
        return host_meta_leader(host);
    }
    uint32_t leader = host_leader(host, shard_of_group(id));
    const struct shard_place *place = &host->view->map.places[id - 1];
    bool is_known =
        leader != MEMBER_NONE && leader != host->number && host_group(host, id);
    /* Each group has a turn of its own: with one for all, as many groups as
     * there are replicas would each ask the same one for ever. */
    uint32_t turn = host->slots[id].ask_count++;
    if (!is_known) {
        return place->replicas[turn % place->replica_count];
    }
    /* A replica that was left behind may believe for ever in who led when it
     * was: nobody tells it of another. */
    return turn % 2 == 0 ? leader
                         : place->replicas[turn / 2 % place->replica_count];
}

static void ask_leader(struct host *host, uint32_t id, enum replica_op op)
{
    struct slot *slot = &host->slots[id];
    uint8_t buffer[QUESTION_BYTES];
    uint64_t now_ns = host_now_ns(host);
    if (slot->is_asking || now_ns < slot->ask_ns) {
        return;
    }
    slot->ask_ns = now_ns + ASK_PAUSE_NS;
    uint32_t to = somebody_of(host, id);
    struct errand *errand =
        to == MEMBER_NONE || to == host->number ? NULL : host_errand(host);
    if (!errand) {
        return;
    }
    const struct group *group = host_group(host, id);
    struct replica_word word = {.op = op,
                                .group = id,
                                .number =
                                    group ? raft_number(group_raft(group)) : 0,
                                .disk_id = host->disk_id};
    struct writer writer = writer_of(buffer, sizeof buffer);
    write_word(&writer, &word);
    errand->done = on_replica_answer;
    errand->group = id;
    errand->number = word.number;
    slot->is_asking = host_ask_number(errand, to, HOST_SERVICE_REPLICA,
                                      writer_bytes(&writer));
}

/* ---- groups that we lead ---- */

struct lookup {
    const struct host *host;
    struct reconcile_node node;
};

static const struct reconcile_node *look_up(const void *context,
                                            uint32_t number)
{
    /* The answer lives until the next one. */
    struct lookup *lookup = *(struct lookup *const *)context;
    const struct host *host = lookup->host;
    const struct member *member = members_find(&host->view->members, number);
    lookup->node =
        (struct reconcile_node){.number = number,
                                .is_up = host_is_up(host, number),
                                .disk_id = member ? member->disk_id : 0};
    return &lookup->node;
}

static void on_begun(struct errand *errand, enum err err, struct bytes answer)
{
    struct host *host = errand->host;
    (void)answer;
    host->slots[errand->group].is_asking = false;
    if (err == ERR_REVOKED) {
        note_lost(host, errand->group, errand->number);
    }
    host_poke(host);
}

static void have_it_begun(struct host *host,
                          uint32_t id,
                          const struct reconcile_step *step)
{
    struct slot *slot = &host->slots[id];
    uint8_t buffer[QUESTION_BYTES];
    uint8_t members[RAFT_CONFIGURATION_BYTES_MAX];
    uint64_t now_ns = host_now_ns(host);
    if (slot->is_asking || now_ns < slot->ask_ns) {
        return;
    }
    slot->ask_ns = now_ns + ASK_PAUSE_NS;
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    struct writer inner = writer_of(members, sizeof members);
    raft_configuration_encode(
        raft_newest_configuration(group_raft(host_group(host, id))), &inner);
    struct replica_word word = {.op = REPLICA_BEGIN,
                                .group = id,
                                .number = step->number,
                                .members = writer_bytes(&inner)};
    struct writer writer = writer_of(buffer, sizeof buffer);
    write_word(&writer, &word);
    errand->done = on_begun;
    errand->group = id;
    errand->number = step->number;
    slot->is_asking = host_ask_number(errand, step->node, HOST_SERVICE_REPLICA,
                                      writer_bytes(&writer));
}

static bool may_vote(const struct member *member, bool stays)
{
    bool is_here =
        member->state == MEMBER_ACTIVE || member->state == MEMBER_CORDONED;
    return (member->roles & SETTINGS_VOTER) && is_here == stays;
}

static void want(struct reconcile_state *state, uint32_t node, uint32_t count)
{
    bool is_in = false;
    for (uint32_t i = 0; i < state->wanted_count; i++) {
        is_in = is_in || state->wanted[i] == node;
    }
    if (!is_in && state->wanted_count < count) {
        state->wanted[state->wanted_count++] = node;
    }
}

/* Those of the present voters, or of all members, that stay or do not. */
static void want_those(const struct host *host,
                       struct reconcile_state *state,
                       bool stay,
                       uint32_t count)
{
    const struct members *all = &host->view->members;
    for (uint32_t i = 0; i < state->members->count; i++) {
        const struct raft_member *voter = &state->members->members[i];
        const struct member *node = members_find(all, voter->node);
        if (voter->is_voter && node && may_vote(node, stay)) {
            want(state, voter->node, count);
        }
    }
    for (uint32_t i = 0; stay && i < all->count; i++) {
        if (may_vote(&all->list[i], true)) {
            want(state, all->list[i].number, count);
        }
    }
}

/*
 * The voters of the meta group: those it has as long as they stay, then those
 * with the smallest numbers; an odd number when there is a choice. Whoever is
 * drained or away remains one until there are three without it: with two, the
 * next loss would be the end.
 */
static void want_meta(const struct host *host, struct reconcile_state *state)
{
    const struct members *all = &host->view->members;
    uint32_t staying = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        staying += may_vote(&all->list[i], true);
    }
    uint32_t count = staying < SETTINGS_META_VOTER_COUNT_MAX
                         ? staying
                         : SETTINGS_META_VOTER_COUNT_MAX;
    count -= count > 2 && count % 2 == 0;
    want_those(host, state, true, count);
    if (staying < META_VOTERS_MIN) {
        want_those(host, state, false, META_VOTERS_MIN);
    }
    state->keeps_leader = true;
}

static void want_shard(const struct host *host,
                       uint32_t id,
                       struct reconcile_state *state)
{
    const struct shard_place *place = &host->view->map.places[id - 1];
    for (uint32_t i = 0; i < place->replica_count; i++) {
        state->wanted[state->wanted_count++] = place->replicas[i];
    }
}

static void fill_facts(const struct host *host,
                       uint32_t id,
                       const struct raft *raft,
                       struct reconcile_state *state)
{
    for (uint32_t i = 0; i < state->members->count; i++) {
        uint64_t number = state->members->members[i].number;
        uint64_t match = raft_match_index(raft, number);
        bool is_self = number == state->self;
        state->facts[i] = (struct reconcile_member){
            .is_begun = is_self || match > 0,
            .is_lost = !is_self && is_lost(host, id, number),
            .is_caught_up =
                is_self || (match > 0 && match >= raft_commit_index(raft))};
    }
}

static void carry_out(struct host *host,
                      uint32_t id,
                      struct group *group,
                      const struct reconcile_step *step)
{
    /* What is refused now is tried again: the next step sees what is. */
    switch (step->kind) {
    case RECONCILE_NOTHING:
    case RECONCILE_WAIT:
        break;
    case RECONCILE_RECONFIGURE:
        (void)!group_reconfigure(group, &step->next);
        break;
    case RECONCILE_BEGIN:
        have_it_begun(host, id, step);
        break;
    case RECONCILE_TRANSFER:
        (void)!group_transfer(group, step->number);
        break;
    }
}

static void lead(struct host *host, uint32_t id, struct group *group)
{
    const struct raft *raft = group_raft(group);
    struct lookup lookup = {.host = host};
    struct lookup *context = &lookup;
    struct reconcile_state state = {.members = raft_newest_configuration(raft),
                                    .is_committed =
                                        raft_newest_configuration(raft) ==
                                        raft_committed_configuration(raft),
                                    .self = raft_number(raft),
                                    .node = look_up,
                                    .context = &context};
    if (id == META_GROUP) {
        want_meta(host, &state);
    } else {
        want_shard(host, id, &state);
    }
    fill_facts(host, id, raft, &state);
    struct reconcile_step step = reconcile(&state);
    if (step.kind == RECONCILE_NOTHING && host->slots[id].waits) {
        /* So that the next shards may move. */
        reactor_timer_set(host->config.multiraft.reactor, &host->report_timer,
                          0);
    }
    host->slots[id].waits = step.kind == RECONCILE_NOTHING ? NULL : step.why;
    if (host->view->is_founded || step.kind == RECONCILE_TRANSFER) {
        carry_out(host, id, group, &step);
    }
}

/* ---- steps ---- */

/* The founders begin with the disks that they had at founding; only on a view
 * that is not an old one, for a shard begins once. */
static void found_shard(struct host *host, uint32_t id)
{
    const struct shard_place *place = &host->view->map.places[id - 1];
    struct raft_configuration members = {.next_number =
                                             place->replica_count + 1u,
                                         .count = place->replica_count};
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct member *founder =
            members_find(&host->view->founders, place->replicas[i]);
        if (!founder) {
            return;
        }
        members.members[i] = (struct raft_member){.number = i + 1,
                                                  .node = founder->number,
                                                  .disk_id = founder->disk_id,
                                                  .is_voter = true};
    }
    enum err err = own_number(host, &members) != 0
                       ? replicas_begin(host, id, &members)
                       : ERR_NONE;
    if (err && err != ERR_BUSY) {
        log_warn(host_log(host), "group.not_begun", LOG_NUMBER("group", id),
                 LOG_ERR(err));
    } else if (host_group(host, id) && place->replicas[0] == host->number) {
        group_campaign_soon(host_group(host, id));
    }
}

/* Not here, though it shall be; or, of the meta group, may have to be: who was
 * a voter of it and has never begun, or has lost that it had, does not know. */
static void miss(struct host *host, uint32_t id)
{
    bool is_founding = !host->view->is_founded && !host->slots[id].is_lost;
    bool may_found = is_founding && host_view_is_confirmed(host);
    if (id != META_GROUP &&
        (may_found || HAS_HOST_FAULT(&host->config, LOST_RETURNS))) {
        found_shard(host, id);
    } else if (!is_founding) {
        ask_leader(host, id, REPLICA_LOST);
    }
}

static void step_group(struct host *host, uint32_t id)
{
    struct group *group = host_group(host, id);
    bool is_placed =
        id != META_GROUP &&
        shard_place_has(&host->view->map.places[id - 1], host->number);
    if (!group) {
        if (is_placed || host->slots[id].is_lost || id == META_GROUP) {
            miss(host, id);
        }
        return;
    }
    if (raft_is_settled(group_raft(group))) {
        if (!host->is_leaving) {
            lead(host, id, group);
        }
        return;
    }
    /* A replica that nobody wants, or that nobody leads (any more). */
    bool is_led = raft_leader(group_raft(group)) != 0;
    if (host->view->is_founded && (id == META_GROUP ? !is_led : !is_placed)) {
        ask_leader(host, id, REPLICA_ASK);
    }
}

void replicas_step(struct host *host)
{
    if (!host->view || host->number == MEMBER_NONE) {
        return;
    }
    for (uint32_t id = 0; id <= host->view->map.shard_count; id++) {
        step_group(host, id);
    }
}
