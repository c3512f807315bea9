/*
 * The library as programs use it: only its public headers, but for making
 * certificates.
 */

#include "troupe/client.h"
#include "troupe/node.h"
#include "troupe/tasks.h"

#include "tests/support/check.h"
#include "tests/support/temp_folder.h"

#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_latch.h"
#include "base/posix/posix_thread.h"
#include "base/scope.h"
#include "config/authority.h"
#include "config/bundle.h"
#include "config/founding.h"

#include <stdatomic.h>
#include <string.h>

#define GENEROUS_MS 60000
#define THREADS 4
#define TASKS_PER_THREAD 500

/* One node, the same for all tests: to start one takes longer than they do. */
static struct world {
    struct temp_folder folder;
    struct troupe *node;
    struct troupe *client;
    _Atomic uint32_t is_released; /* `gate` waits for it */
    struct posix_latch at_gate;
} world;

/* ---- handlers ---- */

static int echo(struct troupe_task *task)
{
    size_t length;
    const void *payload = troupe_task_payload(task, &length);
    return troupe_task_write(task, payload, length);
}

static int reject(struct troupe_task *task)
{
    troupe_task_progress(task, 500, "half");
    troupe_task_explain(task, "it is %s", "no good");
    return TROUPE_TASK_REFUSED;
}

/* Fails until its third attempt. */
static int third_time(struct troupe_task *task)
{
    troupe_task_explain(task, "not yet");
    troupe_task_printf(task, "%u", troupe_task_attempt(task));
    return troupe_task_attempt(task) < 3 ? TROUPE_TASK_FAILED
                                         : TROUPE_TASK_DONE;
}

/* Runs until it is called off. */
static int gate(struct troupe_task *task)
{
    struct posix_latch nobody;
    posix_latch_count(&world.at_gate);
    posix_latch_init(&nobody, 1);
    while (!troupe_task_is_cancelled(task)) {
        (void)posix_latch_wait_ms(&nobody, 1);
    }
    posix_latch_clear(&nobody);
    return TROUPE_TASK_DONE;
}

/* Says how far it is, and goes on when somebody has heard that. */
static int tell(struct troupe_task *task)
{
    struct posix_latch nobody;
    posix_latch_init(&nobody, 1);
    troupe_task_progress(task, 250, "a quarter");
    while (!atomic_load(&world.is_released) &&
           !troupe_task_is_cancelled(task)) {
        (void)posix_latch_wait_ms(&nobody, 1);
    }
    posix_latch_clear(&nobody);
    return TROUPE_TASK_DONE;
}

/* ---- one world ---- */

static const char *operator_config(char path[static 256])
{
    return temp_folder_path(&world.folder, path,
                            "cluster/operator/cluster.yaml");
}

static int open_world(void **state)
{
    (void)state;
    const struct troupe_handler handlers[] = {
        {.name = "echo", .run = echo, .workers = 2},
        {.name = "quick", .run = echo, .is_volatile = 1},
        {.name = "reject", .run = reject},
        {.name = "third", .run = third_time},
        {.name = "gate", .run = gate},
        {.name = "tell", .run = tell}};
    struct troupe_why why = {{0}};
    char path[256];
    temp_folder_init(&world.folder);
    const struct troupe_node_options options = {
        .folder = world.folder.path,
        .handlers = handlers,
        .handler_count = sizeof handlers / sizeof *handlers};
    if (troupe_node_open(&world.node, &options, &why)) {
        print_error("%s\n", why.text);
        return -1;
    }
    const struct troupe_client_options client = {.config =
                                                     operator_config(path)};
    if (troupe_client_open(&world.client, &client, &why)) {
        print_error("%s\n", why.text);
        return -1;
    }
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    troupe_close(&world.client);
    troupe_close(&world.node);
    temp_folder_clear(&world.folder);
    return world.client || world.node;
}

/* ---- helpers ---- */

static struct troupe_spec spec_of(const char *pool, const char *payload)
{
    return (struct troupe_spec){
        .pool = pool, .payload = payload, .payload_length = strlen(payload)};
}

