#include "tests/process/cluster_load.h"

#include "base/posix/posix_clock.h"
#include "base/posix/posix_thread.h"
#include "base/time_units.h"
#include "shard/counter_map.h"
#include "shard/host_service.h"
#include "shard/router.h"
#include "tests/support/test_node.h"

#include <stdatomic.h>

#define COUNTERS 16 /* of each client, one after the other on all shards */
#define ATTEMPT_MS 3000
#define GIVE_UP_MS 60000
#define PAUSE_MS 4 /* between adds: the machine has other things to do */
#define ASK_BYTES (COUNTER_COMMAND_BYTES + 64)

struct load_client {
    struct cluster_load *load;
    uint32_t number;
    char name[16]; /* of its certificate */
    struct posix_thread *thread;

    /* Its thread's; anybody's when that has ended. */
    struct client *client;
    int64_t values[COUNTERS]; /* that were answered */
    uint64_t next;            /* add */
    struct histogram took_us;

    /* Any thread's. */
    _Atomic uint64_t answered_count;
    _Atomic uint64_t worst_us;
    _Atomic uint64_t counts[ERR_COUNT];
};

struct cluster_load {
    struct cluster_lab *lab;
    uint32_t client_count;
    struct load_client *clients;
    _Atomic bool must_end;
    _Atomic bool is_wrong; /* an answer that cannot be, or none at all */
    bool has_ended;
};

/* ---- one question ---- */

static uint64_t counter_of(const struct load_client *client, uint32_t counter)
{
    return (uint64_t)client->number * COUNTERS + counter + 1;
}

static uint32_t shard_of(const struct load_client *client, uint32_t counter)
{
    uint32_t shards = client->load->lab->plan.shards;
    return (uint32_t)(counter_of(client, counter) % (shards ? shards : 16));
}

static enum err ask_once(const struct load_client *client,
                         struct client *link,
                         uint32_t counter,
                         const struct counter_command *command,
                         int64_t *value)
{
    uint8_t command_bytes[COUNTER_COMMAND_BYTES];
    uint8_t question[ASK_BYTES];
    struct router_ask ask = {
        .shard = shard_of(client, counter),
        .is_read = command->kind == COUNTER_READ,
        .may_repeat = true,
        .command = counter_command_encode(command_bytes, command)};
    struct writer writer = writer_of(question, sizeof question);
    struct counter_reply reply = {0};
    uint8_t *answer = NULL;
    size_t length = 0;
    router_ask_encode(&ask, 0, &writer);
    enum err err = client_ask(link, HOST_SERVICE_REQUEST, writer_bytes(&writer),
                              ATTEMPT_MS, &answer, &length);
    if (!err && !counter_reply_decode(&reply, bytes_of(answer, length))) {
        err = ERR_MALFORMED;
    }
    *value = reply.value;
    free(answer);
    return err;
}

/* ---- clients ---- */

static bool must_end(void *context)
{
    const struct load_client *client = context;
    return atomic_load(&client->load->must_end);
}

static void note(struct load_client *client, uint64_t took_us)
{
    histogram_record(&client->took_us, took_us);
    if (took_us > atomic_load(&client->worst_us)) {
        atomic_store(&client->worst_us, took_us);
    }
    atomic_fetch_add(&client->answered_count, 1);
}

static uint64_t now_us(void)
{
    return clock_now_ns(posix_clock()) / NS_PER_US;
}

static void find_wrong(struct load_client *client,
                       uint32_t counter,
                       enum err err,
                       int64_t value)
{
    (void)fprintf(stderr,
                  "%s: counter %llu on shard %u: %s, %lld instead of %lld\n",
                  client->name, (unsigned long long)counter_of(client, counter),
                  shard_of(client, counter), err_name(err), (long long)value,
                  (long long)client->values[counter] + 1);
    atomic_store(&client->load->is_wrong, true);
}

/* Until it is answered. False: it must end, or something is wrong. */
static bool add(struct load_client *client)
{
    uint32_t counter = (uint32_t)(client->next % COUNTERS);
    struct counter_command command = {
        .kind = COUNTER_ADD,
        .key = counter_of(client, counter),
        .value = 1,
        .idempotency_key = (uint64_t)client->number << 48 | ++client->next};
    uint64_t begun_us = now_us();
    enum err err;
    int64_t value = 0;
    do {
        err = ask_once(client, client->client, counter, &command, &value);
        atomic_fetch_add(&client->counts[err], 1);
    } while (err && now_us() - begun_us < (uint64_t)GIVE_UP_MS * 1000 &&
             !test_wait_ms(must_end, client, PAUSE_MS));
    if (err && must_end(client)) {
        return false; /* it is not known whether it counts */
    }
    if (err || value != client->values[counter] + 1) {
        find_wrong(client, counter, err, value);
        return false;
    }
    client->values[counter] = value;
    note(client, now_us() - begun_us);
    return true;
}

static void run_client(void *argument)
{
    struct load_client *client = argument;
    while (add(client) && !test_wait_ms(must_end, client, PAUSE_MS)) {
    }
}

