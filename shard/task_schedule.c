#include "shard/task_schedule.h"

#include "base/pack.h"
#include "base/time_units.h"

#include <inttypes.h>
#include <stdlib.h>

#define CATCH_UP_MS UINT64_C(3600000)
#define FIELD_COUNT 11

static const char *const overlaps[] = {"skip", "allow"};

/* ---- numbers ---- */

enum number {
    PRIORITY,
    TTL,
    TIMEOUT,
    ATTEMPTS,
    CATCH_UP,
    SINCE,
    NUMBER_COUNT,
};

static const struct {
    const char *name;
    uint64_t min;
    uint64_t max;
} numbers[NUMBER_COUNT] = {
    [PRIORITY] = {"priority", 0, TASK_PRIORITY_COUNT - 1},
    [TTL] = {"ttl_ms", 0, UINT64_MAX / 4},
    [TIMEOUT] = {"timeout_ms", 0, UINT32_MAX},
    [ATTEMPTS] = {"attempts_max", 0, UINT32_MAX},
    [CATCH_UP] = {"catch_up_ms", TASK_CATCH_UP_MS_MIN, TASK_CATCH_UP_MS_MAX},
    [SINCE] = {"since_ms", 0, (uint64_t)(CRON_LAST_S *MS_PER_S)},
};

static uint64_t number_of(const struct task_schedule *schedule,
                          enum number number)
{
    const struct task_spec *task = &schedule->task;
    const uint64_t values[NUMBER_COUNT] = {
        [PRIORITY] = task->priority,
        [TTL] = task->ttl_ms,
        [TIMEOUT] = task->timeout_ms,
        [ATTEMPTS] = task->attempts_max,
        [CATCH_UP] = schedule->catch_up_ms,
        [SINCE] = (uint64_t)schedule->since_ms,
    };
    return values[number];
}

static void read_number(struct reader *reader,
                        enum number number,
                        struct task_schedule *out)
{
    uint64_t value = pack_read_uint_to(reader, numbers[number].max);
    switch (number) {
    case PRIORITY:
        out->task.priority = (uint8_t)value;
        break;
    case TTL:
        out->task.ttl_ms = value;
        break;
    case TIMEOUT:
        out->task.timeout_ms = (uint32_t)value;
        break;
    case ATTEMPTS:
        out->task.attempts_max = (uint32_t)value;
        break;
    case CATCH_UP:
        out->catch_up_ms = value;
        break;
    case SINCE:
        out->since_ms = (int64_t)value;
        break;
    case NUMBER_COUNT:
        break;
    }
}

/* ---- life ---- */

void task_schedule_defaults(struct task_schedule *schedule)
{
    *schedule = (struct task_schedule){.catch_up_ms = CATCH_UP_MS,
                                       .may_overlap = true,
                                       .task = task_spec_of((struct bytes){0})};
}

void task_schedule_clear(struct task_schedule *schedule)
{
    free(schedule->bytes);
    *schedule = (struct task_schedule){.bytes = NULL};
}

/* What its task borrows becomes its own. False: no memory. */
static bool own(struct task_schedule *schedule)
{
    struct bytes *payload = &schedule->task.payload;
    struct bytes *tenant = &schedule->task.tenant;
    size_t length = payload->length + tenant->length;
    schedule->bytes = length > 0 ? malloc(length) : NULL;
    if (length > 0 && !schedule->bytes) {
        return false;
    }
    struct writer writer = writer_of(schedule->bytes, length);
    write_bytes(&writer, payload->data, payload->length);
    write_bytes(&writer, tenant->data, tenant->length);
    payload->data = schedule->bytes;
    tenant->data =
        tenant->length > 0 ? schedule->bytes + payload->length : NULL;
    return true;
}

enum err task_schedule_copy(struct task_schedule *out,
                            const struct task_schedule *from)
{
    struct task_schedule copy = *from;
    if (!own(&copy)) {
        return ERR_MEMORY;
    }
    *out = copy;
    return ERR_NONE;
}

/* ---- validation ---- */

