/*
 * The book beside a model of it in the plainest way: a list of tasks that is
 * searched from end to end. Thousands of random commands to both; what they
 * answer and what they hold must be equal, on a leader and on a follower,
 * whatever was decided and dropped in between, and after snapshots.
 */

#include "base/pack.h"
#include "tests/shard/book_lab.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHARD 3u
#define COMMAND_COUNT 6000u
#define SEED_COUNT 4u
#define TASK_COUNT_MAX (4 * COMMAND_COUNT)
#define SPEC_COUNT_MAX 4u
#define KEY_COUNT 10u
#define RECENT_COUNT 60u /* tasks that commands are about */
#define BUFFER_BYTES (64u << 10)

#define RESULT_MS 4000
#define KEY_MS 9000
#define DEAD_MAX 12u
#define PAYLOAD_BYTES_MAX 300u

/* ---- the pools ---- */

enum { SINGLE, SPLIT, POOL_COUNT, NO_POOL = POOL_COUNT };

static const char *const pool_names[] = {"single", "split", "unknown"};
/* Of this shard: all of the one, a quarter of the other. */
static const uint32_t rooms[] = {16,
                                 TASK_POOL_SPLIT_MIN / BOOK_LAB_SHARD_COUNT};
static const uint32_t dead_max[] = {DEAD_MAX, DEAD_MAX / BOOK_LAB_SHARD_COUNT};
static struct task_pools pools;

static int open_pools(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POOL_COUNT; i++) {
        struct task_pool pool;
        task_pool_defaults(&pool);
        (void)snprintf(pool.name, sizeof pool.name, "%s", pool_names[i]);
        pool.queue_max = i == SINGLE ? rooms[i] : TASK_POOL_SPLIT_MIN;
        pool.payload_bytes_max = PAYLOAD_BYTES_MAX;
        pool.result_ms = RESULT_MS;
        pool.key_ms = KEY_MS;
        pool.dead_max = DEAD_MAX;
        CHECK_OK(task_pools_set(&pools, &pool));
    }
    return 0;
}

static int close_pools(void **state)
{
    (void)state;
    task_pools_clear(&pools);
    return 0;
}

/* ---- the model ---- */

/* What is submitted, and what comes of it. */
struct wish {
    uint32_t payload_bytes;
    uint32_t key; /* 0: none */
    char letter;  /* of which the payload is */
    bool has_bad_after;
};

struct answer {
    enum err err;
    bool is_known;
    uint64_t id;
};

struct model_task {
    bool is_there;
    uint32_t pool;
    struct wish wish;
    enum task_state state;
    uint32_t attempts;
    int64_t accepted_ms;
    int64_t at_ms;
    uint64_t ended; /* the how many-th that did */
};

struct model_submission {
    uint64_t number;
    uint32_t count;
    struct answer answers[SPEC_COUNT_MAX];
};

struct model {
    struct model_task tasks[TASK_COUNT_MAX];
    struct book_pool_stats stats[POOL_COUNT];
    uint64_t count; /* the next sequence; the first is 1 */
    uint64_t ended_count;
    uint64_t marked;
    struct model_submission recalls[BOOK_LAB_SUBMISSION_COUNT];
    uint32_t recall_next;
};

static struct model_task *model_find(struct model *model, uint64_t id)
{
    uint64_t at = task_id_sequence(id);
    return task_id_shard(id) == SHARD && at < model->count &&
                   model->tasks[at].is_there
               ? &model->tasks[at]
               : NULL;
}

static uint64_t *count_of(struct book_pool_stats *stats, enum task_state state)
{
    return state == TASK_WAITING ? &stats->waiting
           : state == TASK_DONE  ? &stats->done
           : state == TASK_DEAD  ? &stats->dead
                                 : &stats->other;
}

static void model_enter(struct model *model,
                        struct model_task *task,
                        enum task_state state)
{
    struct book_pool_stats *stats = &model->stats[task->pool];
    --*count_of(stats, task->state);
    ++*count_of(stats, state);
    task->state = state;
}

static void model_remove(struct model *model, struct model_task *task)
{
    --*count_of(&model->stats[task->pool], task->state);
    task->is_there = false;
}

