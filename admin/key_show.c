#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/trust.h"

#include <inttypes.h>
#include <string.h>

#define HEX_BYTES 65

/* What is known of one certificate file. */
struct view {
    const struct command *command;
    const char *path;
    struct certificate certificate;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length;
    int64_t now; /* Unix seconds */

    bool is_checked; /* against the trust beside it */
    enum err standing;
};

/* The trust in the same folder. NULL: there is none that can be read. */
static struct trust *find_trust(const struct view *view)
{
    struct path path;
    struct trust *trust = NULL;
    const char *slash = strrchr(view->path, '/');
    int length = slash ? (int)(slash + 1 - view->path) : 0;
    if (path_make(&path, "%.*strust", length, view->path) ||
        trust_open(&trust, view->command->world->files, path.text, NULL)) {
        return NULL;
    }
    return trust;
}

static void check(struct view *view)
{
    struct certificate unused;
    scoped(trust_unref) struct trust *trust = find_trust(view);
    if (trust) {
        view->is_checked = true;
        view->standing =
            trust_check(trust, bytes_of(view->encoded, view->length),
                        view->now * MS_PER_S, 0, &unused, NULL);
    } else if (view->certificate.not_after <= view->now) {
        view->standing = ERR_EXPIRED;
    } else if (view->certificate.not_before > view->now) {
        view->standing = ERR_NOT_YET_VALID;
    }
}

static const char *standing_text(const struct view *view)
{
    if (view->standing) {
        return err_text(view->standing);
    }
    return view->is_checked ? "valid: the trust beside it accepts it"
                            : "not checked: there is no trust beside it";
}

static void print_certificate(const struct view *view)
{
    FILE *out = view->command->world->out;
    const struct certificate *certificate = &view->certificate;
    char from[KEY_SESSION_TIME_BYTES];
    char to[KEY_SESSION_TIME_BYTES];
    char span[KEY_SESSION_SPAN_BYTES];
    char hex[HEX_BYTES];
    key_session_time_text(from, certificate->not_before);
    key_session_time_text(to, certificate->not_after);
    key_session_span_text(span, certificate->not_after - view->now);
    (void)fprintf(out, "name        %s\nrole        %s\n", certificate->name,
                  role_text(certificate->role));
    if (certificate->role == ROLE_CLIENT) {
        (void)fprintf(out, "pools       %s\n",
                      certificate->pools[0] ? certificate->pools : "none");
    }
    (void)fprintf(out, "serial      %" PRIu64 "\n", certificate->serial);
    hex_encode(hex, bytes_of(certificate->cluster_id, CLUSTER_ID_BYTES));
    (void)fprintf(out, "cluster     %s\n", hex);
    hex_encode(hex, bytes_of(certificate->key, CERTIFICATE_KEY_BYTES));
    (void)fprintf(out, "key         %s\n", hex);
    (void)fprintf(out, "valid       from %s to %s (%s)\n", from, to, span);
    (void)fprintf(out, "standing    %s\n", standing_text(view));
}

static enum exit_code print_certificate_json(const struct view *view)
{
    const struct certificate *certificate = &view->certificate;
    char from[KEY_SESSION_TIME_BYTES];
    char to[KEY_SESSION_TIME_BYTES];
    char cluster[HEX_BYTES];
    char key[HEX_BYTES];
    key_session_time_text(from, certificate->not_before);
    key_session_time_text(to, certificate->not_after);
    hex_encode(cluster, bytes_of(certificate->cluster_id, CLUSTER_ID_BYTES));
    hex_encode(key, bytes_of(certificate->key, CERTIFICATE_KEY_BYTES));
    return key_session_print_json(
        view->command,
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:I, "
                  "s:b, s:s}",
                  "schema", "troupe.key.show.certificate", "version", 1, "name",
                  certificate->name, "role", role_text(certificate->role),
                  "pools", certificate->pools, "serial",
                  (json_int_t)certificate->serial, "cluster_id", cluster, "key",
                  key, "not_before", from, "not_after", to, "expires_in_s",
                  (json_int_t)(certificate->not_after - view->now), "checked",
                  view->is_checked, "standing", err_name(view->standing)));
}

