#include "tests/support/check.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "admin/config_command.h"
#include "admin/store_command.h"
#include "base/hash.h"
#include "base/posix/posix_files.h"
#include "base/time_units.h"
#include "store/data_folder.h"
#include "store/group_mark.h"
#include "store/posix_disk.h"
#include "store/raft_entry.h"
#include "store/rocks_kv.h"
#include "store/row.h"
#include "store/snapshot_head.h"
#include "store/wal_format.h"
#include "tests/support/terminal.h"
#include "tests/support/test_log.h"

#define LAST_INDEX 40 /* of group 1 */
#define SNAPSHOT_INDEX 10
#define STAMP_MS INT64_C(1795260600250)
#define OUTCOME_BYTES 200
#define ENTRY_BYTES (28 + 9 + 4 + OUTCOME_BYTES) /* a record's */
#define NOBODY 65534

struct fixture {
    struct terminal terminal;
    char root[256]; /* the node's folder */
};

static const struct command_noun *const nouns[] = {&config_command,
                                                   &store_command, NULL};

static int run(struct fixture *fixture, const char *line)
{
    return terminal_run(&fixture->terminal, line);
}

static bool says(const char *where, const char *what)
{
    return strstr(where, what) != NULL;
}

static size_t line_count(const char *text)
{
    size_t count = 0;
    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

/* ---- a node's folder ---- */

static const struct raft_configuration members = {
    .next_number = 4,
    .count = 3,
    .members = {{.number = 1, .node = 0, .disk_id = 7, .is_voter = true},
                {.number = 2, .node = 1, .disk_id = 8, .is_voter = true},
                {.number = 3, .node = 2, .disk_id = 9, .is_voter = false}}};

static void append_entry(struct wal *log, uint32_t group, uint64_t index)
{
    uint8_t bytes[RAFT_ENTRY_COMMANDS_BYTES + RAFT_ENTRY_OUTCOME_BYTES +
                  OUTCOME_BYTES];
    uint8_t *outcome = bytes + RAFT_ENTRY_COMMANDS_BYTES;
    raft_entry_commands_encode(bytes, STAMP_MS);
    raft_entry_outcome_encode(outcome, OUTCOME_BYTES);
    memset(outcome + RAFT_ENTRY_OUTCOME_BYTES, 'a' + (int)(index % 26),
           OUTCOME_BYTES);
    struct wal_record record = {.kind = WAL_ENTRY,
                                .group = group,
                                .type = RAFT_COMMANDS,
                                .index = index,
                                .term = 3,
                                .bytes = bytes_of(bytes, sizeof bytes)};
    (void)wal_append(log, &record);
}

static void append_snapshot(struct wal *log, uint32_t group, uint64_t index)
{
    uint8_t buffer[GROUP_MARK_BYTES_MAX];
    struct group_mark mark = {.number = 1, .configuration = members};
    struct wal_record record = {.kind = WAL_SNAPSHOT,
                                .group = group,
                                .index = index,
                                .term = index > 0 ? 3 : 0,
                                .bytes = group_mark_encode(buffer, &mark)};
    (void)wal_append(log, &record);
}

static void append_configuration(struct wal *log)
{
    uint8_t bytes[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(bytes, sizeof bytes);
    raft_configuration_encode(&members, &writer);
    struct wal_record record = {.kind = WAL_ENTRY,
                                .group = 2,
                                .type = RAFT_CONFIGURATION,
                                .index = 1,
                                .term = 1,
                                .bytes = writer_bytes(&writer)};
    (void)wal_append(log, &record);
}

static void write_log(struct data_folder *folder)
{
    struct test_log test;
    struct posix_disk *disk = NULL;
    CHECK_OK(posix_disk_open(&disk, data_folder_log(folder)));
    test_log_init(&test, posix_disk_table(disk));
    test.config.disk_id = data_folder_disk_id(folder);
    CHECK_OK(test_log_open(&test));
    CHECK_OK(data_folder_log_made(folder));
    append_snapshot(test.log, 1, 0);
    append_snapshot(test.log, 2, 0);
    append_configuration(test.log);
    struct wal_record vote = {
        .kind = WAL_VOTE, .group = 1, .term = 3, .vote = 2};
    (void)wal_append(test.log, &vote);
    test_log_settle(&test);
    for (uint64_t index = 1; index <= LAST_INDEX; index++) {
        append_entry(test.log, 1, index);
        test_log_settle(&test);
    }
    append_snapshot(test.log, 1, SNAPSHOT_INDEX);
    append_entry(test.log, 2, 2);
    test_log_settle(&test);
    append_entry(test.log, 2, 3);
    test_log_settle(&test);
    CHECK(wal_stats(test.log).segment_count >= 3);
    test_log_clear(&test);
    posix_disk_close(&disk);
}

static void put_row(const struct kv *kv,
                    const struct row_key *row,
                    struct bytes value)
{
    uint8_t buffer[KV_KEY_BYTES_MAX];
    struct kv_change change = {.kind = KV_PUT, .value = value};
    CHECK_OK(row_key_encode(buffer, row, &change.key));
    CHECK_OK(kv->write(kv->context, &change, 1));
}

/* A snapshot of group 1 in three pieces, of which some may be left out. */
static void write_state(struct data_folder *folder, uint32_t piece_count)
{
    struct rocks_kv *rocks = NULL;
    struct rocks_kv_config config = {.folder = data_folder_state(folder)};
    CHECK_OK(rocks_kv_open(&rocks, &config, NULL));
    const struct kv *kv = rocks_kv_table(rocks);
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    struct snapshot_head head = {.index = SNAPSHOT_INDEX,
                                 .term = 3,
                                 .stamp_ms = STAMP_MS,
                                 .piece_count = 3,
                                 .configuration = members};
    struct row_key key = {.group = 1,
                          .kind = ROW_SNAPSHOT_PIECE,
                          .snapshot_index = SNAPSHOT_INDEX};
    put_row(kv, &key, snapshot_head_encode(buffer, &head));
    for (key.piece = 1; key.piece < piece_count; key.piece++) {
        put_row(kv, &key, bytes_of_text("piece\n"));
    }
    uint8_t applied[ROW_APPLIED_BYTES];
    row_applied_encode(applied, &(struct row_applied){.index = 12, .term = 3});
    put_row(kv, &(struct row_key){.group = 1, .kind = ROW_APPLIED},
            bytes_of(applied, sizeof applied));
    put_row(kv,
            &(struct row_key){.group = 2,
                              .kind = ROW_MACHINE,
                              .own = bytes_of_text("cart/7")},
            bytes_of_text("three apples"));
    CHECK_OK(kv->sync(kv->context));
    rocks_kv_close(&rocks);
}

static struct data_folder *open_folder(struct fixture *fixture)
{
    struct data_folder *folder = NULL;
    struct data_folder_config config = {
        .files = posix_files(),
        .entropy = &fixture->terminal.machine.entropy,
        .data_dir = fixture->terminal.folder.path,
        .node = "alpha",
        .cluster_id = {0xca, 0xfe},
    };
    CHECK_OK(data_folder_open(&folder, &config, NULL));
    return folder;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    terminal_init(&fixture->terminal, nouns);
    fixture->terminal.dir = fixture->root;
    (void)temp_folder_path(&fixture->terminal.folder, fixture->root, "alpha");
    struct data_folder *folder = open_folder(fixture);
    write_log(folder);
    write_state(folder, 3);
    data_folder_close(&folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    terminal_clear(&fixture->terminal);
    free(fixture);
    return 0;
}

/* ---- damage ---- */

struct spot {
    char path[512];
    uint64_t offset;
};

static struct spot segment_spot(const struct fixture *fixture,
                                uint64_t segment,
                                uint64_t offset)
{
    struct spot spot = {.offset = offset};
    char name[DISK_NAME_BYTES];
    wal_format_name(name, segment);
    (void)snprintf(spot.path, sizeof spot.path, "%s/log/%s", fixture->root,
                   name);
    return spot;
}

static void flip(const struct spot *spot)
{
    uint8_t byte = 0;
    int fd = open(spot->path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(pread(fd, &byte, 1, (off_t)spot->offset) == 1);
    byte ^= 0x10;
    CHECK(pwrite(fd, &byte, 1, (off_t)spot->offset) == 1);
    (void)close(fd);
}

/* Where the newest record of a segment stands, as `dump` says. */
static uint64_t last_record_offset(struct fixture *fixture, uint64_t segment)
{
    uint64_t offset = 0;
    CHECK(run(fixture, "store dump --json --bytes 0 DIR") == 0);
    for (const char *line = fixture->terminal.out; *line;
         line = strchr(line, '\n') + 1) {
        json_t *record = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        CHECK(record);
        json_int_t number = 0;
        json_int_t at = 0;
        CHECK(json_unpack(record, "{s:I, s:I}", "segment", &number, "offset",
                          &at) == 0);
        offset = (uint64_t)number == segment ? (uint64_t)at : offset;
        json_decref(record);
    }
    CHECK(offset > 0);
    return offset;
}

static uint64_t last_segment(struct fixture *fixture)
{
    CHECK(run(fixture, "store info --json DIR") <= 1);
    json_t *info = json_loads(fixture->terminal.out, 0, NULL);
    CHECK(info);
    json_t *segments = json_object_get(info, "segments");
    json_t *last = json_array_get(segments, json_array_size(segments) - 1);
    uint64_t number =
        (uint64_t)json_integer_value(json_object_get(last, "segment"));
    json_decref(info);
    return number;
}

/* ---- what a folder holds ---- */

static uint64_t folder_hash; /* nftw() takes no context */

static int hash_file(const char *path,
                     const struct stat *about,
                     int kind,
                     struct FTW *place)
{
    (void)place;
    uint8_t *text = NULL;
    size_t length = 0;
    uint64_t facts[3] = {(uint64_t)about->st_size,
                         (uint64_t)about->st_mtim.tv_sec,
                         (uint64_t)about->st_mtim.tv_nsec};
    folder_hash = hash_bytes(bytes_of_text(path), folder_hash);
    folder_hash = hash_bytes(bytes_of(facts, sizeof facts), folder_hash);
    if (kind == FTW_F) {
        CHECK_OK(posix_files()->read(NULL, path, FILE_PUBLIC, 1 << 26, &text,
                                     &length));
        folder_hash = hash_bytes(bytes_of(text, length), folder_hash);
        free(text);
    }
    return 0;
}

/* Names, lengths, times and contents of all that is in there; in the order of
 * the folder, which nobody changes. */
static uint64_t hash_folder(const struct fixture *fixture)
{
    folder_hash = 0;
    CHECK(nftw(fixture->root, hash_file, 16, FTW_PHYS) == 0);
    return folder_hash;
}

static int forbid_writing(const char *path,
                          const struct stat *about,
                          int kind,
                          struct FTW *place)
{
    (void)about;
    (void)place;
    return chmod(path, kind == FTW_F ? 0444 : 0555);
}

static int allow_all(const char *path,
                     const struct stat *about,
                     int kind,
                     struct FTW *place)
{
    (void)about;
    (void)place;
    return chmod(path, kind == FTW_F ? 0600 : 0700);
}

/* As somebody to whom permissions mean something. */
static int run_as_nobody(struct fixture *fixture, const char *line)
{
    bool is_root = geteuid() == 0;
    CHECK(!is_root || seteuid(NOBODY) == 0);
    int code = run(fixture, line);
    CHECK(!is_root || seteuid(0) == 0);
    return code;
}

/* ---- tests ---- */

static void shows_whose_it_is_and_what_is_stored_of_each_group(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store info DIR") == 0);
    CHECK(says(fixture->terminal.out, "node        alpha\n"));
    CHECK(says(fixture->terminal.out, "cluster     cafe0000"));
    CHECK(says(fixture->terminal.out, "10/3"));
    CHECK(says(fixture->terminal.out, "I am 1 of 1@0 2@1 3@2(learner)\n"));
    CHECK(!says(fixture->terminal.out, "DAMAGED"));
    CHECK(run(fixture, "store info --json DIR") == 0);
    json_t *info = json_loads(fixture->terminal.out, 0, NULL);
    CHECK(info);
    json_t *group = json_array_get(json_object_get(info, "groups"), 0);
    json_int_t term = 0;
    json_int_t vote = 0;
    json_int_t last = 0;
    json_int_t applied = 0;
    json_int_t pieces = 0;
    CHECK(json_unpack(group, "{s:I, s:I, s:I, s:I, s:{s:I}}", "term", &term,
                      "vote", &vote, "last_index", &last, "applied_index",
                      &applied, "stored_snapshot", "pieces", &pieces) == 0);
    CHECK(term == 3 && vote == 2 && last == LAST_INDEX);
    CHECK(applied == 12 && pieces == 3);
    json_decref(info);
}

static void finds_nothing_wrong_with_a_sound_folder(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store verify DIR") == 0);
    CHECK(fixture->terminal.out[0] == '\0');
    CHECK(says(fixture->terminal.talk, "all is well."));
    CHECK(run(fixture, "store verify --json DIR") == 0);
    CHECK(says(fixture->terminal.out, "\"well\":true,\"damages\":[]"));
}

static uint64_t ten_seconds_later(void *context)
{
    uint64_t *now_ns = context;
    return *now_ns += 10 * NS_PER_S;
}

static void says_how_far_it_is_when_it_takes_long(void **state)
{
    struct fixture *fixture = *state;
    uint64_t now_ns = 0;
    CHECK(run(fixture, "store verify DIR") == 0);
    CHECK(!says(fixture->terminal.talk, "the log: "));
    fixture->terminal.machine.clock.context = &now_ns;
    fixture->terminal.machine.clock.now_ns = ten_seconds_later;
    CHECK(run(fixture, "store verify DIR") == 0);
    CHECK(says(fixture->terminal.talk, "the log: 0 of 0 MiB\n"));
    CHECK(fixture->terminal.out[0] == '\0');
}

static void changes_nothing_and_needs_no_right_to(void **state)
{
    struct fixture *fixture = *state;
    static const char *const lines[] = {"store info DIR", "store verify DIR",
                                        "store dump DIR", "store get DIR 1 20",
                                        "store scan DIR"};
    struct spot tail = segment_spot(fixture, last_segment(fixture), 0);
    tail.offset = last_record_offset(fixture, last_segment(fixture));
    flip(&tail); /* what a node would cut off */
    uint64_t before = hash_folder(fixture);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK(run(fixture, lines[i]) == 0);
        CHECK(hash_folder(fixture) == before);
    }
    CHECK(chmod(fixture->terminal.folder.path, 0555) == 0);
    CHECK(nftw(fixture->root, forbid_writing, 16, FTW_PHYS) == 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK(run_as_nobody(fixture, lines[i]) == 0);
        CHECK(hash_folder(fixture) == before);
    }
    CHECK(chmod(fixture->terminal.folder.path, 0700) == 0);
    CHECK(nftw(fixture->root, allow_all, 16, FTW_PHYS) == 0);
}

static void takes_a_torn_tail_for_what_it_is(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture);
    struct spot spot = segment_spot(fixture, segment, 0);
    spot.offset = last_record_offset(fixture, segment);
    flip(&spot);
    CHECK(run(fixture, "store verify DIR") == 0);
    CHECK(says(fixture->terminal.talk, "a write that was interrupted"));
    CHECK(run(fixture, "store info DIR") == 0);
    CHECK(says(fixture->terminal.out, "of an interrupted write at the end"));
}

static void tells_where_a_flipped_bit_is(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture) - 1;
    struct spot spot = segment_spot(fixture, segment, 2000);
    flip(&spot);
    char file[DISK_NAME_BYTES + 8];
    char name[DISK_NAME_BYTES];
    wal_format_name(name, segment);
    (void)snprintf(file, sizeof file, "log/%s:", name);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out, file));
    CHECK(says(fixture->terminal.out, "fails its checksum"));
    CHECK(says(fixture->terminal.talk, "1 damage.\n"));
    CHECK(run(fixture, "store dump DIR") == 1);
    CHECK(says(fixture->terminal.talk, "fails its checksum"));
    CHECK(says(fixture->terminal.out,
               "entry     40  term 3")); /* goes on behind */
}

