import test from 'ava';

import { WHOLE } from '../../ts/fork/fork-source.ts';
import { plan, save, sharedBlock, privateBlock } from '../negotiate/situations.ts';

/** Guests under KVM for which a save that may be live is: there is no room for a copy, or only QEMU can write. */
const GUESTS = {
  'more in use than can be copied': { kvm: true, capture: { ownBytes: Number.MAX_SAFE_INTEGER } },
  'memory in shared files': { kvm: true, qemu: { memory: [sharedBlock] } },
  'memory of its own': { kvm: true, qemu: { memory: [privateBlock] } },
};

for (const [what, different] of Object.entries(GUESTS)) {
  test(`a fork under KVM is one pause: ${what}`, (t) => {
    const usual = plan(save(), different);
    const forked = plan(save(WHOLE), different);
    t.true(forked.direction === 'save' && usual.direction === 'save');
    if (forked.direction !== 'save' || usual.direction !== 'save') return;
    t.is(forked.live.value, false);
    t.true(forked.capabilities['background-snapshot'] !== true);
    t.is(forked.parameters['downtime-limit'], undefined);
    if (different !== GUESTS['memory in shared files']) t.true(usual.live.value, 'a save would be live');
    if ('capture' in different) t.is(forked.writer.value, 'engine');
  });
}
