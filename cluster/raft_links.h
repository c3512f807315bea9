/*
 * The way between Raft's groups and the links to other nodes.
 *
 * Messages travel on LANE_FLEETING: what a broken connection or a full window
 * loses is not kept, since Raft repeats what it still needs. What happens to a
 * link becomes a hint for the groups: of a leader whose link has closed the
 * followers do not wait until its silence has lasted an election timeout.
 *
 * Owned by the reactor of the links, which must be that of the groups, too.
 * Whoever opens the endpoint passes its events on. The contexts of all its
 * peers (peer_context()) are ours.
 */

#ifndef CLUSTER_RAFT_LINKS_H
#define CLUSTER_RAFT_LINKS_H

#include "cluster/multiraft.h"
#include "transport/endpoint.h"

struct raft_links;

/* Since raft_links_open(). */
struct raft_links_stats {
    uint64_t sent;      /* messages, each of a turn's many */
    uint64_t lost;      /* not taken by the link: down, or its window full */
    uint64_t received;  /* from nodes that are known */
    uint64_t strange;   /* from peers that are no node here */
    uint64_t malformed; /* received, and not understood to the end */
};

/* ERR_MEMORY */
FALLIBLE raft_links_open(struct raft_links **out, struct log *log);

/* Nothing may come from the endpoint any more. */
void raft_links_close(struct raft_links **links);

/* For multiraft_open(). What is sent before raft_links_join() or after
 * raft_links_leave() is lost. */
struct mesh raft_links_mesh(struct raft_links *links);

/* Let both talk from now on, over this channel of the endpoint. */
void raft_links_join(struct raft_links *links,
                     struct multiraft *multiraft,
                     struct endpoint *endpoint,
                     uint8_t channel);

/* Let nothing pass any more: before either of both is closed, since closing an
 * endpoint tells that its links go down. */
void raft_links_leave(struct raft_links *links);

/* This peer is this node. ERR_EXISTS: the node has one already. ERR_INVALID:
 * not below MULTIRAFT_NODES_MAX */
FALLIBLE raft_links_add(struct raft_links *links,
                        uint32_t node,
                        struct peer *peer);

/* Before endpoint_peer_remove(). Nothing happens when it is not known. */
void raft_links_remove(struct raft_links *links, uint32_t node);

/* Of endpoint_events; other peers than those added do not matter. */
void raft_links_on_change(struct raft_links *links,
                          struct peer *peer,
                          enum peer_change change);

const struct raft_links_stats *raft_links_stats(const struct raft_links *links);

#endif
