#include "shard/task_dispatcher.h"

#include "base/time_units.h"

#include <assert.h>
#include <stdlib.h>

#define SHARDS_MAX 4096
#define NODES_MAX 512
#define TURN_TASKS 16 /* that an agent gets before it is another's turn */
#define WATCHER_SLOT_COUNT 1024
#define SILENCE_LOOK_NS (250 * NS_PER_MS)
#define SILENCE_MS_MIN 1000 /* no lease is shorter */
#define ACK_BYTES 32

/* A coordinator that has ready tasks of a pool. */
struct offer {
    struct offer *next;
    struct coordinator *coordinator;
};

/* What an agent takes of a pool. */
struct credit {
    struct credit *next; /* of the desk */
    struct desk *desk;
    uint32_t node;
    uint64_t epoch; /* of the two below, as the agent says */
    uint64_t granted;
    uint64_t given;
    bool is_steal;     /* it wants to hear when there is nothing */
    bool is_told_more; /* it was told last that some are left */
    struct task_parcel parcel;
};

/* A pool. */
struct desk {
    struct desk *next;
    char name[CERTIFICATE_NAME_BYTES];
    struct offer *offers; /* the first is served next */
    struct offer *last_offer;
    struct credit *credits; /* the same */
    struct credit *last_credit;
};

/* The agent of a node. */
struct agent_seen {
    bool is_known;
    uint64_t heard_ns;
    struct task_parcel acks;
    bool is_owed; /* acks: in the list of those */
    struct agent_seen *next_owed;
};

/* A coordinator here. */
struct place {
    struct coordinator *coordinator; /* NULL: none */
    bool is_woken;
    bool is_asking; /* who runs what, since it leads */
    uint8_t asked[NODES_MAX / 8];
    uint8_t answered[NODES_MAX / 8];
};

struct dispatcher {
    struct dispatcher_home home;
    struct coordinator_home coordinators;
    uint32_t self;
    struct desk *desks;
    struct agent_seen *agents; /* NODES_MAX */
    struct agent_seen *owed;
    struct place *places; /* SHARDS_MAX */
    uint32_t *shards;     /* that are led, in no order */
    uint32_t shard_count;
    uint32_t *woken;
    uint32_t woken_count;
    struct task_watcher *watchers[WATCHER_SLOT_COUNT];
    uint64_t silence_ns; /* when it is looked for silent agents */
    uint32_t asking_count;
    uint64_t waits; /* of the coordinators */
    struct dispatcher_stats stats;
};

static bool has_bit(const uint8_t *bits, uint32_t at)
{
    return (bits[at / 8] >> at % 8 & 1) != 0;
}

static void set_bit(uint8_t *bits, uint32_t at)
{
    bits[at / 8] |= (uint8_t)(1u << at % 8);
}

static void wake(const struct dispatcher *dispatcher)
{
    dispatcher->home.wake(dispatcher->home.context);
}

/* ---- desks ---- */

static struct desk *desk_of(struct dispatcher *dispatcher, const char *name)
{
    struct desk *desk = dispatcher->desks;
    while (desk && strcmp(desk->name, name) != 0) {
        desk = desk->next;
    }
    if (!desk) {
        desk = calloc(1, sizeof *desk);
        if (desk) {
            memcpy(desk->name, name, strlen(name) + 1);
            desk->next = dispatcher->desks;
            dispatcher->desks = desk;
        }
    }
    return desk;
}

static void push_offer(struct desk *desk, struct offer *offer)
{
    offer->next = NULL;
    *(desk->last_offer ? &desk->last_offer->next : &desk->offers) = offer;
    desk->last_offer = offer;
}

static struct offer *pop_offer(struct desk *desk)
{
    struct offer *offer = desk->offers;
    desk->offers = offer->next;
    desk->last_offer = desk->offers ? desk->last_offer : NULL;
    return offer;
}

static void push_credit(struct desk *desk, struct credit *credit)
{
    credit->next = NULL;
    *(desk->last_credit ? &desk->last_credit->next : &desk->credits) = credit;
    desk->last_credit = credit;
}

static struct credit *pop_credit(struct desk *desk)
{
    struct credit *credit = desk->credits;
    desk->credits = credit->next;
    desk->last_credit = desk->credits ? desk->last_credit : NULL;
    return credit;
}

static struct credit *credit_of(struct desk *desk, uint32_t node)
{
    struct credit *credit = desk->credits;
    while (credit && credit->node != node) {
        credit = credit->next;
    }
    if (!credit) {
        credit = calloc(1, sizeof *credit);
        if (credit) {
            credit->node = node;
            credit->desk = desk;
            push_credit(desk, credit);
        }
    }
    return credit;
}

