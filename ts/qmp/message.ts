import type { QmpErrorReply } from '../errors.ts';
import type { QmpEvent } from './events.ts';
import { isQmpObject, parseQmpJson, type QmpObject, type QmpValue } from './json.ts';

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

/** What QEMU says when a connection begins. */
export interface QmpGreeting {
  readonly version: QmpVersion;
  /** True when this connection can have commands carried out at once, by another thread than QEMU's main one. */
  readonly oob: boolean;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly greeting: QmpGreeting }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'return'; readonly id: QmpValue | undefined; readonly value: QmpValue }
  | { readonly kind: 'error'; readonly id: QmpValue | undefined; readonly error: QmpErrorReply };

/** Parses the text of one message from QEMU; returns undefined when it is not a QMP message. */
export function parseQmpMessage(line: string): QmpMessage | undefined {
  let message: QmpValue;
  try {
    message = parseQmpJson(line);
  } catch {
    return undefined;
  }
  if (!isQmpObject(message)) return undefined;
  const { event, data, error, return: value, id, QMP: greeting, timestamp } = message;
  if (typeof event === 'string') {
    return {
      kind: 'event',
      event: { event, data: isQmpObject(data) ? data : {}, timestampMs: milliseconds(timestamp) },
    };
  }
  if (value !== undefined) return { kind: 'return', id, value };
  if (isQmpObject(error)) {
    return { kind: 'error', id, error: { class: text(error['class']), desc: text(error['desc']) } };
  }
  if (isQmpObject(greeting)) {
    const { capabilities } = greeting;
    const oob = Array.isArray(capabilities) && capabilities.includes('oob');
    return { kind: 'greeting', greeting: { version: qemuVersion(greeting), oob } };
  }
  return undefined;
}

function qemuVersion({ version }: QmpObject): QmpVersion {
  const qemu = isQmpObject(version) ? version['qemu'] : undefined;
  const { major, minor, micro } = isQmpObject(qemu) ? qemu : {};
  return { major: count(major), minor: count(minor), micro: count(micro) };
}

function milliseconds(timestamp: QmpValue | undefined): number {
  const { seconds, microseconds } = isQmpObject(timestamp) ? timestamp : {};
  return count(seconds) * 1000 + count(microseconds) / 1000;
}

function count(value: QmpValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}

function text(value: QmpValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
