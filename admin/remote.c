#include "admin/remote.h"

#include "admin/answer.h"
#include "admin/config_file.h"
#include "admin/context.h"
#include "admin/debug_bundle.h"
#include "admin/human.h"
#include "admin/interrupt.h"
#include "admin/pack_json.h"
#include "base/pack.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "client/client.h"
#include "config/nearest.h"
#include "config/units.h"
#include "shard/host_service.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS_DEFAULT (10 * MS_PER_S)
#define TIMEOUT_MS_MAX (MS_PER_DAY)
#define QUESTION_BYTES_MAX (64u << 10)
#define ATTEMPTS_MAX 3  /* of what only looks */
#define ELECTION_MS 200 /* between questions while nobody leads */
#define VERSION 1

struct remote {
    const struct command *command;
    struct context context;
    const struct identity *identity;
    struct trust *trust;
    struct client *client;
    uint32_t timeout_ms;
    uint32_t connect_ms; /* 0: as long */

    /* In place of all that but the command. */
    struct debug_bundle *bundle;
    struct clock bundle_clock;
};

/* ---- errors and exit codes ---- */

static enum exit_code code_of_link(enum err err)
{
    switch (err) {
    case ERR_FORGED:
    case ERR_EXPIRED:
    case ERR_NOT_YET_VALID:
    case ERR_REVOKED:
    case ERR_SUPERSEDED:
    case ERR_OTHER_CLUSTER:
    case ERR_WRONG_NAME:
    case ERR_DENIED:
        return EXIT_CODE_DENIED;
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_UNREACHABLE:
        return EXIT_CODE_UNREACHABLE;
    default:
        return exit_code_of_change(err);
    }
}

static enum exit_code code_of_answer(enum err err, bool changes)
{
    switch (err) {
    case ERR_NOT_FOUND: /* a name on the command line that does not exist */
    case ERR_INVALID:   /* or that cannot */
        return EXIT_CODE_USAGE;
    case ERR_NOT_LEADER:
        return EXIT_CODE_NO_QUORUM;
    case ERR_REVOKED:
    case ERR_EXPIRED:
    case ERR_NOT_YET_VALID:
    case ERR_SUPERSEDED:
        return EXIT_CODE_DENIED;
    default:
        return changes ? exit_code_of_change(err) : exit_code_of(err);
    }
}

/* ---- whom to ask, and as whom ---- */

static enum exit_code code_of_context(enum err err)
{
    return err == ERR_NOT_FOUND || err == ERR_INVALID
               ? EXIT_CODE_USAGE
               : exit_code_of_change(err);
}

static enum exit_code take_config(struct remote *remote, struct err_detail *why)
{
    const struct command *command = remote->command;
    const char *given = command_value(command, "config");
    const char *file = given;
    scoped(settings_close) struct settings *settings = NULL;
    enum err err =
        config_file_explained(&settings, &file, command->world->files, why);
    if (err == ERR_NOT_FOUND && !given) {
        err_explain(why, "which cluster? Give --config FILE or --context "
                         "NAME; `troupe context add` remembers one");
        return EXIT_CODE_USAGE;
    }
    if (err) {
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of(err);
    }
    return code_of_context(
        context_of_settings(&remote->context, command, settings,
                            command_value(command, "as"), why));
}

static enum exit_code take_context(struct remote *remote,
                                   const char *name,
                                   struct err_detail *why)
{
    const struct command *command = remote->command;
    const char *who = command_value(command, "as");
    enum err err = context_load(&remote->context, command, name, why);
    if (!err && who) {
        (void)snprintf(remote->context.who, sizeof remote->context.who, "%s",
                       who);
    }
    return code_of_context(err);
}

/* The nearest word counts: a flag, the environment, what is remembered. */
static enum exit_code find_context(struct remote *remote,
                                   struct err_detail *why)
{
    const struct command *command = remote->command;
    char active[CERTIFICATE_NAME_BYTES];
    const char *name = command_value(command, "context");
    if (name && command_value(command, "config")) {
        err_explain(why, "--context and --config: one of them");
        return EXIT_CODE_USAGE;
    }
    if (!name && !command_value(command, "config")) {
        name = command_variable(command, "TROUPE_CONTEXT");
        if (!name) {
            enum err err = context_active(active, command, why);
            if (err && err != ERR_NOT_FOUND) {
                return code_of_context(err);
            }
            name = err ? NULL : active;
        }
    }
    return name ? take_context(remote, name, why) : take_config(remote, why);
}

