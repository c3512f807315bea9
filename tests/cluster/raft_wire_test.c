#include "cluster/raft_wire.h"

#include "base/pack.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    struct raft_wire wire;
    uint8_t buffer[4096];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    *state = fixture;
    return fixture ? 0 : -1;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* Written, and read again. */
static enum err pass(struct fixture *fixture,
                     uint32_t group,
                     const struct raft_message *message)
{
    size_t bytes_max = raft_wire_bytes_max(message);
    CHECK(bytes_max <= sizeof fixture->buffer);
    struct writer writer = writer_of(fixture->buffer, bytes_max);
    raft_wire_write(&writer, group, message);
    CHECK(!writer.failed);
    struct reader reader = reader_of(writer_bytes(&writer));
    enum err err = raft_wire_read(&fixture->wire, &reader);
    CHECK(err || reader_left(&reader) == 0);
    return err;
}

static struct raft_message numbers(enum raft_message_kind kind)
{
    return (struct raft_message){
        .kind = kind,
        .from = UINT64_MAX - 1,
        .to = UINT64_MAX - 2,
        .term = UINT64_MAX - 3,
        .index = UINT64_MAX / 2,
        .log_term = UINT64_MAX - 5,
        .commit = UINT64_MAX - 6,
        .round = UINT64_MAX - 7,
        .hint_index = UINT64_MAX - 8,
        .hint_term = UINT64_MAX - 9,
    };
}

static void every_kind_is_the_same_again(void **state)
{
    struct fixture *fixture = *state;
    for (int kind = 0; kind < RAFT_MESSAGE_KIND_COUNT; kind++) {
        for (int flags = 0; flags < 8; flags++) {
            struct raft_message message = numbers((enum raft_message_kind)kind);
            message.is_ok = flags & 1;
            message.is_transfer = flags & 2;
            message.needs_snapshot = flags & 4;
            message.bytes = bytes_of_text("piece");
            CHECK_OK(pass(fixture, UINT32_MAX, &message));
            const struct raft_message *read = &fixture->wire.message;
            CHECK(fixture->wire.group == UINT32_MAX);
            CHECK(read->kind == message.kind && read->from == message.from &&
                  read->to == message.to && read->term == message.term);
            CHECK(read->index == message.index &&
                  read->log_term == message.log_term &&
                  read->commit == message.commit &&
                  read->round == message.round);
            CHECK(read->hint_index == message.hint_index &&
                  read->hint_term == message.hint_term);
            CHECK(read->is_ok == message.is_ok &&
                  read->is_transfer == message.is_transfer &&
                  read->needs_snapshot == message.needs_snapshot);
            CHECK(bytes_are_equal(read->bytes, message.bytes));
            CHECK(read->entry_count == 0);
        }
    }
}

static void entries_get_their_indexes_again(void **state)
{
    struct fixture *fixture = *state;
    struct raft_entry entries[] = {
        {.index = 8, .term = 3, .type = RAFT_NOTHING},
        {.index = 9,
         .term = 3,
         .type = RAFT_COMMANDS,
         .bytes = bytes_of_text("one")},
        {.index = 10,
         .term = 4,
         .type = RAFT_CONFIGURATION,
         .bytes = bytes_of_text("two")},
    };
    struct raft_message message = {.kind = RAFT_APPEND,
                                   .from = 1,
                                   .to = 2,
                                   .term = 4,
                                   .index = 7,
                                   .log_term = 3,
                                   .entries = entries,
                                   .entry_count = 3};
    CHECK_OK(pass(fixture, 5, &message));
    CHECK(fixture->wire.message.entry_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct raft_entry *entry = &fixture->wire.message.entries[i];
        CHECK(entry->index == entries[i].index);
        CHECK(entry->term == entries[i].term);
        CHECK(entry->type == entries[i].type);
        CHECK(bytes_are_equal(entry->bytes, entries[i].bytes));
    }
}

