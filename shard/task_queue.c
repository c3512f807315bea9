#include "shard/task_queue.h"

#include "base/hash.h"

#include <stdlib.h>

#define ORDER_SLOT_COUNT_MIN 64u
#define DUE_CAPACITY_MIN 64u

/* ---- chains ---- */

void chain_push(struct task_chain *chain, struct task *task)
{
    task->next = NULL;
    task->previous = chain->last;
    *(chain->last ? &chain->last->next : &chain->first) = task;
    chain->last = task;
    chain->count++;
}

static void push_front(struct task_chain *chain, struct task *task)
{
    task->previous = NULL;
    task->next = chain->first;
    *(chain->first ? &chain->first->previous : &chain->last) = task;
    chain->first = task;
    chain->count++;
}

void chain_remove(struct task_chain *chain, struct task *task)
{
    *(task->previous ? &task->previous->next : &chain->first) = task->next;
    *(task->next ? &task->next->previous : &chain->last) = task->previous;
    task->next = NULL;
    task->previous = NULL;
    chain->count--;
}

/* ---- ready ---- */

static struct tenant *find_tenant(const struct ready_queue *queue,
                                  uint8_t priority,
                                  struct bytes name)
{
    struct tenant *tenant = queue->levels[priority].all;
    while (tenant &&
           !bytes_are_equal(bytes_of(tenant->name, tenant->name_bytes), name)) {
        tenant = tenant->next;
    }
    return tenant;
}

/* The one that further ones share is the nameless. */
static struct tenant *tenant_of(const struct ready_queue *queue,
                                const struct task *task)
{
    struct tenant *tenant =
        find_tenant(queue, task->priority, task_tenant(task));
    return tenant ? tenant
                  : find_tenant(queue, task->priority, (struct bytes){0});
}

static struct tenant *claim_tenant(struct ready_queue *queue,
                                   uint8_t priority,
                                   struct bytes name)
{
    struct tenant *tenant = find_tenant(queue, priority, name);
    if (tenant) {
        return tenant;
    }
    if (queue->levels[priority].count >= TENANT_COUNT_MAX && name.length > 0) {
        return claim_tenant(queue, priority, (struct bytes){0});
    }
    tenant = calloc(1, sizeof *tenant + name.length);
    if (tenant) {
        tenant->name_bytes = (uint8_t)name.length;
        if (name.length > 0) {
            memcpy(tenant->name, name.data, name.length);
        }
        tenant->next = queue->levels[priority].all;
        queue->levels[priority].all = tenant;
        queue->levels[priority].count++;
    }
    return tenant;
}

/* Behind all whose turn is to come. */
static void enter_ring(struct ready_queue *queue,
                       uint8_t priority,
                       struct tenant *tenant)
{
    struct tenant **turn = &queue->levels[priority].turn;
    tenant->left = tenant->weight;
    if (*turn) {
        tenant->next_turn = (*turn)->next_turn;
        (*turn)->next_turn = tenant;
        *turn = tenant;
    } else {
        tenant->next_turn = tenant;
        *turn = tenant;
    }
}

static void leave_ring(struct ready_queue *queue,
                       uint8_t priority,
                       struct tenant *tenant)
{
    struct tenant **turn = &queue->levels[priority].turn;
    struct tenant *before = *turn; /* it is its turn, mostly */
    while (before->next_turn != tenant) {
        before = before->next_turn;
    }
    if (before == tenant) {
        *turn = NULL;
    } else {
        before->next_turn = tenant->next_turn;
        *turn = *turn == tenant ? before : *turn;
    }
    tenant->next_turn = NULL;
}

enum err ready_push(struct ready_queue *queue,
                    struct task *task,
                    const struct task_pool *settings,
                    bool is_in_front)
{
    struct tenant *tenant =
        claim_tenant(queue, task->priority, task_tenant(task));
    if (!tenant) {
        return ERR_MEMORY;
    }
    if (tenant->ready.count == 0) {
        tenant->weight = task_pool_weight(
            settings, bytes_of(tenant->name, tenant->name_bytes));
        enter_ring(queue, task->priority, tenant);
    }
    (is_in_front ? push_front : chain_push)(&tenant->ready, task);
    queue->count++;
    return ERR_NONE;
}

struct task *ready_first(const struct ready_queue *queue)
{
    for (size_t i = 0; i < TASK_PRIORITY_COUNT && queue->count > 0; i++) {
        const struct tenant *turn = queue->levels[i].turn;
        if (turn) {
            return turn->next_turn->ready.first;
        }
    }
    return NULL;
}

void ready_remove(struct ready_queue *queue, struct task *task)
{
    struct tenant *tenant = tenant_of(queue, task);
    struct tenant **turn = &queue->levels[task->priority].turn;
    bool was_its_turn = (*turn)->next_turn == tenant;
    chain_remove(&tenant->ready, task);
    queue->count--;
    tenant->left -= was_its_turn && tenant->left > 0;
    if (tenant->ready.count == 0) {
        leave_ring(queue, task->priority, tenant);
    } else if (was_its_turn && tenant->left == 0) {
        tenant->left = tenant->weight;
        *turn = tenant; /* the next one's turn */
    }
}

