#include "transport/nng_sp.h"

#include "base/owner.h"
#include "base/reactor.h"
#include "transport/nng_err.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/bus0/bus.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Life of a socket: one reference is its owner's, one each event's that waits
 * in the reactor's inbox. NNG's callbacks need none: closing waits for them.
 *
 * Order of events: NNG may hand us a message before it says that the pipe is
 * there, or after it has said that it is gone. The reactor's side straightens
 * that: the first message of an unknown pipe tells of the pipe, and messages
 * of a pipe that is gone are dropped.
 */

#define REQUEST_COUNT_MAX 16 /* door: handled at the same time */
#define GONE_COUNT 8         /* pipes remembered as gone */

struct request {
    struct socket *socket;
    nng_ctx context;
    nng_aio *aio;
    uint32_t number; /* "pipe": index + 1, plus turns of the slot */
    bool is_answering;
};

/* BUS: what is dialled. */
struct dialled {
    struct dialled *next;
    nng_dialer dialer;
    char url[];
};

struct pipe_age {
    nng_pipe pipe;
    bool is_leaving; /* told to close */
    struct pipe_age *next;
};

struct socket {
    /* Set once by nng_open(). */
    struct socket_config config;
    nng_socket nng;
    nng_aio *receive_aio;
    nng_aio *send_aio; /* waits until NNG takes the message */
    nng_aio *try_aio;  /* does not */

    /* Any thread, atomically. */
    _Atomic uint32_t reference_count;
    _Atomic bool is_closed;
    _Atomic size_t inbox_bytes;
    _Atomic bool is_paused; /* nothing is being received */

    /* The reactor's thread. */
    nng_dialer dialer;         /* not of a BUS */
    struct dialled *dialled;   /* of a BUS */
    uint32_t pipe;             /* the one that is up; 0: none */
    uint32_t gone[GONE_COUNT]; /* pipes, a ring */
    uint32_t gone_next;
    bool is_sending;
    uint32_t sending_pipe;  /* what is being sent was meant for this one */
    struct packet *waiting; /* to be sent when `is_sending` ends */
    struct reactor_event sent_event;

    /* NNG's threads, under `pipes_lock`: connections, the oldest first. */
    pthread_mutex_t pipes_lock;
    struct pipe_age *pipes;
    uint32_t pipe_count;

    /* SOCKET_DOOR. */
    struct request requests[];
};

struct nng_packet {
    struct packet packet;
    struct reactor_event event;
    struct socket *socket;
    nng_msg *message;
    uint32_t pipe;
    bool is_received; /* counts in socket->inbox_bytes */
};

struct pipe_event {
    struct reactor_event event;
    struct socket *socket;
    uint32_t pipe;
    bool is_up;
};

/* ---- references ---- */

static void socket_ref(struct socket *socket)
{
    atomic_fetch_add(&socket->reference_count, 1);
}

static void socket_unref(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->reference_count, 1) == 1) {
        pthread_mutex_destroy(&socket->pipes_lock);
        free(socket);
    }
}

/* ---- packets ---- */

static void receive_next(struct socket *socket);

static void packet_free(struct packet *packet)
{
    struct nng_packet *own = (struct nng_packet *)packet;
    struct socket *socket = own->socket;
    if (own->message) {
        size_t length = nng_msg_len(own->message);
        nng_msg_free(own->message);
        if (own->is_received) {
            size_t left =
                atomic_fetch_sub(&socket->inbox_bytes, length) - length;
            if (left <= socket->config.inbox_bytes_max &&
                atomic_exchange(&socket->is_paused, false) &&
                !atomic_load(&socket->is_closed)) {
                receive_next(socket);
            }
        }
    }
    socket_unref(socket);
    free(own);
}

/* NULL for want of memory; `message` then still belongs to the caller. */
static struct nng_packet *packet_wrap(struct socket *socket, nng_msg *message)
{
    struct nng_packet *own = malloc(sizeof *own);
    if (!own) {
        return NULL;
    }
    *own = (struct nng_packet){
        .packet = {.data = nng_msg_body(message),
                   .length = nng_msg_len(message),
                   .free = packet_free},
        .socket = socket,
        .message = message,
    };
    socket_ref(socket);
    return own;
}

