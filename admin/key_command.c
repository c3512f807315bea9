#include "admin/key_command.h"

#include "admin/key_verbs.h"

#define AUTHORITY_FLAG                                        \
    {                                                         \
        .name = "authority", .value = "DIR",                  \
        .text = "the authority's folder (default: authority)" \
    }
#define OUT_FLAG                                                      \
    {                                                                 \
        .name = "out", .value = "DIR",                                \
        .text = "the folder for the files (default: NAME beside the " \
                "authority's)"                                        \
    }
#define DRY_RUN_FLAG                                                        \
    {                                                                       \
        .name = "dry-run", .text = "say what would be done, and do nothing" \
    }

static const struct command_flag issue_flags[] = {
    {.name = "role",
     .value = "ROLE",
     .text = "node, client, operator or observer; required"},
    {.name = "pools",
     .value = "A,B*",
     .text = "task pools that a client may use (default: none)"},
    {.name = "valid",
     .value = "90d",
     .text = "how long it is valid (default: 365d)"},
    OUT_FLAG,
    AUTHORITY_FLAG,
    DRY_RUN_FLAG,
    {0}};

static const struct command_flag list_flags[] = {
    {.name = "all", .text = "also what is revoked or superseded and expired"},
    {.name = "within",
     .value = "30d",
     .text = "warn of what expires in this time (default: 30d)"},
    AUTHORITY_FLAG,
    {0}};

static const struct command_flag renew_flags[] = {
    {.name = "all", .text = "renew every certificate that is in use"},
    {.name = "within",
     .value = "30d",
     .text = "with --all: only what expires in this time"},
    {.name = "valid",
     .value = "90d",
     .text = "how long they are valid (default: as long as the older)"},
    OUT_FLAG,
    AUTHORITY_FLAG,
    DRY_RUN_FLAG,
    {0}};

static const struct command_flag revoke_flags[] = {
    AUTHORITY_FLAG, DRY_RUN_FLAG, YES_FLAG, {0}};

static const struct command_flag rotate_flags[] = {
    {.name = "stage", .text = "make a new key and have it trusted"},
    {.name = "activate", .text = "let the new key sign"},
    {.name = "retire", .text = "take the old key out of trust; delete it"},
    {.name = "force",
     .text = "with --retire: although certificates in use need the old key"},
    AUTHORITY_FLAG,
    DRY_RUN_FLAG,
    YES_FLAG,
    {0}};

static const struct command_verb verbs[] = {
    {.name = "issue",
     .operands = "NAME",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Make a key and a certificate for a node, client, operator or "
                "observer.\nThe folder that it makes is ready to be copied.",
     .examples = {"troupe key issue delta --role node",
                  "troupe key issue shop-web --role client --pools "
                  "emails,report.*",
                  "troupe key issue grafana --role observer --valid 90d"},
     .flags = issue_flags,
     .run = key_issue_run},
    {.name = "ls",
     .operands = "",
     .summary = "List the certificates that were issued, and when they "
                "expire.\nExit status: 0 all is well, 1 some that are in use "
                "expire soon or have expired.",
     .examples = {"troupe key ls", "troupe key ls --within 60d",
                  "troupe key ls --json --authority /mnt/stick/authority"},
     .flags = list_flags,
     .has_json = true,
     .run = key_list_run},
    {.name = "show",
     .operands = "FILE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show what a certificate or a trust file says.\nA certificate "
                "is checked against the trust beside it; exit status 1 if it "
                "is not valid.",
     .examples = {"troupe key show alpha/alpha.cert", "troupe key show trust",
                  "troupe key show alpha/alpha.cert --json"},
     .has_json = true,
     .run = key_show_run},
    {.name = "revoke",
     .operands = "SERIAL|NAME",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Revoke one certificate by its serial, or all of a name.\nThe "
                "new trust must be copied to every host.",
     .examples = {"troupe key revoke shop-web", "troupe key revoke 7",
                  "troupe key revoke 7 --dry-run"},
     .flags = revoke_flags,
     .run = key_revoke_run},
    {.name = "renew",
     .operands = "[NAME]",
     .operand_count_max = 1,
     .summary = "Make a new key and certificate of the same name and "
                "role.\nThe older certificate stays valid until it expires.",
     .examples = {"troupe key renew alpha",
                  "troupe key renew --all --within 30d",
                  "troupe key renew --all --valid 180d --dry-run"},
     .flags = renew_flags,
     .run = key_renew_run},
    {.name = "rotate",
     .operands = "",
     .summary = "Replace the authority's own key in three steps, without a "
                "stop.\nWithout a step: where the rotation stands, and what "
                "is next.",
     .examples = {"troupe key rotate", "troupe key rotate --stage",
                  "troupe key rotate --retire --dry-run"},
     .flags = rotate_flags,
     .has_json = true,
     .run = key_rotate_run},
    {0}};

const struct command_noun key_command = {
    .name = "key",
    .summary = "Keys and certificates of nodes, clients, operators and "
               "observers.\nWorks on files alone, where the authority's "
               "folder is: no node is needed.",
    .verbs = verbs,
};