/* What became of a task; a copy. */
struct ending {
    struct troupe_result result;
    char output[64];
    char why[64];
};

static void keep(void *context, const struct troupe_result *result)
{
    struct ending *ending = context;
    ending->result = *result;
    (void)snprintf(ending->output, sizeof ending->output, "%.*s",
                   (int)result->output_length, (const char *)result->output);
    (void)snprintf(ending->why, sizeof ending->why, "%s", result->why);
}

static struct ending run(struct troupe *troupe, const struct troupe_spec *spec)
{
    struct troupe_receipt receipt;
    struct ending ending = {.result.error = TROUPE_ERR_UNCERTAIN};
    CHECK(!troupe_submit(troupe, spec, 1, GENEROUS_MS, &receipt));
    CHECK(!troupe_await(troupe, &receipt.id, 1, GENEROUS_MS, keep, &ending));
    CHECK(ending.result.id == receipt.id);
    return ending;
}

/* ---- tests ---- */

static void a_task_is_done_by_a_function_of_this_program(void **state)
{
    (void)state;
    struct troupe *both[] = {world.node, world.client};
    const char *pools[] = {"echo", "quick"};
    for (int i = 0; i < 4; i++) {
        struct troupe_spec spec = spec_of(pools[i / 2], "hello");
        struct ending ending = run(both[i % 2], &spec);
        CHECK(ending.result.state == TROUPE_DONE);
        CHECK(ending.result.attempts == 1);
        CHECK(ending.result.accepted_ms > 0);
        CHECK(ending.result.ended_ms >= ending.result.accepted_ms);
        assert_string_equal(ending.output, "hello");
        assert_string_equal(ending.why, "");
    }
}

static void a_task_that_is_refused_says_why(void **state)
{
    (void)state;
    struct troupe_spec spec = spec_of("reject", "x");
    struct ending ending = run(world.client, &spec);
    CHECK(ending.result.state == TROUPE_DEAD);
    assert_string_equal(troupe_state_name(ending.result.state), "dead");
    assert_non_null(strstr(ending.why, "it is no good"));
}

static void a_task_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct troupe_spec spec = spec_of("third", "x");
    struct ending ending = run(world.node, &spec);
    CHECK(ending.result.state == TROUPE_DONE && ending.result.attempts == 3);
    assert_string_equal(ending.output, "3");
}

static void a_dead_letter_can_be_tried_again(void **state)
{
    (void)state;
    struct troupe_spec spec = spec_of("third", "x");
    spec.attempts_max = 1;
    struct ending ending = run(world.client, &spec);
    CHECK(ending.result.state == TROUPE_DEAD);
    size_t count = 0;
    uint64_t id = ending.result.id;
    CHECK(!troupe_retry(world.client, &id, 1, GENEROUS_MS, &count));
    CHECK(count == 1);
    CHECK(!troupe_await(world.client, &id, 1, GENEROUS_MS, keep, &ending));
    CHECK(!ending.result.error);
}

static void a_key_names_one_task(void **state)
{
    (void)state;
    struct troupe_receipt receipts[3];
    struct troupe_spec specs[3];
    for (int i = 0; i < 3; i++) {
        specs[i] = spec_of("echo", i < 2 ? "same" : "other");
        specs[i].key = "one";
    }
    CHECK(troupe_submit(world.client, specs, 3, GENEROUS_MS, receipts) ==
          TROUPE_ERR_EXISTS);
    CHECK(!receipts[0].error && !receipts[0].is_known);
    CHECK(!receipts[1].error && receipts[1].is_known);
    CHECK(receipts[0].id == receipts[1].id);
    CHECK(receipts[2].error == TROUPE_ERR_EXISTS);
}

