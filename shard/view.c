#include "shard/view.h"

#include "base/scope.h"
#include "shard/view_core.h"

#include <stdlib.h>
#include <string.h>

enum err view_open(struct view **out)
{
    struct view *view = calloc(1, sizeof *view);
    if (!view) {
        return ERR_MEMORY;
    }
    *out = view;
    return ERR_NONE;
}

void view_close(struct view **view)
{
    if (!*view) {
        return;
    }
    members_clear(&(*view)->members);
    members_clear(&(*view)->founders);
    shard_map_clear(&(*view)->map);
    view_settings_clear(&(*view)->settings);
    task_pools_clear(&(*view)->pools);
    free((*view)->recoveries);
    free(*view);
    *view = NULL;
}

static enum err copy_recoveries(struct view *to, const struct view *from)
{
    size_t bytes = from->recovery_count * sizeof *from->recoveries;
    if (bytes == 0) {
        return ERR_NONE;
    }
    to->recoveries = malloc(bytes);
    if (!to->recoveries) {
        return ERR_MEMORY;
    }
    memcpy(to->recoveries, from->recoveries, bytes);
    return ERR_NONE;
}

enum err view_copy(struct view **out, const struct view *from)
{
    scoped(view_close) struct view *view = NULL;
    enum err err = view_open(&view);
    if (err) {
        return err;
    }
    *view = *from;
    view->members = (struct members){0};
    view->founders = (struct members){0};
    view->map = (struct shard_map){0};
    view->settings = (struct view_settings){0};
    view->pools = (struct task_pools){0};
    view->recoveries = NULL;
    err = copy_recoveries(view, from);
    if (err) {
        return err;
    }
    err = members_copy(&view->members, &from->members);
    if (!err) {
        err = members_copy(&view->founders, &from->founders);
    }
    if (!err) {
        err = shard_map_copy(&view->map, &from->map);
    }
    if (!err) {
        err = view_settings_copy(&view->settings, &from->settings);
    }
    if (!err) {
        err = task_pools_copy(&view->pools, &from->pools);
    }
    if (err) {
        return err;
    }
    *out = view;
    view = NULL; /* the caller owns it now */
    return ERR_NONE;
}

const struct view_recovery *view_recovery_of(const struct view *view,
                                             uint32_t shard)
{
    for (uint32_t i = 0; i < view->recovery_count; i++) {
        if (view->recoveries[i].shard == shard) {
            return &view->recoveries[i];
        }
    }
    return NULL;
}

/* ---- what holds together ---- */

enum err view_check_place(const struct members *members,
                          const struct shard_place *place,
                          uint32_t shard,
                          struct err_detail *why)
{
    if (place->replica_count < 1 || place->replica_count > SHARD_REPLICAS_MAX) {
        err_explain(why, "shard %u: %u replicas; 1 to %u are possible", shard,
                    place->replica_count, SHARD_REPLICAS_MAX);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (!members_find(members, place->replicas[i])) {
            err_explain(why, "shard %u: no member has the number %u", shard,
                        place->replicas[i]);
            return ERR_INVALID;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (place->replicas[j] == place->replicas[i]) {
                err_explain(why, "shard %u: node %u is named twice", shard,
                            place->replicas[i]);
                return ERR_INVALID;
            }
        }
    }
    return ERR_NONE;
}

/* One table, as members_add() makes it. */
static enum err check_members(const struct members *members,
                              struct err_detail *why)
{
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        enum err err = member_validate(member, why);
        if (err) {
            return err;
        }
        if (member->number >= MEMBER_NUMBERS_MAX ||
            members_find(members, member->number) != member ||
            members_find_name(members, member->name) != member) {
            err_explain(why, "the number or name of %s is not its alone",
                        member->name);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

/* What stands in both is the same. */
static enum err check_settings(const struct view *view, struct err_detail *why)
{
    uint32_t replication = 0;
    enum err err = view_settings_check(&view->settings, view->map.shard_count,
                                       &replication, why);
    if (err) {
        return err;
    }
    if (replication != view->replication ||
        strcmp(view_settings_find(&view->settings, "cluster.name"),
               view->cluster_name) != 0) {
        err_explain(why, "the settings name another replication or cluster");
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err check_recoveries(const struct view *view,
                                 struct err_detail *why)
{
    for (uint32_t i = 0; i < view->recovery_count; i++) {
        const struct view_recovery *recovery = &view->recoveries[i];
        if (recovery->shard >= view->map.shard_count ||
            recovery->node >= MEMBER_NUMBERS_MAX ||
            view_recovery_of(view, recovery->shard) != recovery) {
            err_explain(why, "the recovery of shard %u is not valid",
                        recovery->shard);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

enum err view_validate(const struct view *view, struct err_detail *why)
{
    if (!certificate_name_is_valid(view->cluster_name)) {
        err_explain(why, "the cluster's name is not valid");
        return ERR_INVALID;
    }
    if (view->replication < 1 || view->replication > SHARD_REPLICAS_MAX) {
        err_explain(why, "replication %u; 1 to %u is possible",
                    view->replication, SHARD_REPLICAS_MAX);
        return ERR_INVALID;
    }
    if (view->founders.count == 0 || view->map.shard_count == 0 ||
        view->map.shard_count > SHARD_COUNT_MAX) {
        err_explain(why, "there are %u founders and %u shards",
                    view->founders.count, view->map.shard_count);
        return ERR_INVALID;
    }
    enum err err = check_members(&view->members, why);
    if (!err) {
        err = check_members(&view->founders, why);
    }
    for (uint32_t i = 0; !err && i < view->map.shard_count; i++) {
        err = view_check_place(&view->members, &view->map.places[i], i, why);
    }
    if (!err) {
        err = check_settings(view, why);
    }
    return err ? err : check_recoveries(view, why);
}
