#include "tests/process/replica_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/support/check.h"

/* ---- what a node says ---- */

static struct replica_path words_path(const struct replica_cluster *cluster,
                                      uint32_t node)
{
    struct replica_path path;
    int length = snprintf(path.text, sizeof path.text, "%s/words-%u",
                          cluster->temp.path, node);
    CHECK(length > 0 && (size_t)length < sizeof path.text);
    return path;
}

/* All that it has written; freed by the caller. */
static char *read_words(const struct replica_cluster *cluster, uint32_t node)
{
    struct replica_path path = words_path(cluster, node);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    FILE *in = fopen(path.text, "r");
    CHECK(out && in);
    for (int next = fgetc(in); next != EOF; next = fgetc(in)) {
        (void)fputc(next, out);
    }
    (void)fclose(in);
    CHECK(fclose(out) == 0);
    return text;
}

void replica_cluster_forget_said(const struct replica_cluster *cluster,
                                 uint32_t node)
{
    struct replica_path path = words_path(cluster, node);
    CHECK(truncate(path.text, 0) == 0);
}

bool replica_cluster_has_said(const struct replica_cluster *cluster,
                              uint32_t node,
                              const char *words)
{
    char *text = read_words(cluster, node);
    bool has_said = strstr(text, words) != NULL;
    free(text);
    return has_said;
}

static void show(const struct replica_cluster *cluster, uint32_t node)
{
    const struct replica_node *report = &cluster->shared->nodes[node];
    char *text = read_words(cluster, node);
    print_error("node %u: %llu looks, %s, '%s'; it has written:\n%s", node,
                (unsigned long long)atomic_load(&report->look_count),
                err_name(atomic_load(&report->err)), report->why, text);
    free(text);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        const struct replica_view *view = &report->views[i];
        print_error("  group %u: state %d, %s '%s', leads %d, number %llu, "
                    "applied %llu, snapshot %llu\n",
                    i, (int)atomic_load(&view->state),
                    err_name(atomic_load(&view->err)), view->why,
                    atomic_load(&view->leads),
                    (unsigned long long)atomic_load(&view->number),
                    (unsigned long long)atomic_load(&view->applied_index),
                    (unsigned long long)atomic_load(&view->stored_index));
    }
}

static void give_up(const struct replica_cluster *cluster, const char *what)
{
    print_error("%s\n", what);
    for (uint32_t i = 0; i < cluster->shared->plan.node_count; i++) {
        show(cluster, i);
    }
    fail();
}

/* ---- processes ---- */

/* A child never returns into the test. */
static void run_child(struct replica_cluster *cluster,
                      const struct replica_start *start,
                      pid_t parent)
{
    struct replica_path words = words_path(cluster, start->number);
    int fd = open(words.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || getppid() != parent ||
        (start->user && setuid(start->user))) {
        _exit(99);
    }
    /* Becoming another user takes it back. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(replica_run(cluster->shared, start));
}

static pid_t fork_child(struct replica_cluster *cluster,
                        const struct replica_start *start)
{
    pid_t parent = getpid();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run_child(cluster, start, parent);
    }
    return child;
}

void replica_cluster_fork(struct replica_cluster *cluster,
                          const struct replica_start *start)
{
    CHECK(cluster->processes[start->number] == 0);
    memset(&cluster->shared->nodes[start->number], 0,
           sizeof cluster->shared->nodes[0]);
    cluster->processes[start->number] = fork_child(cluster, start);
}

/* Whether a node has ended that should be up. */
static bool has_lost_one(const struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        siginfo_t about = {0};
        if (cluster->processes[i] > 0 &&
            (waitid(P_PID, (id_t)cluster->processes[i], &about,
                    WEXITED | WNOHANG | WNOWAIT) != 0 ||
             about.si_pid != 0)) {
            return true;
        }
    }
    return false;
}

/* A condition, and the cluster that must live on until it is true. */
struct waiting {
    const struct replica_cluster *cluster;
    bool (*is_true)(struct waiting *waiting);
    uint32_t node;
    uint64_t count;
    bool was_settled; /* when `looks` were noted */
    uint64_t looks[REPLICA_NODES_MAX];
    bool (*is_true_of)(const struct replica_view *view);
    bool has_lost_one;
};

static bool is_over(void *context)
{
    struct waiting *waiting = context;
    waiting->has_lost_one = has_lost_one(waiting->cluster);
    return waiting->has_lost_one || waiting->is_true(waiting);
}

static void await(struct waiting *waiting, const char *what)
{
    if (!test_wait(is_over, waiting)) {
        give_up(waiting->cluster, what);
    }
    if (waiting->has_lost_one) {
        give_up(waiting->cluster, "a node has ended");
    }
}

