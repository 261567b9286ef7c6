import { access, constants, readFile, statfs } from 'node:fs/promises';

import { filesystemOf } from '../../host/filesystem.ts';
import { unescaped } from '../machine.ts';

const MIB = 2 ** 20;
const MOUNTS = '/proc/self/mounts';
/** Copies of the guest's memory for which there must be room: one that is saved, and one that is loaded. */
const COPIES = 2;

/** A mounted hugetlbfs in which this process may make files. */
export interface HugePagePlace {
  readonly path: string;
  /** Bytes of a page. */
  readonly pageBytes: number;
}

/** Finds all of them, those with small pages first. The list is empty on other systems than Linux. */
export async function hugePagePlaces(): Promise<readonly HugePagePlace[]> {
  const text = await readFile(MOUNTS, 'utf8').catch(() => '');
  const places: HugePagePlace[] = [];
  for (const line of text.split('\n')) {
    const [, point = '', type] = line.split(' ');
    if (type !== 'hugetlbfs') continue;
    const path = unescaped(point);
    const mayWrite = await access(path, constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
    // Another mount may cover the point.
    const isIt = (await filesystemOf(path))?.type === 'hugetlbfs';
    if (mayWrite && isIt && places.every((place) => place.path !== path)) {
      places.push({ path, pageBytes: (await statfs(path)).bsize });
    }
  }
  return places.toSorted((left, right) => left.pageBytes - right.pageBytes);
}

/**
 * Finds a place with room for twice a guest's memory.
 * @param size bytes of the guest's memory
 * @returns the place, or the reason why there is none
 */
export async function findHugePages(size: number): Promise<HugePagePlace | { readonly why: string }> {
  const reasons: string[] = [];
  for (const place of await hugePagePlaces()) {
    const why = await whyNot(place, size);
    if (why === undefined) return place;
    reasons.push(why);
  }
  return { why: reasons.join('; ') || 'no hugetlbfs is mounted that can be written to' };
}

async function whyNot({ path, pageBytes }: HugePagePlace, size: number): Promise<string | undefined> {
  if (size % pageBytes !== 0) {
    return `${path} has pages of ${pageBytes / MIB} MiB, and ${size / MIB} MiB are no whole number of them`;
  }
  const free = await freeBytes(path, pageBytes);
  if (free >= COPIES * size) return undefined;
  return `${path} has ${free / MIB} MiB free in pages of ${pageBytes / MIB} MiB, and ${COPIES} × ${size / MIB} MiB are needed`;
}

/** Bytes of pages that nobody has and nobody was promised, and that the mount's own limit allows. */
async function freeBytes(path: string, pageBytes: number): Promise<number> {
  const pool = `/sys/kernel/mm/hugepages/hugepages-${pageBytes / 1024}kB`;
  const [free, promised] = [await count(`${pool}/free_hugepages`), await count(`${pool}/resv_hugepages`)];
  const { blocks, bavail, bsize } = await statfs(path);
  // Without a limit there are no blocks at all.
  const allowed = blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
  return Math.min(Math.max(free - promised, 0) * pageBytes, allowed);
}

/** A pool of which the kernel tells nothing has no page for us. */
async function count(path: string): Promise<number> {
  return Number(await readFile(path, 'latin1').catch(() => '0'));
}
