import { bitmapBytes } from '../stream/page-area.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Demand } from '../snapshot/medium.ts';

/** Every page area starts at a multiple of this many bytes (docs/format.md §2.3). */
const AREA_ALIGNMENT = 2 ** 20;
/** The size of nearly every guest's pages, in bytes. */
const PAGE = 4096;

/**
 * Works out what a save demands of the medium. The device state comes on top, and pages that are not zero, of which
 * nobody knows how many there are; unless zero pages are written, too.
 */
export function demandOf(qmp: QmpClient, plan: SavePlan): Demand {
  const { value: writer } = plan.writer;
  const { offset } = plan.target;
  const lengths = plan.qemu.memory.flatMap(({ length, backend }) => (backend === undefined ? [] : [length]));
  const memory = lengths.reduce((sum, length) => sum + length, 0);
  const pid = writer === 'qemu' ? (qmp.pid ?? qmp.peerPid) : undefined;
  const writers = pid === undefined ? [] : [pid];
  if (plan.format !== 'mapped-ram') return { length: offset, leastData: PAGE, writers };
  const storesZeros = writer === 'qemu' && plan.zeroPageDetection.value === 'none';
  const areas = lengths.reduce((sum, length) => sum + Math.ceil(length / AREA_ALIGNMENT) * AREA_ALIGNMENT, 0);
  const bitmaps = lengths.reduce((sum, length) => sum + bitmapBytes({ length, pageSize: PAGE }), 0);
  return { length: offset + areas, leastData: Math.max(PAGE, storesZeros ? memory : bitmaps), writers };
}
