import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { arch, availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

import { filesystemOf } from '../host/filesystem.ts';
import { findQemu } from '../qemu/process/find-qemu.ts';
import type { MachineFacts } from './machine-facts.ts';

const run = promisify(execFile);
const ANSWER_MS = 10_000;
/** Matches a mount in /proc/self/mountinfo: its mount point, and its source behind the dash. */
const MOUNT = /^\d+ \d+ \S+ \S+ (?<point>\S+) .*? - \S+ (?<source>\S+) /;

/**
 * Collects the facts that a report's figures depend on.
 * @param directory an existing one, on the disk that is measured
 * @throws the signal's reason
 */
export async function machineFacts(
  directory: string,
  qemu: string | undefined,
  signal: AbortSignal,
): Promise<MachineFacts> {
  const [load = Number.NaN] = loadavg();
  const { version } = await findQemu({ binary: qemu, signal });
  return {
    kernel: release(),
    architecture: arch(),
    cpu: cpus()[0]?.model,
    processors: availableParallelism(),
    memory: totalmem(),
    filesystem: (await filesystemOf(directory))?.type,
    device: await deviceOf(directory),
    load,
    node: process.versions.node,
    mappedRam: packageVersion(),
    qemu: version,
    fio: await fioVersion(signal),
  };
}

/** The source of the mount that a directory is on: `/dev/nvme0n1p2`. */
async function deviceOf(directory: string): Promise<string | undefined> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const path = `${await realpath(directory)}/`;
  let found: { readonly point: string; readonly source: string } | undefined;
  for (const line of mounts.split('\n')) {
    const { point = '', source = '' } = MOUNT.exec(line)?.groups ?? {};
    const isAbove = point !== '' && path.startsWith(unescaped(point === '/' ? '/' : `${point}/`));
    // A later mount on the same point covers the one before.
    if (isAbove && point.length >= (found?.point.length ?? 0)) found = { point, source: unescaped(source) };
  }
  return found?.source;
}

/** The kernel writes blanks and backslashes as octal numbers. */
export function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCodePoint(Number.parseInt(octal, 8)),
  );
}

async function fioVersion(signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout } = await run('fio', ['--version'], { timeout: ANSWER_MS, signal });
    return /\d[\w.-]*/.exec(stdout)?.[0];
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { readonly version: string } = JSON.parse(text);
  return version;
}
