// Packs the package, installs it in an empty folder, and uses it there: the README's first example and the subpaths
// with import and with require, the types, the command. Needs the dev dependencies and the npm registry (for the
// package's dependencies).
import assert from 'node:assert/strict';
import { execFileSync, execSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readmeBlocks, toCommonJs } from '../__test__/support/readme.ts';
import { ROOT } from './native-files.mjs';

const SHIPPED = 'README.md LICENSE CHANGELOG.md package.json bin dist docs native'.split(' ');
const { version, types } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** npm is a script on Windows, which only a shell runs. */
function npm(command, cwd) {
  execSync(`npm ${command}`, { cwd, stdio: ['ignore', 2, 2] });
}

function node(cwd, ...args) {
  return execFileSync(process.execPath, args, { cwd, encoding: 'utf8' });
}

function checkContents(installed) {
  const found = readdirSync(installed).filter((name) => name !== 'node_modules');
  assert.deepEqual(new Set(found), new Set(SHIPPED));
  const native = readdirSync(join(installed, 'native'));
  assert.ok(native.includes('binding.cjs') && native.includes('binding.d.cts'), 'the loader is missing');
  assert.ok(
    native.some((name) => name.endsWith('.node')),
    'the binary is missing',
  );
  assert.ok(existsSync(join(installed, types)), 'the types are missing');
  assert.ok(existsSync(join(installed, 'dist', 'bench', 'html', 'charts.js')), 'the charts are missing');
}

function checkExample(project) {
  const [example = ''] = readmeBlocks('js');
  writeFileSync(join(project, 'example.mjs'), example);
  writeFileSync(join(project, 'example.cjs'), toCommonJs(example));
  const output = node(project, 'example.mjs');
  assert.match(output, /^I\/O engine: (io_uring|threads)/);
  assert.equal(node(project, 'example.cjs'), output);
  return output;
}

/** Checks that the subpaths give the same with import and with require, and that there are no others. */
function checkSubpaths(project) {
  const code = `
import { MappedRamError } from 'mapped-ram';
import * as stream from 'mapped-ram/stream';
import * as uri from 'mapped-ram/uri';
const same = [stream, uri].every((subpath) => subpath.MappedRamError === MappedRamError);
const hidden = import('mapped-ram/dist/index.js').then(() => false, ({ code }) => code === 'ERR_PACKAGE_PATH_NOT_EXPORTED');
hidden.then((hides) => console.log(JSON.stringify({ same, hides, stream: Object.keys(stream), uri: Object.keys(uri) })));
`;
  writeFileSync(join(project, 'subpaths.mjs'), code);
  writeFileSync(join(project, 'subpaths.cjs'), toCommonJs(code));
  const output = node(project, 'subpaths.mjs');
  const { same, hides, stream, uri } = JSON.parse(output);
  assert.ok(same && hides, output);
  assert.ok(stream.includes('readStreamIndex') && uri.includes('parseMigrationUri'), output);
  assert.equal(node(project, 'subpaths.cjs'), output);
}

/** Checks that both ways of importing resolve to types that stand on their own. */
function checkTypes(project) {
  const code = `import { probe, type SnapshotInfo } from 'mapped-ram';
import { readStreamIndex, type RandomAccessReader, type StreamIndex } from 'mapped-ram/stream';
import { parseMigrationUri, type MigrationAddress } from 'mapped-ram/uri';
export const engine: 'io_uring' | 'threads' = probe().ioEngine;
export type Info = SnapshotInfo;
export const address: MigrationAddress = parseMigrationUri('file:x');
export const read = (reader: RandomAccessReader): Promise<StreamIndex> => readStreamIndex(reader);
`;
  writeFileSync(join(project, 'types.mts'), code);
  writeFileSync(join(project, 'types.cts'), code);
  const typescript = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const typeRoots = join(ROOT, 'node_modules', '@types');
  const options = `--noEmit --strict --module nodenext --target es2023 --types node --typeRoots ${typeRoots}`;
  node(project, typescript, ...options.split(' '), 'types.mts', 'types.cts');
}

// The path must be the real one: a package's own folder is compared with it.
const project = realpathSync(mkdtempSync(join(tmpdir(), 'mapped-ram-package-')));
try {
  npm(`pack --loglevel warn --pack-destination "${project}"`, ROOT);
  const tarball = `mapped-ram-${version}.tgz`;
  writeFileSync(join(project, 'package.json'), '{ "private": true }\n');
  npm(`install --no-audit --no-fund --no-package-lock ./${tarball}`, project);
  const installed = join(project, 'node_modules', 'mapped-ram');
  checkContents(installed);
  const output = checkExample(project);
  checkSubpaths(project);
  checkTypes(project);
  assert.match(node(project, join(installed, 'bin', 'mapped-ram.mjs'), '--version'), new RegExp(version));
  process.stdout.write(`${tarball} works when installed, with import and with require:\n${output}`);
} finally {
  rmSync(project, { recursive: true, force: true });
}
