/**
 * `mapped-ram/stream`: QEMU's migration stream, to read and to write (docs/format.md §1, §2, §3, §9, §10). Pure: it reads
 * through `RandomAccessReader`, writes by returning bytes and offsets, and runs in a browser as it does in Node. Every
 * offset is absolute in the file, every size in bytes, both up to 2^53-1.
 *
 * Read
 *   readStreamIndex(reader, { offset? })  → StreamIndex: blocks, sections, commands, vmdescription, complete, problem
 *   walkStream(reader, { offset? })       → AsyncGenerator<StreamRecord>: every record, page records too
 *   walkBatches(reader, { offset? })      → the same, arrays of records at a time
 *   bytesReader(bytes, name?)             → RandomAccessReader over memory
 *   readGlobalState(reader, index)        → GlobalState: the guest's run state before it was saved
 *   readDevices(reader, index, filter?)   → DeviceStates: every device's fields, decoded by the vmdescription
 *   readX86Cpus(reader, index)            → X86Cpu[]: the registers of an x86 guest
 *   flattenDevice(device)                 → [path, value] pairs of a decoded device
 *
 * Write: whole streams around the device state of another
 *   assembleMappedRam({ state, configuration, blocks, … })           → { layout, pieces, endOffset }
 *   assemblePlainBatches({ state, configuration, blocks, pages, … }) → AsyncGenerator<StreamPiece[]>
 *   readVmdescriptionFor(reader, index, configuration)               → JSON to end the new stream with
 *   runStatePatch(globalState, runState)  → StreamPatch: makes a new stream record another run state
 *     a piece is { offset, bytes } or { offset, source: { offset, length } }, to copy from the file that the state is in
 */
export {
  ERROR_CODES,
  MappedRamError,
  type ErrorCode,
  type ErrorContext,
  type MigrationInfo,
  type MigrationRamInfo,
  type QmpErrorReply,
  type RuleRefusal,
} from '../errors.ts';
export type { Configuration } from './configuration.ts';
export { readGlobalState, runStatePatch, type GlobalState, type StreamPatch } from './global-state.ts';
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
export type { BlockArea, PageArea } from './page-area.ts';
export { readStreamIndex } from './read/read-stream-index.ts';
export { walkBatches, walkStream, type WalkOptions } from './read/walk.ts';
export { bytesReader, type ByteRange, type RandomAccessReader, type SourceKind } from './reader.ts';
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
export type { SectionKind } from './section.ts';
export type {
  IndexedSection,
  IndexedVmdescription,
  MappedRamBlock,
  MappedRamIndex,
  PlainRamBlock,
  PlainRamIndex,
  RamIndex,
  RamIndexBase,
  StreamIndex,
} from './stream-index.ts';
export { readVmdescriptionFor } from './vmdescription/rewrite-vmdescription.ts';
export type { Vmdescription, VmdescriptionDevice } from './vmdescription/vmdescription.ts';
export {
  assembleMappedRam,
  assemblePlainBatches,
  type AssembledMapped,
  type AssembleMappedOptions,
  type AssemblePlainBatchesOptions,
  type PlainPage,
} from './write/assemble.ts';
export type { AssembleOptions } from './write/behind-ram.ts';
export type { MappedBlockLayout, MappedRamLayout, RamBlock } from './write/layout.ts';
export type { StreamPiece } from './write/pieces.ts';
