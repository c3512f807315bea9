#include "shard/view.h"

#include "tests/shard/test_view.h"
#include "tests/support/check.h"

#include "base/pack.h"
#include "base/scope.h"
#include "config/schema.h"
#include "shard/view_core.h"

static struct err_detail why;

static enum err check(const struct view *view, const struct view_change *change)
{
    why = (struct err_detail){0};
    uint64_t digest = view_digest(view);
    enum err err = view_check(view, change, &why);
    CHECK((err != ERR_NONE) == (why.text[0] != '\0'));
    CHECK(view_digest(view) == digest);
    return err;
}

/* What view_check() has allowed. */
static void carry_out(struct view *view, const struct view_change *change)
{
    uint64_t version = view->version;
    CHECK_OK(check(view, change));
    CHECK_OK(view_change(view, change));
    uint64_t skipped =
        change->kind == VIEW_RECOVER_META ? VIEW_VERSIONS_SKIPPED : 0;
    CHECK(view->version == version + (change->kind != VIEW_NOTE) + skipped);
}

static void check_says(const struct view *view,
                       const struct view_change *change,
                       enum err err,
                       const char *says)
{
    CHECK_ERR(check(view, change), err);
    if (!strstr(why.text, says)) {
        print_error("\"%s\" does not say \"%s\"\n", why.text, says);
        fail();
    }
}

/* ---- founding ---- */

static void nothing_happens_before_the_founding(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = NULL;
    CHECK_OK(view_open(&view));
    for (int kind = VIEW_FOUNDED; kind < VIEW_CHANGE_KIND_COUNT; kind++) {
        struct view_change early = test_change((enum view_change_kind)kind);
        CHECK_ERR(check(view, &early), ERR_NOT_FOUND);
    }
}

static void a_founding_makes_the_view(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = NULL;
    scoped(view_change_clear) struct view_change found = test_founding(3, 8, 2);
    CHECK_OK(view_open(&view));
    carry_out(view, &found);
    CHECK(view->version == 1 && !view->is_founded && !view->is_paused);
    CHECK(view->feature_level == VIEW_FEATURE_LEVEL_FOUNDED);
    CHECK(view->replication == 2 && strcmp(view->cluster_name, "test") == 0);
    CHECK(memcmp(view->cluster_id, found.cluster_id, CLUSTER_ID_BYTES) == 0);
    CHECK(view->members.count == 3 && view->founders.count == 3);
    CHECK(view->members.list[2].since_ms == 1000);
    CHECK(view->members.list[2].version == 1);
    CHECK(shard_map_is_equal(&view->map, &found.map));
    CHECK_ERR(check(view, &found), ERR_EXISTS);

    struct view_change founded = test_change(VIEW_FOUNDED);
    carry_out(view, &founded);
    CHECK(view->is_founded);
    CHECK_ERR(check(view, &founded), ERR_EXISTS);
}

static void check_founding_is_refused(const struct view_change *found,
                                      const char *says)
{
    scoped(view_close) struct view *view = NULL;
    CHECK_OK(view_open(&view));
    check_says(view, found, ERR_INVALID, says);
}

static void a_founding_that_is_not_whole_is_refused(void **state)
{
    (void)state;
    scoped(view_change_clear) struct view_change found = test_founding(3, 8, 2);
    scoped(view_change_clear) struct view_change none = test_founding(0, 0, 1);
    struct shard_place *place = &found.map.places[5];
    check_founding_is_refused(&none, "founders");
    found.replication = 0;
    check_founding_is_refused(&found, "replication");
    found.replication = SHARD_REPLICAS_MAX + 1;
    check_founding_is_refused(&found, "replication");
    found.replication = 2;
    found.cluster_name[0] = '\0';
    check_founding_is_refused(&found, "name");
    found.cluster_name[0] = 't';
    place->replica_count = 0;
    check_founding_is_refused(&found, "shard 5");
    place->replica_count = 2;
    place->replicas[1] = 3;
    check_founding_is_refused(&found, "shard 5: no member has the number 3");
    place->replicas[1] = place->replicas[0];
    check_founding_is_refused(&found, "named twice");
    place->replicas[1] = 0;
    found.members.list[1].number = 0;
    check_founding_is_refused(&found, "not its alone");
    found.members.list[1].number = 1;
    found.members.list[1].door[0] = '\0';
    check_founding_is_refused(&found, "door");
    found.members.list[1].door[0] = 't';
    found.settings.count--;
    check_founding_is_refused(&found, "cluster.replication");
}

