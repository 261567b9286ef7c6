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
export const ADDED_MEMBERS: ReadonlySet<string> = new Set(['libvirt', 'modes', 'nativeBinding', 'runState']);

/** Today's JSON without members that were added since the recorded JSON. */
export function withoutAdded(now: object, before: unknown): object {
  const known = typeof before === 'object' && before !== null ? before : {};
  return Object.fromEntries(
    Object.entries(now).filter(([name]) => !ADDED_MEMBERS.has(name) || Object.hasOwn(known, name)),
  );
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
