#!/usr/bin/env python3
"""The main job: SHA-256 of every file below a directory, by a cluster.

Three sealed nodes on this machine, replication 3. Each regular file is a task;
workers on all nodes do it, half as commands (`sha256sum`), half in a C plug-in
(examples/sha256_plugin.c). Meanwhile one node is killed and started again, and
a shard is moved. At the end every result is compared with what `sha256sum`
itself says: the exit status is 0 only if all are equal, none is missing and
none is there twice.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NODES = ['alpha', 'beta', 'gamma']
VICTIM = 'gamma'
READY_SECONDS = 60
AWAY_SECONDS = 1.5


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog='./dev demo', description=__doc__.split('\n\n')[0])
    parser.add_argument('directory', nargs='?', default='/usr/include',
                        help='whose files are hashed (/usr/include)')
    parser.add_argument('--keep', action='store_true',
                        help='leave the cluster running, and say how to look '
                             'around in it')
    parser.add_argument('--files', type=int, default=0, metavar='N',
                        help='only the first N files')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def say(text):
    print(text, flush=True)


def files_below(directory, count):
    found = []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) \
                    and os.access(path, os.R_OK) \
                    and path.isprintable() and '\\' not in path:
                found.append(path)
                if count and len(found) == count:
                    return found
    return found


class Cluster:
    """Three nodes in a folder of their own."""

    def __init__(self, build, folder):
        self.troupe_path = os.path.join(build, 'admin', 'troupe')
        self.trouped_path = os.path.join(build, 'node', 'trouped')
        self.plugin = os.path.join(build, 'examples', 'sha256_plugin.so')
        self.folder = folder
        self.processes = {}
        self.logs = {}

    def found(self):
        self.command('cluster', 'init', 'demo', *NODES, '--transport', 'ipc',
                     '--out', os.path.join(self.folder, 'cluster'), link=False)
        for node in [*NODES, 'operator']:
            self.edit(node)
        for node in NODES:
            self.start(node)

    def edit(self, node):
        """As a person would: where files are, and that commands may run."""
        path = self.config_of(node)
        with open(path) as file:
            text = file.read()
        text = text.replace('node:\n', f'node:\n  data_dir: "{self.folder}/data"'
                            '\n  exec: true\n', 1)
        text = text.replace('  transport: ipc\n', '  transport: ipc\n'
                            f'  ipc_dir: "{self.folder}"\n', 1)
        with open(path, 'w') as file:
            file.write(text)

    def config_of(self, node):
        return os.path.join(self.folder, 'cluster', node, 'cluster.yaml')

    @property
    def config(self):
        return os.path.join(self.folder, 'cluster', 'operator', 'cluster.yaml')

    def start(self, node):
        log = open(os.path.join(self.folder, node + '.log'), 'ab')
        self.processes[node] = subprocess.Popen(
            [self.trouped_path, '--config', self.config_of(node)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        log.close()

    def kill(self, node):
        self.processes[node].send_signal(signal.SIGKILL)
        self.processes[node].wait()

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def argv(self, *words):
        return [self.troupe_path, *words, '--config', self.config]

    def command(self, *words, link=True, check=True):
        """Run `troupe`; what it prints."""
        argv = self.argv(*words) if link else [self.troupe_path, *words]
        done = subprocess.run(argv, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise SystemExit(f'{" ".join(argv)}: exit status '
                             f'{done.returncode}\n{done.stderr}')
        return done.stdout

    def await_ready(self):
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            done = subprocess.run(self.argv('cluster', 'status', '--json',
                                            '--timeout', '2s'),
                                  capture_output=True, text=True)
            if done.returncode == 0:
                status = json.loads(done.stdout)
                if status['founded'] and status['shards']['unled'] == 0 \
                        and status['members']['heard'] == len(NODES):
                    return
            time.sleep(0.05)
        raise SystemExit('the cluster does not get ready; its logs are in '
                         + self.folder)


def apply_pools(cluster):
    pools = {
        'hash-commands': {'handler': 'exec', 'commands': ['sha256sum'],
                          'workers': 2, 'lease_ms': 5000},
        'hash-plugin': {'handler': 'plugin', 'plugin': cluster.plugin,
                        'function': 'sha256_of_file', 'workers': 2,
                        'lease_ms': 5000},
    }
    for name, pool in pools.items():
        path = os.path.join(cluster.folder, name + '.json')
        with open(path, 'w') as file:
            json.dump({'name': name, **pool}, file)
        cluster.command('pool', 'apply', path, '--yes')


class Job:
    """One `troupe task submit --wait`, that reads tasks and prints results."""

    def __init__(self, cluster, pool, lines, arrivals):
        self.path = os.path.join(cluster.folder, pool + '.jsonl')
        with open(self.path, 'w') as file:
            for line in lines:
                file.write(json.dumps(line) + '\n')
        self.count = len(lines)
        self.results = []
        self.arrivals = arrivals
        self.process = subprocess.Popen(
            cluster.argv('task', 'submit', '--pool', pool, '--file', self.path,
                         '--spec', '--wait', '--order', 'submit', '--json'),
            stdout=subprocess.PIPE, text=True)

    def read(self):
        for line in self.process.stdout:
            self.results.append(json.loads(line))
            self.arrivals.append(time.monotonic())
        self.process.wait()


def run_jobs(cluster, halves, arrivals):
    import threading
    commands, plugin = halves
    jobs = [
        Job(cluster, 'hash-commands',
            [{'payload': {'argv': ['sha256sum', '-b', path]}, 'key': path}
             for path in commands], arrivals),
        Job(cluster, 'hash-plugin',
            [{'payload': path, 'key': path} for path in plugin], arrivals),
    ]
    threads = [threading.Thread(target=job.read) for job in jobs]
    for thread in threads:
        thread.start()
    return jobs, threads


def disturb(cluster, job, arrivals, total):
    """Kill a node when a quarter is done, start it again, move a shard."""
    while len(arrivals) < total // 4 and job.process.poll() is None:
        time.sleep(0.01)
    say(f'  kill -9 {VICTIM}, with {len(arrivals)} of {total} done')
    cluster.kill(VICTIM)
    killed = time.monotonic()
    time.sleep(AWAY_SECONDS)
    cluster.start(VICTIM)
    say(f'  {VICTIM} started again')
    shards = json.loads(cluster.command('shard', 'map', '--json'))['shards']
    owner = shards[0]['owner']
    target = 'beta' if owner == 'alpha' else 'alpha'
    # Or it would be moved back, to keep the balance.
    cluster.command('shard', 'pause')
    cluster.command('shard', 'move', '0', '--to', target, '--yes')
    say(f'  shard 0 moves from {owner} to {target}')
    return killed


def expected_of(paths):
    """What sha256sum says."""
    digests = {}
    for start in range(0, len(paths), 500):
        done = subprocess.run(['sha256sum', '-b', '--', *paths[start:start + 500]],
                              capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            digest, path = line.split(' *', 1)
            digests[path] = digest
    return digests


def digest_of(result):
    output = result.get('stdout', result.get('output', ''))
    return str(output).split(' ')[0].strip()


def compare(jobs, halves, expected):
    wrong = []
    for job, paths in zip(jobs, halves):
        if len(job.results) != len(paths):
            wrong.append(f'{len(job.results)} results of {len(paths)} tasks')
        ids = [result.get('id') for result in job.results]
        if len(set(ids)) != len(ids):
            wrong.append('a task has two results')
        for path, result in zip(paths, job.results):
            if result.get('state') != 'done':
                wrong.append(f'{path}: {json.dumps(result)}')
            elif digest_of(result) != expected[path]:
                wrong.append(f'{path}: {digest_of(result)} is not '
                             f'{expected[path]}')
    return wrong


def gap_after(arrivals, killed):
    """The longest time without a result, in the two seconds after the kill."""
    times = sorted(t for t in arrivals if killed - 0.1 <= t <= killed + 2)
    return max((b - a for a, b in zip(times, times[1:])), default=0)


def tell(cluster, jobs, paths, seconds, gap):
    size = sum(os.path.getsize(path) for path in paths)
    retries = sum(result.get('attempts', 1) - 1
                  for job in jobs for result in job.results)
    say(f'\n{len(paths)} files, {size / 1e6:.1f} MB, in {seconds:.1f} s: '
        f'{len(paths) / seconds:.0f} tasks/s, {size / seconds / 1e6:.1f} MB/s')
    say(f'{retries} attempts more than tasks; {gap * 1000:.0f} ms at most '
        f'without a result around the kill')
    say(cluster.command('pool', 'steal-stats', check=False).rstrip())
    say('')
    say('\n'.join(cluster.command('shard', 'map', check=False)
                  .splitlines()[:12]) + '\n  ...')


def look_around(cluster):
    say(f'''
The cluster runs on. Look around:

  export PATH={os.path.dirname(cluster.troupe_path)}:$PATH
  troupe context add demo --config {cluster.config}
  troupe context use demo
  troupe cluster status
  troupe shard map
  troupe task submit -- echo hello
  troupe task ls
  troupe top

To end it:  pkill -f {cluster.folder} && rm -r {cluster.folder}''')


def main():
    arguments = parse_arguments()
    paths = files_below(arguments.directory, arguments.files)
    if not paths:
        raise SystemExit(f'{arguments.directory}: no files to hash')
    folder = tempfile.mkdtemp(prefix='troupe-demo-')
    cluster = Cluster(arguments.build, folder)
    halves = (paths[0::2], paths[1::2])
    arrivals = []
    try:
        began = time.monotonic()
        cluster.found()
        cluster.await_ready()
        say(f'three sealed nodes, replication 3, ready after '
            f'{time.monotonic() - began:.1f} s')
        apply_pools(cluster)
        say(f'{len(paths)} files below {arguments.directory}: '
            f'{len(halves[0])} by commands, {len(halves[1])} by a plug-in')
        began = time.monotonic()
        jobs, threads = run_jobs(cluster, halves, arrivals)
        killed = disturb(cluster, jobs[0], arrivals, len(paths))
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        cluster.await_ready()
        wrong = compare(jobs, halves, expected_of(paths))
        tell(cluster, jobs, paths, seconds, gap_after(arrivals, killed))
        for line in wrong[:20]:
            say('WRONG: ' + line)
        say(f'\nAll {len(paths)} results equal those of sha256sum, none is '
            f'missing, none is there twice.' if not wrong
            else f'\n{len(wrong)} results are wrong.')
        if arguments.keep:
            look_around(cluster)
        return 1 if wrong else 0
    finally:
        if not arguments.keep:
            cluster.stop()
            shutil.rmtree(folder)


if __name__ == '__main__':
    sys.exit(main())
