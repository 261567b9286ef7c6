import { writeFile } from 'node:fs/promises';

import { launchArguments } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { parseCommandLine } from '../../ts/restore/command-line/options.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import type { GuestSetup } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const NUMA = `# Memory in two nodes
[memory]
  size = "128M"

[object "m0"]
  qom-type = "memory-backend-memfd"
  size = "64M"
  share = "on"
[object "m1"]
  qom-type = "memory-backend-ram"
  size = "64M"

[numa]
  type = "node"
  memdev = "m0"
[numa]
  type = "node"
  memdev = "m1"

[device "card"]
  driver = "virtio-rng-pci"
  addr = "0x9"
`;

const ONE = `[machine]
  memory-backend = "m0"
[object "m0"]
  qom-type = "memory-backend-ram"
  size = "128M"
`;

const PLAIN = `[memory]
  size = "128M"
[smp-opts]
  cpus = "1"
`;

/** A setup whose memory is described in a file alone. */
function describedIn(path: string, memoryBlocks: readonly string[], numa = false): GuestSetup {
  const region = numa ? { start: 48 << 20, length: 32 << 20 } : {};
  return { memoryArgs: ['-readconfig', path], memoryBlocks, region };
}

for (const [title, text, blocks] of [
  ['two NUMA nodes', NUMA, ['m0', 'm1']],
  ['one memory backend', ONE, ['m0']],
  ['no memory backend', PLAIN, ['pc.ram']],
] as const) {
  qemuTest(
    `a guest whose memory is in a file of -readconfig is restored in every mode: ${title}`,
    async (t) => {
      await using dir = await temporaryDirectory();
      await writeFile(dir.file('vm.conf'), text);
      const setup = describedIn(dir.file('vm.conf'), blocks, blocks.length === 2);
      await saveGuest(setup, dir.file('guest.mr'));
      for (const mode of MODE_NAMES) {
        const wanted = { ...setup, memoryBlocks: blocks.map((id) => (id === 'pc.ram' ? 'pc.ram' : id)) };
        await using guest = await restoreGuest(dir.file('guest.mr'), wanted, { mode });
        await guest.assertAlive();
        t.is(guest.restored.mode, mode);
      }
    },
  );
}

qemuTest('the network that QEMU adds beside that of a file is there in every mode', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('vm.conf'), `${ONE}[netdev "n0"]\n  type = "user"\n`);
  const setup = { ...describedIn(dir.file('vm.conf'), ['m0']), defaults: true };
  await saveGuest(setup, dir.file('guest.mr'));
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(dir.file('guest.mr'), setup, { mode });
    await guest.assertAlive();
    t.is(guest.restored.mode, mode);
  }
});

qemuTest(
  'a file stays where none of its objects is replaced, and is refused where one cannot be',
  async (t) => {
    await using dir = await temporaryDirectory();
    const [path, odd, snapshot] = [dir.file('vm.conf'), dir.file('odd.conf'), dir.file('guest.mr')];
    await writeFile(path, ONE);
    await writeFile(
      odd,
      `${ONE}[chardev "c"]\n  backend = "null"\n[iscsi]\n  timeout = "5"\n[smbios]\n  type = "1"\n`,
    );
    await saveGuest(describedIn(path, ['m0']), snapshot);
    const args = ['-machine', 'q35', '-readconfig', path, '-nodefaults'];
    const eager = await launchArguments(snapshot, { mode: 'eager', args });
    t.deepEqual(eager.args.slice(0, args.length), args);
    const instant = await launchArguments(snapshot, { mode: 'instant', args });
    t.false(instant.args.includes('-readconfig'));
    t.true(instant.args.some((word) => word.includes('memory-backend-file') && word.includes('id=m0')));
    const refused = launchArguments(snapshot, {
      mode: 'instant',
      args: ['-machine', 'q35', '-readconfig', odd],
    });
    await t.throwsAsync(refused, {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message:
        /-readconfig .*odd\.conf: memory object m0 may have to be replaced: move it .* the sections iscsi, smbios of/,
    });
  },
);

/** A section of every kind that can be tried without a host's resources. */
const MANY = `[machine]
  type = "q35"
  accel = "tcg"
[name]
  guest = "a guest, with a comma"
[memory]
  size = "64M"
  slots = "2"
  maxmem = "256M"
[smp-opts]
  cpus = "2"
  sockets = "2"
[boot-opts]
  menu = "on"
[rtc]
  base = "utc"
[overcommit]
  mem-lock = "off"
[global]
  driver = "e1000"
  property = "romsize"
  value = "524288"
[chardev "c0"]
  backend = "null"
[mon "m0"]
  chardev = "c0"
  mode = "readline"
[drive "d0"]
  if = "none"
  file = "/dev/null"
  format = "raw"
  readonly = "on"
[netdev "n0"]
  type = "user"
[device "nic"]
  driver = "e1000"
  netdev = "n0"
  addr = "5"
[object "rng0"]
  qom-type = "rng-builtin"
[device]
  driver = "virtio-rng-pci"
  rng = "rng0"
[fw_cfg]
  name = "opt/test/x"
  string = "a,b"
[object "more"]
  qom-type = "memory-backend-ram"
  size = "16M"
[device "dimm"]
  driver = "pc-dimm"
  memdev = "more"
`;

qemuTest('QEMU makes the same machine of a file as of the options that stand for it', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('vm.conf'), MANY);
  const file = ['-readconfig', dir.file('vm.conf')];
  const options = parseCommandLine(file).flatMap(({ words }) => words);
  t.is(options.length, 2 * (MANY.match(/^\[/gm)?.length ?? 0));
  const seen: unknown[] = [];
  for (const args of [file, options]) {
    const bare = ['-nodefaults', '-display', 'none', '-S'];
    await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...bare, ...args] });
    const ask = (line: string): Promise<unknown> =>
      qemu.qmp.execute<string>('human-monitor-command', { 'command-line': line });
    const tree = String(await ask('info qtree')).replaceAll(/mac = "[^"]*"/g, '');
    const memory = String(await ask('info ramblock')).replaceAll(/0x[0-9a-f]{12,}\s+r[ow]$/gm, '');
    const disks = String(await ask('info block')).replaceAll(/#block\d+/g, '');
    seen.push([tree, memory, await ask('info name'), await ask('info memory-devices'), disks]);
  }
  t.deepEqual(seen[0], seen[1]);
  t.regex(String(seen[0]), /a guest, with a comma/);
  t.regex(String(seen[0]), /romsize = 524288/);
});
