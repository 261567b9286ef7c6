import { MappedRamError } from '../errors.ts';
import { Assembler } from './assembler.ts';
import {
  GENERATION_FACTOR,
  GUEST_PAGE_SIZE,
  guestRegion,
  type GuestRegion,
  type GuestRegionOptions,
  PAGE_FACTOR,
  scatterShift,
  ZERO_PERIOD,
} from './guest-region.ts';
import { GUEST_ERROR, STATUS_ADDRESS, STATUS_MAGIC, STATUS_WORDS } from './guest-status.ts';

/** The address at which the firmware loads a boot sector. */
const ORIGIN = 0x7c00;
const SIGNATURE_OFFSET = 510;

/** Offset of three little-endian words in the image: first byte of the region, its pages, port reads per page. */
export const PARAMETERS_OFFSET = 0x1e4;

const COM1 = 0x3f8;
const DEBUGCON = 0xe9;
const POST_PORT = 0x80;
const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;
const WORDS_PER_PAGE = GUEST_PAGE_SIZE / 4;

const status = (word: keyof typeof STATUS_WORDS): number => STATUS_ADDRESS + STATUS_WORDS[word];

export interface GuestOptions extends GuestRegionOptions {
  /** Reads of port 0x80 after every page, 0..2^32-1: each costs a microsecond or so and slows the guest. @default 0 */
  readonly pace?: number | undefined;
}

/**
 * Makes the built-in guest: a boot sector of 512 bytes; see writeGuestDisk for a disk around it. The guest boots on any
 * x86 machine type whose firmware boots from a disk, and needs no timer or interrupt. It rewrites its region page by
 * page without end, each time with a new generation of the pattern. It overwrites a page only after checking that the
 * page still carries the generation before. After each generation it writes a letter to COM1 and to port 0xe9. A wrong
 * page makes it write `E` and halt.
 *
 * The region must lie within the machine's memory.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_ALIGNMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for a region or pace out of bounds
 */
export function buildGuest(options: GuestOptions = {}): Uint8Array {
  const region = guestRegion(options);
  const { start, pages } = region;
  const { pace = 0 } = options;
  if (!Number.isInteger(pace) || pace < 0 || pace > 0xffffffff) {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', "the guest's pace is out of range", {
      expected: '0..4294967295',
      found: pace,
    });
  }
  const asm = new Assembler(ORIGIN);
  enterProtectedMode(asm);
  startUp(asm, region);
  mainLoop(asm, region);
  subroutines(asm);
  if (region.slots !== undefined) placeOfPage(asm, region.slots);
  tables(asm);
  asm.padTo(PARAMETERS_OFFSET);
  asm.label('start').emit32(start).label('pages').emit32(pages).label('pace').emit32(pace);
  return asm.padTo(SIGNATURE_OFFSET).emit(0x55, 0xaa).assemble();
}

/** Emits 16-bit code that leads from the firmware's state to flat 32-bit segments over all of memory. */
function enterProtectedMode(asm: Assembler): void {
  asm
    .emit(0xfa) // cli: interrupts stay off for good, there is no table to take them
    .emit(0xfc) // cld
    .emit(0x31, 0xc0) // xor ax, ax
    .emit(0x8e, 0xd8) // mov ds, ax
    .emit(0xe4, 0x92) // in al, 0x92
    .emit(0x0c, 0x02) // or al, 2        A20 on
    .emit(0x24, 0xfe) // and al, 0xfe    bit 0 would reset the machine
    .emit(0xe6, 0x92) // out 0x92, al
    .address16('gdtr', 0x0f, 0x01, 0x16) // lgdt [gdtr]
    .emit(0x0f, 0x20, 0xc0) // mov eax, cr0
    .emit(0x0c, 0x01) // or al, 1
    .emit(0x0f, 0x22, 0xc0) // mov cr0, eax
    .address16('protected', 0xea) // jmp CODE_SELECTOR:protected
    .emit(CODE_SELECTOR, 0)
    .label('protected');
}

