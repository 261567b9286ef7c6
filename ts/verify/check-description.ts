import type { IndexedSection, StreamIndex } from '../stream/stream-index.ts';
import type { VmdescriptionDevice } from '../stream/vmdescription/vmdescription.ts';
import type { Finding, FindingCode } from './finding.ts';

/**
 * Compares the vmdescription with the sections that it describes (docs/format.md §1.5). Only two sides that say
 * something can contradict each other: a member that the description leaves out is no mismatch.
 */
export function checkDescription(index: StreamIndex): readonly Finding[] {
  const { vmdescription, ram, sections, complete } = index;
  if (vmdescription === undefined) return complete ? [missing(index)] : [];
  const { json, offset } = vmdescription;
  const found = (code: FindingCode, message: string): Finding => ({
    severity: 'error',
    code,
    message,
    offset,
  });
  if (json === undefined) return [found('vmdescription-invalid', 'the vmdescription cannot be read')];
  const findings: Finding[] = [];
  if (ram !== undefined && json.page_size !== undefined && json.page_size !== ram.targetPageSize) {
    const words = `page_size: expected ${ram.targetPageSize}, found ${JSON.stringify(json.page_size)}`;
    findings.push(found('vmdescription-mismatch', `the vmdescription has another ${words}`));
  }
  // A stream that breaks off lacks sections anyway.
  const full = complete ? sections.filter(({ kind }) => kind === 'full') : [];
  for (const words of complete ? differences(full, json.devices) : []) {
    findings.push(found('vmdescription-mismatch', words));
  }
  return findings;
}

function missing({ eofOffset }: StreamIndex): Finding {
  return {
    severity: 'warning',
    code: 'vmdescription-missing',
    message: 'there is no vmdescription, so nothing says whether a device is missing',
    offset: eofOffset,
  };
}

function* differences(
  sections: readonly IndexedSection[],
  devices: readonly VmdescriptionDevice[],
): Generator<string, void, void> {
  const described = new Map<string, VmdescriptionDevice[]>();
  for (const device of devices) {
    const key = `${device.name}/${device.instance_id}`;
    const same = described.get(key);
    if (same === undefined) described.set(key, [device]);
    else same.push(device);
  }
  const taken = new Map<string, number>();
  for (const { idstr, instanceId, versionId } of sections) {
    const key = `${idstr}/${instanceId}`;
    const count = taken.get(key) ?? 0;
    taken.set(key, count + 1);
    // The walk has measured every section by its description, so a description exists.
    const version = described.get(key)?.[count]?.['version'];
    if (version !== undefined && version !== versionId) {
      yield `section ${key} has version ${versionId}, in the vmdescription ${JSON.stringify(version)}`;
    }
  }
  for (const [key, { length }] of described) {
    if (length > (taken.get(key) ?? 0))
      yield `the vmdescription describes section ${key}, which the stream does not have`;
  }
}
