import { MappedRamError } from '../../errors.ts';
import { applyPlan, type PlanSettings } from '../../negotiate/apply-plan.ts';
import { negotiate } from '../../negotiate/negotiate.ts';
import type { RestorePlan } from '../../negotiate/plan.ts';
import type { Switch } from '../../negotiate/request.ts';
import type { QemuFacts } from '../../qemu/qemu-facts.ts';
import type { Settings } from '../../qemu/settings.ts';
import { untilFinalized } from '../../qemu/until-finalized.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { WaitOptions } from '../../host/wait-within.ts';

const POSTCOPY = 'postcopy-ram';
/** The capability by which pages that the guest waits for have a connection of their own. */
export const PREEMPT = 'postcopy-preempt';
/** QEMU has this since 8.1. Before 8.0 the second connection was made in other ways, and nothing else tells. */
const SINCE_PREEMPT_WORKS = 'switchover-ack';

/** The plan of a lazy restore, with its settings in QEMU. */
export interface PostcopySettings {
  readonly plan: RestorePlan;
  readonly applied: PlanSettings;
  /** True when pages that the guest waits for come over a connection of their own. */
  readonly preempt: boolean;
}

/**
 * Makes a QEMU that waits ready for its memory to come later, and says by which plan. When this rejects, QEMU has its
 * former settings.
 * @param path the socket on which QEMU is to listen
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when this QEMU, this host or this guest's memory does not allow
 *   it, in QEMU's words and with the cure; as `assertRecovers`, `negotiate`
 */
export async function applyPostcopy(
  qmp: QmpClient,
  {
    facts,
    snapshot,
    path,
    preempt: wanted,
    directIo = 'auto',
    ...wait
  }: WaitOptions & {
    readonly facts: QemuFacts;
    readonly snapshot: Snapshot;
    readonly path: string;
    readonly preempt: boolean | 'auto';
    readonly directIo?: Switch | undefined;
  },
): Promise<PostcopySettings> {
  const { capabilities } = facts;
  if (!capabilities.has(POSTCOPY)) throw refused('this QEMU has no postcopy-ram');
  const can = capabilities.has(PREEMPT) && capabilities.has(SINCE_PREEMPT_WORKS);
  if (wanted === true && !can)
    throw refused('this QEMU has no postcopy-preempt that works (8.1 and later have)');
  if (wanted === true) assertRecovers(qmp);
  const preempt = wanted === 'auto' ? can && qmp.takesOutOfBand : wanted;
  const target = { transport: 'socket', type: 'unix', path } as const;
  const request = { direction: 'restore', target, snapshot, reader: 'engine' } as const;
  const negotiated = await negotiate(qmp, request, { ...wait, facts });
  const why = 'QEMU asks for the memory page by page';
  const plan: RestorePlan = {
    ...negotiated,
    mappedRam: { value: false, why },
    multifd: { value: false, why },
    channels: { value: preempt ? 2 : 1, why: preempt ? 'one is for pages that the guest waits for' : why },
    directIo:
      directIo === 'on'
        ? { value: true, why: 'asked for: the page server reads past the page cache' }
        : { value: false, why: 'the page server reads through the page cache, which clones share' },
    fdset: { value: false, why: 'QEMU listens on a socket' },
    capabilities: {
      ...negotiated.capabilities,
      [POSTCOPY]: true,
      ...(capabilities.has(PREEMPT) ? { [PREEMPT]: preempt } : {}),
    },
  };
  try {
    return { plan, preempt, applied: await applyPlan(qmp, plan, wait) };
  } catch (error) {
    throw withCure(error);
  }
}

/**
 * Checks that a guest with a second connection survives the death of a server at the end. The end stops the guest, for
 * which QEMU's main thread may wait: then only commands out of band bring another server.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a connection that takes no such commands
 */
export function assertRecovers(qmp: QmpClient): void {
  if (qmp.takesOutOfBand) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'a second connection for pages (preempt) needs a QMP connection with commands out of band: connect with { oob: true }',
  );
}

/** QEMU's refusal with what helps. */
function withCure(error: unknown): unknown {
  if (!(error instanceof MappedRamError) || error.qmp === undefined) return error;
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `mode lazy: ${error.qmp.desc}; ${CURE}`, {
    qmp: error.qmp,
    cause: error,
    tellsCause: true,
  });
}

/** What QEMU needs for this. */
const CURE =
  'QEMU needs a userfaultfd (CAP_SYS_PTRACE, or from QEMU 8.0 on /dev/userfaultfd readable and writable, or vm.unprivileged_userfaultfd=1), and memory in no file but on tmpfs or hugetlbfs; other modes need neither';

function refused(words: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `mode lazy: ${words}`);
}

/**
 * Switches off what a lazy restore has left on, in a QEMU that has all of its memory.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function switchPostcopyOff(qmp: QmpClient, { capabilities: had }: Settings): Promise<void> {
  await untilFinalized(qmp);
  const capabilities = [PREEMPT, POSTCOPY].flatMap((capability) =>
    had.has(capability) ? [{ capability, state: false }] : [],
  );
  await qmp.execute('migrate-set-capabilities', { capabilities });
}
