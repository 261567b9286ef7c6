import { fdAccess, type FdAccess, formatFdAccess, parseFdAccess } from '../host/fd-access.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { identifyQemu } from './identify-qemu.ts';

export interface AddFdOptions extends WaitOptions {
  /**
   * The number of the set to add the descriptor to; QEMU makes the set when there is none. @default a new set with a
   * free number
   */
  readonly fdset?: number | undefined;
  /** Text that query-fdsets reports for the descriptor. @default how it was opened, as `O_WRONLY|O_DIRECT` */
  readonly opaque?: string | undefined;
}

export interface AddedFd {
  /** The set's number; `/dev/fdset/<fdsetId>` is its file name for QEMU. */
  readonly fdsetId: number;
  /** The number of QEMU's duplicate, in QEMU. */
  readonly fd: number;
}

/**
 * Gives QEMU a duplicate of a descriptor, in a set (docs/format.md §5.3). The caller may close its own afterwards.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function addFd(
  qmp: QmpClient,
  fd: number,
  { fdset, opaque, timeoutMs, signal }: AddFdOptions = {},
): Promise<AddedFd> {
  const words = opaque ?? (await describe(fd));
  const added = await qmp.execute('add-fd', { 'fdset-id': fdset, opaque: words }, { fd, timeoutMs, signal });
  return { fdsetId: Number(added['fdset-id']), fd: Number(added.fd) };
}

export interface RemoveFdOptions extends WaitOptions {
  /** The number of the descriptor in QEMU to remove. @default every descriptor of the set */
  readonly fd?: number | undefined;
}

/**
 * Removes a set, or one descriptor of it. QEMU closes a descriptor that is still in use as soon as that use ends.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function removeFd(
  qmp: QmpClient,
  fdset: number,
  { fd, timeoutMs, signal }: RemoveFdOptions = {},
): Promise<void> {
  await qmp.execute('remove-fd', { 'fdset-id': fdset, fd }, { timeoutMs, signal });
}

/**
 * Gives QEMU a duplicate of a descriptor under a name, for `fd:NAME`. QEMU closes the duplicate when the monitor's
 * connection ends, unless a migration has taken it over.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function getFd(
  qmp: QmpClient,
  fd: number,
  name: string,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<void> {
  await qmp.execute('getfd', { fdname: name }, { fd, timeoutMs, signal });
}

/**
 * Asks for the access modes of a set's descriptors, as far as they can be known: from /proc when QEMU's process
 * can be looked into, else from the text that `addFd` left. Undefined when there is no such set.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryFdset(
  qmp: QmpClient,
  fdset: number,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<readonly (FdAccess | undefined)[] | undefined> {
  const sets = await qmp.execute('query-fdsets', undefined, { timeoutMs, signal });
  const found = sets.find((set) => Number(set['fdset-id']) === fdset);
  if (found === undefined) return undefined;
  const { pid } = await identifyQemu(qmp, { timeoutMs, signal });
  return Promise.all(
    found.fds.map(async ({ fd, opaque }) => {
      const seen = pid === undefined ? undefined : await fdAccess(pid, Number(fd));
      return seen ?? parseFdAccess(opaque ?? '');
    }),
  );
}

async function describe(fd: number): Promise<string | undefined> {
  const access = await fdAccess('self', fd);
  return access && formatFdAccess(access);
}
