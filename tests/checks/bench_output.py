#!/usr/bin/env python3
"""Runs troupe-bench once, briefly, and fails unless its output has the form
that is promised: JSON alone on stdout, every field there, names as listed.

    bench_output.py TROUPE_BENCH
"""

import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

FIELDS = {'suite': str, 'case': str, 'peer': str, 'value': (int, float),
          'unit': str, 'min': (int, float), 'max': (int, float), 'n': int}
PEERS = ['troupe', 'nng-pair0', 'zmq-pair', 'zmq-pair-curve']
CASES = {'oneway-100B': 'msgs/s', 'oneway-100B-bandwidth': 'MB/s',
         'oneway-100B-cpu': 'ns'}


def run(program, *arguments):
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)


def check_rows(rows, missing):
    for row in rows:
        assert set(row) == set(FIELDS), row
        for field, kind in FIELDS.items():
            assert isinstance(row[field], kind), (field, row)
        assert row['suite'] == 'link' and row['n'] == 1, row
        assert row['unit'] == CASES[row['case']], row
        assert 0 < row['min'] <= row['value'] <= row['max'], row
    found = {(row['case'], row['peer']) for row in rows}
    wanted = {(case, peer) for case in CASES for peer in PEERS
              if peer not in missing}
    assert found == wanted, (found, wanted)


def check_log(program):
    """The durable log writes where it is told to, and cleans up."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ['TROUPE_BENCH_FOLDER'] = folder
        result = run(program, 'log', '--quick', '--json', '--runs', '1',
                     '--case', 'append-b16')
        del os.environ['TROUPE_BENCH_FOLDER']
        assert result.returncode == 0, result.stderr
        assert os.listdir(folder) == []
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row['suite'], row['case'], row['unit'], row['peer'])
            for row in rows] == [
        ('log', 'append-b16', 'events/s', 'troupe'),
        ('log', 'append-b16', 'events/s', 'write+fdatasync')], rows
    assert all(row['value'] > 0 for row in rows), rows


def check_raft(program):
    """A cluster of processes commits, and cleans up."""
    wanted = {'commit-r3-g64-c64': 'ops/s', 'commit-r3-g64-c64-p50': 'us',
              'commit-r3-g64-c64-p99': 'us'}
    with tempfile.TemporaryDirectory() as folder:
        result = run(program, 'raft', '--quick', '--json', '--runs', '1',
                     '--peer', 'troupe', '--case', 'commit-r3-g64-c64*',
                     '--dir', folder)
        assert result.returncode == 0, result.stderr
        assert os.listdir(folder) == []
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row['case']: row['unit'] for row in rows} == wanted, rows
    assert all(row['suite'] == 'raft' and row['value'] > 0 for row in rows)
    wrong = run(program, 'raft', '--dir', '/nosuch')
    assert wrong.returncode == 2 and '/nosuch' in wrong.stderr, wrong
    assert wrong.stdout == ''


def check_cluster(program):
    """Whole nodes serve requests while shards change hands, and clean up."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(program, 'cluster', '--quick', '--json', '--runs', '1',
                     '--case', 'handover-p*', '--dir', folder)
        assert result.returncode == 0, result.stderr
        assert os.listdir(folder) == []
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row['suite'], row['case'], row['unit']) for row in rows] == [
        ('cluster', 'handover-p50', 'ms'),
        ('cluster', 'handover-p99', 'ms')], rows
    assert all(row['value'] > 0 for row in rows), rows


def check_task(program):
    """Whole nodes run tasks, a job queue beside them does if it is there, the
    core runs alone, and all of them clean up."""
    wanted = {'volatile': 'tasks/s', 'volatile-cpu': 'ns',
              'skewed-1ms-stealing': 'tasks/s',
              'skewed-1ms-stealing-cpu': 'ns', 'exec': 'commands/s'}
    found = {}
    for case, peer in [('volatile*', '[tb]*[ed]'),
                       ('skewed-1ms-stealing*', 'troupe'), ('exec', '*')]:
        with tempfile.TemporaryDirectory() as folder:
            result = run(program, 'task', '--quick', '--json', '--runs', '1',
                         '--case', case, '--peer', peer, '--dir', folder)
            assert result.returncode == 0, result.stderr
            assert os.listdir(folder) == []
        for row in map(json.loads, result.stdout.splitlines()):
            assert row['suite'] == 'task' and row['value'] > 0, row
            found[row['case']] = row['unit']
            is_missing = row['peer'] + ' is missing' in result.stderr
            assert not is_missing, (row, result.stderr)
    assert found == wanted, found


def check_plot_path(program):
    """That it can be written is found out before anything is measured."""
    some = ['link', '--quick', '--runs', '1', '--peer', 'nng-pair0', '--case']
    with tempfile.TemporaryDirectory() as folder:
        for path in ['/nosuch/x.svg', folder]:
            wrong = run(program, *some, 'oneway-64B', '--plot', path)
            assert wrong.returncode == 2, wrong.returncode
            assert path in wrong.stderr, wrong.stderr
            assert wrong.stdout == '', wrong.stdout
        # Looking makes no file, and spoils none that is there.
        plot = os.path.join(folder, 'plot.svg')
        run(program, *some, 'nosuch', '--plot', plot)
        assert not os.path.exists(plot)
        with open(plot, 'w') as file:
            file.write('older')
        run(program, *some, 'nosuch', '--plot', plot)
        with open(plot) as file:
            assert file.read() == 'older'


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        plot = os.path.join(folder, 'plot.svg')
        result = run(program, 'link', '--quick', '--json', '--runs', '1',
                     '--case', 'oneway-100B*', '--plot', plot)
        print(result.stderr)
        assert result.returncode == 0, result.returncode
        missing = [peer for peer in PEERS
                   if peer + ' is missing' in result.stderr]
        assert 'troupe' not in missing and 'nng-pair0' not in missing
        check_rows([json.loads(line) for line in result.stdout.splitlines()],
                   missing)
        xml.dom.minidom.parse(plot)

    table = run(program, 'link', '--quick', '--runs', '1', '--peer',
                'nng-pair0', '--case', 'oneway-64B')
    assert table.returncode == 0 and 'msgs/s' in table.stdout, table.stdout

    for arguments in (['nosuch'], [], ['link', '--runs', '0'],
                      ['link', '--runs', '3x'], ['link', '--nosuch']):
        wrong = run(program, *arguments)
        assert wrong.returncode == 2, arguments
        assert wrong.stdout == '' and wrong.stderr != '', arguments
    nothing = run(program, 'link', '--case', 'nosuch')
    assert nothing.returncode == 1 and nothing.stdout == ''
    check_plot_path(program)
    check_log(program)
    check_raft(program)
    check_cluster(program)
    check_task(program)


if __name__ == '__main__':
    main()
