import { QmpClient, Snapshot } from '../../ts/index.ts';
import { runCli } from '../cli/run-cli.ts';
import { freePort } from '../support/free-port.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SHORT = { timeoutMs: 1000 };

qemuTest('a QMP server that prints prettily is as good as any, however it is given', async (t) => {
  await using dir = await temporaryDirectory();
  const [one, two] = [dir.file('one'), dir.file('two')];
  await using guest = await startGuest({
    extraArgs: [
      ['-qmp-pretty', `unix:${one},server=on,wait=off`],
      ['-chardev', `socket,id=two,path=${two},server=on,wait=off`],
      ['-mon', 'chardev=two,mode=control,pretty=on'],
    ].flat(),
  });
  await guest.waitForGenerations(1);
  for (const socket of [one, two]) {
    const saved = await runCli(['save', socket, `${socket}.mr`]);
    t.is(saved.code, 0, saved.stderr);
    await using snapshot = await Snapshot.open(`${socket}.mr`);
    t.true(snapshot.index.complete);
    await using qmp = await QmpClient.connect(socket);
    t.deepEqual(qmp.version, guest.qmp.version);
    const stopped = qmp.waitForEvent('STOP');
    // Hundreds of kilobytes in one message of ten thousand lines.
    const schema = await qmp.execute<string>('query-qmp-schema');
    t.true(Array.isArray(schema) && schema.length > 500);
    await qmp.execute('stop');
    t.true((await stopped).timestampMs > 0);
    await qmp.execute('cont');
  }
  await guest.assertAlive();
});

qemuTest('QMP over telnet is understood', async (t) => {
  const port = await freePort();
  await using guest = await startGuest({
    extraArgs: ['-qmp', `telnet:127.0.0.1:${port},server=on,wait=off`],
  });
  await using qmp = await QmpClient.connect(`127.0.0.1:${port}`);
  t.deepEqual(qmp.version, guest.qmp.version);
});

qemuTest('servers that are no QMP are called by their names', async (t) => {
  await using dir = await temporaryDirectory();
  const [telnet, vnc] = [await freePort(), await freePort()];
  const server = (name: string): string => `unix:${dir.file(name)},server=on,wait=off`;
  await using guest = await startGuest({
    extraArgs: [
      ['-monitor', server('hmp'), '-monitor', `telnet:127.0.0.1:${telnet},server=on,wait=off`],
      ['-vnc', `127.0.0.1:${vnc - 5900},to=0`, '-gdb', server('gdb'), '-serial', server('serial')],
    ].flat(),
  });
  const nbd = { type: 'unix', data: { path: dir.file('nbd') } };
  await guest.qmp.execute<string>('nbd-server-start', { addr: nbd });
  const code = 'ERR_MAPPED_RAM_QEMU';
  for (const [place, words] of [
    [dir.file('hmp'), /this is a human monitor \(HMP\), not QMP: give QEMU .* -qmp /],
    [`127.0.0.1:${telnet}`, /this is a human monitor/],
    [`127.0.0.1:${vnc}`, /this is a VNC server/],
    [dir.file('nbd'), /this is an NBD server/],
  ] as const) {
    const error = await t.throwsAsync(QmpClient.connect(place, SHORT), { code, message: words }, place);
    t.like(error, { path: place });
  }
  for (const silent of ['gdb', 'serial']) {
    await t.throwsAsync(QmpClient.connect(dir.file(silent), SHORT), {
      code: 'ERR_MAPPED_RAM_TIMEOUT',
      message: /QEMU does not greet.*a guest agent, a gdbstub or a serial port says nothing either/,
    });
  }
  const refused = await runCli(['save', dir.file('hmp'), dir.file('guest.mr')]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /hmp: this is a human monitor/);
  t.false(refused.stderr.includes('please report'));
});

qemuTest('the end of a QEMU that somebody else has started is told, too', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ extraArgs: ['-qmp', `unix:${dir.file('qmp')},server=on,wait=off`] });
  await using qmp = await QmpClient.connect(dir.file('qmp'));
  const waiting = qmp.waitForEvent('NEVER');
  process.kill(guest.qemu.pid, 'SIGKILL');
  const words = new RegExp(`its process ${guest.qemu.pid} (was killed by SIGKILL|has ended)`);
  await t.throwsAsync(waiting, { code: 'ERR_MAPPED_RAM_QEMU', message: words });
  await guest.qemu.exited;
  await t.throwsAsync(QmpClient.connect(dir.file('qmp')), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /a QEMU that was killed leaves its socket behind/,
  });
});
