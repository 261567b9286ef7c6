import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import test from 'ava';

const MODULE = fileURLToPath(new URL('../../ts/cli/interrupted.ts', import.meta.url));
/** A command that takes its time when it cleans up. */
const STUBBORN = `
const { Interruption } = await import(${JSON.stringify(MODULE)});
const { signal } = new Interruption();
setInterval(() => undefined, 1000);
signal.addEventListener('abort', () => console.log('aborted: ' + signal.reason.message));
process.on('exit', () => console.log('cleaned up'));
console.log('ready');
`;

test('the second signal ends a command at once, after its exit listeners', async (t) => {
  const args = ['--import=@oxc-node/core/register', '--input-type=module', '--eval', STUBBORN];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (text.includes('ready')) child.kill('SIGINT');
    if (text.includes('aborted')) child.kill('SIGTERM');
  });
  const code = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  t.is(stdout, 'ready\naborted: interrupted by SIGINT\ncleaned up\n');
  t.is(code, 143);
});
