import test, { type ExecutionContext } from 'ava';

import { runCli } from './run-cli.ts';

const COMMANDS = [
  'save',
  'restore',
  'info',
  'verify',
  'diff',
  'extract',
  'convert',
  'pack',
  'unpack',
  'doctor',
  'demo',
];

test('without arguments, help goes to stderr and the exit code is 2', async (t) => {
  const { code, stdout, stderr } = await runCli([]);
  t.is(code, 2);
  t.is(stdout, '');
  for (const command of COMMANDS) t.regex(stderr, new RegExp(`^  ${command} `, 'm'));
});

for (const args of [['--help'], ['-h'], ['help']]) {
  test(`${args.join(' ')} lists the commands on stdout`, async (t) => {
    const { code, stdout, stderr } = await runCli(args);
    t.is(code, 0);
    t.is(stderr, '');
    for (const command of COMMANDS) t.regex(stdout, new RegExp(`^  ${command} `, 'm'));
  });
}

for (const command of COMMANDS) {
  test(`${command} --help shows its options in 80 columns, whatever else is on the line`, async (t) => {
    const { code, stdout, stderr } = await runCli([command, '--no-such-option', '--help']);
    t.is(code, 0);
    t.is(stderr, '');
    t.true(stdout.startsWith(`mapped-ram ${command} `));
    for (const option of ['--json', '--quiet', '--verbose', '--help']) t.true(stdout.includes(`${option} `));
    t.deepEqual(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    );
  });
}

test('--version prints the version', async (t) => {
  const { code, stdout } = await runCli(['--version']);
  t.is(code, 0);
  t.regex(stdout, /^\d+\.\d+\.\d+\S*\n$/);
});

