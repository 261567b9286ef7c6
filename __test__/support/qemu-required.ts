import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { QEMU_AARCH64_BINARY, QEMU_BINARY, QEMU_I386_BINARY, QEMU_RISCV64_BINARY } from './qemu-binary.ts';

/** The first QEMU with mapped-ram is 9.0. */
const OLDEST_MAJOR = 9;

export { QEMU_AARCH64_BINARY, QEMU_BINARY, QEMU_I386_BINARY };

export type QemuVersion = readonly [major: number, minor: number, micro: number];

const probed = probe(QEMU_BINARY);

/** The version of QEMU_BINARY; `[0, 0, 0]` when there is no QEMU. */
export const QEMU_VERSION: QemuVersion = probed.version;

/** The reason why the tests against a real QEMU cannot run here; undefined when they can. */
export const QEMU_MISSING: string | undefined = probed.missing;

const required = process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1';
const skipped = new Map<string, number>();

type Implementation = (t: ExecutionContext) => Promise<void> | void;

/**
 * A serial ava test against the real QEMU. It is skipped when there is no usable QEMU, and the file says so on stderr;
 * with `MAPPED_RAM_REQUIRE_QEMU=1` it fails instead.
 */
export function qemuTest(title: string, implementation: Implementation): void {
  testUnless(QEMU_MISSING, title, implementation);
}

/** A `qemuTest` that runs an aarch64 guest. */
export function aarch64Test(title: string, implementation: Implementation): void {
  testUnless(probe(QEMU_AARCH64_BINARY).missing, title, implementation);
}

/** A `qemuTest` that runs a riscv64 guest. */
export function riscv64Test(title: string, implementation: Implementation): void {
  testUnless(probe(QEMU_RISCV64_BINARY).missing, title, implementation);
}

/** A `qemuTest` that runs a guest of qemu-system-i386, which comes with qemu-system-x86_64. */
export function i386Test(title: string, implementation: Implementation): void {
  testUnless(probe(QEMU_I386_BINARY).missing, title, implementation);
}

/** A `qemuTest` whose guest has a TPM. */
export function tpmTest(title: string, implementation: Implementation): void {
  const { error } = spawnSync('swtpm', ['--version']);
  testUnless(QEMU_MISSING ?? (error && `cannot run swtpm: ${error.message}`), title, implementation);
}

function testUnless(missing: string | undefined, title: string, implementation: Implementation): void {
  if (missing === undefined) {
    test.serial(title, implementation);
  } else if (required) {
    test.serial(title, (t) => t.fail(`MAPPED_RAM_REQUIRE_QEMU=1, but ${missing}`));
  } else {
    skipped.set(missing, (skipped.get(missing) ?? 0) + 1);
    test.serial.skip(title, implementation);
  }
}

const file = relative(process.cwd(), fileURLToPath(test.meta.file));
process.once('exit', () => {
  for (const [missing, count] of skipped)
    writeSync(2, `\n*** ${file}: ${count} QEMU TESTS SKIPPED: ${missing} ***\n`);
});

function probe(binary: string): { readonly version: QemuVersion; readonly missing: string | undefined } {
  const none: QemuVersion = [0, 0, 0];
  const run = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (run.error !== undefined)
    return { version: none, missing: `cannot run ${binary}: ${run.error.message}` };
  const match = /version (\d+)\.(\d+)(?:\.(\d+))?/.exec(run.stdout);
  if (match === null) return { version: none, missing: `${binary} --version names no version` };
  const version: QemuVersion = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  const missing =
    version[0] < OLDEST_MAJOR
      ? `${binary} is ${version.join('.')}, at least ${OLDEST_MAJOR}.0 is needed`
      : undefined;
  return { version, missing };
}
