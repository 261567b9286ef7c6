import { createContext, Script, type Context } from 'node:vm';

import test from 'ava';
import { build } from 'esbuild';

import {
  assembleMappedRam,
  bytesReader,
  flattenDevice,
  readDevices,
  readStreamIndex,
  walkStream,
} from '../../ts/stream/index.ts';
import { parseMigrationUri } from '../../ts/uri/index.ts';
import { packagedProject } from '../support/packaged.ts';
import { PAGE, syntheticState } from '../support/synthetic.ts';
import { readText } from '../support/tree.ts';

/** Words of Node's that the bundles must not have anywhere, not even in code that the tests do not run. */
const NODES_OWN = /['"]node:|\brequire\(|\bprocess\.|\bBuffer\b/;

/** A user's program for the browser, in one script. @throws on a warning, and on an import of Node's modules */
async function bundled(text: string): Promise<string> {
  await using project = await packagedProject({ native: false });
  const { outputFiles, warnings } = await build({
    stdin: { contents: text, resolveDir: project.path, sourcefile: 'program.js' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2023',
    write: false,
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (file === undefined || warnings.length > 0) throw new Error(JSON.stringify(warnings));
  return file.text;
}

/** A realm with all of ECMAScript, and with the converters of text as the only part of a browser. */
function browserRealm(): Context {
  return createContext({ TextDecoder, TextEncoder });
}

/** Runs a bundle that puts a promise of text into `result`. */
async function run(bundle: string, realm: Context): Promise<Readonly<Record<string, unknown>>> {
  new Script(bundle, { filename: 'bundle.js' }).runInContext(realm);
  const text: string = await new Script('result').runInContext(realm);
  return JSON.parse(text);
}

/** A function that turns data into JSON; bigints and bytes become text in it. */
const PLAIN = `
globalThis.plain = (value) =>
  JSON.stringify(value, (_, member) => {
    if (typeof member === 'bigint') return member + 'n';
    return member instanceof Uint8Array ? Array.from(member).join() : member;
  });
`;

function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, member: unknown) => {
    if (typeof member === 'bigint') return `${member}n`;
    return member instanceof Uint8Array ? [...member].join() : member;
  });
  return JSON.parse(text);
}

test('mapped-ram/stream reads and walks a stream in a browser', async (t) => {
  const bundle = await bundled(`
import { assembleMappedRam, bytesReader, flattenDevice, MappedRamError, readDevices, readStreamIndex, walkStream } from 'mapped-ram/stream';
${PLAIN}
async function read() {
  const reader = bytesReader(Uint8Array.from(numbers), 'upload');
  const index = await readStreamIndex(reader);
  const records = [];
  for await (const record of walkStream(reader)) records.push(record);
  const { devices, problems } = await readDevices(reader, index);
  const { configuration, ram } = index;
  const { endOffset } = assembleMappedRam({
    state: index,
    configuration: { ...configuration, capabilities: ['mapped-ram'] },
    blocks: ram.blocks,
  });
  const cut = await readStreamIndex(bytesReader(Uint8Array.from(numbers.slice(0, 200))));
  return plain({
    index,
    records,
    devices,
    problems,
    fields: devices.map(flattenDevice),
    endOffset,
    cut: [cut.problem instanceof MappedRamError, cut.problem.code],
  });
}
globalThis.result = read();
`);
  t.notRegex(bundle, NODES_OWN);

  const bytes = syntheticState({
    blocks: [{ id: 'pc.ram', length: 4 * PAGE }],
    ignoreShared: false,
    pages: [{ block: 'pc.ram', offset: PAGE, bytes: new Uint8Array(PAGE).fill(7) }],
  });
  const realm = browserRealm();
  realm['numbers'] = new Script(`[${bytes.join()}]`).runInContext(realm);
  const found = await run(bundle, realm);

  const reader = bytesReader(bytes, 'upload');
  const index = await readStreamIndex(reader);
  const records: unknown[] = [];
  for await (const record of walkStream(reader)) records.push(record);
  t.true(index.complete);
  t.true(records.length > 8);
  const { devices, problems } = await readDevices(reader, index);
  t.is(devices.length, 1);
  const { configuration, ram } = index;
  const { endOffset } = assembleMappedRam({
    state: index,
    configuration: { ...configuration, capabilities: ['mapped-ram'] },
    blocks: ram?.blocks ?? [],
  });
  const fields = devices.map((device) => flattenDevice(device));
  const cut = [true, 'ERR_MAPPED_RAM_TRUNCATED'];
  t.deepEqual(found, plain({ index, records, devices, problems, fields, endOffset, cut }));
});

test('mapped-ram/uri reads and writes addresses in a browser', async (t) => {
  const uris = [
    'file:/tmp/guest.mr,offset=1.5k',
    'tcp:[::1]:4444,to=4450,keep-alive=on',
    'exec:cat > x',
    'unix:/s',
  ];
  const bundle = await bundled(`
import { formatMigrationUri, parseFileTarget, parseMigrationUri, toMigrationChannels } from 'mapped-ram/uri';
${PLAIN}
const addresses = ${JSON.stringify(uris)}.map((uri) => parseMigrationUri(uri));
globalThis.result = Promise.resolve(plain({
  addresses,
  uris: addresses.map((address) => formatMigrationUri(address)),
  channels: toMigrationChannels(addresses[0]),
  target: parseFileTarget('guest.mr'),
}));
`);
  t.notRegex(bundle, NODES_OWN);
  t.deepEqual(await run(bundle, browserRealm()), {
    addresses: plain(uris.map((uri) => parseMigrationUri(uri))),
    uris: ['file:/tmp/guest.mr,offset=1536', ...uris.slice(1)],
    channels: [
      { 'channel-type': 'main', addr: { transport: 'file', filename: '/tmp/guest.mr', offset: 1536 } },
    ],
    target: { filename: 'guest.mr', offset: 0 },
  });
});

test('the example of docs/api.md looks into a file in a browser', async (t) => {
  const [, subpaths = ''] = readText('docs/api.md').split('## Subpaths');
  const [, example = ''] = /^```js\n(.*?)^```$/ms.exec(subpaths) ?? [];
  const bundle = await bundled(`${example}\nglobalThis.result = inspect(file).then(JSON.stringify);\n`);
  const realm = browserRealm();
  const state = syntheticState({ blocks: [{ id: 'pc.ram', length: PAGE }] });
  realm['file'] = Object.assign(new Blob([new Uint8Array(state)]), { name: 'guest.mr' });
  t.deepEqual(await run(bundle, realm), {
    machine: 'pc-q35-10.0',
    complete: true,
    devices: ['test-device'],
  });
});

test('the same bundler refuses the whole package, which needs Node', async (t) => {
  const error = await t.throwsAsync(bundled("export * from 'mapped-ram';"));
  t.regex(error.message, /node:/);
});
