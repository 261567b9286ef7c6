import type { MakeContenders } from './contender.ts';
import type { BenchWork } from './figures.ts';
import { ourContenders } from './ours/contenders.ts';
import { otherContenders } from './others/make-others.ts';
import type { BenchTransfer, OurWork } from './ours/job.ts';
import { restoreContenders } from './restore/restore-contenders.ts';

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
  save: oursAndOthers('save'),
  load: oursAndOthers('load'),
  verify: oursAndOthers('verify'),
  diff: oursAndOthers('diff'),
  restore: [({ qemu }) => restoreContenders({ qemu })],
};

function oursAndOthers(work: OurWork): readonly Make[] {
  return [({ transfer }) => ourContenders(work, transfer), ({ qemu }) => otherContenders({ qemu })[work]];
}
