#!/usr/bin/env python3
"""Fails when a shared library exports a name that is not troupe_*.

    exports.py LIBRARY
    exports.py --self-test
"""

import subprocess
import sys

# Put there by the linker, or by the sanitizers when they are built in.
NOT_OURS = ('_init', '_fini', '_edata', '_end', '__bss_start')
NOT_OURS_STARTS = ('__asan_', '__odr_asan', '__ubsan_', '__tsan_')


def wrong_names(listing):
    """The faults in what `nm -D --defined-only -P` prints; None when it has
    no troupe_* name at all."""
    names = [line.split()[0] for line in listing.splitlines() if line.strip()]
    if not any(name.startswith('troupe_') for name in names):
        return None
    return [name for name in names
            if not name.startswith('troupe_') and name not in NOT_OURS
            and not name.startswith(NOT_OURS_STARTS)]


def self_test():
    assert wrong_names('troupe_open T 1 2\n_init T 1 2\n') == []
    assert wrong_names('troupe_open T 1\nlink_open T 3\n') == ['link_open']
    assert wrong_names('_init T 1 2\n') is None


def main():
    if sys.argv[1:] == ['--self-test']:
        self_test()
        return 0
    listing = subprocess.run(['nm', '-D', '--defined-only', '-P', sys.argv[1]],
                             check=True, stdout=subprocess.PIPE, text=True)
    wrong = wrong_names(listing.stdout)
    if wrong is None:
        print('exports nothing that begins with troupe_')
        return 1
    for name in wrong:
        print('exported, but not troupe_*: ' + name)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
