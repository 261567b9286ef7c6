/** The QEMU that tests and benchmarks run: `$MAPPED_RAM_QEMU`, or `qemu-system-x86_64` from the PATH. */
export const QEMU_BINARY: string = process.env['MAPPED_RAM_QEMU'] ?? 'qemu-system-x86_64';
