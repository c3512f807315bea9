#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"
#include "config/lines.h"

#include <inttypes.h>
#include <string.h>

/* Whether this one is meant: a serial when it is digits, else a name. */
static bool is_meant(const struct ledger_entry *entry, const char *operand)
{
    uint64_t serial = 0;
    return lines_u64(&serial, operand)
               ? entry->certificate.serial == serial
               : strcmp(entry->certificate.name, operand) == 0;
}

/* Say what would be revoked. Gives how many. */
static uint32_t print_plan(const struct key_session *session,
                           const char *operand,
                           uint32_t *found_count)
{
    uint32_t count = 0;
    FILE *talk = session->command->world->talk;
    const struct ledger *ledger = authority_ledger(session->authority);
    *found_count = 0;
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        const struct certificate *certificate = &entry->certificate;
        char span[KEY_SESSION_SPAN_BYTES];
        if (!is_meant(entry, operand)) {
            continue;
        }
        (*found_count)++;
        if (entry->state == LEDGER_REVOKED ||
            certificate->not_after <= session->now) {
            continue;
        }
        key_session_span_text(span, certificate->not_after - session->now);
        (void)fprintf(talk, "%s %s %s, serial %" PRIu64 ", %s, expires %s\n",
                      count == 0 ? "Revoke" : "      ",
                      role_text(certificate->role), certificate->name,
                      certificate->serial, ledger_state_text(entry->state),
                      span);
        count++;
    }
    return count;
}

static enum err revoke_all(struct key_session *session, const char *operand)
{
    const struct ledger *ledger = authority_ledger(session->authority);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; !err && i < ledger->entry_count; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        if (is_meant(entry, operand) && entry->state != LEDGER_REVOKED &&
            entry->certificate.not_after > session->now) {
            err = authority_revoke(session->authority,
                                   entry->certificate.serial, &session->why);
        }
    }
    return err;
}

/* Show the plan and ask, before the folder is locked for writing. */
static enum exit_code plan(const struct command *command, bool *go_on)
{
    const char *operand = command_operand(command, 0);
    FILE *talk = command->world->talk;
    uint32_t found_count = 0;
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_READ);
    if (code) {
        return code;
    }
    uint32_t count = print_plan(&session, operand, &found_count);
    if (found_count == 0) {
        err_explain(&session.why,
                    "nothing was ever issued to `%s`: `troupe key ls --all` "
                    "shows all names and serials",
                    operand);
        (void)key_session_failed(&session, ERR_NOT_FOUND);
        return EXIT_CODE_USAGE;
    }
    *go_on = true;
    if (count == 0) {
        (void)fprintf(talk,
                      "What was issued to `%s` is revoked or has expired "
                      "already.\n",
                      operand);
        return EXIT_CODE_OK;
    }
    (void)fprintf(talk,
                  "It cannot be taken back. Links that use it are refused by "
                  "every node that has the\nnew trust; a node without it goes "
                  "on accepting them.\n");
    if (command_is_dry(command)) {
        *go_on = false;
        return EXIT_CODE_OK;
    }
    *go_on = command_confirm(command, operand);
    return *go_on ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
}

enum exit_code key_revoke_run(const struct command *command)
{
    bool go_on = false;
    enum exit_code code = plan(command, &go_on);
    if (code || !go_on) {
        return code;
    }
    scoped(key_session_close) struct key_session session = {0};
    code = key_session_open(&session, command, AUTHORITY_WRITE);
    if (code) {
        return code;
    }
    enum err err = revoke_all(&session, command_operand(command, 0));
    if (!err) {
        /* Also when nothing was left to revoke: a save that was cut short
         * before is finished. */
        err = key_session_save(&session);
    }
    if (err) {
        return key_session_failed(&session, err);
    }
    changes_keep(session.changes);
    return key_session_spread_trust(&session) ? EXIT_CODE_OK
                                              : EXIT_CODE_PARTIAL;
}
