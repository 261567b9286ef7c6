import { MappedRamError } from '../errors.ts';
import { type OpenSource, sourcesOf } from '../io/open-source.ts';
import type { SnapshotMemory } from '../pages/block-memory.ts';
import type { PageRun } from '../pages/page-runs.ts';
import type { PhysicalMap } from '../physical/physical-map.ts';
import type { PhysicalOptions } from '../physical/ram-layout.ts';
import type { DeviceStates } from '../stream/devices/device-state.ts';
import type { X86Cpu } from '../stream/devices/x86-cpu.ts';
import type { LibvirtImage } from '../stream/read/libvirt-image.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import type { MappedRamBlock, MappedRamIndex, StreamIndex } from '../stream/stream-index.ts';
import { type DeltaBase, type KnownBase, openBase } from './delta-base.ts';
import { isRamComplete, readInfo, type SnapshotInfo } from './info.ts';
import {
  type OpenedSource,
  openPlace,
  type SnapshotSource,
  type SourcePlace,
  sourcePlace,
} from './snapshot-source.ts';

/** The file that has a snapshot's memory to be mapped, and the places of the blocks in it. */
export interface Mappable {
  readonly path: string;
  readonly reader: OpenSource;
  readonly blocks: readonly MappedRamBlock[];
}

/** A snapshot that is open for reading; of a delta, together with its base. */
export class Snapshot implements AsyncDisposable {
  /** The file's name, as the caller gave it. */
  readonly path: string;
  /** The places of all of the stream's parts. */
  readonly index: StreamIndex;
  /** The header of the libvirt save image that the snapshot is in; undefined when it is in none. @internal */
  readonly libvirt: LibvirtImage | undefined;
  /** The base of a delta, which is open, too; undefined for a snapshot that is whole. @internal */
  readonly base: DeltaBase | undefined;
  /** Reads the snapshot whole: a delta reads as it stands, but for the pages and bits that are in its base. @internal */
  readonly reader: OpenSource;
  #memory: SnapshotMemory | undefined;
  #map: Promise<PhysicalMap> | undefined;

  private constructor(
    reader: OpenSource,
    index: StreamIndex,
    libvirt: LibvirtImage | undefined,
    base: DeltaBase | undefined,
  ) {
    this.path = reader.name;
    this.base = base;
    this.reader = reader;
    this.index = index;
    this.libvirt = libvirt;
  }

  /**
   * Opens a snapshot and reads its headers and its tail; never its pages. A file that is cut off or damaged behind its
   * first headers opens too: see `index.problem`. A libvirt save image opens as the stream inside, unless an offset
   * says where to look. A delta opens with its base, which is looked for beside it and where it was (docs/format.md
   * §13); both stay locked against writers in place until the snapshot is closed.
   *
   * @param signal ends all reading from the snapshot, later too
   * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC when it is no migration stream, ERR_MAPPED_RAM_IO,
   *   ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_UNSUPPORTED (also for a compressed libvirt image),
   *   ERR_MAPPED_RAM_INCOMPLETE for a libvirt image that was not finished, ERR_MAPPED_RAM_INVALID_URI;
   *   ERR_MAPPED_RAM_BASE, ERR_MAPPED_RAM_BUSY for the base of a delta
   */
  static async open(source: SnapshotSource, signal?: AbortSignal): Promise<Snapshot> {
    return Snapshot.#at(sourcePlace(source), signal);
  }

  /** Opens a file whose path says nothing to people: `path` and errors have the name. @throws as `open` @internal */
  static async openAs(name: string, path: string): Promise<Snapshot> {
    return Snapshot.#at({ path, name, offset: 0 });
  }

