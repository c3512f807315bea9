#include "transport/bus.h"

#include "base/scope.h"
#include "config/secret.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define BUS_VERSION 1
#define HEADER_BYTES_MAX (2 + CERTIFICATE_NAME_BYTES + 8 + 4 + 8)
#define WAITING_COUNT_MAX 16
#define CONNECTION_COUNT_MAX 1024
#define RUNS_BEFORE_COUNT_MAX 8 /* processes of one sender that are over */

/* One sender as we know it, with its keys. */
struct bus_sender {
    char name[CERTIFICATE_NAME_BYTES];
    uint64_t incarnation;
    uint32_t key_number;
    struct seal_key key;
    uint64_t counter; /* last received under this key */
    uint64_t runs_before[RUNS_BEFORE_COUNT_MAX]; /* incarnations; a ring */
    uint32_t run_count;
};

struct bus_secrets {
    struct bus_key key;
    struct bus_key key_before;
    struct seal_key own; /* what we seal with */
    struct bus_sender senders[];
};

struct bus {
    struct bus_config config;
    char name[CERTIFICATE_NAME_BYTES];
    struct socket *socket;
    struct bus_secrets *secrets; /* guarded */
    uint32_t sender_count;
    uint32_t sender_next; /* to be forgotten when there are too many */
    uint64_t counter;     /* of ours; never begins again: a key may return */
    bool is_sending;
    struct packet *waiting[WAITING_COUNT_MAX]; /* a ring */
    uint32_t waiting_first;
    uint32_t waiting_count;
    struct bus_stats stats;
};

struct bus_header {
    struct bytes name;
    uint64_t incarnation;
    uint32_t key_number;
    uint64_t counter;
    struct bytes raw;
};

/* ---- keys ---- */

static void derive_sender_key(struct seal_key *out,
                              const struct bus_key *key,
                              struct bytes name,
                              uint64_t incarnation)
{
    uint8_t raw[CERTIFICATE_NAME_BYTES + 8];
    struct writer label = writer_of(raw, sizeof raw);
    write_u64(&label, incarnation);
    write_bytes(&label, name.data, name.length);
    assert(!label.failed);
    seal_key_derive(out, key->bytes, writer_bytes(&label));
}

void bus_key_set(struct bus *bus, const struct bus_key *key)
{
    assert(key->number != 0);
    if (key->number == bus->secrets->key.number) {
        return;
    }
    bus->secrets->key_before = bus->secrets->key;
    bus->secrets->key = *key;
    derive_sender_key(&bus->secrets->own, key, bytes_of_text(bus->name),
                      bus->config.incarnation);
}

void bus_key_forget_before(struct bus *bus)
{
    sodium_memzero(&bus->secrets->key_before, sizeof bus->secrets->key_before);
}

const struct bus_key *bus_key(const struct bus *bus)
{
    return &bus->secrets->key;
}

static const struct bus_key *key_numbered(const struct bus *bus,
                                          uint32_t number)
{
    if (number == 0) {
        return NULL;
    }
    if (number == bus->secrets->key.number) {
        return &bus->secrets->key;
    }
    return number == bus->secrets->key_before.number ? &bus->secrets->key_before
                                                     : NULL;
}

/* ---- receiving ---- */

static enum err read_header(struct bus_header *out, struct bytes frame)
{
    struct reader in = reader_of(frame);
    uint8_t version = read_u8(&in);
    out->name = read_bytes(&in, read_u8(&in));
    out->incarnation = read_u64(&in);
    out->key_number = read_u32(&in);
    out->counter = read_u64(&in);
    if (in.failed || version != BUS_VERSION || out->name.length == 0 ||
        out->name.length >= CERTIFICATE_NAME_BYTES ||
        reader_left(&in) < SEAL_TAG_BYTES) {
        return ERR_MALFORMED;
    }
    out->raw = bytes_of(frame.data, frame.length - reader_left(&in));
    return ERR_NONE;
}

static struct bus_sender *find_sender(struct bus *bus, struct bytes name)
{
    for (uint32_t i = 0; i < bus->sender_count; i++) {
        struct bus_sender *sender = &bus->secrets->senders[i];
        if (bytes_are_equal(bytes_of_text(sender->name), name)) {
            return sender;
        }
    }
    return NULL;
}

