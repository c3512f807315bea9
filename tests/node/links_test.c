#include "base/owner.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"

#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_log.h"
#include "base/scope.h"
#include "config/authority.h"
#include "config/bundle.h"
#include "config/founding.h"
#include "node/links.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * A founded cluster of two nodes in a temporary folder, over ipc:// so that
 * no port is needed.
 */

#define CHANNEL_TEST 1
#define DEADLINE_S 60

struct fixture {
    struct temp_folder folder;
    char cluster[192]; /* the folder that founding_make() made */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct authority_world world;
    struct problems problems;
};

/* What one node has seen; its lock guards all. */
struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t up_count;
    uint32_t cut_count;
    uint32_t message_count;
    uint64_t serial; /* of the peer's certificate */
};

static struct log_sink no_log(void)
{
    return posix_log_sink(-1);
}

static void write_config_of(struct fixture *fixture,
                            const char *name,
                            const uint8_t cluster_id[static CLUSTER_ID_BYTES])
{
    char id[2 * CLUSTER_ID_BYTES + 1];
    char text[1024];
    char path[256];
    hex_encode(id, bytes_of(cluster_id, CLUSTER_ID_BYTES));
    (void)snprintf(text, sizeof text,
                   "node:\n"
                   "  keys_dir: .\n"
                   "  data_dir: data\n"
                   "cluster:\n"
                   "  name: test\n"
                   "  id: %s\n"
                   "  transport: ipc\n"
                   "  ipc_dir: %s\n"
                   "  nodes: [{name: alpha}, {name: beta}]\n",
                   id, fixture->folder.path);
    (void)snprintf(path, sizeof path, "%s/%s/cluster.yaml", fixture->cluster,
                   name);
    CHECK_OK(posix_files()->write(posix_files()->context, path, FILE_PUBLIC,
                                  true, bytes_of_text(text)));
}

static void write_config(struct fixture *fixture, const char *name)
{
    write_config_of(fixture, name, fixture->cluster_id);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.world = {.files = posix_files(),
                                         .clock = posix_clock(),
                                         .entropy = posix_entropy()}};
    CHECK_OK(identity_library_init());
    temp_folder_init(&fixture.folder);
    (void)snprintf(fixture.cluster, sizeof fixture.cluster, "%s/cluster",
                   fixture.folder.path);
    struct founding_host hosts[] = {{.name = "alpha"}, {.name = "beta"}};
    struct founding founding = {.cluster_name = "test",
                                .transport = SETTINGS_IPC,
                                .hosts = hosts,
                                .host_count = 2};
    struct err_detail why = {{0}};
    CHECK_OK(founding_make(&founding, &fixture.world, fixture.cluster,
                           fixture.cluster_id, &why));
    write_config(&fixture, "alpha");
    write_config(&fixture, "beta");
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    temp_folder_clear(&fixture->folder);
    return 0;
}

/* ---- nodes ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct watch *watch = context;
    pthread_mutex_lock(&watch->lock);
    watch->up_count += change == PEER_UP;
    watch->cut_count += change == PEER_CUT;
    if (change == PEER_UP) {
        watch->serial = peer_certificate(peer)->serial;
    }
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    if (change == PEER_UP) {
        CHECK_OK(peer_send(peer, LANE_DATA, CHANNEL_TEST,
                           bytes_of_text("good day")));
    }
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct watch *watch = context;
    CHECK(bytes_are_equal(message, bytes_of_text("good day")));
    CHECK(peer_is_up(peer));
    pthread_mutex_lock(&watch->lock);
    watch->message_count++;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

static void watch_init(struct watch *watch)
{
    *watch = (struct watch){0};
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Wait until `*count` is at least `wanted`, for a generous time. */
static void wait_for(struct watch *watch, uint32_t *count, uint32_t wanted)
{
    struct timespec deadline = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += DEADLINE_S;
    int code = 0;
    pthread_mutex_lock(&watch->lock);
    while (*count < wanted && code == 0) {
        code = pthread_cond_timedwait(&watch->changed, &watch->lock, &deadline);
    }
    pthread_mutex_unlock(&watch->lock);
    CHECK(code == 0);
}

static enum err open_node(struct fixture *fixture,
                          const char *folder,
                          const char *name,
                          struct watch *watch,
                          struct links **out,
                          struct err_detail *why)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/cluster.yaml", fixture->cluster,
                   folder);
    struct links_options options = {
        .config_path = path,
        .name = name,
        .log_sink = no_log(),
        .events = {.context = watch, .on_change = watch ? on_change : NULL}};
    return links_open(out, &options, &fixture->problems, why);
}