static void what_is_wrong_is_told_for_each(void **state)
{
    (void)state;
    struct troupe_receipt receipts[3];
    struct troupe_spec specs[] = {spec_of("no-such-pool", "x"),
                                  spec_of("echo", "x"), spec_of("echo", "x")};
    specs[2].priority = 99;
    CHECK(troupe_submit(world.client, specs, 3, GENEROUS_MS, receipts));
    CHECK(receipts[0].error == TROUPE_ERR_NOT_FOUND);
    CHECK(!receipts[1].error);
    CHECK(receipts[2].error == TROUPE_ERR_INVALID);
    CHECK(!troupe_submit(world.client, NULL, 0, 1, NULL));
}

static void a_task_that_nobody_knows_is_not_found(void **state)
{
    (void)state;
    /* One that a coordinator before this one had; see docs/tasks.md. */
    uint64_t id = UINT64_C(5) << 52 | UINT64_C(1) << 51 | 12345;
    struct ending ending = {.output = ""};
    CHECK(troupe_await(world.client, &id, 1, GENEROUS_MS, keep, &ending) ==
          TROUPE_ERR_NOT_FOUND);
    CHECK(ending.result.error == TROUPE_ERR_NOT_FOUND);
}

static void a_task_that_runs_is_called_off(void **state)
{
    (void)state;
    struct troupe_receipt receipt;
    struct ending ending = {.output = ""};
    struct troupe_spec spec = spec_of("gate", "x");
    posix_latch_init(&world.at_gate, 1);
    CHECK(!troupe_submit(world.client, &spec, 1, GENEROUS_MS, &receipt));
    posix_latch_wait(&world.at_gate);
    CHECK(troupe_await(world.client, &receipt.id, 1, 20, NULL, NULL) ==
          TROUPE_ERR_TIMEOUT);
    size_t count = 0;
    CHECK(!troupe_cancel(world.client, &receipt.id, 1, GENEROUS_MS, &count));
    CHECK(count == 1);
    CHECK(!troupe_await(world.client, &receipt.id, 1, GENEROUS_MS, keep,
                        &ending));
    CHECK(ending.result.state == TROUPE_CANCELLED);
    posix_latch_clear(&world.at_gate);
}

struct hearing {
    struct ending ending;
    uint32_t count;
    struct troupe_progress first;
    char text[32];
    struct posix_latch latch;
};

static void on_progress(void *context, const struct troupe_progress *progress)
{
    struct hearing *hearing = context;
    if (hearing->count++ == 0) {
        hearing->first = *progress;
        (void)snprintf(hearing->text, sizeof hearing->text, "%s",
                       progress->text);
    }
    atomic_store(&world.is_released, 1);
}

static void keep_hearing(void *context, const struct troupe_result *result)
{
    struct hearing *hearing = context;
    keep(&hearing->ending, result);
    posix_latch_count(&hearing->latch);
}

static void check_heard(const struct hearing *hearing, uint64_t id)
{
    CHECK(hearing->ending.result.state == TROUPE_DONE);
    CHECK(hearing->count > 0 && hearing->first.id == id);
    CHECK(hearing->first.done_of_1000 == 250);
    assert_string_equal(hearing->text, "a quarter");
}

static void who_watches_a_task_hears_how_far_it_is(void **state)
{
    (void)state;
    struct troupe *both[] = {world.node, world.client};
    for (int i = 0; i < 2; i++) {
        struct hearing waits = {.count = 0};
        struct hearing later = {.count = 0};
        struct troupe_receipt receipt;
        struct troupe_spec spec = spec_of("tell", "x");
        posix_latch_init(&waits.latch, 1);
        posix_latch_init(&later.latch, 1);
        atomic_store(&world.is_released, 0);
        CHECK(!troupe_submit(both[i], &spec, 1, GENEROUS_MS, &receipt));
        CHECK(!troupe_watch(both[i], &receipt.id, 1, GENEROUS_MS, on_progress,
                            keep_hearing, &waits));
        check_heard(&waits, receipt.id);
        atomic_store(&world.is_released, 0);
        CHECK(!troupe_submit(both[i], &spec, 1, GENEROUS_MS, &receipt));
        CHECK(!troupe_watch_async(both[i], receipt.id, GENEROUS_MS, on_progress,
                                  keep_hearing, &later));
        posix_latch_wait(&later.latch);
        check_heard(&later, receipt.id);
        posix_latch_clear(&waits.latch);
        posix_latch_clear(&later.latch);
    }
}

