import { readConfigFile } from './config-file.ts';
import { type OptionValue, parseOptionValue } from './option-value.ts';

/** The member that a value's first part belongs to when it names none, for the options whose members matter here. */
const IMPLIED: ReadonlyMap<string | undefined, string> = new Map([
  ['device', 'driver'],
  ['m', 'size'],
  ['machine', 'type'],
  ['netdev', 'type'],
  ['numa', 'type'],
  ['object', 'qom-type'],
]);

/** A `-readconfig` of a command line: it stands for the options that its file has. */
export interface ConfigFile {
  readonly path: string;
  /** The words that make QEMU read the file. */
  readonly words: readonly string[];
  /** The sections that cannot be written as options. */
  readonly others: readonly string[];
}

/** One option of a QEMU command line, or a word that belongs to none (a disk image). */
export class CommandLineOption {
  /** The name without its dashes; `M` is `machine`. Undefined for a word that is no option. */
  readonly name: string | undefined;
  /** The word behind the option, when that may be its value. */
  readonly value: string | undefined;
  /** The words of the option, unchanged. */
  readonly words: readonly string[];
  /** The file that the option comes from; undefined for an option of the command line itself. */
  readonly configFile: ConfigFile | undefined;
  #members: OptionValue | undefined;

  constructor(
    name: string | undefined,
    value: string | undefined,
    words: readonly string[],
    configFile?: ConfigFile,
  ) {
    this.name = name;
    this.value = value;
    this.words = words;
    this.configFile = configFile;
  }

  /**
   * The members of the value. They are read at first use: the values of most options are no lists of members.
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT as `parseOptionValue`
   */
  get members(): OptionValue {
    this.#members ??= parseOptionValue(this.value ?? '', IMPLIED.get(this.name) ?? '');
    return this.#members;
  }
}

/**
 * Splits the words behind the binary into options. QEMU takes one dash or two, and a value is always the next word.
 * QEMU's versions differ in which options have no value, so a word behind an option counts as its value unless it
 * begins with a dash. That may tie a disk image to a flag; the two are then carried along together. In the place of
 * `-readconfig` come the options that its file has.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a file of `-readconfig` that cannot be read
 */
export function parseCommandLine(args: readonly string[]): readonly CommandLineOption[] {
  const options: CommandLineOption[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] ?? '';
    const name = optionName(word);
    const next = args[index + 1];
    if (name === undefined || next === undefined || !isValue(name, next)) {
      options.push(new CommandLineOption(name, undefined, [word]));
    } else {
      if (name === 'readconfig') options.push(...optionsOfFile(next, [word, next]));
      else options.push(new CommandLineOption(name, next, [word, next]));
      index += 1;
    }
  }
  return options;
}

/** Returns the values of all options of one name, in order. */
export function valuesOf(options: readonly CommandLineOption[], name: string): readonly string[] {
  return options.flatMap((option) => (option.name === name ? [option.value ?? ''] : []));
}

/** Returns the members of all options of one name, in order. @throws {MappedRamError} as `members` */
export function membersOf(options: readonly CommandLineOption[], name: string): readonly OptionValue[] {
  return options.flatMap((option) => (option.name === name ? [option.members] : []));
}

/** The first option is the file's own, so that a file without sections keeps its place. */
function optionsOfFile(path: string, words: readonly string[]): readonly CommandLineOption[] {
  const sections = readConfigFile(path);
  const others = sections.filter(({ option }) => option === undefined).map(({ group }) => group);
  const file: ConfigFile = { path, words, others };
  return [
    new CommandLineOption('readconfig', path, [], file),
    ...sections.flatMap(({ option, value }) =>
      option === undefined ? [] : [new CommandLineOption(option, value, [`-${option}`, value], file)],
    ),
  ];
}

function optionName(word: string): string | undefined {
  if (!word.startsWith('-') || word === '-') return undefined;
  const name = word.slice(word.startsWith('--') ? 2 : 1);
  return name === 'M' ? 'machine' : name;
}

/** A value may begin with a dash only in a kernel's command line. */
function isValue(name: string, next: string): boolean {
  return name === 'append' || !next.startsWith('-') || next === '-';
}
