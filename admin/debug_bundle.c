#include "admin/debug_bundle.h"

#include "admin/answer.h"
#include "admin/store_print.h"
#include "base/scope.h"
#include "config/certificate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "troupe.bundle"
#define MANIFEST "manifest.json"
#define LINES_MAX 1024 /* that a node keeps of each kind */

/* clang-format off */
const struct debug_bundle_verb debug_bundle_verbs[] = {
    {.name = "cluster.status", .of_cluster = true},
    {.name = "node.ls", .of_cluster = true},
    {.name = "shard.map", .of_cluster = true},
    {.name = "shard.history", .of_cluster = true, .limit = LINES_MAX},
    {.name = "coord.ls", .of_cluster = true},
    {.name = "op.ls", .of_cluster = true},
    {.name = "config.show", .of_cluster = true},
    {.name = "events", .of_cluster = true, .limit = LINES_MAX},
    {.name = "node.info"},
    {.name = "node.config"},
    {.name = "node.machine"},
    {.name = "cluster.links"},
    {.name = "coord.replicas"},
    {.name = "node.metrics", .text_file = "metrics.txt"},
    {.name = "node.log", .text_file = "log.txt"},
    {0},
};
/* clang-format on */

struct debug_bundle {
    struct parcel *parcel;
    json_t *manifest;
    const char *path; /* borrowed; for people */
    char node[CERTIFICATE_NAME_BYTES];
};

/* ---- making ---- */

/* Takes `json`. */
static enum err put_json(struct parcel *parcel, const char *name, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text) {
        return ERR_MEMORY;
    }
    enum err err = parcel_add(parcel, name, bytes_of_text(text));
    free(text);
    return err;
}

/* A list of lines as a file. */
static enum err put_text(struct parcel *parcel,
                         const char *name,
                         const json_t *lines)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        fprintf(out, "%s\n", line ? line : "?");
    }
    enum err err = fclose(out)
                       ? ERR_MEMORY
                       : parcel_add(parcel, name, bytes_of(text, length));
    free(text);
    return err;
}

/* The name of a file is short as those of nodes are. */
static enum err make_name(char out[static PARCEL_NAME_BYTES],
                          const char *folder,
                          const char *file,
                          const char *end)
{
    int length = snprintf(out, PARCEL_NAME_BYTES, "%s/%s%s", folder, file, end);
    return length < 0 || length >= PARCEL_NAME_BYTES ? ERR_INVALID : ERR_NONE;
}

enum err debug_bundle_put(struct parcel *parcel,
                          const char *folder,
                          const struct debug_bundle_answer *answer)
{
    char name[PARCEL_NAME_BYTES];
    const struct debug_bundle_verb *verb = answer->verb;
    bool is_text = verb->text_file && answer->answer;
    enum err err =
        make_name(name, folder, is_text ? verb->text_file : verb->name,
                  is_text ? "" : ".json");
    if (err) {
        return err;
    }
    if (is_text) {
        return put_text(parcel, name, json_object_get(answer->answer, "lines"));
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:i}", "verb", verb->name, "asked", answer->asked,
        "at_ms", (json_int_t)answer->at_ms, "exit", (int)answer->code);
    if (answer->answer) {
        /* Counted, not changed. */
        (void)json_object_set(json, "answer",
                              (json_t *)(uintptr_t)answer->answer);
    } else {
        (void)json_object_set_new(json, "why", json_string(answer->why));
    }
    return put_json(parcel, name, json);
}

enum err debug_bundle_put_manifest(struct parcel *parcel, json_t *manifest)
{
    json_t *whole = json_pack("{s:s, s:i, s:s}", "schema", SCHEMA, "version",
                              DEBUG_BUNDLE_VERSION, "release", TROUPE_VERSION);
    if (whole && json_object_update_missing(whole, manifest)) {
        json_decref(whole);
        whole = NULL;
    }
    json_decref(manifest);
    return put_json(parcel, MANIFEST, whole);
}

/* ---- opening ---- */

/* A file of the bundle; NULL: there is none, or it is no JSON. */
static json_t *load_json(const struct debug_bundle *bundle,
                         const char *name,
                         struct err_detail *why)
{
    json_error_t error;
    size_t length = 0;
    const char *text = parcel_find(bundle->parcel, name, &length);
    json_t *json = text ? json_loadb(text, length, 0, &error) : NULL;
    if (!json) {
        err_explain(why, "%s: %s: %s", bundle->path, name,
                    text ? "is no JSON" : "is not in this bundle");
        return NULL;
    }
    answer_clean(json);
    return json;
}

