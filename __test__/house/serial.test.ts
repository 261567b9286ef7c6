import test from 'ava';
import type { Node, SourceFile } from 'typescript/unstable/ast';
import { isCallExpression, isIdentifier } from 'typescript/unstable/ast/is';

import { nameOf } from './looks.ts';
import { nodesBelow, parsedFile, treeOf } from './parsed-tree.ts';

/** The function that counts what the process holds. */
const COUNTS = 'assertNoLeak';

/** The calls that count while other tests of their file may open and close descriptors, each as its text. */
function countsAmongOthers(source: SourceFile): readonly string[] {
  const calls = nodesBelow(source).filter(
    (node) => isCallExpression(node) && nameOf(node.expression) === COUNTS,
  );
  return calls.filter((node) => isInConcurrentTest(node)).map((node) => node.getText());
}

/** True within `test(…)`; `test.serial(…)` and the tests against a real QEMU run alone. */
function isInConcurrentTest(node: Node | undefined): boolean {
  if (node === undefined) return false;
  if (isCallExpression(node) && isIdentifier(node.expression) && node.expression.text === 'test') return true;
  return isInConcurrentTest(node.parent);
}

test('what counts the descriptors of this process runs alone in its file', (t) => {
  const tests = [...treeOf('__test__')].filter(([path]) => path.endsWith('.test.ts'));
  t.true(tests.filter(([, source]) => source.text.includes(`${COUNTS}(`)).length > 10);
  t.deepEqual(
    tests.flatMap(([path, source]) => countsAmongOthers(source).map((call) => `${path}: ${call}`)),
    [],
  );
});

test('a count among other tests is found', (t) => {
  const call = `${COUNTS}(t, once, once)`;
  t.deepEqual(countsAmongOthers(parsedFile(`test('x', async (t) => { await ${call}; });`)), [call]);
  t.deepEqual(countsAmongOthers(parsedFile(`test.serial('x', async (t) => { await ${call}; });`)), []);
  t.deepEqual(countsAmongOthers(parsedFile(`qemuTest('x', async (t) => { await ${call}; });`)), []);
});
