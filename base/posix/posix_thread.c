#include "base/posix/posix_thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct posix_thread {
    pthread_t handle;
    char name[16]; /* the kernel's limit */
    void (*run)(void *argument);
    void *argument;
};

static void *thread_main(void *context)
{
    struct posix_thread *thread = context;
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->argument);
    return NULL;
}

/* Signals of a fault cannot wait: blocked, they would kill unreported. */
static void fill_blocked(sigset_t *blocked)
{
    static const int faults[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                                 SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigfillset(blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sigdelset(blocked, faults[i]);
    }
}

enum err posix_thread_start(struct posix_thread **out,
                            const char *name,
                            void (*run)(void *argument),
                            void *argument)
{
    assert(run);
    struct posix_thread *thread = calloc(1, sizeof *thread);
    if (!thread) {
        return ERR_MEMORY;
    }
    thread->run = run;
    thread->argument = argument;
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);

    /* A new thread inherits the mask: there is no moment without it. */
    sigset_t blocked;
    sigset_t before;
    fill_blocked(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int code = pthread_create(&thread->handle, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code) {
        free(thread);
        return code == EAGAIN ? ERR_LIMIT : ERR_MEMORY;
    }
    *out = thread;
    return ERR_NONE;
}

void posix_thread_join(struct posix_thread **thread)
{
    if (!*thread) {
        return;
    }
    int code = pthread_join((*thread)->handle, NULL);
    assert(code == 0);
    free(*thread);
    *thread = NULL;
}
