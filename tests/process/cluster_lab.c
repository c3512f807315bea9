#include "tests/process/cluster_lab.h"

#include "admin/pack_json.h"
#include "base/pack.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/authority.h"
#include "config/bundle.h"
#include "config/founding.h"
#include "shard/host_service.h"
#include "tests/support/test_identity.h"
#include "tests/support/test_node.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SHARDS 16
#define DOOR_PORT 7600
#define CONNECT_MS 20000 /* generous: on a busy machine */
#define ASK_MS 5000
#define LONG_AGO_S (3 * 3600) /* more than clocks may be wrong */
#define QUESTION_BYTES 1024
#define COMMAND_BYTES 1024
#define SHOWN_BYTES 6000 /* of what each has said, when a test has failed */

static const char *const names[CLUSTER_MACHINES_MAX] = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta"};

const char *cluster_lab_name(uint32_t node)
{
    return names[node];
}

struct cluster_lab_path cluster_lab_path(const struct cluster_lab *lab,
                                         const char *format,
                                         ...)
{
    struct cluster_lab_path path;
    va_list arguments;
    int length = snprintf(path.text, sizeof path.text, "%s/", lab->temp.path);
    va_start(arguments, format);
    length += vsnprintf(path.text + length, sizeof path.text - (size_t)length,
                        format, arguments);
    va_end(arguments);
    CHECK((size_t)length < sizeof path.text);
    return path;
}

struct cluster_lab_path cluster_lab_data(const struct cluster_lab *lab,
                                         uint32_t node)
{
    return cluster_lab_path(lab, "disk-%s", names[node]);
}

/* ---- what they have written ---- */

static struct cluster_lab_path words_path(const struct cluster_lab *lab,
                                          uint32_t node)
{
    return cluster_lab_path(lab, "%s.words", names[node]);
}

/* A whole file from an offset on; freed by the caller. */
static char *read_file(const char *path, long from)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    FILE *in = fopen(path, "r");
    CHECK(out);
    if (in && fseek(in, from, SEEK_SET) == 0) {
        for (int next = fgetc(in); next != EOF; next = fgetc(in)) {
            (void)fputc(next, out);
        }
    }
    if (in) {
        (void)fclose(in);
    }
    CHECK(fclose(out) == 0);
    return text;
}

static void show(const struct cluster_lab *lab, uint32_t node)
{
    struct cluster_lab_path path = words_path(lab, node);
    char *text = read_file(path.text, 0);
    size_t length = strlen(text);
    size_t from = length > SHOWN_BYTES ? length - SHOWN_BYTES : 0;
    (void)fprintf(stderr, "---- %s has written%s:\n%s\n", names[node],
                  from ? ", at last" : "", text + from);
    free(text);
}

void cluster_lab_give_up(const struct cluster_lab *lab, const char *what)
{
    (void)lab; /* shown when it is closed */
    fail_msg("%s", what);
}

bool cluster_lab_has_said(const struct cluster_lab *lab,
                          uint32_t node,
                          const char *words)
{
    struct cluster_lab_path path = words_path(lab, node);
    char *text = read_file(path.text, lab->said_from[node]);
    bool has_said = strstr(text, words) != NULL;
    free(text);
    return has_said;
}

/* ---- waiting ---- */

struct waiting {
    const struct cluster_lab *lab;
    bool (*is_true)(void *context);
    void *context;
    bool has_lost_one;
};

/* Whether a node has ended that should be up. */
static bool has_lost_one(const struct cluster_lab *lab)
{
    for (uint32_t i = 0; i < CLUSTER_MACHINES_MAX; i++) {
        siginfo_t about = {0};
        if (lab->processes[i] > 0 &&
            (waitid(P_PID, (id_t)lab->processes[i], &about,
                    WEXITED | WNOHANG | WNOWAIT) != 0 ||
             about.si_pid != 0)) {
            (void)fprintf(stderr, "%s has ended\n", names[i]);
            return true;
        }
    }
    return false;
}

