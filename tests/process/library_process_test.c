/*
 * A program that submits tasks while its node is killed: nothing is lost, and
 * nothing is there twice.
 *
 *     library_process_test LIBRARY_NODE
 */

#include "tests/support/check.h"
#include "tests/support/temp_folder.h"

#include "base/posix/posix_children.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_latch.h"
#include "config/founding.h"
#include "config/identity.h"
#include "troupe/client.h"
#include "troupe/tasks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE_COUNT 3
#define TELL_COUNT 8 /* as many as a node can run at a time */
#define TASK_COUNT 3000
#define KILL_AT 1000 /* tasks that were submitted */
#define PACE 50      /* tasks, then one is waited for */
#define GENEROUS_MS 90000

static const char *node_program;

struct fixture {
    struct temp_folder folder;
    char marks[256];
    struct posix_children *children;
    struct troupe *troupe;
    struct posix_latch latch;
    uint64_t ids[TASK_COUNT];
    uint32_t failed_count;
    uint32_t done_count;
};

static void found(struct fixture *f)
{
    char path[256];
    struct err_detail why = {{0}};
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct founding_host hosts[NODE_COUNT] = {
        {.name = "n1"}, {.name = "n2"}, {.name = "n3"}};
    struct founding founding = {.cluster_name = "test",
                                .transport = SETTINGS_IPC,
                                .data_dir = "data",
                                .ipc_dir = f->folder.path,
                                .hosts = hosts,
                                .host_count = NODE_COUNT};
    struct authority_world tables = {.files = posix_files(),
                                     .clock = posix_clock(),
                                     .entropy = posix_entropy()};
    CHECK_OK(founding_make(&founding, &tables,
                           temp_folder_path(&f->folder, path, "cluster"),
                           cluster_id, &why));
}

static void start_nodes(struct fixture *f)
{
    char logs[256];
    CHECK_OK(posix_files()->make_folder(
        posix_files()->context, temp_folder_path(&f->folder, logs, "logs"),
        FILE_SECRET));
    CHECK_OK(posix_children_open(&f->children, logs));
    for (int i = 1; i <= NODE_COUNT; i++) {
        char name[16];
        char rest[64];
        char config[256];
        (void)snprintf(name, sizeof name, "n%d", i);
        (void)snprintf(rest, sizeof rest, "cluster/n%d/cluster.yaml", i);
        (void)temp_folder_path(&f->folder, config, rest);
        const char *arguments[] = {node_program, config, f->marks, NULL};
        CHECK_OK(posix_children_start(f->children, name, arguments));
    }
    for (int i = 0; i < NODE_COUNT; i++) {
        uint32_t child;
        int status;
        CHECK(posix_children_next(f->children, GENEROUS_MS, &child, &status) ==
              CHILDREN_READY);
    }
}

static int set_up(void **state)
{
    static struct fixture f;
    char config[256];
    struct troupe_why why = {{0}};
    CHECK_OK(identity_library_init());
    temp_folder_init(&f.folder);
    (void)temp_folder_path(&f.folder, f.marks, "marks");
    found(&f);
    start_nodes(&f);
    const struct troupe_client_options options = {
        .config = temp_folder_path(&f.folder, config,
                                   "cluster/operator/cluster.yaml")};
    if (troupe_client_open(&f.troupe, &options, &why)) {
        print_error("%s\n", why.text);
        return -1;
    }
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    troupe_close(&f->troupe);
    posix_children_close(&f->children);
    temp_folder_clear(&f->folder);
    return 0;
}

/* ---- submitting ---- */

struct one {
    struct fixture *fixture;
    uint32_t number;
};

static void on_receipt(void *context, const struct troupe_receipt *receipt)
{
    const struct one *one = context;
    struct fixture *f = one->fixture;
    f->ids[one->number] = receipt->id;
    if (receipt->error) {
        f->failed_count++;
        print_error("task %u: %s\n", one->number,
                    troupe_error_text(receipt->error));
    }
    posix_latch_count(&f->latch);
}

static void submit(struct one *one, bool waits)
{
    struct fixture *f = one->fixture;
    char payload[16];
    struct troupe_receipt receipt;
    int length = snprintf(payload, sizeof payload, "%u", one->number);
    struct troupe_spec spec = {
        .pool = "marks", .payload = payload, .payload_length = (size_t)length};
    if (waits) { /* so that the killing falls among them */
        (void)troupe_submit(f->troupe, &spec, 1, GENEROUS_MS, &receipt);
        on_receipt(one, &receipt);
    } else {
        CHECK(!troupe_submit_async(f->troupe, &spec, GENEROUS_MS, on_receipt,
                                   one));
    }
}

