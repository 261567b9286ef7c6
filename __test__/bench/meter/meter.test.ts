import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { countSyscalls } from '../../../ts/bench/meter/count-syscalls.ts';
import { OtherLoad } from '../../../ts/bench/meter/other-load.ts';
import { meterProcess } from '../../../ts/bench/meter/meter-process.ts';
import { pageCacheGrowth } from '../../../ts/bench/meter/page-cache-growth.ts';
import { CounterProcess, SYSCALL_COUNTERS } from '../../../ts/bench/meter/syscall-counter.ts';

const MIB = 2 ** 20;

/** A Node that evaluates a script as soon as it hears a line, says `done`, and stays until it hears another. */
async function startScript(t: ExecutionContext, script: string): Promise<ScriptProcess> {
  const program = `
    const { readSync, fstatSync } = require('node:fs');
    const { Worker } = require('node:worker_threads');
    const next = () => new Promise((resolve) => process.stdin.once('data', resolve));
    (async () => {
      console.log('ready');
      await next();
      await (async () => { ${script} })();
      console.log('done');
      await next();
      process.exit(0);
    })();`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child.stdout, 'data');
  const { pid } = child;
  if (pid === undefined) throw new Error('node does not start');
  return {
    child,
    pid,
    run: async () => {
      child.stdin.write('go\n');
      await once(child.stdout, 'data');
    },
  };
}

interface ScriptProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly run: () => Promise<void>;
}

/** Burns 200 ms of the calling thread's own CPU time, however busy the machine is. */
const BURN = `
  const { readFileSync } = require('node:fs');
  const cpu = () => Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  const start = cpu();
  while (cpu() - start < 200);`;

test.serial(
  'what other programs have of the processors is seen, and the work itself is none of them',
  async (t) => {
    const quiet = new OtherLoad();
    const { run, pid } = await startScript(t, BURN);
    await quiet.during(
      async () => {
        using meter = meterProcess(pid);
        await run();
        return meter.end();
      },
      ({ cpuMs }) => cpuMs,
    );
    const busy = new OtherLoad();
    const loops = Array.from({ length: 2 }, () => spawn(process.execPath, ['-e', 'for (;;);']));
    try {
      await busy.during(
        () => delay(1000),
        () => 0,
      );
    } finally {
      for (const loop of loops) loop.kill('SIGKILL');
    }
    const unknown = new OtherLoad();
    await unknown.during(
      async () => 'x',
      () => undefined,
    );
    t.is(unknown.processors, undefined);
    if (busy.processors === undefined || quiet.processors === undefined) {
      t.log('skipped: nothing tells what the processors do here');
      return;
    }
    t.log(`${quiet.processors} beside the work, ${busy.processors} with two loops`);
    // Other tests run beside this one: the loops come on top of what those take, or take it from them.
    t.true(busy.processors > 0.7, `${busy.processors}`);
    t.true(quiet.processors < availableParallelism(), `${quiet.processors}`);
  },
);

test('the CPU time of a process is what it burns', async (t) => {
  const { pid, run } = await startScript(t, BURN);
  using meter = meterProcess(pid);
  await run();
  const { cpuMs } = meter.end();
  // Node ends in some more milliseconds, and in more of them where the processor is shared.
  t.true(cpuMs !== undefined && cpuMs >= 195 && cpuMs < 600, `${cpuMs} ms`);
});

test('threads that have ended count, too', async (t) => {
  const { pid, run } = await startScript(
    t,
    `await Promise.all([1, 2, 3].map(() => new Promise((resolve) =>
       new Worker(${JSON.stringify(BURN)}, { eval: true }).once('exit', resolve))));`,
  );
  using meter = meterProcess(pid);
  await run();
  const { cpuMs } = meter.end();
  // Starting a thread of Node takes some tens of milliseconds of its own.
  t.true(cpuMs !== undefined && cpuMs >= 580 && cpuMs < 1200, `${cpuMs} ms`);
});

test('a process that does nothing takes next to nothing', async (t) => {
  const { pid } = await startScript(t, '');
  using meter = meterProcess(pid);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const { cpuMs } = meter.end();
  t.true(cpuMs !== undefined && cpuMs < 15, `${cpuMs} ms`);
});

test('the peak has what was allocated and freed again', async (t) => {
  const { pid, run } = await startScript(
    t,
    `let bytes = Buffer.alloc(${96 * MIB}, 1);
     await new Promise((resolve) => setTimeout(resolve, 100));
     bytes = undefined;`,
  );
  using meter = meterProcess(pid);
  const before = meterProcess(pid).end().peakBytes ?? Number.NaN;
  await run();
  const { peakBytes = Number.NaN } = meter.end();
  const grown = (peakBytes - before) / MIB;
  t.true(grown > 90 && grown < 130, `${grown} MiB`);
});

test('a process that is not there has no figures', (t) => {
  using meter = meterProcess(2 ** 22 + 1);
  t.deepEqual(meter.end(), { cpuMs: undefined, peakBytes: undefined });
});

for (const counter of SYSCALL_COUNTERS) {
  test(`${counter.program} counts the system calls of a process`, async (t) => {
    const { pid, run } = await startScript(t, 'for (let i = 0; i < 5000; i++) fstatSync(0);');
    const { calls, by, why } = await countSyscalls(pid, run, [counter]);
    if (calls === undefined) {
      t.true(why?.startsWith(`${counter.program}: `), why);
      t.log(`skipped: ${why}`);
      return;
    }
    t.is(by, counter.program);
    t.true(calls >= 5000 && calls < 5500, `${calls} calls`);
  });
}

test('where nothing can count, the work is done and the reason said', async (t) => {
  const [perf] = SYSCALL_COUNTERS;
  if (perf === undefined) throw new Error('no counters');
  const none = { ...perf, args: () => ['no-such-command'] };
  let times = 0;
  const counted = await countSyscalls(
    process.pid,
    async () => {
      times += 1;
    },
    [none],
  );
  t.is(times, 1);
  t.is(counted.calls, undefined);
  t.regex(counted.why ?? '', /^perf: \S/);
});

test('the error of the work comes through, and no counter stays', async (t) => {
  const { pid, child } = await startScript(t, '');
  await t.throwsAsync(
    countSyscalls(pid, () => Promise.reject(new Error('planted'))),
    { message: 'planted' },
  );
  for (const counter of SYSCALL_COUNTERS) {
    const attached = await CounterProcess.attach(counter, pid).catch(() => undefined);
    await attached?.[Symbol.asyncDispose]();
  }
  t.is(child.exitCode, null);
});

test('the growth of the page cache is the sum over the files, or not known', async (t) => {
  const cached = new Map([
    ['a', 10],
    ['b', 100],
  ]);
  const look = async (path: string): Promise<{ cached: number } | undefined> => {
    const bytes = cached.get(path);
    return bytes === undefined ? undefined : { cached: bytes };
  };
  const growth = await pageCacheGrowth(['a', 'b'], look);
  cached.set('a', 4).set('b', 107);
  t.is(await growth.end(), 1);
  t.is(await (await pageCacheGrowth(['a', 'none'], look)).end(), undefined);
});
