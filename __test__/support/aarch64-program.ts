import {
  GENERATION_FACTOR,
  guestRegion,
  PAGE_FACTOR,
  type GuestRegionOptions,
} from '../../ts/guest/guest-region.ts';
import { GUEST_ERROR, STATUS_ADDRESS, STATUS_MAGIC, STATUS_WORDS } from '../../ts/guest/guest-status.ts';
import { WordAssembler } from './word-assembler.ts';

/** Places of ARM's machine virt. */
export const AARCH64_RAM = 0x4000_0000;
const PL011 = 0x0900_0000;

const [GENERATION, PAGE, PAGES, STATUS, START, UART, CURSOR, COUNT] = [19, 20, 21, 22, 23, 24, 25, 26];
const ZERO = 31;
const [EQ, NE, LO] = [0, 1, 3];

const branch26 = (word: number, distance: number): number => word | ((distance >> 2) & 0x3ff_ffff);
const branch19 = (word: number, distance: number): number => word | (((distance >> 2) & 0x7_ffff) << 5);

/** Loads 32 bits, zero-extended. */
const load = (register: number, value: number): readonly number[] => [
  0xd280_0000 | ((value & 0xffff) << 5) | register, // movz
  0xf2a0_0000 | ((value >>> 16) << 5) | register, // movk, lsl 16
];
const store32 = (from: number, base: number, offset: number): number =>
  0xb900_0000 | ((offset / 4) << 10) | (base << 5) | from;
const store64 = (from: number, base: number, offset: number): number =>
  0xf900_0000 | ((offset / 8) << 10) | (base << 5) | from;
const load32 = (to: number, base: number, offset: number): number =>
  0xb940_0000 | ((offset / 4) << 10) | (base << 5) | to;
const add = (to: number, from: number, value: number): number =>
  0x1100_0000 | (value << 10) | (from << 5) | to;
const subtract = (to: number, from: number, value: number): number =>
  0x5100_0000 | (value << 10) | (from << 5) | to;
const move = (to: number, from: number): number => 0xaa00_03e0 | (from << 16) | to;
const compare = (left: number, right: number): number => 0x6b00_001f | (right << 16) | (left << 5);

/**
 * Makes a program for ARM's machine virt that does what the built-in guest of x86 does (`buildGuest`): same region, same
 * pattern, same status block, counted from the start of RAM. Its letters go to the first serial port.
 */
export function aarch64Program(options: GuestRegionOptions): Uint8Array {
  const { start, pages } = guestRegion(options);
  const asm = new WordAssembler();
  const when = (condition: number, label: string): WordAssembler =>
    asm.jump(0x5400_0000 | condition, label, branch19);
  const zeroPages = (label: string): void => {
    asm
      .label(label)
      .emit(0xf800_8400 | (CURSOR << 5) | ZERO) // str xzr, [CURSOR], #8
      .emit(subtract(COUNT, COUNT, 1))
      .jump(0x3500_0000 | COUNT, label, branch19); // cbnz
  };
  asm
    .emit(...load(STATUS, AARCH64_RAM + STATUS_ADDRESS))
    .emit(...load(START, AARCH64_RAM + start))
    .emit(...load(PAGES, pages), ...load(UART, PL011))
    .emit(move(CURSOR, STATUS), ...load(COUNT, 512));
  zeroPages('zero status');
  asm.emit(move(CURSOR, START), ...load(COUNT, pages * 512));
  zeroPages('zero region');
  asm
    .emit(...load(GENERATION, 1), store32(GENERATION, STATUS, STATUS_WORDS.generation))
    .emit(...load(0, STATUS_MAGIC), store32(0, STATUS, STATUS_WORDS.magic))

    .label('generation')
    .emit(...load(PAGE, 0), move(CURSOR, START))
    .label('page')
    .emit(load32(0, STATUS, STATUS_WORDS.generation), compare(0, GENERATION));
  when(NE, 'bad status').emit(load32(0, STATUS, STATUS_WORDS.page), compare(0, PAGE));
  when(NE, 'bad status')
    .emit(subtract(0, GENERATION, 1))
    .jump(0x9400_0000, 'pattern', branch26)
    .emit(move(2, CURSOR), ...load(COUNT, 1024))
    .label('check')
    .emit(0xb840_4400 | (2 << 5) | 1) // ldr w1, [x2], #4
    .emit(compare(1, 0));
  when(NE, 'bad page')
    .emit(subtract(COUNT, COUNT, 1))
    .jump(0x3500_0000 | COUNT, 'check', branch19)
    .emit(move(0, GENERATION))
    .jump(0x9400_0000, 'pattern', branch26)
    .emit(...load(COUNT, 1024))
    .label('fill')
    .emit(0xb800_4400 | (CURSOR << 5)) // str w0, [CURSOR], #4
    .emit(subtract(COUNT, COUNT, 1))
    .jump(0x3500_0000 | COUNT, 'fill', branch19)
    .emit(add(PAGE, PAGE, 1), store32(PAGE, STATUS, STATUS_WORDS.page), compare(PAGE, PAGES));
  when(LO, 'page')
    .emit(store32(GENERATION, STATUS, STATUS_WORDS.passes), ...load(1, 26))
    .emit(0x1ac0_0800 | (1 << 16) | (GENERATION << 5) | 2) // udiv w2, GENERATION, w1
    .emit(0x1b00_8000 | (1 << 16) | (GENERATION << 10) | (2 << 5)) // msub w0, w2, w1, GENERATION
    .emit(add(0, 0, 'a'.charCodeAt(0)), store32(0, UART, 0))
    // Generation and page change in one store.
    .emit(add(GENERATION, GENERATION, 1), store64(GENERATION, STATUS, STATUS_WORDS.generation))
    .jump(0x1400_0000, 'generation', branch26)

    .label('bad status')
    .emit(...load(0, GUEST_ERROR.status))
    .jump(0x1400_0000, 'fail', branch26)
    .label('bad page')
    .emit(...load(0, GUEST_ERROR.page))
    .label('fail')
    .emit(store32(PAGE, STATUS, STATUS_WORDS.badPage), store32(0, STATUS, STATUS_WORDS.error))
    .emit(...load(0, 'E'.charCodeAt(0)), store32(0, UART, 0))
    .label('halt')
    .emit(0xd503_207f) // wfi
    .jump(0x1400_0000, 'halt', branch26)

    .label('pattern') // w0: generation, PAGE -> w0: the word; see guestPattern
    .jump(0x3400_0000, 'patterned', branch19) // cbz w0
    .emit(0x0b00_0000 | (PAGE << 16) | 1) // add w1, w0, PAGE
    .emit(0x7200_081f | (1 << 5)); // tst w1, #7
  when(EQ, 'zero')
    .emit(...load(1, GENERATION_FACTOR))
    .emit(0x1b00_7c00 | (1 << 16)) // mul w0, w0, w1
    .emit(...load(1, PAGE_FACTOR))
    .emit(0x1b00_7c00 | (1 << 16) | (PAGE << 5) | 1) // mul w1, PAGE, w1
    .emit(0x4a00_0000 | (1 << 16), 0xd65f_03c0) // eor w0, w0, w1; ret
    .label('zero')
    .emit(...load(0, 0))
    .label('patterned')
    .emit(0xd65f_03c0); // ret
  return asm.assemble();
}
