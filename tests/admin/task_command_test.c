/*
 * troupe task, dlq, map, pool and top, with a client that plays the cluster in
 * place of client/client.c: pools, and a service that takes tasks and ends
 * them. What a task is to come to, its payload says.
 */

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "admin/nouns.h"
#include "admin/pack_json.h"
#include "base/pack.h"
#include "client/client.h"
#include "shard/host_service.h"
#include "shard/task_request.h"
#include "tests/support/terminal.h"

#define TASK_COUNT_MAX 4096
#define ANSWER_BYTES_MAX (64u << 10)

struct client {
    char name[64];
};

static struct {
    enum err open_err;
    const char *pool; /* definition, as JSON; NULL: there is none */
    const char *tasks;
    const char *more_tasks; /* with the cursor 7 */
    int64_t since_ms;       /* that was asked for last */
    const char *show;
    const char *const *looks; /* shows and outputs, each once; NULL: the end */
    char asked[256];          /* args of the last task.output */

    /* The service. */
    char *payloads[TASK_COUNT_MAX]; /* as JSON; of id 1-N at N */
    uint32_t count;
    uint64_t submission; /* the last, and what it came to */
    uint32_t submission_first;
    uint32_t submission_count;
    uint32_t room;       /* tasks; UINT32_MAX: any number */
    uint32_t lost_count; /* answers that are lost, after it was done */
    uint32_t submit_count;
    uint32_t await_count;
    struct task_spec spec; /* the last; what it borrows is gone */
    char key[64];
    enum book_request_kind change;
    uint64_t changed[16];
    uint32_t change_count;
    char set[2048]; /* args of the last question that steers */
} fake;

/* ---- tasks ---- */

static void note_task(const struct task_spec *spec)
{
    json_t *payload = NULL;
    CHECK(fake.count < TASK_COUNT_MAX);
    CHECK_OK(pack_json_decode(&payload, spec->payload));
    fake.payloads[fake.count++] =
        json_dumps(payload, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(payload);
    fake.spec = *spec;
    (void)snprintf(fake.key, sizeof fake.key, "%.*s", (int)spec->key.length,
                   spec->key.length ? (const char *)spec->key.data : "");
}

static struct book_run take_task(const struct task_spec *spec)
{
    struct book_run run = {.count = 1};
    if (spec->key.length > 0 &&
        bytes_are_equal(spec->key, bytes_of_text("taken"))) {
        run.err = ERR_EXISTS;
        run.is_known = true;
    } else if (spec->after_count > 0 && task_id_shard(spec->after[0]) > 128) {
        run.err = ERR_INVALID;
    } else if (fake.room == 0) {
        run.err = ERR_FULL;
    } else {
        fake.room -= fake.room != UINT32_MAX;
        run.first = task_id(1, fake.count);
        note_task(spec);
    }
    return run;
}

static enum err serve_submit(struct reader *reader, struct writer *answer)
{
    char pool[64];
    pack_read_text(reader, pool, sizeof pool);
    uint64_t submission = pack_read_uint(reader);
    uint32_t count = pack_read_array(reader);
    bool is_known = submission == fake.submission;
    CHECK(submission != 0 && count > 0);
    fake.submit_count++;
    if (!is_known) {
        fake.submission = submission;
        fake.submission_first = fake.count;
    }
    pack_array(answer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct task_spec spec;
        task_spec_decode(&spec, reader);
        CHECK(!reader->failed);
        struct book_run run = {.count = 1,
                               .first = task_id(1, fake.submission_first + i)};
        if (!is_known) {
            run = take_task(&spec);
        }
        book_run_encode(&run, answer);
    }
    CHECK(reader_left(reader) == 0);
    if (fake.lost_count > 0) {
        fake.lost_count--;
        return ERR_UNCERTAIN;
    }
    return ERR_NONE;
}

/* What a command leaves. */
static struct bytes output_of(const char *payload, uint64_t exit)
{
    static uint8_t buffer[1024];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 3);
    pack_text(&writer, "exit");
    pack_uint(&writer, exit);
    pack_text(&writer, "stdout");
    if (strstr(payload, "binary")) {
        pack_bin(&writer, bytes_of("\xff\n", 2));
    } else {
        pack_text(&writer, payload);
    }
    pack_text(&writer, "stderr");
    pack_text(&writer, exit ? "oh\n" : "");
    CHECK(!writer.failed);
    return writer_bytes(&writer);
}

static void serve_end(uint64_t id, struct writer *answer)
{
    struct task_outcome outcome = {.id = id};
    uint64_t at = task_id_sequence(id);
    CHECK(at < fake.count);
    const char *payload = fake.payloads[at];
    bool fails = strstr(payload, "fail") != NULL;
    outcome.err = strstr(payload, "lost") ? ERR_NOT_FOUND : ERR_NONE;
    outcome.end =
        (struct task_end){.id = id,
                          .state = fails ? TASK_DEAD : TASK_DONE,
                          .attempts = 1,
                          .accepted_ms = 7,
                          .ended_ms = 8,
                          .output = output_of(payload, fails ? 3 : 0),
                          .why = bytes_of_text(fails ? "exit status 3" : "")};
    task_outcome_encode(&outcome, answer);
}

/* One of which somebody wants to hear has something to say, twice the same. */
static bool serve_said(struct task_await *await, struct writer *answer)
{
    struct reader ids = await->ids;
    uint64_t id = pack_read_uint(&ids);
    uint64_t seen = await->is_curious ? pack_read_uint(&await->seen) : 0;
    if (!await->is_curious || seen == 9 ||
        !strstr(fake.payloads[task_id_sequence(id)], "tells")) {
        return false;
    }
    CHECK(await->count == 1 && seen == 0);
    pack_array(answer, 1);
    task_outcome_encode(
        &(struct task_outcome){
            .id = id,
            .err = ERR_BUSY,
            .said = {.number = 9, .done_of_1000 = 425, .text = "page\a 17"}},
        answer);
    return true;
}