static bool has_credit(const struct credit *credit)
{
    return credit->granted > credit->given;
}

static void drop_offers(struct dispatcher *dispatcher,
                        const struct coordinator *coordinator)
{
    for (struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        struct offer *offers = desk->offers;
        desk->offers = NULL;
        desk->last_offer = NULL;
        while (offers) {
            struct offer *next = offers->next;
            if (offers->coordinator == coordinator) {
                free(offers);
            } else {
                push_offer(desk, offers);
            }
            offers = next;
        }
    }
}

/* ---- what coordinators want ---- */

static void on_ready(void *context,
                     struct coordinator *coordinator,
                     const char *pool)
{
    struct dispatcher *dispatcher = context;
    struct desk *desk = desk_of(dispatcher, pool);
    struct offer *offer = desk ? malloc(sizeof *offer) : NULL;
    if (offer) { /* else: when it tells of more */
        *offer = (struct offer){.coordinator = coordinator};
        push_offer(desk, offer);
        wake(dispatcher);
    }
}

static void on_wake(void *context, struct coordinator *coordinator)
{
    struct dispatcher *dispatcher = context;
    uint32_t shard = coordinator_shard(coordinator);
    if (!dispatcher->places[shard].is_woken) {
        dispatcher->places[shard].is_woken = true;
        dispatcher->woken[dispatcher->woken_count++] = shard;
    }
    wake(dispatcher);
}

static void on_ack(void *context,
                   uint32_t agent,
                   uint64_t id,
                   uint64_t token,
                   bool is_recorded)
{
    struct dispatcher *dispatcher = context;
    struct agent_seen *seen = &dispatcher->agents[agent];
    struct task_parcel *acks = &seen->acks;
    if (task_parcel_room(acks, 2 * ACK_BYTES)) {
        return; /* it is said again when the agent asks */
    }
    if (!seen->is_owed) {
        seen->is_owed = true;
        seen->next_owed = dispatcher->owed;
        dispatcher->owed = seen;
    }
    if (acks->count == 0) {
        pack_array(&acks->writer, 2);
        pack_uint(&acks->writer, TASK_ACK);
        task_parcel_begin(acks);
    }
    pack_array(&acks->writer, 3);
    pack_uint(&acks->writer, id);
    pack_uint(&acks->writer, token);
    pack_bool(&acks->writer, is_recorded);
    acks->count++;
    wake(dispatcher);
}

static void on_cancel(void *context,
                      uint32_t agent,
                      uint64_t id,
                      uint64_t token)
{
    struct dispatcher *dispatcher = context;
    uint8_t buffer[ACK_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 3);
    pack_uint(&writer, TASK_CANCEL);
    pack_uint(&writer, id);
    pack_uint(&writer, token);
    /* If it cannot be sent its result is refused all the same. */
    (void)dispatcher->home.send(dispatcher->home.context, agent,
                                writer_bytes(&writer));
}

static const struct task_pools *on_pools(void *context)
{
    const struct dispatcher *dispatcher = context;
    return dispatcher->home.pools(dispatcher->home.context);
}

static uint32_t on_shard_count(void *context)
{
    const struct dispatcher *dispatcher = context;
    return dispatcher->home.shard_count(dispatcher->home.context);
}

static enum err on_propose(void *context, uint32_t shard, struct bytes command)
{
    struct dispatcher *dispatcher = context;
    return dispatcher->home.propose(dispatcher->home.context, shard, command);
}

static void tell_watchers(struct dispatcher *dispatcher,
                          uint64_t id,
                          enum err err,
                          const struct task_end *end)
{
    struct task_watcher **link = &dispatcher->watchers[id % WATCHER_SLOT_COUNT];
    while (*link) {
        struct task_watcher *watcher = *link;
        if (watcher->id == id) {
            *link = watcher->next;
            watcher->is_watching = false;
            watcher->done(watcher, err, end);
            /* It may have watched another one. */
            link = &dispatcher->watchers[id % WATCHER_SLOT_COUNT];
        } else {
            link = &watcher->next;
        }
    }
}

static void on_end(void *context, const struct task *task)
{
    struct dispatcher *dispatcher = context;
    if (dispatcher->watchers[task->id % WATCHER_SLOT_COUNT]) {
        struct task_end end = task_end_of(task);
        tell_watchers(dispatcher, task->id, ERR_NONE, &end);
    }
    /* Tasks of other shards that are led here may wait for it, too. */
    dispatcher_hear_end(dispatcher, task->id, (enum task_state)task->state);
}

