#include "admin/store_command.h"

#include "admin/store_verbs.h"

#define CONFIG_FLAG                                                       \
    {                                                                     \
        .name = "config", .value = "FILE",                                \
        .text = "says where DIR is (default: cluster.yaml here, or else " \
                "in /etc/troupe)"                                         \
    }
#define NODE_FLAG                                                        \
    {                                                                    \
        .name = "node", .value = "NAME",                                 \
        .text = "whose DIR, when the configuration serves several hosts" \
    }
#define LIVE_FLAG                                                          \
    {                                                                      \
        .name = "live",                                                    \
        .text = "although a process has it locked: no more than a glimpse" \
    }
#define GROUP_FLAG                                                   \
    {                                                                \
        .name = "group", .value = "N", .text = "of this group alone" \
    }
#define BYTES_FLAG                                            \
    {                                                         \
        .name = "bytes", .value = "N",                        \
        .text = "show N bytes of each (default: 48; 0: none)" \
    }

static const struct command_flag info_flags[] = {
    CONFIG_FLAG, NODE_FLAG, LIVE_FLAG, {0}};

static const struct command_flag verify_flags[] = {CONFIG_FLAG, NODE_FLAG, {0}};

static const struct command_flag dump_flags[] = {
    GROUP_FLAG,
    {.name = "from", .value = "I", .text = "from this index on"},
    {.name = "to", .value = "I", .text = "up to this index"},
    BYTES_FLAG,
    CONFIG_FLAG,
    NODE_FLAG,
    LIVE_FLAG,
    {0}};

static const struct command_flag get_flags[] = {
    CONFIG_FLAG, NODE_FLAG, LIVE_FLAG, {0}};

static const struct command_flag scan_flags[] = {
    GROUP_FLAG,
    {.name = "kind",
     .value = "K",
     .text = "of this kind alone: applied, snapshot or machine"},
    {.name = "limit", .value = "N", .text = "no more than N rows"},
    BYTES_FLAG,
    CONFIG_FLAG,
    NODE_FLAG,
    LIVE_FLAG,
    {0}};

static const struct command_verb verbs[] = {
    {.name = "info",
     .operands = "[DIR]",
     .operand_count_max = 1,
     .summary = "Show whose folder it is, its log, and what is stored of each "
                "group.\nDIR is DATA_DIR/NODE. Exit status 1 when it is "
                "plain that something is damaged.",
     .examples = {"troupe store info /var/lib/troupe/alpha",
                  "troupe store info --config cluster.yaml --node alpha",
                  "troupe store info --json /mnt/copy/alpha"},
     .flags = info_flags,
     .has_json = true,
     .run = store_info_run},
    {.name = "verify",
     .operands = "[DIR]",
     .operand_count_max = 1,
     .summary = "Read everything, and say what is damaged: which file, "
                "where, what.\nExit status: 0 all is well, 1 damaged, 7 a "
                "running process has the folder.",
     .examples = {"troupe store verify /var/lib/troupe/alpha",
                  "troupe store verify",
                  "troupe store verify --json /mnt/copy/alpha"},
     .flags = verify_flags,
     .has_json = true,
     .run = store_verify_run},
    {.name = "dump",
     .operands = "[DIR]",
     .operand_count_max = 1,
     .summary = "Print the log's records as they were written, one on a "
                "line.\nAlso those that later ones have replaced; with --json "
                "each line is an object.",
     .examples = {"troupe store dump /var/lib/troupe/alpha --group 7",
                  "troupe store dump --group 7 --from 1200 --to 1300 --bytes "
                  "0",
                  "troupe store dump --json /mnt/copy/alpha"},
     .flags = dump_flags,
     .has_json = true,
     .run = store_dump_run},
    {.name = "get",
     .operands = "[DIR] GROUP INDEX",
     .operand_count_min = 2,
     .operand_count_max = 3,
     .summary = "Print one entry of the log, whole.\nExit status 1 when it "
                "does not live any more.",
     .examples = {"troupe store get /var/lib/troupe/alpha 7 1234",
                  "troupe store get 7 1234 --node alpha",
                  "troupe store get --json /mnt/copy/alpha 7 1234"},
     .flags = get_flags,
     .has_json = true,
     .run = store_get_run},
    {.name = "scan",
     .operands = "[DIR]",
     .operand_count_max = 1,
     .summary = "Print the rows of the applied state, one on a line.\nIn the "
                "order of their keys; with --json each line is an object.",
     .examples = {"troupe store scan /var/lib/troupe/alpha --group 7",
                  "troupe store scan --kind snapshot --bytes 0",
                  "troupe store scan --json --limit 10 /mnt/copy/alpha"},
     .flags = scan_flags,
     .has_json = true,
     .run = store_scan_run},
    {0}};

const struct command_noun store_command = {
    .name = "store",
    .summary = "What is in a node's data folder: the log and the applied "
               "state.\nWorks on the files of a node that stands still, or a "
               "copy; changes nothing.",
    .verbs = verbs,
};
