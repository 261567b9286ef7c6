import { copyFile, rename } from 'node:fs/promises';

import test from 'ava';

import type { MemoryBlock } from '../../../ts/qemu/memory/memory-block.ts';
import { modeOf } from '../../../ts/restore/modes/modes.ts';
import type { Destination } from '../../../ts/restore/preflight/destination.ts';
import { lookAtFile } from '../../../ts/restore/preflight/mapped-file.ts';
import { comparePreflight, type PreflightOptions } from '../../../ts/restore/preflight/preflight.ts';
import type { Snapshot } from '../../../ts/snapshot/snapshot.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { type SyntheticBlock, syntheticSnapshot } from '../synthetic-snapshot.ts';

const BLOCKS: readonly SyntheticBlock[] = [
  { id: 'pc.ram', pages: 64 },
  { id: '/rom@etc/acpi/tables', pages: 4 },
];

function block(id: string, pages: number, more: Partial<MemoryBlock> = {}): MemoryBlock {
  const length = pages * 4096;
  return {
    id,
    length,
    maxLength: length,
    hostPageSize: 4096,
    backend: undefined,
    file: undefined,
    why: '',
    ...more,
  };
}

function ram(pages: number, backend: Partial<MemoryBlock['backend']> = {}): MemoryBlock {
  const common = { id: 'pc.ram', type: 'memory-backend-ram', size: pages * 4096, share: false, offset: 0 };
  return block('pc.ram', pages, { backend: { ...common, path: undefined, ...backend } });
}

const FITTING: Destination = {
  runState: 'inmigrate',
  migrationStatus: 'none',
  machine: 'pc-q35-10.0',
  machines: ['pc-q35-10.0', 'q35', 'pc-q35-9.2'],
  target: 'x86_64',
  cpus: 1,
  kvm: false,
  uuid: undefined,
  memory: [ram(64), block('/rom@etc/acpi/tables', 4)],
  pci: [],
  capabilities: ['mapped-ram', 'x-ignore-shared'],
};

async function withSnapshot(
  body: (
    problems: (destination: Partial<Destination>, options?: Partial<PreflightOptions>) => readonly string[],
    snapshot: Snapshot,
  ) => void,
): Promise<void> {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const file = await lookAtFile(snapshot, NOBODY);
  body(
    (destination, options) =>
      comparePreflight(
        snapshot,
        { ...FITTING, ...destination },
        { mode: modeOf('eager'), inPlace: [], file, ...options },
      ).problems,
    snapshot,
  );
}

const NOBODY = undefined;

test('what fits has no problems, and a QEMU that tells nothing is given the benefit of the doubt', async (t) => {
  await withSnapshot((problems) => {
    t.deepEqual(problems({}), []);
    const nothing = { machine: undefined, machines: [], target: undefined, cpus: undefined };
    t.deepEqual(problems({ ...nothing, kvm: undefined, memory: [], pci: undefined, capabilities: [] }), []);
  });
});

test('every mismatch is named, all at once', async (t) => {
  await withSnapshot((problems) => {
    t.deepEqual(
      problems({
        runState: 'running',
        machine: 'pc-i440fx-10.0',
        capabilities: ['x-ignore-shared'],
        memory: [ram(128), block('m1', 4, { backend: ram(4).backend })],
      }),
      [
        'QEMU is running and does not wait for a guest: start it with -incoming defer',
        "the snapshot's machine type is pc-q35-10.0, QEMU's pc-i440fx-10.0: start it with -machine pc-q35-10.0",
        'QEMU has no block /rom@etc/acpi/tables, which has 16384 bytes in the snapshot',
        "QEMU's memory m1 (16384 bytes) is not in the snapshot",
        'block pc.ram has 262144 bytes in the snapshot and 524288 in QEMU',
      ],
    );
  });
});

test('a machine type that QEMU does not have, and a load that was tried before', async (t) => {
  await withSnapshot((problems) => {
    t.deepEqual(problems({ machine: 'pc-q35-9.2', machines: ['pc-q35-9.2', 'q35'] }), [
      "the snapshot's machine type is pc-q35-10.0, QEMU's pc-q35-9.2: which this QEMU does not have",
    ]);
    t.deepEqual(problems({ migrationStatus: 'failed' }), [
      'QEMU has tried to take a guest over already (failed): start another',
    ]);
  });
});

test('a block that can be resized may differ, unless QEMU reads the mapped-ram file', async (t) => {
  await withSnapshot((problems) => {
    const memory = [ram(64), block('/rom@etc/acpi/tables', 2, { maxLength: 65_536 })];
    t.deepEqual(problems({ memory }, { mode: modeOf('preload') }), []);
    t.is(problems({ memory }).length, 1);
  });
});

