import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { QEMU_MISSING, qemuTest } from './qemu-required.ts';

/** The folder that `scripts/unpack-qemus.sh DIR linux` makes. */
const DIRECTORY = join(process.env['MAPPED_RAM_QEMUS'] ?? '/opt/qemu', 'linux');
const KERNEL = join(DIRECTORY, 'vmlinuz');
export const IS_LINUX_THERE: boolean = existsSync(KERNEL);

/**
 * Two loads, one for each CPU: files in memory whose sums are checked over and over, a line `N1`, `N2`, … each time; and
 * files that are made and deleted all the time, whose copies have to be like them.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmpfs /tmp
/bin/busybox --install -s /bin
i=0
while [ $i -lt 16 ]; do dd if=/dev/urandom of=/tmp/$i bs=64k count=32 2>/dev/null; i=$((i+1)); done
sha256sum /tmp/?? /tmp/? >/tmp/sums || echo BAD
while :; do
  head -c 1000000 /dev/urandom >/tmp/new
  cp /tmp/new /tmp/copy
  cmp /tmp/new /tmp/copy || echo BAD
  rm /tmp/new /tmp/copy
done &
n=0
while :; do
  sha256sum -c -s /tmp/sums || echo BAD
  n=$((n+1))
  echo N$n
done
`;

let skipped = 0;

/** A `qemuTest` that runs a Linux. It is skipped where there is none, which the file says on stderr. */
export function linuxTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (IS_LINUX_THERE || process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1') {
    qemuTest(title, IS_LINUX_THERE ? implementation : (t) => t.fail(WHY));
  } else {
    if (QEMU_MISSING === undefined) skipped += 1;
    test.serial.skip(title, implementation);
  }
}

const WHY = `there is no Linux in ${DIRECTORY}: scripts/install-qemu.sh --all ${join(DIRECTORY, '..')}`;
process.once('exit', () => {
  if (skipped > 0) writeSync(2, `\n*** ${skipped} TESTS OF A LINUX GUEST SKIPPED: ${WHY} ***\n`);
});

/** A Linux with a load. Its QEMUs write what it says into `serial`. */
export class LinuxGuest {
  readonly args: readonly string[];
  readonly #serial: string;

  private constructor(args: readonly string[], serial: string) {
    this.args = args;
    this.#serial = serial;
  }

  /** @param file names the guest's files */
  static async make(file: (name: string) => string): Promise<LinuxGuest> {
    const [initrd, serial] = [file('initrd'), file('serial')];
    await writeFile(initrd, makeInitrd());
    const args = [
      ...'-machine q35 -accel tcg -smp 2 -m 256M -nodefaults -no-user-config -display none'.split(' '),
      ...'-no-reboot -device virtio-net-pci -device virtio-balloon-pci'.split(' '),
      '-serial',
      `file:${serial}`,
      '-kernel',
      KERNEL,
      '-initrd',
      initrd,
      '-append',
      'console=ttyS0 quiet panic=-1',
    ];
    return new LinuxGuest(args, serial);
  }

  /** Forgets what the guest said before. */
  listenAnew(): void {
    writeFileSync(this.#serial, '');
  }

  /**
   * Waits until the guest has counted `more` times.
   * @returns the last number
   * @throws when it found a file wrong, lost count, or does not get on
   */
  async untilCounted(more: number): Promise<number> {
    for (const until = performance.now() + 120_000; performance.now() < until; await delay(50)) {
      const said = readFileSync(this.#serial, 'latin1');
      if (/BAD|differ|panic|Oops|BUG|rcu:/i.test(said)) throw new Error(`the guest says: ${said}`);
      const numbers = [...said.matchAll(/^N(\d+)\r?$/gm)].map(([, number]) => Number(number));
      const [first = 0] = numbers;
      if (numbers.some((number, index) => number !== first + index)) throw new Error(`out of order: ${said}`);
      if (numbers.length >= more) return numbers.at(-1) ?? 0;
    }
    throw new Error(`the guest does not get on: ${readFileSync(this.#serial, 'latin1').slice(-500)}`);
  }
}

/** An archive of the guest's files, of the kind that a kernel takes (cpio, `newc`). */
function makeInitrd(): Buffer {
  const busybox = readFileSync(join(DIRECTORY, 'busybox'));
  const folders = ['bin', 'proc', 'dev', 'tmp'].map((name) => entry(name, 0o040755));
  const files = [entry('bin/busybox', 0o100755, busybox), entry('init', 0o100755, Buffer.from(INIT))];
  return Buffer.concat([...folders, ...files, entry('TRAILER!!!', 0)]);
}

function entry(name: string, mode: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([padded(Buffer.from(head)), padded(data)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