/** Wrong arguments, and patterns that the message has to match. */
const WRONG: readonly (readonly [args: readonly string[], ...expected: RegExp[]])[] = [
  [['inof', 'x'], /unknown command 'inof'/, /did you mean info/],
  [
    ['frobnicate'],
    /unknown command 'frobnicate'/,
    /expected one of save, restore, recover, working-set, fork, info, verify, diff, extract, convert, flatten, pack, unpack, doctor, bench, demo/,
  ],
  [['constructor'], /unknown command 'constructor'/],
  [['--json', 'info', 'x'], /expected a command first/, /--json/],
  [['info'], /<uri> is missing/],
  [['info', ''], /<uri> must not be empty/],
  [['info', 'a', 'b'], /unexpected argument 'b'/],
  [['info', 'a', '--channels', '2'], /unknown option --channels/],
  [['info', 'a', '--jsn'], /unknown option --jsn/, /did you mean --json/],
  [['info', 'a', '-q'], /unknown option -q/],
  [['info', 'a', '--json=yes'], /--json takes no value/, /yes/],
  [['info', 'a', '--no-json'], /unknown option --no-json/],
  [['info', 'a', '--', '--json'], /unexpected argument '--json'/],
  [['pack', 'a'], /--state <file> is missing/],
  [['pack', 'a', '--state'], /--state needs a value: <file>/],
  [['pack', 'a', '--state', '--force'], /--state needs a value/],
  [['pack', 'a', '--state='], /--state needs a value/],
  [['pack', 'a', '--state', 's', '--state', 't'], /--state was given more than once/],
  [['pack', 'a', '--state', 's', '--channels', '0'], /--channels must be a whole number from 1 to 64/, /'0'/],
  [['pack', 'a', '--state', 's', '--channels', '65'], /--channels/, /'65'/],
  [['pack', 'a', '--state', 's', '--channels', '2.5'], /--channels/, /'2\.5'/],
  [['pack', 'a', '--state', 's', '--channels', 'two'], /--channels/, /'two'/],
  [['pack', 'a', '--state', 's', '--channels', '-1'], /--channels needs a value/],
  [['pack', 'a', '--state', 's', '--channels=-1'], /--channels must be a whole number/, /'-1'/],
  [['pack', 'a', '--state', 's', '--queue-depth', '257'], /--queue-depth must be .* 1 to 256/],
  [['pack', 'a', '--state', 's', '--queueDepth', '2'], /unknown option --queueDepth/, /--queue-depth/],
  [['pack', 'a', '--state', 's', '--request-size', '1MB'], /--request-size/, /ambiguous/, /1MiB/],
  [['pack', 'a', '--state', 's', '--request-size', '5000'], /--request-size must be a multiple of 4KiB/],
  [['pack', 'a', '--state', 's', '--request-size', '32M'], /--request-size/, /16MiB/],
  [['pack', 'a', '--state', 's', '--request-size', 'big'], /--request-size must be a size/, /'big'/],
  [['pack', 'a', '--state', 's', '--direct-io', 'maybe'], /--direct-io must be auto, on or off/, /'maybe'/],
  [
    ['pack', 'a', '--state', 's', '--io-engine', 'aio'],
    /--io-engine must be auto, io_uring or threads/,
    /'aio'/,
  ],
  [['pack', 'a', '--state', 's', '--engine', 'auto'], /unknown option --engine; did you mean --io-engine\?/],
  [['pack', 'a', '--state', 's', '--ram', 'pc.ram'], /--ram must be <block>=<path>/, /'pc\.ram'/],
  [['pack', 'a', '--state', 's', '--ram', '=x'], /--ram must be <block>=<path>/],
  [['pack', 'a', '--state', 's', '--ram', 'x='], /--ram must be <block>=<path>/],
  [['pack', 'a', '--state', 's', '--ram', 'x=1', '--ram', 'x=2'], /--ram names block x more than once/],
  [['pack', 'a', '--state', 's', '--offset', '0.5'], /--offset must be a whole number of bytes/],
  [['pack', 'file:a,offset=4096', '--state', 's', '--offset', '4096'], /--offset and ,offset=/, /only one/],
  [['pack', 'file:a,offset=0', '--state', 's', '--offset', '0'], /--offset and ,offset=/],
  [['unpack', 'a'], /nothing to unpack/, /--ram/, /--state/],
  [['diff'], /<left> is missing/],
  [['diff', 'a'], /a second snapshot/, /--ram <block>=<path>/],
  [['diff', 'a', 'b', '--ram', 'pc.ram=x'], /one thing to compare with/],
  [['diff', 'a', 'b', 'c'], /unexpected argument 'c'/],
  [['save', 'q', 't', '--form', 'delta'], /--form delta needs --incremental or --base/],
  [['save', 'q', 't', '--incremental', '--form', 'half'], /--form must be auto, whole or delta, not 'half'/],
  [['save', 'q', 't', '--incremental=x'], /--incremental takes no value/],
  [['save', 'q', 't', '--increment'], /unknown option --increment; did you mean --incremental\?/],
  [['save', 'q', 't', '--base', '--force'], /--base needs a value: <file>/],
  [['save', 'q', 't', '--base', ''], /--base needs a value: <file>/],
  [['save', 'q', 't', '--max-copy-memory', '10MB'], /--max-copy-memory: '10MB' is ambiguous/],
  [['save', 'q', 't', '--max-copy-memory=-1'], /--max-copy-memory must be a size/],
  [['doctor', 'x'], /unexpected argument 'x'/],
  [['demo', '--size', '1M'], /--size must be whole MiB, at least 64MiB/],
  [['demo', '--size', '1GB'], /--size/, /ambiguous/],
];

for (const [args, ...expected] of WRONG) {
  test(`wrong usage is named and exits with 2: ${JSON.stringify(args.join(' '))}`, async (t) => {
    const { code, stdout, stderr } = await runCli(args);
    t.is(code, 2, stderr);
    // The arguments before the dashes may ask for JSON.
    const asJson = args[0] === '--json' && stdout !== '';
    const text = asJson ? stdout : stderr;
    for (const pattern of expected) t.regex(text, pattern);
    if (!asJson) {
      t.is(stdout, '');
      assertBrief(t, stderr);
    }
  });
}

function assertBrief(t: ExecutionContext, stderr: string): void {
  t.notRegex(stderr, /^\s+at /m, 'a stack trace is no message');
  t.true(stderr.split('\n').length <= 4, stderr);
}

test('with --json, wrong usage is one object on stdout', async (t) => {
  const { code, json, stderr } = await runCli(['info', '--json', 'a', 'b']);
  t.is(code, 2);
  t.is(stderr, '');
  t.deepEqual(json(), {
    schemaVersion: 1,
    error: {
      code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      message: "unexpected argument 'b'",
      path: null,
      offset: null,
      expected: null,
      found: null,
    },
  });
});
