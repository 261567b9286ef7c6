import { writeFile } from 'node:fs/promises';

import test from 'ava';

import { pack } from '../../ts/index.ts';
import { PAGE, syntheticState, testPage, writeRam } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { assertAllFound } from './assert-found.ts';

/** KiB per MiB: `maxRSS` is in KiB. */
const KIB_OF_MIB = 1024;

test('at least 200 ways to damage a snapshot are found, without memory in proportion to any number in it', async (t) => {
  await using dir = await temporaryDirectory();
  const [m0, m1] = [700, 130];
  const blocks = [
    { id: 'm0', length: m0 * PAGE },
    { id: 'm1', length: m1 * PAGE },
    { id: 'pc.bios', length: 3 * PAGE },
  ];
  const pages = [{ block: 'pc.bios', offset: PAGE, bytes: testPage(1) }];
  await writeFile(dir.file('state'), syntheticState({ blocks, pages }));
  await writeRam(dir.file('m0'), m0, (page) => page % 3 === 0);
  await writeRam(dir.file('m1'), m1, (page) => page > 70);
  const ram = { m0: dir.file('m0'), m1: dir.file('m1') };
  await pack(dir.file('snapshot'), { state: dir.file('state'), ram });
  const before = process.resourceUsage().maxRSS;
  const count = await assertAllFound(t, dir.file('snapshot'), { perKind: 50 });
  t.true(count >= 200, `${count} ways`);
  const grown = process.resourceUsage().maxRSS - before;
  t.true(grown < 256 * KIB_OF_MIB, `${grown} KiB more in use at the most`);
});
