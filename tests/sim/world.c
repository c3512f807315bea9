#include "tests/sim/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000u
#define NS_PER_MS 1000000u
#define IN_TRANSIT_MAX 24    /* packets of a direction before sending waits */
#define BUS_IN_TRANSIT_MAX 8 /* then the bus drops */
#define SOCKET_BUCKETS 4096

/* ---- what happens when ---- */

struct happening {
    uint64_t at_ns;
    uint64_t order;
    void (*run)(struct world *world, struct happening *happening);
    struct connection *connection;
    struct packet *packet;
    uint32_t side; /* of the connection: who is concerned */
    uint32_t machine;
    uint64_t socket_id;
    void (*call)(void *context);
    void *context;
};

struct machine {
    struct world *world;
    uint32_t index;
    bool is_on;
    bool is_paused;
    int64_t skew_ms;
    int32_t drift_ppm;
    uint64_t drift_from_ns; /* since then, in the world's time */
    uint64_t drift_base_ns; /* its own time then */
    struct seeded random;
    struct clock clock;
    struct entropy entropy;
    struct network network;
    struct reactor *reactors[WORLD_REACTOR_COUNT_MAX];
    uint32_t reactor_count;
    uint64_t wake_ns; /* a turn is planned for then; never: none */
};

struct dialled {
    uint32_t number; /* not used twice by a socket; 0: a free place */
    char url[SOCKET_URL_BYTES];
};

struct socket {
    struct socket *next; /* of all */
    struct socket *previous;
    struct socket *next_in_bucket;
    struct world *world;
    uint64_t id;
    uint32_t machine;
    struct socket_config config;
    char listen_url[SOCKET_URL_BYTES];
    struct dialled *dialled;
    uint32_t dialled_count;
    uint32_t dial_last; /* number */
    uint32_t pipe_next;
    struct connection *connections; /* open, the newest first */
    struct connection *pair;        /* PAIR: the one that is up */
    bool is_sending;
    struct packet *request; /* KNOCK: waits for the connection */
};

/* Has arrived, and cannot pass. */
struct stuck_packet {
    struct stuck_packet *next;
    struct packet *packet;
};

/* Both ends of a connection; `sockets` by id, since they may close. */
struct connection {
    struct connection *next; /* of all; open ones know the one before, too */
    struct connection *previous;
    struct connection *next_of[2]; /* of a side's socket */
    struct connection *previous_of[2];
    uint64_t sockets[2];
    uint32_t machines[2];
    uint32_t pipes[2];
    uint32_t dial_number; /* of side 0, which dialled */
    bool is_open;
    bool is_told[2];          /* that it is up */
    uint64_t last_ns[2];      /* when the newest packet to a side arrives */
    uint32_t in_transit[2];   /* packets to a side */
    bool has_waiting_sent[2]; /* a side waits for its "sent" */
    struct stuck_packet *stuck[2];
};

struct world {
    struct world_config config;
    struct seeded random;
    uint64_t now_ns;
    struct machine machines[WORLD_MACHINE_COUNT_MAX];
    struct happening *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint64_t order;
    struct socket *sockets;
    struct socket *buckets[SOCKET_BUCKETS]; /* by id */
    uint64_t socket_id;
    struct connection *connections; /* open */
    struct connection *closed;      /* something may still refer to them */
    bool is_blocked[WORLD_MACHINE_COUNT_MAX][WORLD_MACHINE_COUNT_MAX];
    uint64_t delay_ns[WORLD_MACHINE_COUNT_MAX][WORLD_MACHINE_COUNT_MAX];
    void (*watch)(void *context, uint32_t machine);
    void *watcher;
};

static const uint64_t never_ns = UINT64_MAX;

static bool comes_before(const struct happening *left,
                         const struct happening *right)
{
    return left->at_ns != right->at_ns ? left->at_ns < right->at_ns
                                       : left->order < right->order;
}

static void plan(struct world *world, struct happening happening)
{
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity * 2 + 64;
        world->heap =
            realloc(world->heap, world->heap_capacity * sizeof *world->heap);
        assert(world->heap);
    }
    happening.order = world->order++;
    size_t at = world->heap_count++;
    while (at > 0 && comes_before(&happening, &world->heap[(at - 1) / 4])) {
        world->heap[at] = world->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    world->heap[at] = happening;
}

