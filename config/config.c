#include "config/config.h"

#include "base/scope.h"
#include "config/address.h"
#include "config/document.h"
#include "config/nearest.h"
#include "config/rules.h"
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

/*
 * Where we are: the same part by the name that the table gives it and by the
 * one that it has in this file.
 */
struct part {
    const char *path;  /* "cluster.nodes[]" */
    const char *shown; /* "cluster.nodes[2]" */
    void *base;        /* what the table's offsets count from */
};

struct fill {
    struct settings *settings;
    struct problems *problems;
};

static void join(char out[static SCHEMA_PATH_BYTES],
                 const char *parent,
                 const char *name)
{
    problem_say(out, SCHEMA_PATH_BYTES, "%s%s%s", parent, *parent ? "." : "",
                name);
}

/* ---- complaints ---- */

static const char *article_of(const struct document_node *node)
{
    switch (node->kind) {
    case DOCUMENT_EMPTY:
        return "nothing";
    case DOCUMENT_LIST:
        return "a list";
    case DOCUMENT_MAP:
        return "keys (\"name: ...\")";
    case DOCUMENT_SCALAR:
    default:
        return "a single value";
    }
}

/* What was found, quoted, with more words behind it. */
static void say_found(struct problem *problem,
                      const struct document_node *node,
                      const char *more)
{
    if (node->kind != DOCUMENT_SCALAR) {
        problem_say(problem->found, sizeof problem->found, "%s",
                    article_of(node));
        return;
    }
    char quoted[PROBLEM_QUOTE_BYTES];
    problem_quote(quoted, bytes_of_text(node->text));
    problem_say(problem->found, sizeof problem->found, "%.120s%s%.90s", quoted,
                *more == '(' ? " "
                : *more      ? ", "
                             : "",
                more);
}

static void complain(struct fill *fill,
                     const struct document_node *node,
                     const struct schema_key *key,
                     const char *shown)
{
    struct problem *problem = problems_add(fill->problems, node->place, shown);
    say_found(problem, node, "");
    schema_allowed(problem->allowed, key);
}

/* Where else in the table a key of that name stands; NULL: nowhere. */
static const struct schema_key *elsewhere(const char *name)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *dot = strrchr(keys[i].path, '.');
        if (strcmp(dot ? dot + 1 : keys[i].path, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static void list_children(char *out, size_t capacity, const char *parent)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    problem_say(out, capacity, "one of");
    bool is_first = true;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], parent);
        if (name) {
            size_t length = strlen(out);
            problem_say(out + length, capacity - length, "%s %s",
                        is_first ? "" : ",", name);
            is_first = false;
        }
    }
}

static void complain_unknown(struct fill *fill,
                             const struct document_node *node,
                             const struct part *part,
                             const char *shown)
{
    struct nearest nearest = {.name = node->key};
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], part->path);
        if (name) {
            nearest_offer(&nearest, name);
        }
    }
    struct problem *problem =
        problems_add(fill->problems, node->key_place, shown);
    char quoted[PROBLEM_QUOTE_BYTES];
    problem_quote(quoted, bytes_of_text(node->key));
    problem_say(problem->found, sizeof problem->found, "the unknown key %.150s",
                quoted);
    const struct schema_key *other = elsewhere(node->key);
    if (other && !(nearest.best && nearest.distance <= 1)) {
        problem_say(problem->allowed, sizeof problem->allowed, "that key as %s",
                    other->path);
    } else if (nearest.best) {
        problem_say(problem->allowed, sizeof problem->allowed,
                    "%s (did you mean that?)", nearest.best);
    } else {
        list_children(problem->allowed, sizeof problem->allowed, part->path);
    }
}

static void complain_missing(struct fill *fill,
                             const struct document_node *map,
                             const struct schema_key *key,
                             const char *shown)
{
    struct problem *problem =
        problems_add(fill->problems, document_place(map), shown);
    problem_say(problem->found, sizeof problem->found,
                "nothing: the key is missing");
    schema_allowed(problem->allowed, key);
}

