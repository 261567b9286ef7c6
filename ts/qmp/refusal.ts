import { MappedRamError, type QmpErrorReply } from '../errors.ts';

/** True when an error is QEMU's answer to a command, not the connection's end. */
export function isQmpRefusal(error: unknown): error is MappedRamError & { readonly qmp: QmpErrorReply } {
  return error instanceof MappedRamError && error.qmp !== undefined;
}

/**
 * True when QEMU refused a command because it does not know one of its arguments. Only the words tell: the class is
 * GenericError, as for nearly every other refusal. The schema would tell too, but QEMU takes 65 ms to write it. This is
 * the only file that reads QEMU's words.
 */
export function isUnknownArgument(error: unknown, argument: string): boolean {
  return isQmpRefusal(error) && error.qmp.desc.includes(`'${argument}'`);
}

/**
 * Returns QEMU's answer to a question; undefined when QEMU refuses to answer, or does not know the question.
 * @throws {MappedRamError} as the question, for any other failure
 */
export async function answerOf<T>(question: Promise<T>): Promise<T | undefined> {
  try {
    return await question;
  } catch (error) {
    if (isQmpRefusal(error)) return undefined;
    throw error;
  }
}
