import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { save, type SaveOptions, Snapshot } from '../../ts/index.ts';
import type { RestoreMode } from '../../ts/restore/modes/modes.ts';
import { withHugePages } from '../bench/ours/huge-page-pool.ts';
import {
  assertMemory,
  assertRestores,
  FREE,
  PAGE,
  poke,
  scattered,
  SETUP,
  zeros,
} from '../save/captured-guest.ts';
import { KVM_REGION, kvmTest } from '../support/kvm-test.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf } from '../versions/qemus.ts';

interface Kind {
  readonly title: string;
  readonly setup: (directory: string) => GuestSetup;
  /** Blocks that the test writes into, with the bytes that are free there. */
  readonly free?: readonly (readonly [id: string, start: number, length: number])[];
  /** The modes in which the snapshots are restored. @default `eager`; all of them for the first kind */
  readonly modes?: readonly RestoreMode[];
  /** The mode of the clone that is saved incrementally; undefined where none can be mapped. @default 'instant' */
  readonly clone?: RestoreMode | 'none';
}

const LOW = ['pc.ram', FREE.start, FREE.length] as const;
const M0 = ['m0', FREE.start, FREE.length] as const;

function backed(...words: readonly string[]): GuestSetup {
  const objects = words.flatMap((object) => ['-object', object]);
  const memoryArgs = ['-m', '128M', ...objects, '-machine', 'memory-backend=m0'];
  return { ...SETUP, memoryArgs, memoryBlocks: ['m0'] };
}

const KINDS: readonly Kind[] = [
  { title: 'plain -m', setup: () => SETUP },
  { title: 'plain -m, 11.1', setup: () => ({ ...SETUP, binary: binaryOf('11.1'), machine: 'pc' }) },
  {
    title: 'memory-backend-ram with prealloc',
    setup: () => backed('memory-backend-ram,id=m0,size=128M,prealloc=on'),
    free: [M0],
  },
  {
    title: 'memory-backend-ram, share=on',
    setup: () => backed('memory-backend-ram,id=m0,size=128M,share=on'),
    free: [M0],
  },
  {
    title: 'memory-backend-memfd, share=off',
    setup: () => backed('memory-backend-memfd,id=m0,size=128M,share=off'),
    free: [M0],
  },
  {
    title: 'memory-backend-memfd, share=on',
    setup: () => backed('memory-backend-memfd,id=m0,size=128M,share=on'),
    free: [M0],
  },
  {
    title: 'memory-backend-file, share=off, with data of its own',
    setup: (directory) =>
      backed(`memory-backend-file,id=m0,size=128M,share=off,mem-path=${directory}/own.ram`),
    free: [M0],
  },
  {
    title: 'two NUMA blocks, a shared file and private memory',
    setup: (directory) => ({
      ...SETUP,
      memoryArgs: [
        '-m',
        '128M',
        '-numa',
        'node,memdev=m0',
        '-numa',
        'node,memdev=m1',
        '-object',
        `memory-backend-file,id=m0,size=64M,share=on,mem-path=${directory}/shared.ram`,
        '-object',
        'memory-backend-ram,id=m1,size=64M',
      ],
      memoryBlocks: ['m0', 'm1'],
    }),
    free: [
      ['m0', 40 * MIB, 16 * MIB],
      ['m1', 0, 48 * MIB],
    ],
  },
  {
    title: 'two dimms, one of them private in a file',
    setup: (directory) => ({
      ...SETUP,
      memoryArgs: [
        '-m',
        '128M,slots=4,maxmem=1G',
        '-object',
        'memory-backend-ram,id=d0,size=32M',
        '-object',
        `memory-backend-file,id=d1,size=32M,share=off,mem-path=${directory}/dimm.ram`,
        '-device',
        'pc-dimm,id=p0,memdev=d0',
        '-device',
        'pc-dimm,id=p1,memdev=d1',
      ],
      memoryBlocks: ['pc.ram'],
    }),
    free: [LOW, ['d0', 0, 32 * MIB], ['d1', 0, 32 * MIB]],
  },
  {
    title: 'virtio-mem',
    setup: () => ({
      ...SETUP,
      memoryArgs: [
        '-m',
        '128M,maxmem=1G',
        '-object',
        'memory-backend-ram,id=v0,size=128M',
        '-device',
        'virtio-mem-pci,id=vm0,memdev=v0,requested-size=64M',
      ],
      memoryBlocks: ['pc.ram'],
    }),
    modes: ['eager'],
    clone: 'none',
  },
  {
    title: 'flash',
    setup: (directory) => ({
      ...SETUP,
      extraArgs: [
        '-drive',
        `if=pflash,format=raw,file=${directory}/bios`,
        '-drive',
        `if=pflash,format=raw,file=${directory}/vars`,
      ],
    }),
    free: [LOW, ['system.flash1', 8192, 64 * 1024]],
  },
];

