#include "tests/process/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MS 20000

int raw_connect(const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        perror("raw_connect");
        abort();
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool raw_send(int fd, struct bytes bytes)
{
    size_t sent = 0;
    while (sent < bytes.length) {
        ssize_t put =
            send(fd, bytes.data + sent, bytes.length - sent, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        sent += put > 0 ? (size_t)put : 0;
    }
    return true;
}

bool raw_read(int fd, uint8_t *to, size_t length)
{
    size_t had = 0;
    while (had < length) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (poll(&polled, 1, READ_MS) <= 0) {
            return false;
        }
        ssize_t got = read(fd, to + had, length - had);
        if (got <= 0) {
            return false;
        }
        had += (size_t)got;
    }
    return true;
}

bool raw_send_packet(int fd, struct bytes packet)
{
    uint8_t prefix[4];
    put_u32(prefix, (uint32_t)packet.length);
    return raw_send(fd, bytes_of(prefix, sizeof prefix)) &&
           raw_send(fd, packet);
}

bool raw_is_closed(int fd, int timeout_ms)
{
    uint8_t dropped[4096];
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (poll(&polled, 1, timeout_ms) <= 0) {
            return false;
        }
        if (read(fd, dropped, sizeof dropped) <= 0) {
            return true;
        }
    }
}
