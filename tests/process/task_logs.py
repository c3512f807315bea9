"""Follows what a command writes while it runs, in a cluster of three daemons:
until it ends, and onto another node when its own is killed.

    task_logs.py BUILD-FOLDER
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

# Writes, then waits for somebody to open the pipe.
SCRIPT = 'echo oh >&2; echo one; read word <{pipe}; echo $word'


class Cluster:
    """`troupe dev`: a node that is killed comes back."""

    def __init__(self, build, folder):
        self.troupe = os.path.join(build, 'admin', 'troupe')
        self.world = dict(os.environ, HOME=folder, XDG_CONFIG_HOME=folder)
        self.dev = subprocess.Popen(
            [self.troupe, 'dev', '--dir', os.path.join(folder, 'lab')],
            env=self.world, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        while 'Ctrl-C ends them' not in self.dev.stdout.readline():
            assert self.dev.poll() is None, 'troupe dev has ended'

    def end(self):
        self.dev.send_signal(signal.SIGINT)
        self.dev.communicate()

    def call(self, *words):
        done = subprocess.run([self.troupe, *words], env=self.world, text=True,
                              check=False, capture_output=True)
        assert done.returncode == 0, (words, done)
        return done

    def submit(self, pipe):
        script = SCRIPT.format(pipe=pipe)
        return self.call('task', 'submit', '--detach', '--', 'sh', '-c',
                         script).stdout.strip()

    def follow(self, task):
        return subprocess.Popen(
            [self.troupe, 'task', 'logs', task, '--follow'], env=self.world,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def show(self, task):
        return json.loads(self.call('task', 'show', task, '--json').stdout)

    def kill(self, node):
        """The one of dev's children that was started for it."""
        parent = str(self.dev.pid)
        for name in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{name}/stat', encoding='utf-8') as file:
                    is_ours = file.read().rpartition(')')[2].split()[1] == parent
                with open(f'/proc/{name}/cmdline', encoding='utf-8') as file:
                    words = file.read()
            except OSError:
                continue  # it has ended meanwhile
            if is_ours and f'/{node}/' in words:
                os.kill(int(name), signal.SIGKILL)
                return
        raise AssertionError(f'no process of {node}')


def expect(what, found, wanted):
    assert found == wanted, f'{what}: {found!r} instead of {wanted!r}'


def answer(pipe, word):
    with open(pipe, 'w', encoding='utf-8') as file:
        file.write(word + '\n')


def check_end(followed, output):
    rest, said = followed.communicate()
    expect('the rest', rest, output)
    expect('exit status', followed.returncode, 0)
    return said


def shows_what_is_written_before_the_end(cluster, pipe):
    task = cluster.submit(pipe)
    followed = cluster.follow(task)
    expect('the beginning', followed.stdout.readline(), 'one\n')
    so_far = cluster.call('task', 'logs', task)
    expect('so far', so_far.stdout, 'one\n')
    assert 'oh\n' in so_far.stderr and 'it still runs' in so_far.stderr, so_far
    answer(pipe, 'two')
    said = check_end(followed, 'two\n')
    expect('errors', said.count('oh\n'), 1)
    expect('all', cluster.call('task', 'logs', task).stdout, 'one\ntwo\n')


def goes_on_where_the_task_does(cluster, pipe):
    task = cluster.submit(pipe)
    followed = cluster.follow(task)
    expect('the beginning', followed.stdout.readline(), 'one\n')
    cluster.kill(cluster.show(task)['agent'])
    expect('the next attempt', followed.stdout.readline(), 'one\n')
    answer(pipe, 'two')
    said = check_end(followed, 'two\n')
    assert 'what the one before wrote last is not kept' in said, said


def main():
    with tempfile.TemporaryDirectory(prefix='troupe-logs-') as folder:
        pipe = os.path.join(folder, 'pipe')
        os.mkfifo(pipe)
        cluster = Cluster(sys.argv[1], folder)
        try:
            shows_what_is_written_before_the_end(cluster, pipe)
            goes_on_where_the_task_does(cluster, pipe)
        finally:
            cluster.end()


main()
