import { totalmem } from 'node:os';

import test from 'ava';

import { type LaunchOptions, launchArgumentsFor } from '../../../ts/restore/command-line/launch-arguments.ts';
import { overcommitPolicy } from '../../../ts/host/limits.ts';
import { modeOf } from '../../../ts/restore/modes/modes.ts';
import { Snapshot } from '../../../ts/snapshot/snapshot.ts';
import { writeSparseSnapshot } from '../../support/sparse-snapshot.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { type SyntheticBlock, syntheticSnapshot } from '../synthetic-snapshot.ts';

const PAGES = 512;
const SIZE = PAGES * 4096;
const FIRMWARE: SyntheticBlock = { id: 'pc.bios', pages: 4 };
const ONE: readonly SyntheticBlock[] = [{ id: 'pc.ram', pages: PAGES }, FIRMWARE];
const TWO: readonly SyntheticBlock[] = [{ id: 'm0', pages: PAGES }, { id: 'm1', pages: PAGES }, FIRMWARE];

/** Runs `body` with a snapshot of these blocks. */
async function withSnapshot(
  blocks: readonly SyntheticBlock[],
  body: (
    launch: (options: Omit<LaunchOptions, 'mode'> & Partial<LaunchOptions>) => readonly string[],
    snapshot: Snapshot,
  ) => void,
): Promise<void> {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, blocks);
  body((options) => launchArgumentsFor(snapshot, { mode: 'instant', ...options }).args, snapshot);
}

function words(text: string): readonly string[] {
  return text.split(' ');
}

function offsetOf(snapshot: Snapshot, id: string): number {
  return snapshot.completeRam().blocks.find((block) => block.id === id)?.area.pagesOffset ?? NaN;
}

test('a plain command line gets the memory under its own name', async (t) => {
  await withSnapshot(ONE, (launch, snapshot) => {
    const object = `memory-backend-file,id=pc.ram,size=${SIZE},mem-path=${snapshot.path},offset=${offsetOf(snapshot, 'pc.ram')},share=off,readonly=on,rom=off`;
    t.deepEqual(
      launch({ args: words('-machine q35 -m 2M -S') }),
      words(`-machine q35 -m 2M -S -object ${object} -machine memory-backend=pc.ram -incoming defer`),
    );
  });
});

test('a guest larger than the host is mapped without a reservation', async (t) => {
  await using dir = await temporaryDirectory();
  for (const [length, isLarge] of [
    [2 ** 30, false],
    [2 ** 30 * Math.ceil(totalmem() / 2 ** 29), true],
  ] as const) {
    const path = dir.file(`sparse-${length}`);
    await writeSparseSnapshot(path, length);
    await using snapshot = await Snapshot.open(path);
    const { args } = launchArgumentsFor(snapshot, { mode: 'instant', args: [] });
    const policy = overcommitPolicy();
    const isUnreserved = isLarge && policy !== 'strict';
    t.is(args.join(' ').includes(',rom=off,reserve=off'), isUnreserved, `${length}, ${policy}`);
    const [block] = snapshot.completeRam().blocks;
    if (block === undefined) throw new Error('no block');
    const added = { block, id: 'm', own: undefined, isDefault: false };
    const place = { memory: undefined, file: undefined, snapshotFile: path };
    const object = modeOf('eager').memoryObject(added, place);
    t.is(object?.members.length, isUnreserved ? 1 : 0);
  }
});

test('what is missing is added: machine type, size, -incoming', async (t) => {
  await withSnapshot(ONE, (launch) => {
    const args = launch({ args: [] });
    t.deepEqual(args.slice(0, 4), ['-machine', 'pc-q35-10.0', '-m', `${SIZE}B`]);
    t.deepEqual(args.slice(-4), ['-machine', 'memory-backend=pc.ram', '-incoming', 'defer']);
    t.deepEqual(
      launch({ args: ['-incoming', 'defer'] }).filter((word) => word === '-incoming'),
      ['-incoming'],
    );
  });
});

test('the caller’s own memory objects are replaced where they stand, NUMA nodes keep theirs', async (t) => {
  await withSnapshot(TWO, (launch) => {
    const own = [
      'memory-backend-ram,id=m0,size=2M,policy=bind,host-nodes=0,prealloc=on',
      '{"qom-type":"memory-backend-memfd","id":"m1","size":2097152,"policy":"bind","host-nodes":[0,1]}',
      'iothread,id=io',
    ].flatMap((object) => ['-object', object]);
    own.push(...words('-numa node,memdev=m0 -numa node,memdev=m1 -m 4M'));
    const args = launch({ args: own });
    t.regex(args[1] ?? '', /^memory-backend-file,id=m0,.*readonly=on,rom=off,policy=bind,host-nodes=0$/);
    t.like(JSON.parse(args[3] ?? ''), {
      'qom-type': 'memory-backend-file',
      id: 'm1',
      size: SIZE,
      readonly: true,
      'host-nodes': [0, 1],
    });
    t.deepEqual(args.slice(4, 12), own.slice(4, 12));
    t.false(args.includes('memory-backend=m0'));
  });
});

test('preload maps the files it is given, shared; eager only brings the names that are missing', async (t) => {
  await withSnapshot(TWO, (launch) => {
    const args = ['-numa', 'node,memdev=m0', '-numa', 'node,memdev=m1'];
    const preload = launch({ mode: 'preload', args, files: { m0: '/ram/a,b', m1: '/ram/c' } });
    t.true(preload.includes(`memory-backend-file,id=m0,size=${SIZE},mem-path=/ram/a,,b,share=on`));
    t.true(preload.includes(`memory-backend-file,id=m1,size=${SIZE},mem-path=/ram/c,share=on`));
    t.throws(() => launch({ mode: 'preload', args }), { message: /where the memory of m0 was loaded to/ });
    const eager = launch({ mode: 'eager', args });
    t.true(eager.includes(`memory-backend-ram,id=m0,size=${SIZE}`));
  });
  await withSnapshot(ONE, (launch) => {
    const args = ['-machine', 'q35', '-m', '2M'];
    t.deepEqual(launch({ mode: 'eager', args }), [...args, '-incoming', 'defer']);
  });
});

