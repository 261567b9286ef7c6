// Bundles the script of the bench's page (page/) into dist/: the page carries it, and the package needs no plotting
// library. The licences of what is bundled go with it, as they ask for.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TARGET = join(ROOT, 'dist', 'bench', 'html', 'charts.js');

/** The text that ends an inline script, or makes a browser look for its end elsewhere. */
const ENDS_SCRIPT = /<\/script|<script|<!--/i;

const { metafile, outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints: ['page/main.ts'],
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  metafile: true,
  write: false,
});
const [{ text: code }] = outputFiles;
const [{ inputs }] = Object.values(metafile.outputs);
const text = `${licences(Object.keys(inputs).filter((path) => inputs[path].bytesInOutput > 0))}${code}`;
if (ENDS_SCRIPT.test(text)) throw new Error('the script of the page would end early in a page');
await mkdir(dirname(TARGET), { recursive: true });
await writeFile(TARGET, text);

/** Makes one comment of the licences of packages: each text once, under the names of its packages. */
function licences(files) {
  const packages = new Set(
    files
      .flatMap((path) => /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [])
      .filter((name) => !name.includes('node_modules')),
  );
  const byText = new Map();
  for (const name of [...packages].toSorted((left, right) => (left < right ? -1 : 1))) {
    const licence = licenceOf(name);
    byText.set(licence, [...(byText.get(licence) ?? []), name]);
  }
  const parts = [...byText].map(([licence, names]) => `${names.join(', ')}:\n\n${licence}`);
  return `/*!\n${parts.join('\n\n').replaceAll('*/', '* /')}\n*/\n`;
}

function licenceOf(name) {
  const folder = join(ROOT, 'node_modules', name);
  const file = existsSync(folder) && readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file, and cannot be bundled`);
  return readFileSync(join(folder, file), 'utf8').trim();
}
