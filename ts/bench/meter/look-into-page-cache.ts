import { existsSync } from 'node:fs';

import { pageCacheState } from '../../engine/page-cache.ts';
import type { LookIntoPageCache } from './page-cache-growth.ts';

/** Finds the bytes of a file in the page cache: none of a file that does not exist. */
export const lookIntoPageCache: LookIntoPageCache = async (path) => {
  if (!existsSync(path)) return { cached: 0 };
  const state = pageCacheState(path);
  return state && { cached: state.cachedBytes };
};