static struct happening take_first(struct world *world)
{
    struct happening first = world->heap[0];
    const struct happening last = world->heap[--world->heap_count];
    size_t count = world->heap_count;
    size_t at = 0;
    for (size_t child = 1; child < count; child = 4 * at + 1) {
        size_t least = child;
        for (size_t i = child + 1; i < child + 4 && i < count; i++) {
            if (comes_before(&world->heap[i], &world->heap[least])) {
                least = i;
            }
        }
        if (!comes_before(&world->heap[least], &last)) {
            break;
        }
        world->heap[at] = world->heap[least];
        at = least;
    }
    if (count > 0) {
        world->heap[at] = last;
    }
    return first;
}

/* ---- machines ---- */

static void turn_machine(struct world *world, struct machine *machine);

static void run_wake(struct world *world, struct happening *happening)
{
    struct machine *machine = &world->machines[happening->machine];
    if (machine->wake_ns == happening->at_ns) {
        machine->wake_ns = never_ns;
        turn_machine(world, machine);
    }
}

static void wake_at(struct world *world, struct machine *machine, uint64_t ns)
{
    if (ns < machine->wake_ns) {
        machine->wake_ns = ns;
        plan(world, (struct happening){.at_ns = ns,
                                       .run = run_wake,
                                       .machine = machine->index});
    }
}

static const int64_t ppm_whole = 1000000;

/* How long the machine's own `ns` take. */
static uint64_t world_ns_of(const struct machine *machine, uint64_t ns)
{
    if (machine->drift_ppm == 0) {
        return ns;
    }
    uint64_t rate = (uint64_t)(ppm_whole + machine->drift_ppm);
    return ns / rate * (uint64_t)ppm_whole +
           ns % rate * (uint64_t)ppm_whole / rate + 1;
}

/* Turn each reactor once, in some order. */
static void turn_machine(struct world *world, struct machine *machine)
{
    if (!machine->is_on || machine->is_paused || machine->reactor_count == 0) {
        return;
    }
    uint64_t next_ns = never_ns;
    uint32_t first =
        (uint32_t)seeded_below(&world->random, machine->reactor_count);
    for (uint32_t i = 0; i < machine->reactor_count; i++) {
        uint32_t at = (first + i) % machine->reactor_count;
        uint64_t idle_ns = reactor_turn(machine->reactors[at]);
        if (idle_ns != TIMER_NEVER && idle_ns < next_ns) {
            next_ns = idle_ns;
        }
    }
    for (uint32_t i = 0; i < machine->reactor_count; i++) {
        if (reactor_has_events(machine->reactors[i])) {
            next_ns = 0; /* one posted to another that had turned before */
        }
    }
    /* A turn takes a little time. */
    if (next_ns != never_ns) {
        uint64_t pause_ns = world_ns_of(machine, next_ns);
        wake_at(world, machine,
                world->now_ns +
                    (pause_ns < 20 * NS_PER_US ? 20 * NS_PER_US : pause_ns));
    }
    if (world->watch) {
        world->watch(world->watcher, machine->index);
    }
}

void world_poke(struct world *world, uint32_t machine)
{
    wake_at(world, &world->machines[machine],
            world->now_ns + (1 + seeded_below(&world->random, 20)) * NS_PER_US);
}

static uint64_t machine_now_ns(void *context)
{
    const struct machine *machine = context;
    uint64_t passed_ns = machine->world->now_ns - machine->drift_from_ns;
    int64_t gained_ns =
        (int64_t)passed_ns / ppm_whole * machine->drift_ppm +
        (int64_t)passed_ns % ppm_whole * machine->drift_ppm / ppm_whole;
    return machine->drift_base_ns + passed_ns + (uint64_t)gained_ns;
}

static int64_t machine_wall_ms(void *context)
{
    const struct machine *machine = context;
    return WORLD_WALL_START_MS +
           (int64_t)(machine_now_ns(context) / NS_PER_MS) + machine->skew_ms;
}

