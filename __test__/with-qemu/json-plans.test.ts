import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { renamed, withoutAdded } from '../json/renamed.ts';
import { names, type Outcome } from '../json/run-cases.ts';
import { runPlans } from '../json/run-plans.ts';
import { QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
const BEFORE = new URL('../json/before/plans.json', import.meta.url);

/** True for the QEMU of the recorded JSON. Others have other capabilities and sizes: only the names must agree. */
const IS_RECORDED = QEMU_VERSION[0] === 10 && QEMU_VERSION[1] === 0;

qemuTest(
  'the JSON of plans, saves and restores is what it was, but for the names in the table',
  async (t) => {
    const before: readonly Outcome[] = JSON.parse(await readFile(BEFORE, 'utf8'));
    await using dir = await temporaryDirectory();
    const now = await runPlans(PROGRAM, dir);
    t.is(now.length, before.length);
    for (const [place, { args, exitCode, json }] of before.entries()) {
      // QEMU 11 can do this, which 10 refuses.
      if (QEMU_VERSION[0] >= 11 && args.includes('--x-ignore-shared on')) continue;
      t.is(now[place]?.exitCode, exitCode, args);
      const expected = renamed(json);
      const found = withoutAdded(now[place]?.json, expected);
      if (IS_RECORDED) t.deepEqual(found, expected, args);
      else t.deepEqual(names(found), names(expected), args);
    }
  },
);
