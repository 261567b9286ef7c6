import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import type { Decision, Plan } from '../../ts/negotiate/plan.ts';
import type { NegotiationRequest } from '../../ts/negotiate/request.ts';
import type { Rule, Subject } from '../../ts/negotiate/rule.ts';
import type { RuleId } from '../../ts/negotiate/rules/rules.ts';
import { RULES } from '../../ts/negotiate/rules/rules.ts';
import {
  type Differences,
  index,
  MIB,
  plan,
  privateBlock,
  restore,
  save,
  sharedBlock,
} from './situations.ts';

interface Scenario {
  /** A request without the rule's subject, so that the subject is on auto. */
  readonly request: NegotiationRequest;
  readonly different?: Differences;
}

const shared = { memory: [sharedBlock] };
const unreachable = { ...sharedBlock, file: undefined, why: '/dev/shm/m0 cannot be read here: EACCES' };
const unconfirmed = {
  ...sharedBlock,
  file: { path: '/dev/shm/m0', offset: 0, confirmed: false },
  why: 'that QEMU uses /dev/shm/m0 cannot be seen',
};
const nameless = {
  ...sharedBlock,
  id: 'small',
  length: MIB,
  backend: { id: 'small', type: 'memory-backend-memfd', size: MIB, share: true, path: undefined, offset: 0 },
  file: undefined,
  why: 'memory-backend-memfd has no file with a name',
};
const MAPPED = ['mapped-ram'];
/** The lacks of QEMU before 8.2. */
const OLD = { mappedRam: false, directIo: false, fileTransport: false };