static enum exit_code read_keys(struct remote *remote, struct err_detail *why)
{
    struct path trust;
    const struct files *files = remote->command->world->files;
    const struct context *context = &remote->context;
    enum err err = identity_open(&remote->identity, files,
                                 context->keys_dir.text, context->who, why);
    if (!err) {
        err = path_make(&trust, "%s/trust", context->keys_dir.text);
    }
    if (!err) {
        err = trust_open(&remote->trust, files, trust.text, why);
    }
    return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of_change(err);
}

static enum exit_code take_timeout(struct remote *remote,
                                   struct err_detail *why)
{
    uint64_t ms = 0;
    const char *text = command_value(remote->command, "timeout");
    remote->timeout_ms = TIMEOUT_MS_DEFAULT;
    if (!text) {
        return EXIT_CODE_OK;
    }
    if (units_duration(&ms, text, UNITS_MS) || ms == 0 || ms > TIMEOUT_MS_MAX) {
        err_explain(why, "--timeout: `%.64s`: a time such as 5s is expected",
                    text);
        return EXIT_CODE_USAGE;
    }
    remote->timeout_ms = (uint32_t)ms;
    return EXIT_CODE_OK;
}

/* ---- the link ---- */

static enum exit_code refuse_node(const struct context *context,
                                  const char *name,
                                  struct err_detail *why)
{
    struct nearest nearest = {.name = name};
    for (uint32_t i = 0; i < context->node_count; i++) {
        nearest_offer(&nearest, context->nodes[i].name);
    }
    err_explain(why, "--node: there is no node `%.64s` in cluster %s%s%s%s",
                name, context->cluster, nearest.best ? "; did you mean `" : "",
                nearest.best ? nearest.best : "", nearest.best ? "`?" : "");
    return EXIT_CODE_USAGE;
}

static enum exit_code dial(struct remote *remote,
                           const struct client_node *nodes,
                           uint32_t count,
                           struct err_detail *why)
{
    struct client_config config = {.identity = remote->identity,
                                   .trust = remote->trust,
                                   .nodes = nodes,
                                   .node_count = count,
                                   .connect_ms = remote->connect_ms
                                                     ? remote->connect_ms
                                                     : remote->timeout_ms};
    enum err err = client_open(&remote->client, &config, why);
    return code_of_link(err);
}

static enum exit_code open_link(struct remote *remote, struct err_detail *why)
{
    uint32_t count = 0;
    const struct context *context = &remote->context;
    const char *only = command_value(remote->command, "node");
    struct client_node *nodes = calloc(context->node_count, sizeof *nodes);
    if (!nodes) {
        return EXIT_CODE_FAILED;
    }
    for (uint32_t i = 0; i < context->node_count; i++) {
        const struct context_node *node = &context->nodes[i];
        if (!only || strcmp(only, node->name) == 0) {
            nodes[count++] = (struct client_node){node->name, node->door};
        }
    }
    enum exit_code code = count > 0 ? dial(remote, nodes, count, why)
                                    : refuse_node(context, only, why);
    free(nodes);
    return code;
}

void remote_close(struct remote **remote)
{
    if (!*remote) {
        return;
    }
    client_close(&(*remote)->client);
    debug_bundle_close(&(*remote)->bundle);
    identity_unref(&(*remote)->identity);
    trust_unref(&(*remote)->trust);
    context_clear(&(*remote)->context);
    free(*remote);
    *remote = NULL;
}

/* ---- a bundle instead ---- */

static int64_t bundle_wall_ms(void *context)
{
    const struct remote *remote = context;
    return debug_bundle_at_ms(remote->bundle);
}

static uint64_t bundle_now_ns(void *context)
{
    const struct remote *remote = context;
    return clock_now_ns(remote->command->world->clock);
}

/* With the answers of this node; NULL: of any. */
static enum exit_code take_bundle(struct remote *remote,
                                  const char *node,
                                  struct err_detail *why)
{
    const struct command *command = remote->command;
    enum exit_code code =
        debug_bundle_open(&remote->bundle, command->world->files,
                          command_value(command, "bundle"), why);
    remote->bundle_clock = (struct clock){
        .context = remote, .now_ns = bundle_now_ns, .wall_ms = bundle_wall_ms};
    return code ? code : debug_bundle_choose(remote->bundle, node, why);
}

