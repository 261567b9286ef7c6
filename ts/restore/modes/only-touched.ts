import type { RestoreOptions } from '../restore.ts';

/** Brings a guest the pages that it touches, and no others. */
export const ONLY_TOUCHED: Pick<RestoreOptions, 'mode' | 'postcopy' | 'workingSet'> = {
  mode: 'lazy',
  postcopy: { push: 'off' },
  workingSet: 'off',
};