/* ---- the feature level ---- */

static void the_feature_level_only_rises(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 8, 2);
    struct view_change level = test_change(VIEW_LEVEL);
    level.number = VIEW_FEATURE_LEVEL_FOUNDED;
    check_says(view, &level, ERR_EXISTS, "is 1 already");
    level.number = 3;
    carry_out(view, &level);
    CHECK(view->feature_level == 3);
    level.number = 2;
    check_says(view, &level, ERR_EXISTS, "is 3 already");
}

/* ---- members ---- */

static void a_member_joins(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 8, 2);
    struct view_change join = test_change(VIEW_MEMBER_ADD);
    join.at_ms = 5000;
    join.member = test_member(9);
    join.member.number = MEMBER_NONE; /* to be chosen */
    CHECK_OK(check(view, &join));
    join.member.number = members_free_number(&view->members);
    carry_out(view, &join);
    const struct member *member = members_find_name(&view->members, "node-9");
    CHECK(member->number == 3 && member->since_ms == 5000);
    CHECK(member->version == view->version);
    CHECK(view->founders.count == 3);

    check_says(view, &join, ERR_EXISTS, "node-9 is a member already");
    (void)snprintf(join.member.name, sizeof join.member.name, "other");
    check_says(view, &join, ERR_EXISTS, "node-9 has the number 3");
    join.member.name[0] = '\0';
    check_says(view, &join, ERR_INVALID, "name");
}

static void there_are_so_many_numbers(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(MEMBER_NUMBERS_MAX, 8, 2);
    struct view_change join = test_change(VIEW_MEMBER_ADD);
    join.member = test_member(9);
    join.member.number = MEMBER_NONE;
    (void)snprintf(join.member.name, sizeof join.member.name, "one-more");
    check_says(view, &join, ERR_FULL, "512");
}

static void a_member_changes_but_for_number_and_name(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 8, 2);
    struct view_change set = test_change(VIEW_MEMBER_SET);
    set.member = *members_find(&view->members, 1);
    set.member.state = MEMBER_DRAINING;
    set.member.since_ms = 77;
    carry_out(view, &set);
    const struct member *member = members_find(&view->members, 1);
    CHECK(member->state == MEMBER_DRAINING && member->since_ms == 1000);
    CHECK(member->version == view->version);
    CHECK(members_find(&view->founders, 1)->state == MEMBER_ACTIVE);

    check_says(view, &set, ERR_BUSY, "node-1 was changed meanwhile");
    set.member.version = 0; /* does not matter */
    CHECK_OK(check(view, &set));
    (void)snprintf(set.member.name, sizeof set.member.name, "other");
    check_says(view, &set, ERR_INVALID, "node-1, not of other");
    set.member.number = 3;
    check_says(view, &set, ERR_NOT_FOUND, "3");
    set.member.state = MEMBER_STATE_COUNT;
    check_says(view, &set, ERR_INVALID, "state");
}

static void a_member_with_shards_is_not_forgotten(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 9, 2);
    struct view_change forget = test_change(VIEW_MEMBER_FORGET);
    forget.number = 1;
    check_says(view, &forget, ERR_BUSY,
               "6 shards are placed on node-1: drain it first");
    forget.number = 3;
    check_says(view, &forget, ERR_NOT_FOUND, "3");

    struct view_change join = test_change(VIEW_MEMBER_ADD);
    join.member = test_member(3);
    carry_out(view, &join);
    carry_out(view, &forget);
    CHECK(view->members.count == 3 && !members_find(&view->members, 3));
}

static void the_last_replica_is_not_forgotten(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 7, 1);
    struct view_change forget = test_change(VIEW_MEMBER_FORGET);
    check_says(view, &forget, ERR_BUSY,
               "4 shards are placed on node-0, of 4 of them the last replica: "
               "drain it first");
}

static void the_last_member_is_not_forgotten(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(1, 7, 1);
    struct view_change forget = test_change(VIEW_MEMBER_FORGET);
    check_says(view, &forget, ERR_INVALID, "the last member");
}