/** A situation for each rule in which that rule decides. */
const SCENARIOS: Readonly<Record<RuleId, Scenario>> = {
  'another-host': { request: save(), different: { qemu: { passesDescriptors: false } } },
  'background-snapshot': { request: save(), different: { on: ['background-snapshot'] } },
  'base-not-mapped': {
    request: save({ base: '/snapshots/base' }),
    different: { capture: { base: { rule: 'base-not-mapped', words: 'it is another file' } } },
  },
  'base-unfit': {
    request: save({ base: 'auto' }),
    different: { capture: { base: { rule: 'base-unfit', words: 'it has another block' } } },
  },
  blocked: { request: save(), different: { qemu: { blockedReasons: ['device x cannot migrate'] } } },
  'base-replaced': {
    request: save({ base: 'auto' }),
    different: {
      capture: { base: { path: '/snapshots/base', mapped: ['pc.ram'], coming: [], isTarget: true } },
    },
  },
  'capture-needs-descriptors': { request: save(), different: { capture: {}, features: { fdsets: false } } },
  'capture-not-asked': { request: save() },
  'capture-shares-nothing': { request: save({ xIgnoreShared: 'on' }), different: { capture: {} } },
  'channels-need-multifd': { request: save({ channels: 2, multifd: 'off' }) },
  compress: { request: save(), different: { on: ['compress'] } },
  'compression-trap': { request: save(), different: { parameters: { 'multifd-compression': 'zlib' } } },
  'cpr-mode': { request: save(), different: { parameters: { mode: 'cpr-reboot' } } },
  'damaged-file': { request: restore(), different: { snapshot: await index(MAPPED, 'truncated') } },
  'dirty-bitmaps': { request: save(), different: { on: ['dirty-bitmaps'] } },
  'direct-io-fdset': {
    request: save({ target: 'file:/dev/fdset/3' }),
    different: { givenFds: [{ mode: 'write', direct: false }] },
  },
  'direct-io-file-system': {
    request: save(),
    different: { host: { directIo: { possible: false, why: 'EINVAL' } } },
  },
  'direct-io-missing': { request: save(), different: { features: { directIo: false } } },
  'direct-io-needs-multifd': { request: save({ multifd: 'off' }) },
  'disk-in-use': {
    request: save(),
    different: { diskUsers: [{ words: 'block job j0 (backup)', hinders: true }] },
  },
  'engine-another-host': {
    request: save(),
    different: { qemu: { memory: [unconfirmed], passesDescriptors: false } },
  },
  'engine-cannot-write': {
    request: save(),
    different: { qemu: shared, host: { openable: { possible: false, why: 'EACCES' } } },
  },
  'engine-memory-nameless': {
    request: save(),
    different: { qemu: { memory: [sharedBlock, nameless] }, features: { ignoresNamedOnly: false } },
  },
  'engine-memory-private': { request: save(), different: { qemu: { memory: [sharedBlock, privateBlock] } } },
  'engine-memory-unconfirmed': { request: save(), different: { qemu: { memory: [unconfirmed] } } },
  'engine-memory-unknown': { request: save(), different: { qemu: { memory: [] } } },
  'engine-memory-unreadable': {
    request: save(),
    different: { capture: { rights: { pagemap: undefined, memory: 'EPERM' } } },
  },
  'engine-memory-unseen': { request: save(), different: { capture: { memory: 'its process is not seen' } } },
  'engine-memory-unreachable': { request: save(), different: { qemu: { memory: [unreachable] } } },
  'engine-needs-file': {
    request: save({ target: 'unix:/x', mappedRam: 'off' }),
    different: { qemu: shared },
  },
  'engine-needs-x-ignore-shared': { request: save({ xIgnoreShared: 'off' }), different: { qemu: shared } },
  'engine-not-live': { request: save({ live: true }), different: { qemu: shared } },
  'engine-no-bandwidth': { request: save({ maxBandwidth: MIB }), different: { qemu: shared } },
  'engine-no-multifd': { request: save({ multifd: 'on' }), different: { qemu: shared } },
  'engine-no-zero-page-choice': {
    request: save({ zeroPageDetection: 'none' }),
    different: { qemu: shared },
  },
  'engine-writes-mapped-ram': { request: save({ mappedRam: 'off' }), different: { qemu: shared } },
  'fdset-access': {
    request: save({ target: 'file:/dev/fdset/3' }),
    different: { givenFds: [{ mode: 'both', direct: false }] },
  },
  'fdset-cannot-open': {
    request: save(),
    different: { host: { openable: { possible: false, why: 'EACCES' } } },
  },
  'fdset-connection': { request: save(), different: { qemu: { passesDescriptors: false } } },
  'fdset-given': {
    request: save({ target: 'file:/dev/fdset/3' }),
    different: { givenFds: [{ mode: 'write', direct: false }] },
  },
  'fdset-missing': { request: save({ target: 'file:/dev/fdset/3' }) },
  'fdset-needs-file': { request: save({ target: 'unix:/x', mappedRam: 'off' }) },
  'file-form': { request: restore({ mappedRam: 'on' }), different: { snapshot: await index([]) } },
  'file-from-beginning': {
    request: save({ target: 'file:/x,offset=4096' }),
    different: { features: OLD },
  },
  'file-missing': { request: save({ fdset: 'off' }), different: { features: OLD } },
  'file-ignores-shared': {
    request: restore(),
    different: {
      snapshot: await index([...MAPPED, 'x-ignore-shared']),
      features: { mappedRamIgnoresShared: false },
    },
  },
  'incremental-needs-clone': {
    request: save({ base: 'auto' }),
    different: { capture: { base: { rule: 'incremental-needs-clone', words: 'it is no clone' } } },
  },
  'incoming-once': {
    request: restore(),
    different: { snapshot: await index(MAPPED), qemu: { migrationStatus: 'failed' } },
  },
  'live-guest-stands-still': { request: save(), different: { kvm: true, qemu: { runState: 'paused' } } },
  'live-needs-mapped-ram': { request: save({ mappedRam: 'off' }), different: { kvm: true } },
  'live-without-kvm': { request: save({ live: true }) },
  'mapped-ram-missing': { request: save(), different: { features: { mappedRam: false } } },
  'mapped-ram-needs-file': { request: save({ target: 'exec:cat > x' }) },
  'max-bandwidth': { request: save(), different: { parameters: { 'max-bandwidth': 134_217_728 } } },
  'migration-running': { request: save(), different: { qemu: { migrationStatus: 'active' } } },
  'multifd-disk-may-fill': { request: save(), different: { host: { freeBytes: 4096 } } },
  'multifd-engine': { request: restore({ reader: 'engine', target: 'unix:/x' }) },
  'multifd-missing': { request: save(), different: { features: { multifd: false } } },
  'multifd-needs-mapped-ram': { request: save({ mappedRam: 'off' }) },
  'multifd-transport': { request: save({ target: 'exec:cat > x', mappedRam: 'off' }) },
  'not-incoming': {
    request: restore(),
    different: { snapshot: await index(MAPPED), qemu: { runState: 'running' } },
  },
  'offset-destroys-prefix': {
    request: save({ target: 'file:/x,offset=4096' }),
    different: { features: { directIo: false } },
  },
  'only-incoming': { request: save(), different: { qemu: { runState: 'inmigrate' } } },
  'pause-before-switchover': { request: save(), different: { on: ['pause-before-switchover'] } },
  'postcopy-preempt': { request: save(), different: { on: ['postcopy-preempt'] } },
  'postcopy-ram': { request: save(), different: { on: ['postcopy-ram'] } },
  postmigrate: { request: save(), different: { qemu: { runState: 'postmigrate' } } },
  'regular-file': { request: save(), different: { host: { kind: 'other' } } },
  'return-path': { request: save(), different: { on: ['return-path'] } },
  'shared-memory-left-out': { request: save({ xIgnoreShared: 'on', mappedRam: 'off' }) },
  'switchover-ack': { request: save(), different: { on: ['switchover-ack'] } },
  tls: { request: save(), different: { parameters: { 'tls-creds': 'mine' } } },
  'unmeasured-file': { request: restore(), different: { snapshot: await index(MAPPED, 'undescribed') } },
  'unseen-file': {
    request: restore({ target: 'file:/dev/fdset/3' }),
    different: { givenFds: [{ mode: 'read', direct: false }] },
  },
  'uri-missing': {
    request: save({
      target: { transport: 'socket', type: 'unix', path: 'x', abstract: true },
      mappedRam: 'off',
    }),
    different: { features: OLD },
  },
  'x-colo': { request: save(), different: { on: ['x-colo'] } },
  'x-ignore-shared-broken': { request: save(), different: { features: { mappedRamIgnoresShared: false } } },
  'x-ignore-shared-left-on': { request: save(), different: { on: ['x-ignore-shared'] } },
  'x-ignore-shared-missing': { request: save(), different: { features: { xIgnoreShared: false } } },
  xbzrle: { request: save(), different: { on: ['xbzrle'] } },
  'zero-copy-send': { request: save(), different: { on: ['zero-copy-send'] } },
  'zero-page-detection-missing': {
    request: save({ zeroPageDetection: 'none' }),
    different: { features: { zeroPageDetection: false } },
  },
  'machine-pages-unknown': { request: save(), different: { capture: { machine: undefined } } },
  'xen-save-leaves-out': { request: save(), different: { capture: { liveState: undefined } } },
  'xen-save-missing': {
    request: save(),
    different: { capture: { deviceState: { hasCommand: false, tellsDevices: true, blockedReasons: [] } } },
  },
};

