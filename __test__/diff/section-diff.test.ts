import { writeFile } from 'node:fs/promises';

import test from 'ava';
import * as fc from 'fast-check';

import { diff, pack, type SectionDiff } from '../../ts/index.ts';
import { firstDifference } from '../../ts/diff/section-diff.ts';
import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import { bytesReader } from '../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../ts/stream/section.ts';
import { encodePlainRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

interface Field {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly array_len?: number;
  readonly struct?: {
    readonly vmsd_name: string;
    readonly version: number;
    readonly fields: readonly Field[];
  };
}

interface Device {
  readonly name: string;
  readonly instanceId?: number;
  readonly version?: number;
  readonly fields: readonly Field[];
  /** The bytes of the body in hexadecimal. */
  readonly body: string;
}

const u32 = (name: string): Field => ({ name, type: 'uint32', size: 4 });

/** A snapshot with a block of zeros and these devices. */
async function snapshotWith(
  dir: TemporaryDirectory,
  name: string,
  devices: readonly Device[],
): Promise<string> {
  const description = {
    page_size: PAGE,
    devices: devices.map(({ name: idstr, instanceId = 0, version = 1, fields }) => ({
      name: idstr,
      instance_id: instanceId,
      vmsd_name: idstr,
      version,
      fields,
    })),
  };
  const sections = devices.flatMap(({ name: idstr, instanceId = 0, version = 1, body }, index) => [
    encodeSectionHeader('full', { sectionId: index + 7, idstr, instanceId, versionId: version }),
    Buffer.from(body, 'hex'),
    encodeFooter(index + 7),
  ]);
  const state = Buffer.concat([
    encodePlainRamStart({
      configuration: { machine: 'pc-q35-10.0', capabilities: ['x-ignore-shared'] },
      blocks: [{ id: 'm0', length: PAGE }],
    }),
    encodeSectionContinuation('end', RAM_SECTION_ID),
    encodeRamEos(),
    ...sections,
    encodeEof(),
    encodeVmdescription(Buffer.from(JSON.stringify(description))),
  ]);
  await writeFile(dir.file('state'), state);
  await pack(dir.file(name), { state: dir.file('state'), ram: { m0: new Uint8Array(PAGE) } });
  return dir.file(name);
}

async function sectionsOf(
  left: readonly Device[],
  right: readonly Device[],
): Promise<readonly SectionDiff[] | undefined> {
  await using dir = await temporaryDirectory();
  const { equal, sections } = await diff(
    await snapshotWith(dir, 'left', left),
    await snapshotWith(dir, 'right', right),
  );
  if (equal !== (sections?.length === 0)) throw new Error(`equal is ${equal}`);
  return sections;
}

const TIMER: Device = { name: 'timer', fields: [u32('ticks'), u32('limit')], body: '0000000100000002' };

test('devices differ by the names of their fields, whatever their order and section ids', async (t) => {
  const other: Device = { name: 'rtc', fields: [u32('century')], body: '00000014' };
  const second: Device = { ...TIMER, instanceId: 1, body: '0000000500000006' };
  t.deepEqual(await sectionsOf([TIMER, other, second], [second, other, TIMER]), []);
  const changed = [{ ...second, body: '0000000500000007' }, other, TIMER];
  t.deepEqual(await sectionsOf([TIMER, other, second], changed), [
    {
      name: 'timer',
      instanceId: 1,
      kind: 'changed',
      versions: { left: 1, right: 1 },
      firstDifference: 7,
      fields: [{ path: 'limit', left: 6, right: 7 }],
    },
  ]);
});

test('a device of one side, and a field of one side, are said to be only there', async (t) => {
  const longer: Device = {
    ...TIMER,
    version: 2,
    fields: [...TIMER.fields, u32('extra')],
    body: `${TIMER.body}00000009`,
  };
  const rtc: Device = { name: 'rtc', fields: [u32('century')], body: '00000014' };
  t.deepEqual(await sectionsOf([TIMER], [longer, rtc]), [
    {
      name: 'timer',
      instanceId: 0,
      kind: 'changed',
      versions: { left: 1, right: 2 },
      firstDifference: 8,
      fields: [{ path: 'extra', left: undefined, right: 9 }],
    },
    {
      name: 'rtc',
      instanceId: 0,
      kind: 'only-right',
      versions: { left: undefined, right: 1 },
      firstDifference: undefined,
      fields: undefined,
    },
  ]);
  const [back] = (await sectionsOf([rtc, TIMER], [TIMER])) ?? [];
  t.is(back?.kind, 'only-left');
  const [version] = (await sectionsOf([TIMER], [{ ...TIMER, version: 2 }])) ?? [];
  t.deepEqual(
    [version?.versions, version?.firstDifference, version?.fields],
    [{ left: 1, right: 2 }, undefined, []],
  );
});

test('a name that leads to where an array does is compared by itself, and called otherwise', async (t) => {
  const fields = [
    { name: 'list[0]', type: 'uint32', size: 4 },
    { name: 'list', type: 'uint32', size: 4, array_len: 1 },
  ];
  const device = (body: string): Device => ({ name: 'pit', fields, body });
  const [section] = (await sectionsOf([device('0000000100000002')], [device('0000000100000003')])) ?? [];
  t.deepEqual(section?.fields, [{ path: 'list[0]#2', left: 2, right: 3 }]);
  const [both] = (await sectionsOf([device('0000000100000002')], [device('0000000500000006')])) ?? [];
  t.deepEqual(both?.fields, [
    { path: 'list[0]', left: 1, right: 5 },
    { path: 'list[0]#2', left: 2, right: 6 },
  ]);
});

test('bytes and large numbers are compared whole', async (t) => {
  const fields = [
    { name: 'when', type: 'uint64', size: 8 },
    { name: 'data', type: 'buffer', size: 40 },
  ];
  const device = (body: string): Device => ({ name: 'nic', fields, body });
  const [section] =
    (await sectionsOf(
      [device(`ffffffffffffffff${'00'.repeat(40)}`)],
      [device(`fffffffffffffffe${'00'.repeat(39)}01`)],
    )) ?? [];
  t.deepEqual(section?.fields, [
    { path: 'when', left: 0xffffffffffffffffn, right: 0xfffffffffffffffen },
    {
      path: 'data',
      left: new Uint8Array(40),
      right: Uint8Array.from({ length: 40 }, (_, at) => (at === 39 ? 1 : 0)),
    },
  ]);
});

test('a section that its description does not fit is compared by its bytes', async (t) => {
  const struct = { vmsd_name: 'inner', version: 1, fields: [u32('one'), u32('two')] };
  const fields = [{ name: 'inner', type: 'struct', size: 4, struct }];
  const device = (body: string): Device => ({ name: 'odd', fields, body });
  const [section] = (await sectionsOf([device('00000001')], [device('00000101')])) ?? [];
  t.deepEqual([section?.kind, section?.firstDifference, section?.fields], ['changed', 2, undefined]);
});

test('RAM alone is compared when device state is to be ignored', async (t) => {
  await using dir = await temporaryDirectory();
  const left = await snapshotWith(dir, 'left', [TIMER]);
  const right = await snapshotWith(dir, 'right', []);
  const { equal, sections } = await diff(left, right, { ignoreDeviceState: true });
  t.true(equal);
  t.is(sections, undefined);
});

test('the first difference of two ranges is found across pieces', async (t) => {
  const size = (1 << 20) + 100;
  const bytes = Buffer.alloc(size + 10, 7);
  const left = bytesReader(bytes);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: size - 1 }), fc.nat(10), async (at, shift) => {
      const other = Buffer.alloc(size + 10, 7);
      other[at + shift] = 8;
      const range = { offset: shift, length: size };
      const found = await firstDifference(left, { offset: 0, length: size }, bytesReader(other), range);
      t.is(found, at);
      const short = await firstDifference(left, { offset: 0, length: at }, bytesReader(other), range);
      t.is(short, at);
    }),
    { numRuns: 20 },
  );
  t.is(
    await firstDifference(left, { offset: 0, length: size }, left, { offset: 5, length: size }),
    undefined,
  );
});
