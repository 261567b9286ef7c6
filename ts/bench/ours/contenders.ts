import { probe, type Probe } from '../../engine/probe.ts';
import type { Contender, MakeContenders, SkippedContender } from '../contender.ts';
import type { BenchTransfer, OurWork } from './job.ts';
import { OurContender } from './our-contender.ts';

const NAME = 'mapped-ram';
const ENGINES = ['io_uring', 'threads'] as const;
const DIRECT = ['on', 'off'] as const;

/**
 * Makes this package's contenders for one kind of work: as it is by default, and with each I/O engine, with and without
 * direct I/O. All have the options that were given explicitly, and those that contradict these are left out.
 */
export function ourContenders(work: OurWork, given: BenchTransfer): MakeContenders {
  return (files, state) => {
    const found = probe(files.directory);
    const contenders: Contender[] = [];
    const skipped: SkippedContender[] = [];
    for (const { name, transfer } of ways(given)) {
      const reason = missing(transfer, found);
      if (reason === undefined) contenders.push(new OurContender({ name, work, files, state, transfer }));
      else skipped.push({ name, reason });
    }
    return Promise.resolve({ contenders, skipped });
  };
}

interface Way {
  readonly name: string;
  readonly transfer: BenchTransfer;
}

function* ways(given: BenchTransfer): Generator<Way, void, void> {
  yield { name: NAME, transfer: given };
  const engines = ENGINES.filter((engine) => isLeftOpen(given.ioEngine) || given.ioEngine === engine);
  const direct = DIRECT.filter((choice) => isLeftOpen(given.directIo) || given.directIo === choice);
  // A single way is the one that all options name.
  if (engines.length * direct.length === 1) return;
  for (const ioEngine of engines) {
    for (const directIo of direct) {
      const kind = directIo === 'on' ? 'direct' : 'buffered';
      yield { name: `${NAME} ${ioEngine}, ${kind}`, transfer: { ...given, ioEngine, directIo } };
    }
  }
}

function isLeftOpen(choice: string | undefined): boolean {
  return choice === undefined || choice === 'auto';
}

/** The reason why a way cannot be gone here; undefined when it can. */
export function missing({ ioEngine, directIo }: BenchTransfer, found: Probe): string | undefined {
  if (ioEngine === 'io_uring' && !found.ioUring.available) return found.ioUring.why ?? 'there is no io_uring';
  if (directIo === 'on' && !found.directIo.available)
    return found.directIo.why ?? 'there is no direct I/O in the directory';
  return undefined;
}