static struct packet *nng_packet_make(struct socket *socket, size_t length)
{
    nng_msg *message = NULL;
    if (nng_msg_alloc(&message, length) != 0) {
        return NULL;
    }
    struct nng_packet *own = packet_wrap(socket, message);
    if (!own) {
        nng_msg_free(message);
        return NULL;
    }
    return &own->packet;
}

/* The NNG message in a packet; the rest is freed. */
static nng_msg *packet_unwrap(struct packet *packet)
{
    struct nng_packet *own = (struct nng_packet *)packet;
    nng_msg *message = own->message;
    assert(packet->length <= nng_msg_len(message));
    nng_msg_chop(message, nng_msg_len(message) - packet->length);
    own->message = NULL;
    packet_close(&packet);
    return message;
}

/* ---- events, on the reactor's thread ---- */

static bool is_gone(const struct socket *socket, uint32_t pipe)
{
    for (uint32_t i = 0; i < GONE_COUNT; i++) {
        if (socket->gone[i] == pipe) {
            return true;
        }
    }
    return false;
}

static void tell_down(struct socket *socket)
{
    uint32_t pipe = socket->pipe;
    socket->pipe = 0;
    socket->gone[socket->gone_next++ % GONE_COUNT] = pipe;
    packet_close(&socket->waiting);
    if (socket->is_sending) {
        nng_aio_abort(socket->send_aio, NNG_ECANCELED);
    }
    if (socket->config.events.on_down) {
        socket->config.events.on_down(socket->config.events.context, pipe);
    }
}

static void tell_up(struct socket *socket, uint32_t pipe)
{
    if (socket->pipe != 0) {
        tell_down(socket); /* its end is still on the way to us */
    }
    socket->pipe = pipe;
    if (socket->config.events.on_up) {
        socket->config.events.on_up(socket->config.events.context, pipe);
    }
}

static void run_pipe_event(struct reactor_event *event)
{
    struct pipe_event *own = (struct pipe_event *)event;
    struct socket *socket = own->socket;
    if (!atomic_load(&socket->is_closed)) {
        if (own->is_up && own->pipe != socket->pipe &&
            !is_gone(socket, own->pipe)) {
            tell_up(socket, own->pipe);
        } else if (!own->is_up && own->pipe == socket->pipe) {
            tell_down(socket);
        } else if (!own->is_up) {
            socket->gone[socket->gone_next++ % GONE_COUNT] = own->pipe;
        }
    }
    socket_unref(socket);
    free(own);
}

static void run_packet_event(struct reactor_event *event)
{
    struct nng_packet *own = OWNER_OF(event, struct nng_packet, event);
    struct socket *socket = own->socket;
    struct packet *packet = &own->packet;
    bool is_pair = socket->config.kind == SOCKET_PAIR;
    if (atomic_load(&socket->is_closed) ||
        (is_pair && is_gone(socket, own->pipe))) {
        packet_close(&packet);
        return;
    }
    socket_ref(socket); /* the owner may close it meanwhile */
    if (is_pair && own->pipe != socket->pipe) {
        tell_up(socket, own->pipe);
    }
    if (atomic_load(&socket->is_closed)) {
        packet_close(&packet);
    } else {
        socket->config.events.on_message(socket->config.events.context,
                                         own->pipe, packet);
    }
    socket_unref(socket);
}

/*
 * Send without waiting, and without a callback, when NNG takes it at once:
 * waking a thread for each packet costs more than sending it. False when the
 * callback will come.
 */
static bool send_now(struct socket *socket, struct packet *packet)
{
    nng_msg *message = packet_unwrap(packet);
    nng_aio_set_msg(socket->try_aio, message);
    nng_send_aio(socket->nng, socket->try_aio);
    nng_aio_wait(socket->try_aio);
    if (nng_aio_result(socket->try_aio) == 0) {
        return true;
    }
    nng_aio_set_msg(socket->try_aio, NULL);
    socket->is_sending = true;
    socket->sending_pipe = socket->pipe;
    nng_aio_set_msg(socket->send_aio, message);
    nng_send_aio(socket->nng, socket->send_aio);
    return false;
}

