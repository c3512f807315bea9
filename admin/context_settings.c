#include "admin/context.h"

#include "base/scope.h"
#include "config/holders.h"

#include <stdlib.h>
#include <string.h>

static enum err choose_who(struct context *context,
                           const struct files *files,
                           struct err_detail *why)
{
    const char *folder = context->keys_dir.text;
    struct holders holders;
    enum err err = holders_find(&holders, files, folder, 1u << ROLE_OPERATOR);
    if (err) {
        err_explain(why, "keys_dir %.400s: %s", folder, err_text(err));
        return err;
    }
    if (holders.count == 1) {
        memcpy(context->who, holders.first, sizeof context->who);
        return ERR_NONE;
    }
    if (holders.count == 0) {
        err_explain(why,
                    "%.300s has no operator's certificate: name whose to use "
                    "with --as, or make one with `troupe key issue NAME --role "
                    "operator`",
                    folder);
    } else {
        err_explain(why,
                    "%.200s has more operators than one (%.200s): say which "
                    "with --as",
                    folder, holders.names);
    }
    return ERR_NOT_FOUND;
}

static enum err take_members(struct context *context,
                             const struct settings *settings)
{
    const struct settings_cluster *cluster = &settings->cluster;
    context->nodes = calloc(cluster->member_count, sizeof *context->nodes);
    if (!context->nodes) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        struct context_node *node = &context->nodes[i];
        const struct settings_member *member = &cluster->members[i];
        memcpy(node->name, member->name, sizeof node->name);
        settings_door_url(node->door, settings, member, SETTINGS_ADVERTISED);
        context->node_count++;
    }
    return ERR_NONE;
}

enum err context_of_settings(struct context *out,
                             const struct command *command,
                             const struct settings *settings,
                             const char *who,
                             struct err_detail *why)
{
    scoped(context_clear) struct context context = {.node_count = 0};
    if (who && !certificate_name_is_valid(who)) {
        err_explain(why, "--as: `%.64s` cannot be anybody's name", who);
        return ERR_INVALID;
    }
    (void)snprintf(context.who, sizeof context.who, "%s", who ? who : "");
    memcpy(context.cluster, settings->cluster.name, sizeof context.cluster);
    enum err err = path_make(&context.keys_dir, "%s", settings->node.keys_dir);
    if (!err) {
        err = take_members(&context, settings);
    }
    if (!err && !who) {
        err = choose_who(&context, command->world->files, why);
    }
    if (err) {
        return err;
    }
    *out = context;
    context.nodes = NULL;
    return ERR_NONE;
}