/** Zeroes the region, so that the guest may also be reset, or booted on memory that was used before. */
function startUp(asm: Assembler, { slots }: GuestRegion): void {
  asm
    .emit(0x66, 0xb8, DATA_SELECTOR, 0) // mov ax, DATA_SELECTOR
    .emit(0x8e, 0xd8) // mov ds, ax
    .emit(0x8e, 0xc0) // mov es, ax
    .emit(0x8e, 0xd0) // mov ss, ax
    .emit32(ORIGIN, 0xbc) // mov esp, ORIGIN
    .emit(0x31, 0xc0) // xor eax, eax
    .emit32(STATUS_ADDRESS, 0xbf) // mov edi, STATUS_ADDRESS
    .emit32(WORDS_PER_PAGE, 0xb9) // mov ecx, WORDS_PER_PAGE
    .emit(0xf3, 0xab) // rep stosd
    .address32('start', 0x8b, 0x3d); // mov edi, [start]
  if (slots === undefined) asm.address32('pages', 0x8b, 0x0d); // mov ecx, [pages]
  else asm.emit32(slots, 0xb9); // mov ecx, slots
  asm
    .emit(0xc1, 0xe1, Math.log2(WORDS_PER_PAGE)) // shl ecx, 10
    .emit(0xf3, 0xab) // rep stosd
    .emit(0x8d, 0x68, 0x01) // lea ebp, [eax + 1]    ebp: generation
    .emit(0x89, 0x2d) // mov [generation], ebp
    .emit32(status('generation'))
    .emit(0xc7, 0x05) // mov dword [magic], STATUS_MAGIC: last, it vouches for the rest
    .emit32(status('magic'))
    .emit32(STATUS_MAGIC);
}

function mainLoop(asm: Assembler, { slots }: GuestRegion): void {
  asm
    .label('generation')
    .emit(0x31, 0xf6) // xor esi, esi    esi: page
    .address32('start', 0x8b, 0x3d) // mov edi, [start]    edi: its address
    .label('page');
  if (slots !== undefined) asm.near('place', 0xe8); // call
  asm
    .emit32(status('generation'), 0x39, 0x2d) // cmp [generation], ebp
    .near('bad status', 0x0f, 0x85) // jne
    .emit32(status('page'), 0x39, 0x35) // cmp [page], esi
    .near('bad status', 0x0f, 0x85) // jne

    .emit(0x8d, 0x45, 0xff) // lea eax, [ebp - 1]
    .near('pattern', 0xe8) // call
    .emit32(WORDS_PER_PAGE, 0xb9) // mov ecx, WORDS_PER_PAGE
    .emit(0xf3, 0xaf) // repe scasd
    .near('bad page', 0x0f, 0x85) // jne

    .emit32(GUEST_PAGE_SIZE, 0x81, 0xef) // sub edi, GUEST_PAGE_SIZE
    .emit(0x89, 0xe8) // mov eax, ebp
    .near('pattern', 0xe8) // call
    .emit32(WORDS_PER_PAGE, 0xb9) // mov ecx, WORDS_PER_PAGE
    .emit(0xf3, 0xab) // rep stosd

    .address32('pace', 0x8b, 0x0d) // mov ecx, [pace]
    .short('paced', 0xe3) // jecxz
    .label('delay')
    .emit(0xe4, POST_PORT) // in al, POST_PORT
    .short('delay', 0xe2) // loop
    .label('paced')

    .emit(0x46) // inc esi
    .emit32(status('page'), 0x89, 0x35) // mov [page], esi
    .address32('pages', 0x3b, 0x35) // cmp esi, [pages]
    .near('page', 0x0f, 0x82) // jb

    .emit32(status('passes'), 0x89, 0x2d) // mov [passes], ebp
    .emit(0x89, 0xe8) // mov eax, ebp
    .emit(0x31, 0xd2) // xor edx, edx
    .emit32(26, 0xb9) // mov ecx, 26
    .emit(0xf7, 0xf1) // div ecx
    .emit(0x8d, 0x42, 0x61) // lea eax, [edx + 'a']
    .near('print', 0xe8) // call

    // Generation and page change in one store: whenever the guest is stopped, the two belong together.
    .emit(0x89, 0xe8) // mov eax, ebp
    .emit(0x89, 0xf2) // mov edx, esi
    .emit(0x8d, 0x5d, 0x01) // lea ebx, [ebp + 1]
    .emit(0x31, 0xc9) // xor ecx, ecx
    .emit32(status('generation'), 0x0f, 0xc7, 0x0d) // cmpxchg8b [generation]
    .short('bad status', 0x75) // jne
    .emit(0x45) // inc ebp
    .near('generation', 0xe9) // jmp
    .label('bad status')
    .emit(0xc6, 0x05) // mov byte [error], GUEST_ERROR.status
    .emit32(status('error'))
    .emit(GUEST_ERROR.status)
    .short('fail', 0xeb) // jmp
    .label('bad page')
    .emit(0xc6, 0x05) // mov byte [error], GUEST_ERROR.page
    .emit32(status('error'))
    .emit(GUEST_ERROR.page)
    .label('fail')
    .emit32(status('badPage'), 0x89, 0x35) // mov [badPage], esi
    .emit(0xb0, 'E'.charCodeAt(0)) // mov al, 'E'
    .near('print', 0xe8) // call
    .label('halt')
    .emit(0xf4) // hlt
    .short('halt', 0xeb); // jmp
}