static void run_sent_event(struct reactor_event *event)
{
    struct socket *socket = OWNER_OF(event, struct socket, sent_event);
    if (!atomic_load(&socket->is_closed)) {
        socket->is_sending = false;
        bool is_free = socket->sending_pipe == socket->pipe;
        if (socket->waiting) {
            struct packet *packet = socket->waiting;
            socket->waiting = NULL;
            is_free = send_now(socket, packet);
        }
        if (is_free && socket->config.events.on_sent) {
            socket->config.events.on_sent(socket->config.events.context);
        }
    }
    socket_unref(socket);
}

/* ---- callbacks, on NNG's threads ---- */

/* False for want of memory: as if the connection had been lost with it. */
static bool post_message(struct socket *socket, nng_msg *message, uint32_t pipe)
{
    size_t length = nng_msg_len(message);
    struct nng_packet *own = packet_wrap(socket, message);
    if (!own) {
        nng_pipe_close(nng_msg_get_pipe(message));
        nng_msg_free(message);
        return false;
    }
    own->pipe = pipe;
    own->is_received = true;
    own->event.run = run_packet_event;
    atomic_fetch_add(&socket->inbox_bytes, length);
    reactor_post(socket->config.reactor, &own->event);
    return true;
}

static void receive_next(struct socket *socket)
{
    nng_recv_aio(socket->nng, socket->receive_aio);
}

static void on_received(void *context)
{
    struct socket *socket = context;
    int code = nng_aio_result(socket->receive_aio);
    if (code == NNG_ECLOSED || code == NNG_ECANCELED ||
        atomic_load(&socket->is_closed)) {
        if (code == 0) {
            nng_msg_free(nng_aio_get_msg(socket->receive_aio));
        }
        return;
    }
    if (code == 0) {
        nng_msg *message = nng_aio_get_msg(socket->receive_aio);
        uint32_t pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(message));
        (void)post_message(socket, message, pipe);
    }
    if (socket->config.kind == SOCKET_KNOCK) {
        return; /* one answer to one request */
    }
    size_t limit = socket->config.inbox_bytes_max;
    if (atomic_load(&socket->inbox_bytes) > limit) {
        atomic_store(&socket->is_paused, true);
        /* Pairs with packet_free(): one of us sees what the other did. */
        if (atomic_load(&socket->inbox_bytes) > limit ||
            !atomic_exchange(&socket->is_paused, false)) {
            return;
        }
    }
    receive_next(socket);
}

static void on_sent(void *context)
{
    struct socket *socket = context;
    int code = nng_aio_result(socket->send_aio);
    if (code != 0) {
        nng_msg *message = nng_aio_get_msg(socket->send_aio);
        nng_aio_set_msg(socket->send_aio, NULL);
        nng_msg_free(message);
    } else if (socket->config.kind == SOCKET_KNOCK) {
        receive_next(socket);
    }
    if (socket->config.kind != SOCKET_KNOCK) {
        socket_ref(socket);
        reactor_post(socket->config.reactor, &socket->sent_event);
    }
}

static void on_request(void *context)
{
    struct request *request = context;
    struct socket *socket = request->socket;
    int code = nng_aio_result(request->aio);
    if (code != 0) {
        if (request->is_answering) {
            nng_msg_free(nng_aio_get_msg(request->aio));
            nng_aio_set_msg(request->aio, NULL);
        }
        if (code == NNG_ECLOSED || code == NNG_ECANCELED ||
            atomic_load(&socket->is_closed)) {
            return;
        }
    }
    if (code == 0 && !request->is_answering) {
        nng_msg *message = nng_aio_get_msg(request->aio);
        nng_aio_set_msg(request->aio, NULL);
        request->number += REQUEST_COUNT_MAX;
        request->is_answering = true;
        if (post_message(socket, message, request->number)) {
            return;
        }
    }
    request->is_answering = false;
    nng_ctx_recv(request->context, request->aio);
}