static void start_node(struct fixture *fixture,
                       const char *name,
                       struct watch *watch,
                       struct links **out)
{
    struct err_detail why = {{0}};
    watch_init(watch);
    CHECK_OK(open_node(fixture, name, name, watch, out, &why));
    endpoint_channel_set(links_endpoint(*out), CHANNEL_TEST, on_message, watch);
    CHECK_OK(links_start(*out));
}

static void links_the_nodes_of_one_file(void **state)
{
    struct watch alpha_watch;
    struct watch beta_watch;
    scoped(links_close) struct links *alpha = NULL;
    scoped(links_close) struct links *beta = NULL;
    start_node(*state, "alpha", &alpha_watch, &alpha);
    start_node(*state, "beta", &beta_watch, &beta);
    wait_for(&alpha_watch, &alpha_watch.message_count, 1);
    wait_for(&beta_watch, &beta_watch.message_count, 1);
}

/* ---- what is wrong is said ---- */

static void says_that_it_does_not_know_its_name(void **state)
{
    scoped(links_close) struct links *node = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_node(*state, "alpha", NULL, NULL, &node, &why), ERR_INVALID);
    CHECK(strstr(why.text, "which node is this"));
    CHECK_ERR(open_node(*state, "alpha", "gamma", NULL, &node, &why),
              ERR_INVALID);
    CHECK(strstr(why.text, "no node \"gamma\""));
    CHECK(!node);
}

static void says_where_the_configuration_is_wrong(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/alpha/cluster.yaml",
                   fixture->cluster);
    CHECK_OK(posix_files()->write(posix_files()->context, path, FILE_PUBLIC,
                                  true,
                                  bytes_of_text("cluster:\n  shrds: 3\n")));
    scoped(links_close) struct links *node = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_node(fixture, "alpha", "alpha", NULL, &node, &why),
              ERR_INVALID);
    CHECK(fixture->problems.count > 1);
    CHECK(strstr(why.text, "cluster.yaml:"));
    CHECK(!node);
}

static void refuses_keys_of_another_cluster(void **state)
{
    struct fixture *fixture = *state;
    uint8_t other_id[CLUSTER_ID_BYTES] = {1};
    write_config_of(fixture, "alpha", other_id);
    scoped(links_close) struct links *node = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_node(fixture, "alpha", "alpha", NULL, &node, &why),
              ERR_OTHER_CLUSTER);
    CHECK(strstr(why.text, "alpha.cert"));
    CHECK(strstr(why.text, "cluster.id"));
    CHECK(!node);
}

/* As an operator does it beside a node that runs. */
static void checks_the_files_and_takes_no_address(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch;
    scoped(links_close) struct links *alpha = NULL;
    start_node(fixture, "alpha", &watch, &alpha);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/alpha/cluster.yaml",
                   fixture->cluster);
    struct links_options options = {
        .config_path = path, .name = "alpha", .log_sink = no_log()};
    struct err_detail why = {{0}};
    CHECK_OK(links_check(&options, &fixture->problems, &why));
    options.name = "gamma";
    CHECK_ERR(links_check(&options, &fixture->problems, &why), ERR_INVALID);
    CHECK(strstr(why.text, "no node \"gamma\""));
    uint8_t other_id[CLUSTER_ID_BYTES] = {1};
    write_config_of(fixture, "alpha", other_id);
    options.name = "alpha";
    CHECK_ERR(links_check(&options, &fixture->problems, &why),
              ERR_OTHER_CLUSTER);
}

static void refuses_a_key_that_others_can_read(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/alpha/alpha.key", fixture->cluster);
    CHECK(chmod(path, 0644) == 0);
    scoped(links_close) struct links *node = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_node(fixture, "alpha", "alpha", NULL, &node, &why),
              ERR_EXPOSED);
    CHECK(strstr(why.text, "alpha.key"));
    CHECK(!node);
}

static void says_which_address_is_in_use(void **state)
{
    scoped(links_close) struct links *first = NULL;
    scoped(links_close) struct links *second = NULL;
    struct err_detail why = {{0}};
    CHECK_OK(open_node(*state, "alpha", "alpha", NULL, &first, &why));
    CHECK_ERR(open_node(*state, "alpha", "alpha", NULL, &second, &why),
              ERR_IN_USE);
    CHECK(strstr(why.text, "ipc://"));
    CHECK(!second);
}

/* ---- keys change without a stop ---- */

