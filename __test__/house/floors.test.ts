import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';
import { arrowsUp, circles, crowdedFolders, roomOf } from './arrows.ts';
import { BINDING_IMPORTER, BINDING_ROOM, FLOORS, MOST_FILES, MOST_LINES, PURE } from './floors.ts';
import { importsOf, specifiersOf, type Tree } from './imports.ts';

function treeOf(...folders: readonly string[]): Tree {
  const paths = folders.flatMap((folder) => filesBelow(folder, '.ts', '.mjs', '.cjs', '.js'));
  return new Map(paths.map((path) => [path, readText(path)]));
}

function isOutside(path: string): boolean {
  return !path.startsWith('__test__/support/');
}

function lines(...texts: readonly string[]): string {
  return texts.join('\n');
}

const house = treeOf('ts');

test('every room of ts/ has its floor, and no floor has a room that is not there', (t) => {
  const rooms = new Set([...house.keys()].map(roomOf));
  t.deepEqual([...rooms].toSorted(), FLOORS.flat().toSorted());
});

test('imports of ts/ run down', (t) => {
  t.true(importsOf(house).length > 500);
  t.deepEqual(arrowsUp(house, FLOORS), []);
});

test('no files of ts/ import each other in a circle', (t) => {
  t.deepEqual(circles(house), []);
});

test(`no folder of ts/ has more than ${MOST_FILES} files flat`, (t) => {
  t.deepEqual(crowdedFolders([...house.keys()], MOST_FILES), []);
});

test(`no file of ts/ has more than ${MOST_LINES} lines, unless it is generated`, (t) => {
  const long = [...house]
    .filter(([path]) => !path.endsWith('.generated.ts'))
    .map(([path, text]) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines: count }) => count > MOST_LINES);
  t.deepEqual(long, []);
});

test('rooms that run in a browser import nothing of Node and no package', (t) => {
  const pure = [...house].filter(([path]) => PURE.includes(roomOf(path)));
  t.true(pure.length > 50);
  const packages = pure.flatMap(([path, text]) =>
    specifiersOf(text)
      .filter((specifier) => !specifier.startsWith('.'))
      .map((specifier) => `${path} → ${specifier}`),
  );
  t.deepEqual(packages, []);
  t.deepEqual(arrowsUp(new Map(pure), [PURE.slice(0, 1), ...PURE.slice(1).map((room) => [room])]), []);
});

test('one file imports the native binding', (t) => {
  const tree = treeOf('ts', '__test__', 'bench', 'fuzz', 'scripts', 'bin');
  const importers = [...tree].filter(([, text]) =>
    specifiersOf(text).some((specifier) => /(?:^|\/)binding\.cjs$|\.node$|^@mapped-ram\//.test(specifier)),
  );
  t.deepEqual(
    importers.map(([path]) => path),
    [BINDING_IMPORTER],
  );
});

test('one room of ts/ calls the native binding', (t) => {
  const callers = importsOf(house).filter(({ to }) => to === BINDING_IMPORTER);
  t.true(callers.length > 5);
  t.deepEqual(
    callers.filter(({ from }) => roomOf(from) !== BINDING_ROOM),
    [],
  );
});

test('what the tests share imports no tests, and measurements and fuzzers import nothing else of the tests', (t) => {
  const shared = importsOf(treeOf('__test__/support')).filter(
    ({ to }) => isOutside(to) && /^(?:__test__|bench|fuzz)\//.test(to),
  );
  t.deepEqual(shared, []);
  const users = importsOf(treeOf('bench', 'fuzz', 'scripts')).filter(
    ({ to }) => isOutside(to) && to.startsWith('__test__/'),
  );
  t.deepEqual(users, []);
});

test('a made-up arrow that runs up, sideways or from nowhere is found, however it is written', (t) => {
  const floors = [['low'], ['left', 'right'], ['high.ts']];
  const tree: Tree = new Map([
    ['ts/low/a.ts', lines("import type { H } from '../high.ts';", "import './b.ts';")],
    ['ts/low/b.ts', lines("export type Deep = import('../left/deep/c.ts').C;", "import 'node:fs';")],
    ['ts/left/deep/c.ts', lines("export type * from '../../right/d.ts';", "import '../../low/a.ts';")],
    [
      'ts/right/d.ts',
      lines("const e = await import('../left/e.ts');", "import {\n  b,\n} from '../low/b.ts';"),
    ],
    [
      'ts/left/e.ts',
      lines("// as in `import '../high.ts'`", "/** from '../high.ts' */", "require('../attic/f.ts');"),
    ],
    ['ts/attic/f.ts', lines("import { a } from '../low/a.ts';")],
    ['ts/high.ts', lines("export { d } from './right/d.ts';", "import '../native/x.cjs';")],
  ]);
  t.deepEqual(arrowsUp(tree, floors), [
    'ts/low/a.ts → ts/high.ts',
    'ts/low/b.ts → ts/left/deep/c.ts',
    'ts/left/deep/c.ts → ts/right/d.ts',
    'ts/right/d.ts → ts/left/e.ts',
    'ts/left/e.ts → ts/attic/f.ts',
    'ts/attic/f.ts → ts/low/a.ts',
  ]);
});

test('a made-up circle is found, one of types too, and so is a file that imports itself', (t) => {
  const tree: Tree = new Map([
    ['ts/a.ts', "import type { B } from './b.ts';"],
    ['ts/b.ts', "export * from './c.ts';"],
    ['ts/c.ts', "import('./a.ts');"],
    ['ts/d.ts', "import './a.ts';"],
    ['ts/e.ts', "import type { E } from './e.ts';"],
  ]);
  t.deepEqual(circles(tree), [['ts/a.ts', 'ts/b.ts', 'ts/c.ts'], ['ts/e.ts']]);
});

test('a made-up crowd is found, folders below it not counted', (t) => {
  t.deepEqual(crowdedFolders(['ts/x/a.ts', 'ts/x/b.ts', 'ts/x/y/c.ts', 'ts/x/y/d.ts', 'ts/x/y/e.ts'], 2), [
    'ts/x/y: 3',
  ]);
});
