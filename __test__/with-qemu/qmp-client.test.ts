import { Duplex, PassThrough } from 'node:stream';

import test from 'ava';

import { QmpClient } from '../../ts/qmp/client.ts';
import type { QmpClientOptions } from '../../ts/qmp/client-options.ts';
import { QmpPeer } from '../support/qmp-peer.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function connected(options: QmpClientOptions = {}): Promise<{ peer: QmpPeer; client: QmpClient }> {
  const peer = new QmpPeer();
  return { peer, client: await QmpClient.open(peer.stream, options) };
}

test('the greeting tells the version, and negotiation comes first', async (t) => {
  const { client } = await connected();
  t.deepEqual(client.version, { major: 10, minor: 1, micro: 2 });
  await client.close();
});

test('replies may come in any order, and in any pieces', async (t) => {
  const { peer, client } = await connected();
  const first = client.execute('first', { size: 2n ** 63n, left: undefined });
  const second = client.execute('second');
  const [a, b] = [await peer.command(0), await peer.command(1)];
  t.deepEqual(a, { execute: 'first', arguments: { size: 2n ** 63n }, id: a.id });
  for (const byte of Buffer.from(`{"return":"zwei €","id":${b.id}}\r\n`))
    peer.toClient.write(Buffer.of(byte));
  peer.say(`{"return":{"n":18446744073709551615},"id":${a.id}}\n`);
  t.is(await second, 'zwei €');
  t.deepEqual(await first, { n: 18446744073709551615n });
  await client.close();
});

test('a refused command rejects with what QEMU said', async (t) => {
  const { peer, client } = await connected();
  const refused = client.execute('nonsense');
  const { id } = await peer.command(0);
  peer.say(`{"error":{"class":"CommandNotFound","desc":"No such thing"},"id":${id}}\n`);
  const error = await t.throwsAsync(refused, {
    code: 'ERR_MAPPED_RAM_QEMU',
    message: /refused nonsense: No such thing/,
  });
  t.like(error, { qmp: { class: 'CommandNotFound', desc: 'No such thing' } });
  t.is(error.cause, undefined);
  await client.close();
});

test('events reach everyone who subscribed before, in order', async (t) => {
  const { peer, client } = await connected();
  const events = client.events();
  const stop = client.waitForEvent('STOP');
  const two = client.waitForEvent(({ data }) => data['n'] === 2);
  peer.say('{"event":"A","data":{"n":1},"timestamp":{"seconds":5,"microseconds":7000}}\n');
  peer.say('{"event":"B","data":{"n":2}}\n{"event":"STOP"}\n');
  t.deepEqual(await stop, { event: 'STOP', data: {}, timestampMs: 0 });
  t.is((await two).event, 'B');
  const names: string[] = [];
  for await (const { event, timestampMs } of events) {
    names.push(event);
    if (event === 'A') t.is(timestampMs, 5007);
    if (event === 'STOP') break;
  }
  t.deepEqual(names, ['A', 'B', 'STOP']);
  await client.close();
});

test('events can be filtered by a name, several or a function', async (t) => {
  const { peer, client } = await connected();
  const one = client.events('B');
  const several = client.events(['A', 'C']);
  const some = client.events(({ data }) => data['n'] === 2);
  const failing = client.events(() => {
    throw new Error('my own fault');
  });
  const all = client.events();
  peer.say('{"event":"A"}\n{"event":"B"}\n{"event":"C","data":{"n":2}}\n{"event":"D"}\n');
  t.like((await one.next()).value, { event: 'B' });
  t.like((await several.next()).value, { event: 'A' });
  t.like((await several.next()).value, { event: 'C' });
  t.like((await some.next()).value, { event: 'C' });
  // A filter that throws ends its own iteration, and nothing else.
  await t.throwsAsync(failing.next(), { message: 'my own fault' });
  const names: (string | undefined)[] = [];
  for (let count = 0; count < 4; count += 1) names.push((await all.next()).value?.event);
  t.deepEqual(names, ['A', 'B', 'C', 'D']);
  await client.close();
  t.deepEqual(await one.next(), { done: true, value: undefined });
});

test('a command is given up after its time, and its late reply disturbs nobody', async (t) => {
  const { peer, client } = await connected();
  await t.throwsAsync(client.execute('slow', undefined, { timeoutMs: 10 }), {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message: /slow: no answer in time/,
  });
  const next = client.execute('next');
  const [slow, command] = [await peer.command(0), await peer.command(1)];
  peer.say(`{"return":"late","id":${slow.id}}\n{"return":"right","id":${command.id}}\n`);
  t.is(await next, 'right');
  await client.close();
});

