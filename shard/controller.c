/*
 * What the leader of the meta group does by itself: it sees that all shards
 * have begun, that members are gone or back, and moves shards, a few at a
 * time, to where the members call for.
 */

#include "base/hash.h"
#include "base/scope.h"
#include "shard/host_core.h"
#include "shard/wanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_NS                                               \
    (2 * NS_PER_S) /* reports come in before anything is judged \
                    */
#define FRESH_NS (3 * NS_PER_S)
#define REFUSED_NS NS_PER_S /* after a change that was refused */

static void on_changed(struct errand *errand, enum err err, struct bytes answer)
{
    struct host *host = errand->host;
    if (host->news) {
        host->news->is_changing = false;
        if (!err && host->news->placed_at != 0) {
            host->news->wanted_at = host->news->placed_at;
        }
        host->news->placed_at = 0;
        host->news->change_ns = err ? host_now_ns(host) + REFUSED_NS : 0;
    }
    if (err && err != ERR_BUSY && err != ERR_NOT_LEADER) {
        log_warn(host_log(host), "controller.refused", LOG_ERR(err),
                 LOG_NUMBER("answer", (int64_t)answer.length));
    }
    if (!err) {
        host_poke(host);
    }
}

/* One change at a time: the next one is decided on its result. */
static void change(struct host *host, struct view_change *what)
{
    struct errand *errand = host_errand(host);
    (void)snprintf(what->who, sizeof what->who, "node/%s",
                   host->config.self.name);
    if (!errand) {
        return;
    }
    errand->done = on_changed;
    if (host_change(host, what, &errand->call)) {
        free(errand);
    } else {
        host_errand_begun(errand);
        host->news->is_changing = true;
    }
}

/* ---- founding ---- */

static bool is_fresh(const struct host *host, uint64_t heard_ns)
{
    return heard_ns != 0 && host_now_ns(host) - heard_ns < FRESH_NS;
}

static bool have_all_begun(const struct host *host)
{
    for (uint32_t i = 0; i < host->news->shard_count; i++) {
        if (!is_fresh(host, host->news->shards[i].heard_ns)) {
            return false;
        }
    }
    return true;
}

/* ---- members ---- */

/* One that has come, or come back by itself, has just been heard. */
static void note_members(struct host *host)
{
    for (uint32_t i = 0; i < host->view->members.count; i++) {
        const struct member *member = &host->view->members.list[i];
        struct node_news *news = &host->news->nodes[member->number];
        if (news->member_version != member->version) {
            news->member_version = member->version;
            if (member->state != MEMBER_DOWN) {
                news->alive_ns = host_now_ns(host);
            }
        }
    }
}

/* One whose state is not what is seen of it; NULL: none. */
static const struct member *changed_member(const struct host *host,
                                           enum member_state *state)
{
    uint64_t now_ns = host_now_ns(host);
    uint64_t down_ns = (uint64_t)host->config.down_ms * NS_PER_MS;
    for (uint32_t i = 0; i < host->view->members.count; i++) {
        const struct member *member = &host->view->members.list[i];
        uint64_t away_ns = now_ns - host->news->nodes[member->number].alive_ns;
        if (away_ns >= down_ns && member->state == MEMBER_ACTIVE) {
            *state = MEMBER_DOWN;
            return member;
        }
        /* Half of the time, so that it does not go to and fro. */
        bool is_back =
            is_fresh(host, host->news->nodes[member->number].heard_ns);
        if (is_back && away_ns < down_ns / 2 && member->state == MEMBER_DOWN) {
            *state = MEMBER_ACTIVE;
            return member;
        }
    }
    return NULL;
}

static bool see_members(struct host *host)
{
    enum member_state state;
    const struct member *member = changed_member(host, &state);
    if (!member) {
        return false;
    }
    struct view_change what = {.kind = VIEW_MEMBER_SET, .member = *member};
    what.member.state = state;
    (void)snprintf(what.text, sizeof what.text, "%s is %s", member->name,
                   state == MEMBER_DOWN
                       ? "away for too long: its shards are made anew elsewhere"
                       : "back");
    change(host, &what);
    return true;
}

/* ---- the feature level ---- */

/* What all members know, by what they report; 0: one has not said lately. */
static uint32_t common_level(const struct host *host)
{
    uint32_t level = UINT32_MAX;
    for (uint32_t i = 0; i < host->view->members.count; i++) {
        const struct node_news *news =
            &host->news->nodes[host->view->members.list[i].number];
        uint32_t known_level =
            is_fresh(host, news->heard_ns) ? news->report.feature_level : 0;
        level = known_level < level ? known_level : level;
    }
    return level;
}

/* From then on no older release is let in. */
static bool see_level(struct host *host)
{
    struct view_change what = {.kind = VIEW_LEVEL,
                               .number = common_level(host)};
    if (what.number <= host->view->feature_level) {
        return false;
    }
    view_change_say(&what, "all members know feature level %u: it is used",
                    what.number);
    change(host, &what);
    return true;
}

/* ---- recoveries ---- */

