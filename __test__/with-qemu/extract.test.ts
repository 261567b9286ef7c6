import { open, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { extract } from '../../ts/index.ts';
import { saveTo } from '../support/plain-migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { covered, memoryAt, readCore } from '../support/core-file.ts';
import { gdb, hasGdb } from '../support/gdb.ts';
import { LONG_MODE_REGISTERS, longModeDisk } from '../support/long-mode-guest.ts';
import { aarch64Test, QEMU_AARCH64_BINARY, QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { startGuest, type GuestSetup } from '../support/qemu.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const EM_386 = 3;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** Compares QEMU's own core file with the one that `extract` makes of a snapshot of the same stopped guest. */
async function compareCores(
  t: ExecutionContext,
  qmp: QmpClient,
  dir: TemporaryDirectory,
  machine: number,
  expectedCpus = 1,
): Promise<void> {
  const [snapshot, theirs, ours] = [dir.file('guest.mr'), dir.file('qemu.elf'), dir.file('ours.elf')];
  await qmp.execute(
    'dump-guest-memory',
    { paging: false, protocol: `file:${theirs}` },
    { timeoutMs: 120_000 },
  );
  await saveTo(qmp, `file:${snapshot}`);
  const result = await extract(snapshot, ours, { format: 'elf' });
  await using left = await open(theirs);
  await using right = await open(ours);
  const [expected, found] = [await readCore(left), await readCore(right)];
  t.is(expected.machine, machine);
  t.is(found.machine, machine);
  t.is(found.notes.toString('hex'), expected.notes.toString('hex'));
  t.deepEqual(covered(found.loads), covered(expected.loads));
  let compared = 0;
  for (const { address, length } of found.loads) {
    for (let done = 0; done < length; done += MIB) {
      const count = Math.min(MIB, length - done);
      const bytes = await memoryAt(right, found, address + done, count);
      const same = bytes.equals(await memoryAt(left, expected, address + done, count));
      if (!same) t.fail(`memory differs between ${address + done} and ${address + done + count}`);
      compared += count;
    }
  }
  t.log(`${compared / MIB} MiB, notes of ${result.cpus} CPUs: ${found.notes.length} bytes`);
  t.is(result.cpus, expectedCpus);
  if (!hasGdb()) return;
  const places = found.loads.map(({ address }) => `x/64xb ${address}`);
  const commands = ['info threads', 'thread apply all info registers', ...places];
  const text = gdb(ours, commands);
  t.is(text, gdb(theirs, commands));
  // A gdb that knows only its own architecture takes only memory from a core file of ARM.
  t.regex(text, machine === EM_AARCH64 ? /^0x40000000:\t/m : /^[er]ax +0x/m);
}

const SETUPS: readonly { readonly title: string; readonly setup: GuestSetup }[] = [
  {
    title: 'q35 with a VGA device and two CPUs',
    setup: { extraArgs: ['-device', 'VGA,vgamem_mb=4', '-smp', '2'] },
  },
  { title: 'i440fx with two NUMA blocks', setup: { machine: 'pc', numa: true } },
  { title: 'q35 whose RAM has a hole', setup: { machine: 'q35,max-ram-below-4g=64M' } },
  {
    title: 'i440fx with two NUMA blocks, a hole, a VGA device',
    setup: { machine: 'pc,max-ram-below-4g=96M', numa: true, extraArgs: ['-device', 'VGA,vgamem_mb=4'] },
  },
  { title: 'microvm', setup: { machine: 'microvm,acpi=on' } },
];

for (const { title, setup } of SETUPS) {
  qemuTest(`a core file is what QEMU's dump-guest-memory writes: ${title}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    await guest.stop();
    await compareCores(t, guest.qmp, dir, EM_386, setup.extraArgs?.includes('-smp') === true ? 2 : 1);
  });
}

async function startQemu(args: readonly string[], binary = QEMU_BINARY): Promise<QemuProcess> {
  const bare = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg'];
  return QemuProcess.start({ binary, args: [...bare, ...args] });
}

qemuTest('a core file is what QEMU writes: a guest in long mode', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('boot.img'), longModeDisk());
  const disk = ['-drive', `if=ide,format=raw,file=${dir.file('boot.img')}`];
  const debugcon = ['-debugcon', `file:${dir.file('debugcon')}`];
  await using qemu = await startQemu(['-machine', 'q35', '-m', '64M', '-vga', 'none', ...disk, ...debugcon]);
  for (let tries = 0; (await readFile(dir.file('debugcon'))).length === 0; tries += 1) {
    if (tries > 600) t.fail('the guest does not come to long mode');
    await delay(50);
  }
  await qemu.qmp.execute('stop');
  await compareCores(t, qemu.qmp, dir, EM_X86_64);
  if (!hasGdb()) return;
  const text = gdb(dir.file('ours.elf'), ['info registers']);
  const { rax, r15, rsp } = LONG_MODE_REGISTERS;
  for (const [name, value] of Object.entries({ rax, r15, rsp })) {
    t.regex(text, new RegExp(`^${name} +0x${value.toString(16)} `, 'm'));
  }
});

qemuTest('a core file is what QEMU writes: a machine that was never started', async (t) => {
  await using files = await temporaryDirectory();
  const flash = files.file('flash');
  await writeFile(flash, Buffer.alloc(512 * 1024, 'flash'));
  // QEMU would write ELF32 for a guest with neither RAM above 4 GiB nor firmware at the end of 4 GiB.
  const drive = ['-drive', `if=pflash,format=raw,readonly=on,file=${flash}`];
  for (const args of [
    ['-machine', 'q35'],
    ['-machine', 'pc'],
    ['-machine', 'q35,max-ram-below-4g=32M', ...drive],
  ]) {
    await using dir = await temporaryDirectory();
    await using qemu = await startQemu(['-S', ...args, '-m', '64M', '-device', 'VGA,vgamem_mb=4']);
    await compareCores(t, qemu.qmp, dir, EM_386);
  }
});

/** Code that sets registers, FPCR and FPSR and then loops. `orr` may add the bit FIZ of FPCR, which FPSCR lacks. */
function armCode(isFiz: boolean): Buffer {
  const code = [
    ['movz x0, #0x30, lsl 16', 0xd2a00600],
    ['msr cpacr_el1, x0', 0xd5181040],
    ['isb', 0xd5033fdf],
    ['fmov d0, #1.0', 0x1e6e1000],
    ['fmov d31, #1.0', 0x1e6e101f],
    ['movz x1, #0x1234', 0xd2824681],
    ['mov sp, x1', 0x9100003f],
    ['movz x2, #0xc0, lsl 16', 0xd2a01802],
    ...(isFiz ? [['orr x2, x2, #1', 0xb2400042] as const] : []),
    ['msr fpcr, x2', 0xd51b4402],
    ['movz x3, #0x800, lsl 16', 0xd2a10003],
    ['msr fpsr, x3', 0xd51b4423],
    ['b .', 0x14000000],
  ] as const;
  return Buffer.concat(code.map(([, word]) => Buffer.from(Uint32Array.of(word).buffer)));
}

for (const [cpu, isFiz] of [
  ['cortex-a57', false],
  ['max,sve=off,sme=off', true],
] as const) {
  aarch64Test(`a core file is what QEMU writes: virt of ARM with the CPU ${cpu}`, async (t) => {
    await using dir = await temporaryDirectory();
    const code = dir.file('code');
    await writeFile(code, armCode(isFiz));
    const machine = ['-machine', 'virt', '-cpu', cpu, '-smp', '2', '-m', '64M'];
    const loader = ['-device', `loader,file=${code},addr=0x41000000,cpu-num=0`];
    await using qemu = await startQemu([...machine, ...loader], QEMU_AARCH64_BINARY);
    for (let tries = 0; !(await registersOf(qemu.qmp)).includes('FPSR=08000000'); tries += 1) {
      if (tries > 600) t.fail('the guest does not run');
      await delay(50);
    }
    await qemu.qmp.execute('stop');
    await compareCores(t, qemu.qmp, dir, EM_AARCH64, 2);
  });
}

async function registersOf(qmp: QmpClient): Promise<string> {
  return qmp.execute('human-monitor-command', { 'command-line': 'info registers' });
}
