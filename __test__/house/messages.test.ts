import test from 'ava';

import { looksIn, readsIn } from './error-words.ts';
import { parsedFile, treeOf } from './parsed-tree.ts';

/** The one file that reads QEMU's words, where QEMU gives nothing else: its docstring says which, and why. */
const READS_QEMU = 'ts/qmp/refusal.ts';

/** The files that take words out of errors, and what for. All others hand errors on, or read codes and fields. */
const TAKES_WORDS: Readonly<Record<string, string>> = {
  'ts/bench/ours/huge-page-contenders.ts': 'says why memory in huge pages takes no part',
  'ts/cli/main.ts': 'prints the failure to write output',
  'ts/cli/render/devices/table.ts': 'prints problems of devices',
  'ts/cli/render/error.ts': 'prints errors',
  'ts/cli/render/info.ts': "prints a snapshot's problem",
  'ts/cli/render/verify.ts': 'prints findings',
  'ts/convert/source-places.ts': 'composes an error of the same words with another place',
  'ts/engine/binding.ts': "composes an error of the engine's words",
  'ts/errors.ts': 'composes the words of errors',
  'ts/extract/extract.ts': 'composes a warning',
  'ts/negotiate/rules/target.ts': "composes a rule's words",
  'ts/restore/postcopy/server-messages.ts': 'hands an error on to another process',
  'ts/restore/preflight/disks-in-use.ts': "adds the disks to QEMU's refusal to let a guest run",
  'ts/save/check-saved.ts': 'composes the faults of a saved file',
  'ts/snapshot/delta-base.ts': 'composes an error that says why each place has no base',
  'ts/stream/devices/decode-x86-cpus.ts': 'composes an error that says why there are no CPUs',
  'ts/verify/check-stream.ts': 'composes findings',
  'ts/verify/scan-pages.ts': 'composes findings',
  'ts/verify/verify.ts': 'composes the finding that a seal is unusable',
};

const house = treeOf('ts');

function looks(text: string): readonly string[] {
  return looksIn(parsedFile(text));
}

function reads(text: string): readonly string[] {
  return readsIn(parsedFile(text));
}

test('no program text looks into the words of an error: behaviour hangs on codes and fields', (t) => {
  t.true(house.size > 200);
  t.deepEqual(
    [...house].flatMap(([path, source]) => looksIn(source).map((found) => `${path}: ${found}`)),
    [`${READS_QEMU}: error.qmp.desc.includes`],
  );
});

test('the words of errors are taken where they are printed or composed, and nowhere else', (t) => {
  const takers = [...house].filter(([, source]) => readsIn(source).length > 0).map(([path]) => path);
  t.deepEqual(takers.toSorted(), Object.keys(TAKES_WORDS));
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
    'error.message === LATE',
    `'late' === error.message`,
    'LATE !== messageOf(error)',
    `switch (error.message) { default: }`,
    'switch (true) { case error.message: }',
    `String(error).includes('x')`,
    `error.toString().includes('x')`,
    '`${error}`.includes("x")',
    '`${error.message}`.includes("x")',
    `('' + error).includes('x')`,
    `error['message'].includes('x')`,
    `error.message.toLowerCase().includes('x')`,
    `(error.message ?? '').includes('x')`,
    `(error as Error).message!.startsWith('x')`,
    'error.message.substring(3)',
    'error.message.length > 3',
    `error.stack?.includes('x')`,
    'SET.has(error.message)',
    'WORDS[error.message]',
    'const word = { [error.message]: 1 };',
    'new RegExp(error.message)',
    'const { message } = error; if (message === LATE) return;',
    `const { shortMessage: words } = error; words.includes('x')`,
    `let words; ({ message: words } = error); words.includes('x')`,
    `const found = error.message ?? ''; found.includes('x')`,
    `const found = messageOf(error); found.includes('x')`,
    `errors.filter(({ message }) => message.includes('x'))`,
    `const letters = [...error.message];`,
    `const why = error.message ? 1 : 2;`,
  ]) {
    t.is(looks(look).length, 1, look);
  }
  for (const innocent of [
    'const words = `${error.message}: ${why}`;',
    'message.id === undefined',
    'lines.push(error.message)',
    'messages.includes(code)',
    `error.code === 'ERR_MAPPED_RAM_IO'`,
    'describe(message).slice(1)',
    'const why = error === undefined ? "" : ` (${error.message})`;',
    'const { message } = error; return { message };',
    'composeMessage(shortMessage, { cause })',
    'if (index.problem?.message === undefined) return;',
    "words.includes('x')",
    "// error.message.includes('x')",
  ]) {
    t.deepEqual(looks(innocent), [], innocent);
  }
});

test('words that are taken are found, however they are taken', (t) => {
  for (const read of [
    'print(error.message)',
    'print(error?.shortMessage)',
    'print(error.stack)',
    `print(error['message'])`,
    'const { message } = error;',
    'const { message: words } = error;',
    `const { 'message': words } = error;`,
    '({ message } = error);',
    '({ message: words } = error);',
    'errors.map(({ message }) => message)',
    'print(String(error))',
    'print(error.toString())',
    'print(`${cause}`)',
    `print('' + readError)`,
  ]) {
    t.is(reads(read).length, 1, read);
  }
  for (const other of [
    'print({ message })',
    `throw new MappedRamError(code, message);`,
    'print(String(count))',
    'messageOf(error)',
    'interface Finding { readonly message: string }',
  ]) {
    t.deepEqual(reads(other), [], other);
  }
});