/* One that has come to its end; whether there was any. */
static bool see_recovered(struct host *host)
{
    for (uint32_t i = 0; i < host->view->recovery_count; i++) {
        uint32_t shard = host->view->recoveries[i].shard;
        const struct shard_news *news = &host->news->shards[shard];
        uint32_t generation = host->view->map.places[shard].generation;
        if (is_fresh(host, news->heard_ns) &&
            news->report.generation >= generation) {
            struct view_change what = {.kind = VIEW_RECOVERED,
                                       .number = shard,
                                       .generation = generation};
            view_change_say(&what, "shard %u serves again: generation %u",
                            shard, generation);
            change(host, &what);
            return true;
        }
    }
    return false;
}

/* ---- the map ---- */

/* A node whose disk is nearly full keeps what it has and gets nothing more, as
 * if it were cordoned; so does one that has not said yet how full it is. */
static bool takes_nothing(const struct host *host, const struct member *member)
{
    const struct node_news *news = &host->news->nodes[member->number];
    return news->heard_ns == 0 || news->report.is_full;
}

/* Of all that a placement depends on but the present map. */
static uint64_t members_hash(const struct host *host)
{
    const struct view *view = host->view;
    uint64_t hash = view->replication;
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        uint64_t parts[] = {member->number,
                            member->weight,
                            member->roles,
                            (uint64_t)member->state,
                            placement_hash(member->zone),
                            takes_nothing(host, member)};
        hash = hash_bytes(bytes_of(parts, sizeof parts), hash);
    }
    return hash;
}

static bool is_leaving(const struct member *member)
{
    return member->state == MEMBER_DRAINING || member->state == MEMBER_DOWN;
}

enum err host_wanted_map(const struct view *view, struct shard_map *out)
{
    struct wanted_node *nodes =
        calloc((size_t)view->members.count + 1, sizeof *nodes);
    if (!nodes) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        nodes[i] = (struct wanted_node){
            .number = member->number,
            .name = member->name,
            .zone = member->zone,
            .weight = member->weight,
            .holds_shards = member->roles & SETTINGS_SHARD,
            .is_cordoned = member->state == MEMBER_CORDONED,
            .is_leaving = is_leaving(member)};
    }
    enum err err = wanted_map(
        out, &(struct wanted_request){.nodes = nodes,
                                      .node_count = view->members.count,
                                      .replication = view->replication,
                                      .previous = &view->map});
    free(nodes);
    return err;
}

static bool has_leaving(const struct view *view,
                        const struct shard_place *place)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct member *member =
            members_find(&view->members, place->replicas[i]);
        if (!member || is_leaving(member)) {
            return true;
        }
    }
    return false;
}

/* What the new plan will move. */
static void begin_plan(struct host *host)
{
    struct news *news = host->news;
    news->plan = (struct host_plan){
        .version = host->view->map.version,
        .since_ms = clock_wall_ms(host->config.multiraft.clock)};
    for (uint32_t i = 0; i < news->shard_count; i++) {
        const struct shard_place *place = &host->view->map.places[i];
        news->shards[i].is_planned =
            !shard_place_is_equal(place, &news->wanted.places[i]) &&
            !has_leaving(host->view, place);
        news->plan.total += news->shards[i].is_planned;
    }
    news->plan.left = news->plan.total;
}

static enum err want_now(struct host *host)
{
    scoped(view_close) struct view *view = NULL;
    enum err err = view_copy(&view, host->view);
    for (uint32_t i = 0; !err && i < view->members.count; i++) {
        struct member *member = &view->members.list[i];
        if (member->state == MEMBER_ACTIVE && takes_nothing(host, member)) {
            member->state = MEMBER_CORDONED;
        }
    }
    return err ? err : host_wanted_map(view, &host->news->wanted);
}

/*
 * Keep to a plan until it is carried out: made anew after each of its moves it
 * might come to others. Unless the members changed, or what they can take, or
 * somebody moved shards by hand.
 */
static bool want(struct host *host)
{
    struct news *news = host->news;
    uint64_t members = members_hash(host);
    uint64_t version = host->view->map.version;
    if (news->has_wanted && news->wanted_for == members &&
        version == news->wanted_at) {
        return true;
    }
    shard_map_clear(&news->wanted);
    news->has_wanted = want_now(host) == ERR_NONE;
    news->wanted_for = members;
    news->wanted_at = version;
    if (news->has_wanted) {
        begin_plan(host);
    }
    return news->has_wanted;
}

/* What was reported before a shard was placed may be the end of an older move
 * to the same place. */
static void note_places(struct host *host)
{
    for (uint32_t i = 0; i < host->news->shard_count; i++) {
        struct shard_news *shard = &host->news->shards[i];
        const struct shard_place *place = &host->view->map.places[i];
        if (!shard_place_is_equal(&shard->place, place)) {
            shard->place = *place;
            shard->placed_version = host->view->version;
        }
    }
}

