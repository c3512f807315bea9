#!/usr/bin/env python3
"""Fails when a public header does not compile alone, as C99 and as C++11,
without a warning; or lacks `extern "C"`.

    headers.py FOLDER [COMPILER ...]
    headers.py --self-test

FOLDER is the one in which `troupe/` stands. A compiler of C++ has `++` in its
name.
"""

import os
import subprocess
import sys
import tempfile

FLAGS = ['-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Wshadow',
         '-Wundef', '-Werror']
USE = '#include <troupe/%s>\n#include <troupe/%s>\nint unused_%d;\n'


def compile_alone(folder, header, compiler):
    is_cpp = '++' in os.path.basename(compiler)
    source = USE % (header, header, is_cpp)
    result = subprocess.run(
        [compiler, *FLAGS, '-std=c++11' if is_cpp else '-std=c99',
         '-I', folder, '-x', 'c++' if is_cpp else 'c', '-'],
        input=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    return result.stdout if result.returncode else None


def faults_in(folder, compilers):
    headers = sorted(os.listdir(os.path.join(folder, 'troupe')))
    headers = [name for name in headers if name.endswith('.h')]
    assert headers, 'no headers in ' + folder
    for header in headers:
        with open(os.path.join(folder, 'troupe', header)) as file:
            if 'extern "C"' not in file.read():
                yield header + ': no extern "C"'
        for compiler in compilers:
            fault = compile_alone(folder, header, compiler)
            if fault:
                yield '%s: %s: %s' % (header, compiler, fault)


def self_test(compilers):
    planted = {
        'good.h': '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void);\n'
                  '#ifdef __cplusplus\n}\n#endif\n',
        'bare.h': 'int g(void);\n',
        'needs.h': '/* extern "C" */\nsize_t h(void);\n',
    }
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, 'troupe'))
        for name, text in planted.items():
            with open(os.path.join(folder, 'troupe', name), 'w') as file:
                file.write(text)
        found = [fault.split(':')[0] for fault in faults_in(folder, compilers)]
    assert found == ['bare.h'] + ['needs.h'] * len(compilers), found


def main():
    if sys.argv[1] == '--self-test':
        self_test(sys.argv[2:])
        return 0
    faults = list(faults_in(sys.argv[1], sys.argv[2:]))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
