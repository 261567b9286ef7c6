// Packs for longer than a test waits: one page at a time, one request in flight.
import { parentPort, workerData } from 'node:worker_threads';

const { pack } = await import(workerData.module);
const { target, options } = workerData;
const onProgress = ({ bytesDone, bytesTotal }) => parentPort.postMessage({ bytesDone, bytesTotal });
await pack(target, { ...options, requestSize: 4096, queueDepth: 1, channels: 2, directIo: 'on', onProgress });
parentPort.postMessage('done');
