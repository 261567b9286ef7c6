import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory that is removed with its contents. `await using dir = await temporaryDirectory()`. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** @param base must support O_DIRECT where a test asks for it. @default the system's directory for temporary files */
export async function temporaryDirectory(base: string = tmpdir()): Promise<TemporaryDirectory> {
  return new TemporaryDirectory(await mkdtemp(join(base, 'mapped-ram-test-')));
}
