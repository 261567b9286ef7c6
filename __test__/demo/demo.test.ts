import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { demo } from '../../ts/demo/demo.ts';
import type { DemoStep } from '../../ts/demo/demo-options.ts';
import { runCli } from '../cli/run-cli.ts';
import { DEMO } from '../json/cases.ts';
import { renamed, withoutAdded } from '../json/renamed.ts';
import { type Outcome, runCases } from '../json/run-cases.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
const MIB = 1024 * 1024;
const NONE = '/nonexistent/qemu';
const NO_QEMU = { env: { MAPPED_RAM_QEMU: NONE } };
const QEMU = { env: { MAPPED_RAM_QEMU: QEMU_BINARY } };

/** The directories of demos, in all places where a demo may make one. */
function scratches(): readonly string[] {
  return ['/dev/shm', tmpdir()].flatMap((base) =>
    existsSync(base)
      ? readdirSync(base)
          .filter((name) => name.startsWith('mapped-ram-demo-'))
          .map((name) => join(base, name))
      : [],
  );
}

/** Processes whose command line names a path. */
function processesWith(path: string): readonly { readonly pid: number; readonly line: string }[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const line = readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
      return /^\d+$/.test(pid) && line.includes(path) ? [{ pid: Number(pid), line }] : [];
    } catch {
      return [];
    }
  });
}

/** Runs `body` and asserts that nothing of a demo is left afterwards. */
async function leavesNothing(t: ExecutionContext, body: (directory: string) => Promise<void>): Promise<void> {
  await using dir = await temporaryDirectory();
  const before = scratches();
  await body(dir.path);
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(scratches(), before);
  t.deepEqual(processesWith(dir.path), []);
}

test.serial('without QEMU the demo saves, loads and compares synthetic memory', async (t) => {
  await leavesNothing(t, async (directory) => {
    const steps: DemoStep[] = [];
    const result = await demo({ directory, size: 64 * MIB, qemu: NONE, onStep: (step) => steps.push(step) });
    t.like(result, {
      mode: 'synthetic',
      modeWhy: `there is no program ${NONE}`,
      qemu: undefined,
      size: 64 * MIB,
      snapshot: undefined,
      pages: 16384,
      generation: undefined,
      verified: true,
    });
    t.true(result.zeroPages > 16384 / 5 && result.zeroPages < 16384 / 2, `${result.zeroPages}`);
    t.is(result.save.dataBytes, (16384 - result.zeroPages) * 4096);
    t.is(result.load.dataBytes, result.save.dataBytes);
    t.deepEqual(
      result.checks.map(({ verified }) => verified),
      [true],
    );
    const begun = steps.filter(({ elapsedMs }) => elapsedMs === undefined);
    t.is(steps.length, 2 * begun.length);
    t.true(begun.length >= 4);
  });
});

test.serial('memory that comes back different is found', async (t) => {
  await leavesNothing(t, async (directory) => {
    const before = scratches();
    let spoiled = 0;
    const result = await demo({
      directory,
      size: 64 * MIB,
      qemu: NONE,
      onStep: ({ title, elapsedMs }) => {
        if (!title.startsWith('load') || elapsedMs === undefined) return;
        // The bytes must change before this returns: the comparison begins then.
        const copies = scratches()
          .filter((path) => !before.includes(path))
          .map((path) => join(path, 'copy.ram'));
        for (const copy of copies.filter((path) => existsSync(path))) {
          const fd = openSync(copy, 'r+');
          spoiled += writeSync(fd, '?', 10 * MIB + 5);
          closeSync(fd);
        }
      },
    });
    t.is(spoiled, 1);
    t.false(result.verified);
    t.is(result.checks[0]?.difference, `different from byte ${10 * MIB + 5} on`);
  });
});

test.serial('the table fits in 80 columns and says why there is no guest', async (t) => {
  await leavesNothing(t, async (directory) => {
    const { code, stdout, stderr } = await runCli(['demo', '--size', '64M', '--dir', directory], NO_QEMU);
    t.is(code, 0, stderr);
    t.regex(stdout, /^guest +none, synthetic memory: there is no program \/nonexistent\/qemu$/m);
    t.regex(stdout, /^memory +64 MiB in \S+$/m);
    t.regex(stdout, /^pages +16,384, of which [\d,]+ are zero$/m);
    t.regex(stdout, /^I\/O engine +(io_uring|threads) — \S/m);
    t.regex(stdout, /^direct I\/O +(on|off) — \S/m);
    t.regex(stdout, /^save +[\d.]+ [MG]B\/s — [\d.]+ MiB of pages in [\d.]+ s$/m);
    t.regex(stdout, /^load +[\d.]+ [MG]B\/s — /m);
    t.regex(stdout, /^verified {2}/m);
    t.notRegex(stdout, /NOT verified/);
    t.regex(stderr, /^ {2}✓ compare every byte +[\d.]+ s$/m);
    t.deepEqual(tooLong(`${stdout}\n${stderr}`), []);
  });
});

test.serial('--json prints the result and nothing else', async (t) => {
  await leavesNothing(t, async (directory) => {
    const args = ['demo', '--size', '64M', '--dir', directory, '--json', '--quiet'];
    const { code, json, stderr } = await runCli(args, NO_QEMU);
    t.is(code, 0);
    t.is(stderr, '');
    t.like(json(), { schemaVersion: 1, mode: 'synthetic', size: 64 * MIB, verified: true, snapshot: null });
  });
});

