// Publishes the platform packages, then writes them into the root package's optionalDependencies. Runs as
// prepublishOnly: npm publishes the root package right after it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { NapiCli } from '@napi-rs/cli';

import { assertPublishable, ROOT } from './native-files.mjs';

// npm runs prepublishOnly under `npm publish --dry-run`, too: a rehearsal would publish for good without this check.
const dryRun = process.env.npm_config_dry_run === 'true';

function readManifest(directory) {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

/** Checks every platform package: napi's own pre-publish only warns of a missing binary, and publishes the others. */
function assertPlatformPackages() {
  const { version, napi } = readManifest(ROOT);
  const directories = readdirSync(join(ROOT, 'npm'));
  if (directories.length !== napi.targets.length) {
    throw new Error(`npm/ has ${directories.length} packages for ${napi.targets.length} targets`);
  }
  for (const directory of directories) {
    const path = join(ROOT, 'npm', directory);
    const manifest = readManifest(path);
    const binaries = readdirSync(path).filter((name) => name.endsWith('.node'));
    if (binaries.length !== 1 || binaries[0] !== manifest.main) {
      throw new Error(
        `npm/${directory}: expected ${manifest.main}, found ${binaries.join(', ') || 'no binary'}`,
      );
    }
    if (manifest.version !== version) {
      throw new Error(`npm/${directory}: expected version ${version}, found ${manifest.version}`);
    }
  }
}

assertPublishable();
assertPlatformPackages();
await new NapiCli().prePublish({ cwd: ROOT, tagStyle: 'npm', ghRelease: false, dryRun });
