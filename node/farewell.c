#include "node/farewell.h"

#include "base/owner.h"

#include <stdlib.h>

/* One client that was told. */
struct told {
    struct farewell *farewell;
    struct call call;
    struct told *next;
    struct told *previous;
};

struct farewell {
    struct calls *calls;
    struct endpoint *endpoint;
    struct told *told; /* those who have not answered */
    bool is_said;
};

static void drop(struct told *told)
{
    struct farewell *farewell = told->farewell;
    if (told->next) {
        told->next->previous = told->previous;
    }
    *(told->previous ? &told->previous->next : &farewell->told) = told->next;
    free(told);
}

static void on_answer(struct call *call, enum err err, struct bytes answer)
{
    (void)err; /* it was told, or has gone */
    (void)answer;
    drop(OWNER_OF(call, struct told, call));
}

static void tell(void *context, struct peer *peer)
{
    struct farewell *farewell = context;
    if (peer_role(peer) == ROLE_NODE || !peer_is_up(peer)) {
        return;
    }
    struct told *told = calloc(1, sizeof *told);
    if (!told) {
        return; /* it will notice */
    }
    told->farewell = farewell;
    told->call.done = on_answer;
    if (calls_ask(farewell->calls, peer, CALLS_SERVICE_LEAVING,
                  (struct bytes){0}, FAREWELL_MS, &told->call)) {
        free(told);
        return;
    }
    told->next = farewell->told;
    if (told->next) {
        told->next->previous = told;
    }
    farewell->told = told;
}

void farewell_say(struct farewell *farewell)
{
    if (!farewell->is_said) {
        farewell->is_said = true;
        endpoint_peer_each(farewell->endpoint, tell, farewell);
    }
}

bool farewell_is_over(const struct farewell *farewell)
{
    return farewell->is_said && !farewell->told;
}

enum err farewell_open(struct farewell **out,
                       struct calls *calls,
                       struct endpoint *endpoint)
{
    struct farewell *farewell = calloc(1, sizeof *farewell);
    if (!farewell) {
        return ERR_MEMORY;
    }
    farewell->calls = calls;
    farewell->endpoint = endpoint;
    *out = farewell;
    return ERR_NONE;
}

void farewell_close(struct farewell **farewell)
{
    if (!*farewell) {
        return;
    }
    while ((*farewell)->told) {
        calls_cancel((*farewell)->calls, &(*farewell)->told->call);
        drop((*farewell)->told);
    }
    free(*farewell);
    *farewell = NULL;
}
