import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import test from 'ava';

import { fdAccess, formatFdAccess, parseFdAccess } from '../../ts/host/fd-access.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ACCESSES = (['read', 'write', 'both'] as const).flatMap((mode) =>
  [false, true].map((direct) => ({ mode, direct })),
);
const FLAGS = { read: constants.O_RDONLY, write: constants.O_WRONLY, both: constants.O_RDWR };

test('how a descriptor was opened can be seen, written down and read back', async (t) => {
  await using directory = await temporaryDirectory();
  for (const access of ACCESSES) {
    const direct = access.direct ? constants.O_DIRECT : 0;
    const file = await open(directory.file('x'), FLAGS[access.mode] | direct | constants.O_CREAT, 0o600);
    if (process.platform === 'linux') t.deepEqual(await fdAccess('self', file.fd), access);
    await file.close();
    const text = formatFdAccess(access);
    t.deepEqual(parseFdAccess(text), access);
    t.deepEqual(parseFdAccess(`${text} and a tag`), access);
  }
  t.is(await fdAccess('self', 99_999), undefined);
});

test('any other text says nothing', (t) => {
  for (const text of [
    '',
    'mine',
    'O_APPEND',
    'O_RDONLY|O_SYNC',
    'O_WRONLY|O_DIRECT|O_SYNC',
    'xO_RDONLY',
    '|',
  ]) {
    t.is(parseFdAccess(text), undefined, text);
  }
});
