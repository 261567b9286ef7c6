/**
 * The process that `OurWorker` starts, with the kind of work as its argument. It loads the code of that, says so, does
 * one job after the other, and measures itself. It ends with its channel, whatever becomes of the process that started
 * it.
 */
import { MappedRamError, messageOf } from '../../errors.ts';
import { AnonymousMemory } from './anonymous-memory.ts';
import type { Job, JobReply, WorkerWord } from './job.ts';
import { isOurWork, loadCode, runJob } from './run-job.ts';

// A signal to the whole group is for the process that started this one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());

// Measured before the code of any work is loaded.
const memory = AnonymousMemory.open();
const idleBytes = memory?.bytes;

process.on('message', (job: Job) => {
  void reply(job).then(say);
});

const [, , work] = process.argv;
if (isOurWork(work)) await loadCode(work);
say('ready');

function say(word: WorkerWord): void {
  process.send?.(word);
}

async function reply(job: Job): Promise<JobReply> {
  try {
    return { figures: await runJob(job, job.watchesMemory ? memory : undefined, idleBytes) };
  } catch (error) {
    const code = error instanceof MappedRamError ? error.code : 'ERR_MAPPED_RAM_INTERNAL';
    return { error: { code, words: messageOf(error) } };
  }
}
