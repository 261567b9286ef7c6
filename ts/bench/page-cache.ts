import { existsSync } from 'node:fs';

import { pageCacheState } from '../engine/page-cache.ts';
import type { LookIntoPageCache } from './meter/page-cache-growth.ts';

/** Looks how much of a file is in the page cache. A file that does not exist has nothing there. */
export const lookIntoPageCache: LookIntoPageCache = (path) => {
  if (!existsSync(path)) return Promise.resolve({ cached: 0 });
  const state = pageCacheState(path);
  return Promise.resolve(state === undefined ? undefined : { cached: state.cachedBytes });
};
