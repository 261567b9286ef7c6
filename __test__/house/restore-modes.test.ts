import test from 'ava';

import { MODES } from '../../ts/restore/modes/modes.ts';
import { questionsIn } from './mode-questions.ts';
import { parsedFile, treeOf } from './parsed-tree.ts';

const FOLDER = 'ts/restore/modes/';
const NAMES = MODES.map(({ name }) => name);

/** The questions in a made-up file. */
function asked(text: string): readonly string[] {
  return questionsIn(parsedFile(text, 'ts/restore/made-up.ts'), NAMES);
}

test('nobody outside ts/restore/modes asks which mode it is', (t) => {
  const others = [...treeOf('ts')].filter(([path]) => !path.startsWith(FOLDER));
  t.true(others.length > 200);
  t.deepEqual(
    others.flatMap(([path, source]) => questionsIn(source, NAMES).map((found) => `${path}: ${found}`)),
    [],
  );
});

test('who asks is found, whatever the question looks like', (t) => {
  for (const asking of [
    "const isMapped = MAPPED.includes('instant');",
    'switch (kind) { case "preload": break; }',
    'const WHY = { [`eager`]: 1 };',
    "import { other } from './modes/eager.ts';",
    "const all = await import('../restore/modes/instant.ts');",
    'if (mode.name === EAGER) return;',
    'if (EAGER !== options.mode) return;',
    'if (this.#mode.name === EAGER) return;',
    'if (mode === DEFAULT_MODE) return;',
    'switch (mode.name) { default: }',
    'switch (options.mode ?? DEFAULT_MODE) { default: }',
    'switch (mode) { default: }',
    'const first = MODES[0];',
    'const last = MODES.at(-1);',
    'const [first] = MODES;',
    'const place = MODES.indexOf(mine);',
    'const all = [...MODES];',
    'const why = { eager: 1 };',
    'const why = WHY.eager;',
    'const why = WHY[mode.name];',
    'const why = WHY[(options.mode ?? DEFAULT_MODE)!];',
    'const isFast = FAST.has(mode.name);',
    "const isFast = mode.name.startsWith('x');",
    'const { name } = mode; if (name === EAGER) return;',
    'const { name: which } = options.mode; if (which === EAGER) return;',
    'const which = mode.name; const why = WHY[which];',
    "import { MODES as ALL } from './modes/modes.ts';",
    "import * as all from './modes/modes.ts';",
  ]) {
    t.is(asked(asking).length, 1, asking);
  }
  t.true(asked("if (mode === 'eager') return;").length > 0);
  t.true(asked('const why = { eager: 1 }[mode.name];').length > 0);
  for (const fine of [
    "/** @default 'instant' */",
    "import { modeOf } from './modes/modes.ts';",
    "throw new Error('use mode eager');",
    "// the plan of 'eager'",
    "const url = 'https://eager.example/';",
    'const words = `mode ${mode.name} has no use for it`;',
    'return { mode: mode.name };',
    'if (options.mode === undefined) return;',
    'if (mode.state === undefined) return;',
    'const mine = modeOf(options.mode ?? DEFAULT_MODE);',
    'const found = MODES.find(({ state }) => state !== undefined);',
  ]) {
    t.deepEqual(asked(fine), [], fine);
  }
});

test('other kinds of modes are none of these', (t) => {
  const text = "if (access.mode === 'read') return; const MODES = ['read']; const first = MODES[0];";
  t.deepEqual(questionsIn(parsedFile(text, 'ts/host/made-up.ts'), NAMES), []);
});
