/* NATS JetStream: a stream that is a work queue, on one server or on three. It
 * writes to files and does not sync them. */

#include "bench/task_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "/usr/sbin/nats-server"
#define PORTS 2                   /* for clients, for other servers */
#define INBOX "_INBOX.%s"         /* line_name() */
#define CONFIRMED "_CONFIRMED.%s" /* the same */
#define SUBJECT_BYTES 256

static void run_alone(const struct queue *queue, unsigned server)
{
    char port[8];
    char path[LOG_HOST_PATH_BYTES + 16];
    queue_path(path, queue, server);
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    execl(PROGRAM, "nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd",
          path, (char *)NULL);
}

static void run_of_three(const struct queue *queue, unsigned server)
{
    char name[8], port[8], own[64], routes[192];
    char path[LOG_HOST_PATH_BYTES + 16];
    queue_path(path, queue, server);
    (void)snprintf(name, sizeof name, "s%u", server);
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    (void)snprintf(own, sizeof own, "nats://127.0.0.1:%u",
                   queue_port(queue, server) + 1);
    (void)snprintf(routes, sizeof routes,
                   "nats://127.0.0.1:%u,nats://127.0.0.1:%u,"
                   "nats://127.0.0.1:%u",
                   queue_port(queue, 0) + 1, queue_port(queue, 1) + 1,
                   queue_port(queue, 2) + 1);
    execl(PROGRAM, "nats-server", "-n", name, "-a", "127.0.0.1", "-p", port,
          "-js", "-sd", path, "--cluster_name", "bench", "--cluster", own,
          "--routes", routes, (char *)NULL);
}

/* ---- messages ---- */

struct message {
    unsigned subscription;
    char reply[SUBJECT_BYTES]; /* "": none */
    bool is_status;            /* of a request: no content */
    struct bytes body;
};

/* MSG subject subscription [reply] bytes */
static enum err read_head(struct message *message,
                          const char *text,
                          size_t *length)
{
    char reply[SUBJECT_BYTES] = "";
    size_t head = 0;
    message->is_status = text[0] == 'H';
    message->reply[0] = '\0';
    if (message->is_status) {
        return sscanf(text, "HMSG %*s %u %zu %zu", &message->subscription,
                      &head, length) == 3
                   ? ERR_NONE
                   : ERR_MALFORMED;
    }
    if (sscanf(text, "MSG %*s %u %255s %zu", &message->subscription, reply,
               length) == 3) {
        memcpy(message->reply, reply, sizeof reply);
        return ERR_NONE;
    }
    return sscanf(text, "MSG %*s %u %zu", &message->subscription, length) == 2
               ? ERR_NONE
               : ERR_MALFORMED;
}

/* The next one; what the server says besides is answered or skipped. */
static enum err take_message(struct line *line, struct message *message)
{
    for (;;) {
        struct bytes text;
        char copy[2 * SUBJECT_BYTES + 64] = "";
        size_t length = 0;
        enum err err = line_take_text(line, &text);
        if (err) {
            return err;
        }
        if (text.length > 0 && text.data[0] == '-') {
            return ERR_MALFORMED;
        }
        if (text.length > 3 && memcmp(text.data, "PING", 4) == 0) {
            line_say(line, "PONG\r\n");
            err = line_flush(line);
        }
        if (err) {
            return err;
        }
        if (text.length < 4 || text.length >= sizeof copy ||
            (memcmp(text.data, "MSG ", 4) != 0 &&
             memcmp(text.data, "HMSG", 4) != 0)) {
            continue;
        }
        memcpy(copy, text.data, text.length);
        err = read_head(message, copy, &length);
        if (!err) {
            err = line_take(line, length + 2, &message->body);
            message->body.length -= 2;
        }
        return err;
    }
}

static bool has_text(struct bytes bytes, const char *text)
{
    return memmem(bytes.data, bytes.length, text, strlen(text)) != NULL;
}

static enum err begin(struct line *line)
{
    line_say(line,
             "CONNECT {\"verbose\":false,\"headers\":true,"
             "\"no_responders\":true}\r\nSUB " INBOX " 1\r\nSUB " CONFIRMED
             " 2\r\n",
             line_name(line), line_name(line));
    return line_flush(line);
}

static enum err ask(struct line *line,
                    const char *subject,
                    const char *body,
                    struct message *answer)
{
    line_say(line, "PUB $JS.API.%s " INBOX " %zu\r\n%s\r\n", subject,
             line_name(line), strlen(body), body);
    enum err err = line_flush(line);
    if (!err) {
        err = take_message(line, answer);
    }
    return err                                   ? err
           : answer->is_status                   ? ERR_NOT_LEADER
           : has_text(answer->body, "\"error\"") ? ERR_BUSY
                                                 : ERR_NONE;
}

