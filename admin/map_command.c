#include "admin/map_command.h"

#include "admin/line_input.h"
#include "admin/task_output.h"
#include "admin/task_pool_facts.h"
#include "admin/task_progress.h"
#include "admin/task_verbs.h"
#include "admin/waiting.h"
#include "base/pack.h"
#include "base/scope.h"
#include "shard/task_pool.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define ITEM_BYTES_MAX (64u << 10)
#define ITEM_COUNT_MAX 4000
#define SOME_FAILED 123 /* as xargs has it */

/* The items of one task, one behind the other, each with its zero. */
struct map {
    const struct command *command;
    struct task_talk talk;
    const char *pool;
    const char *mark; /* what stands for the items */
    bool has_mark;
    uint64_t item_count; /* of a task */
    struct task_pool_facts facts;
    struct task_spec standard;

    struct line_input input;
    struct buffer items;
    uint32_t count; /* in `items` */
    struct buffer payload;
    uint64_t number;
    uint64_t broken_count;
    bool is_all;

    struct task_output output;
    struct task_progress progress;
};

static void map_clear(struct map *map)
{
    line_input_close(&map->input);
    buffer_clear(&map->items);
    buffer_clear(&map->payload);
}

/* ---- one task's command ---- */

static const char *first_item(const struct map *map)
{
    return (const char *)buffer_bytes(&map->items).data;
}

static void pack_items(struct writer *writer, const struct map *map)
{
    const char *item = first_item(map);
    for (uint32_t i = 0; i < map->count; i++) {
        pack_text(writer, item);
        item += strlen(item) + 1;
    }
}

/* `word` with the item for each mark: there is one item only. ERR_MEMORY */
static enum err replace(struct buffer *to,
                        const struct map *map,
                        const char *word)
{
    enum err err = ERR_NONE;
    size_t length = strlen(map->mark);
    buffer_take(to, buffer_length(to));
    for (const char *at = strstr(word, map->mark); at && !err;
         at = strstr(word, map->mark)) {
        err = buffer_append(to, bytes_of(word, (size_t)(at - word)));
        if (!err) {
            err = buffer_append(to, bytes_of_text(first_item(map)));
        }
        word = at + length;
    }
    return err ? err : buffer_append(to, bytes_of_text(word));
}

static bool is_mark(const struct map *map, const char *word)
{
    return strcmp(word, map->mark) == 0;
}

static uint32_t word_count(const struct map *map)
{
    uint32_t count = map->has_mark ? 0 : map->count;
    for (uint32_t i = 0; i < map->command->operand_count; i++) {
        count +=
            is_mark(map, command_operand(map->command, i)) ? map->count : 1;
    }
    return count;
}

/* At most, with each word full of marks. */
static size_t payload_bytes(const struct map *map)
{
    size_t items = buffer_length(&map->items);
    size_t bytes = 64 + items + 5 * (size_t)map->count;
    for (uint32_t i = 0; i < map->command->operand_count; i++) {
        const char *word = command_operand(map->command, i);
        size_t marks = 0;
        const char *at = word;
        while (map->has_mark && (at = strstr(at, map->mark))) {
            at += strlen(map->mark);
            marks++;
        }
        bytes += 5 + strlen(word) + marks * (items + 5 * (size_t)map->count);
    }
    return bytes;
}

static enum err pack_words(struct writer *writer, const struct map *map)
{
    struct buffer word = {.data = NULL};
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < map->command->operand_count && !err; i++) {
        const char *operand = command_operand(map->command, i);
        if (is_mark(map, operand)) {
            pack_items(writer, map);
        } else if (strstr(operand, map->mark)) {
            err = replace(&word, map, operand);
            pack_str(writer, buffer_bytes(&word));
        } else {
            pack_text(writer, operand);
        }
    }
    buffer_clear(&word);
    if (!map->has_mark) {
        pack_items(writer, map);
    }
    return err;
}

static enum err pack_command(struct map *map, struct task_spec *spec)
{
    uint8_t *at = NULL;
    size_t bytes = payload_bytes(map);
    buffer_take(&map->payload, buffer_length(&map->payload));
    enum err err = buffer_reserve(&map->payload, bytes, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes);
    pack_map(&writer, 1);
    pack_text(&writer, "argv");
    pack_array(&writer, word_count(map));
    err = pack_words(&writer, map);
    assert(err || !writer.failed);
    buffer_grow(&map->payload, writer_bytes(&writer).length);
    *spec = map->standard;
    spec->payload = buffer_bytes(&map->payload);
    return err;
}

