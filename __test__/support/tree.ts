import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of this repository, with a separator at its end. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

const NOT_OURS = new Set(['node_modules', 'target', 'dist', 'native', '.git']);

/** The files below a folder whose names end in one of these, relative to the repository's root. */
export function filesBelow(folder: string, ...endings: readonly string[]): readonly string[] {
  return readdirSync(`${ROOT}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : filesBelow(path, ...endings);
    return endings.some((ending) => entry.name.endsWith(ending)) ? [path] : [];
  });
}

export function readText(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}
