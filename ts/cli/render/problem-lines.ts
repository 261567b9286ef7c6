import type { MappedRamError } from '../../errors.ts';
import { printable } from './format.ts';
import type { Style } from './style.ts';

/** What does not fit, a line each. */
export function problemLines(problems: readonly MappedRamError[], style: Style): readonly string[] {
  return problems.map(({ message }) => `${style('red', 'problem')}: ${printable(message)}`);
}