static void on_said(void *context,
                    const struct task *task,
                    const struct task_said *said)
{
    const struct dispatcher *dispatcher = context;
    for (struct task_watcher *watcher =
             dispatcher->watchers[task->id % WATCHER_SLOT_COUNT];
         watcher; watcher = watcher->next) {
        if (watcher->id == task->id && watcher->said) {
            watcher->said(watcher, said);
        }
    }
}

static void on_watch(void *context, uint32_t shard, uint64_t id)
{
    struct dispatcher *dispatcher = context;
    const struct coordinator *there =
        dispatcher_find(dispatcher, task_id_shard(id));
    (void)shard;
    if (!there || coordinator_term(there) == 0) {
        dispatcher->home.watch(dispatcher->home.context, id);
        return;
    }
    const struct task *task = book_find(
        coordinator_book(dispatcher->places[task_id_shard(id)].coordinator),
        id);
    if (!task || task->state != TASK_WAITING) {
        dispatcher_hear_end(dispatcher, id,
                            task ? (enum task_state)task->state
                                 : TASK_STATE_COUNT);
    }
}

void dispatcher_hear_end(struct dispatcher *dispatcher,
                         uint64_t id,
                         enum task_state state)
{
    for (uint32_t i = 0; dispatcher->waits > 0 && i < dispatcher->shard_count;
         i++) {
        uint32_t shard = dispatcher->shards[i];
        if (shard != task_id_shard(id)) {
            coordinator_hear_end(dispatcher->places[shard].coordinator, id,
                                 state);
        }
    }
}

/* ---- coordinators ---- */

enum err dispatcher_add(struct dispatcher *dispatcher,
                        uint32_t shard,
                        struct coordinator **out)
{
    struct place *place = &dispatcher->places[shard];
    assert(shard < SHARDS_MAX && !place->coordinator);
    enum err err =
        coordinator_open(&place->coordinator, shard, &dispatcher->coordinators);
    *out = place->coordinator;
    return err;
}

static void forget_led(struct dispatcher *dispatcher, uint32_t shard)
{
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        if (dispatcher->shards[i] == shard) {
            dispatcher->shards[i] =
                dispatcher->shards[--dispatcher->shard_count];
            break;
        }
    }
    if (dispatcher->places[shard].is_asking) {
        dispatcher->places[shard].is_asking = false;
        dispatcher->asking_count--;
    }
}

/* Who waits for a task of a shard that is not led here any more hears so. */
static void release_watchers(struct dispatcher *dispatcher, uint32_t shard)
{
    for (size_t i = 0; i < WATCHER_SLOT_COUNT; i++) {
        struct task_watcher **link = &dispatcher->watchers[i];
        while (*link) {
            struct task_watcher *watcher = *link;
            if (task_id_shard(watcher->id) == shard) {
                *link = watcher->next;
                watcher->is_watching = false;
                watcher->done(watcher, ERR_NOT_LEADER, NULL);
                link = &dispatcher->watchers[i];
            } else {
                link = &watcher->next;
            }
        }
    }
}

void dispatcher_follow(struct dispatcher *dispatcher, uint32_t shard)
{
    struct coordinator *coordinator = dispatcher->places[shard].coordinator;
    if (coordinator) {
        forget_led(dispatcher, shard);
        drop_offers(dispatcher, coordinator);
        coordinator_follow(coordinator);
        release_watchers(dispatcher, shard);
        for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
            coordinator_watch_again(
                dispatcher->places[dispatcher->shards[i]].coordinator, shard);
        }
    }
}

void dispatcher_remove(struct dispatcher *dispatcher, uint32_t shard)
{
    struct place *place = &dispatcher->places[shard];
    if (!place->coordinator) {
        return;
    }
    dispatcher_follow(dispatcher, shard);
    for (uint32_t i = 0; place->is_woken && i < dispatcher->woken_count; i++) {
        if (dispatcher->woken[i] == shard) {
            dispatcher->woken[i] = dispatcher->woken[--dispatcher->woken_count];
            place->is_woken = false;
        }
    }
    coordinator_close(&place->coordinator);
}

static void on_reset(void *context, struct coordinator *coordinator)
{
    dispatcher_follow(context, coordinator_shard(coordinator));
}

struct coordinator *dispatcher_find(const struct dispatcher *dispatcher,
                                    uint32_t shard)
{
    return shard < SHARDS_MAX ? dispatcher->places[shard].coordinator : NULL;
}

void dispatcher_lead(struct dispatcher *dispatcher,
                     uint32_t shard,
                     uint64_t term)
{
    struct place *place = &dispatcher->places[shard];
    assert(place->coordinator);
    dispatcher_follow(dispatcher, shard);
    dispatcher->shards[dispatcher->shard_count++] = shard;
    coordinator_lead(place->coordinator, term);
    place->is_asking = true;
    dispatcher->asking_count++;
    memset(place->asked, 0, sizeof place->asked);
    memset(place->answered, 0, sizeof place->answered);
    wake(dispatcher);
}