test('each rule stands in the table once, with the section it comes from', (t) => {
  t.deepEqual(RULES.map(({ id }) => id).toSorted(), Object.keys(SCENARIOS).toSorted());
  for (const { section } of RULES) t.regex(section, /^\d+(\.\d+)?( \d+(, \d+)*)?$/);
});

for (const rule of RULES) {
  const { request, different } = SCENARIOS[rule.id];
  if (rule.effect === 'refuse') {
    test(`${rule.id} refuses`, (t) => {
      const error = t.throws<Error>(() => plan(request, different), { instanceOf: MappedRamError });
      t.like(error, {
        code: rule.code ?? 'ERR_MAPPED_RAM_UNSUPPORTED',
        rule: { rule: rule.id, section: rule.section },
      });
      t.true(error.message.endsWith(words(rule, error.message)), error.message);
    });
  } else if (rule.effect === 'degrade') {
    test(`${rule.id} switches off what is on auto, and refuses what was asked for`, (t) => {
      if (rule.about !== 'xIgnoreShared' && rule.id !== 'multifd-transport') {
        const made = plan(request, different);
        t.like(decisionOf(made, rule.about), {
          value: rule.about === 'writer' ? 'qemu' : false,
          rule: rule.id,
        });
      }
      const asked = { ...request, ...ask(rule.about) };
      const error = t.throws<Error>(() => plan(asked, different), { instanceOf: MappedRamError });
      t.like(error, {
        code: 'ERR_MAPPED_RAM_UNSUPPORTED',
        rule: { rule: rule.id, section: rule.section },
      });
      const off = { ...request, ...ask(rule.about, 'off') };
      t.notThrows(() => plan(off, different));
    });
  } else {
    test(`${rule.id} is noted`, (t) => {
      const made = plan(request, different);
      t.like(
        made.notes.find((note) => note.rule === rule.id),
        { effect: rule.effect },
      );
      if (rule.effect !== 'override') return;
      const { set } = rule;
      if ('capability' in set) t.is(made.capabilities[set.capability], set.state);
      else t.is(made.parameters[set.parameter], set.value);
    });
  }
}

test('where everything is possible no rule says anything', async (t) => {
  const saved = plan(save());
  t.deepEqual(saved.notes, []);
  const restored = plan(restore(), { snapshot: await index(MAPPED) });
  t.deepEqual(restored.notes, []);
});

function words({ words: text }: Rule, otherwise: string): string {
  return typeof text === 'string' ? text : otherwise;
}

function decisionOf(made: Plan, about: Subject): Decision<unknown> | undefined {
  if (about === 'writer' || about === 'zeroPageDetection' || about === 'live' || about === 'stateOnly') {
    return made.direction === 'save' ? made[about] : undefined;
  }
  const isRefusal = about === 'qemu' || about === 'migration' || about === 'target' || about === 'base';
  return isRefusal ? undefined : made[about];
}

function ask(about: Subject, wish: 'on' | 'off' = 'on'): Partial<NegotiationRequest> {
  if (about === 'writer') return { writer: wish === 'on' ? 'engine' : 'qemu' };
  if (about === 'stateOnly') return { base: wish === 'on' ? 'auto' : 'none' };
  if (about === 'live') return { live: wish === 'on' };
  return { [about]: wish };
}
