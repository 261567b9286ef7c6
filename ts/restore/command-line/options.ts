/** One option of a QEMU command line, or a word that belongs to none (a disk image). */
export interface CommandLineOption {
  /** The name without its dashes; `M` is `machine`. Undefined for a word that is no option. */
  readonly name: string | undefined;
  /** The word behind the option, when that may be its value. */
  readonly value: string | undefined;
  /** The words of the option, unchanged. */
  readonly words: readonly string[];
}

/**
 * Splits the words behind the binary into options. QEMU takes one dash or two, and a value is always the next word.
 * QEMU's versions differ in which options have no value, so a word behind an option counts as its value unless it
 * begins with a dash. That may tie a disk image to a flag; the two are then carried along together.
 */
export function parseCommandLine(args: readonly string[]): readonly CommandLineOption[] {
  const options: CommandLineOption[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] ?? '';
    const name = optionName(word);
    const next = args[index + 1];
    if (name === undefined || next === undefined || !isValue(name, next)) {
      options.push({ name, value: undefined, words: [word] });
    } else {
      options.push({ name, value: next, words: [word, next] });
      index += 1;
    }
  }
  return options;
}

/** Returns the values of all options of one name, in order. */
export function valuesOf(options: readonly CommandLineOption[], name: string): readonly string[] {
  return options.flatMap((option) => (option.name === name ? [option.value ?? ''] : []));
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
