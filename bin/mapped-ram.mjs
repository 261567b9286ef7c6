#!/usr/bin/env node
import module from 'node:module';
import { fileURLToPath } from 'node:url';

// Node 22 and later keep the compiled form of imported modules. The cache must be turned on before the import.
module.enableCompileCache?.();
const { main } = await import('../dist/cli/main.js').catch((error) => {
  if (error.code !== 'ERR_ACCESS_DENIED') throw error;
  const folder = fileURLToPath(new URL('..', import.meta.url));
  process.stderr.write(`mapped-ram: Node's permission model is on; give node --allow-fs-read=${folder}\n`);
  process.exit(1);
});
await main(process.argv.slice(2));
