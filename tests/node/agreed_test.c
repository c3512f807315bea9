#include "node/agreed.h"

#include "tests/support/check.h"

#include "base/scope.h"
#include "config/schema.h"
#include "tests/shard/test_view.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES 8192

struct fixture {
    struct memory_files memory;
    struct files files;
    struct settings settings;
    struct fake_clock fake;
    struct clock clock;
    struct log *log;
    char said[LOG_BYTES];
    size_t said_length;
};

static void write_log(void *context, const char *line, size_t length)
{
    struct fixture *fixture = context;
    CHECK(fixture->said_length + length < LOG_BYTES);
    memcpy(fixture->said + fixture->said_length, line, length);
    fixture->said_length += length;
}

static bool says(const struct fixture *fixture, const char *what)
{
    return strstr(fixture->said, what) != NULL;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    fixture.files = memory_files_table(&fixture.memory);
    schema_set_defaults(&fixture.settings, "cluster");
    fixture.settings.cluster.replication = 1;
    fixture.settings.cluster.shards = 8;
    memcpy(fixture.settings.cluster.id, (uint8_t[]){1, 2, 3}, 3);
    (void)snprintf(fixture.settings.cluster.name,
                   sizeof fixture.settings.cluster.name, "test");
    (void)snprintf(fixture.settings.node.data_dir,
                   sizeof fixture.settings.node.data_dir, "data");
    (void)snprintf(fixture.settings.node.name,
                   sizeof fixture.settings.node.name, "node-1");
    CHECK_OK(
        fixture.files.make_folder(fixture.files.context, "data", FILE_PUBLIC));
    CHECK_OK(fixture.files.make_folder(fixture.files.context, "data/node-1",
                                       FILE_PUBLIC));
    fixture.clock = fake_clock_table(&fixture.fake);
    CHECK_OK(log_open(&fixture.log,
                      &(struct log_config){
                          .node = "node-1",
                          .level_min = LOG_DEBUG,
                          .clock = &fixture.clock,
                          .sink = {.context = &fixture, .write = write_log}}));
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    log_close(&fixture->log);
    memory_files_clear(&fixture->memory);
    return 0;
}

/* A view of three members with the file's settings, but for these. */
static struct view *agree(const struct fixture *fixture,
                          const char *key,
                          const char *value)
{
    struct view *view = test_view(3, 8, 1);
    struct view_change change = test_change(VIEW_SETTINGS);
    CHECK_OK(view_settings_make(&change.settings, &fixture->settings));
    change.settings.version = view->settings.version;
    CHECK_OK(view_settings_set(&change.settings, key, value));
    CHECK_OK(view_check(view, &change, NULL));
    CHECK_OK(view_change(view, &change));
    view_change_clear(&change);
    return view;
}

static void keep(struct fixture *fixture, const struct view *view)
{
    char path[AGREED_PATH_BYTES];
    uint8_t *buffer = malloc(view_bytes_max(view));
    CHECK(buffer);
    struct writer writer = writer_of(buffer, view_bytes_max(view));
    view_encode(view, &writer);
    agreed_view_path(path, &fixture->settings);
    CHECK_OK(fixture->files.write(fixture->files.context, path, FILE_PUBLIC,
                                  true, writer_bytes(&writer)));
    free(buffer);
}

static void use(struct fixture *fixture)
{
    agreed_use(&fixture->settings, &fixture->files, fixture->log);
}

static void a_member_uses_what_was_agreed(void **state)
{
    struct fixture *fixture = *state;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.timeouts.election", "750ms");
    keep(fixture, view);
    use(fixture);
    CHECK(fixture->settings.cluster.timeouts.election_ms == 750);
    CHECK(fixture->settings.cluster.timeouts.heartbeat_ms == 100);
    CHECK(says(fixture, "settings.outdated key=cluster.timeouts.election "
                        "file=500ms cluster=750ms"));
    CHECK(!says(fixture, "key=cluster.timeouts.heartbeat"));
}

static void says_nothing_of_what_the_file_leaves_open(void **state)
{
    struct fixture *fixture = *state;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.replication", "3");
    keep(fixture, view);
    fixture->settings.cluster.leaves_replication_open = true;
    use(fixture);
    CHECK(fixture->settings.cluster.replication == 3);
    CHECK(fixture->said_length == 0);
}

static void who_is_no_member_uses_its_file(void **state)
{
    struct fixture *fixture = *state;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.timeouts.election", "750ms");
    members_remove(&view->members, 1);
    view->map.places[1].replicas[0] = 0;
    view->map.places[4].replicas[0] = 0;
    view->map.places[7].replicas[0] = 0;
    keep(fixture, view);
    use(fixture);
    CHECK(fixture->settings.cluster.timeouts.election_ms == 500);
}

static void a_view_of_another_cluster_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.timeouts.election", "750ms");
    view->cluster_id[0]++;
    keep(fixture, view);
    use(fixture);
    CHECK(fixture->settings.cluster.timeouts.election_ms == 500);
}

static void without_a_kept_view_the_file_counts(void **state)
{
    struct fixture *fixture = *state;
    char path[AGREED_PATH_BYTES];
    use(fixture);
    agreed_view_path(path, &fixture->settings);
    CHECK_OK(fixture->files.write(fixture->files.context, path, FILE_PUBLIC,
                                  true, bytes_of_text("no view")));
    use(fixture);
    CHECK(fixture->settings.cluster.timeouts.election_ms == 500);
    CHECK(fixture->said_length == 0);
}

/* Such as those of a newer release. */
static void what_does_not_fit_is_said_and_left(void **state)
{
    struct fixture *fixture = *state;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.timeouts.election", "1 year");
    CHECK_OK(view_settings_set(&view->settings, "cluster.newer", "1"));
    keep(fixture, view);
    use(fixture);
    CHECK(fixture->settings.cluster.timeouts.election_ms == 500);
    CHECK(says(fixture, "settings.agreed_refused"));
    CHECK(!says(fixture, "cluster.newer"));
    scoped(view_close) struct view *apart =
        agree(fixture, "cluster.timeouts.election", "150ms");
    keep(fixture, apart);
    use(fixture); /* less than three heartbeats */
    CHECK(fixture->settings.cluster.timeouts.election_ms == 500);
    CHECK(says(fixture, "three times"));
}

static void tells_once_what_waits_for_a_restart(void **state)
{
    struct fixture *fixture = *state;
    uint64_t told = 0;
    scoped(view_close) struct view *view =
        agree(fixture, "cluster.timeouts.election", "750ms");
    CHECK_OK(view_settings_set(&view->settings, "cluster.replication", "3"));
    agreed_tell(&fixture->settings, &view->settings, &told, fixture->log);
    CHECK(says(fixture, "settings.wait key=cluster.timeouts.election "
                        "in_use=500ms cluster=750ms"));
    CHECK(!says(fixture, "cluster.replication")); /* it counts at once */
    size_t length = fixture->said_length;
    agreed_tell(&fixture->settings, &view->settings, &told, fixture->log);
    CHECK(fixture->said_length == length);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_member_uses_what_was_agreed),
        TEST(says_nothing_of_what_the_file_leaves_open),
        TEST(who_is_no_member_uses_its_file),
        TEST(a_view_of_another_cluster_does_not_count),
        TEST(without_a_kept_view_the_file_counts),
        TEST(what_does_not_fit_is_said_and_left),
        TEST(tells_once_what_waits_for_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
