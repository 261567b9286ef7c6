/**
 * `mapped-ram`: the whole package, except the parts for programs that read and write streams themselves
 * (`mapped-ram/stream`).
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
} from './errors.ts';

// Addresses.
export {
  formatMigrationUri,
  fromMigrationChannels,
  parseMigrationUri,
  toMigrationChannels,
  type DeferMigrationAddress,
  type ExecMigrationAddress,
  type FdMigrationAddress,
  type FdSocketAddress,
  type FileMigrationAddress,
  type FileMigrationArgs,
  type InetMigrationAddress,
  type InetSocketAddress,
  type MigrationAddress,
  type MigrationChannel,
  type MigrationExecCommand,
  type QapiMigrationAddress,
  type RdmaMigrationAddress,
  type UnixMigrationAddress,
  type UnixSocketAddress,
  type VsockMigrationAddress,
  type VsockSocketAddress,
} from './uri/index.ts';

// Snapshots and their content.
export { Snapshot } from './snapshot/snapshot.ts';
export type { SnapshotSource } from './snapshot/snapshot-source.ts';
export type { SnapshotTarget } from './snapshot/snapshot-target.ts';
export type { StorageCallOptions, StorageSource, StorageTarget } from './io/storage.ts';
export type { BaseInfo, BlockInfo, LibvirtInfo, SectionInfo, SnapshotInfo } from './snapshot/info.ts';
export type { RamLocation } from './snapshot/ram-location.ts';
export type { Configuration } from './stream/configuration.ts';
export type { PageArea } from './stream/page-area.ts';
export type { ByteRange } from './stream/reader.ts';
export type { CommandRecord, MappedBlock, OpaqueRecord, SectionRecord } from './stream/records.ts';
export type { SectionKind } from './stream/section.ts';
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
} from './stream/stream-index.ts';
export type { Vmdescription, VmdescriptionDevice } from './stream/vmdescription/vmdescription.ts';
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
export type { ChangedPages, PageStretch } from './pages/overlay/save-changes.ts';
export type { PageRun } from './pages/page-runs.ts';
export type { PhysicalRange } from './physical/address-space.ts';
export type { MachineFamily } from './physical/machine-family.ts';
export type { PhysicalMap } from './physical/physical-map.ts';
export type { PhysicalOptions } from './physical/ram-layout.ts';

// Work on snapshots.
export { convert } from './convert/convert.ts';
export type {
  ConvertOptions,
  ConvertResult,
  ConvertSource,
  ConvertTarget,
  ResultForm,
  StreamForm,
} from './convert/options.ts';
export { flatten } from './convert/flatten.ts';
export type { FlattenForm, FlattenOptions, FlattenResult } from './convert/flatten-options.ts';
export type { ChangedMemory, DeltaResult, WriteDeltaOptions } from './delta/delta-options.ts';
export { writeDelta } from './delta/write-delta.ts';
export { BlockDiff, type DiffPiece, type DiffRun } from './diff/block-diff.ts';
export { diff, type DiffOptions, type RamFiles, type SnapshotDiff } from './diff/diff.ts';
export type { PageCounts, PageDifference } from './diff/page-differences.ts';
export type { FieldDiff, SectionDiff } from './diff/section-diff.ts';
export {
  extract,
  type ExtractedRange,
  type ExtractFormat,
  type ExtractOptions,
  type ExtractResult,
} from './extract/extract.ts';
export { pack } from './pack/pack.ts';
export type { PackOptions, PackResult } from './pack/pack-options.ts';
export { unpack, type UnpackOptions, type UnpackResult } from './pack/unpack.ts';
export type { SealingOptions } from './seal/sealing.ts';
export { FINDING_CODES, type Finding, type FindingCode, type PageRange } from './verify/finding.ts';
export { verify, type VerifyOptions, type VerifyResult } from './verify/verify.ts';

// The engine.
export {
  probe,
  type Availability,
  type DirectIoProbe,
  type IoUringProbe,
  type Probe,
} from './engine/probe.ts';
export type {
  DirectIo,
  IoEngine,
  TransferOptions,
  TransferProgress,
  TransferReport,
} from './engine/transfer-options.ts';
export { withProgress, type WorkWithProgress } from './engine/with-progress.ts';

// Running guests.
export { planSave, save } from './save/save.ts';
export type { CaptureReport, SaveOptions, SaveProgress, SaveResult } from './save/save-options.ts';
export type { LiveOptions, LiveProgress, LiveReport, WhenNotConverging } from './save/live/live-options.ts';
export { attach } from './restore/attach.ts';
export type { AttachOptions, AttachResult, LoadPlan } from './restore/examine.ts';
export {
  type FreshArguments,
  freshArguments,
  type FreshOptions,
} from './restore/command-line/fresh-arguments.ts';
export type { MemoryKind } from './restore/command-line/memory-kind.ts';
export { launchArguments, type LaunchOptions } from './restore/command-line/launch-arguments.ts';
export type { LaunchArguments, MemoryFiles } from './restore/command-line/launch-plan.ts';
export type { LazyMemory, LazyProgress, LazyReport } from './restore/postcopy/lazy-memory.ts';
export type { PostcopyOptions } from './restore/postcopy/postcopy-options.ts';
export type { PushPace } from './engine/serve/page-server.ts';
export { recover, type RecoverOptions } from './restore/postcopy/recover.ts';
export type { LoadOptions, PrepareOptions } from './restore/options.ts';
export type { RestoreMode } from './restore/modes/modes.ts';
export { PreloadedRam, preloadRam, type PreloadOptions } from './restore/preload.ts';
export {
  recordWorkingSet,
  type RecordedWorkingSet,
  type RecordOptions,
} from './working-set/record-working-set.ts';
export type { ReadingAhead } from './working-set/read-working-set-ahead.ts';
export { restore, type RestoredGuest, type RestoreOptions, type RestoreTimes } from './restore/restore.ts';
export type { AfterRestore } from './restore/run-state.ts';
export type { SnapshotIdentity, VersionIdentity } from './restore/snapshot-identity.ts';
export { openStateStream, type StateStream, type StateStreamOptions } from './restore/state-stream.ts';
export { createPool } from './pool/create-pool.ts';
export { freshGuest, resetEach, type EachGuest, type TestHooks } from './pool/fresh-guest.ts';
export { GuestPool } from './pool/guest-pool.ts';
export type { PoolChange, PoolEvents, PoolHealth, PoolHealthEvent } from './pool/pool-health.ts';
export type { PoolOptions, PoolWait, TakeOptions } from './pool/pool-options.ts';
export type { PooledGuest } from './pool/pooled-qemu.ts';
export { fork } from './fork/fork.ts';
export type { ForkForm, ForkNowOptions, ForkOptions } from './fork/fork-options.ts';
export { ForkSlots } from './fork/fork-slots.ts';
export type { Fork, ForkedGuest, ForkTimes } from './fork/forked-guest.ts';
export { prepareFork } from './fork/prepare-fork.ts';
export { negotiate, type NegotiateOptions } from './negotiate/negotiate.ts';
export type { CommonPlan, Decision, Plan, PlanNote, RestorePlan, SavePlan } from './negotiate/plan.ts';
export type {
  AfterSave,
  Live,
  NegotiationRequest,
  PlanRequest,
  PlanTarget,
  Reader,
  RestoreRequest,
  SaveForm,
  SaveRequest,
  Switch,
  Writer,
  ZeroPageDetection,
} from './negotiate/request.ts';
export type { RuleId } from './negotiate/rules/rules.ts';

// QEMU.
export type { WaitOptions } from './host/wait-within.ts';
export { findQemu, type FindQemuOptions, type QemuFinding } from './qemu/process/find-qemu.ts';
export type { FileMemoryBlock, MemoryBackend, MemoryBlock, MemoryFile } from './qemu/memory/memory-block.ts';
export type { QemuFacts, QemuFeatures } from './qemu/qemu-facts.ts';
export type { QemuExit, QemuProcess, QemuProcessOptions } from './qemu/process/qemu-process.ts';
export { QmpClient } from './qmp/client.ts';
export type { ExecuteOptions, QmpClientOptions } from './qmp/client-options.ts';
export type { QmpArguments, QmpResult } from './qmp/commands.ts';
export type { QmpEvent, QmpEventFilter, QmpEvents } from './qmp/events.ts';
export type { QmpArgument, QmpObject, QmpValue } from './qmp/json.ts';
export type { QmpVersion } from './qmp/message.ts';
/** The commands that this package uses, out of QEMU's own schema, and the types of their arguments and results. */
export type * as Qapi from './qmp/qapi.generated.ts';

