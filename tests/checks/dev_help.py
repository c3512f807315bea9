#!/usr/bin/env python3
"""Fails unless ./dev explains each of its commands without running it.

    dev_help.py ROOT
"""

import os
import re
import subprocess
import sys

# A command that ran all the same would fail for lack of its tools.
ENVIRONMENT = {'PATH': '/usr/bin:/bin', 'TROUPE_NO_INSTALL': '1',
               'CC': '/nowhere/cc'}


def run(root, *arguments):
    return subprocess.run([os.path.join(root, 'dev'), *arguments],
                          env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=20)


def check_help(root, command, *arguments):
    result = run(root, *arguments)
    assert result.returncode == 0, (arguments, result)
    assert result.stderr == '', (arguments, result.stderr)
    assert result.stdout.startswith('Usage: ./dev ' + command), arguments


def main():
    root = sys.argv[1]
    overview = run(root, 'help')
    assert overview.returncode == 0 and overview.stderr == ''
    assert run(root).stdout == overview.stdout
    assert run(root, '--help').stdout == overview.stdout
    commands = re.findall(r'^  ([a-z]+) ', overview.stdout, re.MULTILINE)
    assert 'test' in commands and 'help' in commands, commands
    for command in commands:
        check_help(root, command, 'help', command)
        check_help(root, command, command, '--help')
        check_help(root, command, command, '-h')
        check_help(root, command, command, '--nosuch', '--help')
    for wrong in (['tets'], ['help', 'tets'], ['help', 'test', 'fmt']):
        result = run(root, *wrong)
        assert result.returncode == 2 and result.stdout == '', wrong
    assert "'test'" in run(root, 'tets').stderr


if __name__ == '__main__':
    main()