/* The last come first; "slow" ones not with the first question. */
static enum err serve_await(struct bytes question, struct writer *answer)
{
    struct task_await await;
    uint64_t ids[TASK_REQUEST_IDS_MAX];
    uint32_t count = 0;
    CHECK_OK(task_await_decode(&await, question));
    fake.await_count++;
    if (serve_said(&await, answer)) {
        return ERR_NONE;
    }
    for (uint32_t i = 0; i < await.count; i++) {
        uint64_t id = pack_read_uint(&await.ids);
        bool is_slow = strstr(fake.payloads[task_id_sequence(id)], "slow");
        ids[count] = id;
        count += !is_slow || fake.await_count > 1;
    }
    pack_array(answer, count);
    while (count > 0) {
        serve_end(ids[--count], answer);
    }
    return ERR_NONE;
}

static enum err serve_change(struct bytes question, struct writer *answer)
{
    struct task_change change;
    CHECK_OK(task_change_decode(&change, question));
    fake.change = change.kind;
    fake.change_count = change.count;
    uint32_t done = 0;
    for (uint32_t i = 0; i < change.count; i++) {
        fake.changed[i] = pack_read_uint(&change.ids);
        done += task_id_shard(fake.changed[i]) != 9; /* there is none */
    }
    fake.tasks = NULL; /* they are no dead letters any more */
    pack_uint(answer, done);
    return ERR_NONE;
}

static enum err serve_tasks(struct bytes question, struct writer *answer)
{
    struct reader reader = reader_of(question);
    (void)pack_read_array(&reader);
    uint64_t kind = pack_read_uint(&reader);
    return kind == TASK_REQUEST_SUBMIT  ? serve_submit(&reader, answer)
           : kind == TASK_REQUEST_AWAIT ? serve_await(question, answer)
                                        : serve_change(question, answer);
}

/* ---- verbs ---- */

#define NO_TASKS "{\"v\":1,\"node\":\"one\",\"tasks\":[],\"cursor\":null}"

#define COUNTS                                                            \
    "\"coordinators\":{\"led\":2,\"given\":70,\"given_away\":10},"        \
    "\"dispatcher\":{},\"agent\":{\"taken\":50,\"stolen\":20,\"steals\":" \
    "9,\"dry\":4,\"finished\":70},\"agents\":[]"

static const char pools[] =
    "{\"v\":1,\"node\":\"one\",\"view\":3,\"pools\":[{\"name\":\"default\","
    "\"handler\":\"exec\",\"workers\":4,\"durable\":true,\"paused\":false,"
    "\"version\":2,\"here\":{\"waiting\":5,\"ready\":3,\"done\":7,\"dead\":1,"
    "\"done_total\":70,\"retried_total\":2,\"workers\":4,\"held\":2,"
    "\"finished\":70,\"stolen\":20}}]," COUNTS "}";

static const char nodes[] =
    "{\"v\":1,\"node\":\"one\",\"members\":[{\"name\":\"one\",\"state\":"
    "\"active\",\"is_up\":true,\"door\":\"ipc:x\",\"leads\":2,"
    "\"resident_bytes\":1048576},{\"name\":\"two\",\"state\":\"active\","
    "\"is_up\":true,\"door\":\"ipc:y\"},{\"name\":\"three\",\"is_up\":false}]}";

static const char status[] =
    "{\"v\":1,\"cluster\":{\"name\":\"lab\"},\"members\":{\"total\":3,"
    "\"heard\":2},\"shards\":{\"total\":2,\"led\":2,\"whole\":1,\"moving\":0},"
    "\"problems\":[\"three is not heard\"]}";

static const char map[] =
    "{\"v\":1,\"shards\":[{\"shard\":0,\"leader\":\"one\",\"state\":"
    "\"serving\",\"rate\":5,\"log_bytes\":2048},{\"shard\":1,\"leader\":"
    "\"two\",\"state\":\"serving\",\"rate\":50,\"log_bytes\":1024}]}";

static const char definition[] =
    "{\"v\":1,\"node\":\"one\",\"definition\":{\"name\":\"default\","
    "\"version\":2,\"handler\":\"exec\",\"workers\":4,\"paused\":false,"
    "\"payload_bytes_max\":200}," COUNTS "}";

static const char plugin_definition[] =
    "{\"v\":1,\"node\":\"one\",\"definition\":{\"name\":\"default\","
    "\"handler\":\"plugin\",\"payload_bytes_max\":200}," COUNTS "}";

static const char scheduled_definition[] =
    "{\"v\":1,\"node\":\"one\",\"definition\":{\"name\":\"default\","
    "\"version\":2,\"handler\":\"exec\",\"workers\":4,\"paused\":false,"
    "\"schedules\":[{\"name\":\"hourly\",\"cron\":\"@hourly\",\"payload\":"
    "{\"argv\":[\"true\"]},\"tenant\":\"\",\"overlap\":\"allow\","
    "\"priority\":4,\"ttl_ms\":0,\"timeout_ms\":0,\"attempts_max\":0,"
    "\"catch_up_ms\":3600000,\"since_ms\":77},{\"name\":\"gone\",\"cron\":"
    "\"@daily\"}]}," COUNTS "}";

static const char schedules[] =
    "{\"v\":1,\"shard\":3,\"schedules\":[{\"name\":\"hourly\",\"cron\":"
    "\"@hourly\",\"since_ms\":77,\"next_ms\":1735689600000,\"last_ms\":"
    "1735686000000,\"last_task\":\"3-17\",\"passed\":2},{\"name\":\"gone\","
    "\"cron\":\"@daily\",\"since_ms\":77,\"next_ms\":1735689600000,"
    "\"last_ms\":null,\"last_task\":null,\"passed\":0}]}";

static const char no_pool[] = "{\"v\":1,\"why\":\"there is no pool x\"}";

static const char *list_tasks(const json_t *args)
{
    bool goes_on = json_integer_value(json_object_get(args, "cursor")) == 7;
    fake.since_ms = json_integer_value(json_object_get(args, "since_ms"));
    return goes_on ? fake.more_tasks : fake.tasks ? fake.tasks : NO_TASKS;
}

#define AWAY "{\"why\":\"one hears nothing of it\"}"