/* ---- the map ---- */

static struct view_change move_of(const struct view *view,
                                  struct view_move *move)
{
    struct view_change place = test_change(VIEW_PLACE);
    place.map_version = view->map.version;
    place.moves = move; /* lent */
    place.move_count = 1;
    return place;
}

static void shards_are_placed_elsewhere(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    struct view_change recover = test_change(VIEW_RECOVER);
    recover.number = 6;
    recover.node = 1;
    recover.generation = 1;
    carry_out(view, &recover);
    struct view_move move = {
        6, {.generation = 9, .replica_count = 3, .replicas = {3, 1, 0}}};
    struct view_change place = move_of(view, &move);
    carry_out(view, &place);
    CHECK(view->map.version == 3);
    CHECK(view->map.places[6].generation == 1);
    move.place.generation = 1;
    CHECK(shard_place_is_equal(&view->map.places[6], &move.place));
    check_says(view, &place, ERR_BUSY, "the map has changed");
}

/* ---- recovery ---- */

static struct view_change recovery_of(uint32_t shard,
                                      uint32_t node,
                                      uint32_t generation)
{
    struct view_change recover = test_change(VIEW_RECOVER);
    recover.number = shard;
    recover.node = node;
    recover.generation = generation;
    return recover;
}

static void one_node_takes_a_shard_over_in_each_generation(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    struct view_change first = recovery_of(6, 1, 1);
    carry_out(view, &first);
    const struct view_recovery *recovery = view_recovery_of(view, 6);
    CHECK(recovery && recovery->node == 1 && !recovery->is_empty);
    CHECK(recovery->disk_id == members_find(&view->members, 1)->disk_id);
    CHECK(view->map.places[6].generation == 1);
    CHECK(!view_recovery_of(view, 5));
    struct view_change other = recovery_of(6, 2, 1); /* decided beside it */
    check_says(view, &other, ERR_BUSY, "has begun generation 1 meanwhile");
    other.generation = 3;
    check_says(view, &other, ERR_BUSY, "has begun generation 1 meanwhile");
    other.generation = 2;
    other.flag = true;
    carry_out(view, &other);
    CHECK(view->recovery_count == 1);
    recovery = view_recovery_of(view, 6);
    CHECK(recovery->node == 2 && recovery->is_empty);
    CHECK(view->map.places[6].generation == 2);
}

static void a_recovery_is_over_when_its_own_generation_serves(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    for (uint32_t shard = 2; shard < 5; shard++) {
        struct view_change recover = recovery_of(shard, shard % 4, 1);
        carry_out(view, &recover);
    }
    struct view_change over = test_change(VIEW_RECOVERED);
    over.number = 3;
    over.generation = 0;
    check_says(view, &over, ERR_NOT_FOUND, "shard 3 is not being recovered");
    over.generation = 1;
    carry_out(view, &over);
    check_says(view, &over, ERR_NOT_FOUND, "shard 3 is not being recovered");
    CHECK(view->recovery_count == 2);
    CHECK(view_recovery_of(view, 2) && !view_recovery_of(view, 3) &&
          view_recovery_of(view, 4));
}

static void a_recovery_of_what_is_not_there_is_refused(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    struct view_change recover = recovery_of(8, 1, 1);
    check_says(view, &recover, ERR_NOT_FOUND, "no shard 8; the last one is 7");
    recover = recovery_of(7, 4, 1);
    check_says(view, &recover, ERR_NOT_FOUND, "no member has the number 4");
    view->map.places[7].generation = UINT32_MAX;
    recover = recovery_of(7, 1, 0);
    check_says(view, &recover, ERR_BUSY, "shard 7");
    view->is_founded = false;
    recover = recovery_of(6, 1, 1);
    check_says(view, &recover, ERR_BUSY, "begun");
}

/* Nobody who missed it has a version as new. */
static void versions_after_a_recovered_meta_group_are_far_ahead(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    struct view_change taken = test_change(VIEW_RECOVER_META);
    uint64_t version = view->version;
    uint64_t map_version = view->map.version;
    taken.generation = 1;
    carry_out(view, &taken);
    CHECK(view->version > version + 1000000);
    CHECK(view->map.version > map_version + 1000000);
    CHECK(view->meta_generation == 1);
    check_says(view, &taken, ERR_EXISTS, "in generation 1 already");
}

