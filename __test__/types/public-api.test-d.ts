// This file is compiled and never run. It has the code that users of the types may write, and code that they may not.
import {
  diff,
  type DeviceState,
  type ERROR_CODES,
  flattenDevice,
  type FlatValue,
  MappedRamError,
  pack,
  parseMigrationUri,
  probe,
  Snapshot,
  unpack,
  verify,
  type ErrorCode,
  type PackOptions,
  type PackResult,
  type SnapshotDiff,
  type SnapshotInfo,
  type SnapshotTarget,
  type StorageSource,
  type TransferOptions,
  type UnpackResult,
  type VerifyResult,
  type X86Cpu,
} from '../../ts/index.ts';

/** Compiles only when the two types are the same, but for optional and read-only members. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
const same = <A, B>(_same: Same<A, B>): void => undefined;

export async function packs(signal: AbortSignal): Promise<void> {
  const result = await pack('guest.mr', { state: 'guest.state' });
  same<typeof result, PackResult>(true);
  await pack(new URL('file:///guest.mr'), { state: 's', ram: { 'pc.ram': new Uint8Array(4096) } });
  await pack({ fd: 3, directFd: 4, offset: 4096 }, { state: 's', ram: { m0: { path: 'p', offset: 0 } } });
  // An undefined option is as good as none.
  await pack('guest.mr', { state: 's', ram: undefined, channels: undefined, signal: undefined });
  await pack('guest.mr', { state: 's', storeZeroPages: ['system.flash0'], signal });
  await pack('guest.mr', { state: 's', onProgress: ({ bytesDone, bytesTotal }) => bytesDone / bytesTotal });

  await using state = await Snapshot.open('guest.state');
  await pack('guest.mr', { state });
  // @ts-expect-error an open snapshot is no name of a target
  await pack(state, { state: 's' });
  // @ts-expect-error nor of a block's memory
  await pack('guest.mr', { state: 's', ram: { m0: state } });
  // @ts-expect-error a target is a path or a descriptor
  await pack({ path: 'p', fd: 3 }, { state: 's' });
  // @ts-expect-error the state is needed
  await pack('guest.mr', {});
  // @ts-expect-error options are needed
  await pack('guest.mr');
  // @ts-expect-error no such engine
  await pack('guest.mr', { state: 's', ioEngine: 'libaio' });
  // @ts-expect-error direct I/O is auto, on or off
  await pack('guest.mr', { state: 's', directIo: true });
  // @ts-expect-error no such option
  await pack('guest.mr', { state: 's', chanels: 4 });
  // @ts-expect-error a block is at a path or at a descriptor
  await pack('guest.mr', { state: 's', ram: { m0: {} } });
  // @ts-expect-error no such choice
  await pack('guest.mr', { state: 's', storeZeroPages: 'none' });
  // @ts-expect-error results are read-only
  result.size = 0;
  // @ts-expect-error and so are lists in them
  result.blocks.push({ id: 'x', length: 1 });
}

export async function unpacks(): Promise<void> {
  const result = await unpack('guest.mr', { state: 'guest.state' });
  same<typeof result, UnpackResult>(true);
  // @ts-expect-error without RAM there is no transfer to report
  result.transfer.channels.toFixed();
  result.transfer?.channels.toFixed();
  await unpack({ fd: 3 }, { ram: { 'pc.ram': 'ram' }, overwrite: true });
  // @ts-expect-error options are needed
  await unpack('guest.mr');
}

export async function inspects(): Promise<void> {
  await using snapshot = await Snapshot.open('file:guest.mr,offset=4096');
  const info = await snapshot.info();
  same<typeof info, SnapshotInfo>(true);
  same<typeof info.problem, MappedRamError | undefined>(true);
  const { devices, problems } = await snapshot.devices('cpu/0');
  same<typeof problems, readonly MappedRamError[]>(true);
  for (const device of devices) same<typeof device, DeviceState>(true);
  for (const [path, value] of devices.flatMap((device) => flattenDevice(device))) {
    same<typeof path, string>(true);
    same<typeof value, FlatValue>(true);
  }
  const [cpu] = await snapshot.cpus();
  same<typeof cpu, X86Cpu | undefined>(true);
  // @ts-expect-error registers are bigints
  same<X86Cpu['rip'], number>(true);
  // @ts-expect-error snapshots are opened, not made
  void new Snapshot();
  // @ts-expect-error no such source
  await Snapshot.open(42);
  // @ts-expect-error it is open already
  await Snapshot.open(snapshot);
  // @ts-expect-error an open snapshot is no target
  const target: SnapshotTarget = snapshot;
  void target;
  // @ts-expect-error a storage has a function that reads
  await Snapshot.open({ storage: { size: 4096 } });
  const bytes = { size: 4096, readInto: async () => 4096 } satisfies StorageSource;
  await Snapshot.open({ storage: bytes });
}

export async function compares(signal: AbortSignal): Promise<void> {
  const result = await diff('left.mr', new URL('file:///right.mr'), { directIo: 'on', signal });
  same<typeof result, SnapshotDiff>(true);
  await diff({ fd: 3, offset: 4096 }, { ram: { 'pc.ram': 'ram', m0: { fd: 4 } } });
  for (const block of result.blocks) for (const { offset } of block.runs()) offset.toFixed();
  // @ts-expect-error with RAM there is no device state to compare
  result.sections.length.toFixed();
  // @ts-expect-error there is a second side
  await diff('left.mr');
  // @ts-expect-error no such side
  await diff('left.mr', { rom: {} });
  // @ts-expect-error results are read-only
  result.equal = true;
}

export function options(): readonly [PackOptions, TransferOptions] {
  const transfer: TransferOptions = { channels: 4, queueDepth: 8, requestSize: 65536, ioEngine: 'auto' };
  // @ts-expect-error options are read-only
  transfer.channels = 2;
  return [{ state: 's', ...transfer }, transfer];
}

export function others(error: unknown): ErrorCode | undefined {
  same<(typeof ERROR_CODES)[number], ErrorCode>(true);
  const { ioEngine, usesDirectIo } = probe('.');
  same<typeof ioEngine, 'io_uring' | 'threads'>(true);
  same<typeof usesDirectIo, boolean>(true);
  const address = parseMigrationUri('file:x');
  // @ts-expect-error only file addresses have a filename
  void address.filename;
  if (address.transport === 'file') address.filename.trim();
  if (!(error instanceof MappedRamError)) return undefined;
  // @ts-expect-error an error knows its path only sometimes
  error.path.trim();
  // @ts-expect-error no such code
  if (error.code === 'ERR_MAPPED_RAM_NONE') return undefined;
  return error.code;
}

export async function verifies(signal: AbortSignal): Promise<void> {
  const result = await verify('guest.mr');
  same<typeof result, VerifyResult>(true);
  await verify({ fd: 3, offset: 4096n }, { sealPath: 'seal', channels: undefined, signal });
  await verify(new URL('file:///guest.mr'), { seal: true, overwrite: true });
  const [finding] = result.findings;
  if (finding?.code === 'pages-differ') finding.pages?.first.toFixed();

  // @ts-expect-error no such code
  if (finding?.code === 'pages-wrong') return;
  // @ts-expect-error a seal is made or not; where is another question
  await verify('guest.mr', { seal: 'guest.seal' });
}