test('a command whose arguments are no JSON fails alone, and leaves nothing behind', async (t) => {
  const { peer, client } = await connected();
  const cyclic: Record<string, unknown> = {};
  cyclic['itself'] = cyclic;
  // @ts-expect-error an object that holds itself is no JSON
  await t.throwsAsync(client.execute('next', cyclic));
  const next = client.execute('next');
  const { id } = await peer.command(0);
  peer.say(`{"return":"right","id":${id}}\n`);
  t.is(await next, 'right');
  // A command that stayed behind would be rejected now, with nobody to hear it.
  await client.close();
});

test('a command is given up when its signal aborts, before or after it is sent', async (t) => {
  const { peer, client } = await connected();
  const controller = new AbortController();
  const reason = new Error('enough');
  const pending = client.execute('slow', undefined, { signal: controller.signal });
  await peer.command(0);
  controller.abort(reason);
  t.is(await t.throwsAsync(pending), reason);
  t.is(await t.throwsAsync(client.execute('next', undefined, { signal: controller.signal })), reason);
  t.is(await t.throwsAsync(client.waitForEvent('STOP', { signal: controller.signal })), reason);
  t.is(peer.commands.length, 1);
  await client.close();
});

test('when the peer goes away everything pending rejects, with the explanation', async (t) => {
  const { peer, client } = await connected({ explainLoss: () => Promise.resolve('status 1: no memory') });
  const lost = { code: 'ERR_MAPPED_RAM_QEMU', message: 'QEMU closed the connection: status 1: no memory' };
  const events = client.events();
  const pending = [client.execute('a'), client.execute('b'), client.waitForEvent('STOP'), events.next()];
  await peer.command(1);
  peer.toClient.end('{"event":"SHUTDOWN"}\n');
  await Promise.all(pending.slice(0, 3).map((promise) => t.throwsAsync<Error>(promise, lost)));
  t.like(await pending[3], { done: false, value: { event: 'SHUTDOWN' } });
  await t.throwsAsync(events.next(), lost);
  await t.throwsAsync(client.execute('later'), lost);
  await t.throwsAsync(client.events().next(), lost);
});

test('a server that hangs up while its process lives on is told from a dead one', async (t) => {
  const { peer, client } = await connected({ pid: process.pid });
  const pending = client.execute('a');
  peer.toClient.end();
  const message = `QEMU closed the connection: its process ${process.pid} still runs`;
  await t.throwsAsync(pending, { code: 'ERR_MAPPED_RAM_QEMU', message });
});

test('an error of the stream is the cause', async (t) => {
  const { peer, client } = await connected();
  const pending = client.execute('a');
  const cause = new Error('wire cut');
  peer.stream.destroy(cause);
  const error = await t.throwsAsync(pending, { code: 'ERR_MAPPED_RAM_QEMU' });
  t.is(error.cause, cause);
});

test('closing rejects what is pending and ends what iterates', async (t) => {
  const { peer, client } = await connected();
  const events = client.events();
  const pending = client.execute('a');
  const event = client.waitForEvent('STOP');
  await peer.command(0);
  await Promise.all([
    t.throwsAsync(pending, { code: 'ERR_MAPPED_RAM_CLOSED' }),
    t.throwsAsync(event, { code: 'ERR_MAPPED_RAM_CLOSED' }),
    client.close(),
  ]);
  t.deepEqual(await events.next(), { done: true, value: undefined });
  await t.throwsAsync(client.execute('b'), { code: 'ERR_MAPPED_RAM_CLOSED' });
  await client.close();
  t.true(peer.stream.destroyed);
});

test('whoever does not speak QMP is hung up on', async (t) => {
  for (const nonsense of [
    'SSH-2.0-OpenSSH\r\n',
    '[]\n',
    '{"hello":1}\n',
    '{"error":{"class":"GenericError","desc":"JSON parse error"}}\n',
  ]) {
    const { peer, client } = await connected();
    const pending = client.execute('a');
    peer.say(nonsense);
    await t.throwsAsync(pending, { code: 'ERR_MAPPED_RAM_QEMU' }, nonsense);
    t.true(peer.stream.destroyed);
  }
});

test('a peer that says nothing is not waited for longer than allowed', async (t) => {
  const silent = Duplex.from({ readable: new PassThrough(), writable: new PassThrough() });
  await t.throwsAsync(QmpClient.open(silent, { timeoutMs: 10 }), {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message: /waiting for QMP: no answer in time/,
  });
  t.true(silent.destroyed);
});

test('a socket without a server is reported with its path', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('qmp.sock');
  const error = await t.throwsAsync(QmpClient.connect(path), { code: 'ERR_MAPPED_RAM_IO' });
  t.like(error, { path, cause: { code: 'ENOENT' } });
});