/* The next of fake.looks; one that has no "v" is an error. */
static const char *next_look(const char *verb,
                             const json_t *args,
                             enum err *err)
{
    const char *look = *fake.looks++;
    if (strcmp(verb, "task.output") == 0) {
        char *text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
        (void)snprintf(fake.asked, sizeof fake.asked, "%s", text);
        free(text);
    }
    CHECK(look);
    *err = strstr(look, "\"v\"")     ? ERR_NONE
           : strcmp(look, AWAY) == 0 ? ERR_NO_QUORUM
                                     : ERR_REFUSED;
    return look;
}

static const char *canned(const char *verb, const json_t *args, enum err *err)
{
    *err = ERR_NONE;
    if (fake.looks && strncmp(verb, "task.", 5) == 0) {
        return next_look(verb, args, err);
    }
    if (strcmp(verb, "pool.show") == 0) {
        *err = fake.pool ? ERR_NONE : ERR_NOT_FOUND;
        return fake.pool ? fake.pool : no_pool;
    }
    if (strcmp(verb, "pool.schedules") == 0) {
        return schedules;
    }
    return strcmp(verb, "pool.ls") == 0     ? pools
           : strcmp(verb, "node.ls") == 0   ? nodes
           : strcmp(verb, "shard.map") == 0 ? map
           : strcmp(verb, "task.show") == 0 ? fake.show
           : strcmp(verb, "task.ls") == 0
               ? list_tasks(args)
               : status; /* of which nothing is read */
}

static enum err serve_admin(struct bytes question, struct writer *answer)
{
    enum err err;
    json_t *map_of = NULL;
    CHECK_OK(pack_json_decode(&map_of, question));
    const char *verb = json_string_value(json_object_get(map_of, "verb"));
    const json_t *args = json_object_get(map_of, "args");
    if (strcmp(verb, "pool.set") == 0 || strcmp(verb, "pool.remove") == 0) {
        char *text = json_dumps(args, JSON_COMPACT);
        (void)snprintf(fake.set, sizeof fake.set, "%s", text);
        free(text);
    }
    json_t *value = json_loads(canned(verb, args, &err), 0, NULL);
    assert_non_null(value);
    pack_json_encode(answer, value);
    json_decref(value);
    json_decref(map_of);
    return err;
}

/* ---- the client ---- */

enum err client_open(struct client **out,
                     const struct client_config *config,
                     struct err_detail *why)
{
    bool is_away =
        config->node_count == 1 && strcmp(config->nodes[0].name, "two") == 0;
    if (fake.open_err || is_away) {
        err_explain(why, "%s: nobody there", config->nodes[0].name);
        return fake.open_err ? fake.open_err : ERR_UNREACHABLE;
    }
    struct client *client = calloc(1, sizeof *client);
    CHECK(client != NULL);
    (void)snprintf(client->name, sizeof client->name, "%s",
                   config->nodes[0].name);
    *out = client;
    return ERR_NONE;
}

void client_close(struct client **client)
{
    free(*client);
    *client = NULL;
}

const char *client_node_name(const struct client *client)
{
    return client->name;
}

enum err client_ask(struct client *client,
                    uint8_t service,
                    struct bytes question,
                    uint32_t timeout_ms,
                    uint8_t **answer,
                    size_t *answer_length)
{
    (void)client;
    (void)timeout_ms;
    uint8_t *buffer = malloc(ANSWER_BYTES_MAX);
    struct writer writer = writer_of(buffer, ANSWER_BYTES_MAX);
    CHECK(buffer != NULL);
    enum err err = service == HOST_SERVICE_TASK
                       ? serve_tasks(question, &writer)
                       : serve_admin(question, &writer);
    CHECK(!writer.failed);
    *answer = buffer;
    *answer_length = writer_bytes(&writer).length;
    return err;
}

/* ---- somebody at a terminal ---- */

static struct terminal terminal;
static const char *input_left;

/* While there is time, room is made. */
static void make_room(uint64_t ms)
{
    fake.room += ms > 0 && fake.room != UINT32_MAX ? 2 : 0;
}

static enum err open_input(void *context, const char *path, void **out)
{
    (void)context;
    if (strcmp(path, "-") != 0) {
        return ERR_NOT_FOUND;
    }
    *out = &input_left;
    return ERR_NONE;
}

static enum err read_input(
    void *input, void *to, size_t capacity, uint32_t wait_ms, size_t *length)
{
    (void)input;
    (void)wait_ms;
    size_t left = strlen(input_left);
    *length = left < capacity ? left : capacity;
    memcpy(to, input_left, *length);
    input_left += *length;
    return *length > 0 ? ERR_NONE : ERR_CLOSED;
}

static void close_input(void *input)
{
    (void)input;
}

static const struct inputs inputs = {
    .open = open_input, .read = read_input, .close = close_input};

/* With the cluster's file, and this as input. */
static int run(const char *line, const char *input)
{
    char whole[512];
    const char *dashes = strstr(line, " -- ");
    int length = dashes ? (int)(dashes - line) : (int)strlen(line);
    input_left = input;
    (void)snprintf(whole, sizeof whole, "%.*s --config %s%s", length, line,
                   "DIR/lab/operator/cluster.yaml", line + length);
    return terminal_run(&terminal, whole);
}

static void check_out(const char *expected)
{
    assert_string_equal(terminal.out, expected);
}

static void check_says(const char *expected)
{
    if (!strstr(terminal.talk, expected)) {
        print_error("said: %s\n", terminal.talk);
        fail();
    }
}

static int set_up_all(void **state)
{
    (void)state;
    CHECK_OK(identity_library_init());
    terminal_init(&terminal, nouns_all);
    terminal.inputs = &inputs;
    terminal.waits = make_room;
    terminal.patience = UINT32_MAX;
    CHECK(terminal_run(&terminal,
                       "cluster init lab --transport ipc one two three --out "
                       "DIR/lab") == 0);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    terminal_clear(&terminal);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    fake.pool = definition;
    fake.room = UINT32_MAX;
    terminal.patience = UINT32_MAX;
    terminal.typed = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < fake.count; i++) {
        free(fake.payloads[i]);
    }
    return 0;
}

/* ---- a command ---- */

static void prints_what_a_command_has_written(void **state)
{
    (void)state;
    CHECK(run("task submit -- echo hello", "") == 0);
    assert_string_equal(fake.payloads[0], "{\"argv\":[\"echo\",\"hello\"]}");
    check_out("{\"argv\":[\"echo\",\"hello\"]}");
    assert_string_equal(terminal.talk, "");
    CHECK(terminal.is_held);
}

