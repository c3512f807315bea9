#include "base/network.h"

#include <string.h>

enum err network_send(const struct network *network,
                      struct socket *socket,
                      uint32_t pipe,
                      struct bytes message)
{
    struct packet *packet = network->packet_make(socket, message.length);
    if (!packet) {
        return ERR_MEMORY;
    }
    memcpy(packet->data, message.data, message.length);
    (void)network->send(socket, pipe, packet);
    return ERR_NONE;
}
