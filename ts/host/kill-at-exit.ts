import type { ChildProcess } from 'node:child_process';

import { killTree } from './process-tree.ts';

const children = new Set<ChildProcess>();

function killAll(): void {
  for (const child of children) killChild(child);
}

/**
 * Sees to it that the child does not outlive this process when that ends by `process.exit` or an uncaught error, nor
 * whatever the child has started.
 */
export function killAtExit(child: ChildProcess): void {
  if (children.size === 0) process.on('exit', killAll);
  children.add(child);
  child.once('exit', () => {
    children.delete(child);
    if (children.size === 0) process.off('exit', killAll);
  });
}

/** Kills a child and everything below it, unless the child is gone. */
export function killChild({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid !== undefined && exitCode === null && signalCode === null) killTree(pid);
}
