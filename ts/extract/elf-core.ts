/** An ELF64 core file, little-endian, as QEMU's `dump-guest-memory` writes it. Sizes and offsets are bytes. */
interface ElfCore {
  /** `e_machine`. */
  readonly machine: number;
  /** The contents of PT_NOTE. */
  readonly notes: Uint8Array;
  /** The memory, one PT_LOAD each. */
  readonly loads: readonly { readonly address: number; readonly length: number }[];
}

interface ElfCoreLayout {
  /** Headers and notes: the beginning of the file. */
  readonly head: Uint8Array;
  /** Offset of each load's memory in the file: on a page, so that holes stay holes. */
  readonly offsets: readonly number[];
  /** Size of the file in bytes. */
  readonly size: number;
}

export const EM_386 = 3;
export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;

const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;

/**
 * Lays a core file out.
 * @param pageSize of the guest, in bytes
 */
export function elfCoreLayout({ machine, notes, loads }: ElfCore, pageSize: number): ElfCoreLayout {
  const notesOffset = EHDR_BYTES + PHDR_BYTES * (1 + loads.length);
  const head = new Uint8Array(notesOffset + notes.length);
  head.set(elfHeader(machine, 1 + loads.length));
  head.set(programHeader(PT_NOTE, notesOffset, 0, notes.length), EHDR_BYTES);
  head.set(notes, notesOffset);
  let offset = Math.ceil(head.length / pageSize) * pageSize;
  const offsets = loads.map(({ address, length }, index) => {
    const start = offset;
    head.set(programHeader(PT_LOAD, start, address, length), EHDR_BYTES + PHDR_BYTES * (1 + index));
    offset += Math.ceil(length / pageSize) * pageSize;
    return start;
  });
  return { head, offsets, size: offset };
}

function elfHeader(machine: number, programHeaders: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(EHDR_BYTES));
  // Magic, 64 bits, little-endian, version 1.
  view.setUint32(0, 0x7f454c46);
  view.setUint32(4, 0x02010100);
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(EHDR_BYTES), true);
  view.setUint16(52, EHDR_BYTES, true);
  view.setUint16(54, PHDR_BYTES, true);
  view.setUint16(56, programHeaders, true);
  return new Uint8Array(view.buffer);
}

/** A header for memory without paging: virtual addresses are the physical ones. */
function programHeader(type: number, offset: number, address: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(PHDR_BYTES));
  view.setUint32(0, type, true);
  for (const [index, value] of [offset, address, address, length, length].entries()) {
    view.setBigUint64(8 + 8 * index, BigInt(value), true);
  }
  return new Uint8Array(view.buffer);
}