/* Remember a sender whose frame has opened; the oldest place gives way. */
static struct bus_sender *remember_sender(struct bus *bus, struct bytes name)
{
    struct bus_sender *sender = NULL;
    if (bus->sender_count < bus->config.sender_count_max) {
        sender = &bus->secrets->senders[bus->sender_count++];
    } else {
        sender =
            &bus->secrets
                 ->senders[bus->sender_next++ % bus->config.sender_count_max];
    }
    *sender = (struct bus_sender){0};
    memcpy(sender->name, name.data, name.length);
    return sender;
}

static bool is_same_run(const struct bus_sender *sender,
                        const struct bus_header *header)
{
    return sender && sender->incarnation == header->incarnation &&
           sender->key_number == header->key_number;
}

/* Open the digest in place with the sender's key, derived or remembered. */
static enum err open_digest(struct bus *bus,
                            const struct bus_sender *sender,
                            const struct bus_header *header,
                            struct seal_key *key,
                            struct writer digest)
{
    const struct bus_key *root = key_numbered(bus, header->key_number);
    if (!root) {
        return ERR_FORGED;
    }
    if (is_same_run(sender, header)) {
        *key = sender->key;
    } else {
        derive_sender_key(key, root, header->name, header->incarnation);
    }
    struct seal_box box = {
        .key = key, .nonce = header->counter, .header = header->raw};
    return seal_open(digest.next, (size_t)(digest.end - digest.next), &box);
}

/* What a process before had sent must not count again: who recorded it could
 * play it back until the key is another. */
static bool is_of_a_run_before(const struct bus *bus,
                               const struct bus_sender *sender,
                               const struct bus_header *header)
{
    for (uint32_t i = 0; i < RUNS_BEFORE_COUNT_MAX; i++) {
        if (sender->runs_before[i] == header->incarnation) {
            return true;
        }
    }
    return sender->incarnation == header->incarnation &&
           sender->key_number == bus->secrets->key.number;
}

static void begin_run(struct bus_sender *sender,
                      const struct bus_header *header,
                      const struct seal_key *key)
{
    if (sender->incarnation != header->incarnation) {
        sender->runs_before[sender->run_count++ % RUNS_BEFORE_COUNT_MAX] =
            sender->incarnation;
    }
    sender->incarnation = header->incarnation;
    sender->key_number = header->key_number;
    sender->key = *key;
    sender->counter = header->counter;
}

/* False when the frame is not newer than what came before. */
static bool follow_sender(struct bus *bus,
                          struct bus_sender *sender,
                          const struct bus_header *header,
                          const struct seal_key *key)
{
    if (!sender) {
        begin_run(remember_sender(bus, header->name), header, key);
        return true;
    }
    if (!is_same_run(sender, header)) {
        if (is_of_a_run_before(bus, sender, header)) {
            return false;
        }
        begin_run(sender, header, key);
        return true;
    }
    if (header->counter <= sender->counter) {
        return false;
    }
    bus->stats.lost += header->counter - sender->counter - 1;
    sender->counter = header->counter;
    return true;
}

enum err bus_take(struct bus *bus, uint8_t *frame, size_t length)
{
    struct bus_header header = {0};
    enum err err = read_header(&header, bytes_of(frame, length));
    if (err) {
        bus->stats.refused++;
        return err;
    }
    struct bus_sender *sender = find_sender(bus, header.name);
    struct writer sealed =
        writer_of(frame + header.raw.length, length - header.raw.length);
    struct seal_key key = {{0}};
    err = open_digest(bus, sender, &header, &key, sealed);
    if (err) {
        bus->stats.refused++;
    } else if (follow_sender(bus, sender, &header, &key)) {
        char from[CERTIFICATE_NAME_BYTES] = {0};
        memcpy(from, header.name.data, header.name.length);
        bus->stats.received++;
        bus->config.on_digest(
            bus->config.context, from,
            bytes_of(sealed.start,
                     length - header.raw.length - SEAL_TAG_BYTES));
    } else {
        bus->stats.stale++;
    }
    sodium_memzero(&key, sizeof key);
    return err;
}

static void on_message(void *context, uint32_t pipe, struct packet *packet)
{
    struct bus *bus = context;
    (void)pipe;
    enum err err = bus_take(bus, packet->data, packet->length);
    (void)err; /* counted */
    packet_close(&packet);
}

/* ---- sending ---- */

static void send_waiting(struct bus *bus)
{
    while (!bus->is_sending && bus->waiting_count > 0) {
        struct packet *packet = bus->waiting[bus->waiting_first];
        bus->waiting_first = (bus->waiting_first + 1) % WAITING_COUNT_MAX;
        bus->waiting_count--;
        bus->stats.sent++;
        bus->is_sending = !bus->config.network->send(bus->socket, 0, packet);
    }
}