static enum exit_code check_manifest(const struct debug_bundle *bundle,
                                     struct err_detail *why)
{
    const json_t *manifest = bundle->manifest;
    if (strcmp(answer_name(manifest, "schema"), SCHEMA) != 0) {
        err_explain(why, "%s: " MANIFEST ": is no bundle's", bundle->path);
        return EXIT_CODE_REFUSED;
    }
    if (answer_number(manifest, "version") != DEBUG_BUNDLE_VERSION) {
        err_explain(why,
                    "%s: version %" PRId64
                    " of bundles; this release reads version %d",
                    bundle->path, answer_number(manifest, "version"),
                    DEBUG_BUNDLE_VERSION);
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

enum exit_code debug_bundle_open(struct debug_bundle **out,
                                 const struct files *files,
                                 const char *path,
                                 struct err_detail *why)
{
    scoped(debug_bundle_close) struct debug_bundle *bundle =
        calloc(1, sizeof *bundle);
    if (!bundle) {
        return EXIT_CODE_FAILED;
    }
    bundle->path = path;
    enum err err = parcel_load(&bundle->parcel, files, path, why);
    if (err) {
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE
                                    : exit_code_of_change(err);
    }
    bundle->manifest = load_json(bundle, MANIFEST, why);
    enum exit_code code =
        bundle->manifest ? check_manifest(bundle, why) : EXIT_CODE_REFUSED;
    if (code) {
        return code;
    }
    *out = bundle;
    bundle = NULL; /* the caller owns it now */
    return EXIT_CODE_OK;
}

void debug_bundle_close(struct debug_bundle **bundle)
{
    if (*bundle) {
        parcel_close(&(*bundle)->parcel);
        json_decref((*bundle)->manifest);
        free(*bundle);
        *bundle = NULL;
    }
}

int64_t debug_bundle_at_ms(const struct debug_bundle *bundle)
{
    return answer_number(bundle->manifest, "at_ms");
}

void debug_bundle_tell(const struct debug_bundle *bundle, FILE *out)
{
    char time[STORE_PRINT_TIME_BYTES];
    char asked[512];
    const json_t *manifest = bundle->manifest;
    store_print_time(time, debug_bundle_at_ms(bundle));
    answer_join(asked, sizeof asked, manifest, "asked");
    fprintf(out, "Bundle of %s, cluster %s, from %s", time,
            answer_name(manifest, "cluster"), asked);
    for (size_t i = 0; i < answer_count(manifest, "missing"); i++) {
        fprintf(out, "%s%s", i == 0 ? "; away then: " : ", ",
                answer_name(answer_item(manifest, "missing", i), "node"));
    }
    fprintf(out, ". Nothing here is newer.\n");
}

/* ---- whose answers ---- */

static bool was_asked(const struct debug_bundle *bundle, const char *name)
{
    for (size_t i = 0; i < answer_count(bundle->manifest, "asked"); i++) {
        const char *asked =
            json_string_value(answer_item(bundle->manifest, "asked", i));
        if (asked && strcmp(asked, name) == 0) {
            return true;
        }
    }
    return false;
}

enum exit_code debug_bundle_choose(struct debug_bundle *bundle,
                                   const char *name,
                                   struct err_detail *why)
{
    const json_t *manifest = bundle->manifest;
    if (!name) {
        name = json_string_value(answer_item(manifest, "asked", 0));
    }
    if (name && was_asked(bundle, name)) {
        (void)snprintf(bundle->node, sizeof bundle->node, "%s", name);
        return EXIT_CODE_OK;
    }
    for (size_t i = 0; name && i < answer_count(manifest, "missing"); i++) {
        const json_t *missing = answer_item(manifest, "missing", i);
        if (strcmp(answer_name(missing, "node"), name) == 0) {
            err_explain(why, "%s was away when this bundle was made: %.300s",
                        name, answer_name(missing, "why"));
            return EXIT_CODE_UNREACHABLE;
        }
    }
    err_explain(why, "--node: there is no node `%.64s` in this bundle",
                name ? name : "");
    return EXIT_CODE_USAGE;
}

const char *debug_bundle_node(const struct debug_bundle *bundle)
{
    return bundle->node;
}

/* ---- stored answers ---- */

/* A failure then is one now. */
static enum exit_code replay_failure(const json_t *kept, struct err_detail *why)
{
    int64_t code = answer_number(kept, "exit");
    err_explain(why, "when this bundle was made: %.400s",
                answer_name(kept, "why"));
    return code > 0 && code < EXIT_CODE_COUNT ? (enum exit_code)code
                                              : EXIT_CODE_REFUSED;
}

enum exit_code debug_bundle_stored(const struct debug_bundle *bundle,
                                   const char *verb,
                                   bool stale,
                                   json_t **answer,
                                   struct err_detail *why)
{
    char folder[PARCEL_NAME_BYTES];
    char name[PARCEL_NAME_BYTES];
    (void)snprintf(folder, sizeof folder, stale ? "nodes/%s" : "%s",
                   stale ? bundle->node : DEBUG_BUNDLE_CLUSTER);
    if (make_name(name, folder, verb, ".json")) {
        err_explain(why, "%s: no name in a bundle", verb);
        return EXIT_CODE_USAGE;
    }
    scoped(answer_clear) json_t *kept = load_json(bundle, name, why);
    if (!kept) {
        return EXIT_CODE_REFUSED;
    }
    json_t *found = json_object_get(kept, "answer");
    if (!json_is_object(found)) {
        return replay_failure(kept, why);
    }
    *answer = json_incref(found);
    return EXIT_CODE_OK;
}
