/*
 * What people write as hosts and addresses.
 *
 * Pure.
 */

#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <stdbool.h>

#define ADDRESS_SOCKET_PATH_BYTES 108 /* sun_path, with its zero */

/* A DNS name (RFC 1123, with _ as well), an IPv4 or an IPv6 address. */
bool address_is_host(const char *text);

/* tcp://HOST:PORT, ws://HOST:PORT/door, ipc:///PATH; IPv6 in brackets. */
bool address_is_door(const char *text);

#endif