static struct answer model_submit_one(struct model *model,
                                      uint32_t pool,
                                      const struct wish *wish,
                                      int64_t now_ms)
{
    for (uint64_t i = 0; wish->key != 0 && i < model->count; i++) {
        const struct model_task *task = &model->tasks[i];
        if (task->is_there && task->pool == pool &&
            task->wish.key == wish->key) {
            bool is_same = task->wish.letter == wish->letter &&
                           task->wish.payload_bytes == wish->payload_bytes;
            return (struct answer){.err = is_same ? ERR_NONE : ERR_EXISTS,
                                   .is_known = true,
                                   .id = task_id(SHARD, i)};
        }
    }
    enum err err = wish->payload_bytes > PAYLOAD_BYTES_MAX     ? ERR_TOO_LARGE
                   : wish->has_bad_after                       ? ERR_INVALID
                   : model->stats[pool].waiting >= rooms[pool] ? ERR_FULL
                                                               : ERR_NONE;
    if (err) {
        return (struct answer){.err = err};
    }
    assert_true(model->count < TASK_COUNT_MAX);
    model->tasks[model->count] = (struct model_task){
        .is_there = true, .pool = pool, .wish = *wish, .accepted_ms = now_ms};
    model->stats[pool].waiting++;
    model->stats[pool].accepted_total++;
    return (struct answer){.id = task_id(SHARD, model->count++)};
}

