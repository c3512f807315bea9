#include "transport/door.h"

#include "base/owner.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/secret.h"

#include <assert.h>
#include <stdlib.h>

#define LOG_PAUSE_NS (1000 * NS_PER_MS)
#define USED_COUNT_MAX 4096 /* cookies remembered at the same time */

struct used_cookie {
    uint64_t id;
    uint64_t expires_ns;
};

struct door {
    /* Set once by door_open(). */
    struct door_config config;

    /* The door's reactor. */
    struct handshake_self self;
    struct socket *socket;
    uint8_t *key;                            /* DOOR_KEY_BYTES, guarded */
    struct used_cookie used[USED_COUNT_MAX]; /* a ring, by time of use */
    uint32_t used_first;
    uint32_t used_count;
    uint64_t logged_ns;      /* 0: never */
    uint64_t unlogged_count; /* refusals since then, the next one included */

    /* Any thread, atomically. */
    _Atomic uint32_t visit_count;
    struct door_stats stats;
};

struct new_self {
    struct reactor_event event;
    struct door *door;
    struct handshake_self self;
};

/* ---- replays ---- */

/*
 * A cookie is good for one visit: the same one again would make the same
 * session keys again. Only those whose PROOF was right are remembered.
 *
 * ERR_FORGED   used before
 * ERR_BUSY     too many at a time
 */
static enum err use_cookie(struct door *door,
                           const struct handshake_visitor *visitor,
                           uint64_t now_ns)
{
    while (door->used_count > 0 &&
           door->used[door->used_first].expires_ns <= now_ns) {
        door->used_first = (door->used_first + 1) % USED_COUNT_MAX;
        door->used_count--;
    }
    for (uint32_t i = 0; i < door->used_count; i++) {
        uint32_t at = (door->used_first + i) % USED_COUNT_MAX;
        if (door->used[at].id == visitor->cookie_id) {
            atomic_fetch_add(&door->stats.replayed_count, 1);
            return ERR_FORGED;
        }
    }
    if (door->used_count == USED_COUNT_MAX) {
        return ERR_BUSY;
    }
    uint32_t at = (door->used_first + door->used_count++) % USED_COUNT_MAX;
    door->used[at] = (struct used_cookie){
        .id = visitor->cookie_id, .expires_ns = visitor->cookie_expires_ns};
    return ERR_NONE;
}

/* ---- answers ---- */

static void send(struct door *door, uint32_t request, struct bytes answer)
{
    const struct network *network = door->config.network;
    if (network_send(network, door->socket, request, answer)) {
        /* Without memory for a line: the peer will ask again. */
        network->drop(door->socket, request);
    }
}

static void refuse(struct door *door, uint32_t request, enum err why)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    atomic_fetch_add(&door->stats.refused_count, 1);
    handshake_refuse(&door->self, why, &out);
    send(door, request, writer_bytes(&out));
}

static void on_hello(struct door *door, uint32_t request, struct bytes hello)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    uint64_t expires_ns = clock_now_ns(door->config.clock) +
                          door->config.handshake_ms * NS_PER_MS;
    atomic_fetch_add(&door->stats.hello_count, 1);
    enum err err =
        handshake_answer(&door->self, door->key, expires_ns, hello, &out);
    if (err) {
        refuse(door, request, err);
        return;
    }
    send(door, request, writer_bytes(&out));
}

static void run_decide(struct reactor_event *event)
{
    struct door_visit *visit = OWNER_OF(event, struct door_visit, event);
    visit->door->config.decide(visit->door->config.context, visit);
}

static void visit_close(struct door_visit **visit)
{
    if (*visit) {
        atomic_fetch_sub(&(*visit)->door->visit_count, 1);
        secret_close(*visit);
        *visit = NULL;
    }
}

/* NULL when there are too many, or no memory. */
static struct door_visit *visit_open(struct door *door, uint32_t request)
{
    if (atomic_load(&door->visit_count) >= door->config.visit_count_max) {
        return NULL;
    }
    struct door_visit *visit = secret_open(sizeof *visit);
    if (visit) {
        visit->door = door;
        visit->request = request;
        atomic_fetch_add(&door->visit_count, 1);
    }
    return visit;
}

/* At most one line a second: anybody may knock, as often as they like. */
static void log_refusal(struct door *door,
                        const struct handshake_visitor *visitor,
                        enum err err,
                        const struct err_detail *why)
{
    uint64_t now_ns = clock_now_ns(door->config.clock);
    door->unlogged_count++;
    if (door->logged_ns != 0 && now_ns - door->logged_ns < LOG_PAUSE_NS) {
        return;
    }
    door->logged_ns = now_ns;
    log_warn(door->config.log, "door.refused",
             LOG_TEXT("peer", visitor->remote.certificate.name), LOG_ERR(err),
             LOG_UNSIGNED("count", door->unlogged_count),
             LOG_TEXT("why", why->text));
    door->unlogged_count = 0;
}

