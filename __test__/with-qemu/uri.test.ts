import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import type { ExecutionContext } from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import { parseFdset, parseMigrationUri, parseSize, toMigrationChannels } from '../../ts/uri/index.ts';
import { QEMU_BINARY, QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { inetText, sizeLikeText, sizeText } from '../uri/arbitraries.ts';
import { NO_SIZES, SIZES } from '../uri/size-cases.ts';
import { TRANSPORTS } from '../uri/uri-cases.ts';

const SEED = 20_250_601;
const FDSETS: readonly string[] = [
  '5',
  '007',
  '+5',
  ' 5',
  '-0',
  '2147483647',
  '',
  'x',
  '5 ',
  '-1',
  '0x5',
  '2147483648',
];

const [major, minor] = QEMU_VERSION;
const LATER_INET_OPTIONS = major > 10 || (major === 10 && minor >= 1);
const PLAIN_INET = /^(tcp|rdma):(\[[\w:]+\]|[\w.]*):\w{1,32}$/;

qemuTest('we accept a URI if and only if the parser of this QEMU does', async (t) => {
  const all = [
    ...TRANSPORTS.flatMap(([, accepted, refused]) => [...accepted, ...refused]).map(([uri]) => uri),
    ...[...SIZES, ...NO_SIZES].map(([size]) => `file:x,offset=${size}`),
    ...sample(sizeText, 400).map((size) => `file:x,offset=${size}`),
    ...sample(sizeLikeText, 200).map((size) => `file:x,offset=${size}`),
    ...sample(inetText, 600).map((rest) => `tcp:${rest}`),
    ...sample(inetText, 100).map((rest) => `vsock:${rest}`),
  ];
  const uris = all.filter((uri) => isComparable(uri));
  const outcome = { accepted: 0, refused: 0 };
  await withQemu(t, async (qemu) => {
    for (const uri of uris) {
      const expected = await qemu.parses({ uri });
      outcome[expected ? 'accepted' : 'refused'] += 1;
      t.is(isOurs(uri), expected, JSON.stringify(uri.slice(0, 200)));
    }
  });
  t.log(`${outcome.accepted} accepted, ${outcome.refused} refused, ${all.length - uris.length} not compared`);
  t.true(outcome.accepted >= 80 && outcome.refused >= 80);
});

qemuTest(
  'this QEMU takes every address that we parse as channels, and the same ones it refuses',
  async (t) => {
    const refused = [
      { transport: 'file', filename: '/x' },
      { transport: 'file', filename: '/x', offset: '0' },
      { transport: 'file', filename: '/x', offset: 0, z: 1 },
      { transport: 'socket', type: 'inet', host: 'h', port: 1 },
      { transport: 'socket', type: 'inet', host: 'h', port: '1', to: 65536 },
      { transport: 'defer' },
    ];
    await withQemu(t, async (qemu) => {
      for (const [uri] of TRANSPORTS.flatMap(([, accepted]) => accepted)) {
        const address = parseMigrationUri(uri);
        if (address.transport === 'defer') continue;
        if (address.transport === 'file' && typeof address.offset === 'bigint') continue;
        t.true(await qemu.parses({ channels: toMigrationChannels(address) }), uri);
      }
      for (const addr of refused) {
        t.false(await qemu.parses({ channels: [{ 'channel-type': 'main', addr }] }), JSON.stringify(addr));
      }
    });
  },
);

qemuTest('a size has the same value in this QEMU', async (t) => {
  // The parameter is a size of 64 bits, which QEMU reads with the same parser, and its only use is postcopy.
  const name = 'max-postcopy-bandwidth';
  const generated = sample(sizeText, 600).filter((size) => isOurs(`file:x,offset=${size}`));
  const sizes = [...SIZES.map(([size]) => size), ...generated].filter((size) => !/[^\x20-\x7e]/.test(size));
  t.true(sizes.length > 100, `only ${sizes.length} sizes`);
  await withQemu(t, async (qemu) => {
    for (const size of sizes) {
      const command = `migrate_set_parameter ${name} "${size}"`;
      await qemu.execute('human-monitor-command', { 'command-line': command });
      const reply = await qemu.execute('query-migrate-parameters', {});
      const value = new RegExp(`"${name}": (\\d+)`).exec(reply)?.[1];
      t.is(value, parseSize(size).toString(), size.slice(0, 200));
    }
  });
});

qemuTest('this QEMU takes the same names for fd sets', async (t) => {
  await withQemu(t, async (qemu) => {
    for (const fdset of FDSETS) {
      const filename = `/dev/fdset/${fdset}`;
      const reply = await qemu.execute('blockdev-add', { driver: 'file', 'node-name': 'node', filename });
      t.true(reply.includes('"error"'), reply);
      t.is(
        parseFdset(filename) === undefined,
        reply.includes('Could not parse fdset'),
        `${filename}: ${reply}`,
      );
    }
  });
});

function sample(texts: fc.Arbitrary<string>, numRuns: number): string[] {
  return fc.sample(texts, { numRuns, seed: SEED });
}

function isComparable(uri: string): boolean {
  // `defer` is for -incoming only.
  if (uri === 'defer') return false;
  // A bad rdma: URI kills QEMU 10.0.2, which frees a pointer that it never set.
  if (uri.startsWith('rdma:') && !isOurs(uri)) return false;
  // QEMU 10.1 gave inet addresses another grammar of options.
  return !LATER_INET_OPTIONS || !/^(tcp|rdma):/.test(uri) || PLAIN_INET.test(uri);
}

function isOurs(uri: string): boolean {
  try {
    parseMigrationUri(uri);
    return true;
  } catch (error) {
    if (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_INVALID_URI') return false;
    throw error;
  }
}

async function withQemu(t: ExecutionContext, work: (qemu: Monitor) => Promise<void>): Promise<void> {
  const args = ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
  const qemu = new Monitor(spawn(QEMU_BINARY, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
  t.teardown(() => qemu.close());
  await qemu.execute('qmp_capabilities', {});
  await work(qemu);
}

class Monitor {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<unknown>;

  constructor(process: ChildProcessByStdio<Writable, Readable, null>) {
    this.#process = process;
    this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
    this.#exited = once(process, 'exit');
  }

  /**
   * True when QEMU parses the address. With `resume` QEMU opens, connects and runs nothing: once it has the address, it
   * looks for a paused migration, finds none and says so.
   */
  async parses(address: object): Promise<boolean> {
    const reply = await this.execute('migrate', { ...address, resume: true });
    if (!reply.includes('"error"')) throw new Error(`QEMU resumed a migration: ${reply}`);
    return reply.includes('Cannot resume if there is no paused migration');
  }

  /** @returns the reply as the text it came in: JSON.parse would round 64-bit integers */
  async execute(command: string, args: object): Promise<string> {
    const request = JSON.stringify({ execute: command, arguments: args });
    this.#process.stdin.write(`${request}\n`);
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) throw new Error(`QEMU is gone after ${request.slice(0, 400)}`);
      if (/^\{"(return|error)"/.test(line.value)) return line.value;
    }
  }

  async close(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }
}
