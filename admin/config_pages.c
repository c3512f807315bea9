#include "admin/config_pages.h"

#include "admin/config_print.h"
#include "admin/exit_code.h"
#include "base/scope.h"
#include "config/problems.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_COLUMNS 78

/* ---- one key, and all ---- */

/* Words, broken into lines with `prefix` in front of each. */
static void put_wrapped(FILE *out, const char *prefix, const char *text)
{
    while (*text) {
        size_t room = TEXT_COLUMNS - strlen(prefix);
        size_t length = strlen(text);
        if (length > room) {
            length = room;
            while (length > 0 && text[length] != ' ') {
                length--;
            }
            length = length ? length : strcspn(text, " ");
        }
        fprintf(out, "%s%.*s\n", prefix, (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
}

static struct err_detail default_of(const struct schema_key *key)
{
    struct err_detail text;
    problem_say(text.text, sizeof text.text, "%s",
                key->standard  ? key->standard
                : key->derived ? key->derived
                               : "none: required");
    return text;
}

static bool is_required(const struct schema_key *key)
{
    return !key->standard && !key->derived;
}

static struct config_print_path path_within(const struct schema_key *key)
{
    return key->kind == SCHEMA_LIST ? config_print_item(key->path, "")
                                    : config_print_join("", key->path);
}

static const char unused_text[] =
    "Not used yet: it is read and checked, and nothing depends on it so far.";

/* What can be done about a value of `cluster` once there is a cluster; "": it
 * is none. */
static struct err_detail later_of(const struct schema_key *key)
{
    struct err_detail text = {{0}};
    if (strncmp(key->path, "cluster.", 8) != 0 || strchr(key->path, '[')) {
        return text;
    }
    if (key->fixed) {
        problem_say(text.text, sizeof text.text, "Fixed at founding: %s.",
                    key->fixed);
    } else {
        problem_say(text.text, sizeof text.text,
                    "Changed by \"troupe config apply\", %s.",
                    key->is_live ? "at once on all nodes"
                                 : "when a node starts next");
    }
    return text;
}

void config_pages_key(FILE *out, const struct schema_key *key)
{
    char allowed[SCHEMA_ALLOWED_BYTES];
    schema_allowed(allowed, key);
    fprintf(out, "%s\n", key->path);
    fprintf(out, "  type     %s\n", schema_kind_text(key->kind));
    fprintf(out, "  default  %s\n", default_of(key).text);
    fprintf(out, "  allowed  %s\n\n", allowed);
    put_wrapped(out, "  ", key->text);
    if (key->is_unused_yet) {
        fprintf(out, "\n");
        put_wrapped(out, "  ", unused_text);
    }
    if (!schema_is_branch(key)) {
        struct err_detail later = later_of(key);
        if (later.text[0]) {
            fprintf(out, "\n");
            put_wrapped(out, "  ", later.text);
        }
        return;
    }
    fprintf(out, "\n  Keys in it:\n");
    struct config_print_path path = path_within(key);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], path.text);
        if (name) {
            fprintf(out, "    %-20s %s\n", name, default_of(&keys[i]).text);
        }
    }
}

static json_t *json_schema_key(const struct schema_key *key)
{
    char allowed[SCHEMA_ALLOWED_BYTES];
    schema_allowed(allowed, key);
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:s}", "key", key->path,
                     "type", schema_kind_text(key->kind), "default",
                     default_of(key).text, "required", is_required(key), "used",
                     !key->is_unused_yet, "allowed", allowed, "text",
                     key->text);
}

enum err config_pages_key_json(FILE *out, const struct schema_key *key)
{
    scoped(config_print_json_clear) json_t *object =
        json_pack("{s:s, s:i, s:[o]}", "schema", "troupe-config-keys",
                  "version", 1, "keys", json_schema_key(key));
    return config_print_json(out, object);
}

void config_pages_keys(FILE *out)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    fprintf(out, "%-38s %-22s %s\n", "KEY", "TYPE", "DEFAULT");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "%-38s %-22s %s%s\n", keys[i].path,
                schema_kind_text(keys[i].kind), default_of(&keys[i]).text,
                keys[i].is_unused_yet ? "  (not used yet)" : "");
    }
}

