import type { Node } from 'typescript/unstable/ast';
import {
  isClassDeclaration,
  isConstructorDeclaration,
  isFunctionDeclaration,
  isGetAccessorDeclaration,
  isMethodDeclaration,
  isPropertyDeclaration,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is';
import type { Symbol as NamedSymbol } from 'typescript/unstable/sync';

import type { CompiledProgram } from './program.ts';

/** The imports of Node's types that declarations use. */
const NODE_IMPORTS = ["import type { Duplex } from 'node:stream';"];

/** A program that names types, and the names of the values whose types it names. */
export interface NamingProgram {
  readonly text: string;
  readonly values: ReadonlySet<string>;
}

/** A type in the module's own words and in words for users. The program compiles only when the two are equal. */
interface Equation {
  readonly name: string;
  readonly type: string;
  readonly named: string;
}

/**
 * Writes a program that imports types from a module by their names. With them, and in the words of the declarations, it
 * names the types of every function, method, constant and property.
 *
 * @param module the specifier by which the program imports the module
 * @param entry the path of the module's declarations, which `program` has
 */
export function namingProgram(program: CompiledProgram, module: string, entry: string): NamingProgram {
  const exported = program.exportsOf(entry);
  const equations = [...exported].flatMap(([name, symbol]) => equationsOf(program, name, symbol));
  const lines = [
    ...NODE_IMPORTS,
    `import type * as api from '${module}';`,
    `import type { ${[...exported.keys()].join(', ')} } from '${module}';`,
    'type Same<A, B> = [A, B] extends [B, A] ? true : never;',
    ...equations.map(({ type, named }, index) => `export const _${index}: Same<${type}, ${named}> = true;`),
  ];
  return { text: `${lines.join('\n')}\n`, values: new Set(equations.map(({ name }) => name)) };
}

function equationsOf(program: CompiledProgram, name: string, symbol: NamedSymbol): readonly Equation[] {
  const nodes = symbol.declarations.flatMap((declaration) => declaration.resolve(program.project) ?? []);
  const functions = nodes.filter((node) => isFunctionDeclaration(node));
  if (functions.length > 0) return [{ name, type: `typeof api.${name}`, named: signatures(functions) }];
  return nodes.flatMap((node): readonly Equation[] => {
    if (isClassDeclaration(node)) return membersOf(name, node.members);
    if (!isVariableDeclaration(node)) return [];
    return [{ name, type: `typeof api.${name}`, named: textOf(node.type) }];
  });
}

function membersOf(name: string, members: readonly Node[]): readonly Equation[] {
  const visible = members.filter((node) => !/^(?:private\b|#)/.test(node.getText()));
  const methods = new Map<string, Node[]>();
  const equations: Equation[] = [{ name, type: name, named: name }];
  for (const node of visible) {
    if (isConstructorDeclaration(node)) {
      const parameters = node.parameters.map((parameter) => parameter.getText());
      const type = `ConstructorParameters<typeof api.${name}>`;
      equations.push({ name, type, named: `Parameters<(${parameters.join(', ')}) => void>` });
    } else if (isMethodDeclaration(node)) {
      const type = memberOf(name, node, node.name);
      methods.set(type, [...(methods.get(type) ?? []), node]);
    } else if (isPropertyDeclaration(node) || isGetAccessorDeclaration(node)) {
      const optional = isPropertyDeclaration(node) && node.postfixToken !== undefined;
      const named = `${textOf(node.type)}${optional ? ' | undefined' : ''}`;
      equations.push({ name, type: memberOf(name, node, node.name), named });
    }
  }
  for (const [type, nodes] of methods)
    equations.push({ name, type, named: signatures(nodes).replaceAll(/\bthis\b/g, name) });
  return equations;
}

/** A member's type, as `Class['name']`. */
function memberOf(name: string, member: Node, key: Node): string {
  const owner = member.getText().startsWith('static ') ? `(typeof api.${name})` : name;
  const text = key.getText();
  return `${owner}[${text.startsWith('[') ? `typeof ${text.slice(1, -1)}` : `'${text}'`}]`;
}

/** The type of functions, as their call signatures: all text behind their names. */
function signatures(nodes: readonly Node[]): string {
  const texts = nodes.map((node) => {
    const name = isFunctionDeclaration(node) || isMethodDeclaration(node) ? node.name : undefined;
    return node
      .getText()
      .slice((name?.end ?? node.getStart()) - node.getStart())
      .replace(/;$/, '');
  });
  return `{ ${texts.join('; ')} }`;
}

function textOf(type: Node | undefined): string {
  if (type === undefined) throw new Error('a declaration has no type');
  return type.getText();
}
