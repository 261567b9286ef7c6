// Made by scripts/generate-qapi.mjs from the schema of QEMU 10.0.2. Do not edit.

import type { QmpValue } from './json.ts';

/** Above 2^53-1 a bigint. */
export type QapiInteger = number | bigint;

export type QapiNothing = Readonly<Record<string, never>>;

/** Another QEMU may know values that this one does not. */
export type QapiOther = string & Record<never, never>;

/** The commands this package uses. */
export type QmpCommands = {
  readonly 'add-fd': { readonly arguments: AddFdArguments; readonly result: FdsetDescriptor };
  readonly closefd: { readonly arguments: ClosefdArguments; readonly result: QapiNothing };
  readonly cont: { readonly arguments: undefined; readonly result: QapiNothing };
  readonly 'device-list-properties': {
    readonly arguments: DeviceListPropertiesArguments;
    readonly result: readonly QomProperty[];
  };
  readonly getfd: { readonly arguments: GetfdArguments; readonly result: QapiNothing };
  readonly 'human-monitor-command': {
    readonly arguments: HumanMonitorCommandArguments;
    readonly result: string;
  };
  readonly migrate: { readonly arguments: MigrateArguments; readonly result: QapiNothing };
  readonly 'migrate-incoming': { readonly arguments: MigrateIncomingArguments; readonly result: QapiNothing };
  readonly 'migrate-set-capabilities': {
    readonly arguments: MigrateSetCapabilitiesArguments;
    readonly result: QapiNothing;
  };
  readonly 'migrate-set-parameters': {
    readonly arguments: MigrateSetParametersArguments;
    readonly result: QapiNothing;
  };
  readonly migrate_cancel: { readonly arguments: undefined; readonly result: QapiNothing };
  readonly qmp_capabilities: { readonly arguments: QmpCapabilitiesArguments; readonly result: QapiNothing };
  readonly 'qom-get': { readonly arguments: QomGetArguments; readonly result: QmpValue };
  readonly 'query-block-exports': { readonly arguments: undefined; readonly result: readonly BlockExport[] };
  readonly 'query-block-jobs': { readonly arguments: undefined; readonly result: readonly BlockJob[] };
  readonly 'query-cpus-fast': {
    readonly arguments: undefined;
    readonly result: readonly QueryCpusFastResult[];
  };
  readonly 'query-fdsets': { readonly arguments: undefined; readonly result: readonly FdsetInfo[] };
  readonly 'query-kvm': { readonly arguments: undefined; readonly result: QueryKvmResult };
  readonly 'query-machines': {
    readonly arguments: QueryMachinesArguments;
    readonly result: readonly MachineInfo[];
  };
  readonly 'query-memdev': { readonly arguments: undefined; readonly result: readonly MemdevInfo[] };
  readonly 'query-migrate': { readonly arguments: undefined; readonly result: MigrationReport };
  readonly 'query-migrate-capabilities': {
    readonly arguments: undefined;
    readonly result: readonly MigrationCapabilityState[];
  };
  readonly 'query-migrate-parameters': {
    readonly arguments: undefined;
    readonly result: MigrationParameters;
  };
  readonly 'query-status': { readonly arguments: undefined; readonly result: RunStatus };
  readonly 'query-target': { readonly arguments: undefined; readonly result: QueryTargetResult };
  readonly 'query-yank': { readonly arguments: undefined; readonly result: readonly YankInstance[] };
  readonly quit: { readonly arguments: undefined; readonly result: QapiNothing };
  readonly 'remove-fd': { readonly arguments: RemoveFdArguments; readonly result: QapiNothing };
  readonly stop: { readonly arguments: undefined; readonly result: QapiNothing };
  readonly 'x-debug-query-block-graph': { readonly arguments: undefined; readonly result: BlockGraph };
  readonly 'x-query-ramblock': { readonly arguments: undefined; readonly result: XQueryRamblockResult };
};

export type AddFdArguments = {
  readonly 'fdset-id'?: QapiInteger | undefined;
  readonly opaque?: string | undefined;
};

export type FdsetDescriptor = { readonly 'fdset-id': QapiInteger; readonly fd: QapiInteger };

export type ClosefdArguments = { readonly fdname: string };

export type DeviceListPropertiesArguments = { readonly typename: string };

