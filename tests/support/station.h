/*
 * A test's node with certified identity and traffic to each of its peers.
 *
 * Identities come from one seed: stations of different processes know each
 * other. Owned by the thread that opens it.
 */

#ifndef TESTS_SUPPORT_STATION_H
#define TESTS_SUPPORT_STATION_H

#include "tests/support/test_identity.h"
#include "tests/support/test_node.h"
#include "tests/support/traffic.h"

#define STATION_PEER_COUNT_MAX 3

struct station;

struct station_peer {
    const char *name; /* NULL: no peer */
    const char *door;
    const char *bus;             /* may be NULL */
    struct traffic_tally *tally; /* NULL: one of the station's own */
};

/* A number that is 0 leaves the default for tests. */
struct station_config {
    const char *name;
    uint64_t serial; /* of the certificate; below 1000 */
    struct endpoint_addresses addresses;
    struct station_peer peers[STATION_PEER_COUNT_MAX];
    uint64_t window_bytes;
    uint32_t silence_ms;
    uint32_t proof_ms;
    uint32_t handshake_ms;
    uint32_t door_connection_count_max;
    bool has_bus_key; /* one that all stations share */
    /* On the links' thread, with `context`; may be NULL. */
    void *context;
    void (*on_digest)(void *context, const char *from, struct bytes digest);
};

/* As endpoint_open(), and what endpoint_peer_add() says. */
FALLIBLE station_open(struct station **out,
                      const struct station_config *config,
                      struct err_detail *why);

/* End all traffic, close the endpoint. What has become of each message can
 * still be asked. */
void station_stop(struct station *station);

/* Accepts NULL. */
void station_close(struct station **station);

struct test_node *station_node(struct station *station);

/* Peers are counted as in the config. */
const struct traffic_tally *station_tally(const struct station *station,
                                          unsigned peer);

/* Any thread but the node's, up to station_stop(). */
void station_send(struct station *station,
                  unsigned peer,
                  const struct traffic_load *load);
void station_pause(struct station *station, unsigned peer);
void station_resume(struct station *station, unsigned peer);
/* Have the tallies up to date. */
void station_look(struct station *station);

/* After station_stop(). */
enum traffic_fate station_fate(const struct station *station,
                               unsigned peer,
                               enum traffic_flow flow,
                               uint64_t number);

/* The authority of all stations. */
void station_authority(struct test_authority *authority);

#endif
