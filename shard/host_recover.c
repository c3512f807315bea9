/*
 * Groups that have lost their majority for good.
 *
 * The view says in which generation a group is, and, as long as nobody has
 * reported that it serves, which node takes it over. What is here of an older
 * generation retires at once: those who come back with old disks must not find
 * a majority among themselves beside it. The node that is named, with the disk
 * that it had then, takes over what it has, or begins an empty group.
 *
 * The meta group itself is taken over by one node that was started to do so
 * (host_config.recovers_meta), for there is no view to say who.
 */

#include "shard/host_core.h"

#include "cluster/group.h"
#include "store/group_mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTEN_NS (5 * NS_PER_S) /* before the meta group is taken over */
#define TRY_NS NS_PER_S

static uint32_t generation_here(const struct host *host, uint32_t id)
{
    const struct group *group = host_group(host, id);
    return group ? raft_generation_of(raft_number(group_raft(group))) : 0;
}

static uint32_t generation_wanted(const struct view *view, uint32_t id)
{
    return id == META_GROUP ? view->meta_generation
                            : view->map.places[id - 1].generation;
}

/* ---- shards ---- */

static void log_step(const struct host *host,
                     const char *event,
                     uint32_t id,
                     uint32_t generation,
                     enum err err)
{
    if (err) {
        log_warn(host_log(host), event, LOG_NUMBER("group", id),
                 LOG_NUMBER("generation", generation), LOG_ERR(err),
                 LOG_TEXT("next", "it is tried again"));
    } else {
        log_warn(host_log(host), event, LOG_NUMBER("group", id),
                 LOG_NUMBER("generation", generation));
    }
}

static enum err take_over(struct host *host, uint32_t id, uint32_t generation)
{
    struct raft_member self = {.number = raft_generation_first(generation),
                               .node = host->number,
                               .disk_id = host->disk_id};
    struct group *group = host_group(host, id);
    enum err err = group ? group_take_over(group, &self) : ERR_NOT_FOUND;
    if (err != ERR_BUSY) {
        log_step(host, "group.taken_over", id, generation, err);
    }
    return err;
}

/* Of a group that the log has lost: which one it had; false: nobody knows. */
static bool was_generation(const struct host *host,
                           uint32_t id,
                           uint32_t *generation)
{
    struct wal_group past;
    struct group_mark mark;
    if (!wal_find(multiraft_wal(host->multiraft), id, &past)) {
        *generation = 0;
        return !host->has_losses;
    }
    if (group_mark_decode(&mark, past.configuration)) {
        return false;
    }
    *generation = raft_generation_of(mark.number);
    return true;
}

/* Whether this disk cannot have begun this generation before: by what it has,
 * or because nobody had before this process began. */
static bool is_first_time(const struct host *host,
                          uint32_t id,
                          uint32_t generation)
{
    uint32_t was = 0;
    if (host->slots[id].seen_generation != GENERATION_UNSEEN &&
        host->slots[id].seen_generation < generation) {
        return true;
    }
    return was_generation(host, id, &was) && was < generation;
}

static void begin_empty(struct host *host, uint32_t id, uint32_t generation)
{
    uint64_t number = raft_generation_first(generation);
    struct raft_configuration alone = {.next_number = number + 1,
                                       .count = 1,
                                       .members = {{.number = number,
                                                    .node = host->number,
                                                    .disk_id = host->disk_id,
                                                    .is_voter = true}}};
    if (!is_first_time(host, id, generation)) {
        log_step(host, "group.not_begun_again", id, generation, ERR_REVOKED);
        return;
    }
    enum err err = replicas_begin_anew(host, id, &alone);
    if (err != ERR_BUSY) {
        log_step(host, "group.begun_empty", id, generation, err);
    }
    if (!err) {
        group_campaign_soon(host_group(host, id));
    }
}

/* What the view has us do about one shard. */
static void carry_out(struct host *host, const struct view_recovery *recovery)
{
    uint32_t id = shard_group_id(recovery->shard);
    uint32_t generation = generation_wanted(host->view, id);
    struct slot *slot = &host->slots[id];
    uint64_t now_ns = host_now_ns(host);
    bool is_it = (recovery->node == host->number &&
                  recovery->disk_id == host->disk_id) ||
                 HAS_HOST_FAULT(&host->config, ALL_TAKE_OVER);
    if (!is_it || generation_here(host, id) >= generation ||
        now_ns < slot->recover_ns) {
        return;
    }
    slot->recover_ns = now_ns + TRY_NS;
    if (recovery->is_empty) {
        begin_empty(host, id, generation);
    } else if (take_over(host, id, generation) == ERR_BUSY) {
        slot->recover_ns = now_ns;
    }
}

/* Once is enough, but a view may be new at any step. */
static void retire_old(struct host *host)
{
    for (uint32_t id = 0; id <= host->view->map.shard_count; id++) {
        struct group *group = host_group(host, id);
        uint32_t wanted = generation_wanted(host->view, id);
        if (group && generation_here(host, id) < wanted &&
            !raft_is_retired(group_raft(group))) {
            log_warn(host_log(host), "group.retired", LOG_NUMBER("group", id),
                     LOG_NUMBER("generation", generation_here(host, id)),
                     LOG_NUMBER("serves", wanted));
            group_retire(group);
        }
    }
}

static void note_generations(struct host *host)
{
    for (uint32_t id = 1; id <= host->view->map.shard_count; id++) {
        struct slot *slot = &host->slots[id];
        if (slot->seen_generation == GENERATION_UNSEEN) {
            slot->seen_generation = generation_wanted(host->view, id);
        }
    }
}

