import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { QEMU_BINARY } from './qemu-binary.ts';

/** mapped-ram exists since QEMU 9.0. */
const OLDEST_MAJOR = 9;

export { QEMU_BINARY };

export type QemuVersion = readonly [major: number, minor: number, micro: number];

const probed = probe();

/** `[0, 0, 0]` when there is no QEMU. */
export const QEMU_VERSION: QemuVersion = probed.version;

/** Why the tests against a real QEMU cannot run here; undefined when they can. */
export const QEMU_MISSING: string | undefined = probed.missing;

const required = process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1';
let skipped = 0;

/**
 * A serial ava test against the real QEMU. Without a usable QEMU it is skipped, and the file says so on stderr;
 * with `MAPPED_RAM_REQUIRE_QEMU=1` it fails instead.
 */
export function qemuTest(title: string, implementation: (t: ExecutionContext) => Promise<void> | void): void {
  if (QEMU_MISSING === undefined) {
    test.serial(title, implementation);
  } else if (required) {
    test.serial(title, (t) => t.fail(`MAPPED_RAM_REQUIRE_QEMU=1, but ${QEMU_MISSING}`));
  } else {
    skipped += 1;
    test.serial.skip(title, implementation);
  }
}

if (QEMU_MISSING !== undefined && !required) {
  const file = relative(process.cwd(), fileURLToPath(test.meta.file));
  process.once('exit', () => {
    if (skipped > 0) writeSync(2, `\n*** ${file}: ${skipped} QEMU TESTS SKIPPED: ${QEMU_MISSING} ***\n`);
  });
}

function probe(): { readonly version: QemuVersion; readonly missing: string | undefined } {
  const none: QemuVersion = [0, 0, 0];
  const run = spawnSync(QEMU_BINARY, ['--version'], { encoding: 'utf8' });
  if (run.error !== undefined)
    return { version: none, missing: `cannot run ${QEMU_BINARY}: ${run.error.message}` };
  const match = /version (\d+)\.(\d+)(?:\.(\d+))?/.exec(run.stdout);
  if (match === null) return { version: none, missing: `${QEMU_BINARY} --version names no version` };
  const version: QemuVersion = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  const missing =
    version[0] < OLDEST_MAJOR
      ? `${QEMU_BINARY} is ${version.join('.')}, at least ${OLDEST_MAJOR}.0 is needed`
      : undefined;
  return { version, missing };
}
