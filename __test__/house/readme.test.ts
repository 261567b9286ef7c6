import { spawnSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { NEEDS_QEMU, README, readmeBlocks, toCommonJs } from '../support/readme.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CLI = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
const PAGES = 64;

/** A directory with the built package as `mapped-ram`, and with the files that the README names. */
async function project(): Promise<TemporaryDirectory> {
  const dir = await temporaryDirectory();
  await mkdir(dir.file('node_modules'));
  await symlink(ROOT, dir.file('node_modules/mapped-ram'), 'junction');
  await writeRam(dir.file('guest.ram'), PAGES, (page) => page % 3 === 0);
  await writeFile(
    dir.file('guest.state'),
    syntheticState({ blocks: [{ id: 'ram0', length: PAGES * PAGE }] }),
  );
  return dir;
}

/** The README's text with names in this directory in place of those in /dev/shm, which other programs share. */
function here(text: string): string {
  return text.replaceAll('/dev/shm/', '');
}

function node(dir: TemporaryDirectory, args: readonly string[]): { status: number | null; out: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: dir.path, encoding: 'utf8' });
  return { status, out: status === 0 ? stdout : stdout + stderr };
}

async function runExample(dir: TemporaryDirectory, name: string, code: string, args: string[] = []) {
  await writeFile(dir.file(name), here(code));
  return node(dir, [name, ...args]);
}

const [firstExample = '', ...moreExamples] = readmeBlocks('js');
/** The examples that take no running QEMU; __test__/with-qemu/readme.test.ts runs the others. */
const otherExamples = moreExamples.filter((code) => !NEEDS_QEMU.test(code));

test('the first example runs as ESM and as CommonJS against the built package, and says the same', async (t) => {
  await using dir = await project();
  const pack = await runExample(dir, 'pack.mjs', otherExamples[0] ?? '');
  t.is(pack.status, 0, pack.out);
  for (const args of [[], ['guest.mapped']]) {
    const esm = await runExample(dir, 'example.mjs', firstExample, args);
    t.is(esm.status, 0, esm.out);
    t.regex(esm.out, /^I\/O engine: (io_uring|threads), direct I\/O here: (yes|no)\n/);
    const commonJs = await runExample(dir, 'example.cjs', toCommonJs(firstExample), args);
    t.deepEqual(commonJs, esm);
    if (args.length > 0) {
      t.true(esm.out.includes('machine: pc-q35-10.0, complete\n'));
      t.true(esm.out.includes(`ram0: ${PAGES * PAGE} bytes, 22 pages in the file, 42 zero\n`));
    }
  }
});

test('the other examples run in their order, and what they unpack is what they packed', async (t) => {
  await using dir = await project();
  t.is(otherExamples.length, 2);
  const outputs: string[] = [];
  for (const [index, example] of otherExamples.entries()) {
    const { status, out } = await runExample(dir, `example-${index}.mjs`, example);
    t.is(status, 0, out);
    outputs.push(out);
  }
  t.regex(outputs[0] ?? '', /^guest\.mapped: \d+ bytes, 90112 of them pages\n/);
  t.regex(outputs[0] ?? '', /^(io_uring|threads): .+\ndirect I\/O (on|off): .+\n$/m);
  t.regex(outputs[1] ?? '', /^ram0 in \d+ ms\n$/);
  t.deepEqual(await readFile(dir.file('unpacked.ram')), await readFile(dir.file('guest.ram')));
});

test('the commands run in their order, and what they unpack is what they packed', async (t) => {
  await using dir = await project();
  const commands = readmeBlocks('sh')
    .flatMap((block) => here(block).split('\n'))
    .filter((line) => line.startsWith('npx mapped-ram ') && !NEEDS_QEMU.test(line))
    .map((line) => line.trim().split(/ +/).slice(2));
  t.deepEqual(
    commands.map(([name]) => name),
    ['pack', 'info', 'unpack'],
  );
  for (const args of commands) {
    const { status, out } = node(dir, [CLI, ...args]);
    t.is(status, 0, `${args.join(' ')}: ${out}`);
  }
  t.deepEqual(await readFile(dir.file('restored.ram')), await readFile(dir.file('guest.ram')));
});

test('a newcomer reads two commands first, and continuous integration runs the second to the letter', async (t) => {
  const [first, second = ''] = readmeBlocks('sh');
  t.is(first, 'npm ci && npm run demo\n');
  t.is(second, 'npm ci && npm test\n');
  const script = await readFile(`${ROOT}/.ci/run`, 'utf8');
  t.true(script.includes(second.trim()));
});

test('the README names only scripts that package.json has', async (t) => {
  const manifest: { readonly scripts: Record<string, string> } = JSON.parse(
    await readFile(`${ROOT}/package.json`, 'utf8'),
  );
  const contributing = await readFile(`${ROOT}/CONTRIBUTING.md`, 'utf8');
  const named = [...(README + contributing).matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name ?? '');
  t.true(named.length > 0);
  t.deepEqual(
    named.filter((name) => !(name in manifest.scripts)),
    [],
  );
});