static enum exit_code open_bundle(struct remote *remote, struct err_detail *why)
{
    const struct command *command = remote->command;
    if (command_has(command, "context") || command_has(command, "config")) {
        err_explain(why, "--bundle stands in place of --context and --config: "
                         "one of them");
        return EXIT_CODE_USAGE;
    }
    enum exit_code code =
        take_bundle(remote, command_value(command, "node"), why);
    if (!code && command->verb->steers) {
        err_explain(why, "a bundle cannot be steered: it is what nodes said "
                         "when it was made");
        code = EXIT_CODE_REFUSED;
    }
    if (!code && !command_noun_is_hidden(command->noun)) {
        debug_bundle_tell(remote->bundle, command->world->talk);
    }
    return code;
}

const struct clock *remote_clock(const struct remote *remote)
{
    return remote->bundle ? &remote->bundle_clock
                          : remote->command->world->clock;
}

/* ---- life ---- */

static enum exit_code open_cluster(struct remote *remote,
                                   struct err_detail *why)
{
    enum exit_code code = find_context(remote, why);
    if (!code) {
        code = read_keys(remote, why);
    }
    return code ? code : open_link(remote, why);
}

enum exit_code remote_connect(struct remote **out,
                              const struct command *command,
                              struct err_detail *why)
{
    scoped(remote_close) struct remote *remote = calloc(1, sizeof *remote);
    if (!remote) {
        return EXIT_CODE_FAILED;
    }
    remote->command = command;
    enum exit_code code = take_timeout(remote, why);
    if (!code) {
        code = command_has(command, "bundle") ? open_bundle(remote, why)
                                              : open_cluster(remote, why);
    }
    if (code) {
        return code;
    }
    *out = remote;
    remote = NULL; /* the caller owns it now */
    return EXIT_CODE_OK;
}

enum exit_code remote_connect_node(struct remote **out,
                                   const struct remote *remote,
                                   const struct client_node *node,
                                   uint32_t connect_ms,
                                   struct err_detail *why)
{
    scoped(remote_close) struct remote *own = calloc(1, sizeof *own);
    if (!own) {
        return EXIT_CODE_FAILED;
    }
    own->command = remote->command;
    if (remote->bundle) {
        enum exit_code code = take_bundle(own, node->name, why);
        *out = code ? NULL : own;
        own = code ? own : NULL;
        return code;
    }
    own->identity = identity_ref(remote->identity);
    own->trust = trust_ref(remote->trust);
    own->timeout_ms = remote->timeout_ms;
    own->connect_ms = connect_ms;
    enum exit_code code = dial(own, node, 1, why);
    if (!code) {
        *out = own;
        own = NULL; /* the caller owns it now */
    }
    return code;
}

const struct command *remote_command(const struct remote *remote)
{
    return remote->command;
}

static void say(const struct command *command,
                enum exit_code code,
                struct err_detail *why)
{
    human_clean(why->text);
    command_say(command, "%s", why->text[0] ? why->text : exit_code_text(code));
}

enum exit_code remote_open(struct remote **out, const struct command *command)
{
    struct err_detail why = {0};
    enum exit_code code = remote_connect(out, command, &why);
    if (code) {
        say(command, code, &why);
    }
    return code;
}

const char *remote_who(const struct remote *remote)
{
    return remote->identity->certificate.name;
}

const char *remote_node(const struct remote *remote)
{
    return remote->bundle ? debug_bundle_node(remote->bundle)
                          : client_node_name(remote->client);
}

uint32_t remote_node_count(const struct remote *remote)
{
    return remote->context.node_count;
}

const struct context_node *remote_node_at(const struct remote *remote,
                                          uint32_t index)
{
    return &remote->context.nodes[index];
}

const char *remote_cluster(const struct remote *remote)
{
    return remote->context.cluster;
}

/* ---- questions ---- */

static enum err ask_bytes(struct remote *remote,
                          const struct remote_question *question,
                          struct bytes bytes,
                          struct bytes *answer)
{
    enum err err = ERR_NONE;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        uint8_t *data = NULL;
        size_t length = 0;
        err = client_ask(remote->client, HOST_SERVICE_ADMIN, bytes,
                         remote->timeout_ms, &data, &length);
        *answer = bytes_of(data, length);
        if (err != ERR_UNCERTAIN || question->changes ||
            i + 1 == ATTEMPTS_MAX) {
            break;
        }
        free(data);
        *answer = (struct bytes){0};
    }
    return err;
}

