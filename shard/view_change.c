/*
 * What changes the view: for each kind of change whether it may happen, and
 * doing it.
 */

#include "base/utf8.h"
#include "shard/view_core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void view_change_clear(struct view_change *change)
{
    members_clear(&change->members);
    shard_map_clear(&change->map);
    view_settings_clear(&change->settings);
    task_pools_clear(&change->pools);
    task_pool_clear(&change->pool);
    free(change->moves);
    *change = (struct view_change){0};
}

void view_change_say(struct view_change *change, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(change->text, sizeof change->text, format, arguments);
    va_end(arguments);
    bool is_cut = length >= (int)sizeof change->text;
    uint32_t code = 0;
    for (char *next = change->text; *next;) {
        size_t bytes = utf8_decode(next, &code);
        if (bytes == 0 && is_cut && strlen(next) < 4) {
            *next = '\0'; /* the beginning of a character */
        } else if (bytes == 0 || utf8_is_control(code)) {
            memset(next, '?', bytes > 0 ? bytes : 1);
            next++;
        } else {
            next += bytes;
        }
    }
}

/* ---- whether it may happen ---- */

static enum err check_found(const struct view *view,
                            const struct view_change *change,
                            struct err_detail *why)
{
    if (view->version > 0) {
        err_explain(why, "the cluster is founded already");
        return ERR_EXISTS;
    }
    struct view founded = {
        .replication = change->replication,
        .members = change->members, /* borrowed, as the rest */
        .founders = change->members,
        .map = change->map,
        .settings = change->settings,
    };
    memcpy(founded.cluster_name, change->cluster_name,
           sizeof founded.cluster_name);
    return view_validate(&founded, why);
}

static enum err check_founded(const struct view *view,
                              const struct view_change *change,
                              struct err_detail *why)
{
    (void)change;
    if (view->is_founded) {
        err_explain(why, "all shards have begun already");
        return ERR_EXISTS;
    }
    return ERR_NONE;
}

static enum err check_member_add(const struct view *view,
                                 const struct view_change *change,
                                 struct err_detail *why)
{
    const struct member *member = &change->member;
    enum err err = member_validate(member, why);
    if (err) {
        return err;
    }
    const struct member *other =
        members_find_name(&view->members, member->name);
    if (other) {
        err_explain(why, "%s is a member already, with the number %u",
                    other->name, other->number);
        return ERR_EXISTS;
    }
    other = members_find(&view->members, member->number);
    if (other) {
        err_explain(why, "%s has the number %u", other->name, other->number);
        return ERR_EXISTS;
    }
    if (members_free_number(&view->members) == MEMBER_NONE) {
        err_explain(why, "all %u numbers are taken: forget a member first",
                    MEMBER_NUMBERS_MAX);
        return ERR_FULL;
    }
    return ERR_NONE;
}

