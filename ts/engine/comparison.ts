import { binding, type BindingModule } from './binding.ts';
import { defined } from './engine-options.ts';
import type { PageArea } from '../stream/page-area.ts';
import type { TransferOptions, TransferReport } from './transfer-options.ts';
import { runJob } from './run-job.ts';
import { bindingMemory, bindingOptions, type TransferFile, type TransferMemory } from './transfer.ts';

/** A block that both sides have. */
export interface ComparedBlock {
  readonly name: string;
  /** The block's area in the left snapshot, as long as the part that is compared. */
  readonly left: PageArea;
  /** The area in the right snapshot, with the same length; or memory. */
  readonly right: PageArea | { readonly memory: TransferMemory };
}

export interface ComparisonPlan {
  readonly left: TransferFile;
  /** The right snapshot; undefined when every block is compared with memory. */
  readonly right: TransferFile | undefined;
  readonly blocks: readonly ComparedBlock[];
}

export interface ComparisonOutcome {
  readonly report: TransferReport;
  /** One array a block, two bits a page, four pages a byte: 0 equal, 1 changed, 2 became zero, 3 became data. */
  readonly differences: readonly Uint8Array[];
}

/**
 * Compares the pages of a plan. When the promise settles, all of the engine's threads have ended.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} the first error that the engine met
 */
export async function runComparison(
  plan: ComparisonPlan,
  options: TransferOptions,
): Promise<ComparisonOutcome> {
  options.signal?.throwIfAborted();
  const { BindingComparison } = binding();
  const comparison = new BindingComparison(bindingPlan(plan, options));
  const { outcome, report } = await runJob(comparison, options);
  return { report, differences: outcome.differences };
}

type BindingPlan = ConstructorParameters<BindingModule['BindingComparison']>[0];

function bindingPlan(plan: ComparisonPlan, options: TransferOptions): BindingPlan {
  return defined({
    left: defined(plan.left),
    right: plan.right && defined(plan.right),
    blocks: plan.blocks.map(({ name, left, right }) => ({
      name,
      left,
      ...('memory' in right ? { memory: bindingMemory(right.memory) } : { right }),
    })),
    options: bindingOptions(options),
  });
}
