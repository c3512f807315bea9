#include "admin/context.h"

#include "admin/config_file.h"
#include "base/posix/posix_folder.h"
#include "base/scope.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "troupe.context"
#define VERSION 1
#define FILE_BYTES_MAX (1 << 20)
#define SUFFIX ".json"

void context_clear(struct context *context)
{
    free(context->nodes);
    *context = (struct context){.node_count = 0};
}

/* ---- where they are ---- */

static enum err find_folder(struct path *out,
                            const struct command *command,
                            struct err_detail *why)
{
    const char *config = command_variable(command, "XDG_CONFIG_HOME");
    const char *home = command_variable(command, "HOME");
    /* One that is not absolute is to be ignored, says XDG. */
    if (config && config[0] == '/') {
        return path_make(out, "%s/troupe", config);
    }
    if (home) {
        return path_make(out, "%s/.config/troupe", home);
    }
    err_explain(why, "there are no contexts without HOME or XDG_CONFIG_HOME");
    return ERR_NOT_FOUND;
}

static enum err find_file(struct path *out,
                          const struct command *command,
                          const char *name,
                          struct err_detail *why)
{
    struct path folder;
    if (!certificate_name_is_valid(name)) {
        err_explain(why,
                    "`%.64s` cannot be the name of a context: a-z 0-9 . _ -, "
                    "beginning with a letter or digit",
                    name);
        return ERR_INVALID;
    }
    enum err err = find_folder(&folder, command, why);
    return err ? err
               : path_make(out, "%s/contexts/%s" SUFFIX, folder.text, name);
}

/* ~/.config, too: on a new machine there is none. */
static enum err make_folders(const struct command *command,
                             struct err_detail *why)
{
    struct path folder;
    struct path contexts;
    const struct files *files = command->world->files;
    enum err err = find_folder(&folder, command, why);
    if (err || path_make(&contexts, "%s/contexts", folder.text)) {
        return err ? err : ERR_INVALID;
    }
    char *last = strrchr(folder.text, '/');
    *last = '\0';
    err = files->make_folder(files->context, folder.text, FILE_SECRET);
    *last = '/';
    if (!err || err == ERR_EXISTS) {
        err = files->make_folder(files->context, folder.text, FILE_SECRET);
    }
    if (!err || err == ERR_EXISTS) {
        err = files->make_folder(files->context, contexts.text, FILE_SECRET);
    }
    if (err && err != ERR_EXISTS) {
        err_explain(why, "%.400s: %s", contexts.text, err_text(err));
        return err;
    }
    return ERR_NONE;
}

/* ---- reading ---- */

/* Absent, or too long: false. */
static bool take_text(char *to,
                      size_t capacity,
                      const json_t *object,
                      const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= capacity) {
        return false;
    }
    memcpy(to, text, strlen(text) + 1);
    return true;
}

static enum err take_nodes(struct context *context, const json_t *list)
{
    size_t count = json_array_size(list);
    if (count == 0 || count > CONTEXT_NODE_COUNT_MAX) {
        return ERR_MALFORMED;
    }
    context->nodes = calloc(count, sizeof *context->nodes);
    if (!context->nodes) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct context_node *node = &context->nodes[i];
        const json_t *object = json_array_get(list, i);
        if (!take_text(node->name, sizeof node->name, object, "name") ||
            !take_text(node->door, sizeof node->door, object, "door")) {
            return ERR_MALFORMED;
        }
        context->node_count++;
    }
    return ERR_NONE;
}

static enum err decode(struct context *context, const json_t *object)
{
    const char *schema = json_string_value(json_object_get(object, "schema"));
    if (!schema || strcmp(schema, SCHEMA) != 0 ||
        json_integer_value(json_object_get(object, "version")) != VERSION) {
        return ERR_MALFORMED;
    }
    if (!take_text(context->cluster, sizeof context->cluster, object,
                   "cluster") ||
        !take_text(context->who, sizeof context->who, object, "who") ||
        !take_text(context->keys_dir.text, sizeof context->keys_dir.text,
                   object, "keys_dir")) {
        return ERR_MALFORMED;
    }
    return take_nodes(context, json_object_get(object, "nodes"));
}