static bool is_over(void *context)
{
    struct waiting *waiting = context;
    waiting->has_lost_one = has_lost_one(waiting->lab);
    return waiting->has_lost_one || waiting->is_true(waiting->context);
}

void cluster_lab_wait(const struct cluster_lab *lab,
                      bool (*is_true)(void *context),
                      void *context,
                      const char *what)
{
    struct waiting waiting = {
        .lab = lab, .is_true = is_true, .context = context};
    if (!test_wait(is_over, &waiting) || waiting.has_lost_one) {
        cluster_lab_give_up(lab, what);
    }
}

struct saying {
    const struct cluster_lab *lab;
    uint32_t node;
    const char *words;
};

static bool is_said(void *context)
{
    const struct saying *saying = context;
    return cluster_lab_has_said(saying->lab, saying->node, saying->words);
}

void cluster_lab_await_said(const struct cluster_lab *lab,
                            uint32_t node,
                            const char *words)
{
    struct saying saying = {.lab = lab, .node = node, .words = words};
    char what[128];
    (void)snprintf(what, sizeof what, "%s does not say: %s", names[node],
                   words);
    cluster_lab_wait(lab, is_said, &saying, what);
}

/* ---- files ---- */

static int run_shell(const char *command)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int cluster_lab_troupe(const struct cluster_lab *lab, const char *format, ...)
{
    char command[COMMAND_BYTES];
    va_list arguments;
    int length = snprintf(command, sizeof command, "cd '%s' && { '%s' ",
                          lab->temp.path, lab->programs->troupe);
    va_start(arguments, format);
    length += vsnprintf(command + length, sizeof command - (size_t)length,
                        format, arguments);
    va_end(arguments);
    length += snprintf(command + length, sizeof command - (size_t)length,
                       "; } >>troupe.words 2>&1");
    CHECK((size_t)length < sizeof command);
    return run_shell(command);
}

static struct cluster_lab_path config_path(const struct cluster_lab *lab,
                                           uint32_t node)
{
    return cluster_lab_path(lab, "lab/%s/cluster.yaml", names[node]);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* `text` with the first `old` in it replaced; freed by the caller. */
static char *replaced(const char *text, const char *old, const char *new)
{
    char *out = NULL;
    const char *at = strstr(text, old);
    if (!at) {
        fail_msg("there is no `%s` in the configuration", old);
        return NULL;
    }
    CHECK(asprintf(&out, "%.*s%s%s", (int)(at - text), text, new,
                   at + strlen(old)) > 0);
    return out;
}

void cluster_lab_edit(const struct cluster_lab *lab,
                      uint32_t node,
                      const char *old,
                      const char *new)
{
    struct cluster_lab_path path = config_path(lab, node);
    char *text = read_file(path.text, 0);
    char *edited = replaced(text, old, new);
    write_file(path.text, edited);
    free(edited);
    free(text);
}

/* What `troupe cluster init` leaves to whoever runs it. */
static void complete_config(const struct cluster_lab *lab, uint32_t node)
{
    const struct cluster_lab_plan *plan = &lab->plan;
    char lines[CLUSTER_LAB_PATH_BYTES + 32];
    struct cluster_lab_path data = cluster_lab_data(lab, node);
    (void)snprintf(lines, sizeof lines, "\nnode:\n  data_dir: \"%s\"\n",
                   data.text);
    cluster_lab_edit(lab, node, "\nnode:\n", lines);
    (void)snprintf(lines, sizeof lines, "\ncluster:\n  shards: %u\n%s",
                   plan->shards ? plan->shards : SHARDS,
                   plan->cluster ? plan->cluster : "");
    cluster_lab_edit(lab, node, "\ncluster:\n", lines);
}

static void make_disk(const struct cluster_lab *lab, uint32_t node)
{
    struct cluster_lab_path data = cluster_lab_data(lab, node);
    CHECK(mkdir(data.text, 0700) == 0);
    if (lab->plan.small_disk_mib > 0) {
        cluster_network_mount(data.text, lab->plan.small_disk_mib);
    }
}

static uint64_t now_ns(void *context)
{
    (void)context;
    return clock_now_ns(posix_clock());
}

/* `context`: how many seconds. */
static int64_t ago_ms(void *context)
{
    return clock_wall_ms(posix_clock()) - *(const int64_t *)context * MS_PER_S;
}

/* As `troupe cluster init` would have done it then. */
static void make_expired(const struct cluster_lab *lab)
{
    int64_t ago_s = LONG_AGO_S;
    struct clock clock = {
        .context = &ago_s, .now_ns = now_ns, .wall_ms = ago_ms};
    struct founding_host hosts[CLUSTER_MACHINES_MAX] = {0};
    struct founding founding = {.cluster_name = "lab",
                                .valid_seconds = AUTHORITY_VALID_SECONDS_MIN,
                                .hosts = hosts,
                                .host_count = lab->plan.node_count};
    struct authority_world world = {
        .files = posix_files(), .clock = &clock, .entropy = posix_entropy()};
    struct cluster_lab_path folder = cluster_lab_path(lab, "lab");
    uint8_t id[CLUSTER_ID_BYTES];
    for (uint32_t i = 0; i < founding.host_count; i++) {
        (void)snprintf(hosts[i].name, sizeof hosts[i].name, "%s", names[i]);
        cluster_network_host(hosts[i].host, i);
    }
    CHECK_OK(founding_make(&founding, &world, folder.text, id, NULL));
}

static void make_with_troupe(const struct cluster_lab *lab)
{
    char hosts[COMMAND_BYTES] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        char host[CLUSTER_HOST_BYTES];
        cluster_network_host(host, i);
        length += (size_t)snprintf(hosts + length, sizeof hosts - length,
                                   " %s=%s", names[i], host);
    }
    CHECK(cluster_lab_troupe(lab, "cluster init lab %s", hosts) == 0);
}

