/*
 * A program that is no member: the keys and nodes of a cluster's file, and a
 * link with one of them.
 */

#include "troupe/client.h"

#include "base/owner.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "client/client.h"
#include "config/holders.h"
#include "config/identity.h"
#include "config/path.h"
#include "library/cluster_file.h"
#include "library/handle.h"
#include "shard/host_service.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_MS_STANDARD 10000

struct base {
    struct client *client;
    const struct identity *identity;
    struct trust *trust;
    struct client_node *nodes;
    char (*doors)[SOCKET_URL_BYTES];
};

/* ---- the desk's way ---- */

static void on_answer(struct client_call *one,
                      enum err err,
                      struct bytes answer)
{
    struct desk_call *call = OWNER_OF(one, struct desk_call, by_client);
    call->done(call, err, answer);
}

static void ask(void *context, struct desk_call *call)
{
    struct base *base = context;
    call->by_client.done = on_answer;
    call->by_client.service = HOST_SERVICE_TASK;
    call->by_client.question = call->question;
    call->by_client.until_ns = call->until_ns;
    client_start(base->client, &call->by_client);
}

static void cancel(void *context, struct desk_call *call)
{
    struct base *base = context;
    client_cancel(base->client, &call->by_client);
}

/* ---- opening ---- */

static enum err choose_who(char out[static CERTIFICATE_NAME_BYTES],
                           const char *folder,
                           struct err_detail *why)
{
    struct holders holders;
    enum err err = holders_find(&holders, posix_files(), folder,
                                1u << ROLE_CLIENT | 1u << ROLE_OPERATOR);
    if (err) {
        err_explain(why, "keys_dir %.400s: %s", folder, err_text(err));
        return err;
    }
    if (holders.count == 1) {
        memcpy(out, holders.first, CERTIFICATE_NAME_BYTES);
        return ERR_NONE;
    }
    if (holders.count == 0) {
        err_explain(why,
                    "%.300s has no certificate of a client or an operator: "
                    "`troupe key issue NAME --role client` makes one",
                    folder);
    } else {
        err_explain(why,
                    "%.200s has more certificates than one (%.200s): say which "
                    "(troupe_client_options.as)",
                    folder, holders.names);
    }
    return ERR_NOT_FOUND;
}

static enum err open_keys(struct base *base,
                          const struct settings *settings,
                          const char *as,
                          struct err_detail *why)
{
    char who[CERTIFICATE_NAME_BYTES];
    struct path trust;
    const char *folder = settings->node.keys_dir;
    if (as && !certificate_name_is_valid(as)) {
        err_explain(why, "`%.64s` cannot be anybody's name", as);
        return ERR_INVALID;
    }
    enum err err = as ? ERR_NONE : choose_who(who, folder, why);
    if (!err) {
        err = identity_open(&base->identity, posix_files(), folder,
                            as ? as : who, why);
    }
    if (!err) {
        err = path_make(&trust, "%s/trust", folder);
    }
    return err ? err : trust_open(&base->trust, posix_files(), trust.text, why);
}

static enum err open_link(struct base *base,
                          const struct settings *settings,
                          uint32_t connect_ms,
                          struct err_detail *why)
{
    const struct settings_cluster *cluster = &settings->cluster;
    uint32_t count = cluster->member_count;
    base->nodes = calloc(count, sizeof *base->nodes);
    base->doors = calloc(count, sizeof *base->doors);
    if (!base->nodes || !base->doors) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        settings_door_url(base->doors[i], settings, &cluster->members[i],
                          SETTINGS_ADVERTISED);
        base->nodes[i] = (struct client_node){.name = cluster->members[i].name,
                                              .door = base->doors[i]};
    }
    struct client_config config = {.identity = base->identity,
                                   .trust = base->trust,
                                   .nodes = base->nodes, /* copied */
                                   .node_count = count,
                                   .connect_ms = connect_ms};
    return client_open(&base->client, &config, why);
}

static void stop(void *context)
{
    struct base *base = context;
    client_close(&base->client);
}

static void base_close(struct base **base)
{
    if (*base) {
        client_close(&(*base)->client);
        identity_unref(&(*base)->identity);
        trust_unref(&(*base)->trust);
        free((*base)->nodes);
        free((*base)->doors);
        free(*base);
        *base = NULL;
    }
}

static void free_base(void *context)
{
    struct base *base = context;
    base_close(&base);
}

static enum err open_base(struct base *base,
                          const struct troupe_client_options *options,
                          struct err_detail *why)
{
    scoped(settings_close) struct settings *settings = NULL;
    enum err err = identity_library_init();
    if (!err) {
        err = cluster_file_read(&settings, options->config, why);
    }
    if (!err) {
        err = open_keys(base, settings, options->as, why);
    }
    return err ? err
               : open_link(base, settings,
                           options->connect_ms ? options->connect_ms
                                               : CONNECT_MS_STANDARD,
                           why);
}

static enum err open_handle(struct troupe **out, struct base *base)
{
    return handle_open(
        out,
        &(struct troupe){.reactor = client_reactor(base->client),
                         .base = base,
                         .stop = stop,
                         .free = free_base},
        &(struct desk_way){.context = base, .ask = ask, .cancel = cancel});
}

enum troupe_error troupe_client_open(
    struct troupe **out,
    const struct troupe_client_options *options,
    struct troupe_why *why)
{
    static const struct troupe_client_options standard;
    struct err_detail detail = {{0}};
    scoped(base_close) struct base *base = calloc(1, sizeof *base);
    enum err err = base
                       ? open_base(base, options ? options : &standard, &detail)
                       : ERR_MEMORY;
    if (!err) {
        err = open_handle(out, base);
    }
    if (err) {
        handle_say(why, err, &detail);
        return handle_error(err);
    }
    base = NULL; /* the handle owns it now */
    return TROUPE_ERR_NONE;
}
