import { spawnSync } from 'node:child_process';
import { mkdir, stat, symlink, truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { FINDING_CODES } from '../../ts/index.ts';
import { fixture } from '../cli/cli-fixtures.ts';
import { filesBelow, readText, ROOT } from '../support/tree.ts';

test('docs/verify.md has one row for each code of a finding, with the severity that it has', (t) => {
  const rows = readText('docs/verify.md')
    .split('\n')
    .filter((line) => /^\| `[a-z-]+` \| (?:error|warning) \|/.test(line))
    .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| | \|$/g, '')));
  t.deepEqual(rows.map(([code = '']) => code.replaceAll('`', '')).toSorted(), [...FINDING_CODES].toSorted());
  const source = filesBelow('ts/verify', '.ts').map(readText).join('\n');
  const warnings = new Set(
    [...source.matchAll(/severity: 'warning',\s+code: '([a-z-]+)'/g)].map(([, code]) => `\`${code}\``),
  );
  t.true(warnings.size > 1);
  for (const [code = '', severity] of rows) t.is(severity, warnings.has(code) ? 'warning' : 'error', code);
});

test('each code is given somewhere', (t) => {
  const source = filesBelow('ts/verify', '.ts')
    .filter((path) => path !== 'ts/verify/finding.ts')
    .map(readText)
    .join('\n');
  t.deepEqual(
    FINDING_CODES.filter((code) => !source.includes(`'${code}'`)),
    [],
  );
});

test('the example of docs/verify.md runs against the built package', async (t) => {
  await using given = await fixture();
  const [, example = ''] = /^```js\n(.*?)^```$/ms.exec(readText('docs/verify.md')) ?? [];
  await mkdir(given.dir.file('node_modules'));
  await symlink(ROOT, given.dir.file('node_modules/mapped-ram'), 'junction');
  await writeFile(given.dir.file('example.mjs'), example);
  const run = (): string =>
    spawnSync(process.execPath, ['example.mjs'], { cwd: given.dir.path, encoding: 'utf8' }).stdout;
  t.is(run(), 'guest.mr: passed\n');
  await writeFile(given.snapshot, 'garbage', { flag: 'a' });
  t.regex(run(), /^guest\.mr: passed\nwarning: trailing-bytes at \d+: 7 bytes follow the stream\n$/);
  await truncate(given.snapshot, (await stat(given.snapshot)).size - 8);
  t.regex(run(), /^guest\.mr: FAILED\nerror: device-state-unmeasured at \d+: /);
});