/** Files that the kinds have on their command lines. */
async function prepareFiles(directory: string, needsFlash: boolean): Promise<void> {
  const own = await open(`${directory}/own.ram`, 'w');
  await own.truncate(128 * MIB);
  await own.write(randomBytes(4 * MIB), 0, 4 * MIB, FREE.start + 16 * MIB);
  await own.close();
  if (!needsFlash) return;
  await using guest = await startGuest({});
  await guest.waitForGenerations(1);
  await writeFile(`${directory}/bios`, await guest.readBlock('pc.bios', 0, 256 * 1024));
  await writeFile(`${directory}/vars`, Buffer.concat([Buffer.alloc(8192), randomBytes(120 * 1024)]));
}

/** Changes a free part of a block: data, data where the last link had zeros, and zeros where it had data. */
async function change(guest: TestGuest, free: Kind['free'], link: number): Promise<void> {
  for (const [id, start, length] of free ?? [LOW]) {
    const third = Math.floor(length / 3 / PAGE) * PAGE;
    await poke(
      guest,
      link === 0
        ? [...scattered(start, third, 2, 0), ...scattered(start + third, third, 1, 0)]
        : [
            ...scattered(start + PAGE, third / 2, 8, link),
            ...scattered(start + 2 * third, third / 2, 3, link),
            zeros(start + third + link * PAGE, Math.floor(third / 2 / PAGE) * PAGE),
          ],
      id,
    );
  }
}

for (const { title, setup: make, free, modes, clone = 'instant' } of KINDS) {
  qemuTest(`every page of a captured guest is right, and so it is of its clone: ${title}`, async (t) => {
    t.timeout(900_000);
    await using dir = await temporaryDirectory();
    await prepareFiles(dir.path, title === 'flash');
    const setup = make(dir.path);
    const base = dir.file('base.mr');
    {
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await guest.stop();
      await change(guest, free, 0);
      for (const maxCopyMemory of [3 * MIB, undefined]) {
        const options: SaveOptions = { writer: 'engine', overwrite: true, maxCopyMemory };
        const saved = await save(guest.qmp, base, options);
        t.like(saved, { warnings: [], migration: undefined, runState: 'paused' });
        t.is(saved.capture?.form, 'whole', saved.writerWhy);
        await assertMemory(t, guest, base, `whole, copy of ${maxCopyMemory}`);
      }
      const before = await guest.checkMemory();
      t.true((await guest.assertAlive()).generation > before.generation);
    }
    // What is restored is compared with the file, which is the guest's memory: each mode once is enough.
    if (clone === 'none' || title === 'plain -m') {
      await assertRestores(t, base, setup, { modes: modes ?? ['preload'] });
    }
    if (clone === 'none') return;
    await using guest = await restoreGuest(base, setup, { mode: clone });
    await guest.waitForGenerations(1);
    await guest.stop();
    await change(guest, free, 1);
    const delta = dir.file('delta.mr');
    const saved = await save(guest.qmp, delta, { base: 'auto' });
    t.like(saved.capture, { form: 'delta', base });
    t.deepEqual(saved.warnings, []);
    await assertMemory(t, guest, delta, 'delta');
    // The same guest once more, with everything in the pause, and without its base.
    for (const [name, options] of [
      ['again.mr', { base: 'auto', maxCopyMemory: 0 }],
      ['whole.mr', { writer: 'engine' }],
    ] as const) {
      await save(guest.qmp, dir.file(name), options);
      await assertMemory(t, guest, dir.file(name), name);
    }
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation);
    await guest.close();
    const others = title === 'plain -m' ? (['instant', 'eager'] as const) : (['eager'] as const);
    await assertRestores(t, delta, setup, { modes: modes ?? others });
  });
}

qemuTest('what QEMU gives back to a file after the pause is saved as it was', async (t) => {
  await using dir = await temporaryDirectory();
  await prepareFiles(dir.path, false);
  const own = `${dir.path}/own.ram`;
  await using guest = await startGuest(
    backed(`memory-backend-file,id=m0,size=128M,share=off,mem-path=${own}`),
  );
  await guest.waitForGenerations(1);
  const [start, length] = [FREE.start + 16 * MIB, 4 * MIB];
  const wanted = await guest.readBlock('m0', start, length);
  t.true(wanted.some((byte) => byte !== 0));
  // A balloon, or virtio-mem, makes QEMU punch holes.
  const execute = guest.qmp.execute.bind(guest.qmp);
  const spied: typeof execute = async (command, ...rest) => {
    const answer = await execute(command, ...rest);
    if (command === 'cont') {
      const punched = spawnSync('fallocate', ['-p', '-o', String(start), '-l', String(length), own]);
      t.is(punched.status, 0);
    }
    return answer;
  };
  guest.qmp.execute = spied;
  const path = dir.file('guest.mr');
  await save(guest.qmp, path, { writer: 'engine' });
  t.false((await guest.readBlock('m0', start, length)).some((byte) => byte !== 0));
  await using snapshot = await Snapshot.open(path);
  t.is(Buffer.compare(await snapshot.read('m0', start, length), wanted), 0);
});

