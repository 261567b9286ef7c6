import test from 'ava';
import * as fc from 'fast-check';

import { membersOf, parseCommandLine, valuesOf } from '../../../ts/restore/command-line/options.ts';
import { formatOptionValue, parseOptionValue } from '../../../ts/restore/command-line/option-value.ts';

function read(text: string): unknown {
  return Object.fromEntries(parseOptionValue(text, 'type'));
}

test('an option value is read as QEMU reads it', (t) => {
  t.deepEqual(read('q35,accel=kvm'), { type: 'q35', accel: 'kvm' });
  t.deepEqual(read('type=q35'), { type: 'q35' });
  t.deepEqual(read('q35,usb'), { type: 'q35', usb: 'on' });
  t.deepEqual(read('file,mem-path=/a,,b,share=on'), { type: 'file', 'mem-path': '/a,b', share: 'on' });
  t.deepEqual(read('size=1G,size=2G'), { size: '2G' });
  t.deepEqual(read('{"qom-type": "memory-backend-ram", "id": "m0", "share": true, "size": 4096}'), {
    'qom-type': 'memory-backend-ram',
    id: 'm0',
    share: 'on',
    size: '4096',
  });
  t.throws(() => parseOptionValue('{no json', 'type'), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});

test('what is written is read back, whatever the values hold', (t) => {
  const key = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  // An empty value without a key would vanish, and QEMU has no such value.
  const value = fc.string({ minLength: 1 });
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value), { maxLength: 6 }), value, (members, first) => {
      fc.pre(!first.startsWith('{') && !members.some(([name]) => name === 'type'));
      const written = new Map([['type', first], ...members]);
      t.deepEqual(parseOptionValue(formatOptionValue(written, 'type'), 'type'), written);
    }),
  );
});

test('a command line is taken apart into options, and nothing is lost', (t) => {
  const args = [
    '-M',
    'q35',
    '--m',
    '2G',
    '-S',
    '-nographic',
    '-append',
    '-quiet',
    'disk.img',
    '-serial',
    '-',
  ];
  const options = parseCommandLine(args);
  t.deepEqual(
    options.flatMap(({ words }) => words),
    args,
  );
  t.deepEqual(valuesOf(options, 'machine'), ['q35']);
  t.deepEqual(valuesOf(options, 'm'), ['2G']);
  t.deepEqual(valuesOf(options, 'append'), ['-quiet']);
  t.deepEqual(valuesOf(options, 'S'), ['']);
  t.deepEqual(valuesOf(options, 'serial'), ['-']);
});

test('the members of an option are read once, when somebody asks for them', (t) => {
  const options = parseCommandLine(['-M', 'q35,hpet=off', '-m', '2G', '-object', '{no json', '-S']);
  const [machine, memory, object, stop] = options;
  t.deepEqual(Object.fromEntries(machine?.members ?? []), { type: 'q35', hpet: 'off' });
  t.is(machine?.members, machine?.members);
  t.deepEqual(Object.fromEntries(memory?.members ?? []), { size: '2G' });
  t.deepEqual(Object.fromEntries(stop?.members ?? []), {});
  t.throws(() => object?.members, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  t.deepEqual(
    membersOf(options, 'machine').map((members) => members.get('type')),
    ['q35'],
  );
});
