/*
 * Members, foundings and random changes, for tests of the view and of the meta
 * group's machine.
 */

#ifndef TESTS_SHARD_TEST_VIEW_H
#define TESTS_SHARD_TEST_VIEW_H

#include "tests/support/check.h"

#include "shard/view.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline struct member test_member(uint32_t number)
{
    struct member member = {.number = number,
                            .weight = 100,
                            .roles = 3,
                            .disk_id = UINT64_C(1) << 63 | number,
                            .since_ms = 1};
    (void)snprintf(member.name, sizeof member.name, "node-%u", number);
    (void)snprintf(member.door, sizeof member.door, "tcp://10.0.0.1:%u",
                   7000 + number);
    (void)snprintf(member.bus, sizeof member.bus, "tcp://10.0.0.1:%u",
                   8000 + number);
    (void)snprintf(member.zone, sizeof member.zone, "zone-%u", number % 3);
    return member;
}

/* Those that a view of so many shards can have. */
static inline struct view_settings test_settings(uint32_t shard_count,
                                                 uint32_t replication)
{
    struct view_settings settings = {0};
    char number[16];
    (void)snprintf(number, sizeof number, "%u", shard_count);
    CHECK_OK(view_settings_set(&settings, "cluster.name", "test"));
    CHECK_OK(view_settings_set(&settings, "cluster.shards", number));
    (void)snprintf(number, sizeof number, "%u", replication);
    CHECK_OK(view_settings_set(&settings, "cluster.replication", number));
    return settings;
}

/* Members 0 .. member_count-1; each shard stands on the next `replication`. */
static inline struct view_change test_founding(uint32_t member_count,
                                               uint32_t shard_count,
                                               uint32_t replication)
{
    struct view_change change = {.kind = VIEW_FOUND,
                                 .who = "node/node-0",
                                 .text = "founded",
                                 .at_ms = 1000,
                                 .cluster_id = {1, 2, 3},
                                 .cluster_name = "test",
                                 .replication = replication,
                                 .settings =
                                     test_settings(shard_count, replication)};
    for (uint32_t i = 0; i < member_count; i++) {
        struct member member = test_member(i);
        CHECK_OK(members_add(&change.members, &member));
    }
    CHECK_OK(shard_map_init(&change.map, shard_count));
    change.map.version = 1;
    for (uint32_t i = 0; i < shard_count; i++) {
        struct shard_place *place = &change.map.places[i];
        place->replica_count = (uint8_t)replication;
        for (uint32_t j = 0; j < replication; j++) {
            place->replicas[j] = (i + j) % member_count;
        }
    }
    return change;
}

static inline struct view_change test_change(enum view_change_kind kind)
{
    return (struct view_change){
        .kind = kind, .who = "operator/ann", .text = "did it"};
}

/* A founded view, all of whose shards have begun. */
static inline struct view *test_view(uint32_t member_count,
                                     uint32_t shard_count,
                                     uint32_t replication)
{
    struct view *view = NULL;
    struct view_change found =
        test_founding(member_count, shard_count, replication);
    struct view_change founded = test_change(VIEW_FOUNDED);
    CHECK_OK(view_open(&view));
    CHECK_OK(view_check(view, &found, NULL));
    CHECK_OK(view_change(view, &found));
    CHECK_OK(view_check(view, &founded, NULL));
    CHECK_OK(view_change(view, &founded));
    view_change_clear(&found);
    return view;
}

static inline void test_random_place(struct seeded *seeded,
                                     struct shard_place *out,
                                     uint32_t below)
{
    out->replica_count = (uint8_t)(1 + seeded_below(seeded, 3));
    for (uint32_t i = 0; i < out->replica_count; i++) {
        out->replicas[i] = (uint32_t)seeded_below(seeded, below);
    }
}

