/** The members that have a new name since the JSON was recorded: old to new, everywhere. */
export const RENAMED_MEMBERS: Readonly<Record<string, string>> = {
  engine: 'ioEngine',
  engineReason: 'ioEngineWhy',
  directIoReason: 'directIoWhy',
  modeReason: 'modeWhy',
  passed: 'verified',
  reason: 'why',
  sizeReason: 'sizeWhy',
};

/** The options that have a new name since then: new to old. */
export const OLD_OPTIONS: Readonly<Record<string, string>> = { '--io-engine': '--engine' };

/** Words in values that changed since then: old to new, replaced in this order. */
export const REWORDED: readonly (readonly [old: string, now: string])[] = [];

/** The members that the objects of commands have got since then. */
export const ADDED_MEMBERS: ReadonlySet<string> = new Set([
  'base',
  'capture',
  'changedPages',
  'directRequests',
  'dirtyPagesPerSecond',
  'form',
  'libvirt',
  'live',
  'modes',
  'nativeBinding',
  'passes',
  'requestBytes',
  'requests',
  'runState',
  'stateOnly',
  'submissions',
]);

/** Today's JSON without members, at any depth, that were added since the recorded JSON. */
export function withoutAdded(now: unknown, before: unknown): unknown {
  if (typeof now !== 'object' || now === null) return now;
  const known: object = typeof before === 'object' && before !== null ? before : {};
  const entries = Object.entries(now).filter(
    ([name]) => !ADDED_MEMBERS.has(name) || Object.hasOwn(known, name),
  );
  const members = new Map<string, unknown>(Object.entries(known));
  const left = entries.map(([name, member]) => [name, withoutAdded(member, members.get(name))] as const);
  return Array.isArray(now) ? left.map(([, member]) => member) : Object.fromEntries(left);
}

/** The recorded JSON in today's names and words. */
export function renamed(value: unknown): unknown {
  if (typeof value === 'string')
    return REWORDED.reduce((text, [old, now]) => text.replaceAll(old, now), value);
  if (Array.isArray(value)) return value.map((element) => renamed(element));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [RENAMED_MEMBERS[name] ?? name, renamed(member)]),
  );
}