test('all that does not go together is named at once', async (t) => {
  await withSnapshot(ONE, (launch) => {
    const args = words(
      '-m 3M -mem-path /ram -mem-prealloc -overcommit mem-lock=on -incoming tcp:0:1 -preconfig -loadvm x ' +
        '-device vhost-user-fs-pci,tag=x -device {"driver":"virtio-mem-pci"} -netdev vhost-user,id=n',
    );
    const error = t.throws(() => launch({ args }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
    for (const reason of [
      /-m is 3 MiB, but the snapshot's memory \(pc\.ram\) is 2 MiB/,
      /-mem-path/,
      /-mem-prealloc/,
      /mem-lock=on/,
      /-incoming tcp:0:1/,
      /vhost-user-fs-pci needs shared memory/,
      /vhost-user needs shared memory/,
      /virtio-mem-pci gives memory back/,
      /-preconfig/,
      /-loadvm/,
    ]) {
      t.regex(error.message, reason);
    }
  });
});

test('names and sizes that differ are refused', async (t) => {
  await withSnapshot(ONE, (launch) => {
    t.throws(() => launch({ args: ['-machine', 'q35,memory-backend=mem'] }), {
      message: /the command line's memory is called mem, the snapshot's pc\.ram/,
    });
    t.throws(() => launch({ args: ['-object', 'memory-backend-ram,id=pc.ram,size=1M'] }), {
      message: /-object pc\.ram is 1 MiB, but the snapshot's block is 2 MiB/,
    });
    t.throws(() => launch({ args: ['-m', 'much'] }), { message: /-m much/ });
    t.notThrows(() => launch({ args: ['-m', 'size=2M,slots=2,maxmem=1G'] }));
    t.notThrows(() => launch({ args: ['-m', '2'] }));
  });
  await withSnapshot(TWO, (launch) => {
    t.throws(() => launch({ args: ['-m', '4M'] }), { message: /several blocks of memory \(m0, m1\)/ });
  });
  await withSnapshot([FIRMWARE], (launch) => {
    t.throws(() => launch({ args: [] }), { message: /use mode eager/ });
  });
});

const DEVICES: readonly SyntheticBlock[] = [
  { id: 'tpm-crb-cmd', pages: 1 },
  { id: 'buffer-of-next-year', pages: 3 },
  { id: 'vga.vram', pages: PAGES },
  { id: '0000:00:03.0/iv0', pages: PAGES },
];

test('blocks of devices disturb nobody, whatever the command line says of the memory', async (t) => {
  for (const id of ['pc.ram', 'ram0', '/objects/ram0']) {
    await withSnapshot([{ id, pages: PAGES }, ...DEVICES, FIRMWARE], (launch) => {
      for (const args of [[], ['-m', '2M']]) {
        const instant = launch({ args });
        const name = id.replace('/objects/', '');
        t.true(instant.includes(`memory-backend=${name}`), instant.join(' '));
        t.is(instant.filter((word) => word.startsWith('memory-backend-file')).length, 1);
        const eager = launch({ mode: 'eager', args });
        t.is(eager.includes(`memory-backend=${name}`), id !== 'pc.ram', eager.join(' '));
      }
    });
  }
});

test('eager does not ask what instant has to know', async (t) => {
  await withSnapshot(TWO, (launch) => {
    t.notThrows(() => launch({ mode: 'eager', args: ['-m', '4M'] }));
    t.throws(() => launch({ args: [] }), {
      message: /\(m0, m1\): say with -m SIZE, -machine memory-backend=… or -numa node,memdev=…/,
    });
  });
});

test("an object that no option names is the memory's, when the machine has none of its own", async (t) => {
  await withSnapshot([{ id: 'm0', pages: PAGES }, FIRMWARE], (launch) => {
    const args = words('-object memory-backend-ram,id=m0,size=2M');
    for (const mode of ['instant', 'eager'] as const) {
      t.true(launch({ mode, args }).includes('memory-backend=m0'), mode);
    }
  });
});

test("objects of devices stay the caller's; a pc-dimm's and read-only ones do not", async (t) => {
  const blocks = [...ONE, { id: 'd0', pages: PAGES }];
  const object = `memory-backend-file,id=d0,size=2M,mem-path=/file,share=on`;
  await withSnapshot(blocks, (launch) => {
    const withObject = (device: string, more = ''): readonly string[] => [
      '-object',
      object + more,
      '-device',
      device,
    ];
    for (const device of ['nvdimm', 'acpi-erst', 'virtio-pmem-pci', 'a-device-of-next-year']) {
      t.is(launch({ args: withObject(`${device},memdev=d0`) })[1], object, device);
      t.is(launch({ args: withObject(`{"driver":"${device}","memdev":"d0"}`) })[1], object, device);
      t.regex(
        launch({ args: withObject(`${device},memdev=d0`, ',readonly=on') })[1] ?? '',
        /rom=off/,
        device,
      );
    }
    t.regex(launch({ args: withObject('pc-dimm,memdev=d0') })[1] ?? '', /readonly=on,rom=off$/);
    t.is(launch({ args: withObject('virtio-rng-pci') })[1], object);
    t.throws(() => launch({ args: withObject('nvdimm,memdev=d0').map((word) => word.replace('2M', '1M')) }), {
      message: /-object d0 is 1 MiB/,
    });
  });
});
