import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { storeFinding } from './corpus.ts';
import { execute } from './execute.ts';
import { decodeInput } from './sparse-input.ts';
import { supervise, type RunReport } from './supervise.ts';
import { loadTarget, targetNames } from './target.ts';

const USAGE = `npm run fuzz -- [--minutes N] [--seed N] [--grow] [TARGET …]
npm run fuzz -- --replay FILE TARGET
`;

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

async function fuzz(name: string): Promise<void> {
  const { grow } = values;
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  process.stderr.write(`${name}: --minutes ${minutes} --seed ${seed}\n`);
  const { status, last } = await supervise({ name, minutes, seed, grow, onReport: printReport });
  if (status === 0) return;
  process.exitCode = 1;
  const what = status === 3 ? 'a fault, see above' : `a hang or a crash (status ${status})`;
  const where = last.length === 0 ? 'not known' : await storeFinding(name, last);
  process.stderr.write(`${name}: found ${what}; its input: ${where}\n`);
}

function printReport(report: RunReport): void {
  process.stderr.write(`${JSON.stringify(report)}\n`);
}
