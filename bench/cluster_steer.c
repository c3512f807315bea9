#include "bench/cluster_steer.h"

#include "base/pack.h"
#include "base/posix/posix_files.h"
#include "bench/process.h"
#include "client/client.h"
#include "config/config.h"
#include "config/founding.h"
#include "shard/host_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (NS_PER_MS)
#define CONNECT_MS 10000
#define ASK_MS 5000
#define QUESTION_BYTES 512

/* ---- the operator ---- */

static enum err open_keys(struct client_config *config,
                          struct settings **settings,
                          const char *folder,
                          struct err_detail *why)
{
    static struct problems problems; /* large */
    char path[CLUSTER_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/cluster.yaml", folder);
    enum err err = config_open(settings, posix_files(), path, &problems);
    if (!err) {
        err = identity_library_init();
    }
    if (!err) {
        err = identity_open(&config->identity, posix_files(), folder,
                            FOUNDING_OPERATOR, why);
    }
    if (!err) {
        (void)snprintf(path, sizeof path, "%s/trust", folder);
        err = trust_open(&config->trust, posix_files(), path, why);
    }
    return err;
}

static enum err open_client(struct client **out,
                            const char *folder,
                            struct err_detail *why)
{
    struct client_node nodes[CLUSTER_NODES_MAX];
    char doors[CLUSTER_NODES_MAX][SOCKET_URL_BYTES];
    struct settings *settings = NULL; /* until the process ends */
    struct client_config config = {.nodes = nodes, .connect_ms = CONNECT_MS};
    enum err err = open_keys(&config, &settings, folder, why);
    if (err) {
        return err;
    }
    const struct settings_cluster *cluster = &settings->cluster;
    for (uint32_t i = 0; i < cluster->member_count && i < CLUSTER_NODES_MAX;
         i++) {
        settings_door_url(doors[i], settings, &cluster->members[i],
                          SETTINGS_ADVERTISED);
        nodes[config.node_count++] = (struct client_node){
            .name = cluster->members[i].name, .door = doors[i]};
    }
    return client_open(out, &config, why);
}

static void write_question(struct writer *writer,
                           const struct cluster_steer_question *question)
{
    uint32_t count = 0;
    while (count < CLUSTER_STEER_ARGS && question->args[count].key) {
        count++;
    }
    pack_map(writer, 3);
    pack_text(writer, "v");
    pack_uint(writer, 1);
    pack_text(writer, "verb");
    pack_text(writer, question->verb);
    pack_text(writer, "args");
    pack_map(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_steer_arg *arg = &question->args[i];
        pack_text(writer, arg->key);
        if (arg->text) {
            pack_text(writer, arg->text);
        } else {
            pack_uint(writer, arg->number);
        }
    }
}

static void explain(struct cluster_steer *steer)
{
    struct reader answer =
        reader_of(bytes_of(steer->answer, steer->answer_length));
    struct reader why = cluster_steer_find(&answer, "why");
    struct bytes text = pack_read_str(&why);
    err_explain(&steer->why, "%s: %s: %.*s", steer->question.verb,
                err_text(steer->err), why.failed ? 0 : (int)text.length,
                why.failed ? "" : (const char *)text.data);
}

static void ask(struct cluster_steer *steer, struct client *client)
{
    uint8_t buffer[QUESTION_BYTES];
    uint8_t *answer = NULL;
    size_t length = 0;
    struct writer writer = writer_of(buffer, sizeof buffer);
    write_question(&writer, &steer->question);
    steer->err = client_ask(client, HOST_SERVICE_ADMIN, writer_bytes(&writer),
                            ASK_MS, &answer, &length);
    steer->answer_length = 0;
    if (length > sizeof steer->answer) {
        steer->err = ERR_TOO_LARGE;
    } else if (answer) {
        memcpy(steer->answer, answer, length);
        steer->answer_length = length;
    }
    free(answer);
    if (steer->err) {
        explain(steer);
    }
}

/* The process is ended from outside: nothing is closed. */
enum err cluster_steer_run(void *start)
{
    const struct cluster_steer_start *job = start;
    struct cluster_steer *steer = job->steer;
    struct client *client = NULL;
    enum err err = open_client(&client, job->folder, &steer->why);
    while (!err) {
        uint64_t asked = atomic_load(&steer->asked);
        if (asked == atomic_load(&steer->answered)) {
            process_sleep_ns(LOOK_NS);
            continue;
        }
        ask(steer, client);
        atomic_store(&steer->answered, asked);
    }
    return err;
}

/* ---- the parent ---- */

enum err cluster_steer_ask(struct cluster_steer *steer,
                           const struct cluster_steer_question *question,
                           struct reader *answer,
                           struct err_detail *why)
{
    uint64_t end_ns = process_now_ns() + (CONNECT_MS + 2 * ASK_MS) * NS_PER_MS;
    steer->question = *question;
    uint64_t asked = atomic_fetch_add(&steer->asked, 1) + 1;
    while (atomic_load(&steer->answered) != asked) {
        if (process_now_ns() >= end_ns) {
            err_explain(why, "the operator: %s",
                        steer->why.text[0] ? steer->why.text
                                           : "it does not answer");
            return ERR_TIMEOUT;
        }
        process_sleep_ns(LOOK_NS / 2);
    }
    if (steer->err) {
        err_explain(why, "%s", steer->why.text);
    } else if (answer) {
        *answer = reader_of(bytes_of(steer->answer, steer->answer_length));
    }
    return steer->err;
}

struct reader cluster_steer_find(const struct reader *map, const char *key)
{
    struct reader reader = *map;
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        if (bytes_are_equal(pack_read_str(&reader), bytes_of_text(key))) {
            return reader;
        }
        pack_skip(&reader);
    }
    reader.failed = true;
    return reader;
}
