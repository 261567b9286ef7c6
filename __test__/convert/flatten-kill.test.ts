import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { diff, flatten, Snapshot, verify, type FlattenForm } from '../../ts/index.ts';
import { type Content, twoSnapshots } from '../delta/two-snapshots.ts';
import { filesystem } from '../support/loop-filesystem.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import type { FlattenWork } from './flatten-worker.ts';

const WORKER = fileURLToPath(new URL('flatten-worker.ts', import.meta.url));
const POINTS = 8;
const PAGES = 8192;

/** Flattens in a process of its own, which is killed some time after it has begun. @returns how long it worked, in ms */
async function flattenUntil(work: FlattenWork, killAfterMs: number): Promise<number> {
  const worker = fork(WORKER, { execArgv: ['--import=@oxc-node/core/register'] });
  const exited = once(worker, 'exit');
  await once(worker, 'message');
  worker.send(work);
  await once(worker, 'message');
  const startedAt = performance.now();
  await Promise.race([exited, delay(killAfterMs)]);
  worker.kill('SIGKILL');
  await exited;
  return performance.now() - startedAt;
}

async function assertKilledAnywhere(
  t: ExecutionContext,
  dir: TemporaryDirectory,
  form: FlattenForm,
): Promise<void> {
  const before = Array.from({ length: PAGES }, (_, page): Content => page + 1);
  const after = before.map((content, page) => (page % 8 === 3 ? page + 100_000 : content));
  const { base, delta, later } = await twoSnapshots(dir, [{ id: 'pc.ram', before, after }]);
  const [target, next] = [dir.file('flat.mr'), dir.file('next.mr')];
  const there = (await readdir(dir.path)).toSorted();
  const originals = await Promise.all([readFile(base), readFile(delta)]);
  const wholeMs = await flattenUntil({ delta, target, form }, 300_000);
  t.true((await diff(target, later)).equal);
  await rm(target);
  let unfinished = 0;
  for (let point = 0; point < POINTS; point += 1) {
    const at = `killed after ${point}/${POINTS} of ${wholeMs.toFixed(0)} ms`;
    await flattenUntil({ delta, target, form }, (wholeMs * point) / POINTS);
    const isThere = (await readdir(dir.path)).includes('flat.mr');
    if (!isThere) unfinished += 1;
    else t.true((await diff(target, later)).equal, at);
    // Neither of the two is locked or changed, and the next one leaves nothing of the last.
    await flatten(delta, next, { form });
    t.true((await diff(next, later)).equal, at);
    await rm(next);
    await rm(target, { force: true });
    t.deepEqual((await readdir(dir.path)).toSorted(), there, at);
  }
  t.true(unfinished > 0, 'none was killed at work');
  const now = await Promise.all([readFile(base), readFile(delta)]);
  t.deepEqual(
    now.map((bytes, index) => Buffer.compare(bytes, originals[index] ?? Buffer.alloc(0))),
    [0, 0],
  );
  t.true((await verify(delta)).verified);
  await using snapshot = await Snapshot.open(delta);
  t.true(snapshot.index.complete);
}

test.serial('a flatten that is killed leaves no file under its name that is not whole: copy', async (t) => {
  await using dir = await temporaryDirectory();
  await assertKilledAnywhere(t, dir, 'copy');
});

test.serial(
  'a flatten that is killed leaves no file under its name that is not whole: reflink',
  async (t) => {
    await using outer = await temporaryDirectory();
    const dir = await filesystem(t, outer, 'xfs');
    if (dir === undefined) {
      t.pass('this machine has no such filesystem');
      return;
    }
    try {
      await assertKilledAnywhere(t, dir, 'reflink');
    } finally {
      // Before the directory goes that it is mounted in.
      t.is(spawnSync('umount', [dir.path]).status, 0);
    }
  },
);
