import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';

import { packagedProject } from '../support/packaged.ts';
import { namingProgram } from './naming-program.ts';
import { compiledProgram } from './program.ts';

const ENTRIES = [
  ['mapped-ram', 'dist/index'],
  ['mapped-ram/stream', 'dist/stream/index'],
  ['mapped-ram/uri', 'dist/uri/index'],
] as const;

test('a program can name the type of every argument and every result of the package', async (t) => {
  await using project = await packagedProject({ native: true });
  const imports = ENTRIES.map(([module], index) => `export * as entry${index} from '${module}';\n`);
  using packaged = await compiledProgram(project.path, { 'all.mts': imports.join('') });
  for (const [module, file] of ENTRIES) {
    const { text, values } = namingProgram(packaged, module, join(project.package, `${file}.d.ts`));
    using program = await compiledProgram(project.path, { 'names.mts': text });
    t.deepEqual(program.faults, [], text);
    const exported: object = await import(pathToFileURL(join(project.package, `${file}.js`)).href);
    t.deepEqual([...values].filter((name) => name in exported).toSorted(), Object.keys(exported).toSorted());
  }
});
