import type { WaitOptions } from '../host/wait-within.ts';
import { isQmpObject } from '../qmp/json.ts';
import type { BlockGraph, BlockJob } from '../qmp/qapi.generated.ts';
import type { QmpClient } from '../qmp/client.ts';
import { answerOf } from '../qmp/refusal.ts';

/** A block job or an export, which uses a disk of QEMU's beside the guest. */
export interface DiskUser {
  /** The user in words: its kind and its name. */
  readonly words: string;
  /** True when it keeps QEMU from giving its disks up, which every migration ends with (docs/format.md §7.1 17). */
  readonly hinders: boolean;
}

/** The kinds of jobs that write to a disk past the guest. Mirrors and streams give way. */
const HINDERING_JOBS: ReadonlySet<string> = new Set(['backup', 'commit']);
/** The states of a job that holds no disk any more, and waits to be dismissed. */
const OVER: ReadonlySet<string> = new Set(['concluded', 'null', 'undefined']);
const WRITING: ReadonlySet<string> = new Set(['write', 'write-unchanged', 'resize']);

/**
 * Lists the users of QEMU's disks beside the guest. A QEMU that does not tell whether an export may write is not taken
 * for one that is hindered.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryDiskUsers(qmp: QmpClient, wait: WaitOptions): Promise<readonly DiskUser[]> {
  const [jobs = [], exports = []] = await Promise.all([
    answerOf(qmp.execute('query-block-jobs', undefined, wait)),
    answerOf(qmp.execute('query-block-exports', undefined, wait)),
  ]);
  const graph =
    exports.length === 0
      ? undefined
      : await answerOf(qmp.execute('x-debug-query-block-graph', undefined, wait));
  const exportsOf = (node: string): number => exports.filter(({ 'node-name': name }) => name === node).length;
  return [
    ...jobs.filter(({ status }) => !OVER.has(status)).map((job) => userOf(job)),
    ...exports.map(({ id, type, 'node-name': node }) => ({
      words: `export ${id} (${type}, of node ${node})`,
      hinders: graph !== undefined && isWrittenByExport(graph, node, exportsOf(node)),
    })),
  ];
}

/**
 * Lists the disks that the guest may write to, by the names of their files. QEMU keeps them locked until it gives them up.
 * @returns undefined when QEMU does not tell
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryOwnDisks(
  qmp: QmpClient,
  wait: WaitOptions,
): Promise<readonly string[] | undefined> {
  const devices = await answerOf(qmp.execute('query-block', undefined, wait));
  if (!Array.isArray(devices)) return undefined;
  return devices.flatMap((device) => {
    const medium = isQmpObject(device) ? device['inserted'] : undefined;
    if (!isQmpObject(medium) || medium['ro'] !== false) return [];
    return [typeof medium['file'] === 'string' ? medium['file'] : 'one without a file'];
  });
}

function userOf({ device, type }: BlockJob): DiskUser {
  return { words: `block job ${device} (${type})`, hinders: HINDERING_JOBS.has(type) };
}

/**
 * True when an export of a node may write. Exports are users without a name, as some jobs are; disks of the guest have
 * names. Where more users write than there are others, at least one of the writers is an export.
 */
function isWrittenByExport({ nodes, edges }: BlockGraph, node: string, exports: number): boolean {
  const ids = new Map(nodes.map(({ id, type, name }) => [id, { type, name }]));
  const users = edges.filter(({ parent, child }) => {
    const user = ids.get(parent);
    return user?.type === 'block-backend' && user.name === '' && ids.get(child)?.name === node;
  });
  const writers = users.filter(({ perm }) => perm.some((kind) => WRITING.has(kind)));
  return writers.length > users.length - exports;
}
