#!/usr/bin/env python3
"""Kills everything, while durable tasks are submitted: nothing is lost.

    kill_test.py --build BUILD --plugin FILE [--seed N]

Three sealed nodes, replication 3. Two submitters hand over tasks with keys and
order keys, for commands and for a plug-in; meanwhile whatever there is, is
killed, in an order that the seed says: submitters, running commands, hosts of
plug-ins, runners, nodes that work, nodes that lead, any node, all nodes; a shard
moves and a node is drained. A submitter that was killed begins at its first task again.

In the end all tasks are asked for once more, by their keys, and

* every task has the id that it was accepted under, and that no other has;
* the pools have accepted as many tasks as there are keys, and ended each once;
* each is done, with the right result; or it is one of those that kill
  themselves: then it is dead, and says why;
* tasks of one order key have run one after another.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..',
                                'examples'))
import demo  # noqa: E402

GENEROUS_SECONDS = 90
ORDER_COUNT = 6
OPEN_COUNT = 48      # tasks that a submitter is ahead of what it knows
CRASH_EVERY = 150    # tasks
BETWEEN_COUNT = 60   # things heard of tasks between two disturbances
QUEUE_MAX = 64       # of the pool of commands: its submitter waits for room

# The fence is what a file system would ask for: see troupe_task_token().
SCRIPT = ('printf "%s %s %s %s\\n" "$2" "$3" "$TROUPE_FENCE" "$TROUPE_TASK" '
          '>>"$1" && sleep 0.02 && printf %s "$2:$3" | sha256sum')


def say(text):
    print(text, flush=True)


class Failure(Exception):
    pass


def until(is_true, what):
    """Look again until it is true."""
    end = time.monotonic() + GENEROUS_SECONDS
    while True:
        found = is_true()
        if found:
            return found
        if time.monotonic() > end:
            raise Failure(f'waited {GENEROUS_SECONDS} s: {what}')
        time.sleep(0.01)


# ---- what is submitted -----------------------------------------------------

class Work:
    """The tasks of one pool: the n-th is always the same."""

    def __init__(self, pool, marks):
        self.pool = pool
        self.marks = marks

    def spec(self, index):
        if index % CRASH_EVERY == CRASH_EVERY - 1:
            return {'payload': self.payload('crash', index),
                    'key': f'crash {index}', 'attempts_max': 2}
        order, number = self.place(index)
        return {'payload': self.payload(order, number),
                'key': f'{order} {number}', 'order': order}

    def place(self, index):
        """Its order key, and which of that it is."""
        index -= index // CRASH_EVERY
        return f'order-{index % ORDER_COUNT}', index // ORDER_COUNT

    def is_crash(self, index):
        return self.spec(index)['key'].startswith('crash')


class CommandWork(Work):
    def payload(self, order, number):
        if order == 'crash':
            return {'argv': ['sh', '-c', 'kill -9 $$', order, str(number)]}
        return {'argv': ['sh', '-c', SCRIPT, 'sh', self.marks, order,
                         str(number)]}

    def is_right(self, result, index):
        text = '%s:%d' % self.place(index)
        return result.get('stdout', '').split()[:1] == \
            [hashlib.sha256(text.encode()).hexdigest()]


class PluginWork(Work):
    def payload(self, order, number):
        return f' {self.marks} {order} {number}'

    def is_right(self, result, index):
        return result.get('output') == str(self.place(index)[1] ** 2)


# ---- who submits -----------------------------------------------------------

class Submitter:
    """One `troupe task submit` after another, each from the first task on."""

    def __init__(self, cluster, work, flag, heard):
        self.work = work
        self.heard = heard
        self.argv = cluster.argv('task', 'submit', '--pool', work.pool,
                                 '--spec', '--json', flag)
        self.lock = threading.Condition()
        self.ids = {}            # by index
        self.given = 0           # the most that a process was given
        self.is_ending = False
        self.kills = 0
        self.error = None
        self.process = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.run_once():
                pass
        except Failure as failure:
            self.error = failure

    def run_once(self):
        """Whether it was the last."""
        process = subprocess.Popen(self.argv, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        with self.lock:
            self.process = process
            self.known = set()
        feeder = threading.Thread(target=self.feed, args=(process,))
        feeder.start()
        for line in process.stdout:
            self.take(line)
        code = process.wait()
        with self.lock:
            self.lock.notify_all()
        feeder.join()
        if code == -signal.SIGKILL:
            return False
        # 1: the tasks that kill themselves have failed.
        if code not in (0, 1):
            raise Failure(f'{" ".join(self.argv)}: exit status {code}')
        return True

    def take(self, line):
        if not line.endswith('\n'):
            return  # it was killed while it wrote
        result = json.loads(line)
        index = result['line'] - 1
        if 'id' not in result:
            raise Failure(f'{self.work.pool}: {line}')
        with self.lock:
            known = self.ids.setdefault(index, result['id'])
            self.known.add(index)
            self.lock.notify_all()
        if known != result['id']:
            raise Failure(f'{self.work.pool}: task {index} was {known}, and '
                          f'is {result["id"]} now')
        self.heard.release()

    def may_give(self, process, index):
        """Wait until it may have the task; False: it has ended, or shall."""
        with self.lock:
            while process.poll() is None and \
                    index - len(self.known) >= OPEN_COUNT:
                self.lock.wait(0.2)
            return process.poll() is None and \
                not (self.is_ending and index >= self.given)

    def feed(self, process):
        index = 0
        try:
            while self.may_give(process, index):
                process.stdin.write(json.dumps(self.work.spec(index)) + '\n')
                process.stdin.flush()
                index += 1
                self.given = max(self.given, index)
            process.stdin.close()
        except BrokenPipeError:
            pass

    def kill(self):
        with self.lock:
            process = self.process
        process.kill()
        self.kills += 1

    def end(self):
        with self.lock:
            self.is_ending = True
        self.thread.join(GENEROUS_SECONDS)
        if self.thread.is_alive():
            self.process.kill()
            raise Failure(f'{self.work.pool}: its submitter does not end')
        if self.error:
            raise self.error


# ---- whom to kill ----------------------------------------------------------

def children_of(pid):
    """The processes below it, by their numbers, with their names."""
    found = {}
    for entry in os.listdir('/proc'):
        try:
            with open(f'/proc/{entry}/stat') as file:
                head, rest = file.read().rsplit(')', 1)
        except OSError:
            continue  # no process, or it has ended
        if int(rest.split()[1]) == pid:
            found[int(entry)] = head.split('(', 1)[1]
    return found


class Disturber:
    def __init__(self, cluster, submitters, chance):
        self.cluster = cluster
        self.submitters = submitters
        self.chance = chance
        self.deeds = [
            self.kill_submitter, self.kill_command, self.kill_host,
            self.kill_runner, self.kill_node_that_works,
            self.kill_node_that_leads, self.kill_any_node, self.kill_all_nodes,
            self.move_a_shard, self.drain_a_node,
        ]

    def runners(self):
        """By node."""
        found = {}
        for node, process in self.cluster.processes.items():
            for pid, name in children_of(process.pid).items():
                if name.startswith('troupe-runner'):
                    found[node] = pid
        return found

    def below_runners(self, is_host):
        """(node, process) of plug-ins, or of commands."""
        return [(node, pid) for node, runner in self.runners().items()
                for pid, name in children_of(runner).items()
                if name.startswith('troupe-runner') == is_host]

    def kill(self, find, what):
        """One of those that there are, if need be as soon as there is one."""
        while True:
            node, pid = self.chance.choice(until(find, what))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has just ended by itself
            say(f'  kill {what} of {node}')
            return

    def kill_submitter(self):
        submitter = self.chance.choice(self.submitters)
        say(f'  kill the submitter of {submitter.work.pool}')
        submitter.kill()

    def kill_command(self):
        self.kill(lambda: self.below_runners(False), 'a command')

    def kill_host(self):
        self.kill(lambda: self.below_runners(True), 'a host')

    def kill_runner(self):
        self.kill(lambda: list(self.runners().items()), 'the runner')

    def restart(self, nodes, why):
        say(f'  kill {" ".join(nodes)}, {why}')
        for node in nodes:
            self.cluster.kill(node)
        for node in nodes:
            self.cluster.start(node)
        self.cluster.await_ready()

    def kill_node_that_works(self):
        node, _ = self.chance.choice(
            until(lambda: self.below_runners(False), 'a command runs'))
        self.restart([node], 'which runs commands')

    def shards(self):
        return json.loads(
            self.cluster.command('shard', 'map', '--json'))['shards']

    def leads(self, node):
        members = json.loads(
            self.cluster.command('node', 'ls', '--json'))['members']
        return next(m['leads'] for m in members if m['name'] == node)

    def kill_node_that_leads(self):
        """The coordinator of tasks that wait."""
        tasks = until(lambda: json.loads(self.cluster.command(
            'task', 'ls', '--state', 'waiting', '--json'))['tasks'],
            'tasks wait')
        shard = int(self.chance.choice(tasks)['id'].split('-')[0])
        leader = until(lambda: self.shards()[shard].get('leader'),
                       f'shard {shard} has a leader')
        self.restart([leader], f'which leads shard {shard}')

    def kill_any_node(self):
        self.restart([self.chance.choice(demo.NODES)], 'whatever it does')

    def kill_all_nodes(self):
        self.restart(demo.NODES, 'all there are')

    def tell(self, *words):
        """As an operator who tries again when something else was going on."""
        argv = self.cluster.argv(*words)
        until(lambda: subprocess.run(argv, capture_output=True).returncode == 0,
              ' '.join(words))

    def move_a_shard(self):
        shard = self.chance.choice(self.shards())
        target = self.chance.choice(
            [node for node in demo.NODES if node != shard['owner']])
        say(f'  move shard {shard["shard"]} to {target}')
        self.tell('shard', 'move', str(shard['shard']), '--to', target,
                  '--yes')

    def drain_a_node(self):
        """As far as it goes: its replicas have no other node to go to."""
        node = self.chance.choice(demo.NODES)
        say(f'  drain {node}')
        self.tell('node', 'drain', node, '--detach', '--yes')
        until(lambda: self.leads(node) == 0, f'{node} leads nothing')
        self.tell('node', 'uncordon', node)

    def disturb(self, heard):
        deeds = 2 * self.deeds
        self.chance.shuffle(deeds)
        for deed in deeds:
            for _ in range(BETWEEN_COUNT):
                if not heard.acquire(timeout=GENEROUS_SECONDS):
                    raise Failure('nothing is heard of tasks any more')
            deed()


# ---- what must hold --------------------------------------------------------

class Checker:
    def __init__(self, cluster):
        self.cluster = cluster
        self.wrong = []

    def check(self, is_right, what):
        if not is_right:
            self.wrong.append(what)

    def results(self, submitter):
        """Of all its tasks, once more by their keys."""
        work = submitter.work
        path = os.path.join(self.cluster.folder, work.pool + '.jsonl')
        with open(path, 'w') as file:
            for index in range(submitter.given):
                file.write(json.dumps(work.spec(index)) + '\n')
        text = self.cluster.command(
            'task', 'submit', '--pool', work.pool, '--spec', '--file', path,
            '--wait', '--order', 'submit', '--json', check=False)
        return [json.loads(line) for line in text.splitlines()]

    def check_pool(self, submitter):
        work = submitter.work
        results = self.results(submitter)
        self.check(len(results) == submitter.given,
                   f'{work.pool}: {len(results)} results of '
                   f'{submitter.given} tasks')
        ids = [result.get('id') for result in results]
        self.check(len(set(ids)) == len(ids), f'{work.pool}: an id twice')
        for index, result in enumerate(results):
            self.check_result(work, index, result)
            self.check(submitter.ids.get(index, result.get('id')) ==
                       result.get('id'),
                       f'{work.pool}: task {index} was '
                       f'{submitter.ids.get(index)}: {result}')
        self.check_counts(work, results)
        return ids

    def check_result(self, work, index, result):
        if work.is_crash(index):
            is_right = result['state'] == 'dead' and result.get('why')
        else:
            is_right = result['state'] == 'done' and \
                work.is_right(result, index)
        self.check(is_right, f'{work.pool}: task {index}: {result}')

    def check_counts(self, work, results):
        pools = json.loads(self.cluster.command('pool', 'ls', '--json'))
        pool = next(p for p in pools['pools'] if p['name'] == work.pool)
        dead = sum(work.is_crash(i) for i in range(len(results)))
        expected = {'accepted_total': len(results), 'waiting': 0,
                    'done_total': len(results) - dead, 'dead_total': dead,
                    'dead_dropped': 0}
        found = {name: pool[name] for name in expected}
        self.check(found == expected,
                   f'{work.pool}: {found}, expected {expected}')
        say(f'{work.pool}: {found}, {pool["retried_total"]} retried')

    def check_marks(self, work, ids):
        """Whoever was thought dead and wrote late, is refused by its fence."""
        fences = {}
        numbers = {}
        indexes = {work.place(i): i for i in range(len(ids))
                   if not work.is_crash(i)}
        with open(work.marks) as file:
            for line in file:
                order, number, fence, task = line.split()
                number, fence = int(number), int(fence)
                if fence <= fences.get(order, 0):
                    say(f'{work.pool}: refused by its fence: {line.strip()}')
                    continue
                fences[order] = fence
                before = numbers.get(order, -1)
                self.check(number in (before, before + 1),
                           f'{work.pool}: {order}: {number} after {before}')
                numbers[order] = number
                shard, sequence = ids[indexes[order, number]].split('-')
                self.check(int(task) == int(shard) << 52 | int(sequence),
                           f'{work.pool}: {line.strip()} is another task')
        for order, number in indexes:
            self.check(numbers.get(order, -1) >= number,
                       f'{work.pool}: {order} {number} has not run')


# ---- all of it -------------------------------------------------------------

def apply_pools(cluster, plugin):
    common = {'workers': 2, 'lease_ms': 5000, 'attempts_max': 1000,
              'backoff_min_ms': 10, 'backoff_max_ms': 100}
    pools = {
        'commands': {'handler': 'exec', 'commands': ['sh'],
                     'queue_max': QUEUE_MAX, **common},
        'plugin': {'handler': 'plugin', 'plugin': plugin, 'function': 'mark',
                   **common},
    }
    for name, pool in pools.items():
        path = os.path.join(cluster.folder, name + '.json')
        with open(path, 'w') as file:
            json.dump({'name': name, **pool}, file)
        cluster.command('pool', 'apply', path, '--yes')


def run(cluster, plugin, chance):
    cluster.found()
    cluster.await_ready()
    apply_pools(cluster, plugin)
    heard = threading.Semaphore(0)
    works = [kind(pool, os.path.join(cluster.folder, pool + '.marks'))
             for pool, kind in (('commands', CommandWork),
                                ('plugin', PluginWork))]
    # The one hears of each that it is accepted, the other that it has ended.
    submitters = [Submitter(cluster, work, flag, heard)
                  for work, flag in zip(works, ('--detach', '--wait'))]
    try:
        Disturber(cluster, submitters, chance).disturb(heard)
    finally:
        for submitter in submitters:
            submitter.end()
    checker = Checker(cluster)
    for submitter in submitters:
        ids = checker.check_pool(submitter)
        checker.check_marks(submitter.work, ids)
    return checker.wrong


def show_logs(folder):
    for name in sorted(os.listdir(folder)):
        if name.endswith('.log'):
            with open(os.path.join(folder, name), errors='replace') as file:
                say(f'---- {name}\n{"".join(file.readlines()[-60:])}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--build', required=True)
    parser.add_argument('--plugin', required=True)
    parser.add_argument('--seed', type=int,
                        default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(f'seed {arguments.seed}')
    folder = tempfile.mkdtemp(prefix='troupe-kill-')
    cluster = demo.Cluster(arguments.build, folder)
    try:
        wrong = run(cluster, os.path.abspath(arguments.plugin),
                    random.Random(arguments.seed))
    except (Failure, SystemExit) as failure:  # also a command that failed
        wrong = [str(failure)]
    finally:
        cluster.stop()
    wrong += [f'{node} has ended with {process.returncode}'
              for node, process in cluster.processes.items()
              if process.returncode != 0]
    if wrong:
        show_logs(folder)
    shutil.rmtree(folder)
    for line in wrong[:20]:
        say('WRONG: ' + line)
    say(f'{len(wrong)} wrong (seed {arguments.seed})' if wrong else 'all right')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