// Speed.
export { bench } from './bench/bench.ts';
export type { BenchOptions, BenchProgress } from './bench/bench-options.ts';
export type { BenchProgram, BenchWork, FileState, MemoryPattern, RoundFigures } from './bench/figures.ts';
export type { MachineFacts } from './bench/machine-facts.ts';
export type { BenchTransfer } from './bench/ours/job.ts';
export type {
  BenchReport,
  BenchResult,
  BenchSettings,
  BenchSweep,
  ContenderResult,
  FiguresSummary,
  SkippedBench,
  Spread,
  SweepBest,
  SweepComparison,
  SweepPoint,
} from './bench/report.ts';
export { readBaseline, saveBaseline } from './bench/baseline/baseline-file.ts';
export { compareWithBaseline, type CompareOptions } from './bench/baseline/compare.ts';
export type {
  BaselineComparison,
  ComparedFigure,
  FigureName,
  NotCompared,
  ReferenceChange,
} from './bench/baseline/comparison.ts';
export { benchPage } from './bench/html/page.ts';

// This host.
export { demo } from './demo/demo.ts';
export type { DemoCheck, DemoOptions, DemoResult, DemoStep } from './demo/demo-options.ts';
export {
  doctor,
  type Choice,
  type DoctorOptions,
  type DoctorReport,
  type ModeFinding,
} from './doctor/doctor.ts';
export type { FileIdentity } from './host/file-identity.ts';
export type { Filesystem } from './host/filesystem.ts';
export type { HugePages } from './host/limits.ts';
