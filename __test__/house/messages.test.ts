import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';

/** The one file that reads QEMU's words, where QEMU gives nothing else: its docstring says which, and why. */
const READS_QEMU = 'ts/qmp/refusal.ts';

/** Matches the names under which code has the words of an error. */
const WORDS = String.raw`(?:message|shortMessage|desc|errorDesc)\b|\w*(?:[mM]essage|[wW]ords)\w*\([^()]*\)`;
const SEARCH = 'match|matchAll|replace|replaceAll|search|split|slice|includes|startsWith|endsWith|indexOf';

/** Matches the ways in which a program looks into words. */
const LOOKS: readonly RegExp[] = [
  // error.message.includes('x')
  new RegExp(String.raw`\b(?:${WORDS})\s*\??\.(?:${SEARCH})\(`, 'g'),
  // text.includes(error.message), /x/.test(error.message)
  new RegExp(String.raw`\.(?:${SEARCH}|test|exec)\(\s*(?:[\w.?]*\.)?(?:${WORDS})`, 'g'),
  // error.message === 'x'
  new RegExp(String.raw`\.(?:message|shortMessage|desc|errorDesc)\s*[!=]==?\s*['"\`]`, 'g'),
];

function looksIn(text: string): readonly string[] {
  return LOOKS.flatMap((look) => [...text.matchAll(look)].map(([found]) => found));
}

test('no program text looks into the words of an error: behaviour hangs on codes and fields', (t) => {
  const files = filesBelow('ts', '.ts');
  t.true(files.length > 200);
  t.deepEqual(
    files.flatMap((path) => looksIn(readText(path)).map((found) => `${path}: ${found}`)),
    [`${READS_QEMU}: desc.includes(`],
  );
});

test('a look into the words of an error is found, however it is written', (t) => {
  for (const look of [
    `if (error.message.includes('busy')) return;`,
    `error.message?.startsWith(place)`,
    'error?.message\n      .replace(/x/, "")',
    `const { message } = error; message.split(':')`,
    `messageOf(error).endsWith('x')`,
    `bareMessage(error).replace(/x/, 'y')`,
    `wordsOf(error).slice(3)`,
    `words.includes(cause.message)`,
    `/at (\\d+)/.exec(error.message)`,
    `PATTERN.test(messageOf(error))`,
    `PATTERN.test(message)`,
    `reply.desc.match(/in use/)`,
    `error.message === 'late'`,
    `info.errorDesc?.includes('x')`,
  ]) {
    t.is(looksIn(look).length, 1, look);
  }
  for (const innocent of [
    'const words = `${error.message}: ${why}`;',
    'message.id === undefined',
    'lines.push(error.message)',
    'messages.includes(code)',
    `error.code === 'ERR_MAPPED_RAM_IO'`,
    'describe(message).slice(1)',
  ]) {
    t.deepEqual(looksIn(innocent), [], innocent);
  }
});
