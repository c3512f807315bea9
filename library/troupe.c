#include "troupe/troupe.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_latch.h"
#include "library/handle.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

enum troupe_error handle_error(enum err err)
{
    static_assert((int)TROUPE_ERR_REFUSED + 1 == (int)ERR_COUNT,
                  "troupe/troupe.h has all of them");
#define X(code, text) \
    static_assert((int)TROUPE_##code == (int)code, "the same numbers");
    ERR_LIST(X)
#undef X
    return (enum troupe_error)err;
}

const char *troupe_error_text(enum troupe_error error)
{
    bool is_ours = (unsigned)error < ERR_COUNT;
    return is_ours ? err_text((enum err)error) : "an error of a newer release";
}

void handle_say(struct troupe_why *why,
                enum err err,
                const struct err_detail *detail)
{
    if (why) {
        (void)snprintf(why->text, sizeof why->text, "%s",
                       detail->text[0] ? detail->text : err_text(err));
    }
}

const char *troupe_version(void)
{
    return TROUPE_VERSION;
}

/* ---- life ---- */

struct arrival {
    struct reactor_event event;
    struct troupe *troupe;
    struct posix_latch latch;
};

static void run_arrival(struct reactor_event *event)
{
    struct arrival *arrival = OWNER_OF(event, struct arrival, event);
    arrival->troupe->thread = pthread_self();
    posix_latch_count(&arrival->latch);
}

/* Which thread is the reactor's. */
static void learn_thread(struct troupe *troupe)
{
    struct arrival arrival = {.event.run = run_arrival, .troupe = troupe};
    posix_latch_init(&arrival.latch, 1);
    reactor_post(troupe->reactor, &arrival.event);
    posix_latch_wait(&arrival.latch);
    posix_latch_clear(&arrival.latch);
}

enum err handle_open(struct troupe **out,
                     const struct troupe *parts,
                     const struct desk_way *way)
{
    struct troupe *troupe = malloc(sizeof *troupe);
    if (!troupe) {
        return ERR_MEMORY;
    }
    *troupe = *parts;
    troupe->clock = posix_clock();
    struct desk_config config = {.reactor = troupe->reactor,
                                 .clock = troupe->clock,
                                 .entropy = posix_entropy(),
                                 .way = *way};
    enum err err = desk_open(&troupe->desk, &config);
    if (err) {
        free(troupe);
        return err;
    }
    learn_thread(troupe);
    *out = troupe;
    return ERR_NONE;
}

struct stopping {
    struct desk_stop stop;
    struct posix_latch latch;
};

static void on_stopped(struct desk_stop *stop)
{
    struct stopping *stopping = OWNER_OF(stop, struct stopping, stop);
    posix_latch_count(&stopping->latch);
}

void troupe_close(struct troupe **troupe)
{
    struct troupe *old = *troupe;
    if (!old) {
        return;
    }
    assert(!pthread_equal(old->thread, pthread_self()));
    struct stopping stopping = {.stop.stopped = on_stopped};
    posix_latch_init(&stopping.latch, 1);
    desk_stop(old->desk, &stopping.stop);
    posix_latch_wait(&stopping.latch);
    posix_latch_clear(&stopping.latch);
    old->stop(old->base);
    desk_close(&old->desk);
    old->free(old->base);
    free(old);
    *troupe = NULL;
}
