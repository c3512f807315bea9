/*
 * Replicas in real processes, with real links and a real disk: killed under
 * load, robbed of their files, given bad ones.
 *
 * The only argument is the test to run; without it all run, one after another.
 */

#include "tests/process/replica_cluster.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>

#include "base/hash.h"
#include "tests/support/check.h"

#define NOBODY 65534
#define KILL_COUNT 6
#define LOAD 200           /* between two events */
#define LOG_LOAD 4000      /* fills several segments */
#define SEGMENT_BYTES 8192 /* with LOG_LOAD */
#define SNAPSHOT_LOG_BYTES 4096

static const struct replica_plan three = {.node_count = 3};
static const struct replica_plan three_with_snapshots = {
    .node_count = 3, .snapshot_log_bytes = SNAPSHOT_LOG_BYTES};
static const struct replica_plan one = {.node_count = 1};
static const struct replica_plan one_with_snapshots = {
    .node_count = 1, .snapshot_log_bytes = SNAPSHOT_LOG_BYTES};
static const struct replica_plan three_with_segments = {
    .node_count = 3, .segment_bytes = SEGMENT_BYTES};
static const struct replica_plan one_with_segments = {
    .node_count = 1, .segment_bytes = SEGMENT_BYTES};

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct replica_cluster));
    CHECK(*state != NULL);
    return 0;
}

static int tear_down(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_close(cluster);
    free(cluster);
    return 0;
}

/* ---- kill -9 ---- */

static void nothing_acknowledged_is_lost_when_one_of_three_is_killed(
    void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    for (uint32_t i = 0; i < KILL_COUNT; i++) {
        uint32_t victim = i % 3;
        replica_cluster_load(cluster, LOAD);
        replica_cluster_kill(cluster, victim);
        replica_cluster_load(cluster, LOAD); /* the others go on */
        replica_cluster_start(cluster, victim);
    }
    replica_cluster_settle(cluster);
}

static void kill_all(struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->shared->plan.node_count; i++) {
        replica_cluster_kill(cluster, i);
    }
}

static void start_all(struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->shared->plan.node_count; i++) {
        replica_cluster_start(cluster, i);
    }
}

/* Again and again, under load and settled. */
static void kill_and_start_all(struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < KILL_COUNT; i++) {
        replica_cluster_load(cluster, LOAD);
        kill_all(cluster);
        start_all(cluster);
        if (i % 2 == 1) {
            replica_cluster_settle(cluster);
        }
    }
}

static void each_add_counts_once_when_all_three_are_killed(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three);
    kill_and_start_all(cluster);
}

static void each_add_counts_once_when_all_are_killed_amid_snapshots(
    void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    kill_and_start_all(cluster);
}

static void each_add_counts_once_when_the_only_node_is_killed(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &one_with_snapshots);
    kill_and_start_all(cluster);
}

static void nodes_that_are_stopped_in_order_go_on(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    replica_cluster_load(cluster, LOAD);
    for (uint32_t i = 0; i < 3; i++) {
        replica_cluster_stop(cluster, i); /* under load */
        replica_cluster_start(cluster, i);
    }
    replica_cluster_settle(cluster);
}

/* ---- files, and what is done to them ---- */

/* Call `visit` with each file of a folder whose name has `part` in it, sorted.
 * How many there are. */