static bool is_up(struct waiting *waiting)
{
    const struct replica_node *node =
        &waiting->cluster->shared->nodes[waiting->node];
    return atomic_load(&node->look_count) > 0;
}

static void await_up(const struct replica_cluster *cluster, uint32_t node)
{
    struct waiting waiting = {
        .cluster = cluster, .is_true = is_up, .node = node};
    await(&waiting, "a node does not start");
}

void replica_cluster_start(struct replica_cluster *cluster, uint32_t node)
{
    replica_cluster_fork(cluster, &(struct replica_start){.number = node});
    await_up(cluster, node);
}

void replica_cluster_kill(struct replica_cluster *cluster, uint32_t node)
{
    int status = 0;
    pid_t process = cluster->processes[node];
    CHECK(process > 0 && kill(process, SIGKILL) == 0);
    CHECK(waitpid(process, &status, 0) == process);
    cluster->processes[node] = 0;
    if (!WIFSIGNALED(status)) {
        give_up(cluster, "a node had ended before it was killed");
    }
}

static bool has_ended(void *context)
{
    siginfo_t about = {0};
    CHECK(waitid(P_PID, (id_t) * (const pid_t *)context, &about,
                 WEXITED | WNOHANG | WNOWAIT) == 0);
    return about.si_pid != 0;
}

/* Its exit code; -1: a signal. */
static int await_process(const struct replica_cluster *cluster, pid_t process)
{
    int status = 0;
    CHECK(process > 0);
    if (!test_wait(has_ended, &process)) {
        give_up(cluster, "a node does not end");
    }
    CHECK(waitpid(process, &status, 0) == process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int replica_cluster_await_end(struct replica_cluster *cluster, uint32_t node)
{
    pid_t process = cluster->processes[node];
    cluster->processes[node] = 0;
    return await_process(cluster, process);
}

void replica_cluster_stop(struct replica_cluster *cluster, uint32_t node)
{
    atomic_store(&cluster->shared->nodes[node].must_stop, true);
    if (replica_cluster_await_end(cluster, node) != 0) {
        give_up(cluster, "a node does not stop in order");
    }
}

void replica_cluster_check_refused(struct replica_cluster *cluster,
                                   const struct replica_start *start,
                                   enum err err,
                                   const char *words)
{
    struct replica_node *report = &cluster->shared->nodes[start->number];
    int code = await_process(cluster, fork_child(cluster, start));
    if (code != 1 || !strstr(report->why, words)) {
        give_up(cluster, words);
    }
    CHECK_ERR(atomic_load(&report->err), err);
    report->why[0] = '\0';
    atomic_store(&report->err, ERR_NONE);
}

/* ---- life ---- */

static bool is_open(const struct replica_view *view)
{
    return atomic_load(&view->state) == REPLICA_OPEN &&
           atomic_load(&view->applied_index) > 0;
}

void replica_cluster_open(struct replica_cluster *cluster,
                          const struct replica_plan *limits)
{
    *cluster = (struct replica_cluster){.shared = NULL};
    temp_folder_init(&cluster->temp);
    cluster->shared =
        mmap(NULL, sizeof *cluster->shared, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(cluster->shared != MAP_FAILED);
    struct replica_plan *plan = &cluster->shared->plan;
    *plan = *limits;
    test_host(plan->host, 1);
    plan->port_first =
        test_ports_take(plan->host, REPLICA_PORTS * plan->node_count);
    (void)temp_folder_path(&cluster->temp, plan->data_dir, "data");
    for (uint32_t i = 0; i < plan->node_count; i++) {
        replica_cluster_fork(cluster, &(struct replica_start){.number = i});
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        replica_cluster_await(cluster, i, is_open);
    }
}

void replica_cluster_close(struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        if (cluster->processes[i] > 0) {
            replica_cluster_kill(cluster, i);
        }
    }
    CHECK(munmap(cluster->shared, sizeof *cluster->shared) == 0);
    temp_folder_clear(&cluster->temp);
}

/* ---- waiting ---- */

static uint64_t acknowledged_count(const struct replica_shared *shared)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        for (uint32_t j = 0; j < REPLICA_CLIENTS; j++) {
            count += atomic_load(&shared->groups[i].clients[j].acknowledged);
        }
    }
    return count;
}

static bool is_loaded_enough(struct waiting *waiting)
{
    return acknowledged_count(waiting->cluster->shared) >= waiting->count;
}

void replica_cluster_load(struct replica_cluster *cluster, uint64_t count)
{
    struct waiting waiting = {.cluster = cluster,
                              .is_true = is_loaded_enough,
                              .count =
                                  acknowledged_count(cluster->shared) + count};
    atomic_store(&cluster->shared->is_loaded, true);
    await(&waiting, "nothing more is acknowledged");
}