static void machine_fill(void *context, void *to, size_t length)
{
    struct machine *machine = context;
    seeded_fill(&machine->random, to, length);
}

/* ---- sockets and connections ---- */

/* Something for a socket's owner, through its reactor as in a real process. */
struct notice {
    struct reactor_event event;
    struct world *world;
    uint64_t socket_id;
    uint32_t pipe;
    enum { NOTICE_UP, NOTICE_DOWN, NOTICE_MESSAGE, NOTICE_SENT } kind;
    struct packet *packet;
};

static struct socket *find_socket(struct world *world, uint64_t id)
{
    struct socket *socket = world->buckets[id % SOCKET_BUCKETS];
    while (socket && socket->id != id) {
        socket = socket->next_in_bucket;
    }
    return socket;
}

static void run_notice(struct reactor_event *event)
{
    struct notice *notice = (struct notice *)event;
    struct socket *socket = find_socket(notice->world, notice->socket_id);
    struct packet *packet = notice->packet;
    if (socket) {
        const struct socket_events *events = &socket->config.events;
        if (notice->kind == NOTICE_UP && events->on_up) {
            events->on_up(events->context, notice->pipe);
        } else if (notice->kind == NOTICE_DOWN && events->on_down) {
            events->on_down(events->context, notice->pipe);
        } else if (notice->kind == NOTICE_SENT && events->on_sent) {
            events->on_sent(events->context);
        } else if (notice->kind == NOTICE_MESSAGE) {
            events->on_message(events->context, notice->pipe, packet);
            packet = NULL;
        }
    }
    packet_close(&packet);
    free(notice);
}

static void notify(struct socket *socket, struct notice notice)
{
    struct notice *own = malloc(sizeof *own);
    assert(own);
    *own = notice;
    own->event.run = run_notice;
    own->world = socket->world;
    own->socket_id = socket->id;
    reactor_post(socket->config.reactor, &own->event);
    world_poke(socket->world, socket->machine);
}

static uint32_t side_of(const struct connection *connection,
                        const struct socket *socket)
{
    return connection->sockets[0] == socket->id ? 0 : 1;
}

static uint64_t latency_ns(struct world *world, uint32_t from, uint32_t to)
{
    uint64_t spread =
        world->config.latency_us_max - world->config.latency_us_min + 1;
    uint64_t us =
        world->config.latency_us_min + seeded_below(&world->random, spread);
    return us * NS_PER_US + world->delay_ns[from][to];
}

static void dial_later(struct world *world,
                       struct socket *socket,
                       uint32_t number,
                       uint64_t pause_ns);

static bool is_exclusive(const struct socket *socket)
{
    return socket->config.kind == SOCKET_PAIR;
}

/* One side learns that the connection is gone; the dialling one dials again. */
static void tell_down(struct world *world,
                      struct connection *connection,
                      uint32_t side)
{
    struct socket *socket = find_socket(world, connection->sockets[side]);
    if (!socket) {
        return;
    }
    if (socket->pair == connection) {
        socket->pair = NULL;
        socket->is_sending = false;
    }
    if (is_exclusive(socket) && connection->is_told[side]) {
        notify(socket, (struct notice){.kind = NOTICE_DOWN,
                                       .pipe = connection->pipes[side]});
    }
    if (side == 0) {
        uint64_t pause_ms =
            socket->config.redial_ms_min +
            seeded_below(&world->random, socket->config.redial_ms_min + 1);
        dial_later(world, socket, connection->dial_number,
                   pause_ms * NS_PER_MS);
    }
}

static void run_down(struct world *world, struct happening *happening)
{
    struct connection *connection = happening->connection;
    uint32_t machine = connection->machines[happening->side];
    if (world->machines[machine].is_paused) {
        plan(world, (struct happening){.at_ns = world->now_ns + NS_PER_MS,
                                       .run = run_down,
                                       .connection = connection,
                                       .side = happening->side});
        return;
    }
    tell_down(world, connection, happening->side);
}

static void link_connection(struct world *world, struct connection *connection)
{
    connection->next = world->connections;
    if (connection->next) {
        connection->next->previous = connection;
    }
    world->connections = connection;
    for (uint32_t side = 0; side < 2; side++) {
        struct socket *socket = find_socket(world, connection->sockets[side]);
        struct connection *next = socket->connections;
        connection->next_of[side] = next;
        if (next) {
            next->previous_of[side_of(next, socket)] = connection;
        }
        socket->connections = connection;
    }
}

