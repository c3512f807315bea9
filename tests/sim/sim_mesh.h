/*
 * Messages between the nodes of a virtual world, which may be lost, late,
 * doubled and out of order: what Raft must live with.
 *
 * A node is told when the link to another one goes down or comes back, late or
 * not at all, and sometimes though it did not.
 */

#ifndef TESTS_SIM_SIM_MESH_H
#define TESTS_SIM_SIM_MESH_H

#include "base/bytes.h"
#include "tests/sim/world.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_mesh;

/* How one direction between two nodes behaves. */
struct sim_mesh_path {
    uint32_t delay_us_min;
    uint32_t delay_us_max;
    uint32_t lost_permille;
    uint32_t doubled_permille;
    bool is_ordered;
    bool is_blocked;
};

/* Called in the world's time, not within a turn of the node; what a machine
 * that is off would get is lost before. */
struct sim_mesh_events {
    void *context;
    void (*on_message)(void *context,
                       struct world_pair pair,
                       struct bytes message);
    void (*on_link)(void *context, struct world_pair pair, bool is_up);
};

struct sim_mesh *sim_mesh_open(struct world *world,
                               uint32_t node_count,
                               const struct sim_mesh_events *events);

/* After world_close(). */
void sim_mesh_close(struct sim_mesh **mesh);

struct sim_mesh_path *sim_mesh_path(struct sim_mesh *mesh,
                                    struct world_pair pair);

void sim_mesh_send(struct sim_mesh *mesh,
                   struct world_pair pair,
                   struct bytes message);

/* Block or open a direction; the sender's or the receiver's node, or neither,
 * is told. */
void sim_mesh_block(struct sim_mesh *mesh,
                    struct world_pair pair,
                    bool is_blocked);

/* All directions are open, and lose nothing. */
void sim_mesh_heal(struct sim_mesh *mesh);

/* `pair.to` is told, some time from now, that its link with `pair.from` has
 * closed or is there. */
void sim_mesh_tell(struct sim_mesh *mesh, struct world_pair pair, bool is_up);

/* At once. */
void sim_mesh_tell_now(struct sim_mesh *mesh,
                       struct world_pair pair,
                       bool is_up);

uint64_t sim_mesh_message_count(const struct sim_mesh *mesh);

#endif
