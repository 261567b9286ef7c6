import type { Node } from 'typescript/unstable/ast';
import { SyntaxKind } from 'typescript/unstable/ast';
import {
  isAsExpression,
  isBinaryExpression,
  isCallExpression,
  isCaseClause,
  isComputedPropertyName,
  isConditionalExpression,
  isElementAccessExpression,
  isForOfStatement,
  isIdentifier,
  isIfStatement,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isNonNullExpression,
  isParenthesizedExpression,
  isPropertyAccessExpression,
  isSatisfiesExpression,
  isSpreadElement,
  isStringLiteral,
  isSwitchStatement,
} from 'typescript/unstable/ast/is';

/** The operators that compare. */
const COMPARISONS = new Set([
  SyntaxKind.EqualsEqualsEqualsToken,
  SyntaxKind.ExclamationEqualsEqualsToken,
  SyntaxKind.EqualsEqualsToken,
  SyntaxKind.ExclamationEqualsToken,
  SyntaxKind.LessThanToken,
  SyntaxKind.GreaterThanToken,
]);

/** The operators that give one of their sides. */
const CHOICES = new Set([
  SyntaxKind.QuestionQuestionToken,
  SyntaxKind.BarBarToken,
  SyntaxKind.AmpersandAmpersandToken,
]);

/** The members of a text that look into it. */
const MEMBERS: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(String.prototype));

/** The functions that look into an argument, or look something up by it. */
const LOOKING =
  /^(?:match|matchAll|replace|replaceAll|search|split|includes|startsWith|endsWith|indexOf|lastIndexOf|localeCompare|test|exec|has|hasOwn|get|is|isDeepStrictEqual|RegExp)$/;

/** The expression that has this one's value: parentheses, casts and a choice between this and another value. */
export function valueOf(node: Node): Node {
  const { parent } = node;
  if (
    isParenthesizedExpression(parent) ||
    isNonNullExpression(parent) ||
    isAsExpression(parent) ||
    isSatisfiesExpression(parent) ||
    (isBinaryExpression(parent) && CHOICES.has(parent.operatorToken.kind)) ||
    (isConditionalExpression(parent) && parent.condition !== node)
  ) {
    return valueOf(parent);
  }
  return node;
}

/** True when the program looks into the text that an expression gives, or decides by it, in place of handing it on. */
export function isLookedInto(expression: Node): boolean {
  const node = valueOf(expression);
  const { parent } = node;
  if (isPropertyAccessExpression(parent)) return parent.expression === node && MEMBERS.has(parent.name.text);
  if (isBinaryExpression(parent)) {
    const { left, operatorToken, right } = parent;
    return COMPARISONS.has(operatorToken.kind) && !isNothing(left === node ? right : left);
  }
  if (isCallExpression(parent) || isNewExpression(parent)) {
    return parent.expression !== node && LOOKING.test(nameOf(parent.expression));
  }
  if (isForOfStatement(parent) || isIfStatement(parent)) return parent.expression === node;
  return (
    isElementAccessExpression(parent) ||
    isSwitchStatement(parent) ||
    isCaseClause(parent) ||
    isConditionalExpression(parent) ||
    isComputedPropertyName(parent) ||
    isSpreadElement(parent)
  );
}

/** The last name of a function's expression; empty when it has none. */
export function nameOf(node: Node): string {
  if (isPropertyAccessExpression(node)) return node.name.text;
  return isIdentifier(node) ? node.text : '';
}

/** The text of a name or of a literal; empty for anything else. */
export function textOf(node: Node | undefined): string {
  if (node === undefined) return '';
  return isIdentifier(node) || isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)
    ? node.text
    : '';
}

function isNothing(node: Node): boolean {
  return node.kind === SyntaxKind.NullKeyword || (isIdentifier(node) && node.text === 'undefined');
}
