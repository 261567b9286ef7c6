import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';

/** The files that name tests: for continuous integration, for ava and for people. */
const NAMING: readonly string[] = [
  ...filesBelow('.github', '.yml'),
  ...filesBelow('.ci', ''),
  ...filesBelow('scripts', ''),
  ...filesBelow('', '.md'),
  'package.json',
];

const TESTS = filesBelow('__test__', '.test.ts');

/** The globs and paths of test files in a text. */
function globsIn(text: string): readonly string[] {
  return [...text.matchAll(/__test__\/[\w./*-]*\.test\.ts/g)].map(([glob]) => glob);
}

function toRegExp(glob: string): RegExp {
  const source = glob.replaceAll(/\*\*\/|[*.]/g, (part) => {
    if (part === '**/') return '(?:[^/]+/)*';
    return part === '*' ? '[^/]*' : String.raw`\.`;
  });
  return new RegExp(`^${source}$`);
}

/** Says in words how a glob goes wrong: it finds nothing, or it takes a whole folder and passes over the folders below. */
function faultOf(glob: string, tests: readonly string[]): string | undefined {
  const found = toRegExp(glob);
  if (!tests.some((path) => found.test(path))) return `${glob} finds no test`;
  if (!glob.endsWith('/*.test.ts') || glob.endsWith('**/*.test.ts')) return undefined;
  const deep = toRegExp(glob.replace(/\*\.test\.ts$/, '**/*.test.ts'));
  const passed = tests.filter((path) => deep.test(path) && !found.test(path));
  return passed.length > 0 ? `${glob} passes ${passed.length} tests in folders below it` : undefined;
}

test('every glob of tests that a workflow, a script or a document names finds what it is for', (t) => {
  const named = NAMING.flatMap((path) => globsIn(readText(path)).map((glob) => ({ path, glob })));
  t.true(named.some(({ path }) => path.startsWith('.github/')));
  t.true(named.some(({ path }) => path === 'package.json'));
  const faults = named.flatMap(({ path, glob }) => {
    const fault = faultOf(glob, TESTS);
    return fault === undefined ? [] : [`${path}: ${fault}`];
  });
  t.deepEqual(faults, []);
});

test('the platforms that run few tests run all tests of the pure rooms', (t) => {
  const lines = readText('.github/workflows/ci.yml')
    .split('\n')
    .filter((line) => line.includes('test:js --'));
  t.is(lines.length, 2);
  const pure = TESTS.filter((path) => /^__test__\/(?:uri|stream)\//.test(path));
  t.true(pure.length > 20);
  for (const line of lines) {
    const found = globsIn(line).map((glob) => toRegExp(glob));
    t.deepEqual(
      pure.filter((path) => !found.some((glob) => glob.test(path))),
      [],
    );
  }
});

test('a made-up glob that finds nothing or too little is found', (t) => {
  const tests = ['__test__/a/one.test.ts', '__test__/a/deep/two.test.ts', '__test__/b/three.test.ts'];
  t.is(faultOf('__test__/c/*.test.ts', tests), '__test__/c/*.test.ts finds no test');
  t.is(faultOf('__test__/a/gone.test.ts', tests), '__test__/a/gone.test.ts finds no test');
  t.is(faultOf('__test__/a/*.test.ts', tests), '__test__/a/*.test.ts passes 1 tests in folders below it');
  t.is(faultOf('__test__/*/*.test.ts', tests), '__test__/*/*.test.ts passes 1 tests in folders below it');
  for (const fine of [
    '__test__/a/**/*.test.ts',
    '__test__/**/*.test.ts',
    '__test__/b/*.test.ts',
    '__test__/a/o*.test.ts',
  ]) {
    t.is(faultOf(fine, tests), undefined, fine);
  }
  t.deepEqual(globsIn(`ava '__test__/a/*.test.ts' "__test__/b/**/*.test.ts"; x`), [
    '__test__/a/*.test.ts',
    '__test__/b/**/*.test.ts',
  ]);
});
