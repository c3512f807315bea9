/*
 * Seeds: addresses of doors, without names. A node that is no member yet, or
 * that hears nobody any more, asks them whose they are, and knocks there. Whom
 * it finds tells it of all others.
 */

#include "shard/host_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_PAUSE_NS (2 * NS_PER_S)

enum err seeds_open(struct host *host)
{
    const struct settings *settings = host->config.settings;
    if (settings->seed_count == 0) {
        return ERR_NONE;
    }
    host->seeds = calloc(settings->seed_count, sizeof *host->seeds);
    if (!host->seeds) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < settings->seed_count; i++) {
        host->seeds[i].host = host;
        host->seeds[i].url = settings->seeds[i].url;
    }
    return ERR_NONE;
}

void seeds_close(struct host *host)
{
    for (uint32_t i = 0; host->seeds && i < host->config.settings->seed_count;
         i++) {
        probe_close(&host->seeds[i].probe);
    }
    free(host->seeds);
    host->seeds = NULL;
}

/* ---- asking ---- */

static void log_answer(const struct seed *seed, enum err err, const char *name)
{
    if (err) {
        log_warn(host_log(seed->host), "seed.silent",
                 LOG_TEXT("seed", seed->url), LOG_ERR(err));
    } else {
        log_info(host_log(seed->host), "seed.found",
                 LOG_TEXT("seed", seed->url), LOG_TEXT("node", name));
    }
}

/* We look for it elsewhere, and it is not there. */
static bool is_missed_at(const struct known *known, const char *url)
{
    return strcmp(known->door, url) != 0 &&
           !(known->peer && peer_is_up(known->peer));
}

static void on_answer(void *context, enum err err, const char *name)
{
    struct seed *seed = context;
    struct host *host = seed->host;
    seed->is_answered = true;
    if (err != seed->err || (name && strcmp(name, seed->name) != 0)) {
        log_answer(seed, err, name);
    }
    seed->err = err;
    if (!name) {
        return;
    }
    (void)snprintf(seed->name, sizeof seed->name, "%s", name);
    const struct known *known = host_known(host, name);
    if (known && is_missed_at(known, seed->url)) {
        (void)snprintf(seed->instead_of, sizeof seed->instead_of, "%s",
                       known->door);
    }
    host->is_view_new = true; /* look through the peers */
    host_poke(host);
}

/* Whom it has named is heard, or is ourselves. */
static bool is_found(const struct seed *seed)
{
    const struct known *known = host_known(seed->host, seed->name);
    return (known && known->peer && peer_is_up(known->peer)) ||
           strcmp(seed->name, seed->host->config.self.name) == 0;
}

static void step(struct seed *seed)
{
    struct host *host = seed->host;
    uint64_t now_ns = host_now_ns(host);
    if (seed->is_answered) {
        seed->is_answered = false;
        probe_close(&seed->probe);
    }
    if (!host->is_alone || seed->probe || now_ns < seed->ask_ns ||
        is_found(seed)) {
        return;
    }
    seed->ask_ns = now_ns + ASK_PAUSE_NS;
    enum err err = endpoint_probe(&seed->probe, host->config.endpoint,
                                  seed->url, on_answer, seed);
    if (err && err != seed->err) {
        log_answer(seed, err, NULL);
        seed->err = err;
    }
}

void seeds_step(struct host *host)
{
    for (uint32_t i = 0; host->seeds && i < host->config.settings->seed_count;
         i++) {
        step(&host->seeds[i]);
    }
}

/* ---- what they have told ---- */

void seeds_know(struct host *host)
{
    for (uint32_t i = 0; host->seeds && i < host->config.settings->seed_count;
         i++) {
        const struct seed *seed = &host->seeds[i];
        const struct known *present = host_known(host, seed->name);
        bool is_known = present && !present->is_strange;
        if (!host->is_alone || seed->name[0] == '\0' || is_known) {
            continue;
        }
        struct known *known =
            host_know(host, seed->name, seed->url, "", MEMBER_NONE);
        if (known) {
            known->knocks = true; /* it cannot know us */
        }
    }
}

const char *seeds_door(const struct host *host,
                       const char *name,
                       const char *door)
{
    for (uint32_t i = 0; host->seeds && i < host->config.settings->seed_count;
         i++) {
        const struct seed *seed = &host->seeds[i];
        if (strcmp(seed->name, name) == 0 &&
            strcmp(seed->instead_of, door) == 0) {
            return seed->url;
        }
    }
    return door;
}
