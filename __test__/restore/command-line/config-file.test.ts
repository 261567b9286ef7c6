import { mkdir, writeFile } from 'node:fs/promises';

import test from 'ava';

import { parseConfig, readConfigFile } from '../../../ts/restore/command-line/config-file.ts';
import { membersOf, parseCommandLine } from '../../../ts/restore/command-line/options.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const REFUSED = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' } as const;

test('sections become options with the same members', (t) => {
  const text = [
    '# a guest',
    '',
    '[machine]  # a remark',
    '  type = "q35"   and more',
    '\taccel =\t"tcg"',
    '[memory]',
    'size = "64M"',
    '[object "mem0"]',
    '  qom-type = "memory-backend-file"',
    '  mem-path = "/a,b/c=d e"',
    '[numa]',
    '  type = "node"',
    '  memdev = ""',
    '[odd "x"]',
    '  y = "z"',
  ].join('\n');
  t.deepEqual(parseConfig(text, 'vm.conf'), [
    { group: 'machine', option: 'machine', value: 'type=q35,accel=tcg' },
    { group: 'memory', option: 'm', value: 'size=64M' },
    {
      group: 'object',
      option: 'object',
      value: 'id=mem0,qom-type=memory-backend-file,mem-path=/a,,b/c=d e',
    },
    { group: 'numa', option: 'numa', value: 'type=node,memdev=' },
    { group: 'odd', option: undefined, value: 'id=x,y=z' },
  ]);
  t.deepEqual(parseConfig('', 'vm.conf'), []);
});

test('what QEMU does not read, or reads as something else, is refused with its line', (t) => {
  for (const [text, line, words] of [
    ['size = "1"\n', 1, /expected a \[section\] first, found "size = \\"1\\""/],
    ['[memory]\nsize="64M"\n', 2, /expected key = "value"/],
    ['[memory]\nsize = 64M\n', 2, /expected key = "value"/],
    ['[memory]\nsize = "64M\n', 2, /expected key = "value"/],
    ['[memory]\n   \n', 2, /expected key = "value"/],
    ['[memory\n', 1, /expected \[section\]/],
    ['[]\n', 1, /expected \[section\]/],
    [' [memory]\n', 1, /expected key = "value"/],
    [`[memory]\nsize = "${'1'.repeat(1100)}"\n`, 2, /expected at most 1022 bytes/],
  ] as const) {
    const error = t.throws(() => parseConfig(text, 'vm.conf'), { ...REFUSED, message: words }, text);
    t.true(error?.message.startsWith(`vm.conf: -readconfig: line ${line}, so nobody knows`), error?.message);
  }
});

test('a file that cannot be read, and what is no file, is refused by name', async (t) => {
  await using dir = await temporaryDirectory();
  await mkdir(dir.file('folder'));
  await writeFile(dir.file('large'), Buffer.alloc((1 << 20) + 1, '\n'));
  for (const [path, words] of [
    [dir.file('missing'), /it cannot be read.*ENOENT/],
    [dir.file('folder'), /it is no regular file/],
    ['/dev/null', /it is no regular file/],
    [dir.file('large'), /it has more than 1048576 bytes/],
  ] as const) {
    const error = t.throws(() => readConfigFile(path), { ...REFUSED, message: words }, path);
    t.like(error, { path });
  }
});

test('the options of a file stand in its place, where later ones of the command line follow', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('vm.conf'), '[memory]\n size = "64M"\n[device "d"]\n driver = "e1000"\n');
  const options = parseCommandLine(['-m', '1M', '--readconfig', dir.file('vm.conf'), '-m', '2M']);
  t.deepEqual(
    options.map(({ name }) => name),
    ['m', 'readconfig', 'm', 'device', 'm'],
  );
  t.deepEqual(
    membersOf(options, 'm').map((memory) => memory.get('size')),
    ['1M', '64M', '2M'],
  );
  t.deepEqual(
    options.at(-2)?.members,
    new Map([
      ['id', 'd'],
      ['driver', 'e1000'],
    ]),
  );
});