test.serial('--json has the members that it had, but for the names in the table', async (t) => {
  const recorded = new URL('../json/before/demo.json', import.meta.url);
  const before: readonly Outcome[] = JSON.parse(readFileSync(recorded, 'utf8'));
  await using dir = await temporaryDirectory();
  const now = await runCases(PROGRAM, DEMO, dir);
  const expected = before.map(({ json }) => renamed(json));
  t.deepEqual(
    now.map(({ json }, index) => withoutAdded(json, expected[index])),
    expected,
  );
});

test.serial('--keep leaves the snapshot, and only that', async (t) => {
  await using dir = await temporaryDirectory();
  const args = ['demo', '--size', '64M', '--dir', dir.path, '--keep'];
  const { code, stdout } = await runCli(args, NO_QEMU);
  t.is(code, 0);
  const [folder = ''] = await readdir(dir.path);
  t.deepEqual(await readdir(join(dir.path, folder)), ['guest.mr']);
  const snapshot = join(dir.path, folder, 'guest.mr');
  t.true(stdout.includes(`mapped-ram info ${snapshot}\n`));
  t.is((await runCli(['info', snapshot])).code, 0);
});

test.serial('a demo without a place, or of a wrong size, says so', async (t) => {
  await using dir = await temporaryDirectory();
  const { code, stderr } = await runCli(['demo', '--dir', dir.file('none')], NO_QEMU);
  t.is(code, 1);
  t.regex(stderr, /none: there is no such directory/);
  for (const size of [0, 63 * MIB, 64 * MIB + 4096, Number.NaN]) {
    await t.throwsAsync(demo({ size, qemu: NONE }), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  }
});

test.serial('SIGINT during the demo leaves nothing: no QEMU', async (t) => {
  for (const after of [0, 150, 400]) {
    await leavesNothing(t, async (directory) => {
      const run = await interruptedAfter(['demo', '--size', '512M', '--dir', directory], after, NO_QEMU.env);
      t.is(run.code, 130, run.stderr);
      t.is(run.stdout, '');
    });
  }
});

qemuTest('with QEMU a guest is saved, restored and goes on', async (t) => {
  await leavesNothing(t, async (directory) => {
    const { code, stdout, stderr } = await runCli(['demo', '--size', '96M', '--dir', directory], QEMU);
    t.is(code, 0, stderr);
    t.regex(stdout, /^guest +the built-in one, in QEMU \d+\.\d+\.\d+ \((TCG|KVM)\)$/m);
    t.regex(stdout, /^restore +[\d.]+ s for QEMU to load our snapshot$/m);
    const [, saved, resumed] = /^generation +(\d+) when saved → (\d+) after/m.exec(stdout) ?? [];
    t.true(Number(resumed) > Number(saved), stdout);
    t.is(stdout.match(/^verified {2}/gm)?.length, 3);
    t.deepEqual(tooLong(`${stdout}\n${stderr}`), []);
  });
});

qemuTest('with QEMU the smallest guest, in a directory with an odd name', async (t) => {
  await using dir = await temporaryDirectory();
  const odd = dir.file('Größe, 快');
  await mkdir(odd);
  const { code, json, stderr } = await runCli(['demo', '--size', '64M', '--dir', odd, '--json'], QEMU);
  t.is(code, 0, stderr);
  t.like(json(), { mode: 'qemu', modeWhy: null, size: 64 * MIB, verified: true, directory: odd });
  t.deepEqual(await readdir(odd), []);
});

qemuTest('SIGINT at any time leaves no QEMU and no file', async (t) => {
  for (const after of [100, 500, 900, 1400, 2000, 2600]) {
    await leavesNothing(t, async (directory) => {
      const run = await interruptedAfter(['demo', '--size', '512M', '--dir', directory], after, QEMU.env);
      t.is(run.code, 130, `after ${after} ms: ${run.stderr}`);
      t.true(run.stderr.endsWith('mapped-ram: interrupted by SIGINT\n'), run.stderr);
    });
  }
});

qemuTest('a QEMU that dies makes the demo fail, with nothing left', async (t) => {
  await leavesNothing(t, async (directory) => {
    const { code, stdout, stderr } = await runCli(['demo', '--size', '512M', '--dir', directory], {
      ...QEMU,
      meanwhile: async (child) => {
        let victim = processesWith(directory).find(isQemu);
        while (victim === undefined && child.exitCode === null) {
          await delay(5);
          victim = processesWith(directory).find(isQemu);
        }
        if (victim !== undefined) process.kill(victim.pid, 'SIGKILL');
      },
    });
    t.is(code, 1);
    t.is(stdout, '');
    t.regex(stderr, /mapped-ram demo: .*QEMU was killed by SIGKILL.*\[ERR_MAPPED_RAM_QEMU\]/);
  });
});

/** True for a QEMU: a child that has not become QEMU yet still has its parent's command line. */
function isQemu({ line }: { readonly line: string }): boolean {
  return line.includes('memory-backend-file');
}

/** Lines that a terminal of 80 columns would break. */
function tooLong(text: string): readonly string[] {
  return text.split('\n').filter((line) => line.length > 80);
}

/** Sends SIGINT some time after the first step has begun. */
function interruptedAfter(
  args: readonly string[],
  ms: number,
  env: Readonly<Record<string, string>>,
): ReturnType<typeof runCli> {
  return runCli(args, {
    env,
    meanwhile: async (child) => {
      const directory = args.at(-1) ?? '';
      while ((await readdir(directory)).length === 0 && child.exitCode === null) await delay(5);
      await delay(ms);
      child.kill('SIGINT');
    },
  });
}
