import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import test from 'ava';

import { availableMemory, totalMemory } from '../../ts/host/available-memory.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const MEMINFO = `MemTotal:        ${1024 * 1024} kB\nMemFree:  5 kB\nMemAvailable:    ${800 * 1024} kB\n`;

/** A made-up root with these files. */
async function rootWith(files: Readonly<Record<string, string>>): Promise<TemporaryDirectory> {
  const root = await temporaryDirectory();
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(root.file(path)), { recursive: true });
    await writeFile(root.file(path), text);
  }
  return root;
}

test('without a control group the host tells what is available', async (t) => {
  await using root = await rootWith({ 'proc/meminfo': MEMINFO });
  t.deepEqual(availableMemory(root.path), { bytes: 800 * MIB, limitedBy: 'the host' });
  t.is(totalMemory(root.path), 1024 * MIB);
});

test('where nothing tells, nothing is known', async (t) => {
  await using root = await rootWith({});
  t.is(availableMemory(root.path), undefined);
  t.is(totalMemory(root.path), undefined);
});

test('the tightest group on the way up counts, with the page cache that it can give back', async (t) => {
  await using root = await rootWith({
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '0::/jobs/one\n',
    'sys/fs/cgroup/jobs/one/memory.max': 'max\n',
    'sys/fs/cgroup/jobs/one/memory.current': `${90 * MIB}\n`,
    'sys/fs/cgroup/jobs/memory.max': `${200 * MIB}\n`,
    'sys/fs/cgroup/jobs/memory.current': `${150 * MIB}\n`,
    'sys/fs/cgroup/jobs/memory.stat': `anon 1\ninactive_file ${20 * MIB}\nactive_file 7\n`,
  });
  t.deepEqual(availableMemory(root.path), { bytes: 70 * MIB, limitedBy: 'the control group /jobs' });
});

test('a group that is slowed down from a mark on has no more than up to the mark', async (t) => {
  await using root = await rootWith({
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '0::/a\n',
    'sys/fs/cgroup/a/memory.max': `${500 * MIB}\n`,
    'sys/fs/cgroup/a/memory.high': `${100 * MIB}\n`,
    'sys/fs/cgroup/a/memory.current': `${110 * MIB}\n`,
  });
  t.deepEqual(availableMemory(root.path), { bytes: 0, limitedBy: 'the control group /a' });
});

test('a path of another namespace ends at the mount, where the container has its own group', async (t) => {
  await using root = await rootWith({
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '0::/system.slice/container-1\n',
    'sys/fs/cgroup/memory.max': `${64 * MIB}\n`,
    'sys/fs/cgroup/memory.current': `${60 * MIB}\n`,
  });
  t.deepEqual(availableMemory(root.path), { bytes: 4 * MIB, limitedBy: 'the control group /' });
});

test('old control groups count, and their largest number is no limit', async (t) => {
  const files = {
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '9:cpu,cpuacct:/x\n7:memory:/y\n',
    'sys/fs/cgroup/memory/y/memory.usage_in_bytes': `${10 * MIB}\n`,
    'sys/fs/cgroup/memory/y/memory.stat': `inactive_file 5\ntotal_inactive_file ${2 * MIB}\n`,
  };
  const limit = 'sys/fs/cgroup/memory/y/memory.limit_in_bytes';
  await using limited = await rootWith({ ...files, [limit]: `${30 * MIB}\n` });
  t.deepEqual(availableMemory(limited.path), { bytes: 22 * MIB, limitedBy: 'the control group /y' });
  await using free = await rootWith({ ...files, [limit]: '9223372036854771712\n' });
  t.is(availableMemory(free.path)?.limitedBy, 'the host');
});

test('this host tells', (t) => {
  const [available, whole] = [availableMemory(), totalMemory()];
  const isLinux = process.platform === 'linux';
  t.is(available !== undefined, isLinux);
  if (available !== undefined) t.true(available.bytes > 0 && available.bytes <= (whole ?? 0));
});
