import { mkdir, open, readdir, stat, symlink, writeFile } from 'node:fs/promises';

import test from 'ava';

import { freshArguments, type FreshOptions } from '../../../ts/restore/command-line/fresh-arguments.ts';
import { temporaryDirectory, TemporaryDirectory } from '../../support/temporary.ts';

const MIB = 2 ** 20;
const INVALID = 'ERR_MAPPED_RAM_INVALID_ARGUMENT';

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

function words(text: string): readonly string[] {
  return text.split(' ');
}

async function fresh(args: string, path: string, more: Partial<FreshOptions> = {}): Promise<string> {
  // A QEMU that nobody may ask.
  return (await freshArguments({ args: words(args), path, binary: '/no/such/qemu', ...more })).args.join(' ');
}

function object(id: string, bytes: number, path: string, offset = 0): string {
  return `-object memory-backend-file,id=${id},size=${bytes},mem-path=${path},offset=${offset},share=off,readonly=on,rom=off`;
}

test('the memory of -m comes out of an empty file, under its own name', async (t) => {
  const path = dir.file('empty');
  const { args, blocks, size } = await freshArguments({ args: words('-machine q35 -m 64M -S'), path });
  t.is(
    args.join(' '),
    `-machine q35 -m 64M -S ${object('pc.ram', 64 * MIB, path)} -machine memory-backend=pc.ram`,
  );
  t.deepEqual([blocks, size], [['pc.ram'], 64 * MIB]);
  const stats = await stat(path);
  t.deepEqual([stats.size, stats.blocks, stats.mode & 0o777], [64 * MIB, 0, 0o444]);
  t.true((await fresh('-machine microvm -m 64', path)).includes(object('microvm.ram', 64 * MIB, path)));
  t.true(
    (await fresh('-machine pc-i440fx-2.12 -m 64', path)).includes('x-use-canonical-path-for-ramblock-id=off'),
  );
});

test('objects that the command line names are replaced, each with its part of the file', async (t) => {
  const path = dir.file('parts');
  const numa =
    '-machine q35 -m 9M,slots=1,maxmem=64M -object memory-backend-ram,id=m0,size=5M,policy=bind,host-nodes=0 -object memory-backend-memfd,id=m1,size=4M -numa node,memdev=m0 -numa node,memdev=m1';
  const dimm = '-object memory-backend-ram,id=d,size=8M -device pc-dimm,memdev=d';
  const other = '-object memory-backend-file,id=nv,size=1M,share=on,mem-path=/nv -device nvdimm,memdev=nv';
  const { args, blocks, size } = await freshArguments({ args: words(`${numa} ${dimm} ${other}`), path });
  t.deepEqual(blocks, ['m0', 'm1', 'd']);
  t.is(size, 18 * MIB);
  const text = args.join(' ');
  t.true(text.includes(`${object('m0', 5 * MIB, path)},policy=bind,host-nodes=0`));
  t.true(text.includes(object('m1', 4 * MIB, path, 6 * MIB)));
  t.true(text.includes(object('d', 8 * MIB, path, 10 * MIB)));
  t.true(text.includes(other));
  t.false(text.includes('memory-backend=') || text.includes('-incoming'));
});

test('whatever does not go with private, empty memory is named, all of it', async (t) => {
  const path = dir.file('never');
  const refused: readonly (readonly [string, RegExp])[] = [
    ['-machine q35', /-m SIZE is missing/],
    ['-machine q35 -m large', /-m SIZE is missing, or is no size/],
    ['-machine q35 -m 64M -incoming defer -mem-prealloc', /-incoming: .*; -mem-prealloc/],
    ['-machine q35 -m 64M -loadvm x', /-loadvm/],
    ['-machine q35 -m 64M -mem-path /x', /-mem-path/],
    ['-machine q35 -m 64M -overcommit mem-lock=on', /mem-lock=on-fault/],
    ['-machine q35 -m 64M -device vhost-user-fs-pci,chardev=c', /vhost-user-fs-pci needs shared memory/],
    ['-machine q35 -m 64M -device virtio-mem-pci,memdev=v', /virtio-mem-pci gives memory back/],
    ['-machine q35,memory-backend=m -m 64M', /no -object of memory with the id m/],
    [
      '-machine q35,memory-backend=m -m 64M -object memory-backend-memfd,id=m,size=64M,share=on',
      /-object m shares its memory/,
    ],
    ['-machine q35,memory-backend=m -m 64M -object memory-backend-ram,id=m', /-object m has no size/],
    ['-machine netduino2 -m 64M', /makes its memory itself/],
    ['-machine no-such-type -m 64M', /QEMU does not tell which memory the machine type no-such-type has/],
    ['-m 64M', /QEMU does not tell which machine type it takes/],
  ];
  for (const [args, message] of refused) {
    await t.throwsAsync(fresh(args, path), { code: INVALID, message }, args);
  }
  await t.throwsAsync(fresh('-m 64M', ''), { code: INVALID, message: /path/ });
  await t.throwsAsync(stat(path), { code: 'ENOENT' }, 'nothing was made');
});

test('a file that has data, is too small, or is none, is refused and left as it is', async (t) => {
  const args = '-machine q35 -m 64M';
  const data = dir.file('data');
  await writeFile(data, 'data'.repeat(2000));
  await t.throwsAsync(fresh(args, data), { code: INVALID, message: /has data/ });
  t.is((await stat(data)).size, 8000);
  const small = dir.file('small');
  await (await open(small, 'w')).close();
  await t.throwsAsync(fresh(args, small), {
    code: INVALID,
    message: /too small.*expected 67108864 bytes, found 0/,
  });
  await mkdir(dir.file('folder'));
  await t.throwsAsync(fresh(args, dir.file('folder')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await symlink('/dev/null', dir.file('device'));
  await t.throwsAsync(fresh(args, dir.file('device')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await t.throwsAsync(fresh(args, dir.file('missing/file')), { code: 'ERR_MAPPED_RAM_IO' });
  await t.throwsAsync(fresh(args, dir.file('x'), { signal: AbortSignal.abort(new Error('enough')) }), {
    message: 'enough',
  });
});

test('guests that are made at the same time share one file, and nothing else is left', async (t) => {
  const place = new TemporaryDirectory(dir.file('many'));
  await mkdir(place.path);
  const made = await Promise.all(
    Array.from({ length: 8 }, () => fresh('-machine q35 -m 64M', place.file('empty'))),
  );
  t.is(new Set(made).size, 1);
  t.true((await fresh('-machine q35 -m 32M', place.file('empty'))).includes('size=33554432'));
  t.deepEqual(await readdir(place.path), ['empty']);
});