static void post_pipe(struct socket *socket, nng_pipe pipe, bool is_up)
{
    struct pipe_event *own = malloc(sizeof *own);
    if (!own) {
        /* Its loss is noticed by silence; its coming by its first message. */
        return;
    }
    *own = (struct pipe_event){.event.run = run_pipe_event,
                               .socket = socket,
                               .pipe = (uint32_t)nng_pipe_id(pipe),
                               .is_up = is_up};
    socket_ref(socket);
    reactor_post(socket->config.reactor, &own->event);
}

static void on_pair_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    post_pipe(context, pipe, event == NNG_PIPE_EV_ADD_POST);
}

/* Too many connections: the oldest gives way, so that idle ones cannot shut
 * others out. */
static void on_counted_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct socket *socket = context;
    nng_pipe oldest = NNG_PIPE_INITIALIZER;
    struct pipe_age *age =
        event == NNG_PIPE_EV_ADD_PRE ? malloc(sizeof *age) : NULL;
    if (event == NNG_PIPE_EV_ADD_PRE && !age) {
        nng_pipe_close(pipe);
        return;
    }
    pthread_mutex_lock(&socket->pipes_lock);
    struct pipe_age **at = &socket->pipes;
    if (age) {
        if (socket->pipe_count >= socket->config.connection_count_max) {
            struct pipe_age *old = socket->pipes;
            while (old && old->is_leaving) {
                old = old->next;
            }
            if (old) {
                old->is_leaving = true;
                oldest = old->pipe;
            }
        }
        while (*at) {
            at = &(*at)->next;
        }
        *age = (struct pipe_age){.pipe = pipe};
        *at = age;
        socket->pipe_count++;
    } else {
        while (*at && nng_pipe_id((*at)->pipe) != nng_pipe_id(pipe)) {
            at = &(*at)->next;
        }
        if (*at) {
            age = *at;
            *at = age->next;
            free(age);
            socket->pipe_count--;
        }
    }
    pthread_mutex_unlock(&socket->pipes_lock);
    if (nng_pipe_id(oldest) > 0) {
        nng_pipe_close(oldest);
    }
}

/* ---- the table ---- */

static int open_kind(struct socket *socket)
{
    switch (socket->config.kind) {
    case SOCKET_DOOR:
        return nng_rep0_open(&socket->nng);
    case SOCKET_KNOCK:
        return nng_req0_open(&socket->nng);
    case SOCKET_PAIR:
        return nng_pair0_open(&socket->nng);
    case SOCKET_BUS:
        return nng_bus0_open(&socket->nng);
    }
    assert(false);
    return NNG_EINVAL;
}

static int set_options(struct socket *socket)
{
    const struct socket_config *config = &socket->config;
    int code = nng_socket_set_size(socket->nng, NNG_OPT_RECVMAXSZ,
                                   config->message_bytes_max);
    if (code == 0 && config->redial_ms_max > 0) {
        code = nng_socket_set_ms(socket->nng, NNG_OPT_RECONNMINT,
                                 (nng_duration)config->redial_ms_min);
    }
    if (code == 0 && config->redial_ms_max > 0) {
        code = nng_socket_set_ms(socket->nng, NNG_OPT_RECONNMAXT,
                                 (nng_duration)config->redial_ms_max);
    }
    if (code == 0 && config->kind == SOCKET_KNOCK) {
        /* Asking again is up to the caller. */
        code = nng_socket_set_ms(socket->nng, NNG_OPT_REQ_RESENDTIME,
                                 NNG_DURATION_INFINITE);
    }
    return code;
}

static int watch_pipes(struct socket *socket)
{
    bool is_pair = socket->config.kind == SOCKET_PAIR;
    if (!is_pair && socket->config.connection_count_max == 0) {
        return 0;
    }
    nng_pipe_cb callback = is_pair ? on_pair_pipe : on_counted_pipe;
    int code = nng_pipe_notify(
        socket->nng, is_pair ? NNG_PIPE_EV_ADD_POST : NNG_PIPE_EV_ADD_PRE,
        callback, socket);
    return code ? code
                : nng_pipe_notify(socket->nng, NNG_PIPE_EV_REM_POST, callback,
                                  socket);
}