/*
 * What the document has refused got its place there; it gets its name here,
 * so that no rule complains about the value as well.
 */
static void name_refused(struct fill *fill,
                         const struct document_node *node,
                         const char *shown)
{
    for (uint32_t i = 0; i < fill->problems->count; i++) {
        struct problem *problem = &fill->problems->items[i];
        if (problem->place.line == node->place.line &&
            problem->place.column == node->place.column && !*problem->key) {
            problem_say(problem->key, sizeof problem->key, "%s", shown);
        }
    }
}

/* ---- values ---- */

static void fill_roles(struct fill *fill,
                       const struct document_node *node,
                       const struct schema_key *key,
                       const struct part *part,
                       const char *shown)
{
    uint32_t set = 0;
    if (node->kind != DOCUMENT_LIST || node->count == 0) {
        complain(fill, node, key, shown);
        return;
    }
    for (const struct document_node *item = node->first; item;
         item = item->next) {
        uint32_t role =
            item->kind == DOCUMENT_SCALAR ? schema_role(item->text) : 0;
        if (!item->is_refused && (role == 0 || (set & role))) {
            complain(fill, item, key, shown);
        }
        set |= role;
    }
    if (set) {
        memcpy((uint8_t *)part->base + key->offset, &set, sizeof set);
    }
}

static void fill_value(struct fill *fill,
                       const struct document_node *node,
                       const struct schema_key *key,
                       const struct part *part,
                       const char *shown)
{
    if (node->kind != DOCUMENT_SCALAR) {
        complain(fill, node, key, shown);
        return;
    }
    struct err_detail why = {.text = ""};
    if (schema_read(key, part->base, node->text, &why)) {
        struct problem *problem =
            problems_add(fill->problems, node->place, shown);
        say_found(problem, node, why.text);
        schema_allowed(problem->allowed, key);
    }
}

static void fill_seed(struct fill *fill,
                      const struct document_node *item,
                      const struct schema_key *key,
                      uint32_t index)
{
    char shown[32];
    problem_say(shown, sizeof shown, "seeds[%u]", index);
    if (item->is_refused) {
        name_refused(fill, item, shown);
        return;
    }
    if (item->kind != DOCUMENT_SCALAR || !address_is_door(item->text)) {
        complain(fill, item, key, shown);
        return;
    }
    struct settings_seed *seed = &fill->settings->seeds[index];
    problem_say(seed->url, sizeof seed->url, "%s", item->text);
}

/* ---- parts and lists ---- */

static enum err fill_map(struct fill *fill,
                         const struct document_node *map,
                         const struct part *part);

static enum err fill_part(struct fill *fill,
                          const struct document_node *node,
                          const struct schema_key *key,
                          const struct part *part,
                          const char *shown)
{
    static const struct document_node nothing = {.kind = DOCUMENT_MAP};
    if (node->kind != DOCUMENT_MAP && node->kind != DOCUMENT_EMPTY) {
        complain(fill, node, key, shown);
        return ERR_NONE;
    }
    /* "timeouts:" with every line below it commented out. */
    struct document_node empty = nothing;
    empty.place = node->place;
    struct part child = {key->path, shown, part->base};
    return fill_map(fill, node->kind == DOCUMENT_MAP ? node : &empty, &child);
}

/* Room for a list's items, in the struct that holds the list. */
static enum err make_items(struct fill *fill,
                           const struct schema_key *key,
                           uint32_t count)
{
    if (count == 0) {
        return ERR_NONE;
    }
    void *items = calloc(count, key->item_bytes);
    if (!items) {
        return ERR_MEMORY;
    }
    uint8_t *base = (uint8_t *)fill->settings;
    memcpy(base + key->offset, &items, sizeof items);
    memcpy(base + key->count_offset, &count, sizeof count);
    return ERR_NONE;
}

