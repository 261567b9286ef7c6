import test from 'ava';

import { execute } from '../../fuzz/execute.ts';
import { denseInput } from '../../fuzz/sparse-input.ts';
import type { FuzzTarget } from '../../fuzz/target.ts';
import { MappedRamError } from '../../ts/errors.ts';

const input = denseInput(Uint8Array.of(1, 2, 3));

async function faultOf(
  run: FuzzTarget['run'],
  options: Omit<FuzzTarget, 'run'> = {},
): Promise<string | undefined> {
  return (await execute({ run, ...options }, input)).fault?.message;
}

// The tests run one after the other: an execution's use of memory is measured by the process's.
test.serial('a result is no fault', async (t) => {
  t.is(await faultOf(async () => 'done'), undefined);
});

test.serial('an error that tells of bad input is no fault, one with another code is', async (t) => {
  const corrupt = new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'bad');
  const internal = new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'worse');
  t.is(await faultOf(async () => Promise.reject(corrupt)), undefined);
  t.is(await faultOf(async () => Promise.reject(internal)), 'worse');
  t.is(await faultOf(async () => Promise.reject(internal), { codes: [internal.code] }), undefined);
});

test.serial('any other error is a fault', async (t) => {
  t.is(await faultOf(async () => Promise.reject(new RangeError('stack'))), 'stack');
});

const swallow: FuzzTarget['run'] = async (reader) => {
  await reader.read(0, 2 ** 40).catch(() => undefined);
  return '';
};
const often: FuzzTarget['run'] = async (reader) => {
  for (;;) await reader.read(0, 1);
};

test.serial('reading more than allowed is a fault, also when its error is swallowed', async (t) => {
  t.is(await faultOf(swallow), `read ${2 ** 40} bytes at once`);
  t.is(await faultOf(often, { limits: { reads: 10 } }), 'read more than 10 times');
  t.is(await faultOf(often, { limits: { bytesInAll: 10 } }), 'read more than 10 bytes in all');
  t.is(await faultOf(async (reader) => `${(await reader.read(-1, 1)).length}`), 'read(-1, 1)');
});

const readPastEnd: FuzzTarget['run'] = async (reader) => `${(await reader.read(2, reader.size)).length}`;

test.serial('reading past the end gives the error that readers must pass on', async (t) => {
  const { fault, reached } = await execute({ run: readPastEnd }, input);
  t.is(fault, undefined);
  t.is(reached, 'ERR_MAPPED_RAM_TRUNCATED');
});

test.serial('memory that grows with a number in the input is a fault', async (t) => {
  const size = 100 * 2 ** 20;
  const expected = `took ${size} bytes of memory`;
  t.is(await faultOf(async () => `${new Uint8Array(size).length}`), expected);
  t.is(await faultOf(async () => `${new ArrayBuffer(size).byteLength}`), expected);
  t.is(await faultOf(async () => `${new Float64Array(size / 8).length}`), expected);
  t.is(await faultOf(async () => `${new Uint8Array(2 ** 20).length}`), undefined);
  const list: number[] = [];
  const grow: FuzzTarget['run'] = async () => {
    for (let index = 0; index < size / 8; index += 1) list.push(index);
    return '';
  };
  t.regex((await faultOf(grow)) ?? '', /^took \d+ bytes of memory$/);
  t.is(list.length, size / 8);
});

test.serial('watched buffers are what they were', (t) => {
  const bytes = Uint8Array.of(1, 2, 3);
  t.true(bytes instanceof Uint8Array);
  t.is(bytes.constructor, Object.getPrototypeOf(new Uint8Array(1)).constructor);
  t.deepEqual(new Uint8Array(bytes.buffer, 1, 2), bytes.subarray(1));
});

function workFor(milliseconds: number): void {
  const start = process.cpuUsage();
  while (process.cpuUsage(start).user < milliseconds * 1000);
}

/** A target that keeps the processor busy in its first calls. */
function slow(times: number): FuzzTarget['run'] {
  let calls = 0;
  return async () => {
    calls += 1;
    if (calls <= times) workFor(60);
    return '';
  };
}

test.serial('being slow every time is a fault, being slow once is not', async (t) => {
  const limits = { milliseconds: 20 };
  t.is(await faultOf(slow(Infinity), { limits }), 'took longer than 20 ms');
  t.is(await faultOf(slow(1), { limits }), undefined);
});
