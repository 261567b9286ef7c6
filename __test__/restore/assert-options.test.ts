import test from 'ava';

import { MODE_NAMES, modeOf, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { assertOptionsFor, assertStreamOptions } from '../../ts/restore/assert-options.ts';
import { restore, type RestoreOptions } from '../../ts/restore/restore.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { syntheticSnapshot } from './synthetic-snapshot.ts';

type Asked = Omit<RestoreOptions, 'args' | 'mode'>;

const DIRECT_IO: Asked = { directIo: 'on' };
const OF_QEMU: readonly Asked[] = [{ multifd: 'on' }, { channels: 9 }, DIRECT_IO];
const OF_ENGINE: readonly Asked[] = [
  { ramDirectory: '/nonexistent' },
  { transfer: { channels: 3 } },
  { transfer: { queueDepth: 3 } },
  { transfer: { requestSize: 4096 } },
  { transfer: { ioEngine: 'threads' } },
  { transfer: { directIo: 'on' } },
];
const OF_LAZY: readonly Asked[] = [{ postcopy: { push: 'off' } }, { memory: 'memfd' }];
const OF: Readonly<Record<RestoreMode, readonly Asked[]>> = {
  instant: [],
  preload: OF_ENGINE,
  lazy: [...OF_LAZY, DIRECT_IO],
  eager: OF_QEMU,
};
/** Options that demand nothing of a mode. */
const NOTHING: Asked = {
  multifd: 'off',
  channels: 'auto',
  directIo: 'off',
  transfer: { channels: undefined, ioEngine: 'auto', directIo: 'off', onProgress: () => undefined },
};

/** The option's name in the error: `multifd`, `transfer.ioEngine`. */
function nameOf(asked: Asked): string {
  const [name = ''] = Object.keys(asked);
  return name === 'transfer' ? `transfer.${Object.keys(asked.transfer ?? {})[0]}` : name;
}

test('each option is taken by the mode that has a use for it, and refused by the others before QEMU starts', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 4 }]);
  for (const mode of MODE_NAMES) {
    t.notThrows(() => assertOptionsFor(modeOf(mode), NOTHING));
    for (const asked of [...OF_QEMU, ...OF_ENGINE, ...OF_LAZY]) {
      if (OF[mode].includes(asked)) {
        t.notThrows(() => assertOptionsFor(modeOf(mode), asked));
        continue;
      }
      const options = { ...asked, mode, binary: '/no/such/qemu', args: ['-machine', 'q35'] };
      const { message } = await t.throwsAsync(restore(snapshot.path, options), {
        code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      });
      t.true(message.startsWith(`mode ${mode} has no use for ${nameOf(asked)}: `), message);
    }
  }
});

test('all that has no use is named at once', (t) => {
  t.throws(() => assertOptionsFor(modeOf('instant'), { channels: 9, directIo: 'on', ramDirectory: '/x' }), {
    message: /^mode instant has no use for channels, directIo, ramDirectory: /,
  });
});

test('a plain stream has one channel and no direct I/O, and says why', (t) => {
  t.notThrows(() => assertStreamOptions({ ...NOTHING, channels: 1 }, 'a reason'));
  t.throws(() => assertStreamOptions({ multifd: 'on', channels: 2, directIo: 'on' }, 'a reason'), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /^multifd, channels, directIo cannot be had: .*; a reason$/,
  });
});