static void says_that_a_command_has_failed(void **state)
{
    (void)state;
    CHECK(run("task submit -- fail", "") == 1);
    check_says("oh\n");
    check_says("task 1 (1-0): dead: exit status 3");
}

static void writes_bytes_as_they_are(void **state)
{
    (void)state;
    CHECK(run("task submit -- binary", "") == 0);
    check_out("\xff\n");
    CHECK(run("task submit --json -- binary", "") == 0);
    check_out("{\"task\":1,\"id\":\"1-1\",\"state\":\"done\",\"attempts\":1,"
              "\"accepted_ms\":7,\"ended_ms\":8,\"exit\":0,\"stdout_hex\":"
              "\"ff0a\",\"stderr\":\"\"}\n");
}

static void detaches_with_the_id(void **state)
{
    (void)state;
    CHECK(run("task submit --detach --stdin - -- cat", "abc") == 0);
    check_out("1-0\n");
    assert_string_equal(fake.payloads[0],
                        "{\"argv\":[\"cat\"],\"stdin\":\"616263\"}");
    CHECK(fake.await_count == 0);
}

static void a_task_is_as_the_flags_say(void **state)
{
    (void)state;
    CHECK(run("task submit --key k --priority 1 --delay 5s --ttl 1m "
              "--attempts 2 --task-timeout 3s --after 1-7 --after 2-8 -- true",
              "") == 0);
    assert_string_equal(fake.key, "k");
    CHECK(fake.spec.priority == 1 && fake.spec.delay_ms == 5000);
    CHECK(fake.spec.ttl_ms == 60000 && fake.spec.attempts_max == 2);
    CHECK(fake.spec.timeout_ms == 3000 && fake.spec.after_count == 2);
    CHECK(fake.spec.after[1] == task_id(2, 8));
}

static void refuses_what_does_not_go_together(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *says;
    } cases[] = {
        {"task submit --file - -- true", "--file and a COMMAND: one of them"},
        {"task submit --spec -- true", "--spec and a COMMAND: one of them"},
        {"task submit --key k", "--key is for a COMMAND"},
        {"task submit --wait --detach", "--wait and --detach: one of them"},
        {"task submit --order size", "--order: `size`: completion or submit"},
        {"task submit --output xml", "--output: `xml`: json or raw"},
        {"task submit --priority 8 -- true", "a number from 0 to 7"},
        {"task submit --delay soon -- true", "a time such as 5s"},
        {"task submit --after x -- true", "`x` is no task"},
        {"task submit --attempts", "--attempts needs a value"},
        {"task cancel 17", "`17` is no task: such as 17-4021"},
        {"task show", "something is missing: TASK"},
        {"dlq retry", "which? Give tasks, or --all"},
        {"dlq retry 1-1 --all", "which? Give tasks, or --all"},
        {"dlq retry 1-1 --pool p", "--pool goes with --all"},
        {"map -I", "-I needs a value"},
        {"map -x -- true", "\"-x\": flags are words with two dashes"},
        {"map -n 2 -- a{}", "stands for one item"},
        {"map -I@ -- true", "`@` is not in the command"},
        {"pool scale default many", "`many`: 0 to 1024 workers"},
        {"top", "standard output is no terminal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(run(cases[i].line, "") == 2);
        check_says(cases[i].says);
    }
    CHECK(fake.submit_count == 0);
}

static void names_what_stands_in_the_way(void **state)
{
    (void)state;
    fake.pool = NULL;
    CHECK(run("task submit --pool x -- true", "") == 2);
    check_says("one: there is no pool x (ERR_NOT_FOUND)");
    fake.pool = plugin_definition;
    CHECK(run("task submit -- true", "") == 2);
    check_says("pool default runs no commands");
    CHECK(run("map -- true", "a\n") == 2);
    check_says("pool default runs no commands");
    fake.open_err = ERR_UNREACHABLE;
    CHECK(run("task submit -- true", "") == 3);
    check_says("one: nobody there");
    CHECK(run("task submit --file DIR/none", "") == 9);
    check_says("none: not found");
    CHECK(fake.submit_count == 0);
}

/* ---- lines ---- */

static void submits_a_task_per_line(void **state)
{
    (void)state;
    CHECK(run("task submit", "[1]\n\n{\"a\":2}\n\"x\"") == 0);
    check_out("1-0\n1-1\n1-2\n");
    assert_string_equal(fake.payloads[1], "{\"a\":2}");
    check_says("Pool default has accepted 3.");
    CHECK(fake.submit_count == 1);
}

static void goes_on_behind_a_broken_line(void **state)
{
    (void)state;
    CHECK(run("task submit", "[1]\n[2\n[3]\n") == 8);
    check_says("line 2: no JSON: ']' expected near end of file");
    check_says(
        "Pool default has accepted 2; not accepted: 0, broken lines: 1.");
    assert_string_equal(fake.payloads[1], "[3]");
}

static void submits_nothing_behind_a_broken_line_when_strict(void **state)
{
    (void)state;
    CHECK(run("task submit --strict", "[1]\n[2\n[3]\n") == 8);
    CHECK(fake.count == 1);
    check_says("nothing more is submitted (--strict)");
    CHECK(run("task submit --strict", "[2\n[3]\n") == 7);
    CHECK(fake.count == 1);
}

static void names_the_line_whose_payload_is_too_large(void **state)
{
    (void)state;
    char lines[300];
    (void)snprintf(lines, sizeof lines, "1\n\"%0205d\"\n", 7);
    CHECK(run("task submit", lines) == 8);
    check_says("line 2: the payload has 207 bytes; pool default takes 200 at "
               "most (payload_bytes_max)");
    CHECK(fake.count == 1);
}

static void names_the_line_whose_key_is_taken(void **state)
{
    (void)state;
    CHECK(run("task submit --spec --wait",
              "{\"payload\":1}\n{\"payload\":2,\"key\":\"taken\"}\n") == 8);
    check_says("line 2: not accepted: its key belongs to a task with another "
               "payload");
    check_says(
        "Pool default has accepted 1: 1 done, 0 failed; not accepted: 1, "
        "broken lines: 0.");
}