/* One byte of every eighth: nothing is ever trusted, nothing crashes, and what
 * is no torn tail is told. */
static void tells_of_any_flipped_bit_in_a_sealed_segment(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture) - 1;
    uint64_t end = last_record_offset(fixture, segment);
    for (uint64_t offset = 3; offset < end; offset += 149) {
        struct spot spot = segment_spot(fixture, segment, offset);
        flip(&spot);
        CHECK(run(fixture, "store verify DIR") == 1);
        CHECK(fixture->terminal.out[0] != '\0');
        flip(&spot);
    }
    CHECK(run(fixture, "store verify DIR") == 0);
}

static void goes_on_whatever_bit_of_the_last_segment_is_flipped(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture);
    uint64_t end = last_record_offset(fixture, segment) + OUTCOME_BYTES;
    for (uint64_t offset = 0; offset < end; offset += 23) {
        struct spot spot = segment_spot(fixture, segment, offset);
        flip(&spot);
        CHECK(run(fixture, "store verify DIR") <= 1);
        CHECK(run(fixture, "store info DIR") <= 1);
        CHECK(run(fixture, "store dump DIR") <= 1);
        CHECK(says(fixture->terminal.out, "entry     20  term 3"));
        flip(&spot);
    }
    CHECK(run(fixture, "store verify DIR") == 0);
}

