/*
 * A bus that is given raw frames, and frames that are sealed as they should
 * be with any header and content.
 *
 * Input: pieces, each a kind (u8), a length (u8) and as many bytes. Of a
 * sealed one: name length, incarnation, key number, counter, then the name
 * and the digest.
 */

#include <sodium.h>
#include <stdlib.h>

#include "transport/bus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define DIGEST_BYTES_MAX 512

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

/* A network that takes everything and brings nothing. */
static enum err open_none(void *context,
                          struct socket **out,
                          const struct socket_config *config)
{
    (void)context;
    (void)out;
    (void)config;
    return ERR_NONE;
}

static void close_none(struct socket **socket)
{
    *socket = NULL;
}

static enum err listen_none(struct socket *socket, const char *url)
{
    (void)socket;
    (void)url;
    return ERR_NONE;
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    uint64_t *count = context;
    MUST(strlen(from) < CERTIFICATE_NAME_BYTES);
    MUST(digest.length <= DIGEST_BYTES_MAX);
    (*count)++;
}

static struct bus_key key_of(uint32_t number)
{
    struct bus_key key = {.number = number};
    memset(key.bytes, (int)number, sizeof key.bytes);
    return key;
}

/* As bus.c seals; returns the length of the frame. */
static size_t seal(uint8_t *out, size_t capacity, struct reader *in)
{
    size_t name_length = read_u8(in) % 80;
    uint64_t incarnation = read_u8(in) % 4;
    uint32_t number = read_u8(in) % 5;
    uint64_t counter = read_u8(in);
    name_length = name_length < reader_left(in) ? name_length : reader_left(in);
    struct bytes name = read_bytes(in, name_length);
    struct bytes digest = read_bytes(in, reader_left(in));

    struct writer header = writer_of(out, capacity);
    write_u8(&header, 1);
    write_u8(&header, (uint8_t)name.length);
    write_bytes(&header, name.data, name.length);
    write_u64(&header, incarnation);
    write_u32(&header, number);
    write_u64(&header, counter);

    uint8_t raw[128];
    struct writer label = writer_of(raw, sizeof raw);
    write_u64(&label, incarnation);
    write_bytes(&label, name.data, name.length);
    struct bus_key root = key_of(number);
    struct seal_key key;
    seal_key_derive(&key, root.bytes, writer_bytes(&label));
    struct bytes clear = writer_bytes(&header);
    struct seal_box box = {.key = &key, .nonce = counter, .header = clear};
    seal_close(out + clear.length, &box, digest);
    return clear.length + digest.length + SEAL_TAG_BYTES;
}

static void give(struct bus *bus, struct reader *in, bool is_sealed)
{
    uint8_t frame[1024];
    size_t length = 0;
    if (is_sealed) {
        length = seal(frame, sizeof frame, in);
    } else {
        struct bytes raw = read_bytes(in, reader_left(in));
        length = raw.length;
        if (length > 0) {
            memcpy(frame, raw.data, length);
        }
    }
    uint8_t *exact = malloc(length + 1);
    MUST(exact);
    memcpy(exact + 1, frame, length);
    enum err err = bus_take(bus, exact + 1, length);
    MUST(err == ERR_NONE || err == ERR_MALFORMED || err == ERR_FORGED);
    MUST(is_sealed || err);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    MUST(sodium_init() >= 0);
    uint64_t digest_count = 0;
    struct network network = {
        .open = open_none, .close = close_none, .listen = listen_none};
    struct bus_config config = {.network = &network,
                                .name = "alpha",
                                .incarnation = 1,
                                .url = "none",
                                .digest_bytes_max = DIGEST_BYTES_MAX,
                                .sender_count_max = 3,
                                .context = &digest_count,
                                .on_digest = on_digest};
    struct bus *bus = NULL;
    MUST(!bus_open(&bus, &config));
    uint64_t given_count = 0;
    struct reader in = reader_of(bytes_of(data, length));
    while (reader_left(&in) >= 2 && given_count < 100) {
        uint8_t kind = read_u8(&in) % 4;
        size_t piece = read_u8(&in);
        piece = piece < reader_left(&in) ? piece : reader_left(&in);
        struct reader part = reader_of(read_bytes(&in, piece));
        if (kind == 3) {
            struct bus_key key = key_of(1 + (uint32_t)piece % 4);
            bus_key_set(bus, &key);
        } else {
            give(bus, &part, kind != 0);
            given_count++;
        }
        const struct bus_stats *stats = bus_stats(bus);
        MUST(stats->received == digest_count);
        MUST(stats->received + stats->stale + stats->refused == given_count);
    }
    bus_close(&bus);
    return 0;
}