static void what_cannot_be_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct raft_entry entries[] = {{.index = 1, .term = 2},
                                   {.index = 2, .term = 2}};
    struct raft_message good = {.kind = RAFT_APPEND,
                                .from = 1,
                                .to = 2,
                                .term = 3,
                                .entries = entries,
                                .entry_count = 2};
    CHECK_OK(pass(fixture, 1, &good));

    struct raft_message bad = good;
    bad.kind = RAFT_MESSAGE_KIND_COUNT;
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    bad = good;
    bad.kind = RAFT_HEARTBEAT; /* with entries */
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    bad = good;
    bad.from = 0;
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    bad = good;
    bad.term = 1; /* less than its entries' */
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    bad = good;
    bad.log_term = 3; /* more than its entries' */
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    bad = good;
    bad.index = UINT64_MAX - 1; /* behind it there are none */
    CHECK_ERR(pass(fixture, 1, &bad), ERR_MALFORMED);
    entries[1].term = 1; /* less than before */
    CHECK_ERR(pass(fixture, 1, &good), ERR_MALFORMED);
    entries[1].term = 2;
    entries[1].type = (enum raft_entry_type)(RAFT_COMMANDS + 1);
    CHECK_ERR(pass(fixture, 1, &good), ERR_MALFORMED);
}

/* As the next release might send it: each record with a field more. */
static void fields_of_a_newer_release_are_skipped(void **state)
{
    static const uint8_t numbers[] = {1, 2, 4, 9, 3, 9, 0, 0, 0, 0};
    struct fixture *fixture = *state;
    struct writer writer = writer_of(fixture->buffer, sizeof fixture->buffer);
    for (uint64_t group = 1; group <= 2; group++) {
        pack_array(&writer, 15);
        pack_uint(&writer, group);
        pack_uint(&writer, RAFT_APPEND);
        for (size_t i = 0; i < sizeof numbers; i++) {
            pack_uint(&writer, numbers[i]); /* from, to, term ... flags */
        }
        pack_array(&writer, 1);
        pack_array(&writer, 4);
        pack_uint(&writer, 4); /* the entry's term */
        pack_uint(&writer, RAFT_COMMANDS);
        pack_bin(&writer, bytes_of_text("add"));
        pack_map(&writer, 0);
        pack_bin(&writer, bytes_of_text(""));
        pack_array(&writer, 1);
        pack_text(&writer, "new");
    }
    struct reader reader = reader_of(writer_bytes(&writer));
    for (uint32_t group = 1; group <= 2; group++) {
        CHECK_OK(raft_wire_read(&fixture->wire, &reader));
        CHECK(fixture->wire.group == group);
        CHECK(fixture->wire.message.term == 4);
        CHECK(bytes_are_equal(fixture->wire.message.entries[0].bytes,
                              bytes_of_text("add")));
    }
    CHECK(reader_left(&reader) == 0);
}

static void a_cut_message_is_refused_wherever_it_is_cut(void **state)
{
    struct fixture *fixture = *state;
    struct raft_entry entry = {
        .index = 1, .term = 2, .bytes = bytes_of_text("command")};
    struct raft_message message = {.kind = RAFT_APPEND,
                                   .from = 1,
                                   .to = 2,
                                   .term = 300,
                                   .entries = &entry,
                                   .entry_count = 1};
    struct writer writer = writer_of(fixture->buffer, sizeof fixture->buffer);
    raft_wire_write(&writer, 1, &message);
    struct bytes whole = writer_bytes(&writer);
    for (size_t length = 0; length < whole.length; length++) {
        struct reader reader = reader_of(bytes_of(whole.data, length));
        CHECK_ERR(raft_wire_read(&fixture->wire, &reader), ERR_MALFORMED);
    }
}

static void messages_stand_one_behind_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct writer writer = writer_of(fixture->buffer, sizeof fixture->buffer);
    for (uint32_t group = 0; group < 5; group++) {
        raft_wire_write(
            &writer, group,
            &(struct raft_message){
                .kind = RAFT_HEARTBEAT, .from = 1, .to = 2, .term = 9});
    }
    struct reader reader = reader_of(writer_bytes(&writer));
    for (uint32_t group = 0; group < 5; group++) {
        CHECK_OK(raft_wire_read(&fixture->wire, &reader));
        CHECK(fixture->wire.group == group);
        CHECK(fixture->wire.message.term == 9);
    }
    CHECK(reader_left(&reader) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_is_the_same_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(entries_get_their_indexes_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(fields_of_a_newer_release_are_skipped,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_cut_message_is_refused_wherever_it_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_stand_one_behind_the_other,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