static void misses_a_segment_that_is_needed(void **state)
{
    struct fixture *fixture = *state;
    struct spot spot = segment_spot(fixture, last_segment(fixture) - 1, 0);
    CHECK(unlink(spot.path) == 0);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out,
               ".wal: is missing; groups that need it: 2\n"));
    CHECK(says(fixture->terminal.out, "group 1 has lost records"));
    CHECK(run(fixture, "store info DIR") == 1);
    CHECK(says(fixture->terminal.out, "LOST"));
}

static void misses_the_segment_behind_a_sealed_one(void **state)
{
    struct fixture *fixture = *state;
    struct spot spot = segment_spot(fixture, last_segment(fixture), 0);
    CHECK(unlink(spot.path) == 0);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out, ".wal: is missing"));
}

static void tells_of_a_segment_that_was_cut_short(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture) - 1;
    struct spot spot = segment_spot(fixture, segment, 0);
    uint64_t offset = last_record_offset(fixture, segment);
    CHECK(truncate(spot.path, (off_t)offset - WAL_FORMAT_BATCH_BYTES) == 0);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(
        says(fixture->terminal.out, "the next segment says that it ended at"));
}

static void tells_of_a_seal_that_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t before = 1; before <= 2; before++) {
        uint64_t segment = last_segment(fixture) - before;
        uint64_t end = last_record_offset(fixture, segment) + ENTRY_BYTES;
        uint64_t seal_at = (end + WAL_FORMAT_ALIGNMENT - 1) /
                           WAL_FORMAT_ALIGNMENT * WAL_FORMAT_ALIGNMENT;
        struct spot spot = segment_spot(fixture, segment, seal_at);
        flip(&spot);
        CHECK(run(fixture, "store verify DIR") == 1);
        CHECK(says(fixture->terminal.out, "there is no seal here"));
        flip(&spot);
    }
}