/* ---- items ---- */

static void say_broken(struct map *map, const char *why)
{
    task_progress_wipe(&map->progress);
    map->broken_count++;
    command_say(map->command, "item %" PRIu64 ": %s", map->input.number, why);
}

/* An item with a zero in it cannot be an argument. */
static enum err take_item(struct map *map, struct bytes item)
{
    if (item.length > 0 && memchr(item.data, '\0', item.length)) {
        say_broken(map, "it has a zero byte: use --null if those part items");
        return ERR_NONE;
    }
    if (item.length == 0 && map->input.end == '\n') {
        return ERR_NONE; /* as xargs does with blank lines */
    }
    enum err err = buffer_append(&map->items, item);
    if (!err) {
        err = buffer_append(&map->items, bytes_of("", 1));
    }
    map->count += !err;
    return err;
}

/* Until there are enough for a task, or no more. */
static enum err gather(struct map *map, uint32_t wait_ms)
{
    while (!map->is_all && map->count < map->item_count) {
        struct bytes item = {0};
        enum err err = line_input_next(&map->input, wait_ms, &item);
        if (err == ERR_TOO_LARGE) {
            say_broken(map, "longer than an item may be (64 KiB)");
        } else if (err == ERR_CLOSED) {
            map->is_all = true;
        } else if (err) {
            return err;
        } else {
            err = take_item(map, item);
        }
        if (err == ERR_MEMORY) {
            return err;
        }
    }
    return ERR_NONE;
}

static bool is_too_large(struct map *map)
{
    struct err_detail why = {{0}};
    if (buffer_length(&map->payload) <= map->facts.payload_bytes_max) {
        return false;
    }
    err_explain(&why,
                "its command has %zu bytes; pool %s takes %" PRIu32
                " at most (payload_bytes_max)",
                buffer_length(&map->payload), map->pool,
                map->facts.payload_bytes_max);
    say_broken(map, why.text);
    return true;
}

static enum task_job_next next(void *context,
                               uint32_t wait_ms,
                               uint64_t *number,
                               struct task_spec *spec)
{
    struct map *map = context;
    while (true) {
        enum err err = gather(map, wait_ms);
        if (err == ERR_TIMEOUT) {
            return TASK_JOB_LATER;
        }
        if (!err && map->count > 0) {
            err = pack_command(map, spec);
        }
        bool is_any = !err && map->count > 0;
        buffer_take(&map->items, buffer_length(&map->items));
        map->count = 0;
        if (err) {
            say_broken(map, err_text(err));
            map->is_all = true;
        }
        if (is_any && !is_too_large(map)) {
            *number = ++map->number;
            return TASK_JOB_READY;
        }
        if (map->is_all) {
            return TASK_JOB_END;
        }
    }
}

/* ---- what comes of it ---- */

static void print_result(void *context, const struct task_job_result *result)
{
    struct map *map = context;
    task_progress_wipe(&map->progress);
    task_output_result(&map->output, result);
}

static void hear_progress(void *context, const struct task_said *said)
{
    struct map *map = context;
    task_progress_hear(&map->progress, said);
}

static void show_progress(void *context, const struct task_job_sum *sum)
{
    struct map *map = context;
    (void)fflush(map->command->world->out);
    task_progress_show(&map->progress, sum, map->is_all);
}

static enum exit_code run_job(struct map *map)
{
    const struct command *command = map->command;
    struct task_job_sum sum = {0};
    struct task_job_config config = {
        .talk = &map->talk,
        .pool = map->pool,
        .waits = true,
        .keeps_order = command_has(command, "keep-order"),
        .context = map,
        .next = next,
        .ended = print_result,
        .said = map->progress.is_shown ? hear_progress : NULL,
        .tick = show_progress};
    enum exit_code code = task_job_run(&config, &sum);
    task_progress_wipe(&map->progress);
    if (!code && map->talk.is_interrupted) {
        command_say(command, "interrupted; what was accepted goes on: `troupe "
                             "task ls` shows it");
        return EXIT_CODE_PARTIAL;
    }
    bool some_failed = sum.failed + sum.rejected + map->broken_count > 0;
    return code ? code : some_failed ? (enum exit_code)SOME_FAILED : code;
}

/* ---- the command line ---- */

static enum exit_code take_attempts(struct map *map)
{
    uint64_t attempts = 0;
    enum exit_code code =
        task_take_number(&attempts, map->command, "attempts", 1, 1000);
    map->standard = task_spec_of((struct bytes){0});
    map->standard.attempts_max = (uint32_t)attempts;
    return code;
}

