/*
 * Any bytes between nodes about tasks: as a message to an agent and to a
 * dispatcher; as what a process asks, and as a pool. What is read is the same
 * after it was written and read again.
 */

#include <stdlib.h>
#include <string.h>

#include "shard/task_request.h"
#include "tests/shard/task_lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void try_messages(struct bytes bytes)
{
    struct lab *lab = lab_open(&(struct lab_config){.nodes = 2, .shards = 1});
    struct task_pool pool = lab_pool("work");
    lab_set_pool(lab, &pool);
    lab_lead(lab, 0, 0);
    (void)lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    (void)!dispatcher_receive(lab_dispatcher(lab, 0), 1, bytes);
    (void)!agent_receive(lab_agent(lab, 0), 0, bytes);
    lab_close(&lab);
}

static void try_pool(struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    struct task_pool pool = {0};
    struct task_pool again = {0};
    if (task_pool_decode(&pool, &reader, NULL)) {
        return;
    }
    size_t room = task_pool_bytes_max(&pool);
    uint8_t *buffer = malloc(room);
    MUST(buffer);
    struct writer writer = writer_of(buffer, room);
    task_pool_encode(&pool, &writer);
    MUST(!writer.failed);
    reader = reader_of(writer_bytes(&writer));
    MUST(task_pool_decode(&again, &reader, NULL) == ERR_NONE);
    MUST(again.workers == pool.workers && strcmp(again.name, pool.name) == 0);
    task_pool_clear(&pool);
    task_pool_clear(&again);
    free(buffer);
}

static void try_requests(struct bytes bytes)
{
    struct task_await await;
    struct task_change change;
    struct task_local local;
    struct task_outcome outcome;
    struct reader reader = reader_of(bytes);
    (void)task_request_kind(bytes);
    if (!task_await_decode(&await, bytes)) {
        for (uint32_t i = 0; i < await.count; i++) {
            (void)pack_read_uint(&await.ids);
            (void)(await.is_curious ? pack_read_uint(&await.seen) : 0);
        }
        MUST(!await.ids.failed && !await.seen.failed);
    }
    (void)!task_change_decode(&change, bytes);
    (void)!task_local_decode(&local, bytes);
    task_outcome_decode(&outcome, &reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes bytes = bytes_of(data, length);
    try_messages(bytes);
    try_pool(bytes);
    try_requests(bytes);
    return 0;
}