static void tells_of_a_head_that_does_not_fit_the_records(void **state)
{
    struct fixture *fixture = *state;
    uint64_t segment = last_segment(fixture);
    struct spot spot = segment_spot(fixture, segment, 0);
    uint8_t *text = NULL;
    size_t length = 0;
    CHECK_OK(posix_files()->read(NULL, spot.path, FILE_PUBLIC, 1 << 20, &text,
                                 &length));
    struct data_folder_facts facts;
    CHECK_OK(data_folder_look(&facts, posix_files(), fixture->root, NULL));
    struct wal_format_place place = {.disk_id = facts.disk_id,
                                     .segment = segment,
                                     .offset = WAL_FORMAT_PLAIN_BYTES};
    struct wal_format_batch batch;
    uint8_t *head = text + WAL_FORMAT_PLAIN_BYTES;
    CHECK(wal_format_batch_decode(
        &batch, &place, bytes_of(head, length - WAL_FORMAT_PLAIN_BYTES)));
    /* The first group's term: behind the head's 16 bytes, number and flags. */
    uint8_t *term = head + WAL_FORMAT_BATCH_BYTES + 16 + 8;
    put_u64(term, get_u64(term) + 1);
    wal_format_batch_finish(head, &place, &batch);
    CHECK_OK(posix_files()->write(NULL, spot.path, FILE_SECRET, true,
                                  bytes_of(text, length)));
    free(text);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(
        says(fixture->terminal.out, "the head says something else of group 1"));
}

