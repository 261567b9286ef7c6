import type { ErrorCode } from '../errors.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { FdAccess } from '../host/fd-access.ts';
import type { DiskUser } from '../qemu/disk-users.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpArgument } from '../qmp/json.ts';
import type { CaptureFacts } from './capture/capture-facts.ts';
import type { HostFacts } from './host-facts.ts';
import type { NegotiationRequest, PlanTarget } from './request.ts';

/** The facts that a rule can see. The decisions among them are made in the order of this list. */
export interface Situation {
  readonly request: NegotiationRequest;
  readonly target: PlanTarget;
  readonly qemu: QemuFacts;
  readonly host: HostFacts;
  /** The content of a restore's file, when it is known. */
  readonly snapshot: StreamIndex | undefined;
  /** The access modes of the descriptors in the caller's set; undefined when there is no such set. */
  readonly givenFds: readonly (FdAccess | undefined)[] | undefined;
  /** The users of QEMU's disks beside the guest; of a save only. */
  readonly diskUsers: readonly DiskUser[];
  /** The disks that the guest may write to, in words; undefined where nobody asked. Of a save only. */
  readonly ownDisks?: readonly string[] | undefined;
  /** True when KVM runs the guest; undefined when QEMU does not tell. Of a save only. */
  readonly kvm?: boolean | undefined;
  /** True when a guest that stands still since its last save is asleep; undefined when that is not known. */
  readonly asleep?: boolean | undefined;
  /** Facts about taking the guest out of QEMU's process; undefined where nobody asked. Of a save only. */
  readonly capture?: CaptureFacts | undefined;
  /**
   * True when QEMU writes nothing but its device state, outside of a migration, and the engine takes all memory out of
   * QEMU's process; otherwise `stateOnlyWhy` has the reason in words.
   */
  readonly stateOnly: boolean;
  readonly stateOnlyWhy: string;
  /** True when the pages go past QEMU, which only writes or reads its device state, as a plain stream. */
  readonly engine: boolean;
  readonly mappedRam: boolean;
  readonly multifd: boolean;
  readonly directIo: boolean;
  readonly live: boolean;
}

/** The situation before the first decision. */
export type StartingSituation = Omit<
  Situation,
  'stateOnly' | 'stateOnlyWhy' | 'engine' | 'mappedRam' | 'multifd' | 'directIo' | 'live'
>;

/** The subject of a rule: the request as a whole, or a feature. */
export type Subject =
  | 'qemu'
  | 'target'
  | 'stateOnly'
  | 'base'
  | 'writer'
  | 'migration'
  | 'mappedRam'
  | 'multifd'
  | 'directIo'
  | 'xIgnoreShared'
  | 'fdset'
  | 'zeroPageDetection'
  | 'live';

interface RuleBase<Id extends string> {
  readonly id: Id;
  readonly about: Subject;
  /** The section of docs/format.md that explains the rule. */
  readonly section: string;
  readonly applies: (situation: Situation) => boolean;
  /** The reason for people: no capital letter at the beginning, no full stop at the end. */
  readonly words: string | ((situation: Situation) => string);
}

/** @typeParam Id the rule's stable name */
export type Rule<Id extends string = string> =
  /** `refuse`: the request is impossible. `warn`: it is possible, but the caller should know. */
  | (RuleBase<Id> & { readonly effect: 'refuse' | 'warn'; readonly code?: ErrorCode })
  /** The feature cannot be on: refused when the caller asked for it, else off. */
  | (RuleBase<Id> & { readonly effect: 'degrade' })
  /** A setting found in QEMU does not go with the request. It is put aside, and put back afterwards. */
  | (RuleBase<Id> & { readonly effect: 'override'; readonly set: Setting });

export type Setting =
  | { readonly capability: string; readonly state: boolean }
  | { readonly parameter: string; readonly value: QmpArgument };
