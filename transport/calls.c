#include "transport/calls.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "transport/calls_wire.h"

#include <assert.h>
#include <stdlib.h>

#define SLOT_NONE UINT32_MAX
#define SCRATCH_BYTES_MIN (64u << 10)
#define CONTENT_BYTES_MAX                             \
    (CALLS_QUESTION_BYTES_MAX > CALLS_REPLY_BYTES_MAX \
         ? CALLS_QUESTION_BYTES_MAX                   \
         : CALLS_REPLY_BYTES_MAX)
#define WARN_PAUSE_NS (60 * NS_PER_S)

/* A question under way: its id is the slot's generation and index, so that an
 * answer finds it without a search, and a late one finds that it is gone. */
struct slot {
    struct call *call; /* NULL: free */
    uint32_t generation;
    uint32_t free_next;
};

enum asked_state {
    ASKED_WAITS,    /* our own, for its handler */
    ASKED_HANDLED,  /* the handler has it */
    ASKED_ANSWERED, /* our own, for its asker */
};

struct asked {
    struct calls *calls; /* NULL: closed meanwhile */
    struct peer *peer;   /* NULL: we ask, or it has gone */
    uint64_t id;
    uint64_t until_ns;
    struct certificate certificate;
    struct asked *next; /* of those in use, or free */
    struct asked *previous;
    enum asked_state state;
    bool is_own;

    /* Our own only: what is queued. */
    struct asked *queue_next;
    uint8_t service;
    enum err err;
    uint8_t *held; /* question or answer */
    size_t held_length;
};

struct asked_queue {
    struct asked *first;
    struct asked *last;
};

struct service {
    calls_handler *handle; /* NULL: there is none */
    void *context;
    bool others_may;
};

struct calls {
    struct calls_config config;
    struct service services[CALLS_SERVICE_COUNT];
    bool is_closing;

    /* What we ask. */
    struct slot *slots; /* asking_max */
    uint32_t slot_free;
    struct call under_way; /* a ring, of which this is no part */

    /* What we are asked. */
    struct asked *in_use;
    struct asked *unused;
    uint32_t asked_count;        /* of others */
    uint32_t client_asked_count; /* of them, by other roles than node */

    /* What we ask ourselves. */
    struct asked_queue questions;
    struct asked_queue answers;
    struct timer own_timer;

    /* Where a message is written before the link copies it. */
    uint8_t *scratch;
    size_t scratch_bytes;

    uint64_t warned_ns;
    struct calls_stats stats;
};

void calls_config_defaults(struct calls_config *config)
{
    config->channel = CHANNEL_CALLS;
    config->asking_max = 16 << 10;
    config->asked_max = 16 << 10;
}

/* ---- what is under way ---- */

static void unlink_call(struct call *call)
{
    call->previous->next = call->next;
    call->next->previous = call->previous;
}

static void link_call(struct call *call, struct call *ring)
{
    call->next = ring;
    call->previous = ring->previous;
    ring->previous->next = call;
    ring->previous = call;
}

static void clear_ring(struct call *ring)
{
    ring->next = ring;
    ring->previous = ring;
}

static uint32_t slot_of(uint64_t id)
{
    return (uint32_t)id;
}

static void free_slot(struct calls *calls, uint32_t index)
{
    struct slot *slot = &calls->slots[index];
    slot->call = NULL;
    slot->generation++;
    slot->free_next = calls->slot_free;
    calls->slot_free = index;
}

/* NULL: nobody waits for it any more. */
static struct call *find_call(const struct calls *calls, uint64_t id)
{
    uint32_t index = slot_of(id);
    if (index >= calls->config.asking_max) {
        return NULL;
    }
    const struct slot *slot = &calls->slots[index];
    return slot->generation == id >> 32 ? slot->call : NULL;
}

static void forget_call(struct call *call)
{
    struct calls *calls = call->calls;
    assert(find_call(calls, call->id) == call);
    unlink_call(call);
    reactor_timer_cancel(calls->config.reactor, &call->timer);
    free_slot(calls, slot_of(call->id));
    call->calls = NULL;
}

static void end_call(struct call *call, enum err err, struct bytes answer)
{
    forget_call(call);
    call->done(call, err, answer);
}

static void run_timeout(struct timer *timer)
{
    struct call *call = OWNER_OF(timer, struct call, timer);
    call->calls->stats.timed_out++;
    end_call(call, ERR_TIMEOUT, (struct bytes){0});
}

