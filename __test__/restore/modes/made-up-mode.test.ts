import test from 'ava';

import { makeRestorePlan } from '../../../ts/negotiate/make-restore-plan.ts';
import type { MemoryBlock } from '../../../ts/qemu/memory/memory-block.ts';
import { assertOptionsFor } from '../../../ts/restore/assert-options.ts';
import { LaunchPlan } from '../../../ts/restore/command-line/launch-plan.ts';
import { parseCommandLine } from '../../../ts/restore/command-line/options.ts';
import type { Loaded, LoadRun } from '../../../ts/restore/load.ts';
import type { Mode } from '../../../ts/restore/modes/mode.ts';
import type { Destination } from '../../../ts/restore/preflight/destination.ts';
import { lookAtFile } from '../../../ts/restore/preflight/mapped-file.ts';
import { comparePreflight } from '../../../ts/restore/preflight/preflight.ts';
import { restore, situation } from '../../negotiate/situations.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { syntheticSnapshot } from '../synthetic-snapshot.ts';

/** A made-up mode: pages come over a socket when the guest asks for them. */
const served: Mode<'served'> = {
  name: 'served',
  summary: 'serves pages as the guest asks for them',
  outcome: 'served when the guest asks for it',
  options: ['channels'],
  whyNoOthers: 'the page server reads the memory',
  isPossibleOn: () => ({ possible: true, why: 'QEMU can take pages over a socket' }),
  isMeantBy: () => false,
  fillsMemoryFirst: false,
  takesUnmeasured: false,
  outOfBand: false,
  stateProblem: () => undefined,
  startAhead: () => undefined,
  keepsSnapshot: false,
  state: undefined,
  prepare: async () => ({
    files: {},
    descriptors: [],
    report: undefined,
    warnings: [],
    [Symbol.asyncDispose]: async () => undefined,
  }),
  startsWithMemory: false,
  launchProblems: (options) =>
    options.some(({ name }) => name === 'mem-prealloc') ? ['-mem-prealloc is thrown away'] : [],
  memoryObject: ({ own }) =>
    own === undefined ? { type: 'memory-backend-memfd', members: [['share', 'on']] } : undefined,
  blocksInPlace: () => [],
  nothingInPlace: undefined,
  resizesBlocks: true,
  placeProblems: (block, { backend }) =>
    backend?.path?.startsWith('/home/') === true
      ? [`block ${block.id} would have holes punched into ${backend.path}`]
      : [],
  unlistedProblems: () => [],
  capabilityProblems: (_, known) => (known.includes('postcopy-ram') ? [] : ['no postcopy-ram']),
  placeWarnings: () => [],
  load,
  ready: async () => undefined,
};

/** Loads over a socket of the mode's own, with capabilities of its own. */
async function load({ facts, snapshot }: Pick<LoadRun, 'facts' | 'snapshot'>): Promise<Loaded> {
  const request = restore({ target: 'unix:/run/pages', reader: 'engine', snapshot });
  const plan = makeRestorePlan({ ...situation(request), qemu: facts }, request);
  const capabilities = { ...plan.capabilities, 'postcopy-ram': true };
  const ready = { runState: 'running', loadMs: 0, readyAt: performance.now(), warnings: [] };
  return { form: 'stream', why: 'pages are served', plan: { ...plan, capabilities }, ...ready };
}

const BLOCKS = [
  { id: 'pc.ram', pages: 64 },
  { id: '/rom@etc/acpi/tables', pages: 4 },
];

test('the options of a made-up mode are checked as those of any other', (t) => {
  t.notThrows(() => assertOptionsFor(served, { channels: 4 }));
  t.throws(() => assertOptionsFor(served, { multifd: 'on', transfer: { queueDepth: 3 } }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: 'mode served has no use for multifd, transfer.queueDepth: the page server reads the memory',
  });
});

test('a made-up mode makes a command line of its own', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const launch = new LaunchPlan(snapshot, served, parseCommandLine(['-machine', 'q35'])).launchWith({});
  t.deepEqual(launch.blocks, []);
  t.true(launch.args.includes('memory-backend-memfd,id=pc.ram,size=262144,share=on'), launch.args.join(' '));
  t.throws(() => new LaunchPlan(snapshot, served, parseCommandLine(['-mem-prealloc', '-loadvm', 'x'])), {
    message: /\(mode served\): -loadvm: .*; -mem-prealloc is thrown away$/,
  });
});

test('a made-up mode has its say about QEMU', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const file = await lookAtFile(snapshot, undefined);
  const place = { mode: served, inPlace: [], file };
  t.deepEqual(comparePreflight(snapshot, destination('/dev/shm/x', ['postcopy-ram']), place).problems, []);
  t.deepEqual(comparePreflight(snapshot, destination('/home/x', ['multifd']), place).problems, [
    'no postcopy-ram',
    'block pc.ram would have holes punched into /home/x',
  ]);
});

test('a made-up mode makes its plan of what negotiate knows', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const { qemu: facts } = situation(restore());
  const { plan } = await load({ facts, snapshot });
  t.like(plan, {
    reader: 'engine',
    target: { address: { transport: 'socket', type: 'unix', path: '/run/pages' } },
    capabilities: { 'mapped-ram': false, 'postcopy-ram': true },
  });
});

function destination(path: string, capabilities: readonly string[]): Destination {
  const length = 64 * 4096;
  const backend = { id: 'pc.ram', type: 'memory-backend-file', size: length, share: true, path, offset: 0 };
  const common = { hostPageSize: 4096, file: undefined, why: '' };
  const ram: MemoryBlock = { id: 'pc.ram', length, maxLength: length, backend, ...common };
  // The block is shorter than in the snapshot, and resizable.
  const tables = {
    id: '/rom@etc/acpi/tables',
    length: 8192,
    maxLength: 65_536,
    backend: undefined,
    ...common,
  };
  return {
    runState: 'inmigrate',
    migrationStatus: 'none',
    machine: 'pc-q35-10.0',
    machines: [],
    target: 'x86_64',
    cpus: 1,
    kvm: false,
    uuid: undefined,
    memory: [ram, tables],
    pci: [],
    capabilities,
  };
}
