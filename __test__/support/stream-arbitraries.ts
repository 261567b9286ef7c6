import * as fc from 'fast-check';

import type { Configuration, RamBlock } from '../../ts/stream/index.ts';
import type { Device, Field, Page, StreamModel, Subsection } from './stream-builder.ts';

/** Names with characters of one, two and three bytes. */
const name: fc.Arbitrary<string> = fc.stringMatching(/^[a-z0-9:./@_é€-]{1,12}$/u);

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ size: fc.nat({ max: 9 }) }),
  fc.record({ size: fc.nat({ max: 3 }), times: fc.nat({ max: 3 }) }),
);
const fields: fc.Arbitrary<readonly Field[]> = fc.array(field, { maxLength: 3 });
const subsectionName: fc.Arbitrary<string> = fc.stringMatching(/^[a-z]{1,5}\/[a-z]{1,5}$/);
const leaf: fc.Arbitrary<Subsection> = fc.record({
  name: subsectionName,
  fields,
  subsections: fc.constant([]),
});
const subsection: fc.Arbitrary<Subsection> = fc.record({
  name: subsectionName,
  fields,
  subsections: fc.array(leaf, { maxLength: 1 }),
});
const device: fc.Arbitrary<Device> = fc.record({
  idstr: name.filter((idstr) => idstr !== 'ram'),
  instanceId: fc.nat({ max: 2 }),
  versionId: fc.nat({ max: 9 }),
  fields,
  subsections: fc.array(subsection, { maxLength: 2 }),
});

export interface ModelOptions {
  readonly form?: 'mapped-ram' | 'plain';
  readonly vmdescription?: boolean;
  readonly minDevices?: number;
  readonly trailing?: boolean;
}

/** Small, complete streams of both forms. */
export function streamModel(options: ModelOptions = {}): fc.Arbitrary<StreamModel> {
  const { minDevices = 0, form } = options;
  return fc
    .record({
      base: fc.constantFrom(0, 0, 7, 4096),
      machine: fc.stringMatching(/^[a-z0-9.-]{0,8}$/),
      mapped: form === undefined ? fc.boolean() : fc.constant(form === 'mapped-ram'),
      ignoreShared: fc.boolean(),
      targetPageBits: fc.option(fc.constant(10), { nil: undefined, freq: 8 }),
      uuid: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined }),
      ramId: fc.nat({ max: 9 }),
      ids: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
      sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 }),
      addresses: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
      skipped: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      parts: fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 3 }),
      switchover: fc.boolean(),
      devices: fc.uniqueArray(device, {
        minLength: minDevices,
        maxLength: 4,
        selector: ({ idstr, instanceId }) => `${instanceId} ${idstr}`,
      }),
      earlyCount: fc.nat({ max: 1 }),
      trailing: options.trailing === false ? fc.constant(0) : fc.constantFrom(0, 0, 1, 99),
    })
    .map((parts) => toModel(parts, options.vmdescription ?? true));
}

interface Parts {
  readonly base: number;
  readonly machine: string;
  readonly mapped: boolean;
  readonly ignoreShared: boolean;
  readonly targetPageBits: number | undefined;
  readonly uuid: Uint8Array | undefined;
  readonly ramId: number;
  readonly ids: readonly string[];
  readonly sizes: readonly number[];
  readonly addresses: readonly number[];
  readonly skipped: readonly boolean[];
  readonly parts: readonly (readonly number[])[];
  readonly switchover: boolean;
  readonly devices: readonly Device[];
  readonly earlyCount: number;
  readonly trailing: number;
}

function toModel(parts: Parts, vmdescription: boolean): StreamModel {
  const { mapped, ignoreShared, targetPageBits, uuid } = parts;
  const configuration: Configuration = {
    machine: parts.machine,
    capabilities: [...(ignoreShared ? ['x-ignore-shared'] : []), ...(mapped ? ['mapped-ram'] : [])],
    ...(targetPageBits === undefined ? {} : { targetPageBits }),
    ...(uuid === undefined ? {} : { uuid }),
  };
  const pageSize = targetPageBits === undefined ? 4096 : 2 ** targetPageBits;
  const blocks = parts.ids.map((id, index): RamBlock => {
    const length = (parts.sizes[index] ?? 1) * pageSize;
    if (!ignoreShared) return { id, length };
    const skipped = mapped && parts.skipped[index] === true ? { skipped: true } : {};
    return { id, length, address: parts.addresses[index] ?? 0, ...skipped };
  });
  return {
    base: parts.base,
    configuration,
    ramId: parts.ramId,
    blocks,
    early: parts.devices.slice(0, parts.earlyCount),
    parts: parts.parts.map((pages) => pages.map((seed) => toPage(seed, blocks, pageSize))),
    switchover: parts.switchover,
    devices: parts.devices.slice(parts.earlyCount),
    vmdescription,
    trailing: vmdescription ? parts.trailing : 0,
  };
}

function toPage(seed: number, blocks: readonly RamBlock[], pageSize: number): Page {
  const block = seed % blocks.length;
  const pages = (blocks[block]?.length ?? pageSize) / pageSize;
  const kind = (['zero', 'page', 'xbzrle'] as const)[Math.floor(seed / 7) % 3] ?? 'zero';
  return { block, page: Math.floor(seed / 31) % pages, kind, delta: seed % 50 };
}
