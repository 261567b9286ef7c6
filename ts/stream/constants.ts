/** The magic "QEVM" (docs/format.md §1.1). */
export const STREAM_MAGIC = 0x5145564d;
export const STREAM_VERSION = 3;

/** Record types of the outer stream (docs/format.md §1.1). */
export const RECORD = {
  eof: 0x00,
  sectionStart: 0x01,
  sectionPart: 0x02,
  sectionEnd: 0x03,
  sectionFull: 0x04,
  subsection: 0x05,
  vmdescription: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;

/** Flags in the low bits of a RAM record's first word (docs/format.md §3). */
export const RAM_FLAG = {
  zero: 0x02,
  memSize: 0x04,
  page: 0x08,
  eos: 0x10,
  continue: 0x20,
  xbzrle: 0x40,
  hook: 0x80,
  compressPage: 0x100,
  multifdFlush: 0x200,
} as const;

/** Name, instance and version of the RAM section (docs/format.md §1.4). */
export const RAM_IDSTR = 'ram';
export const RAM_INSTANCE = 0;
export const RAM_VERSION = 4;

/** The section id that this package gives RAM; any would do as long as a file is consistent (docs/format.md §1.4). */
export const RAM_SECTION_ID = 1;

/** Bytes of a section footer: its type and the section id. */
export const FOOTER_BYTES = 5;

/** Bytes of a MappedRamHeader (docs/format.md §2.3). */
export const MAPPED_RAM_HEADER_BYTES = 28;
export const MAPPED_RAM_HEADER_VERSION = 1;

/** Alignment of QEMU's page areas in bytes, counted from file offset 0 (docs/format.md §2.3). */
export const PAGES_ALIGNMENT = 0x100000;

export const DEFAULT_TARGET_PAGE_SIZE = 4096;

export const CAPABILITY_MAPPED_RAM = 'mapped-ram';
export const CAPABILITY_IGNORE_SHARED = 'x-ignore-shared';
/** This package's own: the file is a delta, which means nothing without its base (docs/format.md §13). */
export const CAPABILITY_BASE = 'x-mapped-ram-base';

/** Distance of a delta's two heads, and of the second one and the bitmaps, in bytes (docs/format.md §13). */
export const DELTA_HEAD_BYTES = 65_536;
/** Alignment of a delta's first page area in bytes: huge pages of x86 fit. */
export const DELTA_PAGES_ALIGNMENT = 0x200000;

/** Limits of this package's readers. QEMU's real lists are two orders of magnitude shorter. */
export const MAX_BLOCKS = 16_384;
export const MAX_RECORDS = 65_536;
export const MAX_VMDESCRIPTION_BYTES: number = 16 * 1024 * 1024;
