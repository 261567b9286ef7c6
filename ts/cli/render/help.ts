import type { Command } from '../command.ts';
import { hintOf, type OptionDef, type OptionDefs } from '../options/option-def.ts';
import type { Style } from './style.ts';

const WIDTH = 80;
/** The column at which descriptions start; longer options get a line of their own. */
const INDENT = 26;

/** Makes the text of a command's --help. */
export function renderHelp(command: Command, style: Style): string {
  const { description, args, examples } = command;
  const lines = [usageOf(command), '', ...wrap(description, 0)];
  for (const [group, defs] of groupsOf(args)) {
    lines.push('', style('bold', group));
    for (const [name, def] of defs) lines.push(...entry(labelOf(name, def), describe(def), style));
  }
  if (examples.length > 0) {
    lines.push('', style('bold', 'Examples'));
    for (const example of examples) lines.push(`  ${example}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Makes the text of the program's --help. */
export function renderOverview(commands: readonly Command[], style: Style): string {
  const lines = [
    'mapped-ram <command> [options]',
    '',
    ...wrap(
      "Saves, restores and inspects QEMU guests' memory in mapped-ram files, the format that QEMU 9.0 and later read and write.",
      0,
    ),
    '',
    style('bold', 'Commands'),
    ...commands.flatMap(({ name, description }) => entry(name, summaryOf(description), style, 13)),
    '',
    style('bold', 'Options'),
    ...entry('--help', 'Show this help; mapped-ram pack --help shows the options of pack', style, 13),
    ...entry('--version', 'Show the version', style, 13),
    '',
    ...wrap(
      'Exit status: 0 done, 1 failed, 2 wrong usage, 3 differences or findings, 4 corrupt or incomplete input, 128 + N stopped by signal N.',
      0,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Returns the first sentence. */
function summaryOf(description: string): string {
  return description.split('. ', 1)[0] ?? '';
}

function usageOf({ name: command, args }: Command): string {
  const parts = Object.entries(args).flatMap(([name, def]) => {
    if (def.type === 'positional' && def.repeatable !== true)
      return [def.required === true ? `<${name}>` : `[${name}]`];
    return def.type !== 'positional' && def.required === true ? [`--${name} ${hintOf(def)}`] : [];
  });
  // A command line of another program comes last: it takes everything after the dashes.
  const rest = Object.entries(args).flatMap(([name, def]) =>
    def.type === 'positional' && def.repeatable === true ? [`[-- <${name}> …]`] : [],
  );
  return ['mapped-ram', command, ...parts, '[options]', ...rest].join(' ');
}

function groupsOf(args: OptionDefs): ReadonlyMap<string, readonly (readonly [string, OptionDef])[]> {
  const groups = new Map<string, (readonly [string, OptionDef])[]>();
  for (const [name, def] of Object.entries(args)) {
    const group = def.group ?? (def.type === 'positional' ? 'Arguments' : 'Options');
    groups.set(group, [...(groups.get(group) ?? []), [name, def]]);
  }
  return groups;
}

function labelOf(name: string, def: OptionDef): string {
  if (def.type === 'positional') return `<${name}>`;
  const short = def.alias === undefined ? '' : `-${def.alias}, `;
  return def.type === 'boolean' ? `${short}--${name}` : `${short}--${name} ${hintOf(def)}`;
}

function describe({ type, description, repeatable }: OptionDef): string {
  return repeatable === true && type !== 'positional' ? `${description} (repeatable)` : description;
}

function entry(label: string, description: string, style: Style, indent = INDENT): readonly string[] {
  const [first = '', ...rest] = wrap(description, indent);
  const head = `  ${label}`;
  if (head.length + 2 > indent) return [style('cyan', head), first, ...rest];
  return [style('cyan', head) + first.slice(head.length), ...rest];
}

/** Breaks text into lines of at most 80 columns that begin with `indent` blanks. */
function wrap(text: string, indent: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(' '.repeat(indent) + line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, ' '.repeat(indent) + line];
}
