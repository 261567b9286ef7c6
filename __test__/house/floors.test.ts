import test from 'ava';

import { filesBelow } from '../support/tree.ts';
import { arrowsUp, circles, crowdedFolders, roomOf } from './arrows.ts';
import {
  BINDING_ARROW,
  BINDING_IMPORTER,
  BINDING_ROOM,
  FLOORS,
  MOST_FILES,
  MOST_LINES,
  OTHER_WAYS,
  PURE,
} from './floors.ts';
import { importsOf, otherWays, specifiersOf } from './imports.ts';
import { parsed, treeOf } from './parsed-tree.ts';

function isOutside(path: string): boolean {
  return !path.startsWith('__test__/support/');
}

function lines(...texts: readonly string[]): string {
  return texts.join('\n');
}

/** The other ways in one made-up file. */
function waysIn(text: string): readonly string[] {
  return otherWays(parsed({ 'ts/a.ts': text })).map((way) => way.slice('ts/a.ts: '.length));
}

const house = treeOf('ts');

test('every room of ts/ has its floor, and no floor has a room that is not there', (t) => {
  const rooms = new Set([...house.keys()].map(roomOf));
  t.deepEqual([...rooms].toSorted(), FLOORS.flat().toSorted());
});

test('ts/ has nothing but TypeScript, all of it in files of one ending', (t) => {
  t.deepEqual(
    filesBelow('ts', '').filter((path) => !path.endsWith('.ts')),
    [],
  );
});

test('imports of ts/ run down', (t) => {
  t.true(importsOf(house).length > 500);
  t.deepEqual(arrowsUp(house, FLOORS, [BINDING_ARROW]), []);
});

test('ts/ reaches its files by imports that say where they lead, but for a few places with a reason', (t) => {
  t.deepEqual(otherWays(house), OTHER_WAYS);
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
    .map(([path, { text }]) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines: count }) => count > MOST_LINES);
  t.deepEqual(long, []);
});

test('rooms that run in a browser import nothing of Node and no package', (t) => {
  const pure = [...house].filter(([path]) => PURE.includes(roomOf(path)));
  t.true(pure.length > 50);
  const packages = pure.flatMap(([path, source]) =>
    specifiersOf(source)
      .filter((specifier) => !specifier.startsWith('.'))
      .map((specifier) => `${path} → ${specifier}`),
  );
  t.deepEqual(packages, []);
  t.deepEqual(arrowsUp(new Map(pure), [PURE.slice(0, 1), ...PURE.slice(1).map((room) => [room])]), []);
});

