#include "admin/context.h"

#include "base/scope.h"
#include "config/identity.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX ".cert"

/* Operators whose certificates are in a folder. */
struct search {
    const struct files *files;
    const char *folder;
    uint32_t count;
    char name[CERTIFICATE_NAME_BYTES]; /* the first */
    char names[256];                   /* all, for people */
};

/* What cannot be read is not an operator's; who is named is read again, and
 * then it is told. */
static bool is_operator(const struct search *search, const char *file)
{
    struct path path;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    struct certificate certificate;
    return !path_make(&path, "%s/%s", search->folder, file) &&
           !identity_read_certificate(encoded, &length, search->files,
                                      path.text, NULL) &&
           !certificate_decode(&certificate, bytes_of(encoded, length)) &&
           certificate.role == ROLE_OPERATOR;
}

static void look_at(void *visitor, const char *file)
{
    struct search *search = visitor;
    size_t length = strlen(file);
    char name[CERTIFICATE_NAME_BYTES];
    if (length <= strlen(SUFFIX) ||
        strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0 ||
        !is_operator(search, file)) {
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(length - strlen(SUFFIX)),
                   file);
    if (search->count++ == 0) {
        memcpy(search->name, name, sizeof name);
    }
    size_t end = strlen(search->names);
    (void)snprintf(search->names + end, sizeof search->names - end, "%s%s",
                   end > 0 ? ", " : "", name);
}

static enum err choose_who(struct context *context,
                           const struct files *files,
                           struct err_detail *why)
{
    struct search search = {.files = files, .folder = context->keys_dir.text};
    enum err err = files->list(files->context, search.folder, look_at, &search);
    if (err) {
        err_explain(why, "keys_dir %.400s: %s", search.folder, err_text(err));
        return err;
    }
    if (search.count == 1) {
        memcpy(context->who, search.name, sizeof context->who);
        return ERR_NONE;
    }
    if (search.count == 0) {
        err_explain(why,
                    "%.300s has no operator's certificate: name whose to use "
                    "with --as, or make one with `troupe key issue NAME --role "
                    "operator`",
                    search.folder);
    } else {
        err_explain(why,
                    "%.200s has more operators than one (%.200s): say which "
                    "with --as",
                    search.folder, search.names);
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