static enum err fill_item(struct fill *fill,
                          const struct document_node *item,
                          const struct part *part)
{
    schema_set_defaults(part->base, part->path);
    if (item->is_refused) {
        name_refused(fill, item, part->shown);
        return ERR_NONE;
    }
    if (item->kind == DOCUMENT_MAP) {
        return fill_map(fill, item, part);
    }
    struct problem *problem =
        problems_add(fill->problems, item->place, part->shown);
    say_found(problem, item, "");
    list_children(problem->allowed, sizeof problem->allowed, part->path);
    return ERR_NONE;
}

static enum err fill_list(struct fill *fill,
                          const struct document_node *node,
                          const struct schema_key *key,
                          const char *shown)
{
    bool is_list = node->kind == DOCUMENT_LIST || node->kind == DOCUMENT_EMPTY;
    if (!is_list || node->count < key->min || node->count > key->max) {
        struct problem *problem =
            problems_add(fill->problems, document_place(node), shown);
        if (is_list && node->count > 0) {
            problem_say(problem->found, sizeof problem->found, "%u entries",
                        node->count);
        } else {
            say_found(problem, node, "");
        }
        schema_allowed(problem->allowed, key);
        return ERR_NONE;
    }
    enum err err = make_items(fill, key, node->count);
    if (err || node->count == 0) {
        return err;
    }
    uint8_t *items = NULL;
    memcpy(&items, (uint8_t *)fill->settings + key->offset, sizeof items);
    uint32_t index = 0;
    for (const struct document_node *item = node->first; item && !err;
         item = item->next, index++) {
        if (key->kind == SCHEMA_URLS) {
            fill_seed(fill, item, key, index);
            continue;
        }
        char path[SCHEMA_PATH_BYTES];
        char item_shown[SCHEMA_PATH_BYTES];
        problem_say(path, sizeof path, "%s[]", key->path);
        problem_say(item_shown, sizeof item_shown, "%.150s[%u]", shown, index);
        struct part part = {path, item_shown, items + index * key->item_bytes};
        err = fill_item(fill, item, &part);
    }
    return err;
}

static enum err fill_key(struct fill *fill,
                         const struct document_node *node,
                         const struct part *part)
{
    char path[SCHEMA_PATH_BYTES];
    char shown[SCHEMA_PATH_BYTES];
    char quoted[PROBLEM_QUOTE_BYTES];
    join(path, part->path, node->key);
    const struct schema_key *key = schema_find(path);
    if (!key || !schema_child_name(key, part->path)) {
        problem_quote(quoted, bytes_of_text(node->key));
        quoted[strlen(quoted) - 1] = '\0';
        join(shown, part->shown, quoted + 1);
        complain_unknown(fill, node, part, shown);
        return ERR_NONE;
    }
    join(shown, part->shown, node->key);
    if (node->is_refused) {
        name_refused(fill, node, shown);
        return ERR_NONE;
    }
    switch (key->kind) {
    case SCHEMA_PART:
        return fill_part(fill, node, key, part, shown);
    case SCHEMA_LIST:
    case SCHEMA_URLS:
        return fill_list(fill, node, key, shown);
    case SCHEMA_ROLES:
        fill_roles(fill, node, key, part, shown);
        return ERR_NONE;
    default:
        fill_value(fill, node, key, part, shown);
        return ERR_NONE;
    }
}

static void check_required(struct fill *fill,
                           const struct document_node *map,
                           const struct part *part)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_key *key = &keys[i];
        const char *name = schema_child_name(key, part->path);
        if (name && !key->standard && !key->derived &&
            !document_get(map, name)) {
            char shown[SCHEMA_PATH_BYTES];
            join(shown, part->shown, name);
            complain_missing(fill, map, key, shown);
        }
    }
}

/* Recursion follows the table, so that it ends. */
static enum err fill_map(struct fill *fill,
                         const struct document_node *map,
                         const struct part *part)
{
    for (const struct document_node *node = map->first; node;
         node = node->next) {
        enum err err = fill_key(fill, node, part);
        if (err) {
            return err;
        }
    }
    check_required(fill, map, part);
    return ERR_NONE;
}

