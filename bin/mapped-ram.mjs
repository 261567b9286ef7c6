#!/usr/bin/env node
import module from 'node:module';

// Node 22 and later keep the compiled form of imported modules. The cache must be turned on before the import.
module.enableCompileCache?.();
const { main } = await import('../dist/cli/main.js');
await main(process.argv.slice(2));
