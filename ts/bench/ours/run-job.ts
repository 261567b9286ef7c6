import { probeBinding } from '../../engine/probe.ts';
import type { TransferReport } from '../../engine/transfer-options.ts';
import { MappedRamError } from '../../errors.ts';
import type { AnonymousMemory } from './anonymous-memory.ts';
import type { Job, JobFigures, OurWork } from './job.ts';

type Run = (job: Job) => Promise<TransferReport | undefined>;

/** Loads the code of each kind of work: no process of the bench has more than it needs. */
const WORKS: Readonly<Record<OurWork, () => Promise<Run>>> = {
  save: async () => {
    const { pack } = await import('../../pack/pack.ts');
    return async ({ snapshot, state, block, memory, transfer }) =>
      (await pack(snapshot, { state, ram: { [block]: memory }, ...transfer })).transfer;
  },
  load: async () => {
    const { unpack } = await import('../../pack/unpack.ts');
    return async ({ snapshot, block, memory, transfer }) =>
      (await unpack(snapshot, { ram: { [block]: memory }, ...transfer })).transfer;
  },
  verify: async () => {
    const { verify } = await import('../../verify/verify.ts');
    return async ({ snapshot, transfer }) => {
      const result = await verify(snapshot, transfer);
      if (!result.verified) throw wrong('the snapshot is not sound', snapshot);
      return result.transfer;
    };
  },
  diff: async () => {
    const { diff } = await import('../../diff/diff.ts');
    return async ({ snapshot, block, memory, transfer }) => {
      const result = await diff(snapshot, { ram: { [block]: memory } }, transfer);
      if (!result.equal) throw wrong('the snapshot differs from the memory', snapshot);
      return result.transfer;
    };
  },
};

export function isOurWork(word: string | undefined): word is OurWork {
  return word !== undefined && Object.hasOwn(WORKS, word);
}

/** Loads the code of a kind of work, and the engine: no job's system calls have that in them. */
export async function loadCode(work: OurWork): Promise<void> {
  await WORKS[work]();
  probeBinding();
}

/** Does a job in this process, and measures it. */
export async function runJob(
  job: Job,
  memory: AnonymousMemory | undefined,
  idleBytes: number | undefined,
): Promise<JobFigures> {
  const run = await WORKS[job.work]();
  memory?.begin();
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const report = await run(job);
  const milliseconds = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  const peakBytes = memory?.end();
  if (report?.bytes !== job.size) throw wrong(`${job.work} did not cover the memory`, job.snapshot);
  const { ioEngine, ioEngineWhy, directIo, directIoWhy, channels, queueDepth, requestSize } = report;
  if (ioEngine === 'javascript') throw wrong('the engine did not move the pages', job.snapshot);
  return {
    milliseconds,
    cpuMs: (user + system) / 1000,
    peakBytes,
    idleBytes,
    requests: report.requests,
    way: { ioEngine, ioEngineWhy, directIo, directIoWhy, channels, queueDepth, requestSize },
  };
}

function wrong(words: string, path: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', words, { path });
}
