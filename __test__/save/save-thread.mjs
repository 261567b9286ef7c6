// Saves a guest, and says when QEMU has done its part, for a test that terminates this thread.
import { parentPort, workerData } from 'node:worker_threads';

const { QmpClient, save } = await import(workerData.module);
const { server, target, options } = workerData;
const qmp = await QmpClient.connect(server);
const onProgress = ({ step, bytesTotal }) => {
  if (step === 'memory' && bytesTotal === 0) parentPort.postMessage('memory');
};
await save(qmp, target, { ...options, onProgress });