  static async #at(place: SourcePlace, signal?: AbortSignal, known?: KnownBase): Promise<Snapshot> {
    const opened = await openPlace(place, signal);
    try {
      return await Snapshot.over(opened, known);
    } catch (error) {
      await opened.reader.close();
      throw error;
    }
  }

  /**
   * Opens what may be a delta on a base that is open, and stays the caller's. It must be open for longer.
   * @throws {MappedRamError} as `open` @internal
   */
  static async openOver(source: SnapshotSource, base: KnownBase): Promise<Snapshot> {
    return Snapshot.#at(sourcePlace(source), undefined, base);
  }

  /**
   * Reads the index of an opened source, which belongs to the snapshot from then on.
   * @param known the base, when it is open @internal
   */
  static async over(opened: OpenedSource, known?: KnownBase): Promise<Snapshot> {
    const { reader, base: offset, libvirt } = opened;
    const index = await readStreamIndex(reader, { offset });
    const layered = await openBase(opened, index, known);
    return new Snapshot(layered?.reader ?? reader, index, libvirt, layered?.base);
  }

  /** The snapshot for work that a signal ends: its reads end with the signal, too. @internal */
  until(signal: AbortSignal | undefined): Snapshot {
    const reader = signal && this.reader.until?.(signal);
    return reader === undefined ? this : new Snapshot(reader, this.index, this.libvirt, this.base);
  }

  /**
   * The RAM of a complete mapped-ram file.
   * @param ignoreDeviceState true when it is enough that the RAM is whole: device state without a vmdescription cannot
   *   be measured, but QEMU had written every page and bitmap before it (docs/format.md §4.1)
   * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, with the reason as its cause; ERR_MAPPED_RAM_UNSUPPORTED for a
   *   plain stream
   */
  completeRam(ignoreDeviceState = false): MappedRamIndex {
    const { ram, problem } = this.index;
    if (problem !== undefined && !(ignoreDeviceState && isRamComplete(this.index))) {
      throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'the snapshot is not complete', {
        cause: problem,
      });
    }
    if (ram?.form === 'mapped-ram') return ram;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the stream holds no mapped RAM', {
      path: this.path,
      expected: 'a mapped-ram file',
      found: ram === undefined ? 'a stream without RAM' : 'a plain stream',
    });
  }

  /** The sources of the snapshot: its own, and that of its base. @internal */
  get sources(): readonly OpenSource[] {
    return sourcesOf(this.reader);
  }

  /** The file whose memory a QEMU can map: the base of a delta, else the snapshot itself. @internal */
  get mappable(): Mappable {
    return this.base ?? { path: this.path, reader: this.reader, blocks: this.completeRam(true).blocks };
  }

  /** Reads the bitmaps, too, and counts their pages. */
  async info(): Promise<SnapshotInfo> {
    return readInfo(this.index, this.reader, this.libvirt, this.base);
  }

  /**
   * Bytes of a block, wherever its pages are: a page that is not in the file reads as zeros.
   * @param offset in the block, in bytes
   * @param length in bytes, up to 1 GiB
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that there is not, ERR_MAPPED_RAM_OUT_OF_RANGE
   *   for a range that is not in it, ERR_MAPPED_RAM_INCOMPLETE when RAM is not whole, ERR_MAPPED_RAM_UNSUPPORTED for a
   *   plain stream and for a block without pages; and as reading the file
   */
  async read(block: string, offset: number | bigint, length: number | bigint): Promise<Uint8Array> {
    return (await this.memory()).read(block, offset, length);
  }

  /**
   * The pages of a block in order, as runs: adjacent pages that are in the file, or adjacent pages that are not.
   * @throws {MappedRamError} as `read`
   */
  async *pages(block: string): AsyncGenerator<PageRun, void, void> {
    yield* (await this.memory()).pages(block);
  }

  /**
   * The places of the blocks in the guest's physical address space: RAM, firmware, a graphics card's memory. The
   * machines i440fx (`pc`), q35, microvm, and virt of ARM have such a map.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for other machines, and where the file does not tell which
   *   blocks are RAM; ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for options; and as `read`
   */
  async physicalMap(options?: PhysicalOptions): Promise<PhysicalMap> {
    const { physicalMap } = await import('../physical/physical-map.ts');
    return physicalMap(this, options);
  }

  /**
   * Bytes at a guest-physical address.
   * @param length in bytes, up to 1 GiB
   * @param map a `physicalMap` of callers who know more than the file. Default: the map without options
   * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE where the guest has no memory; and as `physicalMap`, `read`
   */
  async readPhysical(
    address: number | bigint,
    length: number | bigint,
    map?: PhysicalMap,
  ): Promise<Uint8Array> {
    const { readPhysical } = await import('../physical/physical-map.ts');
    return readPhysical(this, map ?? (await this.#defaultMap()), address, length);
  }

  /** @internal */
  async memory(): Promise<SnapshotMemory> {
    if (this.#memory !== undefined) return this.#memory;
    const ram = this.completeRam(true);
    const { SnapshotMemory } = await import('../pages/block-memory.ts');
    // Another caller may have been first meanwhile, and one cache of bitmaps is enough.
    this.#memory ??= new SnapshotMemory(this.reader, ram);
    return this.#memory;
  }

  /**
   * The state of the guest's devices, decoded by the vmdescription. `problems` names whatever is missing or does not
   * fit; all the rest is given all the same.
   *
   * @param name a section's name (`cpu`, `0000:00:02.0/virtio-net`) or its last part (`virtio-net`), of every instance,
   *   or of one with the instance behind it (`cpu/0`): only such devices. Default: all devices
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_CLOSED
   */
  async devices(name?: string): Promise<DeviceStates> {
    const { deviceNamed, readDevices } = await import('../stream/devices/read-devices.ts');
    return readDevices(this.reader, this.index, name === undefined ? undefined : deviceNamed(name));
  }

  /**
   * The registers of an x86 guest's CPUs.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for CPUs of another architecture; ERR_MAPPED_RAM_INCOMPLETE
   *   when the stream describes no CPU; ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_CLOSED
   */
  async cpus(): Promise<readonly X86Cpu[]> {
    const { readX86Cpus } = await import('../stream/devices/decode-x86-cpus.ts');
    return readX86Cpus(this.reader, this.index);
  }

  async close(): Promise<void> {
    await this.reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A caller that asks while the map is being made waits for the same map. */
  #defaultMap(): Promise<PhysicalMap> {
    const map = this.#map ?? this.physicalMap();
    this.#map = map;
    map.catch(() => {
      // A map that failed once may succeed the next time.
      if (this.#map === map) this.#map = undefined;
    });
    return map;
  }
}
