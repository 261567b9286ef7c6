/**
 * The process that `ServerProcess` starts. It serves pages to one QEMU, and goes on with that when the process that has
 * started it is gone: the guest could not run without its memory.
 */
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import {
  type PageServer,
  type PageServerWork,
  prepareToServe,
  startPageServer,
} from '../../engine/serve/page-server.ts';
import { errorToPlain, parseOrder, type ServerNews } from './server-messages.ts';

const PROGRESS_MS = 50;
/** Milliseconds without a request, after which nobody is taken to wait for a page. */
const QUIET_MS = 1000;

// A signal that ends the owner must find the server alive: it ends with QEMU's connection, or when it is told to.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// The owner may be gone.
process.stdout.on('error', () => undefined);

function tell(news: ServerNews): void {
  process.stdout.write(`${JSON.stringify(news)}\n`);
}

async function main(): Promise<void> {
  // No guest is to wait for it.
  prepareToServe();
  tell({ news: 'ready' });
  let work: PageServerWork | undefined;
  let server: PageServer | undefined;
  let serving: Promise<void> | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    const order = parseOrder(line);
    if ('work' in order) work = order.work;
    else if ('order' in order) server?.end();
    else if (work !== undefined) {
      server = startPageServer({ ...work, ...order.peer });
      serving = report(server);
    }
  }
  if (server !== undefined) await endAlone(server);
  await serving;
}

async function report(server: PageServer): Promise<void> {
  const tellProgress = (): void => tell({ news: 'progress', progress: server.progress() });
  const ticks = setInterval(tellProgress, PROGRESS_MS);
  // Whoever hears of a milestone may ask how far it is.
  const reached = (news: 'loaded' | 'pushed', is: boolean): void => {
    if (!is) return;
    tellProgress();
    tell({ news });
  };
  const follow = [
    server.loaded.then((is) => reached('loaded', is)),
    server.pushed.then((is) => reached('pushed', is)),
    server.unreadable.then(
      (error) => error !== undefined && tell({ news: 'unreadable', error: errorToPlain(error) }),
    ),
  ];
  try {
    const done = await server.done;
    await Promise.all(follow);
    tellProgress();
    tell({ news: 'done', report: done });
  } catch (error) {
    await Promise.all(follow);
    tell({ news: 'failed', error: errorToPlain(error) });
  } finally {
    clearInterval(ticks);
  }
}

/** Lets the migration end when nobody is left who says that it may: once nobody is taken to wait for a page. */
async function endAlone(server: PageServer): Promise<void> {
  if (!(await server.pushed)) return;
  for (let before = -1; before !== server.progress().requests;) {
    before = server.progress().requests;
    await Promise.race([delay(QUIET_MS), server.done.catch(() => undefined)]);
  }
  server.end();
}

main().catch(() => {
  process.exitCode = 1;
});
