import { MappedRamError } from '../errors.ts';
import { inWords } from '../io/in-words.ts';

/** The largest descriptor that the kernel can give. */
const MAX_FD = 2 ** 31 - 1;
const KINDS = ['path', 'fd', 'storage'] as const;

/**
 * Checks the object that a caller gave for a place, so that a mistake is told in the caller's terms. An object that is
 * open, as a `Snapshot` and a stream are, has a path too, and is no name of a place.
 * @param what the name of the argument in errors
 * @param methods the functions that storage must have; undefined where no storage can be given
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertPlace(place: unknown, what: string, methods: readonly string[] | undefined): void {
  const kinds = methods === undefined ? KINDS.slice(0, 2) : KINDS;
  const expected = `a path, a file: URL, or an object with ${kinds.slice(0, -1).join(', ')} or ${kinds.at(-1)}`;
  if (!isObject(place)) throw wrong(what, expected, inWords(place));
  const given = kinds.filter((kind) => place[kind] !== undefined);
  const [kind] = given;
  if (kind === undefined) throw wrong(what, expected, inWords(place));
  if (given.length > 1) throw wrong(what, `one of ${kinds.join(', ')}`, given.join(' and '));
  if (kind === 'path') assertPath(place, what);
  else if (kind === 'fd') assertDescriptors(place, what);
  else assertStorage(place['storage'], what, methods ?? []);
}

function assertPath(place: Members, what: string): void {
  if (typeof place['close'] === 'function') {
    throw wrong(what, 'the name of a place', `${inWords(place)}, which is open`);
  }
  const { path } = place;
  if (typeof path !== 'string') throw wrong(`path of ${what}`, 'a text', inWords(path));
}

function assertDescriptors({ fd, directFd }: Members, what: string): void {
  if (!isDescriptor(fd)) throw wrong(`fd of ${what}`, 'a descriptor', inWords(fd));
  if (directFd !== undefined && !isDescriptor(directFd)) {
    throw wrong(`directFd of ${what}`, 'a descriptor', inWords(directFd));
  }
}

function assertStorage(storage: unknown, what: string, methods: readonly string[]): void {
  if (!isObject(storage)) {
    throw wrong(`storage of ${what}`, `an object with ${methods.join(', ')}`, inWords(storage));
  }
  const missing = methods.find((name) => typeof storage[name] !== 'function');
  if (missing !== undefined) {
    throw wrong(`${missing} of the storage of ${what}`, 'a function', inWords(storage[missing]));
  }
  const { name } = storage;
  if (name === undefined || typeof name === 'string') return;
  throw wrong(`name of the storage of ${what}`, 'a text', inWords(name));
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDescriptor(fd: unknown): boolean {
  return typeof fd === 'number' && Number.isInteger(fd) && fd >= 0 && fd <= MAX_FD;
}

function wrong(what: string, expected: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', what, { expected, found });
}
