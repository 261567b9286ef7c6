import {
  GENERATION_FACTOR,
  guestRegion,
  PAGE_FACTOR,
  type GuestRegionOptions,
} from '../../ts/guest/guest-region.ts';
import { GUEST_ERROR, STATUS_ADDRESS, STATUS_MAGIC, STATUS_WORDS } from '../../ts/guest/guest-status.ts';
import { WordAssembler } from './word-assembler.ts';

/** Places of RISC-V's machine virt. */
export const RISCV64_RAM = 0x8000_0000;
const UART16550 = 0x1000_0000;

const [GENERATION, PAGE, PAGES, STATUS, START, UART, CURSOR, COUNT] = [8, 9, 18, 19, 20, 21, 22, 23];
const [ZERO, LINK, A0, A1, A2] = [0, 1, 10, 11, 12];
const [EQ, NE, LTU] = [0, 1, 6];

const r = (op: number, f3: number, f7: number, to: number, left: number, right: number): number =>
  (f7 << 25) | (right << 20) | (left << 15) | (f3 << 12) | (to << 7) | op;
const i = (op: number, f3: number, to: number, from: number, value: number): number =>
  (value << 20) | (from << 15) | (f3 << 12) | (to << 7) | op;
const s = (f3: number, from: number, base: number, offset: number): number =>
  ((offset >> 5) << 25) | (from << 20) | (base << 15) | (f3 << 12) | ((offset & 31) << 7) | 0x23;
const branch = (condition: number, left: number, right: number): number =>
  (right << 20) | (left << 15) | (condition << 12) | 0x63;
const branch13 = (word: number, d: number): number =>
  word | (((d >> 12) & 1) << 31) | (((d >> 5) & 63) << 25) | (((d >> 1) & 15) << 8) | (((d >> 11) & 1) << 7);
const jump21 = (word: number, d: number): number =>
  word | (((d >> 20) & 1) << 31) | (((d >> 1) & 1023) << 21) | (((d >> 11) & 1) << 20) | (d & 0xf_f000);
const JUMP = 0x6f;
const CALL = (LINK << 7) | JUMP;
const RETURN = i(0x67, 0, ZERO, LINK, 0);

/** Loads 32 bits, sign-extended, as the CPU's operations on 32 bits leave them. */
const load = (to: number, value: number): readonly number[] => [
  (((value + 0x800) >>> 12) << 12) | (to << 7) | 0x37, // lui
  i(0x1b, 0, to, to, value & 0xfff), // addiw
];
/** Loads an address below 4 GiB. */
const loadAddress = (to: number, value: number): readonly number[] => [
  ...load(to, value),
  i(0x13, 1, to, to, 32), // slli
  i(0x13, 5, to, to, 32), // srli
];
const move = (to: number, from: number): number => i(0x13, 0, to, from, 0);
const add = (to: number, from: number, value: number): number => i(0x13, 0, to, from, value & 0xfff);
const add32 = (to: number, from: number, value: number): number => i(0x1b, 0, to, from, value & 0xfff);
const load32 = (to: number, base: number, offset: number): number => i(0x03, 2, to, base, offset);
const store32 = (from: number, base: number, offset: number): number => s(2, from, base, offset);
const store64 = (from: number, base: number, offset: number): number => s(3, from, base, offset);

/**
 * Makes a program for RISC-V's machine virt that does what the built-in guest of x86 does (`buildGuest`): same region,
 * same pattern, same status block, counted from the start of RAM. Its letters go to the serial port.
 */
