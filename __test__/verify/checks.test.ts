import { writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { verify, type FindingCode } from '../../ts/index.ts';
import { encodeCommand } from '../../ts/stream/command.ts';
import { encodeConfiguration, encodeFileHeader } from '../../ts/stream/configuration.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../ts/stream/section.ts';
import { encodeMappedRamStart, encodeRamEos, type MappedRamStart } from '../../ts/stream/write/encode-ram.ts';
import { PAGE, testPage } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const DEVICE = { sectionId: 7, idstr: 'timer', instanceId: 0, versionId: 2 };
const DESCRIPTION = {
  page_size: PAGE,
  devices: [
    { name: 'timer', instance_id: 0, version: 2, fields: [{ name: 'ticks', type: 'uint64', size: 8 }] },
  ],
};

/** A snapshot of 70 pages, and the faults in it. */
interface Recipe {
  readonly alignment?: number;
  readonly skipped?: boolean;
  /** Changes the RAM part before the rest follows. */
  readonly ram?: (bytes: Buffer, start: MappedRamStart) => void;
  /** The bytes after RAM START. */
  readonly end?: readonly Uint8Array[];
  readonly devices?: readonly Uint8Array[];
  readonly description?: object | string | undefined;
}

const RAM_END = [encodeSectionContinuation('end', RAM_SECTION_ID), encodeRamEos()];
const RAM_PART = [encodeSectionContinuation('part', RAM_SECTION_ID), encodeRamEos()];
const TIMER = [encodeSectionHeader('full', DEVICE), new Uint8Array(8), encodeFooter(7)];

function snapshotOf(recipe: Recipe): Buffer {
  const { alignment = 1 << 20, skipped = false, end = RAM_END, devices = TIMER } = recipe;
  const description = 'description' in recipe ? recipe.description : DESCRIPTION;
  const start = encodeMappedRamStart({
    configuration: {
      machine: 'pc-q35-10.0',
      capabilities: skipped ? ['x-ignore-shared', 'mapped-ram'] : ['mapped-ram'],
    },
    blocks: [
      { id: 'pc.ram', length: 70 * PAGE },
      ...(skipped ? [{ id: 'shared', length: PAGE, address: 0, skipped }] : []),
    ],
    alignment,
  });
  const ram = Buffer.alloc(start.endOffset);
  for (const { offset, bytes } of start.segments) ram.set(bytes, offset);
  const [block] = start.layout.blocks;
  ram[block?.area.bitmapOffset ?? 0] = 0b10;
  ram.set(testPage(1), (block?.area.pagesOffset ?? 0) + PAGE);
  recipe.ram?.(ram, start);
  const json = typeof description === 'string' ? description : JSON.stringify(description);
  const tail = description === undefined ? [] : [encodeVmdescription(Buffer.from(json))];
  return Buffer.concat([ram, ...end, ...devices, encodeEof(), ...tail]);
}

async function findingsOf(recipe: Recipe | Buffer): Promise<readonly (readonly [FindingCode, string])[]> {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('snapshot'), Buffer.isBuffer(recipe) ? recipe : snapshotOf(recipe));
  const { findings, verified } = await verify(dir.file('snapshot'));
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (verified !== (errors.length === 0)) throw new Error('passed and findings contradict each other');
  return findings.map(({ code, severity }) => [code, severity]);
}

async function assertOne(t: ExecutionContext, recipe: Recipe | Buffer, ...expected: [FindingCode, string]) {
  t.deepEqual(await findingsOf(recipe), [expected]);
}

function headerOf({ layout }: MappedRamStart): number {
  return layout.blocks[0]?.headerOffset ?? 0;
}

function bitmapOf({ layout }: MappedRamStart): number {
  return layout.blocks[0]?.area.bitmapOffset ?? 0;
}

/** Moves the bitmap to another place, where it is as good. */
function misplaceBitmap(bytes: Buffer, start: MappedRamStart): void {
  const to = headerOf(start) + 4096;
  bytes.writeBigUInt64BE(BigInt(to), headerOf(start) + 12);
  bytes[to] = 0b10;
}

function clearBitmap(bytes: Buffer, start: MappedRamStart): void {
  bytes.fill(0, bitmapOf(start), bitmapOf(start) + 16);
}

test('nothing is found in the snapshot that the other tests damage', async (t) => {
  t.deepEqual(await findingsOf({}), []);
  t.deepEqual(await findingsOf({ end: [...RAM_PART, ...RAM_PART, encodeCommand(11), ...RAM_END] }), []);
});