static struct model_submission model_submit(struct model *model,
                                            uint32_t pool,
                                            uint64_t number,
                                            const struct wish *wishes,
                                            uint32_t count,
                                            int64_t now_ms)
{
    struct model_submission made = {.number = number, .count = count};
    for (uint32_t i = 0; number != 0 && i < BOOK_LAB_SUBMISSION_COUNT; i++) {
        if (model->recalls[i].number == number) {
            return model->recalls[i];
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        made.answers[i] =
            pool == NO_POOL ? (struct answer){.err = ERR_NOT_FOUND}
                            : model_submit_one(model, pool, &wishes[i], now_ms);
    }
    if (number != 0 && pool != NO_POOL) {
        model->recalls[model->recall_next++ % BOOK_LAB_SUBMISSION_COUNT] = made;
    }
    return made;
}

static void model_end(struct model *model,
                      const struct book_end *end,
                      int64_t now_ms)
{
    struct model_task *task = model_find(model, end->id);
    if (!task || task->state != TASK_WAITING) {
        return;
    }
    struct book_pool_stats *stats = &model->stats[task->pool];
    bool was_tried = end->state <= TASK_DEAD;
    task->attempts += was_tried;
    task->at_ms = end->state == TASK_WAITING ? end->at_ms : now_ms;
    task->ended = model->ended_count++;
    stats->done_total += end->state == TASK_DONE;
    stats->dead_total += end->state == TASK_DEAD;
    stats->retried_total += end->state == TASK_WAITING;
    model_enter(model, task, end->state);
}

/* Whether it was changed. */
static bool model_change(struct model *model,
                         enum book_request_kind kind,
                         uint64_t id,
                         int64_t now_ms)
{
    struct model_task *task = model_find(model, id);
    bool is_waiting = task && task->state == TASK_WAITING;
    if (kind == BOOK_CANCEL && is_waiting) {
        model_end(model, &(struct book_end){.id = id, .state = TASK_CANCELLED},
                  now_ms);
        return true;
    }
    if (kind == BOOK_RETRY && task && task->state == TASK_DEAD) {
        model_enter(model, task, TASK_WAITING);
        task->attempts = 0;
        task->at_ms = 0;
        task->accepted_ms = now_ms;
        return true;
    }
    if (kind == BOOK_PURGE && task && !is_waiting) {
        model_remove(model, task);
        return true;
    }
    return false;
}

static void model_trim_dead(struct model *model, uint32_t pool)
{
    while (model->stats[pool].dead > dead_max[pool]) {
        struct model_task *oldest = NULL;
        for (uint64_t i = 0; i < model->count; i++) {
            struct model_task *task = &model->tasks[i];
            if (task->is_there && task->pool == pool &&
                task->state == TASK_DEAD &&
                (!oldest || task->ended < oldest->ended)) {
                oldest = task;
            }
        }
        model_remove(model, oldest);
        model->stats[pool].dead_dropped++;
    }
}

static void model_trim(struct model *model, int64_t now_ms)
{
    for (uint64_t i = 0; i < model->count; i++) {
        struct model_task *task = &model->tasks[i];
        bool is_keyed = task->state == TASK_DONE && task->wish.key != 0;
        if (task->is_there && task->state != TASK_WAITING &&
            task->state != TASK_DEAD &&
            task->at_ms + (is_keyed ? KEY_MS : RESULT_MS) <= now_ms) {
            model_remove(model, task);
        }
    }
    for (uint32_t pool = 0; pool < POOL_COUNT; pool++) {
        model_trim_dead(model, pool);
    }
}

/* ---- the books ---- */

struct trial {
    struct model *model;
    struct book *leader;
    struct book *follower;
    uint64_t random;
    int64_t now_ms;
    uint8_t command[BUFFER_BYTES];
    uint8_t outcome[BUFFER_BYTES];
    uint8_t reply[BUFFER_BYTES];
};

static uint32_t below(struct trial *trial, uint32_t limit)
{
    trial->random =
        trial->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(trial->random >> 33) % limit;
}

/* On both; the reply. */
static struct bytes tell(struct trial *trial,
                         struct bytes command,
                         bool is_dropped)
{
    struct machine machine = book_machine(trial->leader);
    struct machine_stamp stamp = {.wall_ms = trial->now_ms};
    struct machine_decision decision = {
        .outcome = writer_of(trial->outcome, sizeof trial->outcome),
        .reply = writer_of(trial->reply, sizeof trial->reply)};
    CHECK_OK(machine.decide(machine.context, &stamp, command, &decision));
    struct bytes outcome = writer_bytes(&decision.outcome);
    if (is_dropped) {
        machine.drop(machine.context);
    } else if (outcome.length > 0) {
        CHECK_OK(machine.apply(machine.context, 1, &stamp, outcome));
        machine = book_machine(trial->follower);
        CHECK_OK(machine.apply(machine.context, 1, &stamp, outcome));
    }
    return writer_bytes(&decision.reply);
}

/* ---- commands ---- */

static uint64_t recent_id(struct trial *trial)
{
    uint64_t back = below(trial, RECENT_COUNT);
    uint64_t next =
        trial->model->count + 1; /* one that is not there yet, too */
    return task_id(SHARD, next > back ? next - back : 0);
}

static struct wish random_wish(struct trial *trial)
{
    struct wish wish = {.payload_bytes =
                            1 + below(trial, PAYLOAD_BYTES_MAX + 5),
                        .letter = 'a',
                        .has_bad_after = below(trial, 20) == 0};
    if (below(trial, 3) == 0) {
        wish.key = 1 + below(trial, KEY_COUNT);
        wish.letter = (char)('a' + below(trial, 8) / 7);
        wish.payload_bytes = wish.key * 30;
    }
    return wish;
}

static void write_spec(struct writer *writer, const struct wish *wish)
{
    char payload[PAYLOAD_BYTES_MAX + 16];
    char key[16];
    memset(payload, wish->letter, wish->payload_bytes);
    struct task_spec spec =
        task_spec_of(bytes_of(payload, wish->payload_bytes));
    if (wish->key != 0) {
        (void)snprintf(key, sizeof key, "key %" PRIu32, wish->key);
        spec.key = bytes_of_text(key);
    }
    if (wish->has_bad_after) {
        spec.after_count = 1;
        spec.after[0] = task_id(BOOK_LAB_SHARD_COUNT, 1);
    }
    task_spec_encode(&spec, writer);
}

static void check_answers(struct bytes reply,
                          const struct model_submission *expected)
{
    struct reader reader = reader_of(reply);
    uint32_t runs = pack_read_array(&reader);
    uint32_t at = 0;
    for (uint32_t i = 0; i < runs; i++) {
        struct book_run run;
        book_run_decode(&run, &reader);
        assert_false(reader.failed);
        for (uint32_t j = 0; j < run.count; j++, at++) {
            const struct answer *answer = &expected->answers[at];
            assert_true(at < expected->count);
            CHECK_ERR(run.err, answer->err);
            assert_int_equal(run.is_known, answer->is_known);
            assert_true(answer->id == (answer->id ? run.first + j : 0));
        }
    }
    assert_int_equal(at, expected->count);
}

static void submit(struct trial *trial, bool is_dropped)
{
    struct wish wishes[SPEC_COUNT_MAX];
    uint32_t count = 1 + below(trial, SPEC_COUNT_MAX);
    uint32_t pool = below(trial, 30) == 0 ? NO_POOL : below(trial, POOL_COUNT);
    uint64_t number = below(trial, 24);
    struct writer writer = writer_of(trial->command, sizeof trial->command);
    book_submit_begin(&writer, pool_names[pool], number, count);
    for (uint32_t i = 0; i < count; i++) {
        wishes[i] = random_wish(trial);
        write_spec(&writer, &wishes[i]);
    }
    struct bytes reply = tell(trial, writer_bytes(&writer), is_dropped);
    if (!is_dropped) {
        struct model_submission expected = model_submit(
            trial->model, pool, number, wishes, count, trial->now_ms);
        check_answers(reply, &expected);
    }
}

static bool is_among(uint64_t id, const uint64_t *ids, uint32_t count)
{
    bool is = false;
    for (uint32_t i = 0; i < count; i++) {
        is = is || ids[i] == id;
    }
    return is;
}

/* Of two ends of one task that come together, the first counts. */
static void end(struct trial *trial, bool is_dropped)
{
    static const enum task_state states[] = {TASK_DONE, TASK_DONE, TASK_DEAD,
                                             TASK_WAITING, TASK_EXPIRED};
    struct task_parcel parcel = {0};
    uint64_t ids[8];
    uint32_t count = 1 + below(trial, 8);
    CHECK_OK(task_parcel_room(&parcel, sizeof trial->command));
    book_ends_begin(&parcel);
    for (; parcel.count < count; parcel.count++) {
        ids[parcel.count] = recent_id(trial);
        struct book_end end = {.id = ids[parcel.count],
                               .state = states[below(trial, 5)],
                               .at_ms = trial->now_ms + below(trial, 100),
                               .output = bytes_of_text("output"),
                               .why = bytes_of_text("why")};
        book_end_encode(&end, &parcel.writer);
        if (!is_dropped && !is_among(end.id, ids, parcel.count)) {
            model_end(trial->model, &end, trial->now_ms);
        }
    }
    (void)tell(trial, task_parcel_end(&parcel), is_dropped);
    task_parcel_free(&parcel);
}

static void change(struct trial *trial, bool is_dropped)
{
    uint64_t ids[8];
    uint64_t changed = 0;
    uint32_t count = 1 + below(trial, 8);
    enum book_request_kind kind =
        (enum book_request_kind)(BOOK_CANCEL + below(trial, 3));
    const char *allowed = below(trial, 4) == 0 ? pool_names[SPLIT] : NULL;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = recent_id(trial);
    }
    struct writer writer = writer_of(trial->command, sizeof trial->command);
    book_request_ids(&writer, kind, ids, count, allowed);
    struct bytes reply = tell(trial, writer_bytes(&writer), is_dropped);
    for (uint32_t i = 0; i < count && !is_dropped; i++) {
        const struct model_task *task = model_find(trial->model, ids[i]);
        if (!allowed || (task && task->pool == SPLIT)) {
            changed += model_change(trial->model, kind, ids[i], trial->now_ms);
        }
    }
    struct reader reader = reader_of(reply);
    assert_true(is_dropped || pack_read_uint(&reader) == changed);
}