static void misses_the_applied_state(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/state", fixture->root);
    CHECK_OK(posix_folder_remove(path));
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out, "state: is missing"));
    CHECK(run(fixture, "store info DIR") == 1);
    CHECK(run(fixture, "store scan DIR") == 9);
    CHECK(access(path, F_OK) != 0);
}

static void spoil_table(void *visitor, const char *name)
{
    const struct fixture *fixture = visitor;
    size_t length = strlen(name);
    struct spot spot = {.offset = 20};
    if (length > 4 && strcmp(name + length - 4, ".sst") == 0) {
        (void)snprintf(spot.path, sizeof spot.path, "%s/state/%s",
                       fixture->root, name);
        flip(&spot);
    }
}

static void tells_of_a_damaged_applied_state(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/state", fixture->root);
    CHECK_OK(posix_files()->list(NULL, path, spoil_table, fixture));
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out, "state: cannot be read"));
}

static void tells_of_a_snapshot_that_is_not_whole(void **state)
{
    struct fixture *fixture = *state;
    struct data_folder *folder = open_folder(fixture);
    CHECK_OK(posix_folder_remove(data_folder_state(folder)));
    write_state(folder, 2);
    data_folder_close(&folder);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.out,
               "group 1: the snapshot at 10 has 3 pieces, piece "
               "2 is missing"));
    CHECK(
        says(fixture->terminal.out, "the log begins behind a snapshot at 10"));
}

