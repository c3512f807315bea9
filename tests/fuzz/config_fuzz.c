/*
 * Any bytes as a configuration file: settings that keep their promises, or
 * problems that can be shown; never both, never neither.
 */

#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_member(const struct settings *settings,
                         const struct settings_member *member)
{
    char url[SOCKET_URL_BYTES];
    uint32_t count = settings_link_count(settings, member);
    MUST(count > 0);
    MUST(member->roles != 0);
    MUST(settings_find_member(settings, member->name) == member);
    settings_door_url(url, settings, member, SETTINGS_BIND);
    settings_bus_url(url, settings, member, SETTINGS_ADVERTISED);
    settings_link_prefix(url, settings, member, SETTINGS_ADVERTISED);
    MUST(strlen(url) + strlen("65535") < SOCKET_URL_BYTES);
}

static void check_settings(const struct settings *settings)
{
    const struct settings_cluster *cluster = &settings->cluster;
    MUST(cluster->member_count > 0);
    MUST(cluster->shards > 0 && (cluster->shards & (cluster->shards - 1)) == 0);
    MUST(cluster->replication % 2 == 1);
    MUST(cluster->replication <= cluster->member_count);
    MUST(cluster->limits.link_window_bytes >=
         2 * cluster->limits.message_bytes_max);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        check_member(settings, &cluster->members[i]);
    }
    MUST(settings_cluster_differences(settings, settings, NULL, NULL) == 0);
    uint8_t digest[SETTINGS_DIGEST_BYTES];
    settings_cluster_digest(digest, settings);
}

static void check_problems(const struct problems *problems)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, problem);
        MUST(*problem->found && *problem->allowed);
        for (const char *next = text; *next; next++) {
            MUST((unsigned char)*next >= ' ' && *next != 0x7f);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct problems problems;
    struct settings *settings = NULL;
    enum err err =
        config_parse(&settings, bytes_of(data, length), "fuzz", &problems);
    MUST(err == ERR_NONE || err == ERR_INVALID || err == ERR_MEMORY);
    MUST((settings != NULL) == (err == ERR_NONE));
    MUST((err == ERR_INVALID) == (problems_total(&problems) > 0));
    check_problems(&problems);
    if (settings) {
        check_settings(settings);
    }
    settings_close(&settings);
    return 0;
}
