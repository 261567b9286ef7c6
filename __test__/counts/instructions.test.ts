import { spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';

import test from 'ava';
import { parse } from 'yaml';

import { temporaryDirectory } from '../support/temporary.ts';
import { readText } from '../support/tree.ts';

interface Table {
  readonly architecture: string;
  readonly rustc: string;
  readonly instructions: Readonly<Record<string, number>>;
}

const TABLE: Table = JSON.parse(readText('crates/engine/benches/limits.json'));
const OTHER = 'rustc 1.0.0 (000000000 2015-05-13)';
const onItsArchitecture = process.arch === TABLE.architecture ? test : test.skip;

/** Runs the script with made-up tools: the program needs `factor` times the limits, and the compiler is `rustc`. */
async function counted(
  rustc: string,
  factor: number,
  ...args: readonly string[]
): Promise<{ readonly status: number | null; readonly output: string }> {
  await using dir = await temporaryDirectory();
  const cases = Object.entries(TABLE.instructions);
  const program = dir.file('program');
  // The script takes the difference of a run with eleven turns and one with one.
  const counts = cases.map(
    ([name, limit]) => `'${name}') echo "Collected : $(($4 * ${Math.round(limit * factor)}))" >&2 ;;`,
  );
  const tools = {
    program: cases.map(([name]) => `echo '${name}'`),
    rustc: [`echo '${rustc}'`],
    cargo: [`echo '${JSON.stringify({ executable: program })}'`],
    // --tool, --callgrind-out-file, program, name, times
    valgrind: ['shift', 'case "$3" in', ...counts, 'esac'],
  };
  for (const [name, lines] of Object.entries(tools)) {
    await writeFile(dir.file(name), ['#!/bin/sh', ...lines, ''].join('\n'));
    await chmod(dir.file(name), 0o755);
  }
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['scripts/count-instructions.mjs', ...args],
    {
      env: { ...process.env, PATH: `${dir.path}:${process.env['PATH']}` },
      encoding: 'utf8',
    },
  );
  return { status, output: stdout + stderr };
}

onItsArchitecture(
  'instructions may grow by 0.1 % with the compiler of the limits, and no more',
  async (t) => {
    t.is((await counted(TABLE.rustc, 1)).status, 0);
    t.is((await counted(TABLE.rustc, 1.0008)).status, 0);
    const grown = await counted(TABLE.rustc, 1.002);
    t.is(grown.status, 1);
    t.regex(grown.output, /zero scan, zero pages: grew from \d+ to \d+ instructions, by 0\.20 %/);
    t.true(grown.output.includes('0.1 % are allowed with rustc'));
  },
);

onItsArchitecture('another compiler has 10 %, unless that of the limits is asked for', async (t) => {
  t.is((await counted(OTHER, 1.05)).status, 0);
  t.is((await counted(OTHER, 1.15)).status, 1);
  const refused = await counted(OTHER, 1, '--same-compiler');
  t.is(refused.status, 1);
  t.true(refused.output.includes(`expected ${TABLE.rustc}, which made the limits, found ${OTHER}`));
  t.is((await counted(TABLE.rustc, 1, '--same-compiler')).status, 0);
});

test('the workflow counts instructions with the compiler of the limits', (t) => {
  const {
    jobs,
  }: { readonly jobs: { readonly regression: { readonly steps: readonly { readonly run?: string }[] } } } =
    parse(readText('.github/workflows/bench.yml'));
  const scripts: readonly string[] = jobs.regression.steps.flatMap(({ run = '' }) =>
    run.includes('counts:instructions') ? [run] : [],
  );
  t.is(scripts.length, 1);
  const [script = ''] = scripts;
  const named = /RUSTUP_TOOLCHAIN=(\$\(node .*\))$/m.exec(script)?.[1] ?? '';
  const { stdout } = spawnSync('bash', ['-c', `echo ${named}`], { encoding: 'utf8' });
  t.is(stdout.trim(), TABLE.rustc.split(' ')[1] ?? '');
  t.true(script.includes('--same-compiler'));
});
