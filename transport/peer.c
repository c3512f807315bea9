#include "transport/peer.h"

#include "base/backoff.h"
#include "base/owner.h"
#include "base/time_units.h"
#include "config/secret.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define KNOCK_LOG_PAUSE_MS 60000

/* Where a knock stands. */
enum knock_state {
    KNOCK_IDLE,
    KNOCK_HELLO, /* waiting for COOKIE */
    KNOCK_PROOF, /* waiting for ACCEPT */
};

struct peer {
    /* Set once by peer_open(). */
    const struct peer_home *home;
    enum role role;
    char name[CERTIFICATE_NAME_BYTES];
    char door[SOCKET_URL_BYTES]; /* "": never known */
    bool is_knocker;             /* we knock; else we wait for the peer */
    void *context;

    /* Who it is, since the first session. */
    bool is_known;
    struct handshake_remote remote;

    /* The link and its connection. */
    struct link *link;
    struct socket *pair;
    char pair_url[SOCKET_URL_BYTES]; /* that we dial, or are dialled at */
    bool is_dialling;                /* the pair; else it listens */
    uint32_t pipe;                   /* 0: none */
    uint64_t pipe_up_ns;
    bool is_met;     /* listening side: the link knows of the connection */
    bool is_told_up; /* PEER_UP was told, and PEER_DOWN not yet */
    struct handshake_remote pending_remote;
    struct link_session *pending; /* guarded; NULL: none */

    /* Knocking. */
    enum knock_state knock_state;
    struct knock *knock; /* guarded; NULL when idle */
    struct socket *knock_socket;
    uint8_t knock_version;
    struct backoff backoff;
    enum err knock_err; /* the last that was logged */
    uint64_t knock_err_ns;

    struct timer link_timer;    /* heartbeats, acks, silence, proof */
    struct timer knock_timer;   /* the next knock, or the end of this one */
    struct timer refresh_timer; /* a look at certificates */
    struct turn_end turn_end;
    uint64_t down_ns; /* since when there is no connection */
};

static const struct endpoint_config *config_of(const struct peer *peer)
{
    return peer->home->config;
}

static uint64_t now_of(const struct peer *peer)
{
    return reactor_now_ns(config_of(peer)->reactor);
}

static void tell(struct peer *peer, enum peer_change change)
{
    peer->home->on_change(peer->home->context, peer, change);
}

/* ---- timers ---- */

static uint64_t ms_to_ns(uint64_t ms)
{
    return ms * NS_PER_MS;
}

static void set_timer(struct peer *peer, struct timer *timer, uint64_t at_ns)
{
    uint64_t now_ns = now_of(peer);
    reactor_timer_set(config_of(peer)->reactor, timer,
                      at_ns > now_ns ? at_ns - now_ns : 0);
}

static void cancel_timer(struct peer *peer, struct timer *timer)
{
    reactor_timer_cancel(config_of(peer)->reactor, timer);
}

/* When the connection must have been heard on, or heard on again. */
static uint64_t deadline_ns(const struct peer *peer)
{
    const struct endpoint_config *config = config_of(peer);
    return link_is_proven(peer->link)
               ? link_heard_ns(peer->link) + ms_to_ns(config->silence_ms)
               : peer->pipe_up_ns + ms_to_ns(config->proof_ms);
}

static void set_link_timer(struct peer *peer)
{
    uint64_t at_ns = link_next_ns(peer->link);
    if (peer->pipe != 0 && deadline_ns(peer) < at_ns) {
        at_ns = deadline_ns(peer);
    }
    if (at_ns == TIMER_NEVER) {
        cancel_timer(peer, &peer->link_timer);
    } else if (!peer->link_timer.is_set || peer->link_timer.at_ns > at_ns) {
        set_timer(peer, &peer->link_timer, at_ns);
    }
}

static void flush_soon(struct peer *peer)
{
    reactor_at_turn_end(config_of(peer)->reactor, &peer->turn_end);
}