/* ---- more results than one answer has room for ---- */

#define MANY 2200
#define MANY_BYTES 2012 /* 4 MiB together */

struct many {
    uint64_t ids[MANY];
    uint32_t right; /* of the library's thread */
    struct posix_latch latch;
};

static void count_right(void *context, const struct troupe_result *result)
{
    struct many *many = context;
    many->right += result->state == TROUPE_DONE && !result->error &&
                   result->output_length == MANY_BYTES;
    posix_latch_count(&many->latch);
}

/* Within a callback: so they go together in one question. */
static void await_many(void *context, const struct troupe_result *result)
{
    struct many *many = context;
    CHECK(!result->error);
    for (int i = 0; i < MANY; i++) {
        CHECK(!troupe_await_async(world.node, many->ids[i], GENEROUS_MS,
                                  count_right, many));
    }
}

static void results_come_however_long_they_are_together(void **state)
{
    (void)state;
    static struct many many;
    static struct troupe_spec specs[MANY];
    static struct troupe_receipt receipts[MANY];
    static char payload[MANY_BYTES + 1];
    memset(payload, 'x', MANY_BYTES);
    for (int i = 0; i < MANY; i++) {
        specs[i] = spec_of("quick", payload);
    }
    CHECK(!troupe_submit(world.node, specs, MANY, GENEROUS_MS, receipts));
    for (int i = 0; i < MANY; i++) {
        many.ids[i] = receipts[i].id;
    }
    CHECK(!troupe_await(world.node, many.ids, MANY, GENEROUS_MS, NULL, NULL));
    posix_latch_init(&many.latch, MANY);
    CHECK(!troupe_await_async(world.node, many.ids[0], GENEROUS_MS, await_many,
                              &many));
    posix_latch_wait(&many.latch);
    CHECK(many.right == MANY);
    posix_latch_clear(&many.latch);
}

/* ---- many at a time, of many threads ---- */

struct crowd {
    struct troupe *troupe;
    struct posix_latch latch; /* of all tasks of a thread */
    _Atomic uint32_t done_count;
    _Atomic uint32_t refused_count; /* blocking calls in callbacks */
};

static void on_end(void *context, const struct troupe_result *result)
{
    struct crowd *crowd = context;
    atomic_fetch_add(&crowd->done_count,
                     !result->error && result->state == TROUPE_DONE);
    posix_latch_count(&crowd->latch);
}

static void on_receipt(void *context, const struct troupe_receipt *receipt)
{
    struct crowd *crowd = context;
    uint64_t id = receipt->id;
    atomic_fetch_add(&crowd->refused_count,
                     troupe_await(crowd->troupe, &id, 1, 1, NULL, NULL) ==
                         TROUPE_ERR_REFUSED);
    if (receipt->error ||
        troupe_await_async(crowd->troupe, id, GENEROUS_MS, on_end, crowd)) {
        posix_latch_count(&crowd->latch);
    }
}

static void submit_many(void *context)
{
    struct crowd *crowd = context;
    struct troupe_spec spec = spec_of("quick", "hello");
    for (int i = 0; i < TASKS_PER_THREAD; i++) {
        if (troupe_submit_async(crowd->troupe, &spec, GENEROUS_MS, on_receipt,
                                crowd)) {
            posix_latch_count(&crowd->latch);
        }
    }
}

static void all_threads_may_submit_at_a_time(void **state)
{
    (void)state;
    struct troupe *both[] = {world.node, world.client};
    for (int i = 0; i < 2; i++) {
        struct crowd crowd = {.troupe = both[i]};
        struct posix_thread *threads[THREADS];
        posix_latch_init(&crowd.latch, THREADS * TASKS_PER_THREAD);
        for (int j = 0; j < THREADS; j++) {
            CHECK_OK(posix_thread_start(&threads[j], "submitter", submit_many,
                                        &crowd));
        }
        posix_latch_wait(&crowd.latch);
        for (int j = 0; j < THREADS; j++) {
            posix_thread_join(&threads[j]);
        }
        posix_latch_clear(&crowd.latch);
        CHECK(crowd.done_count == THREADS * TASKS_PER_THREAD);
        CHECK(crowd.refused_count == THREADS * TASKS_PER_THREAD);
    }
}

