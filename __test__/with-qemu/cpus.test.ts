import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { save, Snapshot, type X86Cpu } from '../../ts/index.ts';
import { saveTo } from '../support/plain-migration.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { LONG_MODE_MSRS, LONG_MODE_REGISTERS, longModeDisk } from '../support/long-mode-guest.ts';
import { startGuest } from '../support/qemu.ts';
import {
  aarch64Test,
  i386Test,
  QEMU_AARCH64_BINARY,
  QEMU_BINARY,
  QEMU_I386_BINARY,
  qemuTest,
} from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { asInfoRegisters, parseInfoRegisters, type Registers } from './info-registers.ts';

const BARE = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-m', '64'];

/** A save by QEMU in one of its forms, or the guest taken out of QEMU's process. */
type Form = 'mapped-ram' | 'plain' | 'capture';

/** Stops the guest and compares its CPUs with the monitor's word. @returns the CPUs */
async function assertCpus(
  t: ExecutionContext,
  qmp: QmpClient,
  path: string,
  form: Form,
): Promise<readonly X86Cpu[]> {
  await qmp.execute('stop');
  const text = await qmp.execute('human-monitor-command', { 'command-line': 'info registers -a' });
  const shown = parseInfoRegisters(text);
  if (form === 'capture') t.is((await save(qmp, path)).capture?.form, 'whole');
  else await saveTo(qmp, `file:${path}`, { mappedRam: form === 'mapped-ram' });
  await using snapshot = await Snapshot.open(path);
  const cpus = await snapshot.cpus();
  t.is(cpus.length, shown.length);
  for (const [index, cpu] of cpus.entries()) {
    t.is(cpu.index, index);
    const theirs: Registers = shown[index] ?? new Map();
    for (const [name, value] of asInfoRegisters(cpu, theirs)) {
      const expected: string | undefined = theirs.get(name);
      t.true(value === expected, `${name} of CPU ${index} is ${value}, info registers says ${expected}`);
    }
  }
  return cpus;
}

for (const machine of ['q35', 'pc', 'microvm']) {
  for (const form of ['mapped-ram', 'plain', 'capture'] as const) {
    qemuTest(
      `the registers of a ${machine} with 3 CPUs after its reset equal info registers: ${form}`,
      async (t) => {
        await using dir = await temporaryDirectory();
        const args = [...BARE, '-S', '-machine', machine, '-smp', '3'];
        await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
        const cpus = await assertCpus(t, qemu.qmp, dir.file('saved'), form);
        t.deepEqual(
          cpus.map(({ rip, cs, halted }) => [rip, cs.selector, cs.base, halted]),
          [
            [0xfff0n, 0xf000, 0xffff_0000n, false],
            [0xfff0n, 0xf000, 0xffff_0000n, true],
            [0xfff0n, 0xf000, 0xffff_0000n, true],
          ],
        );
      },
    );
  }
}

qemuTest(
  'the registers of a running guest in protected mode equal info registers once it is stopped',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest({ memoryMiB: 64, region: { start: 16 << 20, length: 1 << 20 } });
    for (let round = 0; round < 3; round += 1) {
      await guest.waitForGenerations(1);
      const form = round === 0 ? 'mapped-ram' : 'capture';
      const [cpu] = await assertCpus(t, guest.qmp, dir.file(`saved${round}`), form);
      t.is((cpu?.cr0 ?? 0n) & 1n, 1n);
      t.is(cpu?.hflags === undefined ? undefined : cpu.hflags & (1 << 14), 0);
      await guest.cont();
    }
  },
);

qemuTest('the registers of a guest in long mode are all where they belong', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('disk'), longModeDisk());
  const args = [...BARE, '-machine', 'q35', '-smp', '2', '-cpu', 'max'].concat(
    ['-drive', `if=ide,format=raw,file=${dir.file('disk')}`],
    ['-debugcon', `file:${dir.file('debugcon')}`],
  );
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  const last = Number(LONG_MODE_REGISTERS.rax & 0xffn);
  const deadline = Date.now() + 60_000;
  while (!(await readFile(dir.file('debugcon'))).includes(last)) {
    t.true(Date.now() < deadline, 'the guest does not get into long mode');
    await delay(20);
  }
  const [cpu, second] = await assertCpus(t, qemu.qmp, dir.file('saved'), 'mapped-ram');
  const { cr2, dr0, ...general } = LONG_MODE_REGISTERS;
  t.like(cpu, { ...general, cr2, halted: false, cr0: 0x8000_0011n, cr3: 0x1000n, cr4: 0x20n, efer: 0xd01n });
  t.is(cpu?.dr[0], dr0);
  const { fsBase, gsBase, kernelGsBase, lstar } = LONG_MODE_MSRS;
  t.like(cpu, { kernelGsBase, lstar, fs: { base: fsBase }, gs: { base: gsBase } });
  t.like(cpu, {
    cs: { selector: 8 },
    ss: { selector: 0x10 },
    tr: { selector: 0x18, base: 0x6000n, limit: 0x67 },
  });
  t.like(cpu, { gdt: { limit: 0x27 }, idt: { base: 0x5000n, limit: 0x7ff } });
  // Long mode is active, and the code segment is 64-bit.
  t.is((cpu?.hflags ?? 0) & 0xc003, 0xc000);
  t.true(second?.halted);
  await qemu.qmp.execute('cont');
  t.like((await assertCpus(t, qemu.qmp, dir.file('taken'), 'capture'))[0], { cr3: 0x1000n, efer: 0xd01n });
});

i386Test('a CPU without a 64-bit mode has the registers that it has', async (t) => {
  await using dir = await temporaryDirectory();
  const args = [...BARE, '-S', '-machine', 'pc', '-smp', '2'];
  await using qemu = await QemuProcess.start({ binary: QEMU_I386_BINARY, args });
  const [cpu] = await assertCpus(t, qemu.qmp, dir.file('saved'), 'mapped-ram');
  t.like(cpu, { rip: 0xfff0n, r8: 0n, r15: 0n, efer: 0n, kernelGsBase: 0n, pat: 0x0007_0406_0007_0406n });
});

aarch64Test('the registers of CPUs that are not x86 are refused', async (t) => {
  await using dir = await temporaryDirectory();
  const args = [...BARE, '-S', '-machine', 'virt', '-cpu', 'cortex-a57'];
  await using qemu = await QemuProcess.start({ binary: QEMU_AARCH64_BINARY, args });
  await saveTo(qemu.qmp, `file:${dir.file('saved')}`, {});
  await using snapshot = await Snapshot.open(dir.file('saved'));
  await t.throwsAsync(snapshot.cpus(), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});