/* What a command's task begins with: its program. Fails the reader. */
static struct bytes read_program(struct reader *reader)
{
    struct bytes program = {0};
    uint32_t count = pack_read_array(reader);
    reader->failed = reader->failed || count == 0;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct bytes argument = pack_read_str(reader);
        program = i == 0 ? argument : program;
    }
    return program;
}

/* {"argv": [text ...], ...} */
static bool find_program(struct bytes payload, char *to, size_t capacity)
{
    struct reader reader = reader_of(payload);
    struct bytes program = {0};
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        if (bytes_are_equal(pack_read_str(&reader), bytes_of_text("argv"))) {
            program = read_program(&reader);
        } else {
            pack_skip(&reader);
        }
    }
    bool is_found = !reader.failed && program.length > 0 &&
                    program.length < capacity &&
                    !memchr(program.data, '\0', program.length);
    if (is_found) {
        memcpy(to, program.data, program.length);
        to[program.length] = '\0';
    }
    return is_found;
}

static enum err check_payload(const struct task_schedule *schedule,
                              const struct task_pool *pool,
                              struct err_detail *why)
{
    char program[TASK_POOL_TEXT_BYTES];
    struct bytes payload = schedule->task.payload;
    if (payload.length > pool->payload_bytes_max) {
        err_explain(why, "payload: %zu bytes are more than %" PRIu32,
                    payload.length, pool->payload_bytes_max);
        return ERR_INVALID;
    }
    if (pool->handler != TASK_EXEC) {
        return ERR_NONE;
    }
    if (!find_program(payload, program, sizeof program)) {
        err_explain(why, "payload: of a pool that runs commands "
                         "{argv: [text, ...], stdin: text} is expected");
        return ERR_INVALID;
    }
    if (!task_pool_allows(pool, program)) {
        err_explain(why,
                    "payload: the pool does not run \"%.64s\": allowed are "
                    "its `commands`",
                    program);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

enum err task_schedule_validate(const struct task_schedule *schedule,
                                const struct task_pool *pool,
                                struct err_detail *why)
{
    if (!certificate_name_is_valid(schedule->name)) {
        err_explain(why,
                    "name: \"%.63s\" is not 1 to 63 letters, digits, '-', "
                    "'_' or '.'",
                    schedule->name);
        return ERR_INVALID;
    }
    for (enum number i = 0; i < NUMBER_COUNT; i++) {
        uint64_t number = number_of(schedule, i);
        if (number < numbers[i].min || number > numbers[i].max) {
            err_explain(
                why, "%s: %" PRIu64 " is not between %" PRIu64 " and %" PRIu64,
                numbers[i].name, number, numbers[i].min, numbers[i].max);
            return ERR_INVALID;
        }
    }
    return check_payload(schedule, pool, why);
}

/* ---- those of a pool ---- */

int64_t task_schedule_from_s(const struct task_schedule *schedule,
                             int64_t due_s)
{
    int64_t since_s = schedule->since_ms / MS_PER_S;
    return due_s > since_s ? due_s : since_s;
}

const struct task_schedule *task_schedule_find(const struct task_pool *pool,
                                               const char *name)
{
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        if (strcmp(pool->schedules[i].name, name) == 0) {
            return &pool->schedules[i];
        }
    }
    return NULL;
}

void task_schedules_stamp(struct task_pool *pool,
                          const struct task_pool *before,
                          int64_t now_ms)
{
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        struct task_schedule *schedule = &pool->schedules[i];
        const struct task_schedule *old =
            before ? task_schedule_find(before, schedule->name) : NULL;
        bool is_same = old && strcmp(old->text, schedule->text) == 0;
        schedule->since_ms = is_same ? old->since_ms : now_ms;
    }
}

/* ---- encoding ---- */

size_t task_schedule_bytes_max(const struct task_schedule *schedule)
{
    return (size_t)FIELD_COUNT * 24 + strlen(schedule->name) +
           strlen(schedule->text) + schedule->task.payload.length +
           schedule->task.tenant.length;
}

