import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { type GuestSetup, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { WAYS } from '../save/writers.ts';

const SECTOR = 65_536;
const FLASH = 'system.flash1';

/** The firmware of a guest that boots from ROM, as an image from which another can boot in flash. */
async function firmware(): Promise<Uint8Array> {
  await using guest = await startGuest({});
  await guest.waitForGenerations(1);
  return await guest.readBlock('pc.bios', 0, 4 * SECTOR);
}

async function flashSetup(
  dir: TemporaryDirectory,
  name: string,
  bios: Uint8Array,
  data: Uint8Array,
): Promise<GuestSetup> {
  const images = [dir.file(`${name}-0`), dir.file(`${name}-1`)];
  await writeFile(images[0] ?? '', bios);
  await writeFile(images[1] ?? '', data);
  return { extraArgs: images.flatMap((file) => ['-drive', `if=pflash,format=raw,file=${file}`]) };
}

/** Pages of data and zero pages in turn. */
function savedData(): Uint8Array {
  const data = randomBytes(2 * SECTOR);
  for (let at = 0; at < data.length; at += 8192) data.fill(0, at, at + 4096);
  return data;
}

for (const { way, writer, setup, options } of WAYS) {
  qemuTest(`${way}: flash comes up as it was saved, whatever the destination's image holds`, async (t) => {
    await using dir = await temporaryDirectory();
    const bios = await firmware();
    const data = savedData();
    const snapshot = dir.file('guest.snapshot');
    {
      await using guest = await startGuest({ ...setup, ...(await flashSetup(dir, 'source', bios, data)) });
      await guest.waitForGenerations(2);
      t.like(await save(guest.qmp, snapshot, options), { writer, warnings: [] });
      await guest.assertAlive();
      t.deepEqual(Buffer.from(await guest.readBlock(FLASH, 0, data.length)), Buffer.from(data));
    }
    for (const mode of MODE_NAMES) {
      const other = await flashSetup(dir, mode, bios, randomBytes(data.length));
      await using guest = await restoreGuest(snapshot, { ...setup, ...other }, { mode, after: 'stop' });
      t.deepEqual(Buffer.from(await guest.readBlock(FLASH, 0, data.length)), Buffer.from(data), mode);
      await guest.assertAlive();
      t.deepEqual(Buffer.from(await guest.readBlock(FLASH, 0, data.length)), Buffer.from(data), mode);
      if (mode !== 'eager') continue;
      // The engine stores the zero pages of flash. QEMU does not, so after its saves a stream has to send them.
      t.is(guest.restored.form, writer === 'qemu' ? 'stream' : 'mapped-ram');
      if (writer !== 'qemu') continue;
      const { plan, why } = guest.restored;
      t.is(plan.mode, 'eager');
      t.like(plan.mappedRam, { value: false, why });
      t.like(plan.channels, { value: 1 });
      t.notRegex(JSON.stringify([plan.multifd, plan.channels, plan.directIo]), /device state only|engine/);
      for (const asked of [{ multifd: 'on' }, { channels: 2 }, { directIo: 'on' }] as const) {
        const refused = restoreGuest(snapshot, { ...setup, ...other }, { mode, ...asked });
        await t.throwsAsync(refused, {
          code: 'ERR_MAPPED_RAM_UNSUPPORTED',
          message: /cannot be had: .*system\.flash1 is filled from its image/,
        });
      }
    }
  });
}