test('what the vmdescription leaves out contradicts nothing', async (t) => {
  const [timer] = DESCRIPTION.devices;
  const { version: _, ...versionless } = timer ?? { version: 0 };
  t.deepEqual(await findingsOf({ description: { ...DESCRIPTION, devices: [versionless] } }), []);
  const { page_size: __, ...sizeless } = DESCRIPTION;
  t.deepEqual(await findingsOf({ description: sizeless }), []);
  const nameless = { name: 'timer', instance_id: 0, fields: [{ size: 8 }] };
  t.deepEqual(await findingsOf({ description: { devices: [nameless] } }), []);
  const mismatch = 'vmdescription-mismatch';
  for (const devices of [[{ ...timer, version: 3 }], [timer, timer]]) {
    await assertOne(t, { description: { ...DESCRIPTION, devices } }, mismatch, 'error');
  }
});

test('RAM without END, or with something behind it, is found', async (t) => {
  await assertOne(t, { end: RAM_PART }, 'ram-unended', 'error');
  await assertOne(t, { end: [...RAM_END, ...RAM_PART] }, 'section-order', 'error');
  await assertOne(t, { end: [...RAM_END, ...RAM_END] }, 'section-order', 'error');
});

test('commands of a migration that is no file are found', async (t) => {
  for (const command of [encodeCommand(1), encodeCommand(3), encodeCommand(9), encodeCommand(10)]) {
    await assertOne(t, { end: [command, ...RAM_END] }, 'command-unexpected', 'error');
  }
});

test('a stream without RAM is found', async (t) => {
  const configuration = { machine: 'pc-q35-10.0', capabilities: ['mapped-ram'] };
  const head = [encodeFileHeader(), encodeConfiguration(configuration)];
  const tail = encodeVmdescription(Buffer.from(JSON.stringify(DESCRIPTION)));
  await assertOne(t, Buffer.concat([...head, ...TIMER, encodeEof(), tail]), 'ram-missing', 'error');
});

test('a vmdescription that is missing where nothing needs it is a warning', async (t) => {
  await assertOne(t, { devices: [], description: undefined }, 'vmdescription-missing', 'warning');
});

test('a vmdescription that does not fit is found', async (t) => {
  await assertOne(t, { devices: [], description: '{"devices": [}' }, 'vmdescription-invalid', 'error');
  await assertOne(t, { description: { ...DESCRIPTION, page_size: 2048 } }, 'vmdescription-mismatch', 'error');
  const [timer] = DESCRIPTION.devices;
  const newer = { ...DESCRIPTION, devices: [{ ...timer, version: 3 }] };
  await assertOne(t, { description: newer }, 'vmdescription-mismatch', 'error');
  const more = { ...DESCRIPTION, devices: [timer, { ...timer, instance_id: 1 }] };
  await assertOne(t, { description: more }, 'vmdescription-mismatch', 'error');
  t.deepEqual(
    await findingsOf({
      devices: [...TIMER, ...TIMER],
      description: { ...DESCRIPTION, devices: [timer, timer] },
    }),
    [],
  );
});

test('device state without a vmdescription cannot be vouched for', async (t) => {
  await assertOne(t, { description: undefined }, 'device-state-unmeasured', 'error');
});

test('headers that readers take and nobody writes are found', async (t) => {
  await assertOne(
    t,
    { ram: (bytes, start) => bytes.writeUInt32BE(0, headerOf(start)) },
    'header-version',
    'error',
  );
  await assertOne(t, { ram: misplaceBitmap }, 'bitmap-misplaced', 'error');
  await assertOne(t, { alignment: PAGE }, 'pages-unaligned', 'warning');
  await assertOne(t, { skipped: true }, 'block-skipped', 'warning');
});

test('each bit beyond the last page is found, and none before', async (t) => {
  for (let bit = 0; bit < 128; bit += 1) {
    const ram = (bytes: Buffer, start: MappedRamStart): void => {
      const at = bitmapOf(start) + (bit >>> 3);
      bytes[at] = (bytes[at] ?? 0) | (1 << (bit & 7));
    };
    t.deepEqual(await findingsOf({ ram }), bit < 70 ? [] : [['bits-beyond-end', 'error']], `bit ${bit}`);
  }
});

test('bitmaps that are all clear are found, whatever stands in the pages', async (t) => {
  await assertOne(t, { ram: clearBitmap }, 'bitmaps-clear', 'error');
});
