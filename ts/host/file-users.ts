import type { FileIdentity } from './file-identity.ts';
import { usesFile } from './process-mappings.ts';
import { processes, programOf } from './process-tree.ts';

/** A process, for people. */
export interface KnownProcess {
  readonly pid: number;
  /** The name of its program, as the kernel keeps it. */
  readonly program: string;
}

export interface FileUsers {
  /** The processes that use the file, whatever name they know it by. */
  readonly users: readonly KnownProcess[];
  /** The processes that this one may not look into: whether they use the file is not known. */
  readonly closed: readonly KnownProcess[];
}

/**
 * Looks for the processes that use a file. Processes of other namespaces may not be seen at all.
 * @param except processes to leave out
 * @param isUser tells whether a process counts; undefined when that cannot be seen. @default whoever has the file open or
 *   mapped
 */
export async function findUsers(
  file: FileIdentity,
  except: ReadonlySet<number>,
  isUser: (pid: number, file: FileIdentity) => Promise<boolean | undefined> = usesFile,
): Promise<FileUsers> {
  const users: KnownProcess[] = [];
  const closed: KnownProcess[] = [];
  for (const pid of processes()) {
    if (except.has(pid)) continue;
    const uses = await isUser(pid, file);
    if (uses === false) continue;
    // A process without a name has ended meanwhile.
    const program = programOf(pid);
    if (program !== undefined) (uses === true ? users : closed).push({ pid, program });
  }
  return { users, closed };
}
