import type { QmpClient } from '../../qmp/client.ts';
import { answerOf } from '../../qmp/refusal.ts';
import type { WaitOptions } from '../../host/wait-within.ts';

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
  /^ *(?:(?<id>\S.*?) +)?(?<page>\d+) (?<unit>[KMG])iB +0x[0-9a-f]+ +(?<used>0x[0-9a-f]+) +(?<max>0x[0-9a-f]+)(?: +(?<host>0x[0-9a-f]+).*)?$/;
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * Asks for the RAM blocks of the machine, in QEMU's order: largest first. QEMU lists them only as a table for people
 * (docs/format.md §6).
 *
 * @returns undefined when this QEMU has no command for the table, or the table has an unknown form: nothing is known of
 *   the blocks then
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryRamBlocks(
  qmp: QmpClient,
  options: WaitOptions = {},
): Promise<readonly RamBlockRow[] | undefined> {
  const table = (await tableByQmp(qmp, options)) ?? (await tableByMonitor(qmp, options));
  return table === undefined ? undefined : parseRamBlocks(table);
}

async function tableByQmp(qmp: QmpClient, options: WaitOptions): Promise<string | undefined> {
  const answer = await answerOf(qmp.execute('x-query-ramblock', undefined, options));
  return answer?.['human-readable-text'];
}

/** Asks the human monitor: QEMU may be told to refuse commands that are not stable (`-compat`), or be older than 6.2. */
async function tableByMonitor(qmp: QmpClient, options: WaitOptions): Promise<string | undefined> {
  return answerOf(qmp.execute('human-monitor-command', { 'command-line': 'info ramblock' }, options));
}

/**
 * Reads the table; returns undefined when any part of it has an unknown form. A block without a name is in no
 * migration: rows of such blocks are left out.
 */
export function parseRamBlocks(table: string): readonly RamBlockRow[] | undefined {
  const rows: RamBlockRow[] = [];
  for (const line of table.split(/\r?\n/).slice(1)) {
    if (line.trim() === '') continue;
    const row = parseRow(line);
    if (row === undefined) return undefined;
    if (row.id !== '') rows.push(row);
  }
  return rows.length === 0 ? undefined : rows;
}

function parseRow(row: string): RamBlockRow | undefined {
  const found = ROW.exec(row)?.groups;
  if (found === undefined) return undefined;
  const { id = '', page, unit, used, max, host } = found;
  const hostPageSize = Number(page) * (UNITS[unit ?? ''] ?? Number.NaN);
  const [usedLength, maxLength] = [Number(used), Number(max)];
  const hostAddress = host === undefined ? undefined : Number(host);
  const sizes = [hostPageSize, usedLength, maxLength, hostAddress ?? 0];
  if (!sizes.every((size) => Number.isSafeInteger(size))) return undefined;
  return { id, usedLength, maxLength, hostPageSize, hostAddress };
}
