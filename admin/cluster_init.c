#include "admin/cluster_verbs.h"

#include "base/scope.h"
#include "base/time_units.h"
#include "config/founding.h"
#include "config/identity.h"
#include "config/path.h"
#include "config/units.h"

#include <stdlib.h>
#include <string.h>

/* What `cluster init` was asked for. */
struct request {
    struct founding founding;
    struct founding_host *hosts;
    struct path folder;
};

static void request_clear(struct request *request)
{
    free(request->hosts);
    request->hosts = NULL;
}

static struct founding_host *find_host(struct request *request,
                                       const char *name,
                                       size_t length)
{
    for (uint32_t i = 0; i < request->founding.host_count; i++) {
        struct founding_host *host = &request->hosts[i];
        if (strlen(host->name) == length &&
            memcmp(host->name, name, length) == 0) {
            return host;
        }
    }
    return NULL;
}

/* --zone NAME=ZONE */
static enum exit_code parse_zones(struct request *request,
                                  const struct command *command)
{
    const char *text;
    for (uint32_t i = 0; (text = command_value_at(command, "zone", i)); i++) {
        const char *equals = strchr(text, '=');
        struct founding_host *host =
            equals ? find_host(request, text, (size_t)(equals - text)) : NULL;
        if (!host || !certificate_name_is_valid(equals + 1)) {
            return command_misused(
                command,
                "--zone: `%s`: NODE=ZONE is expected, of a node that "
                "is named here and a zone of a-z 0-9 . _ -",
                text);
        }
        (void)snprintf(host->zone, sizeof host->zone, "%s", equals + 1);
    }
    return EXIT_CODE_OK;
}

static enum exit_code parse_hosts(struct request *request,
                                  const struct command *command)
{
    uint32_t count = command->operand_count - 1;
    struct err_detail why = {0};
    request->hosts = calloc(count, sizeof *request->hosts);
    if (!request->hosts) {
        return command_failed(command, ERR_MEMORY, "the list of hosts");
    }
    request->founding.hosts = request->hosts;
    for (uint32_t i = 0; i < count; i++) {
        if (founding_parse_host(&request->hosts[i],
                                command_operand(command, i + 1),
                                request->founding.transport, &why)) {
            return command_misused(command, "%s", why.text);
        }
        request->founding.host_count++;
    }
    return parse_zones(request, command);
}

static enum exit_code parse_flags(struct request *request,
                                  const struct command *command)
{
    struct founding *founding = &request->founding;
    const char *transport = command_value(command, "transport");
    if (transport &&
        !founding_parse_transport(&founding->transport, transport)) {
        return command_misused(command, "--transport is tcp, ws or ipc");
    }
    uint64_t port = 0;
    const char *text = command_value(command, "port");
    if (text && (units_number(&port, text) || port < 1 || port > UINT16_MAX)) {
        return command_misused(command, "--port: `%s`: 1 to 65535", text);
    }
    founding->port = (uint16_t)port;
    uint64_t valid_ms = 0;
    text = command_value(command, "valid");
    if (text && (units_duration(&valid_ms, text, UNITS_MS) ||
                 valid_ms / MS_PER_S < AUTHORITY_VALID_SECONDS_MIN ||
                 valid_ms / MS_PER_S > (uint64_t)AUTHORITY_VALID_SECONDS_MAX)) {
        return command_misused(command,
                               "--valid: `%s`: a duration such as 365d is "
                               "expected, 1 minute to 100 years",
                               text);
    }
    founding->valid_seconds = (int64_t)(valid_ms / MS_PER_S);
    return EXIT_CODE_OK;
}

static enum exit_code parse(struct request *request,
                            const struct command *command)
{
    const char *out = command_value(command, "out");
    request->founding.cluster_name = command_operand(command, 0);
    out = out ? out : request->founding.cluster_name;
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/') {
        length--;
    }
    if (path_make(&request->folder, "%.*s", (int)length, out)) {
        return command_misused(command, "--out: too long");
    }
    enum exit_code code = parse_flags(request, command);
    return code ? code : parse_hosts(request, command);
}

