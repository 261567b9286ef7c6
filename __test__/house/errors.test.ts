import test from 'ava';

import { ERROR_CODES } from '../../ts/index.ts';
import { filesBelow, readText } from '../support/tree.ts';

test('docs/errors.md has one row for each error code, with a meaning and what to do', (t) => {
  const rows = readText('docs/errors.md')
    .split('\n')
    .filter((line) => line.startsWith('| `ERR_'))
    .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| | \|$/g, '').trim()));
  t.deepEqual(
    rows.map(([code]) => code),
    ERROR_CODES.map((code) => `\`${code}\``),
  );
  for (const cells of rows) {
    t.is(cells.length, 3);
    t.true(
      cells.every((cell) => cell.length > 10),
      cells.join(' | '),
    );
  }
});

test('each error code is thrown somewhere, by TypeScript or by the engine', (t) => {
  const typescript = filesBelow('ts', '.ts')
    .filter((path) => path !== 'ts/errors.ts')
    .map(readText)
    .join('\n');
  const engine = readText('crates/node/src/error.rs');
  const unused = ERROR_CODES.filter(
    (code) =>
      !typescript.includes(`'${code}'`) && !engine.includes(`"${code.slice('ERR_MAPPED_RAM_'.length)}"`),
  );
  t.deepEqual(unused, []);
});

test('the engine knows no error kind that has no code, except a cancelled transfer', (t) => {
  const engine = readText('crates/node/src/error.rs');
  const kinds = [...engine.matchAll(/ => "([A-Z_]+)"/g)].map(([, kind = '']) => kind);
  t.true(kinds.includes('IO'));
  const codes: readonly string[] = ERROR_CODES;
  t.deepEqual(
    kinds.filter((kind) => !codes.includes(`ERR_MAPPED_RAM_${kind}`)),
    ['CANCELLED'],
  );
});
