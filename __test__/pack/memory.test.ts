import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { syntheticState } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const LENGTH = 4096 * MIB;
const CHANNELS = 2;
const QUEUE_DEPTH = 16;
const REQUEST_SIZE = MIB;

/** Prints by how many bytes the peak of the resident set grew during a pack. */
const MEASURE = `
import { readFileSync } from 'node:fs';
import { pack } from '${new URL('../../ts/index.ts', import.meta.url).href}';
const resident = (field) => Number(new RegExp(field + ':\\\\s+(\\\\d+) kB').exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const [target, state, m0] = process.argv.slice(1);
const before = resident('VmRSS');
const sizes = { channels: ${CHANNELS}, queueDepth: ${QUEUE_DEPTH}, requestSize: ${REQUEST_SIZE} };
await pack(target, { state, ram: { m0 }, ...sizes, storeZeroPages: process.argv[4] === 'stored' ? 'all' : 'firmware' });
console.log(resident('VmHWM') - before);
`;

test.serial('a pack of 4 GiB keeps to its buffers and 64 MiB', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('state'), syntheticState({ blocks: [{ id: 'm0', length: LENGTH }] }));
  await writeFile(dir.file('m0'), '');
  await truncate(dir.file('m0'), LENGTH);
  // Stored zero pages take the whole way through the buffers, and their source needs no disk.
  for (const zeroPages of ['stored', 'skipped']) {
    const target = dir.file(`snapshot-${zeroPages}`);
    const args = ['--import=@oxc-node/core/register', '--input-type=module', '--eval', MEASURE];
    const child = spawn(process.execPath, [...args, target, dir.file('state'), dir.file('m0'), zeroPages], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    child.stdout.on('data', (text: Buffer) => (printed += text.toString()));
    t.deepEqual(await once(child, 'exit'), [0, null]);
    const growth = Number(printed);
    const allowed = CHANNELS * QUEUE_DEPTH * REQUEST_SIZE + 64 * MIB;
    t.log(`${zeroPages}: ${(growth / MIB).toFixed(1)} MiB`);
    t.true(growth > 0 && growth < allowed, `grew by ${growth}, allowed ${allowed}`);
  }
});
