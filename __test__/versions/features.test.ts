import test from 'ava';

import { doctor, type DoctorReport } from '../../ts/doctor/doctor.ts';
import { examineQemu } from '../../ts/qemu/process/find-qemu.ts';
import type { QemuFeatures } from '../../ts/qemu/qemu-facts.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { binaryOf, VERSIONS, versionsTest } from './qemus.ts';
import { assertDocumented, no, OutcomeTable, yes } from './table.ts';

/** The features that this package asks QEMU for: the words of the table, and the release that brought each. */
const FEATURES: Readonly<Record<keyof QemuFeatures, readonly [words: string, since: string]>> = {
  multifd: ['`multifd`', '4.0'],
  xIgnoreShared: ['`x-ignore-shared`', '4.0'],
  fdsets: ['`add-fd`', '1.2'],
  ignoresNamedOnly: ['`x-ignore-shared` leaves out memory in files with names only', '8.1'],
  fileTransport: ['`file:`', '8.2'],
  mapsParts: ['private mappings of a part of a file', '8.2'],
  mappedRam: ['`mapped-ram`', '9.0'],
  zeroPageDetection: ['`zero-page-detection`', '9.0'],
  directIo: ['`direct-io`', '9.1'],
  mappedRamIgnoresShared: ['`x-ignore-shared` with `mapped-ram`', '11.0'],
};

const NEWEST = '11.1';

const table = new OutcomeTable('QEMU has', VERSIONS);

for (const version of VERSIONS) {
  versionsTest(`QEMU ${version} tells what it has`, async (t) => {
    const { finding, facts } = await examineQemu({ binary: binaryOf(version) });
    t.true(finding.version?.startsWith(`${version}.`), finding.why);
    for (const [name, [words, since]] of Object.entries(FEATURES)) {
      const has = Object.entries(facts?.features ?? {}).some(([feature, value]) => feature === name && value);
      table.set(words, version, has ? yes() : no(`it came with QEMU ${since}`));
      // Nothing that an older QEMU has was lost: the newest has all of it.
      if (version === NEWEST) t.true(has, name);
    }
    t.is(Object.keys(facts?.features ?? {}).length, Object.keys(FEATURES).length);
  });

  versionsTest(`doctor tells what works with QEMU ${version}`, async (t) => {
    await using dir = await temporaryDirectory();
    const report = await doctor({ directory: dir.path, qemu: binaryOf(version) });
    const hasMappedRam = report.qemu.mappedRam;
    const everywhere = ['preload', 'lazy', 'eager'];
    t.deepEqual(modesOf(report), hasMappedRam ? ['instant', ...everywhere] : everywhere);
    t.is(report.auto.mode.value, hasMappedRam ? 'instant' : 'preload');
    t.is(report.auto.format?.value, hasMappedRam ? 'mapped-ram' : 'stream');
    t.is(report.auto.multifd?.value, hasMappedRam);
    for (const { mode, why } of report.modes) t.regex(why, /\S/, mode);
  });
}

versionsTest('the document has these features', (t) => assertDocumented(t, 'features', table));

test('without a QEMU no mode works, and doctor says why', async (t) => {
  const report = await doctor({ qemu: '/nonexistent/qemu' });
  t.deepEqual(modesOf(report), []);
  for (const { why } of report.modes) t.is(why, 'there is no program /nonexistent/qemu');
});

function modesOf({ modes }: DoctorReport): readonly string[] {
  return modes.flatMap(({ mode, available }) => (available ? [mode] : []));
}
