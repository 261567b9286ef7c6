import { encodeCommand } from '../../ts/stream/command.ts';
import { encodeConfiguration, encodeFileHeader } from '../../ts/stream/configuration.ts';
import type { Configuration, RamBlock, StreamRecord } from '../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../ts/stream/section.ts';
import { encodePageHeader, encodeZeroPage } from '../../ts/stream/write/encode-pages.ts';
import { encodeMappedRamStart, encodePlainRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';

/** A device with the fields and subsections that its description names. */
export interface Device {
  readonly idstr: string;
  readonly instanceId: number;
  readonly versionId: number;
  readonly fields: readonly Field[];
  readonly subsections: readonly Subsection[];
}

export interface Field {
  readonly size: number;
  readonly times?: number;
}

export interface Subsection {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly subsections: readonly Subsection[];
}

export interface Page {
  /** The index of the page's block in `blocks`. */
  readonly block: number;
  readonly page: number;
  readonly kind: 'zero' | 'page' | 'xbzrle';
  /** Length of the xbzrle delta in bytes. */
  readonly delta?: number;
}

export interface StreamModel {
  readonly base: number;
  readonly configuration: Configuration;
  readonly ramId: number;
  readonly blocks: readonly RamBlock[];
  readonly early: readonly Device[];
  /** RAM sections after START; mapped-ram streams have no pages in them. */
  readonly parts: readonly (readonly Page[])[];
  readonly switchover: boolean;
  readonly devices: readonly Device[];
  readonly vmdescription: boolean;
  readonly trailing: number;
}

export interface BuiltStream {
  readonly bytes: Uint8Array;
  /** The records that a walk must yield. */
  readonly records: readonly StreamRecord[];
}

/** The byte that fills bodies and page areas. It is meaningless as a record, so that a walk that strays is caught. */
const FILL = 0xa5;

/** Writes a stream, notes its records, and keeps its own account of offsets. */
export class StreamBuilder {
  readonly records: StreamRecord[] = [];
  #bytes: Uint8Array;
  #nextId = 100;

  constructor(base = 0) {
    this.#bytes = new Uint8Array(base).fill(FILL);
  }

  get offset(): number {
    return this.#bytes.length;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  raw(bytes: Uint8Array): this {
    return this.at(this.offset, bytes);
  }

  at(offset: number, bytes: Uint8Array): this {
    const grown = new Uint8Array(Math.max(this.offset, offset + bytes.length)).fill(FILL, this.offset);
    grown.set(this.#bytes);
    grown.set(bytes, offset);
    this.#bytes = grown;
    return this;
  }

  beginning(configuration: Configuration): this {
    const { offset } = this;
    this.raw(encodeFileHeader()).raw(encodeConfiguration(configuration));
    this.records.push(
      { type: 'header', offset, length: 8 },
      { type: 'configuration', offset: offset + 8, length: this.offset - offset - 8, configuration },
    );
    return this;
  }

  command(code: number, name: string, data: Uint8Array): this {
    const { offset } = this;
    this.raw(encodeCommand(code, data));
    this.records.push({ type: 'command', offset, length: 5 + data.length, code, name, data });
    return this;
  }

  device(device: Device): this {
    const { offset } = this;
    const { idstr, instanceId, versionId } = device;
    const sectionId = this.#nextId;
    this.#nextId += 1;
    const identity = { sectionId, idstr, instanceId, versionId };
    this.raw(encodeSectionHeader('full', identity));
    const bodyOffset = this.offset;
    const bodyLength = bodyBytes(device);
    this.raw(new Uint8Array(bodyLength).fill(FILL));
    const footerOffset = this.offset;
    this.raw(encodeFooter(sectionId));
    const length = this.offset - offset;
    const where = { offset, length, bodyOffset, bodyLength, footerOffset };
    this.records.push({ type: 'section', kind: 'full', ...identity, ...where });
    return this;
  }

  eof(): this {
    this.records.push({ type: 'eof', offset: this.offset, length: 1 });
    return this.raw(encodeEof());
  }
}

export function buildStream(model: StreamModel): BuiltStream {
  const builder = new StreamBuilder(model.base).beginning(model.configuration);
  const mapped = model.configuration.capabilities.includes('mapped-ram');
  if (mapped) addMappedStart(builder, model);
  else addPlainStart(builder, model);
  for (const device of model.early) builder.device(device);
  const ram = { sectionId: model.ramId, idstr: 'ram', instanceId: 0, versionId: 4 };
  let last: number | undefined;
  for (const [index, pages] of model.parts.entries()) {
    const final = index === model.parts.length - 1;
    if (final && model.switchover) builder.command(11, 'SWITCHOVER_START', new Uint8Array());
    const { offset } = builder;
    builder.raw(encodeSectionContinuation(final ? 'end' : 'part', model.ramId));
    for (const page of mapped ? [] : pages) {
      addPage(builder, model, page, page.block === last);
      last = page.block;
    }
    builder.raw(encodeRamEos(model.ramId));
    const [bodyOffset, footerOffset, length] = [offset + 5, builder.offset - 5, builder.offset - offset];
    const where = { offset, length, bodyOffset, bodyLength: footerOffset - bodyOffset, footerOffset };
    builder.records.push({ type: 'section', kind: final ? 'end' : 'part', ...ram, ...where });
  }
  for (const device of model.devices) builder.device(device);
  builder.eof();
  if (model.vmdescription) addDescription(builder, model);
  if (model.trailing > 0) {
    builder.records.push({ type: 'trailing', offset: builder.offset, length: model.trailing });
    builder.raw(new Uint8Array(model.trailing).fill(FILL));
  }
  return { bytes: builder.bytes, records: builder.records };
}

function addMappedStart(builder: StreamBuilder, model: StreamModel): void {
  const { base, configuration, ramId: sectionId, blocks } = model;
  // Page alignment is enough for page areas, and keeps the streams small.
  const targetPageSize = pageSizeOf(model);
  const start = encodeMappedRamStart({ base, configuration, sectionId, blocks, alignment: targetPageSize });
  const { offset } = builder;
  for (const segment of start.segments) builder.at(segment.offset, segment.bytes);
  const { total } = start.layout;
  const list = { offset: offset + 17, length: 8, sectionId, sectionOffset: offset };
  builder.records.push({ type: 'ram-list', form: 'mapped-ram', total, targetPageSize, ...list });
  for (const block of start.layout.blocks) {
    const { id, address, entryOffset, headerOffset, area, skipped } = block;
    const where = { headerOffset, headerVersion: 1, area, skipped };
    builder.records.push({
      type: 'ram-block',
      offset: entryOffset,
      length: headerOffset + 28 - entryOffset,
      id,
      blockLength: block.length,
      ...(address === undefined ? {} : { address }),
      mapped: where,
    });
  }
  closeStart(builder, model, offset);
}

function addPlainStart(builder: StreamBuilder, model: StreamModel): void {
  const { configuration, ramId: sectionId, blocks, base } = model;
  const { offset } = builder;
  const whole = encodePlainRamStart({ configuration, sectionId, blocks });
  builder.raw(whole.subarray(offset - base));
  const total = blocks.reduce((sum, block) => sum + block.length, 0);
  const targetPageSize = pageSizeOf(model);
  const list = { offset: offset + 17, length: 8, sectionId, sectionOffset: offset };
  builder.records.push({ type: 'ram-list', form: 'plain', total, targetPageSize, ...list });
  let entry = offset + 25;
  for (const { id, length: blockLength, address } of blocks) {
    const length = 1 + new TextEncoder().encode(id).length + 8 + (address === undefined ? 0 : 8);
    const addressed = address === undefined ? {} : { address };
    builder.records.push({ type: 'ram-block', offset: entry, length, id, blockLength, ...addressed });
    entry += length;
  }
  closeStart(builder, model, offset);
}

function closeStart(builder: StreamBuilder, model: StreamModel, offset: number): void {
  const [bodyOffset, footerOffset, length] = [offset + 17, builder.offset - 5, builder.offset - offset];
  const where = { offset, length, bodyOffset, bodyLength: footerOffset - bodyOffset, footerOffset };
  const ram = { sectionId: model.ramId, idstr: 'ram', instanceId: 0, versionId: 4 };
  builder.records.push({ type: 'section', kind: 'start', ...ram, ...where });
}

function addPage(builder: StreamBuilder, model: StreamModel, page: Page, sameBlock: boolean): void {
  const block = model.blocks[page.block];
  if (block === undefined) throw new Error('a page of no block');
  const targetPageSize = pageSizeOf(model);
  const blockOffset = page.page * targetPageSize;
  const options = { targetPageSize, sameBlock };
  const { offset } = builder;
  let dataLength = 1;
  if (page.kind === 'zero') {
    builder.raw(encodeZeroPage(block.id, blockOffset, options));
  } else if (page.kind === 'page') {
    dataLength = targetPageSize;
    builder.raw(encodePageHeader(block.id, blockOffset, options)).raw(new Uint8Array(dataLength).fill(FILL));
  } else {
    dataLength = page.delta ?? 0;
    const header = encodePageHeader(block.id, blockOffset, options);
    // QEMU alone writes xbzrle, so the PAGE flag (8) makes way for XBZRLE (0x40) by hand.
    header[7] = (header[7] ?? 0) + 0x40 - 0x08;
    builder.raw(header).raw(Uint8Array.of(1, dataLength >> 8, dataLength & 0xff));
    builder.raw(new Uint8Array(dataLength).fill(FILL));
  }
  const length = builder.offset - offset;
  const dataOffset = builder.offset - dataLength;
  const { kind } = page;
  builder.records.push({
    type: 'ram-page',
    kind,
    offset,
    length,
    block: block.id,
    blockOffset,
    dataOffset,
    dataLength,
  });
}

function addDescription(builder: StreamBuilder, model: StreamModel): void {
  const { offset } = builder;
  const devices = [...model.early, ...model.devices];
  const description = { page_size: 4096, devices: devices.map((device) => describe(device)) };
  const json = new TextEncoder().encode(JSON.stringify(description));
  builder.raw(encodeVmdescription(json));
  builder.records.push({
    type: 'vmdescription',
    offset,
    length: 5 + json.length,
    jsonOffset: offset + 5,
    jsonLength: json.length,
    // The walk needs no description of a stream without devices that has a page size in CONFIGURATION.
    ...(devices.length > 0 || model.configuration.targetPageBits === undefined ? { description } : {}),
  });
}

interface Description {
  readonly name: string;
  readonly instance_id: number;
  readonly [key: string]: unknown;
}

export function describe({ idstr, instanceId, versionId, ...state }: Device): Description {
  return {
    name: idstr,
    instance_id: instanceId,
    vmsd_name: idstr,
    version: versionId,
    ...describeState(state),
  };
}

function describeState(state: Pick<Subsection, 'fields' | 'subsections'>): Record<string, unknown> {
  const fields = state.fields.map(({ size, times }, index) => ({
    name: `field${index}`,
    ...(times === undefined ? {} : { array_len: times }),
    type: 'buffer',
    size,
  }));
  if (state.subsections.length === 0) return { fields };
  const subsections = state.subsections.map(({ name, ...inner }) => ({
    vmsd_name: name,
    version: 1,
    ...describeState(inner),
  }));
  return { fields, subsections };
}

function bodyBytes(state: Pick<Subsection, 'fields' | 'subsections'>): number {
  let bytes = 0;
  for (const { size, times = 1 } of state.fields) bytes += size * times;
  for (const subsection of state.subsections) bytes += 6 + subsection.name.length + bodyBytes(subsection);
  return bytes;
}

function pageSizeOf({ configuration: { targetPageBits } }: StreamModel): number {
  return targetPageBits === undefined ? 4096 : 2 ** targetPageBits;
}