static void run_turn_end(struct turn_end *turn_end)
{
    struct peer *peer = OWNER_OF(turn_end, struct peer, turn_end);
    link_flush(peer->link, now_of(peer));
    set_link_timer(peer);
}

/* ---- the port of the link ---- */

static struct packet *make_packet(void *context, size_t length)
{
    struct peer *peer = context;
    return config_of(peer)->network->packet_make(peer->pair, length);
}

static bool transmit(void *context, struct packet *packet)
{
    struct peer *peer = context;
    assert(peer->pipe != 0);
    return config_of(peer)->network->send(peer->pair, peer->pipe, packet);
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct peer *peer = context;
    peer->home->on_message(peer->home->context, peer, channel, message);
}

static void undelivered(void *context,
                        uint8_t channel,
                        struct bytes message,
                        bool may_have_arrived)
{
    struct peer *peer = context;
    const struct endpoint_events *events = &config_of(peer)->events;
    if (events->on_undelivered) {
        events->on_undelivered(events->context, peer, channel, message,
                               may_have_arrived);
    }
}

static void writable(void *context)
{
    struct peer *peer = context;
    const struct endpoint_events *events = &config_of(peer)->events;
    if (events->on_writable) {
        events->on_writable(events->context, peer);
    }
}

/* ---- sessions ---- */

static void forget_pending(struct peer *peer)
{
    secret_close(peer->pending);
    peer->pending = NULL;
}

/*
 * Begin a session with a process. The link hands back what the one before
 * has not delivered, before anyone hears of the new one.
 */
static enum err begin_session(struct peer *peer,
                              const struct link_session *session,
                              const struct handshake_remote *remote)
{
    enum err err = link_begin(peer->link, session, now_of(peer));
    if (err) {
        log_error(config_of(peer)->log, "link.refused",
                  LOG_TEXT("peer", peer->name), LOG_ERR(err));
        return err;
    }
    peer->remote = *remote;
    peer->is_known = true;
    log_info(config_of(peer)->log, "link.begun", LOG_TEXT("peer", peer->name),
             LOG_TEXT("role", role_text(peer->role)),
             LOG_UNSIGNED("incarnation", remote->incarnation),
             LOG_UNSIGNED("serial", remote->certificate.serial));
    tell(peer, PEER_BEGUN);
    return ERR_NONE;
}

/* ---- the connection ---- */

static void knock_later(struct peer *peer, uint64_t pause_ms);

static void drop_pipe(struct peer *peer)
{
    if (peer->pipe != 0) {
        config_of(peer)->network->drop(peer->pair, peer->pipe);
    }
}

static void on_pipe_up(void *context, uint32_t pipe)
{
    struct peer *peer = context;
    peer->pipe = pipe;
    peer->is_met = false;
    peer->pipe_up_ns = now_of(peer);
    /* The side that listens waits for a frame: it tells which session. */
    if (peer->is_dialling && link_session_id(peer->link) != 0) {
        link_on_up(peer->link, now_of(peer));
    }
    set_link_timer(peer);
}

static void on_pipe_down(void *context, uint32_t pipe)
{
    struct peer *peer = context;
    assert(peer->pipe == pipe);
    peer->pipe = 0;
    peer->down_ns = now_of(peer);
    link_on_down(peer->link);
    cancel_timer(peer, &peer->link_timer);
    if (peer->is_told_up) {
        peer->is_told_up = false;
        log_info(config_of(peer)->log, "link.down",
                 LOG_TEXT("peer", peer->name),
                 LOG_UNSIGNED("held_bytes", link_held_bytes(peer->link)));
        tell(peer, PEER_DOWN);
    }
    if (peer->is_knocker && peer->knock_state == KNOCK_IDLE) {
        /* Let NNG dial again first. */
        knock_later(peer, config_of(peer)->dial_ms_min);
    }
}

static void on_pipe_sent(void *context)
{
    struct peer *peer = context;
    link_on_sent(peer->link, now_of(peer));
    set_link_timer(peer);
}

