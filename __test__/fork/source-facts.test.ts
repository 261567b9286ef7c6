import test from 'ava';

import { assertSameMachine, guestToBe, type SourceFacts } from '../../ts/fork/source-facts.ts';
import { deviceProblems } from '../../ts/restore/preflight/devices.ts';
import type { Destination } from '../../ts/restore/preflight/destination.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const FACTS: SourceFacts = {
  machine: 'pc-q35-10.0',
  target: 'x86_64',
  cpus: 2,
  kvm: true,
  pci: [
    { address: '0000:00:00.0', words: 'Host bridge' },
    { address: '0000:00:03.0', words: 'Ethernet controller' },
  ],
  memory: [
    {
      id: 'pc.ram',
      length: 64,
      maxLength: 64,
      hostPageSize: 4096,
      backend: undefined,
      file: undefined,
      why: '',
    },
  ],
  pid: 5,
};

test('a machine that is the same goes through, whoever asks', (t) => {
  t.notThrows(() => assertSameMachine(FACTS, { ...FACTS }));
});

test('every part of a machine that has changed is named', (t) => {
  const [memory] = FACTS.memory;
  const now: SourceFacts = {
    ...FACTS,
    cpus: 3,
    pci: undefined,
    memory: memory === undefined ? [] : [{ ...memory, length: 128 }],
  };
  const error = t.throws(() => assertSameMachine(FACTS, now), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  t.regex(error.message, /number of CPUs was 2, and is 3; its list of PCI devices was .* and is unknown/);
  t.regex(error.message, /memory was pc\.ram \(64 bytes\), and is pc\.ram \(128 bytes\)/);
});

test('a guest that is no snapshot yet is compared like one', async (t) => {
  await using dir = await temporaryDirectory();
  await using synthetic = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 16 }]);
  await using mapped = await Snapshot.open(synthetic.path);
  const { index, completeRam } = guestToBe(FACTS, mapped);
  t.is(index.machine, 'pc-q35-10.0');
  t.deepEqual(completeRam(true), mapped.completeRam(true));
  const clone: Destination = {
    runState: 'inmigrate',
    migrationStatus: 'none',
    machines: [],
    uuid: undefined,
    capabilities: [],
    ...FACTS,
  };
  t.deepEqual(deviceProblems(index, clone), []);
  const [bridge] = FACTS.pci ?? [];
  const other = { ...clone, cpus: 1, kvm: false, pci: bridge === undefined ? [] : [bridge] };
  const problems = deviceProblems(index, other).join('; ');
  t.regex(problems, /the guest has 2 CPUs, QEMU 1/);
  t.regex(problems, /ran under KVM/);
  t.regex(problems, /PCI device at 0000:00:03\.0 \(Ethernet controller\), QEMU has none there/);
});
