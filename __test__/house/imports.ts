import { posix } from 'node:path';

/** The files of a tree by path, with `/` and relative to its root, and their text. */
export type Tree = ReadonlyMap<string, string>;

/** An import of `to` in `from`. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** `import … from`, `export … from`, `import '…'`, `import('…')` of modules and of types, and `require('…')`. */
const IMPORTS = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"])([^'"\n]+)\1/g;
const COMMENTS = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

/** What a module names in its imports, as it is written. */
export function specifiersOf(text: string): readonly string[] {
  return [...text.replaceAll(COMMENTS, '').matchAll(IMPORTS)].map(([, , specifier = '']) => specifier);
}

/** The imports between files, those of packages left out. */
export function importsOf(tree: Tree): readonly Import[] {
  return [...tree].flatMap(([from, text]) =>
    specifiersOf(text)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => ({ from, to: posix.join(posix.dirname(from), specifier) })),
  );
}