export function riscv64Program(options: GuestRegionOptions): Uint8Array {
  const { start, pages } = guestRegion(options);
  const asm = new WordAssembler();
  const unlessZero = (label: string): WordAssembler =>
    asm.emit(add(COUNT, COUNT, -1)).jump(branch(NE, COUNT, ZERO), label, branch13);
  const zeroPages = (label: string): void => {
    asm.label(label).emit(store64(ZERO, CURSOR, 0), add(CURSOR, CURSOR, 8));
    unlessZero(label);
  };
  asm
    .emit(...loadAddress(STATUS, RISCV64_RAM + STATUS_ADDRESS), ...loadAddress(START, RISCV64_RAM + start))
    .emit(...load(PAGES, pages), ...loadAddress(UART, UART16550))
    .emit(move(CURSOR, STATUS), ...load(COUNT, 512));
  zeroPages('zero status');
  asm.emit(move(CURSOR, START), ...load(COUNT, pages * 512));
  zeroPages('zero region');
  asm
    .emit(...load(GENERATION, 1), store32(GENERATION, STATUS, STATUS_WORDS.generation))
    .emit(...load(A0, STATUS_MAGIC), store32(A0, STATUS, STATUS_WORDS.magic))

    .label('generation')
    .emit(move(PAGE, ZERO), move(CURSOR, START))
    .label('page')
    .emit(load32(A0, STATUS, STATUS_WORDS.generation))
    .jump(branch(NE, A0, GENERATION), 'bad status', branch13)
    .emit(load32(A0, STATUS, STATUS_WORDS.page))
    .jump(branch(NE, A0, PAGE), 'bad status', branch13)
    .emit(add32(A0, GENERATION, -1))
    .jump(CALL, 'pattern', jump21)
    .emit(move(A2, CURSOR), ...load(COUNT, 1024))
    .label('check')
    .emit(load32(A1, A2, 0), add(A2, A2, 4))
    .jump(branch(NE, A1, A0), 'bad page', branch13);
  unlessZero('check')
    .emit(move(A0, GENERATION))
    .jump(CALL, 'pattern', jump21)
    .emit(...load(COUNT, 1024))
    .label('fill')
    .emit(store32(A0, CURSOR, 0), add(CURSOR, CURSOR, 4));
  unlessZero('fill')
    .emit(add32(PAGE, PAGE, 1), store32(PAGE, STATUS, STATUS_WORDS.page))
    .jump(branch(LTU, PAGE, PAGES), 'page', branch13)
    .emit(store32(GENERATION, STATUS, STATUS_WORDS.passes), ...load(A1, 26))
    .emit(r(0x3b, 7, 1, A0, GENERATION, A1)) // remuw
    .emit(add(A0, A0, 'a'.charCodeAt(0)), s(0, A0, UART, 0))
    // Generation and page change in one store.
    .emit(add32(GENERATION, GENERATION, 1), store64(GENERATION, STATUS, STATUS_WORDS.generation))
    .jump(JUMP, 'generation', jump21)

    .label('bad status')
    .emit(...load(A0, GUEST_ERROR.status))
    .jump(JUMP, 'fail', jump21)
    .label('bad page')
    .emit(...load(A0, GUEST_ERROR.page))
    .label('fail')
    .emit(store32(PAGE, STATUS, STATUS_WORDS.badPage), store32(A0, STATUS, STATUS_WORDS.error))
    .emit(...load(A0, 'E'.charCodeAt(0)), s(0, A0, UART, 0))
    .label('halt')
    .emit(0x1050_0073) // wfi
    .jump(JUMP, 'halt', jump21)

    .label('pattern') // A0: generation, PAGE -> A0: the word; see guestPattern
    .jump(branch(EQ, A0, ZERO), 'patterned', branch13)
    .emit(r(0x3b, 0, 0, A1, A0, PAGE), i(0x13, 7, A1, A1, 7)) // addw; andi
    .jump(branch(EQ, A1, ZERO), 'zero', branch13)
    .emit(...load(A1, GENERATION_FACTOR), r(0x3b, 0, 1, A0, A0, A1)) // mulw
    .emit(...load(A1, PAGE_FACTOR), r(0x3b, 0, 1, A1, PAGE, A1)) // mulw
    .emit(r(0x33, 4, 0, A0, A0, A1), RETURN) // xor
    .label('zero')
    .emit(move(A0, ZERO))
    .label('patterned')
    .emit(RETURN);
  return asm.assemble();
}
