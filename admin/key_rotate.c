#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

enum step { STEP_NONE, STEP_STAGE, STEP_ACTIVATE, STEP_RETIRE };

/* STEP_NONE: none was given. False: more than one, and that was said. */
static bool parse(enum step *out, const struct command *command)
{
    static const char *const flags[] = {[STEP_STAGE] = "stage",
                                        [STEP_ACTIVATE] = "activate",
                                        [STEP_RETIRE] = "retire"};
    *out = STEP_NONE;
    for (int step = STEP_STAGE; step <= STEP_RETIRE; step++) {
        if (command_has(command, flags[step])) {
            if (*out) {
                (void)command_misused(command, "one of --stage, --activate and "
                                               "--retire at a time");
                return false;
            }
            *out = (enum step)step;
        }
    }
    if (command_has(command, "force") && *out != STEP_RETIRE) {
        (void)command_misused(command, "--force goes with --retire");
        return false;
    }
    return true;
}

static const struct ledger_authority *find(const struct key_session *session,
                                           enum ledger_authority_state state)
{
    return ledger_find_authority(authority_ledger(session->authority), state);
}

/* How many in use, and superseded ones, were signed by the old key. */
static void count_old(const struct key_session *session,
                      uint32_t *issued,
                      uint32_t *superseded)
{
    const struct ledger *ledger = authority_ledger(session->authority);
    const struct ledger_authority *old =
        find(session, LEDGER_AUTHORITY_RETIRING);
    *issued = 0;
    *superseded = 0;
    if (old) {
        *issued = authority_count_signed(ledger, old->key, LEDGER_ISSUED,
                                         session->now);
        *superseded = authority_count_signed(ledger, old->key,
                                             LEDGER_SUPERSEDED, session->now);
    }
}

static void print_next(const struct key_session *session)
{
    FILE *talk = session->command->world->talk;
    uint32_t issued = 0;
    uint32_t superseded = 0;
    uint64_t version = authority_ledger(session->authority)->trust_version;
    count_old(session, &issued, &superseded);
    (void)fflush(session->command->world->out);
    if (find(session, LEDGER_AUTHORITY_STAGED)) {
        (void)fprintf(talk,
                      "Next: when every host has trust of version %" PRIu64
                      ", `troupe key rotate --activate`.\n",
                      version);
    } else if (issued > 0) {
        (void)fprintf(talk,
                      "Next: %u certificates in use are signed by the old "
                      "key: `troupe key renew --all`,\ncopy them to their "
                      "hosts, then `troupe key rotate --retire`.\n",
                      issued);
    } else if (find(session, LEDGER_AUTHORITY_RETIRING)) {
        (void)fprintf(talk, "Next: when every host has its new certificate, "
                            "`troupe key rotate --retire`.\n");
    } else {
        (void)fprintf(talk, "No rotation is under way; `troupe key rotate "
                            "--stage` begins one.\n");
    }
}

static void print_standing(const struct key_session *session)
{
    FILE *out = session->command->world->out;
    const struct ledger *ledger = authority_ledger(session->authority);
    (void)fprintf(out, "%-9s  %-20s  %-6s  %s\n", "STATE", "SINCE", "IN USE",
                  "KEY");
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        const struct ledger_authority *each = &ledger->authorities[i];
        char since[KEY_SESSION_TIME_BYTES];
        char hex[65];
        key_session_time_text(since, each->since);
        hex_encode(hex, bytes_of(each->key, sizeof each->key));
        (void)fprintf(out, "%-9s  %-20s  %6u  %s\n",
                      ledger_authority_state_text(each->state), since,
                      authority_count_signed(ledger, each->key, LEDGER_ISSUED,
                                             session->now),
                      hex);
    }
}

static enum exit_code print_json(const struct key_session *session)
{
    json_t *rows = json_array();
    const struct ledger *ledger = authority_ledger(session->authority);
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        const struct ledger_authority *each = &ledger->authorities[i];
        char since[KEY_SESSION_TIME_BYTES];
        char hex[65];
        uint32_t count = authority_count_signed(ledger, each->key,
                                                LEDGER_ISSUED, session->now);
        key_session_time_text(since, each->since);
        hex_encode(hex, bytes_of(each->key, sizeof each->key));
        (void)json_array_append_new(
            rows,
            json_pack("{s:s, s:s, s:s, s:I}", "state",
                      ledger_authority_state_text(each->state), "since", since,
                      "key", hex, "certificates_in_use", (json_int_t)count));
    }
    return key_session_print_json(
        session->command,
        json_pack("{s:s, s:i, s:I, s:o}", "schema", "troupe.key.rotate",
                  "version", 1, "trust_version",
                  (json_int_t)ledger->trust_version, "authorities", rows));
}

