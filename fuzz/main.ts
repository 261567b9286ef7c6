import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { storeFinding } from './corpus.ts';
import { execute } from './execute.ts';
import { decodeInput } from './sparse-input.ts';
import { loadTarget, targetNames } from './target.ts';

const USAGE = `npm run fuzz -- [--minutes N] [--seed N] [--grow] [TARGET …]
npm run fuzz -- --replay FILE TARGET
`;

/** Without a sign of life for this long a child hangs. */
const PATIENCE_MS = 60_000;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    grow: { type: 'boolean', default: false },
    replay: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const names = await targetNames();
const unknown = positionals.filter((name) => !names.includes(name));
if (values.help || unknown.length > 0) {
  process.stderr.write(`${USAGE}Targets: ${names.join(', ')}\n`);
  process.exitCode = values.help ? 0 : 2;
} else if (values.replay === undefined) {
  for (const name of positionals.length > 0 ? positionals : names) await fuzz(name);
} else {
  await replay(values.replay, positionals[0] ?? '');
}

async function replay(path: string, name: string): Promise<void> {
  const { fault, reached } = await execute(await loadTarget(name), decodeInput(await readFile(path)));
  process.stderr.write(`${fault?.stack ?? reached}\n`);
  if (fault !== undefined) process.exitCode = 1;
}

/** One target in a process of its own, so that a hang and a crash are findings, too. */
async function fuzz(name: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-fuzz-'));
  const current = join(directory, 'current');
  const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 32));
  process.stderr.write(`${name}: --minutes ${values.minutes} --seed ${seed}\n`);
  const args = [name, '--minutes', values.minutes, '--seed', seed, '--current', current];
  const child = fork(
    fileURLToPath(new URL('run-target.ts', import.meta.url)),
    values.grow ? [...args, '--grow'] : args,
    { execArgv: process.execArgv },
  );
  let patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  child.on('message', (state: unknown) => {
    process.stderr.write(`${JSON.stringify(state)}\n`);
    patience.refresh();
  });
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  clearTimeout(patience);
  if (status !== 0) process.exitCode = 1;
  if (status !== 0 && status !== 3) {
    const path = await storeFinding(name, await readFile(current));
    process.stderr.write(`${name}: FOUND a hang or a crash (status ${status}), input in ${path}\n`);
  }
  await rm(directory, { recursive: true });
}
