#include "admin/pool_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/table.h"
#include "base/cron.h"
#include "base/env.h"
#include "base/scope.h"
#include "base/time_units.h"

#include <inttypes.h>
#include <string.h>

#define NEXT_COUNT 3

/* ---- definitions ---- */

static const json_t *find_schedule(const json_t *definition, const char *name)
{
    return pool_find_named(json_object_get(definition, "schedules"), name);
}

void pool_schedules_keep(json_t *definition, const json_t *before)
{
    json_t *list = json_object_get(definition, "schedules");
    size_t i = 0;
    json_t *schedule = NULL;
    json_array_foreach(list, i, schedule)
    {
        const json_t *old =
            find_schedule(before, answer_name(schedule, "name"));
        if (old && json_equal(json_object_get(old, "cron"),
                              json_object_get(schedule, "cron"))) {
            (void)json_object_set(schedule, "since_ms",
                                  json_object_get(old, "since_ms"));
        }
    }
}

/* ---- what differs ---- */

static void say_next(FILE *talk, const char *text, int64_t now_ms)
{
    struct cron cron;
    int64_t at_s = now_ms / MS_PER_S;
    if (cron_parse(&cron, text, NULL)) {
        return; /* of a release that knows more */
    }
    for (int i = 0; i < NEXT_COUNT; i++) {
        at_s = cron_next(&cron, at_s);
        fprintf(talk, "%s %s", i == 0 ? "; next" : ",",
                at_s == CRON_NEVER ? "-" : human_minute(at_s * MS_PER_S).text);
    }
    fprintf(talk, " UTC");
}

size_t pool_schedules_say(const struct command *command,
                          const json_t *before,
                          const json_t *after)
{
    FILE *talk = command->world->talk;
    int64_t now_ms = clock_wall_ms(command->world->clock);
    size_t count = 0;
    for (size_t i = 0; i < answer_count(after, "schedules"); i++) {
        const json_t *schedule = answer_item(after, "schedules", i);
        const char *name = answer_name(schedule, "name");
        const char *cron = answer_name(schedule, "cron");
        const json_t *old = find_schedule(before, name);
        if (old && json_equal(old, schedule)) {
            continue;
        }
        fprintf(talk, "    schedule %s %s: %s", name,
                old ? "has changed" : "is new", cron);
        say_next(talk, cron, now_ms);
        fprintf(talk, "\n");
        count++;
    }
    for (size_t i = 0; i < answer_count(before, "schedules"); i++) {
        const char *name =
            answer_name(answer_item(before, "schedules", i), "name");
        if (!find_schedule(after, name)) {
            fprintf(talk, "    schedule %s is gone\n", name);
            count++;
        }
    }
    return count;
}

/* ---- looking ---- */

void pool_schedules_fetch(struct remote *remote,
                          const char *name,
                          json_t *answer)
{
    scoped(answer_clear) json_t *asked = NULL;
    struct remote_question question = {
        .verb = "pool.schedules", .args = json_pack("{s:s}", "name", name)};
    if (!remote_ask(remote, &question, &asked)) {
        (void)json_object_set(answer, "schedules",
                              json_object_get(asked, "schedules"));
    }
}

static const struct table_column columns[] = {{"SCHEDULE", false},
                                              {"CRON", false},
                                              {"NEXT (UTC)", false},
                                              {"LAST (UTC)", false},
                                              {"TASK", false},
                                              {"PASSED", true},
                                              {0}};

static void add_minute(struct table *table,
                       const json_t *schedule,
                       const char *key)
{
    int64_t at_ms = answer_number(schedule, key);
    table_cell(table, TABLE_PLAIN, "%s",
               at_ms > 0 ? human_minute(at_ms).text : "-");
}

static void add_row(struct table *table, const json_t *schedule)
{
    table_cell(table, TABLE_PLAIN, "%s", answer_name(schedule, "name"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(schedule, "cron"));
    add_minute(table, schedule, "next_ms");
    add_minute(table, schedule, "last_ms");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(schedule, "last_task"));
    table_cell(table, TABLE_PLAIN, "%" PRId64,
               answer_number(schedule, "passed"));
}

enum exit_code pool_schedules_print(const struct command *command,
                                    const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    if (answer_count(answer, "schedules") == 0) {
        return EXIT_CODE_OK;
    }
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "schedules"); i++) {
        add_row(table, answer_item(answer, "schedules", i));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    fprintf(world->out, "\n");
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}
