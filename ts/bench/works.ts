import type { MakeContenders } from './contender.ts';
import type { BenchWork } from './figures.ts';
import { ourContenders } from './ours/contenders.ts';
import { hugePageContenders } from './ours/huge-page-contenders.ts';
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
  save: [ours('save'), inHugePages('save'), others('save')],
  load: [ours('load'), inHugePages('load'), others('load')],
  verify: [ours('verify'), others('verify')],
  diff: [ours('diff'), others('diff')],
  restore: [({ qemu }) => restoreContenders({ qemu })],
};

function ours(work: OurWork): Make {
  return ({ transfer }) => ourContenders(work, transfer);
}

function inHugePages(work: 'save' | 'load'): Make {
  return ({ transfer }) => hugePageContenders(work, transfer);
}

function others(work: OurWork): Make {
  return ({ qemu }) => otherContenders({ qemu })[work];
}