/* The listening side's first frame of a connection: which session is it? */
static enum err meet(struct peer *peer, struct bytes frame)
{
    if (peer->pending && link_session_opens(peer->pending, frame)) {
        enum err err =
            begin_session(peer, peer->pending, &peer->pending_remote);
        peer->is_met = false; /* the link has not seen this one's connection */
        forget_pending(peer);
        if (err) {
            return err;
        }
    }
    if (link_session_id(peer->link) != 0 && !peer->is_met) {
        peer->is_met = true;
        link_on_up(peer->link, now_of(peer));
    }
    return ERR_NONE;
}

/* What came was no frame of ours, or one against the protocol. */
static void on_bad_packet(struct peer *peer, enum err err)
{
    log_warn(config_of(peer)->log, "link.refused", LOG_TEXT("peer", peer->name),
             LOG_ERR(err), LOG_TEXT("next", "connection dropped"));
    if (err == ERR_CLOSED) {
        link_end(peer->link);
    }
    drop_pipe(peer);
}

static void on_proven(struct peer *peer)
{
    log_info(
        config_of(peer)->log, "link.up", LOG_TEXT("peer", peer->name),
        LOG_UNSIGNED("connections", link_stats(peer->link)->connection_count));
    backoff_reset(&peer->backoff);
    peer->knock_err = ERR_NONE;
    if (peer->knock_state == KNOCK_IDLE) {
        cancel_timer(peer, &peer->knock_timer);
    }
    peer->is_told_up = true;
    tell(peer, PEER_UP);
}

static void on_pipe_message(void *context, uint32_t pipe, struct packet *packet)
{
    struct peer *peer = context;
    if (pipe != peer->pipe) {
        packet_close(&packet);
        return;
    }
    bool was_proven = link_is_proven(peer->link);
    enum err err = ERR_NONE;
    if (!was_proven && !peer->is_dialling) {
        err = meet(peer, bytes_of(packet->data, packet->length));
    }
    if (!err) {
        err = link_on_packet(peer->link, &packet, now_of(peer));
    }
    packet_close(&packet);
    if (err) {
        on_bad_packet(peer, err);
        return;
    }
    if (!was_proven && link_is_proven(peer->link)) {
        on_proven(peer);
    }
    flush_soon(peer);
}

static void run_link_timer(struct timer *timer)
{
    struct peer *peer = OWNER_OF(timer, struct peer, link_timer);
    uint64_t now_ns = now_of(peer);
    if (peer->pipe != 0 && now_ns >= deadline_ns(peer)) {
        if (link_is_proven(peer->link)) {
            log_warn(config_of(peer)->log, "link.silent",
                     LOG_TEXT("peer", peer->name),
                     LOG_UNSIGNED("silence_ms", config_of(peer)->silence_ms));
            tell(peer, PEER_SILENT);
        }
        drop_pipe(peer);
        /* Until it is gone, do not drop it again and again. */
        peer->pipe_up_ns = now_ns;
        set_timer(peer, timer, now_ns + ms_to_ns(config_of(peer)->proof_ms));
        return;
    }
    link_on_time(peer->link, now_ns);
    set_link_timer(peer);
}

static enum err open_pair(struct peer *peer)
{
    const struct endpoint_config *config = config_of(peer);
    struct socket_config socket = {
        .kind = SOCKET_PAIR,
        .reactor = config->reactor,
        .events = {.context = peer,
                   .on_up = on_pipe_up,
                   .on_down = on_pipe_down,
                   .on_message = on_pipe_message,
                   .on_sent = on_pipe_sent},
        .message_bytes_max = FRAME_BYTES_MAX,
        .inbox_bytes_max =
            3 * config->link.inflight_bytes_max + 2 * FRAME_BYTES_MAX,
        .redial_ms_min = config->dial_ms_min,
        .redial_ms_max = config->dial_ms_max,
    };
    return config->network->open(config->network->context, &peer->pair,
                                 &socket);
}