static void refuses_what_a_newer_release_made(void **state)
{
    struct fixture *fixture = *state;
    struct spot spot = segment_spot(fixture, last_segment(fixture), 0);
    uint8_t plain[WAL_FORMAT_PLAIN_BYTES];
    int fd = open(spot.path, O_RDWR | O_CLOEXEC);
    CHECK(pread(fd, plain, sizeof plain, 0) == (ssize_t)sizeof plain);
    put_u32(plain + 8, WAL_FORMAT_VERSION + 1);
    wal_format_plain_finish(plain);
    CHECK(pwrite(fd, plain, sizeof plain, 0) == (ssize_t)sizeof plain);
    (void)close(fd);
    CHECK(run(fixture, "store verify DIR") == 1);
    CHECK(says(fixture->terminal.talk, "the format of a newer release"));
    char path[512];
    (void)snprintf(path, sizeof path, "%s/identity", fixture->root);
    CHECK_OK(posix_files()->write(NULL, path, FILE_PUBLIC, true,
                                  bytes_of_text("troupe-data 2\n")));
    CHECK(run(fixture, "store info DIR") == 1);
    CHECK(says(fixture->terminal.talk, "it was made by a newer release"));
}

static void says_what_is_not_a_nodes_folder(void **state)
{
    struct fixture *fixture = *state;
    char line[512];
    (void)snprintf(line, sizeof line, "store info %s",
                   fixture->terminal.folder.path);
    CHECK(run(fixture, line) == 9);
    CHECK(says(fixture->terminal.talk, "holds some: alpha: name one of them"));
    (void)snprintf(line, sizeof line, "store verify %s/log", fixture->root);
    CHECK(run(fixture, line) == 9);
    CHECK(says(fixture->terminal.talk, "is not a node's data folder"));
    (void)snprintf(line, sizeof line, "store dump %s/none", fixture->root);
    CHECK(run(fixture, line) == 9);
    CHECK(says(fixture->terminal.talk, "there is no such folder"));
    char path[512];
    (void)snprintf(path, sizeof path, "%s/identity", fixture->root);
    CHECK_OK(posix_files()->write(NULL, path, FILE_PUBLIC, true,
                                  bytes_of_text("troupe-data 1\nnode x\n")));
    CHECK(run(fixture, "store info DIR") == 1);
    CHECK(says(fixture->terminal.talk, "identity: damaged"));
}

