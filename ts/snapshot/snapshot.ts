import { pagesIn } from '../stream/page-area.ts';
import { MappedRamError } from '../errors.ts';
import type { DeviceStates } from '../stream/devices/device-state.ts';
import type { MappedRamBlock, MappedRamIndex, StreamIndex } from '../stream/stream-index.ts';
// Not from the index: `info` is to start fast, and most of the stream's modules are for writing.
import type { X86Cpu } from '../stream/devices/x86-cpu.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import { byteCount } from '../io/byte-count.ts';
import { FileReader } from '../io/file-reader.ts';
import type { BlockInfo, SnapshotInfo } from './info.ts';
import type { PageRun } from '../pages/page-runs.ts';
import type { PhysicalMap } from '../physical/physical-map.ts';
import type { PhysicalOptions } from '../physical/ram-layout.ts';
import type { SnapshotMemory } from '../pages/block-memory.ts';
import { snapshotPath } from './snapshot-path.ts';
import { streamBase } from './stream-base.ts';

const MAX_ALIGNMENT = 2 ** 30;

/**
 * Where a snapshot is: a `file:` migration URI (with `,offset=`), a path or a URL; or a descriptor that is open for
 * reading and stays the caller's.
 */
export type SnapshotSource =
  | string
  | URL
  | { readonly fd: number; readonly offset?: number | bigint | undefined };

/** A snapshot file that is open for reading. */
export class Snapshot implements AsyncDisposable {
  /** The file, as it was named. */
  readonly path: string;
  /** Where everything in it is. */
  readonly index: StreamIndex;
  /** @internal */
  readonly reader: FileReader;
  readonly #byName: boolean;
  #memory: SnapshotMemory | undefined;
  #map: Promise<PhysicalMap> | undefined;

  private constructor(reader: FileReader, index: StreamIndex, byName: boolean) {
    this.#byName = byName;
    this.path = reader.name;
    this.reader = reader;
    this.index = index;
  }