static void close_pair(struct peer *peer)
{
    if (peer->pipe != 0) {
        on_pipe_down(peer, peer->pipe);
    }
    config_of(peer)->network->close(&peer->pair);
    peer->pair_url[0] = '\0';
}

/* ---- knocking ---- */

/* The next begins with our newest version again: by then the peer may have
 * learnt it. */
static void end_knock(struct peer *peer)
{
    peer->knock_state = KNOCK_IDLE;
    peer->knock_version = peer->home->self->versions.max;
    secret_close(peer->knock); /* wipes */
    peer->knock = NULL;
    config_of(peer)->network->close(&peer->knock_socket);
}

static void knock_later(struct peer *peer, uint64_t pause_ms)
{
    set_timer(peer, &peer->knock_timer, now_of(peer) + ms_to_ns(pause_ms));
}

static void knock_again(struct peer *peer)
{
    knock_later(peer,
                backoff_next_ms(&peer->backoff, config_of(peer)->entropy));
}

/* Who has dialled shows its certificate, also when it will not knock for the
 * next connection. */
static bool may_knock(const struct peer *peer)
{
    return peer->is_knocker || (peer->is_dialling && peer->pipe != 0);
}

static void tell_refused(struct peer *peer,
                         enum err err,
                         const struct err_detail *why)
{
    const struct endpoint_events *events = &config_of(peer)->events;
    struct peer_refusal refusal = {
        .err = err,
        .is_by_peer = peer->knock && peer->knock->is_refused,
        .text = why ? why->text : "",
    };
    if (events->on_refused) {
        events->on_refused(events->context, peer, &refusal);
    }
}

static void fail_knock(struct peer *peer,
                       enum err err,
                       const struct err_detail *why)
{
    /* A peer that stays away must not fill the log. */
    bool is_news =
        err != peer->knock_err ||
        now_of(peer) - peer->knock_err_ns >= ms_to_ns(KNOCK_LOG_PAUSE_MS);
    if (is_news) {
        peer->knock_err = err;
        peer->knock_err_ns = now_of(peer);
        log_warn(config_of(peer)->log, "knock.failed",
                 LOG_TEXT("peer", peer->name), LOG_TEXT("door", peer->door),
                 LOG_ERR(err), LOG_TEXT("why", why ? why->text : ""));
    }
    tell_refused(peer, err, why);
    end_knock(peer);
    knock_again(peer);
}

static enum err send_knock(struct peer *peer, struct bytes message)
{
    return network_send(config_of(peer)->network, peer->knock_socket, 0,
                        message);
}

/* The peer does not know our version: knock with the newest of both. */
static bool lower_version(struct peer *peer)
{
    uint8_t version = knock_lower_version(peer->knock, peer->home->self);
    if (version == 0) {
        return false;
    }
    end_knock(peer);
    peer->knock_version = version;
    knock_later(peer, 0);
    return true;
}

/* Whoever took an old certificate must not come after a newer one was seen. */
static bool is_older(const struct peer *peer,
                     const struct handshake_remote *remote)
{
    return peer->is_known &&
           remote->certificate.serial < peer->remote.certificate.serial;
}

static void on_cookie(struct peer *peer, struct bytes answer)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    struct err_detail why = {{0}};
    struct knock_wish wish = {.name = peer->name,
                              .resume = link_session_id(peer->link)};
    enum err err =
        knock_prove(peer->knock, peer->home->self, &wish, answer, &out, &why);
    if (err == ERR_VERSION && lower_version(peer)) {
        return;
    }
    if (!err && is_older(peer, &peer->knock->remote)) {
        err = ERR_SUPERSEDED;
    }
    if (!err) {
        err = send_knock(peer, writer_bytes(&out));
    }
    if (err) {
        fail_knock(peer, err, &why);
        return;
    }
    peer->knock_state = KNOCK_PROOF;
}

