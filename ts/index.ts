export { demo } from './demo/demo.ts';
export type { DemoCheck, DemoOptions, DemoResult, DemoStep } from './demo/demo-options.ts';
export {
  doctor,
  type Availability,
  type Choice,
  type DoctorOptions,
  type DoctorReport,
} from './doctor/doctor.ts';
export type { Filesystem } from './host/filesystem.ts';
export { findQemu, type FindQemuOptions, type QemuFinding } from './qemu/find-qemu.ts';
export type { HugePages } from './host/limits.ts';
export { ERROR_CODES, MappedRamError, type ErrorCode, type ErrorContext } from './errors.ts';
export {
  extract,
  type ExtractedRange,
  type ExtractFormat,
  type ExtractOptions,
  type ExtractResult,
} from './extract/extract.ts';
export type { PhysicalRange } from './physical/address-space.ts';
export type { MachineFamily } from './physical/machine-family.ts';
export type { PageRun } from './pages/page-runs.ts';
export type { PhysicalMap } from './physical/physical-map.ts';
export type { PhysicalOptions } from './physical/ram-layout.ts';
export { convert } from './convert/convert.ts';
export type {
  ConvertOptions,
  ConvertResult,
  ConvertSource,
  ConvertTarget,
  StreamForm,
} from './convert/options.ts';
export type { BlockInfo, SectionInfo, SnapshotInfo } from './snapshot/info.ts';
export { BlockDiff, type DiffPiece, type DiffRun } from './diff/block-diff.ts';
export { diff, type DiffOptions, type RamFiles, type SnapshotDiff } from './diff/diff.ts';
export type { FieldDiff, SectionDiff } from './diff/section-diff.ts';
export type { PageCounts, PageDifference } from './diff/page-differences.ts';
export { pack } from './pack/pack.ts';
export type { PackOptions, PackResult } from './pack/pack-options.ts';
export { QmpClient } from './qmp/client.ts';
export { attach, type AttachOptions, type AttachResult } from './restore/attach.ts';
export {
  launchArguments,
  type LaunchArguments,
  type LaunchOptions,
} from './restore/command-line/launch-arguments.ts';
export { PreloadedRam, preloadRam, type PreloadOptions } from './restore/preload.ts';
export { restore, type RestoredGuest, type RestoreOptions, type RestoreTimes } from './restore/restore.ts';
export { openStateStream } from './restore/state-stream.ts';
export { negotiate } from './negotiate/negotiate.ts';
export type { RuleRefusal } from './negotiate/decide.ts';
export type * from './negotiate/plan.ts';
export { planSave, save } from './save/save.ts';
export type { AfterSave, SaveOptions, SaveProgress, SaveResult } from './save/save-options.ts';
export type { RamLocation } from './snapshot/ram-location.ts';
export type {
  DeviceField,
  DeviceState,
  DeviceStates,
  DeviceStruct,
  DeviceValue,
  UndescribedSection,
} from './stream/devices/device-state.ts';
export { flattenDevice, type FlatValue } from './stream/devices/flatten-device.ts';
export type { X86Cpu, X86Segment } from './stream/devices/x86-cpu.ts';
export { Snapshot } from './snapshot/snapshot.ts';
export type { SnapshotSource } from './snapshot/snapshot-source.ts';
export type { SnapshotTarget } from './snapshot/snapshot-target.ts';
export type { StorageSource, StorageTarget } from './io/storage.ts';
export { unpack, type UnpackOptions, type UnpackResult } from './pack/unpack.ts';
export type {
  DirectIo,
  EngineChoice,
  TransferOptions,
  TransferProgress,
  TransferReport,
} from './engine/transfer-options.ts';
export { withProgress, type WorkWithProgress } from './engine/with-progress.ts';
export { probe, type DirectIoProbe, type IoUringProbe, type Probe } from './engine/probe.ts';
export {
  formatMigrationUri,
  fromMigrationChannels,
  parseMigrationUri,
  toMigrationChannels,
  type MigrationAddress,
  type MigrationChannel,
} from './uri/index.ts';
export { FINDING_CODES, type Finding, type FindingCode, type PageRange } from './verify/finding.ts';
export { verify, type VerifyOptions, type VerifyResult } from './verify/verify.ts';
