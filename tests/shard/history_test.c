#include "shard/history.h"

#include "tests/shard/test_view.h"

#define SHARD_COUNT 4

static struct history *history;
static struct view *view;
static uint32_t line_count;
static struct history_line newest;

static int set_up(void **state)
{
    (void)state;
    struct view_change founding = test_founding(3, SHARD_COUNT, 2);
    CHECK_OK(view_open(&view));
    CHECK_OK(view_change(view, &founding));
    CHECK_OK(view_change(view, &(struct view_change){.kind = VIEW_FOUNDED}));
    view_change_clear(&founding);
    CHECK_OK(history_open(&history));
    history_note_view(history, NULL, view, 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_close(&history);
    history_close(&history);
    view_close(&view);
    return 0;
}

static void visit(void *context, const struct history_line *line)
{
    (void)context;
    CHECK(line_count == 0 || line->number == newest.number + 1);
    line_count++;
    newest = *line;
}

static void look(void)
{
    line_count = 0;
    history_each(history, visit, NULL);
}

/* Change the view, and tell of it. */
static void change(struct view_change *what, int64_t at_ms)
{
    struct view *before = NULL;
    CHECK_OK(view_copy(&before, view));
    CHECK_OK(view_check(view, what, NULL));
    CHECK_OK(view_change(view, what));
    history_note_view(history, before, view, at_ms);
    view_close(&before);
}

static void move(uint32_t shard, uint32_t to, int64_t at_ms)
{
    struct view_move one = {
        .shard = shard,
        .place = {.replica_count = 2, .replicas = {to, (to + 1) % 3}}};
    change(&(struct view_change){.kind = VIEW_PLACE,
                                 .map_version = view->map.version,
                                 .moves = &one,
                                 .move_count = 1},
           at_ms);
}

static void set_state(uint32_t number, enum member_state state, int64_t at_ms)
{
    struct view_change what = {.kind = VIEW_MEMBER_SET,
                               .member = *members_find(&view->members, number)};
    what.member.state = state;
    change(&what, at_ms);
}

static void remembers_where_the_map_took_a_shard_from(void **state)
{
    (void)state;
    look();
    CHECK(line_count == 0 && !history_last_move(history, 1));
    move(1, 0, 2000);
    const struct history_line *last = history_last_move(history, 1);
    CHECK(last && last->at_ms == 2000 && !last->is_settled);
    CHECK(last->from.replicas[0] == 1 && last->to.replicas[0] == 0);
    CHECK(last->map_version == view->map.version);
    CHECK(!history_last_move(history, 0));
    history_note_settled(history, 1);
    CHECK(history_last_move(history, 1)->is_settled);
    move(1, 2, 3000);
    CHECK(!history_last_move(history, 1)->is_settled);
    history_note_all_settled(history);
    CHECK(history_last_move(history, 1)->is_settled);
    CHECK(!history_last_move(history, 0));
    look();
    CHECK(line_count == 2 && newest.kind == HISTORY_MOVED);
    CHECK(!history_last_move(history, SHARD_COUNT));
    history_note_settled(history, SHARD_COUNT);
}

static void recover(uint32_t shard)
{
    change(&(struct view_change){.kind = VIEW_RECOVER,
                                 .number = shard,
                                 .node = view->map.places[shard].replicas[0],
                                 .generation =
                                     view->map.places[shard].generation + 1},
           3000);
}

static void another_generation_is_no_move(void **state)
{
    (void)state;
    move(1, 0, 2000);
    recover(1);
    look();
    CHECK(line_count == 1);
    CHECK(shard_place_is_equal(&history_last_move(history, 1)->to,
                               &view->map.places[1]));
    recover(2);
    CHECK(!history_last_move(history, 2));
}

static void remembers_who_led(void **state)
{
    (void)state;
    history_note_leader(history, &(struct history_line){.kind = HISTORY_LED,
                                                        .shard = 2,
                                                        .leader_before = 2,
                                                        .leader = 0,
                                                        .term = 4});
    look();
    CHECK(line_count == 1 && newest.number == 1 && newest.leader == 0);
    CHECK(!history_last_move(history, 2));
}

static void knows_since_when_a_member_leaves(void **state)
{
    (void)state;
    CHECK(history_leaving(history, 1).since_ms == 0);
    set_state(1, MEMBER_DRAINING, 2000);
    uint32_t held = history_leaving(history, 1).replica_count;
    CHECK(history_leaving(history, 1).since_ms == 2000 && held == 3);
    move(1, 2, 3000);
    CHECK(history_leaving(history, 1).replica_count == held);
    set_state(1, MEMBER_ACTIVE, 4000);
    CHECK(history_leaving(history, 1).since_ms == 0);
    CHECK(history_leaving(history, MEMBER_NUMBERS_MAX).since_ms == 0);
}

static void keeps_the_newest_lines_alone(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HISTORY_LINES_MAX + 5; i++) {
        move(0, i % 2 == 0 ? 1 : 0, 2000 + (int64_t)i);
    }
    look();
    CHECK(line_count == HISTORY_LINES_MAX);
    CHECK(newest.number == HISTORY_LINES_MAX + 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(remembers_where_the_map_took_a_shard_from),
        TEST(another_generation_is_no_move),
        TEST(remembers_who_led),
        TEST(knows_since_when_a_member_leaves),
        TEST(keeps_the_newest_lines_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