static void make_files(const struct cluster_lab *lab)
{
    if (lab->plan.is_expired) {
        make_expired(lab);
    } else {
        make_with_troupe(lab);
    }
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        complete_config(lab, i);
        make_disk(lab, i);
    }
}

/* `cluster.id` of a configuration. */
static void read_id(char *out, const char *path)
{
    char *text = read_file(path, 0);
    const char *at = strstr(text, "  id: \"");
    CHECK(at && sscanf(at, "  id: \"%32[0-9a-f]", out) == 1);
    free(text);
}

/* A configuration as alpha has it, with one node more. */
static void write_config(const struct cluster_lab *lab, uint32_t node)
{
    char host[CLUSTER_HOST_BYTES];
    char new[128];
    struct cluster_lab_path first = config_path(lab, 0);
    struct cluster_lab_path path = config_path(lab, node);
    struct cluster_lab_path data = cluster_lab_data(lab, node);
    char *text = read_file(first.text, 0);
    write_file(path.text, text);
    free(text);
    cluster_network_host(host, node);
    (void)snprintf(new, sizeof new, "name: \"%s\"", names[node]);
    cluster_lab_edit(lab, node, "name: \"alpha\"", new);
    cluster_lab_edit(lab, node, "disk-alpha",
                     data.text + strlen(lab->temp.path) + 1);
    (void)snprintf(new, sizeof new,
                   "  nodes:\n    - name: \"%s\"\n      host: \"%s\"\n",
                   names[node], host);
    cluster_lab_edit(lab, node, "  nodes:\n", new);
    make_disk(lab, node);
}

void cluster_lab_add_node(const struct cluster_lab *lab, uint32_t node)
{
    CHECK(cluster_lab_troupe(lab,
                             "key issue %s --role node --authority "
                             "lab/authority",
                             names[node]) == 0);
    write_config(lab, node);
}

