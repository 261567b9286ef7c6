import { posix } from 'node:path';

import { importsOf, type Import } from './imports.ts';
import type { Tree } from './parsed-tree.ts';

/** The room of a file of ts/: the folder right below ts/, or the file itself when it lies beside the folders. */
export function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/**
 * The imports of ts/ that do not run down, as `from → to`. No file may import from a room without a floor, or from
 * outside ts/.
 * @param floors the rooms, from the lowest floor to the highest
 * @param allowed arrows out of ts/ that are none of these
 */
export function arrowsUp(
  tree: Tree,
  floors: ReadonlyArray<readonly string[]>,
  allowed: readonly string[] = [],
): readonly string[] {
  const floorOf = (path: string): number => floors.findIndex((rooms) => rooms.includes(roomOf(path)));
  const runsDown = ({ from, to }: Import): boolean => {
    if (to === undefined) return true;
    if (!to.startsWith('ts/')) return false;
    if (roomOf(from) === roomOf(to)) return true;
    return floorOf(to) !== -1 && floorOf(from) > floorOf(to);
  };
  const arrows = importsOf(tree)
    .filter((arrow) => !runsDown(arrow))
    .map(({ from, to }) => `${from} → ${to}`);
  return arrows.filter((arrow) => !allowed.includes(arrow));
}

/** The groups of files that import each other, directly or by way of others. */
export function circles(tree: Tree): ReadonlyArray<readonly string[]> {
  const targets = new Map<string, string[]>();
  for (const { from, to } of importsOf(tree)) {
    if (to !== undefined) targets.set(from, [...(targets.get(from) ?? []), to]);
  }
  const reached = new Map([...tree.keys()].map((path) => [path, reachable(path, targets)] as const));
  const groups = new Map<string, readonly string[]>();
  for (const [path, files] of reached) {
    const group = [...files].filter((other) => reached.get(other)?.has(path)).toSorted();
    if (group.length > 0) groups.set(group.join(' '), group);
  }
  return [...groups.values()];
}

/** The files that imports lead to from `start`; `start` itself only when they lead back to it. */
function reachable(start: string, targets: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const found = new Set<string>();
  const next = [start];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    for (const target of targets.get(path) ?? []) {
      if (found.has(target)) continue;
      found.add(target);
      next.push(target);
    }
  }
  return found;
}

/** The folders with more than `most` files flat in them, as `folder: number`. */
export function crowdedFolders(paths: readonly string[], most: number): readonly string[] {
  const sizes = new Map<string, number>();
  for (const path of paths) {
    const folder = posix.dirname(path);
    sizes.set(folder, (sizes.get(folder) ?? 0) + 1);
  }
  return [...sizes].filter(([, size]) => size > most).map(([folder, size]) => `${folder}: ${size}`);
}
