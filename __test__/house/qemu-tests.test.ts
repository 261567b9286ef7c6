import { existsSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';

import { readText, ROOT } from '../support/tree.ts';

/** QEMU's tests of migration to files (docs/format.md §8) that need no later QEMU than 11.0. */
const QTESTS = [
  'precopy/file',
  'precopy/file/offset',
  'precopy/file/offset/fdset',
  'precopy/file/offset/bad',
  'precopy/file/connect-outgoing-fd-leak',
  'precopy/file/mapped-ram',
  'precopy/file/mapped-ram/live',
  'multifd/file/mapped-ram',
  'multifd/file/mapped-ram/live',
  'multifd/file/mapped-ram/dio',
  'multifd/file/mapped-ram/fdset',
  'multifd/file/mapped-ram/fdset/dio',
  'multifd/file/mapped-ram/ignore-shared',
];

const rows = readText('docs/qemu-tests.md')
  .split('\n')
  .map((line) => /^\| (.+?) \| `(__test__\/.+?)` \| (.+) \|$/.exec(line) ?? [])
  .flatMap(([, what, file, title]) =>
    what === undefined || file === undefined || title === undefined ? [] : [{ what, file, title }],
  );

test("docs/qemu-tests.md has a counterpart for each of QEMU's tests of files", (t) => {
  const named = rows.flatMap(({ what }) => /^`\/migration\/(.+)`$/.exec(what)?.[1] ?? []);
  t.deepEqual(named, QTESTS);
});

test('every test that docs/qemu-tests.md names exists', (t) => {
  t.true(rows.length > QTESTS.length);
  const missing = rows.filter(({ file, title }) => {
    if (!existsSync(join(ROOT, file))) return true;
    return !titlesIn(readText(file)).some((literal) => literal.includes(title));
  });
  t.deepEqual(missing, []);
});

/** The strings that a test file hands to `test` and its like, templates unfilled. */
function titlesIn(source: string): readonly string[] {
  const calls = source.matchAll(/\b(?:qemuTest|kvmTest|test|test\.serial)\(\s*(['"`])(.+?)\1,/g);
  return [...calls].map(([, , title = '']) => title);
}