void cluster_lab_add_seeded(const struct cluster_lab *lab,
                            uint32_t node,
                            uint32_t seed)
{
    char host[CLUSTER_HOST_BYTES];
    char lines[128];
    cluster_lab_add_node(lab, node);
    struct cluster_lab_path path = config_path(lab, node);
    char *text = read_file(path.text, 0);
    char *others = strstr(text, "    - name: \"alpha\"");
    CHECK(others); /* behind the node itself, to the end of the file */
    *others = '\0';
    write_file(path.text, text);
    free(text);
    cluster_network_host(host, seed);
    (void)snprintf(lines, sizeof lines,
                   "\nseeds: [\"tcp://%s:%u\"]\ncluster:\n", host, DOOR_PORT);
    cluster_lab_edit(lab, node, "\ncluster:\n", lines);
}

/* As `troupe key issue` would have done it then. */
static void issue_expired(const struct cluster_lab *lab,
                          uint32_t node,
                          int64_t ago_s)
{
    scoped(authority_close) struct authority *authority = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    scoped(changes_close) struct changes *changes = NULL;
    struct clock clock = {
        .context = &ago_s, .now_ns = now_ns, .wall_ms = ago_ms};
    struct authority_world world = {
        .files = posix_files(), .clock = &clock, .entropy = posix_entropy()};
    struct authority_request request = {.name = names[node],
                                        .role = ROLE_NODE,
                                        .valid_seconds =
                                            AUTHORITY_VALID_SECONDS_MIN};
    struct cluster_lab_path from = cluster_lab_path(lab, "lab/authority");
    struct cluster_lab_path to = cluster_lab_path(lab, "lab/%s", names[node]);
    ago_s += AUTHORITY_VALID_SECONDS_MIN;
    CHECK_OK(
        authority_open(&authority, &world, from.text, AUTHORITY_WRITE, NULL));
    CHECK_OK(authority_issue(authority, &request, &identity, NULL));
    CHECK_OK(changes_open(&changes, posix_files()));
    CHECK_OK(authority_save(authority, from.text, changes, NULL));
    CHECK_OK(bundle_make(changes, posix_files(), to.text, identity,
                         authority_trust_text(authority), NULL));
    changes_keep(changes);
}

void cluster_lab_add_expired_node(const struct cluster_lab *lab,
                                  uint32_t node,
                                  uint32_t ago_s)
{
    issue_expired(lab, node, ago_s);
    write_config(lab, node);
}

void cluster_lab_copy_trust(const struct cluster_lab *lab, uint32_t node)
{
    CHECK(cluster_lab_troupe(lab, "version && cp lab/authority/trust lab/%s",
                             names[node]) == 0);
}

void cluster_lab_add_stranger(const struct cluster_lab *lab, uint32_t node)
{
    char host[CLUSTER_HOST_BYTES];
    char old[CERTIFICATE_NAME_BYTES] = "";
    char new[CERTIFICATE_NAME_BYTES] = "";
    cluster_network_host(host, node);
    CHECK(cluster_lab_troupe(lab,
                             "cluster init other %s=%s && "
                             "mv other/%s lab/%s",
                             names[node], host, names[node], names[node]) == 0);
    read_id(old, config_path(lab, 0).text);
    read_id(new, config_path(lab, node).text);
    write_config(lab, node);
    cluster_lab_edit(lab, node, old, new);
}

void cluster_lab_add_double(const struct cluster_lab *lab,
                            uint32_t node,
                            uint32_t other)
{
    char old[CLUSTER_HOST_BYTES];
    char new[CLUSTER_HOST_BYTES];
    cluster_network_host(old, other);
    cluster_network_host(new, node);
    CHECK(cluster_lab_troupe(lab, "version && cp -rp lab/%s lab/%s",
                             names[other], names[node]) == 0);
    cluster_lab_edit(lab, node, old, new);
    (void)snprintf(old, sizeof old, "disk-%s", names[other]);
    cluster_lab_edit(lab, node, old,
                     cluster_lab_data(lab, node).text + strlen(lab->temp.path) +
                         1);
    make_disk(lab, node);
}

/* ---- processes ---- */