static int open_requests(struct socket *socket)
{
    for (uint32_t i = 0; i < REQUEST_COUNT_MAX; i++) {
        struct request *request = &socket->requests[i];
        request->socket = socket;
        request->number = i + 1;
        int code = nng_ctx_open(&request->context, socket->nng);
        if (code != 0) {
            return code;
        }
        code = nng_aio_alloc(&request->aio, on_request, request);
        if (code != 0) {
            return code;
        }
    }
    for (uint32_t i = 0; i < REQUEST_COUNT_MAX; i++) {
        nng_ctx_recv(socket->requests[i].context, socket->requests[i].aio);
    }
    return 0;
}

static int start(struct socket *socket)
{
    int code = nng_aio_alloc(&socket->receive_aio, on_received, socket);
    if (code == 0) {
        code = nng_aio_alloc(&socket->send_aio, on_sent, socket);
    }
    if (code == 0) {
        code = nng_aio_alloc(&socket->try_aio, NULL, NULL);
    }
    if (code == 0) {
        nng_aio_set_timeout(socket->try_aio, NNG_DURATION_ZERO);
        code = set_options(socket);
    }
    if (code == 0) {
        code = watch_pipes(socket);
    }
    if (code == 0 && socket->config.kind == SOCKET_DOOR) {
        code = open_requests(socket);
    }
    if (code == 0 && (socket->config.kind == SOCKET_PAIR ||
                      socket->config.kind == SOCKET_BUS)) {
        receive_next(socket);
    }
    return code;
}

static void stop(struct socket *socket)
{
    (void)nng_close(socket->nng);
    if (socket->receive_aio) {
        nng_aio_stop(socket->receive_aio);
        nng_aio_free(socket->receive_aio);
    }
    if (socket->send_aio) {
        nng_aio_stop(socket->send_aio);
        nng_aio_free(socket->send_aio);
    }
    if (socket->try_aio) {
        nng_aio_free(socket->try_aio);
    }
    bool is_door = socket->config.kind == SOCKET_DOOR;
    for (uint32_t i = 0; is_door && i < REQUEST_COUNT_MAX; i++) {
        if (socket->requests[i].aio) {
            nng_aio_stop(socket->requests[i].aio);
            nng_aio_free(socket->requests[i].aio);
        }
    }
    pthread_mutex_lock(&socket->pipes_lock);
    while (socket->pipes) {
        struct pipe_age *age = socket->pipes;
        socket->pipes = age->next;
        free(age);
    }
    pthread_mutex_unlock(&socket->pipes_lock);
    while (socket->dialled) {
        struct dialled *dialled = socket->dialled;
        socket->dialled = dialled->next;
        free(dialled);
    }
}

static void nng_close_socket(struct socket **socket)
{
    if (!*socket) {
        return;
    }
    atomic_store(&(*socket)->is_closed, true);
    stop(*socket);
    packet_close(&(*socket)->waiting);
    socket_unref(*socket);
    *socket = NULL;
}

static enum err nng_open_socket(void *context,
                                struct socket **out,
                                const struct socket_config *config)
{
    (void)context;
    size_t request_count = config->kind == SOCKET_DOOR ? REQUEST_COUNT_MAX : 0;
    struct socket *socket =
        calloc(1, sizeof *socket + request_count * sizeof(struct request));
    if (!socket) {
        return ERR_MEMORY;
    }
    socket->config = *config;
    socket->sent_event.run = run_sent_event;
    atomic_store(&socket->reference_count, 1);
    pthread_mutex_init(&socket->pipes_lock, NULL);
    int code = open_kind(socket);
    if (code != 0) {
        socket_unref(socket);
        return err_from_nng(code);
    }
    code = start(socket);
    if (code != 0) {
        nng_close_socket(&socket);
        return err_from_nng(code);
    }
    *out = socket;
    return ERR_NONE;
}

