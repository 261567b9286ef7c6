import { spawn } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { temporaryDirectory, type TemporaryDirectory } from './temporary.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The program below a heading of a document. */
export async function program(document: URL, heading: string): Promise<string> {
  const text = await readFile(document, 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(heading)) ?? '';
  return /^```js\n(.*?)^```$/ms.exec(section)?.[1] ?? '';
}

/** A folder with the built package as `mapped-ram`, and with the recipe as `recipe.mjs`. */
export async function projectOf(document: URL, heading: string): Promise<TemporaryDirectory> {
  const dir = await temporaryDirectory();
  await mkdir(dir.file('node_modules'));
  await symlink(ROOT, dir.file('node_modules/mapped-ram'), 'junction');
  await writeFile(dir.file('recipe.mjs'), await program(document, heading));
  return dir;
}

/** A recipe that runs in a process of its own. */
export interface Running {
  readonly output: () => string;
  readonly said: (words: RegExp) => Promise<void>;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<number | null>;
}

/** Runs the recipe of a folder. */
export function runRecipe(dir: TemporaryDirectory, args: readonly string[]): Running {
  const child = spawn(process.execPath, ['recipe.mjs', ...args], { cwd: dir.path });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  return {
    output: () => output,
    said: async (words) => {
      for (let tries = 0; tries < 600 && !words.test(output); tries += 1) {
        if (child.exitCode !== null) throw new Error(`it has ended: ${output}`);
        await delay(50);
      }
      if (!words.test(output)) throw new Error(`it does not say ${words}: ${output}`);
    },
    kill: (signal) => void child.kill(signal),
    ended,
  };
}