/* Certificates are looked at more often as their end comes nearer. */
static void refresh_later(struct peer *peer)
{
    int64_t wall_ms = clock_wall_ms(config_of(peer)->clock);
    int64_t left_ms = peer->remote.certificate.not_after * MS_PER_S - wall_ms;
    int64_t pause_ms = left_ms / 20;
    int64_t minute_ms = 60000;
    if (pause_ms < minute_ms) {
        pause_ms = minute_ms;
    }
    if (pause_ms > 24 * 60 * minute_ms) {
        pause_ms = 24 * 60 * minute_ms;
    }
    set_timer(peer, &peer->refresh_timer,
              now_of(peer) + ms_to_ns((uint64_t)pause_ms));
}

static enum err dial_pair(struct peer *peer, const char *url)
{
    if (peer->pair && peer->is_dialling && strcmp(peer->pair_url, url) == 0) {
        return ERR_NONE; /* NNG keeps dialling */
    }
    if (peer->pair) {
        close_pair(peer);
    }
    peer->is_dialling = true;
    enum err err = open_pair(peer);
    if (!err) {
        err = config_of(peer)->network->dial(peer->pair, url);
    }
    if (err) {
        config_of(peer)->network->close(&peer->pair);
        return err;
    }
    memcpy(peer->pair_url, url, strlen(url) + 1);
    return ERR_NONE;
}

/* A new session needs a new connection, whose first frame is of it. */
static enum err take_grant(struct peer *peer, const struct knock_grant *grant)
{
    if (grant->is_resumed && grant->session.id == link_session_id(peer->link)) {
        peer->remote = peer->knock->remote;
    } else if (grant->is_resumed) {
        return ERR_MALFORMED;
    } else {
        if (peer->pair) {
            close_pair(peer);
        }
        enum err err =
            begin_session(peer, &grant->session, &peer->knock->remote);
        if (err) {
            return err;
        }
    }
    forget_pending(peer); /* that we have granted meanwhile */
    return dial_pair(peer, grant->url);
}

static void on_grant(struct peer *peer, struct bytes answer)
{
    struct knock_grant grant = {0};
    enum err err = knock_finish(peer->knock, answer, &grant);
    if (!err) {
        err = take_grant(peer, &grant);
    }
    sodium_memzero(&grant, sizeof grant);
    if (err) {
        fail_knock(peer, err, NULL);
        return;
    }
    end_knock(peer);
    refresh_later(peer);
    if (link_is_proven(peer->link)) {
        cancel_timer(peer, &peer->knock_timer);
    } else {
        knock_later(peer, config_of(peer)->proof_ms +
                              backoff_next_ms(&peer->backoff,
                                              config_of(peer)->entropy));
    }
}

static void on_knock_answer(void *context, uint32_t pipe, struct packet *packet)
{
    struct peer *peer = context;
    (void)pipe;
    struct bytes answer = bytes_of(packet->data, packet->length);
    if (peer->knock_state == KNOCK_HELLO) {
        on_cookie(peer, answer);
    } else if (peer->knock_state == KNOCK_PROOF) {
        on_grant(peer, answer);
    }
    packet_close(&packet);
}

static enum err open_knock(struct peer *peer)
{
    peer->knock = secret_open(sizeof *peer->knock);
    if (!peer->knock) {
        return ERR_LIMIT;
    }
    const struct endpoint_config *config = config_of(peer);
    struct socket_config socket = {
        .kind = SOCKET_KNOCK,
        .reactor = config->reactor,
        .events = {.context = peer, .on_message = on_knock_answer},
        .message_bytes_max = HANDSHAKE_BYTES_MAX,
        .inbox_bytes_max = HANDSHAKE_BYTES_MAX,
        .redial_ms_min = config->dial_ms_min,
        .redial_ms_max = config->dial_ms_max,
    };
    enum err err = config->network->open(config->network->context,
                                         &peer->knock_socket, &socket);
    return err ? err : config->network->dial(peer->knock_socket, peer->door);
}

