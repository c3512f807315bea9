/*
 * Any bytes as what is said to a shard's archive and as what it answers:
 * reading stays within them, and what was read and written again reads the
 * same. And as the pieces, outcomes, commands and questions that a machine is
 * given, which must refuse or take them.
 */

#include "shard/archive.h"
#include "shard/counter_map.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define ROOM (2 * ARCHIVE_PIECE_BYTES_MAX)

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_ask(struct bytes bytes, uint8_t *buffer)
{
    struct archive_ask ask;
    struct archive_ask again;
    if (archive_ask_decode(&ask, bytes)) {
        return;
    }
    struct writer writer = writer_of(buffer, ARCHIVE_ASK_BYTES_MAX);
    archive_ask_encode(&ask, &writer);
    MUST(!writer.failed);
    MUST(!archive_ask_decode(&again, writer_bytes(&writer)));
    MUST(again.kind == ask.kind && again.session == ask.session);
    MUST(again.piece == ask.piece && again.digest == ask.digest);
    MUST(strcmp(again.who, ask.who) == 0);
    MUST(bytes_are_equal(again.bytes, ask.bytes));
}

static void check_answer(struct bytes bytes, uint8_t *buffer)
{
    struct archive_answer answer;
    struct archive_answer again;
    struct writer writer = writer_of(buffer, ROOM);
    if (archive_answer_decode(&answer, bytes)) {
        return;
    }
    archive_answer_encode(&answer, &writer);
    MUST(writer.failed ||
         !archive_answer_decode(&again, writer_bytes(&writer)));
    MUST(writer.failed ||
         (again.state == answer.state && again.index == answer.index &&
          again.piece == answer.piece && again.digest == answer.digest &&
          bytes_are_equal(again.bytes, answer.bytes)));
}

static uint64_t now_ns(void *context)
{
    (void)context;
    return 1;
}

static void feed(const struct machine *machine,
                 struct bytes bytes,
                 uint8_t *buffer)
{
    struct machine_stamp stamp = {.wall_ms = 1};
    struct writer answer = writer_of(buffer, ROOM);
    enum err err = machine->read(machine->context, bytes, &answer);
    struct machine_decision decision = {
        .outcome = writer_of(buffer, ROOM / 2),
        .reply = writer_of(buffer + ROOM / 2, ROOM / 2)};
    err = machine->decide(machine->context, &stamp, bytes, &decision);
    struct bytes outcome = writer_bytes(&decision.outcome);
    if (!err && outcome.length > 0) {
        MUST(machine->apply(machine->context, 1, &stamp, outcome) !=
             ERR_MALFORMED);
    }
    (void)machine->apply(machine->context, 2, &stamp, bytes);
    if (!machine->restore_begin(machine->context)) {
        err = machine->restore_piece(machine->context, bytes);
        err = err ? err : machine->restore_piece(machine->context, bytes);
        (void)machine->restore_end(machine->context, !err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t *buffer = malloc(ROOM);
    struct clock clock = {.now_ns = now_ns};
    struct counter_map *map =
        counter_map_open(&(struct counter_map_config){.result_count_max = 4});
    MUST(buffer && map);
    struct machine inner = counter_map_machine(map);
    struct archive *archive = archive_open(&inner, &clock);
    MUST(archive);
    struct machine machine = archive_machine(archive);
    check_ask(bytes_of(data, length), buffer);
    check_answer(bytes_of(data, length), buffer);
    feed(&machine, bytes_of(data, length), buffer);
    archive_close(&archive);
    counter_map_close(&map);
    free(buffer);
    return 0;
}