static size_t each_file(const char *folder,
                        const char *part,
                        void (*visit)(const char *path, size_t at),
                        size_t only)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    size_t found = 0;
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && strstr(entries[i]->d_name, part)) {
            char path[1024];
            int length = snprintf(path, sizeof path, "%s/%s", folder,
                                  entries[i]->d_name);
            CHECK(length > 0 && (size_t)length < sizeof path);
            if (visit && (only == SIZE_MAX || only == found)) {
                visit(path, found);
            }
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

static off_t size_of(const char *path)
{
    struct stat about;
    CHECK(stat(path, &about) == 0);
    return about.st_size;
}

static void flip_byte(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void flip_early(const char *path, size_t at)
{
    (void)at;
    flip_byte(path, 12);
}

static void flip_middle(const char *path, size_t at)
{
    (void)at;
    flip_byte(path, size_of(path) / 2);
}

static void cut(const char *path, size_t at)
{
    (void)at;
    CHECK(truncate(path, size_of(path) / 2) == 0);
}

static void delete (const char *path, size_t at)
{
    (void)at;
    CHECK(unlink(path) == 0);
}

/* ---- the applied state is lost ---- */

static bool has_snapshot(const struct replica_view *view)
{
    return atomic_load(&view->stored_index) > 0;
}

/* The log knows of the snapshots, too, when a node has ended in order: a killed
 * one may still have all the entries that they cover. */
static void stop_with_snapshots(struct replica_cluster *cluster, uint32_t node)
{
    replica_cluster_load(cluster, LOAD);
    replica_cluster_await(cluster, node, has_snapshot);
    replica_cluster_settle(cluster);
    replica_cluster_stop(cluster, node);
}

static bool lacks_state(const struct replica_view *view)
{
    return atomic_load(&view->state) == REPLICA_OPEN &&
           !atomic_load(&view->has_state);
}

static void a_deleted_state_comes_back_from_its_peers(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    stop_with_snapshots(cluster, 1);
    replica_cluster_kill(cluster, 0);
    replica_cluster_kill(cluster, 2);
    struct replica_path path = replica_cluster_path(cluster, 1, "state");
    CHECK_OK(posix_folder_remove(path.text));
    replica_cluster_start(cluster, 1);
    replica_cluster_await(cluster, 1, lacks_state); /* it is alone */
    replica_cluster_start(cluster, 0);
    replica_cluster_start(cluster, 2);
    replica_cluster_settle(cluster);
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
}

static void a_damaged_state_is_moved_aside_and_rebuilt(void **state)
{
    static const struct {
        const char *part; /* of the files' names */
        void (*damage)(const char *path, size_t at);
    } damages[] = {
        {"MANIFEST", cut},  {"MANIFEST", flip_middle}, {"CURRENT", delete},
        {".sst", cut},      {".sst", flip_early},      {".sst", delete},
        {"SYNCED", delete}, {"SYNCED", flip_middle},
    };
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct replica_path path = replica_cluster_path(cluster, 1, "state");
        struct replica_path aside =
            replica_cluster_path(cluster, 1, "state.damaged");
        replica_cluster_load(cluster, LOAD);
        replica_cluster_await(cluster, 1, has_snapshot);
        replica_cluster_kill(cluster, 1);
        replica_cluster_forget_said(cluster, 1);
        CHECK(each_file(path.text, damages[i].part, damages[i].damage,
                        SIZE_MAX) > 0);
        replica_cluster_start(cluster, 1);
        CHECK(replica_cluster_has_said(cluster, 1, "applied_state.damaged"));
        CHECK(replica_cluster_has_said(cluster, 1, aside.text));
        CHECK(access(aside.text, F_OK) == 0);
        replica_cluster_settle(cluster);
    }
}

static bool is_refused(const struct replica_view *view)
{
    return atomic_load(&view->state) == REPLICA_REFUSED;
}

static bool is_known(const struct replica_view *view)
{
    return atomic_load(&view->state) != REPLICA_ABSENT;
}

/* It is said what helps. */
static void check_names_command(const struct replica_cluster *cluster,
                                uint32_t group)
{
    const struct replica_view *view = &cluster->shared->nodes[0].views[group];
    char command[64];
    (void)snprintf(command, sizeof command,
                   "troupe backup restore BACKUP --group %u", group);
    if (!strstr(view->why, command)) {
        fail_msg("'%s' lacks '%s'", view->why, command);
    }
}

/* ... and comes back whole when the state is put back: nothing was changed. */
static void the_only_replica_without_its_state_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &one_with_snapshots);
    stop_with_snapshots(cluster, 0);
    struct replica_path path = replica_cluster_path(cluster, 0, "state");
    struct replica_path away = replica_cluster_path(cluster, 0, "state-away");
    CHECK(rename(path.text, away.text) == 0);
    replica_cluster_start(cluster, 0);
    replica_cluster_await(cluster, 0, is_refused);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        const struct replica_view *view = &cluster->shared->nodes[0].views[i];
        CHECK_ERR(atomic_load(&view->err), ERR_NOT_FOUND);
        check_names_command(cluster, i);
    }
    replica_cluster_stop(cluster, 0);
    CHECK_OK(posix_folder_remove(path.text));
    CHECK(rename(away.text, path.text) == 0);
    replica_cluster_start(cluster, 0);
    replica_cluster_settle(cluster);
}

