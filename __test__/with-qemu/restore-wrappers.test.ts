import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { programOf, processes } from '../../ts/host/process-tree.ts';
import { identifyQemu } from '../../ts/qemu/identify-qemu.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { restore } from '../../ts/restore/restore.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { unlessRefused } from '../support/unless-refused.ts';

const NONE = ['-machine', 'none', '-nodefaults', '-no-user-config', '-display', 'none'];
const IS_ROOT = process.getuid?.() === 0;

/** Programs that start QEMU in their turn. `SCRIPT` stands for a shell script that forks. */
const WRAPPERS: readonly (readonly string[])[] = [
  ['timeout', '60'],
  ['SCRIPT'],
  ['env', 'A=1', 'nice', 'timeout', '60', 'SCRIPT'],
  ...(IS_ROOT
    ? [
        ['unshare', '--pid', '--fork', '--mount-proc'],
        ['unshare', '--pid', '--fork'],
        ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
      ]
    : [['unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc']]),
].filter(([program = '']) => program === 'SCRIPT' || spawnSync(program, ['--version']).status === 0);

/** True on a host where every user may have a userfaultfd that catches faults of the kernel, too. */
function everybodyAsks(): boolean {
  const device = statSync('/dev/userfaultfd', { throwIfNoEntry: false });
  const isAllowed = readFileSync('/proc/sys/vm/unprivileged_userfaultfd', 'latin1').trim() === '1';
  return isAllowed || ((device?.mode ?? 0) & 0o006) === 0o006;
}

/** The wrappers behind which a QEMU cannot ask for pages, by their own words. */
function lazyRefusal(wrapper: readonly string[]): RegExp | undefined {
  return wrapper[0] === 'setpriv' && !everybodyAsks()
    ? /Userfaultfd not available.*\/dev\/userfaultfd/
    : undefined;
}

const MARK = `MAPPED_RAM_TEST=${randomUUID()}`;

let dir: TemporaryDirectory;
let snapshot = '';
let script = '';

test.before(async () => {
  process.env['MAPPED_RAM_TEST'] = MARK.split('=')[1];
  dir = await temporaryDirectory();
  [snapshot, script] = [dir.file('guest.snapshot'), dir.file('wrapper.sh')];
  await writeFile(script, '#!/bin/sh\n"$@"\nexit $?\n', { mode: 0o755 });
  if (QEMU_MISSING === undefined) await saveGuest({}, snapshot);
  // Another user may come this far.
  await chmod(dir.path, 0o755);
  if (QEMU_MISSING === undefined) await chmod(snapshot, 0o644);
});

test.after.always(() => dir[Symbol.asyncDispose]());

function words(wrapper: readonly string[]): readonly string[] {
  return wrapper.map((word) => (word === 'SCRIPT' ? script : word));
}

/** The QEMUs that this file has started: its mark is in their environment. */
function qemus(): readonly number[] {
  return processes().filter((pid) => programOf(pid)?.startsWith('qemu') === true && isMarked(pid));
}

function isMarked(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(MARK);
  } catch {
    return false;
  }
}

async function until(isSo: () => boolean): Promise<boolean> {
  for (let round = 0; round < 250 && !isSo(); round += 1) await delay(20);
  return isSo();
}

async function leavesNoQemu(body: () => Promise<unknown>): Promise<boolean> {
  const before = new Set(qemus());
  await body();
  return until(() => qemus().every((pid) => before.has(pid)));
}

for (const wrapper of WRAPPERS) {
  qemuTest(`behind ${wrapper.join(' ')} a guest is restored in each mode`, async (t) => {
    for (const mode of MODE_NAMES) {
      const isClean = await leavesNoQemu(async () => {
        await using guest = await unlessRefused(t, mode, lazyRefusal(wrapper), () =>
          restoreGuest(snapshot, {}, { mode }, words(wrapper)),
        );
        if (guest === undefined) return;
        t.is(guest.restored.runState, 'running');
        const { pid, passesDescriptors } = await identifyQemu(guest.qmp);
        t.true(passesDescriptors);
        t.true(programOf(pid ?? 0)?.startsWith('qemu-system'), mode);
        await guest.waitForGenerations(3);
      });
      t.true(isClean, mode);
    }
  });
}

qemuTest('a restore that fails behind a program that starts QEMU leaves no QEMU', async (t) => {
  for (const wrapper of [['timeout', '60'], ['SCRIPT']]) {
    for (const mode of MODE_NAMES) {
      const isClean = await leavesNoQemu(async () => {
        const late = restoreGuest(snapshot, { machine: 'pc' }, { mode }, words(wrapper));
        await t.throwsAsync(late, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /machine type/ });
      });
      t.true(isClean, `${wrapper.join(' ')}, ${mode}`);
    }
  }
});

