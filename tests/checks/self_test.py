#!/usr/bin/env python3
"""Feeds a check a tree with planted faults; fails unless it names each, with
file and line, and nothing else."""

import os
import re
import subprocess
import sys
import tempfile

# check -> {path: text}; a line that ends with "FAULT" must be named, and no
# other. (FAULT stands in a comment, which the checks must not read.)
PLANTED = {
    'layers': {
        'base/ring.h': '#include "base/ring.h"\n',
        'base/ring.c': '''#include "base/ring.h"

#include <stdint.h>
#include <xxhash.h>
#include <yaml.h> // FAULT

/* #include "config/config.h" */
#include "config/config.h" // FAULT
#include "ring.h" // FAULT
#include "../base/ring.h" // FAULT
#include "base/missing.h" // FAULT
#include <somelib/some.h> // FAULT
''',
        'base/posix/posix_clock.h': '#include "base/ring.h"\n',
        'config/config.h': '''#include "base/ring.h"
#include "base/posix/posix_clock.h" // FAULT
#include <sodium.h>
''',
        'transport/link.c': '#include <nng/nng.h>\n'
                            '#include "config/config.h"\n',
        'shard/key.h': '',
        'shard/steal.h': '',
        'admin/main.c': '''#include "base/posix/posix_clock.h"
#include "shard/key.h"
#include "shard/steal.h" // FAULT
#include <zmq.h> // FAULT
''',
        'include/troupe/actor.h': '#include "base/ring.h" // FAULT\n',
        'cluster/raft.c': '#include "shard/key.h" // FAULT\n',
        'tests/base/ring_test.c': '''#include "base/posix/posix_clock.h"
#include <cmocka.h>
#include <troupe/actor.h> // FAULT
''',
    },
    'calls': {
        'base/pure.c': '''
/* time(NULL) in a comment, and "goto" */
static const char *text = "strcpy(a, b) exit(1)";
static void send(int x)
{
    send(x);
    files->read(files->context, time);
    files.write (1);
    snprintf(text, 1, "x");
    now = time(NULL); // FAULT
    clock_gettime (CLOCK_MONOTONIC, &now); // FAULT
    pthread_mutex_lock(&lock); // FAULT
    pthread_equal(a, pthread_self());
    fd = open("x", 0); // FAULT
    goto end; // FAULT
    strcpy(to, from); // FAULT
    fprintf(stderr, "x"); // FAULT
    printf("x"); // FAULT
    exit(1); // FAULT
    usleep(1); // FAULT
    signal(SIGPIPE, SIG_IGN); // FAULT
    kill(1, SIGTERM); // FAULT
    randombytes_buf(to, 1); // FAULT
    crypto_sign_keypair(p, s); // FAULT
    crypto_sign_seed_keypair(p, s, seed);
    getenv("HOME"); // FAULT
    nng_send(s, b, n, 0); // FAULT
    link_send(l, b); runtime(1); atoi_like(2);
    number = atoi(text); // FAULT
    block = alloca(10); // FAULT
    value = '"'; close(fd); // FAULT
}
''',
        'base/posix/posix_clock.c': '''
    clock_gettime(CLOCK_MONOTONIC, &now);
    sprintf(text, "x"); // FAULT
''',
        'transport/nng_network.c': 'nng_send(s, b, n, 0);\n'
                                   'exit(1); // FAULT\n',
        'transport/link.c': 'nng_send(s, b, n, 0); // FAULT\n',
        'admin/main.c': 'printf("x"); signal(1, run); kill(2, 1); exit(1);\n'
                        'socket(1, 2, 3); // FAULT\n',
        'tests/base/x_test.c': 'fork(); strtok(a, b); // FAULT\n',
    },
}


def main():
    name = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    expected = set()
    with tempfile.TemporaryDirectory() as root:
        for path, text in PLANTED[name].items():
            os.makedirs(os.path.join(root, os.path.dirname(path)),
                        exist_ok=True)
            with open(os.path.join(root, path), 'w', encoding='utf-8') as file:
                file.write(text)
            expected |= {(path, number)
                         for number, line in enumerate(text.split('\n'), 1)
                         if line.endswith('// FAULT')}
        result = subprocess.run(
            [sys.executable, os.path.join(here, name + '.py'), root],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = {(path, int(number)) for path, number in
             re.findall(r'^([^:\n]+):(\d+): ', result.stdout, re.MULTILINE)}
    print(result.stdout)
    for path, number in sorted(expected - found):
        print('not found: %s:%d' % (path, number))
    for path, number in sorted(found - expected):
        print('found wrongly: %s:%d' % (path, number))
    right = expected and found == expected and result.returncode == 1
    sys.exit(0 if right else 1)


if __name__ == '__main__':
    main()
