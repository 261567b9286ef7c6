import type { Node } from 'typescript/unstable/ast';
import {
  isExpressionWithTypeArguments,
  isImportTypeNode,
  isTypeQueryNode,
  isTypeReferenceNode,
} from 'typescript/unstable/ast/is';
import { SymbolFlags, TypeFlags, type Symbol } from 'typescript/unstable/sync';

import type { CompiledProgram } from './program.ts';

/**
 * The types of a package that an entry's exports need but the entry does not export, each as `NAME, needed by NAME`.
 * The exports of an exported namespace count as exported.
 *
 * @param folder the package's folder: other packages export the types from elsewhere
 */
export function unreachableNames(program: CompiledProgram, entry: string, folder: string): readonly string[] {
  const exported = [...program.exportsOf(entry).values()].flatMap((symbol) => withMembers(program, symbol));
  const known = new Set(exported.map(({ id }) => id));
  const seen = new Set<number>();
  const missing = new Set<string>();
  const next = [...exported];
  for (let symbol = next.pop(); symbol !== undefined; symbol = next.pop()) {
    if (seen.has(symbol.id)) continue;
    seen.add(symbol.id);
    for (const named of namedBy(program, symbol).filter((other) => isWithin(other, folder))) {
      if (!known.has(named.id)) missing.add(`${named.name}, needed by ${symbol.name}`);
      next.push(named);
    }
  }
  return [...missing].toSorted();
}

/** The exports of a namespace; any other symbol stands for itself. */
function withMembers(program: CompiledProgram, symbol: Symbol): readonly Symbol[] {
  if ((symbol.flags & SymbolFlags.ValueModule) === 0) return [symbol];
  return program.project.checker.getExportsOfModule(symbol).map((member) => program.resolved(member));
}

/** True for symbols of the package, but not for type parameters: only their own declaration names them. */
function isWithin({ flags, declarations }: Symbol, folder: string): boolean {
  if ((flags & SymbolFlags.TypeParameter) !== 0) return false;
  // The compiler's paths are in lower case when the filesystem does not tell cases apart.
  return declarations.some(({ path }) => path.toLowerCase().startsWith(folder.toLowerCase()));
}

/** The symbols that a symbol's declarations name: types, bases, and values behind `typeof`. */
function namedBy(program: CompiledProgram, symbol: Symbol): readonly Symbol[] {
  const { project } = program;
  const found: Symbol[] = [];
  const visit = (node: Node): void => {
    const name = nameIn(node);
    const named = name === undefined ? undefined : project.checker.getSymbolAtLocation(name);
    if (name !== undefined && named === undefined) throw new Error(`${symbol.name} names an unknown type`);
    if (named !== undefined) found.push(program.resolved(named));
    node.forEachChild(visit);
  };
  if (isWords(program, symbol)) return [];
  for (const declaration of symbol.declarations) {
    const node = declaration.resolve(project);
    if (node !== undefined) visit(node);
  }
  return found;
}

/**
 * True for an alias of words, such as the ids of a table: its own name says all, whatever the table is made of.
 */
function isWords({ project }: CompiledProgram, symbol: Symbol): boolean {
  if ((symbol.flags & SymbolFlags.TypeAlias) === 0) return false;
  const type = project.checker.getDeclaredTypeOfSymbol(symbol);
  const parts = type.isUnionType() ? type.getTypes() : [type];
  return parts.every(({ flags }) => (flags & TypeFlags.StringLiteral) !== 0);
}

function nameIn(node: Node): Node | undefined {
  if (isTypeReferenceNode(node)) return node.typeName;
  if (isExpressionWithTypeArguments(node)) return node.expression;
  if (isTypeQueryNode(node)) return node.exprName;
  return isImportTypeNode(node) ? node.qualifier : undefined;
}