static void unlink_connection(struct world *world,
                              struct connection *connection)
{
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    *(connection->previous ? &connection->previous->next
                           : &world->connections) = connection->next;
    for (uint32_t side = 0; side < 2; side++) {
        struct socket *socket = find_socket(world, connection->sockets[side]);
        struct connection *next = connection->next_of[side];
        struct connection *previous = connection->previous_of[side];
        if (next) {
            next->previous_of[side_of(next, socket)] = previous;
        }
        *(previous ? &previous->next_of[side_of(previous, socket)]
                   : &socket->connections) = next;
    }
}

static void break_connection(struct world *world, struct connection *connection)
{
    if (!connection->is_open) {
        return;
    }
    connection->is_open = false;
    unlink_connection(world, connection);
    connection->next = world->closed;
    world->closed = connection;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t other = connection->machines[1 - side];
        uint32_t own = connection->machines[side];
        plan(world, (struct happening){.at_ns = world->now_ns +
                                                latency_ns(world, other, own),
                                       .run = run_down,
                                       .connection = connection,
                                       .side = side});
    }
}

/* "Sent" is told when the transit has room for another packet. */
static void tell_sent(struct world *world,
                      struct connection *connection,
                      uint32_t side)
{
    struct socket *socket = find_socket(world, connection->sockets[side]);
    if (!socket || !connection->has_waiting_sent[side] ||
        connection->in_transit[1 - side] >= IN_TRANSIT_MAX ||
        (is_exclusive(socket) && socket->pair != connection)) {
        return;
    }
    connection->has_waiting_sent[side] = false;
    socket->is_sending = false;
    notify(socket, (struct notice){.kind = NOTICE_SENT});
}

static void deliver(struct world *world,
                    struct connection *connection,
                    uint32_t side,
                    struct packet *packet)
{
    struct socket *socket = find_socket(world, connection->sockets[side]);
    connection->in_transit[side]--;
    if (!connection->is_open || !socket) {
        packet_close(&packet);
        return;
    }
    notify(socket, (struct notice){.kind = NOTICE_MESSAGE,
                                   .pipe = connection->pipes[side],
                                   .packet = packet});
    tell_sent(world, connection, 1 - side);
}

static bool is_stuck(struct world *world,
                     const struct connection *connection,
                     uint32_t side)
{
    struct socket *socket = find_socket(world, connection->sockets[side]);
    uint32_t from = connection->machines[1 - side];
    uint32_t to = connection->machines[side];
    return connection->is_open && socket &&
           (world->is_blocked[from][to] || world->machines[to].is_paused ||
            (is_exclusive(socket) && !connection->is_told[side]));
}

/* TCP tries again until it may pass, and keeps the order. */
static void run_retry(struct world *world, struct happening *happening)
{
    struct connection *connection = happening->connection;
    uint32_t side = happening->side;
    while (connection->stuck[side] && !is_stuck(world, connection, side)) {
        struct stuck_packet *stuck = connection->stuck[side];
        connection->stuck[side] = stuck->next;
        deliver(world, connection, side, stuck->packet);
        free(stuck);
    }
    if (connection->stuck[side]) {
        struct happening again = *happening;
        again.at_ns = world->now_ns + 3 * NS_PER_MS;
        plan(world, again);
    }
}

static void run_arrival(struct world *world, struct happening *happening)
{
    struct connection *connection = happening->connection;
    uint32_t side = happening->side;
    bool was_stuck = connection->stuck[side] != NULL;
    if (!was_stuck && !is_stuck(world, connection, side)) {
        deliver(world, connection, side, happening->packet);
        return;
    }
    struct stuck_packet *stuck = malloc(sizeof *stuck);
    assert(stuck);
    *stuck = (struct stuck_packet){.packet = happening->packet};
    struct stuck_packet **at = &connection->stuck[side];
    while (*at) {
        at = &(*at)->next;
    }
    *at = stuck;
    if (!was_stuck) {
        plan(world, (struct happening){.at_ns = world->now_ns + 3 * NS_PER_MS,
                                       .run = run_retry,
                                       .connection = connection,
                                       .side = side});
    }
}

