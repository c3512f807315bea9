"""What the checks share: finding C files, and hiding comments and strings."""

import os
import re
import sys

FOLDERS = (
    'base', 'config', 'transport', 'store', 'actor', 'cluster', 'shard',
    'client', 'gateway', 'admin', 'node', 'include', 'tests', 'bench',
    'examples',
)

_HIDDEN = re.compile(
    r'//(?:\\\n|[^\n])*'             # to the end of the line
    r'|/\*.*?\*/'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'",
    re.DOTALL)


def _blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def _blank_comment(match):
    text = match.group()
    return _blank(match) if text.startswith('/') else text


def without_comments(text):
    """The text with spaces for comments; lines and columns stay."""
    return _HIDDEN.sub(_blank_comment, text)


def without_comments_and_strings(text):
    return _HIDDEN.sub(_blank, text)


def line_of(text, position):
    return text.count('\n', 0, position) + 1


def c_files(root):
    """The paths of all C files of the project, relative to root, sorted."""
    found = []
    for folder in FOLDERS:
        for where, _, names in os.walk(os.path.join(root, folder)):
            found += [
                os.path.relpath(os.path.join(where, name), root)
                for name in names if name.endswith(('.c', '.h'))
            ]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def run_check(check):
    """Run check(root) over the tree named on the command line; it returns
    lines 'file:line: what'."""
    if len(sys.argv) != 2:
        sys.exit('usage: %s ROOT' % sys.argv[0])
    root = sys.argv[1]
    files = c_files(root)
    if not files:
        sys.exit('no C files below ' + root)
    faults = check(root)
    for fault in faults:
        print(fault)
    print('%d files, %d faults' % (len(files), len(faults)))
    sys.exit(1 if faults else 0)
