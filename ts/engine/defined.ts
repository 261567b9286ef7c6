/** The binding's types tell a missing property from one that is there and undefined; callers need not. */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only undefined properties were taken out
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