static void send_on(struct world *world,
                    struct connection *connection,
                    uint32_t from_side,
                    struct packet *packet)
{
    uint32_t side = 1 - from_side;
    uint64_t at_ns =
        world->now_ns + latency_ns(world, connection->machines[from_side],
                                   connection->machines[side]);
    if (at_ns <= connection->last_ns[side]) {
        at_ns = connection->last_ns[side] + 1;
    }
    connection->last_ns[side] = at_ns;
    connection->in_transit[side]++;
    plan(world, (struct happening){.at_ns = at_ns,
                                   .run = run_arrival,
                                   .connection = connection,
                                   .side = side,
                                   .packet = packet});
}

/* ---- dialling ---- */

static struct socket *find_listener(struct world *world, const char *url)
{
    for (struct socket *socket = world->sockets; socket;
         socket = socket->next) {
        if (strcmp(socket->listen_url, url) == 0) {
            return socket;
        }
    }
    return NULL;
}

static void run_up(struct world *world, struct happening *happening)
{
    struct connection *connection = happening->connection;
    uint32_t side = happening->side;
    struct socket *socket = find_socket(world, connection->sockets[side]);
    if (!connection->is_open || !socket) {
        return;
    }
    if (is_exclusive(socket) && socket->pair) {
        break_connection(world, connection); /* busy with another */
        return;
    }
    connection->is_told[side] = true;
    if (is_exclusive(socket)) {
        socket->pair = connection;
        notify(socket, (struct notice){.kind = NOTICE_UP,
                                       .pipe = connection->pipes[side]});
    }
    if (socket->request) {
        send_on(world, connection, side, socket->request);
        socket->request = NULL;
    }
}

static void connect_sockets(struct world *world,
                            struct socket *from,
                            uint32_t dial_number,
                            struct socket *to)
{
    struct connection *connection = calloc(1, sizeof *connection);
    assert(connection);
    *connection = (struct connection){
        .sockets = {from->id, to->id},
        .machines = {from->machine, to->machine},
        .pipes = {++from->pipe_next, ++to->pipe_next},
        .dial_number = dial_number,
        .is_open = true,
    };
    link_connection(world, connection);
    for (uint32_t side = 0; side < 2; side++) {
        plan(world, (struct happening){
                        .at_ns = world->now_ns +
                                 latency_ns(world, from->machine, to->machine),
                        .run = run_up,
                        .connection = connection,
                        .side = side});
    }
}

static bool is_reachable(const struct world *world, uint32_t from, uint32_t to)
{
    return world->machines[to].is_on && !world->machines[to].is_paused &&
           !world->is_blocked[from][to] && !world->is_blocked[to][from];
}

static struct dialled *find_dialled(struct socket *socket, uint32_t number)
{
    for (uint32_t i = 0; i < socket->dialled_count; i++) {
        if (socket->dialled[i].number == number) {
            return &socket->dialled[i];
        }
    }
    return NULL;
}

static void run_dial(struct world *world, struct happening *happening)
{
    struct socket *socket = find_socket(world, happening->socket_id);
    uint32_t number = happening->side;
    struct dialled *dialled = socket ? find_dialled(socket, number) : NULL;
    if (!dialled) {
        return;
    }
    struct socket *listener = find_listener(world, dialled->url);
    if (listener && !world->machines[socket->machine].is_paused &&
        is_reachable(world, socket->machine, listener->machine)) {
        connect_sockets(world, socket, number, listener);
        return;
    }
    uint64_t spread =
        socket->config.redial_ms_max - socket->config.redial_ms_min;
    dial_later(world, socket, number,
               (socket->config.redial_ms_min +
                seeded_below(&world->random, spread + 1)) *
                   NS_PER_MS);
}

static void dial_later(struct world *world,
                       struct socket *socket,
                       uint32_t number,
                       uint64_t pause_ns)
{
    plan(world, (struct happening){.at_ns = world->now_ns + pause_ns,
                                   .run = run_dial,
                                   .socket_id = socket->id,
                                   .side = number});
}