test('what is said to be in place has to be there', async (t) => {
  await withSnapshot((problems, snapshot) => {
    const { pagesOffset = 0 } = snapshot.completeRam().blocks[0]?.area ?? {};
    const inPlace = ['pc.ram'];
    const mapped = { type: 'memory-backend-file', offset: pagesOffset, path: snapshot.path };
    const tables = block('/rom@etc/acpi/tables', 4);
    const found = (backend: Partial<MemoryBlock['backend']>): readonly string[] =>
      problems(
        { memory: [ram(64, { ...mapped, ...backend }), tables] },
        { mode: modeOf('instant'), inPlace },
      );
    t.deepEqual(found({}), []);
    t.regex(found({ share: true }).join(), /is shared, so that the guest would write into the snapshot/);
    t.regex(found({ offset: 4096 }).join(), /begins at 4096, not at 1048576/);
    t.regex(found({ type: 'memory-backend-ram' }).join(), /is of type memory-backend-ram/);
    t.regex(found({ path: '/dev/null' }).join(), /is in \/dev\/null/);
    const bare = problems({ memory: [block('pc.ram', 64), tables] }, { mode: modeOf('preload'), inPlace });
    t.deepEqual(bare, ['block pc.ram has no memory backend, so nothing can be in place']);
  });
});

test('a name that was given to another file meanwhile is not taken for the snapshot', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const { pagesOffset: offset = 0 } = snapshot.completeRam().blocks[0]?.area ?? {};
  const mapped = ram(64, { type: 'memory-backend-file', offset, path: snapshot.path });
  const compare = async (pid: number | undefined): Promise<readonly (readonly string[])[]> => {
    const place = {
      mode: modeOf('instant'),
      inPlace: ['pc.ram'],
      file: await lookAtFile(snapshot, pid),
    } as const;
    const memory = [mapped, block('/rom@etc/acpi/tables', 4)];
    const { problems, warnings } = comparePreflight(snapshot, { ...FITTING, memory }, place);
    return [problems, warnings];
  };
  const [fitting, warnings] = await compare(undefined);
  t.deepEqual(fitting, []);
  t.regex(warnings?.join() ?? '', /could not be seen.*if \S+ was replaced since QEMU was started/);
  // This process has the file open, but shows no mapping of it: some filesystems show other inode numbers there.
  t.deepEqual(await compare(process.pid), [[], []]);
  await copyFile(snapshot.path, dir.file('other'));
  await rename(dir.file('other'), snapshot.path);
  const [replaced] = await compare(undefined);
  t.regex(
    replaced?.join() ?? '',
    /does not map the snapshot: it is in \S+, which is not the file that was opened/,
  );
  // This process's mappings are known, and the file's name does not matter.
  t.deepEqual(await compare(process.pid), [[], []]);
});

function nowhere(): boolean {
  return false;
}

test('a QEMU that does not list its blocks is doubted, and its mappings are looked at all the same', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const place = { mode: modeOf('instant'), inPlace: ['pc.ram'], file: await lookAtFile(snapshot, 1) };
  const unlisted = { ...FITTING, memory: [] };
  const { problems, warnings } = comparePreflight(snapshot, unlisted, place);
  t.regex(warnings.join(), /QEMU does not list its RAM blocks/);
  const elsewhere = { ...place, file: { ...place.file, isMappedAt: nowhere } };
  t.regex(
    comparePreflight(snapshot, unlisted, elsewhere).problems.join(),
    /block pc\.ram does not map the snapshot/,
  );
  t.is(problems.length, place.file.isMappedAt === undefined ? 0 : 1);
});

test('devices that the snapshot does not know are a warning', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, BLOCKS);
  const pci = [
    { address: '0000:00:1f.0', words: 'ISA bridge' },
    { address: '0000:00:05.0', words: 'Ethernet controller net0' },
  ];
  // A snapshot without any PCI device would be that of another kind of machine.
  const sections = snapshot.index.sections.map((section) =>
    Object.assign(section, { idstr: '0000:00:1f.0/ICH9LPC' }),
  );
  const like = {
    completeRam: () => snapshot.completeRam(),
    index: { ...snapshot.index, sections },
  };
  const place = { mode: modeOf('eager'), inPlace: [], file: await lookAtFile(snapshot, NOBODY) } as const;
  const { problems, warnings } = comparePreflight(like, { ...FITTING, pci }, place);
  t.deepEqual(problems, []);
  t.deepEqual(warnings, [
    'QEMU has a PCI device at 0000:00:05.0 (Ethernet controller net0) that the snapshot knows nothing of',
  ]);
});