static void trim(struct trial *trial, bool is_dropped)
{
    struct writer writer = writer_of(trial->command, sizeof trial->command);
    book_trim_encode(&writer);
    (void)tell(trial, writer_bytes(&writer), is_dropped);
    if (!is_dropped) {
        model_trim(trial->model, trial->now_ms);
        assert_false(book_has_to_trim(trial->leader, trial->now_ms));
    }
}

static void mark(struct trial *trial, bool is_dropped)
{
    uint64_t sequence = trial->model->count + below(trial, 50);
    struct writer writer = writer_of(trial->command, sizeof trial->command);
    book_mark_encode(&writer, sequence);
    (void)tell(trial, writer_bytes(&writer), is_dropped);
    if (!is_dropped && sequence > trial->model->marked) {
        trial->model->marked = sequence;
    }
}

/* ---- snapshots ---- */

/* A new replica, which leads from now on. */
static void change_leader(struct trial *trial)
{
    struct book *next = book_lab_open(SHARD, &pools);
    book_lab_copy(trial->leader, next);
    book_close(&trial->follower);
    trial->follower = trial->leader;
    trial->leader = next;
}

/* ---- what must be equal ---- */

static void check_task(const struct book *book,
                       uint64_t id,
                       const struct model_task *expected)
{
    const struct task *task = book_find(book, id);
    assert_int_equal(task != NULL, expected->is_there);
    if (!task) {
        return;
    }
    assert_string_equal(task_pool_name(task), pool_names[expected->pool]);
    assert_int_equal(task->state, expected->state);
    assert_int_equal(task->attempts, expected->attempts);
    assert_true(task->accepted_ms == expected->accepted_ms);
    assert_true(task->at_ms == expected->at_ms);
    bool is_kept = expected->state <= TASK_WAITING ||
                   expected->state == TASK_DEAD ||
                   expected->wish.payload_bytes <= TASK_KEPT_PAYLOAD_BYTES;
    assert_int_equal(task_payload(task).length,
                     is_kept ? expected->wish.payload_bytes : 0);
    assert_int_equal(task_key(task).length > 0, expected->wish.key > 0);
    if (expected->state == TASK_DONE) {
        assert_true(
            bytes_are_equal(task_output(task), bytes_of_text("output")));
    }
}