/* A child never returns into the test. */
static void run_child(const struct cluster_lab *lab,
                      uint32_t node,
                      const char *argument,
                      pid_t parent)
{
    struct cluster_lab_path words = words_path(lab, node);
    struct cluster_lab_path config = config_path(lab, node);
    char program[PATH_MAX];
    char behind[16];
    int fd = open(words.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(program, sizeof program, "%s", lab->programs->trouped);
    if (lab->other[node]) {
        (void)snprintf(program, sizeof program, "%s/%s", lab->programs->folder,
                       lab->other[node]);
    }
    (void)snprintf(behind, sizeof behind, "%u", lab->clock_behind_s[node]);
    (void)setenv("CLOCK_BEHIND_S", behind, 1);
    if (fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
        dup2(fd, STDERR_FILENO) >= 0 && getppid() == parent &&
        cluster_network_move_to(&lab->network, node)) {
        (void)execl(program, program, "--config", config.text, argument,
                    (char *)NULL);
    }
    _exit(99);
}

void cluster_lab_fork(struct cluster_lab *lab,
                      uint32_t node,
                      const char *argument)
{
    struct cluster_lab_path words = words_path(lab, node);
    struct stat about;
    pid_t parent = getpid();
    CHECK(lab->processes[node] == 0);
    lab->said_from[node] =
        stat(words.text, &about) == 0 ? (long)about.st_size : 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run_child(lab, node, argument, parent);
    }
    lab->processes[node] = child;
}

void cluster_lab_await_ready(const struct cluster_lab *lab, uint32_t node)
{
    cluster_lab_await_said(lab, node, "node.ready");
}

void cluster_lab_start(struct cluster_lab *lab, uint32_t node)
{
    cluster_lab_fork(lab, node, NULL);
    cluster_lab_await_ready(lab, node);
}

void cluster_lab_start_all(struct cluster_lab *lab)
{
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        cluster_lab_fork(lab, i, NULL);
    }
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        cluster_lab_await_ready(lab, i);
    }
}

static bool has_ended(void *context)
{
    siginfo_t about = {0};
    CHECK(waitid(P_PID, (id_t) * (const pid_t *)context, &about,
                 WEXITED | WNOHANG | WNOWAIT) == 0);
    return about.si_pid != 0;
}

