/*
 * Job queues beside Troupe in the suite `task`: a server's own processes, one
 * process that submits, and two with two workers each, over loopback TCP.
 *
 * They are spoken to in their own protocols, as fast as these allow: what is
 * submitted is pipelined, and a worker says that it has done something
 * together with asking for more.
 *
 * Used by the one thread of troupe-bench.
 */

#ifndef BENCH_TASK_QUEUE_H
#define BENCH_TASK_QUEUE_H

#include "base/err.h"
#include "bench/line.h"
#include "bench/log_host.h"

#include <stdatomic.h>
#include <stdint.h>

#define QUEUE_PAYLOAD_BYTES 100
#define QUEUE_SERVERS_MAX 3
#define QUEUE_BATCH 100   /* that are written at once, or fetched */
#define QUEUE_WINDOW 1000 /* submitted, not acknowledged */

/* Shared with all processes of a measurement. */
struct queue {
    const struct queue_kind *kind;
    uint16_t port_first;
    uint16_t port; /* which one to talk to */
    char folder[LOG_HOST_PATH_BYTES];
    _Atomic uint64_t wanted; /* tasks to submit, in all */
    _Atomic uint64_t submitted;
    _Atomic uint64_t done; /* and known to the server to be */
    struct err_detail why;
};

struct queue_kind {
    const char *name;
    const char *program;
    const char *package; /* of Debian */
    unsigned server_count;
    unsigned port_count; /* of each server */
    /* In the server's process: execl(). */
    void (*run_server)(const struct queue *queue, unsigned server);
    /* Its port is open: make what there must be; repeated for a while. May be
     * NULL. */
    enum err (*prepare)(struct queue *queue, struct line *line);
    /* On each connection that submits, or works. May be NULL. */
    enum err (*begin_submitting)(struct line *line);
    /* Gather one submission; read what it is answered with. */
    void (*put)(struct line *line);
    enum err (*take_put)(struct line *line);
    /* Work, and add to queue->done, until the connection closes. */
    enum err (*work)(struct queue *queue, struct line *line);
};

extern const struct queue_kind gearman_kind;
extern const struct queue_kind beanstalk_kind;
extern const struct queue_kind beanstalk_fsync_kind;
extern const struct queue_kind redis_kind;
extern const struct queue_kind redis_aof_kind;
extern const struct queue_kind jetstream_r1_kind;
extern const struct queue_kind jetstream_r3_kind;

/* The content of each task. */
extern const uint8_t queue_payload[QUEUE_PAYLOAD_BYTES];

static inline uint16_t queue_port(const struct queue *queue, unsigned server)
{
    return (uint16_t)(queue->port_first + server * queue->kind->port_count);
}

/* A file or folder of a server. */
void queue_path(char to[static LOG_HOST_PATH_BYTES + 16],
                const struct queue *queue,
                unsigned server);

/*
 * So many tasks, after as many more by a tenth to warm up: from the first
 * submission to the last that the server knows to be done.
 *
 * ERR_NOT_FOUND: it is not installed; `why` says how to get it
 */
struct queue_load {
    uint64_t count;
    double per_second;
    double cpu_ns; /* of all processes, for each task, their start and the warm
                      up among it */
};
FALLIBLE queue_measure(const char *name,
                       struct queue_load *load,
                       struct err_detail *why);

#endif