static void put_trust(struct fixture *fixture, struct authority *authority)
{
    struct bundle_trust found = {0};
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s/alpha", fixture->cluster);
    CHECK_OK(bundle_put_trust(&found, posix_files(), folder,
                              authority_trust_text(authority), NULL));
    CHECK(found.is_replaced);
}

/* Change what the authority has issued, and bring alpha's folder up to date. */
static void change_keys(struct fixture *fixture,
                        void (*change)(struct fixture *fixture,
                                       struct authority *authority,
                                       struct changes *changes))
{
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s/authority", fixture->cluster);
    scoped(authority_close) struct authority *authority = NULL;
    struct err_detail why = {{0}};
    CHECK_OK(authority_open(&authority, &fixture->world, folder,
                            AUTHORITY_WRITE, &why));
    scoped(changes_close) struct changes *changes = NULL;
    CHECK_OK(changes_open(&changes, posix_files()));
    change(fixture, authority, changes);
    changes_keep(changes);
}

static void revoke_beta(struct fixture *fixture,
                        struct authority *authority,
                        struct changes *changes)
{
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s/authority", fixture->cluster);
    CHECK_OK(authority_revoke(authority, 2, NULL));
    CHECK_OK(authority_save(authority, folder, changes, NULL));
    put_trust(fixture, authority);
}

struct reload {
    struct reactor_event event;
    struct links *node;
    enum err err;
    atomic_bool is_done;
};

static void run_reload(struct reactor_event *event)
{
    struct reload *reload = OWNER_OF(event, struct reload, event);
    struct err_detail why = {{0}};
    reload->err = links_reload(reload->node, &why);
    atomic_store(&reload->is_done, true);
}

static void a_reload_cuts_who_is_revoked(void **state)
{
    struct watch alpha_watch;
    struct watch beta_watch;
    scoped(links_close) struct links *alpha = NULL;
    scoped(links_close) struct links *beta = NULL;
    start_node(*state, "alpha", &alpha_watch, &alpha);
    start_node(*state, "beta", &beta_watch, &beta);
    wait_for(&alpha_watch, &alpha_watch.up_count, 1);
    CHECK(alpha_watch.serial == 2);
    change_keys(*state, revoke_beta);
    struct reload reload = {.event.run = run_reload, .node = alpha};
    reactor_post(links_reactor(alpha), &reload.event);
    wait_for(&alpha_watch, &alpha_watch.cut_count, 1);
    links_stop(alpha); /* after the turn in which it reloaded */
    CHECK(atomic_load(&reload.is_done));
    CHECK_OK(reload.err);
}

/* As when a newer one came over the links and could not be written. */
static void an_older_trust_in_the_folder_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    uint8_t *older = NULL;
    size_t length = 0;
    scoped(links_close) struct links *alpha = NULL;
    struct err_detail why = {{0}};
    const struct files *files = posix_files();
    CHECK_OK(open_node(fixture, "alpha", "alpha", NULL, &alpha, &why));
    uint64_t version = trust_version(endpoint_trust(links_endpoint(alpha)));
    (void)snprintf(path, sizeof path, "%s/alpha/trust", fixture->cluster);
    CHECK_OK(files->read(files->context, path, FILE_PUBLIC, 1 << 16, &older,
                         &length));
    change_keys(fixture, revoke_beta);
    CHECK_OK(links_reload(alpha, &why));
    CHECK(trust_version(endpoint_trust(links_endpoint(alpha))) == version + 1);
    CHECK_OK(files->write(files->context, path, FILE_PUBLIC, true,
                          bytes_of(older, length)));
    free(older);
    CHECK_OK(links_reload(alpha, &why));
    CHECK(trust_version(endpoint_trust(links_endpoint(alpha))) == version + 1);
}

static void a_failed_reload_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    scoped(links_close) struct links *alpha = NULL;
    struct err_detail why = {{0}};
    CHECK_OK(open_node(fixture, "alpha", "alpha", NULL, &alpha, &why));
    (void)snprintf(path, sizeof path, "%s/alpha/trust", fixture->cluster);
    CHECK(unlink(path) == 0);
    CHECK_ERR(links_reload(alpha, &why), ERR_NOT_FOUND);
    CHECK(strstr(why.text, "trust"));
    CHECK_OK(links_start(alpha));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_the_nodes_of_one_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(says_that_it_does_not_know_its_name,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_where_the_configuration_is_wrong,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_keys_of_another_cluster, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(checks_the_files_and_takes_no_address,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_a_key_that_others_can_read,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_which_address_is_in_use, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reload_cuts_who_is_revoked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failed_reload_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            an_older_trust_in_the_folder_does_not_count, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
