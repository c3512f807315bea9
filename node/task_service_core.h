/*
 * What the files of task_service.h share.
 *
 *   task_service.c          who may ask what, LOCAL, life
 *   task_service_submit.c   SUBMIT
 *   task_service_await.c    AWAIT, ENDS
 *   task_service_change.c   CHANGE
 */

#ifndef NODE_TASK_SERVICE_CORE_H
#define NODE_TASK_SERVICE_CORE_H

#include "node/task_service.h"

#define SERVICE_RETRY_NS (50 * NS_PER_MS) /* while a shard has no leader */
#define SERVICE_REPLY_BYTES (256u << 10)  /* of a shard */

struct await;
struct change;
struct early;
struct submit;

struct task_service {
    struct task_service_config config;
    struct early *early;
    struct submit *submits;
    struct await *awaits;
    struct change *changes;
    uint32_t count; /* under way */
    uint8_t *buffer;
    size_t buffer_bytes;
};

/* ---- task_service.c ---- */

uint64_t service_now_ns(const struct task_service *service);
/* Until then, at least 1. */
uint32_t service_left_ms(const struct task_service *service, uint64_t until_ns);

/* So many bytes, until it is called again; NULL: no memory. */
uint8_t *service_buffer(struct task_service *service, size_t bytes);

/* Those that who asks is limited to; NULL: all. */
const char *service_pools(const struct asked *asked);

/* ---- the requests: each answers, at once or later ---- */

void service_submit(struct task_service *service,
                    struct asked *asked,
                    struct bytes question);
/* Of what is led here alone: ENDS. */
void service_await(struct task_service *service,
                   struct asked *asked,
                   struct bytes question,
                   bool is_ours_alone);
void service_change(struct task_service *service,
                    struct asked *asked,
                    struct bytes question);

/* Those under way hear ERR_CLOSED. */
void service_close_submits(struct task_service *service);
void service_close_awaits(struct task_service *service);
void service_close_changes(struct task_service *service);

#endif