static void begin_call(struct calls *calls,
                       struct peer *peer,
                       uint32_t timeout_ms,
                       struct call *call)
{
    uint32_t index = calls->slot_free;
    struct slot *slot = &calls->slots[index];
    assert(!slot->call);
    calls->slot_free = slot->free_next;
    slot->call = call;
    call->calls = calls;
    call->peer = peer;
    call->id = (uint64_t)slot->generation << 32 | index;
    call->timer = (struct timer){.fire = run_timeout};
    link_call(call, &calls->under_way);
    reactor_timer_set(calls->config.reactor, &call->timer,
                      timeout_ms * NS_PER_MS);
    calls->stats.asked++;
}

/* Those of this peer; what is asked meanwhile is not among them. */
static void break_calls(struct calls *calls, const struct peer *peer)
{
    struct call broken = {0};
    clear_ring(&broken);
    struct call *call = calls->under_way.next;
    while (call != &calls->under_way) {
        struct call *next = call->next;
        if (call->peer == peer) {
            unlink_call(call);
            link_call(call, &broken);
        }
        call = next;
    }
    while (broken.next != &broken) { /* `done` may cancel others of them */
        calls->stats.broken++;
        end_call(broken.next, ERR_UNCERTAIN, (struct bytes){0});
    }
}

/* ---- sending ---- */

static bool make_room(struct calls *calls, size_t content_bytes)
{
    size_t needed = content_bytes + CALLS_WIRE_OVERHEAD_BYTES;
    if (needed <= calls->scratch_bytes) {
        return true;
    }
    size_t bytes = calls->scratch_bytes;
    while (bytes < needed) {
        bytes *= 2;
    }
    uint8_t *larger = malloc(bytes); /* what is in the other is of no use */
    if (!larger) {
        return false;
    }
    free(calls->scratch);
    calls->scratch = larger;
    calls->scratch_bytes = bytes;
    return true;
}

static enum err send_wire(struct calls *calls,
                          struct peer *peer,
                          const struct calls_wire *wire)
{
    assert(wire->content.length <= CONTENT_BYTES_MAX);
    if (!make_room(calls, wire->content.length)) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(calls->scratch, calls->scratch_bytes);
    calls_wire_write(&writer, wire);
    assert(!writer.failed);
    return peer_send(peer, LANE_DATA, calls->config.channel,
                     writer_bytes(&writer));
}

static void send_answer(struct calls *calls,
                        struct peer *peer,
                        const struct calls_wire *answer)
{
    struct calls_wire wire = *answer;
    wire.kind = CALLS_WIRE_ANSWER;
    enum err err = ERR_TOO_LARGE;
    if (wire.content.length <= CALLS_REPLY_BYTES_MAX) {
        err = send_wire(calls, peer, &wire);
    }
    if (err == ERR_TOO_LARGE || err == ERR_MEMORY) { /* say at least that */
        wire.err = err;
        wire.content = (struct bytes){0};
        err = send_wire(calls, peer, &wire);
    }
    calls->stats.unsent += err != ERR_NONE;
}

/* ---- who asks ---- */

/* NULL: no memory. */
static struct asked *take_asked(struct calls *calls)
{
    struct asked *asked = calls->unused;
    if (asked) {
        calls->unused = asked->next;
    } else {
        asked = malloc(sizeof *asked);
    }
    if (!asked) {
        return NULL;
    }
    asked->calls = calls;
    asked->peer = NULL;
    asked->held = NULL;
    asked->held_length = 0;
    asked->queue_next = NULL;
    asked->previous = NULL;
    asked->next = calls->in_use;
    if (asked->next) {
        asked->next->previous = asked;
    }
    calls->in_use = asked;
    return asked;
}

static void give_asked_back(struct asked *asked)
{
    struct calls *calls = asked->calls;
    *(asked->previous ? &asked->previous->next : &calls->in_use) = asked->next;
    if (asked->next) {
        asked->next->previous = asked->previous;
    }
    calls->asked_count -= !asked->is_own;
    calls->client_asked_count -=
        !asked->is_own && asked->certificate.role != ROLE_NODE;
    free(asked->held);
    asked->next = calls->unused;
    calls->unused = asked;
}

static void enqueue(struct asked_queue *queue, struct asked *asked)
{
    assert(!asked->queue_next);
    *(queue->first ? &queue->last->queue_next : &queue->first) = asked;
    queue->last = asked;
}

static struct asked *dequeue(struct asked_queue *queue)
{
    struct asked *asked = queue->first;
    queue->first = asked->queue_next;
    asked->queue_next = NULL;
    return asked;
}

