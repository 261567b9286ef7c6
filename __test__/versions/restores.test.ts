import { copyFile, readFile } from 'node:fs/promises';

import test from 'ava';

import { convert } from '../../ts/convert/convert.ts';
import { extract } from '../../ts/extract/extract.ts';
import { checkGuestMemory, type GuestProgress } from '../../ts/guest/check-guest-memory.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import { MODE_NAMES, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { type GuestSetup, startGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { errorsIn, privateGuest, refusal, sharedGuest } from './guests.ts';
import { type Version, VERSIONS, versionsTest, WITHOUT_MAPPED_RAM } from './qemus.ts';
import { assertDocumented, type Outcome, OutcomeTable, yes } from './table.ts';

const SETUPS: Readonly<Record<Writer, (version: Version) => GuestSetup>> = {
  engine: sharedGuest,
  qemu: privateGuest,
};
const WRITERS = ['engine', 'qemu'] as const;

const directory = await temporaryDirectory();
test.after.always(() => directory[Symbol.asyncDispose]());

/** The guests' progress when they were saved, by file. */
const saved = new Map<string, GuestProgress>();
const reading = new OutcomeTable('Written by', VERSIONS);

for (const writer of WRITERS) {
  const table = new OutcomeTable('saved by | mode', VERSIONS);

  for (const version of VERSIONS) {
    const path = fileOf(writer, version);
    const setup = SETUPS[writer](version);

    versionsTest(`QEMU ${version}, ${writer}: a snapshot is made, and read`, async (t) => {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      saved.set(path, await guest.checkMemory());
      const written = await save(guest.qmp, directory.file('written'), {
        writer,
        after: 'quit',
        overwrite: true,
      });
      t.is(written.format === 'stream', writer === 'qemu' && WITHOUT_MAPPED_RAM.includes(version));
      if (written.format === 'stream') await convert(directory.file('written'), path);
      else await copyFile(directory.file('written'), path);

      const title =
        writer === 'engine' ? 'the engine' : 'QEMU, as a plain stream where it has no `mapped-ram`';
      t.deepEqual(await errorsIn(path), []);
      await using snapshot = await Snapshot.open(path);
      t.is((await snapshot.info()).complete, true);
      const [block] = guest.memoryBlocks;
      await extract(snapshot, directory.file('memory'), { format: 'raw', block, overwrite: true });
      const memory = await readFile(directory.file('memory'));
      const read = (at: number, length: number): Uint8Array =>
        Uint8Array.from(memory.subarray(at, at + length));
      t.deepEqual(await checkGuestMemory(read, guest.region), saved.get(path));
      reading.set(title, version, yes('info, verify, extract, convert'));
      await convert(path, directory.file('stream'), { to: 'stream', overwrite: true });
      await convert(directory.file('stream'), directory.file('again'), { overwrite: true });
      t.deepEqual(await errorsIn(directory.file('again')), []);
    });

    for (const mode of MODE_NAMES) {
      versionsTest(`QEMU ${version}, ${writer}: others go on, ${mode}`, async (t) => {
        for (const other of VERSIONS) {
          const outcome = await restores(path, SETUPS[writer](other), mode).catch(refusal);
          table.set(`${version} | ${mode}`, other, outcome);
          t.pass();
        }
      });
    }
  }

  versionsTest(`the document has these restores: ${writer}`, (t) => assertDocumented(t, writer, table));
}

for (const version of VERSIONS) {
  versionsTest(`QEMU ${version} goes on when no mode is named`, async (t) => {
    await using guest = await restoreGuest(fileOf('engine', version), sharedGuest(version), {});
    const isOld = WITHOUT_MAPPED_RAM.includes(version);
    t.is(guest.restored.mode, isOld ? 'preload' : 'instant');
    t.is(guest.restored.warnings.length, isOld ? 1 : 0, guest.restored.warnings.join());
    await guest.assertAlive();
  });
}

versionsTest('the document says how files are read', (t) => assertDocumented(t, 'reading', reading));

function fileOf(writer: Writer, version: Version): string {
  return directory.file(`${writer}-${version}`);
}

/** Lets a QEMU go on with a snapshot, and compares the guest's memory with what was saved. */
async function restores(path: string, setup: GuestSetup, mode: RestoreMode): Promise<Outcome> {
  await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
  const before = await guest.checkMemory();
  if (JSON.stringify(before) !== JSON.stringify(saved.get(path))) {
    throw new Error(
      `${path}: saved at ${JSON.stringify(saved.get(path))}, restored at ${JSON.stringify(before)}`,
    );
  }
  const after = await guest.assertAlive();
  if (after.generation <= before.generation) throw new Error(`${path}: the guest does not go on`);
  return yes();
}
