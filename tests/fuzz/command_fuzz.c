/*
 * Any bytes as the payload of a command: what is accepted has a program and as
 * many texts as it says, and reading stays within the bytes; and as what a
 * command wrote: its result is MessagePack again.
 */

#include <stdlib.h>

#include "base/pack.h"
#include "node/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static uint32_t count_texts(const struct buffer *texts)
{
    struct bytes bytes = buffer_bytes(texts);
    uint32_t count = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        count += bytes.data[i] == 0;
    }
    MUST(bytes.length == 0 || bytes.data[bytes.length - 1] == 0);
    return count;
}

static void check_payload(struct bytes payload)
{
    struct command command = {0};
    struct err_detail why = {{0}};
    if (command_decode(&command, payload, &why)) {
        MUST(why.text[0]);
        MUST(!command.arguments.data && !command.variables.data);
        return;
    }
    MUST(command.argument_count > 0 && command.program.length > 0);
    MUST(count_texts(&command.arguments) == command.argument_count);
    MUST(count_texts(&command.variables) == command.variable_count);
    MUST(command.input.length == 0 ||
         (command.input.data >= payload.data &&
          command.input.data + command.input.length <=
              payload.data + payload.length));
    command_clear(&command);
}

static void check_result(struct bytes output)
{
    struct buffer buffer = {0};
    size_t half = output.length / 2;
    const struct spawn_ended ended = {
        .end = output.length % 2 ? SPAWN_EXITED : SPAWN_SIGNALLED,
        .code = (int32_t)(output.length % 70),
        .output = bytes_of(output.data, half),
        .errors = bytes_of(output.data + half, output.length - half),
        .cut_bytes = output.length % 3};
    MUST(!command_encode_result(&buffer, &ended));
    struct reader reader = reader_of(buffer_bytes(&buffer));
    pack_skip(&reader);
    MUST(!reader.failed && reader_left(&reader) == 0);
    buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    check_payload(bytes_of(data, length));
    if (length > 0) {
        check_result(bytes_of(data, length));
    }
    return 0;
}