static void says_that_it_may_not_read(void **state)
{
    struct fixture *fixture = *state;
    CHECK(chmod(fixture->root, 0) == 0);
    CHECK(run_as_nobody(fixture, "store info DIR") == 9);
    CHECK(says(fixture->terminal.talk,
               "permission denied: be the user that runs"));
    CHECK(chmod(fixture->root, 0700) == 0);
}

static void refuses_the_folder_of_a_running_process(void **state)
{
    struct fixture *fixture = *state;
    static const char *const lines[] = {"store info DIR", "store verify DIR",
                                        "store dump DIR", "store get DIR 1 20",
                                        "store scan DIR"};
    struct data_folder *folder = open_folder(fixture);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK(run(fixture, lines[i]) == 7);
        CHECK(says(fixture->terminal.talk,
                   "alpha/lock is held by a running process"));
    }
    CHECK(run(fixture, "store info --live DIR") == 0);
    CHECK(run(fixture, "store get --live DIR 1 20") == 0);
    CHECK(run(fixture, "store scan --live DIR") == 0);
    CHECK(run(fixture, "store verify --live DIR") == 2);
    data_folder_close(&folder);
    CHECK(run(fixture, "store info DIR") == 0);
    char path[512];
    (void)snprintf(path, sizeof path, "%s/lock", fixture->root);
    CHECK(access(path, F_OK) != 0);
}

static void dumps_the_records_in_order(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store dump DIR --group 1 --from 20 --to 22") == 0);
    CHECK(line_count(fixture->terminal.out) == 3);
    CHECK(says(fixture->terminal.out,
               "group 1  entry     20  term 3  commands  "
               "2026-11-21T11:30:00.250Z  1 outcome  213 B  "
               "\"uuuuuu"));
    CHECK(run(fixture, "store dump DIR --group 2 --bytes 0") == 0);
    CHECK(line_count(fixture->terminal.out) == 4);
    CHECK(says(fixture->terminal.out,
               "configuration  members 1@0 2@1 3@2(learner)\n"));
    CHECK(!says(fixture->terminal.out, "\""));
    CHECK(run(fixture, "store dump DIR --from 1x") == 2);
    CHECK(run(fixture, "store dump DIR --group 4294967295") == 2);
}

static void dumps_as_lines_of_json(void **state)
{
    struct fixture *fixture = *state;
    json_int_t index = 19;
    CHECK(run(fixture, "store dump --json DIR --group 1 --from 20 --to 30 "
                       "--bytes 2") == 0);
    CHECK(line_count(fixture->terminal.out) == 11);
    for (const char *line = fixture->terminal.out; *line;
         line = strchr(line, '\n') + 1) {
        json_t *record = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        const char *data = NULL;
        json_int_t next = 0;
        CHECK(json_unpack(record, "{s:I, s:s}", "index", &next, "data",
                          &data) == 0);
        CHECK(next == ++index);
        CHECK(strcmp(data, "01ba") == 0); /* the version, and of the stamp */
        json_decref(record);
    }
}

static void gets_one_entry_whole(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store get DIR 1 26") == 0);
    CHECK(line_count(fixture->terminal.out) == 2);
    CHECK(says(fixture->terminal.out, "   200 B  \"aaaaaaaaaa"));
    CHECK(says(fixture->terminal.out, "aaaa\"\n")); /* to its end */
    CHECK(run(fixture, "store get --json DIR 1 26") == 0);
    json_t *entry = json_loads(fixture->terminal.out, 0, NULL);
    int lives = 0;
    json_t *outcomes = NULL;
    CHECK(json_unpack(entry, "{s:b, s:o}", "lives", &lives, "outcome_data",
                      &outcomes) == 0);
    CHECK(lives && json_array_size(outcomes) == 1);
    CHECK(json_string_length(json_array_get(outcomes, 0)) == 400);
    json_decref(entry);
}

static void says_why_an_entry_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store get DIR 1 41") == 9);
    CHECK(says(fixture->terminal.talk, "The last entry of group 1 is 40."));
    CHECK(run(fixture, "store get DIR 1 5") != 0);
    CHECK(says(fixture->terminal.talk, "Group 1 has a snapshot at 10"));
    CHECK(run(fixture, "store get DIR 9 1") == 9);
    CHECK(says(fixture->terminal.talk, "nothing of group 9"));
    CHECK(run(fixture, "store get DIR one 1") == 2);
    CHECK(run(fixture, "store get DIR") == 2);
}

