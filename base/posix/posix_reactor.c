#include "base/posix/posix_reactor.h"

#include <assert.h>
#include <stdlib.h>

#include "base/posix/posix_clock.h"
#include "base/posix/posix_thread.h"
#include "base/posix/posix_waker.h"
#include "base/scope.h"

struct posix_reactor {
    const char *name;
    struct posix_waker *waker;
    struct reactor *reactor;
    struct posix_thread *thread; /* NULL: it does not run */
};

enum err posix_reactor_open(struct posix_reactor **out, const char *name)
{
    scoped(posix_reactor_close) struct posix_reactor *runner =
        calloc(1, sizeof *runner);
    if (!runner) {
        return ERR_MEMORY;
    }
    runner->name = name;
    enum err err = posix_waker_open(&runner->waker);
    if (err) {
        return err;
    }
    struct reactor_config config = {.name = name,
                                    .clock = posix_clock(),
                                    .waker = posix_waker_table(runner->waker)};
    err = reactor_open(&runner->reactor, &config);
    if (err) {
        return err;
    }
    *out = runner;
    runner = NULL; /* the caller owns it now */
    return ERR_NONE;
}

struct reactor *posix_reactor_get(const struct posix_reactor *runner)
{
    return runner->reactor;
}

static void run(void *argument)
{
    reactor_run(argument);
}

enum err posix_reactor_start(struct posix_reactor *runner)
{
    assert(!runner->thread);
    return posix_thread_start(&runner->thread, runner->name, run,
                              runner->reactor);
}

void posix_reactor_stop(struct posix_reactor *runner)
{
    if (runner && runner->thread) {
        reactor_stop(runner->reactor);
        posix_thread_join(&runner->thread);
    }
}

void posix_reactor_close(struct posix_reactor **runner)
{
    if (!*runner) {
        return;
    }
    posix_reactor_stop(*runner);
    reactor_close(&(*runner)->reactor);
    posix_waker_close(&(*runner)->waker);
    free(*runner);
    *runner = NULL;
}
