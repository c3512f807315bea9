#include "admin/cluster_command.h"

#include "admin/cluster_verbs.h"
#include "admin/reading.h"
#include "config/founding.h"

static const struct command_flag init_flags[] = {
    {.name = "out",
     .value = "DIR",
     .text = "the folder to make (default: the cluster's name)"},
    {.name = "transport",
     .value = "KIND",
     .text = "tcp, ws (one port for all) or ipc (one machine); default: tcp"},
    {.name = "port",
     .value = "PORT",
     .text = "of each node's door (default: 7600)"},
    {.name = "valid",
     .value = "365d",
     .text = "how long the certificates are valid (default: 365d)"},
    {.name = "zone",
     .value = "NODE=ZONE",
     .text = "the rack, room or data centre of a node",
     .repeats = true},
    {.name = "dry-run", .text = "say what would be made, and make nothing"},
    {0}};

static const struct command_flag forget_flags[] = {
    REMOTE_FLAGS,
    {.name = "force", .text = "also while it is up, and may join again"},
    {.name = "dry-run", .text = "show what it is, and do nothing"},
    YES_FLAG,
    {0}};

static const struct command_flag join_flags[] = {
    REMOTE_FLAGS,
    {.name = "name",
     .value = "NAME",
     .text = "which node of FILE this is (default: its node.name)"},
    {0}};

static const struct command_flag recover_flags[] = {
    REMOTE_FLAGS,
    {.name = "lost",
     .value = "NODE",
     .text = "one that is gone for good (default: all that are not heard)",
     .repeats = true},
    {.name = "empty",
     .text = "begin shards empty of which no node has anything"},
    {.name = "dry-run", .text = "show what would be done and lost"},
    YES_FLAG,
    {0}};

static const struct command_verb verbs[] = {
    {.name = "init",
     .operands = "NAME HOST...",
     .operand_count_min = 2,
     .operand_count_max = 1 + FOUNDING_HOST_COUNT_MAX,
     .summary = "Make the keys, certificates and configuration of a new "
                "cluster, a folder for each host.\nA HOST is NODE=ADDRESS, "
                "NODE=ADDRESS:PORT, or a DNS name whose first part names the "
                "node.",
     .examples = {"troupe cluster init shop alpha=10.0.0.1 beta=10.0.0.2 "
                  "gamma=10.0.0.3",
                  "troupe cluster init lab --transport ipc one two three",
                  "troupe cluster init shop --transport ws --port 443 "
                  "a.example.org b.example.org"},
     .flags = init_flags,
     .run = cluster_init_run},
    {.name = "status",
     .operands = "",
     .summary = "Show how the cluster is, in a few lines, and what is wrong "
                "with it.\n`cluster verify` judges it; `doctor` explains.",
     .examples = {"troupe cluster status", "troupe cluster status --watch=5",
                  "troupe cluster status --json --stale --node beta"},
     .flags = reading_flags,
     .has_json = true,
     .run = cluster_status_run},
    {.name = "members",
     .operands = "",
     .summary = "List the members: who hears them, what they do, what they "
                "run.\n`node ls` lists what they hold.",
     .examples = {"troupe cluster members", "troupe cluster members --watch",
                  "troupe cluster members --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = cluster_members_run},
    {.name = "links",
     .operands = "",
     .summary = "List the links of one node to the others.\nOf that which "
                "answers, or of --node NAME.",
     .examples = {"troupe cluster links", "troupe cluster links --node beta",
                  "troupe cluster links --watch=1"},
     .flags = reading_flags,
     .has_json = true,
     .run = cluster_links_run},
    {.name = "join",
     .operands = "[FILE]",
     .operand_count_max = 1,
     .summary = "Check, on the machine of a new node, all that joining needs, "
                "and say how to start it.\nExit status: 0 it can, 7 it would "
                "be refused, 8 the cluster could not be asked.",
     .examples = {"troupe cluster join", "troupe cluster join --context shop",
                  "troupe cluster join /etc/troupe/cluster.yaml --name delta "
                  "--config operator/cluster.yaml"},
     .flags = join_flags,
     .steers = true,
     .run = cluster_join_run},
    {.name = "forget",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Take a node that is gone for good out of the members.\n"
                "Refused while shards are placed on it: drain it first.",
     .examples = {"troupe cluster forget delta",
                  "troupe cluster forget delta --dry-run",
                  "troupe cluster forget delta --yes"},
     .flags = forget_flags,
     .steers = true,
     .run = cluster_forget_run},
    {.name = "recover",
     .operands = "",
     .summary = "Have survivors take over the shards whose majority is gone "
                "for good.\nShows first what is lost; shards that have their "
                "majority stay.",
     .examples = {"troupe cluster recover --dry-run",
                  "troupe cluster recover --lost beta --lost gamma",
                  "troupe cluster recover --empty --yes"},
     .flags = recover_flags,
     .steers = true,
     .run = cluster_recover_run},
    {.name = "verify",
     .operands = "",
     .summary = "Check that every shard is led, all replicas are whole, and "
                "all nodes agree.\nExit status 1 when that is not so.",
     .examples = {"troupe cluster verify", "troupe cluster verify --watch",
                  "troupe cluster verify --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = cluster_verify_run},
    {0}};

const struct command_noun cluster_command = {
    .name = "cluster",
    .summary = "A cluster as a whole.\nFounding (init) works on files alone; "
               "for the others nodes have to run.",
    .verbs = verbs,
};
