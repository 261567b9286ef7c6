// Counts the instructions of the engine's hot loops under callgrind, and compares them with the limits in
// crates/engine/benches/limits.json. With --renew it writes the limits anew. Needs cargo and valgrind; on another
// architecture than that of the table it compares nothing, and says so. With --same-compiler it refuses any compiler but
// that of the table, whose limits are sharp.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './native-files.mjs';

const TABLE = join(ROOT, 'crates/engine/benches/limits.json');
const BUILD = 'build --release --package mapped-ram-engine --bin instructions --features counted --locked';
/** A case runs once and so many times more: what the runs differ by has no start and no set-up in it. */
const MORE = 10;
/** Counts of one compiler and lockfile differ by a few instructions: the C library's allocations fall differently. */
const TOLERANCE = 0.001;
/** Another compiler makes other code of the same source. */
const OTHER_COMPILER_TOLERANCE = 0.1;

const renew = process.argv.includes('--renew');
const table = JSON.parse(readFileSync(TABLE, 'utf8'));
if (!renew && table.architecture !== process.arch) {
  say(`nothing is compared: the limits are for ${table.architecture}, and this is ${process.arch}`);
} else {
  const rustc = execFileSync('rustc', ['--version'], { encoding: 'utf8' }).trim();
  if (process.argv.includes('--same-compiler') && rustc !== table.rustc)
    throw new Error(`expected ${table.rustc}, which made the limits, found ${rustc}`);
  const instructions = countAll(build());
  if (renew) {
    const renewed = { architecture: process.arch, rustc, instructions };
    writeFileSync(TABLE, `${JSON.stringify(renewed, undefined, 2)}\n`);
  } else compare(instructions, rustc);
}

function say(words) {
  process.stdout.write(`${words}\n`);
}

/** Builds the program and returns its path. */
function build() {
  const args = [...BUILD.split(' '), '--message-format=json-render-diagnostics'];
  const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 };
  const messages = execFileSync('cargo', args, options).trim().split('\n');
  const built = messages.map((line) => JSON.parse(line)).find(({ executable }) => executable);
  if (built === undefined) throw new Error(`cargo ${BUILD} names no executable`);
  return built.executable;
}

function countAll(program) {
  const cases = execFileSync(program, ['list'], { encoding: 'utf8' }).trim().split('\n');
  return Object.fromEntries(
    cases.map((name) => {
      const [once, more] = [1, 1 + MORE].map((times) => count(program, name, times));
      return [name, Math.round((more - once) / MORE)];
    }),
  );
}

/** Counts the instructions of the whole program. */
function count(program, ...args) {
  const valgrind = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, ...args];
  const { error, status, stderr } = spawnSync('valgrind', valgrind, { encoding: 'utf8' });
  if (error !== undefined) throw new Error(`cannot run valgrind: ${error.message}`);
  const collected = /Collected : (\d+)/.exec(stderr)?.[1];
  if (status !== 0 || collected === undefined) throw new Error(`valgrind ${valgrind.join(' ')}: ${stderr}`);
  return Number(collected);
}

function compare(instructions, rustc) {
  const isSame = rustc === table.rustc;
  const tolerance = isSame ? TOLERANCE : OTHER_COMPILER_TOLERANCE;
  const allowed = `${tolerance * 100} % are allowed ${isSame ? 'with' : `with ${rustc}, for limits made with`} ${table.rustc}`;
  const offences = [];
  for (const name of new Set([...Object.keys(instructions), ...Object.keys(table.instructions)])) {
    const [found, limit] = [instructions[name], table.instructions[name]];
    const grown = found / limit - 1;
    say(`${name}: ${found ?? 'not counted'}, limit ${limit ?? 'unknown'}`);
    if (found === undefined || limit === undefined)
      offences.push(`${name}: in the table or in the program only`);
    else if (grown > tolerance)
      offences.push(`${name}: grew from ${limit} to ${found} instructions, by ${(grown * 100).toFixed(2)} %`);
  }
  if (offences.length === 0) return;
  say(`${offences.join('\n')}\n${allowed}.`);
  say('If that is meant, `npm run counts:renew` writes crates/engine/benches/limits.json anew.');
  process.exitCode = 1;
}