static void print_made(const struct request *request,
                       const struct command *command)
{
    FILE *out = command->world->out;
    const char *folder = request->folder.text;
    (void)fprintf(out,
                  "%s/authority/  the authority's key, ledger and trust: keep "
                  "offline\n",
                  folder);
    for (uint32_t i = 0; i < request->founding.host_count; i++) {
        const char *name = request->hosts[i].name;
        (void)fprintf(out, "%s/%s/  cluster.yaml, trust, %s.cert, %s.key\n",
                      folder, name, name, name);
    }
    (void)fprintf(
        out, "%s/operator/  the same for whoever steers the cluster\n", folder);
}

static void print_next(const struct request *request,
                       const struct command *command)
{
    FILE *talk = command->world->talk;
    const char *folder = request->folder.text;
    const struct founding *founding = &request->founding;
    (void)fflush(command->world->out);
    (void)fprintf(talk, "\nNext:\n");
    if (founding->transport == SETTINGS_IPC) {
        (void)fprintf(talk, "  all of it stays on this machine\n");
    } else {
        (void)fprintf(talk, "  copy each folder to its host:\n");
        for (uint32_t i = 0; i < founding->host_count; i++) {
            const struct founding_host *host = &request->hosts[i];
            bool is_v6 = strchr(host->host, ':');
            (void)fprintf(talk, "    scp -rp %s/%s %s%s%s:troupe\n", folder,
                          host->name, is_v6 ? "[" : "", host->host,
                          is_v6 ? "]" : "");
        }
    }
    (void)fprintf(talk,
                  "  check one:\n"
                  "    troupe config check %s/%s/cluster.yaml\n"
                  "  start each node, in its folder:\n"
                  "    trouped --config cluster.yaml\n"
                  "  and look at them from here:\n"
                  "    troupe context add %s --config "
                  "%s/operator/cluster.yaml\n"
                  "    troupe --context %s cluster status\n"
                  "  put %s/authority on a medium that is kept offline, with "
                  "a copy:\n"
                  "  who has it can make certificates for this cluster, and "
                  "without it nobody can renew one.\n",
                  folder, request->hosts[0].name,
                  request->founding.cluster_name, folder,
                  request->founding.cluster_name, folder);
}

static enum exit_code failed(const struct command *command,
                             enum err err,
                             const struct err_detail *why)
{
    (void)fprintf(command->world->talk, "troupe cluster init: %s\n",
                  why->text[0] ? why->text : err_text(err));
    return exit_code_of_change(err);
}

enum exit_code cluster_init_run(const struct command *command)
{
    const struct command_world *world = command->world;
    scoped(request_clear) struct request request = {0};
    enum exit_code code = parse(&request, command);
    if (code) {
        return code;
    }
    struct err_detail why = {0};
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    enum err err = identity_library_init();
    if (!err) {
        err = founding_check(&request.founding, &why);
        if (err == ERR_INVALID) {
            return command_misused(command, "%s", why.text);
        }
    }
    if (!err && !command_has(command, "dry-run")) {
        struct authority_world outside = {.files = world->files,
                                          .clock = world->clock,
                                          .entropy = world->entropy};
        err = founding_make(&request.founding, &outside, request.folder.text,
                            cluster_id, &why);
    }
    if (err) {
        return failed(command, err, &why);
    }
    if (command_has(command, "dry-run")) {
        (void)fprintf(world->talk, "Would make, and did not:\n");
        print_made(&request, command);
        return EXIT_CODE_OK;
    }
    char hex[2 * CLUSTER_ID_BYTES + 1];
    hex_encode(hex, bytes_of(cluster_id, sizeof cluster_id));
    (void)fprintf(world->talk, "Cluster `%s`, id %s:\n",
                  request.founding.cluster_name, hex);
    print_made(&request, command);
    print_next(&request, command);
    return EXIT_CODE_OK;
}