qemuTest('a clone that is reset reads its disk anew, and is saved with what QEMU has read', async (t) => {
  await using dir = await temporaryDirectory();
  const base = dir.file('base.mr');
  {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(2);
    await save(guest.qmp, base);
  }
  const extraArgs = ['-action', 'reboot=reset'];
  await using guest = await restoreGuest(base, { ...SETUP, extraArgs }, {});
  await guest.qmp.execute('system_reset');
  await guest.waitForGenerations(2);
  const delta = dir.file('delta.mr');
  await save(guest.qmp, delta, { base: 'auto', after: 'stop' });
  await assertMemory(t, guest, delta, 'delta');
  await assertRestores(t, delta, SETUP);
});

const KSM = '/sys/kernel/mm/ksm';

qemuTest('pages that the kernel has merged are saved as they read', async (t) => {
  const ran = await readFile(`${KSM}/run`, 'utf8').catch(() => undefined);
  const set = async (name: string, value: string): Promise<boolean> =>
    writeFile(`${KSM}/${name}`, value).then(
      () => true,
      () => false,
    );
  if (ran === undefined || !(await set('run', '1'))) {
    t.pass('NOT TRIED: the kernel merges no pages for us');
    return;
  }
  const speed = await readFile(`${KSM}/pages_to_scan`, 'utf8');
  await set('pages_to_scan', '20000');
  try {
    await using dir = await temporaryDirectory();
    const base = dir.file('base.mr');
    const same = Array.from({ length: 2048 }, (_, page) => ({
      offset: FREE.start + page * PAGE,
      bytes: page % 16 === 0 ? new Uint8Array(PAGE) : Buffer.alloc(PAGE, `the same ${page % 7}`),
    }));
    {
      await using guest = await startGuest(SETUP);
      await guest.waitForGenerations(1);
      await guest.stop();
      await poke(guest, same);
      t.true(await merged(guest), 'nothing was merged');
      const saved = await save(guest.qmp, base);
      t.is(saved.writer, 'engine');
      await assertMemory(t, guest, base, 'whole');
    }
    await using guest = await restoreGuest(base, SETUP, { after: 'stop' });
    await poke(
      guest,
      same.map(({ offset, bytes }) => ({ offset: offset + 16 * MIB, bytes })),
    );
    t.true(await merged(guest), 'nothing of the clone was merged');
    const delta = dir.file('delta.mr');
    await save(guest.qmp, delta, { base: 'auto' });
    await assertMemory(t, guest, delta, 'delta');
    await assertRestores(t, delta, SETUP, { modes: ['eager'] });
  } finally {
    await set('pages_to_scan', speed);
    await set('run', ran);
  }
});

/** Waits until the kernel has merged pages of a guest. */
async function merged(guest: TestGuest): Promise<boolean> {
  for (let tries = 0; tries < 300; tries += 1) {
    const text = await readFile(`/proc/${guest.qemu.pid}/ksm_stat`, 'utf8').catch(() => '');
    if (Number(/ksm_merging_pages (\d+)/.exec(text)?.[1] ?? 0) > 1000) return true;
    await delay(100);
  }
  return false;
}

qemuTest('a guest in huge pages of 2 MiB', async (t) => {
  for (const share of ['off', 'on']) {
    await withHugePages(t, 80, async () => {
      await using dir = await temporaryDirectory();
      const setup = backed(`memory-backend-memfd,id=m0,size=128M,hugetlb=on,hugetlbsize=2M,share=${share}`);
      await using guest = await startGuest(setup);
      await guest.waitForGenerations(2);
      await guest.stop();
      await change(guest, [M0], 0);
      for (const maxCopyMemory of [undefined, 0]) {
        const path = dir.file('huge.mr');
        const free = await freeHugePages();
        const saved = await save(guest.qmp, path, { writer: 'engine', overwrite: true, maxCopyMemory });
        t.is(saved.capture?.form, 'whole');
        t.is(await freeHugePages(), free, `share=${share}: the save has made pages in the guest's place`);
        await assertMemory(t, guest, path, `share=${share}`);
      }
      await guest.close();
      await assertRestores(t, dir.file('huge.mr'), SETUP, { modes: [] });
    });
  }
});

async function freeHugePages(): Promise<number> {
  return Number(/^HugePages_Free: +(\d+)$/m.exec(await readFile('/proc/meminfo', 'latin1'))?.[1]);
}

kvmTest('a guest under KVM, and its clone', async (t) => {
  await using dir = await temporaryDirectory();
  const setup: GuestSetup = { ...SETUP, accel: 'kvm', region: { start: 16 * MIB, ...KVM_REGION } };
  const base = dir.file('base.mr');
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    const saved = await save(guest.qmp, base, { after: 'stop', writer: 'engine' });
    t.is(saved.writer, 'engine', saved.writerWhy);
    await assertMemory(t, guest, base, 'whole');
  }
  await using guest = await restoreGuest(base, setup, {});
  await guest.waitForGenerations(1);
  const delta = dir.file('delta.mr');
  await save(guest.qmp, delta, { base: 'auto', after: 'stop' });
  await assertMemory(t, guest, delta, 'delta');
  await guest.assertAlive();
  await guest.close();
  await using again = await restoreGuest(delta, setup, {});
  await again.waitForGenerations(1);
});