/* ---- the disk fails ---- */

static void check_ends_by_a_failed_sync(struct replica_cluster *cluster,
                                        uint32_t node)
{
    replica_cluster_load(cluster, LOAD);
    replica_cluster_forget_said(cluster, node);
    atomic_store(&cluster->shared->nodes[node].syncs_fail, true);
    CHECK(replica_cluster_await_end(cluster, node) == 1);
    CHECK_ERR(atomic_load(&cluster->shared->nodes[node].err), ERR_IO);
    CHECK(replica_cluster_has_said(cluster, node, "consensus.failed"));
    CHECK(replica_cluster_has_said(cluster, node, "sync"));
}

static void a_node_ends_when_a_sync_fails_and_starts_again(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &three_with_snapshots);
    for (uint32_t i = 0; i < 3; i++) {
        check_ends_by_a_failed_sync(cluster, i);
        replica_cluster_load(cluster, LOAD); /* the others go on */
        replica_cluster_start(cluster, i);
    }
    replica_cluster_settle(cluster);
}

static void the_only_node_ends_when_a_sync_fails_and_starts_again(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &one);
    check_ends_by_a_failed_sync(cluster, 0);
    replica_cluster_start(cluster, 0);
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
}

/* ---- folders that must not be used ---- */

/* nftw() has no context. */
static uint64_t digest_so_far;

static void digest_file(const char *path)
{
    uint8_t buffer[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t count = 0;
    while ((count = read(fd, buffer, sizeof buffer)) > 0) {
        digest_so_far =
            hash_bytes(bytes_of(buffer, (size_t)count), digest_so_far);
    }
    CHECK(count == 0);
    close(fd);
}

static int digest_one(const char *path,
                      const struct stat *about,
                      int type,
                      struct FTW *place)
{
    (void)place;
    /* In no order: a sum of what each is. */
    uint64_t before = digest_so_far;
    digest_so_far = hash_bytes(bytes_of_text(path), about->st_mode);
    if (type == FTW_F) {
        digest_file(path);
    }
    digest_so_far += before;
    return 0;
}

/* Of all names, rights and contents in a folder. */
static uint64_t digest_of(const char *path)
{
    digest_so_far = 0;
    CHECK(nftw(path, digest_one, 16, FTW_PHYS) == 0);
    return digest_so_far;
}

/* A node with something in its folder, at rest. */
static void open_and_stop(struct replica_cluster *cluster)
{
    replica_cluster_open(cluster, &one_with_snapshots);
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
    replica_cluster_stop(cluster, 0);
}

/* Refused, and nothing in the folder has changed. */
static void check_refused(struct replica_cluster *cluster,
                          const struct replica_start *start,
                          enum err err,
                          const char *words)
{
    const char *folder = cluster->shared->plan.data_dir;
    uint64_t before = digest_of(folder);
    replica_cluster_check_refused(cluster, start, err, words);
    CHECK(digest_of(folder) == before);
}

static void check_serves(struct replica_cluster *cluster)
{
    replica_cluster_start(cluster, 0);
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
}

static void the_folder_of_a_running_process_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    replica_cluster_open(cluster, &one);
    for (uint32_t i = 0; i < 3; i++) { /* a refusal must not free it */
        replica_cluster_check_refused(cluster, &(struct replica_start){0},
                                      ERR_BUSY, "running process");
    }
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
}

static void the_folder_of_another_cluster_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    open_and_stop(cluster);
    check_refused(cluster, &(struct replica_start){.is_of_other_cluster = true},
                  ERR_OTHER_CLUSTER, "holds data of the cluster");
    check_serves(cluster);
}