static void recoveries_survive_being_written_and_copied(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    scoped(view_close) struct view *copy = NULL;
    scoped(view_close) struct view *read = NULL;
    struct view_change recover = recovery_of(6, 1, 1);
    recover.flag = true;
    uint64_t before = view_digest(view);
    carry_out(view, &recover);
    CHECK(view_digest(view) != before);
    CHECK_OK(view_copy(&copy, view));
    CHECK(view_digest(copy) == view_digest(view));
    CHECK(view_recovery_of(copy, 6) != view_recovery_of(view, 6));
    uint8_t *buffer = malloc(view_bytes_max(view));
    assert_non_null(buffer);
    struct writer writer = writer_of(buffer, view_bytes_max(view));
    view_encode(view, &writer);
    CHECK(!writer.failed);
    CHECK_OK(view_decode(&read, writer_bytes(&writer)));
    CHECK(view_digest(read) == view_digest(view));
    CHECK(view_recovery_of(read, 6)->is_empty);
    free(buffer);
}

static void shards_stay_until_all_have_begun(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = NULL;
    scoped(view_change_clear) struct view_change found = test_founding(3, 8, 2);
    CHECK_OK(view_open(&view));
    carry_out(view, &found);
    struct view_move move = {0, {.replica_count = 1, .replicas = {0}}};
    struct view_change place = move_of(view, &move);
    check_says(view, &place, ERR_BUSY, "begun");
}

static void places_that_are_none_are_refused(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(4, 8, 2);
    struct view_move moves[2] = {{0, {.replica_count = 2, .replicas = {0, 1}}},
                                 {0, {.replica_count = 2, .replicas = {1, 0}}}};
    struct view_change place = move_of(view, moves);
    CHECK_OK(check(view, &place));
    place.move_count = 2;
    check_says(view, &place, ERR_INVALID, "shard 0 is moved twice");
    place.move_count = 0;
    check_says(view, &place, ERR_INVALID, "nothing");
    place.move_count = 1;
    moves[0].shard = 8;
    check_says(view, &place, ERR_NOT_FOUND, "shard 8");
    moves[0].shard = 0;
    moves[0].place.replicas[1] = 0;
    check_says(view, &place, ERR_INVALID, "twice");
    moves[0].place.replicas[1] = 4; /* nobody, or forgotten */
    check_says(view, &place, ERR_INVALID, "no member has the number 4");
    moves[0].place.replica_count = 0;
    check_says(view, &place, ERR_INVALID, "0 replicas");
    moves[0].place.replica_count = SHARD_REPLICAS_MAX + 1;
    check_says(view, &place, ERR_INVALID, "6 replicas");
}

static void moving_is_paused_and_goes_on(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 1);
    struct view_change pause = test_change(VIEW_PAUSE);
    pause.flag = true;
    carry_out(view, &pause);
    CHECK(view->is_paused);
    pause.flag = false;
    carry_out(view, &pause);
    CHECK(!view->is_paused);
}

static void a_note_leaves_the_view(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 1);
    struct view_change note = test_change(VIEW_NOTE);
    uint64_t digest = view_digest(view);
    carry_out(view, &note);
    CHECK(view_digest(view) == digest);
    note.text[0] = '\0';
    check_says(view, &note, ERR_INVALID, "text");
}

/* ---- texts ---- */

static void what_is_said_can_stand_in_the_journal(void **state)
{
    (void)state;
    struct view_change note = test_change(VIEW_NOTE);
    view_change_say(&note, "%s \x1b[2J \xc2\x9b \xff end", "a\nb");
    CHECK(strcmp(note.text, "a?b ?[2J ?? ? end") == 0);
    char longest[VIEW_TEXT_BYTES + 8];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest + VIEW_TEXT_BYTES - 3, "\xe2\x82\xac", 3); /* the euro */
    view_change_say(&note, "%s", longest);
    CHECK(strlen(note.text) == VIEW_TEXT_BYTES - 3);
    CHECK(strspn(note.text, "x") == VIEW_TEXT_BYTES - 3);
}

/* ---- settings ---- */

