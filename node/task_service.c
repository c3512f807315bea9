#include "node/task_service_core.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/task_request.h"

#include <stdlib.h>

#define REQUEST_MAX 4096

/* ---- what all share ---- */

uint64_t service_now_ns(const struct task_service *service)
{
    return clock_now_ns(service->config.clock);
}

uint32_t service_left_ms(const struct task_service *service, uint64_t until_ns)
{
    uint64_t now = service_now_ns(service);
    uint64_t left = until_ns > now ? (until_ns - now) / NS_PER_MS : 0;
    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left + 1;
}

uint8_t *service_buffer(struct task_service *service, size_t bytes)
{
    if (bytes > service->buffer_bytes) {
        uint8_t *more = realloc(service->buffer, bytes);
        if (!more) {
            return NULL;
        }
        service->buffer = more;
        service->buffer_bytes = bytes;
    }
    return service->buffer;
}

const char *service_pools(const struct asked *asked)
{
    const struct certificate *certificate = asked_certificate(asked);
    return certificate && certificate->role == ROLE_CLIENT ? certificate->pools
                                                           : NULL;
}

/* ---- between nodes ---- */

static bool is_of_node(const struct asked *asked)
{
    const struct certificate *certificate = asked_certificate(asked);
    return !certificate || certificate->role == ROLE_NODE;
}

static void do_local(struct task_service *service,
                     struct asked *asked,
                     struct bytes question)
{
    struct task_local local;
    enum err err = task_local_decode(&local, question);
    struct coordinator *coordinator =
        err ? NULL : tasks_led(service->config.tasks, local.shard);
    uint8_t *buffer = service_buffer(service, SERVICE_REPLY_BYTES);
    struct writer reply = writer_of(buffer, SERVICE_REPLY_BYTES);
    if (!err) {
        err = !coordinator ? ERR_NOT_LEADER : buffer ? ERR_NONE : ERR_MEMORY;
    }
    if (!err &&
        !coordinator_request(coordinator, local.request, &reply, &err)) {
        err = ERR_INVALID; /* durable: not this way */
    }
    tasks_wake(service->config.tasks);
    asked_answer(&asked, err, err ? (struct bytes){0} : writer_bytes(&reply));
}

static void on_asked(void *context, struct asked *asked, struct bytes question)
{
    struct task_service *service = context;
    const struct certificate *certificate = asked_certificate(asked);
    enum task_request_kind kind = task_request_kind(question);
    bool is_inner = kind == TASK_REQUEST_LOCAL || kind == TASK_REQUEST_ENDS;
    if ((certificate && certificate->role == ROLE_OBSERVER) ||
        (is_inner && !is_of_node(asked))) {
        asked_answer(&asked, ERR_DENIED, (struct bytes){0});
    } else if (service->count >= service->config.request_max) {
        asked_answer(&asked, ERR_FULL, (struct bytes){0});
    } else if (kind == TASK_REQUEST_SUBMIT) {
        service_submit(service, asked, question);
    } else if (kind == TASK_REQUEST_AWAIT || kind == TASK_REQUEST_ENDS) {
        service_await(service, asked, question, kind == TASK_REQUEST_ENDS);
    } else if (kind == TASK_REQUEST_CHANGE) {
        service_change(service, asked, question);
    } else if (kind == TASK_REQUEST_LOCAL) {
        do_local(service, asked, question);
    } else {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
    }
}

/* ---- life ---- */

enum err task_service_open(struct task_service **out,
                           const struct task_service_config *config)
{
    struct task_service *service = calloc(1, sizeof *service);
    if (!service) {
        return ERR_MEMORY;
    }
    service->config = *config;
    if (service->config.request_max == 0) {
        service->config.request_max = REQUEST_MAX;
    }
    calls_serve(config->calls, HOST_SERVICE_TASK, on_asked, service, true);
    *out = service;
    return ERR_NONE;
}

void task_service_close(struct task_service **service)
{
    if (!*service) {
        return;
    }
    calls_serve((*service)->config.calls, HOST_SERVICE_TASK, NULL, NULL, false);
    service_close_submits(*service);
    service_close_awaits(*service);
    service_close_changes(*service);
    free((*service)->buffer);
    free(*service);
    *service = NULL;
}

static void on_ask_done(struct call *call, enum err err, struct bytes answer)
{
    struct task_ask *ask = OWNER_OF(call, struct task_ask, call);
    ask->done(ask, err, answer);
}

enum err task_service_ask(struct task_service *service,
                          struct bytes question,
                          uint32_t timeout_ms,
                          struct task_ask *ask)
{
    ask->call.done = on_ask_done;
    return calls_ask(service->config.calls, NULL, HOST_SERVICE_TASK, question,
                     timeout_ms, &ask->call);
}

void task_service_cancel(struct task_service *service, struct task_ask *ask)
{
    calls_cancel(service->config.calls, &ask->call);
}
