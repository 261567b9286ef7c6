import type { LookIntoPageCache } from './meter/page-cache-growth.ts';

/** Looks how much of a file is in the page cache. */
export const lookIntoPageCache: LookIntoPageCache = () => Promise.resolve(undefined);