int cluster_lab_await_end(struct cluster_lab *lab, uint32_t node)
{
    int status = 0;
    pid_t process = lab->processes[node];
    CHECK(process > 0);
    if (!test_wait(has_ended, &process)) {
        cluster_lab_give_up(lab, "a node does not end");
    }
    lab->processes[node] = 0;
    CHECK(waitpid(process, &status, 0) == process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void cluster_lab_check_end(struct cluster_lab *lab,
                           uint32_t node,
                           int code,
                           const char *words)
{
    assert_int_equal(cluster_lab_await_end(lab, node), code);
    if (!cluster_lab_has_said(lab, node, words)) {
        fail_msg("%s has not said: %s", names[node], words);
    }
}

void cluster_lab_signal(const struct cluster_lab *lab, uint32_t node, int what)
{
    CHECK(lab->processes[node] > 0);
    CHECK(kill(lab->processes[node], what) == 0);
}

void cluster_lab_kill(struct cluster_lab *lab, uint32_t node)
{
    cluster_lab_signal(lab, node, SIGKILL);
    if (cluster_lab_await_end(lab, node) != -1) {
        cluster_lab_give_up(lab, "a node had ended before it was killed");
    }
}

void cluster_lab_power_off(struct cluster_lab *lab, uint32_t node)
{
    cluster_network_isolate(&lab->network, node);
    cluster_lab_kill(lab, node);
}

void cluster_lab_stop(struct cluster_lab *lab, uint32_t node)
{
    cluster_lab_signal(lab, node, SIGTERM);
    assert_int_equal(cluster_lab_await_end(lab, node), 0);
}

/* ---- life ---- */

void cluster_lab_open(struct cluster_lab *lab,
                      const struct cluster_lab_programs *programs,
                      const struct cluster_lab_plan *plan)
{
    *lab = (struct cluster_lab){.programs = programs, .plan = *plan};
    if (lab->plan.machine_count == 0) {
        lab->plan.machine_count = plan->node_count;
    }
    temp_folder_init(&lab->temp);
    cluster_network_open(&lab->network, lab->plan.machine_count);
    make_files(lab);
}

void cluster_lab_close(struct cluster_lab *lab)
{
    for (uint32_t i = 0; i < CLUSTER_MACHINES_MAX; i++) {
        if (lab->processes[i] > 0) {
            (void)kill(lab->processes[i], SIGKILL);
            (void)waitpid(lab->processes[i], NULL, 0);
            lab->processes[i] = 0;
        }
    }
    for (uint32_t i = 0; i < lab->plan.machine_count; i++) {
        struct cluster_lab_path data = cluster_lab_data(lab, i);
        if (!lab->has_passed) {
            show(lab, i);
        }
        if (lab->plan.small_disk_mib > 0 && access(data.text, F_OK) == 0) {
            cluster_network_unmount(data.text);
        }
    }
    cluster_network_close(&lab->network);
    temp_folder_clear(&lab->temp);
}

/* ---- questions ---- */

static enum err connect_as(const struct cluster_lab *lab,
                           const struct cluster_lab_caller *caller,
                           const struct identity *identity,
                           struct trust *trust,
                           struct client **out,
                           struct err_detail *why)
{
    struct client_node nodes[CLUSTER_MACHINES_MAX];
    char doors[CLUSTER_MACHINES_MAX][64];
    uint32_t count = caller->is_alone ? 1 : lab->plan.machine_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = (caller->first + i) % lab->plan.machine_count;
        char host[CLUSTER_HOST_BYTES];
        cluster_network_host(host, node);
        (void)snprintf(doors[i], sizeof doors[i], "tcp://%s:%u", host,
                       DOOR_PORT);
        nodes[i] = (struct client_node){.name = names[node], .door = doors[i]};
    }
    return client_open(
        out,
        &(struct client_config){
            .identity = identity,
            .trust = trust,
            .nodes = nodes,
            .node_count = count,
            .connect_ms = caller->connect_ms ? caller->connect_ms : CONNECT_MS},
        why);
}

enum err cluster_lab_connect(const struct cluster_lab *lab,
                             const struct cluster_lab_caller *caller,
                             struct client **out,
                             struct err_detail *why)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    scoped(trust_unref) struct trust *trust = NULL;
    struct cluster_lab_path folder =
        cluster_lab_path(lab, "lab/%s", caller->name);
    struct cluster_lab_path file =
        cluster_lab_path(lab, "lab/%s/trust", caller->name);
    enum err err =
        identity_open(&identity, posix_files(), folder.text, caller->name, why);
    if (!err) {
        err = trust_open(&trust, posix_files(), file.text, why);
    }
    return err ? err : connect_as(lab, caller, identity, trust, out, why);
}

enum err cluster_lab_connect_forged(const struct cluster_lab *lab,
                                    const struct cluster_lab_caller *caller,
                                    struct err_detail *why)
{
    scoped(trust_unref) struct trust *trust = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    scoped(client_close) struct client *client = NULL;
    struct cluster_lab_path file =
        cluster_lab_path(lab, "lab/%s/trust", names[caller->first]);
    struct test_authority authority;
    struct test_identity_options options = {.role = ROLE_OPERATOR};
    CHECK_OK(trust_open(&trust, posix_files(), file.text, why));
    test_authority_init(&authority, 1, clock_wall_ms(posix_clock()));
    memcpy(authority.cluster_id, trust_cluster_id(trust),
           sizeof authority.cluster_id);
    identity = test_identity_make(&authority, caller->name, &options);
    return connect_as(lab, caller, identity, trust, &client, why);
}

static struct bytes write_question(struct writer *writer,
                                   const char *verb,
                                   const char *args)
{
    json_t *value = json_loads(args ? args : "{}", 0, NULL);
    CHECK(value);
    pack_map(writer, 3);
    pack_text(writer, "v");
    pack_uint(writer, 1);
    pack_text(writer, "verb");
    pack_text(writer, verb);
    pack_text(writer, "args");
    pack_json_encode(writer, value);
    json_decref(value);
    CHECK(!writer->failed);
    return writer_bytes(writer);
}

