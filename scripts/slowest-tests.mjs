// Reads ava's report on standard input, and prints the files whose tests took longest together. Tests of one file may run
// at once, so the seconds say where to look, not how long a file takes.
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';

const MOST = 25;
const seconds = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const plain = stripVTControlCharacters(line);
  const test = /^ {2}[✔✘] (?:\[fail\]: )?(.+) \((?:(\d+)m )?([\d.]+)(ms|s)\)$/.exec(plain);
  if (test === null) continue;
  const [, title, minutes = '0', number, unit] = test;
  const file = title.split(' › ').slice(0, 2).join(' › ');
  const took = Number(minutes) * 60 + Number(number) / (unit === 'ms' ? 1000 : 1);
  seconds.set(file, (seconds.get(file) ?? 0) + took);
}

const sorted = [...seconds].toSorted(([, a], [, b]) => b - a);
const all = sorted.reduce((sum, [, took]) => sum + took, 0);
print('all tests', all);
for (const [file, took] of sorted.slice(0, MOST)) print(file, took);

function print(what, took) {
  process.stdout.write(`${took.toFixed(0).padStart(6)} s  ${what}\n`);
}