static void start_knock(struct peer *peer)
{
    assert(peer->knock_state == KNOCK_IDLE);
    enum err err = open_knock(peer);
    if (!err) {
        uint8_t raw[HANDSHAKE_BYTES_MAX];
        struct writer out = writer_of(raw, sizeof raw);
        knock_begin(peer->knock, peer->home->self, peer->knock_version, &out);
        peer->knock_state = KNOCK_HELLO;
        err = send_knock(peer, writer_bytes(&out));
    }
    if (err) {
        fail_knock(peer, err, NULL);
        return;
    }
    knock_later(peer, config_of(peer)->handshake_ms);
}

static void run_knock_timer(struct timer *timer)
{
    struct peer *peer = OWNER_OF(timer, struct peer, knock_timer);
    if (peer->knock_state != KNOCK_IDLE) {
        fail_knock(peer, ERR_TIMEOUT, NULL);
    } else if (may_knock(peer)) {
        start_knock(peer);
    }
}

static void run_refresh_timer(struct timer *timer)
{
    struct peer *peer = OWNER_OF(timer, struct peer, refresh_timer);
    refresh_later(peer);
    peer_refresh(peer);
}

void peer_refresh(struct peer *peer)
{
    bool dials = peer->is_dialling || !peer->pair;
    if (dials && may_knock(peer) && peer->knock_state == KNOCK_IDLE) {
        peer->knock_version = peer->home->self->versions.max;
        knock_later(peer, 0);
    }
}

/* ---- granting ---- */

static bool is_superseded(const struct peer *peer,
                          const struct handshake_remote *visitor)
{
    if (!peer->is_known) {
        return false;
    }
    if (visitor->certificate.serial != peer->remote.certificate.serial) {
        return is_older(peer, visitor);
    }
    /* Two processes with one certificate: the one that lives stays. Another
     * one began anew, and then the first is silent or soon will be; or it is a
     * second node under this name, which must do no harm. */
    return visitor->incarnation != peer->remote.incarnation &&
           link_is_proven(peer->link);
}

static enum err ensure_listening(struct peer *peer)
{
    if (peer->pair && !peer->is_dialling) {
        return ERR_NONE;
    }
    if (peer->pair) {
        close_pair(peer);
    }
    peer->is_dialling = false;
    enum err err = open_pair(peer);
    if (!err) {
        err =
            peer->home->listen(peer->home->context, peer->pair, peer->pair_url);
    }
    if (err) {
        config_of(peer)->network->close(&peer->pair);
    }
    return err;
}

static enum err grant_new(struct peer *peer, struct door_visit *visit)
{
    struct link_session *pending = secret_open(sizeof *pending);
    if (!pending) {
        return ERR_LIMIT;
    }
    uint64_t id = 0;
    while (id == 0 || id == link_session_id(peer->link)) {
        id = entropy_u64(config_of(peer)->entropy);
    }
    handshake_session(&visit->visitor, id, pending);
    forget_pending(peer);
    peer->pending = pending;
    peer->pending_remote = visit->visitor.remote;
    visit->session = id;
    /* A connection of the session before would stand in its way. */
    drop_pipe(peer);
    return ERR_NONE;
}

static bool is_resumable(const struct peer *peer,
                         const struct handshake_remote *visitor,
                         uint64_t session)
{
    return session != 0 && session == link_session_id(peer->link) &&
           visitor->incarnation == peer->remote.incarnation;
}

static bool is_pending(const struct peer *peer,
                       const struct handshake_remote *visitor,
                       uint64_t session)
{
    return peer->pending && session == peer->pending->id &&
           visitor->incarnation == peer->pending_remote.incarnation;
}

/* We knock, too, and it is for the peer to give in. */
static bool insists(const struct peer *peer)
{
    const char *own = peer->home->self->identity->certificate.name;
    return peer->is_knocker && strcmp(own, peer->name) < 0 &&
           (peer->knock_state == KNOCK_PROOF ||
            (peer->is_dialling && link_is_proven(peer->link)));
}

