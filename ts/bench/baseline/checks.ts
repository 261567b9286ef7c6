import { MappedRamError } from '../../errors.ts';
import { inWords } from '../../io/in-words.ts';

export type Members = Readonly<Record<string, unknown>>;

/** What is checked, for errors. */
export interface Checked {
  /** `the baseline`, `reports[0]` */
  readonly name: string;
  /** The file that it came from; undefined for a value that a program gave. */
  readonly path?: string | undefined;
}

/** Checks of values that nobody has looked at, each with an error that names the place in the whole. */
export class Checks {
  readonly #checked: Checked;

  constructor(checked: Checked) {
    this.#checked = checked;
  }

  version(value: unknown, expected: number): void {
    if (value === expected) return;
    if (value === undefined) throw this.#wrong('schemaVersion', String(expected), value);
    const { name, path } = this.#checked;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', `schemaVersion of ${name}`, {
      path,
      expected,
      found: inWords(value),
    });
  }

  /** @param where empty for the whole */
  object(value: unknown, where = ''): Members {
    if (isObject(value)) return value;
    throw this.#wrong(where, 'an object', value);
  }

  list(value: unknown, where: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw this.#wrong(where, 'a list', value);
  }

  text(value: unknown, where: string): void {
    if (typeof value !== 'string') throw this.#wrong(where, 'a text', value);
  }

  number(value: unknown, where: string): void {
    if (typeof value !== 'number') throw this.#wrong(where, 'a number', value);
  }

  /** A value that may be missing. */
  numberIfAny(value: unknown, where: string): void {
    if (value !== undefined) this.number(value, where);
  }

  positive(value: unknown, where: string): void {
    if (typeof value !== 'number' || !(value > 0)) throw this.#wrong(where, 'a number above 0', value);
  }

  oneOf(values: readonly unknown[], value: unknown, where: string): void {
    if (!values.includes(value)) throw this.#wrong(where, values.join(' or '), value);
  }

  #wrong(where: string, expected: string, found: unknown): MappedRamError {
    const { name, path } = this.#checked;
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', where === '' ? name : `${where} of ${name}`, {
      path,
      expected,
      found: found === undefined ? 'nothing' : inWords(found),
    });
  }
}

export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