static void on_sent(void *context)
{
    struct bus *bus = context;
    bus->is_sending = false;
    send_waiting(bus);
}

static void write_header(struct writer *out, const struct bus *bus)
{
    write_u8(out, BUS_VERSION);
    write_u8(out, (uint8_t)strlen(bus->name));
    write_bytes(out, bus->name, strlen(bus->name));
    write_u64(out, bus->config.incarnation);
    write_u32(out, bus->secrets->key.number);
    write_u64(out, bus->counter);
}

enum err bus_publish(struct bus *bus, struct bytes digest)
{
    if (digest.length > bus->config.digest_bytes_max) {
        return ERR_TOO_LARGE;
    }
    if (bus->secrets->key.number == 0) {
        return ERR_UNREACHABLE;
    }
    if (bus->waiting_count == WAITING_COUNT_MAX) {
        bus->stats.dropped++;
        return ERR_FULL;
    }
    bus->counter++;
    uint8_t raw[HEADER_BYTES_MAX];
    struct writer header = writer_of(raw, sizeof raw);
    write_header(&header, bus);
    struct bytes clear = writer_bytes(&header);
    struct packet *packet = bus->config.network->packet_make(
        bus->socket, clear.length + digest.length + SEAL_TAG_BYTES);
    if (!packet) {
        bus->stats.dropped++;
        return ERR_MEMORY;
    }
    memcpy(packet->data, clear.data, clear.length);
    struct seal_box box = {
        .key = &bus->secrets->own, .nonce = bus->counter, .header = clear};
    seal_close(packet->data + clear.length, &box, digest);
    uint32_t at =
        (bus->waiting_first + bus->waiting_count++) % WAITING_COUNT_MAX;
    bus->waiting[at] = packet;
    send_waiting(bus);
    return ERR_NONE;
}

/* ---- life ---- */

static enum err open_socket(struct bus *bus)
{
    const struct bus_config *config = &bus->config;
    struct socket_config socket = {
        .kind = SOCKET_BUS,
        .reactor = config->reactor,
        .events = {.context = bus,
                   .on_message = on_message,
                   .on_sent = on_sent},
        .message_bytes_max =
            HEADER_BYTES_MAX + config->digest_bytes_max + SEAL_TAG_BYTES,
        .inbox_bytes_max = 64 * (size_t)config->digest_bytes_max,
        .connection_count_max = CONNECTION_COUNT_MAX,
        .redial_ms_min = config->dial_ms_min,
        .redial_ms_max = config->dial_ms_max,
    };
    enum err err =
        config->network->open(config->network->context, &bus->socket, &socket);
    return err ? err : config->network->listen(bus->socket, config->url);
}

enum err bus_open(struct bus **out, const struct bus_config *config)
{
    assert(strlen(config->name) < CERTIFICATE_NAME_BYTES);
    scoped(bus_close) struct bus *bus = calloc(1, sizeof *bus);
    if (!bus) {
        return ERR_MEMORY;
    }
    bus->config = *config;
    memcpy(bus->name, config->name, strlen(config->name));
    size_t secret_bytes = sizeof *bus->secrets +
                          config->sender_count_max * sizeof(struct bus_sender);
    bus->secrets = secret_open(secret_bytes);
    if (!bus->secrets) {
        return ERR_LIMIT;
    }
    enum err err = open_socket(bus);
    if (err) {
        return err;
    }
    *out = bus;
    bus = NULL;
    return ERR_NONE;
}

void bus_close(struct bus **bus)
{
    if (!*bus) {
        return;
    }
    (*bus)->config.network->close(&(*bus)->socket);
    while ((*bus)->waiting_count > 0) {
        (*bus)->waiting_count--;
        packet_close(&(*bus)->waiting[(*bus)->waiting_first]);
        (*bus)->waiting_first = ((*bus)->waiting_first + 1) % WAITING_COUNT_MAX;
    }
    secret_close((*bus)->secrets);
    free(*bus);
    *bus = NULL;
}

enum err bus_dial(struct bus *bus, const char *url)
{
    return bus->config.network->dial(bus->socket, url);
}

void bus_undial(struct bus *bus, const char *url)
{
    bus->config.network->undial(bus->socket, url);
}

const struct bus_stats *bus_stats(const struct bus *bus)
{
    return &bus->stats;
}
