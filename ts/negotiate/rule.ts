import type { ErrorCode } from '../errors.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { FdAccess } from '../host/fd-access.ts';
import type { HostFacts } from './host-facts.ts';
import type { NegotiationRequest, PlanTarget, QemuFacts } from './plan.ts';
import type { QmpArgument } from '../qmp/json.ts';

/** Stable names of the rules in rules.ts. */
export type RuleId =
  | 'another-host'
  | 'background-snapshot'
  | 'blocked'
  | 'channels-need-multifd'
  | 'compress'
  | 'compression-trap'
  | 'cpr-mode'
  | 'damaged-file'
  | 'direct-io-fdset'
  | 'direct-io-file-system'
  | 'direct-io-missing'
  | 'direct-io-needs-multifd'
  | 'engine-another-host'
  | 'engine-cannot-write'
  | 'engine-memory-unconfirmed'
  | 'engine-memory-unreachable'
  | 'engine-memory-unknown'
  | 'engine-memory-private'
  | 'engine-needs-file'
  | 'engine-needs-x-ignore-shared'
  | 'engine-no-bandwidth'
  | 'engine-no-multifd'
  | 'engine-no-zero-page-choice'
  | 'engine-writes-mapped-ram'
  | 'fdset-access'
  | 'fdset-cannot-open'
  | 'fdset-connection'
  | 'fdset-given'
  | 'fdset-missing'
  | 'fdset-needs-file'
  | 'file-form'
  | 'file-ignores-shared'
  | 'incoming-once'
  | 'mapped-ram-missing'
  | 'mapped-ram-needs-file'
  | 'max-bandwidth'
  | 'migration-running'
  | 'multifd-disk-may-fill'
  | 'multifd-engine'
  | 'multifd-missing'
  | 'multifd-needs-mapped-ram'
  | 'multifd-transport'
  | 'not-incoming'
  | 'offset-destroys-prefix'
  | 'only-incoming'
  | 'pause-before-switchover'
  | 'postcopy-preempt'
  | 'postcopy-ram'
  | 'postmigrate'
  | 'regular-file'
  | 'return-path'
  | 'shared-memory-left-out'
  | 'switchover-ack'
  | 'tls'
  | 'unmeasured-file'
  | 'unseen-file'
  | 'x-ignore-shared-broken'
  | 'x-ignore-shared-left-on'
  | 'x-ignore-shared-missing'
  | 'x-colo'
  | 'xbzrle'
  | 'zero-copy-send'
  | 'zero-page-detection-missing';

/** What a rule can see. The decisions that come later in this list are made later. */
export interface Situation {
  readonly request: NegotiationRequest;
  readonly target: PlanTarget;
  readonly qemu: QemuFacts;
  readonly host: HostFacts;
  /** What is in the file of a restore, when that is known. */
  readonly snapshot: StreamIndex | undefined;
  /** How the descriptors of the caller's set were opened; undefined when there is no such set. */
  readonly givenFds: readonly (FdAccess | undefined)[] | undefined;
  /** The pages go past QEMU, which only writes or reads its device state, as a plain stream. */
  readonly engine: boolean;
  readonly mappedRam: boolean;
  readonly multifd: boolean;
  readonly directIo: boolean;
}

/** What is known before the first decision. */
export type StartingSituation = Omit<Situation, 'engine' | 'mappedRam' | 'multifd' | 'directIo'>;

/** What a rule is about: the request as a whole, or a feature. */
export type Subject =
  | 'qemu'
  | 'target'
  | 'writer'
  | 'mappedRam'
  | 'multifd'
  | 'directIo'
  | 'xIgnoreShared'
  | 'fdset'
  | 'zeroPageDetection';

interface RuleBase {
  readonly id: RuleId;
  readonly about: Subject;
  /** Where docs/format.md tells about it. */
  readonly section: string;
  readonly applies: (situation: Situation) => boolean;
  /** Why, for people: no capital letter at the beginning, no full stop at the end. */
  readonly words: string | ((situation: Situation) => string);
}

export type Rule =
  /** `refuse`: nothing can be done. `warn`: it can, but the caller should know. */
  | (RuleBase & { readonly effect: 'refuse' | 'warn'; readonly code?: ErrorCode })
  /** The feature cannot be on: refused when it was asked for, else off. */
  | (RuleBase & { readonly effect: 'degrade' })
  /** A setting found in QEMU does not go with this; it is put aside, and put back afterwards. */
  | (RuleBase & { readonly effect: 'override'; readonly set: Setting });

export type Setting =
  | { readonly capability: string; readonly state: boolean }
  | { readonly parameter: string; readonly value: QmpArgument };
