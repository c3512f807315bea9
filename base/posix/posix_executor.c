#include "base/posix/posix_executor.h"

#include <stdlib.h>

#include "base/owner.h"
#include "base/posix/posix_reactor.h"
#include "base/scope.h"

struct posix_executor {
    struct posix_reactor *runner;
    struct executor table;
};

static void on_back(struct reactor_event *event)
{
    struct job *job = OWNER_OF(event, struct job, back);
    job->done(job);
}

static void on_there(struct reactor_event *event)
{
    struct job *job = OWNER_OF(event, struct job, there);
    job->work(job);
    job->back.run = on_back;
    reactor_post(job->home, &job->back);
}

static void run(void *context, struct job *job)
{
    struct posix_executor *executor = context;
    job->there.run = on_there;
    reactor_post(posix_reactor_get(executor->runner), &job->there);
}

enum err posix_executor_open(struct posix_executor **out, const char *name)
{
    scoped(posix_executor_close) struct posix_executor *executor =
        calloc(1, sizeof *executor);
    if (!executor) {
        return ERR_MEMORY;
    }
    executor->table = (struct executor){.context = executor, .run = run};
    enum err err = posix_reactor_open(&executor->runner, name);
    if (!err) {
        err = posix_reactor_start(executor->runner);
    }
    if (err) {
        return err;
    }
    *out = executor;
    executor = NULL; /* the caller owns it now */
    return ERR_NONE;
}

const struct executor *posix_executor_table(
    const struct posix_executor *executor)
{
    return &executor->table;
}

void posix_executor_close(struct posix_executor **executor)
{
    if (*executor) {
        posix_reactor_close(&(*executor)->runner);
        free(*executor);
        *executor = NULL;
    }
}
