import { Writable } from 'node:stream';

import test from 'ava';

import { ProgressBar, progressText } from '../../ts/cli/render/progress-bar.ts';

const GIB = 2 ** 30;

/** A terminal of so many columns, and the text that it was given. */
function terminal(columns: number): { readonly stream: NodeJS.WriteStream; readonly written: () => string } {
  let text = '';
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      done();
    },
  });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the bar uses write and columns only
  return { stream: Object.assign(stream, { columns }) as unknown as NodeJS.WriteStream, written: () => text };
}

test('progress is told in the unit of the whole', (t) => {
  const progress = { bytesTotal: 4 * GIB, bytesDone: 1.25 * GIB, dataBytes: GIB, elapsedMs: 1000 };
  t.is(progressText(progress), '1.3/4.0 GiB · 1.34 GB/s · ETA 3 s');
  t.is(progressText({ ...progress, bytesDone: 0 }), '0.0/4.0 GiB · 0 B/s');
  t.is(progressText({ ...progress, bytesDone: 4 * GIB }), '4 GiB · finishing');
  const slow = { bytesTotal: 3 * GIB, bytesDone: 1024, dataBytes: 0, elapsedMs: 60_000 };
  t.regex(progressText(slow), /^0\.0\/3\.0 GiB · 17\.1 B\/s · ETA \d+ h$/);
});

test('the rate is that of the last seconds, not of the first', (t) => {
  const progress = { bytesTotal: 4 * GIB, bytesDone: 2 * GIB, dataBytes: GIB, elapsedMs: 10_000 };
  const earlier = { bytesDone: 2 * GIB - 2e8, elapsedMs: 8000 };
  t.is(progressText(progress, earlier), '2.0/4.0 GiB · 100 MB/s · ETA 22 s');
  t.is(progressText(progress, { bytesDone: 2 * GIB, elapsedMs: 8000 }), '2.0/4.0 GiB · 0 B/s');
});

test('a live save tells what is left of its pass', (t) => {
  const progress = { bytesTotal: 4 * GIB, bytesDone: 3 * GIB, dataBytes: GIB, elapsedMs: 1000 };
  const live = { pass: 1, remainingBytes: GIB, dirtyPagesPerSecond: undefined };
  t.regex(progressText({ ...progress, live }), /^3\.0\/4\.0 GiB/);
  t.is(progressText({ ...progress, live: { ...live, pass: 2 } }), 'pass 2 · 1 GiB left');
  const measured = { pass: 3, remainingBytes: GIB / 4, dirtyPagesPerSecond: 2560 };
  t.is(progressText({ ...progress, live: measured }), 'pass 3 · 256 MiB left · 2560 pages/s changed');
});

test('what is done in half a second gets no bar', (t) => {
  const { stream, written } = terminal(80);
  const bar = new ProgressBar('packing', stream);
  bar.update({ bytesTotal: GIB, bytesDone: 1, dataBytes: 0, elapsedMs: 499 });
  bar[Symbol.dispose]();
  t.is(written(), '');
});

test('the bar is one line that fits, and goes away', (t) => {
  for (const columns of [80, 40, 10]) {
    const { stream, written } = terminal(columns);
    const bar = new ProgressBar('packing', stream);
    bar.update({ bytesTotal: GIB, bytesDone: GIB / 2, dataBytes: 0, elapsedMs: 1000 });
    const shown = written();
    // oxlint-disable-next-line no-control-regex
    t.regex(shown, /^\r[^\r\n]*\u001B\[K$/);
    t.true(shown.length - '\r\u001B[K'.length < columns);
    if (columns === 80) t.true(shown.includes('packing ████████████░░░░░░░░░░░░ 0.5/1.0 GiB'), shown);
    bar[Symbol.dispose]();
    t.true(written().endsWith('\r\u001B[K'));
  }
});

test('without a terminal there is no bar', (t) => {
  const bar = new ProgressBar('packing', undefined);
  bar.update({ bytesTotal: GIB, bytesDone: 1, dataBytes: 0, elapsedMs: 5000 });
  bar[Symbol.dispose]();
  t.pass();
});
