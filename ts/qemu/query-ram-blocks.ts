import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/** A RAM block, as QEMU itself lists it. */
export interface RamBlockRow {
  readonly id: string;
  /** Used length in bytes. */
  readonly usedLength: number;
  readonly maxLength: number;
  readonly hostPageSize: number;
  /** Address of the block in QEMU's address space; undefined when this QEMU does not tell (7.2 does not). */
  readonly hostAddress: number | undefined;
}

const ROW =
  /^ *(?<id>\S.*?) +(?<page>\d+) (?<unit>[KMG])iB +0x[0-9a-f]+ +(?<used>0x[0-9a-f]+) +(?<max>0x[0-9a-f]+)(?: +(?<host>0x[0-9a-f]+).*)?$/;
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * Asks for the RAM blocks of the machine, in QEMU's order: largest first. QEMU lists them only as a table for people.
 *
 * @returns undefined when this QEMU has no command for the table, or the table has an unknown form
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryRamBlocks(
  qmp: QmpClient,
  options: WaitOptions = {},
): Promise<readonly RamBlockRow[] | undefined> {
  const reply = await answerOf(qmp.execute('x-query-ramblock', undefined, options));
  if (reply !== undefined) return parseRamBlocks(reply['human-readable-text']);
  // QEMU before 6.2 has the table only in its monitor for people.
  const command = { 'command-line': 'info ramblock' };
  const table = await answerOf(qmp.execute('human-monitor-command', command, options));
  return typeof table === 'string' ? parseRamBlocks(table) : undefined;
}

async function answerOf<T>(question: Promise<T>): Promise<T | undefined> {
  try {
    return await question;
  } catch (error) {
    if (isQmpRefusal(error)) return undefined;
    throw error;
  }
}

/** Reads the table; returns undefined when any part of it has an unknown form. */
export function parseRamBlocks(table: string): readonly RamBlockRow[] | undefined {
  const rows: RamBlockRow[] = [];
  for (const line of table.split(/\r?\n/).slice(1)) {
    const row = line.trim() === '' ? undefined : parseRow(line);
    if (row !== undefined) rows.push(row);
    else if (line.trim() !== '') return undefined;
  }
  return rows.length === 0 ? undefined : rows;
}

function parseRow(row: string): RamBlockRow | undefined {
  const { id, page, unit, used, max, host } = ROW.exec(row)?.groups ?? {};
  const hostPageSize = Number(page) * (UNITS[unit ?? ''] ?? Number.NaN);
  const [usedLength, maxLength] = [Number(used), Number(max)];
  const hostAddress = host === undefined ? undefined : Number(host);
  const sizes = [hostPageSize, usedLength, maxLength, hostAddress ?? 0];
  if (id === undefined || !sizes.every((size) => Number.isSafeInteger(size))) return undefined;
  return { id, usedLength, maxLength, hostPageSize, hostAddress };
}
