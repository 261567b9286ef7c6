import { runCommand, type CommandDef } from 'citty';

import { closest } from './options/closest.ts';
import { parseCommandLine } from './options/command-line.ts';
import type { Command } from './command.ts';
import { allCommands, COMMANDS } from './commands.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { packageVersion, renderHelp, renderOverview } from './render/help.ts';
import { errorFields, toJson } from './render/json.ts';
import { renderError } from './render/error.ts';
import { Session } from './session.ts';
import { styleFor } from './render/style.ts';
import { UsageError } from './usage-error.ts';

/**
 * The command line. Sets `process.exitCode` and leaves the end to Node, so that nothing that was written is lost.
 * @param argv what follows the program's name
 */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', onWriteError);
  // There is nowhere left to say it.
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
      const text = renderError(error, command, verbose ?? false, styleFor(process.stderr));
      process.stderr.write(`${text}\n`);
    }
  }
}

async function dispatch(name: string, args: readonly string[]): Promise<void> {
  const stdoutStyle = styleFor(process.stdout);
  if (name === '') {
    process.exitCode = EXIT.usage;
    process.stderr.write(renderOverview(await allCommands(), styleFor(process.stderr)));
  } else if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(renderOverview(await allCommands(), stdoutStyle));
  } else if (name === '--version') {
    process.stdout.write(`${packageVersion()}\n`);
  } else {
    const command = await loadCommand(name);
    const definition: CommandDef = command;
    if (beforeDashes(args).some((arg) => arg === '--help' || arg === '-h')) {
      process.stdout.write(renderHelp(command, stdoutStyle));
    } else {
      using session = new Session(parseCommandLine(args, command.args));
      try {
        await runCommand(definition, { rawArgs: [...args], data: session });
      } catch (error) {
        // What fails while everything is being stopped fails because of that.
        throw session.interrupted ?? error;
      }
    }
  }
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

/** Whoever reads our output may stop to, as head(1) does: no reason to fail. A full disk is one. */
function onWriteError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.exitCode = EXIT.failed;
  process.stderr.write(`mapped-ram: cannot write the output (${error.message})\n`);
}