static void a_task_after_one_of_no_shard_is_refused(void **state)
{
    (void)state;
    CHECK(run("task submit --after 999-1 -- true", "") == 7);
    check_says("a task that must be done before is of a shard that the cluster "
               "does not have");
}

static void prints_results_as_they_come_or_in_order(void **state)
{
    (void)state;
    static const char lines[] = "[\"slow\"]\n[2]\n[\"fail\"]\n";
    CHECK(run("task submit --wait --output raw", lines) == 1);
    check_out("[\"fail\"][2][\"slow\"]");
    check_says("line 3 (1-2): dead: exit status 3");
    fake.await_count = 0;
    CHECK(run("task submit --wait --output raw --order submit", lines) == 1);
    check_out("[\"slow\"][2][\"fail\"]");
    check_says("Pool default has accepted 3: 2 done, 1 failed.");
}

static void tells_results_as_json(void **state)
{
    (void)state;
    CHECK(run("task submit --wait --order submit", "[1]\n\"lost\"\n") == 1);
    check_out("{\"line\":1,\"id\":\"1-0\",\"state\":\"done\",\"attempts\":1,"
              "\"accepted_ms\":7,\"ended_ms\":8,\"exit\":0,\"stdout\":\"[1]\","
              "\"stderr\":\"\"}\n"
              "{\"line\":2,\"id\":\"1-1\",\"state\":\"lost\",\"why\":\"nothing "
              "is known of it any more: it was lost with the leader of a "
              "volatile pool, or its result was kept for as long as the pool "
              "says\"}\n");
}

static void waits_for_room_or_not(void **state)
{
    (void)state;
    fake.room = 1;
    CHECK(run("task submit", "1\n2\n3\n4\n") == 0);
    CHECK(fake.count == 4);
    check_out("1-0\n1-1\n1-2\n1-3\n");
    fake.room = 1;
    CHECK(run("task submit --no-wait-for-room", "5\n6\n") == 8);
    CHECK(fake.count == 5);
    check_says("line 2: not accepted: queue is full (ERR_FULL)");
    fake.room = 0;
    CHECK(run("task submit --no-wait-for-room", "6\n") == 7);
}

static void asks_again_when_an_answer_is_lost(void **state)
{
    (void)state;
    fake.lost_count = 2;
    CHECK(run("task submit", "1\n2\n") == 0);
    CHECK(fake.submit_count == 3 && fake.count == 2);
    check_out("1-0\n1-1\n");
    check_says("no answer just now");
}

static void gives_up_when_nobody_answers(void **state)
{
    (void)state;
    fake.lost_count = UINT32_MAX;
    CHECK(run("task submit", "1\n") == 5);
    CHECK(fake.submit_count > 100);
}

static void ctrl_c_ends_the_waiting_alone(void **state)
{
    (void)state;
    terminal.patience = 1;
    CHECK(run("task submit --wait", "\"slow\"\n2\n") == 8);
    check_says("interrupted; what was accepted goes on");
    CHECK(fake.count == 2);
}

static void more_lines_than_a_batch_has_go_in_several(void **state)
{
    (void)state;
    static char lines[2500 * 5 + 1];
    for (int i = 0; i < 2500; i++) {
        char line[16];
        (void)snprintf(line, sizeof line, "%d\n", 1000 + i);
        memcpy(lines + 5 * i, line, 6); /* four digits each */
    }
    CHECK(run("task submit --wait --output raw --order submit", lines) == 0);
    CHECK(fake.count == 2500 && fake.submit_count == 3);
    CHECK(strncmp(terminal.out, "100010011002", 12) == 0);
    CHECK(strlen(terminal.out) == 4 * 2500);
}

static void shows_what_a_single_task_says_of_itself(void **state)
{
    (void)state;
    CHECK(run("task submit -- tells", "") == 0);
    CHECK(fake.await_count == 1); /* nobody sees it */
    terminal.shows_progress = true;
    CHECK(run("task submit -- tells", "") == 0);
    check_says("0 of 1 done, 0 failed; at 42 %: page? 17");
    CHECK(run("map -- tells", "a\n") == 0);
    check_says("; at 42 %: page? 17");
    CHECK(run("task submit --wait", "\"tells\"\n\"tells\"\n") == 0);
    CHECK(!strstr(terminal.talk, "page"));
    terminal.shows_progress = false;
}

/* ---- map ---- */

static void runs_a_command_for_each_item(void **state)
{
    (void)state;
    CHECK(run("map -k -- wc -c", "a b\nc\n\nd") == 0);
    CHECK(fake.count == 3);
    assert_string_equal(fake.payloads[0], "{\"argv\":[\"wc\",\"-c\",\"a b\"]}");
    check_out("{\"argv\":[\"wc\",\"-c\",\"a b\"]}"
              "{\"argv\":[\"wc\",\"-c\",\"c\"]}"
              "{\"argv\":[\"wc\",\"-c\",\"d\"]}");
}

static void puts_items_where_the_mark_is(void **state)
{
    (void)state;
    CHECK(run("map -- cp {} {}.old", "a\n") == 0);
    assert_string_equal(fake.payloads[0],
                        "{\"argv\":[\"cp\",\"a\",\"a.old\"]}");
    CHECK(run("map -n 2 -I @ -- ls @ -l", "a\nb\nc\n") == 0);
    assert_string_equal(fake.payloads[1],
                        "{\"argv\":[\"ls\",\"a\",\"b\",\"-l\"]}");
    assert_string_equal(fake.payloads[2], "{\"argv\":[\"ls\",\"c\",\"-l\"]}");
}

static void ends_as_xargs_does(void **state)
{
    (void)state;
    CHECK(run("map -- x", "fail\nb\n") == 123);
    check_says("task 1 (1-0): dead: exit status 3");
    CHECK(run("map -- x", "") == 0);
    char item[260];
    (void)snprintf(item, sizeof item, "a\n%0220d\n", 7);
    CHECK(run("map -- x", item) == 123);
    check_says("item 2: its command has 231 bytes; pool default takes 200 at "
               "most");
}

/* ---- looking ---- */

