import { readdir } from 'node:fs/promises';

import { bench } from '../../ts/bench/bench.ts';
import { MappedRamError } from '../../ts/errors.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf, versionsTest } from './qemus.ts';

versionsTest('a bench refuses a QEMU that is too old, with its version and what it lacks', async (t) => {
  await using dir = await temporaryDirectory();
  for (const version of ['5.2', '7.2'] as const) {
    const options = { directory: dir.path, size: 2 ** 24, work: ['save'], qemu: binaryOf(version) } as const;
    const seen: string[] = [];
    const error = await t.throwsAsync(bench({ ...options, onProgress: ({ title }) => seen.push(title) }), {
      instanceOf: MappedRamError,
    });
    t.is(error?.code, 'ERR_MAPPED_RAM_INVALID_ARGUMENT');
    t.regex(
      error?.message ?? '',
      new RegExp(
        `QEMU ${version.replace('.', String.raw`\.`)}\\.\\d+ is too old: mapped-ram came with 9\\.0`,
      ),
    );
    t.deepEqual(seen, []);
  }
  t.deepEqual(await readdir(dir.path), []);
});
