#include "admin/task_verbs.h"

#include "admin/waiting.h"
#include "base/pack.h"
#include "base/scope.h"
#include "shard/task_request.h"

#include <inttypes.h>
#include <stdlib.h>

static enum exit_code change_some(struct task_talk *talk,
                                  enum book_request_kind kind,
                                  const uint64_t *ids,
                                  uint32_t count,
                                  uint64_t *changed)
{
    uint8_t *data = NULL;
    size_t length = 0;
    size_t bytes = task_await_bytes_max(count); /* as many ids */
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        return command_failed(talk->command, ERR_MEMORY, "the question");
    }
    struct writer writer = writer_of(buffer, bytes);
    task_change_encode(&writer, kind, ids, count);
    enum err err = task_talk_ask(talk, writer_bytes(&writer), &data, &length);
    free(buffer);
    struct reader reader = reader_of(bytes_of(data, length));
    if (!err) {
        *changed += pack_read_uint(&reader);
        err = reader.failed ? ERR_MALFORMED : ERR_NONE;
    }
    enum exit_code code =
        err ? task_talk_failed(
                  talk, err, bytes_of(data, err == ERR_MALFORMED ? 0 : length))
            : EXIT_CODE_OK;
    free(data);
    return code;
}

enum exit_code task_change(struct task_talk *talk,
                           enum book_request_kind kind,
                           const uint64_t *ids,
                           uint64_t count,
                           uint64_t *changed)
{
    enum exit_code code = EXIT_CODE_OK;
    for (uint64_t at = 0; at < count && !code;) {
        uint64_t left = count - at;
        uint32_t now =
            left < TASK_REQUEST_IDS_MAX ? (uint32_t)left : TASK_REQUEST_IDS_MAX;
        code = change_some(talk, kind, ids + at, now, changed);
        at += now;
    }
    return code;
}

static enum exit_code take_ids(uint64_t *ids, const struct command *command)
{
    enum exit_code code = EXIT_CODE_OK;
    for (uint32_t i = 0; i < command->operand_count && !code; i++) {
        code = task_take_id(&ids[i], command, command_operand(command, i));
    }
    return code;
}

static enum exit_code run(const struct command *command,
                          enum book_request_kind kind,
                          const char *done,
                          const char *others)
{
    uint64_t changed = 0;
    scoped(remote_close) struct remote *remote = NULL;
    uint64_t *ids = calloc(command->operand_count, sizeof *ids);
    enum exit_code code = ids ? take_ids(ids, command)
                              : command_failed(command, ERR_MEMORY, "tasks");
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (!code) {
        struct task_talk talk = {.command = command, .remote = remote};
        code = task_change(&talk, kind, ids, command->operand_count, &changed);
    }
    free(ids);
    if (code) {
        return code;
    }
    fprintf(command->world->talk, "%" PRIu64 " of %" PRIu32 " tasks %s%s\n",
            changed, command->operand_count, done,
            changed < command->operand_count ? others : ".");
    return changed == command->operand_count ? EXIT_CODE_OK
           : changed > 0                     ? EXIT_CODE_PARTIAL
                                             : EXIT_CODE_REFUSED;
}

enum exit_code task_cancel_run(const struct command *command)
{
    return run(command, BOOK_CANCEL, "cancelled",
               "; the others have ended already, or never were.");
}

enum exit_code task_retry_run(const struct command *command)
{
    return run(command, BOOK_RETRY, "wait again",
               "; the others are no dead letters.");
}
