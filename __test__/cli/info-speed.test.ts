import { spawnSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { CAPABILITY_MAPPED_RAM } from '../../ts/stream/constants.ts';
import {
  assembleMappedRam,
  bytesReader,
  readStreamIndex,
  readVmdescriptionFor,
} from '../../ts/stream/index.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runCli } from './run-cli.ts';

const TIB = 2 ** 40;
const GIB = 2 ** 30;
const BUDGET_MS = 150;
const DEVICES_BUDGET_MS = 500;
/** Test machines are slow and busy: the time that Node itself takes to start shows how much. */
const PATIENCE = 3;
const NODE_START_MS = 60;
const BUDGET_KIB = 150 * 1024;
const RUNS = 7;

const BIN = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
/** The command line; at its end it prints the peak of its own resident memory in KiB. */
const MEASURED = `
process.argv.splice(1, 0, ${JSON.stringify(BIN)});
process.once('exit', () => process.stderr.write('maxrss=' + process.resourceUsage().maxRSS));
await import(${JSON.stringify(BIN)});
`;

/** A snapshot of a guest with `memory` bytes. The first `setPages` pages are set, but hold zeros and take no room. */
async function writeSparseSnapshot(path: string, memory: number, setPages: number): Promise<void> {
  const bytes = syntheticState({ blocks: [{ id: 'pc.ram', length: memory }] });
  const reader = bytesReader(bytes);
  const state = await readStreamIndex(reader);
  const configuration = { machine: state.machine, capabilities: [CAPABILITY_MAPPED_RAM] };
  const { layout, pieces, endOffset } = assembleMappedRam({
    state,
    configuration,
    blocks: [{ id: 'pc.ram', length: memory }],
    vmdescription: await readVmdescriptionFor(reader, state, configuration),
  });
  const handle = await open(path, 'w');
  try {
    await handle.truncate(endOffset);
    for (const piece of pieces) {
      const { offset, length } = piece.source ?? { offset: 0, length: 0 };
      const part = piece.bytes ?? bytes.subarray(offset, offset + length);
      await handle.write(part, 0, part.length, piece.offset);
    }
    const bitmap = Buffer.alloc(setPages / 8, 0xff);
    await handle.write(bitmap, 0, bitmap.length, layout.blocks[0]?.area.bitmapOffset);
  } finally {
    await handle.close();
  }
}

/** The fastest of several runs, in milliseconds. */
function bestTime(args: readonly string[]): number {
  const times = Array.from({ length: RUNS }, () => {
    const startedAt = performance.now();
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return performance.now() - startedAt;
  });
  return Math.round(Math.min(...times));
}

/** The time in ms that a command may take on this machine now, if it is to take `budgetMs` on an idle one. */
function allowedTime(t: ExecutionContext, budgetMs: number, best: number): number {
  const start = bestTime(['--eval', '0']);
  const allowed = budgetMs * PATIENCE * Math.max(1, start / NODE_START_MS);
  t.log(`${best} ms, of which Node needs ${start} ms to start; allowed: ${Math.round(allowed)} ms`);
  return allowed;
}

test.serial('info on a sparse snapshot of 1 TiB takes little time and memory', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('large.mr');
  await writeSparseSnapshot(path, TIB, 0);
  const { code, json } = await runCli(['info', '--json', path]);
  t.is(code, 0);
  t.like(json(), { complete: true, blocks: [{ length: TIB, setPages: 0, zeroPages: TIB / PAGE }] });

  const best = bestTime([BIN, 'info', path]);
  t.true(best < allowedTime(t, BUDGET_MS, best));

  const args = ['--input-type=module', '--eval', MEASURED, '--', 'info', path];
  const { stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.is(status, 0, stderr);
  const peak = Number(/maxrss=(\d+)/.exec(stderr)?.[1]);
  t.log(`resident at its peak: ${Math.round(peak / 1024)} MiB`);
  t.true(peak < BUDGET_KIB, stderr);
});

test.serial('info --devices on a snapshot with 1 GiB of set pages takes little time', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('full.mr');
  await writeSparseSnapshot(path, GIB, GIB / PAGE);
  const { json } = await runCli(['info', '--json', path]);
  t.like(json(), { complete: true, blocks: [{ length: GIB, setPages: GIB / PAGE }] });
  const { code, stdout } = await runCli(['info', '--devices', path]);
  t.is(code, 0);
  t.regex(stdout, /^test-device +0 +1 +test-device /m);

  const best = bestTime([BIN, 'info', '--devices', path]);
  t.true(best < allowedTime(t, DEVICES_BUDGET_MS, best));
});
