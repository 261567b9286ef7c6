import assert from 'node:assert/strict';

import { rewriteVmdescription } from '../../ts/stream/vmdescription/rewrite-vmdescription.ts';
import { isRecord } from '../../ts/stream/vmdescription/vmdescription.ts';
import type { FuzzTarget } from '../target.ts';

const CAPABILITIES = [[], ['mapped-ram'], ['x-ignore-shared', 'mapped-ram']] as const;
/** Limit in bytes. JSON is in memory before it is rewritten, so that nobody trusts a false length of it. */
const MAX_BYTES = 2 ** 16;
const SUBSECTION = 'configuration/capabilities';

/** JSON in which only the entry for capabilities may change. */
export const target: FuzzTarget = {
  run: async (reader) => {
    const json = await reader.read(0, Math.min(reader.size, MAX_BYTES));
    let shapes = '';
    for (const capabilities of CAPABILITIES) {
      const rewritten = rewriteVmdescription(json, capabilities);
      if (Buffer.compare(rewritten, json) === 0) {
        shapes += 'same ';
        continue;
      }
      const [before, after] = [parse(json), parse(rewritten)];
      assert.deepEqual(without(after), without(before));
      assert.equal(described(after), capabilities.length > 0);
      // The function leaves its own result unchanged.
      assert.deepEqual(rewriteVmdescription(rewritten, capabilities), rewritten);
      shapes += 'changed ';
    }
    return shapes;
  },
};

function parse(json: Uint8Array): Record<string, unknown> {
  // A leading BOM is no JSON, though TextDecoder would drop it.
  return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
}

function without(description: Record<string, unknown>): unknown {
  const { configuration, ...rest } = description;
  assert.ok(isRecord(configuration));
  const { subsections, ...others } = configuration;
  const kept = Array.isArray(subsections) ? subsections.filter((entry) => !isCapabilities(entry)) : [];
  // The rewritten JSON has subsections in the order of the stream, and null for numbers beyond JavaScript's.
  const texts = kept.map((entry) => JSON.stringify(entry)).toSorted();
  return [rest, JSON.parse(JSON.stringify(others)), texts];
}

function described({ configuration }: Record<string, unknown>): boolean {
  if (!isRecord(configuration) || !Array.isArray(configuration['subsections'])) return false;
  return configuration['subsections'].some((entry) => isCapabilities(entry));
}

function isCapabilities(entry: unknown): boolean {
  return isRecord(entry) && entry['vmsd_name'] === SUBSECTION;
}
