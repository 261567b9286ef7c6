import type { MakeContenders } from './contender.ts';
import type { BenchWork } from './figures.ts';
import { ourContenders } from './ours/contenders.ts';
import type { BenchTransfer } from './ours/job.ts';

/** What contenders are told beside the files. */
export interface ContenderOptions {
  /** Options of moving pages, for this package's own. */
  readonly transfer: BenchTransfer;
  /** Name or path of QEMU; undefined for the usual one. */
  readonly qemu: string | undefined;
}

type Make = (options: ContenderOptions) => MakeContenders;

/** Who takes part in which work. */
export const CONTENDERS: Readonly<Record<BenchWork, readonly Make[]>> = {
  save: [({ transfer }) => ourContenders('save', transfer)],
  load: [({ transfer }) => ourContenders('load', transfer)],
  verify: [({ transfer }) => ourContenders('verify', transfer)],
  diff: [({ transfer }) => ourContenders('diff', transfer)],
  restore: [],
};
