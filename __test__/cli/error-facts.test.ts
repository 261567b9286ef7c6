import { runInNewContext } from 'node:vm';

import test from 'ava';

import { renderError } from '../../ts/cli/render/error.ts';
import { errorFields, toJson } from '../../ts/cli/render/json.ts';
import { plain } from '../../ts/cli/render/style.ts';
import { MappedRamError } from '../../ts/errors.ts';

const qmp = { class: 'GenericError', desc: 'no' };
const rule = { rule: 'blocked', section: '6.2' };
const cause = Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });

test('--verbose shows what QEMU said and which rule refused, where there is such', (t) => {
  const error = new MappedRamError('ERR_MAPPED_RAM_QEMU', 'QEMU refused stop: no', { qmp, rule, cause });
  const text = renderError(error, 'mapped-ram save', true, plain);
  t.deepEqual(text.split('\n'), [
    'mapped-ram save: QEMU refused stop: no (ENOENT: no such file) [ERR_MAPPED_RAM_QEMU]',
    'qmp: {"class":"GenericError","desc":"no"}',
    'rule: {"rule":"blocked","section":"6.2"}',
    'caused by: ENOENT: no such file [ENOENT]',
  ]);
  t.deepEqual(renderError(error, 'mapped-ram save', false, plain).split('\n').length, 1);
  t.like(JSON.parse(toJson({ error: errorFields(error, true) })), {
    error: { code: error.code, qmp, rule, causes: [{ code: 'ENOENT', message: 'ENOENT: no such file' }] },
  });
});

test('errors of another realm are errors: their causes are shown, too', (t) => {
  const foreign: unknown = runInNewContext(
    `new Error('near', { cause: Object.assign(new Error('far'), { code: 'ENOENT', cause: 'text' }) })`,
  );
  t.false(foreign instanceof Error);
  const causes = [
    { code: 'ENOENT', message: 'far' },
    { code: undefined, message: 'text' },
  ];
  t.deepEqual(errorFields(foreign, true).causes, causes);
  const error = new MappedRamError('ERR_MAPPED_RAM_IO', 'words', { cause: foreign });
  t.deepEqual(errorFields(error, true).causes, [{ code: undefined, message: 'near' }, ...causes]);
  t.regex(
    renderError(foreign, 'mapped-ram save', true, plain),
    /caused by: far \[ENOENT\]\n.*text\nError: near/,
  );
  t.like(JSON.parse(toJson({ problem: foreign })), { problem: { message: 'near' } });
});

test('what an error does not know has no member in JSON, and without --verbose nothing has', (t) => {
  const members = ['code', 'message', 'path', 'offset', 'expected', 'found'];
  const knowing = new MappedRamError('ERR_MAPPED_RAM_QEMU', 'words', { qmp, cause });
  t.deepEqual(Object.keys(errorFields(knowing)), members);
  const simple = new MappedRamError('ERR_MAPPED_RAM_IO', 'words', { cause });
  t.deepEqual(Object.keys(errorFields(simple, true)), [...members, 'causes']);
  t.is(errorFields(simple).message, 'words (ENOENT: no such file)');
  t.is(errorFields('thrown text').message, 'thrown text');
});
