import type { Node, SourceFile } from 'typescript/unstable/ast';
import { SyntaxKind } from 'typescript/unstable/ast';
import {
  isBinaryExpression,
  isBindingElement,
  isCallExpression,
  isElementAccessExpression,
  isIdentifier,
  isObjectBindingPattern,
  isObjectLiteralExpression,
  isParameterDeclaration,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isShorthandPropertyAssignment,
  isTemplateExpression,
  isTemplateSpan,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is';

import { isLookedInto, nameOf, textOf, valueOf } from './looks.ts';
import { nodesBelow } from './parsed-tree.ts';

/** The members in which an error has its words. */
const ERROR_MEMBERS: ReadonlySet<string> = new Set(['message', 'shortMessage', 'stack']);

/** These, and the members that hold words in QEMU's answers and reports. */
const MEMBERS: ReadonlySet<string> = new Set([...ERROR_MEMBERS, 'desc', 'errorDesc', 'error-desc']);

/** Matches the names of variables that have an error. */
const ERRORS = /^(?:error|cause|thrown|problem|failure)$|(?:Error|Cause|Problem|Failure)$/;

/** Matches the names of functions that give the words of an error. */
const GIVES_WORDS = /[mM]essage|[wW]ords/;
/** Matches those of them whose results are words wherever they are kept; bitmaps and memory have other words. */
const GIVES_WORDS_TO_KEEP = /[mM]essage|[wW]ordsOf/;

/** The places in which a source takes words out of an error, each as its text. */
export function readsIn(source: SourceFile): readonly string[] {
  const reads = nodesBelow(source).filter((node) => isRead(node, ERROR_MEMBERS) || isErrorAsText(node));
  return reads.map((node) => node.getText());
}

/** The places in which a source looks into the words of an error or decides by them, each as its text. */
export function looksIn(source: SourceFile): readonly string[] {
  const nodes = nodesBelow(source);
  const named = namesOfWords(nodes);
  const looks = nodes.filter(
    (node) => (isWords(node, GIVES_WORDS) || isNamed(node, named)) && isLookedInto(node),
  );
  return looks.map((node) => valueOf(node).parent.getText());
}

/** True for `error.message`, `error['message']`, `{ message } = error` and their like. */
function isRead(node: Node, members: ReadonlySet<string>): boolean {
  if (isBindingElement(node)) {
    const { propertyName, name } = node;
    return isObjectBindingPattern(node.parent) && members.has(textOf(propertyName ?? name));
  }
  if (isShorthandPropertyAssignment(node) || isPropertyAssignment(node)) {
    return members.has(textOf(node.name)) && isAssignedTo(node.parent);
  }
  return isMember(node, members);
}

function isMember(node: Node, members: ReadonlySet<string>): boolean {
  if (isPropertyAccessExpression(node)) return members.has(node.name.text);
  return isElementAccessExpression(node) && members.has(textOf(node.argumentExpression));
}

/** True for `String(error)`, `error.toString()`, `${error}` and `'' + error`. */
function isErrorAsText(node: Node): boolean {
  if (isCallExpression(node)) {
    const { expression, arguments: given } = node;
    if (isPropertyAccessExpression(expression)) {
      return expression.name.text === 'toString' && ERRORS.test(nameOf(expression.expression));
    }
    const [first] = given;
    return nameOf(expression) === 'String' && first !== undefined && ERRORS.test(nameOf(first));
  }
  if (isTemplateSpan(node)) return ERRORS.test(nameOf(node.expression));
  if (!isBinaryExpression(node) || node.operatorToken.kind !== SyntaxKind.PlusToken) return false;
  return ERRORS.test(nameOf(node.left)) || ERRORS.test(nameOf(node.right));
}

/** True for an expression that gives words: a member, a call of a function with such a name, a text around these. */
function isWords(node: Node, functions: RegExp): boolean {
  if (isTemplateSpan(node)) return false;
  if (isTemplateExpression(node)) {
    return node.templateSpans.some((span) => isErrorAsText(span) || isMember(span.expression, MEMBERS));
  }
  if (isCallExpression(node) && functions.test(nameOf(node.expression))) return true;
  return isMember(node, MEMBERS) || isErrorAsText(node);
}

/** True for a variable that has one of these names, where its value is used. */
function isNamed(node: Node, names: ReadonlySet<string>): boolean {
  if (!isIdentifier(node) || !names.has(node.text)) return false;
  const { parent } = node;
  return !isPropertyAccessExpression(parent) || parent.expression === node;
}

/** The names of a file's variables that have words. */
function namesOfWords(nodes: readonly Node[]): ReadonlySet<string> {
  const names = new Set(MEMBERS);
  for (const node of nodes) {
    if (isBindingElement(node) && isRead(node, MEMBERS)) names.add(textOf(node.name));
    if (isPropertyAssignment(node) && isRead(node, MEMBERS)) names.add(textOf(node.initializer));
    if (isWords(node, GIVES_WORDS_TO_KEEP)) {
      const { parent } = valueOf(node);
      if (isVariableDeclaration(parent) || isParameterDeclaration(parent)) names.add(textOf(parent.name));
    }
  }
  names.delete('');
  return names;
}

/** True for the pattern of an assignment, which is an object to the parser. */
function isAssignedTo(node: Node): boolean {
  const { parent } = node;
  return (
    isObjectLiteralExpression(node) &&
    isBinaryExpression(parent) &&
    parent.operatorToken.kind === SyntaxKind.EqualsToken &&
    parent.left === node
  );
}
