import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { probe, type Probe } from '../../engine/probe.ts';
import { messageOf, systemCode } from '../../errors.ts';
import type { SkippedContender } from '../contender.ts';
import type { FioWay } from './fio.ts';

const run = promisify(execFile);

/** The ways of fio in a directory: the fastest first. */
export type FioWays = readonly [FioWay, ...(readonly FioWay[])];

/** A fio that takes part, or the reason why none does. */
export type FoundFio =
  | {
      readonly ways: FioWays;
      /** What this fio would do elsewhere, and why not here. */
      readonly leftOut: readonly SkippedContender[];
    }
  | { readonly why: string };

/**
 * Looks for fio, and for the ways that its bytes can go here. Where there is no io_uring, as under Docker's default
 * seccomp profile, it takes psync; where there is no direct I/O, it uses the page cache. Both are said.
 *
 * @throws the signal's reason
 */
export async function findFio(
  directory: string,
  signal: AbortSignal,
  found: Probe = probe(directory),
): Promise<FoundFio> {
  const engines = await fioEngines(signal);
  if (typeof engines === 'string') return { why: engines };
  const { ioUring, directIo } = found;
  const whyNoRing = engines.includes('io_uring')
    ? ioUring.available
      ? undefined
      : (ioUring.why ?? 'not known why')
    : 'this fio was built without it';
  const ioEngine = whyNoRing === undefined ? 'io_uring' : 'psync';
  const buffered: FioWay = { ioEngine, isDirect: false };
  const leftOut = [
    ...(whyNoRing === undefined ? [] : [{ name: 'fio with io_uring', reason: `no io_uring: ${whyNoRing}` }]),
    ...(directIo.available
      ? []
      : [{ name: 'fio with direct I/O', reason: `no direct I/O here: ${directIo.why ?? 'not known why'}` }]),
  ];
  return { ways: directIo.available ? [{ ioEngine, isDirect: true }, buffered] : [buffered], leftOut };
}

/** The I/O engines of fio, or the reason why it does not tell. */
async function fioEngines(signal: AbortSignal): Promise<readonly string[] | string> {
  try {
    return (await run('fio', ['--enghelp'], { signal })).stdout.split(/\s+/);
  } catch (error) {
    signal.throwIfAborted();
    return systemCode(error) === 'ENOENT'
      ? 'fio is not installed'
      : `fio does not answer: ${messageOf(error)}`;
  }
}

/** The reason why fio takes no part; undefined when it does, whichever way. @throws the signal's reason */
export async function whyNoFio(directory: string, signal: AbortSignal): Promise<string | undefined> {
  const found = await findFio(directory, signal);
  return 'why' in found ? found.why : undefined;
}