static void scans_the_applied_state(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "store scan DIR") == 0);
    CHECK(line_count(fixture->terminal.out) == 5);
    CHECK(says(fixture->terminal.out, "group 1  applied   12  term 3\n"));
    CHECK(says(fixture->terminal.out,
               "group 1  snapshot  10 piece 0  term 3  "
               "2026-11-21T11:30:00.250Z  3 pieces  members "));
    CHECK(says(fixture->terminal.out, "group 1  snapshot  10 piece 1  6 B  "
                                      "\"piece\\x0a\"\n"));
    CHECK(says(fixture->terminal.out, "group 2  machine   \"cart/7\"  12 B  "
                                      "\"three apples\"\n"));
    CHECK(run(fixture, "store scan DIR --kind snapshot --limit 2") == 0);
    CHECK(line_count(fixture->terminal.out) == 2);
    CHECK(run(fixture, "store scan DIR --group 2 --json") == 0);
    CHECK(says(fixture->terminal.out, "\"own\":\"636172742f37\""));
    CHECK(run(fixture, "store scan DIR --group 2 --kind applied") == 0);
    CHECK(fixture->terminal.out[0] == '\0');
    CHECK(run(fixture, "store scan DIR --kind rows") == 2);
}

static void finds_the_folder_through_the_configuration(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    char line[512];
    CHECK(run(fixture, "config default") == 0);
    char *at = strstr(fixture->terminal.out, "#data_dir: /var/lib/troupe");
    CHECK(at);
    memcpy(at, "data_dir: .               ", 26);
    (void)temp_folder_path(&fixture->terminal.folder, path, "cluster.yaml");
    CHECK_OK(posix_files()->write(NULL, path, FILE_PUBLIC, true,
                                  bytes_of_text(fixture->terminal.out)));
    (void)snprintf(line, sizeof line, "store info --config %s", path);
    CHECK(run(fixture, line) == 2);
    CHECK(says(fixture->terminal.talk, "give --node NAME"));
    (void)snprintf(line, sizeof line, "store verify --config %s --node alpha",
                   path);
    CHECK(run(fixture, line) == 0);
    (void)snprintf(line, sizeof line, "store get 1 20 --config %s --node alpha",
                   path);
    CHECK(run(fixture, line) == 0);
    (void)snprintf(line, sizeof line, "store info --config %s --node beta",
                   path);
    CHECK(run(fixture, line) == 9);
    CHECK(says(fixture->terminal.talk, "there is no such folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(shows_whose_it_is_and_what_is_stored_of_each_group),
        TEST(finds_nothing_wrong_with_a_sound_folder),
        TEST(says_how_far_it_is_when_it_takes_long),
        TEST(changes_nothing_and_needs_no_right_to),
        TEST(takes_a_torn_tail_for_what_it_is),
        TEST(tells_where_a_flipped_bit_is),
        TEST(tells_of_any_flipped_bit_in_a_sealed_segment),
        TEST(goes_on_whatever_bit_of_the_last_segment_is_flipped),
        TEST(misses_a_segment_that_is_needed),
        TEST(misses_the_segment_behind_a_sealed_one),
        TEST(tells_of_a_segment_that_was_cut_short),
        TEST(tells_of_a_seal_that_is_damaged),
        TEST(tells_of_a_head_that_does_not_fit_the_records),
        TEST(misses_the_applied_state),
        TEST(tells_of_a_damaged_applied_state),
        TEST(tells_of_a_snapshot_that_is_not_whole),
        TEST(refuses_what_a_newer_release_made),
        TEST(says_what_is_not_a_nodes_folder),
        TEST(says_that_it_may_not_read),
        TEST(refuses_the_folder_of_a_running_process),
        TEST(dumps_the_records_in_order),
        TEST(dumps_as_lines_of_json),
        TEST(gets_one_entry_whole),
        TEST(says_why_an_entry_is_not_there),
        TEST(scans_the_applied_state),
        TEST(finds_the_folder_through_the_configuration),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