export type QomProperty = {
  readonly name: string;
  readonly type: string;
  readonly description?: string;
  readonly 'default-value'?: QmpValue;
};

export type GetfdArguments = { readonly fdname: string };

export type HumanMonitorCommandArguments = {
  readonly 'command-line': string;
  readonly 'cpu-index'?: QapiInteger | undefined;
};

export type MigrateArguments = {
  readonly uri?: string | undefined;
  readonly channels?: readonly QapiMigrationChannel[] | undefined;
  readonly detach?: boolean | undefined;
  readonly resume?: boolean | undefined;
};

export type QapiMigrationChannel = {
  readonly 'channel-type': MigrationChannelType;
  readonly addr: QapiMigrationAddress;
};

export type MigrationChannelType = 'main' | 'cpr' | QapiOther;

export type QapiMigrationAddress =
  | ({ readonly transport: 'socket' } & QapiMigrationAddressSocket)
  | ({ readonly transport: 'exec' } & QapiMigrationAddressExec)
  | ({ readonly transport: 'rdma' } & QapiMigrationAddressSocketInet)
  | ({ readonly transport: 'file' } & QapiMigrationAddressFile);

export type QapiMigrationAddressSocket =
  | ({ readonly type: 'inet' } & QapiMigrationAddressSocketInet)
  | ({ readonly type: 'unix' } & QapiMigrationAddressSocketUnix)
  | ({ readonly type: 'vsock' } & QapiMigrationAddressSocketVsock)
  | ({ readonly type: 'fd' } & QapiMigrationAddressSocketFd);

export type QapiMigrationAddressSocketInet = {
  readonly host: string;
  readonly port: string;
  readonly numeric?: boolean | undefined;
  readonly to?: QapiInteger | undefined;
  readonly ipv4?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  readonly 'keep-alive'?: boolean | undefined;
  readonly mptcp?: boolean | undefined;
};

export type QapiMigrationAddressSocketUnix = {
  readonly path: string;
  readonly abstract?: boolean | undefined;
  readonly tight?: boolean | undefined;
};

export type QapiMigrationAddressSocketVsock = { readonly cid: string; readonly port: string };

export type QapiMigrationAddressSocketFd = { readonly str: string };

export type QapiMigrationAddressExec = { readonly args: readonly string[] };

export type QapiMigrationAddressFile = { readonly filename: string; readonly offset: QapiInteger };

export type MigrateIncomingArguments = {
  readonly uri?: string | undefined;
  readonly channels?: readonly QapiMigrationChannel[] | undefined;
  readonly 'exit-on-error'?: boolean | undefined;
};

export type MigrateSetCapabilitiesArguments = {
  readonly capabilities: readonly MigrationCapabilitySetting[];
};

export type MigrationCapabilitySetting = {
  readonly capability: MigrationCapability;
  readonly state: boolean;
};

export type MigrationCapability =
  | 'xbzrle'
  | 'rdma-pin-all'
  | 'auto-converge'
  | 'zero-blocks'
  | 'events'
  | 'postcopy-ram'
  | 'x-colo'
  | 'release-ram'
  | 'return-path'
  | 'pause-before-switchover'
  | 'multifd'
  | 'dirty-bitmaps'
  | 'postcopy-blocktime'
  | 'late-block-activate'
  | 'x-ignore-shared'
  | 'validate-uuid'
  | 'background-snapshot'
  | 'zero-copy-send'
  | 'postcopy-preempt'
  | 'switchover-ack'
  | 'dirty-limit'
  | 'mapped-ram'
  | QapiOther;

