import { availableMemory } from '../../host/available-memory.ts';

/** The share of the spare memory that a copy may take, unless the caller says how much. */
const SHARE = 1 / 8;
/** The guest changes pages between the first look and the stop. */
const MARGIN = 1.25;
const ROOM = 16 * 2 ** 20;

/** The most bytes that a copy may take. @param wanted by the caller; undefined for an eighth of what is left of memory */
export function mostForCopy(wanted: number | undefined): number {
  return wanted ?? Math.floor((availableMemory()?.bytes ?? 0) * SHARE);
}

/** Tells whether room that was made a while ago will do for the pages that a running guest has now, in bytes. */
export function isEnough(capacity: number, bytes: number): boolean {
  return capacity >= bytes + ROOM / 2;
}

/** The room, in bytes, for a copy of pages that a running guest has now. @param bytes of those pages */
export function roomFor(bytes: number): number {
  return Math.ceil(bytes * MARGIN) + ROOM;
}
