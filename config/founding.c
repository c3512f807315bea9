#include "config/founding.h"

#include "base/scope.h"
#include "config/bundle.h"
#include "config/changes.h"
#include "config/config.h"
#include "config/lines.h"
#include "config/path.h"
#include "config/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define YAML_HEAD_BYTES_MAX 4096
#define YAML_HOST_BYTES_MAX 512

/* The door's port, the bus's, and 1,024 for links; as in the schema. */
#define PORT_DEFAULT 7600
#define PORT_COUNT 1026
#define PEERS_DEFAULT 256
#define SHARED_PORT_COUNT 100 /* for each of several nodes on one host */

static const char *const transports[] = {
    [SETTINGS_TCP] = "tcp",
    [SETTINGS_IPC] = "ipc",
    [SETTINGS_WS] = "ws",
};

#define TRANSPORT_COUNT (sizeof transports / sizeof transports[0])

bool founding_parse_transport(enum settings_transport *out, const char *text)
{
    for (size_t i = 0; i < TRANSPORT_COUNT; i++) {
        if (strcmp(transports[i], text) == 0) {
            *out = (enum settings_transport)i;
            return true;
        }
    }
    return false;
}

static void text_close(char **text)
{
    free(*text);
    *text = NULL;
}

/* Copy `length` characters, if they fit with a zero behind. */
static bool copy(char *to, size_t capacity, const char *from, size_t length)
{
    if (length == 0 || length >= capacity) {
        return false;
    }
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* HOST, HOST:PORT, V6, [V6], [V6]:PORT; an IPv6 address is kept bare. */
static bool parse_address(struct founding_host *out, const char *text)
{
    const char *colon = strchr(text, ':');
    const char *host = text;
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    const char *rest = text + length;
    if (text[0] == '[') {
        host = text + 1;
        length = strcspn(host, "]");
        if (host[length] == '\0') {
            return false;
        }
        rest = host + length + 1;
    } else if (colon && strchr(colon + 1, ':')) {
        length = strlen(text);
        rest = text + length;
    }
    if (!copy(out->host, sizeof out->host, host, length)) {
        return false;
    }
    if (rest[0] == '\0') {
        return true;
    }
    uint64_t port = 0;
    if (rest[0] != ':' || units_number(&port, rest + 1) || port < 1 ||
        port > UINT16_MAX) {
        return false;
    }
    out->port = (uint16_t)port;
    return true;
}

static bool is_address(const char *host)
{
    return strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';
}

static enum err parse_ipc(struct founding_host *out,
                          const char *text,
                          struct err_detail *why)
{
    if (!certificate_name_is_valid(text)) {
        err_explain(why,
                    "`%s`: with ipc the nodes are on this machine: give a "
                    "name of a-z 0-9 . _ - alone",
                    text);
        return ERR_INVALID;
    }
    (void)copy(out->name, sizeof out->name, text, strlen(text));
    return ERR_NONE;
}

enum err founding_parse_host(struct founding_host *out,
                             const char *text,
                             enum settings_transport transport,
                             struct err_detail *why)
{
    struct founding_host host = {0};
    if (transport == SETTINGS_IPC) {
        enum err err = parse_ipc(&host, text, why);
        if (!err) {
            *out = host;
        }
        return err;
    }
    const char *equals = strchr(text, '=');
    if (!parse_address(&host, equals ? equals + 1 : text)) {
        err_explain(why, "`%s`: NAME=HOST, NAME=HOST:PORT or HOST is expected",
                    text);
        return ERR_INVALID;
    }
    if (!equals && is_address(host.host)) {
        err_explain(why, "`%s`: an address has no name: NAME=%s is expected",
                    text, text);
        return ERR_INVALID;
    }
    size_t length = equals ? (size_t)(equals - text) : strcspn(host.host, ".");
    if (!copy(host.name, sizeof host.name, text, length) ||
        !certificate_name_is_valid(host.name)) {
        err_explain(why,
                    "`%s`: a node's name is 1 to 63 of a-z 0-9 . _ -, the "
                    "first a letter or digit",
                    text);
        return ERR_INVALID;
    }
    *out = host;
    return ERR_NONE;
}

static enum err check_host(const struct founding *founding,
                           uint32_t index,
                           struct err_detail *why)
{
    const struct founding_host *host = &founding->hosts[index];
    if (!authority_may_name(host->name) ||
        strcmp(host->name, FOUNDING_OPERATOR) == 0) {
        err_explain(why,
                    "a node cannot be named `%s`: not digits alone, not "
                    "`authority` or `operator`",
                    host->name);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(founding->hosts[i].name, host->name) == 0) {
            err_explain(why, "two nodes are named `%s`: give NAME=HOST",
                        host->name);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

/* How many of the hosts before `index` (all: host_count) are the same. */
static uint32_t count_same(const struct founding *founding,
                           const struct founding_host *host,
                           uint32_t end)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < end; i++) {
        count += strcmp(founding->hosts[i].host, host->host) == 0;
    }
    return count;
}

/*
 * Nodes which share a host get a block of ports each, the first at the usual
 * place; a node that has its host for itself gets the usual range.
 */
static void write_ports(struct writer *out,
                        const struct founding *founding,
                        uint32_t index)
{
    const struct founding_host *host = &founding->hosts[index];
    bool is_shared = count_same(founding, host, founding->host_count) > 1;
    uint32_t first = founding->port ? founding->port : PORT_DEFAULT;
    uint32_t count = is_shared ? SHARED_PORT_COUNT : PORT_COUNT;
    if (host->port) {
        first = host->port;
    } else if (is_shared) {
        first += count_same(founding, host, index) *
                 (founding->transport == SETTINGS_WS ? 1 : count);
    }
    lines_write(out, "      port: %" PRIu32 "\n", first);
    if (founding->transport == SETTINGS_TCP) {
        lines_write(out, "      bus_port: %" PRIu32 "\n", first + 1);
        lines_write(out, "      link_ports: %" PRIu32 "-%" PRIu32 "\n",
                    first + 2, first + count - 1);
    }
}

static void write_node(struct writer *out,
                       const struct founding *founding,
                       uint32_t index)
{
    const struct founding_host *host = &founding->hosts[index];
    lines_write(out, "    - name: \"%s\"\n", host->name);
    if (founding->transport != SETTINGS_IPC) {
        lines_write(out, "      host: \"%s\"\n", host->host);
        write_ports(out, founding, index);
    }
    if (host->zone[0] != '\0') {
        lines_write(out, "      zone: \"%s\"\n", host->zone);
    }
}

/* All that there may be: nodes are added later. */
static void write_limits(struct writer *out, const struct founding *founding)
{
    if (founding->host_count > PEERS_DEFAULT + 1) {
        lines_write(out,
                    "  limits:\n"
                    "    peers_max: %d\n",
                    SETTINGS_MEMBER_COUNT_MAX);
    }
}

/*
 * The configuration of one host; `self` is NULL for the operator's.
 * `*out` is freed by the caller with free(). ERR_MEMORY
 */
static enum err write_yaml(char **out,
                           const struct founding *founding,
                           const uint8_t cluster_id[static CLUSTER_ID_BYTES],
                           const struct founding_host *self)
{
    size_t size = YAML_HEAD_BYTES_MAX +
                  strlen(founding->data_dir ? founding->data_dir : "") +
                  strlen(founding->ipc_dir ? founding->ipc_dir : "") +
                  (size_t)founding->host_count * YAML_HOST_BYTES_MAX;
    char *text = calloc(1, size);
    if (!text) {
        return ERR_MEMORY;
    }
    char id[2 * CLUSTER_ID_BYTES + 1];
    hex_encode(id, bytes_of(cluster_id, CLUSTER_ID_BYTES));
    struct writer writer = writer_of(text, size - 1);
    lines_write(&writer,
                "# The cluster `%s`. Every setting: `troupe config default`.\n"
                "# `cluster` is the same on every host; `node` is this one's.\n"
                "\n"
                "node:\n",
                founding->cluster_name);
    if (self) {
        lines_write(&writer, "  name: \"%s\"\n", self->name);
    }
    lines_write(&writer,
                "  keys_dir: \".\"  # counts from this file's folder\n");
    if (founding->data_dir) {
        lines_write(&writer, "  data_dir: \"%s\"\n", founding->data_dir);
    }
    if (founding->runs_commands) {
        lines_write(&writer, "  exec: true  # tasks may be commands\n");
    }
    lines_write(&writer,
                "\n"
                "cluster:\n"
                "  name: \"%s\"\n"
                "  id: \"%s\"\n"
                "  transport: %s\n",
                founding->cluster_name, id, transports[founding->transport]);
    if (founding->ipc_dir) {
        lines_write(&writer, "  ipc_dir: \"%s\"\n", founding->ipc_dir);
    }
    write_limits(&writer, founding);
    lines_write(&writer, "  nodes:\n");
    for (uint32_t i = 0; i < founding->host_count; i++) {
        write_node(&writer, founding, i);
    }
    assert(!writer.failed);
    *out = text;
    return ERR_NONE;
}

/* Let the configuration's own check look at what would be written. */
static enum err check_yaml(const char *yaml, struct err_detail *why)
{
    scoped(settings_close) struct settings *settings = NULL;
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return ERR_MEMORY;
    }
    enum err err =
        config_parse(&settings, bytes_of_text(yaml), "cluster.yaml", problems);
    if (err == ERR_INVALID && problems->count > 0) {
        const struct problem *problem = &problems->items[0];
        err_explain(why, "%s: found %s; allowed: %s", problem->key,
                    problem->found, problem->allowed);
    }
    return err;
}

