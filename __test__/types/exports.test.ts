import { join } from 'node:path';

import test from 'ava';

import { packagedProject } from '../support/packaged.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { readText } from '../support/tree.ts';
import { compiledProgram } from './program.ts';
import { unreachableNames } from './unreachable-names.ts';

const { exports: entries }: { readonly exports: Readonly<Record<string, string>> } = JSON.parse(
  readText('package.json'),
);

test('every type that an entry of the package needs can be imported from it', async (t) => {
  await using project = await packagedProject({ native: true });
  const modules = Object.entries(entries).filter(([, file]) => file.endsWith('.js'));
  t.deepEqual(
    modules.map(([name]) => name),
    ['.', './stream', './uri'],
  );
  const imports = modules.map(
    ([name], index) => `export * as entry${index} from '${join('mapped-ram', name)}';\n`,
  );
  using program = await compiledProgram(project.path, { 'all.mts': imports.join('') });
  t.deepEqual(program.faults, []);
  for (const [name, file] of modules) {
    const declarations = join(project.package, file.replace(/\.js$/, '.d.ts'));
    t.deepEqual(unreachableNames(program, declarations, project.package), [], name);
  }
});

test('the types of the subpaths need neither those of Node nor those of a browser', async (t) => {
  await using project = await packagedProject({ native: false });
  const text = "export * from 'mapped-ram/stream';\nexport * from 'mapped-ram/uri';\n";
  using program = await compiledProgram(project.path, { 'pure.mts': text }, { types: [] });
  t.deepEqual(program.faults, []);
});

test('a made-up type that is needed and not exported is found, however it is needed', async (t) => {
  await using dir = await temporaryDirectory();
  using program = await compiledProgram(
    dir.path,
    {
      'entry.ts': `import type { Hidden as Other } from './parts.ts';
export { useAll } from './use.ts';
export type { Shown } from './parts.ts';
export type * as Names from './names.ts';
export class Class extends Base { own: Other | undefined; }
declare class Base { inherited: string; }
`,
      'use.ts': `import type { Constraint, Shown } from './parts.ts';
import type { InNames } from './names.ts';
const table: Table = {};
type Table = Record<string, InTable>;
interface InTable { deep: import('./parts.ts').Imported }
export declare function useAll<T extends Constraint>(shown: Shown, named: InNames, by?: keyof typeof table): Map<T, URL>;
`,
      'parts.ts': `export interface Shown { text: string }
export interface Hidden { text: string }
export interface Constraint { text: string }
export interface Imported { text: string }
`,
      'names.ts': 'export interface InNames { text: string }\n',
    },
    {
      allowImportingTsExtensions: true,
      types: ['node'],
      typeRoots: [join(import.meta.dirname, '../../node_modules/@types')],
    },
  );
  t.deepEqual(program.faults, []);
  t.deepEqual(unreachableNames(program, dir.file('entry.ts'), dir.path), [
    'Base, needed by Class',
    'Constraint, needed by useAll',
    'Hidden, needed by Class',
    'Imported, needed by InTable',
    'InTable, needed by Table',
    'Table, needed by table',
    'table, needed by useAll',
  ]);
});
