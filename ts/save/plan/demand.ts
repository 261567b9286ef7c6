import { MappedRamError } from '../../errors.ts';
import { fileSizeLimit } from '../../host/limits.ts';
import type { SavePlan } from '../../negotiate/plan.ts';
import { dataInMemory } from '../../qemu/memory/data-in-memory.ts';
import { queryRamBlocks } from '../../qemu/memory/query-ram-blocks.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Demand } from '../../snapshot/medium.ts';
import { bitmapBytes } from '../../stream/page-area.ts';

/** Every page area starts at a multiple of this many bytes (docs/format.md §2.3). */
const AREA_ALIGNMENT = 2 ** 20;
/** The size of nearly every guest's pages, in bytes. */
const PAGE = 4096;
/** Device state and headers, in bytes: far more than they ever take. */
const STATE = 64 * 2 ** 20;

/**
 * Works out what a save demands of the medium. The device state comes on top of the least: nobody knows its length. Where
 * QEMU's process can be seen, the pages of all blocks are looked at, as they are now, when the medium has not room for
 * all of them.
 * @param signal ends the questions to QEMU
 */
export function demandOf(qmp: QmpClient, plan: SavePlan, signal: AbortSignal | undefined): Demand {
  const { writer, target, format, qemu, zeroPageDetection, xIgnoreShared, base } = plan;
  const leavesShared = writer.value === 'qemu' && xIgnoreShared.value;
  const written = qemu.memory.filter(({ backend }) => !leavesShared || backend?.share !== true);
  const backed = written.filter(({ backend }) => backend !== undefined);
  const whole = sum(written.map(({ length }) => length));
  const pid = qmp.pid ?? qmp.peerPid;
  const isMapped = format === 'mapped-ram';
  const bitmaps = sum(backed.map(({ length }) => bitmapBytes({ length, pageSize: PAGE })));
  const storesZeros = isMapped && writer.value === 'qemu' && zeroPageDetection.value === 'none';
  return {
    length: target.offset + (isMapped ? sum(backed.map(({ length }) => aligned(length))) : 0),
    mostData: target.offset + whole + STATE,
    leastData: async (enough) => {
      // Nobody knows how much a guest has changed when it is stopped.
      if (base.value !== undefined) return PAGE;
      if (storesZeros) return sum(backed.map(({ length }) => length));
      const rows = pid === undefined ? [] : ((await queryRamBlocks(qmp, { signal })) ?? []);
      const saved = rows.filter((row) => written.some(({ id }) => id === row.id));
      const data = pid === undefined ? 0 : await dataInMemory(pid, saved, enough);
      return data + Math.max(PAGE, isMapped ? bitmaps : 0);
    },
    writers: writer.value === 'qemu' && pid !== undefined ? [pid] : [],
  };
}

/**
 * Refuses a save by the engine from a QEMU that may write no file of the length of its device state: the kernel would kill
 * it by SIGXFSZ. What QEMU writes by itself is compared with all of the file (`assertHolds`).
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; nothing where the limit is not known
 */
export async function assertStateFits(qmp: QmpClient, { writer, target }: SavePlan): Promise<void> {
  const pid = qmp.pid ?? qmp.peerPid;
  if (writer.value !== 'engine' || pid === undefined) return;
  const limit = await fileSizeLimit(pid);
  if (limit >= STATE) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_IO',
    `QEMU (process ${pid}) may not write files that are long enough for its device state (ulimit -f), and would be killed`,
    { path: target.path, expected: `at least ${STATE} bytes`, found: `${limit} bytes` },
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function aligned(length: number): number {
  return Math.ceil(length / AREA_ALIGNMENT) * AREA_ALIGNMENT;
}
