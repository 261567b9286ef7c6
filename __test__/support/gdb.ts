import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import test from 'ava';

const probed = spawnSync('gdb', ['--version'], { encoding: 'utf8' });
const missing = probed.error === undefined && probed.status === 0 ? undefined : 'gdb is not installed';

/** True when gdb is installed. Otherwise stderr says that it is missing. @throws then with MAPPED_RAM_REQUIRE_QEMU=1 */
export function hasGdb(): boolean {
  if (missing === undefined) return true;
  if (process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1') throw new Error(missing);
  const file = relative(process.cwd(), fileURLToPath(test.meta.file));
  writeSync(2, `\n*** ${file}: WHAT GDB SAYS OF CORE FILES WAS NOT COMPARED: ${missing} ***\n`);
  return false;
}

/** The text that gdb prints for commands, without the core file's name. */
export function gdb(core: string, commands: readonly string[]): string {
  const script = [`core-file ${core}`, ...commands].flatMap((command) => ['-ex', command]);
  const run = spawnSync('gdb', ['-batch', '-nx', ...script], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`gdb ended with ${run.status}: ${run.stderr}`);
  return `${run.stdout}${run.stderr}`.replaceAll(core, 'CORE');
}
