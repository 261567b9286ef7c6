import assert from 'node:assert/strict';
import { accessSync, closeSync, constants, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { GuestOptions } from '../../ts/guest/build-guest.ts';
import { checkGuestMemory, type GuestProgress } from '../../ts/guest/check-guest-memory.ts';
import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { isQmpObject } from '../../ts/qmp/json.ts';
import { QEMU_BINARY } from './qemu-binary.ts';
import { guestArgs, guestMemoryBlocks, guestRegionOf, type GuestSetup } from './qemu-setup.ts';

export { type GuestSetup, MIB } from './qemu-setup.ts';

export const KVM_AVAILABLE: boolean = canOpen('/dev/kvm');

export interface RamBlock {
  readonly id: string;
  readonly usedLength: number;
  readonly totalLength: number;
  /** The address of the block in QEMU's address space; undefined with old QEMUs (7.2), which do not tell. */
  readonly hva: number | undefined;
}

/** Boots the built-in guest in a QEMU of its own. `await using guest = await startGuest()`. */
export async function startGuest(setup: GuestSetup = {}): Promise<TestGuest> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-guest-'));
  directories.add(directory);
  try {
    const region = guestRegionOf(setup);
    await writeGuestDisk(join(directory, 'boot.img'), region);
    const qemu = await QemuProcess.start({
      binary: setup.binary ?? QEMU_BINARY,
      args: guestArgs(setup, directory),
    });
    await letCpusYield(qemu);
    return new TestGuest(qemu, directory, region, guestMemoryBlocks(setup));
  } catch (error) {
    await removeDirectory(directory);
    throw error;
  }
}

/**
 * The guest works all the time. What it is tested with, QEMU's other threads and the test itself, goes first where there
 * are fewer processors than work.
 */
export async function letCpusYield({ qmp }: QemuProcess): Promise<void> {
  for (const { 'thread-id': thread } of await qmp.execute('query-cpus-fast'))
    setPriority(Number(thread), Math.min(getPriority() + 5, 19));
}

export class TestGuest implements AsyncDisposable {
  readonly qemu: QemuProcess;
  readonly qmp: QmpClient;
  readonly directory: string;
  readonly region: GuestOptions;
  readonly memoryBlocks: readonly string[];

  constructor(qemu: QemuProcess, directory: string, region: GuestOptions, blocks: readonly string[]) {
    this.qemu = qemu;
    this.qmp = qemu.qmp;
    this.directory = directory;
    this.region = region;
    this.memoryBlocks = blocks;
  }

  /** The text that the guest has written to its serial port since this QEMU started: a letter per generation. */
  serial(): string {
    return readFileSync(join(this.directory, 'serial'), 'latin1');
  }

  debugcon(): string {
    return readFileSync(join(this.directory, 'debugcon'), 'latin1');
  }

  /** Waits until the running guest has completed `count` more generations. Fails at once when it reports an error. */
  async waitForGenerations(count: number, timeoutMs = 120_000): Promise<void> {
    const goal = this.serial().length + count;
    await this.#waitForSerial((text) => text.length >= goal, timeoutMs);
  }

  /** Waits for the guest's verdict that its memory is wrong. */
  async waitForError(timeoutMs = 120_000): Promise<void> {
    await this.#waitForSerial((text) => text.endsWith('E'), timeoutMs);
  }

  async stop(): Promise<void> {
    await this.qmp.execute('stop');
  }

  async cont(): Promise<void> {
    await this.qmp.execute('cont');
  }

  /** QEMU's run state: `running`, `paused`, `inmigrate`, `postmigrate`, … */
  async runState(): Promise<string> {
    const reply = await this.qmp.execute('query-status');
    assert(isQmpObject(reply) && typeof reply['status'] === 'string');
    return reply['status'];
  }

  /** Lets QEMU read a page by its physical address, so that it gets one that is missing. */
  async touch(address: number): Promise<void> {
    await this.qmp.execute('human-monitor-command', { 'command-line': `xp /1xb ${address}` });
  }

  async ramBlocks(): Promise<readonly RamBlock[]> {
    const reply = await this.qmp.execute('human-monitor-command', { 'command-line': 'info ramblock' });
    assert(typeof reply === 'string');
    const row = /^ *(\S.*? +|)\d+ .?i?B +0x[0-9a-f]+ +(0x[0-9a-f]+) +(0x[0-9a-f]+)(?: +(0x[0-9a-f]+))?/;
    const rows = reply.split(/\r?\n/).slice(1);
    return rows.flatMap((line) => {
      if (line.trim() === '') return [];
      const [, name, used, total, hva] = row.exec(line) ?? [];
      assert(name !== undefined, `unexpected row of info ramblock: ${line}`);
      // An object that no device uses has a block without a name.
      const id = name.trim();
      if (id === '') return [];
      const address = hva === undefined ? undefined : Number(hva);
      return [{ id, usedLength: Number(used), totalLength: Number(total), hva: address }];
    });
  }

