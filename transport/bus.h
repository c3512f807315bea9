/*
 * Small hints to all nodes at once: sealed, numbered, and lost without harm.
 *
 * Owned by the links' reactor. To a connection whose queue is full the network
 * does not send, silently; so every frame has a number, and the receiver
 * counts what is missing.
 *
 * A frame: version u8, name length u8, name, incarnation u64, key number u32,
 * counter u64 (all in the clear, authenticated); then the sealed digest. Each
 * sender seals with a key of its own, derived from the bus key, its name and
 * its incarnation; the counter is the nonce.
 */

#ifndef TRANSPORT_BUS_H
#define TRANSPORT_BUS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/network.h"
#include "config/certificate.h"
#include "transport/seal.h"

#include <stdint.h>

struct bus;

/* Secret. */
struct bus_key {
    uint32_t number; /* tells keys apart; never 0 */
    uint8_t bytes[SEAL_KEY_BYTES];
};

struct bus_config {
    const struct network *network;
    struct reactor *reactor;
    const char *name; /* ours; copied */
    uint64_t incarnation;
    const char *url; /* to listen on */
    uint32_t digest_bytes_max;
    uint32_t sender_count_max; /* remembered at the same time */
    uint32_t dial_ms_min;
    uint32_t dial_ms_max;
    void *context;
    void (*on_digest)(void *context, const char *from, struct bytes digest);
};

struct bus_stats {
    uint64_t sent;
    uint64_t dropped;  /* not sent: the queue was full */
    uint64_t received; /* opened, in order */
    uint64_t lost;     /* numbers that never came */
    uint64_t stale;    /* doubled, or of a process before */
    uint64_t refused;  /* malformed, forged or of an unknown key */
};

/* ERR_IN_USE, ERR_INVALID, ERR_IO: the URL. ERR_MEMORY, ERR_LIMIT */
FALLIBLE bus_open(struct bus **out, const struct bus_config *config);
void bus_close(struct bus **bus);

/* Also send to, and hear from, the bus that listens there. ERR_INVALID,
 * ERR_MEMORY */
FALLIBLE bus_dial(struct bus *bus, const char *url);

/* No more. */
void bus_undial(struct bus *bus, const char *url);

/*
 * Seal with this key from now on; the one before still opens. Its number only
 * has to differ from the present one's: whoever hands out keys is asked in
 * order, and its clock may have gone back.
 */
void bus_key_set(struct bus *bus, const struct bus_key *key);

/* The one before the present key opens no more, and is wiped. */
void bus_key_forget_before(struct bus *bus);

/* The present key; its number is 0 when there is none. */
const struct bus_key *bus_key(const struct bus *bus);

/* See endpoint_publish(). */
FALLIBLE bus_publish(struct bus *bus, struct bytes digest);

/* ERR_MALFORMED, ERR_FORGED; for tests: what on_message does with a frame. */
FALLIBLE bus_take(struct bus *bus, uint8_t *frame, size_t length);

const struct bus_stats *bus_stats(const struct bus *bus);

#endif
