import { constants } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** The access that a descriptor was opened with: QEMU picks from a set by exactly this (docs/format.md §5.3). */
export interface FdAccess {
  readonly mode: 'read' | 'write' | 'both';
  readonly direct: boolean;
}

const MODES = ['read', 'write', 'both'] as const;
const WORDS = { read: 'O_RDONLY', write: 'O_WRONLY', both: 'O_RDWR' } as const;
const DIRECT = 'O_DIRECT';

/**
 * Finds out how a descriptor of a process was opened.
 * @returns undefined where that cannot be seen: not Linux, no such descriptor, somebody else's process
 */
export async function fdAccess(pid: number | 'self', fd: number): Promise<FdAccess | undefined> {
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'latin1').catch(() => '');
  const octal = /^flags:\s*([0-7]+)$/m.exec(info)?.[1];
  if (octal === undefined) return undefined;
  const flags = Number.parseInt(octal, 8);
  const mode = MODES[flags & (constants.O_WRONLY | constants.O_RDWR)];
  return mode && { mode, direct: (flags & constants.O_DIRECT) !== 0 };
}

/** Writes an access as `O_WRONLY|O_DIRECT`. */
export function formatFdAccess({ mode, direct }: FdAccess): string {
  return direct ? `${WORDS[mode]}|${DIRECT}` : WORDS[mode];
}

/** Parses the access that `formatFdAccess` wrote at the beginning of a text; undefined for any other text. */
export function parseFdAccess(text: string): FdAccess | undefined {
  const [word, direct, ...more] = text.split(' ', 1)[0]?.split('|') ?? [];
  const mode = MODES.find((candidate) => WORDS[candidate] === word);
  if (mode === undefined || more.length > 0 || (direct !== undefined && direct !== DIRECT)) return undefined;
  return { mode, direct: direct !== undefined };
}
