import { mkdir, truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { Snapshot } from '../../ts/index.ts';
import { saveTo } from '../support/plain-migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { startSwtpm } from '../support/swtpm.ts';
import {
  aarch64Test,
  QEMU_AARCH64_BINARY,
  QEMU_BINARY,
  QEMU_VERSION,
  qemuTest,
  tpmTest,
} from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { reencode } from '../stream/devices/reencode.ts';
import { AARCH64_SETUPS, X86_SETUPS, type DeviceSetup } from './devices-setups.ts';

const MIB = 1024 * 1024;
const FORMS = ['mapped-ram', 'plain'] as const;

for (const form of FORMS) {
  for (const setup of X86_SETUPS) {
    qemuTest(`${setup.title}: every device of the ${form} file is decoded to its last byte`, (t) =>
      assertDecoded(t, QEMU_BINARY, setup, form === 'mapped-ram'),
    );
  }
  for (const setup of AARCH64_SETUPS) {
    aarch64Test(`${setup.title}: every device of the ${form} file is decoded to its last byte`, (t) =>
      assertDecoded(t, QEMU_AARCH64_BINARY, setup, form === 'mapped-ram'),
    );
  }
}

aarch64Test('an aarch64 guest says how large its pages are', async (t) => {
  await using dir = await temporaryDirectory();
  const setup = { title: '', args: ['-machine', 'virt'], devices: [] };
  await save(dir, QEMU_AARCH64_BINARY, setup, true, 'saved');
  await using snapshot = await Snapshot.open(dir.file('saved'));
  t.is(snapshot.index.configuration.targetPageBits, 12);
  t.is(snapshot.index.ram?.targetPageSize, 4096);
});

tpmTest('a TPM is decoded to its last byte', async (t) => {
  await using dir = await temporaryDirectory();
  await mkdir(dir.file('tpm'));
  await using tpm = await startSwtpm(dir.file('tpm'));
  const args = ['-machine', 'q35', '-chardev', `socket,id=tpm,path=${tpm.socket}`].concat([
    '-tpmdev',
    'emulator,id=tpm0,chardev=tpm',
    '-device',
    'tpm-crb,tpmdev=tpm0',
  ]);
  const setup = { title: 'a TPM', args, devices: ['tpm-emulator', 'tpm-crb'] };
  await assertDecoded(t, QEMU_BINARY, setup, true);
});

qemuTest('without a vmdescription the same sections are found, by their footers', async (t) => {
  await using dir = await temporaryDirectory();
  const [setup] = X86_SETUPS;
  if (setup === undefined) throw new Error('no setup');
  // QEMU 11 writes the early section of virtio-mem before the RAM, and then nothing tells where the RAM begins.
  const own =
    QEMU_VERSION[0] < 11
      ? setup.args
      : setup.args.filter((arg, at) => !isVirtioMem(arg) && !isVirtioMem(setup.args[at + 1]));
  const args = own.map((arg) => (arg === 'q35' ? 'q35,suppress-vmdesc=on' : arg));
  await save(dir, QEMU_BINARY, { ...setup, args: own }, true, 'described');
  await save(dir, QEMU_BINARY, { ...setup, args }, true, 'suppressed');
  await using described = await Snapshot.open(dir.file('described'));
  await using suppressed = await Snapshot.open(dir.file('suppressed'));
  const { devices } = await described.devices();
  const { devices: none, undescribed, problems } = await suppressed.devices();
  t.deepEqual(none, []);
  const known = ({ name, instanceId, version, size }: (typeof undescribed)[number]): object => ({
    name,
    instanceId,
    version,
    size,
  });
  t.deepEqual(undescribed.map(known), devices.map(known));
  t.deepEqual(
    problems.map(({ code }) => code),
    ['ERR_MAPPED_RAM_INCOMPLETE'],
  );
  await t.throwsAsync(suppressed.cpus(), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
});

qemuTest('values mean what they say', async (t) => {
  await using dir = await temporaryDirectory();
  const args = ['-machine', 'q35', '-smp', '2', '-device', 'virtio-net-pci,mac=52:54:00:11:22:33'].concat([
    '-device',
    'e1000,mac=52:54:00:44:55:66',
    '-device',
    'VGA',
  ]);
  await save(dir, QEMU_BINARY, { title: '', args, devices: [] }, true, 'saved');
  await using snapshot = await Snapshot.open(dir.file('saved'));
  const field = async (device: string, ...path: readonly (string | number)[]): Promise<unknown> => {
    let value: unknown = (await snapshot.devices(device)).devices[0];
    for (const step of path) {
      if (Array.isArray(value)) value = value[Number(step)];
      else if (
        typeof value === 'object' &&
        value !== null &&
        'fields' in value &&
        Array.isArray(value.fields)
      )
        value = value.fields.find(({ name }: { readonly name: string }) => name === step)?.value;
    }
    return value;
  };
  const config = await field('vga', 'dev', 'config[0]');
  t.true(config instanceof Uint8Array);
  t.is(Buffer.from(config instanceof Uint8Array ? config : []).toString('hex', 0, 4), '34121111');
  const low = await field('e1000', 'mac_reg[0]', 0);
  const high = await field('e1000', 'mac_reg[0]', 1);
  t.deepEqual([low, high], [0x44005452, 0x80006655]);
  const runstate = await field('globalstate', 'runstate');
  t.is(Buffer.from(runstate instanceof Uint8Array ? runstate : []).toString('latin1', 0, 10), 'prelaunch\0');
  t.is(await field('cpu_common/1', 'halted'), 1);
  const { devices } = await snapshot.devices('cpu');
  t.deepEqual(
    devices.map(({ instanceId, vmsdName, version }) => [instanceId, vmsdName, version]),
    [
      [0, 'cpu', 12],
      [1, 'cpu', 12],
    ],
  );
});

async function assertDecoded(
  t: ExecutionContext,
  binary: string,
  setup: DeviceSetup,
  mappedRam: boolean,
): Promise<void> {
  await using dir = await temporaryDirectory();
  await save(dir, binary, setup, mappedRam, 'saved');
  await using snapshot = await Snapshot.open(dir.file('saved'));
  const { devices, undescribed, problems } = await snapshot.devices();
  t.deepEqual([undescribed, problems], [[], []]);
  t.is(devices.length, snapshot.index.sections.length);
  for (const device of devices) {
    const { name, instanceId, offset, size, rest } = device;
    t.is(rest, undefined);
    // Decoding lost nothing and made nothing up.
    const bytes = await snapshot.reader.read(offset, size);
    t.is(Buffer.compare(reencode(device), bytes), 0, `${name}/${instanceId}`);
  }
  for (const wanted of setup.devices)
    t.true((await snapshot.devices(wanted)).devices.length > 0, `no device ${wanted}`);
}

/** Saves a guest that never ran. */
async function save(
  dir: TemporaryDirectory,
  binary: string,
  { args }: DeviceSetup,
  mappedRam: boolean,
  name: string,
): Promise<void> {
  for (let index = 0; index < 6; index += 1) await image(dir.file(`disk${index}`), 4 * MIB);
  for (const flash of ['flash0', 'flash1']) await image(dir.file(flash), 64 * MIB);
  const common = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-S', '-m', '64'];
  const own = args.map((arg) => arg.replaceAll('DIR', dir.path));
  await using qemu = await QemuProcess.start({ binary, args: [...common, ...own] });
  await saveTo(qemu.qmp, `file:${dir.file(name)}`, { mappedRam });
  await qemu.quit();
}

function isVirtioMem(arg: string | undefined): boolean {
  return arg?.startsWith('virtio-mem-pci') === true;
}

async function image(path: string, size: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, size);
}