  /** Bytes of a block as QEMU has them mapped, whatever backs the block. */
  async readBlock(id: string, offset: number, length: number): Promise<Uint8Array> {
    const block = (await this.ramBlocks()).find((candidate) => candidate.id === id);
    assert(block !== undefined, `no RAM block ${id}`);
    assert(block.hva !== undefined, 'this QEMU does not tell where blocks are');
    assert(offset >= 0 && offset + length <= block.totalLength, `${id} ends before ${offset} + ${length}`);
    return readProcessMemory(this.qemu.pid, block.hva + offset, length);
  }

  /** A reader of guest RAM below the PCI hole. */
  async physicalReader(): Promise<(address: number, length: number) => Uint8Array> {
    const blocks = await this.ramBlocks();
    const memory = this.memoryBlocks.map((id) => blocks.find((block) => block.id === id));
    if (memory.some((block) => block !== undefined && block.hva === undefined))
      return this.#dumpReader(memory);
    return (address, length) => {
      const bytes = new Uint8Array(length);
      let base = 0;
      let done = 0;
      for (const block of memory) {
        assert(block !== undefined, `none of the RAM blocks is called ${this.memoryBlocks.join(' or ')}`);
        const end = base + block.totalLength;
        const at = address + done;
        if (done < length && at < end) {
          const part = Math.min(length - done, end - at);
          bytes.set(readProcessMemory(this.qemu.pid, (block.hva ?? Number.NaN) + at - base, part), done);
          done += part;
        }
        base = end;
      }
      assert.equal(done, length, `${length} bytes at ${address} are not all in memory`);
      return bytes;
    };
  }

  /** A reader of a copy that QEMU itself makes, for QEMUs that do not tell where their blocks are. */
  async #dumpReader(
    memory: readonly (RamBlock | undefined)[],
  ): Promise<(address: number, length: number) => Uint8Array> {
    const filename = join(this.directory, 'dump');
    const size = memory.reduce((sum, block) => sum + (block?.totalLength ?? Number.NaN), 0);
    await this.qmp.execute('pmemsave', { val: 0, size, filename });
    const dump = readFileSync(filename);
    rmSync(filename);
    return (address, length) => {
      assert(address + length <= dump.length, `${length} bytes at ${address} are not all in memory`);
      return Uint8Array.from(dump.subarray(address, address + length));
    };
  }

  async readPhysical(address: number, length: number): Promise<Uint8Array> {
    return (await this.physicalReader())(address, length);
  }

  /** Stops the guest and verifies every word of its region. The guest stays stopped. */
  async checkMemory(): Promise<GuestProgress> {
    await this.stop();
    return checkGuestMemory(await this.physicalReader(), this.region);
  }

  /**
   * Lets the guest run until it has checked every page of its region itself, at least once. Then it verifies the memory
   * from outside. The guest stays stopped.
   */
  async assertAlive(): Promise<GuestProgress> {
    await this.cont();
    await this.waitForGenerations(3);
    return this.checkMemory();
  }

  async close(): Promise<void> {
    await this.qemu.close();
    await removeDirectory(this.directory);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #waitForSerial(reached: (text: string) => boolean, timeoutMs: number): Promise<void> {
    const gone = this.qemu.exited.then((exit) =>
      assert.fail(`QEMU ended: ${JSON.stringify(exit)} ${this.qemu.stderr}`),
    );
    gone.catch(() => undefined);
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const text = this.serial();
      if (reached(text)) return;
      assert(!text.includes('E'), 'the guest found its memory wrong');
      assert(Date.now() < deadline, `the guest does not get on; it wrote ${JSON.stringify(text.slice(-20))}`);
      await Promise.race([delay(5), gone]);
    }
  }
}

function readProcessMemory(pid: number, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    let done = 0;
    while (done < length) {
      const read = readSync(fd, bytes, done, length - done, address + done);
      assert(read > 0, `process ${pid} has no memory at ${address + done}`);
      done += read;
    }
  } finally {
    closeSync(fd);
  }
  return bytes;
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const directories = new Set<string>();

async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  directories.delete(directory);
}

// A run that is interrupted or times out must not leave directories either. QemuProcess kills its QEMU at 'exit'.
process.on('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
process.once('SIGTERM', () => process.exit(143));
