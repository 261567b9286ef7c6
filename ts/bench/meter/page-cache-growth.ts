/** The part of a file that is in the page cache; undefined where the system does not tell. */
export interface CachedPart {
  /** Bytes. */
  readonly cached: number;
}

export type LookIntoPageCache = (path: string) => Promise<CachedPart | undefined>;

/** Bytes that some files gained in the page cache. */
export interface PageCacheGrowth {
  /** Bytes since the start, negative when the cache dropped some; undefined when one file could not be looked at. */
  end(): Promise<number | undefined>;
}

/**
 * Starts to count the bytes that the page cache gains of these files. A file that does not exist has none there.
 * @param look finds the part of one existing file
 */
export async function pageCacheGrowth(
  files: readonly string[],
  look: LookIntoPageCache,
): Promise<PageCacheGrowth> {
  const before = await cachedBytes(files, look);
  return {
    end: async () => {
      const after = await cachedBytes(files, look);
      return before === undefined || after === undefined ? undefined : after - before;
    },
  };
}

async function cachedBytes(files: readonly string[], look: LookIntoPageCache): Promise<number | undefined> {
  let sum = 0;
  for (const path of files) {
    const part = await look(path);
    if (part === undefined) return undefined;
    sum += part.cached;
  }
  return sum;
}
