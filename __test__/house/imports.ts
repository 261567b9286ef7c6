import { posix } from 'node:path';

/** The files of a tree by path, with `/` and relative to its root, and their text. */
export type Tree = ReadonlyMap<string, string>;

/** An import of `to` in `from`. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** Matches `import … from`, `export … from`, `import '…'`, `import('…')` of modules and types, and `require('…')`. */
const IMPORTS = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"])([^'"\n]+)\1/g;
const COMMENTS = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

/** The specifiers of a module's imports, as they are written. */
export function specifiersOf(text: string): readonly string[] {
  return [...text.replaceAll(COMMENTS, '').matchAll(IMPORTS)].map(([, , specifier = '']) => specifier);
}

/** The imports between files, without those of packages. */
export function importsOf(tree: Tree): readonly Import[] {
  return [...tree].flatMap(([from, text]) =>
    specifiersOf(text)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => ({ from, to: posix.join(posix.dirname(from), specifier) })),
  );
}