/* ---- opening and closing ---- */

static void count_closed(void *context, const struct troupe_result *result)
{
    _Atomic uint32_t *count = context;
    atomic_fetch_add(count, result->error == TROUPE_ERR_CLOSED);
}

static void closing_tells_what_is_under_way(void **state)
{
    (void)state;
    char path[256];
    struct troupe *own = NULL;
    struct troupe_receipt receipt;
    _Atomic uint32_t count = 0;
    struct troupe_spec spec = spec_of("echo", "later");
    spec.delay_ms = GENEROUS_MS;
    const struct troupe_client_options options = {
        .config = operator_config(path), .as = "operator"};
    CHECK(!troupe_client_open(&own, &options, NULL));
    CHECK(!troupe_submit(own, &spec, 1, GENEROUS_MS, &receipt));
    CHECK(!troupe_await_async(own, receipt.id, GENEROUS_MS, count_closed,
                              &count));
    troupe_close(&own);
    CHECK(!own && atomic_load(&count) == 1);
    CHECK(!troupe_cancel(world.node, &receipt.id, 1, GENEROUS_MS, NULL));
}

/* A certificate of a client's, beside the operator's. */
static void issue_client(const char *name, const char *pools)
{
    char folder[256];
    char to[256];
    scoped(authority_close) struct authority *authority = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    scoped(changes_close) struct changes *changes = NULL;
    struct authority_world tables = {.files = posix_files(),
                                     .clock = posix_clock(),
                                     .entropy = posix_entropy()};
    struct authority_request request = {
        .name = name, .role = ROLE_CLIENT, .pools = pools};
    (void)temp_folder_path(&world.folder, folder, "cluster/authority");
    (void)temp_folder_path(&world.folder, to, "cluster/operator");
    CHECK_OK(
        authority_open(&authority, &tables, folder, AUTHORITY_WRITE, NULL));
    CHECK_OK(authority_issue(authority, &request, &identity, NULL));
    CHECK_OK(changes_open(&changes, posix_files()));
    CHECK_OK(bundle_make(changes, posix_files(), to, identity,
                         authority_trust_text(authority), NULL));
    changes_keep(changes);
}

static void a_client_submits_only_to_its_pools(void **state)
{
    (void)state;
    char path[256];
    struct troupe *own = NULL;
    struct troupe_why why = {{0}};
    struct troupe_receipt receipts[2];
    issue_client("web", "echo,q*");
    /* Now there are two: which is meant must be said. */
    struct troupe_client_options options = {.config = operator_config(path)};
    CHECK(troupe_client_open(&own, &options, &why) == TROUPE_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "operator, web"));
    options.as = "web";
    CHECK(!troupe_client_open(&own, &options, &why));
    struct troupe_spec specs[] = {spec_of("echo", "x"), spec_of("reject", "x")};
    CHECK(troupe_submit(own, specs, 2, GENEROUS_MS, receipts) ==
          TROUPE_ERR_DENIED);
    CHECK(!receipts[0].error && receipts[1].error == TROUPE_ERR_DENIED);
    troupe_close(&own);
}

static void what_is_wrong_with_a_client_is_said(void **state)
{
    (void)state;
    char path[256];
    struct troupe *own = NULL;
    struct troupe_why why = {{0}};
    struct troupe_client_options options = {.config = "/no/such/file"};
    CHECK(troupe_client_open(&own, &options, &why) == TROUPE_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/no/such/file"));
    options.config = operator_config(path);
    options.as = "Nobody!";
    CHECK(troupe_client_open(&own, &options, &why) == TROUPE_ERR_INVALID);
    assert_non_null(strstr(why.text, "Nobody!"));
    options.as = "nobody";
    CHECK(troupe_client_open(&own, &options, &why) == TROUPE_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "nobody.cert"));
    CHECK(!own);
    troupe_close(&own);
}

