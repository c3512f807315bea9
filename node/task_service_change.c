/*
 * CHANGE: cancel, retry, purge, in one request to each shard.
 */

#include "node/task_service_core.h"

#include "base/owner.h"
#include "shard/task_request.h"

#include <stdlib.h>

/* CHANGE: one request for each shard and kind of task. */
struct change {
    struct change *next;
    struct task_service *service;
    struct asked *asked;
    struct change_part *parts; /* under way */
    uint32_t left;
    uint64_t changed;
    enum err err;
};

struct change_part {
    struct change_part *next;
    struct change *change;
    struct router_request request;
    struct call call;
};

static void free_change(struct change *change)
{
    struct change **link = &change->service->changes;
    while (*link != change) {
        link = &(*link)->next;
    }
    *link = change->next;
    change->service->count--;
    while (change->parts) { /* only when the service ends */
        struct change_part *part = change->parts;
        change->parts = part->next;
        router_cancel(change->service->config.router, &part->request);
        calls_cancel(change->service->config.calls, &part->call);
        free(part);
    }
    free(change);
}

static void count_down(struct change *change, enum err err, uint64_t changed)
{
    change->changed += changed;
    change->err = change->err ? change->err : err;
    if (--change->left > 0) {
        return;
    }
    uint8_t buffer[16];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_uint(&writer, change->changed);
    asked_answer(&change->asked, change->err,
                 change->err ? (struct bytes){0} : writer_bytes(&writer));
    free_change(change);
}

static void end_change_part(struct change_part *part,
                            enum err err,
                            struct bytes answer)
{
    struct change *change = part->change;
    struct reader reader = reader_of(answer);
    uint64_t changed = err ? 0 : pack_read_uint(&reader);
    struct change_part **link = &change->parts;
    while (*link != part) {
        link = &(*link)->next;
    }
    *link = part->next;
    free(part);
    count_down(change, err, reader.failed ? 0 : changed);
}

static void on_change_done(struct router_request *request,
                           enum err err,
                           struct bytes answer)
{
    end_change_part(OWNER_OF(request, struct change_part, request), err,
                    answer);
}

static void on_change_called(struct call *call,
                             enum err err,
                             struct bytes answer)
{
    end_change_part(OWNER_OF(call, struct change_part, call), err, answer);
}

static void send_change(struct change *change,
                        enum book_request_kind kind,
                        const uint64_t *ids,
                        uint32_t count)
{
    struct task_service *service = change->service;
    struct change_part *part = calloc(1, sizeof *part);
    size_t room = 64 + CERTIFICATE_POOLS_BYTES + 9 * (size_t)count;
    uint8_t *buffer = malloc(2 * room);
    change->left++;
    if (!part || !buffer) {
        free(part);
        free(buffer);
        change->left--;
        change->err = ERR_MEMORY;
        return;
    }
    *part = (struct change_part){.next = change->parts,
                                 .change = change,
                                 .request.done = on_change_done,
                                 .call.done = on_change_called};
    change->parts = part;
    struct writer writer = writer_of(buffer, room);
    book_request_ids(&writer, kind, ids, count, service_pools(change->asked));
    uint32_t shard = task_id_shard(ids[0]);
    uint32_t timeout_ms =
        service_left_ms(service, asked_until_ns(change->asked));
    enum err err;
    if (task_id_is_volatile(ids[0])) {
        struct writer outer = writer_of(buffer + room, room);
        task_local_encode(
            &outer, &(struct task_local){.shard = shard,
                                         .request = writer_bytes(&writer)});
        uint32_t leader = host_leader(service->config.host, shard);
        struct peer *peer =
            leader == MEMBER_NONE || leader == host_number(service->config.host)
                ? NULL
                : host_peer(service->config.host, leader);
        err = calls_ask(service->config.calls, peer, HOST_SERVICE_TASK,
                        writer_bytes(&outer), timeout_ms, &part->call);
    } else {
        err = router_ask(service->config.router,
                         &(struct router_ask){.shard = shard,
                                              .may_repeat = true,
                                              .command = writer_bytes(&writer),
                                              .timeout_ms = timeout_ms},
                         &part->request);
    }
    free(buffer);
    if (err) {
        end_change_part(part, err, (struct bytes){0});
    }
}

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static bool belong_together(uint64_t left, uint64_t right)
{
    return task_id_shard(left) == task_id_shard(right) &&
           task_id_is_volatile(left) == task_id_is_volatile(right);
}

void service_change(struct task_service *service,
                    struct asked *asked,
                    struct bytes question)
{
    struct task_change request;
    enum err err = task_change_decode(&request, question);
    struct change *change = err ? NULL : calloc(1, sizeof *change);
    uint64_t *ids = err ? NULL : calloc(request.count, sizeof *ids);
    if (!change || !ids) {
        free(change);
        free(ids);
        asked_answer(&asked, err ? err : ERR_MEMORY, (struct bytes){0});
        return;
    }
    for (uint32_t i = 0; i < request.count; i++) {
        ids[i] = pack_read_uint(&request.ids);
    }
    qsort(ids, request.count, sizeof *ids, compare_ids);
    *change = (struct change){.next = service->changes,
                              .service = service,
                              .asked = asked,
                              .left = 1}; /* ours, until all are sent */
    service->changes = change;
    service->count++;
    for (uint32_t from = 0, to = 0; from < request.count; from = to) {
        while (to < request.count && belong_together(ids[from], ids[to])) {
            to++;
        }
        send_change(change, request.kind, ids + from, to - from);
    }
    free(ids);
    count_down(change, ERR_NONE, 0);
}

void service_close_changes(struct task_service *service)
{
    while (service->changes) {
        asked_answer(&service->changes->asked, ERR_CLOSED, (struct bytes){0});
        free_change(service->changes);
    }
}