export type MigrateSetParametersArguments = {
  readonly 'announce-initial'?: QapiInteger | undefined;
  readonly 'announce-max'?: QapiInteger | undefined;
  readonly 'announce-rounds'?: QapiInteger | undefined;
  readonly 'announce-step'?: QapiInteger | undefined;
  readonly 'throttle-trigger-threshold'?: QapiInteger | undefined;
  readonly 'cpu-throttle-initial'?: QapiInteger | undefined;
  readonly 'cpu-throttle-increment'?: QapiInteger | undefined;
  readonly 'cpu-throttle-tailslow'?: boolean | undefined;
  readonly 'tls-creds'?: string | null | undefined;
  readonly 'tls-hostname'?: string | null | undefined;
  readonly 'tls-authz'?: string | null | undefined;
  readonly 'max-bandwidth'?: QapiInteger | undefined;
  readonly 'avail-switchover-bandwidth'?: QapiInteger | undefined;
  readonly 'downtime-limit'?: QapiInteger | undefined;
  readonly 'x-checkpoint-delay'?: QapiInteger | undefined;
  readonly 'multifd-channels'?: QapiInteger | undefined;
  readonly 'xbzrle-cache-size'?: QapiInteger | undefined;
  readonly 'max-postcopy-bandwidth'?: QapiInteger | undefined;
  readonly 'max-cpu-throttle'?: QapiInteger | undefined;
  readonly 'multifd-compression'?: MultifdCompression | undefined;
  readonly 'multifd-zlib-level'?: QapiInteger | undefined;
  readonly 'multifd-qatzip-level'?: QapiInteger | undefined;
  readonly 'multifd-zstd-level'?: QapiInteger | undefined;
  readonly 'block-bitmap-mapping'?: readonly MigrateSetParametersBlockBitmapMapping[] | undefined;
  readonly 'x-vcpu-dirty-limit-period'?: QapiInteger | undefined;
  readonly 'vcpu-dirty-limit'?: QapiInteger | undefined;
  readonly mode?: MigrationMode | undefined;
  readonly 'zero-page-detection'?: ZeroPageDetectionMode | undefined;
  readonly 'direct-io'?: boolean | undefined;
};

export type MultifdCompression = 'none' | 'zlib' | 'zstd' | QapiOther;

export type MigrateSetParametersBlockBitmapMapping = {
  readonly 'node-name': string;
  readonly alias: string;
  readonly bitmaps: readonly MigrateSetParametersBlockBitmapMappingBitmaps[];
};

export type MigrateSetParametersBlockBitmapMappingBitmaps = {
  readonly name: string;
  readonly alias: string;
  readonly transform?: MigrateSetParametersBlockBitmapMappingBitmapsTransform | undefined;
};

export type MigrateSetParametersBlockBitmapMappingBitmapsTransform = {
  readonly persistent?: boolean | undefined;
};

export type MigrationMode = 'normal' | 'cpr-reboot' | 'cpr-transfer' | QapiOther;

export type ZeroPageDetectionMode = 'none' | 'legacy' | 'multifd' | QapiOther;

export type QmpCapabilitiesArguments = { readonly enable?: readonly QmpCapabilitiesEnable[] | undefined };

export type QmpCapabilitiesEnable = 'oob' | QapiOther;

export type QomGetArguments = { readonly path: string; readonly property: string };

export type BlockExport = {
  readonly id: string;
  readonly type: BlockExportType;
  readonly 'node-name': string;
  readonly 'shutting-down': boolean;
};

export type BlockExportType = 'nbd' | 'vhost-user-blk' | 'fuse' | 'vduse-blk' | QapiOther;

export type BlockJob = (
  | { readonly type: 'commit' }
  | { readonly type: 'stream' }
  | ({ readonly type: 'mirror' } & BlockJobMirror)
  | { readonly type: 'backup' }
  | { readonly type: 'create' }
  | { readonly type: 'amend' }
  | { readonly type: 'snapshot-load' }
  | { readonly type: 'snapshot-save' }
  | { readonly type: 'snapshot-delete' }
) & {
  readonly device: string;
  readonly len: QapiInteger;
  readonly offset: QapiInteger;
  readonly busy: boolean;
  readonly paused: boolean;
  readonly speed: QapiInteger;
  readonly 'io-status': BlockJobIoStatus;
  readonly ready: boolean;
  readonly status: BlockJobStatus;
  readonly 'auto-finalize': boolean;
  readonly 'auto-dismiss': boolean;
  readonly error?: string;
};

export type BlockJobIoStatus = 'ok' | 'failed' | 'nospace' | QapiOther;

export type BlockJobStatus =
  | 'undefined'
  | 'created'
  | 'running'
  | 'paused'
  | 'ready'
  | 'standby'
  | 'waiting'
  | 'pending'
  | 'aborting'
  | 'concluded'
  | 'null'
  | QapiOther;

export type BlockJobMirror = { readonly 'actively-synced': boolean };

