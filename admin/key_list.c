#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"
#include "base/time_units.h"

#include <inttypes.h>
#include <string.h>

#define WARNING_SECONDS_DEFAULT (30 * S_PER_DAY)

/* How a certificate stands, from good to bad. */
enum standing {
    STANDING_WELL,
    STANDING_EXPIRING,
    STANDING_EXPIRED, /* or not valid yet, or its authority was retired */
};

static enum standing stand(const struct key_session *session,
                           const struct ledger_entry *entry,
                           int64_t within)
{
    if (entry->state != LEDGER_ISSUED) {
        return STANDING_WELL; /* it is not in use: nothing is to be done */
    }
    int64_t left = entry->certificate.not_after - session->now;
    if (!ledger_names_authority(authority_ledger(session->authority),
                                entry->authority)) {
        return STANDING_EXPIRED;
    }
    if (entry->certificate.not_before > session->now) {
        return STANDING_EXPIRED;
    }
    return left <= 0        ? STANDING_EXPIRED
           : left <= within ? STANDING_EXPIRING
                            : STANDING_WELL;
}

/* What is over and needs nobody is shown with --all only. */
static bool is_shown(const struct ledger_entry *entry,
                     int64_t now,
                     const struct command *command)
{
    return command_has(command, "all") || entry->state == LEDGER_ISSUED ||
           entry->certificate.not_after > now;
}

static const char *standing_text(const struct ledger_entry *entry,
                                 enum standing standing,
                                 int64_t now)
{
    if (entry->state != LEDGER_ISSUED) {
        return ledger_state_text(entry->state);
    }
    if (entry->certificate.not_before > now) {
        return "NOT YET VALID";
    }
    if (standing == STANDING_EXPIRED && entry->certificate.not_after > now) {
        return "KEY RETIRED";
    }
    return standing == STANDING_EXPIRED    ? "EXPIRED"
           : standing == STANDING_EXPIRING ? "expires soon"
                                           : "valid";
}

static void print_row(FILE *out,
                      const struct ledger_entry *entry,
                      enum standing standing,
                      int64_t now)
{
    const struct certificate *certificate = &entry->certificate;
    char span[KEY_SESSION_SPAN_BYTES];
    key_session_span_text(span, certificate->not_after - now);
    (void)fprintf(out, "%-20s  %-8s  %6" PRIu64 "  %-14s  %-12s  %s\n",
                  certificate->name, role_text(certificate->role),
                  certificate->serial, span,
                  standing_text(entry, standing, now),
                  certificate->role != ROLE_CLIENT ? "-"
                  : certificate->pools[0]          ? certificate->pools
                                                   : "none");
}

static json_t *make_row(const struct ledger_entry *entry,
                        enum standing standing,
                        int64_t now)
{
    const struct certificate *certificate = &entry->certificate;
    char from[KEY_SESSION_TIME_BYTES];
    char to[KEY_SESSION_TIME_BYTES];
    char key[2 * CERTIFICATE_KEY_BYTES + 1];
    char authority[65];
    key_session_time_text(from, certificate->not_before);
    key_session_time_text(to, certificate->not_after);
    hex_encode(key, bytes_of(certificate->key, sizeof certificate->key));
    hex_encode(authority, bytes_of(entry->authority, sizeof entry->authority));
    return json_pack(
        "{s:s, s:s, s:I, s:s, s:s, s:s, s:I, s:b, s:b, s:s, s:s, s:s}", "name",
        certificate->name, "role", role_text(certificate->role), "serial",
        (json_int_t)certificate->serial, "pools", certificate->pools,
        "not_before", from, "not_after", to, "expires_in_s",
        (json_int_t)(certificate->not_after - now), "expired",
        certificate->not_after <= now, "warning", standing != STANDING_WELL,
        "key", key, "authority", authority, "state",
        ledger_state_text(entry->state));
}

/* One pass over the ledger; `rows` is NULL for a table. */
static enum standing walk(const struct key_session *session,
                          int64_t within,
                          json_t *rows)
{
    enum standing worst = STANDING_WELL;
    const struct ledger *ledger = authority_ledger(session->authority);
    FILE *out = session->command->world->out;
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        enum standing standing = stand(session, entry, within);
        worst = standing > worst ? standing : worst;
        if (!is_shown(entry, session->now, session->command)) {
            continue;
        }
        if (rows) {
            (void)json_array_append_new(
                rows, make_row(entry, standing, session->now));
        } else {
            print_row(out, entry, standing, session->now);
        }
    }
    return worst;
}

static void advise(const struct key_session *session, enum standing worst)
{
    FILE *talk = session->command->world->talk;
    (void)fflush(session->command->world->out);
    if (worst == STANDING_EXPIRED) {
        (void)fprintf(talk, "Certificates in use are refused: renew them "
                            "with `troupe key renew NAME`.\n");
    } else if (worst == STANDING_EXPIRING) {
        (void)fprintf(talk, "Certificates in use expire soon: renew them with "
                            "`troupe key renew NAME`.\n");
    }
}

/* Which it is, and how bad, is in the table. */
static enum exit_code exit_code_for(enum standing worst)
{
    return worst == STANDING_WELL ? EXIT_CODE_OK : EXIT_CODE_FOUND;
}

enum exit_code key_list_run(const struct command *command)
{
    int64_t within = WARNING_SECONDS_DEFAULT;
    if (!key_session_duration(&within, command, "within")) {
        return EXIT_CODE_USAGE;
    }
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_READ);
    if (code) {
        return code;
    }
    enum standing worst;
    const struct ledger *ledger = authority_ledger(session.authority);
    if (command_has(command, "json")) {
        json_t *rows = json_array();
        worst = walk(&session, within, rows);
        code = key_session_print_json(
            command,
            json_pack("{s:s, s:i, s:s, s:I, s:o}", "schema", "troupe.key.ls",
                      "version", 1, "cluster", ledger->cluster_name,
                      "trust_version", (json_int_t)ledger->trust_version,
                      "certificates", rows));
        return code ? code : exit_code_for(worst);
    }
    (void)fprintf(command->world->out, "%-20s  %-8s  %6s  %-14s  %-12s  %s\n",
                  "NAME", "ROLE", "SERIAL", "EXPIRES", "STATE", "POOLS");
    worst = walk(&session, within, NULL);
    advise(&session, worst);
    return exit_code_for(worst);
}
