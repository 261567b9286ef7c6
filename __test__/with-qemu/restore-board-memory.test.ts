import assert from 'node:assert/strict';
import { open, readFile, rm } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { restore, save } from '../../ts/index.ts';
import { identifyQemu } from '../../ts/qemu/identify-qemu.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { queryRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { writesRam } from '../../ts/stream/default-ram.ts';
import { MIB } from '../support/qemu.ts';
import { targetTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { unlessRefused } from '../support/unless-refused.ts';

const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);

interface Board {
  readonly target: string;
  readonly machine: string;
  readonly block: string;
  readonly mebibytes: number;
  readonly writes: boolean;
  /** The state beside memory that QEMU sends while the guest runs. Pages that come later leave no place for it. */
  readonly live?: RegExp;
}

const BOARDS: readonly Board[] = [
  {
    target: 'ppc64',
    machine: 'pseries',
    block: 'ppc_spapr.ram',
    mebibytes: 256,
    writes: true,
    live: /live state beside its memory \(spapr\/htab\)/,
  },
  { target: 'ppc', machine: 'ppce500', block: 'mpc8544ds.ram', mebibytes: 128, writes: true },
  {
    target: 's390x',
    machine: 's390-ccw-virtio',
    block: 's390.ram',
    mebibytes: 64,
    writes: false,
    live: /live state beside its memory \(s390-storage_attributes\)/,
  },
];

for (const { target, machine, block, mebibytes, writes, live } of BOARDS) {
  const title = `${machine}: a guest has its own memory where the board writes before it comes, in every mode`;
  targetTest(target, title, async (t) => {
    await using dir = await temporaryDirectory();
    const binary = `qemu-system-${target}`;
    const args = `-machine ${machine} -m ${mebibytes}M -display none -serial null`.split(' ');
    const snapshot = dir.file('guest.mr');
    const memory = await saveChanged(dir, { binary, args: [...args, '-S'], block, mebibytes, snapshot });
    t.is(writesRam(machine), writes);
    for (const mode of MODE_NAMES) {
      await using guest = await unlessRefused(t, mode, live, () =>
        restore(snapshot, { binary, args, mode, after: 'stop' }),
      );
      if (guest === undefined) continue;
      const found = await memoryOf(guest.qemu.qmp, dir, mebibytes);
      assertSame(t, found, memory, mode);
    }
  });
}

/** Saves a guest that has used the memory which its board had filled: every other page of that is zero now. */
async function saveChanged(
  dir: TemporaryDirectory,
  guest: {
    readonly binary: string;
    readonly args: readonly string[];
    readonly block: string;
    readonly mebibytes: number;
    readonly snapshot: string;
  },
): Promise<Buffer> {
  const { binary, args, block, mebibytes, snapshot } = guest;
  await using qemu = await QemuProcess.start({ binary, args });
  const { qmp } = qemu;
  const filled = pagesWithData(await memoryOf(qmp, dir, mebibytes));
  assert(filled.length > 0);
  const rows = await queryRamBlocks(qmp);
  const address = rows?.find(({ id }) => id === block)?.hostAddress;
  const { pid } = await identifyQemu(qmp);
  assert(address !== undefined && pid !== undefined);
  await using process = await open(`/proc/${pid}/mem`, 'r+');
  for (const [index, offset] of filled.entries()) {
    await process.write(index % 2 === 0 ? Buffer.alloc(PAGE, 0x5a) : ZEROS, 0, PAGE, address + offset);
  }
  const memory = await memoryOf(qmp, dir, mebibytes);
  await save(qmp, snapshot);
  return memory;
}

async function memoryOf(qmp: QmpClient, dir: TemporaryDirectory, mebibytes: number): Promise<Buffer> {
  const filename = dir.file('memory');
  await qmp.execute<string>('pmemsave', { val: 0, size: mebibytes * MIB, filename });
  const bytes = await readFile(filename);
  await rm(filename);
  return bytes;
}

function pagesWithData(memory: Buffer): readonly number[] {
  const found: number[] = [];
  for (let offset = 0; offset < memory.length; offset += PAGE) {
    if (!ZEROS.equals(memory.subarray(offset, offset + PAGE))) found.push(offset);
  }
  return found;
}

function assertSame(t: ExecutionContext, found: Buffer, wanted: Buffer, mode: string): void {
  const wrong: number[] = [];
  for (let offset = 0; offset < wanted.length; offset += PAGE) {
    if (!found.subarray(offset, offset + PAGE).equals(wanted.subarray(offset, offset + PAGE)))
      wrong.push(offset);
  }
  t.deepEqual(wrong, [], mode);
}
