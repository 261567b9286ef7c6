import { MappedRamError } from '../../errors.ts';
import { assertOptions, assertTexts } from '../../io/assert-options.ts';
import { inWords } from '../../io/in-words.ts';
import { askMachines } from '../../qemu/process/ask-machines.ts';
import type { QemuProcessOptions } from '../../qemu/process/qemu-process.ts';
import { defaultRamIds } from '../../stream/default-ram.ts';
import { emptyMemory } from './empty-memory.ts';
import { freshMemory, type FreshMemory } from './fresh-memory.ts';
import type { LaunchArguments } from './launch-plan.ts';
import { privateMapping } from './private-mapping.ts';
import { namedMemory } from './memory-plan.ts';
import { type CommandLineOption, membersOf, parseCommandLine } from './options.ts';
import { objectWords, replaceObjects } from './replace-objects.ts';

export interface FreshOptions extends Pick<QemuProcessOptions, 'binary' | 'signal'> {
  /** The command line of the fresh guest, without the binary. */
  readonly args: readonly string[];
  /**
   * The empty file that the guest's memory is mapped out of. It is made where there is none; one that is there has to be
   * empty, and large enough. Nobody ever writes into it, so any number of guests may share one.
   */
  readonly path: string;
}

/** A command line for a guest whose memory is an empty file until it is written. */
export interface FreshArguments extends LaunchArguments {
  /** Bytes of memory: the size that the file has, at least. It takes no room on the disk. */
  readonly size: number;
}

/**
 * Turns the command line of a fresh guest into one whose memory is mapped privately out of an empty file. From its first
 * instruction on, the kernel then knows which pages the guest has written, and reads do not count: a save by the engine
 * takes these pages, and no others. Start QEMU with the result, without `-incoming`. Needs QEMU 8.2 or later.
 *
 * A balloon cannot give memory back: the file is read-only for QEMU.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming everything in the command line that does not go with
 *   it, for a machine type that QEMU does not know, and for a file that is not empty or too small; ERR_MAPPED_RAM_UNSUPPORTED
 *   when the path belongs to something else than a regular file; ERR_MAPPED_RAM_IO; the signal's reason
 */
export async function freshArguments(options: FreshOptions): Promise<FreshArguments> {
  assertOptions(options);
  const { args, path, signal } = options;
  assertTexts('args', args);
  if (typeof path !== 'string' || path === '') {
    const [expected, found] = ['the path of a file', inWords(path)];
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'path', { expected, found });
  }
  signal?.throwIfAborted();
  const commandLine = parseCommandLine(args);
  const machine = await machineOf(commandLine, options);
  const memory = freshMemory(commandLine, machine.defaultRam);
  if (memory.problems.length > 0) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `the command line does not go with memory in an empty file: ${memory.problems.join('; ')}`,
    );
  }
  const file = await emptyMemory(path, memory.size);
  return {
    args: argsWith(commandLine, memory, { file, machine: machine.type }),
    blocks: memory.blocks.map(({ id }) => id),
    size: memory.size,
  };
}

function argsWith(
  commandLine: readonly CommandLineOption[],
  { blocks, main }: FreshMemory,
  { file, machine }: { readonly file: string; readonly machine: string },
): readonly string[] {
  const objects = new Map(
    blocks.map(({ id, length, offset, own }) => [
      id,
      objectWords(privateMapping(file, offset, length), { id, blockId: id, length, machine, own }),
    ]),
  );
  const added = blocks.flatMap(({ id, own }) => (own === undefined ? (objects.get(id) ?? []) : []));
  const use = main === undefined ? [] : ['-machine', `memory-backend=${main}`];
  return [...replaceObjects(commandLine, objects), ...added, ...use];
}

interface Machine {
  /** The machine type; empty where QEMU takes its default, and nobody needed to ask. */
  readonly type: string;
  /** The id of the block that `-m` makes; undefined where the command line names the memory, or no object can bring it. */
  readonly defaultRam: string | undefined;
}

/** Finds the machine type, and asks QEMU about one that the package does not know. */
async function machineOf(
  commandLine: readonly CommandLineOption[],
  { binary, signal }: Pick<FreshOptions, 'binary' | 'signal'>,
): Promise<Machine> {
  const type = membersOf(commandLine, 'machine')
    .map((machine) => machine.get('type'))
    .findLast((name) => name !== undefined);
  if (namedMemory(commandLine).length > 0) return { type: type ?? '', defaultRam: undefined };
  const known = type === undefined ? undefined : defaultRamIds(type);
  if (known !== undefined && known.length < 2) return { type: type ?? '', defaultRam: known[0] };
  const machines = await askMachines({ binary, signal });
  const found = machines.find(({ name, alias, 'is-default': isDefault }) =>
    type === undefined ? isDefault === true : name === type || alias === type,
  );
  if (found !== undefined) return { type: found.name, defaultRam: found['default-ram-id'] };
  const which = type === undefined ? 'machine type it takes' : `memory the machine type ${type} has`;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `QEMU does not tell which ${which}: name the memory with -object and -machine memory-backend=`,
  );
}
