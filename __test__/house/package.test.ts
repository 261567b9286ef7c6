import { readFile, writeFile } from 'node:fs/promises';

import { NapiCli } from '@napi-rs/cli';
import test from 'ava';

import { temporaryDirectory } from '../support/temporary.ts';
import { filesBelow, readText } from '../support/tree.ts';

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly napi: { readonly targets: readonly string[] };
}

interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

const manifest: Manifest = JSON.parse(readText('package.json'));

test('the platform packages are what napi makes of package.json', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('package.json'), readText('package.json'));
  await new NapiCli().createNpmDirs({ cwd: dir.path });
  const committed = filesBelow('npm', '.json', '.md');
  t.is(committed.length, manifest.napi.targets.length * 2);
  for (const path of committed) {
    t.is(readText(path), await readFile(dir.file(path), 'utf8'), `run npx napi create-npm-dirs: ${path}`);
  }
});

test('all parts have one version', (t) => {
  const { version } = manifest;
  const lock: { readonly version: string } = JSON.parse(readText('package-lock.json'));
  t.is(lock.version, version);
  t.true(readText('Cargo.toml').includes(`[workspace.package]\nversion = "${version}"\n`));
  t.regex(readText('CHANGELOG.md'), new RegExp(`^## .*${version.replaceAll('.', '\\.')}`, 'm'));
});

test('users get ranges, developers get exact versions, and the lockfile names no registry', (t) => {
  for (const [name, range] of Object.entries(manifest.dependencies)) t.regex(range, /^\^\d/, name);
  for (const [name, range] of Object.entries(manifest.devDependencies)) t.regex(range, /^\d/, name);
  t.false(readText('package-lock.json').includes('"resolved"'));
});

test('the lockfile has every optional package, without which npm ci refuses to work', (t) => {
  const { packages }: Lockfile = JSON.parse(readText('package-lock.json'));
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`node_modules/${name}` in packages || `${path}/node_modules/${name}` in packages),
    ),
  );
  t.deepEqual(missing, []);
});

test('workflows pin every action by commit, and start without permissions', (t) => {
  const workflows = filesBelow('.github/workflows', '.yml');
  t.true(workflows.length > 0);
  for (const path of workflows) {
    const text = readText(path);
    t.true(text.includes('\npermissions: {}\n'), path);
    const uses = [...text.matchAll(/uses: (\S+)(.*)/g)].filter(([, action = '']) => !action.startsWith('./'));
    for (const [line, action = '', comment = ''] of uses) {
      t.regex(action, /@[0-9a-f]{40}$/, `${path}: ${line}`);
      t.regex(comment, /^ # v\d+\.\d+\.\d+$/, `${path}: ${line}`);
    }
  }
});

test('the build matrix has every target', (t) => {
  const built = [...readText('.github/workflows/build.yml').matchAll(/\{ target: ([\w-]+),/g)].map(
    ([, target = '']) => target,
  );
  t.is(built.length, manifest.napi.targets.length);
  t.deepEqual(new Set(built), new Set(manifest.napi.targets));
});