/* ERR_MEMORY */
static enum err hold(struct asked *asked, struct bytes content)
{
    asked->held = content.length > 0 ? malloc(content.length) : NULL;
    if (content.length > 0 && !asked->held) {
        return ERR_MEMORY;
    }
    if (content.length > 0) {
        memcpy(asked->held, content.data, content.length);
    }
    asked->held_length = content.length;
    return ERR_NONE;
}

/* ---- ourselves ---- */

static void turn_own_soon(struct calls *calls)
{
    if (!calls->own_timer.is_set) {
        reactor_timer_set(calls->config.reactor, &calls->own_timer, 0);
    }
}

static enum err ask_ourselves(struct calls *calls,
                              uint8_t service,
                              struct bytes question,
                              uint32_t timeout_ms,
                              struct call *call)
{
    struct asked *asked = take_asked(calls);
    if (!asked) {
        return ERR_MEMORY;
    }
    asked->is_own = true;
    asked->state = ASKED_WAITS;
    enum err err = hold(asked, question);
    if (err) {
        give_asked_back(asked);
        return err;
    }
    begin_call(calls, NULL, timeout_ms, call);
    asked->id = call->id;
    asked->until_ns = call->timer.at_ns;
    asked->service = service;
    enqueue(&calls->questions, asked);
    turn_own_soon(calls);
    return ERR_NONE;
}

/* The asker hears it later: it may be the one who answers. */
static void answer_ourselves(struct asked *asked,
                             enum err err,
                             struct bytes answer)
{
    struct calls *calls = asked->calls;
    if (answer.length > CALLS_REPLY_BYTES_MAX) {
        err = ERR_TOO_LARGE;
        answer = (struct bytes){0};
    }
    free(asked->held);
    asked->held = NULL;
    enum err held = hold(asked, answer);
    asked->held_length = held ? 0 : answer.length;
    asked->err = held ? held : err;
    asked->state = ASKED_ANSWERED;
    enqueue(&calls->answers, asked);
    turn_own_soon(calls);
}

static void handle_own(struct calls *calls, struct asked *asked)
{
    const struct service *service = &calls->services[asked->service];
    asked->state = ASKED_HANDLED;
    calls->stats.served++;
    if (!service->handle) {
        calls->stats.refused++;
        answer_ourselves(asked, ERR_NOT_FOUND, (struct bytes){0});
        return;
    }
    /* The handler may answer at once, which frees what is held. */
    uint8_t *question = asked->held;
    asked->held = NULL;
    service->handle(service->context, asked,
                    bytes_of(question, asked->held_length));
    free(question);
}

static void tell_own(struct calls *calls, struct asked *asked)
{
    struct call *call = find_call(calls, asked->id);
    uint8_t *answer = asked->held;
    struct bytes bytes = bytes_of(answer, asked->held_length);
    enum err err = asked->err;
    asked->held = NULL;
    give_asked_back(asked);
    if (call) {
        end_call(call, err, bytes);
    } else {
        calls->stats.late++;
    }
    free(answer);
}

/* What is asked by those who are told waits for the next turn. */
static void run_own(struct timer *timer)
{
    struct calls *calls = OWNER_OF(timer, struct calls, own_timer);
    const struct asked *last =
        calls->questions.first ? calls->questions.last : NULL;
    for (const struct asked *at = NULL; at != last;) {
        struct asked *asked = dequeue(&calls->questions);
        at = asked;
        handle_own(calls, asked);
    }
    last = calls->answers.first ? calls->answers.last : NULL;
    for (const struct asked *at = NULL; at != last;) {
        struct asked *asked = dequeue(&calls->answers);
        at = asked;
        tell_own(calls, asked);
    }
    if (calls->questions.first || calls->answers.first) {
        turn_own_soon(calls);
    }
}

/* ---- what comes from others ---- */

/* Half of it is kept for nodes: however many clients ask, the cluster goes on
 * talking with itself. */
static bool has_room(const struct calls *calls, const struct peer *peer)
{
    uint32_t asked_max = calls->config.asked_max;
    return calls->asked_count < asked_max &&
           (peer_role(peer) == ROLE_NODE ||
            calls->client_asked_count < asked_max - asked_max / 2);
}

static enum err refuse(const struct calls *calls,
                       const struct peer *peer,
                       uint64_t number)
{
    if (number >= CALLS_SERVICE_COUNT || !calls->services[number].handle) {
        return ERR_NOT_FOUND;
    }
    if (peer_role(peer) != ROLE_NODE && !calls->services[number].others_may) {
        return ERR_DENIED;
    }
    return has_room(calls, peer) ? ERR_NONE : ERR_BUSY;
}

