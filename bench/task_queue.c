#include "bench/task_queue.h"

#include "base/posix/posix_folder.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "bench/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKER_PROCESSES 2
#define WORKERS 2 /* in each */
#define PREPARE_MS 2000
#define START_NS (20 * NS_PER_S)
#define RUN_NS (120 * NS_PER_S)
#define LOOK_NS (500 * NS_PER_US)

const uint8_t queue_payload[QUEUE_PAYLOAD_BYTES] = {'x'};

static const struct queue_kind *const kinds[] = {
    &gearman_kind,   &beanstalk_kind,    &beanstalk_fsync_kind, &redis_kind,
    &redis_aof_kind, &jetstream_r1_kind, &jetstream_r3_kind};

struct measuring {
    struct queue *queue; /* shared */
    pid_t servers[QUEUE_SERVERS_MAX];
    pid_t submitter;
    pid_t workers[WORKER_PROCESSES];
    struct err_detail *why;
};

struct server_start {
    const struct queue *queue;
    unsigned server;
};

void queue_path(char to[static LOG_HOST_PATH_BYTES + 16],
                const struct queue *queue,
                unsigned server)
{
    (void)snprintf(to, LOG_HOST_PATH_BYTES + 16, "%s/%u", queue->folder,
                   server);
}

/* ---- processes ---- */

static enum err run_server(void *context)
{
    const struct server_start *start = context;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(nowhere, STDIN_FILENO);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    start->queue->kind->run_server(start->queue, start->server);
    return ERR_IO; /* it was not found */
}

/* Keep QUEUE_WINDOW under way. */
static enum err submit(struct queue *queue, struct line *line, uint64_t count)
{
    const struct queue_kind *kind = queue->kind;
    uint64_t put = 0;
    uint64_t taken = 0;
    enum err err = ERR_NONE;
    while (taken < count && !err) {
        while (put < count && put - taken < QUEUE_WINDOW && !err) {
            for (uint32_t i = 0; i < QUEUE_BATCH && put < count; i++, put++) {
                kind->put(line);
            }
            err = line_flush(line);
        }
        for (uint32_t i = 0; i < QUEUE_BATCH && taken < put && !err; i++) {
            err = kind->take_put(line);
            taken++;
        }
    }
    atomic_fetch_add(&queue->submitted, taken);
    return err;
}

static enum err run_submitter(void *context)
{
    struct queue *queue = context;
    scoped(line_close) struct line *line = NULL;
    enum err err = line_open(&line, queue->port, 0);
    if (!err && queue->kind->begin_submitting) {
        err = queue->kind->begin_submitting(line);
    }
    while (!err) {
        uint64_t wanted = atomic_load(&queue->wanted);
        uint64_t submitted = atomic_load(&queue->submitted);
        if (submitted < wanted) {
            err = submit(queue, line, wanted - submitted);
        } else {
            process_sleep_ns(LOOK_NS);
        }
    }
    err_explain(&queue->why, "submitting: %s", err_text(err));
    return err;
}

static void *run_worker(void *context)
{
    struct queue *queue = context;
    scoped(line_close) struct line *line = NULL;
    enum err err = line_open(&line, queue->port, 0);
    if (!err) {
        err = queue->kind->work(queue, line);
    }
    err_explain(&queue->why, "a worker: %s", err_text(err));
    return NULL;
}

static enum err run_workers(void *context)
{
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        if (pthread_create(&threads[i], NULL, run_worker, context)) {
            return ERR_LIMIT;
        }
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return ERR_CLOSED;
}

/* ---- life ---- */

static enum err start_servers(struct measuring *measuring)
{
    struct queue *queue = measuring->queue;
    const struct queue_kind *kind = queue->kind;
    queue->port_first =
        process_free_ports(kind->server_count * kind->port_count);
    if (queue->port_first == 0 || !log_host_folder(queue->folder)) {
        queue->folder[0] = '\0';
        err_explain(measuring->why, "no free ports, or no folder");
        return ERR_IO;
    }
    queue->port = queue->port_first;
    for (unsigned i = 0; i < kind->server_count; i++) {
        char path[LOG_HOST_PATH_BYTES + 16];
        struct server_start start = {.queue = queue, .server = i};
        queue_path(path, queue, i);
        if (mkdir(path, 0700)) {
            return ERR_IO;
        }
        measuring->servers[i] = process_start(run_server, &start);
        if (measuring->servers[i] <= 0) {
            return ERR_MEMORY;
        }
    }
    return ERR_NONE;
}

