/**
 * The codes of all errors that this package throws on purpose. `code` is stable: match on it, not on the message.
 * docs/errors.md lists the codes in a table; a test keeps the two in step.
 */
export const ERROR_CODES = [
  'ERR_MAPPED_RAM_ALIGNMENT',
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_BASE',
  'ERR_MAPPED_RAM_BUSY',
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
  'ERR_MAPPED_RAM_TIMEOUT',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** QEMU's answer to a QMP command that failed. */
export interface QmpErrorReply {
  /** `GenericError`, `CommandNotFound`, … */
  readonly class: string;
  /** The reason in QEMU's words. */
  readonly desc: string;
}

/** The rule that refused a request. */
export interface RuleRefusal {
  /**
   * The rule's name, which is stable: always a `RuleId`. The type is wider, because this file knows nothing of the rules
   * above it.
   */
  readonly rule: string;
  /** The section of docs/format.md that the rule comes from. */
  readonly section: string;
}

/** QEMU's answer to query-migrate; see docs/format.md §6.3. */
export interface MigrationInfo {
  /** `none`, `setup`, `active`, `device`, `completed`, `failed`, `cancelled`, …; QEMU's words. */
  readonly status: string;
  /** The reason why the migration failed, in QEMU's words. */
  readonly errorDesc?: string;
  /** Total time in milliseconds; the saving side only. */
  readonly totalTimeMs?: number;
  /** The count of the guest's memory; the saving side only. */
  readonly ram?: MigrationRamInfo;
}

/** QEMU's count of the guest's memory, sent and still to send. */
export interface MigrationRamInfo {
  readonly totalBytes: number;
  readonly remainingBytes: number;
  readonly transferredBytes: number;
  readonly normalPages: number;
  readonly zeroPages: number;
  /** Size of a guest page in bytes. */
  readonly pageSize: number;
  /** How often QEMU has looked for pages that the guest changes: once for each pass over the memory that it began. */
  readonly passes?: number;
  /** Pages that the guest changes in a second; missing until QEMU has measured it, which takes a second at least. */
  readonly dirtyPagesPerSecond?: number;
}

/** The facts that an error knows beside its words. All members are optional: an error has those that apply. */
export interface ErrorContext {
  /** The file, as the caller named it. */
  readonly path?: string | undefined;
  /** Byte offset in that file (in the URI's text for ERR_MAPPED_RAM_INVALID_URI). */
  readonly offset?: number | undefined;
  /** Byte offset in that file of the section that the words name, where it is not `offset`. */
  readonly sectionOffset?: number | undefined;
  readonly expected?: string | number | undefined;
  readonly found?: string | number | undefined;
  /** QEMU's reply to the command that it refused. */
  readonly qmp?: QmpErrorReply | undefined;
  /** The rule that refused the request. */
  readonly rule?: RuleRefusal | undefined;
  /** QEMU's last word on the migration that failed: how far it had come. */
  readonly migration?: MigrationInfo | undefined;
  /**
   * The error beneath: often an OS error in Node's shape (`code: 'ENOSPC'`, `errno`, `syscall`). A value that is no
   * Error becomes an Error with the same words.
   */
  readonly cause?: unknown;
  /** True when the words tell the cause already: the message does not add it then. @default false */
  readonly tellsCause?: boolean | undefined;
}

const BRAND = Symbol.for('mapped-ram.error');

/** The one error class of this package. `instanceof` also holds between two copies of the package. */
export class MappedRamError extends Error {
  readonly code: ErrorCode;
  /** The failure in words, without path, offsets, expected, found and cause. */
  declare readonly shortMessage: string;
  declare readonly path?: string;
  declare readonly offset?: number;
  declare readonly sectionOffset?: number;
  declare readonly expected?: string | number;
  declare readonly found?: string | number;
  declare readonly qmp?: QmpErrorReply;
  declare readonly rule?: RuleRefusal;
  declare readonly migration?: MigrationInfo;
  declare readonly cause?: Error;

  /**
   * @param shortMessage says in words what failed; the message is these words with path, offsets, expected, found and
   *   the words of the cause. An error without a place of its own takes the place of its cause, which the cause's words
   *   name
   */
  constructor(code: ErrorCode, shortMessage: string, context: ErrorContext = {}) {
    const cause = context.cause === undefined ? undefined : toError(context.cause);
    const told = context.tellsCause === true ? undefined : cause;
    super(composeMessage(shortMessage, { ...context, cause: told }), cause && { cause });
    this.code = code;
    Object.defineProperty(this, 'shortMessage', { value: shortMessage });
    const { path, offset } = placeOf(context);
    const { sectionOffset, expected, found, qmp, rule, migration } = context;
    const fields = { path, offset, sectionOffset, expected, found, qmp, rule, migration };
    Object.assign(
      this,
      Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
    );
    Object.defineProperty(this, BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    try {
      return typeof value === 'object' && value !== null && BRAND in value;
    } catch {
      // A proxy may refuse to be looked at.
      return false;
    }
  }
}

Object.defineProperty(MappedRamError.prototype, 'name', { value: 'MappedRamError' });

/** The two halves of a place stay together: the cause may be about another file. */
function placeOf(context: ErrorContext): Pick<ErrorContext, 'path' | 'offset'> {
  const { path, offset, cause } = context;
  return path === undefined && offset === undefined && cause instanceof MappedRamError ? cause : context;
}

/**
 * Composes an error's message from its words and the given parts of its context. An output that names the file or the
 * offset elsewhere leaves them out here.
 */
export function composeMessage(
  shortMessage: string,
  { path, offset, sectionOffset, expected, found, cause }: Omit<ErrorContext, 'tellsCause'>,
): string {
  const place = [path, offset === undefined ? undefined : `offset ${offset} (0x${offset.toString(16)})`];
  const words = sectionOffset === undefined ? shortMessage : `${shortMessage} (at ${sectionOffset})`;
  const values = [
    expected === undefined ? undefined : `expected ${expected}`,
    found === undefined ? undefined : `found ${found}`,
  ];
  const parts = [joined(place), words, joined(values)].filter((part) => part !== '').join(': ');
  if (cause === undefined) return parts;
  // A MappedRamError has a place of its own to name, and much to say.
  return cause instanceof MappedRamError ? `${parts}: ${cause.message}` : `${parts} (${messageOf(cause)})`;
}

function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(', ');
}

/** The words of whatever was thrown. For a refusal of Node's permission model they name the option that lifts it. */
export function messageOf(thrown: unknown): string {
  try {
    if (systemCode(thrown) === 'ERR_ACCESS_DENIED') return permissionWords(Object(thrown));
    return String(isError(thrown) ? thrown.message : thrown);
  } catch {
    // A thrown value may be an object that is made into no text.
    return 'a value without words was thrown';
  }
}

/** Node's options that give what its permission model withholds, by the names in its errors. */
const PERMISSIONS: Readonly<Record<string, string>> = {
  Addon: '--allow-addons',
  ChildProcess: '--allow-child-process',
  FileSystemRead: '--allow-fs-read=PATH',
  FileSystemWrite: '--allow-fs-write=PATH',
  Net: '--allow-net',
  WorkerThreads: '--allow-worker',
};

/** Node 20 names neither the permission model nor the option. */
function permissionWords({ permission, resource }: { permission?: unknown; resource?: unknown }): string {
  const option = PERMISSIONS[String(permission)];
  const place = typeof resource === 'string' && resource !== '' ? ` for ${resource}` : '';
  const cure = option === undefined ? '' : `; give node ${option}`;
  return `Node's permission model withholds ${String(permission)}${place}${cure}`;
}

/** The thrown value as an Error: the value itself, or an Error with the same words. */
export function toError(thrown: unknown): Error {
  return isError(thrown) ? thrown : new Error(messageOf(thrown));
}

/** Node's code for an error of the operating system: `ENOENT`, `EACCES`, … Undefined for anything else. */
export function systemCode(thrown: unknown): string | undefined {
  return isError(thrown) && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** True for an error, also one of another realm, as test runners make them: it is no instance of this realm's class. */
export function isError(thrown: unknown): thrown is Error {
  try {
    if (thrown instanceof Error) return true;
    if (typeof thrown !== 'object' || thrown === null || Symbol.toStringTag in thrown) return false;
    return Object.prototype.toString.call(thrown) === '[object Error]';
  } catch {
    // A proxy may refuse to be looked at.
    return false;
  }
}
