/* beanstalkd, in memory or with each write on the disk. */

#include "bench/task_queue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "/usr/bin/beanstalkd"

static void run_in_memory(const struct queue *queue, unsigned server)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    execl(PROGRAM, "beanstalkd", "-l", "127.0.0.1", "-p", port, (char *)NULL);
}

static void run_on_disk(const struct queue *queue, unsigned server)
{
    char port[8];
    char path[LOG_HOST_PATH_BYTES + 16];
    queue_path(path, queue, server);
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    execl(PROGRAM, "beanstalkd", "-l", "127.0.0.1", "-p", port, "-b", path,
          "-f", "0", (char *)NULL);
}

static void put(struct line *line)
{
    line_say(line, "put 1024 0 600 %d\r\n", QUEUE_PAYLOAD_BYTES);
    line_put(line, queue_payload, QUEUE_PAYLOAD_BYTES);
    line_put(line, "\r\n", 2);
}

static bool begins_with(struct bytes text, const char *with)
{
    return text.length >= strlen(with) &&
           memcmp(text.data, with, strlen(with)) == 0;
}

static enum err take_put(struct line *line)
{
    struct bytes text;
    enum err err = line_take_text(line, &text);
    return err                              ? err
           : begins_with(text, "INSERTED ") ? ERR_NONE
                                            : ERR_MALFORMED;
}

/* RESERVED <id> <bytes> */
static enum err take_reserved(struct line *line, unsigned long long *id)
{
    struct bytes text;
    char copy[64] = "";
    size_t length = 0;
    enum err err = line_take_text(line, &text);
    if (!err && text.length < sizeof copy) {
        memcpy(copy, text.data, text.length);
    }
    if (!err && sscanf(copy, "RESERVED %llu %zu", id, &length) != 2) {
        err = ERR_MALFORMED;
    }
    return err ? err : line_take(line, length + 2, &text);
}

static enum err work(struct queue *queue, struct line *line)
{
    line_say(line, "reserve\r\n");
    for (;;) {
        unsigned long long id = 0;
        struct bytes text;
        enum err err = line_flush(line);
        if (!err) {
            err = take_reserved(line, &id);
        }
        if (!err) {
            line_say(line, "delete %llu\r\nreserve\r\n", id);
            err = line_flush(line);
        }
        if (!err) {
            err = line_take_text(line, &text);
        }
        if (!err && !begins_with(text, "DELETED")) {
            err = ERR_MALFORMED;
        }
        if (err) {
            return err;
        }
        atomic_fetch_add(&queue->done, 1);
    }
}

#define BEANSTALK(label, server)                                              \
    {                                                                         \
        .name = label, .program = PROGRAM, .package = "beanstalkd",           \
        .server_count = 1, .port_count = 1, .run_server = server, .put = put, \
        .take_put = take_put, .work = work,                                   \
    }

const struct queue_kind beanstalk_kind = BEANSTALK("beanstalkd", run_in_memory);
const struct queue_kind beanstalk_fsync_kind =
    BEANSTALK("beanstalkd-fsync", run_on_disk);