export type QueryCpusFastResult = (
  | { readonly target: 'aarch64' }
  | { readonly target: 'alpha' }
  | { readonly target: 'arm' }
  | { readonly target: 'avr' }
  | { readonly target: 'hppa' }
  | { readonly target: 'i386' }
  | { readonly target: 'loongarch64' }
  | { readonly target: 'm68k' }
  | { readonly target: 'microblaze' }
  | { readonly target: 'microblazeel' }
  | { readonly target: 'mips' }
  | { readonly target: 'mips64' }
  | { readonly target: 'mips64el' }
  | { readonly target: 'mipsel' }
  | { readonly target: 'or1k' }
  | { readonly target: 'ppc' }
  | { readonly target: 'ppc64' }
  | { readonly target: 'riscv32' }
  | { readonly target: 'riscv64' }
  | { readonly target: 'rx' }
  | ({ readonly target: 's390x' } & QueryCpusFastResultS390x)
  | { readonly target: 'sh4' }
  | { readonly target: 'sh4eb' }
  | { readonly target: 'sparc' }
  | { readonly target: 'sparc64' }
  | { readonly target: 'tricore' }
  | { readonly target: 'x86_64' }
  | { readonly target: 'xtensa' }
  | { readonly target: 'xtensaeb' }
) & {
  readonly 'cpu-index': QapiInteger;
  readonly 'qom-path': string;
  readonly 'thread-id': QapiInteger;
  readonly props?: QueryCpusFastResultProps;
};

export type QueryCpusFastResultProps = {
  readonly 'node-id'?: QapiInteger;
  readonly 'drawer-id'?: QapiInteger;
  readonly 'book-id'?: QapiInteger;
  readonly 'socket-id'?: QapiInteger;
  readonly 'die-id'?: QapiInteger;
  readonly 'cluster-id'?: QapiInteger;
  readonly 'module-id'?: QapiInteger;
  readonly 'core-id'?: QapiInteger;
  readonly 'thread-id'?: QapiInteger;
};

export type QueryCpusFastResultS390x = {
  readonly 'cpu-state': QueryCpusFastResultS390xCpuState;
  readonly dedicated?: boolean;
  readonly entitlement?: QueryCpusFastResultS390xEntitlement;
};

export type QueryCpusFastResultS390xCpuState =
  | 'uninitialized'
  | 'stopped'
  | 'check-stop'
  | 'operating'
  | 'load'
  | QapiOther;

export type QueryCpusFastResultS390xEntitlement = 'auto' | 'low' | 'medium' | 'high' | QapiOther;

export type FdsetInfo = { readonly 'fdset-id': QapiInteger; readonly fds: readonly FdsetMember[] };

export type FdsetMember = { readonly fd: QapiInteger; readonly opaque?: string };

export type QueryKvmResult = { readonly enabled: boolean; readonly present: boolean };

export type QueryMachinesArguments = { readonly 'compat-props'?: boolean | undefined };

export type MachineInfo = {
  readonly name: string;
  readonly alias?: string;
  readonly 'is-default'?: boolean;
  readonly 'cpu-max': QapiInteger;
  readonly 'hotpluggable-cpus': boolean;
  readonly 'numa-mem-supported': boolean;
  readonly deprecated: boolean;
  readonly 'default-cpu-type'?: string;
  readonly 'default-ram-id'?: string;
  readonly acpi: boolean;
  readonly 'compat-props'?: readonly MachineInfoCompatProps[];
};

export type MachineInfoCompatProps = {
  readonly 'qom-type': string;
  readonly property: string;
  readonly value: string;
};

export type MemdevInfo = {
  readonly id?: string;
  readonly size: QapiInteger;
  readonly merge: boolean;
  readonly dump: boolean;
  readonly prealloc: boolean;
  readonly share: boolean;
  readonly reserve?: boolean;
  readonly 'host-nodes': readonly QapiInteger[];
  readonly policy: MemdevInfoPolicy;
};

export type MemdevInfoPolicy = 'default' | 'preferred' | 'bind' | 'interleave' | QapiOther;

