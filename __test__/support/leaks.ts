import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

interface Held {
  readonly descriptors: number;
  readonly threads: number;
}

function held(): Held {
  return { descriptors: readdirSync('/proc/self/fd').length, threads: readdirSync('/proc/self/task').length };
}

/**
 * Runs `body` and asserts that it leaves no descriptor and no thread of this process behind. `warmUp` runs before, and
 * starts the runtimes' own threads, which start only once per process. The check is patient: the kernel takes rings
 * apart in the background, and tokio lets an idle thread of its pool go after ten seconds.
 */
export async function assertNoLeak(
  t: ExecutionContext,
  warmUp: () => Promise<unknown>,
  body: () => Promise<unknown>,
): Promise<void> {
  await warmUp();
  await delay(100);
  const before = held();
  await body();
  for (let tries = 0; tries < 300; tries += 1) {
    const now = held();
    if (now.descriptors <= before.descriptors && now.threads <= before.threads) break;
    await delay(50);
  }
  const after = held();
  t.true(
    after.descriptors <= before.descriptors,
    `descriptors: ${before.descriptors} before, ${after.descriptors} after`,
  );
  t.true(after.threads <= before.threads, `threads: ${before.threads} before, ${after.threads} after`);
}