static enum err decode_text(struct context *out, struct bytes text)
{
    scoped(context_clear) struct context context = {.node_count = 0};
    json_t *object = json_loadb((const char *)text.data, text.length,
                                JSON_REJECT_DUPLICATES, NULL);
    enum err err = object ? decode(&context, object) : ERR_MALFORMED;
    json_decref(object);
    if (!err) {
        *out = context;
        context.nodes = NULL;
    }
    return err;
}

enum err context_load(struct context *out,
                      const struct command *command,
                      const char *name,
                      struct err_detail *why)
{
    struct path path;
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = command->world->files;
    enum err err = find_file(&path, command, name, why);
    if (err) {
        return err;
    }
    err = files->read(files->context, path.text, FILE_PUBLIC, FILE_BYTES_MAX,
                      &text, &length);
    if (err == ERR_NOT_FOUND) {
        err_explain(why,
                    "there is no context `%s`: `troupe context ls` shows "
                    "which there are",
                    name);
        return err;
    }
    if (!err) {
        err = decode_text(out, bytes_of(text, length));
        free(text);
    }
    if (err) {
        err_explain(why, "%.400s: %s", path.text, err_text(err));
    }
    return err;
}

/* ---- writing ---- */

static json_t *encode(const struct context *context)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < context->node_count; i++) {
        (void)json_array_append_new(
            nodes, json_pack("{s:s, s:s}", "name", context->nodes[i].name,
                             "door", context->nodes[i].door));
    }
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "schema", SCHEMA,
                     "version", VERSION, "cluster", context->cluster, "who",
                     context->who, "keys_dir", context->keys_dir.text, "nodes",
                     nodes);
}

/* Also ERR_EXISTS. */
static enum err save(const struct context *context,
                     const struct command *command,
                     const char *name,
                     struct err_detail *why)
{
    struct path path;
    const struct files *files = command->world->files;
    enum err err = find_file(&path, command, name, why);
    if (!err) {
        err = make_folders(command, why);
    }
    if (err) {
        return err;
    }
    json_t *object = encode(context);
    char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    if (!text) {
        return ERR_MEMORY;
    }
    err = files->write(files->context, path.text, FILE_PUBLIC, false,
                       bytes_of_text(text));
    free(text);
    if (err == ERR_EXISTS) {
        err_explain(why,
                    "there is a context `%s` already: `troupe context rm %s` "
                    "takes it away",
                    name, name);
    } else if (err) {
        err_explain(why, "%.400s: %s", path.text, err_text(err));
    }
    return err;
}

enum err context_remove(const struct command *command,
                        const char *name,
                        struct err_detail *why)
{
    struct path path;
    struct path folder;
    char active[CERTIFICATE_NAME_BYTES];
    const struct files *files = command->world->files;
    enum err err = find_file(&path, command, name, why);
    if (err) {
        return err;
    }
    err = files->remove(files->context, path.text);
    if (err) {
        err_explain(why, "%s `%s`: %s", "context", name, err_text(err));
        return err;
    }
    if (!context_active(active, command, NULL) && strcmp(active, name) == 0 &&
        !find_folder(&folder, command, why) &&
        !path_make(&path, "%s/active", folder.text)) {
        err = files->remove(files->context, path.text);
    }
    return err;
}

/* ---- the active one ---- */