static void the_folder_of_another_node_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    open_and_stop(cluster);
    struct replica_path ours = replica_cluster_path(cluster, 0, "");
    struct replica_path theirs = replica_cluster_path(cluster, 1, "");
    CHECK(rename(ours.text, theirs.text) == 0);
    check_refused(cluster, &(struct replica_start){.name = "n1"},
                  ERR_WRONG_NAME, "holds data of the node 'n0'");
    CHECK(rename(theirs.text, ours.text) == 0);
    check_serves(cluster);
}

static void the_folder_of_a_newer_release_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    open_and_stop(cluster);
    struct replica_path path = replica_cluster_path(cluster, 0, "identity");
    int fd = open(path.text, O_RDWR | O_CLOEXEC);
    static const char version[] = "troupe-data 1";
    char found[sizeof version - 1];
    CHECK(fd >= 0 && pread(fd, found, sizeof found, 0) == sizeof found);
    assert_memory_equal(found, version, sizeof found);
    CHECK(pwrite(fd, "2", 1, sizeof found - 1) == 1);
    check_refused(cluster, &(struct replica_start){0}, ERR_VERSION,
                  "newer release");
    CHECK(pwrite(fd, "1", 1, sizeof found - 1) == 1);
    close(fd);
    check_serves(cluster);
}

static int take_right_to_write(const char *path,
                               const struct stat *about,
                               int type,
                               struct FTW *place)
{
    (void)type;
    (void)place;
    return chmod(path, about->st_mode & 0555) ||
           (geteuid() == 0 && chown(path, NOBODY, NOBODY));
}

static int give_right_to_write(const char *path,
                               const struct stat *about,
                               int type,
                               struct FTW *place)
{
    (void)type;
    (void)place;
    return chmod(path, about->st_mode | 0200) ||
           (geteuid() == 0 && chown(path, 0, 0));
}

static void a_folder_that_is_read_only_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    open_and_stop(cluster);
    const char *folder = cluster->shared->plan.data_dir;
    CHECK(nftw(folder, take_right_to_write, 16, FTW_PHYS) == 0);
    CHECK(chmod(cluster->temp.path, 0755) == 0);
    /* Root may do everything, whatever the rights. */
    struct replica_start start = {.user = geteuid() == 0 ? NOBODY : 0};
    check_refused(cluster, &start, ERR_ACCESS, "must be writable");
    CHECK(nftw(folder, give_right_to_write, 16, FTW_PHYS) == 0);
    check_serves(cluster);
}

/* ---- the log is damaged ---- */

/* Do this to the segment in the middle. */
static void harm_log(const struct replica_cluster *cluster,
                     uint32_t node,
                     void (*harm)(const char *path, size_t at))
{
    struct replica_path path = replica_cluster_path(cluster, node, "log");
    size_t count = each_file(path.text, "", NULL, SIZE_MAX);
    CHECK(count >= 4);
    (void)each_file(path.text, "", harm, count / 2);
}

/* A group has lost nothing when nothing of it was in that place. */
static bool was_lost(const struct replica_view *view)
{
    return atomic_load(&view->err) == ERR_REVOKED;
}

static bool is_back(const struct replica_view *view)
{
    return atomic_load(&view->state) == REPLICA_OPEN &&
           was_lost(view) == (atomic_load(&view->number) > 3);
}

static uint32_t lost_count(const struct replica_cluster *cluster, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        count += was_lost(&cluster->shared->nodes[node].views[i]);
    }
    return count;
}

/* One of three: it comes back under another number. */
static void check_lost_and_replaced(struct replica_cluster *cluster,
                                    void (*harm)(const char *path, size_t at))
{
    replica_cluster_open(cluster, &three_with_segments);
    replica_cluster_load(cluster, LOG_LOAD);
    replica_cluster_settle(cluster); /* it has all of that, too */
    replica_cluster_kill(cluster, 2);
    harm_log(cluster, 2, harm);
    replica_cluster_load(cluster, LOAD); /* the others go on */
    replica_cluster_start(cluster, 2);
    replica_cluster_settle(cluster); /* it has read all that it has */
    replica_cluster_await(cluster, 2, is_back);
    CHECK(lost_count(cluster, 2) > 0);
    CHECK(replica_cluster_has_said(cluster, 2, "log.damaged"));
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
    /* It counts: without another one it is the majority's half. */
    replica_cluster_kill(cluster, 0);
    replica_cluster_load(cluster, LOAD);
    replica_cluster_settle(cluster);
}

