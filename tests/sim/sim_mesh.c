#include "tests/sim/sim_mesh.h"

#include "base/time_units.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MS_MAX 100

/* Something that is on its way. */
struct flight {
    struct flight *next;
    struct flight *previous;
    struct sim_mesh *mesh;
    struct world_pair pair;
    enum { FLIGHT_MESSAGE, FLIGHT_UP, FLIGHT_DOWN } kind;
    size_t length;
    uint8_t bytes[];
};

struct sim_mesh {
    struct world *world;
    uint32_t node_count;
    struct sim_mesh_events events;
    struct sim_mesh_path paths[WORLD_MACHINE_COUNT_MAX]
                              [WORLD_MACHINE_COUNT_MAX];
    uint64_t last_ns[WORLD_MACHINE_COUNT_MAX][WORLD_MACHINE_COUNT_MAX];
    struct flight *flights;
    uint64_t message_count;
};

static void unlink_flight(struct flight *flight)
{
    if (flight->previous) {
        flight->previous->next = flight->next;
    } else {
        flight->mesh->flights = flight->next;
    }
    if (flight->next) {
        flight->next->previous = flight->previous;
    }
}

static void run_arrival(void *context)
{
    struct flight *flight = context;
    struct sim_mesh *mesh = flight->mesh;
    unlink_flight(flight);
    bool is_message = flight->kind == FLIGHT_MESSAGE;
    bool is_lost =
        !world_is_on(mesh->world, flight->pair.to) ||
        (is_message && sim_mesh_path(mesh, flight->pair)->is_blocked);
    if (!is_lost && is_message) {
        mesh->message_count++;
        mesh->events.on_message(mesh->events.context, flight->pair,
                                bytes_of(flight->bytes, flight->length));
    } else if (!is_lost) {
        mesh->events.on_link(mesh->events.context, flight->pair,
                             flight->kind == FLIGHT_UP);
    }
    free(flight);
}

static struct flight *make_flight(struct sim_mesh *mesh,
                                  struct world_pair pair,
                                  size_t length)
{
    struct flight *flight = malloc(sizeof *flight + length);
    assert(flight);
    *flight = (struct flight){
        .next = mesh->flights, .mesh = mesh, .pair = pair, .length = length};
    if (flight->next) {
        flight->next->previous = flight;
    }
    mesh->flights = flight;
    return flight;
}

struct sim_mesh *sim_mesh_open(struct world *world,
                               uint32_t node_count,
                               const struct sim_mesh_events *events)
{
    struct sim_mesh *mesh = calloc(1, sizeof *mesh);
    assert(mesh && node_count <= WORLD_MACHINE_COUNT_MAX);
    mesh->world = world;
    mesh->node_count = node_count;
    mesh->events = *events;
    return mesh;
}

void sim_mesh_close(struct sim_mesh **mesh)
{
    while ((*mesh)->flights) {
        struct flight *flight = (*mesh)->flights;
        unlink_flight(flight);
        free(flight);
    }
    free(*mesh);
    *mesh = NULL;
}

struct sim_mesh_path *sim_mesh_path(struct sim_mesh *mesh,
                                    struct world_pair pair)
{
    return &mesh->paths[pair.from][pair.to];
}

static void send_once(struct sim_mesh *mesh,
                      struct world_pair pair,
                      struct bytes message)
{
    const struct sim_mesh_path *path = sim_mesh_path(mesh, pair);
    struct seeded *random = world_random(mesh->world);
    uint64_t us =
        path->delay_us_min +
        seeded_below(random, path->delay_us_max - path->delay_us_min + 1);
    uint64_t at_ns = world_now_ns(mesh->world) + us * NS_PER_US;
    uint64_t *last_ns = &mesh->last_ns[pair.from][pair.to];
    if (path->is_ordered && at_ns <= *last_ns) {
        at_ns = *last_ns + 1;
    }
    *last_ns = at_ns;
    struct flight *flight = make_flight(mesh, pair, message.length);
    memcpy(flight->bytes, message.data, message.length);
    world_at(mesh->world, at_ns, run_arrival, flight);
}

void sim_mesh_send(struct sim_mesh *mesh,
                   struct world_pair pair,
                   struct bytes message)
{
    const struct sim_mesh_path *path = sim_mesh_path(mesh, pair);
    struct seeded *random = world_random(mesh->world);
    if (path->is_blocked || seeded_below(random, 1000) < path->lost_permille) {
        return;
    }
    send_once(mesh, pair, message);
    if (seeded_below(random, 1000) < path->doubled_permille) {
        send_once(mesh, pair, message);
    }
}

static void tell(struct sim_mesh *mesh,
                 struct world_pair pair,
                 bool is_up,
                 uint64_t after_ns)
{
    struct flight *flight = make_flight(mesh, pair, 0);
    flight->kind = is_up ? FLIGHT_UP : FLIGHT_DOWN;
    world_at(mesh->world, world_now_ns(mesh->world) + after_ns, run_arrival,
             flight);
}

void sim_mesh_tell(struct sim_mesh *mesh, struct world_pair pair, bool is_up)
{
    tell(mesh, pair, is_up,
         seeded_below(world_random(mesh->world), TELL_MS_MAX * NS_PER_MS));
}

void sim_mesh_tell_now(struct sim_mesh *mesh,
                       struct world_pair pair,
                       bool is_up)
{
    tell(mesh, pair, is_up, 1);
}

void sim_mesh_block(struct sim_mesh *mesh,
                    struct world_pair pair,
                    bool is_blocked)
{
    struct world_pair back = {.from = pair.to, .to = pair.from};
    sim_mesh_path(mesh, pair)->is_blocked = is_blocked;
    uint64_t luck = seeded_below(world_random(mesh->world), 4);
    if (luck == 0) {
        sim_mesh_tell(mesh, pair, !is_blocked);
    } else if (luck == 1) {
        sim_mesh_tell(mesh, back, !is_blocked);
    }
}

void sim_mesh_heal(struct sim_mesh *mesh)
{
    for (uint32_t from = 0; from < mesh->node_count; from++) {
        for (uint32_t to = 0; to < mesh->node_count; to++) {
            mesh->paths[from][to].is_blocked = false;
            mesh->paths[from][to].lost_permille = 0;
        }
    }
}

uint64_t sim_mesh_message_count(const struct sim_mesh *mesh)
{
    return mesh->message_count;
}
