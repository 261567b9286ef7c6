import { open, readdir, truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { fixture } from './cli-fixtures.ts';
import { runCli } from './run-cli.ts';

async function damage(path: string, offset: number): Promise<void> {
  await using handle = await open(path, 'r+');
  await handle.write(Uint8Array.of(0xee), 0, 1, offset);
}

test('verify says that nothing is wrong, seals, and checks against the seal', async (t) => {
  await using given = await fixture();
  const first = await runCli(['verify', given.snapshot]);
  t.is(first.code, 0, first.stderr);
  t.regex(first.stdout, /^result +passed$/m);
  t.regex(first.stdout, /^seal +none$/m);
  const sealed = await runCli(['verify', given.snapshot, '--seal']);
  t.is(sealed.code, 0, sealed.stderr);
  t.regex(sealed.stdout, /^seal +\S+guest\.mr\.seal, written$/m);
  const checked = await runCli(['verify', given.snapshot]);
  t.regex(checked.stdout, /^seal +\S+guest\.mr\.seal, matches$/m);
  const again = await runCli(['verify', given.snapshot, '--seal']);
  t.is(again.code, 1);
  t.regex(again.stderr, /ERR_MAPPED_RAM_EXISTS/);
  t.is((await runCli(['verify', given.snapshot, '--seal', '--force', '--quiet'])).code, 0);
});

test('pack --seal writes a seal that verify finds', async (t) => {
  await using given = await fixture();
  const target = given.dir.file('sealed.mr');
  const args = ['pack', target, '--state', given.state, '--ram', `pc.ram=${given.ram}`];
  const packed = await runCli([...args, '--seal', '--json']);
  t.is(packed.code, 0, packed.stderr);
  t.is(packed.json()['seal'], `${target}.seal`);
  const elsewhere = given.dir.file('elsewhere');
  t.is((await runCli([...args, '--force', '--seal', '--seal-file', elsewhere])).code, 0);
  t.false((await readdir(given.dir.path)).includes('sealed.mr.seal'));
  const { code, json } = await runCli(['verify', target, '--seal-file', elsewhere, '--json']);
  t.is(code, 0);
  t.like(json(), {
    schemaVersion: 1,
    verified: true,
    findings: [],
    seal: { path: elsewhere, state: 'checked' },
  });
  const wrong = await runCli([...args, '--seal-file', elsewhere]);
  t.is(wrong.code, 2);
});

test('an error that is found gives exit status 3, and is named', async (t) => {
  await using given = await fixture();
  t.is((await runCli(['verify', given.snapshot, '--seal'])).code, 0);
  await damage(given.snapshot, 0x10_0000 + 100 * 4096);
  const text = await runCli(['verify', given.snapshot]);
  t.is(text.code, 3);
  t.regex(text.stdout, /^result +FAILED: 1 error$/m);
  t.regex(text.stdout, /^error: pages-differ at 0x140000: block pc\.ram .* pages 64 to 127$/m);
  const { code, json, stderr } = await runCli(['verify', given.snapshot, '--json']);
  t.deepEqual([code, stderr], [3, '']);
  t.like(json(), {
    verified: false,
    findings: [{ severity: 'error', code: 'pages-differ', block: 'pc.ram', pages: { first: 64, count: 64 } }],
  });
  const quiet = await runCli(['verify', given.snapshot, '--quiet']);
  t.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [3, '', '']);
});

test('a seal that is there and cannot be used is not called none', async (t) => {
  await using given = await fixture();
  const seal = `${given.snapshot}.seal`;
  await writeFile(seal, 'something else');
  const { code, stdout } = await runCli(['verify', given.snapshot]);
  t.is(code, 3);
  t.regex(stdout, /^seal +\S+guest\.mr\.seal, unusable$/m);
  t.regex(stdout, /^error: seal-unusable: /m);
  const { json } = await runCli(['verify', given.snapshot, '--json']);
  t.like(json(), { verified: false, seal: { path: seal, state: 'unusable' } });
});

test('a file that is cut off fails; one that is no snapshot at all is another matter', async (t) => {
  await using given = await fixture();
  await truncate(given.snapshot, 2 << 20);
  const cut = await runCli(['verify', given.snapshot]);
  t.is(cut.code, 3);
  t.regex(cut.stdout, /^error: stream-truncated at 0x100000: the file ends too early/m);
  const { json } = await runCli(['verify', given.snapshot, '--json']);
  t.like(json(), { findings: [{ code: 'stream-truncated', offset: 0x10_0000 }] });
  const [finding] = [json()['findings']].flat();
  t.regex(JSON.stringify(finding), /"message":"the file ends too early/);
  await writeFile(given.snapshot, 'no snapshot');
  const none = await runCli(['verify', given.snapshot, '--json']);
  t.is(none.code, 4);
  t.like(none.json(), { error: { code: 'ERR_MAPPED_RAM_BAD_MAGIC' } });
  t.is((await runCli(['verify', given.dir.file('missing')])).code, 1);
  t.is((await runCli(['verify', given.snapshot, '--force'])).code, 2);
});