void dispatcher_pools_changed(struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        if (dispatcher->places[i].coordinator) {
            coordinator_pools_changed(dispatcher->places[i].coordinator);
        }
    }
}

/* ---- who runs what ---- */

struct asking {
    struct dispatcher *dispatcher;
    struct place *place; /* NULL: all that ask */
    bool is_answered;
};

static void see_answered(void *context, uint32_t node)
{
    struct asking *asking = context;
    asking->is_answered =
        asking->is_answered && has_bit(asking->place->answered, node);
}

static void look_whether_answered(struct dispatcher *dispatcher,
                                  struct place *place)
{
    struct asking asking = {.place = place, .is_answered = true};
    dispatcher->home.each_node(dispatcher->home.context, see_answered, &asking);
    if (asking.is_answered) {
        place->is_asking = false;
        dispatcher->asking_count--;
        coordinator_presented(place->coordinator);
    }
}

static void ask_node(void *context, uint32_t node)
{
    struct asking *asking = context;
    struct dispatcher *dispatcher = asking->dispatcher;
    struct task_parcel parcel = {0};
    if (task_parcel_room(&parcel, 64 + 24 * (size_t)dispatcher->shard_count)) {
        return; /* the time of a lease decides */
    }
    pack_array(&parcel.writer, 2);
    pack_uint(&parcel.writer, TASK_ASK);
    task_parcel_begin(&parcel);
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        uint32_t shard = dispatcher->shards[i];
        const struct place *place = &dispatcher->places[shard];
        uint64_t term = coordinator_term(place->coordinator);
        if (place->is_asking && term != 0 && !has_bit(place->asked, node)) {
            pack_array(&parcel.writer, 2);
            pack_uint(&parcel.writer, shard);
            pack_uint(&parcel.writer, term);
            parcel.count++;
        }
    }
    if (parcel.count > 0 &&
        dispatcher->home.send(dispatcher->home.context, node,
                              task_parcel_end(&parcel))) {
        for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
            set_bit(dispatcher->places[dispatcher->shards[i]].asked, node);
        }
    }
    task_parcel_free(&parcel);
}

static void ask_all(struct dispatcher *dispatcher)
{
    struct asking asking = {.dispatcher = dispatcher};
    if (dispatcher->asking_count > 0) {
        dispatcher->home.each_node(dispatcher->home.context, ask_node, &asking);
    }
}

static void hear_present(struct dispatcher *dispatcher,
                         uint32_t node,
                         struct reader *reader)
{
    uint64_t shard = pack_read_uint_to(reader, SHARDS_MAX - 1);
    uint64_t term = pack_read_uint(reader);
    uint32_t count = pack_read_array(reader);
    struct place *place = &dispatcher->places[shard];
    if (reader->failed || !place->coordinator || term == 0 ||
        coordinator_term(place->coordinator) != term) {
        return; /* of a leader before us */
    }
    for (uint32_t i = 0; i < count; i++) {
        (void)pack_read_array_of(reader, 2, 2);
        uint64_t id = pack_read_uint(reader);
        uint64_t token = pack_read_uint(reader);
        if (!reader->failed) {
            coordinator_present(place->coordinator, node, id, token);
        }
    }
    if (!reader->failed && place->is_asking) {
        set_bit(place->answered, node);
        look_whether_answered(dispatcher, place);
    }
}

/* ---- what agents say ---- */

static struct coordinator *led(const struct dispatcher *dispatcher, uint64_t id)
{
    struct coordinator *coordinator =
        dispatcher_find(dispatcher, task_id_shard(id));
    return coordinator && coordinator_term(coordinator) != 0 ? coordinator
                                                             : NULL;
}

static void hear_finished(struct dispatcher *dispatcher,
                          uint32_t node,
                          struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct task_finish finish;
        task_finish_decode(&finish, reader);
        struct coordinator *coordinator =
            reader->failed ? NULL : led(dispatcher, finish.id);
        /* Not led here (any more): who leads asks for it. */
        if (coordinator) {
            (void)coordinator_finish(coordinator, node, &finish);
        }
    }
}