function subroutines(asm: Assembler): void {
  asm
    .label('pattern') // eax: generation, esi: page -> eax: the word; see guestPattern
    .emit(0x85, 0xc0) // test eax, eax
    .short('pattern done', 0x74) // jz
    .emit(0x8d, 0x14, 0x30) // lea edx, [eax + esi]
    .emit(0x83, 0xe2, ZERO_PERIOD - 1) // and edx, ZERO_PERIOD - 1
    .short('pattern zero', 0x74) // jz
    .emit32(GENERATION_FACTOR, 0x69, 0xc0) // imul eax, eax, GENERATION_FACTOR
    .emit32(PAGE_FACTOR, 0x69, 0xd6) // imul edx, esi, PAGE_FACTOR
    .emit(0x31, 0xd0) // xor eax, edx
    .emit(0xc3) // ret
    .label('pattern zero')
    .emit(0x31, 0xc0) // xor eax, eax
    .label('pattern done')
    .emit(0xc3) // ret

    .label('print') // al: the letter
    .emit(0x66, 0xba, COM1, COM1 >> 8) // mov dx, COM1
    .emit(0xee) // out dx, al
    .emit(0xe6, DEBUGCON) // out DEBUGCON, al
    .emit(0xc3); // ret
}

/** Emits what `guestPageAddress` does for scattered pages. */
function placeOfPage(asm: Assembler, slots: number): void {
  asm
    .label('place') // esi: page -> edi: its address
    .emit32(PAGE_FACTOR, 0x69, 0xc6) // imul eax, esi, PAGE_FACTOR
    .emit32(slots - 1, 0x25) // and eax, slots - 1
    .emit(0x89, 0xc2) // mov edx, eax
    .emit(0xc1, 0xea, scatterShift(slots)) // shr edx, scatterShift
    .emit(0x31, 0xd0) // xor eax, edx
    .emit32(GENERATION_FACTOR, 0x69, 0xc0) // imul eax, eax, GENERATION_FACTOR
    .emit32(slots - 1, 0x25) // and eax, slots - 1
    .emit(0xc1, 0xe0, Math.log2(GUEST_PAGE_SIZE)) // shl eax, 12
    .address32('start', 0x03, 0x05) // add eax, [start]
    .emit(0x89, 0xc7) // mov edi, eax
    .emit(0xc3); // ret
}

/** Emits flat segments: base 0, 4 GiB. */
function tables(asm: Assembler): void {
  asm
    .padTo(0x1b0)
    .label('gdt')
    .emit(0, 0, 0, 0, 0, 0, 0, 0)
    .emit(0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0) // CODE_SELECTOR
    .emit(0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0) // DATA_SELECTOR
    .label('gdtr')
    .emit(23, 0) // limit
    .address32('gdt');
}