static void lists_tasks_of_all_nodes(void **state)
{
    (void)state;
    fake.tasks =
        "{\"v\":1,\"node\":\"one\",\"tasks\":[{\"id\":\"1-2\",\"pool\":\"p\","
        "\"state\":\"dead\",\"attempts\":5,\"accepted_ms\":1795260599000,"
        "\"error\":\"exit status 3\"},{\"id\":\"1-3\",\"accepted_ms\":5}]}";
    CHECK(run("task ls --limit 1", "") == 0);
    check_says("node two is not counted: two: nobody there");
    check_says("node three is not counted: it is not heard");
    check_says("There are more");
    CHECK(strstr(terminal.out, "1-2  p     dead   -            5"));
    CHECK(run("task ls --json --node one", "") == 0);
    CHECK(strstr(terminal.out, "troupe.task.ls"));
    assert_string_equal(terminal.talk, "");
}

static void reads_lists_in_parts_and_keeps_the_newest(void **state)
{
    (void)state;
    fake.tasks = "{\"v\":1,\"tasks\":[{\"id\":\"1-2\",\"accepted_ms\":20},{"
                 "\"id\":\"1-1\",\"accepted_ms\":10},{\"id\":\"1-0\","
                 "\"accepted_ms\":5},{\"id\":\"1-3\",\"accepted_ms\":30}],"
                 "\"cursor\":7}";
    fake.more_tasks = "{\"v\":1,\"tasks\":[{\"id\":\"1-4\",\"accepted_ms\":40"
                      "},{\"id\":\"1-3\",\"accepted_ms\":30}],\"cursor\":"
                      "null}";
    CHECK(run("task ls --limit 1 --node one", "") == 0);
    CHECK(fake.since_ms == 20); /* what is older is of no use */
    CHECK(strstr(terminal.out, "1-4") && !strstr(terminal.out, "1-3"));
    check_says("There are more: these are the newest 1.");
    CHECK(run("task ls --node one", "") == 0);
    CHECK(fake.since_ms == 0); /* there is room for all */
    const char *third = strstr(terminal.out, "1-3");
    const char *second = strstr(terminal.out, "1-2");
    CHECK(third && second && third < second && !strstr(third + 1, "1-3"));
    assert_string_equal(terminal.talk, "");
}

static void shows_a_task_and_why(void **state)
{
    (void)state;
    fake.show =
        "{\"v\":1,\"node\":\"one\",\"id\":\"1-2\",\"pool\":\"p\",\"state\":"
        "\"waiting\",\"work\":\"ready\",\"why\":\"pool p is paused\","
        "\"attempts\":0,\"priority\":4,\"accepted_ms\":1795260599000,"
        "\"payload\":\"81a46172677690\",\"output\":\"\"}";
    CHECK(run("task why 1-2", "") == 0);
    check_out("pool p is paused\n");
    CHECK(run("task show 1-2", "") == 0);
    CHECK(strstr(terminal.out, "State      waiting, ready\n"));
    CHECK(strstr(terminal.out, "Payload    {\"argv\":[]}\n"));
    CHECK(run("task show 1-2 --json", "") == 0);
    CHECK(strstr(terminal.out, "\"output\":null"));
}

static void prints_a_tasks_output(void **state)
{
    (void)state;
    fake.show = "{\"v\":1,\"node\":\"one\",\"id\":\"1-2\",\"state\":\"done\","
                "\"output\":\"82a67374646f7574a26f6ba6737464657272a16e\"}";
    CHECK(run("task logs 1-2", "") == 0);
    check_out("ok");
    assert_string_equal(terminal.talk, "n");
}

/* It is a number in MessagePack, which nobody has meant. */
static void a_character_that_was_printed_is_no_number(void **state)
{
    (void)state;
    fake.show = "{\"v\":1,\"node\":\"one\",\"id\":\"1-2\",\"state\":\"done\","
                "\"payload\":\"37\",\"output\":\"37\"}";
    CHECK(run("task show 1-2 --json", "") == 0);
    CHECK(strstr(terminal.out, "\"payload\":55"));
    CHECK(strstr(terminal.out, "\"output\":\"7\""));
}

#define RUNS                                                                \
    "{\"v\":1,\"node\":\"one\",\"state\":\"waiting\",\"work\":\"running\"," \
    "\"agent\":\"two\"}"
#define SEEN(token, attempt, out, err)                                  \
    "{\"v\":1,\"node\":\"two\",\"running\":true,\"token\":" token       \
    ",\"attempt\":" attempt ",\"stdout\":\"" out "\",\"stderr\":\"" err \
    "\",\"cut\":0}"
/* {"stdout": "abc", "stderr": "z"} */
#define ENDED(state, attempts)                                                 \
    "{\"v\":1,\"node\":\"one\",\"state\":\"" state "\",\"attempts\":" attempts \
    ",\"error\":\"exit status 3\",\"output\":"                                 \
    "\"82a67374646f7574a3616263a6737464657272a17a\"}"

static void prints_what_is_written_so_far(void **state)
{
    (void)state;
    fake.looks =
        (const char *const[]){RUNS, SEEN("5", "1", "6162", "7a"), NULL};
    CHECK(run("task logs 1-2", "") == 0);
    check_out("ab");
    assert_string_equal(terminal.talk,
                        "ztroupe task logs: it still runs: --follow goes on "
                        "until it ends\n");
    fake.looks = (const char *const[]){
        RUNS, "{\"why\":\"it is a function, and no command\"}", NULL};
    CHECK(run("task logs 1-2", "") == 0);
    check_says("it is a function, and no command");
    fake.looks = (const char *const[]){
        "{\"v\":1,\"state\":\"waiting\",\"work\":\"ready\",\"why\":\"its pool "
        "is paused\"}",
        NULL};
    CHECK(run("task logs 1-2", "") == 0);
    check_says("it does not run now: its pool is paused");
}

static void follows_what_is_written_until_the_end(void **state)
{
    (void)state;
    fake.looks = (const char *const[]){
        "{\"v\":1,\"state\":\"waiting\",\"work\":\"ready\",\"why\":\"all are "
        "busy\"}",
        RUNS,
        SEEN("5", "1", "61", ""),
        RUNS,
        SEEN("5", "1", "62", "7a"),
        RUNS,
        "{\"v\":1,\"running\":false}",
        ENDED("done", "1"),
        NULL};
    CHECK(run("task logs 1-2 --follow", "") == 0);
    check_out("abc");
    assert_string_equal(terminal.talk,
                        "troupe task logs: it does not run now: all are busy\n"
                        "troupe task logs: attempt 1 runs on two\nz");
    assert_string_equal(fake.asked,
                        "{\"id\":\"1-2\",\"name\":\"two\",\"stderr_at\":1,"
                        "\"stdout_at\":2,\"token\":5}");
}

