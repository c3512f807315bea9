#include "admin/task_progress.h"

#include "admin/human.h"
#include "base/time_units.h"

#include <inttypes.h>

#define SHOW_NS (200 * NS_PER_MS)
#define BAR_WIDTH 24

struct task_progress task_progress_of(const struct command *command)
{
    return (struct task_progress){.command = command,
                                  .is_shown = command->world->talk_is_terminal};
}

static void put_bar(FILE *talk, uint64_t ended, uint64_t total)
{
    uint64_t full = total > 0 ? ended * BAR_WIDTH / total : 0;
    (void)fputc('[', talk);
    for (uint64_t i = 0; i < BAR_WIDTH; i++) {
        (void)fputc(i < full ? '#' : '-', talk);
    }
    (void)fputs("] ", talk);
}

void task_progress_hear(struct task_progress *progress,
                        const struct task_said *said)
{
    progress->said = *said;
    human_clean(progress->said.text);
}

/* Of the only one that is left. */
static void put_said(FILE *talk, const struct task_said *said)
{
    if (said->number != 0) {
        (void)fprintf(talk, "; at %" PRIu32 " %%%s%.60s",
                      said->done_of_1000 / 10, said->text[0] ? ": " : "",
                      said->text);
    }
}

void task_progress_show(struct task_progress *progress,
                        const struct task_job_sum *sum,
                        bool is_all)
{
    const struct command_world *world = progress->command->world;
    uint64_t now_ns = clock_now_ns(world->clock);
    uint64_t ended = sum->done + sum->failed;
    if (!progress->is_shown) {
        return;
    }
    if (progress->begun_ns == 0) {
        progress->begun_ns = now_ns;
    }
    if (progress->stands && now_ns - progress->shown_ns < SHOW_NS) {
        return;
    }
    uint64_t passed_ms = (now_ns - progress->begun_ns) / NS_PER_MS;
    uint64_t left = sum->accepted - ended;
    (void)fputs("\r\033[K", world->talk);
    put_bar(world->talk, ended, sum->accepted);
    (void)fprintf(world->talk,
                  "%" PRIu64 " of %" PRIu64 "%s done, %" PRIu64 " failed",
                  sum->done, sum->accepted, is_all ? "" : "+", sum->failed);
    if (passed_ms > 0 && ended > 0) {
        (void)fprintf(
            world->talk, ", %s/s, %s left",
            human_real((double)ended * MS_PER_S / (double)passed_ms).text,
            is_all ? human_span(left * passed_ms / ended).text : "?");
    }
    if (is_all && left == 1) {
        put_said(world->talk, &progress->said);
    }
    (void)fflush(world->talk);
    progress->shown_ns = now_ns;
    progress->stands = true;
}

void task_progress_wipe(struct task_progress *progress)
{
    progress->said = (struct task_said){0}; /* another one may be the last */
    if (progress->stands) {
        (void)fputs("\r\033[K", progress->command->world->talk);
        (void)fflush(progress->command->world->talk);
        progress->stands = false;
    }
}
