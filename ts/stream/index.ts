/**
 * The QEMU migration stream, both directions (docs/format.md §1, §2, §3, §9, §10). Pure: reads through
 * `RandomAccessReader`, writes by returning bytes and offsets. Every offset is absolute in the file, every size in bytes.
 *
 * Read
 *   readStreamIndex(reader, { offset? })   → StreamIndex: blocks, sections, commands, vmdescription, complete, problem
 *   walkStream(reader, { offset? })        → AsyncGenerator<StreamRecord>: every record, page records too
 *   walkBatches(reader, { offset? })       → the same, arrays of records at a time
 *   stateSections(index)                   → StateSections: the stretches of device state to carry verbatim
 *   readVmdescriptionFor(reader, index, configuration) → JSON bytes for a stream with another CONFIGURATION
 *   bytesReader(bytes, name?)              → RandomAccessReader over memory
 *   readDevices(reader, index, filter?)    → DeviceStates: every device's fields, decoded by the vmdescription
 *   readX86Cpus(reader, index)             → X86Cpu[]: the registers of an x86 guest
 *   flattenDevice(device)                  → [path, value] pairs of a decoded device
 *
 * Write, whole streams around existing device state (pack, unpack, convert)
 *   assembleMappedRam({ state, configuration, blocks, vmdescription?, base?, alignment? }) → { layout, pieces, endOffset }
 *   assemblePlain({ state, configuration, blocks, pages?, vmdescription?, base? })         → { pieces, endOffset }
 *   assemblePlainBatches({ …, pages })  → AsyncGenerator<StreamPiece[]>: the same for any number of pages
 *     a piece is { offset, bytes } or { offset, source: { offset, length } } (to copy from the state's file)
 *
 * Write, by parts
 *   layoutMappedRam({ base?, headerBytes, blocks, addresses?, targetPageSize?, alignment? }) → MappedRamLayout
 *   encodeMappedRamStart({ configuration, blocks, sectionId?, records?, base?, alignment? }) → { layout, segments, endOffset }
 *   encodePlainRamStart, encodePageHeader, encodeZeroPage, encodeEmptyRamSection, encodeRamEos,
 *   encodeFileHeader, encodeConfiguration, encodeCommand, encodeSectionHeader, encodeSectionContinuation,
 *   encodeFooter, encodeEof, encodeVmdescription, encodeMappedBlockEntry
 */
export {
  assembleMappedRam,
  assemblePlain,
  assemblePlainBatches,
  assemblePlainFrame,
  type AssembledMapped,
  type AssembleMappedOptions,
  type AssembleOptions,
  type AssemblePlainBatchesOptions,
  type AssemblePlainOptions,
  type PlainPage,
} from './write/assemble.ts';
export { encodeCommand, SWITCHOVER_START, type Command } from './command.ts';
export { encodeConfiguration, encodeFileHeader, type Configuration } from './configuration.ts';
export {
  CAPABILITY_IGNORE_SHARED,
  CAPABILITY_MAPPED_RAM,
  DEFAULT_TARGET_PAGE_SIZE,
  PAGES_ALIGNMENT,
  RAM_SECTION_ID,
} from './constants.ts';
export { readX86Cpus } from './devices/decode-x86-cpus.ts';
export type {
  DeviceField,
  DeviceState,
  DeviceStates,
  DeviceStruct,
  DeviceValue,
  UndescribedSection,
} from './devices/device-state.ts';
export { flattenDevice, type FlatValue } from './devices/flatten-device.ts';
export { deviceNamed, readDevices, type DeviceFilter } from './devices/read-devices.ts';
export type { X86Cpu, X86Segment } from './devices/x86-cpu.ts';
export { encodePageHeader, encodeZeroPage, type PageRecordOptions } from './write/encode-pages.ts';
export {
  encodeEmptyRamSection,
  encodeMappedBlockEntry,
  encodeMappedRamStart,
  encodePlainRamStart,
  encodeRamEos,
  type MappedRamStart,
  type MappedRamStartOptions,
  type RamStartOptions,
  type Segment,
} from './write/encode-ram.ts';
export {
  layoutMappedRam,
  type LayoutOptions,
  type MappedBlockLayout,
  type MappedRamLayout,
  type RamBlock,
} from './write/layout.ts';
export type { StreamPiece } from './write/pieces.ts';
export { readStreamIndex } from './read/read-stream-index.ts';
export { bytesReader, type ByteRange, type RandomAccessReader } from './reader.ts';
export type {
  CommandRecord,
  ConfigurationRecord,
  EofRecord,
  HeaderRecord,
  MappedBlock,
  OpaqueRecord,
  RamBlockRecord,
  RamForm,
  RamListRecord,
  RamPageRecord,
  SectionRecord,
  StreamRecord,
  TrailingRecord,
  VmdescriptionRecord,
} from './records.ts';
export { readVmdescriptionFor, rewriteVmdescription } from './vmdescription/rewrite-vmdescription.ts';
export {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
  type SectionIdentity,
  type SectionKind,
} from './section.ts';
export { bitmapBytes, type BlockArea, type PageArea } from './page-area.ts';
export { commandsBeforeRam, stateSections, type StateSections } from './write/state-sections.ts';
export type {
  IndexedSection,
  IndexedVmdescription,
  MappedRamBlock,
  MappedRamIndex,
  PlainRamBlock,
  PlainRamIndex,
  RamIndex,
  StreamIndex,
} from './stream-index.ts';
export type { Vmdescription, VmdescriptionDevice } from './vmdescription/vmdescription.ts';
export { walkBatches, walkStream, type WalkOptions } from './read/walk.ts';