/* ---- the network table ---- */

static enum err sim_open(void *context,
                         struct socket **out,
                         const struct socket_config *config)
{
    struct machine *machine = context;
    struct socket *socket = calloc(1, sizeof *socket);
    assert(socket);
    socket->world = machine->world;
    socket->id = ++machine->world->socket_id;
    socket->machine = machine->index;
    socket->config = *config;
    struct socket **bucket =
        &machine->world->buckets[socket->id % SOCKET_BUCKETS];
    socket->next_in_bucket = *bucket;
    *bucket = socket;
    socket->next = machine->world->sockets;
    if (socket->next) {
        socket->next->previous = socket;
    }
    machine->world->sockets = socket;
    *out = socket;
    return ERR_NONE;
}

static void sim_close(struct socket **socket)
{
    if (!*socket) {
        return;
    }
    struct world *world = (*socket)->world;
    struct socket *old = *socket;
    while (old->connections) {
        break_connection(world, old->connections);
    }
    struct socket **at = &world->buckets[old->id % SOCKET_BUCKETS];
    while (*at != old) {
        at = &(*at)->next_in_bucket;
    }
    *at = old->next_in_bucket;
    if (old->next) {
        old->next->previous = old->previous;
    }
    *(old->previous ? &old->previous->next : &world->sockets) = old->next;
    packet_close(&old->request);
    free(old->dialled);
    free(old);
    *socket = NULL;
}

static enum err sim_listen(struct socket *socket, const char *url)
{
    if (find_listener(socket->world, url)) {
        return ERR_IN_USE;
    }
    assert(strlen(url) < SOCKET_URL_BYTES);
    memcpy(socket->listen_url, url, strlen(url) + 1);
    return ERR_NONE;
}

/* A BUS dials many. */
static struct dialled *place_to_dial(struct socket *socket)
{
    bool is_bus = socket->config.kind == SOCKET_BUS;
    if (!is_bus && socket->dialled_count > 0) {
        return &socket->dialled[0];
    }
    struct dialled *place = find_dialled(socket, 0);
    if (place) {
        return place;
    }
    socket->dialled =
        realloc(socket->dialled, (socket->dialled_count + 1) * sizeof *place);
    assert(socket->dialled);
    return &socket->dialled[socket->dialled_count++];
}

static enum err sim_dial(struct socket *socket, const char *url)
{
    assert(strlen(url) < SOCKET_URL_BYTES);
    struct dialled *dialled = place_to_dial(socket);
    dialled->number = ++socket->dial_last;
    memcpy(dialled->url, url, strlen(url) + 1);
    dial_later(socket->world, socket, dialled->number, NS_PER_US);
    return ERR_NONE;
}

static void break_dialled(struct socket *socket, uint32_t number)
{
    struct connection *next = NULL;
    for (struct connection *at = socket->connections; at; at = next) {
        next = at->next_of[side_of(at, socket)];
        if (at->sockets[0] == socket->id && at->dial_number == number) {
            break_connection(socket->world, at);
        }
    }
}

static void sim_undial(struct socket *socket, const char *url)
{
    for (uint32_t i = 0; i < socket->dialled_count; i++) {
        struct dialled *dialled = &socket->dialled[i];
        if (dialled->number != 0 && strcmp(dialled->url, url) == 0) {
            break_dialled(socket, dialled->number);
            dialled->number = 0;
            return;
        }
    }
}

static struct connection *find_pipe(struct socket *socket, uint32_t pipe)
{
    struct connection *at = socket->connections;
    while (at && at->pipes[side_of(at, socket)] != pipe) {
        at = at->next_of[side_of(at, socket)];
    }
    return at;
}

static void sim_drop(struct socket *socket, uint32_t pipe)
{
    struct connection *connection = find_pipe(socket, pipe);
    if (connection) {
        break_connection(socket->world, connection);
    }
}

static void free_packet(struct packet *packet)
{
    free(packet);
}

static struct packet *sim_packet_make(struct socket *socket, size_t length)
{
    (void)socket;
    struct packet *packet = malloc(sizeof *packet + length);
    assert(packet);
    *packet = (struct packet){
        .data = (uint8_t *)(packet + 1), .length = length, .free = free_packet};
    return packet;
}

