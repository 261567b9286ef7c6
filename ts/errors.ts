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
   * @param message says in words what failed; path, offset, expected and found are appended when given. Without a place
   * of its own, an error has the place of its cause, which the message names or leaves to the cause
   */
  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(describe(message, context), context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    const { path, offset } = placeOf(context);
    if (path !== undefined) this.path = path;
    if (offset !== undefined) this.offset = offset;
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

/** Never one half from here and one from there: the cause may be about another file. */
function placeOf(context: ErrorContext): Pick<ErrorContext, 'path' | 'offset'> {
  const { path, offset, cause } = context;
  return path === undefined && offset === undefined && cause instanceof MappedRamError ? cause : context;
}

/** An error in its words, without its place: for those who say that themselves. */
export function wordsOf(error: MappedRamError): string {
  const place = `${describePlace(error)}: `;
  return error.message.startsWith(place) ? error.message.slice(place.length) : error.message;
}

function describePlace({ path, offset }: Pick<ErrorContext, 'path' | 'offset'>): string {
  const where = [path, offset === undefined ? undefined : `offset ${offset} (0x${offset.toString(16)})`];
  return where.filter((part) => part !== undefined).join(', ');
}

/** An error's message without path, offset, expected and found, to tell it again in another place. */
export function bareMessage(error: MappedRamError): string {
  return WORDS.get(error) ?? error.message;
}

function describe(message: string, context: ErrorContext): string {
  const place = describePlace(context);
  const what = [
    context.expected === undefined ? undefined : `expected ${context.expected}`,
    context.found === undefined ? undefined : `found ${context.found}`,
  ].filter((part) => part !== undefined);
  const head = place === '' ? message : `${place}: ${message}`;
  return what.length > 0 ? `${head}: ${what.join(', ')}` : head;
}
