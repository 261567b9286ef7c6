import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { MappedRamError } from '../errors.ts';
import { identityOf } from '../host/file-identity.ts';
import { type OpenSource, sourcesOf } from '../io/open-source.ts';
import { STORAGE_NAME } from '../io/storage.ts';

/** A place that takes part in an operation: a file by its path or its descriptor, or storage of the caller's. */
type Place =
  | { readonly path: string }
  | { readonly fd: number }
  | { readonly storage: { readonly name?: string | undefined } };

/** A place with its role, which errors name: `the state`, `the RAM of block pc.ram`. */
export type NamedPlace = Place & { readonly role: string };

/** A place that takes part if there is one. */
export function namedPlace(role: string, place: Place | undefined): readonly NamedPlace[] {
  return place === undefined ? [] : [{ role, ...place }];
}

/** The places that an open source is read from: a delta and its base have two. */
export function namedSource(role: string, source: OpenSource): readonly NamedPlace[] {
  return sourcesOf(source).flatMap(({ file, storage }, index) => {
    const name = index === 0 ? role : `the base of ${role}`;
    if (file === undefined) return namedPlace(name, storage && { storage });
    return namedPlace(name, file.path === undefined ? { fd: file.fd } : { path: file.path });
  });
}

/**
 * Refuses one place in two roles: each role would overwrite what the other needs.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export async function assertDistinct(places: readonly NamedPlace[]): Promise<void> {
  const seen = new Map<unknown, NamedPlace>();
  for (const place of places) {
    const identity = await placeIdentity(place);
    const other = seen.get(identity);
    if (other !== undefined) {
      const [kind, path] = wordsOf(place);
      throw new MappedRamError(
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        `${other.role} and ${place.role} are the same ${kind}`,
        { path },
      );
    }
    seen.set(identity, place);
  }
}

/** The identity that tells a place from others: a file's inode, or for a new file its place in its directory. */
async function placeIdentity(place: Place): Promise<unknown> {
  if ('storage' in place) return place.storage;
  const found = identityOf('fd' in place ? place.fd : place.path);
  if (found !== undefined) return `${found.dev}:${found.ino}`;
  if ('fd' in place) return place.fd;
  const whole = resolve(place.path);
  const directory = await realpath(dirname(whole)).catch(() => dirname(whole));
  return join(directory, basename(whole));
}

function wordsOf(place: Place): readonly [kind: string, name: string] {
  if ('storage' in place) return ['storage', place.storage.name ?? STORAGE_NAME];
  return ['file', 'fd' in place ? `descriptor ${place.fd}` : place.path];
}
