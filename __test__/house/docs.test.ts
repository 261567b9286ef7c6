import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

import test from 'ava';

import * as api from '../../ts/index.ts';
import * as stream from '../../ts/stream/index.ts';
import * as uri from '../../ts/uri/index.ts';
import { filesBelow, readText, ROOT } from '../support/tree.ts';

const documents = [...filesBelow('', '.md')];
const sources = ['ts', 'crates', '__test__', 'scripts', 'bench', 'fuzz'].flatMap((folder) =>
  filesBelow(folder, '.ts', '.rs', '.mjs'),
);

test('every link between documents leads to a file', (t) => {
  const links = documents.flatMap((path) =>
    [...readText(path).matchAll(/\]\((?!https?:)([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => ({
      path,
      link,
    })),
  );
  t.true(links.length > 5);
  t.deepEqual(
    links.filter(({ path, link }) => !existsSync(join(ROOT, dirname(path), link))),
    [],
  );
});

test('every document that code or documents name exists', (t) => {
  const named = [...documents, ...sources].flatMap((path) =>
    [...readText(path).matchAll(/\bdocs\/[\w-]+\.md/g)].map(([name]) => ({ path, name })),
  );
  t.true(named.length > 10);
  t.deepEqual(
    named.filter(({ name }) => !existsSync(join(ROOT, name))),
    [],
  );
});

test('every section of the format that code or documents refer to is there', (t) => {
  const found = readText('docs/format.md').matchAll(/^#{2,3} ([\d.]*\d)\.? /gm);
  const headings = new Set([...found].map(([, number]) => number));
  t.true(headings.has('2.3'));
  const referred = [...documents, ...sources].flatMap((path) =>
    [...readText(path).matchAll(/§(\d+(?:\.\d+)*)/g)].map(([, section]) => ({ path, section })),
  );
  t.true(referred.length > 50);
  t.deepEqual(
    referred.filter(({ section }) => !headings.has(section)),
    [],
  );
});

test('the architecture names every folder of the source, and no folder that is not there', (t) => {
  const architecture = readText('ARCHITECTURE.md');
  const folders = [...sources, 'npm/', 'native/', 'docs/']
    .map((path) => /^(ts\/[\w-]+|crates\/engine\/src\/[\w-]+|[\w-]+)\//.exec(path)?.[1])
    .filter((folder) => folder !== undefined);
  for (const folder of new Set(folders)) t.true(architecture.includes(`${folder}/`), folder);
  const named = [...architecture.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path),
  );
  t.true(named.length > 15);
  t.deepEqual(
    named.filter((path) => path !== 'native/' && !existsSync(join(ROOT, path))),
    [],
  );
});

test('docs/api.md has everything that can be imported, and imports nothing else', (t) => {
  const documented = readText('docs/api.md');
  for (const name of Object.keys({ ...api, ...stream, ...uri }))
    t.regex(documented, new RegExp(`\\b${name}\\b`), name);
  const headings = [...documented.matchAll(/^## `(\w+)[^`]*`/gm)].map(([, name = '']) => name);
  t.true(headings.length > 3);
  t.deepEqual(
    headings.filter((name) => !(name in api)),
    [],
  );
});