enum err config_pages_keys_json(FILE *out)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, json_schema_key(&keys[i]));
    }
    scoped(config_print_json_clear) json_t *object =
        json_pack("{s:s, s:i, s:o}", "schema", "troupe-config-keys", "version",
                  1, "keys", list);
    return config_print_json(out, object);
}

/* ---- Markdown ---- */

static const char preface[] =
    "# Configuration\n"
    "\n"
    "One YAML file says all that a node must know. It has three parts: "
    "`node` may\n"
    "differ from host to host, `seeds` says where to join, `cluster` is the "
    "same on\n"
    "all hosts. Samples for one, three and five hosts are in `deploy/`.\n"
    "\n"
    "```\n"
    "troupe config check FILE             # everything that is wrong with it\n"
    "troupe config show --effective FILE  # with all defaults\n"
    "troupe config explain KEY            # what is below, for one key\n"
    "troupe config default                # a commented file to begin with\n"
    "```\n"
    "\n"
    "FILE is `cluster.yaml` here, or else `/etc/troupe/cluster.yaml`, when "
    "it is left out.\n"
    "\n"
    "This page is made by `troupe config explain --markdown`.\n"
    "\n"
    "## Values\n"
    "\n"
    "| type | form |\n"
    "|---|---|\n"
    "| number | decimal digits: `128` |\n"
    "| duration | a number with `us`, `ms`, `s`, `m`, `h` or `d`: `250ms` |\n"
    "| size | bytes, or a number with `KiB`, `MiB`, `GiB`, `TiB` (1024) or "
    "`kB`, `MB`, `GB`, `TB` (1000): `64KiB` |\n"
    "| range of ports | first and last: `7602-8625` |\n"
    "| name | 1 to 63 of `a-z 0-9 . _ -`, beginning with a letter or digit "
    "|\n"
    "\n"
    "There are no fractions (`1500ms`, not `1.5s`) and no leading zeros. A "
    "key that\n"
    "is not in this list, one that stands there twice, anchors, aliases, "
    "tags, a\n"
    "second document, tabs in the indentation and files of more than 1 MiB "
    "are\n"
    "refused. A part whose keys are all commented out may stay.\n"
    "\n"
    "What is marked *Not used yet* is read and checked, and nothing depends on "
    "it so\n"
    "far: the layer that it is for does not exist yet.\n";

/* A cell of a table: no bar may end it early. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

static void markdown_key(FILE *out, const struct schema_key *key)
{
    char allowed[SCHEMA_ALLOWED_BYTES];
    schema_allowed(allowed, key);
    fprintf(out, "| `%s` | %s%s%s | ", key->path, key->standard ? "`" : "",
            default_of(key).text, key->standard ? "`" : "");
    put_cell(out, allowed);
    fprintf(out, " | %s", key->is_unused_yet ? "*Not used yet.* " : "");
    put_cell(out, key->text);
    if (key->fixed || key->is_live) {
        fprintf(out, " ");
        put_cell(out, later_of(key).text);
    }
    fprintf(out, " |\n");
}

static void markdown_head(FILE *out, const struct schema_key *key)
{
    fprintf(out, "\n## `%s`\n\n%s", key->path,
            key->is_unused_yet ? "*Not used yet.*\n" : "");
    put_wrapped(out, "", key->text);
}

/* A section for a part or list: its text and its keys with values. */
static void markdown_branch(FILE *out, const struct schema_key *key)
{
    markdown_head(out, key);
    fprintf(out,
            "\n| key | default | allowed | meaning |\n|---|---|---|---|\n");
    struct config_print_path path = path_within(key);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (schema_child_name(&keys[i], path.text) &&
            !schema_is_branch(&keys[i])) {
            markdown_key(out, &keys[i]);
        }
    }
}

void config_pages_markdown(FILE *out)
{
    fputs(preface, out);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (schema_is_branch(&keys[i])) {
            markdown_branch(out, &keys[i]);
        } else if (keys[i].kind == SCHEMA_URLS) {
            markdown_head(out, &keys[i]);
        }
    }
    fprintf(out, "\n## Exit status of `troupe`\n\n| | |\n|---|---|\n");
    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        fprintf(out, "| %d | %s |\n", code,
                exit_code_text((enum exit_code)code));
    }
}

