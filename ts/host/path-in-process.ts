import { identityOf, isSameFile } from './file-identity.ts';

/** A path that means a descriptor of the process that uses it. */
const OWN_DESCRIPTOR = /^\/(?:proc\/(?:self|thread-self)|dev)\/fd\/(?<fd>\d+)$/;

/**
 * Returns the path by which this process finds what another process means by a path: that one may have another root,
 * another directory to start from, or mean a descriptor of its own.
 *
 * @param pid the other process; undefined when it is not known
 * @returns undefined when the path says nothing here: it means a descriptor of a process that is not known
 */
export function pathInProcess(pid: number | undefined, path: string): string | undefined {
  const fd = OWN_DESCRIPTOR.exec(path)?.groups?.['fd'];
  if (fd !== undefined) return pid === undefined ? undefined : `/proc/${pid}/fd/${fd}`;
  if (pid === undefined) return path;
  if (!path.startsWith('/')) return isThere(`/proc/${pid}/cwd`) ? `/proc/${pid}/cwd/${path}` : path;
  return hasOwnRoot(pid) ? `/proc/${pid}/root${path}` : path;
}

/** True when a process is seen to have another root directory than this one. */
function hasOwnRoot(pid: number): boolean {
  const [theirs, ours] = [identityOf(`/proc/${pid}/root`), identityOf('/')];
  if (theirs === undefined || ours === undefined) return false;
  return !isSameFile(theirs, ours) || !isSameMounts(pid);
}

function isSameMounts(pid: number): boolean {
  const [theirs, ours] = [identityOf(`/proc/${pid}/ns/mnt`), identityOf('/proc/self/ns/mnt')];
  return theirs === undefined || ours === undefined || isSameFile(theirs, ours);
}

function isThere(path: string): boolean {
  return identityOf(path) !== undefined;
}
