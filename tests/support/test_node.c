#include "tests/support/test_node.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_log.h"
#include "base/posix/posix_reactor.h"
#include "base/time_units.h"
#include "transport/nng_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000 /* for what takes a second on an idle machine */
#define LOOK_PAUSE_NS NS_PER_MS

struct test_node {
    struct posix_reactor *links;
    struct posix_reactor *door;
    struct endpoint *endpoint;
    struct log *log;
};

static void must(bool is_true, const char *what)
{
    if (!is_true) {
        perror(what);
        abort();
    }
}

/* ---- life ---- */

void test_node_defaults(struct endpoint_config *config)
{
    *config = (struct endpoint_config){.network = nng_network(),
                                       .clock = posix_clock(),
                                       .entropy = posix_entropy()};
    endpoint_config_defaults(config);
    config->peer_count_max = 16;
}

static enum err open_all(struct test_node *node,
                         const struct endpoint_config *config,
                         struct err_detail *why)
{
    enum err err = posix_reactor_open(&node->links, "links");
    if (!err) {
        err = posix_reactor_open(&node->door, "door");
    }
    if (!err && getenv("TROUPE_TEST_LOG")) {
        struct log_config log = {.node = config->identity->certificate.name,
                                 .level_min = LOG_DEBUG,
                                 .sink = posix_log_sink(STDERR_FILENO),
                                 .clock = posix_clock()};
        err = log_open(&node->log, &log);
    }
    if (err) {
        return err;
    }
    struct endpoint_config own = *config;
    own.log = node->log;
    own.reactor = posix_reactor_get(node->links);
    own.door_reactor = posix_reactor_get(node->door);
    err = endpoint_open(&node->endpoint, &own, why);
    if (!err) {
        err = posix_reactor_start(node->links);
    }
    if (!err) {
        err = posix_reactor_start(node->door);
    }
    return err;
}

enum err test_node_start(struct test_node **out,
                         const struct endpoint_config *config,
                         struct err_detail *why)
{
    struct test_node *node = calloc(1, sizeof *node);
    if (!node) {
        return ERR_MEMORY;
    }
    enum err err = open_all(node, config, why);
    if (err) {
        test_node_stop(&node);
        return err;
    }
    *out = node;
    return ERR_NONE;
}

void test_node_stop(struct test_node **node)
{
    if (!*node) {
        return;
    }
    struct test_node *old = *node;
    posix_reactor_stop(old->links);
    posix_reactor_stop(old->door);
    endpoint_close(&old->endpoint);
    posix_reactor_close(&old->links);
    posix_reactor_close(&old->door);
    log_close(&old->log);
    free(old);
    *node = NULL;
}

struct reactor *test_node_reactor(struct test_node *node)
{
    return posix_reactor_get(node->links);
}

struct endpoint *test_node_endpoint(struct test_node *node)
{
    return node->endpoint;
}

/* ---- calls ---- */

struct call {
    struct reactor_event event;
    void (*run)(void *context, struct endpoint *endpoint);
    void *context;
    struct endpoint *endpoint;
    pthread_mutex_t lock; /* guards is_done */
    pthread_cond_t done;
    bool is_done;
};

static void run_call(struct reactor_event *event)
{
    struct call *call = OWNER_OF(event, struct call, event);
    call->run(call->context, call->endpoint);
    pthread_mutex_lock(&call->lock);
    call->is_done = true;
    pthread_cond_signal(&call->done);
    pthread_mutex_unlock(&call->lock);
}

void test_node_call(struct test_node *node,
                    void (*run)(void *context, struct endpoint *endpoint),
                    void *context)
{
    struct call call = {.event.run = run_call,
                        .run = run,
                        .context = context,
                        .endpoint = node->endpoint,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .done = PTHREAD_COND_INITIALIZER};
    reactor_post(test_node_reactor(node), &call.event);
    pthread_mutex_lock(&call.lock);
    while (!call.is_done) {
        pthread_cond_wait(&call.done, &call.lock);
    }
    pthread_mutex_unlock(&call.lock);
    pthread_mutex_destroy(&call.lock);
    pthread_cond_destroy(&call.done);
}

/* ---- addresses ---- */

/* All of 127.0.0.0/8 is ours; a process has at most 22 bits of a number. */
void test_host(char out[static TEST_HOST_BYTES], unsigned number)
{
    unsigned process = (unsigned)getpid();
    must(number >= 1 && number <= 3, "test_host");
    (void)snprintf(out, TEST_HOST_BYTES, "127.%u.%u.%u",
                   number << 6 | (process >> 16 & 63), process >> 8 & 255,
                   process & 255);
}

/* A socket that is bound to the port; 0 takes any. -1: in use. */
static int bind_port(const char *host, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(*port)};
    socklen_t length = sizeof address;
    must(inet_pton(AF_INET, host, &address.sin_addr) == 1, host);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    if (bind(fd, (struct sockaddr *)&address, length) != 0) {
        close(fd);
        return -1;
    }
    must(getsockname(fd, (struct sockaddr *)&address, &length) == 0,
         "getsockname");
    *port = ntohs(address.sin_port);
    return fd;
}

uint16_t test_ports_take(const char *host, unsigned count)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        uint16_t first = 0;
        close(bind_port(host, &first));
        unsigned free_count = 0;
        while (free_count < count && first + free_count <= UINT16_MAX) {
            uint16_t port = (uint16_t)(first + free_count);
            int fd = bind_port(host, &port);
            if (fd < 0) {
                break;
            }
            close(fd);
            free_count++;
        }
        if (free_count == count) {
            return first;
        }
    }
    must(false, "no free ports");
    return 0;
}

/* ---- waiting ---- */

uint64_t test_now_ms(void)
{
    return clock_now_ns(posix_clock()) / NS_PER_MS;
}

bool test_wait_ms(bool (*is_true)(void *context),
                  void *context,
                  uint64_t timeout_ms)
{
    uint64_t end_ms = test_now_ms() + timeout_ms;
    while (!is_true(context)) {
        if (test_now_ms() >= end_ms) {
            return is_true(context);
        }
        struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

bool test_wait(bool (*is_true)(void *context), void *context)
{
    return test_wait_ms(is_true, context, WAIT_MS);
}