enum err founding_check(const struct founding *founding, struct err_detail *why)
{
    static const uint8_t no_id[CLUSTER_ID_BYTES] = {1};
    if (founding->host_count == 0 ||
        founding->host_count > FOUNDING_HOST_COUNT_MAX) {
        err_explain(why, "1 to %d nodes are allowed", FOUNDING_HOST_COUNT_MAX);
        return ERR_INVALID;
    }
    if (!certificate_name_is_valid(founding->cluster_name)) {
        err_explain(why,
                    "cluster name `%s`: 1 to 63 of a-z 0-9 . _ - are "
                    "allowed, the first a letter or digit",
                    founding->cluster_name);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < founding->host_count; i++) {
        enum err err = check_host(founding, i, why);
        if (err) {
            return err;
        }
    }
    scoped(text_close) char *yaml = NULL;
    enum err err = write_yaml(&yaml, founding, no_id, &founding->hosts[0]);
    return err ? err : check_yaml(yaml, why);
}

/* What founding_make() is at work with. */
struct work {
    const struct founding *founding;
    const struct authority_world *world;
    const char *folder;
    struct authority *authority;
    char *trust_text;
    struct changes *changes;
};

static void work_clear(struct work *work)
{
    changes_close(&work->changes);
    authority_close(&work->authority);
    free(work->trust_text);
}