static enum err find_member(const struct view *view,
                            uint32_t number,
                            const struct member **out,
                            struct err_detail *why)
{
    *out = members_find(&view->members, number);
    if (!*out) {
        err_explain(why, "no member has the number %u", number);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

static enum err check_member_set(const struct view *view,
                                 const struct view_change *change,
                                 struct err_detail *why)
{
    const struct member *to = &change->member;
    const struct member *from = NULL;
    enum err err = member_validate(to, why);
    if (!err) {
        err = find_member(view, to->number, &from, why);
    }
    if (err) {
        return err;
    }
    if (strcmp(to->name, from->name) != 0) {
        err_explain(why, "the number %u is that of %s, not of %s", to->number,
                    from->name, to->name);
        return ERR_INVALID;
    }
    if (to->version != 0 && to->version != from->version) {
        err_explain(why, "%s was changed meanwhile", from->name);
        return ERR_BUSY;
    }
    return ERR_NONE;
}

static enum err check_member_forget(const struct view *view,
                                    const struct view_change *change,
                                    struct err_detail *why)
{
    const struct member *member = NULL;
    enum err err = find_member(view, change->number, &member, why);
    if (err) {
        return err;
    }
    if (view->members.count == 1) {
        err_explain(why, "%s is the last member: there would be no cluster",
                    member->name);
        return ERR_INVALID;
    }
    uint32_t placed_count = 0;
    uint32_t last_count = 0; /* of those nobody else has a replica */
    for (uint32_t i = 0; i < view->map.shard_count; i++) {
        const struct shard_place *place = &view->map.places[i];
        bool is_placed = shard_place_has(place, member->number);
        placed_count += is_placed;
        last_count += is_placed && place->replica_count == 1;
    }
    if (HAS_HOST_FAULT(view, FORGET_PLACED)) {
        return ERR_NONE;
    }
    if (last_count > 0) {
        err_explain(why,
                    "%u shards are placed on %s, of %u of them the last "
                    "replica: drain it first",
                    placed_count, member->name, last_count);
        return ERR_BUSY;
    }
    if (placed_count > 0) {
        err_explain(why, "%u shards are placed on %s: drain it first",
                    placed_count, member->name);
        return ERR_BUSY;
    }
    return ERR_NONE;
}

static enum err check_shard(const struct view *view,
                            uint32_t shard,
                            struct err_detail *why)
{
    if (shard >= view->map.shard_count) {
        err_explain(why, "there is no shard %u; the last one is %u", shard,
                    view->map.shard_count - 1);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

static enum err check_moves(const struct view *view,
                            const struct view_change *change,
                            struct err_detail *why)
{
    uint8_t seen[SHARD_COUNT_MAX] = {0};
    for (uint32_t i = 0; i < change->move_count; i++) {
        const struct view_move *move = &change->moves[i];
        enum err err = check_shard(view, move->shard, why);
        if (!err) {
            err = view_check_place(&view->members, &move->place, move->shard,
                                   why);
        }
        if (err) {
            return err;
        }
        if (seen[move->shard]++) {
            err_explain(why, "shard %u is moved twice", move->shard);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

static enum err check_place(const struct view *view,
                            const struct view_change *change,
                            struct err_detail *why)
{
    if (!view->is_founded) {
        err_explain(why, "not all shards have begun yet");
        return ERR_BUSY;
    }
    if (change->map_version != view->map.version &&
        !HAS_HOST_FAULT(view, PLACE_OTHER_MAP)) {
        err_explain(why, "the map has changed meanwhile");
        return ERR_BUSY;
    }
    if (change->move_count == 0) {
        err_explain(why, "there is nothing to move");
        return ERR_INVALID;
    }
    return check_moves(view, change, why);
}

static enum err check_pause(const struct view *view,
                            const struct view_change *change,
                            struct err_detail *why)
{
    (void)view;
    (void)change;
    (void)why;
    return ERR_NONE;
}

/* Whoever asks for it has seen which generation there is: of two who do so at
 * the same time one is refused. */
static enum err check_recover(const struct view *view,
                              const struct view_change *change,
                              struct err_detail *why)
{
    const struct member *member = NULL;
    if (!view->is_founded) {
        err_explain(why, "not all shards have begun yet");
        return ERR_BUSY;
    }
    enum err err = check_shard(view, change->number, why);
    if (!err) {
        err = find_member(view, change->node, &member, why);
    }
    if (err) {
        return err;
    }
    uint64_t generation = view->map.places[change->number].generation;
    if (change->generation != generation + 1 &&
        !HAS_HOST_FAULT(view, RECOVER_TWICE)) {
        err_explain(why, "shard %u has begun generation %u meanwhile",
                    change->number, (uint32_t)generation);
        return ERR_BUSY;
    }
    return ERR_NONE;
}

static enum err check_recovered(const struct view *view,
                                const struct view_change *change,
                                struct err_detail *why)
{
    enum err err = check_shard(view, change->number, why);
    if (!err &&
        (!view_recovery_of(view, change->number) ||
         view->map.places[change->number].generation != change->generation)) {
        err_explain(why, "shard %u is not being recovered in generation %u",
                    change->number, change->generation);
        err = ERR_NOT_FOUND;
    }
    return err;
}

static enum err check_recover_meta(const struct view *view,
                                   const struct view_change *change,
                                   struct err_detail *why)
{
    if (change->generation <= view->meta_generation) {
        err_explain(why, "the meta group is in generation %u already",
                    view->meta_generation);
        return ERR_EXISTS;
    }
    return ERR_NONE;
}

static enum err check_note(const struct view *view,
                           const struct view_change *change,
                           struct err_detail *why)
{
    (void)view;
    if (change->text[0] == '\0') {
        err_explain(why, "the note has no text");
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err check_level(const struct view *view,
                            const struct view_change *change,
                            struct err_detail *why)
{
    if (change->number <= view->feature_level) {
        err_explain(why, "the feature level is %u already",
                    view->feature_level);
        return ERR_EXISTS;
    }
    return ERR_NONE;
}

static enum err check_settings(const struct view *view,
                               const struct view_change *change,
                               struct err_detail *why)
{
    uint32_t replication = 0;
    if (change->settings.version != view->settings.version) {
        err_explain(why, "the settings were changed meanwhile");
        return ERR_BUSY;
    }
    return view_settings_check(&change->settings, view->map.shard_count,
                               &replication, why);
}

static const struct task_pool *present_pool(const struct view *view,
                                            const struct view_change *change)
{
    return task_pools_find(&view->pools, bytes_of_text(change->pool.name));
}

static enum err check_pool_set(const struct view *view,
                               const struct view_change *change,
                               struct err_detail *why)
{
    const struct task_pool *present = present_pool(view, change);
    if (change->pool.version != 0 &&
        (!present || present->version != change->pool.version)) {
        err_explain(why, "pool %s was changed meanwhile", change->pool.name);
        return ERR_BUSY;
    }
    if (!present && view->pools.count >= TASK_POOL_COUNT_MAX) {
        err_explain(why, "there are %d pools, and no more are allowed",
                    TASK_POOL_COUNT_MAX);
        return ERR_FULL;
    }
    return task_pool_validate(&change->pool, why);
}

static enum err check_pool_remove(const struct view *view,
                                  const struct view_change *change,
                                  struct err_detail *why)
{
    if (!present_pool(view, change)) {
        err_explain(why, "there is no pool %s", change->pool.name);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

/* ---- doing it ---- */

/* Its time is that of the founding. */
static void stamp_founders(struct members *members, int64_t at_ms)
{
    for (uint32_t i = 0; i < members->count; i++) {
        members->list[i].version = 1;
        members->list[i].since_ms = at_ms;
    }
}

static enum err do_found(struct view *view, const struct view_change *change)
{
    struct members members = {0};
    struct members founders = {0};
    struct shard_map map = {0};
    struct view_settings settings = {0};
    struct task_pools pools = {0};
    enum err err = members_copy(&members, &change->members);
    if (!err) {
        err = members_copy(&founders, &change->members);
    }
    if (!err) {
        err = shard_map_copy(&map, &change->map);
    }
    if (!err) {
        err = view_settings_copy(&settings, &change->settings);
    }
    if (!err) {
        err = task_pools_copy(&pools, &change->pools);
    }
    if (err) {
        members_clear(&members);
        members_clear(&founders);
        shard_map_clear(&map);
        view_settings_clear(&settings);
        return err;
    }
    stamp_founders(&members, change->at_ms);
    stamp_founders(&founders, change->at_ms);
    memcpy(view->cluster_id, change->cluster_id, sizeof view->cluster_id);
    memcpy(view->cluster_name, change->cluster_name, sizeof view->cluster_name);
    view->replication = change->replication;
    view->feature_level = VIEW_FEATURE_LEVEL_FOUNDED;
    view->members = members;
    view->founders = founders;
    view->map = map;
    view->settings = settings;
    view->settings.version = view->version + 1;
    view->pools = pools;
    return ERR_NONE;
}

static enum err do_founded(struct view *view, const struct view_change *change)
{
    (void)change;
    view->is_founded = true;
    return ERR_NONE;
}

static enum err do_member_add(struct view *view,
                              const struct view_change *change)
{
    struct member member = change->member;
    assert(member.number < MEMBER_NUMBERS_MAX);
    member.version = view->version + 1;
    member.since_ms = change->at_ms;
    return members_add(&view->members, &member);
}

static enum err do_member_set(struct view *view,
                              const struct view_change *change)
{
    struct member *member = members_find(&view->members, change->member.number);
    assert(member);
    int64_t since_ms = member->since_ms;
    *member = change->member;
    member->version = view->version + 1;
    member->since_ms = since_ms;
    return ERR_NONE;
}

static enum err do_member_forget(struct view *view,
                                 const struct view_change *change)
{
    members_remove(&view->members, change->number);
    return ERR_NONE;
}

static enum err do_place(struct view *view, const struct view_change *change)
{
    for (uint32_t i = 0; i < change->move_count; i++) {
        const struct view_move *move = &change->moves[i];
        assert(move->shard < view->map.shard_count);
        struct shard_place *place = &view->map.places[move->shard];
        uint32_t generation = place->generation;
        *place = move->place;
        place->generation = generation;
    }
    view->map.version++;
    return ERR_NONE;
}

static enum err do_pause(struct view *view, const struct view_change *change)
{
    view->is_paused = change->flag;
    return ERR_NONE;
}

static enum err do_recover(struct view *view, const struct view_change *change)
{
    const struct member *member = members_find(&view->members, change->node);
    const struct view_recovery *present =
        view_recovery_of(view, change->number);
    uint32_t at =
        present ? (uint32_t)(present - view->recoveries) : view->recovery_count;
    assert(member && change->number < view->map.shard_count);
    if (!present) {
        struct view_recovery *more =
            realloc(view->recoveries, (at + 1) * sizeof *more);
        if (!more) {
            return ERR_MEMORY;
        }
        view->recoveries = more;
        view->recovery_count++;
    }
    view->recoveries[at] = (struct view_recovery){.shard = change->number,
                                                  .node = change->node,
                                                  .disk_id = member->disk_id,
                                                  .is_empty = change->flag};
    view->map.places[change->number].generation = change->generation;
    view->map.version++;
    return ERR_NONE;
}

static enum err do_level(struct view *view, const struct view_change *change)
{
    view->feature_level = change->number;
    return ERR_NONE;
}

static enum err do_settings(struct view *view, const struct view_change *change)
{
    struct view_settings settings = {0};
    uint32_t replication = 0;
    enum err err = view_settings_copy(&settings, &change->settings);
    if (err) {
        return err;
    }
    err = view_settings_check(&settings, view->map.shard_count, &replication,
                              NULL);
    assert(!err);
    view_settings_clear(&view->settings);
    view->settings = settings;
    view->settings.version = view->version + 1;
    view->replication = replication;
    (void)snprintf(view->cluster_name, sizeof view->cluster_name, "%s",
                   view_settings_find(&settings, "cluster.name"));
    return ERR_NONE;
}

static enum err do_recovered(struct view *view,
                             const struct view_change *change)
{
    const struct view_recovery *present =
        view_recovery_of(view, change->number);
    assert(present);
    uint32_t at = (uint32_t)(present - view->recoveries);
    view->recovery_count--;
    memmove(&view->recoveries[at], &view->recoveries[at + 1],
            (view->recovery_count - at) * sizeof *view->recoveries);
    return ERR_NONE;
}

static enum err do_recover_meta(struct view *view,
                                const struct view_change *change)
{
    view->meta_generation = change->generation;
    view->version += VIEW_VERSIONS_SKIPPED;
    view->map.version += VIEW_VERSIONS_SKIPPED;
    return ERR_NONE;
}

static enum err do_pool_set(struct view *view, const struct view_change *change)
{
    struct task_pool pool = change->pool; /* what it points to is borrowed */
    pool.version = view->version + 1;
    return task_pools_set(&view->pools, &pool);
}

static enum err do_pool_remove(struct view *view,
                               const struct view_change *change)
{
    task_pools_remove(&view->pools, bytes_of_text(change->pool.name));
    return ERR_NONE;
}

static const struct {
    enum err (*check)(const struct view *view,
                      const struct view_change *change,
                      struct err_detail *why);
    /* NULL: the view stays as it is. ERR_MEMORY: nothing has happened */
    enum err (*change)(struct view *view, const struct view_change *change);
} kinds[VIEW_CHANGE_KIND_COUNT] = {
    [VIEW_FOUND] = {check_found, do_found},
    [VIEW_FOUNDED] = {check_founded, do_founded},
    [VIEW_MEMBER_ADD] = {check_member_add, do_member_add},
    [VIEW_MEMBER_SET] = {check_member_set, do_member_set},
    [VIEW_MEMBER_FORGET] = {check_member_forget, do_member_forget},
    [VIEW_PLACE] = {check_place, do_place},
    [VIEW_PAUSE] = {check_pause, do_pause},
    [VIEW_RECOVER] = {check_recover, do_recover},
    [VIEW_NOTE] = {check_note, NULL},
    [VIEW_LEVEL] = {check_level, do_level},
    [VIEW_SETTINGS] = {check_settings, do_settings},
    [VIEW_RECOVERED] = {check_recovered, do_recovered},
    [VIEW_RECOVER_META] = {check_recover_meta, do_recover_meta},
    [VIEW_POOL_SET] = {check_pool_set, do_pool_set},
    [VIEW_POOL_REMOVE] = {check_pool_remove, do_pool_remove},
};

enum err view_check(const struct view *view,
                    const struct view_change *change,
                    struct err_detail *why)
{
    assert(change->kind >= VIEW_FOUND && change->kind < VIEW_CHANGE_KIND_COUNT);
    if (view->version == 0 && change->kind != VIEW_FOUND) {
        err_explain(why, "no cluster is founded yet");
        return ERR_NOT_FOUND;
    }
    return kinds[change->kind].check(view, change, why);
}

enum err view_change(struct view *view, const struct view_change *change)
{
    assert(change->kind >= VIEW_FOUND && change->kind < VIEW_CHANGE_KIND_COUNT);
    if (!kinds[change->kind].change) {
        return ERR_NONE;
    }
    enum err err = kinds[change->kind].change(view, change);
    view->version += err == ERR_NONE;
    return err;
}
