import { readFileSync } from 'node:fs';

import type { Command } from './command.ts';
import { allCommands, COMMANDS } from './commands.ts';
import { EXIT, exitCodeOf, UsageError } from './exit-codes.ts';
import { closest, parseCommandLine } from './options/command-line.ts';
import { errorFields, toJson } from './render/json.ts';
import { styleFor } from './render/style.ts';
import { Session } from './session.ts';

/**
 * Runs the command line. It sets `process.exitCode` and leaves the end to Node, so that no output is lost.
 * @param argv the arguments after the program's name
 */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', onWriteError);
  // No stream is left that could report an error of stderr.
  process.stderr.on('error', () => undefined);
  const [name = '', ...rest] = argv;
  try {
    await dispatch(name, rest);
  } catch (error) {
    const [json, verbose] = ['--json', '--verbose'].map((flag) => beforeDashes(argv).includes(flag));
    process.exitCode = exitCodeOf(error);
    if (json === true) {
      process.stdout.write(`${toJson({ error: errorFields(error, verbose) })}\n`);
    } else {
      const command = Object.hasOwn(COMMANDS, name) ? `mapped-ram ${name}` : 'mapped-ram';
      const { renderError } = await import('./render/error.ts');
      const text = renderError(error, command, verbose ?? false, styleFor(process.stderr));
      process.stderr.write(`${text}\n`);
    }
  }
}

async function dispatch(name: string, args: readonly string[]): Promise<void> {
  if (name === '') {
    process.exitCode = EXIT.usage;
    await showOverview(process.stderr);
  } else if (name === '--help' || name === '-h' || name === 'help') {
    await showOverview(process.stdout);
  } else if (name === '--version') {
    process.stdout.write(`${packageVersion()}\n`);
  } else {
    const command = await loadCommand(name);
    if (beforeDashes(args).some((arg) => arg === '--help' || arg === '-h')) {
      const { renderHelp } = await import('./render/help.ts');
      process.stdout.write(renderHelp(command, styleFor(process.stdout)));
    } else {
      using session = new Session(parseCommandLine(args, command.args));
      try {
        await command.run(session);
      } catch (error) {
        // An error while everything is being stopped is a result of the stop.
        throw session.interrupted ?? error;
      }
    }
  }
}

async function showOverview(stream: NodeJS.WriteStream): Promise<void> {
  const { renderOverview } = await import('./render/help.ts');
  stream.write(renderOverview(await allCommands(), styleFor(stream)));
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { readonly version: string } = JSON.parse(text);
  return version;
}

async function loadCommand(name: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load !== undefined) return load();
  const names = Object.keys(COMMANDS);
  if (name.startsWith('-')) {
    throw new UsageError(`expected a command first (${names.join(', ')}), found ${name}`);
  }
  const guess = closest(name, names);
  const ask = guess === undefined ? `; expected one of ${names.join(', ')}` : `; did you mean ${guess}?`;
  throw new UsageError(`unknown command '${name}'${ask}`);
}

function beforeDashes(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  return end === -1 ? args : args.slice(0, end);
}

/**
 * Handles a failed write. A reader may stop reading our output, as head(1) does: that is no reason to fail. A full disk
 * is one.
 */
function onWriteError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.exitCode = EXIT.failed;
  process.stderr.write(`mapped-ram: cannot write the output (${error.message})\n`);
}
