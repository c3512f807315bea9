/*
 * Attackers: plain TCP sockets that say to a node's listener what they like.
 * A packet is its length (u32, little-endian) and its bytes.
 */

#ifndef TESTS_PROCESS_RAW_H
#define TESTS_PROCESS_RAW_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Connect; -1 when nobody listens. Ends the process when there are no more
 * descriptors. */
int raw_connect(const char *host, uint16_t port);

/* Send plain bytes, or one packet. False: the other side has closed. */
bool raw_send(int fd, struct bytes bytes);
bool raw_send_packet(int fd, struct bytes packet);

/* Read and drop whatever comes, until the other side closes; false when it
 * has not after `timeout_ms`. */
bool raw_is_closed(int fd, int timeout_ms);

/* Read exactly so much; false when it does not come in time. */
bool raw_read(int fd, uint8_t *to, size_t length);

#endif
