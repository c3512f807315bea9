#include "admin/task_talk.h"

#include "admin/human.h"
#include "admin/interrupt.h"
#include "base/time_units.h"
#include "shard/host_service.h"

#include <stdlib.h>

#define AGAIN_MS 200

bool task_talk_may_pass(enum err err)
{
    switch (err) {
    case ERR_UNCERTAIN:
    case ERR_TIMEOUT:
    case ERR_UNREACHABLE:
    case ERR_NO_QUORUM:
    case ERR_BUSY:
    case ERR_NOT_LEADER:
    case ERR_CLOSED:
        return true;
    default:
        return false;
    }
}

bool task_talk_wait(struct task_talk *talk, uint64_t ms)
{
    const struct interrupt *interrupt = talk->command->world->interrupt;
    talk->is_interrupted =
        talk->is_interrupted || !interrupt->wait(interrupt->context, ms);
    return !talk->is_interrupted;
}

/* Who looks on would wonder; once is enough. */
static void say_trouble(struct task_talk *talk, enum err err)
{
    const struct command_world *world = talk->command->world;
    if (!talk->is_in_trouble) {
        /* A line that shows progress may stand there. */
        (void)fputs(world->talk_is_terminal ? "\r\033[K" : "", world->talk);
        command_say(talk->command,
                    "no answer just now: %s (%s); it is asked again for %d s",
                    err_text(err), err_name(err),
                    (int)(TASK_TALK_PATIENCE_MS / MS_PER_S));
    }
    talk->is_in_trouble = true;
}

enum err task_talk_ask(struct task_talk *talk,
                       struct bytes question,
                       uint8_t **data,
                       size_t *length)
{
    const struct clock *clock = talk->command->world->clock;
    uint64_t until_ns = clock_now_ns(clock) + TASK_TALK_PATIENCE_MS * NS_PER_MS;
    enum err err = remote_ask_service(talk->remote, HOST_SERVICE_TASK, question,
                                      data, length);
    while (task_talk_may_pass(err) && clock_now_ns(clock) < until_ns) {
        say_trouble(talk, err);
        if (!task_talk_wait(talk, AGAIN_MS)) {
            return err;
        }
        free(*data);
        *data = NULL;
        err = remote_ask_service(talk->remote, HOST_SERVICE_TASK, question,
                                 data, length);
    }
    talk->is_in_trouble = talk->is_in_trouble && err;
    return err;
}

enum exit_code task_talk_failed(const struct task_talk *talk,
                                enum err err,
                                struct bytes says)
{
    char text[256];
    size_t length = says.length < sizeof text ? says.length : sizeof text - 1;
    if (length > 0) {
        memcpy(text, says.data, length);
    }
    text[length] = '\0';
    human_clean(text);
    command_say(talk->command, "%s: %s (%s)", remote_node(talk->remote),
                text[0] ? text : err_text(err), err_name(err));
    /* A name on the command line that does not exist. */
    return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of_change(err);
}
