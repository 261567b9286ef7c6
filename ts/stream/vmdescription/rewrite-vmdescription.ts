import { MappedRamError } from '../../errors.ts';
import type { Configuration } from '../configuration.ts';
import { withoutBaseRecord } from './base-record.ts';
import { MAX_VMDESCRIPTION_BYTES } from '../constants.ts';
import { memberSpan } from './json-span.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { StreamIndex } from '../stream-index.ts';
import { isRecord } from './vmdescription.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Subsections of CONFIGURATION in the order of the stream (docs/format.md §1.2). */
const ORDER = ['configuration/target-page-bits', 'configuration/capabilities', 'configuration/uuid'];
const CAPABILITIES = 'configuration/capabilities';

/**
 * Rewrites the vmdescription of a stream for the same device state behind another CONFIGURATION. The entry for the
 * capabilities subsection is put in, changed or dropped, and the record of a delta's base is dropped; every other byte
 * stays as it is. Undefined when the stream has none.
 * @throws {MappedRamError} the reader's errors
 */
export async function readVmdescriptionFor(
  reader: RandomAccessReader,
  index: StreamIndex,
  configuration: Configuration,
): Promise<Uint8Array | undefined> {
  const { vmdescription } = index;
  if (vmdescription === undefined) return undefined;
  const { jsonOffset, jsonLength } = vmdescription;
  if (jsonLength > MAX_VMDESCRIPTION_BYTES) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'length of the vmdescription', {
      path: reader.name,
      offset: jsonOffset,
      expected: `at most ${MAX_VMDESCRIPTION_BYTES}`,
      found: jsonLength,
    });
  }
  // Only the writer of a delta knows its base.
  const json = withoutBaseRecord(await reader.read(jsonOffset, jsonLength));
  return rewriteVmdescription(json, configuration.capabilities);
}

/**
 * Rewrites a vmdescription at hand. QEMU lists CONFIGURATION in the vmdescription since 8.2; one without that entry, or
 * one that is not JSON, is given back as it is.
 */
export function rewriteVmdescription(json: Uint8Array, capabilities: readonly string[]): Uint8Array {
  try {
    return rewriteText(decoder.decode(json), capabilities) ?? json;
  } catch {
    // A text that is not UTF-8, not JSON, or nested beyond the stack is nothing that QEMU wrote or reads.
    return json;
  }
}

function rewriteText(text: string, capabilities: readonly string[]): Uint8Array | undefined {
  const parsed: unknown = JSON.parse(text);
  const configuration = isRecord(parsed) ? parsed['configuration'] : undefined;
  const span = memberSpan(text, 'configuration');
  if (!isRecord(configuration) || span === undefined) return undefined;
  const changed = withCapabilities(configuration, capabilities);
  return encoder.encode(text.slice(0, span.start) + formatLikeQemu(changed) + text.slice(span.end));
}

function withCapabilities(
  configuration: Readonly<Record<string, unknown>>,
  capabilities: readonly string[],
): Readonly<Record<string, unknown>> {
  const { subsections, ...rest } = configuration;
  const others = Array.isArray(subsections)
    ? subsections.filter((entry) => nameOf(entry) !== CAPABILITIES)
    : [];
  const wanted = capabilities.length > 0 ? [...others, describeCapabilities(capabilities)] : others;
  if (wanted.length === 0) return rest;
  return { ...rest, subsections: wanted.toSorted((left, right) => rank(left) - rank(right)) };
}

/** Describes capabilities as QEMU 10.0 does: it gives the size of the first one only. */
function describeCapabilities(capabilities: readonly string[]): Readonly<Record<string, unknown>> {
  const size = 1 + encoder.encode(capabilities[0]).length;
  const times = capabilities.length > 1 ? { array_len: capabilities.length } : {};
  return {
    vmsd_name: CAPABILITIES,
    version: 1,
    fields: [
      { name: 'caps_count', type: 'uint32', size: 4 },
      { name: 'capabilities', ...times, type: 'capability', size },
    ],
  };
}

function rank(subsection: unknown): number {
  const place = ORDER.indexOf(nameOf(subsection) ?? '');
  return place === -1 ? ORDER.length : place;
}

function nameOf(subsection: unknown): string | undefined {
  const name = isRecord(subsection) ? subsection['vmsd_name'] : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** Formats JSON on one line, with a blank after each comma and colon. */
function formatLikeQemu(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => formatLikeQemu(entry)).join(', ')}]`;
  if (!isRecord(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, member]) => `${JSON.stringify(key)}: ${formatLikeQemu(member)}`,
  );
  return `{${members.join(', ')}}`;
}