static void a_file_may_want_as_many_replicas_as_a_place_takes(void **state)
{
    (void)state;
    CHECK(schema_find("cluster.replication")->max == SHARD_REPLICAS_MAX);
}

static void settings_are_agreed_on_anew(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 8, 1);
    scoped(view_change_clear) struct view_change change =
        test_change(VIEW_SETTINGS);
    CHECK(view->settings.version == 1);
    change.settings = test_settings(8, 3);
    change.settings.version = 1;
    CHECK_OK(view_settings_set(&change.settings, "cluster.name", "other"));
    carry_out(view, &change);
    CHECK(view->replication == 3);
    CHECK(strcmp(view->cluster_name, "other") == 0);
    CHECK(view->settings.version == view->version);
    CHECK(strcmp(view_settings_find(&view->settings, "cluster.replication"),
                 "3") == 0);
    CHECK(view_settings_find(&view->settings, "cluster.nothing") == NULL);
    CHECK_OK(view_validate(view, NULL));
    /* Made from what was there before. */
    check_says(view, &change, ERR_BUSY, "meanwhile");
    change.settings.version = view->settings.version;
    carry_out(view, &change);
}

static void check_settings_are_refused(const char *key, const char *value)
{
    scoped(view_close) struct view *view = test_view(3, 8, 1);
    scoped(view_change_clear) struct view_change change =
        test_change(VIEW_SETTINGS);
    change.settings = test_settings(8, 1);
    change.settings.version = view->settings.version;
    CHECK_OK(view_settings_set(&change.settings, key, value));
    check_says(view, &change, ERR_INVALID, key);
}

static void settings_of_another_cluster_are_refused(void **state)
{
    (void)state;
    check_settings_are_refused("cluster.shards", "16");
    check_settings_are_refused("cluster.shards", "many");
    check_settings_are_refused("cluster.replication", "0");
    check_settings_are_refused("cluster.replication", "6");
    check_settings_are_refused("cluster.name", "a b");
    scoped(view_close) struct view *view = test_view(3, 8, 1);
    struct view_change none = test_change(VIEW_SETTINGS);
    none.settings.version = view->settings.version;
    check_says(view, &none, ERR_INVALID, "cluster.shards");
}

static void there_are_so_many_settings(void **state)
{
    (void)state;
    char key[VIEW_SETTING_KEY_BYTES + 1];
    scoped(view_settings_clear) struct view_settings settings = {0};
    for (uint32_t i = 0; i < VIEW_SETTINGS_MAX; i++) {
        (void)snprintf(key, sizeof key, "key-%u", i);
        CHECK_OK(view_settings_set(&settings, key, "value"));
    }
    CHECK_ERR(view_settings_set(&settings, "one-more", ""), ERR_FULL);
    CHECK_OK(view_settings_set(&settings, "key-3", "again"));
    CHECK(strcmp(view_settings_find(&settings, "key-3"), "again") == 0);
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    CHECK_ERR(view_settings_set(&settings, key, ""), ERR_TOO_LARGE);
}

/* ---- bytes ---- */

struct encoded {
    uint8_t *buffer;
    struct bytes bytes;
};

static void encoded_clear(struct encoded *encoded)
{
    free(encoded->buffer);
}

/* In memory of just that length, so that a sanitizer sees every step over. */
static struct encoded exactly(struct bytes bytes)
{
    struct encoded encoded = {.buffer = malloc(bytes.length + 1)};
    CHECK(encoded.buffer);
    memcpy(encoded.buffer, bytes.data, bytes.length);
    encoded.bytes = bytes_of(encoded.buffer, bytes.length);
    return encoded;
}

static struct encoded encode(const struct view *view)
{
    struct encoded encoded = {.buffer = malloc(view_bytes_max(view))};
    CHECK(encoded.buffer);
    struct writer writer = writer_of(encoded.buffer, view_bytes_max(view));
    view_encode(view, &writer);
    CHECK(!writer.failed);
    encoded.bytes = writer_bytes(&writer);
    return encoded;
}

static struct encoded encode_change(const struct view_change *change)
{
    size_t capacity = view_change_bytes_max(change);
    struct encoded encoded = {.buffer = malloc(capacity)};
    CHECK(encoded.buffer);
    struct writer writer = writer_of(encoded.buffer, capacity);
    view_change_encode(change, &writer);
    CHECK(!writer.failed);
    encoded.bytes = writer_bytes(&writer);
    return encoded;
}