static void encode(struct writer *writer,
                   const struct remote_question *question)
{
    pack_map(writer, question->args ? 3 : 2);
    pack_text(writer, "v");
    pack_uint(writer, VERSION);
    pack_text(writer, "verb");
    pack_text(writer, question->verb);
    if (question->args) {
        pack_text(writer, "args");
        pack_json_encode(writer, question->args);
    }
}

static enum err exchange(struct remote *remote,
                         const struct remote_question *question,
                         struct bytes *answer)
{
    uint8_t *buffer = malloc(QUESTION_BYTES_MAX);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, QUESTION_BYTES_MAX);
    encode(&writer, question);
    enum err err = writer.failed ? ERR_TOO_LARGE
                                 : ask_bytes(remote, question,
                                             writer_bytes(&writer), answer);
    free(buffer);
    return err;
}

/* What the node says, or else what the error means; with the error's name, for
 * `troupe explain`. */
static void explain(const struct remote *remote,
                    enum err err,
                    struct bytes answer,
                    struct err_detail *why)
{
    json_t *map = NULL;
    if (answer.length == 0 || pack_json_decode(&map, answer)) {
        map = NULL;
    }
    const char *text = json_string_value(json_object_get(map, "why"));
    err_explain(why, "%s: %.400s (%s)", remote_node(remote),
                text && *text ? text : err_text(err), err_name(err));
    json_decref(map);
}

static enum exit_code decode(const struct remote *remote,
                             struct bytes bytes,
                             json_t **answer,
                             struct err_detail *why)
{
    json_t *map = NULL;
    enum err err = pack_json_decode(&map, bytes);
    if (!err && json_integer_value(json_object_get(map, "v")) != VERSION) {
        err = json_is_object(map) ? ERR_VERSION : ERR_MALFORMED;
    }
    if (err) {
        json_decref(map);
        err_explain(why, "%s: cannot read its answer: %s (%s)",
                    remote_node(remote), err_text(err), err_name(err));
        return EXIT_CODE_FAILED;
    }
    answer_clean(map);
    *answer = map;
    return EXIT_CODE_OK;
}

static void free_data(struct bytes *bytes)
{
    free((void *)(uintptr_t)bytes->data);
}

/* An election is under way, and nothing has been done: soon it is over. */
static bool may_pass(enum err err, struct bytes answer)
{
    json_t *map = NULL;
    bool may = err && answer.length > 0 && !pack_json_decode(&map, answer) &&
               json_is_true(json_object_get(map, "may_pass"));
    json_decref(map);
    return may;
}

enum exit_code remote_try(struct remote *remote,
                          const struct remote_question *question,
                          json_t **answer,
                          struct err_detail *why)
{
    if (remote->bundle) {
        return debug_bundle_ask(remote->bundle, question, answer, why);
    }
    const struct command_world *world = remote->command->world;
    scoped(free_data) struct bytes bytes = {0};
    uint64_t until_ns =
        clock_now_ns(world->clock) + remote->timeout_ms * (uint64_t)NS_PER_MS;
    enum err err = exchange(remote, question, &bytes);
    while (may_pass(err, bytes) && clock_now_ns(world->clock) < until_ns &&
           world->interrupt->wait(world->interrupt->context, ELECTION_MS)) {
        free_data(&bytes);
        bytes = (struct bytes){0};
        err = exchange(remote, question, &bytes);
    }
    *answer = NULL;
    if (err) {
        explain(remote, err, bytes, why);
        return code_of_answer(err, question->changes);
    }
    return decode(remote, bytes, answer, why);
}

enum exit_code remote_ask(struct remote *remote,
                          const struct remote_question *question,
                          json_t **answer)
{
    struct err_detail why = {0};
    enum exit_code code = remote_try(remote, question, answer, &why);
    json_decref(question->args);
    if (code) {
        say(remote->command, code, &why);
    }
    return code;
}

enum err remote_ask_service(struct remote *remote,
                            uint8_t service,
                            struct bytes question,
                            uint8_t **data,
                            size_t *length)
{
    return remote->bundle ? ERR_REFUSED /* only what control.md has is kept */
                          : client_ask(remote->client, service, question,
                                       remote->timeout_ms, data, length);
}
