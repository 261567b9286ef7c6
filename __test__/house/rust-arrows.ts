import { hiddenWays, modulePath, usedPaths, type UsedPath } from './rust-paths.ts';

/** A use of one module of a crate by another. */
export interface Arrow {
  /** The module at the top of the crate in which the use stands; `lib` for the crate's root. */
  readonly from: string;
  /** The module at the top of the crate that is used. */
  readonly to: string;
  /** The file of the use, relative to the crate's `src`. */
  readonly file: string;
}

/** The modules at the top of a crate, by the files below its `src`. */
export function topModules(files: Iterable<string>): ReadonlySet<string> {
  return new Set([...files].map((file) => modulePath(file)[0] ?? 'lib'));
}

/** The files of a crate below its `src`, with their texts. */
export type Crate = ReadonlyMap<string, string>;

/** The name of the crate, by which a file of its own must not use it. */
const CRATE = 'mapped_ram_engine';

/** Every use of one top module by another, whether it stands in a `use` or in the middle of an expression. */
export function arrowsOf(files: Crate): readonly Arrow[] {
  return [...pathsByFile(files)].flatMap(([file, paths]) => {
    const from = modulePath(file)[0] ?? 'lib';
    const targets = new Set(paths.map(({ path: [top = 'lib'] }) => top));
    return [...targets].filter((to) => to !== from).map((to) => ({ from, to, file }));
  });
}

/**
 * Every use of one file by another of the same top module. A name that a folder's `mod.rs` takes from elsewhere counts as a use of the file
 * that has it. What a `mod.rs` has of its own is the ground of its folder, and no arrow leads to it from there: it also
 * declares the files of the folder, so that each would make a circle.
 */
export function arrowsInRooms(files: Crate): readonly Arrow[] {
  const byModule = new Map([...files.keys()].map((file) => [modulePath(file).join('::'), file] as const));
  const byFile = pathsByFile(files);
  const fileOf = (path: readonly string[], passed: readonly string[] = []): string | undefined => {
    for (let length = path.length; length >= 0; length -= 1) {
      const file = byModule.get(path.slice(0, length).join('::'));
      if (file === undefined) continue;
      const [name] = path.slice(length);
      const taken = byFile.get(file)?.find(({ as, path: there }) => as === name && there.length > 0);
      const isNew = name !== undefined && !passed.includes(`${file} ${name}`);
      return taken !== undefined && isNew ? fileOf(taken.path, [...passed, `${file} ${name}`]) : file;
    }
    return undefined;
  };
  return [...byFile].flatMap(([file, paths]) => {
    const targets = new Set(paths.flatMap(({ path }) => fileOf(path) ?? []));
    const others = [...targets].filter((to) => to !== file && isSameRoom(to, file) && !isGround(to, file));
    return others.map((to) => ({ from: file, to, file }));
  });
}

/** The faults of a crate's arrows, in words. A module may use the floors before its own and nothing else. */
export function offences(files: Crate, floors: readonly (readonly string[])[]): readonly string[] {
  const modules = topModules(files.keys());
  const floorOf = new Map(floors.flatMap((names, floor) => names.map((name) => [name, floor] as const)));
  const unlisted = [...modules].filter((name) => !floorOf.has(name)).map((name) => `${name} has no floor`);
  const gone = [...floorOf.keys()].filter((name) => !modules.has(name)).map((name) => `${name} is no module`);
  const arrows = arrowsOf(files);
  const wrong = arrows.flatMap(({ from, to, file }) => {
    // A name that the root exports hides the module that it comes from.
    if (!modules.has(to) || to === 'lib') return [`${file} uses crate::${to}, which is no module`];
    const rises = (floorOf.get(to) ?? -1) >= (floorOf.get(from) ?? Infinity);
    return rises ? [`${file}: ${from} uses ${to}, which is not below it`] : [];
  });
  const hidden = [...files].flatMap(([file, text]) => hiddenWays(text).map((way) => `${file} uses ${way}`));
  return [...unlisted, ...gone, ...wrong, ...hidden, ...circles(arrows), ...circles(arrowsInRooms(files))];
}

/** Each circle of modules or files once, in words. */
function circles(arrows: readonly Arrow[]): readonly string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) found.push(`a circle: ${[...path.slice(start), name].join(' → ')}`);
    if (start >= 0 || done.has(name)) return;
    for (const to of new Set(arrows.filter(({ from }) => from === name).map((arrow) => arrow.to))) {
      visit(to, [...path, name]);
    }
    done.add(name);
  };
  for (const { from } of arrows) visit(from, []);
  return found;
}

function isSameRoom(one: string, other: string): boolean {
  return modulePath(one)[0] === modulePath(other)[0];
}

/** True when `ground` is the `mod.rs` of a folder in which `file` lies. */
function isGround(ground: string, file: string): boolean {
  return ground.endsWith('mod.rs') && file.startsWith(ground.slice(0, -'mod.rs'.length));
}

function pathsByFile(files: Crate): ReadonlyMap<string, readonly UsedPath[]> {
  const modules = new Set([...files.keys()].map((file) => modulePath(file).join('::')));
  const isModule = (path: readonly string[]): boolean => modules.has(path.join('::'));
  return new Map([...files].map(([file, text]) => [file, usedPaths(file, text, CRATE, isModule)] as const));
}