static void check_same_again(const struct view *view)
{
    scoped(encoded_clear) struct encoded encoded = encode(view);
    scoped(view_close) struct view *again = NULL;
    CHECK_OK(view_decode(&again, encoded.bytes));
    CHECK(view_digest(again) == view_digest(view));
    scoped(encoded_clear) struct encoded twice = encode(again);
    CHECK(bytes_are_equal(twice.bytes, encoded.bytes));
    scoped(view_close) struct view *copy = NULL;
    CHECK_OK(view_copy(&copy, again));
    CHECK(view_digest(copy) == view_digest(view));
}

/* Read again, the change does the same to the view. */
static void check_change_same_again(const struct view_change *change)
{
    scoped(encoded_clear) struct encoded encoded = encode_change(change);
    scoped(view_change_clear) struct view_change again = {0};
    CHECK_OK(view_change_decode(&again, encoded.bytes));
    CHECK(again.kind == change->kind && again.at_ms == change->at_ms);
    CHECK(strcmp(again.who, change->who) == 0);
    CHECK(strcmp(again.text, change->text) == 0);
    CHECK(again.move_count == change->move_count);
    scoped(encoded_clear) struct encoded twice = encode_change(&again);
    CHECK(bytes_are_equal(twice.bytes, encoded.bytes));
}

static void random_views_are_the_same_again(void **state)
{
    (void)state;
    uint32_t done[VIEW_CHANGE_KIND_COUNT] = {0};
    uint32_t refused[VIEW_CHANGE_KIND_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct seeded seeded = {.state = seed};
        scoped(view_close) struct view *view = NULL;
        CHECK_OK(view_open(&view));
        check_same_again(view);
        for (int step = 0; step < 90; step++) {
            scoped(view_change_clear) struct view_change next =
                test_random_change(&seeded, view);
            check_change_same_again(&next);
            bool is_allowed = check(view, &next) == ERR_NONE;
            (is_allowed ? done : refused)[next.kind]++;
            if (is_allowed && next.member.number != MEMBER_NONE) {
                carry_out(view, &next);
                check_same_again(view);
            }
        }
    }
    for (int kind = VIEW_FOUND; kind < VIEW_CHANGE_KIND_COUNT; kind++) {
        CHECK(done[kind] > 10);
        CHECK(refused[kind] > 0);
    }
}

static void digests_tell_views_apart(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(3, 8, 2);
    uint64_t digest = view_digest(view);
    view->members.list[1].disk_id++;
    CHECK(view_digest(view) != digest);
    view->members.list[1].disk_id--;
    view->founders.list[1].disk_id++;
    CHECK(view_digest(view) != digest);
    view->founders.list[1].disk_id--;
    view->map.places[7].generation++;
    CHECK(view_digest(view) != digest);
    view->map.places[7].generation--;
    view->is_paused = true;
    CHECK(view_digest(view) != digest);
    view->is_paused = false;
    CHECK(view_digest(view) == digest);
    view->settings.version++;
    CHECK(view_digest(view) != digest);
}

static void settings_are_read_once_each(void **state)
{
    (void)state;
    uint8_t buffer[256];
    static const char *const keys[][2] = {
        {"a", "b"}, {"a", "a"}, {"", "b"}, {"a", "\n"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        scoped(view_settings_clear) struct view_settings settings = {0};
        struct writer writer = writer_of(buffer, sizeof buffer);
        pack_array(&writer, 2);
        pack_uint(&writer, 7);
        pack_map(&writer, 2);
        for (size_t j = 0; j < 2; j++) {
            pack_text(&writer, keys[i][j]);
            pack_text(&writer, "value");
        }
        struct reader reader = reader_of(writer_bytes(&writer));
        enum err err = view_settings_decode(&settings, &reader);
        CHECK_ERR(err, i == 0 ? ERR_NONE : ERR_MALFORMED);
        CHECK(settings.count == (i == 0 ? 2 : 0));
    }
}

static void the_largest_view_fits(void **state)
{
    (void)state;
    scoped(view_close) struct view *view =
        test_view(MEMBER_NUMBERS_MAX, SHARD_COUNT_MAX, SHARD_REPLICAS_MAX);
    check_same_again(view);
    struct view_change place = test_change(VIEW_PLACE);
    place.map_version = view->map.version;
    place.move_count = SHARD_COUNT_MAX;
    place.moves = calloc(SHARD_COUNT_MAX, sizeof *place.moves);
    CHECK(place.moves);
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        place.moves[i].shard = i;
        place.moves[i].place = view->map.places[SHARD_COUNT_MAX - 1 - i];
    }
    check_change_same_again(&place);
    carry_out(view, &place);
    view_change_clear(&place);
    check_same_again(view);
}