static enum err make_stream(struct line *line, unsigned replica_count)
{
    struct message answer;
    char body[256];
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"S\",\"subjects\":[\"t\"],\"retention\":"
                   "\"workqueue\",\"storage\":\"file\",\"num_replicas\":%u}",
                   replica_count);
    enum err err = ask(line, "STREAM.CREATE.S", body, &answer);
    return err ? err
               : ask(line, "CONSUMER.DURABLE.CREATE.S.C",
                     "{\"stream_name\":\"S\",\"config\":{\"durable_name\":"
                     "\"C\",\"ack_policy\":\"explicit\",\"max_ack_pending\":"
                     "100000}}",
                     &answer);
}

/* Clients go to the server that leads the stream, which spares it the way
 * between. */
static enum err find_leader(struct queue *queue, struct line *line)
{
    struct message answer;
    enum err err = ask(line, "STREAM.INFO.S", "", &answer);
    for (unsigned i = 0; i < queue->kind->server_count && !err; i++) {
        char leader[32];
        (void)snprintf(leader, sizeof leader, "\"leader\":\"s%u\"", i);
        if (has_text(answer.body, leader)) {
            queue->port = queue_port(queue, i);
        }
    }
    return err;
}

static enum err prepare(struct queue *queue, struct line *line)
{
    enum err err = begin(line);
    if (!err) {
        err = make_stream(line, queue->kind->server_count);
    }
    return err || queue->kind->server_count == 1 ? err
                                                 : find_leader(queue, line);
}

/* ---- tasks ---- */

static void put(struct line *line)
{
    line_say(line, "PUB t " INBOX " %d\r\n", line_name(line),
             QUEUE_PAYLOAD_BYTES);
    line_put(line, queue_payload, QUEUE_PAYLOAD_BYTES);
    line_put(line, "\r\n", 2);
}

static enum err take_put(struct line *line)
{
    struct message answer;
    enum err err = take_message(line, &answer);
    return err                                  ? err
           : answer.is_status                   ? ERR_NOT_LEADER
           : has_text(answer.body, "\"error\"") ? ERR_FULL
                                                : ERR_NONE;
}

struct fetch {
    unsigned left;    /* of what was asked for */
    unsigned unacked; /* of what came */
    unsigned asked;   /* to be confirmed */
};

static void ask_for_more(struct line *line, struct fetch *fetch)
{
    const char *request = "{\"batch\":100,\"expires\":1000000000}";
    line_say(line, "PUB $JS.API.CONSUMER.MSG.NEXT.S.C " INBOX " %zu\r\n%s\r\n",
             line_name(line), strlen(request), request);
    fetch->left = QUEUE_BATCH;
}

/* The last of a batch is confirmed by the server, which takes them in their
 * order; the others with it. */
static void put_ack(struct line *line,
                    const struct message *message,
                    struct fetch *fetch,
                    bool is_last)
{
    if (is_last) {
        line_say(line, "PUB %s " CONFIRMED " 4\r\n+ACK\r\n", message->reply,
                 line_name(line));
    } else {
        line_say(line, "PUB %s 4\r\n+ACK\r\n", message->reply);
    }
    fetch->unacked++;
    if (is_last) {
        fetch->asked += fetch->unacked;
        fetch->unacked = 0;
    }
}

static enum err work(struct queue *queue, struct line *line)
{
    struct fetch fetch = {0};
    struct message last = {0};
    enum err err = begin(line);
    ask_for_more(line, &fetch);
    err = err ? err : line_flush(line);
    while (!err) {
        struct message message;
        err = take_message(line, &message);
        if (err) {
            break;
        }
        if (message.subscription == 2) {
            atomic_fetch_add(&queue->done, fetch.asked);
            fetch.asked = 0;
            continue;
        }
        if (message.is_status) {
            fetch.left = 0; /* no more came in time */
        } else {
            if (last.reply[0]) {
                put_ack(line, &last, &fetch, false);
            }
            last = message;
            fetch.left--;
        }
        /* What has come is acknowledged before more is waited for. */
        bool is_drained = fetch.left == 0 || !line_has_input(line);
        if (is_drained && last.reply[0]) {
            put_ack(line, &last, &fetch, true);
            last.reply[0] = '\0';
        }
        if (fetch.left == 0) {
            ask_for_more(line, &fetch);
        }
        err = is_drained ? line_flush(line) : ERR_NONE;
    }
    return err;
}

#define JETSTREAM(label, count, server)                                   \
    {                                                                     \
        .name = label, .program = PROGRAM, .package = "nats-server",      \
        .server_count = count, .port_count = PORTS, .run_server = server, \
        .prepare = prepare, .begin_submitting = begin, .put = put,        \
        .take_put = take_put, .work = work,                               \
    }

const struct queue_kind jetstream_r1_kind =
    JETSTREAM("jetstream-r1", 1, run_alone);
const struct queue_kind jetstream_r3_kind =
    JETSTREAM("jetstream-r3", 3, run_of_three);