static void follows_onto_the_next_attempt(void **state)
{
    (void)state;
    fake.looks = (const char *const[]){RUNS,
                                       SEEN("5", "1", "6162", ""),
                                       RUNS,
                                       SEEN("9", "2", "61", ""),
                                       ENDED("dead", "2"),
                                       NULL};
    CHECK(run("task logs 1-2 --follow", "") == 0);
    check_out("abab"
              "c");
    check_says("attempt 2 runs on two; what the one before wrote last is not "
               "kept");
    check_says("the task is dead: exit status 3");
    /* One that was not seen at all. */
    fake.looks = (const char *const[]){RUNS, SEEN("5", "1", "6162", ""),
                                       ENDED("done", "2"), NULL};
    CHECK(run("task logs 1-2 --follow", "") == 0);
    check_out("ababc");
    check_says("attempt 2, which was the last:");
    CHECK(run("task logs 1-2 --follow --json", "") == 2);
}

/* Its node is gone, and its lease, of 30 s, goes on; then the leader is gone,
 * for as long. */
static void follows_while_nodes_are_away(void **state)
{
    (void)state;
    const char *looks[2 * 120 + 120 + 8];
    size_t count = 0;
    looks[count++] = RUNS;
    looks[count++] = SEEN("5", "1", "61", "");
    for (int i = 0; i < 120; i++) {
        looks[count++] = RUNS;
        looks[count++] = AWAY;
    }
    for (int i = 0; i < 120; i++) {
        looks[count++] = AWAY;
    }
    looks[count++] = RUNS;
    looks[count++] = SEEN("9", "2", "6162", "");
    looks[count++] = ENDED("done", "2");
    looks[count] = NULL;
    fake.looks = looks;
    CHECK(run("task logs 1-2 --follow", "") == 0);
    check_out("a"
              "abc");
    const char *away = "it runs on two, which cannot be asked just now: ";
    const char *first = strstr(terminal.talk, away);
    CHECK(first && !strstr(first + 1, away));
}

static void stops_following_at_ctrl_c(void **state)
{
    (void)state;
    terminal.patience = 1;
    fake.looks = (const char *const[]){RUNS, SEEN("5", "1", "61", ""), NULL};
    CHECK(run("task logs 1-2 --follow", "") == 8);
    check_says("Not waiting any longer; the task goes on.");
    terminal.patience = UINT32_MAX;
}

/* ---- changing ---- */

static void cancels_and_retries_tasks(void **state)
{
    (void)state;
    CHECK(run("task cancel 1-2 3-4", "") == 0);
    CHECK(fake.change == BOOK_CANCEL && fake.change_count == 2);
    CHECK(fake.changed[1] == task_id(3, 4));
    check_says("2 of 2 tasks cancelled.");
    CHECK(run("task retry 1-2 9-4", "") == 8);
    CHECK(fake.change == BOOK_RETRY);
    check_says("1 of 2 tasks wait again; the others are no dead letters.");
    CHECK(run("task cancel 9-4", "") == 7);
}

static void sweeps_all_dead_letters(void **state)
{
    (void)state;
    static const char dead[] =
        "{\"v\":1,\"node\":\"one\",\"tasks\":[{\"id\":\"1-2\"},{\"id\":"
        "\"3-4\"}],\"cursor\":null}";
    fake.tasks = dead;
    CHECK(run("dlq retry --all", "") == 0);
    CHECK(fake.change == BOOK_RETRY && fake.changed[1] == task_id(3, 4));
    check_says("2 dead letters wait again.");
    fake.tasks = dead;
    fake.change = 0;
    CHECK(run("dlq purge --all", "") == 7); /* nothing was typed */
    CHECK(fake.change == 0);
    terminal.typed = "all\n";
    CHECK(run("dlq purge --all", "") == 0);
    CHECK(fake.change == BOOK_PURGE);
}

/* ---- pools ---- */

static void lists_pools_and_workers(void **state)
{
    (void)state;
    CHECK(run("pool ls --node one", "") == 0);
    check_out(
        "POOL     HANDLER  KEPT     STATE   WORKERS  WAITING  READY  "
        "LEASED  DONE  RETRIED  DEAD\n"
        "default  exec     durable  active        4        5      3       "
        "2    70        2     1\n");
    CHECK(run("pool workers default", "") == 0);
    CHECK(strstr(terminal.out, "one   default        4       2"));
    check_says("node two is not counted");
    CHECK(run("pool workers thumbs", "") == 2);
    check_says("there is no pool thumbs");
    CHECK(run("pool steal-stats", "") == 0);
    CHECK(
        strstr(terminal.out, "one       2     70    10       9    4      20"));
    CHECK(run("pool show default", "") == 0);
    CHECK(strstr(terminal.out, "5 waiting (3 ready), 2 with workers"));
}

static void changes_one_field_of_a_pool(void **state)
{
    (void)state;
    CHECK(run("pool scale default 9", "") == 0);
    CHECK(strstr(fake.set, "\"version\":2") && strstr(fake.set, "ers\":9"));
    CHECK(run("pool pause default", "") == 0);
    CHECK(strstr(fake.set, "\"paused\":true"));
    fake.set[0] = '\0';
    CHECK(run("pool resume default", "") == 0); /* it is not paused */
    CHECK(fake.set[0] == '\0');
    check_says("Pool default already gives tasks out.");
    CHECK(run("pool scale thumbs 9", "") == 2);
    check_says("there is no pool thumbs");
}

