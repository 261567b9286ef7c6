import assert from 'node:assert/strict';

import type { X86Cpu, X86Segment } from '../../ts/index.ts';

/** The registers of one CPU in the monitor's `info registers -a`: texts by name. */
export type Registers = ReadonlyMap<string, string>;

/** The registers of all CPUs, in the monitor's order. */
export function parseInfoRegisters(text: string): readonly Registers[] {
  return text
    .split(/^CPU#\d+\r?$/m)
    .slice(1)
    .map((cpu) => {
      const segments = [...cpu.matchAll(/^([A-Z]{2,3}) *= *([0-9a-f]{4} [0-9a-f]+ [0-9a-f]+ [0-9a-f]+)/gm)];
      const tables = [...cpu.matchAll(/^(GDT|IDT)= +([0-9a-f]+ [0-9a-f]+)/gm)];
      const single = [...cpu.matchAll(/\b([A-Z][A-Z0-9]+) ?=([0-9a-f]+)\b(?! [0-9a-f]{4,})/g)];
      return new Map([...single, ...segments, ...tables].map(([, name = '', value = '']) => [name, value]));
    });
}

const GENERAL = ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp', 'sp'] as const;
const HIGH = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'mxcsr'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldt', 'tr'] as const;
const TABLES = ['gdt', 'idt'] as const;

/**
 * A decoded CPU in the words of `info registers`, without registers that those lack. Numbers have the same width: QEMU
 * prints 32 bits outside of long mode.
 */
export function asInfoRegisters(cpu: X86Cpu, shown: Registers): Registers {
  const long = shown.has('RAX');
  const digits = long ? 16 : 8;
  const ours = new Map<string, string>();
  for (const name of GENERAL)
    ours.set(`${long ? 'R' : 'E'}${name.toUpperCase()}`, hex(cpu[`r${name}`], digits));
  for (const name of long ? HIGH : []) ours.set(name.toUpperCase(), hex(cpu[name], digits));
  ours.set(long ? 'RIP' : 'EIP', hex(cpu.rip, digits));
  ours.set(long ? 'RFL' : 'EFL', hex(cpu.rflags, 8));
  for (const name of SEGMENTS) ours.set(name.toUpperCase(), segmentText(cpu[name], digits));
  for (const name of TABLES)
    ours.set(name.toUpperCase(), `${hex(cpu[name].base, digits)} ${hex(cpu[name].limit, 8)}`);
  for (const name of CONTROL) {
    const width = shown.get(name.toUpperCase())?.length;
    assert(width !== undefined, `info registers shows no ${name}`);
    ours.set(name.toUpperCase(), hex(cpu[name], width));
  }
  const width = shown.get('DR0')?.length ?? 0;
  // dr4 and dr5 are other names of dr6 and dr7.
  for (const [index, value] of cpu.dr.entries())
    if (index < 4 || index > 5) ours.set(`DR${index}`, hex(value, width));
  ours.set('HLT', cpu.halted ? '1' : '0');
  ours.set('CPL', String(cpu.hflags & 3));
  return ours;
}

function segmentText({ selector, base, limit, flags }: X86Segment, digits: number): string {
  return [hex(selector, 4), hex(base, digits), hex(limit, 8), hex(flags & 0xffff00, 8)].join(' ');
}

function hex(value: bigint | number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
