import { readFile, rename, writeFile } from 'node:fs/promises';

import test from 'ava';

import { convert, diff, extract, pack, preloadRam, Snapshot, unpack, verify } from '../../ts/index.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const PAGES = 300;
const BLOCK = 'pc.ram';

/** A snapshot of one block whose pages hold `seed`, as many and at the same places whatever the seed is. */
async function snapshotOf(dir: TemporaryDirectory, name: string, seed: number): Promise<Buffer> {
  const [ram, state] = [dir.file(`${name}.ram`), dir.file(`${name}.state`)];
  await writeRam(ram, PAGES, (page) => page % 3 === 0);
  const memory = await readFile(ram);
  for (let page = 0; page < PAGES; page += 3) memory.fill(seed, page * PAGE + 8, page * PAGE + 16);
  await writeFile(ram, memory);
  await writeFile(state, syntheticState({ blocks: [{ id: BLOCK, length: PAGES * PAGE }] }));
  await pack(dir.file(name), { state, ram: { [BLOCK]: ram } });
  return memory;
}

for (const ioEngine of ['auto', 'threads'] as const) {
  for (const directIo of ['auto', 'off'] as const) {
    test(`an open snapshot stays the file that was opened when its name is given to another: ${ioEngine}, direct I/O ${directIo}`, async (t) => {
      await using dir = await temporaryDirectory();
      const how = { ioEngine, directIo };
      const memory = await snapshotOf(dir, 'guest.mr', 0x11);
      await snapshotOf(dir, 'other.mr', 0x22);
      await writeFile(dir.file('copy.mr'), await readFile(dir.file('guest.mr')));
      await verify(dir.file('guest.mr'), { seal: true });
      await using snapshot = await Snapshot.open(dir.file('guest.mr'));
      await rename(dir.file('other.mr'), dir.file('guest.mr'));
      const ram = Buffer.alloc(memory.length);
      await unpack(snapshot, { ram: { [BLOCK]: ram }, ...how });
      t.true(ram.equals(memory), 'unpack');
      await extract(snapshot, dir.file('raw'), { format: 'raw', block: BLOCK, ...how });
      t.true((await readFile(dir.file('raw'))).equals(memory), 'extract');
      t.true((await diff(snapshot, dir.file('copy.mr'), how)).equal, 'diff, left');
      t.true((await diff(dir.file('copy.mr'), snapshot, how)).equal, 'diff, right');
      t.like(await verify(snapshot, how), { findings: [], seal: { state: 'checked' } });
      await convert(snapshot, dir.file('converted.mr'), how);
      t.true((await diff(dir.file('converted.mr'), dir.file('copy.mr'))).equal, 'convert');
      await using preloaded = await preloadRam(snapshot, { blocks: [BLOCK], directory: dir.path, ...how });
      t.true((await readFile(preloaded.files[BLOCK] ?? '')).equals(memory), 'preloadRam');
    });
  }
}

test('a descriptor may be closed as soon as a transfer was called', async (t) => {
  await using dir = await temporaryDirectory();
  const memory = await snapshotOf(dir, 'guest.mr', 0x11);
  const snapshot = await Snapshot.open(dir.file('guest.mr'));
  const ram = Buffer.alloc(memory.length);
  const work = unpack(snapshot, { ram: { [BLOCK]: ram } });
  await snapshot.close();
  // The number of the descriptor may mean another file now: whatever comes is the snapshot's, or an error.
  const outcome = await work.then(
    () => 'done',
    (error: { readonly code?: string }) => error.code,
  );
  t.true(outcome === 'ERR_MAPPED_RAM_CLOSED' || (outcome === 'done' && ram.equals(memory)), outcome);
});
