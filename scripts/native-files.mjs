// Which native files lie in native/, and what a release may not carry.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const NATIVE = new URL('../native/', import.meta.url);

/** The local builds of the binding. */
export function localBinaries() {
  return existsSync(NATIVE) ? readdirSync(NATIVE).filter((name) => name.endsWith('.node')) : [];
}

/** Whether the loader and its types are there; both are made by `npm run build:native`. */
export function hasLoader() {
  return ['binding.cjs', 'binding.d.cts'].every((name) => existsSync(new URL(name, NATIVE)));
}

/**
 * A published root package takes its binary from the platform packages. One that carries the releaser's own binary would
 * prefer that, and hide on this one platform that another package is missing.
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
