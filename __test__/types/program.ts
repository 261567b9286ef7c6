import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { API, SymbolFlags, type Project, type Symbol as NamedSymbol } from 'typescript/unstable/sync';

/** The strictest options of the package's users: the compiler skips nothing, declarations included. */
const STRICT = {
  noEmit: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'esnext.disposable'],
  types: ['node'],
};

/** A compiled program. It lives until it is disposed. */
export class CompiledProgram implements Disposable {
  readonly #api: API;
  readonly project: Project;

  constructor(api: API, project: Project) {
    this.#api = api;
    this.project = project;
  }

  /** The compiler's complaints, about the package's declarations too. */
  get faults(): readonly string[] {
    const diagnostics = this.project.program.getSemanticDiagnostics();
    return diagnostics.map(({ fileName = '', pos, text }) => `${fileName}:${pos}: ${text}`);
  }

  /** The exports of a module, each as the symbol that it stands for. */
  exportsOf(path: string): ReadonlyMap<string, NamedSymbol> {
    const { program, checker } = this.project;
    const source = program.getSourceFile(path);
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${path} is no module of the program`);
    const symbols = checker.getExportsOfModule(module);
    return new Map(symbols.map((symbol) => [symbol.name, this.resolved(symbol)] as const));
  }

  /** The symbol behind an alias, such as an import. */
  resolved(symbol: NamedSymbol): NamedSymbol {
    const { checker } = this.project;
    return (symbol.flags & SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol);
  }

  [Symbol.dispose](): void {
    this.#api.close();
  }
}

/**
 * Writes a program into a directory and has it compiled.
 * @param files the program's files, text by name, without folders
 * @param options options in place of some of the strict ones
 */
export async function compiledProgram(
  directory: string,
  files: Readonly<Record<string, string>>,
  options: Readonly<Record<string, unknown>> = {},
): Promise<CompiledProgram> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const config = join(directory, 'tsconfig.json');
  const compilerOptions = { ...STRICT, ...options };
  await writeFile(config, JSON.stringify({ compilerOptions, files: Object.keys(files) }));
  const api = new API({ cwd: directory });
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error(`${config} is not loaded`);
  return new CompiledProgram(api, project);
}
