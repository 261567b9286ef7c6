import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { ProcessCopy } from '../../ts/engine/process/process-copy.ts';
import { MappedRamError } from '../../ts/errors.ts';
import { roomForCopy } from '../../ts/save/capture/room-for-copy.ts';

const MIB = 2 ** 20;

/** A host that has so many bytes to give. */
function host(
  bytes: number,
  code = 'ENOMEM',
): { readonly asked: readonly number[]; readonly create: (capacity: number) => Promise<ProcessCopy> } {
  const asked: number[] = [];
  const create = async (capacity: number): Promise<ProcessCopy> => {
    asked.push(capacity);
    if (capacity <= bytes) return ProcessCopy.create(4096);
    const cause = Object.assign(new Error('not so much'), { code });
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'making room', { cause });
  };
  return { asked, create };
}

test('a host that has not the memory gets asked for half of it, down to nothing', async (t) => {
  const some = host(11 * MIB);
  (await roomForCopy(32 * MIB, undefined, some.create))?.close();
  t.deepEqual(some.asked, [32 * MIB, 16 * MIB, 8 * MIB]);
  const none = host(0, 'EAGAIN');
  t.is(await roomForCopy(3 * MIB, undefined, none.create), undefined);
  t.deepEqual(none.asked, [3 * MIB, 1.5 * MIB, 0.75 * MIB]);
});

test('the room that a caller asks for is that, or an error', async (t) => {
  const some = host(MIB);
  await t.throwsAsync(roomForCopy(32 * MIB, 2 * MIB, some.create), { code: 'ERR_MAPPED_RAM_IO' });
  t.deepEqual(some.asked, [2 * MIB]);
  t.is(await roomForCopy(32 * MIB, 0, some.create), undefined);
  const broken = host(MIB, 'EPERM');
  await t.throwsAsync(roomForCopy(32 * MIB, undefined, broken.create), { code: 'ERR_MAPPED_RAM_IO' });
  t.deepEqual(broken.asked, [32 * MIB]);
});

test('a process that may have no more address space gets what there is', (t) => {
  if (spawnSync('prlimit', ['--version']).status !== 0) {
    t.pass('NOT TRIED: there is no prlimit');
    return;
  }
  const [room, binding] = ['../../ts/save/capture/room-for-copy.ts', '../../ts/engine/binding.ts'].map(
    (path) => JSON.stringify(new URL(path, import.meta.url).href),
  );
  const program = `
    import { spawnSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    const { roomForCopy } = await import(${room});
    (await import(${binding})).binding();
    // The threads that make room have their stacks before the limit comes.
    (await roomForCopy(4096, 4096)).close();
    const size = Number(/^VmSize:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]) * 1024;
    const most = size + 96 * 2 ** 20;
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(process.pid), '--as=' + most]);
    if (status !== 0) throw new Error(String(stderr));
    const copy = await roomForCopy(512 * 2 ** 20, undefined);
    const refused = await roomForCopy(512 * 2 ** 20, 512 * 2 ** 20).catch((error) => error.code);
    console.log(JSON.stringify({ capacity: copy?.capacity ?? 0, refused }));`;
  const args = ['--import=@oxc-node/core/register', '--input-type=module', '--eval', program];
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  t.regex(stdout, /^\{/, stderr);
  const { capacity, refused }: { capacity: number; refused: string } = JSON.parse(stdout);
  t.is(refused, 'ERR_MAPPED_RAM_IO');
  t.true(capacity > 0 && capacity < 96 * MIB, String(capacity));
});
