import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Makes a file of random bytes without a zero page. */
export async function fillRandom(path: string, bytes: number): Promise<void> {
  await using handle = await open(path, 'w');
  const piece = Buffer.allocUnsafe(16 * 2 ** 20);
  for (let done = 0; done < bytes; done += piece.length) {
    randomFillSync(piece);
    await handle.write(piece, 0, Math.min(piece.length, bytes - done), done);
  }
}