static void start_client(struct cluster_load *load, uint32_t number)
{
    struct load_client *client = &load->clients[number];
    struct err_detail why = {{0}};
    client->load = load;
    client->number = number;
    (void)snprintf(client->name, sizeof client->name, "load-%u", number);
    struct cluster_lab_path folder =
        cluster_lab_path(load->lab, "lab/%s", client->name);
    if (access(folder.text, F_OK) != 0) {
        CHECK(cluster_lab_troupe(load->lab,
                                 "key issue %s --role client --authority "
                                 "lab/authority",
                                 client->name) == 0);
    }
    struct cluster_lab_caller caller = {.name = client->name, .first = number};
    enum err err =
        cluster_lab_connect(load->lab, &caller, &client->client, &why);
    if (err) {
        fail_msg("%s: %s: %s", client->name, err_name(err), why.text);
    }
    CHECK_OK(posix_thread_start(&client->thread, "load", run_client, client));
}

struct cluster_load *cluster_load_open(struct cluster_lab *lab)
{
    struct cluster_load *load = calloc(1, sizeof *load);
    CHECK(load);
    load->lab = lab;
    load->clients = calloc(lab->plan.node_count, sizeof *load->clients);
    CHECK(load->clients);
    load->client_count = lab->plan.node_count;
    for (uint32_t i = 0; i < load->client_count; i++) {
        start_client(load, i);
    }
    return load;
}

/* ---- waiting and asking ---- */

struct load_waiting {
    const struct cluster_load *load;
    uint64_t wanted[CLUSTER_MACHINES_MAX];
};

static bool have_all_answers(void *context)
{
    const struct load_waiting *waiting = context;
    const struct cluster_load *load = waiting->load;
    for (uint32_t i = 0; i < load->client_count; i++) {
        if (atomic_load(&load->clients[i].answered_count) <
                waiting->wanted[i] &&
            !atomic_load(&load->is_wrong)) {
            return false;
        }
    }
    return true;
}

void cluster_load_await(struct cluster_load *load, uint64_t count)
{
    struct load_waiting waiting = {.load = load};
    for (uint32_t i = 0; i < load->client_count; i++) {
        waiting.wanted[i] =
            atomic_load(&load->clients[i].answered_count) + count;
    }
    cluster_lab_wait(load->lab, have_all_answers, &waiting,
                     "adds are not answered");
    CHECK(!atomic_load(&load->is_wrong));
}

uint64_t cluster_load_worst_ms(struct cluster_load *load)
{
    uint64_t worst_us = 0;
    for (uint32_t i = 0; i < load->client_count; i++) {
        uint64_t us = atomic_exchange(&load->clients[i].worst_us, 0);
        worst_us = us > worst_us ? us : worst_us;
    }
    return worst_us / 1000;
}

uint64_t cluster_load_count(const struct cluster_load *load, enum err err)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < load->client_count; i++) {
        count += atomic_load(&load->clients[i].counts[err]);
    }
    return count;
}

void cluster_load_print(const struct cluster_load *load, const char *what)
{
    struct histogram all = {0};
    CHECK(load->has_ended);
    for (uint32_t i = 0; i < load->client_count; i++) {
        CHECK_OK(histogram_merge(&all, &load->clients[i].took_us));
    }
    print_message("%s: %llu adds answered; ms: p50 %.1f, p99 %.1f, p99.9 "
                  "%.1f, max %.1f; attempts:",
                  what, (unsigned long long)all.count,
                  (double)histogram_percentile(&all, 50) / 1000,
                  (double)histogram_percentile(&all, 99) / 1000,
                  (double)histogram_percentile(&all, 99.9) / 1000,
                  (double)histogram_percentile(&all, 100) / 1000);
    for (int err = 0; err < ERR_COUNT; err++) {
        uint64_t count = cluster_load_count(load, (enum err)err);
        if (count > 0) {
            print_message(" %s %llu", err_name((enum err)err),
                          (unsigned long long)count);
        }
    }
    print_message("\n");
}

/* ---- the end ---- */

void cluster_load_end(struct cluster_load *load)
{
    atomic_store(&load->must_end, true);
    for (uint32_t i = 0; i < load->client_count && !load->has_ended; i++) {
        posix_thread_join(&load->clients[i].thread);
    }
    load->has_ended = true;
}

/* What each counter must hold; the one whose last add was not answered when it
 * had to end may hold that, too. */
static void check_counters(struct load_client *client)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        struct counter_command command = {.kind = COUNTER_READ,
                                          .key = counter_of(client, i)};
        int64_t value = 0;
        bool is_open = atomic_load(&client->answered_count) < client->next &&
                       (client->next - 1) % COUNTERS == i;
        CHECK_OK(ask_once(client, client->client, i, &command, &value));
        if (value != client->values[i] &&
            !(is_open && value == client->values[i] + 1)) {
            fail_msg("%s: counter %u holds %lld, %lld adds were answered",
                     client->name, i, (long long)value,
                     (long long)client->values[i]);
        }
    }
}

void cluster_load_check(struct cluster_load *load)
{
    cluster_load_end(load);
    CHECK(!atomic_load(&load->is_wrong));
    for (uint32_t i = 0; i < load->client_count; i++) {
        check_counters(&load->clients[i]);
    }
}

void cluster_load_close(struct cluster_load **load)
{
    if (!*load) {
        return;
    }
    cluster_load_end(*load);
    for (uint32_t i = 0; i < (*load)->client_count; i++) {
        client_close(&(*load)->clients[i].client);
    }
    free((*load)->clients);
    free(*load);
    *load = NULL;
}