static void check_stats(const struct book *book, struct model *model)
{
    for (uint32_t pool = 0; pool < POOL_COUNT; pool++) {
        struct book_pool_stats found =
            book_stats(book, bytes_of_text(pool_names[pool]));
        found.kept_bytes = 0; /* what a task takes is the book's own affair */
        assert_memory_equal(&found, &model->stats[pool], sizeof found);
    }
}

static void check_all(const struct trial *trial)
{
    for (uint64_t i = 0; i < trial->model->count; i++) {
        check_task(trial->leader, task_id(SHARD, i), &trial->model->tasks[i]);
    }
    check_stats(trial->leader, trial->model);
    check_stats(trial->follower, trial->model);
    assert_true(book_next_sequence(trial->leader) == trial->model->count);
    assert_true(book_marked(trial->leader) == trial->model->marked);
}

static void step(struct trial *trial)
{
    static void (*const commands[])(struct trial *, bool) = {
        submit, submit, submit, end, end, end, end, change, trim, mark};
    bool is_dropped = below(trial, 8) == 0;
    uint64_t before = book_digest(trial->leader);
    trial->now_ms += below(trial, 60);
    commands[below(trial, 10)](trial, is_dropped);
    uint64_t after = book_digest(trial->leader);
    assert_true(!is_dropped || before == after);
    assert_true(after == book_digest(trial->follower));
}

static void run_seed(uint64_t seed)
{
    static struct model model;
    static struct trial trial;
    model = (struct model){.count = 1};
    trial = (struct trial){.model = &model,
                           .leader = book_lab_open(SHARD, &pools),
                           .follower = book_lab_open(SHARD, &pools),
                           .random = seed,
                           .now_ms = INT64_C(1700000000000)};
    for (uint32_t i = 0; i < COMMAND_COUNT; i++) {
        step(&trial);
        if (i % 97 == 96) {
            check_all(&trial);
        }
        if (i % 701 == 700) {
            change_leader(&trial);
        }
    }
    check_all(&trial);
    book_close(&trial.leader);
    book_close(&trial.follower);
}

static void the_book_is_as_its_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_book_is_as_its_model, open_pools,
                                        close_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