static bool is_true_of_all(struct waiting *waiting)
{
    const struct replica_node *node =
        &waiting->cluster->shared->nodes[waiting->node];
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        if (!waiting->is_true_of(&node->views[i])) {
            return false;
        }
    }
    return atomic_load(&node->look_count) > 0;
}

void replica_cluster_await(struct replica_cluster *cluster,
                           uint32_t node,
                           bool (*is_true)(const struct replica_view *view))
{
    struct waiting waiting = {.cluster = cluster,
                              .is_true = is_true_of_all,
                              .node = node,
                              .is_true_of = is_true};
    await(&waiting, "a node does not come so far");
}

/* Whoever looked since then has seen that there is no load. */
static bool have_all_looked(struct waiting *waiting)
{
    const struct replica_cluster *cluster = waiting->cluster;
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        if (cluster->processes[i] > 0 &&
            atomic_load(&cluster->shared->nodes[i].look_count) <
                waiting->looks[i] + 2) {
            return false;
        }
    }
    return true;
}

static bool is_quiet(struct waiting *waiting)
{
    const struct replica_shared *shared = waiting->cluster->shared;
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        for (uint32_t j = 0; j < REPLICA_CLIENTS; j++) {
            const struct replica_client *client = &shared->groups[i].clients[j];
            if (atomic_load(&client->begun) !=
                atomic_load(&client->acknowledged)) {
                return false;
            }
        }
    }
    return true;
}

/* It has applied all that it knows of. */
static bool is_whole(const struct replica_view *view)
{
    return atomic_load(&view->state) == REPLICA_OPEN &&
           atomic_load(&view->has_state) &&
           atomic_load(&view->applied_index) ==
               atomic_load(&view->commit_index);
}

static bool are_equal(const struct replica_view *left,
                      const struct replica_view *right)
{
    return atomic_load(&left->applied_index) ==
               atomic_load(&right->applied_index) &&
           atomic_load(&left->digest) == atomic_load(&right->digest);
}

/* It is led, and all replicas have what its leader has. */
static bool is_group_settled(const struct replica_cluster *cluster,
                             uint32_t group)
{
    const struct replica_view *first = NULL;
    bool is_led = false;
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        const struct replica_view *view =
            &cluster->shared->nodes[i].views[group];
        if (cluster->processes[i] == 0) {
            continue;
        }
        first = first ? first : view;
        if (!is_whole(view) || !are_equal(first, view)) {
            return false;
        }
        is_led = is_led || atomic_load(&view->leads);
    }
    return is_led;
}

static void note_looks(struct waiting *waiting)
{
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        waiting->looks[i] =
            atomic_load(&waiting->cluster->shared->nodes[i].look_count);
    }
}

/* And stays so from then on until each node has looked twice: what is told of
 * a replica may be older than what a client was told. */
static bool is_settled(struct waiting *waiting)
{
    bool is_so = is_quiet(waiting);
    for (uint32_t i = 0; i < REPLICA_GROUPS; i++) {
        is_so = is_so && is_group_settled(waiting->cluster, i);
    }
    if (is_so && !waiting->was_settled) {
        note_looks(waiting);
    }
    bool has_stayed = is_so && waiting->was_settled;
    waiting->was_settled = is_so;
    return has_stayed && have_all_looked(waiting);
}

static void check_counters(const struct replica_cluster *cluster)
{
    for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++) {
        const struct replica_node *node = &cluster->shared->nodes[i];
        for (uint32_t j = 0; j < REPLICA_GROUPS && cluster->processes[i] > 0;
             j++) {
            for (uint32_t k = 0; k < REPLICA_CLIENTS; k++) {
                uint64_t acknowledged = atomic_load(
                    &cluster->shared->groups[j].clients[k].acknowledged);
                int64_t value = atomic_load(&node->views[j].values[k]);
                assert_int_equal(value, acknowledged);
            }
        }
    }
    CHECK(!atomic_load(&cluster->shared->is_wrong));
}

void replica_cluster_settle(struct replica_cluster *cluster)
{
    struct waiting waiting = {.cluster = cluster, .is_true = have_all_looked};
    atomic_store(&cluster->shared->is_loaded, false);
    note_looks(&waiting);
    await(&waiting, "a node does not turn any more");
    waiting.is_true = is_settled;
    await(&waiting, "replicas do not become equal");
    check_counters(cluster);
}

struct replica_path replica_cluster_path(const struct replica_cluster *cluster,
                                         uint32_t node,
                                         const char *name)
{
    struct replica_path path;
    char own[REPLICA_NAME_BYTES];
    replica_name(own, node);
    int length =
        snprintf(path.text, sizeof path.text, "%s/%s%s%s",
                 cluster->shared->plan.data_dir, own, name[0] ? "/" : "", name);
    CHECK(length > 0 && (size_t)length < sizeof path.text);
    return path;
}