static void on_question(struct calls *calls,
                        struct peer *peer,
                        const struct calls_wire *wire)
{
    calls->stats.served++;
    enum err err = refuse(calls, peer, wire->service);
    struct asked *asked = err ? NULL : take_asked(calls);
    if (!asked) {
        struct calls_wire answer = {.id = wire->id,
                                    .err = err ? err : ERR_MEMORY};
        calls->stats.refused++;
        send_answer(calls, peer, &answer);
        return;
    }
    calls->asked_count++;
    calls->client_asked_count += peer_role(peer) != ROLE_NODE;
    asked->is_own = false;
    asked->state = ASKED_HANDLED;
    asked->peer = peer;
    asked->id = wire->id;
    asked->until_ns =
        reactor_now_ns(calls->config.reactor) + wire->timeout_ms * NS_PER_MS;
    asked->certificate = *peer_certificate(peer);
    const struct service *service = &calls->services[wire->service];
    service->handle(service->context, asked, wire->content);
}

static void on_answer(struct calls *calls,
                      const struct peer *peer,
                      const struct calls_wire *wire)
{
    struct call *call = find_call(calls, wire->id);
    if (!call || call->peer != peer) {
        calls->stats.late++;
        return;
    }
    end_call(call, wire->err, wire->content);
}

static void on_malformed(struct calls *calls, const struct peer *peer)
{
    uint64_t now_ns = reactor_now_ns(calls->config.reactor);
    if (calls->stats.malformed++ == 0 ||
        now_ns - calls->warned_ns >= WARN_PAUSE_NS) {
        calls->warned_ns = now_ns;
        log_warn(calls->config.log, "calls.malformed",
                 LOG_TEXT("peer", peer_name(peer)),
                 LOG_UNSIGNED("count", calls->stats.malformed),
                 LOG_TEXT("next", "message dropped"));
    }
}

/* Of a version that we cannot read, but for the head. */
static void on_other_version(struct calls *calls,
                             struct peer *peer,
                             const struct calls_wire *wire)
{
    struct calls_wire answer = {.id = wire->id, .err = ERR_VERSION};
    if (wire->kind == CALLS_WIRE_ANSWER) {
        on_answer(calls, peer, &answer);
    } else {
        calls->stats.served++;
        calls->stats.refused++;
        send_answer(calls, peer, &answer);
    }
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct calls *calls = context;
    struct calls_wire wire = {0};
    enum err err = calls_wire_read(&wire, message);
    if (err == ERR_VERSION) {
        on_other_version(calls, peer, &wire);
    } else if (err) {
        on_malformed(calls, peer);
    } else if (wire.kind == CALLS_WIRE_QUESTION) {
        on_question(calls, peer, &wire);
    } else {
        on_answer(calls, peer, &wire);
    }
}

/* ---- life ---- */

/* Ids begin where no other process of this node did: an answer to that one
 * must not be taken for one of ours. */
static void fill_slots(struct calls *calls)
{
    uint64_t incarnation = endpoint_incarnation(calls->config.endpoint);
    calls->slot_free = SLOT_NONE;
    for (uint32_t i = calls->config.asking_max; i > 0; i--) {
        calls->slots[i - 1] = (struct slot){
            .generation = (uint32_t)(incarnation ^ incarnation >> 32),
            .free_next = calls->slot_free,
        };
        calls->slot_free = i - 1;
    }
}

enum err calls_open(struct calls **out, const struct calls_config *config)
{
    assert(config->endpoint && config->reactor);
    assert(config->asking_max > 0 && config->asking_max < SLOT_NONE);
    assert(config->asked_max > 0);
    struct calls *calls = calloc(1, sizeof *calls);
    if (!calls) {
        return ERR_MEMORY;
    }
    calls->config = *config;
    calls->own_timer.fire = run_own;
    calls->scratch_bytes = SCRATCH_BYTES_MIN;
    calls->scratch = malloc(calls->scratch_bytes);
    calls->slots = calloc(config->asking_max, sizeof *calls->slots);
    if (!calls->scratch || !calls->slots) {
        free(calls->scratch);
        free(calls->slots);
        free(calls);
        return ERR_MEMORY;
    }
    clear_ring(&calls->under_way);
    fill_slots(calls);
    endpoint_channel_set(config->endpoint, config->channel, on_message, calls);
    *out = calls;
    return ERR_NONE;
}