static void write_file(const char *text)
{
    char path[256];
    FILE *file = fopen(temp_folder_path(&terminal.folder, path, "p.yaml"), "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void applies_a_file_of_pools(void **state)
{
    (void)state;
    write_file("name: thumbs\nworkers: 3\n");
    CHECK(run("pool apply DIR/p.yaml", "") == 0);
    check_says("Pool thumbs is new.");
    CHECK(strstr(fake.set, "\"name\":\"thumbs\"") &&
          strstr(fake.set, "\"version\":0"));
    write_file("name: default\nworkers: 5\n");
    fake.set[0] = '\0';
    CHECK(run("pool apply DIR/p.yaml", "") == 7); /* nothing was typed */
    check_says("workers: 4 -> 5");
    CHECK(fake.set[0] == '\0');
    CHECK(run("pool apply DIR/p.yaml --yes", "") == 0);
    CHECK(strstr(fake.set, "\"version\":2")); /* of what was looked at */
    write_file("name: thumbs\nworkers: some\n");
    CHECK(run("pool apply DIR/p.yaml", "") == 1);
    check_says("p.yaml:2:1: workers: found some; allowed: a whole number");
}

static void shows_how_far_schedules_are(void **state)
{
    (void)state;
    fake.pool = scheduled_definition;
    CHECK(run("pool show default", "") == 0);
    CHECK(strstr(terminal.out,
                 "SCHEDULE  CRON     NEXT (UTC)        LAST (UTC)        TASK  "
                 "PASSED\n"
                 "hourly    @hourly  2025-01-01 00:00  2024-12-31 23:00  3-17  "
                 "     2\n"
                 "gone      @daily   2025-01-01 00:00  -                 -     "
                 "     0\n"));
    CHECK(!strstr(terminal.out, "argv"));
    CHECK(run("pool show default --json", "") == 0);
    CHECK(strstr(terminal.out, "\"last_task\"") &&
          strstr(terminal.out, "\"argv\""));
}

static void says_when_new_schedules_are_due(void **state)
{
    (void)state;
    const char hourly[] = "name: default\nworkers: 4\nany_command: true\n"
                          "schedules:\n  - name: hourly\n    cron: \"%s\"\n"
                          "    payload: {argv: [\"true\"]}\n";
    char text[256];
    fake.pool = scheduled_definition;
    (void)snprintf(text, sizeof text, hourly, "@hourly");
    write_file(text);
    CHECK(run("pool apply DIR/p.yaml --yes", "") == 0);
    check_says("    schedule gone is gone\n");
    CHECK(!strstr(terminal.talk, "schedule hourly"));
    CHECK(strstr(fake.set, "\"since_ms\":77")); /* it counts on */
    (void)snprintf(text, sizeof text, hourly, "0 0 29 2 *");
    write_file(text);
    CHECK(run("pool apply DIR/p.yaml --yes", "") == 0);
    check_says("    schedule hourly has changed: 0 0 29 2 *; next ");
    check_says("-02-29 00:00 UTC\n");
    CHECK(strstr(fake.set, "\"since_ms\":0"));
    (void)snprintf(text, sizeof text, hourly, "0 0 30 2 *");
    write_file(text);
    fake.set[0] = '\0';
    CHECK(run("pool apply DIR/p.yaml --yes", "") == 1);
    check_says("p.yaml:6:5: cron: day of month: found \"30\"");
    CHECK(fake.set[0] == '\0');
}

static void removes_only_empty_pools(void **state)
{
    (void)state;
    CHECK(run("pool remove default --yes", "") == 7);
    check_says("5 tasks wait in pool default, and not all nodes have answered");
    CHECK(run("pool remove default --yes --force", "") == 0);
    CHECK(strstr(fake.set, "\"force\":true"));
    check_says("Pool default is removed.");
}

/* ---- top ---- */

static void draws_one_picture(void **state)
{
    (void)state;
    CHECK(run("top --once", "") == 0);
    CHECK(strstr(terminal.out, "lab: 2 of 3 nodes heard; 2 shards: 2 led, 1 "
                               "whole, 0 moving\n! three is not heard\n"));
    CHECK(strstr(terminal.out, "one    active       2       2"));
    CHECK(strstr(terminal.out, "default  active        4        5"));
    /* The busiest first. */
    const char *busy =
        strstr(terminal.out, "    1  two     serving         50");
    CHECK(busy && strstr(busy, "    0  one     serving          5"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(prints_what_a_command_has_written),
        TEST(says_that_a_command_has_failed),
        TEST(writes_bytes_as_they_are),
        TEST(detaches_with_the_id),
        TEST(a_task_is_as_the_flags_say),
        TEST(refuses_what_does_not_go_together),
        TEST(names_what_stands_in_the_way),
        TEST(submits_a_task_per_line),
        TEST(goes_on_behind_a_broken_line),
        TEST(submits_nothing_behind_a_broken_line_when_strict),
        TEST(names_the_line_whose_payload_is_too_large),
        TEST(names_the_line_whose_key_is_taken),
        TEST(a_task_after_one_of_no_shard_is_refused),
        TEST(prints_results_as_they_come_or_in_order),
        TEST(tells_results_as_json),
        TEST(waits_for_room_or_not),
        TEST(asks_again_when_an_answer_is_lost),
        TEST(gives_up_when_nobody_answers),
        TEST(ctrl_c_ends_the_waiting_alone),
        TEST(more_lines_than_a_batch_has_go_in_several),
        TEST(shows_what_a_single_task_says_of_itself),
        TEST(runs_a_command_for_each_item),
        TEST(puts_items_where_the_mark_is),
        TEST(ends_as_xargs_does),
        TEST(lists_tasks_of_all_nodes),
        TEST(reads_lists_in_parts_and_keeps_the_newest),
        TEST(shows_a_task_and_why),
        TEST(prints_a_tasks_output),
        TEST(a_character_that_was_printed_is_no_number),
        TEST(prints_what_is_written_so_far),
        TEST(follows_what_is_written_until_the_end),
        TEST(follows_onto_the_next_attempt),
        TEST(follows_while_nodes_are_away),
        TEST(stops_following_at_ctrl_c),
        TEST(cancels_and_retries_tasks),
        TEST(sweeps_all_dead_letters),
        TEST(lists_pools_and_workers),
        TEST(changes_one_field_of_a_pool),
        TEST(applies_a_file_of_pools),
        TEST(shows_how_far_schedules_are),
        TEST(says_when_new_schedules_are_due),
        TEST(removes_only_empty_pools),
        TEST(draws_one_picture),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