test('one file imports the native binding', (t) => {
  const tree = treeOf('ts', '__test__', 'bench', 'fuzz', 'scripts', 'bin');
  const importers = [...tree].filter(([, source]) =>
    specifiersOf(source).some((specifier) => /(?:^|\/)binding\.cjs$|\.node$|^@mapped-ram\//.test(specifier)),
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
    ({ to = '' }) => isOutside(to) && /^(?:__test__|bench|fuzz)\//.test(to),
  );
  t.deepEqual(shared, []);
  const users = importsOf(treeOf('bench', 'fuzz', 'scripts')).filter(
    ({ to = '' }) => isOutside(to) && to.startsWith('__test__/'),
  );
  t.deepEqual(users, []);
});

test('a made-up arrow that runs up, sideways or from nowhere is found', (t) => {
  const floors = [['low'], ['left', 'right'], ['high.ts']];
  const tree = parsed({
    'ts/low/a.ts': lines("import type { H } from '../high.ts';", "import './b.ts';"),
    'ts/low/b.ts': lines("export type Deep = import('../left/deep/c.ts').C;", "import 'node:fs';"),
    'ts/left/deep/c.ts': lines("export type * from '../../right/d.ts';", "import '../../low/a.ts';"),
    'ts/right/d.ts': lines(
      "const e = await import('../left/e.ts');",
      "import {\n  b,\n} from '../low/b.ts';",
    ),
    'ts/left/e.ts': lines(
      "// as in `import '../high.ts'`",
      "/** from '../high.ts' */",
      "require('../attic/f.ts');",
    ),
    'ts/attic/f.ts': lines("import { a } from '../low/a.ts';"),
    'ts/high.ts': lines("export { d } from './right/d.ts';", "import '../native/x.cjs';"),
  });
  t.deepEqual(arrowsUp(tree, floors, ['ts/high.ts → native/x.cjs']), [
    'ts/low/a.ts → ts/high.ts',
    'ts/low/b.ts → ts/left/deep/c.ts',
    'ts/left/deep/c.ts → ts/right/d.ts',
    'ts/right/d.ts → ts/left/e.ts',
    'ts/left/e.ts → ts/attic/f.ts',
    'ts/attic/f.ts → ts/low/a.ts',
  ]);
});

test('a made-up import that is an offence is found, however it is written', (t) => {
  const found = (text: string, path = 'ts/low/a.ts'): readonly string[] => {
    const [arrow, ...more] = arrowsUp(parsed({ [path]: text }), [['low'], ['cli'], ['index.ts']]);
    t.deepEqual(more, [], text);
    return arrow?.split(' → ') ?? [];
  };
  for (const text of [
    "import { main } from '../cli/main.ts';",
    "import { main } from '../cli/main.js';",
    'await import(`../cli/main.ts`);',
    "await import(/* why */ '../cli/main.ts');",
    "await import('../cli/main.ts', { with: {} });",
    "import main = require('../cli/main.ts');",
    "const main = require('../cli/main.ts');",
    "type Main = typeof import('../cli/main.ts');",
    "/// <reference path='../cli/main.ts' />",
    "declare module '../cli/main.ts' {}",
    "const all = '/*'; import '../cli/main.ts'; // */",
    "const all = `//`; export * from '../cli/main.ts';",
    "const pattern = /['\"]/; import '../cli/main.ts';",
  ]) {
    for (const path of ['ts/low/a.ts', 'ts/low/a.mts', 'ts/low/a.cts']) {
      t.deepEqual(found(text, path), [path, 'ts/cli/main.ts'], text);
    }
  }
  for (const [specifier, to] of [
    ['mapped-ram', 'ts/index.ts'],
    ['mapped-ram/stream', 'ts/stream/index.ts'],
    ['../../__test__/support/tree.ts', '__test__/support/tree.ts'],
    ['../../bench/x.ts', 'bench/x.ts'],
    ['../../dist/index.js', 'dist/index.js'],
    ['../../package.json', 'package.json'],
    ['#inside', '#inside'],
    ['/ts/cli/main.ts', '/ts/cli/main.ts'],
    ['file:///ts/cli/main.ts', 'file:///ts/cli/main.ts'],
  ]) {
    t.is(found(`import '${specifier}';`)[1], to);
  }
});

test('a made-up way to a file that is no import, or that does not say where it leads, is found', (t) => {
  t.deepEqual(waysIn("import './b.ts'; import 'node:fs'; await import(`./c.ts`);"), []);
  t.deepEqual(waysIn('await import(MAIN);'), ['import(MAIN)']);
  t.deepEqual(waysIn('await import(`./${name}.ts`);'), ['import(`./${name}.ts`)']);
  t.deepEqual(waysIn("await import('./' + name);"), ["import('./' + name)", "'./'"]);
  t.deepEqual(waysIn("new URL('../x.ts', import.meta.url);"), ["new URL('../x.ts', import.meta.url)"]);
  t.deepEqual(waysIn("import.meta.resolve('../x.ts');"), ["import.meta.resolve('../x.ts')"]);
  t.deepEqual(waysIn("new Worker('../x.ts');"), ["new Worker('../x.ts')"]);
  t.deepEqual(waysIn('const load = require;'), ['require']);
  t.deepEqual(waysIn('const { filename } = import.meta;'), ['import.meta']);
  t.deepEqual(waysIn("process.getBuiltinModule('module');"), ["process.getBuiltinModule('module')"]);
  t.deepEqual(waysIn("import { createRequire as make } from 'module';\nmake(here)('../x.ts');"), [
    "'module'",
    "make(here)('../x.ts')",
  ]);
});

test('a made-up circle is found, one of types too, and so is a file that imports itself', (t) => {
  const tree = parsed({
    'ts/a.ts': "import type { B } from './b.ts';",
    'ts/b.ts': "export * from './c.js';",
    'ts/c.ts': "import('./a.ts');",
    'ts/d.ts': "import './a.ts';",
    'ts/e.ts': "import type { E } from './e.ts';",
  });
  t.deepEqual(circles(tree), [['ts/a.ts', 'ts/b.ts', 'ts/c.ts'], ['ts/e.ts']]);
});

test('a made-up crowd is found, folders below it not counted', (t) => {
  t.deepEqual(crowdedFolders(['ts/x/a.ts', 'ts/x/b.ts', 'ts/x/y/c.ts', 'ts/x/y/d.ts', 'ts/x/y/e.ts'], 2), [
    'ts/x/y: 3',
  ]);
});