  /**
   * Opens a snapshot and reads its headers and its tail; never its pages.
   * A file that is cut off or damaged behind its first headers opens too: see `index.problem`. Of a libvirt save image the
   * stream inside is opened, unless an offset says where to look.
   *
   * @param signal ends whatever is being read from the snapshot, later too
   * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC when it is no migration stream, ERR_MAPPED_RAM_IO,
   * ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_UNSUPPORTED (also for a compressed libvirt image), ERR_MAPPED_RAM_INCOMPLETE
   * for a libvirt image that was not finished, ERR_MAPPED_RAM_INVALID_URI
   */
  static async open(source: SnapshotSource, signal?: AbortSignal): Promise<Snapshot> {
    const byName = typeof source === 'string' || source instanceof URL;
    const { filename, offset } = byName
      ? snapshotPath(source)
      : { filename: '', offset: byteCount('offset of the snapshot', source.offset ?? 0) };
    const reader = byName
      ? await FileReader.open(filename, signal)
      : await FileReader.over(source.fd, signal);
    try {
      const base = await streamBase(reader, offset);
      return new Snapshot(reader, await readStreamIndex(reader, { offset: base }), byName);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /**
   * The RAM of a complete mapped-ram file.
   * @param ignoreDeviceState whether it is enough that the RAM is whole: device state without a vmdescription cannot be
   * measured, but QEMU had written every page and bitmap before it (docs/format.md §4.1)
   * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, with the reason as its cause; ERR_MAPPED_RAM_UNSUPPORTED for a
   * plain stream
   */
  completeRam(ignoreDeviceState = false): MappedRamIndex {
    const { ram, problem } = this.index;
    if (problem !== undefined && !(ignoreDeviceState && isRamComplete(this.index))) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_INCOMPLETE',
        `the snapshot is not complete: ${problem.message}`,
        {
          cause: problem,
        },
      );
    }
    if (ram?.form === 'mapped-ram') return ram;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the stream holds no mapped RAM', {
      path: this.path,
      expected: 'a mapped-ram file',
      found: ram === undefined ? 'a stream without RAM' : 'a plain stream',
    });
  }

  /** Where the engine finds the file: by its name, so that it can open it anew, or by the caller's descriptor. @internal */
  get location(): { readonly path: string } | { readonly fd: number } {
    return this.#byName ? { path: this.path } : { fd: this.reader.fd };
  }

  /** Reads the bitmaps, too, and counts. */
  async info(): Promise<SnapshotInfo> {
    const { index, reader } = this;
    const { ram } = index;
    const mapped = ram?.form === 'mapped-ram' ? ram.blocks : [];
    const blocks: BlockInfo[] = [];
    for (const block of mapped) blocks.push(await this.#blockInfo(block));
    const sections = index.sections.map(({ idstr, instanceId, versionId, offset, length, early }) => ({
      name: idstr,
      instanceId,
      version: versionId,
      offset,
      length,
      early,
    }));
    return {
      path: this.path,
      offset: index.base,
      size: reader.size,
      allocated: reader.allocated,
      machine: index.machine,
      capabilities: index.capabilities,
      form: ram?.form,
      pageSize: ram?.targetPageSize ?? 4096,
      blocks,
      plainBlocks: ram?.form === 'plain' ? ram.blocks.map(({ id, length }) => ({ id, length })) : [],
      sections,
      deviceStateBytes: sections.reduce((sum, { length }) => sum + length, 0),
      complete: index.complete,
      ramComplete: isRamComplete(index),
      problem: index.problem,
      warnings: warningsOf(index, blocks),
    };
  }

  /**
   * Bytes of a block, wherever its pages are: a page that is not in the file reads as zeros.
   * @param offset in the block, in bytes
   * @param length in bytes, up to 1 GiB
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a block that there is not,
   * ERR_MAPPED_RAM_OUT_OF_RANGE for a range that is not in it, ERR_MAPPED_RAM_INCOMPLETE when RAM is not whole,
   * ERR_MAPPED_RAM_UNSUPPORTED for a plain stream and for a block without pages; and as reading the file
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
   * Where the blocks are in the guest's physical address space: RAM, firmware, a graphics card's memory. For machines
   * i440fx (`pc`), q35, microvm, and virt of ARM.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for other machines, and where the file does not tell which blocks
   * are RAM; ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for options; and as `read`
   */
  async physicalMap(options?: PhysicalOptions): Promise<PhysicalMap> {
    const { physicalMap } = await import('../physical/physical-map.ts');
    return physicalMap(this, options);
  }

  /**
   * Bytes at a guest-physical address.
   * @param length in bytes, up to 1 GiB
   * @param map of `physicalMap`, for callers who know more than the file. Default its map without options
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
    // Who asked at the same time may have been first, and bitmaps are to be cached once.
    this.#memory ??= new SnapshotMemory(this.reader, ram);
    return this.#memory;
  }

  /**
   * The state of the guest's devices, decoded by the vmdescription. What is missing or does not fit is said in
   * `problems`, and the rest is given all the same.
   *
   * @param name only these: a section's name (`cpu`, `0000:00:02.0/virtio-net`) or its last part (`virtio-net`), of
   * every instance, or of one with the instance behind it (`cpu/0`). Default all
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_CLOSED
   */
  async devices(name?: string): Promise<DeviceStates> {
    const { deviceNamed, readDevices } = await import('../stream/devices/read-devices.ts');
    return readDevices(this.reader, this.index, name === undefined ? undefined : deviceNamed(name));
  }

  /**
   * The registers of an x86 guest's CPUs.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for CPUs of another architecture; ERR_MAPPED_RAM_INCOMPLETE when
   * the stream describes no CPU; ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_CLOSED
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

  /** Who asks for it while it is being made waits for the same. */
  #defaultMap(): Promise<PhysicalMap> {
    const map = this.#map ?? this.physicalMap();
    this.#map = map;
    map.catch(() => {
      // What failed once may succeed the next time.
      if (this.#map === map) this.#map = undefined;
    });
    return map;
  }

  async #blockInfo(block: MappedRamBlock): Promise<BlockInfo> {
    const pages = pagesIn(block.area);
    const setPages = await countSetPages(this.reader, block);
    const { id, length, skipped } = block;
    const { bitmapOffset, pagesOffset } = block.area;
    const zeroPages = skipped ? 0 : pages - setPages;
    return {
      id,
      length,
      pages,
      setPages,
      zeroPages,
      bitmapOffset,
      pagesOffset,
      alignment: alignmentOf(pagesOffset),
      skipped,
    };
  }
}

/** QEMU writes the bitmaps before it ends RAM (docs/format.md §4.1), so what is behind does not matter for the pages. */
function isRamComplete({ ram, complete, opaque, problem }: StreamIndex): boolean {
  if (complete) return ram !== undefined;
  return opaque !== undefined && problem?.code === 'ERR_MAPPED_RAM_INCOMPLETE' && ram?.ended === true;
}

function alignmentOf(offset: number): number {
  let alignment = 1;
  while (alignment < MAX_ALIGNMENT && offset % (alignment * 2) === 0) alignment *= 2;
  return alignment;
}

function warningsOf(index: StreamIndex, blocks: readonly BlockInfo[]): readonly string[] {
  const warnings: string[] = [];
  if (blocks.length > 0 && blocks.every(({ setPages, skipped }) => skipped || setPages === 0)) {
    warnings.push(
      'no page is set in any block: a save that was cancelled, or made with background-snapshot, looks like this',
    );
  }
  if (index.complete && index.vmdescription === undefined) {
    warnings.push('there is no vmdescription, so the device state cannot be told apart');
  }
  if (index.trailing !== undefined) {
    warnings.push(`${index.trailing.length} bytes follow the stream at offset ${index.trailing.offset}`);
  }
  return warnings;
}
