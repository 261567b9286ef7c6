import { accessSync, constants, writeSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

/** The QEMUs that `scripts/install-qemu.sh --all DIR` unpacks. */
export const VERSIONS = ['5.2', '7.2', '10.0', '11.1'] as const;
export type Version = (typeof VERSIONS)[number];

/** The first version with mapped-ram is 9.0. */
export const WITH_MAPPED_RAM: readonly Version[] = ['10.0', '11.1'];
export const WITHOUT_MAPPED_RAM: readonly Version[] = ['5.2', '7.2'];

const DIRECTORY = process.env['MAPPED_RAM_QEMUS'] ?? '/opt/qemu';

export function binaryOf(version: Version): string {
  return join(DIRECTORY, version, 'bin/qemu-system-x86_64');
}

/** Machine types that all of these versions have, so that each can take over the guests of the others. */
export const Q35 = 'pc-q35-5.2';
export const I440FX = 'pc-i440fx-5.2';

const missing = VERSIONS.filter((version) => !isExecutable(binaryOf(version)));
const why = `QEMU ${missing.join(', ')} is not in ${DIRECTORY}: scripts/install-qemu.sh --all ${DIRECTORY}`;
let skipped = 0;

/**
 * A serial ava test against the QEMUs of all versions. It is skipped when one of them is missing, and the file says so
 * on stderr; with `MAPPED_RAM_REQUIRE_QEMU=1` it fails instead.
 */
export function versionsTest(
  title: string,
  implementation: (t: ExecutionContext) => Promise<void> | void,
): void {
  if (missing.length === 0) {
    test.serial(title, implementation);
  } else if (process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1') {
    test.serial(title, (t) => t.fail(`MAPPED_RAM_REQUIRE_QEMU=1, but ${why}`));
  } else {
    skipped += 1;
    test.serial.skip(title, implementation);
  }
}

const file = relative(process.cwd(), fileURLToPath(test.meta.file));
process.once('exit', () => {
  if (skipped > 0) writeSync(2, `\n*** ${file}: ${skipped} TESTS OF VERSIONS SKIPPED: ${why} ***\n`);
});

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