enum err context_active(char out[static CERTIFICATE_NAME_BYTES],
                        const struct command *command,
                        struct err_detail *why)
{
    struct path folder;
    struct path path;
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = command->world->files;
    if (find_folder(&folder, command, NULL) ||
        path_make(&path, "%s/active", folder.text)) {
        return ERR_NOT_FOUND; /* no home is no reason to fail */
    }
    enum err err = files->read(files->context, path.text, FILE_PUBLIC,
                               CERTIFICATE_NAME_BYTES, &text, &length);
    if (err == ERR_NOT_FOUND) {
        return err;
    }
    if (!err) {
        size_t end = strcspn((const char *)text, "\n");
        (void)snprintf(out, CERTIFICATE_NAME_BYTES, "%.*s",
                       (int)(end < length ? end : length), (const char *)text);
        err = certificate_name_is_valid(out) ? ERR_NONE : ERR_MALFORMED;
        free(text);
    }
    if (err) {
        err_explain(why, "%.400s: %s", path.text, err_text(err));
    }
    return err;
}

enum err context_use(const struct command *command,
                     const char *name,
                     struct err_detail *why)
{
    struct path folder;
    struct path path;
    scoped(context_clear) struct context context = {.node_count = 0};
    const struct files *files = command->world->files;
    enum err err = context_load(&context, command, name, why);
    if (!err) {
        err = find_folder(&folder, command, why);
    }
    if (err || path_make(&path, "%s/active", folder.text)) {
        return err ? err : ERR_INVALID;
    }
    char line[CERTIFICATE_NAME_BYTES + 1];
    (void)snprintf(line, sizeof line, "%s\n", name);
    err = files->write(files->context, path.text, FILE_PUBLIC, true,
                       bytes_of_text(line));
    if (err) {
        err_explain(why, "%.400s: %s", path.text, err_text(err));
    }
    return err;
}

/* ---- all of them ---- */

struct visiting {
    void (*visit)(void *visitor, const char *name);
    void *visitor;
};

static void visit_file(void *context, const char *file)
{
    const struct visiting *visiting = context;
    size_t length = strlen(file);
    char name[CERTIFICATE_NAME_BYTES];
    if (length <= strlen(SUFFIX) ||
        strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0) {
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(length - strlen(SUFFIX)),
                   file);
    if (certificate_name_is_valid(name)) {
        visiting->visit(visiting->visitor, name);
    }
}

enum err context_each(const struct command *command,
                      void (*visit)(void *visitor, const char *name),
                      void *visitor,
                      struct err_detail *why)
{
    struct path folder;
    struct path path;
    struct visiting visiting = {visit, visitor};
    const struct files *files = command->world->files;
    enum err err = find_folder(&folder, command, why);
    if (err || path_make(&path, "%s/contexts", folder.text)) {
        return err ? err : ERR_INVALID;
    }
    err = files->list(files->context, path.text, visit_file, &visiting);
    if (err && err != ERR_NOT_FOUND) {
        err_explain(why, "%.400s: %s", path.text, err_text(err));
        return err;
    }
    return ERR_NONE;
}

/* ---- adding one ---- */

/* It must hold wherever one stands later. */
static enum err make_absolute(struct context *context, struct err_detail *why)
{
    char *real = NULL;
    enum err err = posix_folder_real(&real, context->keys_dir.text);
    if (!err) {
        err = path_make(&context->keys_dir, "%s", real);
        free(real);
    }
    if (err) {
        err_explain(why, "keys_dir %.400s: %s", context->keys_dir.text,
                    err_text(err));
    }
    return err;
}

/* The first context is the active one. */
static enum err use_if_alone(const struct command *command,
                             const char *name,
                             struct err_detail *why)
{
    char active[CERTIFICATE_NAME_BYTES];
    return context_active(active, command, NULL) == ERR_NOT_FOUND
               ? context_use(command, name, why)
               : ERR_NONE;
}

enum err context_add(struct context *out,
                     const struct command *command,
                     const char *name,
                     const char *file,
                     const char *who,
                     struct err_detail *why)
{
    scoped(settings_close) struct settings *settings = NULL;
    enum err err =
        config_file_explained(&settings, &file, command->world->files, why);
    if (!err) {
        err = context_of_settings(out, command, settings, who, why);
    }
    if (!err) {
        err = make_absolute(out, why);
    }
    if (!err) {
        err = save(out, command, name, why);
    }
    return err ? err : use_if_alone(command, name, why);
}