static void hear_credit(struct dispatcher *dispatcher,
                        uint32_t node,
                        struct reader *reader)
{
    char name[CERTIFICATE_NAME_BYTES];
    pack_read_text(reader, name, sizeof name);
    uint64_t granted = pack_read_uint(reader);
    bool is_steal = pack_read_bool(reader);
    uint64_t epoch = pack_read_uint(reader);
    if (reader->failed ||
        !task_pools_find(on_pools(dispatcher), bytes_of_text(name))) {
        return;
    }
    struct desk *desk = desk_of(dispatcher, name);
    struct credit *credit = desk ? credit_of(desk, node) : NULL;
    if (credit) {
        /* The pool was gone from there in between, and with it its counts. */
        credit->given = credit->epoch == epoch ? credit->given : 0;
        credit->epoch = epoch;
        credit->granted = granted;
        credit->is_steal = is_steal;
        wake(dispatcher);
    }
}

static void hear_progress(struct dispatcher *dispatcher,
                          uint32_t node,
                          struct reader *reader)
{
    uint64_t id = pack_read_uint(reader);
    uint64_t token = pack_read_uint(reader);
    uint32_t done = (uint32_t)pack_read_uint_to(reader, 1000);
    struct bytes text = pack_read_str(reader);
    struct coordinator *coordinator =
        reader->failed ? NULL : led(dispatcher, id);
    if (coordinator) {
        coordinator_progress(coordinator, node, id, token, done, text);
    }
}

enum err dispatcher_receive(struct dispatcher *dispatcher,
                            uint32_t node,
                            struct bytes message)
{
    struct reader reader = reader_of(message);
    enum task_message kind = task_message_read(&reader);
    assert(node < NODES_MAX);
    dispatcher->agents[node].is_known = true;
    dispatcher->agents[node].heard_ns = clock_now_ns(dispatcher->home.clock);
    if (kind == TASK_CREDIT) {
        hear_credit(dispatcher, node, &reader);
    } else if (kind == TASK_FINISHED) {
        hear_finished(dispatcher, node, &reader);
    } else if (kind == TASK_PRESENT) {
        hear_present(dispatcher, node, &reader);
    } else if (kind == TASK_PROGRESS) {
        hear_progress(dispatcher, node, &reader);
    } else if (kind != TASK_ALIVE) {
        reader.failed = true;
    }
    dispatcher->stats.malformed += reader.failed;
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

void dispatcher_node_up(struct dispatcher *dispatcher, uint32_t node)
{
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        struct place *place = &dispatcher->places[dispatcher->shards[i]];
        place->asked[node / 8] &= (uint8_t) ~(1u << node % 8);
    }
    wake(dispatcher);
}

void dispatcher_node_begun(struct dispatcher *dispatcher, uint32_t node)
{
    for (struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        struct credit *credit = credit_of(desk, node);
        if (credit) {
            credit->granted = 0;
            credit->given = 0;
            credit->is_steal = false;
            credit->is_told_more = false;
            task_parcel_clear(&credit->parcel);
        }
    }
    task_parcel_clear(&dispatcher->agents[node].acks);
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        coordinator_agent_gone(
            dispatcher->places[dispatcher->shards[i]].coordinator, node);
    }
    dispatcher_node_up(dispatcher, node);
}

/* ---- bringing tasks to agents ---- */

/* What could not be sent: as if it had not been given. */
static void take_back(struct dispatcher *dispatcher,
                      struct credit *credit,
                      struct bytes message)
{
    struct reader reader = reader_of(message);
    (void)pack_read_array(&reader);
    (void)pack_read_uint(&reader);
    (void)pack_read_str(&reader);
    uint32_t count = pack_read_array(&reader);
    credit->given -= count;
    credit->granted = credit->given; /* until it says so again */
    for (uint32_t i = 0; i < count; i++) {
        struct task_assignment assignment;
        task_assignment_decode(&assignment, &reader);
        assert(!reader.failed);
        struct task_finish finish = {.id = assignment.id,
                                     .token = assignment.token,
                                     .status = RUN_CANCELLED};
        struct coordinator *coordinator =
            dispatcher_find(dispatcher, task_id_shard(assignment.id));
        (void)coordinator_finish(coordinator, credit->node, &finish);
    }
}

static void send_assignments(struct dispatcher *dispatcher,
                             struct credit *credit)
{
    uint64_t ready = credit->node == dispatcher->self
                         ? 0
                         : dispatcher_ready(dispatcher, credit->desk->name);
    /* For thieves; there is room: give() has seen to it. */
    pack_uint(&credit->parcel.writer, ready);
    credit->is_told_more = ready > 0;
    struct bytes message = task_parcel_end(&credit->parcel);
    dispatcher->stats.steals += credit->is_steal;
    credit->is_steal = false;
    if (!dispatcher->home.send(dispatcher->home.context, credit->node,
                               message)) {
        take_back(dispatcher, credit, message);
    }
    task_parcel_clear(&credit->parcel);
}

