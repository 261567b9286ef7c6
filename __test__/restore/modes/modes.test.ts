import test from 'ava';

import type { Mode } from '../../../ts/restore/modes/mode.ts';
import {
  MODE_NAMES,
  MODES,
  modeMeantBy,
  modeOf,
  modeOn,
  type RestoreMode,
} from '../../../ts/restore/modes/modes.ts';

/** A check of the answer to each question. A new question fails to compile here until it stands in this table. */
const QUESTIONS: Readonly<Record<keyof Mode, (answer: unknown) => boolean>> = {
  name: isText,
  summary: isText,
  outcome: isText,
  options: Array.isArray,
  whyNoOthers: isText,
  isPossibleOn: isFunction,
  isMeantBy: isFunction,
  fillsMemoryFirst: isBoolean,
  takesUnmeasured: isBoolean,
  outOfBand: isBoolean,
  stateProblem: isFunction,
  startAhead: isFunction,
  keepsSnapshot: isBoolean,
  state: (answer) => answer === undefined || isBoolean(Object(answer)['mapped']),
  prepare: isFunction,
  startsWithMemory: isBoolean,
  launchProblems: isFunction,
  memoryObject: isFunction,
  blocksInPlace: isFunction,
  nothingInPlace: (answer) => answer === undefined || isText(answer),
  resizesBlocks: isBoolean,
  placeProblems: isFunction,
  unlistedProblems: isFunction,
  capabilityProblems: isFunction,
  placeWarnings: isFunction,
  load: isFunction,
  ready: isFunction,
};

for (const mode of MODES) {
  test(`${mode.name} answers each question`, (t) => {
    const answers = new Map(Object.entries(mode));
    t.deepEqual([...answers.keys()].toSorted(), Object.keys(QUESTIONS).toSorted());
    for (const [question, isAnswer] of Object.entries(QUESTIONS)) {
      t.true(isAnswer(answers.get(question)), question);
    }
    t.is(modeOf(mode.name).name, mode.name);
  });
}

test('people are told of the modes in one order, and no two are called the same', (t) => {
  const names: readonly RestoreMode[] = ['instant', 'preload', 'lazy', 'eager'];
  t.deepEqual(
    MODES.map(({ name }) => name),
    names,
  );
});

test('what names no mode is refused, with the names that there are', (t) => {
  for (const name of ['', 'toString', 'hasty']) {
    // @ts-expect-error: programs without types may pass anything
    t.throws(() => modeOf(name), {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: `mode of a restore: expected ${MODE_NAMES.join(', ')}, found ${name}`,
    });
  }
});

test('a mode that is not named follows from what QEMU maps', (t) => {
  t.is(modeMeantBy(['pc.ram']).name, 'instant');
  t.is(modeMeantBy([]).name, 'eager');
});

test('what a platform cannot have is passed over, and said', (t) => {
  t.like(modeOn('linux'), { mode: { name: 'instant' }, why: 'QEMU can map the memory out of the snapshot' });
  t.like(modeOn('darwin'), {
    mode: { name: 'eager' },
    why: 'files are handed to QEMU through /proc, which only Linux has',
  });
});

function isText(answer: unknown): boolean {
  return typeof answer === 'string' && answer !== '' && !answer.endsWith('.');
}

function isBoolean(answer: unknown): boolean {
  return typeof answer === 'boolean';
}

function isFunction(answer: unknown): boolean {
  return typeof answer === 'function';
}
