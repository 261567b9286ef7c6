import { MappedRamError } from '../errors.ts';
import { UNUSABLE, USABLE } from './invalid-uri.ts';
import { MAX_SIZE, toNumberIfSafe } from './parse-size.ts';

const UINT16_MAX = 2 ** 16 - 1;

/**
 * The members of an object that nobody has checked yet. A caller takes them one by one, as QAPI would: a member of the
 * wrong type, a missing one or a left-over one is an error that names it.
 */
export class Members {
  readonly #values: Map<string, unknown>;
  readonly #path: string;

  /** @param path the object's name in errors */
  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(path, 'bad address', 'an object', value);
    }
    this.#values = new Map(Object.entries(value));
    this.#path = path;
  }

  take(name: string): unknown {
    const value = this.#values.get(name);
    this.#values.delete(name);
    return value;
  }

  text(name: string): string {
    const value = this.take(name);
    if (!isText(value)) throw this.#wrong(name, `a string of ${USABLE}`, value);
    return value;
  }

  texts(name: string): string[] {
    const value = this.take(name);
    if (!Array.isArray(value) || !value.every(isText)) throw this.#wrong(name, 'an array of strings', value);
    return [...value];
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.take(name);
    if (value !== undefined && typeof value !== 'boolean') throw this.#wrong(name, 'a boolean', value);
    return value;
  }

  optionalUint16(name: string): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= UINT16_MAX)
      return value;
    throw this.#wrong(name, `an integer from 0 to ${UINT16_MAX}`, value);
  }

  /** Takes an integer from 0 to 2^64-1, as a number where that is exact. */
  uint64(name: string): number | bigint {
    const value = this.take(name);
    if (typeof value !== 'bigint' && (typeof value !== 'number' || !Number.isInteger(value))) {
      throw this.#wrong(name, 'an integer number or bigint', value);
    }
    const exact = typeof value === 'bigint' || Number.isSafeInteger(value);
    if (!exact || value < 0 || value > MAX_SIZE) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'bad address', {
        path: `${this.#path}.${name}`,
        expected: `0 to ${Number.MAX_SAFE_INTEGER}, or a bigint up to ${MAX_SIZE}`,
        found: describe(value),
      });
    }
    return toNumberIfSafe(BigInt(value));
  }

  expectNoOthers(): void {
    for (const [name, value] of this.#values) {
      if (value !== undefined) throw this.#wrong(name, 'no such member', value);
    }
  }

  #wrong(name: string, expected: string, found: unknown): MappedRamError {
    return invalid(`${this.#path}.${name}`, 'bad address', expected, found);
  }
}

export function invalid(path: string, message: string, expected: string, found: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', message, {
    path,
    expected,
    found: describe(found),
  });
}

/** Removes the members that are undefined, in place. */
export function dropUndefined<T extends object>(value: T): T {
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) Reflect.deleteProperty(value, name);
  }
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && !UNUSABLE.test(value);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'bigint') return `${typeof value} ${value}`;
  if (typeof value === 'boolean' || value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}
