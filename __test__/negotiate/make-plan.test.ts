import test from 'ava';

import { makeRestorePlan } from '../../ts/negotiate/make-restore-plan.ts';
import { makeSavePlan } from '../../ts/negotiate/make-save-plan.ts';
import type { MemoryBlock } from '../../ts/qemu/memory/memory-block.ts';
import type { RestorePlan, SavePlan } from '../../ts/negotiate/plan.ts';
import type { RestoreRequest, SaveRequest } from '../../ts/negotiate/request.ts';
import {
  type Differences,
  firmware,
  index,
  MIB,
  privateBlock,
  restore,
  save,
  sharedBlock,
  situation,
} from './situations.ts';

const saving = (request: Partial<SaveRequest> = {}, different: Differences = {}): SavePlan =>
  makeSavePlan(situation(save(request), different), save(request));

const restoring = (request: Partial<RestoreRequest> = {}, different: Differences = {}): RestorePlan =>
  makeRestorePlan(situation(restore(request), different), restore(request));

test('a save by QEMU takes all that is fast', (t) => {
  const plan = saving();
  t.like(plan, {
    direction: 'save',
    writer: { value: 'qemu', rule: 'engine-memory-private' },
    format: 'mapped-ram',
    mappedRam: { value: true },
    multifd: { value: true },
    channels: { value: 4 },
    directIo: { value: true },
    xIgnoreShared: { value: false },
    fdset: { value: true },
    zeroPageDetection: { value: 'multifd' },
    engineBlocks: [],
  });
  t.deepEqual(plan.capabilities, {
    events: true,
    'mapped-ram': true,
    multifd: true,
    'x-ignore-shared': false,
  });
  t.deepEqual(plan.parameters, {
    'max-bandwidth': 0,
    'zero-page-detection': 'multifd',
    'multifd-channels': 4,
    'direct-io': true,
  });
  t.regex(plan.writer.why, /pc\.ram is not: memory-backend-ram has no file/);
});

test('an old QEMU writes a plain stream to the same file, through one channel and the page cache', (t) => {
  const features = { mappedRam: false, directIo: false, zeroPageDetection: false };
  const old = { features, qemu: { capabilities: new Map([['multifd', false]]) } };
  const plan = saving({}, old);
  t.like(plan, {
    format: 'stream',
    target: { address: { transport: 'file', filename: '/snapshots/guest' } },
    mappedRam: { value: false, rule: 'mapped-ram-missing' },
    multifd: { value: false, rule: 'multifd-needs-mapped-ram' },
    channels: { value: 1 },
    directIo: { value: false, rule: 'direct-io-missing' },
    zeroPageDetection: { value: 'legacy' },
  });
  // The plan sets nothing that this QEMU does not have.
  t.deepEqual(plan.capabilities, { multifd: false });
  t.deepEqual(plan.parameters, { 'max-bandwidth': 0 });
});

test('what was asked for is in the plan as it was asked for', (t) => {
  const asked = {
    writer: 'qemu',
    mappedRam: 'on',
    multifd: 'on',
    channels: 255,
    directIo: 'off',
    xIgnoreShared: 'on',
    fdset: 'off',
    zeroPageDetection: 'none',
    maxBandwidth: 1000,
  } as const;
  const plan = saving(asked, { parameters: { 'max-bandwidth': 5 } });
  t.like(plan, {
    writer: { value: 'qemu' },
    mappedRam: { value: true },
    multifd: { value: true },
    channels: { value: 255 },
    directIo: { value: false },
    xIgnoreShared: { value: true },
    fdset: { value: false },
    zeroPageDetection: { value: 'none' },
  });
  t.like(plan.parameters, { 'max-bandwidth': 1000, 'multifd-channels': 255, 'direct-io': false });
  t.deepEqual(
    plan.notes.map(({ rule }) => rule),
    ['shared-memory-left-out'],
  );
});

