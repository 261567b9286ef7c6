import { link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';

import test from 'ava';

import type { BenchReport } from '../../ts/bench/report.ts';
import { type CliRun, runCli } from '../cli/run-cli.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const NO_QEMU = { env: { MAPPED_RAM_QEMU: '/nonexistent/qemu' } };
/** One contender and one reference, so that five rounds take little. */
const QUICK = ['--size', '16MiB', '--work', 'verify', '--io-engine', 'threads', '--direct-io', 'off'];

function bench(dir: TemporaryDirectory, ...args: readonly string[]): Promise<CliRun> {
  return runCli(['bench', '--dir', dir.path, ...args], NO_QEMU);
}

/** A report as `--save-baseline` writes it, with changes. */
function report(changes: {
  readonly size?: number;
  readonly rounds?: number;
  readonly file?: string;
  readonly references?: readonly string[];
}): string {
  const { size = 2 ** 24, rounds = 5, file = 'cold', references = ['fio'] } = changes;
  const contender = (name: string, isReference: boolean): object => ({
    name,
    program: name,
    isReference,
    settings: { made: 'up' },
    rounds: Array.from({ length: rounds }, () => ({ milliseconds: 1, bytes: size, dataBytes: size })),
    summary: { milliseconds: { median: 1, min: 1, max: 1 } },
  });
  return JSON.stringify({
    schemaVersion: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    machine: { memory: 1, load: 0 },
    settings: { directory: '/', sizes: [size], rounds, transfer: {} },
    skipped: [],
    results: [
      {
        size,
        work: 'verify',
        memory: 'random',
        file,
        contenders: [contender('mapped-ram', false), ...references.map((name) => contender(name, true))],
      },
    ],
  });
}

test.serial(
  'a report that the baseline cannot judge is printed and kept, and the error follows',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using out = await temporaryDirectory();
    const [before, after, page] = [out.file('before.json'), out.file('after.json'), out.file('page.html')];
    // Only the run tells that its fio was told something else.
    await writeFile(before, report({}));
    const files = ['--baseline', before, '--save-baseline', after, '--html', page];
    const run = await bench(dir, ...QUICK, ...files);
    t.is(run.code, 1, run.stderr);
    t.regex(run.stdout, /^verify, random memory, cold file$/m);
    t.regex(run.stdout, /^mapped-ram +[\d.]+ /m);
    t.regex(
      run.stderr,
      /the baseline cannot judge this run: verify random cold.*no reference with the same settings/,
    );
    t.regex(await readFile(page, 'utf8'), /^<!doctype html>/i);
    const kept: BenchReport = JSON.parse(await readFile(after, 'utf8'));
    t.is(kept.results[0]?.contenders[0]?.rounds.length, 5);
    const json = await bench(dir, ...QUICK, '--json', '--baseline', before);
    t.is(json.code, 1, json.stderr);
    t.like(json.json(), {
      results: [{ work: 'verify' }],
      error: { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' },
    });
  },
);

test.serial('a page that cannot be written takes neither the report nor the baseline along', async (t) => {
  await using dir = await temporaryDirectory();
  await using out = await temporaryDirectory();
  const after = out.file('after.json');
  const files = ['--html', '/dev/full', '--save-baseline', after];
  const run = await bench(dir, ...QUICK, '--rounds', '1', ...files);
  t.is(run.code, 1, run.stderr);
  t.regex(run.stdout, /^verify, random memory, cold file$/m);
  t.regex(run.stderr, /\/dev\/full: cannot write the page.*ENOSPC/);
  t.is(JSON.parse(await readFile(after, 'utf8')).schemaVersion, 1);
});

test.serial('what can never be judged, read or written is refused before anything is measured', async (t) => {
  await using dir = await temporaryDirectory();
  await using out = await temporaryDirectory();
  const baseline = async (name: string, text: string): Promise<readonly string[]> => {
    await writeFile(out.file(name), text);
    return ['--baseline', out.file(name)];
  };
  await mkdir(out.file('folder'));
  const fine = await baseline('fine.json', report({}));
  const [, path = ''] = fine;
  await symlink(path, out.file('symlink.json'));
  await link(path, out.file('link.json'));
  for (const [args, words] of [
    [
      await baseline('size.json', report({ size: 2 ** 26 })),
      /another size of memory: expected 64 MiB, found 16 MiB/,
    ],
    [
      await baseline('file.json', report({ file: 'warm' })),
      /no work that this run measures: expected some of: verify random warm, 16 MiB, found verify random cold, 16 MiB/,
    ],
    [[...fine, '--memory', 'half-zero'], /no work that this run measures/],
    [[...fine, '--rounds', '4'], /rounds of a run .*expected 5 or more, found 4/],
    [
      await baseline('few.json', report({ rounds: 4 })),
      /rounds of the baseline: expected 5 or more, found 4/,
    ],
    [
      await baseline('alone.json', report({ references: [] })),
      /verify random cold, 16 MiB: the baseline has no reference/,
    ],
    [await baseline('cut.json', report({}).slice(0, 300)), /cut\.json: the baseline is cut short/],
    [['--baseline', out.file('none.json')], /none\.json: cannot read the baseline/],
    [['--baseline', out.file('folder')], /folder: cannot read the baseline/],
    [[...fine, '--save-baseline', path], /--save-baseline and --baseline are the same file/],
    [
      [...fine, '--save-baseline', out.file('symlink.json')],
      /--save-baseline and --baseline are the same file/,
    ],
    [[...fine, '--save-baseline', out.file('link.json')], /--save-baseline and --baseline are the same file/],
    [['--html', path, '--save-baseline', path], /--html and --save-baseline are the same file/],
    [
      ['--html', out.file('folder')],
      /folder: cannot write the page: expected a regular file, found a directory/,
    ],
    [
      ['--save-baseline', '/dev/null'],
      /cannot write the baseline: expected a regular file, found a special file/,
    ],
    [['--save-baseline', '/proc/none/x'], /no such directory/],
    [
      ['--qemu', '/nonexistent/qemu'],
      /qemu of the bench: expected one of save, load, restore .*found verify/,
    ],
    [['--sweep'], /sweep of the bench: expected save or load among the works.*found verify/],
  ] as const) {
    const run = await bench(dir, ...QUICK, ...args);
    t.true(run.code === 1 || run.code === 4, run.stderr);
    t.is(run.stdout, '');
    t.regex(run.stderr, words);
    t.false(run.stderr.includes('make files'), run.stderr);
  }
  t.is(await readFile(path, 'utf8'), report({}));
  t.deepEqual(await readdir(dir.path), []);
});

test.serial('without fio, a baseline that knows no other reference is refused at once', async (t) => {
  await using dir = await temporaryDirectory();
  await using out = await temporaryDirectory();
  await writeFile(out.file('before.json'), report({}));
  const run = await runCli(['bench', '--dir', dir.path, ...QUICK, '--baseline', out.file('before.json')], {
    env: { ...NO_QEMU.env, PATH: '/nonexistent' },
  });
  t.is(run.code, 1);
  t.regex(run.stderr, /cannot judge this run: verify random cold, 16 MiB: fio is not installed/);
  t.false(run.stderr.includes('make files'), run.stderr);
});

test.serial('a run in which nothing could be measured says why, and fails', async (t) => {
  await using dir = await temporaryDirectory();
  const run = await bench(dir, '--size', '64MiB', '--work', 'restore');
  t.is(run.code, 1);
  t.regex(run.stdout, /^Not measured$/m);
  t.regex(run.stderr, /nothing could be measured: found .*no program/);
});
