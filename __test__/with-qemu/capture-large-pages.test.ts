import { lookAtProcessMemory } from '../../ts/qemu/memory/process-memory.ts';
import { queryRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';
import { CapturedMemory } from '../../ts/save/capture/captured-memory.ts';
import { bytesInRuns, rangesOf } from '../../ts/pages/byte-runs.ts';
import { FREE, poke, scattered, SETUP } from '../save/captured-guest.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';

const PAGE = 4096;

qemuTest('a copy that is too small is cut between pages of the guest, however large they are', async (t) => {
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(1);
  await guest.stop();
  await poke(guest, scattered(FREE.start, FREE.length, 3, 1));
  const memory = await lookAtProcessMemory(guest.qmp, await queryRamBlocks(guest.qmp));
  if (typeof memory === 'string') throw new Error(memory);
  for (const pageSize of [8192, 65_536]) {
    // Room for an odd number of the host's pages.
    const maxCopyMemory = (2 ** 10 + 3) * PAGE;
    await using captured = await CapturedMemory.ready(memory, {
      pageSize,
      maxCopyMemory,
      onBase: [],
      coming: [],
    });
    const blocks = await captured.take(memory);
    const isCut = blocks.filter(({ copied, left }) => copied.length > 0 && left.length > 0);
    t.is(isCut.length, 1);
    for (const { id, length, runs, copied, left } of blocks) {
      t.is(bytesInRuns(copied) + bytesInRuns(left), bytesInRuns(runs), id);
      for (const { start, end } of [...rangesOf(copied), ...rangesOf(left)]) {
        const isWhole = start % pageSize === 0 && (end % pageSize === 0 || end === length);
        if (!isWhole) t.fail(`${id}: ${start} to ${end} are no pages of ${pageSize} bytes`);
      }
    }
  }
});
