import { writeFile } from 'node:fs/promises';

import { pack } from '../../ts/index.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

export const PAGES = 512;
/** The block of the fixtures: 2 MiB, in which every third page is zero. */
export const BLOCK = 'pc.ram';

export interface Fixture extends AsyncDisposable {
  readonly dir: TemporaryDirectory;
  /** A device state without pages. */
  readonly state: string;
  /** The block's memory. */
  readonly ram: string;
  /** A complete snapshot of the device state and the memory. */
  readonly snapshot: string;
}

/** @param name the name of the snapshot's file */
export async function fixture(name = 'guest.mr'): Promise<Fixture> {
  const dir = await temporaryDirectory();
  const [state, ram, snapshot] = [dir.file('guest.state'), dir.file('guest.ram'), dir.file(name)];
  await writeFile(state, syntheticState({ blocks: [{ id: BLOCK, length: PAGES * PAGE }] }));
  await writeRam(ram, PAGES, (page) => page % 3 !== 0);
  await pack(dir.file(name), { state, ram: { [BLOCK]: ram }, directIo: 'off' });
  return { dir, state, ram, snapshot, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}
