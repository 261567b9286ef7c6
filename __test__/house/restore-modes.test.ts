import test from 'ava';

import { MODES } from '../../ts/restore/modes/modes.ts';
import { filesBelow, readText } from '../support/tree.ts';

const FOLDER = 'ts/restore/modes/';
/** Matches the files that other folders may import. */
const PUBLIC = /\/(?:mode|modes)\.ts$/;

/** Code without its comments, which may name modes. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}

/** The places at which a file asks which mode it has, or imports a mode's own file. */
function questionsIn(path: string, text: string): readonly string[] {
  const code = withoutComments(text);
  const names = MODES.map(({ name }) => name).join('|');
  const literals = [...code.matchAll(new RegExp(`(['"\`])(?:${names})\\1`, 'g'))];
  const imports = [...code.matchAll(/['"]([^'"]*\/modes\/[^'"]+)['"]/g)].filter(
    ([, from = '']) => !PUBLIC.test(from),
  );
  return [...literals, ...imports].map(([found]) => `${path}: ${found}`);
}

test('nobody outside ts/restore/modes asks which mode it is', (t) => {
  const others = filesBelow('ts', '.ts').filter((path) => !path.startsWith(FOLDER));
  t.true(others.length > 200);
  t.deepEqual(
    others.flatMap((path) => questionsIn(path, readText(path))),
    [],
  );
});

test('who asks is found, whatever the question looks like', (t) => {
  for (const asking of [
    "if (mode === 'eager') return;",
    "const isMapped = 'instant' === options.mode;",
    'switch (mode) { case "preload": break; }',
    'const WHY = { [`eager`]: 1 };',
    "import { eager } from './modes/eager.ts';",
    "const { instant } = await import('../restore/modes/instant.ts');",
  ]) {
    t.is(questionsIn('made-up.ts', asking).length, 1, asking);
  }
  for (const fine of [
    "/** @default 'instant' */",
    "import { modeOf } from './modes/modes.ts';",
    "throw new Error('use mode eager');",
    "// the plan of 'eager'",
    "const url = 'https://eager.example/';",
  ]) {
    t.deepEqual(questionsIn('made-up.ts', fine), [], fine);
  }
});
