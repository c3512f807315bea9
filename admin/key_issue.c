#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"
#include "config/bundle.h"
#include "config/identity.h"

#include <inttypes.h>
#include <string.h>

/* Take the request from the command line. False: it is wrong, and was said. */
static bool parse(struct authority_request *out, const struct command *command)
{
    const char *role = command_value(command, "role");
    struct authority_request request = {.name = command_operand(command, 0),
                                        .pools =
                                            command_value(command, "pools")};
    if (!role || !role_from_text(&request.role, role)) {
        (void)command_misused(command,
                              "--role is node, client, operator or observer");
        return false;
    }
    if (!authority_may_name(request.name)) {
        (void)command_misused(command,
                              "`%s`: a name is 1 to 63 of a-z 0-9 . _ -, the "
                              "first a letter or digit; not digits alone, and "
                              "not `authority`",
                              request.name);
        return false;
    }
    if (request.pools && request.role != ROLE_CLIENT) {
        (void)command_misused(command, "--pools is for --role client only");
        return false;
    }
    if (request.pools && !certificate_pools_are_valid(request.pools)) {
        (void)command_misused(command,
                              "--pools: `%s`: names with commas between, each "
                              "may end with *",
                              request.pools);
        return false;
    }
    if (!key_session_duration(&request.valid_seconds, command, "valid")) {
        return false;
    }
    *out = request;
    return true;
}

static void print_plan(const struct key_session *session,
                       const struct identity *identity,
                       const char *folder)
{
    const struct certificate *certificate = &identity->certificate;
    char to[KEY_SESSION_TIME_BYTES];
    key_session_time_text(to, certificate->not_after);
    (void)fprintf(session->command->world->out,
                  "%s %s, serial %" PRIu64 ", valid until %s\n"
                  "  %s/%s.key   secret\n"
                  "  %s/%s.cert\n"
                  "  %s/trust\n",
                  role_text(certificate->role), certificate->name,
                  certificate->serial, to, folder, certificate->name, folder,
                  certificate->name, folder);
    if (certificate->role == ROLE_CLIENT && certificate->pools[0] == '\0') {
        (void)fprintf(session->command->world->talk,
                      "It may use no task pool: --pools gives it some.\n");
    }
}

static void print_next(const struct key_session *session,
                       const struct identity *identity,
                       const char *folder)
{
    FILE *talk = session->command->world->talk;
    const char *name = identity->certificate.name;
    (void)fflush(session->command->world->out);
    if (identity->certificate.role == ROLE_NODE) {
        (void)fprintf(talk,
                      "Next: name `%s` under cluster.nodes in every "
                      "cluster.yaml, put one into %s,\n"
                      "and copy the folder to its host: scp -r %s HOST:\n",
                      name, folder, folder);
    } else {
        (void)fprintf(talk,
                      "Next: copy the folder to where `%s` works: "
                      "scp -r %s HOST:\n",
                      name, folder);
    }
}

enum exit_code key_issue_run(const struct command *command)
{
    struct authority_request request = {0};
    if (!parse(&request, command)) {
        return EXIT_CODE_USAGE;
    }
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_WRITE);
    if (code) {
        return code;
    }
    struct path folder;
    scoped(identity_unref) const struct identity *identity = NULL;
    enum err err =
        authority_issue(session.authority, &request, &identity, &session.why);
    if (!err) {
        err = key_session_folder(&folder, &session, request.name);
    }
    if (err) {
        return key_session_failed(&session, err);
    }
    if (command_has(command, "dry-run")) {
        (void)fprintf(command->world->talk, "Would make, and did not:\n");
        print_plan(&session, identity, folder.text);
        return EXIT_CODE_OK;
    }
    /* The ledger first: a serial that was written is never used again. */
    err = key_session_save(&session);
    if (!err) {
        err = bundle_make(session.changes, command->world->files, folder.text,
                          identity, authority_trust_text(session.authority),
                          &session.why);
    }
    if (err) {
        return key_session_failed(&session, err);
    }
    changes_keep(session.changes);
    print_plan(&session, identity, folder.text);
    print_next(&session, identity, folder.text);
    return EXIT_CODE_OK;
}