/* ---- the meta group ---- */

/* It is there, and may have its replica still. */
static bool may_vote(const struct host *host, const struct raft_member *member)
{
    if (member->disk_id == host->disk_id) {
        return true;
    }
    const struct known *known = member->node < MEMBER_NUMBERS_MAX
                                    ? host->by_number[member->node]
                                    : NULL;
    bool is_without = known && known->answered_ns != 0 &&
                      (known->disk_id != member->disk_id || !known->has_meta);
    return host_is_up(host, member->node) && !is_without;
}

/* The name of one that is ahead of us; NULL: none. */
static const char *who_has_taken_over(const struct host *host)
{
    for (const struct known *known = host->known; known; known = known->next) {
        if (known->meta_generation > generation_here(host, META_GROUP)) {
            return known->name;
        }
    }
    return NULL;
}

static bool may_take_over_meta(struct host *host, struct err_detail *why)
{
    const struct raft *raft = group_raft(host_group(host, META_GROUP));
    const struct raft_configuration *members = raft_newest_configuration(raft);
    uint32_t voters = raft_configuration_voter_count(members);
    uint32_t there = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        there += members->members[i].is_voter &&
                 may_vote(host, &members->members[i]);
    }
    const char *other = who_has_taken_over(host);
    if (other) {
        err_explain(why, "%s has taken it over, or knows who has", other);
        return false;
    }
    if (host_meta_leader(host) != MEMBER_NONE) {
        err_explain(why, "it has a leader");
        return false;
    }
    if (there > voters / 2) {
        err_explain(why,
                    "%" PRIu32 " of its %" PRIu32 " voters are there: that is "
                    "a majority",
                    there, voters);
        return false;
    }
    return true;
}

/* It ends: whoever asked would take it for done. */
static void end_recovery(struct host *host, const char *why)
{
    struct err_detail what = {{0}};
    host->config.recovers_meta = false;
    err_explain(&what,
                "the meta group is not taken over, nothing was changed: %s",
                why);
    log_error(host_log(host), "meta.not_taken_over", LOG_TEXT("why", why));
    host_stop(host);
    host->config.events.on_failed(host->config.events.context, ERR_REFUSED,
                                  what.text);
}

static void recover_meta(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    struct err_detail why = {{0}};
    if (!host_group(host, META_GROUP)) {
        end_recovery(host, "this node has no replica of the meta group");
        return;
    }
    if (!host->view || host->number == MEMBER_NONE) {
        end_recovery(host, "this node knows no view of which it is a member");
        return;
    }
    if (!may_take_over_meta(host, &why)) {
        end_recovery(host, why.text);
        return;
    }
    if (host->listen_ns == 0) {
        host->listen_ns = now_ns;
    }
    if (now_ns - host->listen_ns < LISTEN_NS) {
        return;
    }
    uint32_t generation = generation_here(host, META_GROUP) + 1;
    enum err err = take_over(host, META_GROUP, generation);
    if (err && err != ERR_BUSY) {
        end_recovery(host, err_text(err));
    }
    host->config.recovers_meta = err == ERR_BUSY;
}

static void on_noted(struct errand *errand, enum err err, struct bytes answer)
{
    (void)err; /* it is tried again */
    (void)answer;
    errand->host->is_noting = false;
}

/* Whoever leads a meta group that was taken over sees to it that the view says
 * so. */
static void note_meta(struct host *host)
{
    uint32_t generation = generation_here(host, META_GROUP);
    uint64_t now_ns = host_now_ns(host);
    if (!host_leads_meta(host) || host->is_noting || now_ns < host->note_ns ||
        generation <= meta_view(host->meta)->meta_generation) {
        return;
    }
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    struct view_change change = {.kind = VIEW_RECOVER_META,
                                 .generation = generation};
    (void)snprintf(change.who, sizeof change.who, "node/%s",
                   host->config.self.name);
    view_change_say(&change,
                    "the meta group has lost its majority and was taken over "
                    "by a survivor: generation %" PRIu32
                    "; what only the lost nodes had of it is gone",
                    generation);
    errand->done = on_noted;
    host->note_ns = now_ns + TRY_NS;
    host->is_noting = true;
    if (host_change(host, &change, &errand->call)) {
        free(errand);
        host->is_noting = false;
    } else {
        host_errand_begun(errand);
    }
}

void recover_step(struct host *host)
{
    if (host->config.recovers_meta) {
        recover_meta(host);
    }
    if (!host->view) {
        return;
    }
    note_meta(host);
    retire_old(host);
    if (!host_view_is_confirmed(host)) {
        return;
    }
    note_generations(host);
    for (uint32_t i = 0;
         host->number != MEMBER_NONE && i < host->view->recovery_count; i++) {
        carry_out(host, &host->view->recoveries[i]);
    }
}

/* ---- what is ---- */

bool host_own_replica(const struct host *host,
                      uint32_t id,
                      struct host_own_replica *out)
{
    const struct group *group = host_group(host, id);
    *out = (struct host_own_replica){.leader = MEMBER_NONE};
    if (!group) {
        return id < MULTIRAFT_GROUPS_MAX && host->slots[id].is_lost;
    }
    const struct raft *raft = group_raft(group);
    *out = (struct host_own_replica){
        .number = raft_number(raft),
        .term = raft_term(raft),
        .last_term = raft_last_term(raft),
        .last_index = raft_last_index(raft),
        .applied_index = group_applied_index(group),
        .leader = host_leader_by_replica(host, id),
        .is_retired = raft_is_retired(raft),
        .has_state = group_has_state(group),
        .members = *raft_newest_configuration(raft),
    };
    return true;
}