test('the engine writes where all large blocks are in shared files', (t) => {
  const small = { ...privateBlock, id: 'small', length: 16 * MIB };
  const alsoShared = { ...sharedBlock, id: 'nvdimm', length: MIB };
  const plan = saving({}, { qemu: { memory: [sharedBlock, small, alsoShared, firmware] } });
  t.like(plan, {
    writer: { value: 'engine' },
    format: 'mapped-ram',
    mappedRam: { value: false },
    multifd: { value: false, rule: 'multifd-engine' },
    channels: { value: undefined },
    xIgnoreShared: { value: true },
    directIo: { value: true },
    fdset: { value: true },
  });
  // QEMU leaves small shared blocks out, too.
  t.deepEqual(
    plan.engineBlocks.map(({ id }) => id),
    ['m0', 'nvdimm'],
  );
  t.like(plan.capabilities, { 'mapped-ram': false, multifd: false, 'x-ignore-shared': true });
  // QEMU's direct-io is about QEMU's memory pages.
  t.deepEqual(plan.parameters, { 'max-bandwidth': 0, 'direct-io': false });
});

test('who asks for a guest that stays stopped gets its disks given up, unless only the engine will do', (t) => {
  const different: Differences = {
    capture: {},
    ownDisks: ['/disks/root'],
    qemu: { memory: [sharedBlock, firmware] },
  };
  const migrated = saving({ after: 'stop' }, different);
  t.like(migrated, { writer: { value: 'engine' }, xIgnoreShared: { value: true } });
  t.like(migrated.stateOnly, { value: false, rule: undefined });
  t.regex(migrated.stateOnly.why, /give its disks up \(\/disks\/root\)/);
  const others: readonly (readonly [Partial<SaveRequest>, Differences])[] = [
    [{}, different],
    [{ after: 'cont' }, different],
    [{ after: 'stop', writer: 'engine' }, different],
    [{ after: 'stop', base: 'auto' }, different],
    [{ after: 'stop' }, { ...different, ownDisks: [] }],
    [{ after: 'stop' }, { ...different, ownDisks: undefined }],
  ];
  for (const [request, how] of others) t.true(saving(request, how).stateOnly.value, JSON.stringify(request));
});

test('under KVM a save that only the engine can do is not left to QEMU for a short pause', (t) => {
  const large: Differences = { capture: { ownBytes: 2 ** 52 }, kvm: true };
  t.like(saving({}, large), { writer: { value: 'qemu' }, live: { value: true } });
  t.like(saving({ wantsEngine: true }, large), { writer: { value: 'engine' }, live: { value: false } });
  const inUse = { ...large, diskUsers: [{ words: 'block job b (backup)', hinders: true }] };
  t.like(saving({}, inUse), { writer: { value: 'engine' }, live: { value: false } });
});

test('where QEMU is to write, that is why nothing is taken out of its process', (t) => {
  for (const fdset of ['auto', 'off'] as const) {
    const { stateOnly } = saving({ writer: 'qemu', fdset });
    t.like(stateOnly, { value: false });
    t.is(stateOnly.why, 'the writer qemu was asked for');
  }
});

test('one byte more than a small block may have makes it QEMU’s', (t) => {
  const large = { ...privateBlock, id: 'large', length: 16 * MIB + 4096 };
  const plan = saving({}, { qemu: { memory: [sharedBlock, large] } });
  t.like(plan.writer, { value: 'qemu', rule: 'engine-memory-private' });
});

const flash = (heldBytes?: number): MemoryBlock => ({
  ...firmware,
  id: 'virt.flash0',
  length: 64 * MIB,
  heldBytes,
});

test('a large block counts with what it holds, when that is known', (t) => {
  const withFlash = (heldBytes?: number): SavePlan =>
    saving({}, { qemu: { memory: [sharedBlock, flash(heldBytes)] } });
  for (const held of [0, 16 * MIB]) {
    t.like(withFlash(held).writer, { value: 'engine' });
    t.regex(withFlash(held).writer.why, /or hold less: virt\.flash0$/);
  }
  for (const held of [16 * MIB + 1, 64 * MIB, undefined]) {
    t.like(withFlash(held).writer, { value: 'qemu', rule: 'engine-memory-private' });
  }
  // A guest without shared memory stays QEMU's, however little it holds.
  t.like(saving({}, { qemu: { memory: [flash(0)] } }).writer, { value: 'qemu' });
});