static enum exit_code show_certificate(struct view *view)
{
    if (certificate_decode(&view->certificate,
                           bytes_of(view->encoded, view->length))) {
        (void)fprintf(view->command->world->talk,
                      "troupe key show: %s: damaged, or of a newer version\n",
                      view->path);
        return exit_code_of(ERR_MALFORMED);
    }
    check(view);
    if (command_has(view->command, "json")) {
        enum exit_code code = print_certificate_json(view);
        if (code) {
            return code;
        }
    } else {
        print_certificate(view);
    }
    return view->standing ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

static void print_trust(const struct command *command,
                        const struct trust_facts *facts)
{
    FILE *out = command->world->out;
    char hex[HEX_BYTES];
    hex_encode(hex, bytes_of(facts->cluster_id, CLUSTER_ID_BYTES));
    (void)fprintf(out, "trust       version %" PRIu64 "\ncluster     %s\n",
                  facts->version, hex);
    for (uint32_t i = 0; i < facts->authority_count; i++) {
        hex_encode(hex, bytes_of(facts->authorities[i], 32));
        (void)fprintf(out, "authority   %s\n", hex);
    }
    for (uint32_t i = 0; i < facts->revoked_count; i++) {
        (void)fprintf(out, "revoked     %" PRIu64 "\n", facts->revoked[i]);
    }
}

static enum exit_code print_trust_json(const struct command *command,
                                       const struct trust_facts *facts)
{
    char hex[HEX_BYTES];
    json_t *authorities = json_array();
    json_t *revoked = json_array();
    for (uint32_t i = 0; i < facts->authority_count; i++) {
        hex_encode(hex, bytes_of(facts->authorities[i], 32));
        (void)json_array_append_new(authorities, json_string(hex));
    }
    for (uint32_t i = 0; i < facts->revoked_count; i++) {
        (void)json_array_append_new(
            revoked, json_integer((json_int_t)facts->revoked[i]));
    }
    hex_encode(hex, bytes_of(facts->cluster_id, CLUSTER_ID_BYTES));
    return key_session_print_json(
        command, json_pack("{s:s, s:i, s:s, s:I, s:o, s:o}", "schema",
                           "troupe.key.show.trust", "version", 1, "cluster_id",
                           hex, "trust_version", (json_int_t)facts->version,
                           "authorities", authorities, "revoked", revoked));
}

/* `refusal` is why the file is no certificate. */
static enum exit_code show_trust(const struct command *command,
                                 const char *path,
                                 const struct err_detail *refusal)
{
    struct err_detail why = {0};
    scoped(trust_unref) struct trust *trust = NULL;
    enum err err = trust_open(&trust, command->world->files, path, &why);
    if (err) {
        (void)fprintf(command->world->talk, "troupe key show: %s\n",
                      err == ERR_FORGED ? why.text : refusal->text);
        return exit_code_of(err);
    }
    struct trust_facts facts = trust_facts(trust);
    if (command_has(command, "json")) {
        return print_trust_json(command, &facts);
    }
    print_trust(command, &facts);
    return EXIT_CODE_OK;
}

enum exit_code key_show_run(const struct command *command)
{
    const struct command_world *world = command->world;
    struct err_detail why = {0};
    struct view view = {.command = command,
                        .path = command_operand(command, 0),
                        .now = clock_wall_ms(world->clock) / MS_PER_S};
    enum err err = identity_library_init();
    if (err) {
        return command_failed(command, err, "libsodium");
    }
    err = identity_read_certificate(view.encoded, &view.length, world->files,
                                    view.path, &why);
    if (!err) {
        return show_certificate(&view);
    }
    size_t length = strlen(view.path);
    if (err == ERR_MALFORMED && length > 4 &&
        strcmp(view.path + length - 4, ".key") == 0) {
        (void)fprintf(world->talk,
                      "troupe key show: %s is a secret key: show the .cert "
                      "beside it\n",
                      view.path);
        return EXIT_CODE_REFUSED;
    }
    if (err == ERR_MALFORMED) {
        return show_trust(command, view.path, &why);
    }
    (void)fprintf(world->talk, "troupe key show: %s\n", why.text);
    return exit_code_of(err);
}