static void begin_assignments(struct credit *credit)
{
    struct writer *writer = &credit->parcel.writer;
    pack_array(writer, 4);
    pack_uint(writer, TASK_ASSIGN);
    pack_text(writer, credit->desk->name);
    task_parcel_begin(&credit->parcel);
}

/* Some tasks of one coordinator to one agent. False: it had no more. */
static bool give(struct dispatcher *dispatcher,
                 struct coordinator *coordinator,
                 struct credit *credit)
{
    struct task_parcel *parcel = &credit->parcel;
    for (uint32_t i = 0; i < TURN_TASKS && has_credit(credit); i++) {
        struct task_assignment assignment;
        if (!coordinator_take(coordinator, credit->desk->name, credit->node,
                              &assignment)) {
            return false;
        }
        size_t bytes = task_assignment_bytes_max(&assignment);
        credit->given++;
        *(credit->node == dispatcher->self ? &dispatcher->stats.pushed
                                           : &dispatcher->stats.stolen) += 1;
        if (task_parcel_room(parcel, bytes + CERTIFICATE_NAME_BYTES + 32)) {
            credit->given--;
            (void)coordinator_finish(
                coordinator, credit->node,
                &(struct task_finish){.id = assignment.id,
                                      .token = assignment.token,
                                      .status = RUN_CANCELLED});
            return false;
        }
        if (parcel->count == 0) {
            begin_assignments(credit);
        }
        task_assignment_encode(&assignment, &parcel->writer);
        parcel->count++;
        if (task_parcel_bytes(parcel) > TASK_WIRE_BYTES) {
            send_assignments(dispatcher, credit);
        }
    }
    return true;
}

/* The next that has credit, behind which those before it stand now. */
static struct credit *next_credit(struct desk *desk)
{
    for (struct credit *last = desk->last_credit; desk->credits;) {
        struct credit *credit = pop_credit(desk);
        push_credit(desk, credit);
        if (has_credit(credit)) {
            return credit;
        }
        if (credit == last) {
            break;
        }
    }
    return NULL;
}

static void match(struct dispatcher *dispatcher, struct desk *desk)
{
    struct credit *credit = NULL;
    while (desk->offers && (credit = next_credit(desk))) {
        struct offer *offer = pop_offer(desk);
        if (give(dispatcher, offer->coordinator, credit)) {
            push_offer(desk, offer);
        } else {
            free(offer);
        }
    }
}

static void answer_steal(struct dispatcher *dispatcher, struct credit *credit)
{
    uint8_t buffer[CERTIFICATE_NAME_BYTES + 16];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 2);
    pack_uint(&writer, TASK_DRY);
    pack_text(&writer, credit->desk->name);
    credit->is_steal = false;
    dispatcher->stats.dry++;
    (void)dispatcher->home.send(dispatcher->home.context, credit->node,
                                writer_bytes(&writer));
}

/* It was told that some are left, for which it waits, and others got them. */
static bool waits_in_vain(const struct dispatcher *dispatcher,
                          const struct credit *credit)
{
    return credit->is_told_more && has_credit(credit) &&
           dispatcher_ready(dispatcher, credit->desk->name) == 0;
}

static void send_all(struct dispatcher *dispatcher, struct desk *desk)
{
    for (struct credit *credit = desk->credits; credit; credit = credit->next) {
        if (credit->parcel.count > 0) {
            send_assignments(dispatcher, credit);
        } else if (credit->is_steal) {
            answer_steal(dispatcher, credit);
        } else if (waits_in_vain(dispatcher, credit)) {
            begin_assignments(credit); /* of none */
            send_assignments(dispatcher, credit);
        }
    }
}

static void send_acks(struct dispatcher *dispatcher)
{
    while (dispatcher->owed) {
        struct agent_seen *seen = dispatcher->owed;
        dispatcher->owed = seen->next_owed;
        seen->is_owed = false;
        if (seen->acks.count > 0) { /* else its node has begun anew */
            (void)dispatcher->home.send(dispatcher->home.context,
                                        (uint32_t)(seen - dispatcher->agents),
                                        task_parcel_end(&seen->acks));
            task_parcel_clear(&seen->acks);
        }
    }
}

void dispatcher_turn_end(struct dispatcher *dispatcher)
{
    ask_all(dispatcher);
    for (struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        match(dispatcher, desk);
        send_all(dispatcher, desk);
    }
    while (dispatcher->woken_count > 0) {
        uint32_t shard = dispatcher->woken[--dispatcher->woken_count];
        dispatcher->places[shard].is_woken = false;
        coordinator_turn_end(dispatcher->places[shard].coordinator);
    }
    send_acks(dispatcher);
}