static void whatever_is_cut_off_is_malformed(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 2);
    scoped(encoded_clear) struct encoded encoded = encode(view);
    for (size_t length = 0; length < encoded.bytes.length; length++) {
        scoped(encoded_clear) struct encoded cut =
            exactly(bytes_of(encoded.buffer, length));
        scoped(view_close) struct view *none = NULL;
        CHECK_ERR(view_decode(&none, cut.bytes), ERR_MALFORMED);
        CHECK(!none);
    }
    struct seeded seeded = {.state = 5};
    for (int i = 0; i < 50; i++) {
        scoped(view_change_clear) struct view_change next =
            test_random_change(&seeded, view);
        scoped(encoded_clear) struct encoded whole = encode_change(&next);
        for (size_t length = 0; length < whole.bytes.length; length++) {
            scoped(encoded_clear) struct encoded cut =
                exactly(bytes_of(whole.buffer, length));
            struct view_change none = {0};
            CHECK_ERR(view_change_decode(&none, cut.bytes), ERR_MALFORMED);
            CHECK(none.kind == 0);
        }
    }
}

static void more_bytes_behind_are_malformed(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 2);
    scoped(encoded_clear) struct encoded encoded = encode(view);
    encoded.buffer[encoded.bytes.length] = 0;
    CHECK(encoded.bytes.length < view_bytes_max(view));
    scoped(view_close) struct view *none = NULL;
    CHECK_ERR(
        view_decode(&none, bytes_of(encoded.buffer, encoded.bytes.length + 1)),
        ERR_MALFORMED);
}

static enum err decode_changed(const struct view *view)
{
    scoped(encoded_clear) struct encoded encoded = encode(view);
    scoped(view_close) struct view *again = NULL;
    return view_decode(&again, encoded.bytes);
}

static void views_that_hold_not_together_are_malformed(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 2);
    CHECK_OK(decode_changed(view));
    view->map.places[3].replicas[0] = 5;
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
    view->map.places[3].replicas[0] = 1;
    view->map.places[3].replica_count = 0;
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
    view->map.places[3].replica_count = 1;
    CHECK_OK(decode_changed(view));
    view->version = 0;
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
    view->version = 1;
    view->replication = SHARD_REPLICAS_MAX + 1;
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
    view->replication = 1;
    CHECK_OK(view_settings_set(&view->settings, "cluster.replication", "1"));
    CHECK_OK(decode_changed(view));
    view->replication = 2;
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
    view->replication = 1;
    view_settings_clear(&view->settings);
    view->cluster_name[0] = '/';
    CHECK_ERR(decode_changed(view), ERR_MALFORMED);
}

static void newer_formats_and_kinds_are_told(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 2);
    scoped(encoded_clear) struct encoded encoded = encode(view);
    encoded.buffer[1] = 2;
    scoped(view_close) struct view *none = NULL;
    CHECK_ERR(view_decode(&none, encoded.bytes), ERR_VERSION);

    struct view_change pause = test_change(VIEW_PAUSE);
    struct view_change read = {0};
    scoped(encoded_clear) struct encoded change = encode_change(&pause);
    change.buffer[1] = 2;
    CHECK_ERR(view_change_decode(&read, change.bytes), ERR_VERSION);
    change.buffer[1] = 1;
    change.buffer[2] = VIEW_CHANGE_KIND_COUNT;
    CHECK_ERR(view_change_decode(&read, change.bytes), ERR_VERSION);
    change.buffer[2] = 0;
    CHECK_ERR(view_change_decode(&read, change.bytes), ERR_MALFORMED);
}

