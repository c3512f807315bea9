#include "admin/config_command.h"

#include "admin/config_cluster.h"
#include "admin/config_pages.h"
#include "admin/config_text.h"
#include "admin/reading.h"
#include "base/scope.h"
#include "config/config.h"
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

#define LOCAL_FILE "cluster.yaml"
#define SYSTEM_FILE "/etc/troupe/cluster.yaml"

/* A configuration file that was read, right or wrong. */
struct loaded {
    const char *path;
    enum err err;
    struct settings *settings; /* NULL: `problems` says why */
    struct problems problems;
};

static void loaded_close(struct loaded **loaded)
{
    if (*loaded) {
        settings_close(&(*loaded)->settings);
        free(*loaded);
        *loaded = NULL;
    }
}

/* NULL: out of memory, which has been told. */
static struct loaded *load(const struct command *command)
{
    const struct files *files = command->world->files;
    const char *operand = command_operand(command, 0);
    struct loaded *loaded = calloc(1, sizeof *loaded);
    if (!loaded) {
        (void)command_failed(command, ERR_MEMORY, "reading the file");
        return NULL;
    }
    loaded->path = operand ? operand : LOCAL_FILE;
    loaded->err =
        config_open(&loaded->settings, files, loaded->path, &loaded->problems);
    if (!operand && loaded->err == ERR_NOT_FOUND) {
        loaded->path = SYSTEM_FILE;
        loaded->err = config_open(&loaded->settings, files, loaded->path,
                                  &loaded->problems);
        if (loaded->err == ERR_NOT_FOUND) {
            (void)command_misused(command,
                                  "there is no " LOCAL_FILE
                                  " here and no " SYSTEM_FILE ": name a FILE");
        }
    }
    return loaded;
}

/* Tells on the talk stream why there are no settings. */
static enum exit_code refuse(const struct command *command,
                             const struct loaded *loaded)
{
    const struct command_world *world = command->world;
    if (loaded->err == ERR_MEMORY) {
        return command_failed(command, ERR_MEMORY, "%s", loaded->path);
    }
    bool is_unnamed =
        loaded->err == ERR_NOT_FOUND && !command_operand(command, 0);
    if (is_unnamed) {
        return EXIT_CODE_USAGE; /* load() has told */
    }
    config_text_problems(world->talk, &loaded->problems,
                         world->talk_is_colored);
    return exit_code_of(loaded->err);
}

static void count_problems(const struct command *command,
                           const struct loaded *loaded)
{
    uint32_t total = problems_total(&loaded->problems);
    if (total > 0) {
        (void)fflush(command->world->out); /* both may be one file */
        fprintf(command->world->talk, "%u problem%s\n", total,
                total == 1 ? "" : "s");
    }
}

static enum exit_code check_run(const struct command *command)
{
    const struct command_world *world = command->world;
    scoped(loaded_close) struct loaded *loaded = load(command);
    if (!loaded) {
        return EXIT_CODE_FAILED;
    }
    bool is_read = !loaded->err || loaded->err == ERR_INVALID;
    if (command_has(command, "json") && is_read) {
        enum err err = config_text_problems_json(world->out, &loaded->problems);
        return err ? command_failed(command, err, "%s", loaded->path)
                   : exit_code_of(loaded->err);
    }
    if (!is_read) {
        return refuse(command, loaded);
    }
    /* The problems are what was asked for: data. */
    config_text_problems(world->out, &loaded->problems, world->out_is_colored);
    if (loaded->err) {
        count_problems(command, loaded);
        return exit_code_of(loaded->err);
    }
    const struct settings_cluster *cluster = &loaded->settings->cluster;
    fprintf(world->talk, "%s is valid: cluster \"%s\", %u node%s, %u shards\n",
            loaded->path, cluster->name, cluster->member_count,
            cluster->member_count == 1 ? "" : "s", cluster->shards);
    return EXIT_CODE_OK;
}

static void free_text(uint8_t **text)
{
    free(*text);
    *text = NULL;
}

/*
 * The tree behind the settings says which keys are written. Folders are shown
 * as the file says them, not resolved: put in its place, what is printed
 * means the same.
 */
static enum err read_again(const struct command *command,
                           struct loaded *loaded,
                           struct document_node **out)
{
    const struct files *files = command->world->files;
    scoped(free_text) uint8_t *text = NULL;
    size_t length = 0;
    enum err err = files->read(files->context, loaded->path, FILE_PUBLIC,
                               CONFIG_FILE_BYTES_MAX, &text, &length);
    if (err) {
        return err;
    }
    settings_close(&loaded->settings);
    err = config_parse(&loaded->settings, bytes_of(text, length), loaded->path,
                       &loaded->problems);
    return err ? err
               : document_open(out, bytes_of(text, length), &loaded->problems);
}