qemuTest('an abort at any moment leaves no QEMU behind a program that starts QEMU', async (t) => {
  const enough = new Error('enough');
  const isClean = await leavesNoQemu(async () => {
    for (const mode of MODE_NAMES) {
      for (let ms = 0; ms < 200; ms += 25) {
        const controller = new AbortController();
        const timer = delay(ms).then(() => controller.abort(enough));
        const restoring = restoreGuest(snapshot, {}, { mode, signal: controller.signal }, words(['SCRIPT']));
        const guest = await restoring.catch((error: unknown) => t.is(error, enough));
        if (typeof guest === 'object') await guest.close();
        await timer;
      }
    }
  });
  t.true(isClean);
});

qemuTest('a QEMU that does not answer ends with its wrapper', async (t) => {
  const isClean = await leavesNoQemu(async () => {
    await using qemu = await QemuProcess.start({ binary: script, args: [QEMU_BINARY, ...NONE] });
    const { pid = 0 } = await identifyQemu(qemu.qmp);
    t.not(pid, qemu.pid);
    process.kill(pid, 'SIGSTOP');
  });
  t.true(isClean);
});

qemuTest('the end of this process ends a QEMU behind a wrapper, too', async (t) => {
  const isClean = await leavesNoQemu(async () => {
    const source = `
      import { QemuProcess } from ${JSON.stringify(new URL('../../ts/qemu/process/qemu-process.ts', import.meta.url).href)};
      await QemuProcess.start(${JSON.stringify({ binary: script, args: [QEMU_BINARY, ...NONE] })});
      process.exit(7);`;
    const options = [...process.execArgv, '--input-type=module', '--eval', source];
    const [code] = await once(spawn(process.execPath, options, { stdio: 'inherit' }), 'exit');
    t.is(code, 7);
  });
  t.true(isClean);
});

qemuTest('a wrapper that does not wait for QEMU is refused, and QEMU ends', async (t) => {
  const leaving = dir.file('leaving.sh');
  await writeFile(leaving, '#!/bin/sh\nsetsid "$@" &\nexit 0\n', { mode: 0o755 });
  for (const mode of MODE_NAMES) {
    const isClean = await leavesNoQemu(async () => {
      await t.throwsAsync(restoreGuest(snapshot, {}, { mode }, [leaving]), {
        code: 'ERR_MAPPED_RAM_QEMU',
        message: /has ended and left QEMU behind/,
      });
    });
    t.true(isClean, mode);
  }
});

qemuTest('a wrapper that closes descriptors fails at once and leaves nothing', async (t) => {
  const closing = dir.file('closing.sh');
  await writeFile(closing, '#!/bin/bash\nexec 3>&- 4>&- 5>&-\n"$@"\n', { mode: 0o755 });
  const isClean = await leavesNoQemu(async () => {
    const late = restore(snapshot, { binary: closing, args: [QEMU_BINARY, '-machine', 'q35'] });
    await t.throwsAsync(late, { code: 'ERR_MAPPED_RAM_QEMU' });
  });
  t.true(isClean);
});

qemuTest(
  'a program that is known to close descriptors does not matter where QEMU opens files itself',
  async (t) => {
    const bin = await mkdtemp(dir.file('bin'));
    const sudo = join(bin, 'sudo');
    const close = 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done';
    await writeFile(sudo, `#!/bin/bash\n${close}\nwhile [[ $1 == -* ]]; do shift; done\n"$@"\nexit $?\n`, {
      mode: 0o755,
    });
    const isClean = await leavesNoQemu(async () => {
      for (const mode of ['instant', 'eager'] as const) {
        await using guest = await restoreGuest(snapshot, {}, { mode }, [sudo, '-n']);
        t.regex(programOf((await identifyQemu(guest.qmp)).pid ?? 0) ?? '', /^qemu-system/);
        t.deepEqual(guest.restored.warnings, [], mode);
        await guest.waitForGenerations(2);
      }
      const late = restoreGuest(snapshot, {}, { mode: 'preload' }, [sudo, '-unobody']);
      await t.throwsAsync(late, {
        code: 'ERR_MAPPED_RAM_UNSUPPORTED',
        message: /sudo closes the descriptors/,
      });
      const wrong = restoreGuest(snapshot, { extraArgs: ['-device', 'no-such-device'] }, {}, [sudo, '-n']);
      await t.throwsAsync(wrong, { code: 'ERR_MAPPED_RAM_QEMU', message: /no-such-device/ });
    });
    t.true(isClean);
  },
);
