import { fdAccess, type FdAccess, formatFdAccess, parseFdAccess } from '../host/fd-access.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';

export interface AddFdOptions extends WaitOptions {
  /** The set to add it to; made when there is none with this number. @default a new set with a free number */
  readonly fdset?: number | undefined;
  /** What query-fdsets is to say about it. @default how it was opened, as `O_WRONLY|O_DIRECT` */
  readonly opaque?: string | undefined;
}

export interface AddedFd {
  /** `/dev/fdset/<fdsetId>` is its file name for QEMU. */
  readonly fdsetId: number;
  /** The number of QEMU's duplicate, in QEMU. */
  readonly fd: number;
}

/**
 * Gives QEMU a duplicate of a descriptor, in a set (docs/format.md §5.3). Ours can be closed afterwards.
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
  /** The descriptor in QEMU that goes. @default all of the set */
  readonly fd?: number | undefined;
}

/**
 * Takes a set away, or one descriptor of it. QEMU closes what it still has in use as soon as that ends.
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
 * Gives QEMU a duplicate of a descriptor under a name, for `fd:NAME`. QEMU closes it when the monitor's connection ends,
 * unless a migration has taken it over.
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
 * How the descriptors of a set were opened, as far as can be known: from /proc when we started QEMU, else from what
 * `addFd` wrote down about them. Undefined when there is no such set.
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
  return Promise.all(
    found.fds.map(async ({ fd, opaque }) => {
      const seen = qmp.pid === undefined ? undefined : await fdAccess(qmp.pid, Number(fd));
      return seen ?? parseFdAccess(opaque ?? '');
    }),
  );
}

async function describe(fd: number): Promise<string | undefined> {
  const access = await fdAccess('self', fd);
  return access && formatFdAccess(access);
}
