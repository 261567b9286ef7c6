import { open } from 'node:fs/promises';

import { extract } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { readCore } from '../support/core-file.ts';
import { type FwCfgPlace, PC_FW_CFG, VIRT_FW_CFG, writeFwCfg } from '../support/fw-cfg.ts';
import { saveTo } from '../support/plain-migration.ts';
import { aarch64Test, QEMU_AARCH64_BINARY, QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { Qtest } from '../support/qtest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const TEXT = 'OSRELEASE=6.1.0-test\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff82a0c000\n';

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

/** An ELF note, with its lengths as the guest says them. */
function noteOf(name: string, text: string, lengths: { name?: number; text?: number } = {}): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(lengths.name ?? name.length + 1, 0);
  header.writeUInt32LE(lengths.text ?? text.length, 4);
  return Buffer.concat([header, pad(Buffer.from(`${name}\0`)), pad(Buffer.from(text))]);
}

interface Told {
  readonly format?: number;
  readonly size?: number;
  readonly address?: number;
  readonly note?: Buffer;
}

/** The notes of QEMU's dump and of ours, when the guest has told QEMU of a note. Nothing is told when undefined. */
async function notesOf(
  qemuArgs: readonly string[],
  place: FwCfgPlace,
  told: Told | undefined,
): Promise<{ theirs: string; ours: string; assumptions: readonly string[] }> {
  await using dir = await temporaryDirectory();
  const [binary = '', ...machine] = qemuArgs;
  const args = ['-nodefaults', '-display', 'none', '-accel', 'tcg', '-m', '64M', '-S', ...machine];
  const qtestArgs = ['-qtest', `unix:${dir.file('qtest')},server=on,wait=off`, '-qtest-log', 'none'];
  await using qemu = await QemuProcess.start({ binary, args: [...args, ...qtestArgs] });
  if (told !== undefined) {
    await using qtest = await Qtest.connect(dir.file('qtest'));
    const { format = 1, note = noteOf('VMCOREINFO', TEXT), address = place.scratch + 0x1_2340 } = told;
    if (told.address === undefined) await qtest.write(address, note);
    const content = Buffer.alloc(16);
    content.writeUInt16LE(format, 2);
    content.writeUInt32LE(told.size ?? note.length, 4);
    content.writeBigUInt64LE(BigInt(address), 8);
    await writeFwCfg(qtest, place, 'etc/vmcoreinfo', content);
  }
  const protocol = `file:${dir.file('theirs')}`;
  await qemu.qmp.execute('dump-guest-memory', { paging: false, protocol }, { timeoutMs: 60_000 });
  await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
  const { assumptions } = await extract(dir.file('guest.mr'), dir.file('ours'), { format: 'elf' });
  await using left = await open(dir.file('theirs'));
  await using right = await open(dir.file('ours'));
  const [theirs, ours] = [await readCore(left), await readCore(right)];
  return { theirs: theirs.notes.toString('latin1'), ours: ours.notes.toString('latin1'), assumptions };
}

const PC = [QEMU_BINARY, '-machine', 'q35', '-vga', 'none', '-device', 'vmcoreinfo'];
const VIRT = [QEMU_AARCH64_BINARY, '-machine', 'virt', '-cpu', 'cortex-a57', '-device', 'vmcoreinfo'];

qemuTest("a core file has the guest's own note, as QEMU's has it", async (t) => {
  for (const note of [
    noteOf('VMCOREINFO', TEXT),
    // Bytes behind the note are not taken, and a name of any length is.
    Buffer.concat([noteOf('VMCOREINFO', TEXT), Buffer.from('behind the note!')]),
    noteOf('', 'x'),
    noteOf('ANOTHER', 'y'.repeat(70_000)),
  ]) {
    const { theirs, ours, assumptions } = await notesOf(PC, PC_FW_CFG, { note });
    t.true(theirs === ours, note.toString('latin1', 12, 40));
    t.true(ours.includes(note.toString('latin1', 0, 24)));
    t.deepEqual(
      assumptions.filter((words) => words.includes('note')),
      [],
    );
  }
});

aarch64Test("a core file of ARM has the guest's own note, too", async (t) => {
  const { theirs, ours } = await notesOf(VIRT, VIRT_FW_CFG, {});
  t.is(theirs, ours);
  t.true(ours.includes(TEXT));
});

qemuTest('a note that QEMU would not take is left out, and the result says why', async (t) => {
  for (const [told, words] of [
    [{ format: 2 }, /format 2 is not ELF's/],
    [{ size: 11 }, /it cannot have 11 bytes/],
    [{ size: (1 << 20) + 1 }, /it cannot have 1048577 bytes/],
    [
      { note: noteOf('VMCOREINFO', TEXT, { text: 5000 }) },
      /its header speaks of 5024 bytes, the guest of \d+/,
    ],
    [{ note: noteOf('VMCOREINFO', TEXT, { name: 0xffff_fffe }) }, /its header speaks of/],
  ] as const) {
    const { theirs, ours, assumptions } = await notesOf(PC, PC_FW_CFG, told);
    t.is(theirs, ours);
    t.false(ours.includes('OSRELEASE'));
    const why = assumptions.find((assumption) => assumption.includes('VMCOREINFO'));
    t.regex(why ?? '', words);
  }
});

qemuTest('a guest that has left no note gets none, and nothing is said about it', async (t) => {
  for (const args of [PC, PC.slice(0, -2)]) {
    const { theirs, ours, assumptions } = await notesOf(args, PC_FW_CFG, undefined);
    t.is(theirs, ours);
    t.deepEqual(
      assumptions.filter((words) => words.includes('VMCOREINFO')),
      [],
    );
  }
});

qemuTest('a note where the guest has no memory is left out in words', async (t) => {
  const { ours, assumptions } = await notesOf(PC, PC_FW_CFG, { address: 0x7000_0000_0000 });
  t.false(ours.includes('VMCOREINFO'));
  t.regex(assumptions.join('\n'), /VMCOREINFO\) is left out: .*has no memory at guest-physical address/);
});