void task_schedule_encode(const struct task_schedule *schedule,
                          struct writer *writer)
{
    struct bytes payload = schedule->task.payload;
    pack_map(writer, FIELD_COUNT);
    pack_text(writer, "name");
    pack_text(writer, schedule->name);
    pack_text(writer, "cron");
    pack_text(writer, schedule->text);
    pack_text(writer, "payload");
    if (payload.length > 0) {
        write_bytes(writer, payload.data, payload.length);
    } else {
        pack_nil(writer);
    }
    pack_text(writer, "tenant");
    pack_str(writer, schedule->task.tenant);
    pack_text(writer, "overlap");
    pack_text(writer, overlaps[schedule->may_overlap]);
    for (enum number i = 0; i < NUMBER_COUNT; i++) {
        pack_text(writer, numbers[i].name);
        pack_uint(writer, number_of(schedule, i));
    }
}

/* ---- decoding ---- */

static void read_payload(struct reader *reader, struct bytes *out)
{
    bool is_nil = pack_peek(reader) == PACK_NIL;
    const uint8_t *from = reader->next;
    pack_skip(reader);
    *out = is_nil || reader->failed
               ? (struct bytes){0}
               : bytes_of(from, (size_t)(reader->next - from));
}

static void read_overlap(struct reader *reader, struct task_schedule *out)
{
    struct bytes text = pack_read_str(reader);
    out->may_overlap = bytes_are_equal(text, bytes_of_text(overlaps[true]));
    reader->failed = reader->failed ||
                     (!out->may_overlap &&
                      !bytes_are_equal(text, bytes_of_text(overlaps[false])));
}

static void read_tenant(struct reader *reader, struct bytes *out)
{
    *out = pack_read_str(reader);
    reader->failed = reader->failed || out->length > TASK_KEY_BYTES_MAX;
}

/* What is allowed under that name; NULL: it is none of ours, and skipped. */
static const char *read_field(struct reader *reader,
                              struct bytes key,
                              struct task_schedule *out)
{
    if (bytes_are_equal(key, bytes_of_text("name"))) {
        pack_read_text(reader, out->name, sizeof out->name);
        return "name: at most 63 bytes are allowed";
    }
    if (bytes_are_equal(key, bytes_of_text("cron"))) {
        pack_read_text(reader, out->text, sizeof out->text);
        return "cron: a text of at most 127 bytes is expected";
    }
    if (bytes_are_equal(key, bytes_of_text("payload"))) {
        read_payload(reader, &out->task.payload);
        return "payload: makes no sense";
    }
    if (bytes_are_equal(key, bytes_of_text("tenant"))) {
        read_tenant(reader, &out->task.tenant);
        return "tenant: a text of at most 255 bytes is expected";
    }
    if (bytes_are_equal(key, bytes_of_text("overlap"))) {
        read_overlap(reader, out);
        return "overlap: allow or skip is expected";
    }
    for (enum number i = 0; i < NUMBER_COUNT; i++) {
        if (bytes_are_equal(key, bytes_of_text(numbers[i].name))) {
            read_number(reader, i, out);
            return numbers[i].name;
        }
    }
    pack_skip(reader);
    return NULL;
}

void task_schedule_decode(struct task_schedule *out,
                          struct reader *reader,
                          struct err_detail *why)
{
    struct task_schedule schedule;
    struct err_detail cron = {{0}};
    const char *allowed = NULL;
    task_schedule_defaults(&schedule);
    uint32_t count = pack_read_map(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct bytes key = pack_read_str(reader);
        allowed = read_field(reader, key, &schedule);
    }
    if (reader->failed) {
        err_explain(why, "%s: %s", schedule.name,
                    allowed ? allowed : "a map is expected");
        return;
    }
    if (cron_parse(&schedule.cron, schedule.text, &cron)) {
        err_explain(why, "%s: cron: %s", schedule.name, cron.text);
        reader->failed = true;
        return;
    }
    reader->failed = !own(&schedule);
    if (!reader->failed) {
        *out = schedule;
    }
}