static inline void test_random_moves(struct seeded *seeded,
                                     const struct view *view,
                                     struct view_change *out)
{
    out->map_version = view->map.version - (seeded_below(seeded, 8) == 0);
    out->move_count = (uint32_t)seeded_below(seeded, 4);
    out->moves = calloc(4, sizeof *out->moves);
    CHECK(out->moves);
    for (uint32_t i = 0; i < out->move_count; i++) {
        out->moves[i].shard =
            (uint32_t)seeded_below(seeded, view->map.shard_count + 1);
        test_random_place(seeded, &out->moves[i].place,
                          view->members.count + 1);
    }
}

static inline struct member test_random_member(struct seeded *seeded,
                                               const struct view *view)
{
    const struct member *old =
        members_find(&view->members, (uint32_t)seeded_below(seeded, 12));
    struct member member =
        old ? *old : test_member((uint32_t)seeded_below(seeded, 12));
    member.state = (enum member_state)seeded_below(seeded, MEMBER_STATE_COUNT);
    member.weight = (uint32_t)seeded_u64(seeded);
    member.disk_id = seeded_u64(seeded);
    member.version -= seeded_below(seeded, 8) == 0 ? member.version : 0;
    return member;
}

static inline struct task_pool test_random_pool(struct seeded *seeded,
                                                const struct view *view)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    (void)snprintf(pool.name, sizeof pool.name, "pool%u",
                   (uint32_t)seeded_below(seeded, 4));
    pool.workers = (uint32_t)seeded_below(seeded, 100);
    pool.is_durable = seeded_below(seeded, 2);
    pool.any_command = seeded_below(seeded, 2);
    pool.version =
        seeded_below(seeded, 4) == 0 ? view->version : 0; /* mostly stale */
    return pool;
}

/* Of any kind; whether it may happen to `view` is a matter of luck. */
static inline struct view_change test_random_change(struct seeded *seeded,
                                                    const struct view *view)
{
    uint64_t kind =
        VIEW_FOUND + seeded_below(seeded, VIEW_CHANGE_KIND_COUNT - 1);
    if (view->version == 0 && seeded_below(seeded, 2) == 0) {
        kind = VIEW_FOUND;
    }
    if (kind == VIEW_FOUND) {
        return test_founding(1 + (uint32_t)seeded_below(seeded, 6), 16, 1);
    }
    struct view_change change = test_change((enum view_change_kind)kind);
    change.at_ms = (int64_t)seeded_u64(seeded);
    change.flag = seeded_below(seeded, 2);
    change.number = (uint32_t)seeded_below(seeded, 20);
    change.node = (uint32_t)seeded_below(seeded, 12);
    change.generation = (uint32_t)seeded_below(seeded, 3);
    if (kind == VIEW_RECOVERED && view->recovery_count > 0) {
        change.number = view->recoveries[0].shard;
        change.generation %= 2;
    }
    if (kind == VIEW_RECOVER_META) {
        change.generation = view->meta_generation + change.generation % 2;
    } else if (change.number < view->map.shard_count) {
        change.generation += view->map.places[change.number].generation;
    }
    if (seeded_below(seeded, 4)) {
        view_change_say(&change, "line %u", change.number);
    } else {
        view_change_say(&change, "%s", "");
    }
    if (kind == VIEW_MEMBER_ADD || kind == VIEW_MEMBER_SET) {
        change.member = test_random_member(seeded, view);
    }
    if (kind == VIEW_PLACE) {
        test_random_moves(seeded, view, &change);
    }
    if (kind == VIEW_POOL_SET || kind == VIEW_POOL_REMOVE) {
        change.pool = test_random_pool(seeded, view);
    }
    if (kind == VIEW_SETTINGS) {
        change.settings =
            test_settings(seeded_below(seeded, 8) ? 16 : 8,
                          (uint32_t)seeded_below(seeded, SHARD_REPLICAS_MAX));
        change.settings.version =
            view->settings.version - (seeded_below(seeded, 8) == 0);
    }
    return change;
}

#endif
