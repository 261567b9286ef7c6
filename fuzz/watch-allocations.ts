/** What has an own byte length: where bytes read from a file end up. */
const BUFFERS = [
  ArrayBuffer,
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
] as const;

let largest = 0;

/**
 * From now on, in the whole process, buffers that are asked for by length are noted. A look at the heap does not do: a
 * large buffer that is dropped may be gone before anybody looks.
 */
export function watchAllocations(): void {
  for (const buffer of BUFFERS) {
    // Not watched twice.
    if (Reflect.get(globalThis, buffer.name) !== buffer) continue;
    const elementBytes = 'BYTES_PER_ELEMENT' in buffer ? buffer.BYTES_PER_ELEMENT : 1;
    const watched: typeof buffer = new Proxy(buffer, {
      construct: (target, args: readonly unknown[], newTarget) => {
        const [length] = args;
        if (typeof length === 'number') largest = Math.max(largest, length * elementBytes);
        return Reflect.construct(target, args, newTarget === watched ? target : newTarget);
      },
    });
    Object.defineProperty(globalThis, buffer.name, { value: watched });
  }
}

/** Bytes of the largest buffer since the last call. */
export function takeLargestAllocation(): number {
  const bytes = largest;
  largest = 0;
  return bytes;
}
