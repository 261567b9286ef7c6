import { posix } from 'node:path';

import type { Node, SourceFile } from 'typescript/unstable/ast';
import { SyntaxKind } from 'typescript/unstable/ast';
import {
  isCallExpression,
  isExportDeclaration,
  isExternalModuleReference,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isMetaProperty,
  isModuleDeclaration,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isStringLiteral,
  isTemplateExpression,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is';

import { nodesBelow, type Tree } from './parsed-tree.ts';

/** An import in `from`. */
export interface Import {
  readonly from: string;
  readonly specifier: string;
  /** The file that is imported, relative to the root; `undefined` for a package and for a module of Node's. */
  readonly to: string | undefined;
}

/** The name under which the package can import itself. */
const OWN_NAME = 'mapped-ram';

/** The specifiers of a module's imports, of values and of types, as they are written. */
export function specifiersOf(source: SourceFile): readonly string[] {
  const written = nodesBelow(source).flatMap((node) => textOf(specifierIn(node)) ?? []);
  return [...source.referencedFiles.map(({ fileName }) => asRelative(fileName)), ...written];
}

/** All imports of a tree. */
export function importsOf(tree: Tree): readonly Import[] {
  return [...tree].flatMap(([from, source]) =>
    specifiersOf(source).map((specifier) => ({ from, specifier, to: targetOf(from, specifier) })),
  );
}

/**
 * The ways in a tree to reach other files of which `importsOf` cannot say where they lead, or which are no imports, each
 * as `path: text`.
 */
export function otherWays(tree: Tree): readonly string[] {
  const ways = [...tree].flatMap(([path, source]) => {
    const nodes = nodesBelow(source);
    const specifiers = new Set(nodes.map((node) => specifierIn(node)));
    const found = nodes.flatMap((node) => wayIn(node, specifiers) ?? []);
    return found.map((way) => `${path}: ${way.getText()}`);
  });
  return [...new Set(ways)];
}

/** The node of the specifier when a node imports; `undefined` when it does not. */
function specifierIn(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier;
  if (isExternalModuleReference(node)) return node.expression;
  if (isImportTypeNode(node)) return isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument;
  if (isModuleDeclaration(node)) return isStringLiteral(node.name) ? node.name : undefined;
  if (!isCallExpression(node)) return undefined;
  const isImport = node.expression.kind === SyntaxKind.ImportKeyword;
  return isImport || isRequire(node.expression) ? node.arguments[0] : undefined;
}

/** The part of the text that reaches a file by other ways than an import, if this node begins one. */
function wayIn(node: Node, specifiers: ReadonlySet<Node | undefined>): Node | undefined {
  if (isMetaProperty(node)) return callAround(node);
  if (isIdentifier(node)) {
    const loads = node.text === 'getBuiltinModule' || isRequire(node);
    return loads ? callAround(node) : undefined;
  }
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    return textOf(node.arguments[0]) === undefined ? node : undefined;
  }
  const text = isTemplateExpression(node) ? node.head.text : textOf(node);
  if (text === undefined) return undefined;
  if (specifiers.has(node)) return /^(?:node:)?module$/.test(text) ? node : undefined;
  return /^\.{1,2}\//.test(text) ? callAround(node) : undefined;
}

/** The call around a node; the expression around it when no call takes it. */
function callAround(node: Node): Node {
  let around = node;
  while (isPropertyAccessExpression(around.parent)) around = around.parent;
  return isCallExpression(around.parent) || isNewExpression(around.parent) ? around.parent : around;
}

/** True for a use of `require`, not for its declaration. */
function isRequire(node: Node): boolean {
  if (!isIdentifier(node) || node.text !== 'require') return false;
  return !isVariableDeclaration(node.parent) || node.parent.name !== node;
}

/** The text of a literal. */
function textOf(node: Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  return isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node) ? node.text : undefined;
}

/** The file to which a specifier leads. A specifier that is neither relative nor a package's leads to itself. */
function targetOf(from: string, specifier: string): string | undefined {
  const [name, ...folders] = specifier.split('/');
  if (name === OWN_NAME) return posix.join('ts', ...folders, 'index.ts');
  if (specifier.startsWith('.')) {
    const path = posix.join(posix.dirname(from), specifier);
    return path.startsWith('ts/') ? path.replace(/\.([cm]?)js$/, '.$1ts') : path;
  }
  return /^(?:[#/]|(?!node:)\w+:)/.test(specifier) ? specifier : undefined;
}

/** The path of a reference as a specifier: a reference is relative without saying so. */
function asRelative(path: string): string {
  return /^\.{0,2}\//.test(path) ? path : `./${path}`;
}
