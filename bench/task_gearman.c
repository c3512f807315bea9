/* gearmand, in memory: background jobs, in its binary protocol. */

#include "bench/task_queue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "/usr/sbin/gearmand"
#define FUNCTION "f"
#define HANDLE_BYTES_MAX 64

enum packet {
    CAN_DO = 1,
    PRE_SLEEP = 4,
    NOOP = 6,
    JOB_CREATED = 8,
    GRAB_JOB = 9,
    NO_JOB = 10,
    JOB_ASSIGN = 11,
    WORK_COMPLETE = 13,
    SUBMIT_JOB_BG = 18,
};

static void run_server(const struct queue *queue, unsigned server)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", queue_port(queue, server));
    execl(PROGRAM, "gearmand", "--listen", "127.0.0.1", "--port", port,
          "--log-file", "none", (char *)NULL);
}

static void put_head(struct line *line, enum packet kind, size_t length)
{
    uint8_t head[12] = {0, 'R', 'E', 'Q', 0, 0, 0, (uint8_t)kind, 0, 0, 0, 0};
    head[10] = (uint8_t)(length >> 8);
    head[11] = (uint8_t)length;
    line_put(line, head, sizeof head);
}

static enum err take(struct line *line, uint32_t *kind, struct bytes *body)
{
    struct bytes head;
    enum err err = line_take(line, 12, &head);
    if (err) {
        return err;
    }
    *kind = head.data[7];
    size_t length =
        (size_t)head.data[9] << 16 | (size_t)head.data[10] << 8 | head.data[11];
    return line_take(line, length, body);
}

static void put(struct line *line)
{
    put_head(line, SUBMIT_JOB_BG, sizeof FUNCTION + 1 + QUEUE_PAYLOAD_BYTES);
    line_put(line, FUNCTION, sizeof FUNCTION);
    line_put(line, "", 1); /* no unique id */
    line_put(line, queue_payload, QUEUE_PAYLOAD_BYTES);
}

static enum err take_put(struct line *line)
{
    uint32_t kind = 0;
    struct bytes body;
    enum err err = take(line, &kind, &body);
    return err ? err : kind == JOB_CREATED ? ERR_NONE : ERR_MALFORMED;
}

/* The server takes packets in their order: what answers GRAB_JOB says that the
 * completion before it was taken. */
static enum err work(struct queue *queue, struct line *line)
{
    bool is_completing = false;
    put_head(line, CAN_DO, strlen(FUNCTION));
    line_put(line, FUNCTION, strlen(FUNCTION));
    put_head(line, GRAB_JOB, 0);
    for (;;) {
        uint32_t kind = 0;
        struct bytes body;
        enum err err = line_flush(line);
        if (!err) {
            err = take(line, &kind, &body);
        }
        if (err) {
            return err;
        }
        if (is_completing && kind != NOOP) {
            atomic_fetch_add(&queue->done, 1);
            is_completing = false;
        }
        if (kind == JOB_ASSIGN) {
            size_t handle =
                strnlen((const char *)body.data, HANDLE_BYTES_MAX) + 1;
            put_head(line, WORK_COMPLETE, handle);
            line_put(line, body.data, handle);
            put_head(line, GRAB_JOB, 0);
            is_completing = true;
        } else {
            put_head(line, kind == NO_JOB ? PRE_SLEEP : GRAB_JOB, 0);
        }
    }
}

const struct queue_kind gearman_kind = {.name = "gearmand",
                                        .program = PROGRAM,
                                        .package = "gearman-job-server",
                                        .server_count = 1,
                                        .port_count = 1,
                                        .run_server = run_server,
                                        .put = put,
                                        .take_put = take_put,
                                        .work = work};
