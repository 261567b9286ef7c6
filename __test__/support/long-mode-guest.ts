import { Assembler } from '../../ts/guest/assembler.ts';

const ORIGIN = 0x7c00;
const DISK_SIZE = 1024 * 1024;

/** The guest's registers after its write to port 0xe9. No two are alike, and their values are wide. */
export const LONG_MODE_REGISTERS = {
  cr2: 0xffff_8123_4567_8000n,
  dr0: 0x0000_7f00_1122_3344n,
  rflags: 0xcd7n,
  rax: 0x8111_1111_1111_114cn,
  rbx: 0x8222_2222_2222_2222n,
  rcx: 0x8333_3333_3333_3333n,
  rdx: 0x8444_4444_4444_4444n,
  rsi: 0x8555_5555_5555_5555n,
  rdi: 0x8666_6666_6666_6666n,
  rbp: 0x8777_7777_7777_7777n,
  r8: 0x8888_8888_8888_8888n,
  r9: 0x8999_9999_9999_9999n,
  r10: 0x8aaa_aaaa_aaaa_aaaan,
  r11: 0x8bbb_bbbb_bbbb_bbbbn,
  r12: 0x8ccc_cccc_cccc_ccccn,
  r13: 0x8ddd_dddd_dddd_ddddn,
  r14: 0x8eee_eeee_eeee_eeeen,
  r15: 0x8fff_ffff_ffff_ffffn,
  rsp: 0x9000_0000_0000_0001n,
} as const;

export const LONG_MODE_MSRS = {
  fsBase: 0xffff_8001_1111_1111n,
  gsBase: 0xffff_8002_2222_2222n,
  kernelGsBase: 0xffff_8003_3333_3333n,
  lstar: 0xffff_8004_4444_4444n,
} as const;

/** The numbers of IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE and IA32_LSTAR. */
const MSR_NUMBERS = [0xc0000100, 0xc0000101, 0xc0000102, 0xc0000082];

/**
 * A boot disk. Its guest goes into long mode, fills its registers, writes a byte to port 0xe9 and then jumps on the
 * spot.
 */
export function longModeDisk(): Uint8Array {
  const asm = new Assembler(ORIGIN);
  enterLongMode(asm);
  fillRegisters(asm);
  tables(asm);
  const disk = new Uint8Array(DISK_SIZE);
  disk.set(asm.padTo(510).emit(0x55, 0xaa).assemble());
  return disk;
}

/** The 16-bit code: it makes page tables for the first 2 MiB at 0x1000, and turns long mode on. */
function enterLongMode(asm: Assembler): void {
  asm.emit(0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc); // cli; xor ax, ax; mov ds, ax; mov es, ax; cld
  asm.emit(0xbf, 0x00, 0x10, 0xb9, 0x00, 0x0c); // mov di, 0x1000; mov cx, 0xc00
  asm.emit(0x66, 0x31, 0xc0, 0x66, 0xf3, 0xab); // xor eax, eax; rep stosd
  asm.emit(0xc7, 0x06, 0x00, 0x10, 0x03, 0x20); // mov word [0x1000], 0x2003
  asm.emit(0xc7, 0x06, 0x00, 0x20, 0x03, 0x30); // mov word [0x2000], 0x3003
  asm.emit(0xc6, 0x06, 0x00, 0x30, 0x83); // mov byte [0x3000], 0x83
  asm.address16('gdtr', 0x66, 0x0f, 0x01, 0x16); // lgdt [gdtr]
  asm.address16('idtr', 0x66, 0x0f, 0x01, 0x1e); // lidt [idtr]
  asm.emit(0xb0, 0x20, 0x0f, 0x22, 0xe0); // mov al, 0x20; mov cr4, eax
  asm.emit32(0x1000, 0x66, 0xb8).emit(0x0f, 0x22, 0xd8); // mov eax, 0x1000; mov cr3, eax
  asm.emit32(0xc0000080, 0x66, 0xb9); // mov ecx, IA32_EFER
  asm.emit32(0x901, 0x66, 0xb8).emit(0x66, 0x31, 0xd2, 0x0f, 0x30); // mov eax, NXE | LME | SCE; xor edx, edx; wrmsr
  asm.emit32(0x80000011, 0x66, 0xb8).emit(0x0f, 0x22, 0xc0); // mov eax, PG | ET | PE; mov cr0, eax
  asm.address32('long', 0x66, 0xea).emit(0x08, 0x00); // jmp 8:long
}

/** The 64-bit code. It pops the last values off a stack that nothing uses afterwards. */
function fillRegisters(asm: Assembler): void {
  asm.label('long').emit32(0x10, 0xb8).emit(0x8e, 0xd8, 0x8e, 0xd0); // mov eax, 0x10; mov ds, eax; mov ss, eax
  asm.emit32(0x18, 0xb8).emit(0x0f, 0x00, 0xd8); // mov eax, 0x18; ltr ax
  asm.address32('msrs', 0xbe).emit32(MSR_NUMBERS.length, 0xbb); // mov esi, msrs; mov ebx, 4
  asm.label('next').emit(0x8b, 0x0e, 0x8b, 0x46, 0x04, 0x8b, 0x56, 0x08); // mov ecx, [rsi]; eax, [rsi+4]; edx, [rsi+8]
  asm.emit(0x0f, 0x30, 0x83, 0xc6, 0x0c, 0xff, 0xcb); // wrmsr; add esi, 12; dec ebx
  asm.short('next', 0x75); // jnz next
  asm.address32('values', 0xbc); // mov esp, values
  asm.emit(0x58, 0x0f, 0x22, 0xd0, 0x58, 0x0f, 0x23, 0xc0, 0x9d); // pop rax; mov cr2, rax; pop rax; mov dr0, rax; popfq
  asm.emit(0x58, 0x5b, 0x59, 0x5a, 0x5e, 0x5f, 0x5d); // pop rax, rbx, rcx, rdx, rsi, rdi, rbp
  asm.emit(0x41, 0x58, 0x41, 0x59, 0x41, 0x5a, 0x41, 0x5b); // pop r8, r9, r10, r11
  asm.emit(0x41, 0x5c, 0x41, 0x5d, 0x41, 0x5e, 0x41, 0x5f, 0x5c); // pop r12, r13, r14, r15, rsp
  asm.emit(0xe6, 0xe9); // out 0xe9, al
  asm.label('end').short('end', 0xeb); // jmp end
}

function tables(asm: Assembler): void {
  asm.label('gdt').emit32(0).emit32(0);
  asm.emit32(0).emit32(0x00209b00); // 64-bit code
  asm.emit32(0x0000ffff).emit32(0x00cf9300); // data
  asm.emit32(0x60000067).emit32(0x00008900).emit32(0).emit32(0); // a TSS at 0x6000
  asm.label('gdtr').emit(0x27, 0x00).address32('gdt');
  asm.label('idtr').emit(0xff, 0x07).emit32(0x5000);
  asm.label('msrs');
  for (const [index, value] of Object.values(LONG_MODE_MSRS).entries()) {
    asm.emit32(MSR_NUMBERS[index] ?? 0);
    emit64(asm, value);
  }
  asm.label('values');
  for (const value of Object.values(LONG_MODE_REGISTERS)) emit64(asm, value);
}

function emit64(asm: Assembler, value: bigint): void {
  asm.emit32(Number(value & 0xffff_ffffn)).emit32(Number(value >> 32n));
}
