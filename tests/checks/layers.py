#!/usr/bin/env python3
"""Fails when a file includes what its layer may not.

The table is section 5 of the design: which layers and which foreign
libraries a layer may include. Further: our own includes are relative to the
root and exist, and only programs and named implementations include
base/posix, because all else gets the outside through tables of functions.
"""

import os
import re

import source

ALL = {'base', 'config', 'transport', 'store', 'actor', 'cluster', 'shard',
       'client', 'gateway', 'admin', 'node', 'library'}

# layer: (layers, foreign libraries, single files of other layers)
TABLE = {
    'base': (set(), {'xxhash', 'msgpack'}, set()),
    'config': ({'base'}, {'yaml', 'sodium'}, set()),
    'transport': ({'base', 'config'}, {'nng', 'sodium'}, set()),
    'store': ({'base', 'config'}, {'rocksdb'}, set()),
    'actor': ({'base', 'config', 'store'}, set(), set()),
    'cluster': ({'base', 'config', 'transport', 'store'}, set(), set()),
    'shard': ({'base', 'config', 'transport', 'store', 'actor', 'cluster'},
              set(), set()),
    'client': ({'base', 'config', 'transport'}, set(), set()),
    'gateway': ({'base', 'config', 'actor', 'shard'}, {'websockets'}, set()),
    'admin': ({'base', 'config', 'transport', 'client', 'store'},
              {'json', 'curses'},
              {'shard/archive_wire.h', 'shard/host_service.h', 'shard/key.h',
               'shard/placement.h', 'shard/router_wire.h',
               'shard/shard_balance.h', 'shard/shard_map.h', 'shard/task.h',
               'shard/task_book.h', 'shard/task_pool.h',
               'shard/task_request.h', 'shard/task_schedule.h',
               'shard/wanted.h'}),
    'node': (ALL - {'library'} | {'troupe'}, {'systemd'}, set()),
    'library': (ALL - {'admin'} | {'troupe'}, set(), set()),
    'troupe': (set(), set(), set()),
    'tests': (ALL | {'troupe', 'bench'},
              {'cmocka', 'xxhash', 'msgpack', 'yaml', 'sodium', 'nng',
               'rocksdb', 'websockets', 'json', 'zmq'}, set()),
    'bench': (ALL | {'troupe'}, {'nng', 'sodium', 'zmq', 'json'},
              {'tests/shard/task_lab.h', 'tests/support/test_identity.h'}),
    'examples': (ALL | {'troupe'}, {'sodium'}, set()),
}

# How a foreign header begins, and whose it is.
FOREIGN = {
    'xxhash.h': 'xxhash', 'xxh3.h': 'xxhash',
    'msgpack': 'msgpack',
    'yaml.h': 'yaml',
    'sodium': 'sodium',
    'nng/': 'nng',
    'rocksdb/': 'rocksdb',
    'libwebsockets': 'websockets', 'lws': 'websockets',
    'jansson': 'json',
    'curses.h': 'curses', 'ncurses': 'curses', 'panel.h': 'curses',
    'systemd/': 'systemd',
    'zmq': 'zmq',
    'cmocka': 'cmocka',
}

# What belongs to no library: C17, POSIX and Linux.
SYSTEM = re.compile(
    r'^(?:(?:arpa|asm|linux|net|netinet|sanitizer|sys)/\w+\.h|(?:'
    'assert|complex|ctype|dirent|dlfcn|errno|execinfo|fcntl|fenv|float|'
    'fnmatch|ftw|getopt|glob|grp|inttypes|iso646|langinfo|libgen|limits|locale|'
    'malloc|math|netdb|poll|pthread|pwd|regex|sched|semaphore|setjmp|signal|'
    'spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|'
    'stdnoreturn|string|strings|syscall|syslog|termios|tgmath|threads|time|'
    r'uchar|unistd|wchar|wctype)\.h)$')

# Who may include base/posix: the programs, and the implementations of the
# tables of functions. A library layer is handed the tables instead.
OUTSIDE = re.compile(
    r'^(?:base/posix/|transport/nng_\w+\.[ch]$|store/rocks_\w+\.[ch]$'
    r'|client/client\.c$|gateway/gateway\.c$|admin/|node/'
    r'|library/(?:cluster_file|handler_pool|tasks|troupe\w*)\.c$'
    r'|tests/|bench/|examples/)')

INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*(?:(")([^"\n]*)"|<([^>\n]*)>|(\S[^\n]*))',
    re.MULTILINE)


def layer_of(path):
    if path.startswith(('include/troupe/', 'troupe/')):
        return 'troupe'
    return path.split('/', 1)[0]


def fault_of_ours(root, path, target):
    layer = layer_of(path)
    layers, _, files = TABLE[layer]
    if target.startswith(('.', '/')) or '/../' in target:
        return 'not relative to the root'
    if not any(os.path.isfile(os.path.join(root, place, target))
               for place in ('', 'include')):
        return 'no such file below the root'
    theirs = layer_of(target)
    if theirs not in TABLE:
        return 'not in a layer'
    if theirs != layer and theirs not in layers and target not in files:
        return '%s may not include %s' % (layer, theirs)
    if target.startswith('base/posix/') and not OUTSIDE.match(path):
        return ('pure code gets the outside through base/env.h, '
                'not from base/posix')
    return None


def fault_of_foreign(path, target):
    layer = layer_of(path)
    for start, library in FOREIGN.items():
        if target.startswith(start):
            if library in TABLE[layer][1]:
                return None
            return '%s may not use the library %s' % (layer, library)
    if SYSTEM.match(target):
        return None
    if target.startswith('troupe/'):
        return 'our own headers are included with "", not <>'
    return 'unknown library: give it a layer in tests/checks/layers.py'


def check(root):
    faults = []
    for path in source.c_files(root):
        text = source.without_comments(source.read(root, path))
        if layer_of(path) not in TABLE:
            faults.append('%s:1: in no layer' % path)
            continue
        for match in INCLUDE.finditer(text):
            quote, ours, foreign, other = match.groups()
            if quote:
                fault = fault_of_ours(root, path, ours)
            elif foreign is not None:
                fault = fault_of_foreign(path, foreign)
            else:
                fault = 'an include must name its file'
            if fault:
                faults.append('%s:%d: includes %s: %s' % (
                    path, source.line_of(text, match.start()),
                    ours or foreign or other, fault))
    return faults


if __name__ == '__main__':
    source.run_check(check)
