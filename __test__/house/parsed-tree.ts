import type { FileSystemEntries } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';
import type { Node, SourceFile } from 'typescript/unstable/ast';

import { filesBelow, readText } from '../support/tree.ts';

/** The files of a tree by path, with `/` and relative to its root, as the compiler parses them. */
export type Tree = ReadonlyMap<string, SourceFile>;

/** The endings of all files that can hold a program. */
const PROGRAMS = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx'];

/** Parsing is all that the compiler does with a tree: it resolves no import, and needs no types. */
const OPTIONS = { allowJs: true, noLib: true, noResolve: true, types: [], module: 'nodenext' };

/** The texts that the compiler can read, by path. Each tree has a folder of its own. */
const texts = new Map<string, string>();

/** One compiler for all trees. It ends with this process, and does not keep the process alive. */
const compiler = new API({
  cwd: '/',
  fs: {
    readFile: (path: string): string | null => texts.get(path) ?? null,
    fileExists: (path: string): boolean => texts.has(path),
    directoryExists: (): boolean => true,
    getAccessibleEntries: (): FileSystemEntries => ({ files: [], directories: [] }),
    realpath: (path: string): string => path,
  },
});

/** Parses the programs in these folders of the repository. */
export function treeOf(...folders: readonly string[]): Tree {
  const paths = folders.flatMap((folder) => filesBelow(folder, ...PROGRAMS));
  return parsed(Object.fromEntries(paths.map((path) => [path, readText(path)])));
}

/** Parses a tree, text by path. @throws when the compiler leaves a file out */
export function parsed(files: Readonly<Record<string, string>>): Tree {
  const root = `/tree${texts.size}`;
  const paths = Object.keys(files);
  for (const [path, text] of Object.entries(files)) texts.set(`${root}/${path}`, text);
  const config = `${root}/tsconfig.json`;
  texts.set(config, JSON.stringify({ compilerOptions: OPTIONS, files: paths }));
  using snapshot = compiler.updateSnapshot({ openProjects: [config] });
  const program = snapshot.getProject(config)?.program;
  return new Map(
    paths.map((path) => {
      const source = program?.getSourceFile(`${root}/${path}`);
      if (source === undefined) throw new Error(`the compiler has not parsed ${path}`);
      return [path, source] as const;
    }),
  );
}

/** Parses one made-up file. */
export function parsedFile(text: string, path = 'made-up.ts'): SourceFile {
  const source = parsed({ [path]: text }).get(path);
  if (source === undefined) throw new Error(`the compiler has not parsed ${path}`);
  return source;
}

/** All nodes below a node, in the order of the text. */
export function nodesBelow(node: Node): readonly Node[] {
  const nodes: Node[] = [];
  const visit = (child: Node): undefined => {
    nodes.push(child);
    child.forEachChild(visit);
  };
  node.forEachChild(visit);
  return nodes;
}
