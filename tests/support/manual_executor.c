#include "tests/support/manual_executor.h"

#include <assert.h>
#include <string.h>

#include "base/owner.h"

static void on_back(struct reactor_event *event)
{
    struct job *job = OWNER_OF(event, struct job, back);
    job->done(job);
}

static void run(void *context, struct job *job)
{
    struct manual_executor *executor = context;
    assert(executor->count < MANUAL_EXECUTOR_JOB_COUNT_MAX);
    executor->jobs[executor->count++] = job;
}

struct executor manual_executor_table(struct manual_executor *executor)
{
    return (struct executor){.context = executor, .run = run};
}

bool manual_executor_step(struct manual_executor *executor)
{
    if (executor->count == 0) {
        return false;
    }
    struct job *job = executor->jobs[0];
    executor->count--;
    memmove(&executor->jobs[0], &executor->jobs[1],
            executor->count * sizeof(struct job *));
    job->work(job);
    job->back.run = on_back;
    reactor_post(job->home, &job->back);
    return true;
}

void manual_executor_drop(struct manual_executor *executor)
{
    executor->count = 0;
}