static void what_is_wrong_with_a_node_is_said(void **state)
{
    (void)state;
    struct troupe *own = NULL;
    struct troupe_why why = {{0}};
    struct troupe_handler handler = {.name = "No Name", .run = echo};
    struct troupe_node_options options = {.config = "a", .folder = "b"};
    CHECK(troupe_node_open(&own, &options, &why) == TROUPE_ERR_INVALID);
    assert_non_null(strstr(why.text, "one of them"));
    options = (struct troupe_node_options){
        .folder = world.folder.path, .handlers = &handler, .handler_count = 1};
    CHECK(troupe_node_open(&own, &options, &why) == TROUPE_ERR_INVALID);
    assert_non_null(strstr(why.text, "No Name"));
    handler = (struct troupe_handler){.name = "empty"};
    CHECK(troupe_node_open(&own, &options, &why) == TROUPE_ERR_INVALID);
    assert_non_null(strstr(why.text, "empty has no function"));
    /* That folder is in use by the node that runs. */
    options.handler_count = 0;
    CHECK(troupe_node_open(&own, &options, &why));
    CHECK(!own && why.text[0]);
}

static void what_was_accepted_is_there_after_a_restart(void **state)
{
    (void)state;
    struct temp_folder folder;
    struct troupe *own = NULL;
    struct troupe_receipt receipt;
    struct ending ending = {.output = ""};
    struct troupe_why why = {{0}};
    struct troupe_handler handler = {.name = "echo", .run = echo};
    struct troupe_spec spec = spec_of("echo", "still there");
    spec.delay_ms = 1;
    temp_folder_init(&folder);
    struct troupe_node_options options = {
        .folder = folder.path, .handlers = &handler, .handler_count = 1};
    for (int i = 0; i < 2; i++) {
        if (troupe_node_open(&own, &options, &why)) {
            print_error("%s\n", why.text);
            fail();
        }
        CHECK(i == 1 || !troupe_submit(own, &spec, 1, GENEROUS_MS, &receipt));
        CHECK(i == 0 ||
              !troupe_await(own, &receipt.id, 1, GENEROUS_MS, keep, &ending));
        troupe_close(&own);
    }
    assert_string_equal(ending.output, "still there");
    temp_folder_clear(&folder);
}

static void errors_have_texts(void **state)
{
    (void)state;
    assert_string_equal(troupe_error_text(TROUPE_ERR_NONE), "success");
    assert_string_equal(troupe_error_text(TROUPE_ERR_REFUSED),
                        err_text(ERR_REFUSED));
    CHECK(strlen(troupe_error_text((enum troupe_error)9999)) > 0);
    CHECK(strlen(troupe_state_name((enum troupe_state)9999)) > 0);
    assert_string_equal(troupe_version(), TROUPE_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_done_by_a_function_of_this_program),
        cmocka_unit_test(a_task_that_is_refused_says_why),
        cmocka_unit_test(a_task_that_fails_is_tried_again),
        cmocka_unit_test(a_dead_letter_can_be_tried_again),
        cmocka_unit_test(a_key_names_one_task),
        cmocka_unit_test(what_is_wrong_is_told_for_each),
        cmocka_unit_test(a_task_that_nobody_knows_is_not_found),
        cmocka_unit_test(a_task_that_runs_is_called_off),
        cmocka_unit_test(who_watches_a_task_hears_how_far_it_is),
        cmocka_unit_test(results_come_however_long_they_are_together),
        cmocka_unit_test(all_threads_may_submit_at_a_time),
        cmocka_unit_test(closing_tells_what_is_under_way),
        cmocka_unit_test(a_client_submits_only_to_its_pools),
        cmocka_unit_test(what_is_wrong_with_a_client_is_said),
        cmocka_unit_test(what_is_wrong_with_a_node_is_said),
        cmocka_unit_test(what_was_accepted_is_there_after_a_restart),
        cmocka_unit_test(errors_have_texts),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
