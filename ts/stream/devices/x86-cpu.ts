/** A segment register with its hidden part, or a table register, which has neither selector nor flags. */
export interface X86Segment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  /**
   * The second word of the segment's descriptor, as QEMU keeps it. Bits 8 to 15 and 20 to 23 are type, S, DPL, P, AVL,
   * L, D/B and G. The other bits are those of base and limit, and may be left over. `info registers` shows bits 8 to
   * 23.
   */
  readonly flags: number;
}

/**
 * The registers of one x86 CPU, as `info registers` of QEMU's monitor shows them (docs/format.md §1.7). Registers that
 * are 64 bits wide in long mode are bigints, also when the guest is in another mode. Guests of qemu-system-i386 have no
 * `r8` to `r15`, `efer`, `star`, `lstar`, `cstar`, `fmask` and `kernelGsBase`: these are 0.
 */
export interface X86Cpu {
  /** QEMU's number of the CPU, from 0. */
  readonly index: number;
  /** True when HLT stopped the CPU, or the CPU waits for its startup. */
  readonly halted: boolean;

  readonly rax: bigint;
  readonly rbx: bigint;
  readonly rcx: bigint;
  readonly rdx: bigint;
  readonly rsi: bigint;
  readonly rdi: bigint;
  readonly rbp: bigint;
  readonly rsp: bigint;
  readonly r8: bigint;
  readonly r9: bigint;
  readonly r10: bigint;
  readonly r11: bigint;
  readonly r12: bigint;
  readonly r13: bigint;
  readonly r14: bigint;
  readonly r15: bigint;
  readonly rip: bigint;
  readonly rflags: bigint;

  readonly es: X86Segment;
  readonly cs: X86Segment;
  readonly ss: X86Segment;
  readonly ds: X86Segment;
  readonly fs: X86Segment;
  readonly gs: X86Segment;
  readonly ldt: X86Segment;
  readonly tr: X86Segment;
  readonly gdt: X86Segment;
  readonly idt: X86Segment;

  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** dr0 to dr7. */
  readonly dr: readonly bigint[];

  readonly efer: bigint;
  readonly star: bigint;
  readonly lstar: bigint;
  readonly cstar: bigint;
  /** The MSR SFMASK. */
  readonly fmask: bigint;
  readonly kernelGsBase: bigint;
  readonly sysenterCs: bigint;
  readonly sysenterEsp: bigint;
  readonly sysenterEip: bigint;
  readonly tsc: bigint;
  readonly tscAux: bigint;
  readonly pat: bigint;
  readonly xcr0: bigint;
  readonly mxcsr: number;

  /** QEMU's hidden flags: bits 0 and 1 are the CPL, bit 14 says that long mode is active, bit 15 that cs is 64-bit. */
  readonly hflags: number;
}
