#include "cluster/raft_links.h"

#include <assert.h>
#include <stdlib.h>

/* One node; the context of its peer. */
struct raft_link {
    struct peer *peer; /* NULL: not known */
    uint32_t node;
    bool is_warned; /* something malformed came since its session began */
};

struct raft_links {
    struct log *log;
    struct multiraft *multiraft;
    uint8_t channel;
    struct raft_link nodes[MULTIRAFT_NODES_MAX];
    struct raft_links_stats stats;
};

static void send_to(void *context, uint32_t node, struct bytes message)
{
    struct raft_links *links = context;
    assert(node < MULTIRAFT_NODES_MAX);
    struct peer *peer = links->multiraft ? links->nodes[node].peer : NULL;
    if (peer && !peer_send(peer, LANE_FLEETING, links->channel, message)) {
        links->stats.sent++;
    } else {
        links->stats.lost++;
    }
}

/* NULL: no node of ours. */
static struct raft_link *link_of(const struct peer *peer)
{
    struct raft_link *link = peer_context(peer);
    assert(!link || link->peer == peer);
    return link;
}

static void warn_once(struct raft_links *links,
                      struct raft_link *link,
                      enum err err)
{
    links->stats.malformed++;
    if (!link->is_warned) {
        link->is_warned = true;
        log_warn(links->log, "consensus.malformed",
                 LOG_TEXT("peer", peer_name(link->peer)),
                 LOG_UNSIGNED("node", link->node), LOG_ERR(err),
                 LOG_TEXT("next", "message dropped"));
    }
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct raft_links *links = context;
    struct raft_link *link = link_of(peer);
    if (!link || !links->multiraft) {
        links->stats.strange += !link;
        return;
    }
    links->stats.received++;
    enum err err = multiraft_receive(links->multiraft, link->node, message);
    if (err) {
        warn_once(links, link, err);
    }
}

FALLIBLE raft_links_open(struct raft_links **out, struct log *log)
{
    struct raft_links *links = calloc(1, sizeof *links);
    if (!links) {
        return ERR_MEMORY;
    }
    links->log = log;
    for (uint32_t i = 0; i < MULTIRAFT_NODES_MAX; i++) {
        links->nodes[i].node = i;
    }
    *out = links;
    return ERR_NONE;
}

void raft_links_close(struct raft_links **links)
{
    free(*links);
    *links = NULL;
}

struct mesh raft_links_mesh(struct raft_links *links)
{
    return (struct mesh){.context = links, .send = send_to};
}

void raft_links_join(struct raft_links *links,
                     struct multiraft *multiraft,
                     struct endpoint *endpoint,
                     uint8_t channel)
{
    assert(!links->multiraft);
    links->multiraft = multiraft;
    links->channel = channel;
    endpoint_channel_set(endpoint, channel, on_message, links);
}

void raft_links_leave(struct raft_links *links)
{
    links->multiraft = NULL;
}

FALLIBLE raft_links_add(struct raft_links *links,
                        uint32_t node,
                        struct peer *peer)
{
    if (node >= MULTIRAFT_NODES_MAX) {
        return ERR_INVALID;
    }
    struct raft_link *link = &links->nodes[node];
    if (link->peer) {
        return ERR_EXISTS;
    }
    link->peer = peer;
    link->is_warned = false;
    peer_context_set(peer, link);
    return ERR_NONE;
}

void raft_links_remove(struct raft_links *links, uint32_t node)
{
    if (node < MULTIRAFT_NODES_MAX && links->nodes[node].peer) {
        peer_context_set(links->nodes[node].peer, NULL);
        links->nodes[node].peer = NULL;
        if (links->multiraft) {
            multiraft_node_lost(links->multiraft, node);
        }
    }
}

void raft_links_on_change(struct raft_links *links,
                          struct peer *peer,
                          enum peer_change change)
{
    struct raft_link *link = link_of(peer);
    if (!link || !links->multiraft) {
        return;
    }
    switch (change) {
    case PEER_UP:
        multiraft_node_found(links->multiraft, link->node);
        break;
    case PEER_BEGUN: /* another process: whatever it led, it leads no more */
        link->is_warned = false;
        multiraft_node_lost(links->multiraft, link->node);
        break;
    case PEER_DOWN:
    case PEER_SILENT:
    case PEER_CUT:
    case PEER_GONE:
        multiraft_node_lost(links->multiraft, link->node);
        break;
    }
}

const struct raft_links_stats *raft_links_stats(const struct raft_links *links)
{
    return &links->stats;
}
