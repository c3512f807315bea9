/*
 * Any bytes as a question of an operator, and its arguments as those of every
 * verb: reading stays within them, and what was read and written again reads
 * the same.
 */

#include <stdlib.h>

#include "node/control_args.h"
#include "node/control_question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

#define ARGS_ALL UINT32_MAX

static void check_within(struct bytes part, struct bytes whole)
{
    MUST(part.length == 0 ||
         (part.data >= whole.data &&
          part.data + part.length <= whole.data + whole.length));
}

static void check_names(struct bytes list)
{
    uint32_t count = 0;
    struct reader reader = control_args_names(list, &count);
    MUST(count <= MEMBER_NUMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char name[CERTIFICATE_NAME_BYTES];
        control_args_next_name(&reader, name);
        MUST(!reader.failed && certificate_name_is_valid(name));
    }
    MUST(reader_left(&reader) == 0);
}

static void check_args(struct bytes bytes)
{
    struct control_args args;
    struct err_detail why = {{0}};
    enum err err = control_args_decode(&args, bytes, 0, ARGS_ALL, &why);
    if (err) {
        MUST(why.text[0] != '\0');
        return;
    }
    check_within(args.type, bytes);
    check_within(args.id, bytes);
    check_names(args.add);
    check_names(args.remove);
    MUST(args.state < MEMBER_STATE_COUNT);
    MUST(args.limit <= 1024);
    MUST(((args.given & ARG_KEY) != 0) == (args.key != 0));
}

static void check_again(const struct control_question *question)
{
    struct control_question again;
    size_t capacity = control_question_bytes_max(question);
    uint8_t *buffer = malloc(capacity);
    MUST(buffer);
    struct writer writer = writer_of(buffer, capacity);
    control_question_encode(question, &writer);
    MUST(!writer.failed);
    MUST(!control_question_decode(&again, writer_bytes(&writer), NULL));
    MUST(strcmp(again.verb, question->verb) == 0);
    MUST(strcmp(again.who, question->who) == 0);
    MUST(again.is_limited == question->is_limited);
    MUST(strcmp(again.pools, question->pools) == 0);
    MUST(bytes_are_equal(again.args, question->args));
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct control_question question;
    struct bytes bytes = bytes_of(data, length);
    if (!control_question_decode(&question, bytes, NULL)) {
        check_within(question.args, bytes);
        check_args(question.args);
        check_again(&question);
    }
    check_args(bytes);
    return 0;
}