static void on_proof(struct door *door, uint32_t request, struct bytes proof)
{
    scoped(visit_close) struct door_visit *visit = visit_open(door, request);
    if (!visit) {
        refuse(door, request, ERR_BUSY);
        return;
    }
    uint64_t now_ns = clock_now_ns(door->config.clock);
    struct err_detail why = {{0}};
    enum err err = handshake_admit(&door->self, door->key, now_ns, proof,
                                   &visit->visitor, &why);
    if (!err) {
        err = use_cookie(door, &visit->visitor, now_ns);
    }
    if (err) {
        log_refusal(door, &visit->visitor, err, &why);
        refuse(door, request, err);
        return;
    }
    atomic_fetch_add(&door->stats.admitted_count, 1);
    visit->event.run = run_decide;
    reactor_post(door->config.owner_reactor, &visit->event);
    visit = NULL; /* on its way */
}

static void on_message(void *context, uint32_t request, struct packet *packet)
{
    struct door *door = context;
    struct bytes bytes = bytes_of(packet->data, packet->length);
    enum handshake_kind kind = HANDSHAKE_HELLO;
    enum err err = handshake_kind_of(&kind, &door->self, bytes);
    if (err) {
        refuse(door, request, err);
    } else if (kind == HANDSHAKE_HELLO) {
        on_hello(door, request, bytes);
    } else {
        on_proof(door, request, bytes);
    }
    packet_close(&packet);
}

static void run_reply(struct reactor_event *event)
{
    scoped(visit_close) struct door_visit *visit =
        OWNER_OF(event, struct door_visit, event);
    struct door *door = visit->door;
    if (!door->socket) {
        return; /* shut meanwhile */
    }
    if (visit->err) {
        refuse(door, visit->request, visit->err);
        return;
    }
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    struct handshake_grant grant = {.session = visit->session,
                                    .is_resumed = visit->is_resumed,
                                    .url = visit->url};
    handshake_accept(&visit->visitor, &grant, &out);
    send(door, visit->request, writer_bytes(&out));
}

void door_reply(struct door_visit *visit)
{
    visit->event.run = run_reply;
    reactor_post(visit->door->config.reactor, &visit->event);
}

/* ---- life ---- */

static enum err listen_at_door(struct door *door)
{
    const struct door_config *config = &door->config;
    struct socket_config socket = {
        .kind = SOCKET_DOOR,
        .reactor = config->reactor,
        .events = {.context = door, .on_message = on_message},
        .message_bytes_max = HANDSHAKE_BYTES_MAX,
        .inbox_bytes_max = SIZE_MAX, /* bounded by the number of requests */
        .connection_count_max = config->connection_count_max,
    };
    enum err err =
        config->network->open(config->network->context, &door->socket, &socket);
    return err ? err : config->network->listen(door->socket, config->url);
}

enum err door_open(struct door **out,
                   const struct door_config *config,
                   const struct handshake_self *self)
{
    scoped(door_close) struct door *door = calloc(1, sizeof *door);
    if (!door) {
        return ERR_MEMORY;
    }
    door->config = *config;
    door->self = handshake_self_share(self);
    door->key = secret_open(DOOR_KEY_BYTES);
    if (!door->key) {
        return ERR_LIMIT;
    }
    entropy_fill(self->entropy, door->key, DOOR_KEY_BYTES);
    enum err err = listen_at_door(door);
    if (err) {
        return err;
    }
    *out = door;
    door = NULL;
    return ERR_NONE;
}

void door_shut(struct door *door)
{
    door->config.network->close(&door->socket);
}

bool door_is_idle(const struct door *door)
{
    return atomic_load(&door->visit_count) == 0;
}

void door_close(struct door **door)
{
    if (!*door) {
        return;
    }
    assert(door_is_idle(*door));
    door_shut(*door);
    handshake_self_drop(&(*door)->self);
    secret_close((*door)->key);
    free(*door);
    *door = NULL;
}

static void run_new_self(struct reactor_event *event)
{
    struct new_self *new = OWNER_OF(event, struct new_self, event);
    handshake_self_drop(&new->door->self);
    new->door->self = new->self;
    atomic_fetch_sub(&new->door->visit_count, 1);
    free(new);
}

enum err door_set_self(struct door *door, const struct handshake_self *self)
{
    struct new_self *new = malloc(sizeof *new);
    if (!new) {
        return ERR_MEMORY;
    }
    *new = (struct new_self){.event.run = run_new_self,
                             .door = door,
                             .self = handshake_self_share(self)};
    atomic_fetch_add(&door->visit_count, 1); /* door_close() waits for it */
    reactor_post(door->config.reactor, &new->event);
    return ERR_NONE;
}

const struct door_stats *door_stats(const struct door *door)
{
    return &door->stats;
}
