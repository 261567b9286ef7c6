/** The most characters of a text that are repeated. */
const MOST = 80;

/** Describes a value that is not what was expected, for the `found` of an error. */
export function inWords(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, MOST));
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return 'an array';
  const { constructor: made } = value;
  const [kind, keys] = [typeof made === 'function' ? made.name : '', Object.keys(value)];
  if (kind !== '' && kind !== 'Object') return `an object of class ${kind}`;
  return keys.length === 0 ? 'an object without members' : `an object with ${keys.join(', ').slice(0, MOST)}`;
}