static struct packet *copy_packet(const struct packet *packet)
{
    struct packet *copy = sim_packet_make(NULL, packet->length);
    memcpy(copy->data, packet->data, packet->length);
    return copy;
}

static void send_to_bus(struct socket *socket, struct packet *packet)
{
    struct world *world = socket->world;
    for (struct connection *at = socket->connections; at;
         at = at->next_of[side_of(at, socket)]) {
        uint32_t side = side_of(at, socket);
        if (at->is_told[side] &&
            at->in_transit[1 - side] < BUS_IN_TRANSIT_MAX) {
            send_on(world, at, side, copy_packet(packet));
        }
    }
    packet_close(&packet);
}

static bool sim_send(struct socket *socket,
                     uint32_t pipe,
                     struct packet *packet)
{
    struct world *world = socket->world;
    if (socket->config.kind == SOCKET_BUS) {
        send_to_bus(socket, packet);
        return true;
    }
    if (socket->config.kind == SOCKET_KNOCK) {
        for (struct connection *at = socket->connections; at;
             at = at->next_of[0]) {
            if (at->is_told[0]) { /* it is always the one that dials */
                send_on(world, at, 0, packet);
                return false;
            }
        }
        packet_close(&socket->request);
        socket->request = packet;
        return false;
    }
    struct connection *connection = find_pipe(socket, pipe);
    if (!connection) {
        packet_close(&packet); /* lost with its connection */
        return true;
    }
    uint32_t side = side_of(connection, socket);
    send_on(world, connection, side, packet);
    if (socket->config.kind != SOCKET_PAIR) {
        return false;
    }
    assert(!socket->is_sending);
    if (seeded_below(&world->random, 2) == 0 &&
        connection->in_transit[1 - side] < IN_TRANSIT_MAX) {
        return true;
    }
    socket->is_sending = true;
    connection->has_waiting_sent[side] = true;
    tell_sent(world, connection, side);
    return false;
}

/* ---- the world ---- */

struct world *world_open(const struct world_config *config)
{
    assert(config->machine_count <= WORLD_MACHINE_COUNT_MAX);
    struct world *world = calloc(1, sizeof *world);
    assert(world);
    world->config = *config;
    world->random.state = config->seed;
    world->now_ns = NS_PER_MS;
    for (uint32_t i = 0; i < config->machine_count; i++) {
        struct machine *machine = &world->machines[i];
        *machine = (struct machine){
            .world = world,
            .index = i,
            .random.state = seeded_u64(&world->random),
            .wake_ns = never_ns,
        };
        machine->clock = (struct clock){.context = machine,
                                        .now_ns = machine_now_ns,
                                        .wall_ms = machine_wall_ms};
        machine->entropy =
            (struct entropy){.context = machine, .fill = machine_fill};
        machine->network = (struct network){.context = machine,
                                            .open = sim_open,
                                            .close = sim_close,
                                            .listen = sim_listen,
                                            .dial = sim_dial,
                                            .undial = sim_undial,
                                            .drop = sim_drop,
                                            .packet_make = sim_packet_make,
                                            .send = sim_send};
    }
    return world;
}

void world_close(struct world **world)
{
    struct world *old = *world;
    while (old->heap_count > 0) {
        struct happening happening = take_first(old);
        packet_close(&happening.packet);
    }
    assert(!old->sockets);
    assert(!old->connections);
    while (old->closed) {
        struct connection *connection = old->closed;
        old->closed = connection->next;
        for (uint32_t i = 0; i < 2; i++) {
            while (connection->stuck[i]) {
                struct stuck_packet *stuck = connection->stuck[i];
                connection->stuck[i] = stuck->next;
                packet_close(&stuck->packet);
                free(stuck);
            }
        }
        free(connection);
    }
    free(old->heap);
    free(old);
    *world = NULL;
}

struct seeded *world_random(struct world *world)
{
    return &world->random;
}

uint64_t world_now_ns(const struct world *world)
{
    return world->now_ns;
}

