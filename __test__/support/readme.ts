import { readFileSync } from 'node:fs';

export const README: string = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** Matches examples and commands about `guest.mr` and `later.mr`: snapshots of a running QEMU, which some of them make. */
export const NEEDS_QEMU: RegExp = /(?:guest|later)\.mr(?!\w)/;

/** The code blocks of a language in the README, in order. */
export function readmeBlocks(language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms');
  return [...README.matchAll(fence)].map(([, code = '']) => code);
}

/** An example as CommonJS: its imports become calls of require. */
export function toCommonJs(example: string): string {
  return example.replaceAll(/^import (?:\* as )?(\w+|\{.*\}) from ('.*');$/gm, 'const $1 = require($2);');
}
