import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';
import { runCases, type Outcome } from './run-cases.ts';

const MACHINE = '-machine microvm,memory-backend=m0 -m 24M -nodefaults -no-user-config -display none';
const SOCKET = 'qmp';
const SAVE = `save ${SOCKET} planned.mr`;
/** Command lines by QEMU. Each list has a QEMU of its own: a saved guest must go on before it is saved again. */
const SAVES: readonly (readonly string[])[] = [
  [
    `${SAVE} --dry-run`,
    `${SAVE} --dry-run --writer qemu --channels 2`,
    `${SAVE} --dry-run --writer qemu --multifd off --direct-io off --fdset off`,
    `${SAVE} --dry-run --writer qemu --x-ignore-shared on --zero-page-detection legacy`,
    `save ${SOCKET} file:planned.stream --dry-run --mapped-ram off`,
    `save ${SOCKET} tcp:127.0.0.1:1 --dry-run`,
    `${SAVE} --io-engine threads --direct-io off --channels 2 --seal`,
  ],
  [`${SAVE} --force --writer qemu --channels 2`, `${SAVE} --force`],
];
const RESTORE = `restore planned.mr --qmp ${SOCKET} --channels 2 --direct-io off`;

/** The JSON of plans, saves and restores with a QEMU whose guest has not run yet. */
export async function runPlans(
  program: string,
  dir: TemporaryDirectory,
  spell?: (arg: string) => string,
): Promise<readonly Outcome[]> {
  const run = (lines: readonly string[]): Promise<readonly Outcome[]> =>
    runCases(
      program,
      lines.map((line) => ({ args: line.split(' ') })),
      dir,
      spell,
    );
  const outcomes: Outcome[] = [];
  for (const lines of SAVES) {
    await using _ = await start(dir, ['-S']);
    outcomes.push(...(await run(lines)));
  }
  await using _ = await start(dir, ['-incoming', 'defer']);
  outcomes.push(...(await run([RESTORE])));
  return outcomes.map(({ args, exitCode, json }) => ({ args, exitCode, json: steady(json) }));
}

/** Matches QEMU's version, and numbers that follow from what its devices hold at the time. */
const UNSTEADY = /"(version|size|dataBytes|transferredBytes|normalPages|zeroPages)":(?:"[^"]*"|\d+)/g;

function steady(json: unknown): unknown {
  return JSON.parse(JSON.stringify(json).replaceAll(UNSTEADY, '"$1":"<value>"'));
}

function start(dir: TemporaryDirectory, more: readonly string[]): Promise<QemuProcess> {
  const memory = `memory-backend-file,id=m0,size=24M,share=on,mem-path=${dir.file('m0.ram')}`;
  const monitor = `unix:${dir.file(SOCKET)},server=on,wait=off`;
  const args = [...MACHINE.split(' '), '-object', memory, '-qmp', monitor, ...more];
  return QemuProcess.start({ binary: QEMU_BINARY, args });
}