static void forget_askers(struct calls *calls)
{
    while (calls->in_use) {
        struct asked *asked = calls->in_use;
        bool is_handled = asked->state == ASKED_HANDLED;
        calls->in_use = asked->next;
        asked->calls = NULL;
        asked->peer = NULL;
        if (!is_handled) {
            free(asked->held);
            free(asked);
        }
    }
    while (calls->unused) {
        struct asked *asked = calls->unused;
        calls->unused = asked->next;
        free(asked);
    }
}

void calls_close(struct calls **calls)
{
    if (!*calls) {
        return;
    }
    struct calls *old = *calls;
    old->is_closing = true;
    endpoint_channel_set(old->config.endpoint, old->config.channel, NULL, NULL);
    while (old->under_way.next != &old->under_way) {
        end_call(old->under_way.next, ERR_CLOSED, (struct bytes){0});
    }
    forget_askers(old);
    reactor_timer_cancel(old->config.reactor, &old->own_timer);
    free(old->slots);
    free(old->scratch);
    free(old);
    *calls = NULL;
}

static void forget_asker(struct calls *calls, const struct peer *peer)
{
    for (struct asked *asked = calls->in_use; asked; asked = asked->next) {
        if (asked->peer == peer) {
            asked->peer = NULL;
        }
    }
}

void calls_on_change(struct calls *calls,
                     struct peer *peer,
                     enum peer_change change)
{
    switch (change) {
    case PEER_UP:
    case PEER_SILENT:
        break;
    case PEER_DOWN: /* the session may go on, and then our answers arrive */
        break_calls(calls, peer);
        break;
    case PEER_BEGUN:
    case PEER_CUT:
    case PEER_GONE:
        calls_forget_peer(calls, peer);
        break;
    }
}

void calls_forget_peer(struct calls *calls, struct peer *peer)
{
    forget_asker(calls, peer);
    break_calls(calls, peer);
}

enum err calls_ask(struct calls *calls,
                   struct peer *peer,
                   uint8_t service,
                   struct bytes question,
                   uint32_t timeout_ms,
                   struct call *call)
{
    assert(call->done && !call->calls);
    assert(service < CALLS_SERVICE_COUNT);
    if (calls->is_closing) {
        return ERR_CLOSED;
    }
    if (question.length > CALLS_QUESTION_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (calls->slot_free == SLOT_NONE) {
        return ERR_FULL;
    }
    if (!peer) {
        return ask_ourselves(calls, service, question, timeout_ms, call);
    }
    if (!peer_is_up(peer)) {
        return ERR_UNREACHABLE;
    }
    begin_call(calls, peer, timeout_ms, call);
    struct calls_wire wire = {.kind = CALLS_WIRE_QUESTION,
                              .id = call->id,
                              .service = service,
                              .timeout_ms = timeout_ms,
                              .content = question};
    enum err err = send_wire(calls, peer, &wire);
    if (err) {
        calls->stats.asked--;
        forget_call(call);
    }
    return err;
}

void calls_cancel(struct calls *calls, struct call *call)
{
    assert(!call->calls || call->calls == calls);
    if (call->calls) {
        forget_call(call);
    }
}

void calls_serve(struct calls *calls,
                 uint8_t service,
                 calls_handler *handler,
                 void *context,
                 bool others_may)
{
    assert(service < CALLS_SERVICE_COUNT);
    calls->services[service] = (struct service){
        .handle = handler, .context = context, .others_may = others_may};
}

void asked_answer(struct asked **asked, enum err err, struct bytes answer)
{
    struct asked *old = *asked;
    assert(old->state == ASKED_HANDLED);
    *asked = NULL;
    if (!old->calls) {
        free(old);
    } else if (old->is_own) {
        answer_ourselves(old, err, answer);
    } else {
        if (old->peer) {
            struct calls_wire wire = {
                .id = old->id, .err = err, .content = answer};
            send_answer(old->calls, old->peer, &wire);
        } else {
            old->calls->stats.unsent++;
        }
        give_asked_back(old);
    }
}

struct peer *asked_peer(const struct asked *asked)
{
    return asked->peer;
}

const struct certificate *asked_certificate(const struct asked *asked)
{
    return asked->is_own ? NULL : &asked->certificate;
}

uint64_t asked_until_ns(const struct asked *asked)
{
    return asked->until_ns;
}

const struct calls_stats *calls_stats(const struct calls *calls)
{
    return &calls->stats;
}
