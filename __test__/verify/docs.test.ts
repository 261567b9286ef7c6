import test from 'ava';

import { FINDING_CODES } from '../../ts/index.ts';
import { filesBelow, readText } from '../helpers/tree.ts';

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
