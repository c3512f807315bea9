#include "transport/probe.h"

#include "base/owner.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/secret.h"

#include <stdlib.h>
#include <string.h>

struct probe {
    const struct peer_home *home;
    probe_done *done; /* NULL: it was called */
    void *context;
    char url[SOCKET_URL_BYTES];
    uint8_t version;
    struct knock *knock; /* guarded */
    struct socket *socket;
    struct timer timer; /* its end */
};

/* The last thing that is done with a probe. */
static void end(struct probe *probe, enum err err, const char *name)
{
    probe_done *done = probe->done;
    probe->done = NULL;
    reactor_timer_cancel(probe->home->config->reactor, &probe->timer);
    if (done) {
        done(probe->context, err, name);
    }
}

static enum err send_hello(struct probe *probe)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    knock_clear(probe->knock);
    knock_begin(probe->knock, probe->home->self, probe->version, &out);
    return network_send(probe->home->config->network, probe->socket, 0,
                        writer_bytes(&out));
}

/* The door does not know our version: ask with the newest of both. */
static bool has_lower_version(struct probe *probe)
{
    uint8_t version = knock_lower_version(probe->knock, probe->home->self);
    if (version != 0) {
        probe->version = version;
    }
    return version != 0;
}

static void on_answer(void *context, uint32_t pipe, struct packet *packet)
{
    struct probe *probe = context;
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer proof = writer_of(raw, sizeof raw); /* not to be sent */
    struct knock_wish anyone = {0};
    (void)pipe;
    if (!probe->done) {
        packet_close(&packet);
        return;
    }
    enum err err =
        knock_prove(probe->knock, probe->home->self, &anyone,
                    bytes_of(packet->data, packet->length), &proof, NULL);
    packet_close(&packet);
    if (err == ERR_VERSION && has_lower_version(probe)) {
        err = send_hello(probe);
        if (!err) {
            return;
        }
    }
    char name[CERTIFICATE_NAME_BYTES];
    memcpy(name, probe->knock->remote.certificate.name, sizeof name);
    end(probe, err, err ? NULL : name);
}

static void run_timer(struct timer *timer)
{
    end(OWNER_OF(timer, struct probe, timer), ERR_TIMEOUT, NULL);
}

static enum err open_socket(struct probe *probe)
{
    const struct endpoint_config *config = probe->home->config;
    struct socket_config socket = {
        .kind = SOCKET_KNOCK,
        .reactor = config->reactor,
        .events = {.context = probe, .on_message = on_answer},
        .message_bytes_max = HANDSHAKE_BYTES_MAX,
        .inbox_bytes_max = HANDSHAKE_BYTES_MAX,
        .redial_ms_min = config->dial_ms_min,
        .redial_ms_max = config->dial_ms_max,
    };
    enum err err = config->network->open(config->network->context,
                                         &probe->socket, &socket);
    return err ? err : config->network->dial(probe->socket, probe->url);
}

enum err probe_open(struct probe **out,
                    const struct peer_home *home,
                    const char *url,
                    probe_done *done,
                    void *context)
{
    scoped(probe_close) struct probe *probe = calloc(1, sizeof *probe);
    if (!probe) {
        return ERR_MEMORY;
    }
    probe->home = home;
    probe->done = done;
    probe->context = context;
    probe->version = home->self->versions.max;
    probe->timer.fire = run_timer;
    if (strlen(url) >= sizeof probe->url) {
        return ERR_INVALID;
    }
    memcpy(probe->url, url, strlen(url) + 1);
    probe->knock = secret_open(sizeof *probe->knock);
    if (!probe->knock) {
        return ERR_LIMIT;
    }
    enum err err = open_socket(probe);
    if (!err) {
        err = send_hello(probe);
    }
    if (err) {
        return err;
    }
    reactor_timer_set(home->config->reactor, &probe->timer,
                      home->config->handshake_ms * NS_PER_MS);
    *out = probe;
    probe = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void probe_close(struct probe **probe)
{
    if (!*probe) {
        return;
    }
    const struct endpoint_config *config = (*probe)->home->config;
    reactor_timer_cancel(config->reactor, &(*probe)->timer);
    config->network->close(&(*probe)->socket);
    secret_close((*probe)->knock); /* wipes */
    free(*probe);
    *probe = NULL;
}
