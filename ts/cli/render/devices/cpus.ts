import type { X86Cpu, X86Segment } from '../../../stream/devices/x86-cpu.ts';
import type { Style } from '../style.ts';

const GENERAL = [
  ['rax', 'rbx', 'rcx', 'rdx'],
  ['rsi', 'rdi', 'rbp', 'rsp'],
  ['r8', 'r9', 'r10', 'r11'],
  ['r12', 'r13', 'r14', 'r15'],
  ['rip', 'rflags'],
] as const;
const CONTROL = [
  ['cr0', 'cr2', 'cr3', 'cr4'],
  ['efer', 'star', 'lstar', 'cstar'],
  ['fmask', 'pat', 'xcr0', 'tsc'],
] as const;
const LONG_NAMES = [
  ['kernelGsBase', 'sysenterCs'],
  ['sysenterEsp', 'sysenterEip'],
] as const;
const DEBUG = [
  [0, 1, 2, 3],
  [4, 5, 6, 7],
] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldt', 'tr'] as const;
const TABLES = ['gdt', 'idt'] as const;
/** The bits of the flags that QEMU's `info registers` shows. */
const FLAGS = 0xffff00;

/** Shows the registers of each CPU, much as QEMU's `info registers` prints them. */
export function cpuLines(cpus: readonly X86Cpu[], style: Style): readonly string[] {
  return cpus.flatMap((cpu) => ['', ...linesOf(cpu, style)]).slice(1);
}

function linesOf(cpu: X86Cpu, style: Style): readonly string[] {
  const registers = (names: readonly (keyof X86Cpu)[]): string =>
    joined(names.map((name) => `${label(name, style)} ${hex(cpu[name], 16)}`));
  return [
    `${style('bold', `CPU ${cpu.index}`)}${cpu.halted ? ', halted' : ''}`,
    ...GENERAL.map(registers),
    ...SEGMENTS.map((name) => `${label(name, style)} ${segmentText(cpu[name])}`),
    ...TABLES.map((name) => `${label(name, style)} ${tableText(cpu[name])}`),
    ...CONTROL.map(registers),
    ...LONG_NAMES.map(registers),
    ...DEBUG.map((row) =>
      joined(row.map((index) => `${label(`dr${index}`, style)} ${hex(cpu.dr[index], 16)}`)),
    ),
    `${label('mxcsr', style)} ${hex(cpu.mxcsr, 8)}`,
  ];
}

function joined(cells: readonly string[]): string {
  return cells.join('  ');
}

function segmentText({ selector, base, limit, flags }: X86Segment): string {
  return `${hex(selector, 4)}  base ${hex(base, 16)}  limit ${hex(limit, 8)}  flags ${hex(flags & FLAGS, 6)}`;
}

function tableText({ base, limit }: X86Segment): string {
  return `base ${hex(base, 16)}  limit ${hex(limit, 8)}`;
}

function label(name: string, style: Style): string {
  return style('dim', name.toLowerCase().padEnd(6));
}

function hex(value: unknown, digits: number): string {
  return typeof value === 'bigint' || typeof value === 'number'
    ? value.toString(16).padStart(digits, '0')
    : '';
}
