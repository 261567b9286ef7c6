import { DEFAULT_TARGET_PAGE_SIZE } from '../constants.ts';

/** The target pages of a machine, as its streams have them. */
export interface MachinePages {
  /** In bytes. */
  readonly targetPageSize: number;
  /** The content of CONFIGURATION's subsection; undefined for a machine whose streams have none. */
  readonly targetPageBits?: number;
}

/** Architectures that have pages of one size. */
const FIXED: ReadonlySet<string> = new Set(['i386', 'x86_64', 'riscv64', 's390x']);
/** ARM's machines whose pages are larger than the smallest of their architecture. Old types of virt are not. */
const ARM_4K = /^(?:virt(?!-2\.[678]$)(?:-|$)|sbsa-ref$)/;

/**
 * Tells a machine's target pages (docs/format.md §1.2). QEMU answers no question about them before it has saved.
 * @param target the architecture, as query-target names it
 * @param machine the machine type, resolved
 * @returns undefined for a machine of which nothing is known
 */
export function machinePages(target: string, machine: string): MachinePages | undefined {
  const targetPageSize = DEFAULT_TARGET_PAGE_SIZE;
  if (FIXED.has(target)) return { targetPageSize };
  const isArm = target === 'arm' || target === 'aarch64';
  return isArm && ARM_4K.test(machine) ? { targetPageSize, targetPageBits: 12 } : undefined;
}
