#include "config/address.h"

#include "base/network.h"
#include "config/units.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

static bool is_dns_name(const char *text)
{
    /* RFC 1123: labels of 1 to 63, no hyphen at either end. */
    size_t label = 0;
    bool has_letter = false;
    for (const char *next = text; *next; next++) {
        bool is_last = next[1] == '.' || next[1] == '\0';
        if (*next == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
            has_letter = false;
            continue;
        }
        bool is_hyphen = *next == '-' || *next == '_';
        if ((!isalnum((unsigned char)*next) && !is_hyphen) ||
            (*next == '-' && (label == 0 || is_last)) || ++label > 63) {
            return false;
        }
        has_letter = has_letter || !isdigit((unsigned char)*next);
    }
    /* All digits at the end: a broken IPv4 address, no name. */
    return label > 0 && has_letter;
}

bool address_is_host(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 ||
           inet_pton(AF_INET6, text, &address) == 1 || is_dns_name(text);
}

/* "HOST:PORT" before `end`, an IPv6 host in brackets. */
static bool is_host_and_port(const char *text, size_t length)
{
    char copy[SOCKET_URL_BYTES];
    if (length >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *host = copy;
    char *colon = strrchr(copy, ':');
    uint64_t port = 0;
    if (!colon || units_number(&port, colon + 1) || port < 1 || port > 65535) {
        return false;
    }
    *colon = '\0';
    bool is_bracketed = colon > copy + 1 && *copy == '[' && colon[-1] == ']';
    if (is_bracketed) {
        colon[-1] = '\0';
        host++;
    }
    return address_is_host(host) && is_bracketed == (strchr(host, ':') != NULL);
}

bool address_is_door(const char *text)
{
    static const char door[] = "/door";
    size_t length = strlen(text);
    if (length >= SOCKET_URL_BYTES) {
        return false;
    }
    if (strncmp(text, "tcp://", 6) == 0) {
        return is_host_and_port(text + 6, length - 6);
    }
    if (strncmp(text, "ipc://", 6) == 0) {
        return text[6] == '/' && length - 6 < ADDRESS_SOCKET_PATH_BYTES;
    }
    size_t tail = sizeof door - 1;
    return strncmp(text, "ws://", 5) == 0 && length > 5 + tail &&
           strcmp(text + length - tail, door) == 0 &&
           is_host_and_port(text + 5, length - 5 - tail);
}