/* ---- the clock ---- */

static void ask_again(struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        struct place *place = &dispatcher->places[dispatcher->shards[i]];
        if (place->is_asking) { /* who has answered is asked in vain */
            memcpy(place->asked, place->answered, sizeof place->asked);
            wake(dispatcher);
        }
    }
}

static void look_for_silence(struct dispatcher *dispatcher, uint64_t now_ns)
{
    dispatcher->silence_ns = now_ns + SILENCE_LOOK_NS;
    ask_again(dispatcher);
    for (uint32_t node = 0; node < NODES_MAX; node++) {
        const struct agent_seen *agent = &dispatcher->agents[node];
        uint64_t silent_ms = (now_ns - agent->heard_ns) / NS_PER_MS;
        if (!agent->is_known || silent_ms < SILENCE_MS_MIN) {
            continue;
        }
        for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
            coordinator_agent_silent(
                dispatcher->places[dispatcher->shards[i]].coordinator, node,
                silent_ms);
        }
    }
}

void dispatcher_tick(struct dispatcher *dispatcher)
{
    uint64_t now_ns = clock_now_ns(dispatcher->home.clock);
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        struct place *place = &dispatcher->places[dispatcher->shards[i]];
        if (coordinator_due_ns(place->coordinator) <= now_ns) {
            coordinator_tick(place->coordinator);
        }
    }
    if (now_ns >= dispatcher->silence_ns) {
        look_for_silence(dispatcher, now_ns);
    }
}

uint64_t dispatcher_due_ns(const struct dispatcher *dispatcher)
{
    uint64_t due_ns =
        dispatcher->shard_count > 0 ? dispatcher->silence_ns : UINT64_MAX;
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        uint64_t its_ns = coordinator_due_ns(
            dispatcher->places[dispatcher->shards[i]].coordinator);
        due_ns = its_ns < due_ns ? its_ns : due_ns;
    }
    return due_ns;
}

/* ---- watching ---- */

/* What it has said before anybody watched. */
static void tell_said(const struct coordinator *coordinator,
                      const struct task *task,
                      struct task_watcher *watcher)
{
    struct coordinator_look look = coordinator_look(coordinator, task);
    if (look.said.number != 0) {
        watcher->said(watcher, &look.said);
    }
}

void dispatcher_watch(struct dispatcher *dispatcher,
                      struct task_watcher *watcher)
{
    struct coordinator *coordinator = led(dispatcher, watcher->id);
    struct task *task =
        coordinator ? book_find(coordinator_book(coordinator), watcher->id)
                    : NULL;
    if (!task) {
        watcher->done(watcher, coordinator ? ERR_NOT_FOUND : ERR_NOT_LEADER,
                      NULL);
    } else if (task->state != TASK_WAITING) {
        struct task_end end = task_end_of(task);
        watcher->done(watcher, ERR_NONE, &end);
    } else {
        struct task_watcher **slot =
            &dispatcher->watchers[watcher->id % WATCHER_SLOT_COUNT];
        watcher->next = *slot;
        watcher->is_watching = true;
        *slot = watcher;
        if (watcher->said) {
            tell_said(coordinator, task, watcher);
        }
    }
}

void dispatcher_unwatch(struct dispatcher *dispatcher,
                        struct task_watcher *watcher)
{
    struct task_watcher **link =
        &dispatcher->watchers[watcher->id % WATCHER_SLOT_COUNT];
    if (!watcher->is_watching) {
        return;
    }
    while (*link != watcher) {
        link = &(*link)->next;
    }
    *link = watcher->next;
    watcher->is_watching = false;
}

/* ---- looking ---- */

/* An offer may be of one whose last task went with the last credit. */
bool dispatcher_is_short(const struct dispatcher *dispatcher)
{
    for (const struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        for (const struct offer *offer = desk->offers; offer;
             offer = offer->next) {
            if (coordinator_ready(offer->coordinator, desk->name) > 0) {
                return true;
            }
        }
    }
    return false;
}

bool dispatcher_is_asked(const struct dispatcher *dispatcher, const char *pool)
{
    const struct desk *desk = dispatcher->desks;
    while (desk && strcmp(desk->name, pool) != 0) {
        desk = desk->next;
    }
    const struct credit *credit = desk ? desk->credits : NULL;
    while (credit && credit->granted == 0) {
        credit = credit->next; /* its node has begun anew, and not asked yet */
    }
    return credit != NULL;
}

uint64_t dispatcher_ready(const struct dispatcher *dispatcher, const char *pool)
{
    uint64_t ready = 0;
    for (uint32_t i = 0; i < dispatcher->shard_count; i++) {
        ready += coordinator_ready(
            dispatcher->places[dispatcher->shards[i]].coordinator, pool);
    }
    return ready;
}

