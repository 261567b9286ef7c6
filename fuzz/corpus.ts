import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { decodeInput, encodeInput, type SparseInput } from './sparse-input.ts';

const FOLDER = new URL('corpus/', import.meta.url);

/**
 * Loads the inputs in the tree for a target, by name of file, in the tree's order. A target without a corpus has none.
 */
export async function loadCorpus(target: string): Promise<ReadonlyMap<string, SparseInput>> {
  const folder = new URL(`${target}/`, FOLDER);
  const names = existsSync(folder) ? await readdir(folder) : [];
  const inputs = new Map<string, SparseInput>();
  for (const name of names.toSorted()) inputs.set(name, decodeInput(await readFile(new URL(name, folder))));
  return inputs;
}

/** Makes these inputs the corpus of a target. */
export async function storeCorpus(target: string, inputs: readonly SparseInput[]): Promise<void> {
  const folder = new URL(`${target}/`, FOLDER);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const input of inputs) {
    const encoded = encodeInput(input);
    await writeFile(new URL(nameOf(encoded), folder), encoded);
  }
}

/** Keeps an input that found something, in the encoding of the reader's file; returns its path. */
export async function storeFinding(target: string, encoded: Uint8Array): Promise<string> {
  const folder = new URL('findings/', import.meta.url);
  await mkdir(folder, { recursive: true });
  // Decoding drops the rest of a longer input that may stand behind it.
  const input = encodeInput(decodeInput(encoded));
  const path = fileURLToPath(new URL(`${target}-${nameOf(input)}`, folder));
  await writeFile(path, input);
  return path;
}

function nameOf(encoded: Uint8Array): string {
  return createHash('sha256').update(encoded).digest('hex').slice(0, 16);
}
