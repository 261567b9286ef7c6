import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { convert, flatten, Snapshot, verify, writeDelta } from '../../ts/index.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GUEST, twoSnapshots } from './two-snapshots.ts';

test.serial('nothing is left of a delta and its base, whichever way the work with them ends', async (t) => {
  await using dir = await temporaryDirectory();
  const { base, delta, later } = await twoSnapshots(dir, GUEST);
  const work = async (): Promise<void> => {
    await (await Snapshot.open(delta)).close();
    await verify(delta);
    await convert(delta, dir.file('whole'), { overwrite: true });
    await flatten(delta, dir.file('flat'), { overwrite: true });
  };
  await copyFile(base, dir.file('kept'));
  const names = (await readdir(dir.path)).length;
  await assertNoLeak(t, work, async () => {
    await work();
    // Another base, a lost base, an abort, a signal that has come already.
    await t.throwsAsync(Snapshot.open({ path: delta, base: later }));
    await t.throwsAsync(Snapshot.open({ path: delta, base: dir.file('none') }));
    await t.throwsAsync(convert({ path: delta, base: later }, dir.file('x')));
    await t.throwsAsync(flatten({ path: delta, base: later }, dir.file('x')));
    await t.throwsAsync(verify({ path: delta, base: later }));
    const signal = AbortSignal.abort(new Error('enough'));
    await t.throwsAsync(Snapshot.open(delta, signal), { message: 'enough' });
    await t.throwsAsync(flatten(delta, dir.file('x'), { signal }), { message: 'enough' });
    const controller = new AbortController();
    const memory = await readFile(later);
    await writeFile(dir.file('later'), memory);
    await using source = await Snapshot.open(dir.file('later'));
    const ram = Object.fromEntries(GUEST.map(({ id }) => [id, { memory: source }]));
    const onProgress = (): void => controller.abort(new Error('stop'));
    const writing = writeDelta(dir.file('x'), {
      base,
      state: source,
      ram,
      signal: controller.signal,
      onProgress,
    });
    await t.throwsAsync(writing, { message: 'stop' });
  });
  // `whole`, `flat` and `later` are there since the first work; nothing else, no partial file.
  t.is((await readdir(dir.path)).length, names + 3);
});