test('channels are what was asked for, or suit the host', (t) => {
  t.like(saving({ channels: 1 }), { multifd: { value: false }, channels: { value: 1 } });
  t.like(saving({ channels: 1, multifd: 'on' }), { multifd: { value: true }, channels: { value: 1 } });
  t.like(saving({ channels: 7 }), { multifd: { value: true }, channels: { value: 7 } });
  t.like(saving({}, { host: { cores: 1 } }), { channels: { value: 2 } });
  t.like(saving({}, { host: { cores: 3 } }), { channels: { value: 3 } });
  const engine = { qemu: { memory: [sharedBlock] } };
  t.like(saving({ channels: 64 }, engine), { writer: { value: 'engine' }, channels: { value: 64 } });
  for (const channels of [0, 1.5, 256, Number.NaN]) {
    t.throws(() => saving({ channels }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  }
  t.throws(() => saving({ channels: 65 }, engine), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  t.throws(() => saving({ maxBandwidth: -1 }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});

test('several channels that cannot be had are refused, not forgotten', (t) => {
  t.throws(() => saving({ channels: 2, mappedRam: 'off' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /multifd cannot be had: several channels write to one file only with mapped-ram/,
  });
});

test('a stream is only saved to when it was asked for by name', (t) => {
  for (const target of ['exec:cat > x', 'fd:x', 'unix:/x', 'tcp:localhost:1', 'vsock:3:1', 'rdma:h:1']) {
    t.throws(() => saving({ target }), { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /mappedRam off/ });
    t.like(saving({ target, mappedRam: 'off' }), {
      format: 'stream',
      mappedRam: { value: false },
      multifd: { value: false },
      directIo: { value: false },
      fdset: { value: false },
    });
  }
  t.like(saving({ target: 'unix:/x', mappedRam: 'off', multifd: 'on' }), { multifd: { value: true } });
});

test('a restore has on what the file was saved with', async (t) => {
  const mapped = restoring({}, { snapshot: await index(['mapped-ram']) });
  t.like(mapped, {
    reader: 'qemu',
    mappedRam: { value: true },
    multifd: { value: true },
    directIo: { value: false },
    xIgnoreShared: { value: false },
    fdset: { value: true },
  });
  // The parameter that holds back a save does not concern a restore.
  t.deepEqual(mapped.parameters, { 'multifd-channels': 4, 'direct-io': false });
  const plain = restoring({}, { snapshot: await index(['x-ignore-shared']) });
  t.like(plain, {
    mappedRam: { value: false },
    multifd: { value: false, rule: 'multifd-needs-mapped-ram' },
    xIgnoreShared: { value: true },
  });
  const both = restoring({}, { snapshot: await index(['mapped-ram', 'x-ignore-shared']) });
  t.like(both, { mappedRam: { value: true }, xIgnoreShared: { value: true } });
});

test('a file that the page cache cannot hold is read past it', async (t) => {
  const snapshot = await index(['mapped-ram']);
  const large = { snapshot, host: { allocated: 4097 * MIB } };
  t.like(restoring({}, large), { directIo: { value: true }, parameters: { 'direct-io': true } });
  t.like(restoring({ directIo: 'off' }, large), { directIo: { value: false } });
  t.like(restoring({ directIo: 'on' }, { snapshot }), { directIo: { value: true } });
});

test('QEMU loads a plain stream when the engine brings the memory', (t) => {
  for (const reader of ['engine', 'nobody'] as const) {
    const plan = restoring({ reader, target: 'unix:/state' }, { on: ['multifd', 'mapped-ram'] });
    t.like(plan, { reader, fdset: { value: true }, channels: { value: undefined } });
    t.like(plan.capabilities, { 'mapped-ram': false, multifd: false, 'x-ignore-shared': false });
    t.deepEqual(plan.parameters, { 'direct-io': false });
  }
});

test('a set of the caller’s is used with O_DIRECT only when it is known to have that', (t) => {
  const target = 'file:/dev/fdset/7';
  const buffered = { mode: 'write', direct: false } as const;
  const direct = { mode: 'write', direct: true } as const;
  t.like(saving({ target }, { givenFds: [buffered, direct] }), {
    target: { fdset: 7 },
    fdset: { value: false, rule: 'fdset-given' },
    directIo: { value: true },
  });
  t.like(saving({ target }, { givenFds: [undefined, undefined] }), { directIo: { value: false } });
  t.throws(() => saving({ target }, { givenFds: [direct] }), { message: /exactly so and without O_DIRECT/ });
});