enum err cluster_lab_ask(const struct cluster_lab *lab,
                         uint32_t node,
                         const char *verb,
                         const char *args,
                         json_t **answer)
{
    scoped(client_close) struct client *client = NULL;
    uint8_t buffer[QUESTION_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct err_detail why = {{0}};
    uint8_t *bytes = NULL;
    size_t length = 0;
    *answer = NULL;
    struct cluster_lab_caller caller = {
        .name = "operator", .first = node, .is_alone = true};
    enum err err = cluster_lab_connect(lab, &caller, &client, &why);
    if (err) {
        (void)fprintf(stderr, "no link with %s: %s\n", names[node], why.text);
        return err;
    }
    err = client_ask(client, HOST_SERVICE_ADMIN,
                     write_question(&writer, verb, args), ASK_MS, &bytes,
                     &length);
    if (length > 0) {
        CHECK_OK(pack_json_decode(answer, bytes_of(bytes, length)));
    }
    free(bytes);
    return err;
}

struct asking {
    const struct cluster_lab *lab;
    const struct cluster_lab_question *question;
    enum err err;
    json_t *answer; /* the last one */
};

static bool is_answered(void *context)
{
    struct asking *asking = context;
    const struct cluster_lab_question *question = asking->question;
    json_decref(asking->answer);
    asking->err = cluster_lab_ask(asking->lab, question->node, question->verb,
                                  question->args, &asking->answer);
    return !asking->err &&
           (!question->is_so || question->is_so(asking->answer));
}

void cluster_lab_await(const struct cluster_lab *lab,
                       const struct cluster_lab_question *question)
{
    struct asking asking = {.lab = lab, .question = question};
    struct waiting waiting = {
        .lab = lab, .is_true = is_answered, .context = &asking};
    bool is_so = test_wait(is_over, &waiting) && !waiting.has_lost_one;
    char *text = asking.answer && !is_so ? json_dumps(asking.answer, 0) : NULL;
    json_decref(asking.answer);
    if (!is_so) {
        (void)fprintf(stderr, "%s at %s: %s %s\n", question->verb,
                      names[question->node], err_name(asking.err),
                      text ? text : "");
        free(text);
        cluster_lab_give_up(lab, "what was waited for does not come true");
    }
}

static json_int_t number_of(const json_t *answer,
                            const char *part,
                            const char *key)
{
    return json_integer_value(
        json_object_get(json_object_get(answer, part), key));
}

static bool is_whole(const json_t *answer)
{
    json_int_t shards = number_of(answer, "shards", "total");
    return shards > 0 && number_of(answer, "shards", "whole") == shards &&
           number_of(answer, "shards", "led") == shards &&
           number_of(answer, "shards", "moving") == 0 &&
           number_of(answer, "members", "heard") ==
               number_of(answer, "members", "total") &&
           json_is_true(json_object_get(answer, "founded"));
}

void cluster_lab_await_whole(const struct cluster_lab *lab, uint32_t node)
{
    cluster_lab_await(
        lab, &(struct cluster_lab_question){
                 .node = node, .verb = "cluster.status", .is_so = is_whole});
}

uint32_t cluster_lab_leader(const struct cluster_lab *lab, uint32_t ask)
{
    json_t *answer = NULL;
    uint32_t node = 0;
    CHECK_OK(cluster_lab_ask(lab, ask, "cluster.status", NULL, &answer));
    const char *leader = json_string_value(
        json_object_get(json_object_get(answer, "meta"), "leader"));
    CHECK(leader);
    while (node < CLUSTER_MACHINES_MAX && strcmp(names[node], leader) != 0) {
        node++;
    }
    json_decref(answer);
    CHECK(node < CLUSTER_MACHINES_MAX);
    return node;
}
