/** The QEMU that tests and benchmarks run: `$MAPPED_RAM_QEMU`, or `qemu-system-x86_64` from the PATH. */
export const QEMU_BINARY: string = process.env['MAPPED_RAM_QEMU'] ?? 'qemu-system-x86_64';

/** The QEMU for aarch64 guests: `$MAPPED_RAM_QEMU_AARCH64`, or `qemu-system-aarch64` from the PATH. */
export const QEMU_AARCH64_BINARY: string = process.env['MAPPED_RAM_QEMU_AARCH64'] ?? 'qemu-system-aarch64';

/** The QEMU for riscv64 guests: `$MAPPED_RAM_QEMU_RISCV64`, or `qemu-system-riscv64` from the PATH. */
export const QEMU_RISCV64_BINARY: string = process.env['MAPPED_RAM_QEMU_RISCV64'] ?? 'qemu-system-riscv64';

/** The QEMU for CPUs without 64-bit mode: `$MAPPED_RAM_QEMU_I386`, or `qemu-system-i386` from the PATH. */
export const QEMU_I386_BINARY: string = process.env['MAPPED_RAM_QEMU_I386'] ?? 'qemu-system-i386';