static enum err nng_listen_socket(struct socket *socket, const char *url)
{
    nng_listener listener = NNG_LISTENER_INITIALIZER;
    int code = nng_listener_create(&listener, socket->nng, url);
    if (code == 0) {
        code = nng_listener_start(listener, 0);
        if (code != 0) {
            (void)nng_listener_close(listener);
        }
    }
    return err_from_nng(code);
}

static enum err start_dialer(nng_dialer *out,
                             struct socket *socket,
                             const char *url)
{
    nng_dialer dialer = NNG_DIALER_INITIALIZER;
    int code = nng_dialer_create(&dialer, socket->nng, url);
    if (code != 0) {
        return err_from_nng(code);
    }
    code = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    if (code != 0) {
        (void)nng_dialer_close(dialer);
        return err_from_nng(code);
    }
    *out = dialer;
    return ERR_NONE;
}

static enum err dial_besides(struct socket *socket, const char *url)
{
    size_t url_bytes = strlen(url) + 1;
    struct dialled *dialled = calloc(1, sizeof *dialled + url_bytes);
    if (!dialled) {
        return ERR_MEMORY;
    }
    memcpy(dialled->url, url, url_bytes);
    enum err err = start_dialer(&dialled->dialer, socket, url);
    if (err) {
        free(dialled);
        return err;
    }
    dialled->next = socket->dialled;
    socket->dialled = dialled;
    return ERR_NONE;
}

static enum err nng_dial_socket(struct socket *socket, const char *url)
{
    if (socket->config.kind == SOCKET_BUS) {
        return dial_besides(socket, url);
    }
    if (nng_dialer_id(socket->dialer) > 0) {
        (void)nng_dialer_close(socket->dialer);
        socket->dialer = (nng_dialer)NNG_DIALER_INITIALIZER;
    }
    return start_dialer(&socket->dialer, socket, url);
}

static void nng_undial_socket(struct socket *socket, const char *url)
{
    for (struct dialled **at = &socket->dialled; *at; at = &(*at)->next) {
        struct dialled *dialled = *at;
        if (strcmp(dialled->url, url) == 0) {
            *at = dialled->next;
            (void)nng_dialer_close(dialled->dialer); /* and its connection */
            free(dialled);
            return;
        }
    }
}

static struct request *find_request(struct socket *socket, uint32_t number)
{
    struct request *request =
        &socket->requests[(number - 1) % REQUEST_COUNT_MAX];
    assert(request->number == number && request->is_answering);
    return request;
}

static void nng_drop_pipe(struct socket *socket, uint32_t pipe)
{
    if (socket->config.kind == SOCKET_DOOR) {
        struct request *request = find_request(socket, pipe);
        request->is_answering = false;
        nng_ctx_recv(request->context, request->aio);
        return;
    }
    nng_pipe own = {.id = pipe};
    (void)nng_pipe_close(own);
}

static void answer(struct socket *socket,
                   uint32_t number,
                   struct packet *packet)
{
    struct request *request = find_request(socket, number);
    nng_aio_set_msg(request->aio, packet_unwrap(packet));
    nng_ctx_send(request->context, request->aio);
}

static bool nng_send_packet(struct socket *socket,
                            uint32_t pipe,
                            struct packet *packet)
{
    if (socket->config.kind == SOCKET_DOOR) {
        answer(socket, pipe, packet);
        return false;
    }
    if (socket->config.kind == SOCKET_KNOCK) {
        nng_aio_set_msg(socket->send_aio, packet_unwrap(packet));
        nng_send_aio(socket->nng, socket->send_aio);
        return false;
    }
    if (socket->is_sending) {
        /* What was meant for the connection before is still on its way. */
        assert(!socket->waiting);
        socket->waiting = packet;
        return false;
    }
    return send_now(socket, packet);
}

static const struct network table = {
    .open = nng_open_socket,
    .close = nng_close_socket,
    .listen = nng_listen_socket,
    .dial = nng_dial_socket,
    .undial = nng_undial_socket,
    .drop = nng_drop_pipe,
    .packet_make = nng_packet_make,
    .send = nng_send_packet,
};

const struct network *nng_sp(void)
{
    return &table;
}
