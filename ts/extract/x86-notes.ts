import type { X86Cpu, X86Segment } from '../stream/devices/x86-cpu.ts';
import { NoteWriter } from './note-writer.ts';

const NT_PRSTATUS = 1;
/** The bit of hflags that says that long mode is active. */
const LONG_MODE = 1 << 14;

/** struct elf_prstatus of Linux for x86-64, and for i386. */
const PRSTATUS_64 = { length: 336, pid: 32, registers: 112 };
const PRSTATUS_32 = { length: 144, pid: 24, registers: 72 };
/** QEMUCPUState, version 1. */
const QEMU_STATE = { version: 1, length: 440 };

/** Tells whether the guest's first CPU is in long mode: QEMU takes that for the whole guest. */
export function isLongMode(cpus: readonly X86Cpu[]): boolean {
  return ((cpus[0]?.hflags ?? 0) & LONG_MODE) !== 0;
}

/**
 * The notes that QEMU's `dump-guest-memory` writes. Every CPU has one that debuggers know (NT_PRSTATUS of "CORE").
 * Behind them, every CPU has one of QEMU's own that has the registers of the system, too ("QEMU").
 */
export function x86Notes(cpus: readonly X86Cpu[]): Uint8Array {
  const status = isLongMode(cpus) ? prstatus64 : prstatus32;
  return Buffer.concat([...cpus.map((cpu) => status(cpu)), ...cpus.map((cpu) => qemuState(cpu))]);
}

function prstatus64(cpu: X86Cpu): Uint8Array {
  const { length, pid, registers } = PRSTATUS_64;
  return new NoteWriter(length)
    .skip(pid)
    .u32(cpu.index + 1)
    .skip(registers - pid - 4)
    .u64(cpu.r15, cpu.r14, cpu.r13, cpu.r12, cpu.rbp, cpu.rbx, cpu.r11, cpu.r10, cpu.r9, cpu.r8)
    .u64(cpu.rax, cpu.rcx, cpu.rdx, cpu.rsi, cpu.rdi, 0n, cpu.rip, BigInt(cpu.cs.selector), cpu.rflags)
    .u64(cpu.rsp, BigInt(cpu.ss.selector), cpu.fs.base, cpu.gs.base)
    .u64(...[cpu.ds, cpu.es, cpu.fs, cpu.gs].map(({ selector }) => BigInt(selector)))
    .finish('CORE', NT_PRSTATUS);
}

function prstatus32(cpu: X86Cpu): Uint8Array {
  const { length, pid, registers } = PRSTATUS_32;
  const note = new NoteWriter(length)
    .skip(pid)
    .u32(cpu.index + 1)
    .skip(registers - pid - 4);
  for (const value of [cpu.rbx, cpu.rcx, cpu.rdx, cpu.rsi, cpu.rdi, cpu.rbp, cpu.rax]) note.u32(low(value));
  for (const { selector } of [cpu.ds, cpu.es, cpu.fs, cpu.gs]) note.u16(selector).skip(2);
  return note
    .u32(0, low(cpu.rip), cpu.cs.selector, low(cpu.rflags), low(cpu.rsp), cpu.ss.selector)
    .finish('CORE', NT_PRSTATUS);
}

function qemuState(cpu: X86Cpu): Uint8Array {
  const { version, length } = QEMU_STATE;
  const note = new NoteWriter(length)
    .u32(version, length)
    .u64(cpu.rax, cpu.rbx, cpu.rcx, cpu.rdx, cpu.rsi, cpu.rdi, cpu.rsp, cpu.rbp)
    .u64(cpu.r8, cpu.r9, cpu.r10, cpu.r11, cpu.r12, cpu.r13, cpu.r14, cpu.r15, cpu.rip, cpu.rflags);
  for (const segment of [cpu.cs, cpu.ds, cpu.es, cpu.fs, cpu.gs, cpu.ss]) addSegment(note, segment);
  for (const segment of [cpu.ldt, cpu.tr, cpu.gdt, cpu.idt]) addSegment(note, segment);
  // There is no cr1.
  return note.u64(cpu.cr0, 0n, cpu.cr2, cpu.cr3, cpu.cr4, cpu.kernelGsBase).finish('QEMU', 0);
}

function addSegment(note: NoteWriter, { selector, limit, flags, base }: X86Segment): void {
  note.u32(selector, limit, flags, 0).u64(base);
}

function low(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}
