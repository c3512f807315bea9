#include "tests/support/terminal.h"

#include "admin/interrupt.h"
#include "base/posix/posix_files.h"
#include "base/time_units.h"

#define WORD_COUNT_MAX 48
#define LINE_BYTES 1024

/* Whose line runs: variables have no context. */
static const struct terminal *now;

static void hold(void *context)
{
    ((struct terminal *)context)->is_held = true;
}

static void release(void *context)
{
    ((struct terminal *)context)->is_held = false;
}

static bool wait_for(void *context, uint64_t ms)
{
    struct terminal *terminal = context;
    CHECK(terminal->is_held || terminal->is_free);
    terminal->machine.fake.now_ns += ms * NS_PER_MS;
    if (terminal->waits) {
        terminal->waits(ms);
    }
    return ++terminal->wait_count < terminal->patience;
}

static const char *variable(const char *name)
{
    if (strcmp(name, "XDG_CONFIG_HOME") == 0) {
        return now->folder.path;
    }
    return strcmp(name, "TROUPE_CONTEXT") == 0 ? now->context : NULL;
}

static void forget(struct terminal *terminal)
{
    free(terminal->out);
    free(terminal->talk);
    terminal->out = NULL;
    terminal->talk = NULL;
    terminal->wait_count = 0;
    terminal->is_held = false;
}

void terminal_init(struct terminal *terminal,
                   const struct command_noun *const *nouns)
{
    *terminal = (struct terminal){.nouns = nouns, .patience = UINT32_MAX};
    temp_folder_init(&terminal->folder);
    fake_machine_init(&terminal->machine);
}

void terminal_clear(struct terminal *terminal)
{
    forget(terminal);
    fake_machine_clear(&terminal->machine);
    temp_folder_clear(&terminal->folder);
}

int terminal_run_words(struct terminal *terminal,
                       const char *const *words,
                       int count)
{
    const struct interrupt interrupt = {.context = terminal,
                                        .hold = hold,
                                        .release = release,
                                        .wait = wait_for};
    char *copies[WORD_COUNT_MAX] = {NULL};
    char *given[WORD_COUNT_MAX] = {NULL}; /* which the command reorders */
    const char *typed = terminal->typed ? terminal->typed : "\n";
    size_t out_bytes = 0;
    size_t talk_bytes = 0;
    CHECK(count < WORD_COUNT_MAX);
    for (int i = 0; i < count; i++) {
        copies[i] = given[i] = strdup(words[i]);
        CHECK(copies[i] != NULL);
    }
    forget(terminal);
    now = terminal;
    struct command_world world = {
        .files = terminal->files ? terminal->files : posix_files(),
        .clock = &terminal->machine.clock,
        .entropy = &terminal->machine.entropy,
        .interrupt = &interrupt,
        .variable = variable,
        .in = fmemopen((void *)(uintptr_t)typed, strlen(typed), "r"),
        .inputs = terminal->inputs,
        .talk_is_terminal = terminal->shows_progress,
        .out = open_memstream(&terminal->out, &out_bytes),
        .talk = open_memstream(&terminal->talk, &talk_bytes)};
    CHECK(world.in && world.out && world.talk);
    int code = (int)command_run(&world, terminal->nouns, count, given);
    (void)fclose(world.in);
    (void)fclose(world.out);
    (void)fclose(world.talk);
    for (int i = 0; i < count; i++) {
        free(copies[i]);
    }
    return code;
}

int terminal_run(struct terminal *terminal, const char *line)
{
    char expanded[WORD_COUNT_MAX][LINE_BYTES];
    const char *words[WORD_COUNT_MAX] = {"troupe"};
    const char *dir = terminal->dir ? terminal->dir : terminal->folder.path;
    int count = 1;
    for (const char *word = line; word; count++) {
        const char *blank = strchr(word, ' ');
        bool is_path = strncmp(word, "DIR", 3) == 0;
        word += is_path ? 3 : 0;
        CHECK(count < WORD_COUNT_MAX);
        int length =
            snprintf(expanded[count], LINE_BYTES, "%s%.*s", is_path ? dir : "",
                     (int)(blank ? blank - word : LINE_BYTES), word);
        CHECK(length >= 0 && length < LINE_BYTES);
        words[count] = expanded[count];
        word = blank ? blank + 1 : NULL;
    }
    return terminal_run_words(terminal, words, count);
}
