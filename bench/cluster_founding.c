#include "bench/cluster_founding.h"

#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/bundle.h"
#include "config/founding.h"
#include "config/lines.h"
#include "config/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YAML_BYTES_MAX (64u << 10)

static const struct authority_world *world(void)
{
    static struct authority_world real;
    real = (struct authority_world){.files = posix_files(),
                                    .clock = posix_clock(),
                                    .entropy = posix_entropy()};
    return &real;
}

static enum err found(const struct cluster_shared *shared,
                      const char *folder,
                      struct err_detail *why)
{
    struct founding_host hosts[CLUSTER_NODES_MAX] = {{{0}}};
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    for (uint32_t i = 0; i < shared->node_count; i++) {
        (void)snprintf(hosts[i].name, sizeof hosts[i].name, "%s",
                       cluster_nodes_name(i));
        (void)snprintf(hosts[i].host, sizeof hosts[i].host, "127.0.0.1");
    }
    struct founding founding = {.cluster_name = "bench",
                                .transport = SETTINGS_TCP,
                                .port = shared->port_first,
                                .data_dir = "data",
                                .hosts = hosts,
                                .host_count = shared->node_count};
    enum err err = founding_check(&founding, why);
    return err ? err
               : founding_make(&founding, world(), folder, cluster_id, why);
}

static enum err issue_client(const char *folder, struct err_detail *why)
{
    struct path at;
    struct path client;
    scoped(authority_close) struct authority *authority = NULL;
    scoped(changes_close) struct changes *changes = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    struct authority_request request = {.name = CLUSTER_CLIENT,
                                        .role = ROLE_CLIENT};
    enum err err = path_make(&at, "%s/" FOUNDING_AUTHORITY, folder);
    if (!err) {
        err = path_make(&client, "%s/" CLUSTER_CLIENT, folder);
    }
    if (!err) {
        err =
            authority_open(&authority, world(), at.text, AUTHORITY_WRITE, why);
    }
    if (!err) {
        err = changes_open(&changes, posix_files());
    }
    if (!err) {
        err = authority_issue(authority, &request, &identity, why);
    }
    if (!err) {
        err = authority_save(authority, at.text, changes, why);
    }
    if (!err) {
        err = bundle_make(changes, posix_files(), client.text, identity,
                          authority_trust_text(authority), why);
    }
    if (!err) {
        changes_keep(changes);
    }
    return err;
}

static bool begins_with(struct bytes line, const char *text)
{
    return line.length >= strlen(text) &&
           memcmp(line.data, text, strlen(text)) == 0;
}

static void write_node(struct writer *to,
                       const struct cluster_plan *plan,
                       uint32_t number)
{
    lines_write(to, "      http_port: 0\n");
    if (plan->worker_node_count > 0 && number > plan->worker_node_count) {
        lines_write(to, "      roles: [voter, shard, gateway]\n");
    }
}

/*
 * A configuration up to the line of the node `cut_at` (NULL: all of it), and
 * without HTTP: its port follows from the door's, and would lie where the
 * kernel gives out its own.
 */
static void copy_lines(struct writer *to,
                       struct bytes text,
                       const struct cluster_plan *plan,
                       const char *cut_at)
{
    char last[PATH_BYTES];
    uint32_t node_count = 0;
    (void)snprintf(last, sizeof last, "    - name: \"%s\"",
                   cut_at ? cut_at : "");
    while (text.length > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.length);
        size_t length = end ? (size_t)(end - text.data) + 1 : text.length;
        struct bytes line = bytes_of(text.data, length);
        if (begins_with(line, last)) {
            return;
        }
        if (begins_with(line, "      bus_port:")) {
            write_node(to, plan, ++node_count);
        }
        write_bytes(to, line.data, line.length);
        if (plan->allows_commands && begins_with(line, "node:")) {
            lines_write(to, "  exec: true\n");
        }
        text = bytes_of(text.data + length, text.length - length);
    }
}

/* Of one bundle for another, or for itself. */
static enum err copy_config(const struct cluster_plan *plan,
                            const char *folder,
                            const char *from,
                            const char *to,
                            const char *cut_at)
{
    char path[PATH_BYTES];
    uint8_t copy[YAML_BYTES_MAX];
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    (void)snprintf(path, sizeof path, "%s/%s/cluster.yaml", folder, from);
    enum err err = files->read(files->context, path, FILE_PUBLIC,
                               YAML_BYTES_MAX / 2, &text, &length);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(copy, sizeof copy);
    copy_lines(&writer, bytes_of(text, length), plan, cut_at);
    free(text);
    (void)snprintf(path, sizeof path, "%s/%s/cluster.yaml", folder, to);
    return writer.failed ? ERR_TOO_LARGE
                         : files->write(files->context, path, FILE_PUBLIC, true,
                                        writer_bytes(&writer));
}

/* Founders wait for all whom they are told of. */
static enum err write_configs(const struct cluster_shared *shared,
                              const char *folder)
{
    const char *cut_at = shared->plan.founder_count < shared->node_count
                             ? cluster_nodes_name(shared->plan.founder_count)
                             : NULL;
    enum err err = copy_config(&shared->plan, folder, FOUNDING_OPERATOR,
                               CLUSTER_CLIENT, NULL);
    for (uint32_t i = 0; i < shared->node_count && !err; i++) {
        err = copy_config(&shared->plan, folder, cluster_nodes_name(i),
                          cluster_nodes_name(i),
                          i < shared->plan.founder_count ? cut_at : NULL);
    }
    return err;
}

enum err cluster_founding_run(void *start)
{
    const struct cluster_node_start *job = start;
    struct cluster_shared *shared = job->shared;
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/cluster", shared->folder);
    enum err err = identity_library_init();
    if (!err) {
        err = found(shared, folder, &shared->why);
    }
    if (!err) {
        err = issue_client(folder, &shared->why);
    }
    if (!err) {
        err = write_configs(shared, folder);
    }
    if (err && !shared->why.text[0]) {
        err_explain(&shared->why, "%s", err_text(err));
    }
    return err;
}