static void a_replica_with_a_damaged_segment_is_replaced(void **state)
{
    check_lost_and_replaced(*state, flip_middle);
}

static void a_replica_with_a_missing_segment_is_replaced(void **state)
{
    check_lost_and_replaced(*state, delete);
}

static void digest_segment(const char *path, size_t at)
{
    (void)at;
    digest_file(path);
}

/* Of all segments but the last of `count`: a killed writer may have left one
 * that it had only begun, which goes. */
static uint64_t digest_of_log(const char *path, size_t count)
{
    digest_so_far = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        (void)each_file(path, "", digest_segment, i);
    }
    return digest_so_far;
}

/* The only one: refused, and nothing of it is thrown away. */
static void refuse_the_only_one(struct replica_cluster *cluster,
                                void (*harm)(const char *path, size_t at))
{
    replica_cluster_open(cluster, &one_with_segments);
    replica_cluster_load(cluster, LOG_LOAD);
    replica_cluster_kill(cluster, 0);
    harm_log(cluster, 0, harm);
    struct replica_path path = replica_cluster_path(cluster, 0, "log");
    size_t count = each_file(path.text, "", NULL, SIZE_MAX);
    uint64_t before = digest_of_log(path.text, count);
    replica_cluster_start(cluster, 0);
    replica_cluster_await(cluster, 0, is_known);
    CHECK(lost_count(cluster, 0) > 0);
    CHECK(replica_cluster_has_said(cluster, 0, "log.damaged"));
    CHECK(replica_cluster_has_said(cluster, 0, "troupe backup restore"));
    CHECK(digest_of_log(path.text, count) == before);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) { /* the others serve */
        const struct replica_view *view = &cluster->shared->nodes[0].views[i];
        CHECK(is_refused(view) == was_lost(view));
    }
}

/* Found when entries are read, after the groups were opened: which file it is
 * is known, and the log names the command, but not group by group. */
static void the_only_replica_with_a_damaged_segment_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    refuse_the_only_one(cluster, flip_middle);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        const struct replica_view *view = &cluster->shared->nodes[0].views[i];
        CHECK(!was_lost(view) || strstr(view->why, ".wal"));
    }
}

/* Found when the log is opened. */
static void the_only_replica_with_a_missing_segment_is_refused(void **state)
{
    struct replica_cluster *cluster = *state;
    refuse_the_only_one(cluster, delete);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        if (was_lost(&cluster->shared->nodes[0].views[i])) {
            check_names_command(cluster, i);
        }
    }
}

/* ---- all of them ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TEST(nothing_acknowledged_is_lost_when_one_of_three_is_killed),
    TEST(each_add_counts_once_when_all_three_are_killed),
    TEST(each_add_counts_once_when_all_are_killed_amid_snapshots),
    TEST(each_add_counts_once_when_the_only_node_is_killed),
    TEST(nodes_that_are_stopped_in_order_go_on),
    TEST(a_deleted_state_comes_back_from_its_peers),
    TEST(a_damaged_state_is_moved_aside_and_rebuilt),
    TEST(the_only_replica_without_its_state_is_refused),
    TEST(a_node_ends_when_a_sync_fails_and_starts_again),
    TEST(the_only_node_ends_when_a_sync_fails_and_starts_again),
    TEST(the_folder_of_a_running_process_is_refused),
    TEST(the_folder_of_another_cluster_is_refused),
    TEST(the_folder_of_another_node_is_refused),
    TEST(the_folder_of_a_newer_release_is_refused),
    TEST(a_folder_that_is_read_only_is_refused),
    TEST(a_replica_with_a_damaged_segment_is_replaced),
    TEST(a_replica_with_a_missing_segment_is_replaced),
    TEST(the_only_replica_with_a_damaged_segment_is_refused),
    TEST(the_only_replica_with_a_missing_segment_is_refused),
};

int main(int count, char **arguments)
{
    if (count > 1) {
        cmocka_set_test_filter(arguments[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