static enum err write_config(struct work *work,
                             const char *folder,
                             const struct founding_host *self,
                             struct err_detail *why)
{
    struct path path;
    scoped(text_close) char *yaml = NULL;
    enum err err = path_make(&path, "%s/cluster.yaml", folder);
    if (!err) {
        err = write_yaml(&yaml, work->founding,
                         authority_ledger(work->authority)->cluster_id, self);
    }
    return err ? err
               : changes_make_file(work->changes, path.text, FILE_PUBLIC,
                                   bytes_of_text(yaml), why);
}

/* Make the folder of one host; NULL: the operator's. */
static enum err write_bundle(struct work *work,
                             const struct founding_host *host,
                             struct err_detail *why)
{
    struct authority_request request = {
        .name = host ? host->name : FOUNDING_OPERATOR,
        .role = host ? ROLE_NODE : ROLE_OPERATOR,
        .valid_seconds = work->founding->valid_seconds};
    struct path folder;
    scoped(identity_unref) const struct identity *identity = NULL;
    enum err err = path_make(&folder, "%s/%s", work->folder, request.name);
    if (!err) {
        err = authority_issue(work->authority, &request, &identity, why);
    }
    if (!err) {
        err = bundle_make(work->changes, work->world->files, folder.text,
                          identity, work->trust_text, why);
    }
    return err ? err : write_config(work, folder.text, host, why);
}

/* The authority comes last: a folder that has none was not finished. */
static enum err write_authority(struct work *work, struct err_detail *why)
{
    struct path folder;
    enum err err = path_make(&folder, "%s/" FOUNDING_AUTHORITY, work->folder);
    if (!err) {
        err = changes_make_folder(work->changes, folder.text, FILE_SECRET, why);
    }
    return err ? err
               : authority_save(work->authority, folder.text, work->changes,
                                why);
}

static enum err write_all(struct work *work, struct err_detail *why)
{
    const struct founding *founding = work->founding;
    enum err err =
        changes_make_folder(work->changes, work->folder, FILE_SECRET, why);
    if (err == ERR_EXISTS) {
        err_explain(why,
                    "%s exists already, and nothing is ever overwritten: "
                    "choose another folder with --out, or remove it",
                    work->folder);
    }
    for (uint32_t i = 0; !err && i < founding->host_count; i++) {
        err = write_bundle(work, &founding->hosts[i], why);
    }
    if (!err) {
        err = write_bundle(work, NULL, why);
    }
    return err ? err : write_authority(work, why);
}

/* Undo, and say so when not even that could be done. */
static void undo(struct work *work, struct err_detail *why)
{
    struct err_detail left = {0};
    if (changes_undo(work->changes, &left) && why) {
        size_t length = strlen(why->text);
        (void)snprintf(why->text + length, sizeof why->text - length,
                       "; %.200s: remove %.200s by hand", left.text,
                       work->folder);
    }
}

enum err founding_make(const struct founding *founding,
                       const struct authority_world *world,
                       const char *folder,
                       uint8_t cluster_id[static CLUSTER_ID_BYTES],
                       struct err_detail *why)
{
    scoped(work_clear) struct work work = {
        .founding = founding, .world = world, .folder = folder};
    enum err err = founding_check(founding, why);
    if (!err) {
        err =
            authority_make(&work.authority, world, founding->cluster_name, why);
    }
    if (!err) {
        err = authority_encode_trust(&work.trust_text, work.authority);
    }
    if (!err) {
        err = changes_open(&work.changes, world->files);
    }
    if (err) {
        return err;
    }
    err = write_all(&work, why);
    if (err) {
        undo(&work, why);
        return err;
    }
    changes_keep(work.changes);
    memcpy(cluster_id, authority_ledger(work.authority)->cluster_id,
           CLUSTER_ID_BYTES);
    return ERR_NONE;
}