static enum exit_code take_mark(struct map *map)
{
    const struct command *command = map->command;
    const char *mark = command_value(command, "replace");
    bool is_within = false;
    map->mark = mark ? mark : "{}";
    if (!*map->mark) {
        return command_misused(command, "--replace: a text is expected");
    }
    for (uint32_t i = 0; i < command->operand_count; i++) {
        const char *word = command_operand(command, i);
        map->has_mark = map->has_mark || strstr(word, map->mark);
        is_within =
            is_within || (strstr(word, map->mark) && !is_mark(map, word));
    }
    if (mark && !map->has_mark) {
        return command_misused(command, "`%.32s` is not in the command", mark);
    }
    if (is_within && map->item_count > 1) {
        return command_misused(command,
                               "`%.32s` within a word stands for one item: no "
                               "--max-args then",
                               map->mark);
    }
    return EXIT_CODE_OK;
}

static enum exit_code take_flags(struct map *map)
{
    const struct command *command = map->command;
    const char *pool = command_value(command, "pool");
    map->pool = pool ? pool : TASK_POOL_DEFAULT;
    map->item_count = 1;
    enum exit_code code = task_take_number(&map->item_count, command,
                                           "max-args", 1, ITEM_COUNT_MAX);
    if (!code) {
        code = take_mark(map);
    }
    return code ? code : take_attempts(map);
}

static enum exit_code open_input(struct map *map)
{
    const struct command *command = map->command;
    const char *path = command_value(command, "file");
    path = path ? path : "-";
    map->input.inputs = command->world->inputs;
    map->input.end = command_has(command, "null") ? '\0' : '\n';
    map->input.bytes_max = ITEM_BYTES_MAX;
    enum err err = line_input_open(&map->input, path);
    return err ? command_failed(command, err, "%s", path) : EXIT_CODE_OK;
}

static enum exit_code ask_pool(struct map *map, struct remote *remote)
{
    enum exit_code code = task_pool_facts_ask(&map->facts, remote, map->pool);
    if (!code && !map->facts.is_command) {
        command_say(map->command,
                    "pool %s runs no commands: its handler is another (troupe "
                    "pool show %s)",
                    map->pool, map->pool);
        code = EXIT_CODE_USAGE;
    }
    return code;
}

static enum exit_code map_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    scoped(map_clear) struct map map = {
        .command = command,
        .progress = task_progress_of(command),
        .output = {.command = command,
                   .what = "task",
                   .is_command = true,
                   .is_raw = !command_has(command, "json")}};
    enum exit_code code = take_flags(&map);
    if (!code) {
        code = open_input(&map);
    }
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (!code) {
        map.talk = (struct task_talk){.command = command, .remote = remote};
        code = ask_pool(&map, remote);
    }
    return code ? code : run_job(&map);
}

static const struct command_flag flags[] = {
    REMOTE_FLAGS,
    {.name = "pool", .value = "POOL", .text = "which pool (default)"},
    {.name = "max-args",
     .letter = 'n',
     .value = "N",
     .text = "items for each command (1)"},
    {.name = "replace",
     .letter = 'I',
     .value = "MARK",
     .text = "what stands for the items in COMMAND ({}); without it they go "
             "to its end"},
    {.name = "null", .letter = '0', .text = "items end with a zero byte"},
    {.name = "keep-order",
     .letter = 'k',
     .text = "output in the order of the items, not as commands end"},
    {.name = "file",
     .value = "FILE",
     .text = "items of a file, not of "
             "standard input"},
    {.name = "attempts", .value = "N", .text = "at most (the pool's)"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "map",
     .operands = "COMMAND...",
     .operand_count_min = 1,
     .operand_count_max = UINT32_MAX,
     .summary =
         "Run a command for each line of standard input, on all nodes.\nAs "
         "xargs "
         "-P does on one: exit status 123 when some have failed. Commands run "
         "in the pool's folder, not in this one.",
     .examples =
         {"find /srv -name '*.jpg' | troupe map --pool resize -- convert "
          "{} -resize 50% {}.small",
          "find /srv -type f -print0 | troupe map -0 -n 10 -- "
          "sha256sum",
          "seq 100 | troupe map -k -- factor"},
     .flags = flags,
     .has_json = true,
     .steers = true,
     .run = map_run},
    {0}};

const struct command_noun map_command = {
    .name = "map",
    .summary =
        "A command for each line of standard input, on all nodes.\nxargs "
        "-P over the cluster.",
    .verbs = verbs,
    .is_verb = true,
};
