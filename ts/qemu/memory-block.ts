/** A RAM block of a running machine. */
export interface MemoryBlock {
  /** The block's name in snapshots: `pc.ram`, `m0`, `/rom@etc/acpi/tables`, … */
  readonly id: string;
  /** Used length in bytes. */
  readonly length: number;
  /** Length that the block may grow to, in bytes. */
  readonly maxLength: number;
  /** Page size of the host memory beneath, in bytes; more than 4096 with hugetlbfs. */
  readonly hostPageSize: number;
  /** The `-object memory-backend-…` it is made of; undefined for what devices bring along (video memory, firmware). */
  readonly backend: MemoryBackend | undefined;
  /** The file that has the memory, when QEMU shares it and it can be opened here. */
  readonly file: MemoryFile | undefined;
  /** Where the memory is, or why it cannot be reached without QEMU. */
  readonly why: string;
}

export interface FileMemoryBlock extends MemoryBlock {
  readonly file: MemoryFile;
}

export interface MemoryBackend {
  readonly id: string;
  /** `memory-backend-ram`, `memory-backend-file`, `memory-backend-memfd`, … */
  readonly type: string;
  /** Size in bytes. */
  readonly size: number;
  readonly share: boolean;
  /** `mem-path`, for memory-backend-file. */
  readonly path: string | undefined;
  /** `offset` in that file; 0 where there is none. */
  readonly offset: number;
}

export interface MemoryFile {
  readonly path: string;
  /** Where the block starts in the file, in bytes. */
  readonly offset: number;
  /**
   * Whether this file was seen in QEMU's memory map, where QEMU says that the block is. Otherwise the path may mean
   * another file here than to QEMU, and the engine does not write it.
   */
  readonly confirmed: boolean;
}