export type MigrationReport = {
  readonly status?: MigrationReportStatus;
  readonly ram?: MigrationReportRam;
  readonly vfio?: MigrationReportVfio;
  readonly 'xbzrle-cache'?: MigrationReportXbzrleCache;
  readonly 'total-time'?: QapiInteger;
  readonly 'expected-downtime'?: QapiInteger;
  readonly downtime?: QapiInteger;
  readonly 'setup-time'?: QapiInteger;
  readonly 'cpu-throttle-percentage'?: QapiInteger;
  readonly 'error-desc'?: string;
  readonly 'blocked-reasons'?: readonly string[];
  readonly 'postcopy-blocktime'?: QapiInteger;
  readonly 'postcopy-vcpu-blocktime'?: readonly QapiInteger[];
  readonly 'socket-address'?: readonly MigrationReportSocketAddress[];
  readonly 'dirty-limit-throttle-time-per-round'?: QapiInteger;
  readonly 'dirty-limit-ring-full-time'?: QapiInteger;
};

export type MigrationReportStatus =
  | 'none'
  | 'setup'
  | 'cancelling'
  | 'cancelled'
  | 'active'
  | 'postcopy-active'
  | 'postcopy-paused'
  | 'postcopy-recover-setup'
  | 'postcopy-recover'
  | 'completed'
  | 'failed'
  | 'colo'
  | 'pre-switchover'
  | 'device'
  | 'wait-unplug'
  | QapiOther;

export type MigrationReportRam = {
  readonly transferred: QapiInteger;
  readonly remaining: QapiInteger;
  readonly total: QapiInteger;
  readonly duplicate: QapiInteger;
  readonly normal: QapiInteger;
  readonly 'normal-bytes': QapiInteger;
  readonly 'dirty-pages-rate': QapiInteger;
  readonly mbps: number;
  readonly 'dirty-sync-count': QapiInteger;
  readonly 'postcopy-requests': QapiInteger;
  readonly 'page-size': QapiInteger;
  readonly 'multifd-bytes': QapiInteger;
  readonly 'pages-per-second': QapiInteger;
  readonly 'precopy-bytes': QapiInteger;
  readonly 'downtime-bytes': QapiInteger;
  readonly 'postcopy-bytes': QapiInteger;
  readonly 'dirty-sync-missed-zero-copy': QapiInteger;
};

export type MigrationReportVfio = { readonly transferred: QapiInteger };

export type MigrationReportXbzrleCache = {
  readonly 'cache-size': QapiInteger;
  readonly bytes: QapiInteger;
  readonly pages: QapiInteger;
  readonly 'cache-miss': QapiInteger;
  readonly 'cache-miss-rate': number;
  readonly 'encoding-rate': number;
  readonly overflow: QapiInteger;
};

export type MigrationReportSocketAddress =
  | ({ readonly type: 'inet' } & MigrationReportSocketAddressInet)
  | ({ readonly type: 'unix' } & MigrationReportSocketAddressUnix)
  | ({ readonly type: 'vsock' } & MigrationReportSocketAddressVsock)
  | ({ readonly type: 'fd' } & MigrationReportSocketAddressFd);

export type MigrationReportSocketAddressInet = {
  readonly host: string;
  readonly port: string;
  readonly numeric?: boolean;
  readonly to?: QapiInteger;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly 'keep-alive'?: boolean;
  readonly mptcp?: boolean;
};

export type MigrationReportSocketAddressUnix = {
  readonly path: string;
  readonly abstract?: boolean;
  readonly tight?: boolean;
};

export type MigrationReportSocketAddressVsock = { readonly cid: string; readonly port: string };

export type MigrationReportSocketAddressFd = { readonly str: string };

export type MigrationCapabilityState = { readonly capability: MigrationCapability; readonly state: boolean };