/* Fill in the session: the one that the visitor has, or a new one. */
static enum err grant_session(struct peer *peer, struct door_visit *visit)
{
    const struct handshake_remote *remote = &visit->visitor.remote;
    if (is_resumable(peer, remote, visit->visitor.resume)) {
        visit->is_resumed = true;
        visit->session = link_session_id(peer->link);
        peer->remote = *remote;
        forget_pending(peer);
    } else if (is_pending(peer, remote, visit->visitor.resume)) {
        /* Granted before, and the connection was lost before its first
         * frame: to the peer it has begun. */
        visit->is_resumed = true;
        visit->session = peer->pending->id;
        peer->pending_remote = *remote;
    } else {
        return grant_new(peer, visit);
    }
    return ERR_NONE;
}

enum err peer_grant(struct peer *peer, struct door_visit *visit)
{
    if (insists(peer)) {
        return ERR_BUSY;
    }
    if (is_superseded(peer, &visit->visitor.remote)) {
        return ERR_SUPERSEDED;
    }
    enum err err = ensure_listening(peer);
    if (err) {
        return err;
    }
    if (peer->knock_state != KNOCK_IDLE) {
        end_knock(peer);
    }
    if (peer->is_knocker && !link_is_proven(peer->link)) {
        knock_later(peer, config_of(peer)->handshake_ms +
                              (uint64_t)config_of(peer)->proof_ms);
    } else {
        cancel_timer(peer, &peer->knock_timer);
    }
    err = grant_session(peer, visit);
    memcpy(visit->url, peer->pair_url, sizeof visit->url);
    return err;
}

/* ---- life ---- */

static struct link_port port_of(struct peer *peer)
{
    return (struct link_port){.context = peer,
                              .packet_make = make_packet,
                              .transmit = transmit,
                              .deliver = deliver,
                              .undelivered = undelivered,
                              .writable = writable};
}

enum err peer_open(struct peer **out,
                   const struct peer_home *home,
                   enum role role,
                   const char *name)
{
    assert(strlen(name) < CERTIFICATE_NAME_BYTES);
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        return ERR_MEMORY;
    }
    peer->home = home;
    peer->role = role;
    memcpy(peer->name, name, strlen(name));
    peer->knock_version = home->self->versions.max;
    peer->link_timer.fire = run_link_timer;
    peer->knock_timer.fire = run_knock_timer;
    peer->refresh_timer.fire = run_refresh_timer;
    peer->turn_end.run = run_turn_end;
    peer->down_ns = now_of(peer);
    struct backoff_config backoff = {
        .base_ms = home->config->dial_ms_min * 2,
        .multiplier_percent = 200,
        .max_ms = home->config->dial_ms_max * 2,
        .jitter_percent = 50,
    };
    backoff_init(&peer->backoff, &backoff);
    struct link_port port = port_of(peer);
    enum err err = link_open(&peer->link, &home->config->link, &port);
    if (err) {
        free(peer);
        return err;
    }
    *out = peer;
    return ERR_NONE;
}

void peer_close(struct peer **peer)
{
    if (!*peer) {
        return;
    }
    struct peer *old = *peer;
    end_knock(old);
    close_pair(old);
    link_close(&old->link);
    forget_pending(old);
    cancel_timer(old, &old->link_timer);
    cancel_timer(old, &old->knock_timer);
    cancel_timer(old, &old->refresh_timer);
    reactor_forget_turn_end(config_of(old)->reactor, &old->turn_end);
    free(old);
    *peer = NULL;
}

void peer_reach(struct peer *peer, const char *door)
{
    assert(!door || strlen(door) < SOCKET_URL_BYTES);
    peer->is_knocker = door != NULL;
    if (door) {
        memcpy(peer->door, door, strlen(door) + 1);
    }
    if (!may_knock(peer)) {
        end_knock(peer);
        cancel_timer(peer, &peer->knock_timer);
    } else if (peer->knock_state == KNOCK_IDLE && !link_is_proven(peer->link) &&
               !peer->knock_timer.is_set) {
        knock_later(peer, 0);
    }
}