void dispatcher_write_load(const struct dispatcher *dispatcher,
                           struct writer *writer)
{
    uint32_t count = 0;
    for (const struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        count += desk->offers != NULL;
    }
    pack_array(writer, count);
    for (const struct desk *desk = dispatcher->desks; desk; desk = desk->next) {
        if (desk->offers) {
            pack_array(writer, 2);
            pack_text(writer, desk->name);
            pack_uint(writer, dispatcher_ready(dispatcher, desk->name));
        }
    }
}

const struct dispatcher_stats *dispatcher_stats(
    const struct dispatcher *dispatcher)
{
    return &dispatcher->stats;
}

void dispatcher_agents_each(const struct dispatcher *dispatcher,
                            void (*visit)(void *context,
                                          const struct dispatcher_agent *agent),
                            void *context)
{
    uint64_t now_ns = clock_now_ns(dispatcher->home.clock);
    for (uint32_t node = 0; node < NODES_MAX; node++) {
        struct dispatcher_agent seen = {.node = node};
        if (!dispatcher->agents[node].is_known) {
            continue;
        }
        seen.heard_ms_ago =
            (now_ns - dispatcher->agents[node].heard_ns) / NS_PER_MS;
        for (const struct desk *desk = dispatcher->desks; desk;
             desk = desk->next) {
            for (const struct credit *credit = desk->credits; credit;
                 credit = credit->next) {
                seen.credit += credit->node == node && has_credit(credit)
                                   ? credit->granted - credit->given
                                   : 0;
            }
        }
        visit(context, &seen);
    }
}

/* ---- life ---- */

enum err dispatcher_open(struct dispatcher **out,
                         const struct dispatcher_home *home)
{
    struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);
    if (!dispatcher) {
        return ERR_MEMORY;
    }
    dispatcher->home = *home;
    dispatcher->coordinators =
        (struct coordinator_home){.context = dispatcher,
                                  .clock = home->clock,
                                  .entropy = home->entropy,
                                  .pools = on_pools,
                                  .shard_count = on_shard_count,
                                  .propose = on_propose,
                                  .on_ready = on_ready,
                                  .wake = on_wake,
                                  .ack = on_ack,
                                  .cancel = on_cancel,
                                  .on_end = on_end,
                                  .on_said = on_said,
                                  .watch = on_watch,
                                  .waits = &dispatcher->waits,
                                  .on_reset = on_reset};
#ifdef TROUPE_FAULTS
    dispatcher->coordinators.fault = home->fault;
#endif
    dispatcher->agents = calloc(NODES_MAX, sizeof *dispatcher->agents);
    dispatcher->places = calloc(SHARDS_MAX, sizeof *dispatcher->places);
    dispatcher->shards = calloc(SHARDS_MAX, sizeof *dispatcher->shards);
    dispatcher->woken = calloc(SHARDS_MAX, sizeof *dispatcher->woken);
    if (!dispatcher->agents || !dispatcher->places || !dispatcher->shards ||
        !dispatcher->woken) {
        dispatcher_close(&dispatcher);
        return ERR_MEMORY;
    }
    dispatcher->self = UINT32_MAX;
    *out = dispatcher;
    return ERR_NONE;
}

void dispatcher_set_self(struct dispatcher *dispatcher, uint32_t node)
{
    dispatcher->self = node;
}

static void free_desk(struct desk *desk)
{
    while (desk->offers) {
        free(pop_offer(desk));
    }
    while (desk->credits) {
        struct credit *credit = pop_credit(desk);
        task_parcel_free(&credit->parcel);
        free(credit);
    }
    free(desk);
}

void dispatcher_close(struct dispatcher **dispatcher)
{
    if (!*dispatcher) {
        return;
    }
    for (uint32_t i = 0; (*dispatcher)->places && i < SHARDS_MAX; i++) {
        dispatcher_remove(*dispatcher, i);
    }
    assert((*dispatcher)->waits == 0);
    while ((*dispatcher)->desks) {
        struct desk *desk = (*dispatcher)->desks;
        (*dispatcher)->desks = desk->next;
        free_desk(desk);
    }
    for (uint32_t i = 0; (*dispatcher)->agents && i < NODES_MAX; i++) {
        task_parcel_free(&(*dispatcher)->agents[i].acks);
    }
    free((*dispatcher)->agents);
    free((*dispatcher)->places);
    free((*dispatcher)->shards);
    free((*dispatcher)->woken);
    free(*dispatcher);
    *dispatcher = NULL;
}
