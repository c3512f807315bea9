"""Completes command lines in a real bash, with the script that `troupe
completion bash` prints. Names of live things come from a function in place of
`troupe`, so that no cluster is needed."""

import shutil
import subprocess
import sys

# What is typed, the last word being completed; what must be offered.
CASES = [
    (["troupe", "sh"], {"shard"}),
    (["troupe", "op", ""], {"ls", "show", "wait", "cancel", "--help"}),
    (["troupe", "op", "wait", ""], {"live-ops"}),
    (["troupe", "op", "wait", "drain-a", "--dead"], {"--deadline"}),
    (["troupe", "node", "drain", ""], {"live-nodes"}),
    (["troupe", "node", "wait", "a", "--st"], {"--state"}),
    (["troupe", "shard", "cancel", ""], {"live-shards"}),
    (["troupe", "shard", "history", ""], {"live-shards"}),
    (["troupe", "shard", "move", "1", "--to", ""], {"live-nodes"}),
    (["troupe", "context", "use", ""], {"live-contexts"}),
    (["troupe", "completion", "z"], {"zsh"}),
    (["troupe", "explain", "ERR_NO_Q"], {"ERR_NO_QUORUM"}),
]

SCRIPT = """
eval "$1"; shift
troupe() { echo "live-$2"; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_troupe
printf '%s\\n' "${COMPREPLY[@]}"
"""


def main():
    bash = shutil.which("bash")
    if not bash:
        print("skipped: there is no bash")
        return 77
    script = subprocess.run([sys.argv[1], "completion", "bash"], check=True,
                            capture_output=True, text=True).stdout
    failures = 0
    for words, expected in CASES:
        result = subprocess.run([bash, "-c", SCRIPT, "bash", script, *words],
                                check=True, capture_output=True, text=True)
        offered = set(result.stdout.split())
        if offered != expected:
            failures += 1
            print(f"{' '.join(words)}: {sorted(offered)}, expected "
                  f"{sorted(expected)}")
    print(f"{len(CASES)} lines, {failures} wrong")
    return 1 if failures else 0


sys.exit(main())
