import { readdir, readFile, writeFile } from 'node:fs/promises';

import { convert, save, Snapshot } from '../../ts/index.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { saveTo } from '../support/plain-migration.ts';
import { startGuest, MIB, type GuestSetup } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SMALL: GuestSetup = { memoryMiB: 64, region: { start: 16 * MIB, length: 16 * MIB } };

for (const wasRunning of [true, false]) {
  const what = wasRunning ? 'ran' : 'was stopped';
  qemuTest(`a guest that ${what}, by libvirt's header, comes back so, also after a conversion`, async (t) => {
    await using dir = await temporaryDirectory();
    const [image, sparse] = [dir.file('guest.save'), dir.file('sparse.save')];
    const prefix = libvirtBeginning('sparse', { wasRunning });
    await writeFile(sparse, prefix);
    {
      // libvirt stops every guest before it saves it.
      await using guest = await startGuest(SMALL);
      await guest.waitForGenerations(2);
      await guest.stop();
      await saveTo(guest.qmp, `file:${dir.file('stream')}`, { mappedRam: false });
      await guest.cont();
      await guest.stop();
      await saveTo(guest.qmp, `file:${sparse},offset=${prefix.length}`, {});
    }
    const stream = await readFile(dir.file('stream'));
    await writeFile(image, Buffer.concat([libvirtBeginning('raw', { wasRunning }), stream]));
    const state = wasRunning ? 'running' : 'paused';
    for (const source of [image, sparse]) {
      await using snapshot = await Snapshot.open(source);
      const { runState, libvirt } = await snapshot.info();
      t.is(runState, 'paused');
      t.like(libvirt, { version: 2, wasRunning, domain: 'guest', cookie: true });
      t.is((await convert(source, dir.file('guest.mr'), { overwrite: true })).runState, state);
      await using clone = await restoreGuest(dir.file('guest.mr'), SMALL, { after: 'as-saved' });
      t.is(clone.restored.runState, state);
    }
    await using direct = await restoreGuest(sparse, SMALL, { mode: 'eager', after: 'as-saved' });
    t.is(direct.restored.runState, state);
  });
}

qemuTest('a snapshot becomes a save image of libvirt, whose stream QEMU loads', async (t) => {
  await using dir = await temporaryDirectory();
  const [path, image, xml] = [dir.file('guest.mr'), dir.file('guest.save'), dir.file('guest.xml')];
  const text = '<domain type="qemu">\n  <name>a &amp; b</name>\n</domain>\n';
  await writeFile(xml, text);
  {
    await using guest = await startGuest(SMALL);
    await guest.waitForGenerations(2);
    await save(guest.qmp, path);
  }
  const before = await readdir(dir.path);
  for (const [options, message] of [
    [{ to: 'libvirt' }, /needs the domain's XML/],
    [{ to: 'libvirt', xml: path }, /holds no domain's XML/],
    [{ to: 'stream', xml }, /only a libvirt save image/],
  ] as const) {
    await t.throwsAsync(convert(path, image, options), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message });
  }
  t.deepEqual(await readdir(dir.path), before);
  t.like(await convert(path, image, { to: 'libvirt', xml }), { to: 'libvirt', runState: 'running' });
  const bytes = await readFile(image);
  t.is(bytes.toString('latin1', 0, 16), 'LibvirtQemudSave');
  const [version, length = 0, wasRunning, format, cookie] = [16, 20, 24, 28, 32].map((at) =>
    bytes.readUInt32LE(at),
  );
  t.deepEqual([version, wasRunning, format, cookie], [2, 1, 0, 0]);
  t.is(bytes.toString('utf8', 92, 92 + text.trimEnd().length + 1), `${text.trimEnd()}\0`);
  t.is(bytes.toString('latin1', 92 + length, 96 + length), 'QEVM');
  await using snapshot = await Snapshot.open(image);
  t.like((await snapshot.info()).libvirt, { domain: 'a & b', wasRunning: true, cookie: false });
  // Another image gives its XML, too, and a conversion back loses nothing.
  await convert(path, dir.file('again.save'), { to: 'libvirt', xml: image });
  t.true(bytes.equals(await readFile(dir.file('again.save'))));
  await convert(image, dir.file('back.mr'));
  await using clone = await restoreGuest(dir.file('back.mr'), SMALL, { after: 'as-saved' });
  t.is(clone.restored.runState, 'running');
  await clone.waitForGenerations(1);
  await clone.checkMemory();
  await t.throwsAsync(convert(image, dir.file('more.save'), { to: 'libvirt' }), {
    message: /mapped-ram first/,
  });
});
