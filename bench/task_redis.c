/* A Redis stream with a group of consumers, in memory or with each write on
 * the disk. What is done stays in the stream. */

#include "bench/task_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "/usr/bin/redis-server"
#define ID_BYTES 48

static void run_server(const struct queue *queue,
                       unsigned server,
                       const char *is_on_disk)
{
    char port[8];
    char path[LOG_HOST_PATH_BYTES + 16];
    queue_path(path, queue, server);
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    execl(PROGRAM, "redis-server", "--bind", "127.0.0.1", "--port", port,
          "--dir", path, "--save", "", "--appendonly", is_on_disk,
          "--appendfsync", "always", (char *)NULL);
}

static void run_in_memory(const struct queue *queue, unsigned server)
{
    run_server(queue, server, "no");
}

static void run_on_disk(const struct queue *queue, unsigned server)
{
    run_server(queue, server, "yes");
}

static enum err prepare(struct queue *queue, struct line *line)
{
    struct bytes text;
    (void)queue;
    line_say(line, "XGROUP CREATE s g $ MKSTREAM\r\n");
    enum err err = line_flush(line);
    if (!err) {
        err = line_take_text(line, &text);
    }
    return err ? err : text.data[0] == '+' ? ERR_NONE : ERR_MALFORMED;
}

static void put(struct line *line)
{
    line_say(line,
             "*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nd\r\n$%d\r\n",
             QUEUE_PAYLOAD_BYTES);
    line_put(line, queue_payload, QUEUE_PAYLOAD_BYTES);
    line_put(line, "\r\n", 2);
}

/* The number behind one of the signs of its protocol. */
static enum err take_number(struct line *line, char sign, long *out)
{
    struct bytes text;
    char copy[32] = "";
    enum err err = line_take_text(line, &text);
    if (err) {
        return err;
    }
    if (text.length < 2 || text.length >= sizeof copy ||
        text.data[0] != (uint8_t)sign) {
        return ERR_MALFORMED;
    }
    memcpy(copy, text.data + 1, text.length - 1);
    *out = strtol(copy, NULL, 10);
    return ERR_NONE;
}

static enum err take_bulk(struct line *line, struct bytes *out)
{
    long length = 0;
    enum err err = take_number(line, '$', &length);
    if (!err && length < 0) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = line_take(line, (size_t)length + 2, out);
        out->length -= 2;
    }
    return err;
}

static enum err take_put(struct line *line)
{
    struct bytes id;
    return take_bulk(line, &id);
}

struct batch {
    uint32_t count;
    char ids[QUEUE_BATCH][ID_BYTES];
};

static enum err take_entry(struct line *line, struct batch *batch)
{
    long two = 0;
    struct bytes bytes;
    enum err err = take_number(line, '*', &two);
    if (!err) {
        err = take_bulk(line, &bytes);
    }
    if (err || bytes.length >= ID_BYTES || batch->count == QUEUE_BATCH) {
        return err ? err : ERR_TOO_LARGE;
    }
    memcpy(batch->ids[batch->count], bytes.data, bytes.length);
    batch->ids[batch->count++][bytes.length] = '\0';
    err = take_number(line, '*', &two);
    for (int i = 0; i < 2 && !err; i++) {
        err = take_bulk(line, &bytes);
    }
    return err;
}

static enum err take_batch(struct line *line, struct batch *batch)
{
    struct bytes name;
    long count = 0;
    long streams = 0;
    batch->count = 0;
    enum err err = take_number(line, '*', &streams);
    if (err || streams < 0) {
        return err; /* nothing came in time */
    }
    err = take_number(line, '*', &count);
    if (!err) {
        err = take_bulk(line, &name);
    }
    if (!err) {
        err = take_number(line, '*', &count);
    }
    for (long i = 0; i < count && !err; i++) {
        err = take_entry(line, batch);
    }
    return err;
}

static void put_acks(struct line *line, const struct batch *batch)
{
    line_say(line, "*%u\r\n$4\r\nXACK\r\n$1\r\ns\r\n$1\r\ng\r\n",
             3 + batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        line_say(line, "$%zu\r\n%s\r\n", strlen(batch->ids[i]), batch->ids[i]);
    }
}

static enum err work(struct queue *queue, struct line *line)
{
    struct batch batch = {0};
    for (;;) {
        long acked = 0;
        if (batch.count > 0) {
            put_acks(line, &batch);
        }
        line_say(line,
                 "XREADGROUP GROUP g %s COUNT %d BLOCK 1000 STREAMS s "
                 ">\r\n",
                 line_name(line), QUEUE_BATCH);
        enum err err = line_flush(line);
        if (!err && batch.count > 0) {
            err = take_number(line, ':', &acked);
        }
        if (err || acked != (long)batch.count) {
            return err ? err : ERR_MALFORMED;
        }
        atomic_fetch_add(&queue->done, batch.count);
        err = take_batch(line, &batch);
        if (err) {
            return err;
        }
    }
}

#define REDIS(label, server)                                                \
    {                                                                       \
        .name = label, .program = PROGRAM, .package = "redis-server",       \
        .server_count = 1, .port_count = 1, .run_server = server,           \
        .prepare = prepare, .put = put, .take_put = take_put, .work = work, \
    }

const struct queue_kind redis_kind = REDIS("redis-stream", run_in_memory);
const struct queue_kind redis_aof_kind = REDIS("redis-stream-aof", run_on_disk);