/* Where the rotation stands, and what is next. */
static enum exit_code show(const struct command *command)
{
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_READ);
    if (code) {
        return code;
    }
    if (command_has(command, "json")) {
        return print_json(&session);
    }
    print_standing(&session);
    print_next(&session);
    return EXIT_CODE_OK;
}

/* How things stand before a step. */
struct before {
    uint64_t trust_version;
    uint32_t issued_count;     /* in use, signed by the old key */
    uint32_t superseded_count; /* signed by the old key, not expired */
};

static void print_plan(FILE *talk, enum step step, const struct before *before)
{
    switch (step) {
    case STEP_NONE:
        break;
    case STEP_STAGE:
        (void)fprintf(talk, "Stage: a new key of the authority is made and "
                            "named in trust. It signs nothing yet.\n");
        break;
    case STEP_ACTIVATE:
        (void)fprintf(talk,
                      "Activate: from now on the new key signs. A host whose "
                      "trust is older than version %" PRIu64 "\nrefuses what "
                      "it signs: `troupe key show FILE` tells a copy's "
                      "version.\n",
                      before->trust_version);
        break;
    case STEP_RETIRE:
        (void)fprintf(talk,
                      "Retire: the old key is taken out of trust and deleted. "
                      "This cannot be taken back.\n%u certificates in use and "
                      "%u superseded ones that were signed by it are refused "
                      "then.\n",
                      before->issued_count, before->superseded_count);
        break;
    }
}

static enum err take_step(struct key_session *session, enum step step)
{
    bool force = command_has(session->command, "force");
    switch (step) {
    case STEP_STAGE:
        return authority_stage(session->authority, &session->why);
    case STEP_ACTIVATE:
        return authority_activate(session->authority, &session->why);
    case STEP_RETIRE:
        return authority_retire(session->authority, force, &session->why);
    case STEP_NONE:
        break;
    }
    return ERR_NONE;
}

static enum exit_code refused(struct key_session *session, enum err err)
{
    enum exit_code code = key_session_failed(session, err);
    if (err == ERR_IN_USE) {
        (void)fprintf(session->command->world->talk,
                      "With --force they are refused from then on.\n");
    }
    return code;
}

/* Try the step in memory, show the plan, and ask. */
static enum exit_code plan(const struct command *command,
                           enum step step,
                           bool *go_on)
{
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_WRITE);
    if (code) {
        return code;
    }
    struct before before = {
        .trust_version = authority_ledger(session.authority)->trust_version};
    count_old(&session, &before.issued_count, &before.superseded_count);
    enum err err = take_step(&session, step);
    if (err) {
        return refused(&session, err);
    }
    print_plan(command->world->talk, step, &before);
    key_session_close(&session); /* unlock: a person may take long */
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    *go_on =
        step == STEP_STAGE || /* it does no harm */
        command_confirm(command, step == STEP_RETIRE ? "retire" : "activate");
    return *go_on ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
}

enum exit_code key_rotate_run(const struct command *command)
{
    enum step step = STEP_NONE;
    bool go_on = false;
    if (!parse(&step, command)) {
        return EXIT_CODE_USAGE;
    }
    if (step == STEP_NONE) {
        return show(command);
    }
    enum exit_code code = plan(command, step, &go_on);
    if (code || !go_on) {
        return code;
    }
    scoped(key_session_close) struct key_session session = {0};
    code = key_session_open(&session, command, AUTHORITY_WRITE);
    if (code) {
        return code;
    }
    enum err err = take_step(&session, step);
    if (err) {
        return refused(&session, err);
    }
    err = key_session_save(&session);
    if (err) {
        return key_session_failed(&session, err);
    }
    changes_keep(session.changes);
    bool is_done = step == STEP_ACTIVATE || key_session_spread_trust(&session);
    print_standing(&session);
    print_next(&session);
    return is_done ? EXIT_CODE_OK : EXIT_CODE_PARTIAL;
}
