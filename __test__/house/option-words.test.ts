import { readdir } from 'node:fs/promises';

import test from 'ava';

import { bench } from '../../ts/bench/bench.ts';
import type { BenchTransfer } from '../../ts/bench/ours/job.ts';
import type { FlattenOptions } from '../../ts/convert/flatten-options.ts';
import { flatten } from '../../ts/convert/flatten.ts';
import { convert } from '../../ts/convert/convert.ts';
import type { ConvertOptions } from '../../ts/convert/options.ts';
import { diff, type DiffOptions } from '../../ts/diff/diff.ts';
import { MappedRamError } from '../../ts/errors.ts';
import { extract, type ExtractOptions } from '../../ts/extract/extract.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import type { RestoreRequest, SaveRequest } from '../../ts/negotiate/request.ts';
import { pack } from '../../ts/pack/pack.ts';
import type { PackOptions } from '../../ts/pack/pack-options.ts';
import { unpack, type UnpackOptions } from '../../ts/pack/unpack.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { attach } from '../../ts/restore/attach.ts';
import type { AttachOptions } from '../../ts/restore/examine.ts';
import { launchArguments, type LaunchOptions } from '../../ts/restore/command-line/launch-arguments.ts';
import { preloadRam, type PreloadOptions } from '../../ts/restore/preload.ts';
import { restore, type RestoreOptions } from '../../ts/restore/restore.ts';
import { planSave } from '../../ts/save/save.ts';
import type { SaveOptions } from '../../ts/save/save-options.ts';
import type { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { verify, type VerifyOptions } from '../../ts/verify/verify.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { QmpPeer } from '../support/qmp-peer.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** True for a type that is a few words, alone or beside something else. */
type HasWords<T> = [Extract<T, string>] extends [never] ? false : string extends T ? false : true;

/** Every option whose value is a word, each with a word that it does not take. */
type BadWords<Options> = {
  readonly [Name in keyof Options as HasWords<Options[Name]> extends true ? Name : never]-?: string;
};

interface Call {
  readonly words: Readonly<Record<string, string>>;
  /** Calls the function as a program without types may. */
  readonly run: (options: object, given: Given) => Promise<unknown>;
}

interface Given {
  readonly qmp: QmpClient;
  readonly snapshot: Snapshot;
  readonly target: string;
}

/** `pause` and `lazy` are words of other tools; `toString` is a member of every object. */
const TRANSFER = { ioEngine: 'uring', directIo: 'yes' } as const satisfies BadWords<VerifyOptions>;
const LOAD = { after: 'pause', multifd: 'yes', channels: 'many', directIo: 'yes', fdset: 'no' } as const;
const PLAN = {
  mappedRam: 'yes',
  multifd: 'yes',
  channels: 'many',
  directIo: 'yes',
  xIgnoreShared: 'no',
  fdset: 'no',
} as const;
const SAVE = {
  ...PLAN,
  after: 'pause',
  writer: 'kvm',
  form: 'half',
  zeroPageDetection: 'toString',
  live: 'yes',
} as const;

/** Lets a value pass for what a function takes. */
function untyped(value: object): never {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a program without types may pass anything
  return value as never;
}

const CALLS: Readonly<Record<string, Call>> = {
  planSave: {
    words: {
      ...SAVE,
      after: 'pause',
      guard: 'never',
      ioEngine: 'uring',
      whenNotConverging: 'cancel',
    } satisfies BadWords<SaveOptions>,
    run: (options, { qmp, target }) => planSave(qmp, target, untyped(options)),
  },
  'negotiate a save': {
    words: { ...SAVE, direction: 'dump' } satisfies BadWords<SaveRequest>,
    run: (request, { qmp, target }) => negotiate(qmp, untyped({ direction: 'save', target, ...request })),
  },
  'negotiate a restore': {
    words: { ...PLAN, direction: 'load', reader: 'kvm' } satisfies BadWords<Omit<RestoreRequest, 'snapshot'>>,
    run: (request, { qmp, target }) => negotiate(qmp, untyped({ direction: 'restore', target, ...request })),
  },
  attach: {
    words: { ...LOAD, mode: 'hasty' } satisfies BadWords<AttachOptions>,
    run: (options, { qmp, snapshot }) => attach(qmp, snapshot, untyped(options)),
  },
  restore: {
    words: {
      ...LOAD,
      mode: 'hasty',
      workingSet: 'warm',
      memory: 'hugetlb',
    } satisfies BadWords<RestoreOptions>,
    run: (options, { snapshot }) =>
      restore(snapshot, untyped({ args: [], binary: '/no/such/qemu', ...options })),
  },
  'transfer of restore': {
    words: TRANSFER satisfies BadWords<NonNullable<RestoreOptions['transfer']>>,
    run: (transfer, { snapshot }) =>
      restore(
        snapshot,
        untyped({ args: [], binary: '/no/such/qemu', transfer, mode: 'preload', ramDirectory: '/' }),
      ),
  },
  launchArguments: {
    words: { mode: 'hasty' } satisfies BadWords<LaunchOptions>,
    run: (options, { snapshot }) => launchArguments(snapshot, untyped({ args: [], ...options })),
  },
  preloadRam: {
    words: TRANSFER satisfies BadWords<PreloadOptions>,
    run: (options, { snapshot }) => preloadRam(snapshot, untyped({ blocks: ['pc.ram'], ...options })),
  },
  pack: {
    words: { ...TRANSFER, storeZeroPages: 'flash' } satisfies BadWords<Omit<PackOptions, 'state'>>,
    run: (options, { target }) => pack(target, untyped({ state: '/no/such/state', ...options })),
  },
  unpack: {
    words: TRANSFER satisfies BadWords<Omit<UnpackOptions, 'state'>>,
    run: (options, { snapshot, target }) =>
      unpack(snapshot, untyped({ ram: { 'pc.ram': target }, ...options })),
  },
  convert: {
    words: { ...TRANSFER, to: 'qcow2', storeZeroPages: 'flash' } satisfies BadWords<ConvertOptions>,
    run: (options, { snapshot, target }) => convert(snapshot, target, untyped(options)),
  },
  flatten: {
    words: { form: 'link' } satisfies BadWords<FlattenOptions>,
    run: (options, { snapshot, target }) => flatten(snapshot, target, untyped(options)),
  },
  'convert to a stream': {
    words: TRANSFER,
    run: (options, { snapshot, target }) => convert(snapshot, target, untyped({ to: 'stream', ...options })),
  },
  extract: {
    words: { ...TRANSFER, format: 'vmcore' } satisfies BadWords<ExtractOptions>,
    run: (options, { snapshot, target }) =>
      extract(snapshot, target, untyped({ format: 'raw', block: 'pc.ram', ...options })),
  },
  'transfer of bench': {
    words: TRANSFER satisfies BadWords<BenchTransfer>,
    run: (transfer) => bench(untyped({ transfer })),
  },
  diff: {
    words: TRANSFER satisfies BadWords<DiffOptions>,
    run: (options, { snapshot }) => diff(snapshot, snapshot, untyped(options)),
  },
  verify: {
    words: TRANSFER satisfies BadWords<VerifyOptions>,
    run: (options, { snapshot }) => verify(snapshot, untyped(options)),
  },
};

test('a word that an option does not take is refused before anything happens', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 4 }]);
  const before = await readdir(dir.path);
  const peer = new QmpPeer();
  await using qmp = await QmpClient.open(peer.stream);
  const given = { qmp, snapshot, target: dir.file('target') };
  for (const [call, { words, run }] of Object.entries(CALLS)) {
    for (const [option, word] of Object.entries(words)) {
      const what = `${call}: ${option} ${word}`;
      const error = await t.throwsAsync(run({ [option]: word }, given), { instanceOf: MappedRamError }, what);
      t.is(error?.code, 'ERR_MAPPED_RAM_INVALID_ARGUMENT', what);
      t.is(error?.found, word, what);
      t.regex(String(error?.expected), /^(?:[\w-]+, )*[\w-]+$/, what);
    }
  }
  t.deepEqual(peer.commands, []);
  t.deepEqual(await readdir(dir.path), before);
});

test('null is no word either, and a request needs its direction', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 4 }]);
  const peer = new QmpPeer();
  await using qmp = await QmpClient.open(peer.stream);
  await t.throwsAsync(attach(qmp, snapshot, untyped({ after: null })), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: 'after: expected cont, stop, as-saved, found null',
  });
  await t.throwsAsync(negotiate(qmp, untyped({ target: dir.file('target') })), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: 'direction: expected save, restore, found undefined',
  });
  await t.throwsAsync(extract(snapshot, dir.file('target'), untyped({})), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: 'format: expected raw, elf, found undefined',
  });
});