static void what_a_newer_release_added_is_skipped(void **state)
{
    (void)state;
    scoped(view_close) struct view *view = test_view(2, 4, 2);
    scoped(encoded_clear) struct encoded encoded = encode(view);
    uint8_t longer[8192];
    struct writer writer = writer_of(longer, sizeof longer);
    pack_array(&writer, (encoded.buffer[0] & 0x0fu) + 1); /* one more */
    write_bytes(&writer, encoded.buffer + 1, encoded.bytes.length - 1);
    pack_text(&writer, "more");
    scoped(view_close) struct view *again = NULL;
    CHECK_OK(view_decode(&again, writer_bytes(&writer)));
    CHECK(view_digest(again) == view_digest(view));

    struct view_change founded = test_change(VIEW_FOUNDED);
    struct view_change read = {0};
    scoped(encoded_clear) struct encoded change = encode_change(&founded);
    writer = writer_of(longer, sizeof longer);
    write_bytes(&writer, change.buffer, change.bytes.length);
    longer[0]++;
    writer.next[-1]++; /* the body, which was empty */
    pack_nil(&writer);
    pack_map(&writer, 0);
    CHECK_OK(view_change_decode(&read, writer_bytes(&writer)));
    CHECK(read.kind == VIEW_FOUNDED);
}

static void texts_that_steer_terminals_are_malformed(void **state)
{
    (void)state;
    struct view_change note = test_change(VIEW_NOTE);
    struct view_change read = {0};
    note.text[0] = '\x1b';
    scoped(encoded_clear) struct encoded text = encode_change(&note);
    CHECK_ERR(view_change_decode(&read, text.bytes), ERR_MALFORMED);
    note.text[0] = 'x';
    note.who[2] = '\n';
    scoped(encoded_clear) struct encoded who = encode_change(&note);
    CHECK_ERR(view_change_decode(&read, who.bytes), ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_before_the_founding),
        cmocka_unit_test(a_founding_makes_the_view),
        cmocka_unit_test(a_founding_that_is_not_whole_is_refused),
        cmocka_unit_test(the_feature_level_only_rises),
        cmocka_unit_test(a_member_joins),
        cmocka_unit_test(there_are_so_many_numbers),
        cmocka_unit_test(a_member_changes_but_for_number_and_name),
        cmocka_unit_test(a_member_with_shards_is_not_forgotten),
        cmocka_unit_test(the_last_replica_is_not_forgotten),
        cmocka_unit_test(the_last_member_is_not_forgotten),
        cmocka_unit_test(shards_are_placed_elsewhere),
        cmocka_unit_test(one_node_takes_a_shard_over_in_each_generation),
        cmocka_unit_test(a_recovery_is_over_when_its_own_generation_serves),
        cmocka_unit_test(a_recovery_of_what_is_not_there_is_refused),
        cmocka_unit_test(versions_after_a_recovered_meta_group_are_far_ahead),
        cmocka_unit_test(recoveries_survive_being_written_and_copied),
        cmocka_unit_test(shards_stay_until_all_have_begun),
        cmocka_unit_test(places_that_are_none_are_refused),
        cmocka_unit_test(moving_is_paused_and_goes_on),
        cmocka_unit_test(a_note_leaves_the_view),
        cmocka_unit_test(what_is_said_can_stand_in_the_journal),
        cmocka_unit_test(a_file_may_want_as_many_replicas_as_a_place_takes),
        cmocka_unit_test(settings_are_agreed_on_anew),
        cmocka_unit_test(settings_of_another_cluster_are_refused),
        cmocka_unit_test(there_are_so_many_settings),
        cmocka_unit_test(settings_are_read_once_each),
        cmocka_unit_test(random_views_are_the_same_again),
        cmocka_unit_test(digests_tell_views_apart),
        cmocka_unit_test(the_largest_view_fits),
        cmocka_unit_test(whatever_is_cut_off_is_malformed),
        cmocka_unit_test(more_bytes_behind_are_malformed),
        cmocka_unit_test(views_that_hold_not_together_are_malformed),
        cmocka_unit_test(newer_formats_and_kinds_are_told),
        cmocka_unit_test(what_a_newer_release_added_is_skipped),
        cmocka_unit_test(texts_that_steer_terminals_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
