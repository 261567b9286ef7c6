/** A RAM block of a running machine. */
export interface MemoryBlock {
  /** The block's name in snapshots: `pc.ram`, `m0`, `/rom@etc/acpi/tables`, … */
  readonly id: string;
  /** Used length in bytes. */
  readonly length: number;
  /** Length that the block may grow to, in bytes. */
  readonly maxLength: number;
  /**
   * Upper bound of the bytes that are in pages that are not zero. Found for large blocks of devices when a save is
   * planned that the engine may write; undefined where nobody has looked.
   */
  readonly heldBytes?: number | undefined;
  /** Page size of the host memory beneath, in bytes; more than 4096 with hugetlbfs. */
  readonly hostPageSize: number;
  /**
   * The `-object memory-backend-…` of the block; undefined for memory that devices bring along (video memory,
   * firmware).
   */
  readonly backend: MemoryBackend | undefined;
  /** The file that holds the memory, when QEMU shares it and this process can open it. */
  readonly file: MemoryFile | undefined;
  /** The place of the memory, or the reason why only QEMU can reach it, in words. */
  readonly why: string;
}

export interface FileMemoryBlock extends MemoryBlock {
  readonly file: MemoryFile;
}

export interface MemoryBackend {
  readonly id: string;
  /** The object's type: `memory-backend-ram`, `memory-backend-file`, `memory-backend-memfd`, … */
  readonly type: string;
  /** Size in bytes. */
  readonly size: number;
  readonly share: boolean;
  /** The property `mem-path`, for memory-backend-file. */
  readonly path: string | undefined;
  /** The property `offset`: the memory's start in that file, in bytes; 0 where there is none. */
  readonly offset: number;
}

export interface MemoryFile {
  readonly path: string;
  /** Offset of the block's start in the file, in bytes. */
  readonly offset: number;
  /**
   * True when this file was seen in QEMU's memory map, at the address that QEMU gives for the block. Otherwise the path
   * may name another file here than in QEMU, and the engine does not write the block.
   */
  readonly confirmed: boolean;
}