/* ---- the default file ---- */

static void default_part(FILE *out,
                         const char *path,
                         uint32_t depth,
                         const char *id);

static void default_comment(FILE *out,
                            const struct schema_key *key,
                            uint32_t depth)
{
    char prefix[32];
    problem_say(prefix, sizeof prefix, "%*s# ", (int)(2 * depth), "");
    put_wrapped(out, prefix, key->text);
    if (key->is_unused_yet) {
        put_wrapped(out, prefix, unused_text);
    }
    if (!schema_is_branch(key)) {
        char allowed[SCHEMA_ALLOWED_BYTES];
        char line[SCHEMA_ALLOWED_BYTES + 16];
        schema_allowed(allowed, key);
        problem_say(line, sizeof line, "Allowed: %s.", allowed);
        put_wrapped(out, prefix, line);
    }
}

/* What a commented-out line shows when the default is none or derived. */
static const char *example_of(const struct schema_key *key)
{
    static const char *const examples[][2] = {
        {"node.name", "n1"},
        {"seeds", "[tcp://10.0.0.1:7600]"},
        {"cluster.replication", "1"},
        {"cluster.nodes[].listen", "0.0.0.0"},
        {"cluster.nodes[].bus_port", "7601"},
        {"cluster.nodes[].link_ports", "7602-8625"},
        {"cluster.nodes[].http_port", "17600"},
        {"cluster.nodes[].zone", "rack-1"},
        {"cluster.pools[].name", "emails"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        if (strcmp(examples[i][0], key->path) == 0) {
            return examples[i][1];
        }
    }
    assert(key->standard);
    return key->standard;
}

/* What the file must set; NULL: nothing. */
static const char *set_value(const struct schema_key *key, const char *id)
{
    if (strcmp(key->path, "cluster.id") == 0) {
        return id;
    }
    if (strcmp(key->path, "cluster.nodes[].name") == 0) {
        return "n1";
    }
    return strcmp(key->path, "cluster.nodes[].host") == 0 ? "127.0.0.1" : NULL;
}

/* An item of a list: the name behind the dash, the rest below. */
static void default_list(FILE *out,
                         const struct schema_key *key,
                         uint32_t depth,
                         const char *id)
{
    struct config_print_path path = config_print_item(key->path, "");
    default_part(out, path.text, depth + 1, id);
}

static void default_key(FILE *out,
                        const struct schema_key *key,
                        const char *name,
                        uint32_t depth,
                        const char *id)
{
    const char *set = set_value(key, id);
    bool is_item_name = strcmp(name, "name") == 0 && strchr(key->path, '[');
    bool is_in_pool = strncmp(key->path, "cluster.pools[]", 15) == 0;
    uint32_t dash = is_item_name ? 1 : 0;
    fputc('\n', out);
    default_comment(out, key, depth);
    config_print_indent(out, depth - dash);
    if (key->kind == SCHEMA_PART ||
        (key->kind == SCHEMA_LIST && is_required(key))) {
        fprintf(out, "%s:\n", name);
    } else if (key->kind == SCHEMA_LIST) {
        fprintf(out, "#%s:\n", name);
    } else {
        fprintf(out, "%s%s%s: %s\n", set && !is_in_pool ? "" : "#",
                dash ? "- " : "", name, set ? set : example_of(key));
    }
    if (key->kind == SCHEMA_PART) {
        default_part(out, key->path, depth + 1, id);
    } else if (key->kind == SCHEMA_LIST) {
        default_list(out, key, depth + 1, id);
    }
}

static void default_part(FILE *out,
                         const char *path,
                         uint32_t depth,
                         const char *id)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], path);
        if (name) {
            default_key(out, &keys[i], name, depth, id);
        }
    }
}

void config_pages_default(FILE *out, const char *id)
{
    fputs("# A Troupe cluster of one node. Where a # stands right before a "
          "key, its line\n# shows the default, or an example if there is none: "
          "take the # away to set it.\n#\n"
          "# \"troupe config check FILE\" says whether a file is right, and "
          "\"troupe config\n# explain KEY\" what a key is for.\n",
          out);
    default_part(out, "", 0, id);
}
