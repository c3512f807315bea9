#include "admin/top_command.h"

#include "admin/interrupt.h"
#include "admin/top_frame.h"
#include "admin/top_screen.h"
#include "admin/waiting.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/units.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_S_DEFAULT 2
#define EVERY_S_MAX 3600
#define ONCE_MS 1000 /* between the two looks that rates are made of */

static void free_text(char **text)
{
    free(*text);
}

/* Freed by the caller; NULL: no memory. */
static char *frame_text(const struct top_look *before,
                        const struct top_look *now)
{
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    enum err err = to ? top_frame_print(to, before, now) : ERR_MEMORY;
    if (to) {
        (void)fclose(to);
    }
    if (err) {
        free(text);
        text = NULL;
    }
    return text;
}

/* ---- once ---- */

static enum exit_code show_once(const struct command *command,
                                struct remote *remote)
{
    const struct interrupt *interrupt = command->world->interrupt;
    scoped(top_look_clear) struct top_look before = {.status = NULL};
    scoped(top_look_clear) struct top_look now = {.status = NULL};
    enum exit_code code = top_look_take(&before, command, remote);
    if (!code) {
        (void)interrupt->wait(interrupt->context, ONCE_MS);
        code = top_look_take(&now, command, remote);
    }
    enum err err =
        code ? ERR_NONE : top_frame_print(command->world->out, &before, &now);
    return err ? command_failed(command, err, "the picture") : code;
}

/* ---- live ---- */

/* What is said while the screen is drawn upon: its last line shows there. */
struct hushed {
    struct command command; /* says to `talk` */
    struct command_world world;
    FILE *talk;
    char *text;
    size_t length;
};

static void hushed_clear(struct hushed *hushed)
{
    if (hushed->talk) {
        (void)fclose(hushed->talk);
    }
    free(hushed->text);
}

static enum err hush(struct hushed *hushed, const struct command *command)
{
    hushed->talk = open_memstream(&hushed->text, &hushed->length);
    hushed->world = *command->world;
    hushed->world.talk = hushed->talk;
    hushed->world.talk_is_colored = false;
    hushed->command = *command;
    hushed->command.world = &hushed->world;
    return hushed->talk ? ERR_NONE : ERR_MEMORY;
}

/* What was said since the last time, as one line. */
static const char *take_said(struct hushed *hushed)
{
    (void)fflush(hushed->talk);
    rewind(hushed->talk);
    hushed->text[strcspn(hushed->text, "\n")] = '\0';
    return hushed->text;
}

static void draw(struct top_screen *screen,
                 const char *text,
                 struct hushed *hushed)
{
    char bottom[256];
    (void)snprintf(bottom, sizeof bottom, " q quits  %s", take_said(hushed));
    top_screen_draw(screen, text ? text : "", bottom);
}

static void show_live(struct hushed *hushed,
                      struct remote *remote,
                      struct top_screen *screen,
                      uint32_t every_ms)
{
    scoped(top_look_clear) struct top_look before = {.status = NULL};
    scoped(free_text) char *shown = NULL;
    do {
        struct top_look now = {.status = NULL};
        if (!top_look_take(&now, &hushed->command, remote)) {
            free(shown);
            shown = frame_text(&before, &now);
            top_look_clear(&before);
            before = now;
        }
        draw(screen, shown, hushed);
    } while (top_screen_wait(screen, every_ms));
}

static enum exit_code open_and_show(const struct command *command,
                                    uint32_t every_ms)
{
    scoped(hushed_clear) struct hushed hushed = {.text = NULL};
    scoped(remote_close) struct remote *remote = NULL;
    scoped(top_screen_close) struct top_screen *screen = NULL;
    enum err err = hush(&hushed, command);
    if (err) {
        return command_failed(command, err, "the screen");
    }
    enum exit_code code = waiting_open(&remote, &hushed.command);
    if (code) {
        fprintf(command->world->talk, "%s\n", take_said(&hushed));
        return code;
    }
    err = top_screen_open(&screen, command->world->out, command->world->in);
    if (err) {
        return command_failed(command, err, "this terminal");
    }
    show_live(&hushed, remote, screen, every_ms);
    return EXIT_CODE_OK;
}

static enum exit_code top_run(const struct command *command)
{
    uint64_t every_s = EVERY_S_DEFAULT;
    const char *text = command_value(command, "every");
    scoped(remote_close) struct remote *remote = NULL;
    if (text && (units_number(&every_s, text) || every_s == 0 ||
                 every_s > EVERY_S_MAX)) {
        return command_misused(command, "--every: `%.32s`: 1 to %d seconds",
                               text, EVERY_S_MAX);
    }
    if (command_has(command, "once")) {
        enum exit_code code = waiting_open(&remote, command);
        return code ? code : show_once(command, remote);
    }
    if (!command->world->out_is_terminal) {
        return command_misused(command, "standard output is no terminal: "
                                        "--once prints one picture, `troupe "
                                        "pool ls --watch` goes on");
    }
    return open_and_show(command, (uint32_t)(every_s * MS_PER_S));
}

static const struct command_flag flags[] = {
    REMOTE_FLAGS,
    {.name = "every", .value = "SECONDS", .text = "look again so often (2)"},
    {.name = "once", .text = "print one picture, with the rates of a second"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "top",
     .operands = "",
     .summary = "Watch nodes, pools and the busiest shards, with their "
                "rates.\nq quits.",
     .examples = {"troupe top", "troupe top --every 1", "troupe top --once"},
     .flags = flags,
     .steers = true,
     .run = top_run},
    {0}};

const struct command_noun top_command = {
    .name = "top",
    .summary = "A live view of nodes, pools, shards and rates.\nq quits.",
    .verbs = verbs,
    .is_verb = true,
};