static enum err prepare(struct queue *queue)
{
    scoped(line_close) struct line *line = NULL;
    enum err err = line_open(&line, queue->port_first, PREPARE_MS);
    return err || !queue->kind->prepare ? err
                                        : queue->kind->prepare(queue, line);
}

static enum err await_servers(struct measuring *measuring)
{
    uint64_t end_ns = process_now_ns() + START_NS;
    enum err err = prepare(measuring->queue);
    while (err && process_now_ns() < end_ns) {
        process_sleep_ns(50 * NS_PER_MS);
        err = prepare(measuring->queue);
    }
    if (err) {
        err_explain(measuring->why, "it does not serve: %s", err_text(err));
    }
    return err;
}

static enum err start_clients(struct measuring *measuring)
{
    struct queue *queue = measuring->queue;
    measuring->submitter = process_start(run_submitter, queue);
    bool is_good = measuring->submitter > 0;
    for (unsigned i = 0; i < WORKER_PROCESSES; i++) {
        measuring->workers[i] = process_start(run_workers, queue);
        is_good = is_good && measuring->workers[i] > 0;
    }
    return is_good ? ERR_NONE : ERR_MEMORY;
}

static void stop(struct measuring *measuring)
{
    process_end(measuring->submitter);
    for (unsigned i = 0; i < WORKER_PROCESSES; i++) {
        process_end(measuring->workers[i]);
    }
    for (unsigned i = 0; i < QUEUE_SERVERS_MAX; i++) {
        process_end(measuring->servers[i]);
    }
    const char *folder = measuring->queue->folder;
    if (folder[0] && posix_folder_remove(folder)) {
        (void)fprintf(stderr, "troupe-bench: %s is left behind\n", folder);
    }
}

static enum err run(struct measuring *measuring, uint64_t count)
{
    struct queue *queue = measuring->queue;
    uint64_t end_ns = process_now_ns() + RUN_NS;
    uint64_t wanted = atomic_fetch_add(&queue->wanted, count) + count;
    while (atomic_load(&queue->done) < wanted ||
           atomic_load(&queue->submitted) < wanted) {
        if (queue->why.text[0] || process_now_ns() >= end_ns) {
            err_explain(measuring->why, "%s",
                        queue->why.text[0] ? queue->why.text
                                           : "it takes too long");
            return ERR_TIMEOUT;
        }
        process_sleep_ns(LOOK_NS);
    }
    return ERR_NONE;
}

static enum err measure(struct measuring *measuring, struct queue_load *load)
{
    enum err err = start_servers(measuring);
    if (!err) {
        err = await_servers(measuring);
    }
    if (!err) {
        err = start_clients(measuring);
    }
    if (!err) {
        err = run(measuring, load->count / 10);
    }
    uint64_t start_ns = process_now_ns();
    if (!err) {
        err = run(measuring, load->count);
    }
    load->per_second =
        (double)load->count / ((double)(process_now_ns() - start_ns) / 1e9);
    return err;
}

static double children_cpu_ns(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

static const struct queue_kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

enum err queue_measure(const char *name,
                       struct queue_load *load,
                       struct err_detail *why)
{
    const struct queue_kind *kind = kind_find(name);
    if (!kind || access(kind->program, X_OK)) {
        err_explain(why, "there is no %s; on Debian: apt-get install %s",
                    kind ? kind->program : name, kind ? kind->package : "");
        return ERR_NOT_FOUND;
    }
    struct measuring measuring = {
        .queue = process_shared_open(sizeof *measuring.queue), .why = why};
    if (!measuring.queue) {
        return ERR_MEMORY;
    }
    measuring.queue->kind = kind;
    double before_ns = children_cpu_ns();
    enum err err = measure(&measuring, load);
    stop(&measuring);
    load->cpu_ns = (children_cpu_ns() - before_ns) /
                   ((double)load->count + (double)(load->count / 10));
    process_shared_close(measuring.queue, sizeof *measuring.queue);
    return err;
}