static enum err fill_root(struct fill *fill, const struct document_node *root)
{
    if (root->kind == DOCUMENT_MAP) {
        struct part part = {"", "", fill->settings};
        return fill_map(fill, root, &part);
    }
    if (!root->is_refused) {
        struct problem *problem = problems_add(fill->problems, root->place, "");
        say_found(problem, root, "");
        list_children(problem->allowed, sizeof problem->allowed, "");
    }
    return ERR_NONE;
}

enum err config_parse(struct settings **out,
                      struct bytes text,
                      const char *file,
                      struct problems *problems)
{
    problems_init(problems, file);
    scoped(document_close) struct document_node *root = NULL;
    enum err err = document_open(&root, text, problems);
    if (err) {
        problems_sort(problems);
        return err;
    }
    scoped(settings_close) struct settings *settings =
        calloc(1, sizeof *settings);
    if (!settings) {
        return ERR_MEMORY;
    }
    schema_set_defaults(settings, "");
    struct fill fill = {settings, problems};
    err = fill_root(&fill, root);
    if (err) {
        return err;
    }
    if (root->kind == DOCUMENT_MAP) {
        rules_apply(settings, root, problems);
    }
    problems_sort(problems);
    if (problems_total(problems) > 0) {
        return ERR_INVALID;
    }
    *out = settings;
    settings = NULL;
    return ERR_NONE;
}

/* ---- files ---- */

static void free_text(uint8_t **text)
{
    free(*text);
    *text = NULL;
}

static enum err complain_unreadable(struct problems *problems,
                                    const char *path,
                                    enum err err)
{
    problems_init(problems, path);
    struct problem *problem =
        problems_add(problems, (struct problem_place){0}, "");
    problem_say(problem->found, sizeof problem->found, "%s",
                err == ERR_NOT_FOUND   ? "no such file"
                : err == ERR_TOO_LARGE ? "a larger file"
                                       : "a file that cannot be read");
    problem_say(problem->allowed, sizeof problem->allowed, "%s",
                err == ERR_TOO_LARGE
                    ? "at most 1 MiB"
                    : "a configuration file that this user may read");
    return err;
}

/* "conf" of "conf/troupe.yaml"; empty: the current one. */
static size_t folder_bytes(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* False when it becomes too long. */
static bool make_relative_to(char dir[static SETTINGS_PATH_BYTES],
                             const char *path)
{
    size_t folder = folder_bytes(path);
    size_t length = strlen(dir);
    if (*dir == '/' || folder == 0) {
        return true;
    }
    if (folder + length >= SETTINGS_PATH_BYTES) {
        return false;
    }
    memmove(dir + folder, dir, length + 1);
    memcpy(dir, path, folder);
    return true;
}

static enum err resolve_folders(struct settings *settings,
                                const char *path,
                                struct problems *problems)
{
    struct settings_node *node = &settings->node;
    if (make_relative_to(node->data_dir, path) &&
        make_relative_to(node->keys_dir, path)) {
        return ERR_NONE;
    }
    struct problem *problem =
        problems_add(problems, (struct problem_place){0}, "node");
    problem_say(problem->found, sizeof problem->found,
                "a folder whose path is too long");
    problem_say(problem->allowed, sizeof problem->allowed,
                "at most %d bytes with the folder of this file",
                SETTINGS_PATH_BYTES - 1);
    return ERR_INVALID;
}

enum err config_open(struct settings **out,
                     const struct files *files,
                     const char *path,
                     struct problems *problems)
{
    scoped(free_text) uint8_t *text = NULL;
    size_t length = 0;
    enum err err = files->read(files->context, path, FILE_PUBLIC,
                               CONFIG_FILE_BYTES_MAX, &text, &length);
    if (err) {
        return complain_unreadable(problems, path, err);
    }
    scoped(settings_close) struct settings *settings = NULL;
    err = config_parse(&settings, bytes_of(text, length), path, problems);
    if (!err) {
        err = resolve_folders(settings, path, problems);
    }
    if (err) {
        return err;
    }
    *out = settings;
    settings = NULL;
    return ERR_NONE;
}
