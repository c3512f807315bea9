/*
 * Any bytes as what a spawner hears from the host of a plug-in, which may have
 * been written over: reading stays within them, texts end, and what was read
 * and written again is the same.
 */

#include <stdlib.h>
#include <string.h>

#include "base/spawn_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_texts(const struct spawn_texts *texts)
{
    const char *at = (const char *)texts->bytes.data;
    size_t bytes = 0;
    for (uint32_t i = 0; i < texts->count; i++) {
        bytes += strlen(at + bytes) + 1;
    }
    MUST(bytes == texts->bytes.length);
}

static enum err put_again(struct buffer *to, struct bytes message)
{
    struct spawn_command command;
    struct spawn_plugin plugin;
    struct spawn_ended ended;
    struct spawn_progress progress;
    struct spawn_look look;
    struct spawn_looked looked;
    enum err err = ERR_MALFORMED;
    switch (spawn_wire_kind(message)) {
    case SPAWN_COMMAND:
        err = spawn_wire_get_command(&command, message);
        if (!err) {
            check_texts(&command.arguments);
            check_texts(&command.variables);
        }
        return err ? err : spawn_wire_put_command(to, &command);
    case SPAWN_PLUGIN:
        err = spawn_wire_get_plugin(&plugin, message);
        return err ? err : spawn_wire_put_plugin(to, &plugin);
    case SPAWN_ENDED:
        err = spawn_wire_get_ended(&ended, message);
        return err ? err : spawn_wire_put_ended(to, &ended);
    case SPAWN_PROGRESS:
        err = spawn_wire_get_progress(&progress, message);
        return err ? err : spawn_wire_put_progress(to, &progress);
    case SPAWN_LOOK:
        err = spawn_wire_get_look(&look, message);
        return err ? err : spawn_wire_put_look(to, &look);
    case SPAWN_LOOKED:
        err = spawn_wire_get_looked(&looked, message);
        return err ? err : spawn_wire_put_looked(to, &looked);
    default:
        return err;
    }
}

static void check_message(struct bytes message)
{
    struct buffer once = {0};
    struct buffer twice = {0};
    struct bytes again = {0};
    enum err err = ERR_NONE;
    if (!put_again(&once, message)) {
        MUST(spawn_wire_next(&once, &again, &err));
        MUST(!put_again(&twice, again));
        MUST(bytes_are_equal(buffer_bytes(&once), buffer_bytes(&twice)));
    }
    buffer_clear(&once);
    buffer_clear(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct buffer buffer = {0};
    struct bytes message = {0};
    enum err err = ERR_NONE;
    check_message(bytes_of(data, length));
    MUST(!buffer_append(&buffer, bytes_of(data, length)));
    while (spawn_wire_next(&buffer, &message, &err)) {
        check_message(message);
        spawn_wire_take(&buffer, message);
    }
    MUST(err == ERR_NONE || err == ERR_TOO_LARGE);
    buffer_clear(&buffer);
    return 0;
}