/* Flags of a verb that sometimes talks to a cluster, when it does not. */
static enum exit_code check_flags(const struct command *command)
{
    static const char *const own[] = {"effective", "json"};
    for (uint32_t i = 0; i < command->flag_use_count; i++) {
        const char *name = command->flag_uses[i].flag->name;
        if (strcmp(name, own[0]) != 0 && strcmp(name, own[1]) != 0) {
            return command_misused(command, "--%s goes with --cluster", name);
        }
    }
    return EXIT_CODE_OK;
}

static enum exit_code show_file(const struct command *command)
{
    FILE *out = command->world->out;
    scoped(loaded_close) struct loaded *loaded = load(command);
    if (!loaded) {
        return EXIT_CODE_FAILED;
    }
    if (!loaded->settings) {
        enum exit_code code = refuse(command, loaded);
        count_problems(command, loaded);
        return code;
    }
    scoped(document_close) struct document_node *root = NULL;
    enum err err = read_again(command, loaded, &root);
    struct config_text text = {.settings = loaded->settings,
                               .root = root,
                               .file = loaded->path,
                               .is_effective =
                                   command_has(command, "effective")};
    if (!err && command_has(command, "json")) {
        err = config_text_json(out, &text);
    } else if (!err) {
        config_text_yaml(out, &text);
    }
    return err ? command_failed(command, err, "%s", loaded->path)
               : EXIT_CODE_OK;
}

static enum exit_code show_run(const struct command *command)
{
    if (!command_has(command, "cluster")) {
        enum exit_code code = check_flags(command);
        return code ? code : show_file(command);
    }
    if (command_operand(command, 0) || command_has(command, "effective")) {
        return command_misused(command, "--cluster asks the cluster: no FILE "
                                        "and no --effective with it");
    }
    return config_cluster_show(command);
}

/* "cluster.nodes.port" of "cluster.nodes[2].port". */
static void without_index(char out[static SCHEMA_PATH_BYTES], const char *path)
{
    struct writer writer = writer_of(out, SCHEMA_PATH_BYTES - 1);
    for (const char *next = path; *next; next++) {
        if (*next != '[') {
            write_u8(&writer, (uint8_t)*next);
            continue;
        }
        const char *close = strchr(next, ']');
        next = close ? close : next;
    }
    *writer.next = '\0';
}

/* Whether `path` is `end`, or ends with it behind a dot. */
static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path);
    size_t end_length = strlen(end);
    if (length < end_length || strcmp(path + length - end_length, end) != 0) {
        return false;
    }
    return length == end_length || path[length - end_length - 1] == '.';
}

struct matches {
    uint32_t count;
    const struct schema_key *first;
    char names[512];
};

/*
 * A key as people write it: with an index ("cluster.nodes[2].port"), without
 * brackets, or its end alone ("nodes.port", "link_window").
 */
static struct matches find_keys(const char *given)
{
    char wanted[SCHEMA_PATH_BYTES];
    without_index(wanted, given);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    struct matches matches = {.count = 0};
    for (uint32_t i = 0; i < count; i++) {
        char path[SCHEMA_PATH_BYTES];
        without_index(path, keys[i].path);
        if (strcmp(path, wanted) == 0) {
            return (struct matches){.count = 1, .first = &keys[i]};
        }
        if (ends_with(path, wanted)) {
            size_t length = strlen(matches.names);
            problem_say(matches.names + length, sizeof matches.names - length,
                        "%s%s", matches.count ? ", " : "", keys[i].path);
            matches.first = matches.count++ ? matches.first : &keys[i];
        }
    }
    return matches;
}

static enum exit_code refuse_key(const struct command *command,
                                 const char *given)
{
    const struct schema_key *nearest = schema_nearest(given);
    return nearest
               ? command_misused(command,
                                 "there is no key \"%.80s\"; did you mean "
                                 "\"%s\"?",
                                 given, nearest->path)
               : command_misused(command, "there is no key \"%.80s\"", given);
}

static enum err print_keys(FILE *out, bool is_json)
{
    if (is_json) {
        return config_pages_keys_json(out);
    }
    config_pages_keys(out);
    return ERR_NONE;
}

static enum err print_key(FILE *out, bool is_json, const struct schema_key *key)
{
    if (is_json) {
        return config_pages_key_json(out, key);
    }
    config_pages_key(out, key);
    return ERR_NONE;
}

