// Runs before npm packs the root package. `npm pack` in a clone makes a tarball that works on this platform: it carries
// the local binary. `npm publish` makes one without any: the platform packages bring them.
import { execSync } from 'node:child_process';

import { assertPublishable, hasLoader, localBinaries, ROOT } from './native-files.mjs';

function run(command) {
  // stdout belongs to npm, which may be asked for JSON.
  execSync(command, { cwd: ROOT, stdio: ['ignore', 2, 2] });
}

if (process.env.npm_command === 'publish') {
  assertPublishable();
} else if (localBinaries().length === 0 || !hasLoader()) {
  run('npm run build:native');
}
run('npm run build:ts');