export type MigrationParameters = {
  readonly 'announce-initial'?: QapiInteger;
  readonly 'announce-max'?: QapiInteger;
  readonly 'announce-rounds'?: QapiInteger;
  readonly 'announce-step'?: QapiInteger;
  readonly 'throttle-trigger-threshold'?: QapiInteger;
  readonly 'cpu-throttle-initial'?: QapiInteger;
  readonly 'cpu-throttle-increment'?: QapiInteger;
  readonly 'cpu-throttle-tailslow'?: boolean;
  readonly 'tls-creds'?: string;
  readonly 'tls-hostname'?: string;
  readonly 'tls-authz'?: string;
  readonly 'max-bandwidth'?: QapiInteger;
  readonly 'avail-switchover-bandwidth'?: QapiInteger;
  readonly 'downtime-limit'?: QapiInteger;
  readonly 'x-checkpoint-delay'?: QapiInteger;
  readonly 'multifd-channels'?: QapiInteger;
  readonly 'xbzrle-cache-size'?: QapiInteger;
  readonly 'max-postcopy-bandwidth'?: QapiInteger;
  readonly 'max-cpu-throttle'?: QapiInteger;
  readonly 'multifd-compression'?: MultifdCompression;
  readonly 'multifd-zlib-level'?: QapiInteger;
  readonly 'multifd-qatzip-level'?: QapiInteger;
  readonly 'multifd-zstd-level'?: QapiInteger;
  readonly 'block-bitmap-mapping'?: readonly MigrationParametersBlockBitmapMapping[];
  readonly 'x-vcpu-dirty-limit-period'?: QapiInteger;
  readonly 'vcpu-dirty-limit'?: QapiInteger;
  readonly mode?: MigrationMode;
  readonly 'zero-page-detection'?: ZeroPageDetectionMode;
  readonly 'direct-io'?: boolean;
};

export type MigrationParametersBlockBitmapMapping = {
  readonly 'node-name': string;
  readonly alias: string;
  readonly bitmaps: readonly MigrationParametersBlockBitmapMappingBitmaps[];
};

export type MigrationParametersBlockBitmapMappingBitmaps = {
  readonly name: string;
  readonly alias: string;
  readonly transform?: MigrationParametersBlockBitmapMappingBitmapsTransform;
};

export type MigrationParametersBlockBitmapMappingBitmapsTransform = { readonly persistent?: boolean };

export type RunStatus = { readonly running: boolean; readonly status: RunState };

export type RunState =
  | 'debug'
  | 'inmigrate'
  | 'internal-error'
  | 'io-error'
  | 'paused'
  | 'postmigrate'
  | 'prelaunch'
  | 'finish-migrate'
  | 'restore-vm'
  | 'running'
  | 'save-vm'
  | 'shutdown'
  | 'suspended'
  | 'watchdog'
  | 'guest-panicked'
  | 'colo'
  | QapiOther;

export type QueryTargetResult = { readonly arch: QueryTargetResultArch };

export type QueryTargetResultArch =
  | 'aarch64'
  | 'alpha'
  | 'arm'
  | 'avr'
  | 'hppa'
  | 'i386'
  | 'loongarch64'
  | 'm68k'
  | 'microblaze'
  | 'microblazeel'
  | 'mips'
  | 'mips64'
  | 'mips64el'
  | 'mipsel'
  | 'or1k'
  | 'ppc'
  | 'ppc64'
  | 'riscv32'
  | 'riscv64'
  | 'rx'
  | 's390x'
  | 'sh4'
  | 'sh4eb'
  | 'sparc'
  | 'sparc64'
  | 'tricore'
  | 'x86_64'
  | 'xtensa'
  | 'xtensaeb'
  | QapiOther;

export type YankInstance =
  | ({ readonly type: 'block-node' } & YankInstanceBlockNode)
  | ({ readonly type: 'chardev' } & YankInstanceChardev)
  | { readonly type: 'migration' };

export type YankInstanceBlockNode = { readonly 'node-name': string };

export type YankInstanceChardev = { readonly id: string };

export type RemoveFdArguments = { readonly 'fdset-id': QapiInteger; readonly fd?: QapiInteger | undefined };

export type BlockGraph = {
  readonly nodes: readonly BlockGraphNodes[];
  readonly edges: readonly BlockGraphEdges[];
};

export type BlockGraphNodes = {
  readonly id: QapiInteger;
  readonly type: BlockGraphNodesType;
  readonly name: string;
};

export type BlockGraphNodesType = 'block-backend' | 'block-job' | 'block-driver' | QapiOther;

export type BlockGraphEdges = {
  readonly parent: QapiInteger;
  readonly child: QapiInteger;
  readonly name: string;
  readonly perm: readonly BlockGraphEdgesPerm[];
  readonly 'shared-perm': readonly BlockGraphEdgesPerm[];
};

export type BlockGraphEdgesPerm = 'consistent-read' | 'write' | 'write-unchanged' | 'resize' | QapiOther;

export type XQueryRamblockResult = { readonly 'human-readable-text': string };