static enum exit_code explain_run(const struct command *command)
{
    FILE *out = command->world->out;
    const char *given = command_operand(command, 0);
    bool is_json = command_has(command, "json");
    if (command_has(command, "markdown")) {
        if (given || is_json) {
            return command_misused(command, "--markdown stands alone: it "
                                            "prints all keys");
        }
        config_pages_markdown(out);
        return EXIT_CODE_OK;
    }
    enum err err = ERR_NONE;
    if (given) {
        struct matches matches = find_keys(given);
        if (matches.count == 0) {
            return refuse_key(command, given);
        }
        if (matches.count > 1) {
            return command_misused(command, "which \"%.80s\": %s?", given,
                                   matches.names);
        }
        err = print_key(out, is_json, matches.first);
    } else {
        err = print_keys(out, is_json);
    }
    return err ? command_failed(command, err, "writing") : EXIT_CODE_OK;
}

static enum exit_code default_run(const struct command *command)
{
    uint8_t id[CLUSTER_ID_BYTES];
    char text[2 * CLUSTER_ID_BYTES + 1];
    entropy_fill(command->world->entropy, id, sizeof id);
    hex_encode(text, bytes_of(id, sizeof id));
    config_pages_default(command->world->out, text);
    return EXIT_CODE_OK;
}

static const struct command_flag show_flags[] = {
    {.name = "effective",
     .text = "with everything that the file leaves open, marked as default"},
    {.name = "cluster", .text = "what a running cluster has agreed on"},
    REMOTE_FLAGS,
    READING_FLAGS,
    {0}};

static const struct command_flag diff_flags[] = {REMOTE_FLAGS, {0}};

static const struct command_flag apply_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what would change, and do nothing"},
    YES_FLAG,
    {0}};

static const struct command_flag explain_flags[] = {
    {.name = "markdown", .text = "all keys, as docs/configuration.md"}, {0}};

static const struct command_verb verbs[] = {
    {.name = "check",
     .operands = "[FILE]",
     .operand_count_max = 1,
     .summary = "Says everything that is wrong with a configuration file.\n"
                "FILE is " LOCAL_FILE " here, or else " SYSTEM_FILE ".",
     .examples = {"troupe config check deploy/three-hosts.yaml",
                  "troupe config check",
                  "troupe config check --json cluster.yaml"},
     .has_json = true,
     .run = check_run},
    {.name = "show",
     .operands = "[FILE]",
     .operand_count_max = 1,
     .summary = "Prints what a configuration file sets, in one form.\n"
                "FILE is " LOCAL_FILE " here, or else " SYSTEM_FILE ".",
     .examples = {"troupe config show --effective deploy/three-hosts.yaml",
                  "troupe config show --json",
                  "troupe config show --cluster --context lab"},
     .flags = show_flags,
     .has_json = true,
     .run = show_run},
    {.name = "diff",
     .operands = "[FILE [OTHER]]",
     .operand_count_max = 2,
     .summary = "Shows where a file differs from what the cluster has agreed "
                "on.\nTwo files are compared with each other. Exit status: 0 "
                "the same, 1 not.",
     .examples = {"troupe config diff cluster.yaml --context lab",
                  "troupe config diff alpha/cluster.yaml beta/cluster.yaml",
                  "troupe config diff --config cluster.yaml --json"},
     .flags = diff_flags,
     .has_json = true,
     .run = config_cluster_diff},
    {.name = "apply",
     .operands = "[FILE]",
     .operand_count_max = 1,
     .summary = "Makes what a file says of `cluster` the cluster's.\nShows "
                "what would change, and asks, before it does. Not nodes and "
                "pools.",
     .examples = {"troupe config apply --dry-run",
                  "troupe config apply cluster.yaml --context lab",
                  "troupe config apply --config cluster.yaml --yes"},
     .flags = apply_flags,
     .has_json = true,
     .steers = true,
     .run = config_cluster_apply},
    {.name = "explain",
     .operands = "[KEY]",
     .operand_count_max = 1,
     .summary = "Explains a key: type, default, what is allowed, what it is "
                "for.\nWithout KEY it lists them all.",
     .examples = {"troupe config explain cluster.limits.link_window",
                  "troupe config explain nodes",
                  "troupe config explain --json"},
     .flags = explain_flags,
     .has_json = true,
     .run = explain_run},
    {.name = "default",
     .operands = "",
     .summary = "Prints a commented configuration file for one node.\n"
                "It holds every key, and is valid as it is, with an id of its "
                "own.",
     .examples = {"troupe config default",
                  "troupe config default > cluster.yaml",
                  "troupe config default | less"},
     .run = default_run},
    {0}};

const struct command_noun config_command = {
    .name = "config",
    .summary = "Checks, shows and explains configuration files, applies them "
               "to a cluster.\nOnly `apply`, `diff` and `show --cluster` need "
               "one that runs.",
    .verbs = verbs};
