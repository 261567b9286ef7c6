import type { Node, SourceFile } from 'typescript/unstable/ast';
import {
  isBindingElement,
  isIdentifier,
  isImportDeclaration,
  isImportSpecifier,
  isNamespaceImport,
  isPropertyAccessExpression,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is';

import { specifiersOf } from './imports.ts';
import { isLookedInto, nameOf, textOf, valueOf } from './looks.ts';
import { nodesBelow } from './parsed-tree.ts';

/** Matches the files of modes that other folders may import. */
const PUBLIC = /\/(?:mode|modes)\.ts$/;

/** The ways in which others may go through the table of all modes. Its order is the modes' own. */
const WAYS_THROUGH: ReadonlySet<string> = new Set(['map', 'find', 'filter', 'some', 'every']);

/** Matches the names of variables and members that hold a mode, or the name of one. */
const HOLDS_MODE = /^#?mode$|Mode$/;

/**
 * The places in a file at which the program asks which mode it has: a mode's name, a mode's own file, a place in the table
 * of modes, a comparison of modes. Each is given as its text.
 * @param names the names of all modes
 */
export function questionsIn(source: SourceFile, names: readonly string[]): readonly string[] {
  const nodes = nodesBelow(source);
  const files = specifiersOf(source).filter((from) => from.includes('/modes/') && !PUBLIC.test(from));
  const literals = nodes.filter((node) => names.includes(textOf(node))).map((node) => node.getText());
  const renamed = nodes.filter((node) => isRenamedImport(node)).map((node) => node.getText());
  const knowsModes = specifiersOf(source).some((from) => /(?:^|\/)(?:restore|modes)\//.test(from));
  const isInRoom = /(?:^|\/)ts\/restore\//.test(source.fileName);
  if (!knowsModes && !isInRoom) return [...files, ...literals, ...renamed];
  const tables = nodes.filter((node) => isPlaceInTable(node)).map((node) => node.parent.getText());
  const named = new Set(nodes.flatMap((node) => nameTakenIn(node) ?? []));
  const looks = nodes
    .filter((node) => (isMode(node) || isTaken(node, named)) && isLookedInto(node))
    .map((node) => valueOf(node).parent.getText());
  return [...files, ...literals, ...renamed, ...tables, ...looks];
}

/** True for a mode, for the name of one, and for the name of a mode that stands in a member. */
function isMode(node: Node): boolean {
  if (isPropertyAccessExpression(node)) {
    const { name, expression } = node;
    if (name.text === 'name') return HOLDS_MODE.test(nameOf(expression));
    return HOLDS_MODE.test(name.text);
  }
  if (!isIdentifier(node) || !HOLDS_MODE.test(node.text)) return false;
  const { parent } = node;
  return !isPropertyAccessExpression(parent) || parent.expression === node;
}

/** The variable into which `{ name } = mode` or `const which = mode.name` takes a mode's name. */
function nameTakenIn(node: Node): string | undefined {
  if (isBindingElement(node)) {
    const declaration = node.parent.parent;
    const isFromMode =
      isVariableDeclaration(declaration) &&
      declaration.initializer !== undefined &&
      HOLDS_MODE.test(nameOf(declaration.initializer));
    return isFromMode && textOf(node.propertyName ?? node.name) === 'name' ? textOf(node.name) : undefined;
  }
  if (!isPropertyAccessExpression(node) || node.name.text !== 'name' || !isMode(node)) return undefined;
  const { parent } = valueOf(node);
  return isVariableDeclaration(parent) ? textOf(parent.name) : undefined;
}

function isTaken(node: Node, names: ReadonlySet<string>): boolean {
  if (!isIdentifier(node) || !names.has(node.text)) return false;
  return !isPropertyAccessExpression(node.parent) || node.parent.expression === node;
}

/** True for a use of the table of modes that does not go through it. */
function isPlaceInTable(node: Node): boolean {
  const { parent } = node;
  if (!isIdentifier(node) || node.text !== 'MODES' || isImportSpecifier(parent)) return false;
  return !isPropertyAccessExpression(parent) || !WAYS_THROUGH.has(parent.name.text);
}

/** True for an import of modes under another name, which would hide them from these questions. */
function isRenamedImport(node: Node): boolean {
  const isRenaming = isNamespaceImport(node) || (isImportSpecifier(node) && node.propertyName !== undefined);
  if (!isRenaming) return false;
  let declaration: Node = node;
  while (!isImportDeclaration(declaration)) declaration = declaration.parent;
  return PUBLIC.test(textOf(declaration.moduleSpecifier));
}
