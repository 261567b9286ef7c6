/**
 * Every error this package throws on purpose. `code` is stable: match on it, not on the message.
 * The table in docs/errors.md lists them; a test keeps the two in step.
 */
export const ERROR_CODES = [
  'ERR_MAPPED_RAM_ALIGNMENT',
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_CLOSED',
  'ERR_MAPPED_RAM_CORRUPT',
  'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
  'ERR_MAPPED_RAM_ENGINE_UNAVAILABLE',
  'ERR_MAPPED_RAM_EXISTS',
  'ERR_MAPPED_RAM_INCOMPLETE',
  'ERR_MAPPED_RAM_INTERNAL',
  'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  'ERR_MAPPED_RAM_INVALID_URI',
  'ERR_MAPPED_RAM_IO',
  'ERR_MAPPED_RAM_OUT_OF_RANGE',
  'ERR_MAPPED_RAM_QEMU',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** What an error knows beside its words. All optional: only what applies is set. */
export interface ErrorContext {
  /** The file, as the caller named it. */
  readonly path?: string | undefined;
  /** Byte offset in that file (in the URI's text for ERR_MAPPED_RAM_INVALID_URI). */
  readonly offset?: number | undefined;
  readonly expected?: string | number | undefined;
  readonly found?: string | number | undefined;
  /** What lies beneath: often an OS error in Node's shape (`code: 'ENOSPC'`, `errno`, `syscall`). */
  readonly cause?: unknown;
}

const BRAND = Symbol.for('mapped-ram.error');

/** The messages without path, offset, expected and found. */
const WORDS = new WeakMap<MappedRamError, string>();

/** The one error class of this package. `instanceof` also holds between two copies of the package. */
export class MappedRamError extends Error {
  readonly code: ErrorCode;
  declare readonly path?: string;
  declare readonly offset?: number;
  declare readonly expected?: string | number;
  declare readonly found?: string | number;

  /**
   * @param message says in words what failed; path, offset, expected and found are appended when given
   */
  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(describe(message, context), context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    if (context.path !== undefined) this.path = context.path;
    if (context.offset !== undefined) this.offset = context.offset;
    if (context.expected !== undefined) this.expected = context.expected;
    if (context.found !== undefined) this.found = context.found;
    Object.defineProperty(this, BRAND, { value: true });
    WORDS.set(this, message);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}

Object.defineProperty(MappedRamError.prototype, 'name', { value: 'MappedRamError' });

/** An error's message without path, offset, expected and found, to tell it again in another place. */
export function wordsOf(error: MappedRamError): string {
  return WORDS.get(error) ?? error.message;
}

function describe(message: string, context: ErrorContext): string {
  const where = [
    context.path,
    context.offset === undefined ? undefined : `offset ${context.offset} (0x${context.offset.toString(16)})`,
  ].filter((part) => part !== undefined);
  const what = [
    context.expected === undefined ? undefined : `expected ${context.expected}`,
    context.found === undefined ? undefined : `found ${context.found}`,
  ].filter((part) => part !== undefined);
  const head = where.length > 0 ? `${where.join(', ')}: ${message}` : message;
  return what.length > 0 ? `${head}: ${what.join(', ')}` : head;
}
