import { MappedRamError, messageOf, type ErrorContext } from '../../errors.ts';
import { Interrupted } from '../interrupted.ts';
import { UsageError } from '../usage-error.ts';

/** Of all that --json prints. Grows by members; a member that changes its meaning or goes makes it 2. */
export const SCHEMA_VERSION = 1;

export interface ErrorFields {
  readonly code: string;
  readonly message: string;
  readonly path: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | number | undefined;
  readonly found: string | number | undefined;
  /** With --verbose, where there are such: what QEMU said, the rule that refused, how far a migration had come. */
  readonly qmp?: ErrorContext['qmp'];
  readonly rule?: ErrorContext['rule'];
  readonly migration?: ErrorContext['migration'];
  /** With --verbose: what lies beneath, the nearest first. */
  readonly causes?: readonly { readonly code: string | undefined; readonly message: string }[];
}

/**
 * One object as --json prints it: what is undefined is null, errors are objects, 64-bit integers decimal text (numbers in
 * JSON would lose their last digits), bytes hexadecimal text.
 */
export function toJson(value: object): string {
  return JSON.stringify({ schemaVersion: SCHEMA_VERSION, ...value }, jsonMember, 2);
}

/** A member as JSON can say it. */
export function jsonMember(_key: string, member: unknown): unknown {
  if (member === undefined) return null;
  if (typeof member === 'bigint') return String(member);
  if (member instanceof Uint8Array) return Buffer.from(member).toString('hex');
  return member instanceof Error ? errorFields(member) : member;
}

export function errorFields(error: unknown, verbose = false): ErrorFields {
  const context: ErrorContext = error instanceof MappedRamError ? error : {};
  const { path, offset, expected, found } = context;
  const fields = { code: codeOf(error), message: messageOf(error), path, offset, expected, found };
  return verbose ? { ...fields, ...factsOf(error), causes: causesOf(error) } : fields;
}

/** The errors beneath an error, the nearest first. */
export function causesOf(
  error: unknown,
): readonly { readonly code: string | undefined; readonly message: string }[] {
  const causes: { code: string | undefined; message: string }[] = [];
  const seen = new Set<unknown>([error]);
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause !== undefined && !seen.has(cause)) {
    seen.add(cause);
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
    causes.push({ code, message: messageOf(cause) });
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes;
}

/** What an error knows of QEMU and of the rules: only what there is. */
export function factsOf(error: unknown): Pick<ErrorFields, 'qmp' | 'rule' | 'migration'> {
  const { qmp, rule, migration }: ErrorContext = error instanceof MappedRamError ? error : {};
  return {
    ...(qmp === undefined ? {} : { qmp }),
    ...(rule === undefined ? {} : { rule }),
    ...(migration === undefined ? {} : { migration }),
  };
}

function codeOf(error: unknown): string {
  if (error instanceof MappedRamError) return error.code;
  if (error instanceof UsageError) return 'ERR_MAPPED_RAM_INVALID_ARGUMENT';
  return error instanceof Interrupted ? 'ABORT_ERR' : 'ERR_MAPPED_RAM_INTERNAL';
}
