/*
 * Commands that look again and again until something has come to be.
 *
 * Ctrl-C ends the waiting and nothing else. That looking fails now and then, as
 * leaders change, ends nothing either.
 */

#ifndef ADMIN_WAITING_H
#define ADMIN_WAITING_H

#include "admin/remote.h"

#define WAITING_FLAGS                                                     \
    {                                                                     \
        .name = "deadline", .value = "TIME",                              \
        .text = "wait no longer than, say, 5m; what goes on goes on then" \
    }

struct waiting {
    const struct command *command;
    uint64_t deadline_ms; /* 0: none */
    uint64_t pause_ms;    /* between looks; 0: a second */
    const char *goes_on;  /* said when it ends too early: what to do then */
    /*
     * Look once. `why` is for what remote_try() says; anything else it says
     * itself, with an empty `why`.
     */
    enum exit_code (*look)(void *context,
                           bool *is_done,
                           struct err_detail *why);
    void *context;
};

/* --deadline, or 0. */
enum exit_code waiting_take_deadline(uint64_t *out_ms,
                                     const struct command *command);

/* Link, having taken Ctrl-C in hand before a thread is there. */
enum exit_code waiting_open(struct remote **out, const struct command *command);

/*
 * EXIT_CODE_TIMEOUT   the deadline has passed
 * EXIT_CODE_PARTIAL   somebody pressed Ctrl-C
 * what `look` says
 */
enum exit_code waiting_run(const struct waiting *waiting);

/* command_confirm() in a command that waits: Ctrl-C ends it there. */
bool waiting_confirm(const struct command *command, const char *word);

#endif