static enum err check_again(const struct peer *peer,
                            const struct handshake_remote *remote)
{
    const struct endpoint_config *config = config_of(peer);
    struct certificate checked = {0};
    enum err err =
        trust_check(peer->home->self->trust,
                    bytes_of(remote->encoded, remote->encoded_length),
                    clock_wall_ms(config->clock), config->clock_skew_ms_max,
                    &checked, NULL);
    /* It was valid when we met; if it is no more, our clock was set back. */
    return err == ERR_NOT_YET_VALID ? ERR_NONE : err;
}

bool peer_check(struct peer *peer)
{
    const struct endpoint_config *config = config_of(peer);
    if (peer->pending && check_again(peer, &peer->pending_remote)) {
        forget_pending(peer);
    }
    if (link_session_id(peer->link) == 0) {
        return true;
    }
    enum err err = check_again(peer, &peer->remote);
    if (!err) {
        return true;
    }
    log_error(config->log, "link.cut", LOG_TEXT("peer", peer->name),
              LOG_UNSIGNED("serial", peer->remote.certificate.serial),
              LOG_ERR(err));
    forget_pending(peer);
    close_pair(peer);
    link_end(peer->link);
    if (peer->is_knocker) {
        knock_again(peer);
    }
    return false;
}

enum err peer_wrap(struct peer *peer, struct bytes secret, struct writer *out)
{
    return link_wrap(peer->link, secret, out);
}

enum err peer_unwrap(const struct peer *peer,
                     struct bytes wrapped,
                     uint8_t *out,
                     size_t out_bytes)
{
    return link_unwrap(peer->link, wrapped, out, out_bytes);
}

bool peer_is_process(const struct peer *peer, uint64_t incarnation)
{
    if (peer->pending) {
        return peer->pending_remote.incarnation == incarnation;
    }
    return !peer->is_known || peer->remote.incarnation == incarnation;
}

uint64_t peer_away_ns(const struct peer *peer, uint64_t now_ns)
{
    return peer->is_knocker || peer->pipe != 0 ? 0 : now_ns - peer->down_ns;
}

/* ---- for the layers above ---- */

const char *peer_name(const struct peer *peer)
{
    return peer->name;
}

enum role peer_role(const struct peer *peer)
{
    return peer->role;
}

uint64_t peer_incarnation(const struct peer *peer)
{
    return peer->is_known ? peer->remote.incarnation : 0;
}

const struct certificate *peer_certificate(const struct peer *peer)
{
    return peer->is_known ? &peer->remote.certificate : NULL;
}

bool peer_is_up(const struct peer *peer)
{
    return link_is_proven(peer->link);
}

uint64_t peer_heard_ns(const struct peer *peer)
{
    return link_heard_ns(peer->link);
}

const struct link_stats *peer_stats(const struct peer *peer)
{
    return link_stats(peer->link);
}

size_t peer_held_bytes(const struct peer *peer)
{
    return link_held_bytes(peer->link);
}

enum err peer_send(struct peer *peer,
                   enum lane lane,
                   uint8_t channel,
                   struct bytes message)
{
    enum err err = link_send(peer->link, lane, channel, message);
    if (!err) {
        flush_soon(peer);
    }
    return err;
}

void peer_pause(struct peer *peer)
{
    link_pause(peer->link);
}

void peer_resume(struct peer *peer)
{
    enum err err = link_resume(peer->link, now_of(peer));
    if (err) {
        on_bad_packet(peer, err);
    }
    flush_soon(peer);
}

void peer_context_set(struct peer *peer, void *context)
{
    peer->context = context;
}

void *peer_context(const struct peer *peer)
{
    return peer->context;
}