/* Its members are those of the map. */
static bool is_settled(const struct host *host, uint32_t shard)
{
    const struct shard_place *place = &host->view->map.places[shard];
    const struct shard_news *news = &host->news->shards[shard];
    if (HAS_HOST_FAULT(&host->config, HASTY_MOVES)) {
        return true;
    }
    return is_fresh(host, news->heard_ns) &&
           news->view_version >= news->placed_version &&
           host_report_is_of(&news->report, place);
}

static bool is_from_gone(const struct host *host, uint32_t shard)
{
    const struct shard_place *place = &host->view->map.places[shard];
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct member *member =
            members_find(&host->view->members, place->replicas[i]);
        if (!member || member->state == MEMBER_DOWN) {
            return true;
        }
    }
    return false;
}

/* Whether it reports. */
static bool is_there(const struct host *host, uint32_t number)
{
    return is_fresh(host, host->news->nodes[number].heard_ns);
}

/* Whether there is work on a shard's move. Not on one that nobody leads, nor
 * when all that is left waits for a node that is away, perhaps for ever: these
 * hold up no others. */
static bool is_moving(const struct host *host, uint32_t shard)
{
    const struct shard_place *place = &host->view->map.places[shard];
    const struct shard_news *news = &host->news->shards[shard];
    bool is_complete = true;
    if (!is_fresh(host, news->heard_ns) || is_settled(host, shard)) {
        return false;
    }
    for (uint32_t i = 0; i < place->replica_count; i++) {
        uint32_t number = place->replicas[i];
        if (is_there(host, number) &&
            !host_report_has_voter(&news->report, number)) {
            return true;
        }
        is_complete = is_complete && is_there(host, number);
    }
    return is_complete;
}

/* Whether all to whom a shard would move are there. */
static bool can_arrive(const struct host *host, uint32_t shard)
{
    const struct shard_place *from = &host->view->map.places[shard];
    const struct shard_place *to = &host->news->wanted.places[shard];
    for (uint32_t i = 0; i < to->replica_count; i++) {
        bool is_new = !shard_place_has(from, to->replicas[i]) ||
                      (i == 0 && from->replicas[0] != to->replicas[0]);
        if (is_new && !is_there(host, to->replicas[i])) {
            return false;
        }
    }
    return true;
}

/* What of it has come to be so. */
static void note_settled(struct host *host)
{
    struct news *news = host->news;
    news->plan.blocked = 0;
    for (uint32_t i = 0; i < news->shard_count; i++) {
        const struct shard_place *place = &host->view->map.places[i];
        if (is_settled(host, i) &&
            news->shards[i].report.leader == place->replicas[0]) {
            history_note_settled(host->history, i);
        }
        if (news->shards[i].is_planned && is_settled(host, i) &&
            shard_place_is_equal(place, &news->wanted.places[i])) {
            news->shards[i].is_planned = false;
            news->plan.left--;
        }
        news->plan.blocked +=
            news->shards[i].is_planned && !can_arrive(host, i);
    }
}

struct host_plan host_plan(const struct host *host)
{
    return host->news ? host->news->plan : (struct host_plan){0};
}

/* Some of what is wanted, as many as may move at the same time. */
static uint32_t choose_moves(const struct host *host, struct view_move *moves)
{
    const struct news *news = host->news;
    uint32_t moving = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < news->shard_count; i++) {
        moving += is_moving(host, i);
    }
    for (uint32_t i = 0; i < news->shard_count; i++) {
        bool may_move = !host->view->is_paused || is_from_gone(host, i);
        if (moving + count >= host->config.moves_max) {
            break;
        }
        if (may_move && (is_settled(host, i) || is_from_gone(host, i)) &&
            can_arrive(host, i) &&
            !shard_place_is_equal(&host->view->map.places[i],
                                  &news->wanted.places[i])) {
            moves[count++] =
                (struct view_move){.shard = i, .place = news->wanted.places[i]};
        }
    }
    return count;
}

static void place(struct host *host)
{
    struct view_move *moves = calloc(host->config.moves_max, sizeof *moves);
    if (moves && want(host)) {
        note_settled(host);
        struct view_change what = {.kind = VIEW_PLACE,
                                   .map_version = host->view->map.version,
                                   .moves = moves};
        what.move_count = choose_moves(host, moves);
        if (what.move_count > 0) {
            change(host, &what);
            host->news->placed_at =
                host->news->is_changing ? what.map_version + 1 : 0;
        }
    }
    free(moves);
}

void controller_step(struct host *host)
{
    if (!host->news || !host_leads_meta(host) || !host->view ||
        host->news->is_changing || host_now_ns(host) < host->news->change_ns ||
        meta_view(host->meta)->version != host->view->version) {
        return;
    }
    if (!host->view->is_founded) {
        if (have_all_begun(host)) {
            change(host, &(struct view_change){.kind = VIEW_FOUNDED,
                                               .text = "all shards serve"});
        }
        return;
    }
    note_members(host);
    note_places(host);
    if (see_recovered(host)) {
        return;
    }
    if (host_now_ns(host) - host->news->since_ns >= SETTLE_NS &&
        !see_members(host) && !see_level(host)) {
        place(host);
    }
}
