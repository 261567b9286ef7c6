import { writeFile } from 'node:fs/promises';

import { pack } from '../pack/pack.ts';
import { unpack } from '../pack/unpack.ts';
import { type DemoMeasures, type DemoRun, transferOf } from './demo-run.ts';
import { fillMemory } from './fill-memory.ts';
import { syntheticState } from '../guest/synthetic-state.ts';

const BLOCK = 'pc.ram';

/** Runs the demo with memory that no guest made: pack, unpack, compare. */
export async function syntheticDemo(run: DemoRun, snapshot: string): Promise<DemoMeasures> {
  const { memory, disk, signal, places } = run;
  const [original, copy] = [memory.file('original.ram'), memory.file('copy.ram')];
  const state = disk.file('device.state');
  await run.step('make synthetic guest memory', async () => {
    await fillMemory(original, places.size, 0, signal);
    await writeFile(state, syntheticState(BLOCK, places.size));
  });
  const packed = await run.step('save it to a snapshot', () =>
    pack(snapshot, { state, ram: { [BLOCK]: original }, signal }),
  );
  const unpacked = await run.step('load the snapshot', () =>
    unpack(snapshot, { ram: { [BLOCK]: copy }, signal }),
  );
  await run.step('compare every byte', () =>
    run.checkSame('what was loaded is what was saved, byte for byte', original, copy),
  );
  return { save: packed.transfer, load: transferOf(unpacked) };
}