static void on_result(void *context, const struct troupe_result *result)
{
    struct fixture *f = context;
    f->done_count += !result->error && result->state == TROUPE_DONE;
}

/* ---- what was done ---- */

static int compare(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* Every run was of the one task that its submitter knows. */
static void check_marks(struct fixture *f)
{
    FILE *file = fopen(f->marks, "r");
    CHECK(file);
    static uint32_t runs[TASK_COUNT];
    unsigned number;
    uint64_t id;
    memset(runs, 0, sizeof runs);
    while (fscanf(file, "%u %" SCNu64, &number, &id) == 2) {
        CHECK(number < TASK_COUNT);
        CHECK(id == f->ids[number]);
        runs[number]++;
    }
    CHECK(feof(file));
    (void)fclose(file);
    for (uint32_t i = 0; i < TASK_COUNT; i++) {
        CHECK(runs[i] >= 1);
    }
}

static void tasks_exist_once_when_a_node_is_killed_amid_them(void **state)
{
    struct fixture *f = *state;
    static struct one list[TASK_COUNT];
    posix_latch_init(&f->latch, TASK_COUNT);
    for (uint32_t i = 0; i < TASK_COUNT; i++) {
        list[i] = (struct one){f, i};
        if (i == KILL_AT) { /* the one that it is linked with */
            posix_children_signal(f->children, 0, SIGKILL);
        }
        submit(&list[i], i % PACE == PACE - 1);
    }
    posix_latch_wait(&f->latch);
    posix_latch_clear(&f->latch);
    CHECK(f->failed_count == 0);
    CHECK(!troupe_await(f->troupe, f->ids, TASK_COUNT, GENEROUS_MS, on_result,
                        f));
    CHECK(f->done_count == TASK_COUNT);
    check_marks(f);
    qsort(f->ids, TASK_COUNT, sizeof *f->ids, compare);
    for (uint32_t i = 1; i < TASK_COUNT; i++) {
        CHECK(f->ids[i - 1] < f->ids[i]);
    }
}

/* ---- what they say meanwhile ---- */

struct talk {
    uint64_t ids[TELL_COUNT];
    bool has_said[TELL_COUNT];
    uint32_t said_count;
    char pipe[256];
    int pipe_file; /* -1: they wait for it */
    uint32_t done_count;
};

static void on_progress(void *context, const struct troupe_progress *progress)
{
    struct talk *talk = context;
    CHECK(progress->done_of_1000 == 500);
    CHECK(strcmp(progress->text, "half") == 0);
    for (uint32_t i = 0; i < TELL_COUNT; i++) {
        if (talk->ids[i] == progress->id && !talk->has_said[i]) {
            talk->has_said[i] = true;
            talk->said_count++;
        }
    }
    if (talk->said_count == TELL_COUNT && talk->pipe_file < 0) {
        talk->pipe_file = open(talk->pipe, O_RDWR);
        CHECK(talk->pipe_file >= 0);
    }
}

static void on_told(void *context, const struct troupe_result *result)
{
    struct talk *talk = context;
    talk->done_count += !result->error && result->state == TROUPE_DONE;
}

/* Of shards that others lead than the node that is asked, on whichever node
 * they run. */
static void all_tasks_are_heard_of_while_they_run(void **state)
{
    struct fixture *f = *state;
    struct talk talk = {.pipe_file = -1};
    struct troupe_receipt receipts[TELL_COUNT];
    (void)temp_folder_path(&f->folder, talk.pipe, "pipe");
    CHECK(mkfifo(talk.pipe, 0600) == 0);
    for (uint32_t i = 0; i < TELL_COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i); /* another shard for each */
        struct troupe_spec spec = {.pool = "tell",
                                   .key = key,
                                   .payload = talk.pipe,
                                   .payload_length = strlen(talk.pipe)};
        CHECK(!troupe_submit(f->troupe, &spec, 1, GENEROUS_MS, &receipts[i]));
        talk.ids[i] = receipts[i].id;
    }
    CHECK(!troupe_watch(f->troupe, talk.ids, TELL_COUNT, GENEROUS_MS,
                        on_progress, on_told, &talk));
    CHECK(talk.done_count == TELL_COUNT && talk.said_count == TELL_COUNT);
    (void)close(talk.pipe_file);
}

int main(int count, char **values)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            tasks_exist_once_when_a_node_is_killed_amid_them, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(all_tasks_are_heard_of_while_they_run,
                                        set_up, tear_down),
    };
    if (count != 2) {
        return EXIT_FAILURE;
    }
    node_program = values[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
