import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import { checkGuestMemory, type GuestProgress } from '../guest/check-guest-memory.ts';
import type { GuestRegionOptions } from '../guest/guest-region.ts';
import { readGuestStatus, type ReadPhysical } from '../guest/guest-status.ts';
import { QemuProcess } from '../qemu/process/qemu-process.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpObject } from '../qmp/json.ts';
import { readAt } from '../io/fd-io.ts';

const MIB = 1024 * 1024;
/** The block that holds the guest's memory. */
export const GUEST_BLOCK = 'ram0';
const BARE = '-nodefaults -no-user-config -no-reboot -vga none -display none'.split(' ');
const POLL_MS = 20;
const BOOT_MS = 60_000;

export interface DemoGuestOptions {
  readonly binary: string;
  /** The guest's boot disk. */
  readonly disk: string;
  /** The file that is the guest's memory. */
  readonly ram: string;
  readonly size: number;
  /** True to wait for a migration instead of booting. */
  readonly incoming: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The built-in guest in a QEMU of its own, with its memory in a shared file that this process can read. */
export class DemoGuest implements AsyncDisposable {
  readonly #qemu: QemuProcess;
  readonly #ram: FileHandle;
  readonly #options: DemoGuestOptions;

  private constructor(qemu: QemuProcess, ram: FileHandle, options: DemoGuestOptions) {
    this.#qemu = qemu;
    this.#ram = ram;
    this.#options = options;
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU does not start, ERR_MAPPED_RAM_IO */
  static async start(options: DemoGuestOptions): Promise<DemoGuest> {
    const { binary, signal } = options;
    const qemu = await QemuProcess.start({ binary, args: commandLine(options), signal });
    try {
      return new DemoGuest(qemu, await open(options.ram, 'r'), options);
    } catch (error) {
      await qemu.close();
      throw error;
    }
  }

  get qmp(): QmpClient {
    return this.#qemu.qmp;
  }

  async accelerator(): Promise<string> {
    const reply = await this.qmp.execute('query-kvm');
    return isQmpObject(reply) && reply['enabled'] ? 'kvm' : 'tcg';
  }

  async stop(): Promise<void> {
    await this.qmp.execute('stop');
  }

  /** Lets the guest run until it has rewritten its memory `count` times more. */
  async runGenerations(count: number): Promise<void> {
    await this.qmp.execute('cont');
    const goal = (await this.#passes()) + count;
    const deadline = performance.now() + BOOT_MS;
    while ((await this.#passes()) < goal) {
      if (performance.now() > deadline) {
        throw new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'the guest does not get on', {
          expected: `${goal} generations in ${BOOT_MS / 1000} s`,
          found: await this.#passes(),
          cause: this.#qemu.stderr === '' ? undefined : new Error(this.#qemu.stderr.trim()),
        });
      }
      await delay(POLL_MS, undefined, { signal: this.#options.signal });
      // A QEMU that is gone says why when it gets a question now and then.
      await this.qmp.execute('query-status');
    }
  }

  /** Verifies every word that the guest wrote. The guest must be stopped. */
  check(region: GuestRegionOptions): Promise<GuestProgress> {
    return checkGuestMemory(this.#read, region);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ram.close();
    await this.#qemu.close();
  }

  /** Returns the number of finished generations; 0 as long as the guest has written no status block. */
  async #passes(): Promise<number> {
    return readGuestStatus(this.#read).then(
      ({ passes }) => passes,
      () => 0,
    );
  }

  /** Physical memory below the PCI hole is the beginning of the block. */
  readonly #read: ReadPhysical = async (address, length) => {
    const bytes = new Uint8Array(length);
    const found = await readAt(this.#ram.fd, this.#options.ram, bytes, address);
    return bytes.subarray(0, found);
  };
}

function commandLine({ disk, ram, size, incoming }: DemoGuestOptions): readonly string[] {
  const mib = `${size / MIB}M`;
  // TCG comes first: it runs this guest well everywhere, also where KVM is slow without hardware support or may not be
  // opened.
  return BARE.concat(
    ['-machine', `q35,memory-backend=${GUEST_BLOCK}`, '-accel', 'tcg', '-accel', 'kvm', '-m', mib],
    ['-object', `memory-backend-file,id=${GUEST_BLOCK},size=${mib},share=on,mem-path=${optionValue(ram)}`],
    ['-drive', `if=ide,format=raw,file=${optionValue(disk)}`],
    incoming ? ['-incoming', 'defer'] : ['-S'],
  );
}

/** Doubles commas: a single comma ends a value in QEMU's option syntax. */
function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}
