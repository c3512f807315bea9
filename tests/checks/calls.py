#!/usr/bin/env python3
"""Fails when a file calls what it may not.

Two tables of call -> reason. BANNED holds for every file. OUTSIDE (section 4
of the design) holds for all but the implementations of the tables of
functions and the programs, as ALLOWED says. A name is a call where it stands
before a parenthesis, outside comments and strings, and is neither a member
(x.name, x->name) nor a function that the file itself defines.
"""

import re

import source

BANNED = {
    'strcpy|stpcpy|strcat': 'does not know the size of its target; snprintf '
                            'or memcpy',
    'sprintf|vsprintf|gets': 'does not know the size of its target; snprintf',
    'atoi|atol|atoll|atof': 'hides errors; strtoll and its like',
    'strtok|strtok_r': 'changes its input and keeps state; strcspn',
    'rand|srand|rand_r|random|srandom|[dlmejn]rand48|srand48':
        'cannot be replayed; struct entropy',
    'alloca': 'has no limit',
    'setjmp|longjmp|sigsetjmp|siglongjmp': 'jumps past clean-up',
    'tmpnam|tempnam|mktemp': 'can be raced; mkstemp',
    'system|popen': 'asks a shell',
}

OUTSIDE = {
    'clock': {
        'time|clock|clock_gettime|clock_getres|gettimeofday|timespec_get|ftime'
        '|timerfd_\\w+|timer_\\w+time|alarm|setitimer': 'struct clock',
    },
    'sleep': {
        'sleep|usleep|nanosleep|clock_nanosleep|pause|select|pselect|poll'
        '|ppoll|epoll_\\w+|sched_yield': 'struct waker, struct timer',
    },
    'sockets': {
        'nng_\\w+|zmq_\\w+': 'struct network',
        'socket|socketpair|bind|listen|accept|accept4|connect|shutdown|send'
        '|sendto|sendmsg|recv|recvfrom|recvmsg|getsockopt|setsockopt'
        '|getaddrinfo|gethostbyname|getnameinfo|if_nameindex|getifaddrs':
            'struct network',
    },
    'threads': {
        # pthread_self and pthread_equal only look: debug builds assert the
        # owner of an object with them.
        'pthread_(?!(?:self|equal|sigmask)\\b)\\w+|thrd_\\w+|mtx_\\w+|cnd_\\w+'
        '|tss_\\w+|call_once|sem_\\w+|fork|vfork|clone|posix_spawnp?'
        '|exec[lv]p?e?|wait|waitpid|waitid|eventfd|prctl|syscall':
            'struct reactor; threads belong to base/posix',
    },
    'signals': {
        'signal|sigaction|sigprocmask|pthread_sigmask|sigwait|sigtimedwait'
        '|signalfd|raise|kill':
            'are for programs',
    },
    'files': {
        'open|openat|creat|close|read|write|pread|pwrite|readv|writev|lseek'
        '|fopen|freopen|fdopen|tmpfile|rename|renameat|remove|unlink|unlinkat'
        '|symlink|mkdir|mkdirat|rmdir|opendir|fdopendir|readdir|scandir|nftw'
        '|stat|fstat|lstat|fstatat|access|faccessat|chmod|fchmod|chown|fchown'
        '|umask|fsync|fdatasync|syncfs|truncate|ftruncate|fallocate'
        '|posix_fallocate|mmap|munmap|msync|dup|dup2|pipe|pipe2|fcntl|ioctl'
        '|flock|mkstemp|mkostemp|mkdtemp|realpath|chdir|getcwd|statvfs|glob':
            'struct files',
    },
    'randomness': {
        'getrandom|getentropy|arc4random\\w*|randombytes\\w*'
        '|crypto_\\w+_keygen|crypto_\\w+(?<!seed)_keypair':
            'struct entropy',
    },
    'environment': {
        'getenv|secure_getenv|setenv|putenv|unsetenv|clearenv|sysconf'
        '|gethostname|uname|getpid|getppid|getuid|geteuid|getrlimit'
        '|setrlimit|getrusage|isatty':
            'is for programs: pass it in as configuration',
    },
    'exit': {
        'exit|_exit|_Exit|quick_exit|abort|atexit|at_quick_exit': 'ends the process: return an enum err',
    },
    'stdio': {
        # Writing to a FILE that is given (open_memstream) is not the outside.
        'printf|vprintf|puts|putchar|perror|getchar|scanf|psignal|syslog':
            'prints: return, or use a struct log',
    },
}

# Words that are forbidden even where they are not called.
BANNED_WORDS = {'goto': 'scoped() cleans up'}
STDIO_WORDS = {'stdin|stdout|stderr': 'prints: return, or use a struct log'}

# Path -> groups of OUTSIDE that it may call. The first match counts.
ALL = set(OUTSIDE)
ALLOWED = (
    # The implementations of the tables of functions.
    (re.compile(r'^base/posix/'), ALL),
    (re.compile(r'^transport/nng_\w+\.[ch]$'), ALL - {'stdio', 'exit'}),
    (re.compile(r'^store/(?:posix_disk|rocks_\w+)\.[ch]$'), {'files'}),
    (re.compile(r'^gateway/listener\.[ch]$'), {'sockets', 'files'}),
    # Programs.
    (re.compile(r'^admin/'), {'stdio', 'exit', 'environment', 'signals'}),
    (re.compile(r'^node/(?:runner_)?main\.c$'),
     {'stdio', 'exit', 'environment', 'signals', 'clock'}), # alarm()
    # Where the real implementations are joined with the pure code.
    (re.compile(r'^(?:client/client|node/links)\.c$'), {'sockets'}),
    (re.compile(r'^(?:tests|bench|examples)/'), ALL),
    # All else is pure.
    (re.compile(r''), set()),
)

DEFINITION = r'^[A-Za-z_][^\n;=(]*[ *](%s)[ \t]*\('


def rules_for(path):
    allowed = next(groups for pattern, groups in ALLOWED
                   if pattern.match(path))
    calls = dict(BANNED)
    words = dict(BANNED_WORDS)
    for group, table in OUTSIDE.items():
        if group not in allowed:
            calls.update(table)
            if group == 'stdio':
                words.update(STDIO_WORDS)
    return calls, words


def faults_in(path, text):
    text = source.without_comments_and_strings(text)
    calls, words = rules_for(path)
    found = []
    for names, reason in calls.items():
        own = set(re.findall(DEFINITION % names, text, re.MULTILINE))
        for match in re.finditer(r'\b(%s)\s*\(' % names, text):
            before = text[:match.start()].rstrip()
            if before.endswith(('->', '.')) or match.group(1) in own:
                continue
            found.append((match.start(), match.group(1) + '()', reason))
    for names, reason in words.items():
        for match in re.finditer(r'\b(%s)\b' % names, text):
            found.append((match.start(), match.group(1), reason))
    return ['%s:%d: %s: %s' % (path, source.line_of(text, position), what,
                               reason)
            for position, what, reason in sorted(found)]


def check(root):
    faults = []
    for path in source.c_files(root):
        faults += faults_in(path, source.read(root, path))
    return faults


if __name__ == '__main__':
    source.run_check(check)
