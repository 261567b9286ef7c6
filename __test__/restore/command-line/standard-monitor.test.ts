import test from 'ava';

import { parseCommandLine } from '../../../ts/restore/command-line/options.ts';
import { standardMonitor } from '../../../ts/restore/command-line/standard-monitor.ts';

const BOTH = ['-serial', 'mon:stdio'];
const MONITOR = ['-monitor', 'stdio'];

test('-nographic keeps serial port and monitor where QEMU has them by itself, and nowhere else', (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['-m 1G', []],
    ['-m 1G -nographic', BOTH],
    ['--nographic -drive file=x', BOTH],
    ['-nographic -display none', BOTH],
    ['-nographic -serial file:x', MONITOR],
    ['-nographic -device isa-serial,chardev=c', MONITOR],
    ['-nographic -serial mon:stdio', []],
    ['-nographic -monitor none', []],
    ['-nographic -mon chardev=c', []],
    ['-nographic -qmp unix:x', []],
    ['-nographic -object monitor-hmp,id=m,chardev=c', []],
    ['-nographic -object {"qom-type":"monitor-qmp","id":"m","chardev":"c"}', []],
    ['-nographic -object rng-builtin,id=r', BOTH],
    ['-nographic -nodefaults', []],
  ];
  for (const [line, added] of cases)
    t.deepEqual(standardMonitor(parseCommandLine(line.split(' '))), added, line);
});
