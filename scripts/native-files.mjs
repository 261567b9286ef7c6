// The native files in native/, and the rule for the files that a release may not carry.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const NATIVE = new URL('../native/', import.meta.url);

/** Lists the local builds of the binding. */
export function localBinaries() {
  return existsSync(NATIVE) ? readdirSync(NATIVE).filter((name) => name.endsWith('.node')) : [];
}

/** True when the loader and its types exist; `npm run build:native` makes both. */
export function hasLoader() {
  return ['binding.cjs', 'binding.d.cts'].every((name) => existsSync(new URL(name, NATIVE)));
}

/**
 * Refuses to publish a root package that carries a binary: a published one takes its binary from the platform packages.
 * It would prefer the releaser's own binary, and hide on this one platform that another package is missing.
 */
export function assertPublishable() {
  const binaries = localBinaries();
  if (binaries.length > 0) {
    throw new Error(
      `native/ holds ${binaries.join(', ')}: a release carries no local binary; publish from a clean clone`,
    );
  }
  if (!hasLoader()) {
    throw new Error('native/binding.cjs and native/binding.d.cts are missing: take them from a build');
  }
}