void world_run_until(struct world *world, uint64_t end_ns)
{
    while (world->heap_count > 0 && world->heap[0].at_ns <= end_ns) {
        struct happening happening = take_first(world);
        assert(happening.at_ns >= world->now_ns);
        world->now_ns = happening.at_ns;
        happening.run(world, &happening);
    }
    world->now_ns = end_ns;
}

static void run_call(struct world *world, struct happening *happening)
{
    (void)world;
    happening->call(happening->context);
}

void world_watch(struct world *world,
                 void (*watch)(void *context, uint32_t machine),
                 void *context)
{
    world->watch = watch;
    world->watcher = context;
}

void world_at(struct world *world,
              uint64_t at_ns,
              void (*run)(void *context),
              void *context)
{
    plan(world,
         (struct happening){
             .at_ns = at_ns, .run = run_call, .call = run, .context = context});
}

const struct clock *world_clock(struct world *world, uint32_t machine)
{
    return &world->machines[machine].clock;
}

const struct entropy *world_entropy(struct world *world, uint32_t machine)
{
    return &world->machines[machine].entropy;
}

const struct network *world_network(struct world *world, uint32_t machine)
{
    return &world->machines[machine].network;
}

struct reactor *world_reactor_open(struct world *world, uint32_t machine)
{
    struct machine *on = &world->machines[machine];
    assert(on->reactor_count < WORLD_REACTOR_COUNT_MAX);
    struct reactor *reactor = NULL;
    enum err err =
        reactor_open(&reactor, &(struct reactor_config){.name = "simulated",
                                                        .clock = &on->clock});
    assert(!err);
    on->reactors[on->reactor_count++] = reactor;
    return reactor;
}

void world_crash(struct world *world, uint32_t machine)
{
    struct connection *next = NULL;
    for (struct connection *at = world->connections; at; at = next) {
        next = at->next;
        if (at->machines[0] == machine || at->machines[1] == machine) {
            break_connection(world, at);
        }
    }
}

void world_power_off(struct world *world, uint32_t machine)
{
    struct machine *off = &world->machines[machine];
    for (uint32_t i = 0; i < off->reactor_count; i++) {
        (void)reactor_turn(off->reactors[i]); /* notices of closed sockets */
        reactor_close(&off->reactors[i]);
    }
    off->reactor_count = 0;
    off->is_on = false;
    off->is_paused = false;
    off->wake_ns = never_ns;
}

void world_power_on(struct world *world, uint32_t machine)
{
    world->machines[machine].is_on = true;
}

bool world_is_on(const struct world *world, uint32_t machine)
{
    return world->machines[machine].is_on;
}

void world_pause(struct world *world, uint32_t machine, bool is_paused)
{
    world->machines[machine].is_paused = is_paused;
    world_poke(world, machine);
}

bool world_is_paused(const struct world *world, uint32_t machine)
{
    return world->machines[machine].is_paused;
}

void world_block(struct world *world, struct world_pair pair, bool is_blocked)
{
    world->is_blocked[pair.from][pair.to] = is_blocked;
}

void world_unblock_all(struct world *world)
{
    memset(world->is_blocked, 0, sizeof world->is_blocked);
    memset(world->delay_ns, 0, sizeof world->delay_ns);
}

void world_cut(struct world *world, struct world_pair pair)
{
    struct connection *next = NULL;
    for (struct connection *at = world->connections; at; at = next) {
        next = at->next;
        bool is_theirs =
            (at->machines[0] == pair.from && at->machines[1] == pair.to) ||
            (at->machines[0] == pair.to && at->machines[1] == pair.from);
        if (is_theirs) {
            break_connection(world, at);
        }
    }
}

void world_delay(struct world *world, struct world_pair pair, uint64_t ns)
{
    world->delay_ns[pair.from][pair.to] = ns;
}

void world_skew(struct world *world, uint32_t machine, int64_t ms)
{
    world->machines[machine].skew_ms = ms;
}

void world_drift(struct world *world, uint32_t machine, int32_t ppm)
{
    struct machine *drifting = &world->machines[machine];
    drifting->drift_base_ns = machine_now_ns(drifting);
    drifting->drift_from_ns = world->now_ns;
    drifting->drift_ppm = ppm;
    world_poke(world, machine); /* its timers are due at other times now */
}
