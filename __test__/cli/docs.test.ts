import { readFile } from 'node:fs/promises';

import test from 'ava';

import { allCommands } from '../../ts/cli/commands.ts';
import { hintOf, COMMON_OPTIONS, type OptionDefs } from '../../ts/cli/options/option-def.ts';
import { TRANSFER_OPTIONS } from '../../ts/cli/options/transfer-options.ts';
import { renderHelp } from '../../ts/cli/render/help.ts';
import { plain } from '../../ts/cli/render/style.ts';

/** The text of docs/cli.md by its second-level headings. */
async function sections(): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const parts = text.split(/^## /m).map((part): readonly [string, string] => {
    const end = part.indexOf('\n');
    return [part.slice(0, end), part.slice(end)];
  });
  return new Map(parts);
}

/** The options that a section's table lists, as `--name <value>`. */
function listed(section: string | undefined): readonly string[] {
  const rows = (section ?? '').matchAll(/^\| `(?:-\w, )?(--[^`]+)`/gm);
  return Array.from(rows, ([, option = '']) => option.replaceAll('\\|', '|').trim()).toSorted();
}

function defined(defs: OptionDefs): readonly string[] {
  const options = Object.entries(defs).filter(([, { type }]) => type !== 'positional');
  return options
    .map(([name, def]) => (def.type === 'boolean' ? `--${name}` : `--${name} ${hintOf(def)}`))
    .toSorted();
}

test('docs/cli.md lists the options that there are, and no others', async (t) => {
  const docs = await sections();
  t.deepEqual(listed(docs.get('Options of every command')), defined(COMMON_OPTIONS));
  t.deepEqual(listed(docs.get('Moving pages')), defined(TRANSFER_OPTIONS));
  const common = new Set([...Object.keys(COMMON_OPTIONS), ...Object.keys(TRANSFER_OPTIONS)]);
  for (const { name: command, args } of await allCommands()) {
    const own = Object.fromEntries(Object.entries(args).filter(([name]) => !common.has(name)));
    const section = docs.get(command);
    t.deepEqual(listed(section), defined(own), command);
    for (const name of Object.keys(COMMON_OPTIONS)) t.true(name in args, `${command} --${name}`);
    t.is(
      'channels' in args,
      section?.includes('the options of [moving pages](#moving-pages)') === true,
      command,
    );
  }
});

test('docs/cli.md has the commands in the order in which the program lists them', async (t) => {
  const commands = (await allCommands()).map(({ name }) => name);
  const docs = await sections();
  t.deepEqual(
    Array.from(docs.keys()).filter((heading) => /^[a-z-]+$/.test(heading)),
    commands,
  );
  const [overview = ''] = docs.values();
  t.deepEqual(
    Array.from(overview.matchAll(/^\| \[`([\w-]+)`\]\(#([\w-]+)\) \|/gm), ([, name, anchor]) => [
      name,
      anchor,
    ]),
    commands.map((name) => [name, name]),
  );
});

test('--help lists every option, and its examples parse', async (t) => {
  const { parseCommandLine } = await import('../../ts/cli/options/command-line.ts');
  for (const command of await allCommands()) {
    const help = renderHelp(command, plain);
    for (const option of defined(command.args)) t.true(help.includes(option), `${command.name} ${option}`);
    const own = command.examples.map((line) =>
      line.replace(/ +#.*/, '').replace(/^MAPPED_RAM_QEMU=\S+ /, ''),
    );
    for (const line of own.filter((text) => text.startsWith(`mapped-ram ${command.name}`))) {
      t.notThrows(() => parseCommandLine(line.split(' ').slice(2), command.args), line);
    }
  }
});