void ready_clear(struct ready_queue *queue)
{
    for (size_t i = 0; i < TASK_PRIORITY_COUNT; i++) {
        while (queue->levels[i].all) {
            struct tenant *tenant = queue->levels[i].all;
            queue->levels[i].all = tenant->next;
            free(tenant);
        }
    }
    *queue = (struct ready_queue){0};
}

/* ---- in order ---- */

static uint64_t order_hash(const struct task *task)
{
    const struct bytes parts[] = {bytes_of_text(task_pool_name(task)),
                                  bytes_of("/", 1), task_order(task)};
    return hash_parts(parts, 3, 0);
}

static bool is_of(const struct order_queue *queue, const struct task *task)
{
    return bytes_are_equal(task_order(queue->head), task_order(task)) &&
           queue->head->pool == task->pool;
}

static bool order_grow(struct order_queues *queues)
{
    size_t count =
        queues->slot_count == 0 ? ORDER_SLOT_COUNT_MIN : 2 * queues->slot_count;
    struct order_queue **slots = calloc(count, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < queues->slot_count; i++) {
        for (struct order_queue *queue = queues->slots[i]; queue;) {
            struct order_queue *next = queue->same_hash;
            queue->same_hash = slots[queue->hash & (count - 1)];
            slots[queue->hash & (count - 1)] = queue;
            queue = next;
        }
    }
    free(queues->slots);
    queues->slots = slots;
    queues->slot_count = count;
    return true;
}

static struct order_queue *order_claim(struct order_queues *queues,
                                       struct task *task)
{
    uint64_t hash = order_hash(task);
    if (queues->count >= queues->slot_count && !order_grow(queues)) {
        return NULL;
    }
    struct order_queue **slot = &queues->slots[hash & (queues->slot_count - 1)];
    struct order_queue *queue = *slot;
    while (queue && (queue->hash != hash || !is_of(queue, task))) {
        queue = queue->same_hash;
    }
    if (!queue) {
        queue = calloc(1, sizeof *queue);
        if (queue) {
            queue->hash = hash;
            queue->head = task;
            queue->same_hash = *slot;
            *slot = queue;
            queues->count++;
        }
    }
    return queue;
}

enum err order_enter(struct order_queues *queues,
                     struct task *task,
                     bool *is_first)
{
    struct order_queue *queue = task->extra->order_queue;
    if (!queue) {
        queue = order_claim(queues, task);
        if (!queue) {
            return ERR_MEMORY;
        }
        task->extra->order_queue = queue;
        if (queue->head != task) {
            chain_push(&queue->behind, task);
        }
    }
    *is_first = queue->head == task;
    return ERR_NONE;
}

static void order_free(struct order_queues *queues, struct order_queue *queue)
{
    struct order_queue **link =
        &queues->slots[queue->hash & (queues->slot_count - 1)];
    while (*link != queue) {
        link = &(*link)->same_hash;
    }
    *link = queue->same_hash;
    queues->count--;
    free(queue);
}

struct task *order_leave(struct order_queues *queues, struct task *task)
{
    struct order_queue *queue = task->extra->order_queue;
    task->extra->order_queue = NULL;
    if (queue->head != task) {
        chain_remove(&queue->behind, task);
        return NULL;
    }
    struct task *next = queue->behind.first;
    if (next) {
        chain_remove(&queue->behind, next);
        queue->head = next;
    } else {
        order_free(queues, queue);
    }
    return next;
}

void order_clear(struct order_queues *queues)
{
    for (size_t i = 0; i < queues->slot_count; i++) {
        while (queues->slots[i]) {
            struct order_queue *queue = queues->slots[i];
            queues->slots[i] = queue->same_hash;
            free(queue);
        }
    }
    free(queues->slots);
    *queues = (struct order_queues){0};
}

/* ---- due: a binary heap ---- */

static bool is_before(struct due left, struct due right)
{
    return left.at_ms != right.at_ms ? left.at_ms < right.at_ms
                                     : left.id < right.id;
}

enum err due_push(struct due_heap *heap, struct due due)
{
    if (heap->count == heap->capacity) {
        size_t capacity =
            heap->capacity == 0 ? DUE_CAPACITY_MIN : 2 * heap->capacity;
        struct due *list = realloc(heap->list, capacity * sizeof *list);
        if (!list) {
            return ERR_MEMORY;
        }
        heap->list = list;
        heap->capacity = capacity;
    }
    size_t at = heap->count++;
    while (at > 0 && is_before(due, heap->list[(at - 1) / 2])) {
        heap->list[at] = heap->list[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->list[at] = due;
    return ERR_NONE;
}

bool due_pop(struct due_heap *heap, int64_t now_ms, struct due *out)
{
    if (heap->count == 0 || heap->list[0].at_ms > now_ms) {
        return false;
    }
    *out = heap->list[0];
    struct due last = heap->list[--heap->count];
    size_t at = 0;
    for (size_t child = 1; child < heap->count; child = 2 * at + 1) {
        child += child + 1 < heap->count &&
                 is_before(heap->list[child + 1], heap->list[child]);
        if (!is_before(heap->list[child], last)) {
            break;
        }
        heap->list[at] = heap->list[child];
        at = child;
    }
    heap->list[at] = last;
    return true;
}

int64_t due_first_ms(const struct due_heap *heap)
{
    return heap->count > 0 ? heap->list[0].at_ms : INT64_MAX;
}

void due_clear(struct due_heap *heap)
{
    free(heap->list);
    *heap = (struct due_heap){0};
}
