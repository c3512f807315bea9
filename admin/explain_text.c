#include "admin/explain_text.h"

#include <assert.h>

static const struct explain_text texts[ERR_COUNT] = {
    [ERR_NONE] = {"Nothing went wrong.", "What was asked for is done.",
                  "Nothing."},
    [ERR_MEMORY] =
        {"The machine, or the limit of the process, has no memory left.",
         "The request was not carried out; the process goes on.",
         "Look at memory with `troupe node ls` and the machine's own tools; "
         "give the service more, or less to do."},
    [ERR_FULL] =
        {"A queue of limited length is full: requests come faster than they "
         "are carried out, or a peer does not read.",
         "The request was not taken; nothing has happened.",
         "Ask again after a pause. If it lasts, look for the slow one with "
         "`troupe cluster links` and `troupe shard map`."},
    [ERR_TOO_LARGE] =
        {"A message, file or answer is larger than the limit for it.",
         "It was not taken; nothing has happened.",
         "Send less at a time, or raise the limit that the text names "
         "(`troupe config explain`) on all nodes."},
    [ERR_CLOSED] =
        {"What was asked is being closed: a node is about to stop.",
         "The request was not carried out.",
         "Ask again; another node answers. `troupe cluster members` shows "
         "which is away."},
    [ERR_IO] =
        {"The operating system has refused to read or write: a bad disk, a "
         "file that is none, a device that is gone.",
         "A node that cannot write its log ends; others go on without it.",
         "Look at the machine's own log (dmesg, journalctl); `troupe store "
         "verify` says what of a node's folder is whole."},
    [ERR_ACCESS] =
        {"The user of the process may not use that file or folder, or the "
         "file system is mounted read-only.",
         "Nothing was read or written.",
         "Run it as the user that owns the folder, or give that user the "
         "folder; mount the file system for writing."},
    [ERR_NO_SPACE] =
        {"The device or the quota is full, or a node's has too little left: it "
         "keeps a reserve of 256 MiB.",
         "What was to be written was not; what was there is whole.",
         "Make room, or move data_dir to a larger device. Do not delete files "
         "of the data folder."},
    [ERR_EXISTS] = {"Something of that name is there already.",
                    "It was left as it is; nothing was overwritten.",
                    "Choose another name, or take the other away first."},
    [ERR_NOT_FOUND] =
        {"There is no such file, node, shard or verb.", "Nothing has happened.",
         "Look at the spelling: `troupe node ls`, `troupe shard map` and "
         "`troupe NOUN --help` list what there is."},
    [ERR_EXPOSED] =
        {"A secret file can be read or written by others than its owner.",
         "It is not used: it may be known to others.",
         "chmod 600 FILE. If others had access, make a new key: `troupe key "
         "renew NAME`, then revoke the old one."},
    [ERR_INVALID] =
        {"A value, argument or file is not what is allowed there.",
         "Nothing has happened.",
         "Change what the text names; `troupe config check FILE` checks a "
         "whole configuration."},
    [ERR_MALFORMED] =
        {"Bytes have not the form that they should have: a damaged file, or a "
         "program that speaks something else.",
         "They were not used.",
         "A file: put a whole copy in its place (`troupe store verify` looks "
         "at a data folder). A peer: look at who is at that address."},
    [ERR_FORGED] =
        {"A signature or a seal does not fit: another authority's "
         "certificate, another key, or bytes changed on the way.",
         "What it protects was not believed.",
         "Compare authorities with `troupe key show`; copy the newest `trust` "
         "file to every host."},
    [ERR_EXPIRED] =
        {"The certificate's time is over, or a clock is far ahead.",
         "Links with it are refused.",
         "`troupe key ls` shows all; `troupe key renew NAME` makes the next; "
         "check the clocks."},
    [ERR_NOT_YET_VALID] =
        {"The certificate begins to be valid later, or a clock is far behind.",
         "Links with it are refused until then.",
         "Check the clocks of both machines; `troupe key show` says from when "
         "on it is valid."},
    [ERR_REVOKED] =
        {"An operator has revoked this certificate.",
         "Links with it are cut and refused.",
         "If it should not be so, make a new one: `troupe key renew NAME` or "
         "`troupe key issue NAME`."},
    [ERR_SUPERSEDED] =
        {"A newer process or certificate of the same name has taken its "
         "place: two that run under one name, or an old copy put back.",
         "The older one is refused.",
         "Stop the one that should not run; never copy a node's folder or key "
         "to a second machine."},
    [ERR_OTHER_CLUSTER] =
        {"A certificate, data folder or peer belongs to another cluster.",
         "It was refused; nothing is mixed.",
         "Compare the ids: `troupe cluster status`, `troupe store info`, "
         "`troupe key show`."},
    [ERR_DENIED] =
        {"The role in the certificate does not allow this: observers look, "
         "operators change.",
         "Nothing has happened.",
         "Use an operator's certificate: --as NAME, or another --context."},
    [ERR_WRONG_NAME] =
        {"At that address is another node than the one that was asked for: "
         "addresses are mixed up, or a host was set up as another.",
         "The link is refused.",
         "Compare cluster.nodes in the configuration with where the nodes "
         "run; `troupe config show` prints it."},
    [ERR_VERSION] =
        {"Two programs or a file have no version in common.",
         "They do not talk, or the file is not opened; nothing is changed.",
         "Use releases next to each other; upgrade node by node, and "
         "`troupe` itself: `troupe version`."},
    [ERR_IN_USE] =
        {"Another program listens at that address, or the thing is still in "
         "use.",
         "It was not taken.",
         "Find who has it (`ss -ltnp`), or choose another port; a key in use "
         "is retired later."},
    [ERR_UNREACHABLE] =
        {"There is no link: the process is down, the address is wrong, or a "
         "firewall is in between.",
         "The question was not asked.",
         "Is `trouped` running there, and its door open from here? `troupe "
         "cluster links --node NODE` shows it from the other side."},
    [ERR_TIMEOUT] =
        {"No answer came in time: a slow machine, a network that loses much, "
         "or an election under way.",
         "It may have been done or not.",
         "Look whether it was (`troupe events`, or the same question with "
         "--stale), then ask again; --timeout waits longer."},
    [ERR_BUSY] =
        {"Somebody else is at it, or things have changed meanwhile.",
         "Nothing was done.",
         "Ask again in a moment. A lock that stays: another process has the "
         "folder."},
    [ERR_LIMIT] =
        {"A limit of the operating system is too low: open files, locked "
         "memory, threads.",
         "What needed more was not begun.",
         "Raise it (ulimit, LimitNOFILE= and LimitMEMLOCK= of the service) "
         "and start again."},
    [ERR_NOT_LEADER] =
        {"Another replica leads, or none does, since an election is under "
         "way.",
         "Nothing was done.",
         "Ask again; `troupe coord ls` shows who leads. Without a leader for "
         "long too many replicas are away."},
    [ERR_UNCERTAIN] =
        {"The link or the leadership was lost while it was under way.",
         "It may have happened or not.",
         "Look before you repeat it: `troupe events` for changes, `troupe "
         "counter get` for counters. With an idempotency key it is safe to "
         "repeat."},
    [ERR_NO_QUORUM] =
        {"Too few voters are reachable to agree on anything: more than half "
         "of them are away, or this node is cut off.",
         "Nothing can be changed, and what needs agreement is refused; "
         "--stale still shows what one node knows.",
         "Bring back the nodes that the text names; `troupe cluster members "
         "--stale --node NODE` shows what each side sees."},
    [ERR_REFUSED] =
        {"It would do harm now, or nothing: the last active node, a node that "
         "holds shards, a target that is away.",
         "Nothing has happened.",
         "Do first what the text says. --force, where a command has it, goes "
         "on all the same."},
};

const struct explain_text *explain_text(enum err err)
{
    assert((unsigned)err < ERR_COUNT);
    return &texts[err];
}
