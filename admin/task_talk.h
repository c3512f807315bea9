/*
 * Questions to HOST_SERVICE_TASK (shard/task_request.h), asked again while
 * leaders change or nodes are away: they may all be repeated.
 *
 * One thread.
 */

#ifndef ADMIN_TASK_TALK_H
#define ADMIN_TASK_TALK_H

#include "admin/remote.h"

#define TASK_TALK_PATIENCE_MS 60000 /* without any answer */

struct task_talk {
    const struct command *command;
    struct remote *remote;
    bool is_interrupted; /* Ctrl-C, as task_talk_wait() has noticed */
    bool is_in_trouble;  /* and has said so */
};

/* Whether asking again may help. */
bool task_talk_may_pass(enum err err);

/*
 * Ask. `*data` is freed by the caller; with an error it may be NULL, or what
 * the node says.
 *
 * what it has last heard, when patience is over or somebody pressed Ctrl-C
 */
FALLIBLE task_talk_ask(struct task_talk *talk,
                       struct bytes question,
                       uint8_t **data,
                       size_t *length);

/* False: somebody has pressed Ctrl-C, now or before. */
bool task_talk_wait(struct task_talk *talk, uint64_t ms);

/* Say why a question has failed in the end, with what the node says. */
enum exit_code task_talk_failed(const struct task_talk *talk,
                                enum err err,
                                struct bytes says);

#endif
