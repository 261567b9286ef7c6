/**
 * The counterparts of QEMU's own tests of migration to files; docs/qemu-tests.md says which is which. Like QEMU's, each
 * test saves a guest that keeps changing its memory, loads it elsewhere and lets it check every word.
 */
import { constants } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { addFd, removeFd } from '../../ts/qemu/descriptors.ts';
import { FdSet } from '../../ts/qemu/fd-set.ts';
import { migrateIn, migrateOut } from '../../ts/qemu/migration.ts';
import { loadFrom } from '../support/plain-migration.ts';
import type { SaveRequest } from '../../ts/negotiate/request.ts';
import { attach } from '../../ts/restore/attach.ts';
import { save } from '../../ts/save/save.ts';
import { probe } from '../../ts/engine/probe.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { run } from '../negotiate/carry-out.ts';

const OFFSET = 0x1000;
const CHANNELS = { multifd: 'on', channels: 4 } as const;

interface Case {
  readonly options: Omit<SaveRequest, 'direction' | 'target'>;
  /** True when QEMU saves the running guest. `save` always stops the guest, so the test asks QEMU by hand then. */
  readonly live?: boolean;
  readonly offset?: number;
  /** Access modes of the descriptors of a caller's own set, which QEMU gets instead of a path. */
  readonly flags?: readonly number[] | undefined;
}

qemuTest('a plain stream of a stopped guest', (t) => roundTrip(t, { options: { mappedRam: 'off' } }));

qemuTest('a plain stream of a running guest, at an offset', (t) =>
  roundTrip(t, { options: { mappedRam: 'off' }, live: true, offset: OFFSET }),
);

qemuTest('a plain stream at an offset, through a set of one descriptor', (t) =>
  roundTrip(t, {
    options: { mappedRam: 'off' },
    live: true,
    offset: OFFSET,
    flags: [constants.O_WRONLY],
  }),
);

qemuTest('an offset that is none is an error, and nothing is written', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const target = `file:${dir.file('file')},offset=0x20M`;
  for (const refused of [save(guest.qmp, target), migrateOut(guest.qmp, target)]) {
    await t.throwsAsync(refused, { code: 'ERR_MAPPED_RAM_INVALID_URI', message: /offset/ });
  }
  // QEMU refuses it, too, when it is asked by hand.
  await t.throwsAsync(guest.qmp.execute('migrate', { uri: target }), { message: /offset/ });
  t.deepEqual(await readdir(dir.path), []);
  await guest.assertAlive();
});

qemuTest('saves that fail at their target leave no descriptor open', async (t) => {
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const inQemu = async (): Promise<number> => (await readdir(`/proc/${guest.qemu.pid}/fd`)).length;
  const once = async (): Promise<void> => {
    await t.throwsAsync(save(guest.qmp, '/dev/full', { mappedRam: 'off' }), { message: /no regular file/ });
  };
  await assertNoLeak(t, once, async () => {
    const before = await inQemu();
    for (let tries = 0; tries < 5; tries += 1) await once();
    t.is(await inQemu(), before);
  });
  await guest.assertAlive();
});

qemuTest('mapped-ram through one channel, the guest stopped', (t) =>
  roundTrip(t, { options: { multifd: 'off' } }),
);

qemuTest('mapped-ram through one channel, the guest running', (t) =>
  roundTrip(t, { options: { multifd: 'off' }, live: true }),
);

qemuTest('mapped-ram through four channels, the guest stopped', (t) =>
  roundTrip(t, { options: { ...CHANNELS, directIo: 'off' } }),
);

qemuTest('mapped-ram through four channels, the guest running', (t) =>
  roundTrip(t, { options: { ...CHANNELS, directIo: 'off' }, live: true }),
);

qemuTest('mapped-ram through four channels with direct I/O', (t) =>
  roundTrip(t, { options: { ...CHANNELS, directIo: 'on' } }),
);

qemuTest('mapped-ram through four channels, at an offset, through a set of two descriptors', (t) =>
  roundTrip(t, {
    options: { ...CHANNELS, directIo: 'off' },
    offset: OFFSET,
    flags: [constants.O_WRONLY, constants.O_WRONLY],
  }),
);

qemuTest('mapped-ram with direct I/O, through a set with one normal and one O_DIRECT descriptor', (t) =>
  roundTrip(t, {
    options: { ...CHANNELS, directIo: 'on' },
    offset: OFFSET,
    flags: [constants.O_WRONLY, constants.O_WRONLY | constants.O_DIRECT],
  }),
);

async function roundTrip(
  t: ExecutionContext,
  { options, live = false, offset = 0, flags }: Case,
): Promise<void> {
  await using dir = await temporaryDirectory();
  if (options.directIo === 'on' && !probe(dir.path).usesDirectIo) return t.log('no direct I/O here');
  const path = dir.file('file');
  const prefix = 'X'.repeat(offset);
  if (offset > 0 || flags !== undefined) await writeFile(path, prefix);
  await using source = await startGuest();
  await source.waitForGenerations(2);
  if (!live) await source.stop();
  const fdset = flags === undefined ? undefined : await giveFds(source, path, flags);
  const target = `file:${fdset === undefined ? path : `/dev/fdset/${fdset}`},offset=${offset}`;
  if (live) await run(source.qmp, { direction: 'save', target, writer: 'qemu', ...options });
  else await save(source.qmp, target, options);
  const saved = await source.checkMemory();
  t.is((await readFile(path)).subarray(0, offset + 4).toString(), `${prefix}QEVM`);
  if (fdset !== undefined) {
    t.is((await source.qmp.execute('query-fdsets')).length, 1, "it stays the caller's");
    await removeFd(source.qmp, fdset);
  }
  t.deepEqual(await source.qmp.execute('query-fdsets'), []);

  await using clone = await startGuest({ incoming: true });
  await load(clone, path, { options, offset, flags });
  t.deepEqual(await clone.qmp.execute('query-fdsets'), []);
  if (!live) t.deepEqual(await clone.checkMemory(), saved);
  await clone.assertAlive();
}

/** Loads as the case saved: with or without mapped-ram, multifd, direct I/O and descriptors. */
async function load(clone: TestGuest, path: string, { options, offset = 0, flags }: Case): Promise<void> {
  if (options.mappedRam !== 'off') {
    const { multifd, channels, directIo } = options;
    const fdset = flags === undefined ? 'off' : 'on';
    const source = `file:${path},offset=${offset}`;
    await attach(clone.qmp, source, { mode: 'eager', after: 'as-saved', multifd, channels, directIo, fdset });
  } else if (flags === undefined) {
    await loadFrom(clone.qmp, `file:${path},offset=${offset}`, { mappedRam: false });
  } else {
    await using set = await FdSet.open(clone.qmp, { path, access: 'read', direct: false });
    await migrateIn(clone.qmp, `file:${set.filename},offset=${offset}`);
  }
}

/** Hands QEMU descriptors of a file, as a management daemon does whose QEMU may not open files. @returns their set */
async function giveFds({ qmp }: TestGuest, path: string, flags: readonly number[]): Promise<number> {
  let fdset: number | undefined;
  for (const flag of flags) {
    await using file = await open(path, flag);
    ({ fdsetId: fdset } = await addFd(qmp, file.fd, { fdset }));
  }
  return fdset ?? -1;
}
