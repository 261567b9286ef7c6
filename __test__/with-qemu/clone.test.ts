import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { type GuestSetup, MIB } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, type RestoredTestGuest, saveGuest } from '../support/restored-guest.ts';

const CLONES = 20;
const MEMORY = 512;
/** Bytes of the guest's memory: those that it works on, and random data that it never touches. */
const [REGION, DATA] = [8 * MIB, 256 * MIB];
/** The offset of each clone's mark, in the random data that the guests share. */
const MARK = 160 * MIB;
/** Bytes of memory that QEMU takes without a guest: translated code most of all. */
const QEMU_SELF = 64 * MIB;

qemuTest(
  `${CLONES} clones of one snapshot run at once, go their own ways, and cost what they write`,
  async (t) => {
    await using dir = await temporaryDirectory();
    const snapshot = dir.file('guest.snapshot');
    const setup = await filledMemory(dir);
    await saveGuest(setup, snapshot);
    const before = await hashOf(snapshot);
    await using clones = new Clones();
    await clones.start(snapshot, setup);
    const started = await generations(clones.all);
    t.deepEqual(
      started,
      Array.from(started, () => started[0]),
    );
    const [few, many] = [clones.all.slice(0, CLONES / 2), clones.all.slice(CLONES / 2)];
    await Promise.all(clones.all.map(writeMark));
    await Promise.all(clones.all.map((clone) => clone.cont()));
    for (const clone of clones.all) t.is(await clone.runState(), 'running');
    await Promise.all(few.map((clone) => clone.waitForGenerations(2, 60_000)));
    const stopped = await generations(few);
    await Promise.all(many.map((clone) => clone.waitForGenerations(4, 60_000)));
    const gone = await generations(many);
    t.deepEqual(await generations(few), stopped, 'no clone sees what others write');
    t.true(Math.min(...stopped) >= 2 + (started[0] ?? 0));
    t.true(Math.min(...gone) >= 4 + (started[0] ?? 0));
    t.true(new Set([...stopped, ...gone]).size > 1, `all came to generation ${gone.join()}`);
    const marks = await Promise.all(clones.all.map(readMark));
    t.deepEqual(marks, [...clones.all.keys()], 'each has what was written into it, and no other');
    for (const clone of clones.all) {
      const { mapping, total } = await privateMemory(clone, snapshot);
      t.true(mapping > REGION / 2, `${mapping} bytes of the mapping are the clone's own`);
      t.true(mapping < REGION + 4 * MIB, `${mapping} bytes of the mapping are the clone's own`);
      t.true(total < REGION + QEMU_SELF, `${total} bytes are the process's own`);
    }
    await using writer = await open(snapshot, 'r+');
    t.throws(() => lockFile(writer.fd, 'exclusive', snapshot), { message: /guests run from it/ });
    await clones[Symbol.asyncDispose]();
    t.true(lockFile(writer.fd, 'exclusive', snapshot));
    t.is(await hashOf(snapshot), before);
  },
);

class Clones implements AsyncDisposable {
  readonly all: RestoredTestGuest[] = [];

  async start(snapshot: string, setup: GuestSetup): Promise<void> {
    for (let started = 0; started < CLONES; started += 1) {
      this.all.push(await restoreGuest(snapshot, setup, { mode: 'instant', after: 'stop' }));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.splice(0).map((clone) => clone.close()));
  }
}

/** Writes a byte that no other clone has into a page that the guests do not touch. */
async function writeMark(clone: RestoredTestGuest, index: number): Promise<void> {
  const block = (await clone.ramBlocks()).find(({ id }) => id === 'm0');
  await using memory = await open(`/proc/${clone.qemu.pid}/mem`, 'r+');
  await memory.write(Uint8Array.of(index), 0, 1, (block?.hva ?? NaN) + MARK);
}

async function readMark(clone: RestoredTestGuest): Promise<number | undefined> {
  return (await clone.readBlock('m0', MARK, 1))[0];
}

/** A guest with random data in half of its memory, at which it never looks. */
async function filledMemory(dir: TemporaryDirectory): Promise<GuestSetup> {
  await using file = await open(dir.file('m0.ram'), 'w');
  await file.truncate(MEMORY * MIB);
  const piece = Buffer.allocUnsafe(MIB);
  for (let done = 0; done < DATA; done += MIB) {
    await file.write(randomFillSync(piece), 0, MIB, 128 * MIB + done);
  }
  return { memoryMiB: MEMORY, backend: 'file', share: true, memPathDir: dir.path };
}

/** Stops the guests and verifies their memory. @returns the generation of each */
async function generations(guests: readonly RestoredTestGuest[]): Promise<readonly number[]> {
  const progress = await Promise.all(guests.map((guest) => guest.checkMemory()));
  return progress.map(({ generation }) => generation);
}

/** Bytes that only the clone's process has: in its mapping of the snapshot, and in total. */
async function privateMemory(
  { qemu }: RestoredTestGuest,
  snapshot: string,
): Promise<{ readonly mapping: number; readonly total: number }> {
  const maps = await readFile(`/proc/${qemu.pid}/smaps`, 'latin1');
  let inMapping = false;
  let [mapping, total] = [0, 0];
  for (const line of maps.split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) inMapping = line.endsWith(snapshot);
    const bytes = Number(/^Private_Dirty: +(\d+) kB/.exec(line)?.[1] ?? 0) * 1024;
    total += bytes;
    if (inMapping) mapping += bytes;
  }
  return { mapping, total };
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: MIB }), hash);
  return hash.digest('hex');
}
