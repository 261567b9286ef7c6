export { demo } from './demo/demo.ts';
export type { DemoCheck, DemoOptions, DemoResult, DemoStep } from './demo/demo-options.ts';
export {
  doctor,
  type Availability,
  type Choice,
  type DoctorOptions,
  type DoctorReport,
} from './doctor/doctor.ts';
export type { Filesystem } from './doctor/filesystem.ts';
export { findQemu, type FindQemuOptions, type QemuFinding } from './doctor/find-qemu.ts';
export type { HugePages } from './doctor/host-limits.ts';
export { ERROR_CODES, MappedRamError, type ErrorCode, type ErrorContext } from './errors.ts';
export { convert } from './snapshot/convert.ts';
export type {
  ConvertOptions,
  ConvertResult,
  ConvertSource,
  ConvertTarget,
  StreamForm,
} from './snapshot/convert-options.ts';
export type { BlockInfo, SectionInfo, SnapshotInfo } from './snapshot/info.ts';
export { pack, type PackOptions, type PackResult } from './snapshot/pack.ts';
export { QmpClient } from './qemu/qmp-client.ts';
export { attach, type AttachOptions, type AttachResult } from './restore/attach.ts';
export { launchArguments, type LaunchArguments, type LaunchOptions } from './restore/launch-arguments.ts';
export { PreloadedRam, preloadRam, type PreloadOptions } from './restore/preload.ts';
export { restore, type RestoredGuest, type RestoreOptions, type RestoreTimes } from './restore/restore.ts';
export { openStateStream } from './restore/state-stream.ts';
export type { RamLocation } from './snapshot/ram-location.ts';
export { Snapshot, type SnapshotSource } from './snapshot/snapshot.ts';
export type { SnapshotTarget } from './snapshot/snapshot-output.ts';
export { unpack, type UnpackOptions, type UnpackResult } from './snapshot/unpack.ts';
export type {
  DirectIo,
  EngineChoice,
  TransferOptions,
  TransferProgress,
  TransferReport,
} from './transfer/options.ts';
export { probe, type DirectIoProbe, type IoUringProbe, type Probe } from './transfer/probe.ts';
export {
  formatMigrationUri,
  fromMigrationChannels,
  parseMigrationUri,
  toMigrationChannels,
  type MigrationAddress,
  type MigrationChannel,
} from './uri/index.ts';
